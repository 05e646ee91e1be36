"""Deep-Lock as the specification has it (spec 7.8), to experiment on: Alam, Saha, Mukhopadhyay and
Kundu, "Deep-Lock: Secure Authorization for Deep Neural Networks", 2020 (arXiv 2008.05966).

Every byte w shows as S(w xor k), S the S-box of AES, k from a key schedule. It needs no key to be
undone: 32 known bytes in a row give the schedule of all the block around them, because it runs
both ways. The library reads and writes such archives; this here only measures what they are worth.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator

import numpy as np

from lmodel.errors import UsageError

BLOCK = 65536    # bytes of a tensor under one run of the schedule
KEY = 32         # bytes of a lock key, of a block key, and of what recovery needs to know
_WORDS = KEY // 4


def _make_sbox() -> np.ndarray:
    """FIPS 197, 5.1.1: the inverse in GF(2^8), then an affine map."""
    power, value = [], 1
    for _ in range(255):    # powers of 3, which generates the field's units
        power.append(value)
        value ^= (value << 1) ^ (0x11B if value & 0x80 else 0)
    log = {number: exponent for exponent, number in enumerate(power)}
    sbox = np.empty(256, dtype=np.uint8)
    for number in range(256):
        inverse = power[-log[number] % 255] if number else 0
        turned = inverse
        for shift in range(1, 5):
            turned ^= (inverse << shift | inverse >> 8 - shift) & 0xFF
        sbox[number] = turned ^ 0x63
    return sbox


SBOX = _make_sbox()
INVERSE = np.argsort(SBOX).astype(np.uint8)
_SUB = SBOX.tobytes()


def block_key(lock_key: bytes, number: int) -> bytes:
    """The key of a block of a tensor."""
    return hmac.new(lock_key, number.to_bytes(8, "little"), hashlib.sha256).digest()


def schedule(key: bytes, length: int, first_word: int = 0) -> np.ndarray:
    """So many bytes of the key expansion of AES-256 that goes on (FIPS 197, 5.2), uint8, from the
    words `key`, which are those from number first_word on, a multiple of 8."""
    if len(key) != KEY or first_word % _WORDS:
        raise UsageError(f"{len(key)} bytes from word {first_word} on are no state of the schedule")
    words = [key[i:i + 4] for i in range(0, KEY, 4)]
    constants = _constants()
    for _ in range(first_word // _WORDS):
        next(constants)
    for i in range(first_word + _WORDS, first_word + -(-length // 4)):
        words.append(_xor(words[-_WORDS], _mixed(words[-1], i, constants)))
    return np.frombuffer(b"".join(words), np.uint8)[:length].copy()


def unlock(lock_key: bytes, data: bytes) -> bytes:
    """The bytes of a whole tensor whose base is data."""
    return b"".join(unlock_block(block_key(lock_key, start // BLOCK), data[start:start + BLOCK])
                    for start in range(0, len(data), BLOCK))


def unlock_block(key: bytes, data: bytes) -> bytes:
    """The bytes of one block, from its block key."""
    locked = np.frombuffer(data, np.uint8)
    return (INVERSE[locked] ^ schedule(key, len(locked))).tobytes()


def recover(data: bytes, known: bytes, offset: int) -> bytes:
    """The block key, from the base bytes of a block and 32 true ones at an offset in it.

    offset: a multiple of 32. No key goes in: this is the attack.
    """
    if len(known) != KEY or offset % KEY or offset < 0 or offset + KEY > len(data):
        raise UsageError("32 bytes at a multiple of 32 within the block are needed")
    place = np.frombuffer(data, np.uint8)[offset:offset + KEY]
    state = (INVERSE[place] ^ np.frombuffer(known, np.uint8)).tobytes()
    words = [state[i:i + 4] for i in range(0, KEY, 4)]
    constants = list(zip(range(offset // KEY + 1), _constants()))
    for turn in range(offset // KEY, 0, -1):
        # Words 8 * turn to 8 * turn + 7 are there; those before them follow from the last down,
        # each from its successor by 8 and the one before that.
        before: list[bytes] = [b""] * _WORDS
        for j in range(_WORDS - 1, 0, -1):
            before[j] = _xor(words[j], _mixed(words[j - 1], _WORDS * turn + j, iter(())))
        constant = constants[turn - 1][1]
        before[0] = _xor(words[0], _mixed(before[-1], _WORDS * turn, iter((constant,))))
        words = before
    return b"".join(words)


def _mixed(word: bytes, number: int, constants: Iterator[int]) -> bytes:
    """The t of word `number`, from the word before it."""
    if number % _WORDS == 0:
        turned = (word[1:] + word[:1]).translate(_SUB)
        return bytes((turned[0] ^ next(constants),)) + turned[1:]
    return word.translate(_SUB) if number % 4 == 0 else word


def _constants() -> Iterator[int]:
    """Rcon, from number 1 on."""
    value = 1
    while True:
        yield value
        value = value << 1 ^ (0x11B if value & 0x80 else 0)


def _xor(a: bytes, b: bytes) -> bytes:
    return bytes(x ^ y for x, y in zip(a, b))
