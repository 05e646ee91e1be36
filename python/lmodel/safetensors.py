"""Plain safetensors files, read and written with NumPy alone.

A file is the length of a JSON header (8 bytes, little-endian), the header, and the tensors' bytes.
Arrays that are read map the file: nothing is copied, writing into them does not change it.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Union

import numpy as np

from . import _torch
from .dtypes import byte_count, find, numpy_shape, of_array
from .errors import CorruptError, LimitError, UsageError

if TYPE_CHECKING:
    import torch

Path = Union[str, "os.PathLike[str]"]

HEADER_LIMIT = 100_000_000


class Entry(NamedTuple):
    """A tensor in the header: element type, shape, and bytes [start, end) of the file."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


def _pairs(path: Path, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise CorruptError(f"{path}: a name is twice in the header")
    return table


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**63


def _entry(path: Path, name: str, row: Any, base: int) -> Entry:
    if not isinstance(row, dict) or not {"dtype", "shape", "data_offsets"} <= row.keys():
        raise CorruptError(f"{path}: {name!r}: not dtype, shape and data_offsets")
    dtype, shape, offsets = row["dtype"], row["shape"], row["data_offsets"]
    if not isinstance(dtype, str) or not isinstance(shape, list) or not all(map(_is_size, shape)):
        raise CorruptError(f"{path}: {name!r}: bad dtype or shape")
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(map(_is_size, offsets)):
        raise CorruptError(f"{path}: {name!r}: bad data_offsets")
    try:
        wanted = byte_count(find(dtype), tuple(shape))
    except UsageError as e:
        raise CorruptError(f"{path}: {name!r}: {e}") from None
    if offsets[1] - offsets[0] != wanted:
        raise CorruptError(f"{path}: {name!r}: {dtype} of {shape} is not "
                           f"{offsets[1] - offsets[0]} bytes")
    return Entry(dtype, tuple(shape), base + offsets[0], base + offsets[1])


def _parse(path: Path, file: Any) -> tuple[dict[str, Entry], dict[str, str]]:
    size = os.fstat(file.fileno()).st_size
    head = file.read(8)
    length = int.from_bytes(head, "little")
    if len(head) < 8 or length > size - 8:
        raise CorruptError(f"{path}: not a safetensors file")
    if length > HEADER_LIMIT:
        raise LimitError(f"{path}: a header of {length} bytes")
    try:
        table = json.loads(file.read(length).decode("utf-8"),
                           object_pairs_hook=lambda pairs: _pairs(path, pairs))
    except (ValueError, RecursionError) as e:
        raise CorruptError(f"{path}: the header is not JSON: {e}") from None
    if not isinstance(table, dict):
        raise CorruptError(f"{path}: the header is not an object")
    metadata = table.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise CorruptError(f"{path}: __metadata__ is not a table of strings")
    rows = sorted(((n, _entry(path, n, row, 8 + length)) for n, row in table.items()),
                  key=lambda item: item[1][2:])
    at = 8 + length
    for name, entry in rows:
        if entry.start != at:
            raise CorruptError(f"{path}: {name!r}: data does not begin where other data ends")
        at = entry.end
    if at != size:
        raise CorruptError(f"{path}: {size} bytes, {at} by the header")
    return dict(rows), metadata


def header(path: Path) -> tuple[dict[str, Entry], dict[str, str]]:
    """Tensors in the order of their data, and metadata; reads the header alone.

    Raises CorruptError, UnsupportedError (unknown dtype), LimitError, OSError.
    """
    with open(path, "rb") as file:
        return _parse(path, file)


def dtypes(path: Path) -> dict[str, str]:
    """Name to element type ("F32", "BF16", ...) as the file says, in the order of the data."""
    return {name: entry.dtype for name, entry in header(path)[0].items()}


def load_all(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Entry], dict[str, str]]:
    """Arrays that map the file, what the header says of them, and the metadata."""
    with open(path, "rb") as file:
        entries, metadata = _parse(path, file)
        # Private: the arrays can be written to (torch insists), the file stays.
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    arrays = {}
    for name, entry in entries.items():
        dtype = find(entry.dtype)
        shape = numpy_shape(dtype, entry.shape)
        array = np.ndarray(shape, dtype.numpy, buffer=data, offset=entry.start)
        arrays[name] = array if array.flags.aligned else array.copy()
    return arrays, entries, metadata


def load(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """All tensors, in the order of their data, and the metadata.

    Element types that NumPy lacks come as unsigned integers that hold their bits: BF16 as uint16,
    8-bit floats as uint8, smaller ones as flat uint8. ``dtypes()`` tells them apart, and
    ``lmodel.dtypes.widen()`` makes float32 of BF16. Errors: as ``header()``.
    """
    arrays, _, metadata = load_all(path)
    return arrays, metadata


def load_torch(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """All tensors as torch tensors (BF16 as bfloat16) that map the file, and the metadata.

    What this torch has no type for: see ``lmodel._torch.from_numpy()``.
    """
    arrays, entries, metadata = load_all(path)
    return {name: _torch.from_numpy(array, find(entries[name].dtype))
            for name, array in arrays.items()}, metadata


def _layout(tensors: Mapping[str, np.ndarray], named: Mapping[str, str]) -> list[tuple[str, Any]]:
    rows = []
    for name, array in tensors.items():
        array = np.asarray(array)
        dtype = find(named[name]) if name in named else of_array(array)
        if name == "__metadata__" or not isinstance(name, str):
            raise UsageError(f"{name!r} cannot be the name of a tensor")
        if array.dtype.newbyteorder("<") != np.dtype(dtype.numpy) or dtype.bits < 8:
            raise UsageError(f"{name!r}: {dtype.name} cannot be made of {array.dtype}")
        rows.append((name, (dtype, array)))
    # Wide elements first, as other writers do: then all data is aligned. Otherwise as given.
    rows.sort(key=lambda row: -row[1][0].bits)
    return rows


def encode_header(rows: list[tuple[str, Any]], metadata: Mapping[str, str] | None) -> bytes:
    """Length and JSON of the header for `rows` of (name, (Dtype, array)), padded to 8 bytes."""
    table: dict[str, Any] = {}
    if metadata:
        if not all(isinstance(s, str) for pair in metadata.items() for s in pair):
            raise UsageError("metadata is not a table of strings")
        table["__metadata__"] = dict(metadata)
    at = 0
    for name, (dtype, array) in rows:
        end = at + array.nbytes
        table[name] = {"dtype": dtype.name, "shape": list(array.shape), "data_offsets": [at, end]}
        at = end
    text = json.dumps(table, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def write(file: Any, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None,
          dtypes: Mapping[str, str] | None = None) -> None:
    """Writes a safetensors file to a binary stream; arguments as ``save()``."""
    rows = _layout(tensors, dtypes or {})
    file.write(encode_header(rows, metadata))
    for _, (dtype, array) in rows:
        array = np.ascontiguousarray(array, dtype=np.dtype(dtype.numpy))
        file.write(array.reshape(-1).view("|u1").data)


def save(path: Path, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None,
         dtypes: Mapping[str, str] | None = None) -> None:
    """Writes a safetensors file, whole or not at all: a temporary name, then a rename.

    `dtypes` names the element type of arrays that hold bits, for instance ``{"w": "BF16"}`` for a
    uint16 array. Tensors of wider elements come first, else in the order given.
    Raises UsageError, UnsupportedError (arrays of objects, strings, ...), OSError.
    """
    path = os.fspath(path)
    temporary = os.path.join(os.path.dirname(path), f".lmodel-{secrets.token_hex(8)}")
    try:
        with open(temporary, "xb") as file:
            write(file, tensors, metadata, dtypes)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def save_torch(path: Path, tensors: Mapping[str, torch.Tensor],
               metadata: Mapping[str, str] | None = None) -> None:
    """Writes torch tensors as ``save()`` does; storage that tensors share is written for each."""
    arrays, names = {}, {}
    for name, tensor in tensors.items():
        arrays[name], dtype = _torch.to_numpy(tensor)
        names[name] = dtype.name
    save(path, arrays, metadata, names)
