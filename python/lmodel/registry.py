"""Archives in registries of container images: push and pull."""

from __future__ import annotations

import ctypes
import os
from typing import NamedTuple, Optional

from . import _abi
from ._keyring import Identity, Passphrase, given, keyring
from ._library import Path, Progress, Running, c_path, c_text, library, maybe, options
from .errors import UsageError


class Pushed(NamedTuple):
    """What ``push()`` did."""

    digest: str     #: of the artifact's manifest
    sent: int       #: bytes of all bodies that were sent
    grants: int     #: those of the artifact before, attached to this one
    changed: bool   #: False: the tag had this very artifact


class Pulled(NamedTuple):
    """What ``pull()`` did."""

    path: str               #: the file
    digest: str             #: of the artifact's manifest
    received: int           #: bytes of all bodies that were received
    copied: int             #: bytes that the file had before
    changed: bool           #: False: it had all of them
    tier: Optional[str]     #: the highest tier in the file
    absent: int             #: tiers that are not in it
    grant: Optional[str]    #: the file with the grant that the identity opened
    signed_by: Optional[str]  #: who, of `signers`


def push(path: Path, reference: str, *, mount_from: str | None = None, plain_http: bool = False,
         chunk_bytes: int | None = None, jobs: int | None = None,
         progress: Progress = None) -> Pushed:
    """Puts an archive into a registry; what that has already is not sent.

    Args:
        reference: "[oci://|https://|http://]HOST[:PORT]/NAME[:TAG]".
        mount_from: a repository of the same registry to take layers from.
        plain_http: without TLS, to other machines too.
        chunk_bytes: of one request.

    Raises UsageError, CorruptError (a damaged archive, or shards under old keys in it),
    UnsupportedError, LimitError, LmodelError (the network; the registry refuses).
    """
    running, report = Running(jobs, progress), _abi.PushReport()
    how = options(_abi.PushOptions, run=running.struct, plain_http=plain_http,
                  chunk=chunk_bytes or 0,
                  **{"from": maybe(c_text, mount_from, "mount_from")})
    running.call("lmodel_push", c_path(path), c_text(reference, "reference"), ctypes.byref(how),
                 ctypes.byref(report))
    return Pushed(report.digest.decode(), report.sent, report.grants, report.changed)


def _text(address: int | None) -> str | None:
    return os.fsdecode(ctypes.string_at(address)) if address else None


def pull(reference: str, output: Path | None = None, identity: Identity = None, *,
         tier: str | None = None, base: bool = False, passphrase: Passphrase = None,
         overwrite: bool = False, allow_rollback: bool = False, signers: Path | None = None,
         plain_http: bool = False, jobs: int | None = None,
         progress: Progress = None) -> Pulled:
    """Fetches an archive from a registry, checks every byte, and writes it to a file.

    Args:
        output: the file; None: the last part of the reference's name and ".lmodel", here. What it
            has of the archive is not fetched.
        identity, passphrase: prove the archive, find the grant that is attached for them, and
            choose the tiers: those that they open.
        tier, base: fetch the tiers up to this one, or none; otherwise all, or what keys open.
        overwrite: replace an `output` that is something else.
        allow_rollback: replace one that is newer; take an archive older than what was seen.
        signers: somebody in this file has to have signed it.

    Raises NoKeyError, CorruptError (what came is not what it claims to be), UsageError,
    UnsupportedError, LimitError, LmodelError (the network). Nothing is left behind then.
    """
    if tier is not None and base:
        raise UsageError("tier and base exclude each other")
    running, report = Running(jobs, progress), _abi.PullReport()
    how = options(_abi.PullOptions, run=running.struct, plain_http=plain_http,
                  output=maybe(c_path, output), tier=maybe(c_text, tier, "tier"), base=base,
                  overwrite=overwrite, allow_rollback=allow_rollback,
                  signers=maybe(c_path, signers))
    name = c_text(reference, "reference")
    if given(identity, passphrase):
        with keyring(identity, passphrase, allow_rollback=allow_rollback) as ring:
            how.keyring = ring
            running.call("lmodel_pull", name, ctypes.byref(how), ctypes.byref(report))
    else:
        running.call("lmodel_pull", name, ctypes.byref(how), ctypes.byref(report))
    try:
        path = os.fspath(output) if output is not None else \
            reference.rpartition("/")[2].partition("@")[0].partition(":")[0] + ".lmodel"
        return Pulled(os.fsdecode(path), report.digest.decode(), report.received, report.copied,
                      report.changed, report.tier.decode() or None, report.absent,
                      _text(report.grant), _text(report.signed_by))
    finally:
        library().lmodel_pull_report_free(ctypes.byref(report))
