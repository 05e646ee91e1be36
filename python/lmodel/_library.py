"""Finding and loading liblmodel, and calling it: codes become exceptions, callbacks Python ones."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import logging
import os
import pathlib
from collections.abc import Callable, Iterator
from typing import Any, Optional, Union

from . import _abi
from .errors import LmodelError, UsageError, from_code

Path = Union[str, "os.PathLike[str]"]
Progress = Optional[Callable[[int, int], Any]]

SONAME = "liblmodel.so.0"
log = logging.getLogger("lmodel")


def _candidates() -> list[str]:
    """Where to look, best first; a plain name is for the dynamic loader."""
    chosen = os.environ.get("LMODEL_LIBRARY")
    if chosen:
        return [chosen]
    package = pathlib.Path(__file__).resolve().parent
    near = [package / SONAME]
    if package.parent.name in ("site-packages", "dist-packages"):
        near.append(package.parents[2] / SONAME)  # installed together: PREFIX/lib
    return [str(path) for path in near if path.exists()] + [SONAME]


@functools.lru_cache(maxsize=None)
def library() -> ctypes.CDLL:
    """liblmodel, loaded once, with prototypes. LmodelError says what to do when it is missing."""
    problems = []
    for path in _candidates():
        try:
            lib = ctypes.CDLL(path)
        except OSError as e:
            problems.append(str(e))
            continue
        for name, (result, arguments) in _abi.FUNCTIONS.items():
            try:
                function = getattr(lib, name)
            except AttributeError:
                raise LmodelError(f"{path} has no {name}(): it is older than this package") \
                    from None
            function.restype = result
            function.argtypes = arguments
        return lib
    raise LmodelError(f"liblmodel cannot be loaded ({'; '.join(problems)}): install lmodel, or set "
                      f"LMODEL_LIBRARY to the path of {SONAME}")


def version() -> str:
    """Version of the library that is running, e.g. "0.1.0"."""
    return library().lmodel_version().decode()


def call(name: str, *arguments: Any) -> None:
    """Calls a function that takes an error last and gives a code; raises its exception."""
    error = _abi.Error()
    code = getattr(library(), name)(*arguments, ctypes.byref(error))
    if code != _abi.LMODEL_OK:
        raise from_code(code, error.message.decode("utf-8", "replace"))


def text(value: bytes | None) -> str | None:
    """A string of the library's; NULL is None."""
    return None if value is None else value.decode("utf-8")


def c_text(value: str, what: str = "text") -> bytes:
    """A string for the library; UsageError when it cannot be one."""
    if not isinstance(value, str):
        raise UsageError(f"{what}: {type(value).__name__} is not text")
    if "\0" in value:
        raise UsageError(f"{what}: {value!r} holds a NUL")
    try:
        return value.encode("utf-8")
    except UnicodeEncodeError:
        raise UsageError(f"{what}: {value!r} is not Unicode") from None


def c_path(path: Path) -> bytes:
    """A path for the library, for which "-" is a standard stream: here it is a file."""
    try:
        name = os.fsencode(path)
    except TypeError:
        raise UsageError(f"{type(path).__name__} is not a path") from None
    if b"\0" in name or not name:
        raise UsageError(f"{path!r} cannot be a path")
    return b"./-" if name == b"-" else name


def maybe(convert: Callable[..., bytes], value: Any, *more: Any) -> bytes | None:
    """``convert(value, ...)``; None stays None, which is NULL."""
    return None if value is None else convert(value, *more)


def c_list(values: list[bytes | None]) -> Any:
    """An array of strings, or None for an empty one."""
    return (ctypes.c_char_p * len(values))(*values) if values else None


def options(kind: Any, **fields: Any) -> Any:
    """An options struct that knows its size."""
    return kind(size=ctypes.sizeof(kind), **fields)


class Running:
    """The callbacks of one call. What they raise, Ctrl-C included, stops it and is raised again."""

    def __init__(self, jobs: int | None = None, progress: Progress = None) -> None:
        if jobs is not None and not 0 <= jobs < 2**32:
            raise UsageError(f"jobs: {jobs}")
        self.raised: BaseException | None = None
        self._progress = progress
        # Kept: ctypes does not hold on to callbacks in structs.
        self._callbacks = (_abi.progress_fn(self._on_progress), _abi.notice_fn(self._on_notice))
        self.struct = _abi.Run(jobs or 0, *self._callbacks, None)

    @property
    def notice(self) -> Any:
        """The callback for notices alone."""
        return self._callbacks[1]

    def _on_progress(self, _context: int, done: int, total: int) -> int:
        try:
            if self._progress is not None and self.raised is None:
                self._progress(done, total)
        except BaseException as e:  # pylint: disable=broad-except
            self.raised = e
        return self.raised is not None

    def _on_notice(self, _context: int, message: bytes) -> None:
        try:
            log.warning("%s", message.decode("utf-8", "replace"))
        except BaseException as e:  # pylint: disable=broad-except
            self.raised = e

    def call(self, name: str, *arguments: Any) -> None:
        """``call()``, whose failure gives way to what a callback raised."""
        try:
            call(name, *arguments)
        except LmodelError:
            if self.raised is not None:
                raise self.raised from None
            raise
        if self.raised is not None:
            raise self.raised


@contextlib.contextmanager
def memory_file(name: str) -> Iterator[tuple[Any, str]]:
    """A file in memory, open for writing, and the path under which this process can read it."""
    fd = os.memfd_create(name, os.MFD_CLOEXEC)
    with os.fdopen(fd, "r+b") as file:
        yield file, f"/proc/self/fd/{fd}"
