"""What the tests of faults around a rekey share: the archive that rekey.sh has prepared, and what
has to be so at any moment. Members and ciphertext are found here by other code than the library's.
"""
import json
import os
import shutil
import subprocess
import sys

from faults import Problems, digest, lmodel, read, told, top, write
from slots import slots

recipient = {p: open(p + ".pub").read().strip() for p in ("owner", "alice", "bob", "sid", "audit")}
OWNER = ("-q", "-i", top + "/owner.key")
side = read("side")
weights = {"g": digest("m.safetensors"), "s": digest("s.safetensors")}


# ---- the file ----

def members(raw):
    """(path, offset of the data, length) of each tar member, up to the end blocks."""
    at, found = 0, []
    while at + 512 <= len(raw) and raw[at] != 0:
        name, size = raw[at:at + 100].rstrip(b"\0").decode(), int(raw[at + 124:at + 135], 8)
        found.append((name, at + 512, size))
        at += 512 + (size + 511) // 512 * 512
    return found


def ciphertext(raw, gens):
    """The bytes of each tier's members, two of them, by (tier, generation)."""
    found = {}
    for path, at, size in members(raw):
        for tier, gen in gens:
            if path.startswith(f"shard/g{gen}/{tier}/"):
                found.setdefault((tier, gen), []).append(raw[at:at + size])
    return found


def left_of(old, raw):
    """Pieces of old ciphertext that are in the file, and of how many: any 64 bytes of it hold a
    whole one of these."""
    pieces = [b[i:i + 32] for b in old for i in range(0, len(b) - 31, 32)]
    return sum(p in raw for p in pieces), len(pieces)


# ---- what is in force ----

class State:
    """Generations of the tiers and who is in, as the owner sees them."""

    def __init__(self, path):
        r = lmodel("inspect", "--json", "-i", top + "/owner.key", path)
        self.trouble = r.returncode != 0 and f"inspect: {r.returncode} {r.stderr.decode()}"
        told_ = json.loads(r.stdout) if not self.trouble else {"tiers": [], "slots": []}
        self.gens = tuple((t["name"], t["generation"]) for t in told_["tiers"])
        self.slots = told_["slots"]
        self.who = frozenset(s["recipient"] or s["kind"] for s in self.slots)
        self.known = all(s["known"] for s in self.slots)
        self.dead = told_.get("dead_bytes")

    def key(self):
        return self.gens, self.who

    def has(self, who):
        return any(r and recipient[who].startswith(r) for r in self.who)


def opens(problems, path, who, tier, where, *more):
    """Whoever is in gets the weights of the tier, whoever is not gets nothing."""
    out = where + "/weights"
    with_ = ("-i", f"{top}/{who}.key") if who != "passphrase" else \
        ("--passphrase-file", top + "/passphrase")
    r = lmodel("extract", "-q", "-f", "-j1", *with_, *more, "-o", out, path)
    if tier is None:
        problems.of(r.returncode != 3 or os.path.exists(out),
                    f"{who}, who is to get nothing: extract {r.returncode} {r.stderr.decode()}")
    elif problems.of(r.returncode != 0, f"{who}: extract {r.returncode} {r.stderr.decode()}"):
        problems.of(digest(out) != weights[tier], f"{who}: other weights than those of {tier}")
    if os.path.exists(out):
        os.unlink(out)


def side_file(problems, path):
    """The side file of the upper tier comes out for its holders alone."""
    for who, want in (("alice", (0, side)), ("sid", (3, b"")), ("audit", (3, b""))):
        r = lmodel("cat", "-i", f"{top}/{who}.key", path, "side")
        problems.of((r.returncode, r.stdout) != want,
                    f"side file, {who}: {r.returncode} {r.stderr.decode()}")


def holders(problems, path, state, where):
    opens(problems, path, "alice", "g", where)
    side_file(problems, path)
    opens(problems, path, "sid", "s", where)
    opens(problems, path, "bob", "s" if state.has("bob") else None, where)
    opens(problems, path, "audit", None, where)
    if "passphrase" in state.who:
        opens(problems, path, "passphrase", "g", where)
    r = lmodel("inspect", "--json", "-i", top + "/audit.key", path)
    sees = [(t["open"], t["positions_open"]) for t in json.loads(r.stdout)["tiers"]] \
        if r.returncode == 0 else r.stderr
    problems.of(sees != [(False, True)] * 2, f"the auditor sees {sees}")


def verify(problems, path, what, *allowed):
    """Notes of these kinds alone, or what --repair mends where that is allowed."""
    r = lmodel("verify", "-j1", path)
    lines = r.stderr.decode().splitlines()
    problems.of(any(not any(a in s for a in allowed) for s in lines) or
                r.returncode != (4 if any("mends" in s for s in lines) else 0),
                f"{what}: verify: {r.returncode} {lines}")
    return lines


CRASH = ("interrupted append", "is still to be zeroed", "interrupted commit",
         "(verify --repair mends it)")


def lists(problems, path, what):
    """The members that the walk above finds, and then the end."""
    r = subprocess.run(["tar", "tf", path], capture_output=True)
    problems.of(r.returncode != 0 or r.stderr or
                r.stdout.decode().split() != [m[0] for m in members(read(path))],
                f"{what}: tar: {r.returncode} {r.stderr.decode()}")


def gone(problems, old, state, raw, what):
    """Nothing is left of the ciphertext of keys that are not in force."""
    for key, streams in old.items():
        if key not in state.gens:
            n, of = left_of(streams, raw)
            problems.of(n > 0, f"{what}: {n} of {of} pieces of the ciphertext of {key} are there")


def check(path, old, allowed, where, after="rekey"):
    """One of the allowed states, and everything works from there: the next change finishes what is
    pending. `old`: ciphertext by tier and generation."""
    problems, now = Problems(), State(path)
    if not problems.of(now.trouble or now.key() not in [a.key() for a in allowed],
                       f"in force: {now.trouble or now.key()}"):
        return problems
    problems.of(not now.known, f"the book does not know all slots: {now.slots}")
    holders(problems, path, now, where)
    opens(problems, path, "owner", "g", where)
    verify(problems, path, "now", *CRASH)
    lists(problems, path, "now")
    copy = where + "/copy.lmodel"
    shutil.copyfile(path, copy)
    r = lmodel("verify", "-q", "-j1", "--repair", copy)
    problems.of(r.returncode != 0, f"verify --repair: {r.returncode} {r.stderr.decode()}")
    verify(problems, copy, "repaired", "is still to be zeroed")
    lists(problems, copy, "repaired")
    problems.of(State(copy).key() != now.key(), "verify --repair: another state")
    if after == "rekey":
        r = lmodel("rekey", *OWNER, "--tier", "s", path)
        want = tuple((t, g + (t == "s")) for t, g in now.gens)
    else:
        r = lmodel("grant", *OWNER, "--tier", "s", "-r", recipient["bob"], path)
        want = now.gens
    if problems.of(r.returncode != 0, f"the next {after}: {r.returncode} {r.stderr.decode()}"):
        then = State(path)
        problems.of(then.gens != want, f"after the next {after}: {then.gens}")
        holders(problems, path, then, where)
        verify(problems, path, f"after the next {after}",
               *(["interrupted append"] if after == "grant" else []))
        lists(problems, path, f"after the next {after}")
        gone(problems, old, then, read(path), f"after the next {after}")
        level = slots(read(path))
        problems.of(level[0].bytes != level[1].bytes, "the slots differ")
    return problems


# ---- the states to start from ----

def must(r, what):
    if r.returncode != 0:
        sys.exit(f"{what} does not work: {r.returncode} {r.stderr.decode()}")


must(lmodel("grant", *OWNER, "--tier", "s", "-r", recipient["bob"], "base.lmodel"), "grant")
must(lmodel("revoke", *OWNER, "-r", recipient["bob"], "base.lmodel"), "revoke")
base, BASE = read("base.lmodel"), State("base.lmodel")
OLD = ciphertext(base, BASE.gens)
told("the old ciphertext is found while it is in", set(OLD) == {("s", 1), ("g", 1)} and
     all(n == of > 15 for n, of in (left_of(streams, base) for streams in OLD.values())))


def rekeyed(name, *tiers):
    args = [a for t in tiers for a in ("--tier", t)]
    write(name, base)
    must(lmodel("rekey", *OWNER, *args, name), "rekey")
    state = State(name)
    return args, state


BOTH, AFTER_BOTH = rekeyed("both.lmodel", "s", "g")
