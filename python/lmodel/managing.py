"""Archives as files: getting weights out, letting people in, checking."""

from __future__ import annotations

import ctypes
import os
from typing import Any, Optional

from . import _abi
from ._keyring import Identity, Passphrase, given, keyring
from ._library import (Path, Progress, Running, c_list, c_path, c_text, call, maybe,
                       options)
from ._protect import Names, choice, passphrase_bytes, recipient as c_recipient, strings
from .errors import UsageError
from .opening import open as open_archive

_ROLES = {"holder": _abi.LMODEL_HOLDER, "audit": _abi.LMODEL_AUDITOR, "owner": _abi.LMODEL_OWNER}


def extract(path: Path, output: Path, identity: Identity = None, *, format: str = "safetensors",
            patterns: Names = None, exclude: Names = None, max_shard_bytes: int | None = None,
            overwrite: bool = False, lossy: bool = False, jobs: int | None = None,
            progress: Progress = None, **opening: Any) -> None:
    """Writes the model to a file, or into a directory ("DIR/", or one that exists).

    Args:
        format: "safetensors", "npz", "npy", or "native": the inputs as they were, byte for byte at
            the top tier.
        patterns, exclude: tensors to take, and to leave out; as of ``lmodel extract``.
        max_shard_bytes: into a directory: several files, of so many bytes at most.
        overwrite: replace files that exist, each as a whole.
        lossy: write also what the format cannot keep as it is; otherwise UsageError says what.
        others: as ``lmodel.open()`` and ``lmodel.load()``.

    Raises and warns as ``lmodel.open()``; UsageError also for a pattern that picks nothing.
    """
    wanted = [c_text(p, "pattern") for p in strings(patterns)]
    left = [c_text(p, "pattern") for p in strings(exclude)]
    running = Running(jobs, progress)
    how = options(_abi.ExtractOptions, run=running.struct, format=choice("format", format),
                  patterns=c_list(wanted), pattern_count=len(wanted), excludes=c_list(left),
                  exclude_count=len(left), max_shard_bytes=max_shard_bytes or 0,
                  overwrite=overwrite, lossy=lossy)
    with open_archive(path, identity, **opening) as archive:
        archive._warn()
        with archive._open() as handle:
            running.call("lmodel_extract", handle, c_path(output), ctypes.byref(how))


def keygen(path: Path) -> str:
    """Makes an age identity (a file of mode 0600, never overwritten); gives its recipient."""
    made = ctypes.create_string_buffer(_abi.LMODEL_RECIPIENT_SIZE)
    call("lmodel_keygen", c_path(path), made)
    return made.value.decode()


def _need_owner(identity: Identity, passphrase: Passphrase) -> Identity:
    if not given(identity, passphrase):
        identity = os.environ.get("LMODEL_IDENTITY") or None
        if identity is None:
            raise UsageError("an owner's key is missing: identity=...")
    return identity


def grant(path: Path, recipient: str | None = None, tier: str | None = None, *,
          identity: Identity = None, role: str = "holder", label: str | None = None,
          new_passphrase: Passphrase = None, detached: Path | None = None,
          book: Path | None = None, overwrite: bool = False, passphrase: Passphrase = None,
          allow_rollback: bool = False) -> Optional[int]:
    """Lets somebody in, in milliseconds whatever the archive's size; only its manifest changes.

    Args:
        recipient: "age1..." or "ssh-ed25519 ..."; or `new_passphrase` instead.
        tier: the highest tier of a holder.
        identity, passphrase: an owner's key. None: ``$LMODEL_IDENTITY``.
        role: "holder"; "audit": sees what is encrypted, and no value; "owner".
        label: what the owner's sealed book says of them.
        detached: write the grant to this file, and leave the archive as it is.
        book: the owner's sealed book of detached grants.
        overwrite: replace `detached`.

    Returns the new slot's number, None for a detached grant.
    Raises NoKeyError (no owner's key), UsageError, CorruptError, LimitError (no room: repack).
    """
    if role not in _ROLES:
        raise UsageError(f"role={role!r} is not one of {', '.join(_ROLES)}")
    if (recipient is None) == (new_passphrase is None):
        raise UsageError("grant is for a recipient or a new_passphrase")
    who = _abi.Grantee(role=_ROLES[role], tier=maybe(c_text, tier, "tier"),
                       label=maybe(c_text, label, "label"))
    if recipient is not None:
        who.recipient = c_recipient(recipient)
    else:
        phrase = passphrase_bytes(new_passphrase)
        who.passphrase, who.passphrase_len = phrase, len(phrase)
    running = Running()
    how = options(_abi.GrantOptions, detached=maybe(c_path, detached), overwrite=overwrite,
                  book=maybe(c_path, book), notice=running.notice)
    slot = ctypes.c_uint()
    identity = _need_owner(identity, passphrase)
    with keyring(identity, passphrase, allow_rollback=allow_rollback) as ring:
        running.call("lmodel_grant", c_path(path), ring, ctypes.byref(who), 1, ctypes.byref(how),
                     ctypes.byref(slot))
    return slot.value if detached is None else None


def revoke(path: Path, *, slot: int | None = None, label: str | None = None,
           recipient: str | None = None, identity: Identity = None, book: Path | None = None,
           passphrase: Passphrase = None, allow_rollback: bool = False) -> int:
    """Takes somebody out: by slot number, label or recipient. Whoever has an older copy keeps it;
    ``rekey()`` makes new keys for what they could open.

    Returns how many slots and detached grants went.
    Raises NoKeyError (no owner's key), UsageError (nobody is meant; the last owner), CorruptError.
    """
    if sum(x is not None for x in (slot, label, recipient)) != 1:
        raise UsageError("revoke takes one of slot, label and recipient")
    if slot is not None and not 0 < slot < 2**32:
        raise UsageError(f"slot={slot}: slots are numbered from 1")
    who = _abi.Revocation(slot=slot or 0, label=maybe(c_text, label, "label"),
                          recipient=maybe(c_recipient, recipient))
    running = Running()
    how = options(_abi.RevokeOptions, book=maybe(c_path, book), run=running.struct)
    removed = ctypes.c_size_t()
    identity = _need_owner(identity, passphrase)
    with keyring(identity, passphrase, allow_rollback=allow_rollback) as ring:
        running.call("lmodel_revoke", c_path(path), ring, ctypes.byref(who), 1, ctypes.byref(how),
                     ctypes.byref(removed))
    return removed.value


def rekey(path: Path, tiers: Names = None, *, identity: Identity = None,
          grants: Path | None = None, book: Path | None = None, sign_key: Path | None = None,
          unsigned: bool = False, jobs: int | None = None, progress: Progress = None,
          passphrase: Passphrase = None, allow_rollback: bool = False) -> None:
    """New keys for tiers (None: all that somebody who was revoked could open). Who stays is let in
    again without being asked.

    Args:
        identity, passphrase: an owner's key. None: ``$LMODEL_IDENTITY``.
        grants: directory for new detached grants.
        book: the owner's sealed book of detached grants.
        sign_key, unsigned: of a signed archive: sign it again, or leave it unsigned.
    """
    names = [c_text(t, "tier") for t in strings(tiers)]
    running = Running(jobs, progress)
    how = options(_abi.RekeyOptions, run=running.struct, grants=maybe(c_path, grants),
                  book=maybe(c_path, book), sign_key=maybe(c_path, sign_key),
                  unsigned_after=unsigned)
    identity = _need_owner(identity, passphrase)
    with keyring(identity, passphrase, allow_rollback=allow_rollback) as ring:
        running.call("lmodel_rekey", c_path(path), ring, c_list(names), len(names),
                     ctypes.byref(how))


def sign(path: Path, key: Path) -> None:
    """Signs what the archive is with an OpenSSH Ed25519 private key file (not encrypted)."""
    call("lmodel_sign", c_path(path), c_path(key))
