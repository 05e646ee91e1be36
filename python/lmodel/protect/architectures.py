"""The networks themselves; parameter names are those of published weight files."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def vgg(channels: int, plan: list, classes: int) -> nn.Sequential:
    """VGG with BatchNorm (Simonyan, Zisserman 2015): N x channels x H x W -> N x classes.

    `plan` lists output channels of 3x3 convolutions, and "M" for a maximum over 2x2.
    """
    layers: list[nn.Module] = []
    for step in plan:
        if step == "M":
            layers.append(nn.MaxPool2d(2))
        else:
            layers += [nn.Conv2d(channels, step, 3, padding=1, bias=False), nn.BatchNorm2d(step),
                       nn.ReLU()]
            channels = step
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes)]
    return nn.Sequential(*layers)


class _Block(nn.Module):
    """Two convolutions beside a shortcut without parameters (He et al. 2016, option A)."""

    def __init__(self, channels: int, width: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.stride = stride
        self.more = width - channels

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        if self.stride > 1 or self.more:
            x = x[:, :, ::self.stride, ::self.stride]
            x = F.pad(x, (0, 0, 0, 0, self.more // 2, self.more - self.more // 2))
        return F.relu(x + y)


class ResNet20(nn.Module):
    """ResNet of 20 layers for 32 x 32 images: N x 3 x H x W -> N x classes."""

    def __init__(self, classes: int):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = self._stage(16, 16, 1)
        self.layer2 = self._stage(16, 32, 2)
        self.layer3 = self._stage(32, 64, 2)
        self.linear = nn.Linear(64, classes)

    @staticmethod
    def _stage(channels: int, width: int, stride: int) -> nn.Sequential:
        return nn.Sequential(_Block(channels, width, stride), _Block(width, width, 1),
                             _Block(width, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(x.mean((2, 3)))


class DnCNN(nn.Module):
    """Residual denoiser, BatchNorm folded (Zhang et al. 2017): N x C x H x W -> the same."""

    def __init__(self, channels: int, width: int, depth: int):
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
        for _ in range(depth - 2):
            layers += [nn.Conv2d(width, width, 3, padding=1), nn.ReLU()]
        layers.append(nn.Conv2d(width, channels, 3, padding=1))
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return x - self.model(x)


class _Norm(nn.Module):
    """Division by the root of the mean square (Zhang, Sennrich 2019)."""

    def __init__(self, width: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-5) * self.weight


def _rotate(x: Tensor, first: int) -> Tensor:
    """Rotary positions on neighbouring pairs (Su et al. 2021); x: N x T x heads x size."""
    size = x.shape[-1]
    speed = 10000.0 ** (-torch.arange(0, size, 2, dtype=torch.float32) / size)
    angle = torch.arange(first, first + x.shape[1], dtype=torch.float32)[:, None] * speed
    cos, sin = angle.cos()[:, None, :], angle.sin()[:, None, :]
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1).flatten(-2)


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int, key_heads: int):
        super().__init__()
        self.heads, self.key_heads, self.size = heads, key_heads, width // heads
        self.q_proj = nn.Linear(width, width, bias=False)
        self.k_proj = nn.Linear(width, key_heads * self.size, bias=False)
        self.v_proj = nn.Linear(width, key_heads * self.size, bias=False)
        self.o_proj = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor, past: list[Tensor] | None) -> Tensor:
        n, t, _ = x.shape
        first = past[0].shape[1] if past else 0
        queries = _rotate(self.q_proj(x).view(n, t, self.heads, self.size), first)
        keys = _rotate(self.k_proj(x).view(n, t, self.key_heads, self.size), first)
        values = self.v_proj(x).view(n, t, self.key_heads, self.size)
        if past:
            keys, values = torch.cat((past[0], keys), 1), torch.cat((past[1], values), 1)
        if past is not None:
            past[:] = keys, values
        repeats = self.heads // self.key_heads
        keys = keys.repeat_interleave(repeats, 2)
        values = values.repeat_interleave(repeats, 2)
        logits = torch.einsum("nqhs,nkhs->nhqk", queries, keys) / self.size ** 0.5
        future = torch.ones(t, first + t, dtype=torch.bool).triu(1 + first)
        shares = logits.masked_fill(future, float("-inf")).softmax(-1)
        return self.o_proj(torch.einsum("nhqk,nkhs->nqhs", shares, values).reshape(n, t, -1))


class _FeedForward(nn.Module):
    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.gate_proj = nn.Linear(width, hidden, bias=False)
        self.up_proj = nn.Linear(width, hidden, bias=False)
        self.down_proj = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class _Layer(nn.Module):
    def __init__(self, width: int, hidden: int, heads: int, key_heads: int):
        super().__init__()
        self.input_layernorm = _Norm(width)
        self.self_attn = _Attention(width, heads, key_heads)
        self.post_attention_layernorm = _Norm(width)
        self.mlp = _FeedForward(width, hidden)

    def forward(self, x: Tensor, past: list[Tensor] | None) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), past)
        return x + self.mlp(self.post_attention_layernorm(x))


class Llama(nn.Module):
    """Language model (Touvron et al. 2023): tokens N x T -> logits N x T x vocabulary."""

    def __init__(self, vocabulary: int, width: int, hidden: int, layers: int, heads: int,
                 key_heads: int):
        super().__init__()
        self.model = nn.Module()
        self.model.embed_tokens = nn.Embedding(vocabulary, width)
        nn.init.normal_(self.model.embed_tokens.weight, std=width ** -0.5)
        self.model.layers = nn.ModuleList(_Layer(width, hidden, heads, key_heads)
                                          for _ in range(layers))
        self.model.norm = _Norm(width)

    def forward(self, tokens: Tensor, past: list[list[Tensor]] | None = None) -> Tensor:
        """`past`: an empty list a layer at first; then `tokens` go on where the last call ended."""
        x = self.model.embed_tokens(tokens)
        for i, layer in enumerate(self.model.layers):
            x = layer(x, None if past is None else past[i])
        return F.linear(self.model.norm(x), self.model.embed_tokens.weight)
