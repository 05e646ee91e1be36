"""Making archives, from what is in memory or from files."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable, Mapping
from typing import Any, Union

from . import _abi, safetensors
from ._library import Path, Progress, Running, c_list, c_path, c_text, maybe, memory_file, options
from ._protect import Protection, arrays, choice
from .errors import UsageError

Attach = Union[Mapping[str, Union[Path, tuple[Path, str]]], Iterable[Path], None]


def _attach_rows(attach: Attach) -> list[_abi.Attach]:
    if attach is None:
        return []
    if isinstance(attach, (str, os.PathLike)):
        attach = [attach]
    if not isinstance(attach, Mapping):
        return [_abi.Attach(c_path(path)) for path in attach]
    rows = []
    for name, given in attach.items():
        path, tier = given if isinstance(given, tuple) else (given, None)
        rows.append(_abi.Attach(c_path(path), c_text(name, "attach"),
                                maybe(c_text, tier, "tier")))
    return rows


def _pack(output: Path, inputs: list[bytes], names: list[bytes | None], jobs: int | None,
          progress: Progress, level: str, chunk_bytes: int | None, attach: Attach,
          seed: bytes | None, overwrite: bool, **given: Any) -> None:
    protection = Protection(given)
    if given:
        raise TypeError(f"unexpected keyword argument {sorted(given)[0]!r}")
    running = Running(jobs, progress)
    rows = _attach_rows(attach)
    with protection.struct() as protect:
        how = options(_abi.PackOptions, run=running.struct, level=choice("level", level),
                      chunk_bytes=chunk_bytes or 0,
                      attach=(_abi.Attach * len(rows))(*rows) if rows else None,
                      attach_count=len(rows), seed=seed, seed_len=len(seed or b""),
                      overwrite=overwrite, input_names=c_list(names),
                      protect=ctypes.pointer(protect) if protect is not None else None)
        running.call("lmodel_pack", c_path(output), c_list(inputs), len(inputs),
                     ctypes.byref(how))


def pack(output: Path, inputs: Path | Iterable[Path], *, jobs: int | None = None,
         progress: Progress = None, level: str = "default", chunk_bytes: int | None = None,
         attach: Attach = None, seed: bytes | None = None, overwrite: bool = False,
         **protection: Any) -> None:
    """Packs model files into one archive.

    Args:
        output: the archive; it appears whole or not at all.
        inputs: files of safetensors, GGUF, NumPy or PyTorch, or Hugging Face directories, one or
            several.
        jobs: threads; None: one a processor.
        progress: called with bytes done and in all; what it raises stops, and nothing is left.
        level: "fast", "default" or "small".
        chunk_bytes: raw bytes a chunk, a multiple of 4096.
        attach: side files: paths, or name in the archive to path, or to (path, tier): sealed for
            who has that tier.
        seed: reproducible output, for tests.
        overwrite: replace an output that exists.
        protection: tiers and whom to let in; see ``lmodel.Protection``.

    Raises UsageError, CorruptError (a malformed input), UnsupportedError, LimitError, LmodelError.
    """
    if isinstance(inputs, (str, os.PathLike)):
        inputs = [inputs]
    paths = [c_path(p) for p in inputs]
    _pack(output, paths, [], jobs, progress, level, chunk_bytes, attach, seed, overwrite,
          **protection)


def save(path: Path, tensors: Mapping[str, Any], metadata: Mapping[str, str] | None = None, *,
         dtypes: Mapping[str, str] | None = None, name: str = "model.safetensors",
         jobs: int | None = None, progress: Progress = None, level: str = "default",
         chunk_bytes: int | None = None, attach: Attach = None, seed: bytes | None = None,
         overwrite: bool = False, **protection: Any) -> None:
    """Packs a state dict. Nothing of it is on disk but in the archive: the library reads it from
    memory, where it takes its size once more.

    Args:
        path: the archive; it appears whole or not at all.
        tensors: name to NumPy array or torch tensor. Those with equal bytes, such as tied weights,
            are stored once.
        metadata: text by key, for the archive to carry.
        dtypes: element types of arrays that hold bits: ``{"w": "BF16"}`` for uint16.
        name: what `native` extraction calls the file; a folder in it is also before the names of
            tensors.
        others: as ``pack()``.

    Raises as ``pack()``; UnsupportedError also for arrays of objects or strings, sparse tensors.
    """
    found, _, named = arrays(tensors)
    unknown = set(dtypes or ()) - set(found)
    if unknown:
        raise UsageError(f"dtypes: there is no tensor {sorted(unknown)[0]!r}")
    named.update(dtypes or {})
    with memory_file("model") as (file, source):
        safetensors.write(file, found, metadata, named)
        file.flush()
        _pack(path, [source.encode()], [c_text(name, "name")], jobs, progress, level, chunk_bytes,
              attach, seed, overwrite, **protection)
