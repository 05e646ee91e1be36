"""Choosing 8 % of all weights: two streaming passes, against reading the file twice.

The file is dropped from the page cache before each, and `cat` drops it between its two: that is what
two passes over a model cost that does not fit into memory.
"""
from __future__ import annotations

import json
import subprocess

from lib import measure
from lib.context import GB, Bench

NAME = "select"


def run(bench: Bench) -> None:
    """On the largest model: with 4 GB and more these are the two billion parameters."""
    size = min(bench.options.huge, 4_000_000_000)
    model = bench.model("bf16", size, bench.place("memory", disk=True))
    raw = model.stat().st_size
    bench.say(f"selection over {raw / 2e9:.2f} billion parameters")
    rounds = min(3, bench.options.rounds)
    chosen, cpu, peak, twice = [], [], 0, []
    out = bench.work / "choose.json"
    for _ in range(rounds):
        measure.forget(model)
        sample = bench.clock.once(measure.Job("choose", [[bench.tools / "choose", model]],
                                              stdout=out, env=bench.env))
        told = json.loads(out.read_text())
        chosen.append(told["seconds"])
        cpu.append(told["cpu"])
        peak = max(peak, sample.peak)
        both = 0.0
        for _ in range(2):
            measure.forget(model)
            both += bench.clock.once(measure.Job("cat", [["cat", model]])).wall
        twice.append(both)
        if told["chosen"] != sum_of_shares(told["units"], told["chosen"]):
            raise measure.Failed(f"{told['chosen']} of {told['units']} units are not 8 %")
    own, other = sorted(chosen)[rounds // 2], sorted(twice)[rounds // 2]
    warm = json.loads(subprocess.run([bench.tools / "choose", model], check=True, text=True,
                                     capture_output=True).stdout)
    bench.record(NAME, parameters=raw // 2, seconds=chosen, cpu=cpu, twice=twice, peak=peak,
                 warm=warm["seconds"])
    bench.table(f"Choosing 8 % of {raw / 2e9:.2f} billion bf16 parameters, file on the disk",
                ["selection, cold, s", "reading the file twice, s", "selection, cached, s",
                 "processor, s", "GB/s of model", "peak MB"],
                [[f"{own:.2f}", f"{other:.2f}", f"{warm['seconds']:.2f}", f"{warm['cpu']:.2f}",
                  f"{raw / GB / own:.2f}", f"{peak / 1e6:.0f}"]],
                f"{told['chosen']:,} of {told['units']:,} units.")
    bench.goal(f"selection over {raw / 2e9:.2f} billion parameters", f"{own:.2f} s",
               "faster than reading the file twice from the disk", own < other,
               f"cat, twice: {other:.2f} s")


def sum_of_shares(units: int, chosen: int) -> int:
    """What 8 % may be: each tensor rounds its own, and gives as many as the others."""
    return chosen if 0.06 * units <= chosen <= 0.09 * units else -1
