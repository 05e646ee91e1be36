"""What the program's --json documents say, as dictionaries: inspect, verify, audit.

Their members are those of schema/*.schema.json.
"""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable, Iterator
from typing import Any, Optional

from . import _abi, views
from ._keyring import Identity, Passphrase, given
from ._library import Path, Progress, Running, c_text, call, library, options, text
from .archive import Archive
from .errors import CorruptError, NoKeyError
from .opening import check_signers, look, unlock

VERSION = 1  # of the documents


def _tiers(handle: ctypes.c_void_p) -> list[dict[str, Any]]:
    rows = []
    for tier in views.tiers(handle):
        row = dict(vars(tier))
        row["tensors"] = row.pop("tensor_count")
        del row["attachment_count"]
        row["obfuscation"] = tier.obfuscation
        rows.append(row)
    return rows


def _slots(handle: ctypes.c_void_p) -> list[dict[str, Any]]:
    return [dict(vars(slot)) for slot in views.slots(handle)]


def _signatures(handle: ctypes.c_void_p) -> list[dict[str, Any]]:
    lib = library()
    rows = [views.values(lib.lmodel_signature_at(handle, i).contents)
            for i in range(lib.lmodel_signature_count(handle))]
    # A minisign signature does not hold its key: whether it verifies is not known.
    return [{**row, "of_this": row["of_this"] if row["kind"] == "sshsig" else None}
            for row in rows]


def _keyed(path: Path, identity: Identity, passphrase: Passphrase) -> Archive:
    """Opened to be looked at: at the base, and with the keys that were given."""
    archive = look(path)
    try:
        with archive._open() as handle:
            if given(identity, passphrase) and library().lmodel_tier_count(handle):
                unlock(handle, identity, passphrase)
    except BaseException:
        archive.close()
        raise
    return archive


# ---- inspect ----


def _rows(what: str, handle: ctypes.c_void_p) -> Iterator[dict[str, Any]]:
    i = 0
    while row := getattr(library(), what)(handle, i):
        yield views.values(row.contents)
        i += 1


def _dtypes(archive: Archive) -> list[dict[str, Any]]:
    sums: dict[str, dict[str, Any]] = {}
    for tensor in archive.tensors.values():
        if tensor.alias_of is None:
            row = sums.setdefault(tensor.dtype, {"dtype": tensor.dtype, "tensors": 0, "bytes": 0})
            row["tensors"] += 1
            row["bytes"] += tensor.nbytes
    return sorted(sums.values(), key=lambda row: (-row["bytes"], row["dtype"]))


def _when(seconds: int) -> str:
    try:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
    except (OverflowError, ValueError, OSError):
        return str(seconds)


def inspect(path: Path, identity: Identity = None, *,
            passphrase: Passphrase = None) -> dict[str, Any]:
    """What an archive is: the document of ``lmodel inspect --json``, but for `licences` and
    `model_card`, which the program gathers from side files. Tensor data is not read; an owner's key
    shows whose the key slots are. Raises as ``lmodel.open()``."""
    with _keyed(path, identity, passphrase) as archive, archive._open() as handle:
        info = archive.info
        plain = ("format_version", "tool", "id", "content_generation", "commit_counter",
                 "source_format", "parameters", "file_bytes", "committed_bytes", "dead_bytes",
                 "chunk_bytes", "manifest_bytes", "manifest_room", "content_root", "statement")
        sources = list(_rows("lmodel_source_at", handle))
        for source in sources:
            source["tensors"] = source.pop("tensor_count")
        signatures = _signatures(handle)
        return {
            "version": VERSION, "packed": True, **{k: getattr(info, k) for k in plain},
            "created": _when(info.created), "tensors": info.tensor_count,
            "aliases": info.alias_count, "bytes": info.tensor_bytes,
            "stored_bytes": info.tensor_stored_bytes, "sources": sources,
            "dtypes": _dtypes(archive), "attachments": list(_rows("lmodel_attachment_at", handle)),
            "metadata": list(_rows("lmodel_metadata_at", handle)),
            "protected": bool(archive.tiers), "tiers": _tiers(handle), "slots": _slots(handle),
            "signed": bool(signatures), "signatures": signatures,
        }


# ---- verify ----


def verify(path: Path, identity: Identity = None, *, signers: Path | None = None,
           require_signature: bool = False, jobs: int | None = None, progress: Progress = None,
           passphrase: Passphrase = None) -> dict[str, Any]:
    """Reads and checks every byte, and what keys and signers have to say.

    Returns the document of ``lmodel verify --json``: counts, and `findings` that are notes alone.
    Raises CorruptError when there is a fault; its attribute `findings` has all of them, as
    ``{"severity": "fault" or "note", "message": ...}``. Otherwise as ``lmodel.open()``.
    """
    findings: list[dict[str, str]] = []

    def on_finding(_context: int, severity: int, message: bytes) -> None:
        kind = "note" if severity == _abi.LMODEL_NOTE else "fault"
        findings.append({"severity": kind, "message": message.decode("utf-8", "replace")})

    report, running = _abi.VerifyReport(), Running(jobs, progress)
    callback = _abi.finding_fn(on_finding)
    faults: list[CorruptError] = []

    def ask(what: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return what(*arguments)
        except CorruptError as e:
            faults.append(e)
            return None

    with look(path) as archive, archive._open() as handle:
        signed_by = ask(check_signers, handle, signers, require_signature)
        if given(identity, passphrase) and archive.tiers:
            ask(unlock, handle, identity, passphrase)
        proved = [t.name for t in archive.tiers if t.open or t.positions_open]
        told = len(faults)
        ask(running.call, "lmodel_verify", handle, ctypes.byref(running.struct), callback,
            ctypes.byref(report))
    if faults:
        # What the bytes have wrong has been told one by one, unless it broke the check off.
        rest = faults[:told] if report.faults else faults
        findings += [{"severity": "fault", "message": str(e)} for e in rest]
        faults[0].findings = findings
        raise faults[0]
    return {"version": VERSION, "ok": True, "status": 0, "repaired": False,
            **views.values(report), "proved": proved, "signed_by": signed_by,
            "findings": findings}


# ---- audit ----


def _detection(d: _abi.Detection) -> Optional[dict[str, Any]]:
    if d.tensors == 0:
        return None
    placed = d.position is not None
    return {
        "tensors": d.tensors, "detector": text(d.detector), "mean": d.mean, "most": d.most,
        "most_tensor": text(d.tensor), "lot": d.lot, "position": text(d.position),
        "position_mean": d.position_mean if placed else None,
        "position_most": d.position_most if placed else None,
        "tail": d.tail if d.tail_known else None,
    }


def _pooled(d: _abi.Detection) -> Optional[dict[str, Any]]:
    if d.pooled_tensors == 0:
        return None
    return {"tensors": d.pooled_tensors, "detector": text(d.pooled_detector), "area": d.pooled,
            "lot": d.pooled_lot}


def _fields(struct: Any, *names: str) -> dict[str, Any]:
    row = {name: getattr(struct, name) for name in names}
    return {k: text(v) if isinstance(v, bytes) else v for k, v in row.items()}


def _audit_rows(handle: ctypes.c_void_p, r: _abi.AuditReport) -> dict[str, Any]:
    tiers, counts = _tiers(handle), ("exact", "units", "elements", "bytes")
    for i, row in enumerate(tiers):
        row.update(_fields(r.tiers[i], "recoverable", "given", *counts),
                   detection=_detection(r.tiers[i].detection),
                   pooled=_pooled(r.tiers[i].detection))
        if row["recoverable"] or row["given"]:
            row["obfuscation"] = views.OBFUSCATION
    shards = [{
        "tensor": text(s.tensor.contents.name), "tier": tiers[s.tier]["name"],
        **_fields(s, "unit", "unit_count", "unit_bytes", "stored_bytes", *counts),
        "detection": _detection(s.detection),
    } for s in (r.shards[i] for i in range(r.shard_count))]
    return {
        "exact": r.exact, "hidden_elements": r.elements, "hidden_bytes": r.bytes,
        "elements": r.all_elements, "bytes": r.all_bytes, "tiers": tiers, "shards": shards,
        "findings": [text(r.findings[i]) for i in range(r.finding_count)],
    }


def _compare(handle: ctypes.c_void_p, against: Path, identity: Identity, passphrase: Passphrase,
             running: Running) -> dict[str, Any]:
    changes: list[dict[str, Any]] = []

    def on_change(_context: int, change: Any) -> None:
        c = change.contents
        changes.append({"tensor": text(c.tensor.contents.name),
                        **_fields(c, "unit", "unit_count", "differing", "hidden", "given_away")})

    callback, sums = _abi.change_fn(on_change), _abi.AuditComparison()
    with _keyed(against, None, None) as other, other._open() as other_handle:
        if given(identity, passphrase) and other.tiers:
            try:
                unlock(other_handle, identity, passphrase)
            except NoKeyError:  # another release may be under another key
                pass
        running.call("lmodel_audit_against", handle, other_handle, ctypes.byref(running.struct),
                     callback, ctypes.byref(sums))
    row = views.values(sums)
    exact = [row.pop("exact_a"), row.pop("exact_b")]
    return {"archive": os.fspath(against), **row, "exact": all(exact), "changes": changes}


def audit(path: Path, identity: Identity = None, *, against: Path | None = None,
          detection: bool = True, progress: Progress = None, jobs: int | None = None,
          passphrase: Passphrase = None) -> dict[str, Any]:
    """What is encrypted, where, and how well it hides: the document of ``lmodel audit --json``.

    Without a key there are bounds; a key of an auditor, a holder or an owner gives exact sets. No
    hidden value is read. Tiers that are recoverable without a key have `obfuscation`, a text, and
    count as public.

    Args:
        against: another release: what comparing the two gives away.
        detection: test how well stand-ins hide, where positions are known (reads the base).

    Raises as ``lmodel.open()``. Findings are no failure: they are in `findings`.
    """
    running, report = Running(jobs, progress), ctypes.POINTER(_abi.AuditReport)()
    how = options(_abi.AuditOptions, run=running.struct, no_detection=not detection)
    with _keyed(path, identity, passphrase) as archive, archive._open() as handle:
        info = archive.info
        running.call("lmodel_audit", handle, ctypes.byref(how), ctypes.byref(report))
        try:
            rows = _audit_rows(handle, report.contents)
        finally:
            library().lmodel_audit_free(report)
        slots = [{k: v for k, v in slot.items() if k not in ("label", "recipient")}
                 for slot in _slots(handle)]
        compared = None if against is None else _compare(handle, against, identity, passphrase,
                                                         running)
        sealed = [{"name": a.name, "tier": a.tier, "exact": a.open, "bytes": a.nbytes,
                   "stored_bytes": a.stored_bytes}
                  for a in archive.attachments.values() if a.tier is not None]
        return {"version": VERSION, "id": info.id, "content_generation": info.content_generation,
                "content_root": info.content_root, "signatures": _signatures(handle),
                "slots": slots, **rows, "attachments": sealed, "against": compared}


def positions(path: Path, tensor: str, tier: str, identity: Identity = None, *,
              passphrase: Passphrase = None) -> tuple[dict[str, Any], list[tuple[int, int]]]:
    """Which units of a tensor a tier hides: ({unit, unit_count, unit_bytes, hidden}, runs of
    (first, count)). Needs a key that opens positions: NoKeyError otherwise."""
    runs: list[tuple[int, int]] = []

    def on_run(_context: int, first: int, count: int) -> int:
        runs.append((first, count))
        return 0

    about, callback = _abi.Positions(), _abi.positions_fn(on_run)
    with _keyed(path, identity, passphrase) as archive, archive._open() as handle:
        archive.tensor_info(tensor)
        row = library().lmodel_tensor_find(handle, tensor.encode())
        call("lmodel_positions", handle, row, c_text(tier, "tier"), ctypes.byref(about), callback,
             None)
        return views.values(about), runs
