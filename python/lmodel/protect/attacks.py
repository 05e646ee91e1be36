"""What somebody without keys can try on a net with locked weights.

Every attack takes a module, leaves it alone, and returns a new one in eval mode; equal arguments
give equal results on one machine. Positions are what the attacker knows, or has guessed, of the
places that are hidden: a boolean tensor, True where hidden, for each name of the module's state
in which something is; other names are left out.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from lmodel.errors import UsageError
from lmodel.protect import batchnorm

Positions = Mapping[str, Tensor]
Progress = Callable[[Iterable, str], Iterable]


class AttackError(UsageError):
    """An attack was asked for something that makes no sense for the net or the samples."""


@dataclass(frozen=True)
class Strength:
    """How hard an attacker tries.

    batch: samples a step. steps: training steps, and epochs: more where so many passes over the
    samples take more. rate: the highest learning rate, for all parameters; hidden_rate: the same
    where only hidden slots are trained. shift: images are moved at random by up to this many
    pixels in training. matching: weight of the distance to the published BatchNorm statistics
    where only hidden slots are trained. rounds: iterations of matrix completion.
    """

    batch: int = 40
    steps: int = 90
    epochs: int = 4
    rate: float = 2e-3
    hidden_rate: float = 2e-2
    shift: int = 0
    matching: float = 0.1
    rounds: int = 30

    def steps_for(self, samples: int) -> int:
        """Training steps with so many samples."""
        return max(self.steps, -(-self.epochs * samples // self.batch))


STRENGTHS: dict[str, Strength] = {
    "quick": Strength(steps=30, epochs=2, rounds=10),
    "normal": Strength(),
    "strong": Strength(steps=400, epochs=12, shift=2, rounds=60),
}


def reestimate_batchnorm(net: nn.Module, images: Tensor, batch: int = 250) -> nn.Module:
    """Repair without labels: BatchNorm's means and variances measured again on images.

    images: N x ..., as the net takes them, N at least 2. A net without BatchNorm comes back as
    it was.
    """
    repaired = _copy(net)
    if len(images) < 2:
        raise AttackError("re-estimating BatchNorm needs at least 2 images")
    batchnorm.measure(repaired, images, batch)
    return repaired


def zero_fill(net: nn.Module, positions: Positions) -> nn.Module:
    """Zeros at the positions. Gains and variances that are hidden whole become 1, as with every
    fill: zeros there would silence the net."""
    return _fill(net, positions, lambda values, hidden: torch.zeros(int(hidden.sum())))


def mean_fill(net: nn.Module, positions: Positions) -> nn.Module:
    """At the positions the mean of the rest of their row (dimension 0), or of the tensor where a
    row is hidden whole, or 0 where the tensor is."""
    return _fill(net, positions, _row_means)


def random_fill(net: nn.Module, positions: Positions, seed: int) -> nn.Module:
    """At the positions normal values with mean and deviation of the rest of the tensor; where
    nothing is left of it, as a layer of that shape would be initialised. What training from there
    reaches is often more than from zeros, which are a saddle point."""
    generator = torch.Generator().manual_seed(seed)

    def draw(values: Tensor, hidden: Tensor) -> Tensor:
        drawn = torch.randn(int(hidden.sum()), generator=generator)
        public = values[~hidden]
        if len(public) >= 2:
            return drawn * public.std() + public.mean()
        fan_in = max(1, values[0].numel()) if values.dim() else 1
        return drawn * (2 / fan_in) ** 0.5

    return _fill(net, positions, draw)


def complete(net: nn.Module, positions: Positions,
             strength: Strength = STRENGTHS["normal"]) -> nn.Module:
    """Repair without data: hidden weights as a matrix of low rank continues the public ones.

    Tensors are unfolded to dimension 0 x the rest, and singular values soft-thresholded (Mazumder,
    Hastie, Tibshirani 2010) at a threshold that falls from the largest to a tenth of it. Tensors
    of one dimension get their mean.
    """
    def predict(values: Tensor, hidden: Tensor) -> Tensor:
        if values.dim() < 2 or bool(hidden.all()):
            return _row_means(values, hidden)
        matrix, mask = values.flatten(1).double(), hidden.flatten(1)
        guess = torch.where(mask, torch.zeros((), dtype=matrix.dtype), matrix)
        first = float(torch.linalg.matrix_norm(guess, ord=2))
        for step in range(strength.rounds):
            threshold = first * 0.1 ** (step / max(1, strength.rounds - 1))
            left, singular, right = torch.linalg.svd(guess, full_matrices=False)
            lowrank = (left * (singular - threshold).clamp(min=0)) @ right
            guess = torch.where(mask, lowrank, matrix)
        return guess[mask].to(values.dtype)

    return _fill(net, positions, predict)


def zero_outliers(net: nn.Module, factor: float = 12) -> nn.Module:
    """The blind filter: zeros where |w| is above factor times the median |w| of its tensor, and
    where w is not finite. It needs no positions; it undoes locks that leave raw ciphertext in
    place, whose exponents explode. A variance of BatchNorm that is odd or negative becomes the
    median of the others (its factor is squared), or 1."""
    if not factor > 0:
        raise AttackError(f"the factor of the outlier filter is {factor}, not above 0")
    filtered = _copy(net)
    for name, values in filtered.state_dict().items():
        if not values.is_floating_point() or values.numel() == 0:
            continue
        variance = name.endswith("running_var")
        odd = ~torch.isfinite(values) | (values < 0 if variance else False)
        usual = values[~odd].abs().median() if not bool(odd.all()) else torch.ones(())
        odd |= values.abs() > usual * (factor ** 2 if variance else factor)
        values[odd] = usual if variance else 0.0
    return filtered


def prune(net: nn.Module, fraction: float) -> nn.Module:
    """Magnitude pruning: zeros for this share of each weight tensor of two dimensions or more,
    the smallest first."""
    if not 0 <= fraction <= 1:
        raise AttackError(f"the share to prune is {fraction}, not between 0 and 1")
    pruned = _copy(net)
    for values in _weights(pruned):
        count = int(fraction * values.numel())
        if count:
            values.view(-1)[values.abs().flatten().argsort(stable=True)[:count]] = 0
    return pruned


def fine_tune(net: nn.Module, images: Tensor, labels: Tensor, steps: int | None = None,
              seed: int = 0, hidden: Positions | None = None,
              strength: Strength = STRENGTHS["normal"],
              progress: Progress | None = None) -> nn.Module:
    """Trains on the samples that the attacker has, by Adam with a cosine schedule.

    images: N x ...; labels: N classes (cross-entropy), N x T tokens for outputs N x T x V (the
    same, of each next token), or floating point of the output's shape (squared error). steps: those of
    the strength unless given. hidden: trains these places alone and keeps all else, BatchNorm's
    published statistics included, whose distance from the batch's is a part of the loss where
    they are not hidden themselves; None: trains all parameters, and measures BatchNorm as it goes.
    """
    if len(images) != len(labels):
        raise AttackError(f"{len(images)} images and {len(labels)} labels")
    if len(images) < 2:
        raise AttackError("fine-tuning needs at least 2 samples")
    tuned = _copy(net)
    steps = strength.steps_for(len(images)) if steps is None else steps
    masks = None if hidden is None else _checked(tuned, hidden)
    parameters = dict(tuned.named_parameters())
    trained = parameters if masks is None else \
        {name: value for name, value in parameters.items() if name in masks}
    if not trained or steps < 1:
        return tuned
    tuned.requires_grad_(False)
    for value in trained.values():
        value.requires_grad_(True)
    matcher = None
    unknown = masks is not None and batchnorm.has_statistics(tuned, masks)
    if masks is None or unknown:
        tuned.train()
    else:
        matcher = batchnorm.Matcher(tuned)
    optimizer = torch.optim.Adam(trained.values(),
                                 lr=strength.rate if masks is None else strength.hidden_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    batches = _Batches(images, labels, steps, strength, seed)
    # fork_rng: dropout draws from the global generator.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for x, y in progress(batches, "fine-tuning") if progress else batches:
            loss = task_loss(tuned(x), y)
            if matcher is not None and matcher.layers:
                loss = loss + strength.matching * matcher.distance()
            if not torch.isfinite(loss):
                break    # what was given explodes; the attacker keeps what he has
            optimizer.zero_grad()
            loss.backward()
            if masks is not None:
                for name, value in trained.items():
                    value.grad.mul_(masks[name])
            nn.utils.clip_grad_norm_(list(trained.values()), 5.0)
            optimizer.step()
            schedule.step()
    if matcher is not None:
        matcher.remove()
    if masks is None or unknown:
        batchnorm.measure(tuned, images, 250)    # running averages lag behind few steps
    tuned.requires_grad_(True)
    return tuned.eval()


def reset(net: nn.Module, seed: int) -> nn.Module:
    """The same architecture with fresh weights."""
    fresh = _copy(net)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for module in fresh.modules():
            if isinstance(module, nn.Embedding):
                # Small: it may be the output layer, too.
                nn.init.normal_(module.weight, std=module.embedding_dim ** -0.5)
            elif hasattr(module, "reset_parameters"):
                module.reset_parameters()
            else:
                for value in module.parameters(recurse=False):
                    nn.init.ones_(value) if value.dim() < 2 else nn.init.normal_(value, std=0.02)
    return fresh.eval()


def from_scratch(net: nn.Module, images: Tensor, labels: Tensor, steps: int | None = None,
                 seed: int = 0, strength: Strength = STRENGTHS["normal"],
                 progress: Progress | None = None) -> nn.Module:
    """The floor: fresh weights, trained on the attacker's samples. No lock can keep him below
    what this reaches, for it needs nothing of the model but its architecture."""
    return fine_tune(reset(net, seed), images, labels, steps, seed, None, strength, progress)


def task_loss(output: Tensor, target: Tensor) -> Tensor:
    """Squared error where the target is floating point; else cross-entropy of classes, or, for
    outputs N x T x V and tokens N x T, of the token that follows each."""
    if target.is_floating_point():
        return functional.mse_loss(output, target)
    if output.dim() == 3:
        output, target = output[:, :-1], target[:, 1:]
    return functional.cross_entropy(output.flatten(0, -2), target.flatten())


def _copy(net: nn.Module) -> nn.Module:
    return copy.deepcopy(net).eval()


def _weights(net: nn.Module) -> list[Tensor]:
    return [value.data for value in net.parameters() if value.dim() >= 2]


def _checked(net: nn.Module, positions: Positions) -> dict[str, Tensor]:
    """The positions as boolean tensors, after a look at names and shapes."""
    state = net.state_dict()
    checked = {}
    for name, hidden in positions.items():
        if name not in state:
            raise AttackError(f"positions in '{name}', which the net does not have")
        if hidden.shape != state[name].shape:
            raise AttackError(f"positions in '{name}' have shape {list(hidden.shape)}, "
                              f"the tensor has {list(state[name].shape)}")
        checked[name] = hidden.bool()
    return checked


def _fill(net: nn.Module, positions: Positions,
          values_of: Callable[[Tensor, Tensor], Tensor]) -> nn.Module:
    """Replaces hidden values by values_of(tensor, hidden), one a hidden element in order."""
    filled = _copy(net)
    for name, hidden in _checked(filled, positions).items():
        values = filled.state_dict()[name]
        if not values.is_floating_point() or not bool(hidden.any()):
            continue
        if values.dim() == 1 and bool(hidden.all()) and \
                name.rpartition(".")[2] in ("weight", "running_var"):
            values.fill_(1.0)
        else:
            values[hidden] = values_of(values, hidden).to(values.dtype)
    return filled


def _row_means(values: Tensor, hidden: Tensor) -> Tensor:
    if values.dim() == 0 or bool(hidden.all()):
        return torch.zeros(int(hidden.sum()))
    public = ~hidden
    overall = values[public].mean()
    if values.dim() == 1:
        return overall.expand(int(hidden.sum()))
    count = public.flatten(1).sum(1)
    sums = torch.where(public, values, torch.zeros(())).flatten(1).sum(1)
    means = torch.where(count > 0, sums / count.clamp(min=1), overall)
    return means.view(-1, *[1] * (values.dim() - 1)).expand_as(values)[hidden]


class _Batches:
    """As many batches as steps, each pass over the samples in a new order; with a length, for
    progress bars."""

    def __init__(self, images: Tensor, labels: Tensor, steps: int, strength: Strength,
                 seed: int) -> None:
        self.images, self.labels, self.steps = images, labels, steps
        self.strength, self.seed = strength, seed

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        generator = torch.Generator().manual_seed(self.seed)
        size = min(self.strength.batch, len(self.images))
        order = torch.empty(0, dtype=torch.int64)
        for _ in range(self.steps):
            if len(order) < size:
                order = torch.randperm(len(self.images), generator=generator)
            chosen, order = order[:size], order[size:]
            yield self._moved(self.images[chosen], generator), self.labels[chosen]

    def _moved(self, images: Tensor, generator: torch.Generator) -> Tensor:
        reach = self.strength.shift
        if not reach or images.dim() != 4 or self.labels.is_floating_point():
            return images
        down, right = torch.randint(-reach, reach + 1, (2,), generator=generator).tolist()
        padded = functional.pad(images, (reach,) * 4, mode="replicate")
        height, width = images.shape[-2:]
        return padded[..., reach + down:reach + down + height, reach + right:reach + right + width]
