"""Finds a handful of parameters that ruin the model when they are moved a little, within the range
of their tensor (Xue et al., AdvParams, 2022), and writes the model with these moved:

    python3 -m lmodel.protect advparams model.safetensors -o locked.safetensors
    lmodel pack --reference locked.safetensors --tier full ... model.safetensors

The archive's public part is then the ruined model, and the true values are encrypted. It degrades;
it is no lock: re-estimating BatchNorm or a short training undoes much of it, as
`python3 -m lmodel.protect evaluate` shows.
"""

from __future__ import annotations

import argparse
import os

import torch

from lmodel import safetensors
from lmodel.errors import LmodelError, UsageError
from lmodel.protect import nets, panel, perturb, progress, quality, samples

NAME = "advparams"
SUMMARY = "perturb a handful of parameters, for pack --reference"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument("model", metavar="MODEL", help="a safetensors file")
    parser.add_argument("-o", "--output", metavar="LOCKED", required=True,
                        help="the safetensors file to write")
    parser.add_argument("-f", "--force", action="store_true", help="replace LOCKED when it exists")
    parser.add_argument("--budget", type=int, default=30, metavar="N",
                        help="parameters that may change (default: 30)")
    parser.add_argument("--pick", choices=("greedy", "random"), default="greedy",
                        help="the parameter that promises most of all tensors (default), or of "
                             "a tensor drawn by lot")
    parser.add_argument("--step", type=float, default=1.0, metavar="SHARE",
                        help="of a move, as a share of the tensor's range; 1 (default) goes to "
                             "the bound at once")
    parser.add_argument("--margin", type=float, default=0.1, metavar="SHARE",
                        help="of the range that stays free at either end (default: 0.1)")
    parser.add_argument("--target-loss", type=float, metavar="X", help="stop at this mean loss")
    parser.add_argument("--target-accuracy", type=float, metavar="PERCENT",
                        help="stop at this accuracy on the samples")
    parser.add_argument("--samples", type=int, default=256, metavar="N",
                        help="of the training data, for gradients (default: 256)")
    parser.add_argument("--data", metavar="NAME",
                        help="data set (default: the one the model is for)")
    parser.add_argument("--seed", type=int, default=0, metavar="N",
                        help="of all random choices (default: 0)")


def run(args: argparse.Namespace) -> int:
    """Perturbs and writes; prints one line for each changed tensor and one in all."""
    if os.path.exists(args.output) and not args.force:
        raise LmodelError(f"{args.output}: exists; -f replaces it")
    if args.samples < 1:
        raise UsageError("--samples is at least 1")
    torch.set_num_threads(1)    # sums of one order: equal seeds give equal results
    net = nets.load(args.model)
    if args.data is not None:
        net.data = args.data
    plan = perturb.Plan(budget=args.budget, step=args.step, margin=args.margin, pick=args.pick,
                        target_loss=args.target_loss, target_accuracy=args.target_accuracy,
                        seed=args.seed)
    given = samples.of(net, args.samples, args.seed)
    locked = perturb.perturb(net.module, given.inputs, given.targets, plan,
                             progress=progress.bar)
    changed = write(args.model, args.output, locked, net)
    for name, count in changed.items():
        print(f"{name}\t{count}")
    before, after = (panel.measure(net, module, None) for module in (net.module, locked.module))
    total = sum(value.numel() for value in net.module.parameters())
    print(f"{sum(changed.values())} of {total} parameters in {len(changed)} tensors: "
          f"{before:.2f} -> {after:.2f} {quality.unit(net)}")
    return 0


def write(model: str | os.PathLike, output: str | os.PathLike, locked: perturb.Locked,
          net: nets.Net) -> dict[str, int]:
    """Writes the model's file with the perturbed values in it, names, element types and all else
    the same; returns how many values of each tensor came out changed (a type of 16 bits may round
    some back)."""
    tensors, metadata = safetensors.load_torch(model)
    places: dict[str, list[int]] = {}
    for name, index in locked.original:
        places.setdefault(name, []).append(index)
    state, changed = locked.module.state_dict(), {}
    for inner, indices in places.items():
        name = net.names[inner]
        old = tensors[name]
        new = old.clone().contiguous()
        new.view(-1)[indices] = state[inner].view(-1)[indices].to(new.dtype)
        count = int((new != old).sum())
        if count:
            tensors[name], changed[name] = new, count
    safetensors.save_torch(output, tensors, metadata)
    return changed
