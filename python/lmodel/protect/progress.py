"""Progress on standard error, where that is a terminal."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")
_WIDTH = 30
_INTERVAL = 0.1  # seconds between two drawings


def bar(iterable: Iterable[Item], label: str, total: int | None = None) -> Iterator[Item]:
    """Yields the items and draws how many were taken; `total` where len() does not tell."""
    stream = sys.stderr
    if not stream.isatty():
        yield from iterable
        return
    if total is None and hasattr(iterable, "__len__"):
        total = len(iterable)
    drawn = 0.0
    try:
        for done, item in enumerate(iterable):
            if time.monotonic() - drawn >= _INTERVAL:
                drawn = time.monotonic()
                _draw(stream, label, done, total)
            yield item
    finally:
        stream.write("\r\x1b[K")
        stream.flush()


def _draw(stream, label: str, done: int, total: int | None) -> None:
    if total:
        filled = min(_WIDTH, done * _WIDTH // total)
        text = f"{label} [{'#' * filled}{'.' * (_WIDTH - filled)}] {done}/{total}"
    else:
        text = f"{label} {done}"
    stream.write(f"\r\x1b[K{text}")
    stream.flush()
