"""Hard-concrete gates on frozen weights (Louizos et al. 2018; Tian, Zhou, Duan 2021).

A gate multiplies one unit of a weight: a kernel slice (output channel, input channel), or a row,
column or element of a matrix. It is open for sure at 1, shut for sure at 0:

    s = sigmoid((log u - log(1 - u) + log_alpha) / beta),   u uniform in (0, 1)
    z = clamp(s * (zeta - gamma) + gamma, 0, 1)

or, without chance, z = clamp(sigmoid(log_alpha) * (zeta - gamma) + gamma, 0, 1).
"""

import math

import torch
from torch import Tensor

BETA = 2 / 3
GAMMA = -0.1
ZETA = 1.1
LIMIT = math.log(100)  # of log_alpha, to both sides
_EDGE = 1e-6           # of u
UNITS = ("row", "column", "element")


def shape(weight: Tensor, unit: str) -> tuple[int, ...]:
    """The shape of the gates of a weight; `unit` is for matrices, kernels have slices."""
    rows, columns = weight.shape[:2]
    if weight.dim() > 2 or unit == "element":
        return rows, columns
    return (rows, 1) if unit == "row" else (1, columns)


def broadcast(gates: Tensor, weight: Tensor) -> Tensor:
    """Gates in a shape that multiplies the weight."""
    return gates.view(*gates.shape, *[1] * (weight.dim() - 2))


def draw(log_alpha: Tensor, generator: torch.Generator) -> Tensor:
    """Gates at random, differentiable by log_alpha."""
    u = torch.rand(log_alpha.shape, generator=generator) * (1 - 2 * _EDGE) + _EDGE
    s = torch.sigmoid((u.log() - (1 - u).log() + log_alpha) / BETA)
    return (s * (ZETA - GAMMA) + GAMMA).clamp(0, 1)


def mean(log_alpha: Tensor) -> Tensor:
    """Gates without chance."""
    return (torch.sigmoid(log_alpha) * (ZETA - GAMMA) + GAMMA).clamp(0, 1)


def open_probability(log_alpha: Tensor) -> Tensor:
    """The probability that a gate is not 0: what is to become small."""
    return torch.sigmoid(log_alpha - BETA * math.log(-GAMMA / ZETA))


def clamp(log_alpha: Tensor) -> None:
    """Brings log_alpha back within its limits, in place."""
    with torch.no_grad():
        log_alpha.clamp_(-LIMIT, LIMIT)
