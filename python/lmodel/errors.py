"""Exceptions: one class for each answer of the library (exit codes of the program)."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence


class LmodelError(Exception):
    """The operation failed (1): no such file, disk full, interrupted. Base of all others.

    ``str(error)`` is the library's one sentence, which names file, record and value.
    """

    code = 1


class UsageError(LmodelError, ValueError):
    """The call makes no sense (2): unknown tier, tensor or key, options that exclude each other."""

    code = 2


class NoKeyError(LmodelError, PermissionError):
    """No key given opens what was asked for (3)."""

    code = 3


class CorruptError(LmodelError):
    """The file is damaged, forged, or not signed as required (4)."""

    code = 4
    findings: Sequence[dict[str, str]] = ()  # of verify(): all that is wrong


class UnsupportedError(LmodelError):
    """The file is well-formed but uses what this library, or this dtype's framework, lacks (5)."""

    code = 5


class LimitError(LmodelError):
    """The file is larger than limits against hostile input allow (6)."""

    code = 6


class DegradedWarning(UserWarning):
    """Weights were read below the archive's top tier: some of them are stand-ins.

    Not raised where that was asked for (``base=True`` or ``tier=...``).
    """


class ObfuscationWarning(UserWarning):
    """A tier only obfuscates: its true weights are recoverable without a key."""


_CLASSES = {c.code: c for c in (LmodelError, UsageError, NoKeyError, CorruptError,
                                UnsupportedError, LimitError)}


def from_code(code: int, message: str) -> LmodelError:
    """The exception for a code of ``enum lmodel_code``."""
    return _CLASSES.get(code, LmodelError)(message)


def warn(message: str, category: type[Warning]) -> None:
    """Warns at the line of the caller's own code that led here."""
    package, level = os.path.dirname(__file__) + os.sep, 2
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(package):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)
