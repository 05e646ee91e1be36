"""Small networks trained on the spot, for where no trained ones are."""

import torch
import torch.nn.functional as F
from torch import Tensor

from lmodel.protect import data, madeup
from lmodel.protect.architectures import DnCNN, Llama, vgg
from lmodel.protect.nets import Net, build
from lmodel.protect.progress import bar

_STEPS = {"vgg": 150, "dncnn": 250, "llama": 200}
_TASK = {"vgg": "classify", "dncnn": "denoise", "llama": "language"}
_PLAN = [8, 8, "M", 16, 16]


def loss(net: Net, inputs: Tensor, targets: Tensor) -> Tensor:
    """The mean loss of a network's task over a batch, differentiable; see losses()."""
    return losses(net.task, net.module(inputs), targets).mean()


def losses(task: str, outputs: Tensor, targets: Tensor) -> Tensor:
    """The loss of each of N inputs: cross-entropy of labels or of next tokens, or the mean square
    of the noise that is left (x 100, so that it is of the size of the others)."""
    if task == "classify":
        return F.cross_entropy(outputs, targets, reduction="none")
    if task == "denoise":
        return 100 * (outputs - targets).square().flatten(1).mean(1)
    each = F.cross_entropy(outputs[:, :-1].flatten(0, 1), targets[:, 1:].flatten(),
                           reduction="none")
    return each.view(len(targets), -1).mean(1)


def fit(net: Net, inputs: Tensor, targets: Tensor, steps: int, seed: int = 0, lr: float = 5e-3,
        batch: int = 64) -> None:
    """Trains all parameters in place with Adam, batches at random, the rate falling to 0."""
    generator = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.Adam(net.module.parameters(), lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(1, steps))
    net.module.train()
    for _ in bar(range(steps), f"training {net.kind}"):
        chosen = torch.randint(len(inputs), (min(batch, len(inputs)),), generator=generator)
        optimiser.zero_grad()
        loss(net, inputs[chosen], targets[chosen]).backward()
        optimiser.step()
        schedule.step()
    net.module.eval()


def small(kind: str, seed: int = 0, steps: int | None = None) -> Net:
    """A "vgg", "dncnn" or "llama" trained for some seconds on made-up data ("synthetic")."""
    metadata = {"format": "pt", "dataset": "synthetic", "source": "trained on made-up data"}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        if kind == "vgg":
            module = vgg(1, _PLAN, madeup.CLASSES)
            metadata["arch"] = str(_PLAN)
        elif kind == "dncnn":
            module = DnCNN(1, 16, 6)
            metadata["sigma"] = "25"
        else:
            module = Llama(madeup.VOCABULARY, 32, 64, 2, 4, 2)
            metadata["heads"] = "4"
    net = build(module.state_dict(), metadata)
    inputs, targets = data.synthetic(_TASK[kind], "train", 2000, seed)
    fit(net, inputs, targets, _STEPS[kind] if steps is None else steps, seed)
    return net
