"""How good a network is at its task, in the unit that its task is measured in."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from lmodel.protect import data
from lmodel.protect.nets import Net, sigma

_UNITS = {"classify": "%", "denoise": "dB", "language": "perplexity"}
_BATCH = 250
_STORIES = 16  # sequences, when no number is given


def unit(net: Net) -> str:
    """What measure() counts in: "%" right, "dB" PSNR, "perplexity"."""
    return _UNITS[net.task]


def higher_is_better(net: Net) -> bool:
    """False for perplexity."""
    return net.task != "language"


def measure(net: Net, n: int | None = None) -> float:
    """The quality on the first `n` test inputs (None: all of them) of the network's data set.

    Accuracy in % of images, mean PSNR in dB of pictures with noise of a fixed seed, perplexity of
    token sequences. A network whose outputs are not finite is as bad as can be: 0 %, 0 dB, inf.
    DataError when the data set is missing.
    """
    if net.task == "classify":
        return accuracy(net, *data.images(net.data, "test", n))
    if net.task == "denoise":
        return psnr(net, data.noisy(net.data, sigma(net), n))
    return perplexity(net, data.stories(n or _STORIES, name=net.data))


@torch.no_grad()
def accuracy(net: Net, images: Tensor, labels: Tensor) -> float:
    """The share in % of images N x C x H x W whose class is told right; NaN outputs never are."""
    right = 0
    for x, y in zip(images.split(_BATCH), labels.split(_BATCH)):
        outputs = net.module(x)
        told = torch.isfinite(outputs).all(1) & (outputs.argmax(1) == y)
        right += int(told.sum())
    return 100.0 * right / max(1, len(labels))


@torch.no_grad()
def psnr(net: Net, pairs: list[tuple[Tensor, Tensor]]) -> float:
    """The mean peak signal-to-noise ratio in dB over pairs (noisy, clean) of 1 x H x W."""
    total = 0.0
    for noisy, clean in pairs:
        output = net.module(noisy[None])[0]
        if not torch.isfinite(output).all():
            continue
        error = (output.clamp(0, 1) - clean).square().mean().item()
        total += 10 * math.log10(1 / max(error, 1e-10))
    return total / max(1, len(pairs))


@torch.no_grad()
def perplexity(net: Net, tokens: Tensor) -> float:
    """exp of the mean cross-entropy of each token after the first; tokens N x T."""
    total = 0.0
    for part in tokens.split(8):
        logits = net.module(part)[:, :-1]
        total += F.cross_entropy(logits.flatten(0, 1), part[:, 1:].flatten(),
                                 reduction="sum").item()
    mean = total / max(1, tokens[:, 1:].numel())
    return math.exp(mean) if mean < 700 else math.inf  # NaN is not below either
