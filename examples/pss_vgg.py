#!/usr/bin/python3
"""Which kernel slices of a VGG to hide: learnt gates against simpler choices, on Fashion-MNIST.

Packs the network again and again with the real lmodel, hiding 0.05 to 20 % of its kernel slices,
chosen by learnt gates (plain, and with the repairer in the loss), size, Wanda, and at random; with
the budget shared over the model and equally over layers. Takes each archive out without a key and
with it, and tells: accuracy without a key; with the key, bit for bit; after repair without labels
(BatchNorm measured again, hidden slices at zero or left as shown); after fine-tuning with 1 % and
10 % of the labels; and beside it what those labels give from scratch.

Whoever attacks is told the positions here, which the archive does not tell.

Without Fashion-MNIST: a small network, trained on the spot on made-up images.
"""

import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))
import report  # noqa: E402  (sets the path to the package)
from locker import Locker  # noqa: E402

import torch  # noqa: E402

from lmodel.protect import attacks, data, nets, pss, quality, scores, training, wanda  # noqa: E402
from lmodel.protect.progress import bar  # noqa: E402

MODEL = "models/vgg_fmnist.safetensors"
SELECTIONS = ("pss", "pss robust", "magnitude", "wanda", "random")
CHOOSES = {"pss": "pss", "pss robust": "pss", "wanda": "magnitude"}  # those with score files
SCOPES = ("model", "equal")
FULLY_HIDDEN = 0.95  # of a layer: zeros cannot be trained from, so the attacker draws values


class Plan:
    """How much is done: the full run, or --small."""

    def __init__(self, small: bool):
        self.fractions = (1, 8) if small else (0.05, 0.5, 1, 4, 8, 20)
        self.tuned = (8,) if small else (8, 20)       # % of slices at which 1 % fine-tunes
        self.tuned_more = () if small else (8,)       # and 10 %
        self.tests = 300 if small else 600
        self.unlabelled = 300 if small else 600
        self.gate_steps = 40 if small else 150
        self.gate_images = 500 if small else 2000
        self.labels = 200 if small else 600           # 1 %
        self.steps = 30 if small else 90
        self.labels_more = 6000
        self.steps_more = 200
        self.floors = ("intact, fine-tuned, 1 %", "from scratch, 1 %") + \
            (() if small else ("from scratch, 10 %",))

    def tunes(self, scope: str, selection: str) -> bool:
        """Whether to fine-tune: the costly part, left out where it tells least."""
        return scope == "equal" or selection.startswith("pss")

    def tunes_more(self, scope: str, selection: str) -> bool:
        """The same for 10 % of the labels."""
        return (scope, selection) in (("model", "pss"), ("equal", "pss"), ("equal", "magnitude"),
                                      ("equal", "random"))


class Bench:
    """The network, its data, and what is done to every archive."""

    def __init__(self, plan: Plan, seed: int):
        self.plan, self.seed = plan, seed
        if data.available("fmnist", MODEL):
            self.net = nets.load(data.find(MODEL))
        else:
            self.net = training.small("vgg", seed)
        more = max(plan.labels_more if plan.tuned_more else 0, plan.labels, plan.gate_images)
        self.images, self.labels = data.images(self.net.data, "train", more)
        # Those who attack have other images than those who protect, as far as there are any.
        self.attack_images, self.attack_labels = self.images.flip(0), self.labels.flip(0)
        self.tests = data.images(self.net.data, "test", plan.tests)
        self.names = [name for name, layer in self.net.weights().items()
                      if layer.weight.dim() == 4]
        self.truth = self.net.state()

    def accuracy(self, module: torch.nn.Module) -> float:
        return quality.accuracy(self.net.with_module(module), *self.tests)

    def hidden(self, base: nets.Net) -> dict[str, torch.Tensor]:
        """The places (names of the module) where a base differs from the truth."""
        state = base.state()
        return {self.net.inner(name): state[name] != self.truth[name] for name in self.names
                if bool((state[name] != self.truth[name]).any())}

    def repaired(self, base: nets.Net, hidden: dict) -> tuple[float, float]:
        """Accuracy with BatchNorm measured again: hidden slices at zero, and as they are."""
        unlabelled = self.attack_images[:self.plan.unlabelled]
        zeros = attacks.zero_fill(base.module, hidden)
        return tuple(self.accuracy(attacks.reestimate_batchnorm(module, unlabelled))
                     for module in (zeros, base.module))

    def fine_tuned(self, base: nets.Net, hidden: dict, count: int, steps: int) -> float:
        """Accuracy after training all parameters with `count` labels."""
        full = {name: places for name, places in hidden.items()
                if places.float().mean() > FULLY_HIDDEN}
        start = attacks.zero_fill(base.module, hidden)
        start = attacks.random_fill(start, full, self.seed)
        tuned = attacks.fine_tune(start, self.attack_images[:count], self.attack_labels[:count],
                                  steps, self.seed)
        return self.accuracy(tuned)

    def from_scratch(self, count: int, steps: int) -> float:
        """Accuracy of a new network after twice as many steps with the same labels."""
        module = attacks.from_scratch(self.net.module, self.attack_images[:count],
                                      self.attack_labels[:count], 2 * steps, self.seed)
        return self.accuracy(module)


def learn(label: str, folder: Path) -> None:
    """Writes the score file of a selection."""
    bench, path = _BENCH[0], folder / f"{label}.scores"
    plan, net = bench.plan, bench.net
    images, labels = bench.images[:plan.gate_images], bench.labels[:plan.gate_images]
    if label == "wanda":
        scores.save(path, net, "wanda", wanda.measure(net, bench.names, images))
        return
    robust = label == "pss robust"
    # Against a repairer gates have to shut for good now and then: scaled ones he scales back.
    settings = pss.Settings(steps=plan.gate_steps, robust="fill" if robust else "none",
                            sampled=robust, seed=bench.seed)
    scores.save(path, net, "pss", pss.learn(net, bench.names, images, labels, settings))


def floor(name: str) -> float:
    """What labels give by themselves, and what fine-tuning does to the intact network."""
    bench, plan = _BENCH[0], _BENCH[0].plan
    if name == "intact, fine-tuned, 1 %":
        return bench.fine_tuned(bench.net, {}, plan.labels, plan.steps)
    if name == "from scratch, 1 %":
        return bench.from_scratch(plan.labels, plan.steps)
    return bench.from_scratch(plan.labels_more, plan.steps_more)


def one(scope: str, selection: str, fraction: float, folder: Path) -> dict:
    """Packs, takes out, attacks: one row of figures."""
    bench, plan = _BENCH[0], _BENCH[0].plan
    options = ["--scope", scope, "--select", CHOOSES.get(selection, selection)]
    if selection in CHOOSES:
        options += ["--scores", str(folder / f"{selection}.scores")]
    options += [f"--include={name}" for name in bench.names]
    with Locker(bench.seed) as locker:
        archive = locker.pack(folder / "model.safetensors", {"full": f"{fraction}%"}, *options)
        size = archive.stat().st_size
        base = nets.load(locker.extract(archive))
        opened = nets.load(locker.extract(archive, "full")).state()
    hidden = bench.hidden(base)
    zero, shown = bench.repaired(base, hidden)
    row = {"bytes": size,
           "exact with key": all(torch.equal(opened[name], bench.truth[name])
                                 for name in bench.truth),
           "hidden by layer": {name: round(100 * hidden[inner].float().mean().item(), 2)
                               if (inner := bench.net.inner(name)) in hidden else 0.0
                               for name in bench.names},
           "raw": bench.accuracy(base.module), "repaired, zeros": zero, "repaired, as is": shown}
    if plan.tunes(scope, selection) and fraction in plan.tuned:
        row["fine-tuned, 1 %"] = bench.fine_tuned(base, hidden, plan.labels, plan.steps)
    if plan.tunes_more(scope, selection) and fraction in plan.tuned_more:
        row["fine-tuned, 10 %"] = bench.fine_tuned(base, hidden, plan.labels_more,
                                                   plan.steps_more)
    return row


def tables(out: report.Report, plan: Plan, rows: dict, clean: float, floor: dict) -> None:
    """The figures as tables, and as a picture."""
    def table(key: str, title: str, value, fractions=plan.fractions) -> None:
        cells = [[f"{selection}, {scope}"] + [value(rows[scope, selection, fraction])
                                              for fraction in fractions]
                 for scope in SCOPES for selection in SELECTIONS]
        out.table(key, title, ["selection, scope"] + [f"{f} %" for f in fractions], cells)

    def repaired(row: dict) -> float:
        return max(row["raw"], row["repaired, zeros"], row["repaired, as is"])

    table("raw", f"Accuracy in % without a key (clean: {clean:.1f})", lambda row: row["raw"])
    table("repaired", "After repair without labels: the best of not, zeros, and as is", repaired)
    table("tuned", f"After fine-tuning with {plan.labels} labels "
          f"(from scratch: {floor['from scratch, 1 %']:.1f})",
          lambda row: row.get("fine-tuned, 1 %"), plan.tuned)
    if plan.tuned_more:
        table("tuned_more", f"After fine-tuning with {plan.labels_more} labels "
              f"(from scratch: {floor['from scratch, 10 %']:.1f})",
              lambda row: row.get("fine-tuned, 10 %"), plan.tuned_more)
    panels = []
    for scope in SCOPES:
        for title, value in (("without a key", lambda row: row["raw"]),
                             ("after repair without labels", repaired)):
            panels.append({
                "title": f"{title}; --scope {scope}", "x": "kernel slices hidden, %",
                "y": "accuracy, %", "log": True, "ticks": plan.fractions, "ylim": (0, 100),
                "levels": {"clean": clean},
                "lines": {s: (plan.fractions, [value(rows[scope, s, f]) for f in plan.fractions])
                          for s in SELECTIONS}})
    out.lines(panels)


_BENCH: list[Bench] = []  # of this process


def _start(small: bool, seed: int) -> None:
    """Begins a process that works: each has the network and the data."""
    torch.set_num_threads(1)
    _BENCH.append(Bench(Plan(small), seed))


def main() -> int:
    """Runs the example; fails when an archive is not exact with its key."""
    parser = report.options(__doc__)
    parser.add_argument("--jobs", type=int, default=2, metavar="N",
                        help="processes of one thread (default: %(default)s)")
    args = parser.parse_args()
    out = report.Report("pss_vgg", args)
    _start(args.small, args.seed)
    bench, plan = _BENCH[0], _BENCH[0].plan
    clean = bench.accuracy(bench.net.module)
    out.put(data=bench.net.data, source=bench.net.metadata.get("source", MODEL),
            test_images=len(bench.tests[1]), clean=clean,
            slices={name: bench.truth[name].shape[:2].numel() for name in bench.names})
    pool = ProcessPoolExecutor(max(1, args.jobs), get_context("spawn"), _start,
                               (args.small, args.seed))
    with TemporaryDirectory(prefix="lmodel-example-") as name, pool:
        folder = Path(name)
        nets.save(bench.net, folder / "model.safetensors")
        learnt = [pool.submit(learn, label, folder) for label in CHOOSES]
        floors = {name: pool.submit(floor, name) for name in plan.floors}
        for job in bar(learnt, "scores"):
            job.result()
        out.note("scores are learnt")
        jobs = {(scope, selection, fraction): pool.submit(one, scope, selection, fraction, folder)
                for scope in SCOPES for selection in SELECTIONS for fraction in plan.fractions}
        rows = {}
        for cell, job in bar(jobs.items(), "archives", len(jobs)):
            row = rows[cell] = job.result()
            out.note(f"{cell[1]}, {cell[0]}, {cell[2]} %: raw {row['raw']:.1f}, repaired "
                     f"{row['repaired, zeros']:.1f} / {row['repaired, as is']:.1f}, fine-tuned "
                     f"{row.get('fine-tuned, 1 %', '-')}")
        floors = {name: job.result() for name, job in floors.items()}
    exact = all(row["exact with key"] for row in rows.values())
    out.put(floors=floors, exact_with_key=exact,
            archives=[{"scope": scope, "selection": selection, "hidden_percent": fraction, **row}
                      for (scope, selection, fraction), row in rows.items()])
    tables(out, plan, rows, clean, floors)
    print(f"with the key: {'all' if exact else 'NOT all'} {len(rows)} archives bit for bit; "
          f"intact and fine-tuned with {plan.labels} labels: "
          f"{floors['intact, fine-tuned, 1 %']:.1f} %")
    out.write()
    return 0 if exact else 1


if __name__ == "__main__":
    sys.exit(main())
