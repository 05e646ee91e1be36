"""Learns which kernel slices a network needs, by gates on its frozen weights (Tian, Zhou, Duan,
"Probabilistic Selective Encryption of Convolutional Neural Networks for Hierarchical Services",
CVPR 2021), and writes them as scores.

Each gate scales one kernel slice, or one row of a matrix (--unit). Gates minimise the loss of the
task plus --lambda times the expected number of open gates: those that the task needs stay open.
The score of a gate is exp(log alpha / T), T being --temperature: monotone, and never negative, as
`lmodel pack --select pss` needs it, which draws units in proportion to their scores. To draw so
without replacement is to take the highest of log alpha + Gumbel noise of scale T. At 1 the draw is
wide, and much that matters stays public; at 0.1 it is near the highest log alpha, which
`--select magnitude` takes without chance.

--robust makes whoever repairs the network a part of the loss: while gates are learnt he adapts what
stays public, so gates that he can do without shut.
  batchnorm   BatchNorm uses the statistics of the batch; not behind a layer with one input
              channel, where it would undo any scaling and the gates would learn nothing
  affine      he trains BatchNorm's scales and shifts, and all biases
  fill        he also trains what is in the place of shut gates: a kernel a layer

Then pack by

  lmodel pack --scores SCORES --include NAME... --tier NAME=8% --owner ... MODEL

with the weights that were scored as NAMEs. The default scope, equal, hides as many slices in every
layer: how they are spread matters more than how they rank.
"""

import argparse
import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils.stateless import functional_call

from lmodel.errors import UsageError
from lmodel.protect import gates, scores
from lmodel.protect.nets import Net
from lmodel.protect.progress import bar
from lmodel.protect.training import losses

NAME = "pss"
SUMMARY = "learnt gates on frozen weights"
ROBUST = ("none", "batchnorm", "affine", "fill")


@dataclass
class Settings:
    """How gates are learnt; the defaults are the paper's where it tells, else what worked."""

    steps: int = 150
    batch: int = 100
    optimiser: str = "adam"     # or "sgd": momentum .9, Nesterov
    rate: float | None = None   # None: .05 for adam, .1 for sgd
    weight: float = 1e-4        # lambda, of the expected number of open gates
    start: float = 1.0          # log alpha, plus noise of 1e-5
    layerwise: bool = False     # one layer at a time, the others open
    sampled: bool = False       # gates drawn at random, not their mean
    robust: str = "none"        # one of ROBUST
    repair_rate: float = 2e-3   # of the repairer's Adam
    unit: str = "row"           # of matrices
    temperature: float = .1     # of the scores
    seed: int = 0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this method."""
    d = Settings()
    scores.add_arguments(parser, count=2000)
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--joint", action="store_false", dest="layerwise",
                       help="the gates of all layers at once (default)")
    group.add_argument("--layerwise", action="store_true",
                       help="one layer at a time, the gates of the others open; --steps each")
    parser.add_argument("--robust", choices=ROBUST, nargs="?", const="fill", default="none",
                        help="what the network's repairer does meanwhile (default: none; without "
                             "a word: fill)")
    parser.add_argument("--steps", type=scores.positive, default=d.steps, metavar="N",
                        help="(default: %(default)s)")
    parser.add_argument("--batch", type=scores.positive, default=d.batch, metavar="N",
                        help="inputs a step (default: %(default)s)")
    parser.add_argument("--optimiser", choices=("adam", "sgd"), default=d.optimiser,
                        help="sgd: with momentum .9, Nesterov (default: %(default)s)")
    parser.add_argument("--rate", type=float, metavar="X",
                        help="of learning (default: .05 for adam, .1 for sgd)")
    parser.add_argument("--lambda", type=float, default=d.weight, dest="weight", metavar="X",
                        help="weight of an open gate (default: %(default)s)")
    parser.add_argument("--sampled", action="store_true",
                        help="draw gates at random in each step, in place of their mean")
    parser.add_argument("--unit", choices=gates.UNITS, default=d.unit,
                        help="what a gate scales in a matrix (default: %(default)s)")
    parser.add_argument("--temperature", type=float, default=d.temperature, metavar="T",
                        help="how far chance goes beyond the ranking, .1 to 10 (default: "
                             "%(default)s)")
    parser.add_argument("--start", metavar="SCORES",
                        help="go on from the scores that an earlier run wrote")


def run(args: argparse.Namespace) -> int:
    """Runs the method as a tool."""
    if args.rate is not None and not args.rate > 0 or not args.weight >= 0:
        raise UsageError("--rate must be above 0, --lambda at least 0")
    if not .1 <= args.temperature <= 10:
        raise UsageError("--temperature must be from .1 to 10")
    net, names, inputs, targets = scores.start(args)
    earlier = scores.load(args.start, net) if args.start else {}
    settings = Settings(**{field: getattr(args, field) for field in
                           ("steps", "batch", "optimiser", "rate", "weight", "layerwise",
                            "sampled", "robust", "unit", "temperature", "seed")})
    scores.save(args.output, net, NAME, learn(net, names, inputs, targets, settings, earlier))
    return 0


def learn(net: Net, names: list[str], inputs: Tensor, targets: Tensor,
          settings: Settings | None = None,
          earlier: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
    """Scores (see lmodel.protect.scores) of the weights `names`; the network stays as it is.

    `earlier` scores, where there are any, are where gates start.
    """
    settings = settings or Settings()
    generator = torch.Generator().manual_seed(settings.seed)
    gated = _Gated(net, names, settings, generator, earlier or {})
    rounds = [[name] for name in names] if settings.layerwise else [names]
    for learnt in rounds:
        _learn_some(gated, learnt, inputs, targets, settings, generator)
    return {name: scores.spread((gated.log_alpha[name].detach() / settings.temperature).exp(),
                                gated.weights[name]) for name in names}


def _learn_some(gated: "_Gated", names: list[str], inputs: Tensor, targets: Tensor,
                settings: Settings, generator: torch.Generator) -> None:
    learnt = [gated.log_alpha[name] for name in names]
    rate = settings.rate or (.05 if settings.optimiser == "adam" else .1)
    if settings.optimiser == "adam":
        optimiser = torch.optim.Adam(learnt, rate)
    else:
        optimiser = torch.optim.SGD(learnt, rate, momentum=.9, nesterov=True)
    repairer = gated.repair(names)
    optimisers = [optimiser] + ([torch.optim.Adam(repairer, settings.repair_rate)]
                                if repairer else [])
    label = f"gates of {names[0]}" if len(names) == 1 else "gates"
    for _ in bar(range(settings.steps), label):
        batch = torch.randint(len(inputs), (min(settings.batch, len(inputs)),),
                              generator=generator)
        loss = losses(gated.task, gated(inputs[batch], names), targets[batch]).mean()
        loss = loss + settings.weight * sum(gates.open_probability(a).sum() for a in learnt)
        for each in optimisers:
            each.zero_grad()
        loss.backward()
        for each in optimisers:
            each.step()
        for log_alpha in learnt:
            gates.clamp(log_alpha)


class _Gated:
    """A copy of a network whose weights pass gates, and what its repairer may train."""

    def __init__(self, net: Net, names: list[str], settings: Settings,
                 generator: torch.Generator, earlier: dict[str, Tensor]):
        self.module = copy.deepcopy(net.module).eval().requires_grad_(False)
        self.task = net.task
        self.inner = {name: net.inner(name) for name in names}
        held = dict(self.module.named_parameters())
        self.weights = {name: held[self.inner[name]] for name in names}
        self.settings, self.generator = settings, generator
        self.log_alpha = {}
        for name, weight in self.weights.items():
            start = torch.randn(gates.shape(weight, settings.unit), generator=generator) * 1e-5
            start += settings.start if name not in earlier else \
                _resumed(earlier[name], weight, start, settings.temperature)
            self.log_alpha[name] = start.requires_grad_()
        robust = ROBUST.index(settings.robust)
        if robust >= ROBUST.index("batchnorm"):
            _use_batch_statistics(self.module)
        gated = set(self.inner.values())
        self.affine = {name: parameter for name, parameter in held.items()
                       if name not in gated and parameter.dim() == 1} \
            if robust >= ROBUST.index("affine") else {}
        self.fills = {name: torch.zeros(1, 1, *weight.shape[2:])
                      for name, weight in self.weights.items()} \
            if robust >= ROBUST.index("fill") else {}

    def repair(self, names: list[str]) -> list[Tensor]:
        """What the repairer trains while the gates of `names` are learnt; he starts anew."""
        self.trained = {inner: parameter.clone().requires_grad_()
                        for inner, parameter in self.affine.items()}
        for name, fill in self.fills.items():
            self.fills[name] = torch.zeros_like(fill).requires_grad_(name in names)
        return list(self.trained.values()) + [f for f in self.fills.values() if f.requires_grad]

    def __call__(self, inputs: Tensor, names: list[str]) -> Tensor:
        """The outputs with the gates of `names` in force."""
        replaced = dict(self.trained)
        for name in names:
            weight, log_alpha = self.weights[name], self.log_alpha[name]
            z = gates.draw(log_alpha, self.generator) if self.settings.sampled else \
                gates.mean(log_alpha)
            z = gates.broadcast(z, weight)
            shown = weight * z
            if name in self.fills:
                shown = shown + (1 - z) * self.fills[name]
            replaced[self.inner[name]] = shown
        return functional_call(self.module, replaced, inputs)


def _resumed(earlier: Tensor, weight: Tensor, like: Tensor, temperature: float) -> Tensor:
    """log alpha of earlier scores; those of a row or column are equal, and their mean is taken."""
    found = earlier.view(weight.shape[:2]).float().log() * temperature
    for axis in (0, 1):
        if like.shape[axis] == 1:
            found = found.mean(axis, keepdim=True)
    return found.clamp(-gates.LIMIT, gates.LIMIT)


def _use_batch_statistics(module: nn.Module) -> None:
    """Lets each BatchNorm but those behind one input channel normalise by its batch."""
    behind = None
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            behind = part
        elif isinstance(part, nn.BatchNorm2d) and (behind is None or behind.in_channels > 1):
            part.train()
