"""Networks behind weight files: the architecture is told by metadata or by the tensors' names.

Kinds, and what is known of their training:

- "vgg": Sequential of 3x3 convolutions with BatchNorm, global average, one linear layer; the
  metadata `arch` lists the channels, "M" for a maximum over 2x2.
- "resnet20": He et al. 2016 for CIFAR, shortcuts without parameters (option A).
- "dncnn": Zhang et al. 2017, BatchNorm folded: convolutions and ReLU; predicts the noise.
- "llama": RMSNorm, rotary positions on neighbouring pairs, grouped queries, SwiGLU, tied output.
"""

import ast
import copy
import re
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import nn

from lmodel import safetensors
from lmodel.errors import CorruptError
from lmodel.protect.architectures import DnCNN, Llama, ResNet20, vgg


class NetError(CorruptError):
    """The file is not one of the networks known here, or a tensor is missing or misshapen."""


@dataclass
class Net:
    """A network in evaluation mode, and how its tensors are called in the file."""

    module: nn.Module
    kind: str                 # "vgg", "resnet20", "dncnn", "llama"
    names: dict[str, str]     # name in the module -> name in the file, buffers too
    task: str                 # "classify", "denoise", "language"
    data: str                 # name of the data set for lmodel.protect.data
    metadata: dict[str, str] = field(default_factory=dict)
    others: dict[str, torch.Tensor] = field(default_factory=dict)  # unused tensors of the file

    def state(self) -> dict[str, torch.Tensor]:
        """Copies of all tensors, under their names in the file."""
        held = self.module.state_dict()
        state = {name: held[inner].detach().clone() for inner, name in self.names.items()}
        return state | self.others

    def with_state(self, state: dict[str, torch.Tensor]) -> "Net":
        """A second network with the tensors of `state` (names of the file) in place of its own.

        Tensors that `state` lacks stay as they are. NetError when a shape does not fit.
        """
        net = copy.deepcopy(self)
        known = {name: inner for inner, name in net.names.items()}
        _fill(net.module, {known[name]: (name, tensor) for name, tensor in state.items()
                           if name in known})
        net.others |= {name: state[name] for name in net.others.keys() & state.keys()}
        return net

    def with_module(self, module: nn.Module) -> "Net":
        """The same network around another module of its architecture, such as a repaired copy."""
        return replace(self, module=module)

    def weights(self) -> dict[str, nn.Module]:
        """The layers whose weights can be protected: name of the weight in the file -> layer."""
        layers = {}
        for inner, module in self.module.named_modules():
            if isinstance(module, (nn.Conv2d, nn.Linear, nn.Embedding)):
                layers[self.names[f"{inner}.weight"]] = module
        return layers

    def inner(self, name: str) -> str:
        """The module's name for a tensor of the file. NetError when there is none."""
        for inner, outer in self.names.items():
            if outer == name:
                return inner
        raise NetError(f"the network has no tensor {name!r}")


def load(path: str | Path) -> Net:
    """Reads a safetensors file. NetError when it is no network known here; else as load_torch()."""
    tensors, metadata = safetensors.load_torch(path)
    try:
        return build(tensors, metadata)
    except NetError as error:
        raise NetError(f"{path}: {error}") from None


def save(net: Net, path: str | Path) -> None:
    """Writes a safetensors file with the names and the metadata that the network came with."""
    safetensors.save_torch(path, {name: tensor.contiguous()
                                  for name, tensor in net.state().items()}, net.metadata)


def build(tensors: dict[str, torch.Tensor], metadata: dict[str, str] | None = None) -> Net:
    """The network of these tensors; they are copied. NetError as for load()."""
    metadata = dict(metadata or {})
    kind = tell(tensors, metadata)
    module = _BUILDERS[kind](tensors, metadata)
    task, dataset = _TASKS[kind]
    # Counters that only training uses may be missing from the file.
    names = {inner: inner for inner in module.state_dict()
             if inner in tensors or not inner.endswith("num_batches_tracked")}
    missing = [name for name in names if name not in tensors]
    if missing:
        raise NetError(f"tensor {missing[0]!r} is missing from this {kind}")
    _fill(module, {name: (name, tensors[name]) for name in names})
    others = {name: tensor.clone() for name, tensor in tensors.items() if name not in names}
    order = {name: name for name in tensors if name in names}
    return Net(module.eval(), kind, order, task, metadata.get("dataset", dataset), metadata,
               others)


def tell(tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> str:
    """The kind of network. NetError when it is none known here."""
    if "arch" in metadata and "0.weight" in tensors:
        return "vgg"
    if "model.embed_tokens.weight" in tensors:
        return "llama"
    if "layer1.0.conv1.weight" in tensors and "linear.weight" in tensors:
        return "resnet20"
    if "model.0.weight" in tensors and tensors["model.0.weight"].dim() == 4:
        return "dncnn"
    raise NetError("not a network known here (vgg, resnet20, dncnn, llama)")


def sigma(net: Net) -> float:
    """The noise that a denoiser was trained for, in grey levels of 255."""
    return _number(net.metadata, "sigma", 25.0)


def _fill(module: nn.Module, tensors: dict[str, tuple[str, torch.Tensor]]) -> None:
    held = module.state_dict()
    with torch.no_grad():
        for inner, (name, tensor) in tensors.items():
            if tensor.shape != held[inner].shape:
                raise NetError(f"tensor {name!r} has shape {list(tensor.shape)}, not "
                               f"{list(held[inner].shape)}")
            held[inner].copy_(tensor)


def _number(metadata: dict[str, str], key: str, default: float) -> float:
    try:
        return float(metadata.get(key, default))
    except ValueError:
        raise NetError(f"metadata {key!r} is no number: {metadata[key]!r}") from None


def _shape(tensors: dict[str, torch.Tensor], name: str, rank: int) -> list[int]:
    if name not in tensors:
        raise NetError(f"tensor {name!r} is missing")
    shape = list(tensors[name].shape)
    if len(shape) != rank or min(shape) < 1:
        raise NetError(f"tensor {name!r} has shape {shape}; {rank} dimensions are needed")
    return shape


def _build_vgg(tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> nn.Module:
    try:
        plan = ast.literal_eval(metadata["arch"])
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        plan = None
    if not isinstance(plan, list) or not 0 < len(plan) <= 64 or not all(
            step == "M" or (type(step) is int and 0 < step <= 4096) for step in plan):
        raise NetError("metadata 'arch' is no list of channels and 'M'")
    last = f"{_vgg_linear(plan)}.weight"
    return vgg(_shape(tensors, "0.weight", 4)[1], plan, _shape(tensors, last, 2)[0])


def _vgg_linear(plan: list) -> int:
    """The number of the linear layer within the Sequential."""
    return sum(1 if step == "M" else 3 for step in plan) + 2


def _build_resnet20(tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> nn.Module:
    return ResNet20(_shape(tensors, "linear.weight", 2)[0])


def _build_dncnn(tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> nn.Module:
    numbers = sorted(int(match[1]) for match in
                     (re.fullmatch(r"model\.(\d{1,4})\.weight", name) for name in tensors) if match)
    if numbers != list(range(0, 2 * len(numbers), 2)) or len(numbers) < 2:
        raise NetError("a dncnn has weights model.0, model.2, model.4 and so on")
    width, channels = _shape(tensors, "model.0.weight", 4)[:2]
    return DnCNN(channels, width, len(numbers))


def _build_llama(tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> nn.Module:
    vocabulary, width = _shape(tensors, "model.embed_tokens.weight", 2)
    numbers = {int(match[1]) for match in
               (re.match(r"model\.layers\.(\d{1,4})\.", name) for name in tensors) if match}
    if numbers != set(range(len(numbers))) or not numbers:
        raise NetError("the layers of a llama are numbered from 0 without gaps")
    keys = _shape(tensors, "model.layers.0.self_attn.k_proj.weight", 2)[0]
    hidden = _shape(tensors, "model.layers.0.mlp.gate_proj.weight", 2)[0]
    heads = int(_number(metadata, "heads", width // 8))
    if heads < 1 or width % heads != 0 or (width // heads) % 2 or keys % (width // heads) or \
            heads % max(1, keys // (width // heads)):
        raise NetError(f"a width of {width} and keys of {keys} do not divide into {heads} heads")
    return Llama(vocabulary, width, hidden, len(numbers), heads, keys // (width // heads))


_BUILDERS = {"vgg": _build_vgg, "resnet20": _build_resnet20, "dncnn": _build_dncnn,
             "llama": _build_llama}
_TASKS = {"vgg": ("classify", "fmnist"), "resnet20": ("classify", "cifar10"),
          "dncnn": ("denoise", "set12"), "llama": ("language", "stories")}
