"""Either kind of file, archive or safetensors, behind the interface of the safetensors package."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from typing import Any, Optional, Union

import numpy as np

from . import _torch, safetensors
from ._keyring import Identity
from ._library import Path
from ._remote import is_remote
from .dtypes import find, widen
from .errors import UsageError
from .opening import open as open_archive
from .packing import save
from .slices import TensorSlice

_MAGIC = b"application/vnd.lmodel"
_FRAMEWORKS = {"pt": True, "torch": True, "pytorch": True, "np": False, "numpy": False}


def is_archive(path: Path) -> bool:
    """Whether the file begins as an lmodel archive does, or is an address. Raises OSError."""
    if is_remote(path):
        return True
    with open(path, "rb") as file:
        return file.read(512 + len(_MAGIC))[512:] == _MAGIC


def save_any(tensors: Mapping[str, Any], filename: Path, metadata: Mapping[str, str] | None,
             **packing: Any) -> None:
    """An archive where the name ends in .lmodel, or else a safetensors file; replaced when it is
    there."""
    if os.fspath(filename).endswith(".lmodel"):
        save(filename, tensors, metadata, overwrite=True, **packing)
    elif packing:
        raise UsageError(f"{sorted(packing)[0]} is for archives: a name that ends in .lmodel")
    else:
        from ._protect import arrays

        found, _, names = arrays(tensors)
        safetensors.save(filename, found, metadata, names)


class _PlainSlice:
    """Of a tensor in a safetensors file, as TensorSlice is of one in an archive."""

    def __init__(self, array: np.ndarray, entry: safetensors.Entry) -> None:
        self._array, self._entry = array, entry

    def get_shape(self) -> list[int]:
        """The whole tensor's."""
        return list(self._entry.shape)

    def get_dtype(self) -> str:
        """As in the file: "F32", "BF16", ..."""
        return self._entry.dtype

    def raw(self, key: Any) -> np.ndarray:
        """The part, copied: bits where NumPy lacks the type."""
        return np.array(self._array[key])

    def __getitem__(self, key: Any) -> np.ndarray:
        part = self.raw(key)
        return widen(part) if self._entry.dtype == "BF16" else part

    def to_torch(self, key: Any) -> Any:
        """The part as a tensor of PyTorch."""
        return _torch.from_numpy(self.raw(key), find(self._entry.dtype))


class _Plain:
    """A safetensors file with the methods of Archive that safe_open uses."""

    def __init__(self, path: Path) -> None:
        self._arrays, self._entries, self._metadata = safetensors.load_all(path)

    def close(self) -> None:
        """Lets the mapping go, once no array uses it."""
        self._arrays = {}

    def keys(self) -> list[str]:
        """Names in the order of the data."""
        return list(self._entries)

    def metadata(self) -> dict[str, str]:
        """The file's own."""
        return self._metadata

    def _find(self, name: str) -> np.ndarray:
        if name not in self._arrays:
            raise UsageError(f"there is no tensor {name!r}, or the file is closed")
        return self._arrays[name]

    def get_tensor(self, name: str) -> np.ndarray:
        """A copy, bfloat16 as float32."""
        array = self._find(name)
        return widen(array) if self._entries[name].dtype == "BF16" else array.copy()

    def load_torch(self, names: list[str], device: Any) -> dict[str, Any]:
        """Tensors of PyTorch; the memory is fresh."""
        return {n: _torch.from_numpy(self._find(n).copy(), find(self._entries[n].dtype)).to(device)
                for n in names}

    def get_slice(self, name: str) -> _PlainSlice:
        """To be indexed."""
        return _PlainSlice(self._find(name), self._entries[name])


class FrameworkSlice:
    """A tensor that is read when it is indexed, into an array or tensor as safe_open was told."""

    def __init__(self, part: Union[TensorSlice, _PlainSlice], device: Any) -> None:
        self._part, self._device = part, device

    def get_shape(self) -> list[int]:
        """The whole tensor's."""
        return self._part.get_shape()

    def get_dtype(self) -> str:
        """As in safetensors: "F32", "BF16", ..."""
        return self._part.get_dtype()

    def __getitem__(self, key: Any) -> Any:
        if self._device is None:
            return self._part[key]
        return self._part.to_torch(key).to(self._device)


class safe_open(contextlib.AbstractContextManager["safe_open"]):  # pylint: disable=invalid-name
    """What safetensors calls safe_open, for archives and safetensors files alike.

    ``with lmodel.safe_open("model.lmodel", framework="pt", device="cpu") as f: f.get_tensor("w")``

    framework: "pt" for PyTorch, "np" for NumPy (bfloat16 becomes float32). Further arguments, such
    as `identity`, are those of ``lmodel.open()``; they are for archives.
    """

    def __init__(self, filename: Path, framework: str = "pt", device: Any = "cpu", *,
                 identity: Identity = None, **opening: Any) -> None:
        if framework not in _FRAMEWORKS:
            raise UsageError(f"framework {framework!r} is not one of {', '.join(_FRAMEWORKS)}")
        self._device = device if _FRAMEWORKS[framework] else None
        if self._device is not None:
            _torch.module()
        if is_archive(filename):
            self._file: Any = open_archive(filename, identity, **opening)
        elif identity is not None or any(opening.values()):
            raise UsageError(f"{os.fspath(filename)}: nothing in a safetensors file needs a key")
        else:
            self._file = _Plain(filename)

    def __exit__(self, *_: Any) -> None:
        self._file.close()

    def keys(self) -> list[str]:
        """Names, sorted."""
        return sorted(self._file.keys())

    def offset_keys(self) -> list[str]:
        """Names in the order of the data."""
        return list(self._file.keys())

    def metadata(self) -> Optional[dict[str, str]]:
        """The model's metadata; None when it has none."""
        return self._file.metadata() or None

    def get_tensor(self, name: str) -> Any:
        """One tensor; UsageError when there is none of that name."""
        if self._device is None:
            return self._file.get_tensor(name)
        return self._file.load_torch([name], self._device)[name]

    def get_slice(self, name: str) -> FrameworkSlice:
        """A tensor to be indexed, which reads just that part; it has get_shape(), get_dtype()."""
        return FrameworkSlice(self._file.get_slice(name), self._device)


def load_any(filename: Path, framework: str, device: Any, **opening: Any) -> dict[str, Any]:
    """All tensors, in the order of their data."""
    with safe_open(filename, framework, device, **opening) as file:
        if framework == "pt":
            return file._file.load_torch(file.offset_keys(), device)
        if isinstance(file._file, _Plain):
            return {name: file.get_tensor(name) for name in file.offset_keys()}
        return file._file.load()
