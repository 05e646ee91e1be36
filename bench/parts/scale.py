"""Cost in bytes and in tensors, with straight lines through it; keys and lists of large archives."""
from __future__ import annotations

from pathlib import Path

from lib import data, fit, measure
from lib.context import GB, MB, Bench
from lib.measure import Sample, median
from parts.protect import TIERS

NAME = "scale"
SIDE = 1024  # of the matrices: else models of other sizes are of other shapes, too
# Milliseconds that each is allowed up to 20,000 tensors.
ALLOWED = {"inspect": 20, "list": 20, "cat": 20, "grant": 50, "revoke": 50}


def _pack(bench: Bench, model: Path, packed: Path) -> Sample:
    _, owner = bench.key("owner")
    _, customer = bench.key("customer")
    return bench.clock.once(bench.job("pack, two tiers", "pack", "-q", "-f", *TIERS, "--owner",
                                      owner, "-r", f"{customer}=gold", "-o", packed, model))


def _small_jobs(bench: Bench, packed: Path, tensor: str) -> list[measure.Job]:
    """What has to be quick whatever the size. Each grant is taken back."""
    identity, _ = bench.key("owner")
    _, guest = bench.key("guest")
    return [
        bench.job("inspect", "inspect", packed),
        bench.job("list", "list", packed),
        bench.job("cat", "cat", "--base", "-q", packed, tensor),
        bench.job("grant", "grant", "-q", "-i", identity, "--tier", "gold", "-r", guest, "--label",
                  "guest", packed),
        bench.job("revoke", "revoke", "-q", "-i", identity, "--label", "guest", packed),
    ]


def _quick(bench: Bench, packed: Path, what: str, judged: bool) -> dict[str, float]:
    """Milliseconds and peak of the small jobs on one archive."""
    names = bench.run("list", packed).splitlines()
    jobs = _small_jobs(bench, packed, names[len(names) // 2])
    found = bench.clock.compare(jobs, bench.options.rounds)
    times = {name: 1e3 * median(runs) for name, runs in found.items()}
    bench.record(NAME, archive=what, bytes=packed.stat().st_size, tensors=len(names),
                 milliseconds=times, peak={n: max(s.peak for s in r) for n, r in found.items()})
    for name, milliseconds in times.items() if judged else ():
        bench.goal(f"{name}: {what}", f"{milliseconds:.1f} ms", f"under {ALLOWED[name]} ms",
                   milliseconds < ALLOWED[name])
    return times


def _by_tensors(bench: Bench) -> None:
    counts = (50, 100, 200) if bench.options.quick else (1000, 5000, 20_000, 50_000, 100_000)
    folder = bench.work
    rows, columns = [], ["pack, two tiers", "extract, all tiers", *ALLOWED]
    identity, _ = bench.key("customer")
    costs: dict[str, list[float]] = {name: [] for name in columns}
    for count in counts:
        model, packed, back = (folder / n for n in ("t.safetensors", "t.lmodel", "t.back"))
        data.write(model, "bf16", data.equal(count, 512))
        bench.say(f"{count} tensors")
        packing = _pack(bench, model, packed)
        job = bench.job("extract", "extract", "-q", "-f", "--format", "native", "-i", identity,
                        "-o", back, packed, check=measure.must_equal("extract", back, model))
        unpacking = bench.clock.compare([job], 1)["extract"][0]
        times = _quick(bench, packed, f"{count:,} tensors of 1 kB", count in (200, 20_000))
        times["pack, two tiers"] = 1e3 * packing.wall
        times["extract, all tiers"] = 1e3 * unpacking.wall
        for name in columns:
            costs[name].append(times[name])
        rows.append([f"{count:,}", f"{packed.stat().st_size / MB:.0f}",
                     *(f"{times[n]:.1f}" for n in columns),
                     f"{packing.peak / MB:.0f}", f"{unpacking.peak / MB:.0f}"])
        bench.record(NAME, tensors=count, pack=packing.wall, pack_peak=packing.peak,
                     extract=unpacking.wall, extract_peak=unpacking.peak)
        for path in (model, packed, back):
            measure.remove(path)
    bench.table("Many tensors of 1 kB: milliseconds, two tiers, memory",
                ["tensors", "file MB", *columns, "pack peak MB", "extract peak MB"], rows,
                "All of these but packing and extracting read the manifest and one tensor at "
                "most.")
    _fits(bench, "tensors", "us a tensor", counts, costs, 1e3)


def _by_bytes(bench: Bench) -> None:
    sizes, packs, tiered, back_again = [], [], [], []
    identity, _ = bench.key("customer")
    for share in (0.25, 0.5, 1) if bench.options.quick else (0.125, 0.25, 0.5, 0.75, 1):
        model = bench.model("bf16", int(bench.options.size * share), side=SIDE)
        packed, tiers, back = (bench.work / n for n in ("b.lmodel", "bt.lmodel", "b.back"))
        bench.say(f"{model.stat().st_size / MB:.0f} MB")
        found = bench.clock.compare([
            bench.job("pack", "pack", "-q", "-f", "-o", packed, model),
            bench.job("extract", "extract", "-q", "-f", "--format", "native", "-o", back, packed),
        ], min(3, bench.options.rounds))
        sizes.append(float(model.stat().st_size))
        packs.append(1e3 * median(found["pack"], "cpu"))
        back_again.append(1e3 * median(found["extract"], "cpu"))
        tiered.append(1e3 * min(_pack(bench, model, tiers).cpu for _ in range(min(2, bench.options.rounds))))
        for path in (packed, tiers, back):
            measure.remove(path)
    _fits(bench, "bytes", "ms of processor a GB", sizes,
          {"pack": packs, "extract": back_again, "pack, two tiers": tiered}, GB)


def _fits(bench: Bench, of: str, unit: str, x: list[float] | tuple[int, ...],
          costs: dict[str, list[float]], factor: float) -> None:
    """The lines, printed; a cost that is not linear is a miss."""
    rows = []
    for name, y in costs.items():
        slope, start, r2 = fit.line(x, y)
        power = fit.exponent(x[-3:], y[-3:])
        rows.append([name, f"{slope * factor:.4g}", f"{start:.1f}", f"{r2:.4f}", f"{power:.2f}"])
        bench.record(NAME, fit=of, work=name, slope=slope, start=start, r2=r2, exponent=power,
                     x=list(x), y=y)
        bench.goal(f"{name}: linear in {of}", f"R² {r2:.3f}, exponent {power:.2f}",
                   "exponent at most 1.15", power <= 1.15)
    bench.table(f"Cost in {of}: lines", ["work", unit, "ms at 0", "R²",
                                         "exponent of the largest three"], rows)


def keys_and_lists(bench: Bench, packed: Path, raw: int) -> None:
    """The same on one large archive with tiers."""
    tensors = bench.run("list", packed).count("\n")
    what = f"{raw / GB:.1f} GB, {tensors} tensors"
    bench.say(f"keys and lists: {what}")
    times = _quick(bench, packed, what, True)
    bench.table(f"Keys and lists: {what}", list(times), [[f"{t:.1f}" for t in times.values()]],
                "Milliseconds, on the disk. With age a customer is let in by encrypting all of it "
                "again.")


def run(bench: Bench) -> None:
    """Bytes and tensors."""
    _by_bytes(bench)
    _by_tensors(bench)
