"""Loading into Python: an archive, against the uncompressed safetensors file, from a disk that has
none of it in the cache, and warm."""
from __future__ import annotations

import json
import os
import statistics
import subprocess
from pathlib import Path

from lib import measure
from lib.context import GB, MB, TOP, Bench

NAME = "load"
PYTHON = "/usr/bin/python3"
SCRIPT = Path(__file__).resolve().parents[1] / "load.py"


def _load(bench: Bench, how: str, path: Path, *more: str) -> str:
    env = {**os.environ, **bench.env, "PYTHONPATH": str(TOP / "python")}
    if hasattr(bench, "library"):
        env["LMODEL_LIBRARY"] = str(bench.library)
    done = subprocess.run([PYTHON, SCRIPT, how, path, *more], env=env, capture_output=True,
                          text=True, check=False)
    if done.returncode != 0:
        raise measure.Failed(f"load by {how}: {done.stderr.strip()[-500:]}")
    return done.stdout


def _ways(packed: Path, model: Path) -> tuple[list[tuple[str, str, Path]], list[str]]:
    ways = [("lmodel", "lmodel", packed), ("plain reads", "raw", model)]
    if subprocess.run([PYTHON, "-c", "import safetensors.numpy"], capture_output=True,
                      check=False).returncode == 0:
        return [*ways, ("safetensors", "safetensors", model)], []
    return ways, ["safetensors (Python package)"]


def _times(bench: Bench, ways: list[tuple[str, str, Path]], cold: bool
           ) -> tuple[dict[str, list[float]], float | None]:
    """Seconds of each; and the largest share that was still in the cache, when cold."""
    found: dict[str, list[float]] = {name: [] for name, _, _ in ways}
    left: list[float] = []
    for _ in range(bench.options.rounds):
        for name, how, path in ways:
            if cold:
                measure.forget(path)
                share = measure.resident_share(path)
                left += [share] if share is not None else []
            found[name].append(json.loads(_load(bench, how, path))["seconds"])
    return found, max(left) if left else None


def run(bench: Bench) -> None:
    """bf16 and fp32, on the disk."""
    folder = bench.place("load", disk=True)
    rows = []
    for kind in ("bf16", "fp32"):
        model = bench.model(kind, folder=folder)
        packed = folder / f"{kind}.lmodel"
        bench.run("pack", "-q", "-f", "-o", packed, model)
        ways, missing = _ways(packed, model)
        bench.say(f"loading {kind}")
        digests = {name: _load(bench, how, path, "--digest") for name, how, path in ways}
        if len(set(digests.values())) != 1:
            raise measure.Failed(f"arrays differ: {digests}")
        raw = model.stat().st_size
        for state in ("cold", "warm"):
            found, left = _times(bench, ways, state == "cold")
            own = found["lmodel"]
            for name, seconds in found.items():
                middle = statistics.median(seconds)
                rows.append([kind, state, name, f"{1e3 * middle:.0f}", f"{raw / GB / middle:.2f}",
                             f"{statistics.median(s / o for s, o in zip(seconds, own)):.2f}"])
                bench.record(NAME, model=kind, state=state, tool=name, raw=raw, seconds=seconds,
                             still_cached=left)
            rows += [[kind, state, name, "not here", "", ""] for name in missing]
            if state == "cold":
                best = min((n for n in found if n != "lmodel"),
                           key=lambda n: statistics.median(found[n]))
                times = statistics.median(b / o for b, o in zip(found[best], own))
                cold = left is None or left < 0.05
                bench.goal(f"Python load of {kind} from a cold disk",
                           f"{times:.2f}x as fast", "at least as fast as uncompressed",
                           times >= 1, best,
                           "" if cold else f"{left:.0%} stayed in the cache: not cold")
            else:
                _bandwidth(bench, kind, raw, statistics.median(own))
        measure.remove(packed)
    bench.table(f"Loading into NumPy, {bench.options.size / MB:.0f} MB on the disk, ms",
                ["model", "cache", "by", "ms", "GB/s", "time / lmodel's"], rows,
                "In the process, imports not counted; arrays were compared. Cold: the file was "
                "dropped from the page cache before each run. lmodel verifies and has the arrays "
                "decoded in their place.")


def _bandwidth(bench: Bench, kind: str, raw: int, seconds: float) -> None:
    stages = [r for r in bench.records.get("stages", []) if r["model"] == kind and "speeds" in r]
    if stages:
        copy = stages[0]["speeds"]["memcpy"]
        bench.record(NAME, model=kind, of_memory_bandwidth=raw / GB / seconds / copy)
        bench.table(f"Share of memory bandwidth, warm load of {kind}",
                    ["GB/s", "copy of memory by one thread, GB/s", "share"],
                    [[f"{raw / GB / seconds:.2f}", f"{copy:.2f}",
                      f"{raw / GB / seconds / copy:.0%}"]])
