#!/usr/bin/python3
"""A handful of perturbed parameters ruins a net (Xue et al., AdvParams, 2022): how few, and how
much of it an attacker without keys undoes.

Perturbs at most 30 parameters of VGGs on Fashion-MNIST and GTSRB and of ResNet20 on CIFAR-10,
within the range of their tensors; packs the ruined weights as what everybody sees, with the real
lmodel; takes the archive out with the key, bit for bit, and without. Then everything of the panel
of attacks: pruning, the outlier filter, BatchNorm measured again, fills and fine-tuning, with the
positions known and not, and beside it what training from scratch gives.

Without these nets: a small one, trained on the spot on made-up images.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))
import report  # noqa: E402  (sets the path to the package)
import trio  # noqa: E402
from locker import Locker  # noqa: E402

import torch  # noqa: E402

from lmodel.protect import advparams, nets, panel, perturb, samples  # noqa: E402
from lmodel.protect.progress import bar  # noqa: E402

BUDGET = 30


def main() -> None:
    """Runs it all."""
    arguments = report.options(__doc__).parse_args()
    torch.set_num_threads(1)
    out = report.Report("advparams", arguments)
    summary, attacked, curves = [], [], {}
    with Locker(arguments.seed) as locker:
        for bench in trio.benches(arguments.small, arguments.seed, locker.folder):
            rows = one(bench, locker, out, arguments, curves)
            summary.append(rows[0])
            attacked += rows[1]
    out.table("summary", "At most 30 parameters perturbed; accuracy in %",
              ["net", "picked", "parameters", "of", "intact", "locked", "drop", "with the key",
               "bit-exact"], [row for rows in summary for row in rows])
    out.table("attacks", "Accuracy in % after attacks on the greedy lock",
              ["net", "attack", "labels", "positions known", "unlabelled images", "accuracy"],
              attacked)
    out.table("worst", "The best of all attacks, and training from scratch, in %",
              ["net", "no labels, places unknown", "no labels", "labels", "best with them",
               "from scratch"], [worst(attacked, label) for label in curves])
    out.lines([panel_of(label, *curve) for label, curve in curves.items()], columns=3)
    out.write()


def one(bench: trio.Bench, locker: Locker, out: report.Report, arguments,
        curves: dict) -> tuple[list, list]:
    """Rows of the summary and of the attacks, for one net; its curve goes to curves."""
    net, seed = bench.net, arguments.seed
    given = samples.of(net, 64 if arguments.small else 128, seed)
    intact = bench.measure(net.module)
    total = sum(value.numel() for value in net.module.parameters())
    summary, greedy, drops = [], None, {}
    for pick in ("greedy", "random"):
        plan = perturb.Plan(BUDGET, step=1.0, pick=pick, seed=seed,
                            moves=20 if arguments.small else 36,
                            target_accuracy=bench.chance if pick == "greedy" else None)
        locked = perturb.perturb(net.module, given.inputs, given.targets, plan, progress=bar)
        file = locker.path("locked.safetensors")
        advparams.write(bench.path, file, locked, net)
        exact, shown, opened = packed(bench, locker, file)
        out.note(f"{bench.label}: {pick}, {len(locked.original)} parameters: "
                 f"{intact:.2f} -> {shown:.2f} %, with the key {opened:.2f} %")
        summary.append([bench.label, pick, len(locked.original), total, intact, shown,
                        intact - shown, opened, "yes" if exact else "NO"])
        drops[pick] = locked.losses
        greedy = greedy or locked
    rows = trio.panel_rows(bench, shown_net(net, greedy), greedy.positions(), out.note)
    rows += panel.floor(net, bench.setting)
    curves[bench.label] = (drops, intact)
    return summary, [[bench.label, row.attack, row.labels or None, "yes" if row.positions else "no",
                      "yes" if row.unlabelled else "no", row.quality] for row in rows]


def shown_net(net: nets.Net, locked: perturb.Locked) -> nets.Net:
    """The net that everybody sees."""
    return net.with_state({net.names[name]: value
                           for name, value in locked.module.state_dict().items()
                           if name in net.names})


def packed(bench: trio.Bench, locker: Locker, file: Path) -> tuple[bool, float, float]:
    """Through an archive: whether it comes back bit for bit, accuracy without a key and with."""
    archive = locker.path("advparams.lmodel")
    locker.run("pack", "-q", "-f", "-o", str(archive), "--owner", locker.owner, "--tier", "full",
               "--reference", str(file), "--mask", "perturb", str(bench.path))
    base, full = locker.path("base.safetensors"), locker.path("full.safetensors")
    locker.run("extract", "-q", "-f", "-o", str(base), "--base", str(archive))
    locker.run("extract", "-q", "-f", "--format", "native", "-o", str(full), "-i",
               str(locker.identity), str(archive))
    return (full.read_bytes() == bench.path.read_bytes(), bench.quality_of(base),
            bench.quality_of(full))


def worst(attacked: list, label: str) -> list:
    """The best attacks on one net, from the rows of its table."""
    rows = [row for row in attacked if row[0] == label]
    floors = {row[2]: row[5] for row in rows if row[1] == "from scratch"}
    tried = [row for row in rows if row[1] != "from scratch"]
    labels = max(floors)
    return [label, max(row[5] for row in tried if not row[2] and row[3] == "no"),
            max(row[5] for row in tried if not row[2]), labels,
            max(row[5] for row in tried), floors[labels]]


def panel_of(label: str, drops: dict, intact: float) -> dict:
    """The loss as parameters move."""
    return {"title": f"{label}, intact {intact:.1f} %", "x": "moves", "y": "mean loss, training",
            "lines": {pick: (list(range(len(losses))), losses)
                      for pick, losses in drops.items()}}


if __name__ == "__main__":
    main()
