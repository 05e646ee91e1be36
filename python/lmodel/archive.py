"""Open archives."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import threading
import types
import weakref
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Optional

import numpy as np

from . import _abi, _arrays, _torch, views
from ._keyring import Identity, Passphrase, given, keyring
from ._library import Path, Progress, Running, c_path, c_text, call, library
from .dtypes import Dtype
from .errors import (CorruptError, DegradedWarning, NoKeyError, ObfuscationWarning, UsageError,
                     warn)
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

    @functools.cached_property
    def tensors(self) -> Mapping[str, views.TensorInfo]:
        """Name to TensorInfo, in the order of the data."""
        with self._open() as handle:
            lib, of = library(), views.shards(handle)
            rows = (views.tensor(lib.lmodel_tensor_at(handle, i).contents, of)
                    for i in range(self.info.tensor_count))
            return types.MappingProxyType({row.name: row for row in rows})

    def keys(self) -> list[str]:
        """Names of tensors, in the order of their data."""
        return list(self.tensors)

    def __iter__(self) -> Iterator[str]:
        return iter(self.tensors)

    def __len__(self) -> int:
        return len(self.tensors)

    def __contains__(self, name: object) -> bool:
        return name in self.tensors

    @functools.cached_property
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
        tiers = self.tiers
        return bool(tiers) and self.level != tiers[-1].name

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
        """The bytes of a side file; UsageError when there is none of that name."""
        with self._open() as handle:
            names = [a.name for a in views.attachments(handle)]
            if name not in names:
                raise UsageError(f"{self._path}: has no side file {name!r}")
            row = library().lmodel_attachment_at(handle, names.index(name))
            data = bytearray(row.contents.bytes)
            if data:
                buffer = (ctypes.c_char * len(data)).from_buffer(data)
                call("lmodel_attachment_read", handle, row, 0, buffer, len(data))
            return bytes(data)

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
            warn(f"{self._path}: {now}: tier {self.tiers[-1].name} is not open; give a key, or "
                 "base=True or tier=... if this is wanted", DegradedWarning)

    def _read_ranges(self, rows: list[tuple[str, int, int, int]], jobs: int | None = None,
                    progress: Progress = None) -> None:
        """Raw bytes into memory, by several threads: rows of (tensor name, first byte, bytes,
        address). The memory stays the caller's; on failure its content is undefined."""
        self._warn()
        running = Running(jobs, progress)
        with self._open() as handle:
            reads = (_abi.Read * len(rows))()
            for read, (name, offset, length, address) in zip(reads, rows):
                tensor = library().lmodel_tensor_find(handle, c_text(name))
                if not tensor:
                    raise UsageError(f"{self._path}: has no tensor {name!r}")
                read.tensor, read.offset, read.len, read.buffer = tensor, offset, length, address
            running.call("lmodel_read_tensors", handle, reads, len(rows),
                         ctypes.byref(running.struct))

    def _read(self, names: Iterable[str] | None, jobs: int | None, bf16: str,
              progress: Progress) -> dict[str, tuple[np.ndarray, Dtype]]:
        if isinstance(names, str):
            names = [names]
        wanted = [self.tensor_info(n) for n in (self.keys() if names is None else names)]
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


# ---- opening ----


def check_signers(handle: ctypes.c_void_p, signers: Path | None, required: bool) -> str | None:
    """Who of `signers` has signed; None when nobody is asked for. CorruptError when nobody has."""
    signers = signers or os.environ.get("LMODEL_SIGNERS") or None
    if signers is None:
        if required:
            raise UsageError("require_signature needs signers")
        return None
    principal = ctypes.c_char_p()
    call("lmodel_check_signers", handle, c_path(signers), ctypes.byref(principal))
    name = (principal.value or b"").decode("utf-8", "replace")
    free = ctypes.CDLL(None).free
    free.argtypes, free.restype = [ctypes.c_void_p], None
    free(ctypes.cast(principal, ctypes.c_void_p))
    return name


def look(path: Path) -> Archive:
    """Opens to look at: at the base, without keys, whoever signed."""
    handle = ctypes.c_void_p()
    call("lmodel_open", ctypes.byref(handle), c_path(path))
    archive = Archive(path, handle)
    call("lmodel_use_tier", handle, None)
    return archive


def _use_highest(handle: ctypes.c_void_p, path: Path, allow_absent: bool) -> None:
    ladder = []
    for tier in views.tiers(handle):
        if not tier.open:
            break
        ladder.append(tier)
    if not ladder:
        raise NoKeyError(f"{path}: the keys given open no weights; base=True gives the public ones")
    absent = next((t for t in ladder if t.absent), None)
    if absent is None:
        call("lmodel_use_tier", handle, ladder[-1].name.encode())
    elif allow_absent:
        library().lmodel_use_highest_present(handle)
    else:
        raise CorruptError(f"{path}: tier {absent.name} is not in this file; allow_absent=True or "
                           "tier=... takes less")


def unlock(handle: ctypes.c_void_p, identity: Identity, passphrase: Passphrase = None,
           **how: bool) -> bool:
    """Opens what the keys open, and proves the archive with it; False when there is no key."""
    with keyring(identity, passphrase, **how) as ring:
        if ring is None:
            return False
        call("lmodel_unlock", handle, ring)
        return True


def _use_level(archive: Archive, handle: ctypes.c_void_p, identity: Identity,
               passphrase: Passphrase, tier: str | None, base: bool, allow_absent: bool,
               **how: bool) -> None:
    count = library().lmodel_tier_count(handle)
    path = archive._path
    if tier is not None and tier not in [t.name for t in views.tiers(handle)]:
        raise UsageError(f"{path}: has no tier {tier!r}")
    if count > 0 and not base and not given(identity, passphrase):
        identity = os.environ.get("LMODEL_IDENTITY") or None
    # A key given beside base=True still proves that the base is the packed one, and an archive
    # without tiers may be a forgery of one that had them.
    unlocked = unlock(handle, identity, passphrase, **how)
    if count == 0:
        return
    if tier is not None and not unlocked:
        raise NoKeyError(f"{path}: tier {tier} needs a key: identity=...")
    if base or tier is not None:
        call("lmodel_use_tier", handle, c_text(tier))
        return
    archive._warned = False
    if unlocked:
        _use_highest(handle, path, allow_absent)
    else:
        call("lmodel_use_tier", handle, None)


def open(path: Path, identity: Identity = None, tier: str | None = None, base: bool = False, *,
         passphrase: Passphrase = None, allow_absent: bool = False, signers: Path | None = None,
         require_signature: bool = False, remember: bool = True,
         allow_rollback: bool = False) -> Archive:
    """Opens an archive for reading, at the highest tier that the keys open.

    ``with lmodel.open("model.lmodel", identity="me.key") as archive: archive.get_tensor("w")``

    Args:
        path: the file.
        identity: key files (age identities, Ed25519 SSH keys, detached grants), or their text as
            bytes; one or several. None: ``$LMODEL_IDENTITY``, if that is set.
        tier: just this tier. NoKeyError when the keys do not open it.
        base: the public weights, and no warning that they are. A key given still has to be right.
        passphrase: for an encrypted key file, or else for a passphrase slot.
        allow_absent: take less where an open tier is not in this file (it was stripped).
        signers: file of those who may have signed (allowed_signers, or minisign keys); one of them
            must have. None: ``$LMODEL_SIGNERS``, if that is set.
        require_signature: fail when there are no signers to check against.
        remember: refuse an archive that is older, or another owner's, than what was seen before
            here; the program does so, too, and remembers in the same place.
        allow_rollback: take it all the same.

    Raises:
        UsageError, NoKeyError (no key opens it), CorruptError (also: not signed, forged, rolled
        back), UnsupportedError, LimitError, LmodelError.

    Warns:
        DegradedWarning: at the first reading of weights, when that is not the top tier, unless
            `base` or `tier` asked for it.
        ObfuscationWarning: a tier is recoverable without a key.
    """
    if base and tier is not None:
        raise UsageError("base and tier exclude each other")
    archive = look(path)
    handle = archive._handle
    try:
        check_signers(handle, signers, require_signature)
        _use_level(archive, handle, identity, passphrase, tier, base, allow_absent,
                   remember=remember, allow_rollback=allow_rollback)
        weak = [t.name for t in views.tiers(handle) if t.obfuscation]
        if weak:
            warn(f"{archive._path}: tier {', '.join(weak)}: {views.OBFUSCATION}",
                 ObfuscationWarning)
    except BaseException:
        archive.close()
        raise
    return archive
