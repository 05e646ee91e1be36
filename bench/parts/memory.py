"""Peak resident memory at three sizes: bounded, or in proportion to the model?"""
from __future__ import annotations

from lib import measure
from lib.context import GB, MB, Bench
from parts.protect import TIERS

NAME = "memory"
CHUNK = 1 << 20


def bound(bench: Bench, tensors: int) -> float:
    """What the design allows, in bytes."""
    return (64 << 20) + bench.processors * 8 * CHUNK + 2048 * tensors


def run(bench: Bench) -> None:
    """On the disk: a file in memory is not counted, but one that is mapped is."""
    identity, customer = bench.key("customer")
    _, owner = bench.key("owner")
    disk = bench.place("memory", disk=True)
    packed, tiers, back = (disk / n for n in ("m.lmodel", "mt.lmodel", "m.back"))
    rows = []
    for size in sorted({min(100_000_000, bench.options.size), min(1_000_000_000,
                                                                  bench.options.huge),
                        bench.options.huge}):
        model = bench.model("bf16", size, disk)
        raw = model.stat().st_size
        bench.say(f"memory at {raw / GB:.1f} GB")
        keys = [*TIERS, "--owner", owner, "-r", f"{customer}=gold"]
        jobs = [
            bench.job("pack", "pack", "-q", "-f", "-o", packed, model),
            bench.job("extract", "extract", "-q", "-f", "--format", "native", "-o", back, packed,
                      check=measure.must_equal("extract", back, model)),
            bench.job("verify", "verify", "-q", packed),
            bench.job("pack, two tiers", "pack", "-q", "-f", *keys, "-o", tiers, model,
                      before=lambda: measure.remove(packed)),
            bench.job("extract, two tiers", "extract", "-q", "-f", "--format", "native", "-i",
                      identity, "-o", back, tiers,
                      check=measure.must_equal("extract of all tiers", back, model)),
        ]
        found = bench.clock.compare(jobs, 1)
        tensors = bench.run("list", tiers).count("\n")
        allowed = bound(bench, tensors)
        for path in (packed, tiers, back):
            measure.remove(path)
        rows.append([f"{raw / GB:.1f} GB", str(tensors)] +
                    [f"{found[j.name][0].peak / MB:.0f}" for j in jobs] + [f"{allowed / MB:.0f}"])
        for name, runs in found.items():
            bench.record(NAME, raw=raw, tensors=tensors, work=name, peak=runs[0].peak,
                         wall=runs[0].wall)
        worst = max(found, key=lambda n: found[n][0].peak)
        peak = found[worst][0].peak
        bench.goal(f"peak memory at {raw / GB:.1f} GB", f"{peak / MB:.0f} MB ({worst})",
                   f"under {allowed / MB:.0f} MB", peak < allowed)
    bench.table("Peak resident memory, MB, bf16 on the disk",
                ["model", "tensors", "pack", "extract", "verify", "pack, two tiers",
                 "extract, two tiers", "allowed"], rows,
                "Allowed: 64 MiB, 8 chunks a worker, 2 KiB a tensor.")
