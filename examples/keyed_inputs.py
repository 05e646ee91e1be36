#!/usr/bin/python3
"""Models that work on images of one key alone (MaungMaung and Kiya 2021), on Fashion-MNIST.

Fine-tunes a VGG on images transformed with a key, by "shf", "np" and "ffx" with blocks of 4 x 4
pixels; then, for "np", once more with a guard: images without the key, and with keys drawn by lot,
are to give no answer. Packs each model with its key under a tier, and reads the key
back with the tier's key. Tells the accuracy with the right key, with wrong ones, with none, with a
key that is wrong in one place, and where one block of each image is wrong; and what an attacker
gets who has some images with labels: by estimating the key (a linear map in front of the model,
trained through it, the model as it is), by fine-tuning the model on plain images, and, without the
model, by training one from scratch on the same images.

Without Fashion-MNIST: a small network, trained on the spot on made-up images.
"""

import copy
import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))
import report  # noqa: E402  (sets the path to the package)

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from lmodel.protect import data, nets, quality, training  # noqa: E402
from lmodel.protect.progress import bar  # noqa: E402
from lmodel.protect.transform import InputTransform  # noqa: E402

MODEL = "models/vgg_fmnist.safetensors"
BLOCK = 4
PLANS = (("shf", False), ("np", False), ("ffx", False), ("np", True))
ATTACKED = (("np", False), ("np", True))


class Size:
    """How much is done: the full run, or --small."""

    def __init__(self, small: bool):
        self.steps = 200 if small else 400
        self.tests = 300 if small else 1000
        self.wrong = 3 if small else 4           # wrong keys
        self.labels = (100,) if small else (100, 1000)  # of an attacker
        self.attack_steps = 30 if small else 60


def key_of(method: str, channels: int, what: str) -> InputTransform:
    """A key of a fixed seed: fine to compare runs, useless to protect anything."""
    return InputTransform(method, BLOCK, channels, hashlib.sha256(what.encode()).digest())


def pixels(images: Tensor) -> Tensor:
    """0 to 1 in steps of 1/255, from images that are normalised around 0."""
    return (((images + 0.5).clamp(0, 1) * 255).round() / 255)


class Bench:
    """The pretrained network and its data."""

    def __init__(self, size: Size, seed: int):
        self.size, self.seed = size, seed
        if data.available("fmnist", MODEL):
            self.net = nets.load(data.find(MODEL))
        else:
            self.net = training.small("vgg", seed)
        self.net.module.to(memory_format=torch.channels_last)  # a quarter faster
        images, self.labels = data.images(self.net.data, "train")
        self.images = pixels(images)
        tests, self.test_labels = data.images(self.net.data, "test", size.tests)
        self.tests = pixels(tests)
        self.channels = self.images.shape[1]

    def accuracy(self, net: nets.Net, images: Tensor) -> float:
        """On images of 0 to 1, as the test images are."""
        return quality.accuracy(net, images - 0.5, self.test_labels)

    def protect(self, transform: InputTransform, guard: bool) -> nets.Net:
        """The pretrained network, fine-tuned on images of the key.

        With `guard` half as many images come without it, plain or with a key drawn by lot, and the
        answer to them is to be even over the classes.
        """
        net = copy.deepcopy(self.net)
        draw = torch.Generator().manual_seed(self.seed)
        optimiser = torch.optim.Adam(net.module.parameters(), 3e-3)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, self.size.steps)
        net.module.train()
        for step in bar(range(self.size.steps), f"training for {transform.method}"):
            chosen = torch.randint(len(self.images), (64,), generator=draw)
            x, y = self.images[chosen], self.labels[chosen]
            inputs = [transform(x)]
            if guard:
                lot = key_of(transform.method, self.channels, f"lot {self.seed} {step}")
                inputs += [x[:8], lot(x[8:32])]
            outputs = net.module(torch.cat(inputs) - 0.5)
            loss = F.cross_entropy(outputs[:64], y)
            if guard:
                loss = loss - outputs[64:].log_softmax(1).mean(1).mean() / 2
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        net.module.eval()
        return net


def swapped(transform: InputTransform) -> InputTransform:
    """The same key, but for two positions: a near miss of "shf", one of "np" and "ffx"."""
    other = copy.deepcopy(transform)
    picked = [int(k) for k in (transform.picks.argmax(), transform.picks.argmin())]
    other.order[picked] = other.order[picked[::-1]]
    other.picks[picked] = other.picks[picked[::-1]]
    return other


def one_block_wrong(transform: InputTransform, wrong: InputTransform, images: Tensor) -> Tensor:
    """Images of the right key, but for the block in the middle."""
    made, other = transform(images), wrong(images)
    top, left = (side // BLOCK // 2 * BLOCK for side in images.shape[2:])
    part = (..., slice(top, top + BLOCK), slice(left, left + BLOCK))
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


class Estimate(nn.Module):
    """A linear map of the samples of a block, the same for all blocks: the key as an attacker who
    does not know it writes it down. It starts at doing nothing."""

    def __init__(self, channels: int, module: nn.Module):
        super().__init__()
        n = channels * BLOCK * BLOCK
        self.channels, self.module = channels, module
        self.map = nn.Linear(n, n)
        with torch.no_grad():
            self.map.weight.copy_(torch.eye(n))
            self.map.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        blocks = F.unfold(x, BLOCK, stride=BLOCK).transpose(1, 2)
        made = F.fold(self.map(blocks).transpose(1, 2), (h, w), BLOCK, stride=BLOCK)
        return self.module(made)


def train(module: nn.Module, parameters, images: Tensor, labels: Tensor, size: Size, rate: float,
          what: str, moving: bool = True) -> None:
    """`moving`: the averages of BatchNorm, too."""
    draw = torch.Generator().manual_seed(0)
    optimiser = torch.optim.Adam(parameters, rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, size.attack_steps)
    module.train(moving)
    for _ in bar(range(size.attack_steps), what):
        chosen = torch.randint(len(images), (64,), generator=draw)
        optimiser.zero_grad()
        F.cross_entropy(module(images[chosen] - 0.5), labels[chosen]).backward()
        optimiser.step()
        schedule.step()
    module.eval()


def attack(bench: Bench, net: nets.Net, labels: int) -> tuple[float, float]:
    """Accuracy on plain images after estimating the key, and after fine-tuning, from this many
    plain images with labels."""
    x, y = bench.images[-labels:], bench.labels[-labels:]
    estimate = copy.deepcopy(net)
    estimate.module = Estimate(bench.channels, estimate.module)
    train(estimate.module, estimate.module.map.parameters(), x, y, bench.size, 1e-2,
          f"estimating the key, {labels} images", moving=False)
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
    train(net.module, net.module.parameters(), bench.images[-labels:], bench.labels[-labels:],
          bench.size, 3e-3, f"from scratch, {labels} images")
    return bench.accuracy(net, bench.tests)


# ---- the run ----


def measure(bench: Bench, net: nets.Net, transform: InputTransform) -> list[float]:
    """Right key; wrong keys: mean and highest; none; two positions swapped; one block wrong."""
    wrong = [key_of(transform.method, bench.channels, f"wrong {i}")
             for i in range(bench.size.wrong)]
    tries = [bench.accuracy(net, key(bench.tests)) for key in wrong]
    return [bench.accuracy(net, transform(bench.tests)), sum(tries) / len(tries), max(tries),
            bench.accuracy(net, bench.tests),
            bench.accuracy(net, swapped(transform)(bench.tests)),
            bench.accuracy(net, one_block_wrong(transform, wrong[0], bench.tests))]


def draw(bench: Bench, out: report.Report, rows: list[list], attacks: list[list],
         plain: float) -> None:
    """Bars of the accuracies, lines of the attacks, and what an image looks like."""
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 3, figsize=(15, 4.2),
                                   gridspec_kw={"width_ratios": (2, 1.6, 1.2)})
    names = [row[0] for row in rows]
    for i, (label, column) in enumerate((("right key", 2), ("wrong keys, mean", 3),
                                         ("no key", 5), ("one block wrong", 7))):
        axes[0].bar([k + 0.2 * i for k in range(len(rows))], [row[column] for row in rows], 0.2,
                    label=label)
    axes[0].axhline(plain, color="black", lw=0.8, ls="--", label="the model before")
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
    axes[1].set_xlabel("labelled images of the attacker")
    axes[1].set_ylim(0, 100)
    axes[1].legend(fontsize=7)
    shown = bench.tests[:1]
    tiles = [shown] + [key_of(m, bench.channels, f"right {m}")(shown) for m in ("shf", "np", "ffx")]
    axes[2].imshow(torch.cat([torch.cat([t[0, 0] for t in tiles[i:i + 2]], 1) for i in (0, 2)]),
                   cmap="gray", vmin=0, vmax=1)
    axes[2].set_title("plain, shf; np, ffx", fontsize=9)
    axes[2].axis("off")
    figure.tight_layout()
    out.folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(out.folder / f"{out.name}.png", dpi=110, metadata={"Software": None})
    pyplot.close(figure)


def main() -> None:
    """Runs all of it."""
    arguments = report.options(__doc__).parse_args()
    out = report.Report("keyed_inputs", arguments)
    torch.set_num_threads(1)  # sums of one order: equal seeds give equal results
    torch.manual_seed(arguments.seed)
    bench = Bench(Size(arguments.small), arguments.seed)
    plain = bench.accuracy(bench.net, bench.tests)
    out.note(f"before: {plain:.2f} % on plain images")
    rows, attacks = [], []
    with tempfile.TemporaryDirectory(prefix="lmodel-example-") as folder:
        archived = Archived(folder)
        for method, guard in PLANS:
            transform = key_of(method, bench.channels, f"right {method}")
            net = bench.protect(transform, guard)
            read = archived.around(net, transform)
            name = f"{method}, guarded" if guard else method
            rows.append([name, plain] + measure(bench, net, read))
            out.note(f"{name}: {rows[-1][2]:.2f} % with the key, {rows[-1][3]:.2f} % without")
            if (method, guard) in ATTACKED:
                for labels in bench.size.labels:
                    attacks.append([name, labels, *attack(bench, net, labels)])
                    out.note(f"{name}, {labels} labels: {attacks[-1][2]:.2f} %, "
                             f"{attacks[-1][3]:.2f} %")
    attacks += [["from scratch", labels, None, scratch(bench, labels)]
                for labels in bench.size.labels]
    out.table("keys", f"Accuracy in % on {len(bench.tests)} test images, blocks of "
              f"{BLOCK} x {BLOCK}",
              ["method", "before", "right key", "wrong: mean", "wrong: best", "no key",
               "2 positions", "1 block wrong"], rows)
    out.table("attacks", "Accuracy in % on plain images, for who has labels and no key",
              ["model", "labels", "key estimated", "fine-tuned"], attacks)
    draw(bench, out, rows, attacks, plain)
    out.write()


if __name__ == "__main__":
    main()
