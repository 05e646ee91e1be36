"""The report: Markdown, JSON, and a picture."""
from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from . import picture
from .context import Bench, Goal


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(c.replace("|", "\\|") for c in cells) + " |"


def _grid(columns: list[str], rows: list[list[str]]) -> str:
    return "\n".join([_row(columns), "|" + "---|" * len(columns), *map(_row, rows)])


def _goal_row(goal: Goal) -> list[str]:
    answer = "yes" if goal.met else "**no**" + (f": {goal.why}" if goal.why else "")
    return [goal.what, goal.got, goal.wanted, goal.peer, answer]


def markdown(bench: Bench, machine: dict[str, str], seconds: float, words: list[str]) -> str:
    """The whole report."""
    missed = [g for g in bench.goals if not g.met]
    parts = ["# Measured", "",
             f"One run of `bench/run{''.join(' ' + w for w in words)}`, {seconds / 60:.0f} minutes. "
             "Commands took turns; figures are medians, ratios are medians of neighbours in time. "
             "Whole processes, as a user runs them; peak memory as the kernel tells it.", ""]
    parts += [_grid(["", ""], [[k, v] for k, v in machine.items()]), "",
              f"## Goals: {len(bench.goals) - len(missed)} of {len(bench.goals)} reached", "",
              _grid(["what", "lmodel", "wanted", "best peer", "reached"],
                    [_goal_row(g) for g in bench.goals]), ""]
    if any("speed" == name for name in bench.records):
        parts += ["![sizes and speeds](results.svg)", ""]
    for table in bench.tables:
        parts += [f"## {table.title}", "", _grid(table.columns, table.rows), ""]
        if table.note:
            parts += [table.note, ""]
    return "\n".join(parts)


def write(bench: Bench, out: Path, machine: dict[str, str], seconds: float,
          words: list[str]) -> None:
    """Writes results.md, results.json, results.svg and results.png to a folder."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "results.md").write_text(markdown(bench, machine, seconds, words), encoding="utf-8")
    everything = {
        "machine": machine, "seconds": round(seconds), "arguments": words,
        "goals": [dataclasses.asdict(g) for g in bench.goals], "records": bench.records,
    }
    (out / "results.json").write_text(json.dumps(everything, indent=1) + "\n", encoding="utf-8")
    picture.draw(bench.records, out)
