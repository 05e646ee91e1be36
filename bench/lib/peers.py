"""The other tools: how each packs a file and gets it back, and whether it is here.

A peer that is not here stays in the tables with the reason.
"""
from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

from . import build
from .measure import Job

Commands = list[list[str | Path]]


@dataclasses.dataclass
class Peer:
    """How to pack `raw` into `packed` and to get `back` from that. The functions take (raw or
    packed, result, dtype) and return commands that are joined by pipes; standard output of the
    last goes to the result when `piped`."""
    name: str
    pack: Callable[[Path, Path, str], Commands]
    unpack: Callable[[Path, Path, str], Commands]
    piped: tuple[bool, bool] = (False, False)
    missing: str = ""
    slow: bool = False     # small files alone
    floats: bool = False   # knows arrays of BF16 and F32 alone
    encrypts: bool = False

    def packing(self, raw: Path, packed: Path, dtype: str) -> Job:
        """The job that packs."""
        return Job(self.name, self.pack(raw, packed, dtype), outputs=[packed],
                   stdout=packed if self.piped[0] else None)

    def unpacking(self, packed: Path, back: Path, dtype: str) -> Job:
        """The job that unpacks."""
        return Job(self.name, self.unpack(packed, back, dtype), outputs=[back],
                   stdout=back if self.piped[1] else None)


def _absent(*programs: str) -> str:
    gone = [p for p in programs if shutil.which(p) is None]
    return f"not here: {', '.join(gone)} not installed" if gone else ""


def zstd(level: int, slow: bool = False) -> Peer:
    """zstd on the raw bytes, by all processors."""
    return Peer(f"zstd -{level} -T0",
                lambda raw, out, _: [["zstd", "-q", "-f", f"-{level}", "-T0", raw, "-o", out]],
                lambda out, back, _: [["zstd", "-q", "-f", "-d", out, "-o", back]],
                missing=_absent("zstd"), slow=slow)


def archivers() -> list[Peer]:
    """tar with zstd, bsdtar, a plain copy."""
    return [
        Peer("tar | zstd -3 -T0",
             lambda raw, out, _: [["tar", "-C", raw.parent, "-cf", "-", raw.name],
                                  ["zstd", "-q", "-3", "-T0", "-c"]],
             lambda out, back, _: [["zstd", "-q", "-d", "-c", out], ["tar", "-xOf", "-"]],
             piped=(True, True), missing=_absent("tar", "zstd")),
        Peer("bsdtar --zstd",
             lambda raw, out, _: [["bsdtar", "--zstd", "-C", raw.parent, "-cf", out, raw.name]],
             lambda out, back, _: [["bsdtar", "-xOf", out]],
             piped=(False, True), missing=_absent("bsdtar")),
        Peer("cp",
             lambda raw, out, _: [["cp", "--sparse=never", raw, out]],
             lambda out, back, _: [["cp", "--sparse=never", out, back]]),
    ]


def encrypting(identity: Path, recipient: str, tar: bool) -> Peer:
    """zstd, or tar with zstd, through age."""
    first: Callable[[Path], Commands] = (
        (lambda raw: [["tar", "-C", raw.parent, "-cf", "-", raw.name],
                      ["zstd", "-q", "-3", "-T0", "-c"]]) if tar else
        (lambda raw: [["zstd", "-q", "-3", "-T0", "-c", raw]]))
    last: Commands = [["tar", "-xOf", "-"]] if tar else []
    return Peer(("tar | " if tar else "") + "zstd -3 -T0 | age",
                lambda raw, out, _: [*first(raw), ["age", "-r", recipient, "-o", out]],
                lambda out, back, _: [["age", "-d", "-i", identity, out],
                                      ["zstd", "-q", "-d", "-c"], *last],
                piped=(False, True), missing=_absent("zstd", "age"), encrypts=True)


def _driven(name: str, program: build.Built) -> Peer:
    return Peer(name,
                lambda raw, out, dtype: [[program.path, "pack", dtype, raw, out]],
                lambda out, back, dtype: [[program.path, "unpack", dtype, out, back]],
                missing=program.missing, floats=True)


def codecs(sources: Path | None, folder: Path, cc: str) -> list[Peer]:
    """Codecs for numbers that are in no distribution, built from their source."""
    return [_driven("ZipNN", build.zipnn(sources, folder, cc)),
            _driven("OpenZL", build.openzl(sources, folder, cc)),
            _driven("c-blosc2", build.blosc2(sources, folder, cc))]


def compressors(sources: Path | None, folder: Path, cc: str) -> list[Peer]:
    """All that make a file smaller, or copy it."""
    return [zstd(1), zstd(3), zstd(19, slow=True), *archivers(), *codecs(sources, folder, cc)]
