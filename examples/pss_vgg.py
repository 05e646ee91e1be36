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
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))
import report  # noqa: E402  (sets the path to the package)
from locker import Locker  # noqa: E402

import torch  # noqa: E402

from lmodel.protect import attacks, data, nets, pss, quality, scores, training, wanda  # noqa: E402
from lmodel.protect.progress import bar  # noqa: E402

MODEL = "models/vgg_fmnist.safetensors"
SELECTIONS = ("pss", "pss robust", "magnitude", "wanda", "random")
SCOPES = ("model", "equal")
FULLY_HIDDEN = 0.95  # of a layer: zeros cannot be trained from, so the attacker draws values


class Plan:
    """How much is done: the full run, or --small."""

    def __init__(self, small: bool):
        self.fractions = (1, 8) if small else (0.05, 0.5, 1, 4, 8, 20)
        self.tuned = (8,) if small else (1, 8, 20)    # % of slices at which 1 % fine-tunes
        self.tuned_more = () if small else (8,)       # and 10 %
        self.tests = 300 if small else 1000
        self.gate_steps = 40 if small else 150
        self.gate_images = 500 if small else 2000
        self.labels = 200 if small else 600           # 1 %
        self.steps = 45 if small else 90
        self.labels_more = 6000
        self.steps_more = 300


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
        other = nets.Net(module, self.net.kind, self.net.names, self.net.task, self.net.data)
        return quality.accuracy(other, *self.tests)

    def hidden(self, base: nets.Net) -> dict[str, torch.Tensor]:
        """The places (names of the module) where a base differs from the truth."""
        state = base.state()
        return {self.net.inner(name): state[name] != self.truth[name] for name in self.names
                if bool((state[name] != self.truth[name]).any())}

    def repaired(self, base: nets.Net, hidden: dict) -> tuple[float, float]:
        """Accuracy with BatchNorm measured again: hidden slices at zero, and as they are."""
        unlabelled = self.attack_images[:1000]
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
        """Accuracy of a new network after three times as many steps with the same labels."""
        module = attacks.from_scratch(self.net.module, self.attack_images[:count],
                                      self.attack_labels[:count], 3 * steps, self.seed)
        return self.accuracy(module)


def learn(bench: Bench, locker: Locker, out: report.Report) -> dict[str, list[str]]:
    """Writes the score files; returns what each selection tells `lmodel pack`."""
    plan, net = bench.plan, bench.net
    images, labels = bench.images[:plan.gate_images], bench.labels[:plan.gate_images]
    for label, robust in (("pss", "none"), ("pss robust", "fill")):
        # Against a repairer gates have to shut for good now and then: scaled ones he scales back.
        settings = pss.Settings(steps=plan.gate_steps, robust=robust, sampled=robust != "none",
                                seed=bench.seed)
        found = pss.learn(net, bench.names, images, labels, settings)
        scores.save(locker.path(f"{label}.scores"), net, "pss", found)
        out.note(f"{label}: {plan.gate_steps} steps")
    scores.save(locker.path("wanda.scores"), net, "wanda",
                wanda.measure(net, bench.names, images[:1000]))
    by = {"pss": "pss", "pss robust": "pss", "wanda": "magnitude"}
    return {label: ["--select", by.get(label, label)] +
            (["--scores", str(locker.path(f"{label}.scores"))] if label in by else [])
            for label in SELECTIONS}


def one(bench: Bench, locker: Locker, model: Path, options: list[str], scope: str,
        fraction: float) -> dict:
    """Packs, takes out, attacks: one row of figures."""
    plan = bench.plan
    archive = locker.pack(model, {"full": f"{fraction}%"}, "--scope", scope, *options,
                          *[f"--include={name}" for name in bench.names])
    base = nets.load(locker.extract(archive))
    opened = nets.load(locker.extract(archive, "full")).state()
    hidden = bench.hidden(base)
    zero, shown = bench.repaired(base, hidden)
    row = {"bytes": archive.stat().st_size,
           "exact with key": all(torch.equal(opened[name], bench.truth[name])
                                 for name in bench.truth),
           "hidden by layer": {name: round(100 * hidden[inner].float().mean().item(), 2)
                               if (inner := bench.net.inner(name)) in hidden else 0.0
                               for name in bench.names},
           "raw": bench.accuracy(base.module), "repaired, zeros": zero, "repaired, as is": shown}
    if fraction in plan.tuned:
        row["fine-tuned, 1 %"] = bench.fine_tuned(base, hidden, plan.labels, plan.steps)
    if fraction in plan.tuned_more and (scope == "equal" or options[1] == "pss"):
        row["fine-tuned, 10 %"] = bench.fine_tuned(base, hidden, plan.labels_more,
                                                   plan.steps_more)
    return row


def floors(bench: Bench) -> dict[str, float]:
    """What labels give by themselves, and what fine-tuning does to the intact network."""
    plan = bench.plan
    found = {"from scratch, 1 %": bench.from_scratch(plan.labels, plan.steps),
             "intact, fine-tuned, 1 %": bench.fine_tuned(bench.net, {}, plan.labels, plan.steps)}
    if plan.tuned_more:
        found["from scratch, 10 %"] = bench.from_scratch(plan.labels_more, plan.steps_more)
    return found


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
          lambda row: row["fine-tuned, 1 %"], plan.tuned)
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
    for scope in SCOPES:
        panels.append({
            "title": f"fine-tuned with {plan.labels} labels; --scope {scope}",
            "x": "kernel slices hidden, %", "y": "accuracy, %", "log": True,
            "ticks": plan.tuned, "ylim": (60, 100),
            "levels": {"clean": clean, "from scratch": floor["from scratch, 1 %"]},
            "lines": {s: (plan.tuned, [rows[scope, s, f]["fine-tuned, 1 %"] for f in plan.tuned])
                      for s in SELECTIONS}})
    out.lines(panels)


def main() -> int:
    """Runs the example; fails when an archive is not exact with its key."""
    args = report.options(__doc__).parse_args()
    out = report.Report("pss_vgg", args)
    torch.set_num_threads(1)
    plan = Plan(args.small)
    bench = Bench(plan, args.seed)
    clean = bench.accuracy(bench.net.module)
    out.put(data=bench.net.data, source=bench.net.metadata.get("source", MODEL),
            test_images=len(bench.tests[1]), clean=clean,
            slices={name: bench.truth[name].shape[:2].numel() for name in bench.names})
    rows = {}
    with Locker(args.seed) as locker:
        model = locker.path("model.safetensors")
        nets.save(bench.net, model)
        options = learn(bench, locker, out)
        floor = floors(bench)
        out.note("floors: " + ", ".join(f"{k} {v:.1f}" for k, v in floor.items()))
        cells = [(scope, selection, fraction) for scope in SCOPES for selection in SELECTIONS
                 for fraction in plan.fractions]
        for scope, selection, fraction in bar(cells, "archives"):
            row = one(bench, locker, model, options[selection], scope, fraction)
            rows[scope, selection, fraction] = row
            out.note(f"{selection}, {scope}, {fraction} %: raw {row['raw']:.1f}, repaired "
                     f"{row['repaired, zeros']:.1f} / {row['repaired, as is']:.1f}, fine-tuned "
                     f"{row.get('fine-tuned, 1 %', '-')}")
    exact = all(row["exact with key"] for row in rows.values())
    out.put(floors=floor, exact_with_key=exact,
            archives=[{"scope": scope, "selection": selection, "hidden_percent": fraction, **row}
                      for (scope, selection, fraction), row in rows.items()])
    tables(out, plan, rows, clean, floor)
    print(f"with the key: {'all' if exact else 'NOT all'} {len(rows)} archives bit for bit")
    out.write()
    return 0 if exact else 1


if __name__ == "__main__":
    sys.exit(main())
