"""How long a program takes to begin."""
from __future__ import annotations

import shutil

from lib.context import Bench
from lib.measure import Job, median

NAME = "start"


def run(bench: Bench) -> None:
    """Median of many runs of what does nothing."""
    jobs = [bench.job("lmodel", "--version")]
    jobs += [Job(name, [[name, "--version"]]) for name in ("zstd", "age", "bsdtar")
             if shutil.which(name)]
    found = bench.clock.compare(jobs, 2 if bench.options.quick else 50)
    rows = [[f"{name} --version", f"{1e3 * median(runs):.2f}", f"{1e3 * min(s.wall for s in runs):.2f}",
             f"{1e3 * median(runs, 'cpu'):.2f}"] for name, runs in found.items()]
    bench.table("Start-up, ms", ["command", "median", "least", "processor time"], rows)
    own = 1e3 * median(found["lmodel"])
    bench.record(NAME, **{name: median(runs) for name, runs in found.items()})
    bench.goal("start-up", f"{own:.1f} ms", "under 5 ms", own < 5)
