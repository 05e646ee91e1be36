"""What a second processor brings."""
from __future__ import annotations

from lib.context import MB, Bench, samples
from lib.measure import median, ratio
from parts.protect import TIERS

NAME = "jobs"


def run(bench: Bench) -> None:
    """One job and two, in turn, in memory."""
    if bench.processors < 2:
        bench.goal("two jobs against one", "not measured", "at least 1.8x", False,
                   why="one processor")
        return
    _, owner = bench.key("owner")
    identity, customer = bench.key("customer")
    raw = bench.model("bf16")
    plain, tiers, back = (bench.work / n for n in ("j.lmodel", "jt.lmodel", "j.back"))
    keys = [*TIERS, "--owner", owner, "-r", f"{customer}=gold"]
    works = {
        "pack": ["pack", "-q", "-f", "-o", plain, raw],
        "extract": ["extract", "-q", "-f", "--format", "native", "-o", back, plain],
        "verify": ["verify", "-q", plain],
        "pack, two tiers": ["pack", "-q", "-f", *keys, "-o", tiers, raw],
        "extract, two tiers": ["extract", "-q", "-f", "--format", "native", "-i", identity, "-o",
                               back, tiers],
    }
    rows = []
    for work, words in works.items():
        bench.say(f"jobs: {work}")
        found = bench.clock.compare([bench.job(str(n), *words, "-j", str(n)) for n in (1, 2)],
                                    bench.options.rounds)
        times = ratio(found["1"], found["2"])
        rows.append([work, f"{1e3 * median(found['1']):.0f}", f"{1e3 * median(found['2']):.0f}",
                     f"{times:.2f}x", f"{ratio(found['2'], found['1'], 'cpu'):.2f}x",
                     f"{max(s.peak for s in found['1']) / MB:.0f}",
                     f"{max(s.peak for s in found['2']) / MB:.0f}"])
        bench.record(NAME, work=work, one=samples(found["1"]), two=samples(found["2"]))
        bench.goal(f"{work}: two jobs against one", f"{times:.2f}x", "at least 1.8x", times >= 1.8)
    for path in (plain, tiers, back):
        path.unlink()
    bench.table(f"One job and two, bf16, {raw.stat().st_size / MB:.0f} MB in memory",
                ["work", "one, ms", "two, ms", "faster", "processor time", "one, peak MB",
                 "two, peak MB"], rows)
