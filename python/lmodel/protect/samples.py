"""What an attacker has: inputs, with or without labels, from the training split of a net's data."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lmodel.protect import data
from lmodel.protect.nets import Net, sigma

_PATCH = 40     # pixels a side of what a denoiser is trained on
_STORY = 128    # tokens of a sequence


@dataclass(frozen=True)
class Samples:
    """Inputs, and what a net should make of them (lmodel.protect.attacks.task_loss)."""

    inputs: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.inputs)

    def first(self, count: int) -> "Samples":
        """The first so many of them."""
        return Samples(self.inputs[:count], self.targets[:count])


def of(net: Net, count: int, seed: int = 0) -> Samples:
    """So many samples of the data that the net is for, or all there are, drawn with seed.

    None of them is in what lmodel.protect.quality measures. lmodel.protect.data.DataError when
    the data set is not there.
    """
    if net.task == "denoise":
        name = net.data if net.data == "synthetic" else "train400"
        return Samples(*data.patches(name, sigma(net), count, _PATCH, seed))
    if net.task == "language":
        # quality measures stories of seed 0.
        tokens = data.stories(count, _STORY, 1000 + seed, net.data)
        return Samples(tokens, tokens)
    images, labels = data.images(net.data, "train")
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))[:count]
    return Samples(images[order], labels[order])
