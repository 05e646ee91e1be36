"""What to protect when packing, and for whom: from Python values to the library's structs."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Optional, Union

import numpy as np

from . import _abi, _torch, safetensors
from ._keyring import keyring
from ._library import Path, c_list, c_path, c_text, maybe, memory_file, options
from .errors import UsageError

Amount = Union[str, int, float, None]
Names = Union[str, Iterable[str], None]
Scores = Union[Path, Mapping[str, np.ndarray], None]

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")
_AMOUNT = re.compile(r"([0-9]+|(?P<share>[0-9]*\.[0-9]+|[0-9]+\.)|(?P<percent>[0-9.]+)%)")


def strings(values: Names) -> list[str]:
    """One or several, as a list."""
    if values is None:
        return []
    return [values] if isinstance(values, str) else list(values)


def choice(kind: str, name: str) -> int:
    """The enumerator LMODEL_<kind>_<name>; UsageError for a name that there is none for."""
    prefix = f"LMODEL_{kind.upper()}_"
    value = getattr(_abi, prefix + str(name).upper().replace("-", "_"), None)
    if value is None or name != str(name).lower():
        known = [n.removeprefix(prefix).lower().replace("_", "-")
                 for n in vars(_abi) if n.startswith(prefix)]
        raise UsageError(f"{kind}={name!r} is not one of {', '.join(known)}")
    return value


def _amount(name: str, amount: Amount) -> _abi.TierAmount:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} is not a tier's name: 1 to 64 of A-Z a-z 0-9 . _ -, no . or - "
                         "first")
    row = _abi.TierAmount(name=name.encode())
    if amount is None:
        row.share, row.text = 1.0, b"100%"
    elif isinstance(amount, bool) or not isinstance(amount, (str, int, float)):
        raise UsageError(f"tier {name}: {amount!r} is no amount")
    elif isinstance(amount, str):
        match = _AMOUNT.fullmatch(amount)
        if match is None or amount.count(".") > 1 or len(amount) > 32:
            raise UsageError(f"tier {name}: {amount!r} is no amount such as '1000' (units), '4%' "
                             "or '0.04' (a share of them)")
        if match["percent"]:
            row.share = float(match["percent"]) / 100
        elif match["share"]:
            row.share = float(match["share"])
        else:
            amount = int(amount)
        row.text = match[0].encode()
    else:
        row.text = str(amount).encode()
    if isinstance(amount, float):
        row.share = amount
    elif isinstance(amount, int):
        row.units = amount if 0 <= amount < 2**64 else 0
        if row.units == amount:
            return row
    if not 0 < row.share <= 1:
        raise UsageError(f"tier {name}: {amount!r} is not more than nothing and at most all")
    return row


def recipient(value: str) -> bytes:
    """A recipient, which is no secret; UsageError when it looks like one, and is not told."""
    if isinstance(value, str) and ("AGE-SECRET-KEY-" in value.upper() or "PRIVATE KEY" in value):
        raise UsageError("this is a secret key, not a recipient (age1..., ssh-ed25519 ...)")
    return c_text(value, "recipient")


def passphrase_bytes(value: str | bytes) -> bytes:
    """As it is sealed: UTF-8."""
    return value.encode("utf-8") if isinstance(value, str) else bytes(value)


class Protection:
    """Keyword arguments of ``save()`` and ``pack()`` about tiers.

    Args:
        tiers: name to amount, lowest first. Each counts those below it. An integer is a number of
            units, a float a share of them; text as the program takes it ("1000", "4%", "0.04").
            None is all (the last tier, with `select="all"` or `reference`), 0 is a tier of side
            files alone.
        owner: recipients ("age1...", "ssh-ed25519 ...") who read all, grant and revoke; at least
            one.
        recipients: tier to recipients who read it.
        auditors: recipients who see which weights are encrypted, and no value.
        passphrases: tier to a passphrase that opens it.
        select, mask, unit, scope, raw_scores, include, exclude: as the options of ``lmodel pack``.
        scores: arrays by tensor name, or a file of them: a score for each parameter, or unit.
        reference: arrays, or a file: the public weights; what differs is protected.
        ancestor: arrays, or a file: a public model that this one was made from; units are chosen
            among those that differ from it.
        like: an earlier release, to be protected in the same places; `like_identity` opens it.
        test_keys: with a `seed`: keys may follow from it.
    """

    FIELDS = ("tiers", "owner", "recipients", "auditors", "passphrases", "select", "mask", "unit",
              "scope", "raw_scores", "include", "exclude", "scores", "reference", "ancestor",
              "like", "like_identity", "like_passphrase", "test_keys")

    def __init__(self, given: dict[str, Any]) -> None:
        taken = {k: given.pop(k, None) for k in self.FIELDS}
        self._given = {k: v for k, v in taken.items() if v is not None}
        self.tiers = [_amount(n, a) for n, a in dict(self._given.get("tiers") or {}).items()]
        if not self.tiers and set(self._given) - {"tiers"}:
            lone = sorted(set(self._given) - {"tiers"})[0]
            raise UsageError(f"{lone} is for archives with tiers: tiers={{name: amount}}")

    def _tier(self, name: str) -> bytes:
        known = [t.name for t in self.tiers]
        if not isinstance(name, str) or name.encode("utf-8", "replace") not in known:
            raise UsageError(f"there is no tier {name!r} in tiers")
        return name.encode()

    def _grantees(self) -> list[_abi.Grantee]:
        get = self._given.get
        rows = [_abi.Grantee(recipient=recipient(r), role=_abi.LMODEL_OWNER)
                for r in strings(get("owner"))]
        if not rows:
            raise UsageError("an archive with tiers needs an owner: owner='age1...'")
        for tier, who in dict(get("recipients") or {}).items():
            rows += [_abi.Grantee(recipient=recipient(r), role=_abi.LMODEL_HOLDER,
                                  tier=self._tier(tier)) for r in strings(who)]
        rows += [_abi.Grantee(recipient=recipient(r), role=_abi.LMODEL_AUDITOR)
                 for r in strings(get("auditors"))]
        for tier, secret in dict(get("passphrases") or {}).items():
            phrase = passphrase_bytes(secret)
            rows.append(_abi.Grantee(passphrase=phrase, passphrase_len=len(phrase),
                                     role=_abi.LMODEL_HOLDER, tier=self._tier(tier)))
        return rows

    def _file(self, stack: contextlib.ExitStack, what: str) -> Optional[bytes]:
        """A file of arrays: that which is named, or one in memory."""
        value = self._given.get(what)
        if not isinstance(value, Mapping):
            return maybe(c_path, value)
        file, path = stack.enter_context(memory_file(what))
        safetensors.write(file, *arrays(value))
        file.flush()
        return path.encode()

    @contextlib.contextmanager
    def struct(self) -> Iterator[Optional[_abi.ProtectOptions]]:
        """The library's options, for as long as its files are there; None without tiers."""
        if not self.tiers:
            yield None
            return
        get = self._given.get
        grantees = self._grantees()
        include, exclude = [[c_text(p, "pattern") for p in strings(get(k))]
                            for k in ("include", "exclude")]
        with contextlib.ExitStack() as stack:
            ring = stack.enter_context(keyring(get("like_identity"), get("like_passphrase")))
            yield options(
                _abi.ProtectOptions,
                tiers=(_abi.TierAmount * len(self.tiers))(*self.tiers),
                tier_count=len(self.tiers), select=choice("select", get("select", "pss")),
                mask=choice("mask", get("mask", "dprm")),
                unit=choice("unit", get("unit", "default")),
                scope=choice("scope", get("scope", "equal")),
                raw_scores=bool(get("raw_scores")), includes=c_list(include),
                include_count=len(include), excludes=c_list(exclude), exclude_count=len(exclude),
                scores=self._file(stack, "scores"), reference=self._file(stack, "reference"),
                ancestor=self._file(stack, "ancestor"),
                like=maybe(c_path, get("like")), like_keys=ring,
                grantees=(_abi.Grantee * len(grantees))(*grantees), grantee_count=len(grantees),
                test_keys=bool(get("test_keys")))


def arrays(tensors: Mapping[str, Any]) -> tuple[dict[str, np.ndarray], None, dict[str, str]]:
    """Arrays, metadata (none) and element types of a mapping to arrays or torch tensors."""
    torch = sys.modules.get("torch")
    found, names = {}, {}
    if not isinstance(tensors, Mapping):
        raise TypeError("tensors: a mapping of names to arrays, such as net.state_dict(), not "
                        f"{type(tensors).__name__}")
    for name, value in tensors.items():
        if torch is not None and isinstance(value, torch.Tensor):
            found[name], dtype = _torch.to_numpy(value)
            names[name] = dtype.name
        else:
            found[name] = np.asarray(value)
    return found, None, names
