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
from lmodel.protect import attacks, deeplock, levels, panel
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
    """Deep-Lock: qualities with one bit of each block's key flipped, with other keys, and with the
    keys that 32 known bytes of each block give.

    Tensors that are public stay as they are; of blocks that are shorter all bytes count as known.
    """
    shown, true = base.state(), full.state()
    states: dict[str, dict[str, Tensor]] = {"flipped_bit": {}, "other_key": {}, "known": {}}
    known = total = blocks = 0
    for name, tensor in shown.items():
        data, truth = to_bytes(tensor), to_bytes(true[name])
        total += len(data)
        if data == truth:
            continue
        parts: dict[str, list[bytes]] = {which: [] for which in states}
        for start in range(0, len(data), deeplock.BLOCK):
            block = data[start:start + deeplock.BLOCK]
            given = truth[start:start + deeplock.KEY]
            known, blocks = known + len(given), blocks + 1
            for which, bytes_of in _openings(block, given).items():
                parts[which].append(bytes_of)
        for which, state in states.items():
            state[name] = from_bytes(b"".join(parts[which]), tensor)
    exact = all(torch.equal(bits(value), bits(true[name]))
                for name, value in states["known"].items())
    return {"flipped_bit": _quality(base, states["flipped_bit"], test),
            "flipped_bit_filtered": _quality(base, states["flipped_bit"], test, True),
            "other_key": _quality(base, states["other_key"], test),
            "other_key_filtered": _quality(base, states["other_key"], test, True),
            "known_plaintext": {"known_bytes": known, "of_bytes": total, "blocks": blocks,
                                "exact": exact,
                                "quality": _quality(base, states["known"], test)}}


def _openings(block: bytes, given: bytes) -> dict[str, bytes]:
    """A locked block opened with a wrong bit, with another key, and by its first true bytes."""
    if len(given) < deeplock.KEY:
        return {"flipped_bit": block, "other_key": block, "known": given}
    key = deeplock.recover(block, given, 0)
    return {"flipped_bit": deeplock.unlock_block(flip(key), block),
            "other_key": deeplock.unlock_block(deeplock.block_key(key, 0), block),
            "known": deeplock.unlock_block(key, block)}


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


def _quality(net: Net, state: dict[str, Tensor], test: int | None,
             filtered: bool = False) -> float:
    other = net.with_state(state)
    module = attacks.zero_outliers(other.module) if filtered else other.module
    return panel.measure(other, module, test)
