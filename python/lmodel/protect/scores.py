"""Score files, and what the methods that write them share.

A score file is what `lmodel pack --scores` takes: safetensors, and for each weight that was scored
one F32 tensor of its name. Kernels (O x I x h x w) have a list of O * I scores, one a slice, in
the order of the slices; matrices have a score an element. Scores are finite and at least 0: the
higher, the more the network needs what they stand for.
"""

import argparse
import fnmatch
from pathlib import Path

import torch
from torch import Tensor, nn

from lmodel import safetensors
from lmodel.errors import CorruptError, UsageError
from lmodel.protect import data, nets
from lmodel.protect.nets import Net

_ELIGIBLE = 64  # elements: `lmodel pack` protects no smaller tensor unless told to


class ScoreError(CorruptError):
    """A score file does not fit its model, or its numbers are no scores."""


def positive(text: str) -> int:
    """An argparse type: a whole number from 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return value


def add_arguments(parser: argparse.ArgumentParser, count: int) -> None:
    """The options of all methods; `count` is the default of --count."""
    parser.add_argument("model", metavar="MODEL", help="weights, a .safetensors file")
    parser.add_argument("-o", "--output", metavar="SCORES", required=True,
                        help="the score file to write, for lmodel pack --scores")
    parser.add_argument("--data", metavar="NAME",
                        help="data set to score with (default: the model's own); synthetic is "
                             "made up and needs no file")
    parser.add_argument("--count", type=positive, default=count, metavar="N",
                        help="inputs of the data set's training part (default: %(default)s)")
    parser.add_argument("--tensors", action="append", metavar="PATTERN",
                        help="score the weights whose names match, with * and ? (default: all "
                             "of 64 elements or more); may be given again")
    parser.add_argument("--seed", type=int, default=0, metavar="N",
                        help="of all random choices (default: 0)")
    parser.add_argument("--threads", type=positive, default=1, metavar="N",
                        help="(default: 1)")


def start(args: argparse.Namespace) -> tuple[Net, list[str], Tensor, Tensor]:
    """What the options name: the network, the weights to score, inputs and targets."""
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    net = nets.load(args.model)
    names = chosen(net, args.tensors)
    return net, names, *inputs(net, args.data or net.data, args.count, args.seed)


def chosen(net: Net, patterns: list[str] | None = None) -> list[str]:
    """The weights that the patterns pick; without any, all that pack protects by itself."""
    layers = net.weights()
    if not patterns:
        return [name for name, layer in layers.items() if layer.weight.numel() >= _ELIGIBLE]
    for pattern in patterns:
        if not fnmatch.filter(layers, pattern):
            raise UsageError(f"no weight of this {net.kind} matches {pattern!r}; it has "
                             f"{', '.join(layers)}")
    return [name for name in layers if any(fnmatch.fnmatchcase(name, p) for p in patterns)]


def inputs(net: Net, name: str, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """`count` training inputs, and targets, for the task of a network.

    Set12 is for measuring: a denoiser is given patches of train400 in its place. DataError.
    """
    if net.task == "classify":
        found = data.images(name, "train", count)
        classes = [layer for layer in net.weights().values() if isinstance(layer, nn.Linear)][-1]
        first = next(iter(net.weights().values()))
        if found[0].shape[1] != first.weight.shape[1]:
            raise UsageError(f"images of {name} have {found[0].shape[1]} channels; the network "
                             f"takes {first.weight.shape[1]}")
        if int(found[1].max()) >= classes.out_features:
            raise UsageError(f"{name} has more classes than the network ({classes.out_features})")
        return found
    if net.task == "denoise":
        size = 24 if name == "synthetic" else 40
        name = "train400" if name == "set12" else name
        return data.patches(name, nets.sigma(net), count, size, seed)
    tokens = data.stories(count, 64, seed + 1, name)
    if int(tokens.max()) >= next(iter(net.weights().values())).weight.shape[0]:
        raise UsageError(f"{name} has more tokens than the network")
    return tokens, tokens


def wanted_shape(weight: Tensor) -> list[int]:
    """The shape of the scores of a weight."""
    shape = list(weight.shape)
    return shape if len(shape) < 3 else [shape[0] * shape[1]]


def spread(scores: Tensor, weight: Tensor) -> Tensor:
    """Scores of slices (O x I), rows (O x 1) or columns (1 x I) in the form of a score file."""
    if weight.dim() > 2:
        return scores.expand(weight.shape[:2]).reshape(-1)
    return scores.expand(weight.shape)


def save(path: str | Path, net: Net, method: str, scores: dict[str, Tensor]) -> None:
    """Writes a score file. ScoreError when the scores are none (NaN, negative, misshapen)."""
    check(net, scores)
    safetensors.save_torch(path, {name: part.float().contiguous()
                                  for name, part in scores.items()},
                           {"format": "pt", "method": method})


def load(path: str | Path, net: Net) -> dict[str, Tensor]:
    """Reads a score file made for this network. ScoreError when it does not fit."""
    tensors, _ = safetensors.load_torch(path)
    try:
        check(net, tensors)
    except ScoreError as error:
        raise ScoreError(f"{path}: {error}") from None
    return tensors


def check(net: Net, scores: dict[str, Tensor]) -> None:
    """ScoreError, naming the tensor, unless these are scores of weights of the network."""
    layers = net.weights()
    if not scores:
        raise ScoreError("no scores")
    for name, part in scores.items():
        if name not in layers:
            raise ScoreError(f"scores of {name!r}: the network has no such weight")
        wanted = wanted_shape(layers[name].weight)
        if not part.is_floating_point():
            raise ScoreError(f"scores of {name!r}: of type {part.dtype}, not floating point")
        if list(part.shape) != wanted:
            raise ScoreError(f"scores of {name!r}: shape {list(part.shape)}, not {wanted}")
        if not torch.isfinite(part).all():
            raise ScoreError(f"scores of {name!r}: some are NaN or infinite")
        if (part < 0).any():
            raise ScoreError(f"scores of {name!r}: some are negative")
