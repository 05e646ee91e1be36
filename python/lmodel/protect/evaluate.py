"""Measures what an archive's tiers are worth against somebody who holds no key for them.

For each level - the public base, and what each tier's holder reads - everything of the panel of
attacks is tried on what is hidden above it: filters, pruning, fills at the hidden places,
re-estimated BatchNorm, fine-tuning on n labelled samples. An attacker does not know the hidden
places; here he is given them, as the worst case, where a key opens the positions. The line `worst`
is the best of his attacks. Whoever has labels reaches what training from scratch reaches: `floor`.

    python3 -m lmodel.protect evaluate model.lmodel -i owner.txt --json model.evaluation.json
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from lmodel.errors import LmodelError, UsageError
from lmodel.protect import detect, levels as archive_levels, nets, panel, progress, quality, samples, wrongkey
from lmodel.protect.attacks import STRENGTHS

NAME = "evaluate"
SUMMARY = "quality by tier, raw and after attacks; how well decoys hide"
VERSION = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument("archive", metavar="ARCHIVE", help="an archive with tiers")
    parser.add_argument("-i", "--identity", action="append", default=[], metavar="KEY",
                        help="a key file, best an owner's: levels and positions that no key "
                             "opens are left out; may be given again")
    parser.add_argument("--data", metavar="NAME",
                        help="data set (default: the one the model is for)")
    parser.add_argument("--labels", metavar="N,...", default="60,600",
                        help="numbers of labelled samples that an attacker has (default: 60,600)")
    parser.add_argument("--unlabelled", type=int, default=1000, metavar="N",
                        help="samples without labels that he has (default: 1000)")
    parser.add_argument("--strength", choices=sorted(STRENGTHS), default="normal",
                        help="how hard he tries (default: normal)")
    parser.add_argument("--test", type=int, default=1000, metavar="N",
                        help="test samples to measure on (default: 1000)")
    parser.add_argument("--no-detection", action="store_true",
                        help="leave out whether decoys can be told apart")
    parser.add_argument("--json", metavar="OUT", help="write all figures there, too")
    parser.add_argument("--seed", type=int, default=0, metavar="N",
                        help="of all random choices (default: 0)")


def run(args: argparse.Namespace) -> int:
    """Measures, prints a table, writes the JSON document."""
    torch.set_num_threads(1)    # sums of one order: equal seeds give equal results
    document = evaluate(args.archive, args.identity, args.data, counts(args.labels),
                        args.unlabelled, args.strength, args.test, args.seed,
                        not args.no_detection)
    print(table(document))
    if args.json:
        write(document, args.json)
    return 0


def counts(text: str) -> list[int]:
    """Sample counts from N,N,..., ascending. UsageError unless all are at least 2."""
    try:
        found = sorted({int(part) for part in text.split(",") if part.strip()})
    except ValueError:
        raise UsageError(f"--labels {text!r} is no list of numbers") from None
    if found and found[0] < 2:
        raise UsageError("--labels are at least 2")
    return found


def evaluate(path: str | os.PathLike, identities: Sequence[str | os.PathLike] = (),
             dataset: str | None = None, labels: Sequence[int] = (60, 600),
             unlabelled: int = 1000, strength: str = "normal", test: int | None = 1000,
             seed: int = 0, detection: bool = True) -> dict:
    """The document that --json writes. LmodelError where the archive cannot be read."""
    start = time.monotonic()
    archive = views.Archive(path, identities)
    if not archive.tiers:
        raise UsageError(f"{path}: no tiers, so nothing is hidden")
    if unlabelled < 2 or (test is not None and test < 1):
        raise UsageError("--unlabelled is at least 2, --test at least 1")
    open_levels = [0] + [n for n, tier in enumerate(archive.tiers, 1) if tier.open]
    at = {level: nets.build(*archive.weights(level)) for level in open_levels}
    for net in at.values():
        net.data = dataset or net.data
    base = at[0]
    shapes = {name: tuple(value.shape) for name, value in base.state().items()}
    masks = archive.hidden(shapes)
    setting = panel.Setting(samples.of(base, unlabelled, seed + 1),
                            samples.of(base, max(labels, default=2), seed + 2), list(labels),
                            STRENGTHS[strength], seed, test)
    higher = quality.higher_is_better(base)
    levels = []
    for level in progress.bar(open_levels, "levels"):
        net = at[level]
        above = _union(masks[level:])
        rows = panel.run(net, _inner(net, above), setting) if level < len(archive.tiers) else \
            [panel.Row("none", 0, False, False, panel.measure(net, net.module, test))]
        levels.append({
            "level": level, "tier": archive.tiers[level - 1].name if level else None,
            "hidden": sum(int(mask.sum()) for mask in above.values()),
            "raw": rows[0].quality,
            "worst": {str(n): _row(panel.best(net, rows, n)) for n in (0, *labels)},
            "attacks": [_row(row) for row in rows]})
    return {
        "version": VERSION, "archive": Path(path).name, "kind": base.kind, "task": base.task,
        "data": base.data, "unit": quality.unit(base), "higher_is_better": higher,
        "parameters": sum(value.numel() for value in base.state().values()),
        "test": test, "unlabelled": len(setting.unlabelled), "labels": list(labels),
        "strength": strength, "seed": seed,
        "tiers": [{"name": tier.name, "amount": tier.amount, "select": tier.select,
                   "mask": tier.mask, "open": tier.open, "positions_open": tier.positions_open,
                   "hidden": sum(int(mask.sum()) for mask in masks[n].values())}
                  for n, tier in enumerate(archive.tiers)],
        "levels": levels,
        "floor": [_row(row) for row in panel.floor(base, setting)],
        "wrong_key": wrongkey.measure(archive, base, at.get(len(archive.tiers)), test),
        "detection": detect.archive(archive, base.state(), masks, seed) if detection else None,
        "seconds": round(time.monotonic() - start, 1)}
