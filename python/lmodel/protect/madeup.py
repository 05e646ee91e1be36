"""Made-up data: the same at every call, learnt in seconds, and nobody's property."""

import torch
import torch.nn.functional as F
from torch import Tensor

CLASSES = 10
VOCABULARY = 64
_SIZES = {"train": 2000, "test": 500}
_SIDE = 16


def _smooth(count: int, side: int, coarse: int, generator: torch.Generator) -> Tensor:
    """Random smooth fields, count x 1 x side x side, of about unit variance."""
    noise = torch.randn(count, 1, coarse, coarse, generator=generator)
    return F.interpolate(noise, (side, side), mode="bicubic", align_corners=False)


def images(split: str, count: int | None = None) -> tuple[Tensor, Tensor]:
    """A pattern a class, shifted, dimmed, and under noise: N x 1 x 16 x 16, and labels."""
    prototypes = _smooth(CLASSES, _SIDE, 5, torch.Generator().manual_seed(1))
    generator = torch.Generator().manual_seed(2 if split == "train" else 3)
    total = _SIZES[split]
    labels = torch.randint(CLASSES, (total,), generator=generator)
    shifts = torch.randint(-2, 3, (total, 2), generator=generator)
    gains = 0.5 + torch.rand(total, 1, 1, generator=generator)
    x = torch.stack([torch.roll(prototypes[int(label), 0], tuple(shift.tolist()), (0, 1))
                     for label, shift in zip(labels, shifts)])
    x = x * gains + 0.8 * torch.randn(x.shape, generator=generator)
    return (0.2 * x[:count])[:, None], labels[:count]


def pictures(count: int | None = None) -> list[Tensor]:
    """Smooth fields with sharp edges, 1 x 64 x 64 in 0 to 1; 12 of them."""
    generator = torch.Generator().manual_seed(4)
    fields = 0.5 + 0.15 * _smooth(12, 64, 9, generator)
    edges = (_smooth(12, 64, 5, generator) > 0).float() * 0.4 - 0.2
    return list((fields + edges).clamp(0, 1)[:count])


def stories(count: int, length: int, seed: int) -> Tensor:
    """A Markov chain over 64 tokens, each with a few likely successors: count x length."""
    chain = torch.Generator().manual_seed(5)
    shares = (3 * torch.randn(VOCABULARY, VOCABULARY, generator=chain)).softmax(-1)
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.ones(count, length, dtype=torch.int64)
    for t in range(1, length):
        tokens[:, t] = torch.multinomial(shares[tokens[:, t - 1]], 1, generator=generator)[:, 0]
    return tokens
