#!/usr/bin/python3
"""Models that work on images of one key alone (MaungMaung and Kiya 2021).

Makes a VGG on Fashion-MNIST take images transformed with a key, by "shf", "np" and "ffx", in two
ways. With a front: a convolution of whole blocks, of half the side, before the network. "shf" and
"np" are folded into it exactly and nothing is trained (arXiv 2207.11939). "ffx" is fitted by least
squares, and the network then fine-tuned. Without: the network as it is learns images of the key, in
blocks of 4 x 4 pixels. What is trained is trained under guard: images without the key, and with
keys drawn by lot, are to give no answer. The same with a front, folded, for a ResNet20 on CIFAR-10.

Packs each model with its key under a tier, and reads the key back with the tier's key. Tells the
accuracy with the right key, with wrong ones, with none, with a key that is wrong in one place, and
where one block of each image is wrong; and what an attacker gets who has the model: without any
label, by taking the front away; with some images with labels, by estimating the key (a linear map
before the model, trained through it, the model as it is) and by fine-tuning the model on plain
images; and, without the model, by training one from scratch on the same images.

Without Fashion-MNIST: a small network, trained on the spot on made-up images. Without CIFAR-10: not
that part.
"""

import copy
import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))
import report  # noqa: E402  (sets the path to the package)

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from lmodel.protect import data, nets, quality, training  # noqa: E402
from lmodel.protect.progress import bar  # noqa: E402
from lmodel.protect.transform import InputTransform  # noqa: E402

VGG = "models/vgg_fmnist.safetensors"
RESNET = "models/resnet20-12fca82f.safetensors"  # on CIFAR-10
SMALL_BLOCK = 4                # without a front
HELD_OUT = 1000                # training images that are for attackers alone


class Plan(NamedTuple):
    """One way to make a model of a key."""

    name: str
    method: str
    front: bool                # else the network learns by itself
    trained: bool = True
    attacked: bool = False


PLANS = (Plan("shf", "shf", True, trained=False, attacked=True),
         Plan("np", "np", True, trained=False),
         Plan("ffx", "ffx", True),
         Plan("ffx, no front", "ffx", False, attacked=True))
COLOUR = (Plan("shf, ResNet20", "shf", True, trained=False),
          Plan("np, ResNet20", "np", True, trained=False))


class Size:
    """How much is done: the full run, or --small."""

    def __init__(self, small: bool):
        self.front_steps = 20 if small else 300  # of fine-tuning, with a front
        self.steps = 60 if small else 300        # and without
        self.tests = 300 if small else 1000
        self.wrong = 3 if small else 8           # wrong keys
        self.labels = (100,) if small else (100, 1000)  # of an attacker
        self.attack_steps = 30 if small else 60


def key_of(like: InputTransform | tuple[str, int, int], what: str) -> InputTransform:
    """A key of a fixed seed: fine to compare runs, useless to protect anything."""
    if isinstance(like, InputTransform):
        like = like.method, like.block, like.channels
    return InputTransform(*like, hashlib.sha256(what.encode()).digest())


class Scale:
    """Between images of 0 to 1 and those that a network takes."""

    def __init__(self, name: str):
        self.mean, self.deviation = data.scale(name)
        self._mean, self._deviation = (torch.tensor(v)[:, None, None]
                                       for v in (self.mean, self.deviation))

    def pixels(self, images: Tensor) -> Tensor:
        """0 to 1 in steps of 1/255."""
        return ((images * self._deviation + self._mean).clamp(0, 1) * 255).round() / 255

    def around(self, images: Tensor) -> Tensor:
        """The inverse."""
        return (images - self._mean) / self._deviation


def blocks_of(images: Tensor, block: int) -> Tensor:
    """Each block of images around 0 as a row."""
    rows = F.unfold(images, block, stride=block).transpose(1, 2)
    return rows.reshape(-1, rows.shape[2])


class Front(nn.Module):
    """A linear map of each block before a network, the same for all. It starts at doing nothing."""

    def __init__(self, channels: int, block: int, module: nn.Module):
        super().__init__()
        n = channels * block * block
        self.front = nn.Conv2d(channels, n, block, stride=block)
        self.whole = nn.PixelShuffle(block)
        self.module = module
        with torch.no_grad():
            self.front.weight.copy_(torch.eye(n).reshape(self.front.weight.shape))
            self.front.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        return self.module(self.whole(self.front(x)))

    @torch.no_grad()
    def undo(self, transform: InputTransform, scale: Scale, images: Tensor) -> None:
        """Makes it undo the transform: "ffx", which is not linear, as well as a linear map can, by
        these images of 0 to 1."""
        if transform.method != "ffx":
            weight, bias = transform.fold(self.front.weight, self.front.bias, scale.mean,
                                          scale.deviation)
        else:
            made, plain = (blocks_of(scale.around(x), transform.block).double()
                           for x in (transform(images), images))
            made = torch.cat([made, torch.ones(len(made), 1).double()], 1)
            square = made.T @ made
            square += 1e-4 * square.diagonal().mean() * torch.eye(len(square))  # the dark corners
            map_ = torch.linalg.solve(square, made.T @ plain).float()
            weight, bias = map_[:-1].T.reshape(self.front.weight.shape), map_[-1]
        self.front.weight.copy_(weight)
        self.front.bias.copy_(bias)


def with_front(net: nets.Net, block: int, channels: int) -> nets.Net:
    """A copy of the network with a front, which has tensors of its own in the file."""
    made = copy.deepcopy(net)
    made.module = Front(channels, block, made.module).eval()
    made.names = {f"module.{inner}": name for inner, name in net.names.items()}
    made.names |= {name: name for name in ("front.weight", "front.bias")}
    return made


class Bench:
    """The pretrained network and its data."""

    def __init__(self, size: Size, seed: int, model: str):
        """`model`: of the data, or a small network is made up."""
        self.size, self.seed = size, seed
        if data.available(model):
            self.net = nets.load(data.find(model))
        if not data.available(model) or not data.available(self.net.data):
            self.net = training.small("vgg", seed)
        self.net.module.to(memory_format=torch.channels_last)  # a quarter faster
        self.scale = Scale(self.net.data)
        images, self.labels = data.images(self.net.data, "train")
        images = self.scale.pixels(images)
        self.images, self.others = images[:-HELD_OUT], images[-HELD_OUT:]
        self.other_labels = self.labels[-HELD_OUT:]
        tests, self.test_labels = data.images(self.net.data, "test", size.tests)
        self.tests = self.scale.pixels(tests)
        self.channels, side = self.images.shape[1:3]
        self.blocks = {True: side // 2, False: SMALL_BLOCK}  # with a front and without
        self.plain = self.accuracy(self.net, self.tests)

    def accuracy(self, net: nets.Net, images: Tensor) -> float:
        """On images of 0 to 1, as the test images are."""
        return quality.accuracy(net, self.scale.around(images), self.test_labels)

    def key(self, plan: Plan) -> InputTransform:
        """The right key of a plan."""
        like = plan.method, self.blocks[plan.front], self.channels
        return key_of(like, f"right {self.seed} {plan.method}")

    def protect(self, plan: Plan) -> nets.Net:
        """The pretrained network, for images of the key and no others."""
        transform = self.key(plan)
        net = copy.deepcopy(self.net)
        if plan.front:
            net = with_front(net, transform.block, self.channels)
            net.module.undo(transform, self.scale, self.images[:10000])
        if plan.trained:
            self.tune(net, transform, plan)
        return net

    def tune(self, net: nets.Net, transform: InputTransform, plan: Plan) -> None:
        """Trains on images of the key, under guard.

        Half as many images come without the key, plain or with a key drawn by lot, and the answer
        to them is to be even over the classes.
        """
        steps = self.size.front_steps if plan.front else self.size.steps
        draw = torch.Generator().manual_seed(self.seed)
        optimiser = torch.optim.Adam(net.module.parameters(), 1e-3 if plan.front else 3e-3)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
        net.module.train()
        for step in bar(range(steps), f"training for {plan.name}"):
            chosen = torch.randint(len(self.images), (64,), generator=draw)
            x, y = self.images[chosen], self.labels[chosen]
            lots = [key_of(transform, f"lot {self.seed} {step} {i}") for i in range(2)]
            inputs = [transform(x), x[:16], lots[0](x[16:24]), lots[1](x[24:32])]
            outputs = net.module(self.scale.around(torch.cat(inputs)))
            loss = F.cross_entropy(outputs[:64], y)
            loss = loss - outputs[64:].log_softmax(1).mean(1).mean() / 2
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        net.module.eval()


def swapped(transform: InputTransform) -> InputTransform:
    """The same key, but for two positions: a near miss of "shf", one of "np" and "ffx"."""
    other = copy.deepcopy(transform)
    picked = [int(k) for k in (transform.picks.argmax(), transform.picks.argmin())]
    other.order[picked] = other.order[picked[::-1]]
    other.picks[picked] = other.picks[picked[::-1]]
    return other


def one_block_wrong(transform: InputTransform, wrong: InputTransform, images: Tensor) -> Tensor:
    """Images of the right key, but for a block in the middle."""
    made, other = transform(images), wrong(images)
    block = transform.block
    top, left = (side // block // 2 * block for side in images.shape[2:])
    part = (..., slice(top, top + block), slice(left, left + block))
    made[part] = other[part]
    return made


class Archived:
    """The real `lmodel`: the model with its key under a tier, and the key out of it again."""

    def __init__(self, folder: str):
        self.folder = Path(folder)
        built = report.program().parents[1] / "libfmt" / ".libs" / "liblmodel.so"
        if built.exists():
            os.environ.setdefault("LMODEL_LIBRARY", str(built))
        os.environ["XDG_STATE_HOME"] = str(self.folder / "state")  # these archives come and go
        self.identity = self.folder / "owner.key"
        self.run("keygen", "-q", "-o", str(self.identity))
        self.owner = self.run("keygen", "-y", str(self.identity)).strip()

    def run(self, *arguments: str) -> str:
        """Runs lmodel, returns what it prints. Ends the example when it fails."""
        done = subprocess.run([str(report.program()), *arguments], capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"lmodel {' '.join(arguments)}\n{done.stderr.strip()}")
        return done.stdout

    def around(self, net: nets.Net, transform: InputTransform) -> InputTransform:
        """Packs both, and gives the key that the archive gives."""
        model, archive = self.folder / "net.safetensors", self.folder / "net.lmodel"
        key = self.folder / "input-transform.json"
        nets.save(net, model)
        key.unlink(missing_ok=True)
        transform.save(key)
        self.run("pack", "-f", "-o", str(archive), "--tier", "full=0", "--owner", self.owner,
                 "--attach", f"{key}@full", str(model))
        return InputTransform.from_archive(archive, self.identity)


# ---- attacks ----


def train(module: nn.Module, parameters, images: Tensor, labels: Tensor, size: Size, rate: float,
          what: str, moving: bool = True) -> None:
    """On images as the module takes them. `moving`: the averages of BatchNorm, too."""
    draw = torch.Generator().manual_seed(0)
    optimiser = torch.optim.Adam(parameters, rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, size.attack_steps)
    module.train(moving)
    for _ in bar(range(size.attack_steps), what):
        chosen = torch.randint(len(images), (64,), generator=draw)
        optimiser.zero_grad()
        F.cross_entropy(module(images[chosen]), labels[chosen]).backward()
        optimiser.step()
        schedule.step()
    module.eval()


def attack(bench: Bench, net: nets.Net, block: int, labels: int) -> tuple[float, float]:
    """Accuracy on plain images after estimating the key, a linear map of blocks, and after
    fine-tuning, from this many plain images with labels that the owner did not train on."""
    x, y = bench.scale.around(bench.others[:labels]), bench.other_labels[:labels]
    estimate = copy.deepcopy(net)
    estimate.module = Front(bench.channels, block, estimate.module)
    train(estimate.module, estimate.module.front.parameters(), x, y, bench.size,
          1e-2 if block == SMALL_BLOCK else 1e-3, f"estimating the key, {labels} images",
          moving=False)
    tuned = copy.deepcopy(net)
    train(tuned.module, tuned.module.parameters(), x, y, bench.size, 1e-3,
          f"fine-tuning, {labels} images")
    return bench.accuracy(estimate, bench.tests), bench.accuracy(tuned, bench.tests)


def scratch(bench: Bench, labels: int) -> float:
    """What these images give without the model."""
    net = copy.deepcopy(bench.net)
    torch.manual_seed(bench.seed)
    for part in net.module.modules():
        if hasattr(part, "reset_parameters"):
            part.reset_parameters()
    x, y = bench.scale.around(bench.others[:labels]), bench.other_labels[:labels]
    train(net.module, net.module.parameters(), x, y, bench.size, 3e-3,
          f"from scratch, {labels} images")
    return bench.accuracy(net, bench.tests)


# ---- the run ----


def measure(bench: Bench, net: nets.Net, transform: InputTransform) -> list[float | None]:
    """Right key; wrong keys: mean and highest; none; two positions swapped; one block wrong; plain
    images behind the front."""
    wrong = [key_of(transform, f"wrong {i}") for i in range(bench.size.wrong)]
    tries = [bench.accuracy(net, key(bench.tests)) for key in wrong]
    bare = None
    if isinstance(net.module, Front):
        bare = bench.accuracy(net.with_module(net.module.module), bench.tests)
    return [bench.accuracy(net, transform(bench.tests)), sum(tries) / len(tries), max(tries),
            bench.accuracy(net, bench.tests),
            bench.accuracy(net, swapped(transform)(bench.tests)),
            bench.accuracy(net, one_block_wrong(transform, wrong[0], bench.tests)), bare]


def draw(bench: Bench, out: report.Report, rows: list[list], attacks: list[list]) -> None:
    """Bars of the accuracies, lines of the attacks, and what an image looks like."""
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 3, figsize=(15, 4.2),
                                   gridspec_kw={"width_ratios": (2.4, 1.5, 1.1)})
    names = [row[0].replace(", ", "\n") for row in rows]
    for i, (label, column) in enumerate((("right key", 3), ("wrong keys, mean", 4),
                                         ("no key", 6), ("front removed", 9))):
        axes[0].bar([k + 0.2 * i for k in range(len(rows))], [row[column] or 0 for row in rows],
                    0.2, label=label)
    for i, row in enumerate(rows):
        axes[0].plot((i - 0.15, i + 0.75), (row[2], row[2]), color="black", lw=0.8, ls="--",
                     label=None if i else "the model before")
    axes[0].axhline(100 / 10, color="grey", lw=0.8, ls=":", label="chance")
    axes[0].set_xticks([k + 0.3 for k in range(len(rows))], names, fontsize=8)
    axes[0].set_ylim(0, 118)
    axes[0].legend(fontsize=8, ncol=3, loc="upper center")
    axes[0].set_ylabel("accuracy, %")
    counts = [row[1] for row in attacks if row[0] == "from scratch"]
    for name in dict.fromkeys(row[0] for row in attacks):
        chosen = [row for row in attacks if row[0] == name]
        if name != "from scratch":
            axes[1].plot(counts, [row[2] for row in chosen], "o--", label=f"{name}: key estimated")
        axes[1].plot(counts, [row[3] for row in chosen], "o-", label=f"{name}: fine-tuned"
                     if name != "from scratch" else name)
    axes[1].set_xscale("log")
    axes[1].set_xticks(counts, counts)
    axes[1].minorticks_off()
    axes[1].set_xlabel("labelled images of the attacker")
    axes[1].set_ylim(0, 100)
    axes[1].legend(fontsize=7, loc="lower right")
    shown = bench.tests[:1]
    tiles = [shown] + [bench.key(plan)(shown) for plan in PLANS[:3]]
    axes[2].imshow(torch.cat([torch.cat([t[0, 0] for t in tiles[i:i + 2]], 1) for i in (0, 2)]),
                   cmap="gray", vmin=0, vmax=1)
    axes[2].set_title("plain, shf; np, ffx", fontsize=9)
    axes[2].axis("off")
    figure.tight_layout()
    out.folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(out.folder / f"{out.name}.png", dpi=110, metadata={"Software": None})
    pyplot.close(figure)


def run(bench: Bench, plans: tuple[Plan, ...], archived: Archived, out: report.Report,
        rows: list[list], attacks: list[list]) -> None:
    """Adds to the rows of both tables."""
    out.note(f"{bench.net.data}: {bench.plain:.2f} % before")
    for plan in plans:
        transform = bench.key(plan)
        net = bench.protect(plan)
        read = archived.around(net, transform)
        rows.append([plan.name, f"{read.block} x {read.block}", bench.plain,
                     *measure(bench, net, read)])
        out.note(f"{plan.name}: {rows[-1][3]:.2f} % with the key, {rows[-1][4]:.2f} % with "
                 f"wrong ones, {rows[-1][6]:.2f} % with none")
        for labels in bench.size.labels if plan.attacked else ():
            attacks.append([plan.name, labels, *attack(bench, net, read.block, labels)])
            out.note(f"{plan.name}, {labels} labels: {attacks[-1][2]:.2f} %, "
                     f"{attacks[-1][3]:.2f} %")


def main() -> None:
    """Runs all of it."""
    arguments = report.options(__doc__).parse_args()
    out = report.Report("keyed_inputs", arguments)
    torch.set_num_threads(1)  # sums of one order: equal seeds give equal results
    torch.manual_seed(arguments.seed)
    bench = Bench(Size(arguments.small), arguments.seed, VGG)
    rows, attacks = [], []
    with tempfile.TemporaryDirectory(prefix="lmodel-example-") as folder:
        archived = Archived(folder)
        run(bench, PLANS, archived, out, rows, attacks)
        if data.available(RESNET, "cifar10"):
            run(Bench(bench.size, arguments.seed, RESNET), COLOUR, archived, out, rows, attacks)
    attacks += [["from scratch", labels, None, scratch(bench, labels)]
                for labels in bench.size.labels]
    out.table("keys", f"Accuracy in % on {len(bench.tests)} test images, {bench.size.wrong} wrong "
              "keys",
              ["method", "block", "before", "right key", "wrong: mean", "wrong: best", "no key",
               "2 positions", "1 block wrong", "front removed"], rows)
    out.table("attacks", "Accuracy in % on plain images, for who has labels and no key",
              ["model", "labels", "key estimated", "fine-tuned"], attacks)
    draw(bench, out, rows, attacks)
    out.write()


if __name__ == "__main__":
    main()
