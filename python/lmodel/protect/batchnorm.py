"""BatchNorm as a source for an attacker: its statistics need no labels.

Recomputing them undoes locks whose effect is mostly a shift of activations; and the published
ones tell what activations looked like before the lock, so hidden weights can be trained to bring
them back.
"""

from __future__ import annotations

from collections.abc import Container

import torch
from torch import Tensor, nn

KINDS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def layers(net: nn.Module) -> list[tuple[str, nn.Module]]:
    """The BatchNorm layers that have running statistics, with their names, in order."""
    return [(name, module) for name, module in net.named_modules()
            if isinstance(module, KINDS) and module.track_running_stats]


def has_statistics(net: nn.Module, names: Container[str]) -> bool:
    """Whether any of the names (of the state) is that of a running mean or variance."""
    return any(f"{name}.{kind}" in names for name, _ in layers(net)
               for kind in ("running_mean", "running_var"))


def measure(net: nn.Module, images: Tensor, batch: int) -> None:
    """Replaces the running statistics of net by averages over batches of images; the net is in
    eval mode afterwards."""
    norms = [module for _, module in layers(net)]
    if not norms:
        return
    momenta = [module.momentum for module in norms]
    net.eval()
    for module in norms:
        module.reset_running_stats()
        module.momentum = None    # a plain average over batches
        module.train()
    with torch.no_grad():
        # A last batch of one sample may have no variance: it joins the one before.
        for part in images.split(batch) if len(images) % batch != 1 else \
                images.tensor_split(max(1, len(images) // batch)):
            net(part)
    for module, momentum in zip(norms, momenta):
        module.momentum = momentum
    net.eval()


class Matcher:
    """Distance of the batch statistics in a forward pass from the published ones.

    Call distance() after each forward pass of the net, and remove() at the end.
    """

    def __init__(self, net: nn.Module) -> None:
        self.layers = [module for _, module in layers(net)]
        self._distances: list[Tensor] = []
        self._hooks = [module.register_forward_hook(self._seen) for module in self.layers]

    def _seen(self, module: nn.Module, inputs: tuple[Tensor, ...], _output: Tensor) -> None:
        values = inputs[0]
        over = [axis for axis in range(values.dim()) if axis != 1]
        mean, variance = values.mean(over), values.var(over, unbiased=False)
        scale = module.running_var + module.eps
        # Both terms are free of scale, so no layer outweighs the others.
        self._distances.append(((mean - module.running_mean) ** 2 / scale).mean()
                               + (((variance + module.eps) / scale).log() ** 2).mean())

    def distance(self) -> Tensor:
        """The mean over layers; forgets it, too."""
        distances, self._distances = self._distances, []
        return torch.stack(distances).mean()

    def remove(self) -> None:
        """Takes the hooks off the net."""
        for hook in self._hooks:
            hook.remove()
