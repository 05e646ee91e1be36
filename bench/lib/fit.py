"""Straight lines through measurements."""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def line(x: Sequence[float], y: Sequence[float]) -> tuple[float, float, float]:
    """Slope, value at 0, and R squared of the least squares line."""
    slope, start = np.polyfit(x, y, 1)
    left = np.asarray(y) - (slope * np.asarray(x) + start)
    whole = np.asarray(y) - np.mean(y)
    spread = float((whole ** 2).sum())
    return float(slope), float(start), 1 - float((left ** 2).sum()) / spread if spread else 1.0


def exponent(x: Sequence[float], y: Sequence[float]) -> float:
    """p of the best y = c * x**p: 1 is proportional, 2 quadratic."""
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])
