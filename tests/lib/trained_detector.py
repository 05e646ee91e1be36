"""How well a trained classifier finds decoys of convolution kernels, in held-out data.

    trained_detector.py [--train TIER --test TIER] -i KEY ARCHIVE TENSOR...

Without --train it learns from the positions of all tiers and is tested on other units of the same
tensor, by threes. With it: what a holder of tier TRAIN can do, who knows its positions and has the
base: learn from them, and look for tier TEST; positions of TEST are used for the score alone, so
KEY has to open both. Units are kernel slices of tensors of rank 3 and more.

It prints, for each tensor, the area under the curve: .5 is a guess. Needs numpy and scikit-learn.
"""
import argparse
import io
import os
import subprocess
from typing import Dict, Tuple

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score

TINY = 1e-30


def lmodel(*arguments: str) -> bytes:
    """Standard output of the program, which is found as $LMODEL or in PATH."""
    program = os.environ.get("LMODEL", "lmodel")
    return subprocess.run([program, *arguments], stdout=subprocess.PIPE, check=True).stdout


def base_of(archive: str, tensor: str) -> np.ndarray:
    """The public weights of a tensor as (rows, columns, elements of a slice), float64."""
    w = np.load(io.BytesIO(lmodel("cat", "-q", "--base", archive, tensor))).astype(np.float64)
    return w.reshape(w.shape[0], w.shape[1], -1)


def positions(archive: str, tensor: str, key: str, tier: str) -> np.ndarray:
    """Units that a tier hides (all tiers: an empty name), ascending."""
    of_tier = ["--tier", tier] if tier else []
    data = lmodel("audit", "-q", "-i", key, "--positions", tensor, "--format", "npy", *of_tier,
                  archive)
    return np.load(io.BytesIO(data)).astype(np.int64)


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Of the last dimension."""
    return (a * b).sum(-1) / (np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1) + TINY)


def left_over(matrix: np.ndarray, rank: int) -> np.ndarray:
    """What `rank` singular vectors do not explain, of the same shape."""
    u, s, v = np.linalg.svd(matrix, full_matrices=False)
    return matrix - (u[:, :rank] * s[:rank]) @ v[:rank]


def from_others(w: np.ndarray, penalty: float) -> np.ndarray:
    """Ridge regression of each row of (n, values) from the other rows: what it misses."""
    c = w @ w.T
    p = np.linalg.inv(c + penalty * np.trace(c) / len(c) * np.eye(len(c)))
    return p @ w / np.diag(p)[:, None]


def features(w: np.ndarray) -> np.ndarray:
    """(units, features) of a base (rows, columns, elements): size, shape, and likeness to others.

    Those of lmodel-audit(1), and how well a unit is told by its row and its column.
    """
    rows, columns, inner = w.shape
    size = np.linalg.norm(w, axis=2) + TINY
    log = np.log(size)
    row = np.median(log, 1, keepdims=True)
    column = np.median(log - row, 0, keepdims=True)
    direction = w / size[..., None]
    scaled = w / np.exp(row + column)[..., None]
    found = [log, log - row, log - row - column, direction.sum(2), np.abs(direction).max(2),
             np.abs(direction).min(2), (direction ** 4).sum(2),
             np.abs(np.diff(direction, axis=2)).sum(2),
             cosine(w, w.sum(1, keepdims=True) - w), cosine(w, w.sum(0, keepdims=True) - w)]
    by_row = np.abs(np.einsum("oik,ojk->oij", direction, direction))
    by_row[:, np.arange(columns), np.arange(columns)] = 0
    by_column = np.abs(np.einsum("oik,pik->iop", direction, direction))
    by_column[:, np.arange(rows), np.arange(rows)] = 0
    for like in (by_row, by_column.transpose(1, 0, 2)):
        found += [like.max(2), np.median(like, 2), np.sqrt((like ** 2).mean(2))]
    flat = scaled.reshape(rows, -1)
    turned = scaled.transpose(1, 0, 2).reshape(columns, -1)
    for penalty in (0.1, 1.0):
        a = from_others(flat, penalty).reshape(rows, columns, inner)
        b = from_others(turned, penalty).reshape(columns, rows, inner).transpose(1, 0, 2)
        for missed in (a, b):
            found += [np.log(np.linalg.norm(missed, axis=2) + TINY),
                      cosine(scaled - missed, scaled)]
    for rank in (4, 16):
        if 2 * rank < min(flat.shape) and 2 * rank < min(turned.shape):
            a = left_over(flat, rank).reshape(rows, columns, inner)
            b = left_over(turned, rank).reshape(columns, rows, inner).transpose(1, 0, 2)
            found += [np.log(np.linalg.norm(m, axis=2) / np.linalg.norm(scaled + TINY, axis=2) +
                             TINY) for m in (a, b)]
    raw = scaled.reshape(-1, inner)[:, :9]
    return np.column_stack([f.reshape(-1) for f in found] + [raw])


def train(x: np.ndarray, hidden: np.ndarray) -> HistGradientBoostingClassifier:
    """Hidden and public units weigh the same in all."""
    model = HistGradientBoostingClassifier(max_iter=80, learning_rate=0.08, max_leaf_nodes=15,
                                           l2_regularization=1.0, random_state=0)
    share = hidden.mean()
    return model.fit(x, hidden, sample_weight=np.where(hidden, 1 / share, 1 / (1 - share)))


def folds(x: np.ndarray, hidden: np.ndarray) -> float:
    """Area over units that the classifier was not trained on, each a third of them in turn."""
    fold = np.random.default_rng(0).integers(0, 3, len(hidden))
    score = np.zeros(len(hidden))
    for f in range(3):
        score[fold == f] = train(x[fold != f], hidden[fold != f]).predict_proba(x[fold == f])[:, 1]
    return float(roc_auc_score(hidden, score))


def transfer(x: np.ndarray, known: np.ndarray, sought: np.ndarray) -> float:
    """Trained on known decoys against all else, which includes those sought; scored without the
    known ones, in two halves of what is public: none is scored by who was trained on it."""
    half = np.random.default_rng(0).integers(0, 2, len(known)).astype(bool)
    score = np.zeros(len(known))
    for part in (half, ~half):
        score[part] = train(x[~part], known[~part]).predict_proba(x[part])[:, 1]
    return float(roc_auc_score(sought[~known], score[~known]))


def labels(units: int, hidden: np.ndarray) -> np.ndarray:
    """True at hidden units."""
    out = np.zeros(units, bool)
    out[hidden] = True
    return out


def measure(archive: str, tensor: str, key: str, tiers: Tuple[str, str]) -> Dict[str, float]:
    """Area of a tensor, and how many units are sought."""
    x = features(base_of(archive, tensor))
    hidden = labels(len(x), positions(archive, tensor, key, tiers[1]))
    if not tiers[0]:
        return {"area": folds(x, hidden), "units": int(hidden.sum())}
    known = labels(len(x), positions(archive, tensor, key, tiers[0]))
    return {"area": transfer(x, known, hidden), "units": int(hidden.sum())}


def main() -> None:
    """Command line; see the module."""
    parser = argparse.ArgumentParser()
    parser.add_argument("-i", "--identity", required=True)
    parser.add_argument("--train", default="")
    parser.add_argument("--test", default="")
    parser.add_argument("archive")
    parser.add_argument("tensors", nargs="+")
    given = parser.parse_args()
    for tensor in given.tensors:
        found = measure(given.archive, tensor, given.identity, (given.train, given.test))
        print("%s %d %.3f" % (tensor, found["units"], found["area"]))


if __name__ == "__main__":
    main()
