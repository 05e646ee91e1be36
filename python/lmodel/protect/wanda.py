"""Scores a weight by its size times the root mean square of what it is multiplied by (Wanda: Sun,
Liu, Bair, Kolter, "A Simple and Effective Pruning Approach for Large Language Models", 2023):

  score of w[o, i] = |w[o, i]| * rms(input channel i)

One pass over --count inputs, forward only, no labels. The score of a kernel slice is the mean over
its elements. What is multiplied by a row of an embedding is 1 where its token stands, else 0.
"""

import argparse

import torch
from torch import Tensor, nn

from lmodel.protect import scores
from lmodel.protect.nets import Net
from lmodel.protect.progress import bar

NAME = "wanda"
SUMMARY = "size of a weight times size of its input"
_BATCH = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this method."""
    scores.add_arguments(parser, count=1000)


def run(args: argparse.Namespace) -> int:
    """Runs the method as a tool."""
    net, names, inputs, _ = scores.start(args)
    scores.save(args.output, net, NAME, measure(net, names, inputs))
    return 0


def measure(net: Net, names: list[str], inputs: Tensor) -> dict[str, Tensor]:
    """Scores (see lmodel.protect.scores) of the weights `names` over the inputs."""
    layers = {name: net.weights()[name] for name in names}
    seen = {name: _Squares(layer) for name, layer in layers.items()}
    hooks = [layer.register_forward_pre_hook(seen[name]) for name, layer in layers.items()]
    try:
        with torch.no_grad():
            for part in bar(inputs.split(_BATCH), "inputs"):
                net.module(part)
    finally:
        for hook in hooks:
            hook.remove()
    return {name: _scores(layer, seen[name].rms()) for name, layer in layers.items()}


class _Squares:
    """A hook that sums up the squares of a layer's input channels."""

    def __init__(self, layer: nn.Module):
        self.layer, self.sums, self.count = layer, 0.0, 0

    def __call__(self, _module: nn.Module, args: tuple[Tensor, ...]) -> None:
        x = args[0].detach()
        if isinstance(self.layer, nn.Embedding):
            squares = torch.bincount(x.flatten(), minlength=self.layer.num_embeddings).double()
            self.count += x.numel()
        elif isinstance(self.layer, nn.Conv2d):
            squares = x.double().square().sum((0, 2, 3))
            self.count += x.numel() // x.shape[1]
        else:
            squares = x.double().square().flatten(0, -2).sum(0)
            self.count += x.numel() // x.shape[-1]
        self.sums = self.sums + squares

    def rms(self) -> Tensor:
        return (self.sums / max(1, self.count)).sqrt().float()


def _scores(layer: nn.Module, rms: Tensor) -> Tensor:
    size = layer.weight.detach().abs()
    if isinstance(layer, nn.Embedding):
        return size * rms[:, None]
    if size.dim() == 2:
        return size * rms
    return scores.spread(size.flatten(2).mean(2) * rms, layer.weight)
