"""What a key that is not the right one gives.

With encryption nothing: an error, which is stated. With the mask deep-lock, whose every key gives
bytes, what a net with these bytes is worth; and what 32 known bytes a block give, without any key.
"""

from __future__ import annotations

import os
import tempfile

import torch
from torch import Tensor

import lmodel
from lmodel.protect import deeplock, levels, panel
from lmodel.protect.nets import Net

DEEP_LOCK = "deep-lock"


def measure(opened: levels.Leveled, base: Net, full: Net | None, test: int | None) -> dict:
    """The answer to a fresh key; and, for an archive with the mask deep-lock whose highest level,
    `full`, is open, the qualities with wrong lock keys and after the known-plaintext attack."""
    document = {"fresh_key": answer(opened)}
    if full is not None and any(tier.mask == DEEP_LOCK for tier in opened.tiers):
        document[DEEP_LOCK] = locked(base, full, test)
    return document


def answer(opened: levels.Leveled) -> dict:
    """What opening says to a key that was made just now; exit_status is the program's."""
    with tempfile.TemporaryDirectory(prefix="lmodel-evaluate-") as folder:
        key = os.path.join(folder, "fresh.txt")
        levels.run("keygen", "-o", key)
        try:
            lmodel.open(opened.path, key, remember=False).close()
        except lmodel.LmodelError as error:
            return {"error": type(error).__name__, "exit_status": error.code,
                    "message": str(error).replace(f"{opened.path.parent}/", "")}
    return {"error": None, "exit_status": 0, "message": "the key opens it"}


def locked(base: Net, full: Net, test: int | None) -> dict:
    """Deep-Lock, all tensors of the file: qualities with one bit of each block's key flipped, with
    other keys, and with the keys that 32 known bytes of each block give."""
    shown, true = base.state(), full.state()
    flipped, other, recovered = {}, {}, {}
    known = total = 0
    for name, tensor in shown.items():
        data, truth = to_bytes(tensor), to_bytes(true[name])
        parts: tuple[list[bytes], list[bytes], list[bytes]] = ([], [], [])
        for start in range(0, len(data), deeplock.BLOCK):
            block = data[start:start + deeplock.BLOCK]
            piece = truth[start:start + deeplock.BLOCK]
            if len(block) < deeplock.KEY:    # known whole, or not at all
                keys = [None, None, None]
                known += len(block)
            else:
                key = deeplock.recover(block, piece[:deeplock.KEY], 0)
                keys = [flip(key), deeplock.block_key(key, 0), key]
                known += deeplock.KEY
            for part, key in zip(parts, keys):
                part.append(block if key is None else deeplock.unlock_block(key, block))
        total += len(data)
        for state, part in zip((flipped, other, recovered), parts):
            state[name] = from_bytes(b"".join(part), tensor)
    return {"flipped_bit": _quality(base, flipped, test), "other_key": _quality(base, other, test),
            "known_plaintext": {
                "known_bytes": known, "of_bytes": total,
                "exact": all(torch.equal(bits(recovered[name]), bits(true[name]))
                             for name in true if true[name].numel() * true[name].element_size()
                             >= deeplock.KEY),
                "quality": _quality(full, {name: value for name, value in recovered.items()
                                           if len(to_bytes(value)) >= deeplock.KEY}, test)}}


def flip(key: bytes, bit: int = 0) -> bytes:
    """The key with one bit changed."""
    changed = bytearray(key)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def bits(tensor: Tensor) -> Tensor:
    """The bytes of a tensor, uint8: NaN equals NaN in them."""
    return tensor.detach().contiguous().flatten().view(torch.uint8)


def to_bytes(tensor: Tensor) -> bytes:
    """The bytes of a tensor, as files have them."""
    return bits(tensor).numpy().tobytes()


def from_bytes(data: bytes, like: Tensor) -> Tensor:
    """A tensor of the dtype and shape of another."""
    flat = torch.frombuffer(bytearray(data), dtype=torch.uint8) if data else \
        torch.empty(0, dtype=torch.uint8)
    return flat.view(like.dtype).view(like.shape)


def _quality(net: Net, state: dict[str, Tensor], test: int | None) -> float:
    other = net.with_state(state)
    return panel.measure(other, other.module, test)
