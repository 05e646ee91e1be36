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
import math
import os
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lmodel.errors import UsageError
from lmodel.protect import (detect, levels, nets, panel, progress, quality, samples, wrongkey)
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
    opened = levels.Leveled(path, identities)
    if not opened.tiers:
        raise UsageError(f"{path}: no tiers, so nothing is hidden")
    if unlabelled < 2 or (test is not None and test < 1):
        raise UsageError("--unlabelled is at least 2, --test at least 1")
    top = len(opened.tiers)
    at = {level: nets.build(opened.weights(level), opened.metadata) for level in range(top + 1)
          if level == 0 or opened.tiers[level - 1].open}
    for net in at.values():
        net.data = dataset or net.data
    base = at[0]
    masks = opened.hidden({name: tuple(value.shape) for name, value in base.state().items()})
    setting = panel.Setting(samples.of(base, unlabelled, seed + 1),
                            samples.of(base, max(labels, default=2), seed + 2), list(labels),
                            STRENGTHS[strength], seed, test)
    return {
        "version": VERSION, "archive": Path(path).name, "kind": base.kind, "task": base.task,
        "data": base.data, "unit": quality.unit(base),
        "higher_is_better": quality.higher_is_better(base),
        "parameters": sum(value.numel() for value in base.state().values()),
        "test": test, "unlabelled": len(setting.unlabelled), "labels": list(labels),
        "strength": strength, "seed": seed,
        "tiers": [{"name": tier.name, "amount": tier.amount, "select": tier.select,
                   "mask": tier.mask, "open": tier.open, "positions_open": tier.positions_open,
                   "obfuscation": tier.obfuscation,
                   "hidden": sum(int(mask.sum()) for mask in masks[n].values())
                   if tier.positions_open else None}
                  for n, tier in enumerate(opened.tiers)],
        "levels": [_level(opened, level, net, masks, setting)
                   for level, net in progress.bar(at.items(), "levels", len(at))],
        "floor": [asdict(row) for row in panel.floor(base, setting)],
        "wrong_key": wrongkey.measure(opened, base, at.get(top), test),
        "detection": detect.archive(opened, base.state(), seed) if detection else None,
        "seconds": round(time.monotonic() - start, 1)}


def _level(opened: levels.Leveled, level: int, net: nets.Net,
           masks: Sequence[Mapping[str, Tensor]], setting: panel.Setting) -> dict:
    """The panel on one level; the highest has nothing hidden and is just measured."""
    hidden: dict[str, Tensor] = {}
    for mask in masks[level:]:
        for name, places in mask.items():
            hidden[name] = hidden[name] | places if name in hidden else places
    if level < len(opened.tiers):
        known = {inner: hidden[name] for inner, name in net.names.items() if name in hidden}
        rows = panel.run(net, known, setting)
    else:
        rows = [panel.Row("none", 0, False, False,
                          panel.measure(net, net.module, setting.measured))]
    return {"level": level, "tier": opened.tiers[level - 1].name if level else None,
            "hidden": sum(int(mask.sum()) for mask in hidden.values()),
            "raw": rows[0].quality,
            "worst": {str(count): asdict(panel.best(net, rows, count))
                      for count in (0, *setting.counts)},
            "attacks": [asdict(row) for row in rows]}


def table(document: Mapping) -> str:
    """What a person reads of the document."""
    unit, labels = document["unit"], document["labels"]
    columns = ["level", "hidden", "raw", "no labels"] + [f"{n} labels" for n in labels]
    rows = [[row["tier"] or "(base)", str(row["hidden"]), _number(row["raw"])]
            + [_number(row["worst"][str(n)]["quality"]) for n in (0, *labels)]
            for row in document["levels"]]
    rows.append(["(from scratch)", "", "", ""]
                + [_number(row["quality"]) for row in document["floor"]])
    lines = [f"{document['archive']}: {document['kind']}, {unit}, best of the attacks of strength "
             f"{document['strength']}", "", *_aligned([columns, *rows]), ""]
    for row in document["levels"]:
        if len(row["attacks"]) > 1:
            what = "; ".join(f"{n or 'no'} labels: {row['worst'][str(n)]['attack']}"
                             for n in (0, *labels))
            lines.append(f"best from {row['tier'] or '(base)'}: {what}")
    wrong = document["wrong_key"]["fresh_key"]
    lines.append(f"a wrong key: {wrong['error']} (exit status {wrong['exit_status']})")
    locked = document["wrong_key"].get(wrongkey.DEEP_LOCK)
    if locked:
        known = locked["known_plaintext"]
        wrong = [max(locked[which], locked[f"{which}_filtered"])
                 for which in ("flipped_bit", "other_key")]
        lines.append(f"deep-lock: one key bit flipped {_number(wrong[0])}, another key "
                     f"{_number(wrong[1])}; {known['known_bytes']} known bytes of "
                     f"{known['of_bytes']}, no key {_number(known['quality'])}")
    lines += [f"tier {tier['name']}: {tier['obfuscation']}" for tier in document["tiers"]
              if tier["obfuscation"]]
    if document["detection"]:
        lines += ["", *_aligned([["decoys, AUC", "units", "single", "trained", "from below",
                                  "position", "noise"]] + [_detection(row) for row in
                                                           document["detection"]])]
    return "\n".join(lines)


def write(document: Mapping, path: str | os.PathLike) -> None:
    """Writes the document as JSON, whole or not at all; infinite qualities become null."""
    path = Path(path)
    text = json.dumps(finite(document), indent=1) + "\n"
    temporary = path.with_name(f".lmodel-{secrets.token_hex(8)}")
    try:
        temporary.write_text(text)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def finite(value: Any) -> Any:
    """The same with floats of six digits, and None for those that JSON has not."""
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(part) for part in value]
    return value


def _detection(row: Mapping) -> list[str]:
    if row["single"] is None:
        return [row["tier"], str(row["units"])] + ["-"] * 5
    return [row["tier"], str(row["units"]), _number(row["single"]["auc"]), _number(row["trained"]),
            _number(row["transfer"]),
            _number(max(row["position"]["auc"], row["position_trained"])),
            _number(max(row["noise"]["single"]["auc"], row["noise"]["trained"]))]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows if i < len(row)) for i in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) if i == 0 else cell.rjust(width)
                      for i, (cell, width) in enumerate(zip(row, widths))).rstrip()
            for row in rows]
