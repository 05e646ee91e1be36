"""In place of safetensors.torch: files of either kind, .lmodel and .safetensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ._files import load_any, save_any
from ._library import Path

if TYPE_CHECKING:
    import torch

__all__ = ["load_file", "save_file"]


def load_file(filename: Path, device: Any = "cpu", **opening: Any) -> dict[str, torch.Tensor]:
    """All tensors of an archive or a safetensors file. `opening`: arguments of ``lmodel.open()``,
    such as `identity`, for archives."""
    return load_any(filename, "pt", device, **opening)


def save_file(tensors: Mapping[str, torch.Tensor], filename: Path,
              metadata: Mapping[str, str] | None = None, **packing: Any) -> None:
    """Writes an archive where the name ends in .lmodel, otherwise a safetensors file; replaces what
    is there, as a whole. `packing`: arguments of ``lmodel.save()``, such as `tiers`."""
    save_any(tensors, filename, metadata, **packing)
