"""How fast: packing and unpacking whole files, in memory and on the disk, in turn with peers."""
from __future__ import annotations

from pathlib import Path

from lib import measure, peers
from lib.context import GB, MB, Bench, samples
from lib.measure import Job, median, ratio

NAME = "speed"
KINDS = (("bf16", "BF16"), ("fp32", "F32"))
NOTE = ("The input is dropped from the cache before each run, and the clock stops when the output "
        "is on the disk. `lmodel extract` verifies a SHA-256 of every chunk; zstd checks 32 bits, "
        "the others nothing.")


def _jobs(bench: Bench, raw: Path, folder: Path, dtype: str, found: list[peers.Peer],
          disk: bool) -> tuple[list[Job], list[Job]]:
    packed, back = folder / "own.lmodel", folder / "own.back"
    packing = [bench.job("lmodel", "pack", "-q", "-o", packed, raw, outputs=[packed])]
    unpacking = [bench.job("lmodel", "extract", "-q", "--format", "native", "-o", back, packed,
                           outputs=[back], check=measure.must_equal("lmodel", back, raw))]
    for number, peer in enumerate(found):
        packed, back = folder / f"{number}.packed", folder / f"{number}.back"
        packing.append(peer.packing(raw, packed, dtype))
        job = peer.unpacking(packed, back, dtype)
        job.check = measure.must_equal(peer.name, back, raw)
        unpacking.append(job)
    if disk:
        for pack, unpack in zip(packing, unpacking):
            pack.sync = unpack.sync = True
            pack.before = lambda: measure.forget(raw)
            unpack.before = lambda path=pack.outputs[0]: measure.forget(path)
    return packing, unpacking


def _take_turns(bench: Bench, jobs: list[Job], others: list[Job], rounds: int
                ) -> tuple[dict[str, list[measure.Sample]], dict[str, list[measure.Sample]],
                           dict[str, int]]:
    """Each tool packs and unpacks, then the next: what it wrote goes before the next comes, so
    that one round takes the room of one tool."""
    first: dict[str, list[measure.Sample]] = {j.name: [] for j in jobs}
    second: dict[str, list[measure.Sample]] = {j.name: [] for j in jobs}
    size: dict[str, int] = {}
    for number in range(rounds):
        for pack, unpack in zip(jobs, others):
            first[pack.name].append(bench.clock.once(pack))
            second[pack.name].append(bench.clock.once(unpack))
            if number == 0 and unpack.check is not None:
                unpack.check()
            size[pack.name] = pack.outputs[0].stat().st_size
            measure.remove(pack.outputs[0])
            measure.remove(unpack.outputs[0])
    return first, second, size


def _report(bench: Bench, work: str, place: str, kind: str, raw: int,
            found: dict[str, list[measure.Sample]], sizes: dict[str, int],
            missing: list[peers.Peer]) -> None:
    rows = []
    for name, runs in found.items():
        rows.append([name, f"{raw / GB / median(runs):.2f}",
                     f"{raw / GB / median(runs, 'cpu'):.2f}",
                     f"{max(s.peak for s in runs) / MB:.0f}", f"{sizes[name] / raw:.4f}",
                     f"{ratio(runs, found['lmodel']):.2f}"])
        bench.record(NAME, work=work, place=place, model=kind, raw=raw, tool=name,
                     stored=sizes[name], **samples(runs))
    rows += [[p.name, p.missing, "", "", "", ""] for p in missing]
    verb = {"pack": "Packing", "unpack": "Unpacking"}[work]
    bench.table(f"{verb} {kind}, {raw / MB:.0f} MB, {place}",
                ["tool", "GB/s", "GB/s a processor second", "peak MB", "size / raw",
                 "time / lmodel's"], rows, NOTE if place == "disk" else "")
    rivals = {k: v for k, v in found.items() if k not in ("lmodel", "cp")}
    best = min(rivals, key=lambda k: median(rivals[k]))
    times = ratio(rivals[best], found["lmodel"])
    bench.goal(f"{work} {kind}, {place}: speed", f"{times:.2f}x", "faster than every peer",
               times > 1, best, _why(times, best))
    reference = "zstd -3 -T0"
    if reference in found:
        times = ratio(found[reference], found["lmodel"])
        bench.goal(f"{work} {kind}, {place}: speed against zstd", f"{times:.2f}x",
                   "at least 2x", times >= 2, reference)


def _why(times: float, best: str) -> str:
    if times > 1:
        return ""
    return (f"{best} neither verifies nor makes an archive" if best in ("ZipNN", "OpenZL",
                                                                        "c-blosc2") else "")


def run(bench: Bench) -> None:
    """Whole processes: reading, coding, hashing, writing."""
    everyone = [p for p in bench.codecs() if not p.slow]
    found = [p for p in everyone if not p.missing]
    missing = [p for p in everyone if p.missing]
    for place, folder in bench.places():
        for kind, dtype in KINDS:
            disk = place == "disk"
            raw = bench.model(kind, bench.options.size // 2 if disk else None,
                              bench.place("models", disk=disk))
            bench.say(f"speed with {kind}, {place}")
            rounds = bench.options.rounds
            packing, unpacking = _jobs(bench, raw, folder, dtype, found, disk)
            first, second, sizes = _take_turns(bench, packing, unpacking, rounds)
            size = raw.stat().st_size
            _report(bench, "pack", place, kind, size, first, sizes, missing)
            _report(bench, "unpack", place, kind, size, second, sizes, missing)
