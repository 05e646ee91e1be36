"""Adversarial perturbation of parameters: Xue, Wu, Wang, Zhang and Liu, "AdvParams: An Active DNN
Intellectual Property Protection Technique via Adversarial Perturbation Based Parameter
Encryption", IEEE Transactions on Emerging Topics in Computing, 2022.

A handful of parameters is moved against the loss, within the range of the values of their tensor,
so that no outlier shows. The places and the true values are the secret. The published code paths
move along positive gradients alone and keep float differences as the key; here it is |g| and
sign(g), and the true values are kept as they are.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from lmodel.errors import UsageError
from lmodel.protect.attacks import task_loss

MINIMUM_ELEMENTS = 64    # as `lmodel pack`: smaller tensors are not encrypted by default


class PerturbError(UsageError):
    """The perturbation was asked for something that makes no sense for the net or the samples."""


@dataclass(frozen=True)
class Plan:
    """How to perturb.

    budget: parameters that may change. step: of a move, as a share of the tensor's range (largest
    less smallest value). margin: what stays free at either end of it, likewise. pick: "greedy"
    takes the parameter of all tensors whose move promises most, "random" the largest gradient of
    a tensor drawn by lot, and keeps to that tensor for as many parameters as share says.
    moves: attempts at most. target_loss: stop at this mean loss; target_accuracy: stop at this
    accuracy in % on the samples; None: go on while the budget lasts.
    """

    budget: int = 30
    step: float = 1.0
    margin: float = 0.1
    pick: str = "greedy"
    share: int = 5
    moves: int = 400
    target_loss: float | None = None
    target_accuracy: float | None = None
    seed: int = 0


@dataclass
class Locked:
    """The outcome: the perturbed module in eval mode; the true values, by name of the parameter
    and index in its flattened form; mean loss after each kept move, the first before any."""

    module: nn.Module
    original: dict[tuple[str, int], float] = field(default_factory=dict)
    losses: list[float] = field(default_factory=list)

    @property
    def tensors(self) -> int:
        """In how many tensors something changed."""
        return len({name for name, _ in self.original})

    def positions(self) -> dict[str, Tensor]:
        """Where, as the attacks take it."""
        state = self.module.state_dict()
        places: dict[str, Tensor] = {}
        for name, index in self.original:
            mask = places.setdefault(name, torch.zeros(state[name].shape, dtype=torch.bool))
            mask.view(-1)[index] = True
        return places


def eligible(net: nn.Module) -> list[str]:
    """Names of the parameters that may be perturbed."""
    return [name for name, value in net.named_parameters()
            if value.is_floating_point() and value.numel() >= MINIMUM_ELEMENTS]


def perturb(net: nn.Module, images: Tensor, labels: Tensor, plan: Plan = Plan(),
            names: Iterable[str] | None = None,
            progress: Callable[[Iterable, str], Iterable] | None = None) -> Locked:
    """Perturbs a copy of net against its loss on the samples (see attacks.task_loss for labels).

    names: the parameters to choose from, eligible(net) unless given. A move that does not raise
    the loss is taken back, and that parameter is left alone from then on.
    """
    if len(images) != len(labels) or len(images) == 0:
        raise PerturbError(f"{len(images)} images and {len(labels)} labels")
    if plan.budget < 1 or not 0 < plan.step <= 1 or not 0 <= plan.margin < 0.5:
        raise PerturbError("the budget is at least 1, the step in (0, 1], the margin in [0, 0.5)")
    if plan.pick not in ("greedy", "random"):
        raise PerturbError(f"picking '{plan.pick}' is neither greedy nor random")
    search = _Search(net, images, labels, plan, eligible(net) if names is None else list(names))
    attempts = range(plan.moves)
    for _ in progress(attempts, "perturbing") if progress else attempts:
        if search.done() or not search.move():
            break
    return search.result


class _Search:
    """The net under perturbation, and for each tensor its bounds and what may still move."""

    def __init__(self, net: nn.Module, images: Tensor, labels: Tensor, plan: Plan,
                 names: list[str]) -> None:
        module = copy.deepcopy(net).eval().requires_grad_(False)
        parameters = dict(module.named_parameters())
        unknown = [name for name in names if name not in parameters]
        if unknown or not names:
            raise PerturbError(f"the net has no parameter '{unknown[0]}'" if unknown
                               else "no parameter of the net may be perturbed")
        self.plan, self.images, self.labels = plan, images, labels
        self.result = Locked(module)
        self.parameters = {name: parameters[name].requires_grad_(True) for name in names}
        self.allowed = {name: torch.ones(value.shape, dtype=torch.bool)
                        for name, value in self.parameters.items()}
        self.ranges = {name: (float(value.detach().min()), float(value.detach().max()))
                       for name, value in self.parameters.items()}
        self.generator = torch.Generator().manual_seed(plan.seed)
        self.tensor, self.left = "", 0    # the tensor drawn by lot, and its share
        self.loss, self.accuracy, self.gradients = self._measure()
        self.result.losses.append(self.loss)

    def done(self) -> bool:
        """Whether a target is reached."""
        plan = self.plan
        return (plan.target_loss is not None and self.loss >= plan.target_loss
                or plan.target_accuracy is not None and self.accuracy <= plan.target_accuracy)

    def move(self) -> bool:
        """One attempt; False when nothing is left to try."""
        name = self._draw() if self.plan.pick == "random" else None
        found = self._best(name)
        while found is None and self.plan.pick == "random" and self._forget():
            name = self._draw()
            found = self._best(name)
        if found is None:
            return False
        name, index, target = found
        flat = self.parameters[name].data.view(-1)
        before = float(flat[index])
        flat[index] = target
        loss, accuracy, gradients = self._measure()
        if not loss > self.loss:
            flat[index] = before
            self.allowed[name].view(-1)[index] = False
            return True
        if (name, index) not in self.result.original:
            self.result.original[name, index] = before
            self.left -= 1
        self.loss, self.accuracy, self.gradients = loss, accuracy, gradients
        self.result.losses.append(loss)
        return True

    def _measure(self) -> tuple[float, float, dict[str, Tensor]]:
        """Mean loss, accuracy in % (100 where there are no classes), gradients; at most 256 samples in memory at a time."""
        for value in self.parameters.values():
            value.grad = None
        total, right, count = 0.0, 0, 0
        for x, y in zip(self.images.split(256), self.labels.split(256)):
            output = self.result.module(x)
            loss = task_loss(output, y) * (len(x) / len(self.images))
            loss.backward()
            total += float(loss.detach())
            if not y.is_floating_point() and output.dim() == 2:
                right += int((output.argmax(-1) == y).sum())
                count += y.numel()
        return total, 100 * right / max(1, count) if count else 100.0, \
            {name: value.grad.clone() for name, value in self.parameters.items()
             if value.grad is not None}

    def _draw(self) -> str:
        if self.left <= 0 or not self.tensor:
            names = [name for name, mask in self.allowed.items() if bool(mask.any())]
            if not names:
                return self.tensor
            drawn = int(torch.randint(len(names), (1,), generator=self.generator))
            self.tensor, self.left = names[drawn], self.plan.share
        return self.tensor

    def _forget(self) -> bool:
        """Gives the drawn tensor up; False when none is left."""
        self.allowed[self.tensor][:] = False
        self.tensor = ""
        return any(bool(mask.any()) for mask in self.allowed.values())

    def _best(self, only: str | None) -> tuple[str, int, float] | None:
        """The allowed move with the largest gain to first order: name, index, new value."""
        best, found = 0.0, None
        spent = len(self.result.original) >= self.plan.budget
        for name in [only] if only else list(self.parameters):
            gradient = self.gradients.get(name)
            if gradient is None:
                continue
            value = self.parameters[name].detach()
            low, high = self.ranges[name]
            width = high - low
            room = self.plan.margin * width
            moved = (value + self.plan.step * width * gradient.sign()).clamp(low + room,
                                                                            high - room)
            gain = gradient * (moved - value)
            usable = self.allowed[name] & torch.isfinite(gain)
            if spent:    # only what has changed already may go on changing
                usable = usable & self._changed(name, value)
            gain = torch.where(usable, gain, torch.zeros(())).view(-1)
            index = int(gain.argmax())
            if float(gain[index]) > best:
                best, found = float(gain[index]), (name, index, float(moved.view(-1)[index]))
        return found

    def _changed(self, name: str, like: Tensor) -> Tensor:
        mask = torch.zeros(like.shape, dtype=torch.bool)
        for changed, index in self.result.original:
            if changed == name:
                mask.view(-1)[index] = True
        return mask
