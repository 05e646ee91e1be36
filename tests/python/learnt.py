"""Learnt selection: networks, gates and scores, on small networks and made-up data. Speaks TAP."""

import pathlib
import sys
import tempfile
import unittest

import torch

from lmodel import safetensors
from lmodel.errors import CorruptError, UsageError
from lmodel.protect import (data, fisher, gates, loo, nets, progress, pss, quality, scores,
                            training, wanda)

torch.set_num_threads(1)


def network(kind: str, steps: int = 0) -> nets.Net:
    """A small network; what it computes is seldom trained for."""
    return training.small(kind, steps=steps)


class Nets(unittest.TestCase):
    def test_saved_and_loaded_is_the_same(self):
        for kind in ("vgg", "dncnn", "llama"):
            net = network(kind)
            with tempfile.TemporaryDirectory() as folder:
                path = pathlib.Path(folder) / "net.safetensors"
                nets.save(net, path)
                again = nets.load(path)
            self.assertEqual((again.kind, again.task, again.data),
                             (kind, net.task, "synthetic"))
            self.assertEqual(set(again.state()), set(net.state()))
            for name, tensor in net.state().items():
                self.assertTrue(torch.equal(tensor, again.state()[name]), name)
            self.assertEqual(quality.measure(again, 4), quality.measure(net, 4))

    def test_order_and_unused_tensors_are_kept(self):
        net = network("dncnn")
        state = dict(reversed(net.state().items())) | {"extra": torch.ones(3)}
        again = nets.build(state, net.metadata)
        self.assertTrue(torch.equal(again.state()["extra"], torch.ones(3)))
        self.assertEqual(set(again.state()), set(state))

    def test_resnet20_is_told_by_its_names(self):
        from lmodel.protect.architectures import ResNet20
        state = {name: tensor for name, tensor in ResNet20(10).state_dict().items()
                 if not name.endswith("num_batches_tracked")}
        net = nets.build(state)
        self.assertEqual((net.kind, net.data), ("resnet20", "cifar10"))
        self.assertEqual(net.module(torch.zeros(2, 3, 32, 32)).shape, (2, 10))
        self.assertEqual(set(net.state()), set(state))

    def test_with_state_leaves_the_first_alone(self):
        net = network("vgg")
        before = net.state()
        other = net.with_state({"0.weight": torch.zeros_like(before["0.weight"])})
        self.assertEqual(float(other.state()["0.weight"].abs().sum()), 0)
        self.assertTrue(torch.equal(net.state()["0.weight"], before["0.weight"]))
        with self.assertRaisesRegex(nets.NetError, "'0.weight' has shape"):
            net.with_state({"0.weight": torch.zeros(1)})

    def test_what_is_no_network_is_refused(self):
        net = network("vgg")
        cases = {
            "not a network": ({"a": torch.zeros(2)}, {}),
            "'3.weight' is missing": ({n: t for n, t in net.state().items() if n != "3.weight"},
                                      net.metadata),
            "'4.bias' has shape": (net.state() | {"4.bias": torch.zeros(3)}, net.metadata),
            "metadata 'arch'": (net.state(), net.metadata | {"arch": "[8, 'X']"}),
            "'arch' is no list": (net.state(), net.metadata | {"arch": "__import__('os')"}),
        }
        for message, (state, metadata) in cases.items():
            with self.assertRaisesRegex(nets.NetError, message):
                nets.build(state, metadata)
        llama = network("llama")
        with self.assertRaisesRegex(nets.NetError, "do not divide"):
            nets.build(llama.state(), llama.metadata | {"heads": "3"})
        with self.assertRaisesRegex(nets.NetError, "no number"):
            nets.build(llama.state(), llama.metadata | {"heads": "four"})
        with self.assertRaisesRegex(nets.NetError, "without gaps"):
            nets.build({n.replace("layers.1", "layers.2"): t for n, t in llama.state().items()})

    def test_llama_goes_on_where_it_stopped(self):
        module = network("llama").module
        tokens = data.stories(2, 12, name="synthetic")
        past = [[] for _ in module.model.layers]
        with torch.no_grad():
            whole = module(tokens)
            parts = torch.cat([module(tokens[:, i:i + 1], past) for i in range(12)], 1)
        self.assertTrue(torch.allclose(whole, parts, atol=1e-5))


class Data(unittest.TestCase):
    def test_made_up_data_are_always_the_same(self):
        for task in ("classify", "denoise", "language"):
            a, b = data.synthetic(task, "train", 20), data.synthetic(task, "train", 20)
            self.assertTrue(torch.equal(a[0], b[0]) and torch.equal(a[1], b[1]), task)
            self.assertEqual(len(a[0]), 20)
        self.assertFalse(torch.equal(data.images("synthetic", "train", 20)[0],
                                     data.images("synthetic", "test", 20)[0]))

    def test_unknown_data_are_told(self):
        for call in (lambda: data.images("mnist", "test"), lambda: data.images("fmnist", "all"),
                     lambda: data.pictures("cats"), lambda: data.stories(1, name="poems"),
                     lambda: data.find("poems"), lambda: data.synthetic("dance")):
            with self.assertRaises(data.DataError):
                call()
        self.assertEqual(data.DataError.code, 2)

    def test_noise_has_its_strength(self):
        noisy, clean = data.patches("synthetic", 50, 64, 24)
        self.assertAlmostEqual(float((noisy - clean).std()) * 255, 50, delta=1)
        self.assertTrue(0 <= float(clean.min()) and float(clean.max()) <= 1)


class Quality(unittest.TestCase):
    def test_training_shows(self):
        net, untrained = network("vgg", 60), network("vgg")
        self.assertGreater(quality.measure(net, 200), quality.measure(untrained, 200) + 30)

    def test_psnr_of_known_noise(self):
        idle = nets.Net(torch.nn.Identity(), "dncnn", {}, "denoise", "synthetic")
        pairs = [(torch.full((1, 8, 8), .5), torch.full((1, 8, 8), .6))]
        self.assertAlmostEqual(quality.psnr(idle, pairs), 20, places=4)

    def test_outputs_that_are_not_finite_are_worst(self):
        for kind, worst in (("vgg", 0), ("dncnn", 0), ("llama", float("inf"))):
            net = network(kind)
            broken = net.with_state({name: torch.full_like(tensor, float("nan"))
                                     for name, tensor in net.state().items()
                                     if tensor.is_floating_point()})
            self.assertEqual(quality.measure(broken, 3), worst)

    def test_perplexity_of_equal_chances_is_the_vocabulary(self):
        net = network("llama")
        flat = net.with_state({"model.norm.weight": torch.zeros(32)})
        self.assertAlmostEqual(quality.measure(flat, 2), 64, places=3)


class Gates(unittest.TestCase):
    def test_mean_gates(self):
        z = gates.mean(torch.tensor([-4.6, 0., 1., 4.6]))
        expected = [max(0, -.1 + 1.2 * s) for s in (.00995, .5, .731059)] + [1]
        for a, b in zip(z.tolist(), expected):
            self.assertAlmostEqual(a, b, places=4)

    def test_open_probability_is_that_of_drawn_gates(self):
        log_alpha = torch.tensor([-2., 0., 1.]).repeat(20000, 1)
        drawn = gates.draw(log_alpha, torch.Generator().manual_seed(0))
        shares = (drawn > 0).float().mean(0)
        self.assertTrue(torch.allclose(shares, gates.open_probability(log_alpha[0]), atol=.01))
        self.assertTrue(bool(((drawn >= 0) & (drawn <= 1)).all()))

    def test_what_the_task_needs_stays_open(self):
        """A network in which one input channel of a layer is not used at all."""
        net = network("vgg", 60)
        weight = net.state()["3.weight"]
        weight[:, 3] = 0
        net = net.with_state({"3.weight": weight})
        images, labels = data.images("synthetic", "train", 300)
        for extra in ({}, {"layerwise": True}, {"sampled": True}, {"robust": "affine"},
                      {"robust": "fill", "optimiser": "sgd"}, {"robust": "batchnorm"}):
            settings = pss.Settings(steps=25, batch=50, weight=1e-2, **extra)
            found = pss.learn(net, ["3.weight", "7.weight"], images, labels, settings)
            scores.check(net, found)
            ranks = found["3.weight"].view(8, 8).log()
            used = torch.tensor([c for c in range(8) if c != 3])
            self.assertLess(float(ranks[:, 3].mean()), float(ranks[:, used].mean()), extra)

    def test_the_network_stays_as_it_is(self):
        net = network("vgg")
        before = net.state()
        images, labels = data.images("synthetic", "train", 60)
        pss.learn(net, ["0.weight"], images, labels, pss.Settings(steps=3, robust="fill"))
        for name, tensor in net.state().items():
            self.assertTrue(torch.equal(tensor, before[name]), name)

    def test_equal_seeds_give_equal_scores(self):
        net = network("vgg")
        images, labels = data.images("synthetic", "train", 60)
        first, second, third = (
            pss.learn(net, ["3.weight"], images, labels,
                      pss.Settings(steps=5, sampled=True, seed=seed))["3.weight"]
            for seed in (1, 1, 2))
        self.assertTrue(torch.equal(first, second))
        self.assertFalse(torch.equal(first, third))

    def test_units_of_matrices(self):
        net = network("llama")
        tokens = data.stories(8, 16, name="synthetic")
        name = "model.layers.0.mlp.gate_proj.weight"
        for unit, varies in (("row", (True, False)), ("column", (False, True)),
                             ("element", (True, True))):
            found = pss.learn(net, [name], tokens, tokens, pss.Settings(steps=4, unit=unit))[name]
            self.assertEqual(found.shape, (64, 32))
            differs = bool((found != found[:1]).any()), bool((found != found[:, :1]).any())
            self.assertEqual(differs, varies, unit)

    def test_going_on_from_scores(self):
        net = network("vgg")
        images, labels = data.images("synthetic", "train", 60)
        earlier = {"3.weight": torch.logspace(-12, 12, 64)}
        settings = pss.Settings(steps=1, rate=1e-6)
        found = pss.learn(net, ["3.weight"], images, labels, settings, earlier)["3.weight"]
        self.assertTrue(torch.allclose(found.log(), earlier["3.weight"].log(), atol=1e-2))


class Scores(unittest.TestCase):
    def test_leaving_out_is_what_it_says(self):
        for kind, names in (("vgg", ["0.weight", "7.weight", "15.weight"]),
                            ("dncnn", ["model.0.weight", "model.10.weight"]),
                            ("llama", ["model.layers.1.mlp.up_proj.weight"])):
            net = network(kind)
            inputs, targets = scores.inputs(net, "synthetic", 3, 0)
            whole = float(training.loss(net, inputs, targets))
            found = loo.measure(net, names, inputs, targets)
            scores.check(net, found)
            for name in names:
                weight = net.state()[name]
                for row, column in ((0, 0), (weight.shape[0] - 1, weight.shape[1] - 1)):
                    changed = weight.clone()
                    changed[row, column if weight.dim() == 4 else slice(None)] = 0
                    rise = float(training.loss(net.with_state({name: changed}), inputs,
                                               targets)) - whole
                    score = found[name].view(weight.shape[:2])[row, column]
                    self.assertAlmostEqual(float(score), max(0, rise), places=4, msg=name)

    def test_wanda_is_size_times_input(self):
        net = network("vgg")
        images, _ = data.images("synthetic", "train", 40)
        found = wanda.measure(net, ["0.weight", "15.weight"], images)
        wanted = net.state()["0.weight"].abs().mean((1, 2, 3)) * images.square().mean().sqrt()
        self.assertTrue(torch.allclose(found["0.weight"], wanted, rtol=1e-4))
        with torch.no_grad():
            features = net.module[:-1](images)
        wanted = net.state()["15.weight"].abs() * features.square().mean(0).sqrt()
        self.assertTrue(torch.allclose(found["15.weight"], wanted, rtol=1e-4))

    def test_fisher_is_the_mean_square_of_first_order_changes(self):
        net = network("vgg")
        images, labels = data.images("synthetic", "train", 2)
        found = fisher.measure(net, ["3.weight"], images, labels)["3.weight"]
        weight, name, total = net.state()["3.weight"], "3.weight", 0.0
        for i in range(2):
            rises = []
            for step in (1e-2, -1e-2):
                changed = weight.clone()
                changed[1, 2] *= 1 + step
                rises.append(float(training.loss(net.with_state({name: changed}),
                                                 images[i:i + 1], labels[i:i + 1])))
            total += ((rises[0] - rises[1]) / 2e-2) ** 2 / 2
        self.assertAlmostEqual(float(found.view(8, 8)[1, 2]) ** .5, total ** .5, delta=1e-3)

    def test_bad_scores_are_told(self):
        net = network("vgg")
        good = torch.ones(64)
        cases = {
            "shape \\[63\\], not \\[64\\]": torch.ones(63),
            "NaN or infinite": torch.where(torch.arange(64) == 5, torch.tensor(float("nan")),
                                           good),
            "negative": good - 2,
            "not floating point": good.long(),
        }
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "scores"
            for message, tensor in cases.items():
                safetensors.save_torch(path, {"3.weight": tensor})
                with self.assertRaisesRegex(CorruptError, f"scores: scores of '3.weight': .*"
                                                          f"{message}"):
                    scores.load(path, net)
            safetensors.save_torch(path, {"4.weight": good})
            with self.assertRaisesRegex(CorruptError, "'4.weight': the network has no such"):
                scores.load(path, net)
            with self.assertRaises(CorruptError):
                scores.save(path, net, "x", {"3.weight": good * float("inf")})
            scores.save(path, net, "x", {"3.weight": good})
            self.assertTrue(torch.equal(scores.load(path, net)["3.weight"], good))

    def test_weights_are_picked_by_name(self):
        net = network("vgg")
        self.assertEqual(scores.chosen(net, ["?.weight"]), ["0.weight", "3.weight", "7.weight"])
        self.assertEqual(len(scores.chosen(net)), 5)
        with self.assertRaisesRegex(UsageError, "no weight of this vgg matches 'conv\\*'"):
            scores.chosen(net, ["0.weight", "conv*"])

    def test_data_must_suit_the_network(self):
        net = network("vgg")
        three = net.with_state({})
        three.module[0] = torch.nn.Conv2d(3, 8, 3, padding=1, bias=False)
        with self.assertRaisesRegex(UsageError, "have 1 channels"):
            scores.inputs(three, "synthetic", 4, 0)
        with self.assertRaises(UsageError):
            scores.inputs(net, "nothing", 4, 0)


class Progress(unittest.TestCase):
    def test_items_pass_unchanged(self):
        self.assertEqual(list(progress.bar(iter("abc"), "letters")), ["a", "b", "c"])


def main() -> int:
    """Runs every test as one line of TAP."""
    tests = [test for suite in unittest.defaultTestLoader.loadTestsFromModule(
        sys.modules["__main__"]) for test in suite]
    for number, test in enumerate(tests, 1):
        result = test.run()
        good = result.wasSuccessful()
        print(f"{'ok' if good else 'not ok'} {number} - {test.id().removeprefix('__main__.')}",
              flush=True)
        for _, trace in result.failures + result.errors:
            print("\n".join("#   " + line for line in trace.splitlines()), flush=True)
    print(f"1..{len(tests)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
