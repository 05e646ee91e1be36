"""Numbers that may tell a decoy from a true unit of the same tensor, from public bytes alone."""

from __future__ import annotations

import numpy as np
import torch

_TINY = 1e-30
_OTHERS = 1500    # units that each is compared with, for its nearest


def units(values: np.ndarray, kind: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The units of a tensor as rows of a matrix (float64), and the row and the column of the
    tensor that each is in (0 where it covers all); kinds as spec 7.1. A last block that is
    shorter is filled with zeros."""
    values = np.nan_to_num(np.asarray(values, dtype=np.float64))
    shape = values.shape or (1,)
    width = int(np.prod(shape[1:]))
    if kind == "row":
        return values.reshape(shape[0], -1), np.arange(shape[0]), np.zeros(shape[0], int)
    if kind == "column":
        turned = values.reshape(-1, shape[-1]).T
        return turned, np.zeros(len(turned), int), np.arange(len(turned))
    if kind == "slice":
        count = shape[0] * shape[1]
        return values.reshape(count, -1), np.arange(count) // shape[1], np.arange(count) % shape[1]
    size = {"element": 1, "block": 64}.get(kind, values.size)
    count = -(-values.size // size)
    flat = np.zeros(count * size)
    flat[:values.size] = values.ravel()
    first = np.arange(count) * size
    if values.ndim < 2:
        return flat.reshape(count, size), np.zeros(count, int), np.zeros(count, int)
    return flat.reshape(count, size), first // width, first % width


def names_and_values(values: np.ndarray, kind: str) -> tuple[list[str], np.ndarray]:
    """Names of the features, and a matrix units x features of float64, all finite."""
    matrix, rows, columns = units(values, kind)
    found = _of_scalars(values, matrix[:, 0], rows, columns) if matrix.shape[1] == 1 else \
        _of_vectors(values, matrix, rows, columns, kind)
    return list(found), np.nan_to_num(np.stack(list(found.values()), 1), posinf=0, neginf=0)


def places(values: np.ndarray, kind: str) -> tuple[list[str], np.ndarray]:
    """The same of the places alone: the scale of a unit's row and column, not the unit itself."""
    matrix, rows, columns = units(values, kind)
    norms = np.log(np.linalg.norm(matrix, axis=1) + _TINY)
    found = {"row scale": _medians(norms, rows)[rows],
             "column scale": _medians(norms, columns)[columns],
             "row": rows.astype(float), "column": columns.astype(float)}
    return list(found), np.stack(list(found.values()), 1)


def absence(norms: np.ndarray) -> float | None:
    """How far the tail of norms reaches: the distance of the 99.5th percentile from the 95th by
    the distance of that from the median. None for fewer than 200."""
    if len(norms) < 200:
        return None
    middle, high, top = np.percentile(norms, (50, 95, 99.5))
    return float((top - high) / max(high - middle, _TINY))


def _of_scalars(values: np.ndarray, flat: np.ndarray, rows: np.ndarray,
                columns: np.ndarray) -> dict[str, np.ndarray]:
    size = np.abs(flat)
    logs = np.log(size + _TINY)
    found = {"value": flat, "size": size,
             "to row": logs - _medians(logs, rows)[rows],
             "to column": logs - _medians(logs, columns)[columns],
             "gap": _gaps(flat), "zero bits": _zero_bits(flat)}
    if np.ndim(values) >= 2:
        scale = found["to row"] + found["to column"]
        found["to both"] = scale - logs
        for share in (0.05, 0.25):
            left = np.abs(_residual(np.asarray(values, dtype=np.float64), share)).ravel()
            found[f"residual {share:g}"] = np.log(left + _TINY)
            found[f"unlike {share:g}"] = np.log(left + _TINY) - logs
    return found


def _of_vectors(values: np.ndarray, matrix: np.ndarray, rows: np.ndarray, columns: np.ndarray,
                kind: str) -> dict[str, np.ndarray]:
    norm = np.linalg.norm(matrix, axis=1) + _TINY
    logs, direction = np.log(norm), matrix / norm[:, None]
    sizes = np.sort(np.abs(direction), axis=1)
    found = {"norm": logs, "peak": sizes[:, -1], "least": sizes[:, 0],
             "kurtosis": (direction ** 4).sum(1),
             "mean": direction.mean(1), "mean size": np.abs(direction.mean(1)),
             "to row": logs - _medians(logs, rows)[rows],
             "to column": logs - _medians(logs, columns)[columns],
             "row cosine": _alike(direction, rows), "column cosine": _alike(direction, columns),
             "nearest": _nearest(direction), "zero bits": _zero_bits(matrix).mean(1)}
    shape = np.shape(values)[2:]
    if kind == "slice" and len(shape) == 2 and min(shape) > 1:
        kernels = direction.reshape(-1, *shape)
        found["roughness"] = (np.diff(kernels, axis=1) ** 2).sum((1, 2)) \
            + (np.diff(kernels, axis=2) ** 2).sum((1, 2))
        singular = np.linalg.svd(kernels, compute_uv=False)
        found["first singular"], found["last singular"] = singular[:, 0], singular[:, -1]
        found["point symmetry"] = (kernels * kernels[:, ::-1, ::-1]).sum((1, 2))
        found["mirror"] = (kernels * kernels[:, :, ::-1]).sum((1, 2))
    else:
        found["roughness"] = (np.diff(direction, axis=1) ** 2).sum(1)
    if matrix.shape[1] <= 9:
        found |= {f"value {i}": direction[:, i] for i in range(matrix.shape[1])}
    if kind == "slice":
        for share in (0.05, 0.25):
            rest = _residual(np.asarray(values, dtype=np.float64), share).reshape(matrix.shape)
            found[f"unlike {share:g}"] = np.log(np.linalg.norm(rest, axis=1) + _TINY) - logs
    return found


def _medians(values: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """The median of each group 0, 1, ...; 0 where one has no member."""
    order = np.argsort(groups, kind="stable")
    ends = np.searchsorted(groups[order], np.arange(groups.max() + 2))
    sorted_values = values[order]
    return np.array([np.median(sorted_values[a:b]) if b > a else 0.0
                     for a, b in zip(ends, ends[1:])])


def _alike(direction: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Mean squared cosine with the others of the group, by the group's second moments."""
    count = np.bincount(groups)[groups]
    product = np.zeros(len(direction))
    order = np.argsort(groups, kind="stable")
    ends = np.searchsorted(groups[order], np.arange(groups.max() + 2))
    for a, b in zip(ends, ends[1:]):
        part = direction[order[a:b]]
        if part.shape[1] <= 64:
            product[order[a:b]] = ((part @ (part.T @ part)) * part).sum(1)
        else:
            product[order[a:b]] = ((part @ part.T) ** 2).sum(1)
    return (product - 1) / np.maximum(count - 1, 1)


def _nearest(direction: np.ndarray) -> np.ndarray:
    """The largest cosine with one of some other units, evenly spread over the tensor."""
    chosen = np.unique(np.linspace(0, len(direction) - 1, _OTHERS).astype(int))
    best = np.empty(len(direction))
    for start in range(0, len(direction), 4096):
        cosines = np.abs(direction[start:start + 4096] @ direction[chosen].T)
        own = np.arange(start, start + len(cosines))[:, None] == chosen[None]
        best[start:start + 4096] = np.where(own, 0, cosines).max(1)
    return best


def _gaps(flat: np.ndarray) -> np.ndarray:
    """The distance to the nearest other value of the tensor, by the spacing usual there."""
    order = np.argsort(flat, kind="stable")
    steps = np.diff(flat[order])
    if not len(steps):
        return np.zeros(len(flat))
    left, right = np.r_[np.inf, steps], np.r_[steps, np.inf]
    usual = np.convolve(steps, np.ones(33) / 33, mode="same")
    gap = np.empty(len(flat))
    gap[order] = np.minimum(left, right) / (np.r_[usual, usual[-1]] + _TINY)
    return np.log(gap + _TINY)


def _zero_bits(values: np.ndarray) -> np.ndarray:
    """Trailing zero bits of each value as float32, at most 23."""
    bits = np.asarray(values, dtype=np.float32).view(np.uint32) | np.uint32(1 << 23)
    return np.log2((bits & (~bits + np.uint32(1))).astype(np.float64))


def _residual(values: np.ndarray, share: float) -> np.ndarray:
    """What a matrix of this share of the full rank leaves of the tensor, unfolded to dimension 0
    x the rest."""
    matrix = torch.from_numpy(np.nan_to_num(values.reshape(values.shape[0], -1)))
    rank = max(1, int(share * min(matrix.shape)))
    if min(matrix.shape) <= 512:
        left, singular, right = torch.linalg.svd(matrix, full_matrices=False)
        lowrank = (left[:, :rank] * singular[:rank]) @ right[:rank]
    else:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)    # a random projection
            left, singular, right = torch.svd_lowrank(matrix, q=rank, niter=2)
        lowrank = (left * singular) @ right.T
    return (matrix - lowrank).numpy().reshape(values.shape)
