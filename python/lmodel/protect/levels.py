"""An archive as its readers see it: tiers, the net at each level, and what is hidden where.

Level 0 is the public base, level n what a holder of the n-th tier reads. Reading is the
library's; positions come from `lmodel audit --positions`, which the key of an auditor, a holder
(up to his tier) or an owner opens. The program is $LMODEL, or `lmodel` in PATH.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

import lmodel
from lmodel.errors import CorruptError, LmodelError, from_code


class Leveled:
    """An archive and the key files to read it with."""

    def __init__(self, path: str | os.PathLike, identities: Sequence[str | os.PathLike] = ()):
        """Reads the manifest, and opens what the keys open. LmodelError as lmodel.open()."""
        self.path = Path(path)
        self.identities = [os.fspath(identity) for identity in identities]
        with warnings.catch_warnings():
            # The evaluation tells of each tier what it is.
            warnings.simplefilter("ignore", lmodel.ObfuscationWarning)
            with lmodel.open(self.path, self.identities or None, base=True) as archive:
                self.tiers = archive.tiers
                self.metadata = archive.metadata()

    def weights(self, level: int) -> dict[str, Tensor]:
        """The tensors at a level. lmodel.NoKeyError where no key opens it."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", lmodel.ObfuscationWarning)
            return lmodel.load_torch(self.path, self.identities or None, base=level == 0,
                                     tier=self.tiers[level - 1].name if level else None)

    def hidden(self, shapes: dict[str, Sequence[int]]) -> list[dict[str, Tensor]]:
        """For each tier, which elements of the tensors it hides: boolean, of these shapes; tensors
        in which a tier hides nothing are left out, and tiers whose positions no key opens are
        empty."""
        masks: list[dict[str, Tensor]] = [{} for _ in self.tiers]
        order = {tier.name: n for n, tier in enumerate(self.tiers)}
        for name, shape in shapes.items():
            for row in self._positions(name):
                if row["hidden"]:
                    masks[order[row["tier"]]][name] = elements(row, shape)
        return masks

    def units(self, name: str, shape: Sequence[int]) -> dict[str, tuple[str, Tensor]]:
        """For each tier that hides units of the tensor: their kind, and their numbers."""
        return {row["tier"]: (row["unit"], numbers(row)) for row in self._positions(name)
                if row["hidden"]}

    def _positions(self, name: str) -> list[dict]:
        if not any(tier.positions_open for tier in self.tiers):
            return []
        keys = [part for identity in self.identities for part in ("-i", identity)]
        return [row for tier in self.tiers if tier.positions_open for row in json.loads(
            run("audit", "-q", *keys, "--tier", tier.name, "--positions", name,
                "--format", "json", str(self.path)))["tiers"]]


def numbers(row: dict) -> Tensor:
    """The unit numbers of one tier of the positions document, ascending, int64."""
    runs = row["runs"]
    if not runs:
        return torch.empty(0, dtype=torch.int64)
    return torch.cat([torch.arange(first, last + 1) for first, last in runs])


def elements(row: dict, shape: Sequence[int]) -> Tensor:
    """The elements of a tensor of this shape that the units of one tier cover, boolean.

    CorruptError when they do not fit the shape.
    """
    mask = torch.zeros(tuple(shape), dtype=torch.bool)
    count, kind, units = mask.numel(), row["unit"], numbers(row)
    if len(units) and int(units.max()) >= row["unit_count"]:
        raise CorruptError(f"unit {int(units.max())} of {row['unit_count']}")
    if kind == "column":
        if not shape or row["unit_count"] != shape[-1]:
            raise CorruptError(f"{row['unit_count']} columns do not fit {list(shape)}")
        mask.view(-1, shape[-1])[:, units] = True
        return mask
    sizes = {"element": 1, "slice": math.prod(shape[2:]), "row": math.prod(shape[1:]), "block": 64,
             "tensor": count}
    if kind not in sizes:
        raise CorruptError(f"a unit is called {kind!r}")
    size = min(sizes[kind], count)
    if -(-count // max(1, size)) != row["unit_count"]:
        raise CorruptError(f"{row['unit_count']} units of {kind} do not fit {list(shape)}")
    places = (units[:, None] * size + torch.arange(size)).flatten()
    mask.view(-1)[places[places < count]] = True
    return mask


def program() -> str:
    """The lmodel to run. LmodelError when there is none."""
    found = os.environ.get("LMODEL") or shutil.which("lmodel")
    if not found:
        raise LmodelError("the program lmodel is not in PATH; set LMODEL to it")
    return found


def run(*arguments: str) -> str:
    """Standard output of lmodel; its message as the exception for its exit status."""
    try:
        done = subprocess.run([program(), *arguments], capture_output=True, check=False)
    except OSError as error:
        raise LmodelError(f"{program()}: {error.strerror}") from None
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        message = said[-1] if said else f"exit status {done.returncode}"
        raise from_code(done.returncode, message.removeprefix("lmodel: "))
    return done.stdout.decode()
