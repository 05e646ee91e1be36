"""Opening archives: signatures, keys, and the tier at which weights are read."""

from __future__ import annotations

import ctypes
import os

from . import views
from ._keyring import Identity, Passphrase, given, keyring
from ._library import Path, c_path, c_text, call, library, maybe
from ._remote import is_remote, open_remote, shown
from .archive import Archive
from .errors import CorruptError, NoKeyError, ObfuscationWarning, UsageError, warn


def check_signers(handle: ctypes.c_void_p, signers: Path | None, required: bool) -> str | None:
    """Who of `signers` has signed; None when nobody is asked for. CorruptError when nobody has."""
    signers = signers or os.environ.get("LMODEL_SIGNERS") or None
    if signers is None:
        if required:
            raise UsageError("require_signature needs signers")
        return None
    principal = ctypes.c_char_p()
    call("lmodel_check_signers", handle, c_path(signers), ctypes.byref(principal))
    name = (principal.value or b"").decode("utf-8", "replace")
    free = ctypes.CDLL(None).free
    free.argtypes, free.restype = [ctypes.c_void_p], None
    free(ctypes.cast(principal, ctypes.c_void_p))
    return name


def look(path: Path, plain_http: bool = False, cache: Path | bool | None = None) -> Archive:
    """Opens to look at: at the base, without keys, whoever signed."""
    handle = ctypes.c_void_p()
    stopper = None
    if is_remote(path):
        stopper = open_remote(handle, str(path), plain_http, cache)
    else:
        call("lmodel_open", ctypes.byref(handle), c_path(path))
    archive = Archive(shown(path), handle, stopper)
    call("lmodel_use_tier", handle, None)
    return archive


def _use_highest(handle: ctypes.c_void_p, path: Path, allow_absent: bool) -> None:
    ladder = []
    for tier in views.tiers(handle):
        if not tier.open:
            break
        ladder.append(tier)
    if not ladder:
        raise NoKeyError(f"{path}: the keys given open no weights; base=True gives the public ones")
    absent = next((t for t in ladder if t.absent), None)
    if absent is None:
        call("lmodel_use_tier", handle, ladder[-1].name.encode())
    elif allow_absent:
        library().lmodel_use_highest_present(handle)
    else:
        raise CorruptError(f"{path}: tier {absent.name} is not in this file; allow_absent=True or "
                           "tier=... takes less")


def unlock(handle: ctypes.c_void_p, identity: Identity, passphrase: Passphrase = None,
           **how: bool) -> bool:
    """Opens what the keys open, and proves the archive with it; False when there is no key."""
    with keyring(identity, passphrase, **how) as ring:
        if ring is None:
            return False
        call("lmodel_unlock", handle, ring)
        return True


def _use_level(archive: Archive, handle: ctypes.c_void_p, identity: Identity,
               passphrase: Passphrase, tier: str | None, base: bool, allow_absent: bool,
               **how: bool) -> None:
    count = library().lmodel_tier_count(handle)
    path = archive._path
    if tier is not None and tier not in [t.name for t in views.tiers(handle)]:
        raise UsageError(f"{path}: has no tier {tier!r}")
    if count > 0 and not base and not given(identity, passphrase):
        identity = os.environ.get("LMODEL_IDENTITY") or None
    # A key given beside base=True still proves that the base is the packed one, and an archive
    # without tiers may be a forgery of one that had them.
    unlocked = unlock(handle, identity, passphrase, **how)
    if count == 0:
        return
    if tier is not None and not unlocked:
        raise NoKeyError(f"{path}: tier {tier} needs a key: identity=...")
    if base or tier is not None:
        call("lmodel_use_tier", handle, maybe(c_text, tier))
        return
    archive._warned = False
    if unlocked:
        _use_highest(handle, path, allow_absent)
    else:
        call("lmodel_use_tier", handle, None)


def open(path: Path, identity: Identity = None, tier: str | None = None, base: bool = False, *,
         passphrase: Passphrase = None, allow_absent: bool = False, signers: Path | None = None,
         require_signature: bool = False, remember: bool = True,
         allow_rollback: bool = False, plain_http: bool = False,
         cache: Path | bool | None = None) -> Archive:
    """Opens an archive for reading, at the highest tier that the keys open.

    ``with lmodel.open("model.lmodel", identity="me.key") as archive: archive.get_tensor("w")``

    Args:
        path: the file; or an address, ``https://HOST/PATH`` or ``oci://HOST/NAME:TAG``, of which
            only what is read is fetched.
        identity: key files (age identities, Ed25519 SSH keys, detached grants), or their text as
            bytes; one or several. None: ``$LMODEL_IDENTITY``, if that is set.
        tier: just this tier. NoKeyError when the keys do not open it.
        base: the public weights, and no warning that they are. A key given still has to be right.
        passphrase: for an encrypted key file, or else for a passphrase slot.
        allow_absent: take less where an open tier is not in this file (it was stripped).
        signers: file of those who may have signed (allowed_signers, or minisign keys); one of them
            must have. None: ``$LMODEL_SIGNERS``, if that is set.
        require_signature: fail when there are no signers to check against.
        remember: refuse an archive that is older, or another owner's, than what was seen before
            here; the program does so, too, and remembers in the same place.
        allow_rollback: take it all the same.
        plain_http: for an address: without TLS from other machines, too.
        cache: for an address: the directory where what was fetched is kept; False: nothing is.
            None: ``$XDG_CACHE_HOME/lmodel`` or ``~/.cache/lmodel``.

    Raises:
        UsageError, NoKeyError (no key opens it), CorruptError (also: not signed, forged, rolled
        back), UnsupportedError, LimitError, LmodelError.

    Warns:
        DegradedWarning: at the first reading of weights, when that is not the top tier, unless
            `base` or `tier` asked for it.
        ObfuscationWarning: a tier is recoverable without a key.
    """
    if base and tier is not None:
        raise UsageError("base and tier exclude each other")
    archive = look(path, plain_http, cache)
    handle = archive._handle
    try:
        check_signers(handle, signers, require_signature)
        _use_level(archive, handle, identity, passphrase, tier, base, allow_absent,
                   remember=remember, allow_rollback=allow_rollback)
        weak = [t.name for t in views.tiers(handle) if t.obfuscation]
        if weak:
            warn(f"{archive._path}: tier {', '.join(weak)}: {views.OBFUSCATION}",
                 ObfuscationWarning)
    except BaseException:
        archive.close()
        raise
    return archive
