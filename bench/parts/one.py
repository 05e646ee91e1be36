"""One tensor out of a large archive, against tar and zstd, which have to read all before it."""
from __future__ import annotations

import json
import struct
from pathlib import Path

from lib import measure
from lib.context import GB, Bench, samples
from lib.measure import Job, median, ratio

NAME = "one"


def _as_files(model: Path, folder: Path) -> list[str]:
    """Each tensor of a safetensors file as a file of its own; their names."""
    folder.mkdir()
    with model.open("rb") as f:
        (length,) = struct.unpack("<Q", f.read(8))
        header = json.loads(f.read(length))
        for name, entry in header.items():
            begin, end = entry["data_offsets"]
            f.seek(8 + length + begin)
            (folder / name).write_bytes(f.read(end - begin))
    return list(header)


def run(bench: Bench) -> None:
    """A tensor in the middle; the archive in the page cache."""
    size = min(4 * bench.options.size, bench.options.huge)
    disk = bench.place("one", disk=True)
    model = bench.model("bf16", size, disk)
    files, packed, tar, out = (disk / "files", disk / "one.lmodel", disk / "one.tar.zst",
                               bench.work / "one.raw")
    bench.say("one tensor: making the archives")
    names = _as_files(model, files)
    # The smallest in the middle: what is not its own bytes is what tells the two apart.
    name = min((n for n in names[len(names) // 2 - 3:len(names) // 2 + 3]),
               key=lambda n: (files / n).stat().st_size)
    large = max((n for n in names[len(names) // 2 - 3:len(names) // 2 + 3]),
                key=lambda n: (files / n).stat().st_size)
    bench.run("pack", "-q", "-f", "-o", packed, model)
    bench.clock.once(Job("tar", [["tar", "-C", files, "-cf", "-", *names],
                                 ["zstd", "-q", "-3", "-T0", "-c"]], stdout=tar))
    rows = []
    for wanted in (name, large):
        length = (files / wanted).stat().st_size
        found = bench.clock.compare([
            bench.job("lmodel", "cat", "--raw", packed, wanted, stdout=out,
                      check=measure.must_equal("lmodel cat", out, files / wanted)),
            # GNU tar can be told that the first of its name is all: it still has to come to it.
            Job("tar", [["tar", "--zstd", "--occurrence=1", "-xOf", tar, wanted]], stdout=out,
                check=measure.must_equal("tar", out, files / wanted)),
        ], bench.options.rounds)
        own, other = median(found["lmodel"]), median(found["tar"])
        rows.append([f"{length / 1e3:.0f} kB", f"{1e3 * own:.1f}", f"{1e3 * other:.0f}",
                     f"{ratio(found['tar'], found['lmodel']):.0f}x"])
        bench.record(NAME, raw=model.stat().st_size, tensor=length,
                     lmodel=samples(found["lmodel"]), tar=samples(found["tar"]))
        if wanted == name:
            bench.goal(f"one tensor of {length / 1e3:.0f} kB out of "
                       f"{model.stat().st_size / GB:.1f} GB", f"{1e3 * own:.1f} ms",
                       "milliseconds: under 20", own < 0.020, f"tar --zstd: {1e3 * other:.0f} ms")
    bench.table(f"One tensor from the middle of {model.stat().st_size / GB:.1f} GB, bf16",
                ["tensor", "lmodel cat, ms", "tar --zstd, ms", "faster"], rows,
                "Both archives are in the page cache. tar stops after the tensor.")
    for path in (files, packed, tar, out):
        measure.remove(path)
