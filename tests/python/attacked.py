"""Attacks, perturbation, detection and Deep-Lock's weakness, on made-up data. Speaks TAP."""

import os
import struct
import sys
import tempfile
import unittest

import numpy as np
import torch

from lmodel.errors import CorruptError, UsageError
from lmodel.protect import (attacks, batchnorm, boosting, deeplock, detect, evaluate, features,
                            levels, panel, perturb, samples, tokens, training)

torch.set_num_threads(1)
NET = training.small("vgg", steps=60)
GIVEN = samples.of(NET, 200, 1)


def quality(module: torch.nn.Module) -> float:
    return panel.measure(NET, module, 200)


def places(share: float, seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.rand(value.shape, generator=generator) < share
            for name, value in NET.module.named_parameters() if value.dim() == 4}


def equal(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(),
                                                 other.state_dict().values()))


class Attacks(unittest.TestCase):
    def test_the_net_is_left_alone_and_equal_seeds_agree(self):
        before = NET.state()
        hidden = places(0.2)
        for attack in (lambda: attacks.reestimate_batchnorm(NET.module, GIVEN.inputs),
                       lambda: attacks.zero_fill(NET.module, hidden),
                       lambda: attacks.mean_fill(NET.module, hidden),
                       lambda: attacks.random_fill(NET.module, hidden, 3),
                       lambda: attacks.complete(NET.module, hidden, attacks.STRENGTHS["quick"]),
                       lambda: attacks.zero_outliers(NET.module),
                       lambda: attacks.prune(NET.module, 0.5),
                       lambda: attacks.fine_tune(NET.module, GIVEN.inputs, GIVEN.targets, 2),
                       lambda: attacks.fine_tune(NET.module, GIVEN.inputs, GIVEN.targets, 2,
                                                 hidden=hidden),
                       lambda: attacks.from_scratch(NET.module, GIVEN.inputs, GIVEN.targets, 2)):
            first = attack()
            self.assertTrue(equal(first, attack()))
            self.assertFalse(first.training)
            for name, value in NET.state().items():
                self.assertTrue(torch.equal(value, before[name]), name)

    def test_fills_touch_hidden_places_alone(self):
        hidden = places(0.3)
        for filled in (attacks.zero_fill(NET.module, hidden), attacks.mean_fill(NET.module, hidden),
                       attacks.random_fill(NET.module, hidden, 1),
                       attacks.complete(NET.module, hidden, attacks.STRENGTHS["quick"])):
            for name, value in filled.state_dict().items():
                true = NET.module.state_dict()[name]
                same = ~hidden.get(name, torch.zeros(value.shape, dtype=torch.bool))
                self.assertTrue(torch.equal(value[same], true[same]), name)
            self.assertFalse(equal(filled, NET.module))

    def test_means_are_those_of_what_is_public_in_the_row(self):
        layer = torch.nn.Linear(3, 2, bias=False)
        with torch.no_grad():
            layer.weight.copy_(torch.tensor([[1.0, 3.0, 50.0], [60.0, 70.0, 80.0]]))
        hidden = {"weight": torch.tensor([[False, False, True], [True, True, True]])}
        filled = attacks.mean_fill(layer, hidden).weight.tolist()
        self.assertEqual(filled, [[1, 3, 2], [2, 2, 2]])

    def test_a_matrix_of_low_rank_is_completed(self):
        layer = torch.nn.Linear(40, 30, bias=False)
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            layer.weight.copy_(torch.randn(30, 2, generator=generator)
                               @ torch.randn(2, 40, generator=generator))
        hidden = {"weight": torch.rand(30, 40, generator=generator) < 0.1}
        error = {}
        for name, filled in (("zeros", attacks.zero_fill(layer, hidden)),
                             ("low rank", attacks.complete(layer, hidden))):
            error[name] = float((filled.weight - layer.weight)[hidden["weight"]].norm())
        self.assertLess(error["low rank"], 0.5 * error["zeros"])

    def test_batchnorm_is_measured_again(self):
        broken = NET.with_state({"1.running_mean": torch.full((8,), 9.0),
                                 "1.running_var": torch.full((8,), 99.0)})
        low = quality(broken.module)
        high = quality(attacks.reestimate_batchnorm(broken.module, GIVEN.inputs))
        self.assertLess(low + 20, high)
        repaired = attacks.reestimate_batchnorm(broken.module, GIVEN.inputs, batch=199)
        self.assertGreater(quality(repaired), low + 20)    # a last batch of one

    def test_the_filter_zeroes_what_stands_out(self):
        state = NET.state()
        state["3.weight"][0, 0, 0, 0] = 1e30
        state["3.weight"][1, 0, 0, 0] = float("nan")
        state["4.running_var"][0] = -1.0
        filtered = attacks.zero_outliers(NET.with_state(state).module).state_dict()
        self.assertEqual(float(filtered["3.weight"][0, 0, 0, 0]), 0)
        self.assertEqual(float(filtered["3.weight"][1, 0, 0, 0]), 0)
        self.assertGreater(float(filtered["4.running_var"][0]), 0)
        self.assertTrue(torch.equal(filtered["3.weight"][2:], state["3.weight"][2:]))

    def test_pruning_takes_the_smallest(self):
        for share in (0.0, 0.25, 1.0):
            weight = attacks.prune(NET.module, share).state_dict()["3.weight"]
            self.assertEqual(int((weight == 0).sum()), int(share * weight.numel()))
        kept = attacks.prune(NET.module, 0.5).state_dict()["3.weight"].abs()
        self.assertGreaterEqual(float(kept[kept > 0].min()),
                                float(NET.module.state_dict()["3.weight"].abs().median()) * 0.99)

    def test_training_hidden_slots_leaves_the_rest(self):
        hidden = places(0.3)
        tuned = attacks.fine_tune(NET.module, GIVEN.inputs, GIVEN.targets, 3, hidden=hidden)
        for name, value in tuned.state_dict().items():
            true = NET.module.state_dict()[name]
            public = ~hidden.get(name, torch.zeros(value.shape, dtype=torch.bool))
            self.assertTrue(torch.equal(value[public], true[public]), name)
        self.assertFalse(equal(tuned, NET.module))

    def test_training_repairs(self):
        ruined = attacks.zero_fill(NET.module, places(0.4))
        tuned = attacks.fine_tune(ruined, GIVEN.inputs, GIVEN.targets, 60)
        self.assertGreater(quality(tuned), quality(ruined) + 15)

    def test_what_explodes_is_given_back(self):
        state = NET.state()
        state["0.weight"][:] = float("nan")
        tuned = attacks.fine_tune(NET.with_state(state).module, GIVEN.inputs, GIVEN.targets, 2)
        self.assertTrue(torch.isnan(tuned.state_dict()["0.weight"]).all())

    def test_next_tokens_are_the_target_of_language(self):
        logits = torch.full((1, 3, 5), -20.0)
        tokens_of = torch.tensor([[4, 2, 3]])
        logits[0, 0, 2] = logits[0, 1, 3] = 20.0
        self.assertLess(float(attacks.task_loss(logits, tokens_of)), 1e-6)

    def test_bad_calls(self):
        for call in (lambda: attacks.prune(NET.module, 1.5),
                     lambda: attacks.zero_outliers(NET.module, 0),
                     lambda: attacks.zero_fill(NET.module, {"none": torch.ones(1)}),
                     lambda: attacks.zero_fill(NET.module, {"0.weight": torch.ones(1)}),
                     lambda: attacks.reestimate_batchnorm(NET.module, GIVEN.inputs[:1]),
                     lambda: attacks.fine_tune(NET.module, GIVEN.inputs, GIVEN.targets[:5])):
            with self.assertRaises(UsageError):
                call()

    def test_the_published_statistics_pull(self):
        matcher = batchnorm.Matcher(NET.module)
        with torch.no_grad():
            NET.module(GIVEN.inputs)
            near = float(matcher.distance())
            NET.module(GIVEN.inputs * 5 + 1)
            far = float(matcher.distance())
        matcher.remove()
        self.assertLess(near * 3, far)


class Perturbation(unittest.TestCase):
    def test_few_parameters_in_range_ruin_it(self):
        plan = perturb.Plan(budget=30, step=0.3, moves=60)
        locked = perturb.perturb(NET.module, GIVEN.inputs, GIVEN.targets, plan)
        self.assertLess(quality(locked.module), quality(NET.module) - 25)
        self.assertLessEqual(len(locked.original), 30)
        self.assertEqual(locked.losses, sorted(locked.losses))
        true, changed = NET.module.state_dict(), 0
        for name, value in locked.module.state_dict().items():
            different = value != true[name]
            changed += int(different.sum())
            if different.any():
                self.assertTrue(torch.equal(different, locked.positions()[name]), name)
                self.assertLess(float(value.max()), float(true[name].max()) + 1e-6)
                self.assertGreater(float(value.min()), float(true[name].min()) - 1e-6)
        self.assertEqual(changed, len(locked.original))
        for (name, index), value in locked.original.items():
            self.assertEqual(float(true[name].view(-1)[index]), value)

    def test_targets_stop_it(self):
        given = (NET.module, GIVEN.inputs, GIVEN.targets)
        first = perturb.perturb(*given, perturb.Plan(moves=40))
        goal = first.losses[2]
        stopped = perturb.perturb(*given, perturb.Plan(moves=40, target_loss=goal))
        self.assertEqual(stopped.losses, first.losses[:3])
        none = perturb.perturb(*given, perturb.Plan(target_accuracy=100.0))
        self.assertEqual((none.original, len(none.losses)), ({}, 1))

    def test_by_lot_it_spreads(self):
        plan = perturb.Plan(budget=12, pick="random", share=3, moves=40, seed=4)
        locked = perturb.perturb(NET.module, GIVEN.inputs, GIVEN.targets, plan)
        self.assertGreater(locked.tensors, 1)
        self.assertLessEqual(len(locked.original), 12)

    def test_bad_calls(self):
        for plan in (perturb.Plan(budget=0), perturb.Plan(step=0), perturb.Plan(margin=0.5),
                     perturb.Plan(pick="best")):
            with self.assertRaises(UsageError):
                perturb.perturb(NET.module, GIVEN.inputs, GIVEN.targets, plan)
        with self.assertRaises(UsageError):
            perturb.perturb(NET.module, GIVEN.inputs, GIVEN.targets, names=["none"])


class Detection(unittest.TestCase):
    def setUp(self):
        generator = np.random.default_rng(0)
        low = generator.normal(size=(40, 4)) @ generator.normal(size=(4, 40 * 9))
        self.values = low.reshape(40, 40, 3, 3)
        self.hidden = np.sort(generator.choice(1600, 240, replace=False))
        self.generator = generator

    def figures(self, values: np.ndarray) -> dict:
        one = detect.sample("w", values, "slice", {0: self.hidden[:120], 1: self.hidden[120:]})
        return detect.tier_figures([one], 1)

    def test_noise_among_structure_is_found(self):
        values = self.values.copy()
        shape = values.reshape(1600, 9)
        shape[self.hidden] = self.generator.normal(size=(240, 9)) * shape.std()
        found = self.figures(values)
        self.assertGreater(found["single"]["auc"], 0.85)
        self.assertGreater(found["trained"], 0.85)
        self.assertGreater(found["transfer"], 0.8)
        self.assertLess(found["noise"]["trained"], 0.62)

    def test_what_is_unchanged_is_not(self):
        found = self.figures(self.values)
        self.assertLess(found["trained"], 0.62)
        self.assertLess(found["transfer"], 0.62)

    def test_stumps_learn(self):
        inputs = self.generator.uniform(size=(600, 3))
        labels = inputs[:, 1] > 0.6
        for model in (boosting.Stumps(), boosting.classifier()):
            model.fit(inputs[:400], labels[:400])
            self.assertGreater(detect.auc(model.score(inputs[400:]), labels[400:]), 0.98)

    def test_areas(self):
        marked = np.array([True, True, False, False])
        self.assertEqual(detect.auc(np.array([3.0, 2, 1, 0]), marked), 1)
        self.assertEqual(detect.auc(np.array([0.0, 1, 2, 3]), marked), 0)
        self.assertEqual(detect.auc(np.zeros(4), marked), 0.5)

    def test_features_are_finite_for_all_units(self):
        odd = self.values.copy()
        odd[0, 0] = np.nan
        odd[1] = 0
        for kind, count in (("slice", 1600), ("row", 40), ("column", 3), ("element", 14400),
                            ("block", 225), ("tensor", 1)):
            _, found = features.names_and_values(odd, kind)
            self.assertEqual(len(found), count, kind)
            self.assertTrue(np.isfinite(found).all(), kind)


class Positions(unittest.TestCase):
    def test_units_cover_elements(self):
        row = {"unit": "slice", "unit_count": 6, "hidden": 3, "runs": [[0, 1], [5, 5]]}
        mask = levels.elements(row, (2, 3, 2, 2))
        self.assertEqual(mask.flatten(2).all(2).tolist(),
                         [[True, True, False], [False, False, True]])
        row = {"unit": "column", "unit_count": 3, "hidden": 1, "runs": [[1, 1]]}
        self.assertEqual(levels.elements(row, (2, 3)).tolist(), [[False, True, False]] * 2)
        row = {"unit": "block", "unit_count": 2, "hidden": 1, "runs": [[1, 1]]}
        self.assertEqual(int(levels.elements(row, (70,)).sum()), 6)
        for bad in ({"unit": "row", "unit_count": 3}, {"unit": "what", "unit_count": 2},
                    {"unit": "element", "unit_count": 1}):
            with self.assertRaises(CorruptError):
                levels.elements(bad | {"hidden": 1, "runs": [[1, 1]]}, (2, 3))


class DeepLock(unittest.TestCase):
    KEY = bytes(range(32))
    TRUE = bytes(range(256)) * 300

    def lock(self) -> bytes:
        parts = []
        for start in range(0, len(self.TRUE), deeplock.BLOCK):
            true = np.frombuffer(self.TRUE[start:start + deeplock.BLOCK], np.uint8)
            key = deeplock.block_key(self.KEY, start // deeplock.BLOCK)
            parts.append(deeplock.SBOX[true ^ deeplock.schedule(key, len(true))].tobytes())
        return b"".join(parts)

    def test_vectors_of_the_specification(self):
        locked = self.lock()
        self.assertEqual(locked[:16].hex(), "dbd7b9f41b4f412ffd4617b797847ab3")
        self.assertEqual(locked[65528:65536].hex(), "89284740f8ea22c2")
        self.assertEqual(locked[65536:65552].hex(), "e296cfe3e2d2db3f705e3ff51a815291")
        self.assertEqual(deeplock.unlock(self.KEY, locked), self.TRUE)

    def test_32_known_bytes_open_a_block(self):
        locked = self.lock()[:deeplock.BLOCK]
        for offset in (0, 32, 4096, deeplock.BLOCK - 32):
            key = deeplock.recover(locked, self.TRUE[offset:offset + 32], offset)
            self.assertEqual(key, deeplock.block_key(self.KEY, 0))
        with self.assertRaises(UsageError):
            deeplock.recover(locked, self.TRUE[:16], 0)
        with self.assertRaises(UsageError):
            deeplock.recover(locked, self.TRUE[:32], 5)


class Tokens(unittest.TestCase):
    def write(self, pieces: list, cut: int = 0) -> str:
        data = struct.pack("<I", 7) + b"".join(struct.pack("<fI", score, len(piece)) + piece
                                               for piece, score in pieces)
        path = os.path.join(self.folder.name, "tok.bin")
        with open(path, "wb") as stream:
            stream.write(data[:len(data) - cut])
        return path

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.pieces = [(b"<unk>", 0), (b"\n<s>\n", 0), (b"\n</s>\n", 0), (b"<0x21>", 0), (b" ", -9),
                       (b"a", -8), (b"b", -7), (b"ab", -1), (b" ab", -2), (b"ba", -3)]

    def test_text_comes_back(self):
        tokenizer = tokens.Tokenizer.load(self.write(self.pieces))
        self.assertEqual(tokenizer.encode("abba!"), [1, 8, 9, 3])
        self.assertEqual(tokenizer.decode([1, 8, 9, 3, 1, 5]), "abba!")

    def test_a_cut_file_is_told(self):
        with self.assertRaises(CorruptError):
            tokens.Tokenizer.load(self.write(self.pieces, 1))


class Documents(unittest.TestCase):
    def test_json_has_no_infinities(self):
        self.assertEqual(evaluate.finite({"a": [float("inf"), 1.23456789]}),
                         {"a": [None, 1.23457]})

    def test_sample_counts(self):
        self.assertEqual(evaluate.counts("60,6,60"), [6, 60])
        for bad in ("1", "x", "2,-3"):
            with self.assertRaises(UsageError):
                evaluate.counts(bad)


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
