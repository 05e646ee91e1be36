"""Archives that are elsewhere: an address in place of a path."""

from __future__ import annotations

import ctypes
import os
from urllib.parse import urlsplit, urlunsplit

from . import _abi
from ._library import Path, c_path, call, library, maybe, options
from .errors import LmodelError


def is_remote(path: Path) -> bool:
    """Whether this is an address: text that begins with https://, http:// or oci://."""
    return isinstance(path, str) and library().lmodel_is_remote(path.encode("utf-8", "replace"))


def shown(path: Path) -> str:
    """What a path or an address is called in messages: no query and no password, which may be
    secrets."""
    if not is_remote(path):
        return os.fspath(path)
    parts = urlsplit(str(path))
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


class Stopper:
    """Ctrl-C while something is fetched: the request ends, and what was raised is raised again."""

    def __init__(self) -> None:
        self.raised: BaseException | None = None
        self.callback = _abi.stopped_fn(self._on_look)

    def _on_look(self, _context: int) -> int:
        # A handler of signals runs between two lines of Python: these are the only ones.
        try:
            return self.raised is not None
        except BaseException as e:  # pylint: disable=broad-except
            self.raised = e
            return 1

    def take(self) -> BaseException | None:
        """What was raised since the last time."""
        raised, self.raised = self.raised, None
        return raised


def open_remote(handle: ctypes.c_void_p, address: str, plain_http: bool,
                cache: Path | bool | None) -> Stopper:
    """Opens what is behind an address; the Stopper has to live as long as the archive."""
    stopper = Stopper()
    directory = None if isinstance(cache, bool) else maybe(c_path, cache)
    how = options(_abi.RemoteOptions, plain_http=plain_http, no_cache=cache is False,
                  cache=directory, stopped=stopper.callback)
    try:
        call("lmodel_open_remote", ctypes.byref(handle), c_path(address), ctypes.byref(how))
    except LmodelError:
        if (raised := stopper.take()) is not None:
            raise raised from None
        raise
    return stopper
