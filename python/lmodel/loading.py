"""A whole model at once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from ._keyring import Identity
from ._library import Path, Progress
from .opening import open as open_archive

if TYPE_CHECKING:
    import torch


def load(path: Path, identity: Identity = None, names: Iterable[str] | None = None,
         tier: str | None = None, base: bool = False, jobs: int | None = None, *,
         bf16: str = "float32", progress: Progress = None,
         **opening: Any) -> dict[str, np.ndarray]:
    """The tensors of an archive as NumPy arrays, in the order of their data.

    They are decoded by several threads right into the arrays' memory: there is no second copy.

    Args:
        path, identity, tier, base, and others by name: as ``lmodel.open()``.
        names: these alone. UsageError for one that is not there.
        jobs: threads; None: one a processor.
        bf16: NumPy has no bfloat16. "float32": converted, which is exact; "raw": the bits, as
            uint16. Other types that NumPy lacks are always bits: 8-bit floats uint8, those below a
            byte a flat array of bytes.
        progress: called with bytes done and in all, a few times a second; what it raises stops the
            reading, as Ctrl-C does.

    Raises and warns as ``lmodel.open()``.
    """
    with open_archive(path, identity, tier, base, **opening) as archive:
        return archive.load(names, jobs=jobs, bf16=bf16, progress=progress)


def load_torch(path: Path, identity: Identity = None, names: Iterable[str] | None = None,
               tier: str | None = None, base: bool = False, jobs: int | None = None, *,
               device: Any = "cpu", progress: Progress = None,
               **opening: Any) -> dict[str, torch.Tensor]:
    """The tensors of an archive as torch tensors, in the memory that they were decoded into;
    bfloat16 is bfloat16.

    What this PyTorch has no type for: 8-bit floats stay bits, as uint8, with a UserWarning (torch
    before 2.1); unsigned integers above 8 bits become wider signed ones (before 2.3). Types below a
    byte are flat uint8. Tensors never share memory, also where the archive stores them once.
    Arguments as ``lmodel.load()``; `device` is where they go then.
    """
    with open_archive(path, identity, tier, base, **opening) as archive:
        return archive.load_torch(names, device, jobs=jobs, progress=progress)
