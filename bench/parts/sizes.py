"""How small: every codec on every model, beside the entropy of the byte planes."""
from __future__ import annotations

from pathlib import Path

from lib import data, measure, peers
from lib.context import MB, Bench

NAME = "sizes"
# Synthetic models at most this long: sizes do not depend on more.
LIMIT = 128_000_000
SLOW = 32_000_000  # zstd -19 takes minutes over more
KINDS = ("bf16", "fp32", "trained-bf16", "trained-fp32", "widened")


def _dtype(path: Path) -> str:
    """What a codec for numbers is told that the file holds."""
    if path.suffix == ".gguf":
        return "BF16" if ".f16" in path.name else "U8"
    head = path.open("rb").read(1 << 20)
    return "BF16" if head.count(b'"BF16"') > head.count(b'"F32"') else "F32"


def _lmodel(bench: Bench, path: Path, level: str) -> int:
    packed, back = bench.work / "size.lmodel", bench.work / "size.back"
    bench.run("pack", "-q", "-f", "--level", level, "-o", packed, path)
    bench.run("extract", "-q", "-f", "--format", "native", "-o", back, packed)
    measure.must_equal(f"lmodel --level {level}", back, path)()
    size = packed.stat().st_size
    measure.remove(packed)
    measure.remove(back)
    return size


def _peer(bench: Bench, peer: peers.Peer, path: Path) -> int:
    packed, back = bench.work / "size.packed", bench.work / "size.back"
    dtype = _dtype(path)
    bench.clock.once(peer.packing(path, packed, dtype))
    bench.clock.once(peer.unpacking(packed, back, dtype))
    measure.must_equal(peer.name, back, path)()
    size = packed.stat().st_size
    measure.remove(packed)
    measure.remove(back)
    return size


def _models(bench: Bench) -> list[tuple[str, Path]]:
    size = min(bench.options.size, LIMIT)
    found = [(kind, bench.model(kind, size)) for kind in KINDS]
    path = bench.place("models") / "quantised.gguf"
    data.quantised(path, bench.options.build.parent / "tests/lib/mkgguf.py"
                   if (bench.options.build.parent / "tests/lib/mkgguf.py").exists() else
                   Path(__file__).resolve().parents[2] / "tests/lib/mkgguf.py",
                   2 if bench.options.quick else 24)
    found.append(("quantised.gguf", path))
    real = bench.real_models()
    if bench.options.quick:
        real = [p for p in real if p.stat().st_size < 4e6]
    return found + [(p.name, p) for p in real]


def run(bench: Bench) -> None:
    """Sizes as shares of raw; each result is unpacked and compared."""
    codecs = [p for p in bench.codecs() if p.name not in ("cp",)]
    levels = ("fast", "default", "small")
    rows = []
    for name, path in _models(bench):
        raw = path.stat().st_size
        bench.say(f"size of {name}, {raw / MB:.1f} MB")
        shares: dict[str, float] = {}
        for level in levels:
            shares[f"lmodel {level}"] = _lmodel(bench, path, level) / raw
        for peer in codecs:
            if peer.missing or (peer.slow and raw > SLOW) or (
                    peer.floats and _dtype(path) == "U8"):
                continue
            shares[peer.name] = _peer(bench, peer, path) / raw
        bound = data.planes_entropy(path) if path.suffix == ".safetensors" else None
        bench.record(NAME, model=name, raw=raw, shares=shares, planes_entropy=bound)
        others = {k: v for k, v in shares.items() if not k.startswith("lmodel")}
        best = min(others, key=lambda k: others[k])
        own = shares["lmodel default"]
        rows.append([name, f"{raw / MB:.1f}"] + [f"{shares[f'lmodel {v}']:.4f}" for v in levels] +
                    [_cell(shares, p, raw) for p in codecs] +
                    [f"{bound:.4f}" if bound is not None else ""])
        bench.goal(f"size of {name}, default level", f"{own:.4f} of raw",
                   f"no more than {others[best]:.4f}", own <= others[best] + 5e-5, best)
        if bound is not None and raw > 10e6:
            bench.goal(f"size of {name} against the entropy of its planes",
                       f"{own / bound:.4f} of it", "no more than 1.01", own <= 1.01 * bound)
        limit = {"bf16": 0.6625, "fp32": 0.832}.get(name)
        if limit is not None:
            bench.goal(f"size of {name}, absolute", f"{own:.4f} of raw",
                       f"no more than {limit}", own <= limit)
    bench.table("Size, as a share of raw",
                ["model", "MB"] + [f"lmodel {v}" for v in levels] +
                [p.name for p in codecs] + ["entropy of the planes"], rows,
                "Every result was unpacked and compared with what went in. `lmodel` has its "
                "manifest twice in the file, which shows in models of a megabyte. The "
                "entropy is that of each byte plane of each tensor, order 0, without a table.")


def _cell(shares: dict[str, float], peer: peers.Peer, raw: int) -> str:
    if peer.name in shares:
        return f"{shares[peer.name]:.4f}"
    if peer.missing:
        return "not here"
    return "not run (slow)" if peer.slow and raw > SLOW else "no floats"
