"""Can decoys be told from true weights? Areas under the curve: 0.5 is a guess, 1 finds each one.

Hidden units of a tier are compared with units of the same tensor that no tier hides, from the
public base alone. Four figures, apart:

- single: the feature (lmodel.protect.features) whose threshold does best, averaged over tensors;
- trained: a classifier on all features, in cross-validation, with labels that only an owner has:
  more than an outsider can do;
- transfer: the same trained on what a holder knows, the tiers below, against all that he does not;
- position: what the scale of a unit's row and column tells, whatever stands in the unit's place.

Beside them the noise: the same with as many units drawn by lot for hidden ones; and absence:
whether the largest units are missing from what is public (see lmodel-audit(1)).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from lmodel.protect import boosting, features, levels

LEAST = 32      # hidden units, and public ones, of a tensor
MOST = 6000     # of either that are looked at
_FOLDS = 4
PUBLIC = -1


@dataclass
class Sample:
    """Units of one tensor: their features, ranked within the tensor to [0, 1], N x F; those of
    their places; which tier hides each, PUBLIC for none; their norms."""

    name: str
    kind: str
    names: list[str]
    values: np.ndarray
    place_names: list[str]
    places: np.ndarray
    tier: np.ndarray
    norms: np.ndarray


def archive(opened: levels.Leveled, state: Mapping[str, Tensor], seed: int = 0) -> list[dict]:
    """The figures of each tier whose positions a key opens, lowest first.

    state: tensors of the base.
    """
    order = {tier.name: n for n, tier in enumerate(opened.tiers)}
    samples = []
    for name, tensor in state.items():
        hidden = {order[tier]: row for tier, row in
                  opened.units(name, tuple(tensor.shape)).items()}
        if hidden and tensor.is_floating_point():
            kind = next(iter(hidden.values()))[0]
            samples.append(sample(name, tensor.float().numpy(), kind,
                                  {n: numbers.numpy() for n, (_, numbers) in hidden.items()},
                                  seed))
    return [tier_figures(samples, n, seed) | {"tier": tier.name}
            for n, tier in enumerate(opened.tiers) if tier.positions_open]


def sample(name: str, values: np.ndarray, kind: str, hidden: Mapping[int, np.ndarray],
           seed: int = 0) -> Sample:
    """The units of a tensor, with features. hidden: unit numbers by tier. Of many units some are
    drawn, the same for equal seeds."""
    names, found = features.names_and_values(values, kind)
    place_names, places = features.places(values, kind)
    norms = np.linalg.norm(features.units(values, kind)[0], axis=1)
    tier = np.full(len(found), PUBLIC)
    for n, numbers in hidden.items():
        tier[numbers] = n
    generator = np.random.default_rng(seed)
    chosen = np.concatenate([_some(np.flatnonzero(tier == n), generator)
                             for n in (PUBLIC, *sorted(hidden))])
    return Sample(name, kind, names, _ranked(found)[chosen], place_names,
                  _ranked(places)[chosen], tier[chosen], norms[chosen])


def tier_figures(samples: list[Sample], tier: int, seed: int = 0) -> dict:
    """The figures of one tier; None where too few units are hidden or public."""
    usable = [one for one in samples if (one.tier == tier).sum() >= LEAST
              and (one.tier == PUBLIC).sum() >= LEAST]
    document = {"units": int(sum((one.tier == tier).sum() for one in samples)),
                "tensors": len(usable), "left_out": len(samples) - len(usable),
                "classifier": boosting.classifier().name, "single": None, "trained": None,
                "transfer": None, "position": None, "position_trained": None, "noise": None,
                "absence": None}
    if not usable:
        return document
    marked = [(one.tier == tier)[_either(one, tier)] for one in usable]
    values = [one.values[_either(one, tier)] for one in usable]
    places = [one.places[_either(one, tier)] for one in usable]
    document["single"] = _single([one.names for one in usable], values, marked)
    document["position"] = _single([one.place_names for one in usable], places, marked)
    document["trained"] = _trained(usable, values, marked, seed)
    document["position_trained"] = _trained(usable, places, marked, seed)
    document["transfer"] = _transfer(usable, tier, seed) if tier > 0 else None
    drawn = [_by_lot(one, tier, seed) for one in usable]
    others = [one.values[one.tier == PUBLIC] for one in usable]
    document["noise"] = {"single": _single([one.names for one in usable], others, drawn),
                         "trained": _trained(usable, others, drawn, seed)}
    tails = [(features.absence(one.norms[one.tier == PUBLIC]), (one.tier == tier).sum())
             for one in usable]
    known = [(tail, count) for tail, count in tails if tail is not None]
    if known:
        document["absence"] = float(np.average([tail for tail, _ in known],
                                               weights=[count for _, count in known]))
    return document


def auc(scores: np.ndarray, marked: np.ndarray) -> float:
    """The chance that a marked one scores above one that is not; ties count half."""
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    positive, negative = marked.sum(), (~marked).sum()
    above = ranks[marked].sum() - positive * (positive + 1) / 2
    return float(above / (positive * negative))


def _some(numbers: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    return numbers if len(numbers) <= MOST else \
        np.sort(generator.choice(numbers, MOST, replace=False))


def _ranked(values: np.ndarray) -> np.ndarray:
    """Each column as its ranks, 0 to 1: so that tensors can be looked at together."""
    ranks = np.empty(values.shape)
    for i, column in enumerate(values.T):
        _, inverse, counts = np.unique(column, return_inverse=True, return_counts=True)
        ranks[:, i] = (np.cumsum(counts) - (counts + 1) / 2)[inverse] / max(1, len(column) - 1)
    return ranks


def _either(one: Sample, tier: int) -> np.ndarray:
    return (one.tier == tier) | (one.tier == PUBLIC)


def _by_lot(one: Sample, tier: int, seed: int) -> np.ndarray:
    public, wanted = int((one.tier == PUBLIC).sum()), int((one.tier == tier).sum())
    marked = np.zeros(public, dtype=bool)
    generator = np.random.default_rng(seed + 1)
    marked[generator.choice(public, max(1, min(wanted, public // 2)), replace=False)] = True
    return marked


def _single(names: list[list[str]], values: list[np.ndarray], marked: list[np.ndarray]) -> dict:
    """The best single feature: the average of its area over the tensors that have it, weighted by
    hidden units, either way round."""
    found: dict[str, list[tuple[float, int]]] = {}
    for of, matrix, labels in zip(names, values, marked):
        for name, column in zip(of, matrix.T):
            found.setdefault(name, []).append((auc(column, labels), int(labels.sum())))
    total = sum(int(labels.sum()) for labels in marked)
    # A tensor that lacks the feature counts as a guess.
    areas = {name: 0.5 + sum((area - 0.5) * count for area, count in rows) / total
             for name, rows in found.items()}
    best = max(areas, key=lambda name: abs(areas[name] - 0.5))
    return {"detector": best, "auc": max(areas[best], 1 - areas[best])}


def _trained(usable: list[Sample], values: list[np.ndarray], marked: list[np.ndarray],
             seed: int) -> float:
    """Cross-validated, one classifier for each kind of units; area within tensors, averaged."""
    generator = np.random.default_rng(seed)
    folds = [generator.permutation(len(labels)) % _FOLDS for labels in marked]
    scores = [np.zeros(len(labels)) for labels in marked]
    for kind in sorted({_group(one) for one in usable}):
        members = [i for i, one in enumerate(usable) if _group(one) == kind]
        for fold in range(_FOLDS):
            model = boosting.classifier()
            model.fit(np.concatenate([values[i][folds[i] != fold] for i in members]),
                      np.concatenate([marked[i][folds[i] != fold] for i in members]))
            for i in members:
                scores[i][folds[i] == fold] = model.score(values[i][folds[i] == fold])
    return _average(scores, marked)


def _transfer(usable: list[Sample], tier: int, seed: int) -> float | None:
    """Trained on the tiers below against all else, which is what their holder can do; tested on
    what was not trained on."""
    known = [one for one in usable if ((one.tier >= 0) & (one.tier < tier)).sum() >= LEAST]
    if not known:
        return None
    generator = np.random.default_rng(seed)
    halves = [generator.permutation(len(one.tier)) % 2 for one in known]
    scores = [np.zeros(len(one.tier)) for one in known]
    for kind in sorted({_group(one) for one in known}):
        members = [i for i, one in enumerate(known) if _group(one) == kind]
        for half in range(2):
            inputs, labels = [], []
            for i in members:
                lower = (known[i].tier >= 0) & (known[i].tier < tier)
                used = lower | (halves[i] != half)
                inputs.append(known[i].values[used])
                labels.append(lower[used])
            model = boosting.classifier()
            model.fit(np.concatenate(inputs), np.concatenate(labels))
            for i in members:
                tested = halves[i] == half
                scores[i][tested] = model.score(known[i].values[tested])
    kept = [_either(one, tier) for one in known]
    return _average([score[keep] for score, keep in zip(scores, kept)],
                    [(one.tier == tier)[keep] for one, keep in zip(known, kept)])


def _group(one: Sample) -> str:
    """Tensors that share features."""
    return f"{one.kind} {' '.join(one.names)}"


def _average(scores: list[np.ndarray], marked: list[np.ndarray]) -> float:
    weights = [int(labels.sum()) for labels in marked]
    return float(np.average([auc(score, labels) for score, labels in zip(scores, marked)],
                            weights=weights))
