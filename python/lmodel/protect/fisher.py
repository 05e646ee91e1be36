"""Scores a unit by the loss that its removal is expected to cost, to first order (Molchanov et al.,
"Importance Estimation for Neural Network Pruning", 2019):

  score = mean over inputs of (sum over the unit of gradient * weight)^2

the diagonal of the empirical Fisher information, of a scale of the whole unit. A unit is a kernel
slice, or an element of a matrix. One backward pass for each of --count inputs.
"""

import argparse

import torch
from torch import Tensor

from lmodel.protect import scores
from lmodel.protect.nets import Net
from lmodel.protect.progress import bar
from lmodel.protect.training import loss

NAME = "fisher"
SUMMARY = "first-order estimate of the loss without it"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this method."""
    scores.add_arguments(parser, count=300)


def run(args: argparse.Namespace) -> int:
    """Runs the method as a tool."""
    net, names, inputs, targets = scores.start(args)
    scores.save(args.output, net, NAME, measure(net, names, inputs, targets))
    return 0


def measure(net: Net, names: list[str], inputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
    """Scores (see lmodel.protect.scores) of the weights `names` over the inputs."""
    weights = [net.weights()[name].weight for name in names]
    sums = [torch.zeros(scores.wanted_shape(weight)) for weight in weights]
    for i in bar(range(len(inputs)), "inputs"):
        gradients = torch.autograd.grad(loss(net, inputs[i:i + 1], targets[i:i + 1]), weights)
        for total, weight, gradient in zip(sums, weights, gradients):
            change = gradient * weight.detach()
            total += (change if change.dim() == 2 else change.flatten(2).sum(2).flatten()).square()
    return {name: total / len(inputs) for name, total in zip(names, sums)}
