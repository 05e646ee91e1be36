"""Scores a unit by the loss without it: leaves out one after the other, and measures.

  score = max(0, loss with the unit at zero - loss)

A unit is a kernel slice, or a row of a matrix; embeddings are not scored. Forward passes only, but
one for each unit: --count is small, and layers near the output are fast, where the network is a
plain chain. No gradients and no framework's automatic differentiation are needed for this.
"""

import argparse

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lmodel.errors import UsageError
from lmodel.protect import scores
from lmodel.protect.nets import Net
from lmodel.protect.progress import bar
from lmodel.protect.training import losses

NAME = "loo"
SUMMARY = "the loss without each, measured one by one"
_ROOM = 1 << 22  # elements that a layer may put out in one pass


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this method."""
    scores.add_arguments(parser, count=16)


def run(args: argparse.Namespace) -> int:
    """Runs the method as a tool."""
    net, names, inputs, targets = scores.start(args)
    layers = net.weights()
    names = [name for name in names if not isinstance(layers[name], nn.Embedding)]
    if not names:
        raise UsageError("embeddings alone cannot be scored by this method")
    scores.save(args.output, net, NAME, measure(net, names, inputs, targets))
    return 0


@torch.no_grad()
def measure(net: Net, names: list[str], inputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
    """Scores (see lmodel.protect.scores) of the weights `names` over the inputs."""
    whole = losses(net.task, net.module(inputs), targets).mean()
    found = {}
    for name in names:
        layer = net.weights()[name]
        rises = _Leaver(net, layer, inputs, targets).losses(name) - whole
        found[name] = scores.spread(rises.clamp(min=0), layer.weight)
    return found


class _Leaver:
    """Runs a network with many versions of one layer's output at once, as one batch."""

    def __init__(self, net: Net, layer: nn.Module, inputs: Tensor, targets: Tensor):
        self.net, self.layer, self.inputs, self.targets = net, layer, inputs, targets
        # In a chain, what comes before the layer is run once for all versions.
        self.chain = isinstance(net.module, nn.Sequential)
        seen = {}
        hook = layer.register_forward_hook(lambda _m, args, out: seen.update(x=args[0], y=out))
        net.module(inputs)
        hook.remove()
        self.x, self.y = seen["x"], seen["y"]

    def losses(self, label: str) -> Tensor:
        """The loss without each unit: O x I for a kernel, O x 1 for a matrix."""
        rows, columns = self.layer.weight.shape[:2]
        units = columns if isinstance(self.layer, nn.Conv2d) else 1
        at_once = max(1, _ROOM // self.y.numel())
        found = torch.zeros(rows, units)
        for row in bar(range(rows), label):
            parts = self._parts(row)
            for first in range(0, units, at_once):
                some = parts[:, first:first + at_once]
                found[row, first:first + at_once] = self._run(row, some)
        return found

    def _parts(self, row: int) -> Tensor:
        """What each unit of a row adds to the row's output: N x units x ..."""
        weight = self.layer.weight[row]
        if isinstance(self.layer, nn.Linear):
            part = self.y[..., row] if self.layer.bias is None else \
                self.y[..., row] - self.layer.bias[row]
            return part[:, None]
        return F.conv2d(self.x, weight[:, None], None, self.layer.stride, self.layer.padding,
                        self.layer.dilation, groups=len(weight))

    def _run(self, row: int, parts: Tensor) -> Tensor:
        """The loss without each of these parts."""
        count = parts.shape[1]

        def leave(_module: nn.Module, _args: tuple, _output: Tensor) -> Tensor:
            y = self.y.repeat(count, *[1] * (self.y.dim() - 1))
            part = parts.transpose(0, 1).flatten(0, 1)
            if isinstance(self.layer, nn.Linear):
                y[..., row] -= part
            else:
                y[:, row] -= part
            return y

        inputs = self.inputs if self.chain else \
            self.inputs.repeat(count, *[1] * (self.inputs.dim() - 1))
        targets = self.targets.repeat(count, *[1] * (self.targets.dim() - 1))
        hook = self.layer.register_forward_hook(leave)
        try:
            outputs = self.net.module(inputs)
        finally:
            hook.remove()
        return losses(self.net.task, outputs, targets).view(count, -1).mean(1)
