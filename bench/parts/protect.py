"""What protection costs: two tiers, 8 % of the weights, against packing plain and against age."""
from __future__ import annotations

from lib import measure, peers
from lib.context import GB, MB, Bench, samples
from lib.measure import median, ratio

NAME = "protect"
TIERS = ["--tier", "silver=4%", "--tier", "gold=8%"]


def run(bench: Bench) -> None:
    """Cached input, in memory."""
    _, owner = bench.key("owner")
    identity, customer = bench.key("customer")
    age = [peers.encrypting(identity, customer, tar=False),
           peers.encrypting(identity, customer, tar=True)]
    here = [p for p in age if not p.missing]
    for kind in ("bf16", "fp32"):
        raw = bench.model(kind)
        bench.say(f"protection of {kind}")
        own = {n: (bench.work / f"{n}.lmodel", bench.work / f"{n}.back") for n in ("plain", "tiers")}
        keys = [*TIERS, "--owner", owner, "-r", f"{customer}=gold"]
        packing = [
            bench.job("plain", "pack", "-q", "-o", own["plain"][0], raw,
                      outputs=[own["plain"][0]]),
            bench.job("tiers", "pack", "-q", *keys, "-o", own["tiers"][0], raw,
                      outputs=[own["tiers"][0]])]
        unpacking = [
            bench.job("plain", "extract", "-q", "--format", "native", "-o", own["plain"][1],
                      own["plain"][0], outputs=[own["plain"][1]],
                      check=measure.must_equal("extract", own["plain"][1], raw)),
            bench.job("tiers", "extract", "-q", "--format", "native", "-i", identity, "-o",
                      own["tiers"][1], own["tiers"][0], outputs=[own["tiers"][1]],
                      check=measure.must_equal("extract of all tiers", own["tiers"][1], raw))]
        for number, peer in enumerate(here):
            packed, back = bench.work / f"{number}.age", bench.work / f"{number}.back"
            packing.append(peer.packing(raw, packed, kind))
            unpacking.append(peer.unpacking(packed, back, kind))
            unpacking[-1].check = measure.must_equal(peer.name, back, raw)
        packed = bench.clock.compare(packing, bench.options.rounds)
        unpacked = bench.clock.compare(unpacking, bench.options.rounds)
        sizes = {job.name: job.outputs[0].stat().st_size for job in packing}
        for job in [*packing, *unpacking]:
            measure.remove(job.outputs[0])
        _tell(bench, kind, raw.stat().st_size, packed, unpacked, sizes,
              [p for p in age if p.missing])


def _tell(bench: Bench, kind: str, raw: int, packed: dict[str, list[measure.Sample]],
          unpacked: dict[str, list[measure.Sample]], sizes: dict[str, int],
          missing: list[peers.Peer]) -> None:
    rows = []
    names = {"plain": "lmodel, nothing encrypted", "tiers": "lmodel, two tiers, 8 %"}
    for name, runs in packed.items():
        back = unpacked[name]
        rows.append([names.get(name, name), f"{raw / GB / median(runs):.2f}",
                     f"{ratio(runs, packed['plain']):.2f}",
                     f"{ratio(runs, packed['plain'], 'cpu'):.2f}",
                     f"{raw / GB / median(back):.2f}", f"{ratio(back, unpacked['plain']):.2f}",
                     f"{ratio(back, unpacked['plain'], 'cpu'):.2f}",
                     f"{max(s.peak for s in runs) / MB:.0f}",
                     f"{max(s.peak for s in back) / MB:.0f}", f"{sizes[name] / raw:.4f}"])
        bench.record(NAME, model=kind, raw=raw, tool=name, stored=sizes[name],
                     pack=samples(runs), unpack=samples(back))
    rows += [[p.name, p.missing] + [""] * 8 for p in missing]
    bench.table(f"Protection, {kind}, {raw / MB:.0f} MB, memory",
                ["tool", "pack GB/s", "time / plain", "processor / plain", "unpack GB/s",
                 "time / plain", "processor / plain", "pack peak MB", "unpack peak MB",
                 "size / raw"], rows)
    times = ratio(packed["tiers"], packed["plain"])
    bench.goal(f"pack {kind} with two tiers, 8 %, against packing plain", f"{times:.2f}x the time",
               "at most 1.5x", times <= 1.5)
    times = ratio(unpacked["tiers"], unpacked["plain"])
    bench.goal(f"extract {kind}, all tiers, against extracting plain", f"{times:.2f}x the time",
               "at most 1.3x", times <= 1.3)
    rivals = [n for n in packed if n not in names]
    for work, found in (("pack", packed), ("extract", unpacked)):
        if not rivals:
            continue
        best = min(rivals, key=lambda n: median(found[n]))
        times = ratio(found[best], found["tiers"])
        bench.goal(f"{work} {kind} with two tiers, against age", f"{times:.2f}x as fast",
                   "faster", times > 1, best)
