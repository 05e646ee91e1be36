"""Key rings: what may open an archive, from what a caller gives."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterable, Iterator
from typing import Optional, Union

from . import _abi
from ._library import Path, c_path, call, library, memory_file
from .errors import LmodelError, UsageError

KeySource = Union[Path, bytes]
Identity = Union[KeySource, Iterable[KeySource], None]
Passphrase = Union[str, bytes, None]


def _sources(identity: Identity) -> list[KeySource]:
    if identity is None:
        return []
    if isinstance(identity, (str, bytes, os.PathLike)):
        return [identity]
    return list(identity)


def given(identity: Identity, passphrase: Passphrase) -> bool:
    """Whether there is any key."""
    return passphrase is not None or bool(_sources(identity))


def _state_directory() -> bytes | None:
    """Where the program remembers archives, too; relative paths do not count (XDG)."""
    state, home = os.environ.get("XDG_STATE_HOME", ""), os.environ.get("HOME", "")
    if os.path.isabs(state):
        return os.fsencode(os.path.join(state, "lmodel"))
    if os.path.isabs(home):
        return os.fsencode(os.path.join(home, ".local/state/lmodel"))
    return None


def _add_bytes(ring: ctypes.c_void_p, key: bytes) -> None:
    with memory_file("identity") as (file, path):
        try:
            file.write(key)
            file.flush()
            call("lmodel_keyring_add_file", ring, path.encode())
        except LmodelError as e:
            told = str(e).replace(f"'{path}'", "identity").replace(path, "identity")
            raise type(e)(told) from None
        finally:
            file.seek(0)
            file.write(bytes(len(key)))
            file.flush()


def _add(ring: ctypes.c_void_p, source: KeySource) -> None:
    if isinstance(source, bytes):
        _add_bytes(ring, source)
    elif isinstance(source, str) and "AGE-SECRET-KEY-" in source.upper():
        raise UsageError("identity: text is the path of a file; give a key itself as bytes")
    else:
        call("lmodel_keyring_add_file", ring, c_path(source))


class _Secret:
    """A passphrase, and the callback that gives it. The library wipes its copy; Python cannot."""

    def __init__(self, passphrase: str | bytes) -> None:
        self.bytes = passphrase.encode("utf-8") if isinstance(passphrase, str) else passphrase
        self.used = False
        self.answer = _abi.passphrase_fn(self._answer)

    def _answer(self, _context: int, _what: bytes, buffer: int, size: int) -> int:
        if len(self.bytes) > size:
            return -1
        self.used = True
        ctypes.memmove(buffer, self.bytes, len(self.bytes))
        return len(self.bytes)


@contextlib.contextmanager
def keyring(identity: Identity, passphrase: Passphrase = None, *, remember: bool = True,
            allow_rollback: bool = False) -> Iterator[Optional[ctypes.c_void_p]]:
    """A ring of these keys, wiped at the end; None when none was given.

    `identity`: paths of key files (age identities, Ed25519 SSH keys, detached grants), or their
    text as bytes. `passphrase` opens encrypted identity files, and passphrase slots when no file
    wanted it. `remember`: see ``lmodel.open()``.
    """
    if not given(identity, passphrase):
        yield None
        return
    ring = ctypes.c_void_p()
    call("lmodel_keyring_new", ctypes.byref(ring))
    try:
        if passphrase is not None:
            secret = _Secret(passphrase)
            library().lmodel_keyring_ask(ring, secret.answer, None)
        for source in _sources(identity):
            _add(ring, source)
        library().lmodel_keyring_ask(ring, _abi.passphrase_fn(), None)
        if passphrase is not None and not secret.used:
            call("lmodel_keyring_add_passphrase", ring, secret.bytes, len(secret.bytes))
        directory = _state_directory() if remember else None
        if directory is not None:
            call("lmodel_keyring_remember", ring, directory, allow_rollback)
        yield ring
    finally:
        library().lmodel_keyring_free(ring)
