"""What the machine allows: each stage alone on one thread, as a share of its limit, and what packing
and extracting reach of 1/sum(stage times), measured in the same run."""
from __future__ import annotations

import json
import re
import statistics
import subprocess
from pathlib import Path

from lib import data, measure
from lib.context import GB, MB, Bench
from lib.measure import median

NAME = "stages"
LEAST = 60_000_000  # a model that has the bytes that bench/stages wants

# What each stage works on, a byte of raw model: raw bytes, or stored ones.
PACK = (("read", "raw"), ("encode", "raw"), ("sha256", "stored"), ("write", "stored"))
UNPACK = (("read", "stored"), ("sha256", "stored"), ("decode", "raw"), ("write", "raw"))


def _openssl(name: str) -> float | None:
    """GB/s of OpenSSL, which is the limit that hashing and encryption are held against."""
    try:
        done = subprocess.run(["openssl", "speed", "-mr", "-seconds", "1", "-bytes", "16384",
                               "-evp", name], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    found = re.search(r"^\+F:\d+:[^:]*:([0-9.]+)", done.stdout, re.M)
    return float(found.group(1)) / GB if found else None


def _measured(bench: Bench, kind: str, model: Path) -> dict[str, float]:
    """GB/s of each stage, in bytes that it takes in."""
    scratch = bench.work / "stages.scratch"
    speeds: dict[str, list[float]] = {}
    for _ in range(bench.options.rounds):
        done = subprocess.run([bench.tools / "stages", kind, model, scratch], check=True,
                              capture_output=True, text=True)
        for name, stage in json.loads(done.stdout).items():
            speeds.setdefault(name, []).append(stage["bytes"] / stage["seconds"] / GB)
    return {name: statistics.median(found) for name, found in speeds.items()}


def _sum(stages: tuple[tuple[str, str], ...], speed: dict[str, float], stored: float) -> float:
    """Seconds a GB of raw bytes."""
    return sum((stored if of == "stored" else 1) / speed[name] for name, of in stages)


def _rows(kind: str, speed: dict[str, float], stored: float, limits: dict[str, float | None]
          ) -> list[list[str]]:
    rows = []
    pack, unpack = _sum(PACK, speed, stored), _sum(UNPACK, speed, stored)
    for name, found in speed.items():
        limit = limits.get(name, speed["memcpy"])
        shares = []
        for stages, whole in ((PACK, pack), (UNPACK, unpack)):
            of = dict(stages).get(name)
            shares.append(f"{(stored if of == 'stored' else 1) / found / whole:.0%}" if of else "")
        rows.append([kind, name, f"{found:.2f}", f"{found / limit:.0%}" if limit else "not here",
                     *shares])
    return rows


def _whole(bench: Bench, kind: str, model: Path, speed: dict[str, float]) -> None:
    """Packing and extracting by one worker and by all, beside the bound."""
    packed, back = bench.work / "stages.lmodel", bench.work / "stages.back"
    jobs = []
    for name, more in (("one", ["-j", "1"]), ("all", [])):
        jobs.append(bench.job(f"pack {name}", "pack", "-q", "-f", *more, "-o", packed, model))
        jobs.append(bench.job(f"unpack {name}", "extract", "-q", "-f", *more, "--format", "native",
                              "-o", back, packed,
                              check=measure.must_equal("extract", back, model)))
    found = bench.clock.compare(jobs, bench.options.rounds)
    raw, stored = model.stat().st_size, packed.stat().st_size / model.stat().st_size
    workers = bench.processors
    rows = []
    for work, stages in (("pack", PACK), ("unpack", UNPACK)):
        bound = _sum(stages, speed, stored) * raw / GB
        one, cpu = median(found[f"{work} one"]), median(found[f"{work} one"], "cpu")
        every = median(found[f"{work} all"])
        rows.append([work, f"{raw / GB / bound:.2f}", f"{raw / GB / one:.2f}", f"{bound / one:.0%}",
                     f"{bound / cpu:.0%}", f"{raw / GB / every:.2f}",
                     f"{bound / workers / every:.0%}"])
        bench.record(NAME, model=kind, work=work, bound=bound, one=one, cpu=cpu, all=every,
                     workers=workers)
        bench.goal(f"{work} {kind}: of what its stages allow, one worker, processor time",
                   f"{bound / cpu:.0%}", "at least 85%", bound / cpu >= 0.85)
        bench.goal(f"{work} {kind}: of what its stages allow, {workers} workers, clock",
                   f"{bound / workers / every:.0%}", "at least 85%",
                   bound / workers / every >= 0.85)
    bench.table(f"Stages together, {kind}, {raw / MB:.0f} MB in memory",
                ["work", "1/sum of stages, GB/s", "one worker, GB/s", "of it, clock",
                 "of it, processor time", f"{workers} workers, GB/s", f"of {workers}x it"], rows)
    measure.remove(packed)
    measure.remove(back)


def run(bench: Bench) -> None:
    """Both kinds of floats."""
    limits = {"sha256": _openssl("sha256"), "seal": _openssl("aes-256-gcm"),
              "open": _openssl("aes-256-gcm")}
    rows = []
    for kind in ("bf16", "fp32"):
        model = bench.model(kind, max(bench.options.size, LEAST))
        bench.say(f"stages with {kind}")
        speed = _measured(bench, kind, model)
        packed = bench.work / "stages.lmodel"
        bench.run("pack", "-q", "-f", "-o", packed, model)
        stored = packed.stat().st_size / model.stat().st_size
        measure.remove(packed)
        rows += _rows(kind, speed, stored, limits)
        bench.record(NAME, model=kind, speeds=speed, stored=stored,
                     planes_entropy=data.planes_entropy(model, 64 << 20), openssl=limits)
        _whole(bench, kind, model, speed)
    bench.table("Stages, one thread", ["model", "stage", "GB/s", "of its limit", "of packing",
                                       "of extracting"], rows,
                "GB/s of bytes that the stage takes in, processor time. The limit of sha256, seal "
                "and open (AES-256-GCM) is OpenSSL on this machine; of all others, a copy of memory. "
                "`encode` and `decode` contain `split` and `merge`; `read` and `write` are calls to "
                "the kernel on a file in memory, pages of a new file included.")
