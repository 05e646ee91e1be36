"""All attacks on one net, and the best of them: what a lock leaves is what the worst case says.

A raw drop of quality says little: much of it is often repaired without labels, and whoever has
labels reaches at least what training from scratch on them reaches.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from torch import nn

from lmodel.protect import attacks, batchnorm, quality
from lmodel.protect.attacks import STRENGTHS, Positions, Strength
from lmodel.protect.nets import Net
from lmodel.protect.samples import Samples

PRUNED = (0.3, 0.5)    # shares of magnitude pruning


@dataclass(frozen=True)
class Row:
    """One attack: its name, the labelled samples it uses (0: none), whether it needs to know
    which places are hidden, whether it uses inputs without labels, the quality it reaches."""

    attack: str
    labels: int
    positions: bool
    unlabelled: bool
    quality: float


@dataclass(frozen=True)
class Setting:
    """What the attacker has: unlabelled inputs, labelled samples, of which he uses as many as
    each of counts; how hard he tries; the seed. measured: test inputs, None is all."""

    unlabelled: Samples
    labelled: Samples
    counts: Sequence[int]
    strength: Strength = STRENGTHS["normal"]
    seed: int = 0
    measured: int | None = None


def run(net: Net, positions: Positions | None, setting: Setting,
        tell: Callable[[Row], None] = lambda row: None) -> list[Row]:
    """The panel on net. positions: of what is hidden; attacks that need them are left out where
    they are None or empty. tell is called with each row as it comes."""
    rows = []
    for name, count, needs, inputs, module in _tries(net.module, positions or {}, setting):
        row = Row(name, count, needs, inputs, measure(net, module, setting.measured))
        rows.append(row)
        tell(row)
    return rows


def floor(net: Net, setting: Setting, tell: Callable[[Row], None] = lambda row: None) -> list[Row]:
    """Training from scratch, for each of the setting's counts."""
    rows = []
    for count in setting.counts:
        given = setting.labelled.first(count)
        module = attacks.from_scratch(net.module, given.inputs, given.targets, None, setting.seed,
                                      setting.strength)
        rows.append(Row("from scratch", count, False, False,
                        measure(net, module, setting.measured)))
        tell(rows[-1])
    return rows


def best(net: Net, rows: Sequence[Row], labels: int) -> Row | None:
    """The row that serves an attacker best who has so many labelled samples at most."""
    usable = [row for row in rows if row.labels <= labels]
    if not usable:
        return None
    sign = 1 if quality.higher_is_better(net) else -1
    return max(usable, key=lambda row: sign * row.quality)


def measure(net: Net, module: nn.Module, count: int | None) -> float:
    """The quality of net with another module in its place."""
    other = copy.copy(net)
    other.module = module.eval()
    return quality.measure(other, count)


def _tries(base: nn.Module, positions: Positions,
           setting: Setting) -> Iterator[tuple[str, int, bool, bool, nn.Module]]:
    """Name, labels, needs positions, needs inputs, the attacked module."""
    strength, seed = setting.strength, setting.seed
    filtered = attacks.zero_outliers(base)
    starts = {"": base}
    yield "none", 0, False, False, base
    yield "outlier filter", 0, False, False, filtered
    for share in PRUNED:
        yield f"prune {share:.0%}", 0, False, False, attacks.prune(base, share)
    if positions:
        starts["zeros"] = attacks.zero_fill(base, positions)
        starts["means"] = attacks.mean_fill(base, positions)
        starts["random"] = attacks.random_fill(base, positions, seed)
        starts["low rank"] = attacks.complete(base, positions, strength)
        for name, start in starts.items():
            if name:
                yield name, 0, True, False, start
    if batchnorm.layers(base):
        inputs = setting.unlabelled.inputs
        for name, start in (starts | {"outlier filter": filtered}).items():
            yield (_joined(name, "BatchNorm"), 0, name in starts and name != "", True,
                   attacks.reestimate_batchnorm(start, inputs))
    for count in setting.counts:
        given = setting.labelled.first(count)
        for name in ("", "zeros", "random"):
            if name in starts:
                yield (_joined(name, "fine-tune"), count, name != "", False,
                       attacks.fine_tune(starts[name], given.inputs, given.targets, None, seed,
                                         None, strength))
        if positions:
            yield ("random, fine-tune hidden", count, True, False,
                   attacks.fine_tune(starts["random"], given.inputs, given.targets, None, seed,
                                     positions, strength))


def _joined(first: str, second: str) -> str:
    return f"{first}, {second}" if first else second
