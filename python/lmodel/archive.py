"""Open archives: looking and reading."""

from __future__ import annotations

import contextlib
import ctypes
import os
import threading
import types
import weakref
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Optional

import numpy as np

from . import _abi, _arrays, _torch, views
from ._library import Path, Progress, Running, c_text, call, library
from .dtypes import Dtype
from .errors import DegradedWarning, UsageError, warn
from .slices import TensorSlice

if TYPE_CHECKING:
    import torch


class Archive(contextlib.AbstractContextManager["Archive"]):
    """An open archive; made by ``lmodel.open()``.

    Immutable, and safe to use from several threads at once, ``close()`` included: reads under way
    end first. Not to be pickled or used on in a forked child: open it there. Left unclosed it
    closes when it is collected. Used when closed it raises UsageError.
    """

    def __init__(self, path: Path, handle: ctypes.c_void_p) -> None:
        self._path = os.fspath(path)
        self._handle = handle
        self._lock = threading.Lock()
        self._users = 0
        self._closed = False
        self._warned = True
        self._tensors: Optional[Mapping[str, views.TensorInfo]] = None
        self._finalizer = weakref.finalize(self, library().lmodel_close, handle)

    def __repr__(self) -> str:
        state = "closed" if self._closed else f"level {self.level!r}"
        return f"<lmodel.Archive {self._path!r}, {state}>"

    def __reduce__(self) -> Any:
        raise TypeError("an open archive cannot be pickled: open it in each process")

    def __exit__(self, *_: Any) -> None:
        self.close()

    def close(self) -> None:
        """Closes, wiping keys; a second time does nothing."""
        with self._lock:
            self._closed = True
            idle = self._users == 0
        if idle:
            self._finalizer()

    @contextlib.contextmanager
    def _open(self) -> Iterator[ctypes.c_void_p]:
        """The handle, for as long as it is in use."""
        with self._lock:
            if self._closed:
                raise UsageError(f"{self._path}: the archive is closed")
            self._users += 1
        try:
            yield self._handle
        finally:
            with self._lock:
                self._users -= 1
                last = self._closed and self._users == 0
            if last:
                self._finalizer()

    # ---- looking ----

    @property
    def tensors(self) -> Mapping[str, views.TensorInfo]:
        """Name to TensorInfo, in the order of the data."""
        with self._open() as handle:
            if self._tensors is None:
                lib, of = library(), views.shards(handle)
                rows = (views.tensor(lib.lmodel_tensor_at(handle, i).contents, of)
                        for i in range(self.info.tensor_count))
                self._tensors = types.MappingProxyType({row.name: row for row in rows})
            return self._tensors

    def keys(self) -> list[str]:
        """Names of tensors, in the order of their data."""
        return list(self.tensors)

    def __iter__(self) -> Iterator[str]:
        return iter(self.tensors)

    def __len__(self) -> int:
        return len(self.tensors)

    def __contains__(self, name: object) -> bool:
        return name in self.tensors

    @property
    def info(self) -> views.Info:
        """The archive as a whole."""
        with self._open() as handle:
            return views.info(handle)

    @property
    def tiers(self) -> list[views.TierInfo]:
        """Lowest first; empty where everything is public."""
        with self._open() as handle:
            return views.tiers(handle)

    @property
    def slots(self) -> list[views.SlotInfo]:
        """Key slots; whose they are shows with an owner's key alone."""
        with self._open() as handle:
            return views.slots(handle)

    @property
    def level(self) -> Optional[str]:
        """The tier at which tensors are read; None: the base, for everybody."""
        with self._open() as handle:
            tier = library().lmodel_tier_in_use(handle)
            return tier.contents.name.decode() if tier else None

    @property
    def degraded(self) -> bool:
        """Whether some weights are stand-ins at this level."""
        names, level = [t.name for t in self.tiers], self.level
        above = 0 if level is None else names.index(level) + 1
        return any(t.tensor_count for t in self.tiers[above:])

    def metadata(self) -> dict[str, str]:
        """The inputs' own metadata; of equal keys, the first input's. See also ``inspect()``."""
        with self._open() as handle:
            found: dict[str, str] = {}
            for _, key, value in views.metadata(handle):
                found.setdefault(key, value)
            return found

    @property
    def attachments(self) -> Mapping[str, views.AttachmentInfo]:
        """Side files by name; ``read_attachment()`` gives their bytes."""
        with self._open() as handle:
            return {a.name: a for a in views.attachments(handle)}

    def read_attachment(self, name: str) -> bytes:
        """The bytes of a side file. UsageError when there is none of that name, NoKeyError when it
        is sealed for a tier that is not open."""
        with self._open() as handle:
            row = library().lmodel_attachment_find(handle, c_text(name))
            if not row:
                raise UsageError(f"{self._path}: has no side file {name!r}")
            # Asked for also when it is empty: it may not be open.
            data = bytearray(row.contents.bytes + 1)
            buffer = (ctypes.c_char * len(data)).from_buffer(data)
            call("lmodel_attachment_read", handle, row, 0, buffer, len(data) - 1)
            return bytes(data[:-1])

    # ---- reading ----

    def tensor_info(self, name: str) -> views.TensorInfo:
        """One tensor's; UsageError when there is none of that name."""
        try:
            return self.tensors[name]
        except (KeyError, TypeError):
            raise UsageError(f"{self._path}: has no tensor {name!r}") from None

    def _warn(self) -> None:
        with self._lock:
            warned, self._warned = self._warned, True
        if not warned and self.degraded:
            level = self.level
            now = "base weights only" if level is None else f"weights of tier {level}"
            top = [t.name for t in self.tiers if t.tensor_count][-1]
            warn(f"{self._path}: {now}: tier {top} is not open; give a key, or "
                 "base=True or tier=... if this is wanted", DegradedWarning)

    def _read_ranges(self, rows: list[tuple[str, int, int, int]], jobs: int | None = None,
                    progress: Progress = None) -> None:
        """Raw bytes into memory, by several threads: rows of (tensor name, first byte, bytes,
        address). The memory stays the caller's; on failure its content is undefined."""
        self._warn()
        running = Running(jobs, progress)
        with self._open() as handle:
            reads = (_abi.Read * len(rows))()
            find = library().lmodel_tensor_find
            for read, (name, offset, length, address) in zip(reads, rows):
                tensor = find(handle, c_text(name))
                if not tensor:
                    raise UsageError(f"{self._path}: has no tensor {name!r}")
                read.tensor, read.offset, read.len, read.buffer = tensor, offset, length, address
            running.call("lmodel_read_tensors", handle, reads, len(rows),
                         ctypes.byref(running.struct))

    def _read(self, names: Iterable[str] | None, jobs: int | None, bf16: str,
              progress: Progress) -> dict[str, tuple[np.ndarray, Dtype]]:
        if isinstance(names, str):
            names = [names]
        wanted = list(self.tensors.values()) if names is None else \
            [self.tensor_info(n) for n in names]
        return _arrays.read(self, wanted, bf16, jobs, progress)

    def load(self, names: Iterable[str] | None = None, *, jobs: int | None = None,
             bf16: str = "float32", progress: Progress = None) -> dict[str, np.ndarray]:
        """Tensors as arrays, all of them or those named, decoded by several threads right into the
        arrays' memory. See ``lmodel.load()``."""
        found = self._read(names, jobs, bf16, progress)
        return {name: array for name, (array, _) in found.items()}

    def load_torch(self, names: Iterable[str] | None = None, device: Any = "cpu", *,
                   jobs: int | None = None,
                   progress: Progress = None) -> dict[str, torch.Tensor]:
        """Tensors of PyTorch. See ``lmodel.load_torch()``."""
        _torch.module()
        found = self._read(names, jobs, "raw", progress)
        return {name: _torch.from_numpy(array, dtype).to(device)
                for name, (array, dtype) in found.items()}

    def get_tensor(self, name: str, *, bf16: str = "float32") -> np.ndarray:
        """One tensor as an array. `bf16`: see ``lmodel.load()``. UsageError when there is none of
        that name."""
        return self.load([name], bf16=bf16)[name]

    def __getitem__(self, name: str) -> np.ndarray:
        return self.get_tensor(name)

    def get_slice(self, name: str, *, bf16: str = "float32") -> TensorSlice:
        """A tensor to be indexed: ``get_slice(name)[0:10]`` reads and decodes no more than the
        chunks that these elements are in."""
        return TensorSlice(self, self.tensor_info(name), bf16)
