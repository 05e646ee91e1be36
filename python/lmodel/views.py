"""What an archive says of itself, as plain values: they outlive it."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any, Optional

from . import _abi
from ._library import library, text

OBFUSCATION = "obfuscation: recoverable without a key"
_ROLES = {_abi.LMODEL_HOLDER: "holder", _abi.LMODEL_AUDITOR: "audit", _abi.LMODEL_OWNER: "owner"}


@dataclass(frozen=True)
class Info:
    """An archive as a whole. Sizes are bytes."""

    id: str                   # UUID
    tool: str                 # what wrote it
    source_format: str
    content_root: str         # SHA-256 over all that content depends on
    statement: str            # what signatures cover
    created: int              # seconds since 1970-01-01 UTC
    format_version: int
    content_generation: int   # rises when content changes
    commit_counter: int       # rises at every commit of the manifest
    file_bytes: int
    committed_bytes: int      # end of the last committed member
    manifest_bytes: int
    manifest_room: int
    chunk_bytes: int          # raw bytes a chunk
    tensor_bytes: int         # all tensors, aliases counted once
    tensor_stored_bytes: int  # the same as stored
    parameters: int           # elements of all tensors, aliases counted once
    dead_bytes: int           # what repack would free
    tensor_count: int
    alias_count: int
    attachment_count: int
    source_count: int
    metadata_count: int


@dataclass(frozen=True)
class Usage:
    """What reading over the network has cost."""

    fetched: int              # bytes of the bodies of all answers
    requests: int             # those that were tried again, too
    cached: int               # bytes that the cache gave instead, each counted once


@dataclass(frozen=True)
class ShardInfo:
    """What a tier hides of a tensor, as far as it shows without a key."""

    tier: str
    unit: str                 # "element", "slice", ...
    stored_bytes: int         # ciphertext
    most_bytes: int           # at most so many bytes of the tensor
    recoverable: bool         # without a key: its tier is obfuscation


@dataclass(frozen=True)
class TensorInfo:
    """A tensor; nothing of its data is read for this."""

    name: str
    dtype: str                # as in safetensors: "F32", "BF16", ...
    dtype_bits: int           # bits an element
    shape: tuple[int, ...]
    elements: int
    nbytes: int               # raw
    stored_bytes: int         # coded; 0 for an alias
    alias_of: Optional[str]   # tensor with the same bytes
    source: str               # input file that it came from
    shards: tuple[ShardInfo, ...]  # lowest tier first; empty: nothing of it is hidden

    @property
    def protected_share(self) -> float:
        """At most this share of its bytes is hidden (0 to 1)."""
        most = sum(s.most_bytes for s in self.shards)
        return min(1.0, most / self.nbytes) if self.nbytes else 0.0

    @property
    def tiers(self) -> tuple[str, ...]:
        """The tiers that hide something of it, lowest first."""
        return tuple(s.tier for s in self.shards)


@dataclass(frozen=True)
class TierInfo:
    """A tier; it counts those below it."""

    name: str
    select: str               # how units were chosen: "pss", "magnitude", ...
    mask: str                 # what stands in their places: "dprm", "zero", ...
    unit: str
    scope: str
    amount: str               # as declared: "4%", "1000"
    generation: int
    stored_bytes: int         # ciphertext
    tensor_count: int         # tensors of which it hides something
    recoverable: bool         # its mask is obfuscation; what it covers counts as public
    absent: bool              # not in this file
    open: bool                # the keys given read it
    positions_open: bool      # they read which units it hides
    attachment_count: int     # side files in it

    @property
    def obfuscation(self) -> Optional[str]:
        """``OBFUSCATION`` where stand-ins are a function of the true values: whoever knows it has
        these without a key. None where only the key gives them."""
        return OBFUSCATION if self.recoverable else None


@dataclass(frozen=True)
class SlotInfo:
    """A key slot; whose it is shows with an owner's key alone."""

    id: int
    kind: str                 # "X25519", "ssh-ed25519", "passphrase"
    known: bool               # the rest is
    role: Optional[str]       # "holder", "audit", "owner"
    tier: Optional[str]       # a holder's
    label: Optional[str]
    recipient: Optional[str]


@dataclass(frozen=True)
class AttachmentInfo:
    """A side file: config.json, tokenizer.json, a licence."""

    name: str
    nbytes: int               # of one that is not open: at most
    stored_bytes: int
    tier: Optional[str]       # that it is sealed for; None: public
    open: bool                # public, or the keys given open its tier


def values(struct: Any) -> dict[str, Any]:
    """The fields of a C struct, strings decoded. Fresh values."""
    row = {name: getattr(struct, name) for name, *_ in struct._fields_}
    return {name: text(v) if isinstance(v, bytes) else v for name, v in row.items()}


def info(handle: ctypes.c_void_p) -> Info:
    """Of an open archive."""
    struct = _abi.Info()
    library().lmodel_info(handle, ctypes.byref(struct))
    return Info(**values(struct))


def usage(handle: ctypes.c_void_p) -> Usage:
    """Of an open archive so far."""
    struct = _abi.RemoteUsage()
    library().lmodel_remote_usage(handle, ctypes.byref(struct))
    return Usage(**values(struct))


def shards(handle: ctypes.c_void_p) -> dict[str, tuple[ShardInfo, ...]]:
    """By tensor (aliases have none of their own), lowest tier first."""
    lib, shard = library(), _abi.Shard()
    found: dict[str, list[ShardInfo]] = {}
    for i in range(lib.lmodel_shard_count(handle)):
        if lib.lmodel_shard_at(handle, i, ctypes.byref(shard)) == _abi.LMODEL_OK:
            row = values(shard)
            found.setdefault(row.pop("tensor"), []).append(ShardInfo(**row))
    order = {t.name: i for i, t in enumerate(tiers(handle))}
    return {name: tuple(sorted(rows, key=lambda s: order[s.tier])) for name, rows in found.items()}


def tensor(struct: _abi.Tensor, of: dict[str, tuple[ShardInfo, ...]]) -> TensorInfo:
    """Of a row of the library's; `of`: ``shards()``."""
    name, alias = text(struct.name), text(struct.alias_of)
    return TensorInfo(name, text(struct.dtype), struct.dtype_bits,
                      tuple(struct.shape[:struct.rank]), struct.elements, struct.bytes,
                      struct.stored_bytes, alias, text(struct.source), of.get(alias or name, ()))


def tiers(handle: ctypes.c_void_p) -> list[TierInfo]:
    """Lowest first."""
    lib = library()
    return [TierInfo(**values(lib.lmodel_tier_at(handle, i).contents))
            for i in range(lib.lmodel_tier_count(handle))]


def slots(handle: ctypes.c_void_p) -> list[SlotInfo]:
    """Key slots, oldest first."""
    lib, found = library(), []
    for i in range(lib.lmodel_slot_count(handle)):
        row = values(lib.lmodel_slot_at(handle, i).contents)
        if row["known"]:
            row["role"] = _ROLES.get(row["role"])
        else:
            row.update(role=None, tier=None, label=None, recipient=None)
        found.append(SlotInfo(**row))
    return found


def attachments(handle: ctypes.c_void_p) -> list[AttachmentInfo]:
    """Side files."""
    lib, found, i = library(), [], 0
    while row := lib.lmodel_attachment_at(handle, i):
        fields = values(row.contents)
        found.append(AttachmentInfo(nbytes=fields.pop("bytes"), **fields))
        i += 1
    return found


def metadata(handle: ctypes.c_void_p) -> list[tuple[str, str, str]]:
    """(input file, key, value), as the inputs have them."""
    lib, found, i = library(), [], 0
    while row := lib.lmodel_metadata_at(handle, i):
        found.append((text(row.contents.source), text(row.contents.key),
                      text(row.contents.value)))
        i += 1
    return found
