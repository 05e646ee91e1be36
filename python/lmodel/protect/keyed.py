"""From the key of an input transform to its permutation and its table (spec/lmodel-format.md, 15).

With the standard library alone, so that it is also a second definition of what the C library does.
"""
import hashlib
import hmac
import struct

LABEL = b"lmodel-input-transform-v1"
METHODS = ("shf", "np", "ffx")
BLOCK_MAX = 256
CHANNELS_MAX = 64
POSITIONS_MAX = 1 << 20
ROUNDS = 10  # of the Feistel network


def prf(key: bytes, purpose: str, block: int, channels: int, counter: int) -> bytes:
    """32 bytes: HMAC-SHA-256 of what they are for."""
    message = LABEL + b"\0" + purpose.encode() + b"\0"
    message += struct.pack("<3I", block, channels, counter)
    return hmac.new(key, message, hashlib.sha256).digest()


def permutation(key: bytes, method: str, block: int, channels: int) -> list[int]:
    """The keyed permutation of the positions of a block (Fisher and Yates, from the end)."""
    words: list[int] = []
    counter = 0

    def below(n: int) -> int:
        nonlocal counter, words
        while True:
            if not words:
                words = list(struct.unpack("<4Q", prf(key, method, block, channels, counter)))
                counter += 1
            word = words.pop(0)
            if word < 2**64 - 2**64 % n:  # else small numbers would come more often
                return word % n

    order = list(range(block * block * channels))
    for i in range(len(order) - 1, 0, -1):
        j = below(i + 1)
        order[i], order[j] = order[j], order[i]
    return order


def table(key: bytes, block: int, channels: int) -> list[int]:
    """What "ffx" makes of 0 to 255: FFX over three decimal digits, ten rounds."""
    def word(counter: int) -> int:
        return int.from_bytes(prf(key, "ffx-round", block, channels, counter)[:8], "little")

    made = []
    for value in range(256):
        high, low = divmod(value, 100)
        for i in range(0, ROUNDS, 2):
            high = (high + word(100 * i + low)) % 10
            low = (low + word(100 * (i + 1) + high)) % 100
        made.append(100 * high + low)
    return made
