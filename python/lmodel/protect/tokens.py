"""Text to tokens and back, for small language models: byte-pair pieces with scores, as llama2.c
keeps them (u32 longest piece; for each piece f32 score, u32 length, bytes; little-endian)."""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Sequence
from pathlib import Path

from lmodel.errors import CorruptError

BEGIN = 1    # the token that a text begins with
_SPACE = " "
_LONGEST = 4096
_MOST = 1 << 20


class Tokenizer:
    """The pieces of a vocabulary."""

    def __init__(self, pieces: Sequence[tuple[bytes, float]]):
        """pieces: bytes and score, by token; of a pair, that with the highest score is merged."""
        self.pieces = list(pieces)
        self._token = {piece: token for token, (piece, _) in reversed(list(enumerate(pieces)))}

    @classmethod
    def load(cls, path: str | os.PathLike) -> "Tokenizer":
        """Reads a file. CorruptError when it is none of this kind."""
        data, at, pieces = Path(path).read_bytes(), 4, []
        while at < len(data):
            if at + 8 > len(data) or len(pieces) >= _MOST:
                raise CorruptError(f"{path}: piece {len(pieces)} is cut short")
            score, length = struct.unpack_from("<fI", data, at)
            at += 8
            if length > min(_LONGEST, len(data) - at):
                raise CorruptError(f"{path}: piece {len(pieces)} has {length} bytes")
            pieces.append((data[at:at + length], score))
            at += length
        if len(pieces) <= BEGIN:
            raise CorruptError(f"{path}: no vocabulary")
        return cls(pieces)

    def encode(self, text: str) -> list[int]:
        """Tokens of a text, with the one that begins it; bytes without a piece of their own become
        those of the byte, or are left out where there is none."""
        tokens: list[int] = []
        for character in _SPACE + text:
            found = self._token.get(character.encode())
            tokens += [found] if found is not None else self._bytes(character.encode())
        while True:
            best, place, merged = float("-inf"), -1, -1
            for i, (a, b) in enumerate(zip(tokens, tokens[1:])):
                token = self._token.get(self.pieces[a][0] + self.pieces[b][0])
                if token is not None and self.pieces[token][1] > best:
                    best, place, merged = self.pieces[token][1], i, token
            if place < 0:
                return [BEGIN, *tokens]
            tokens[place:place + 2] = [merged]

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens, up to the next beginning of another."""
        found = bytearray()
        for n, token in enumerate(tokens):
            if token == BEGIN:
                if n == 0:
                    continue
                break
            piece = self.pieces[token][0]
            byte = re.fullmatch(rb"<0x([0-9A-F]{2})>", piece)
            found += bytes((int(byte[1], 16),)) if byte else piece
        return found.decode(errors="replace").removeprefix(_SPACE)

    def _bytes(self, text: bytes) -> list[int]:
        tokens = (self._token.get(b"<0x%02X>" % byte) for byte in text)
        return [token for token in tokens if token is not None]
