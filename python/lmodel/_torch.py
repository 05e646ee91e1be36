"""Between NumPy memory and torch tensors, without copies. Imports torch on first use."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from .dtypes import Dtype, find
from .errors import LmodelError, UnsupportedError, warn

if TYPE_CHECKING:
    import torch

_WIDER = {"U16": "<i4", "U32": "<i8", "U64": "<i8"}
_AS_SIGNED = {1: "|i1", 2: "<i2", 4: "<i4", 8: "<i8"}


def module() -> ModuleType:
    """The torch module; LmodelError when it is not installed."""
    try:
        import torch
    except ImportError:
        raise LmodelError("PyTorch is not installed (Debian: python3-torch)") from None
    return torch


def from_numpy(array: np.ndarray, dtype: Dtype) -> torch.Tensor:
    """The array's memory as a tensor of `dtype`; `array` holds its bits (see ``Dtype.numpy``).

    No copy, with two exceptions for types that this torch lacks: unsigned integers above 8 bits
    become wider signed ones (exact; UnsupportedError where a value of U64 does not fit). 8-bit and
    smaller floats that it lacks stay bits as uint8, with a UserWarning.
    """
    torch = module()
    wanted = getattr(torch, dtype.torch, None) if dtype.torch else None
    if not array.flags.writeable:
        array = array.copy()
    if wanted is not None:
        size = array.dtype.itemsize
        if dtype.exact and dtype.name not in _WIDER:
            return torch.from_numpy(array)
        return torch.from_numpy(array.view(_AS_SIGNED[size])).view(wanted)
    if dtype.name in _WIDER:
        wide = array.astype(_WIDER[dtype.name])
        if dtype.name == "U64" and (wide < 0).any():
            raise UnsupportedError(f"torch {torch.__version__} has no uint64, and a value does "
                                   "not fit int64")
        return torch.from_numpy(wide)
    warn(f"torch {torch.__version__} has no {dtype.name}: its bits are given as uint8", UserWarning)
    return torch.from_numpy(array)


def to_numpy(tensor: torch.Tensor) -> tuple[np.ndarray, Dtype]:
    """The tensor's bits, row-major, and its element type. Copies only what is not contiguous
    memory of the CPU. UnsupportedError for quantized and sparse tensors and odd types."""
    torch = module()
    name = str(tensor.dtype).removeprefix("torch.")
    dtype = _BY_TORCH.get(name)
    if dtype is None or tensor.layout != torch.strided:
        raise UnsupportedError(f"tensors of {tensor.dtype}, {tensor.layout} cannot be stored")
    # The raw memory: a pending conjugation or negation must have happened.
    tensor = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous()
    if dtype.exact and dtype.name not in _WIDER:
        return tensor.numpy(), dtype
    bits = tensor.view(torch.int16 if dtype.bits == 16 else
                       {8: torch.uint8, 32: torch.int32, 64: torch.int64}[dtype.bits])
    return bits.numpy().view(dtype.numpy), dtype


_BY_TORCH = {d.torch: d for d in map(find, (
    "BOOL", "U8", "I8", "U16", "I16", "U32", "I32", "U64", "I64", "F16", "BF16", "F32", "F64",
    "C64", "F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"))}
