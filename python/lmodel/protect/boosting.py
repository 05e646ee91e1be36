"""A trained detector: gradient-boosted trees of scikit-learn, or stumps where it is missing."""

from __future__ import annotations

from typing import Protocol

import numpy as np

BINS = 32
ROUNDS = 150
RATE = 0.2


class Classifier(Protocol):
    """fit(), then scores: the higher, the likelier a member of the class."""

    name: str

    def fit(self, features: np.ndarray, labels: np.ndarray) -> None: ...

    def score(self, features: np.ndarray) -> np.ndarray: ...


class Stumps:
    """Boosted stumps (Friedman 2001): logistic loss, features in bins, Newton steps.

    Both classes weigh the same.
    """

    name = "boosted stumps"

    def __init__(self) -> None:
        self._stumps: list[tuple[int, float, float, float]] = []

    def fit(self, features: np.ndarray, labels: np.ndarray) -> None:
        """features: N x F, finite; labels: N booleans, both kinds present."""
        edges = [np.unique(np.quantile(column, np.linspace(0, 1, BINS + 1)[1:-1]))
                 for column in features.T]
        bins = [np.searchsorted(edge, column, side="right")
                for edge, column in zip(edges, features.T)]
        weight = np.where(labels, 0.5 / labels.sum(), 0.5 / (~labels).sum())
        margin = np.zeros(len(labels))
        self._stumps = []
        for _ in range(ROUNDS):
            likely = 1 / (1 + np.exp(-margin))
            first, second = weight * (labels - likely), weight * likely * (1 - likely)
            feature, place, left, right = _split(bins, edges, first, second)
            if feature < 0:
                break
            threshold = edges[feature][place]
            self._stumps.append((feature, threshold, RATE * left, RATE * right))
            margin += RATE * np.where(features[:, feature] < threshold, left, right)

    def score(self, features: np.ndarray) -> np.ndarray:
        """One a row."""
        total = np.zeros(len(features))
        for feature, threshold, left, right in self._stumps:
            total += np.where(features[:, feature] < threshold, left, right)
        return total


class Trees:
    """scikit-learn's histogram gradient boosting."""

    name = "gradient-boosted trees"

    def __init__(self) -> None:
        from sklearn.ensemble import HistGradientBoostingClassifier

        self._model = HistGradientBoostingClassifier(
            max_iter=120, learning_rate=0.08, max_leaf_nodes=15, l2_regularization=1.0,
            early_stopping=False, random_state=0)

    def fit(self, features: np.ndarray, labels: np.ndarray) -> None:
        """As Stumps."""
        weight = np.where(labels, len(labels) / (2 * labels.sum()),
                          len(labels) / (2 * (~labels).sum()))
        self._model.fit(features, labels, sample_weight=weight)

    def score(self, features: np.ndarray) -> np.ndarray:
        """One a row."""
        return self._model.decision_function(features)


def classifier() -> Classifier:
    """The best that is installed, untrained."""
    try:
        return Trees()
    except ImportError:
        return Stumps()


def _split(bins: list[np.ndarray], edges: list[np.ndarray], first: np.ndarray,
           second: np.ndarray) -> tuple[int, int, float, float]:
    """The best stump: feature (-1: none), edge, and the Newton step on either side."""
    best, found = 1e-12, (-1, 0, 0.0, 0.0)
    for feature, (places, edge) in enumerate(zip(bins, edges)):
        if not len(edge):
            continue
        slope = np.cumsum(np.bincount(places, first, len(edge) + 1))
        curve = np.cumsum(np.bincount(places, second, len(edge) + 1))
        ls, lc = slope[:-1], curve[:-1] + 1e-4
        rs, rc = slope[-1] - ls, curve[-1] - curve[:-1] + 1e-4
        gain = ls ** 2 / lc + rs ** 2 / rc
        place = int(gain.argmax())
        if gain[place] > best:
            best = float(gain[place])
            found = (feature, place, float(ls[place] / lc[place]), float(rs[place] / rc[place]))
    return found
