"""Repack, strip and sign of what a rekey leaves, killed or failing; and what a rekey writes."""
import os
import re
import shutil
import subprocess
import sys

from faults import KILLED, LMODEL, STRACE, Problems, lmodel, read, rounds, told, top, write
from rekey_world import (AFTER_BOTH, BASE, BOTH, CRASH, OLD, OWNER, State, base, check, ciphertext,
                         gone, holders, lists, members, must, opens, recipient, verify)
from slots import slots


# ---- repack and strip of what a rekey leaves ----

def pending():
    """A rekeyed archive whose old shards are not zeroed yet."""
    write("pending.lmodel", base)
    lmodel("rekey", *OWNER, *BOTH, "pending.lmodel", inject="fallocate:signal=KILL:when=1")
    return read("pending.lmodel")


def compact(problems, path, where, state):
    raw, now = read(path), State(path)
    problems.of(now.key() != state.key(), f"{now.trouble or now.key()}")
    problems.of(now.dead != 0 or any("/g1/" in m[0] for m in members(raw)), "dead ranges are there")
    gone(problems, OLD, now, raw, "compact")
    verify(problems, path, "compact")
    lists(problems, path, "compact")


def repacks(raw):
    def case_of(inject):
        def case(where):
            path, problems = where + "/x.lmodel", Problems()
            write(path, raw)
            r = lmodel("repack", "-q", "-j1", path, inject=inject)
            if inject is None or r.returncode == 0:
                problems.of(r.returncode != 0, f"{r.returncode} {r.stderr.decode()}")
                compact(problems, path, where, AFTER_BOTH)
                holders(problems, path, AFTER_BOTH, where)
                return problems if inject is None else problems or None
            if read(path) == raw:
                problems.of(State(path).key() != AFTER_BOTH.key(), "another state")
            else:
                compact(problems, path, where, AFTER_BOTH)
            return problems + check(path, OLD, (AFTER_BOTH,), where)
        return case
    faults = [None] + [f"{c}:signal=KILL:when={n}" for c, ns in (
        ("pwrite64", (1, 3, 6, 10, 14)), ("fsync", (1, 2)), ("linkat", (1, 2)), ("rename", (1,)))
        for n in ns] + ["pwrite64:error=ENOSPC:when=5", "fsync:error=EIO:when=1"]
    if STRACE:
        rounds("repack of a rekeyed archive", 8, [(f, case_of(f)) for f in faults])
    else:
        rounds("repack of a rekeyed archive", 1, [("whole", case_of(None))])

    def strip(where):
        path, out, problems = where + "/x.lmodel", where + "/out.lmodel", Problems()
        write(path, raw)
        r = lmodel("strip", "-q", "-j1", "--tier", "s", "-o", out, path)
        problems.of(r.returncode != 0, f"{r.returncode} {r.stderr.decode()}")
        problems.of(read(path) != raw, "strip changed its input")
        now = State(out)
        problems.of(now.dead != 0, "dead ranges are there")
        gone(problems, OLD, now, read(out), "strip")
        verify(problems, out, "strip", "is not in this file")
        opens(problems, out, "sid", "s", where)
        opens(problems, out, "alice", "s", where, "--tier", "s")
        r = lmodel("rekey", *OWNER, "--tier", "s", out)
        problems.of(r.returncode != 0, f"rekey: {r.returncode} {r.stderr.decode()}")
        opens(problems, out, "sid", "s", where)
        r = lmodel("rekey", *OWNER, "--tier", "g", out)
        problems.of(r.returncode != 2 or b"not in this file" not in r.stderr,
                    f"rekey of what is not there: {r.returncode} {r.stderr.decode()}")
        verify(problems, out, "strip, rekey", "is not in this file")
        return problems
    rounds("strip of a rekeyed archive", 1, [("strip", strip)])


# ---- signatures ----

def signed_by_publisher(path):
    return lmodel("verify", "-q", "-j1", "--signers", top + "/signers", path).returncode


def signatures():
    sign = ("sign", "-q", "-k", top + "/publisher.key")
    write("signed.lmodel", base)
    must(lmodel(*sign, "signed.lmodel"), "sign")
    signed = read("signed.lmodel")
    told("a signed archive is signed", signed_by_publisher("signed.lmodel") == 0 and
         signed_by_publisher("base.lmodel") == 4)

    def sign_case(inject, killed):
        def case(where):
            path, problems = where + "/x.lmodel", Problems()
            write(path, base)
            r = lmodel(*sign, path, inject=inject)
            if r.returncode == 0:
                return None
            problems.of(r.returncode not in ((KILLED, 137) if killed else (1,)),
                        f"{r.returncode} {r.stderr.decode()}")
            problems.of(signed_by_publisher(path) not in (0, 4), "neither signed nor not")
            again = where + "/again.lmodel"
            shutil.copyfile(path, again)
            r = lmodel(*sign, again)
            problems.of(r.returncode != 0 or signed_by_publisher(again) != 0,
                        f"sign again: {r.returncode} {r.stderr.decode()}")
            lmodel("sign", "-q", "-k", top + "/publisher.key", path)
            return problems + check_signed(path, where, (BASE,), 0)
        return case

    def check_signed(path, where, allowed, status):
        problems, now = Problems(), State(path)
        problems.of(now.key() not in [a.key() for a in allowed], f"{now.trouble or now.key()}")
        holders(problems, path, now, where)
        verify(problems, path, "signed", *CRASH)
        problems.of(signed_by_publisher(path) not in (status, 4 if lmodel(
            "verify", "-q", "-j1", path).returncode else status), "the signature does not hold")
        return problems
    calls = [(c, n) for c in ("pwrite64", "fdatasync") for n in (1, 2)]
    rounds("sign killed or failing", 8,
           [(f"{c} {n}", sign_case(f"{c}:signal=KILL:when={n}", True)) for c, n in calls] +
           [(f"{c} EIO {n}", sign_case(f"{c}:error=EIO:when={n}", False)) for c, n in calls])

    def rekey_signed(inject):
        def case(where):
            path, problems = where + "/x.lmodel", Problems()
            write(path, signed)
            r = lmodel("rekey", *OWNER, *BOTH, path)
            problems.of(r.returncode != 2 or read(path) != signed, f"without a key: {r.returncode}")
            r = lmodel("rekey", *OWNER, *BOTH, "-k", top + "/publisher.key", path, inject=inject)
            if inject and r.returncode == 0:
                return None
            problems += check_signed(path, where, (BASE, AFTER_BOTH), 0)
            r = lmodel("rekey", *OWNER, "--tier", "s", "--unsigned", path)
            problems.of(r.returncode != 0 or signed_by_publisher(path) != 4,
                        f"--unsigned: {r.returncode} {r.stderr.decode()}")
            return problems
        return case
    rounds("rekey of a signed archive: the signature holds before and after", 6,
           [(i, rekey_signed(i and f"{i}:signal=KILL:when={n}")) for i, n in (
               (None, 0), ("pwrite64", 5), ("pwrite64", 15), ("pwrite64", 16), ("fdatasync", 1),
               ("fdatasync", 2), ("fdatasync", 3), ("fallocate", 1), ("pwrite64", 17))])


# ---- what it writes ----

def sizes():
    path = "large.lmodel"
    subprocess.run([sys.executable, os.path.dirname(__file__) + "/mkmodel.py", "large.safetensors",
                    "w:BF16:2500x2000:random", "v:BF16:2500x2000:random"], check=True)
    must(lmodel("pack", "-q", "--select", "random", "--mask", "zero", "--tier", "s=1%", "--tier",
                "g=20%", "--owner", recipient["owner"], "-o", path, "large.safetensors"), "pack")
    os.unlink("large.safetensors")
    size, slot = os.path.getsize(path), slots(read(path))[0].size
    remarks, good = [f"{size} bytes"], size > 15e6
    for tier in "sg":
        raw = read(path)
        gens = State(path).gens
        shards = sum(map(len, ciphertext(raw, gens)[tier, dict(gens)[tier]]))
        r = subprocess.run(["strace", "-f", "-qq", "-o", "trace", "-e", "trace=pwrite64,write",
                            LMODEL, "rekey", *OWNER, "--tier", tier, path], capture_output=True,
                           env={k: v for k, v in os.environ.items()
                                if k not in ("HOME", "XDG_STATE_HOME")})
        written = sum(map(int, re.findall(r"= (\d+)$", open("trace").read(), re.M)))
        # two commits of two slots each, and two tar headers
        good &= r.returncode == 0 and shards <= written <= shards + 4 * slot + 2048
        remarks.append(f"tier {tier}: shards of {shards} bytes, slots of {slot}: "
                       f"{written} written {r.stderr.decode()}")
    told("rekey writes the tier's shards and the manifest, nothing else", good, *remarks)
    os.unlink(path)
