#!/usr/bin/env python3
"""Crashes, failing calls and readers around the commands that replace keys.

    rekey_faults.py LMODEL STRACE(0|1)      in a directory that rekey.sh has prepared

Prints one line a test, "0 NAME" or "1 NAME", and "# ..." lines that say what was wrong.
"""
import fcntl
import os
import random
import shutil
import signal
import struct
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import rekey_after
from faults import KILLED, LMODEL, STRACE, Problems, digest, lmodel, read, rounds, top, write
from rekey_world import (AFTER_BOTH, BASE, BOTH, CRASH, OLD, OWNER, State, base, check, ciphertext,
                         gone, holders, left_of, lists, must, opens, recipient, verify, weights)


def completed():
    """Without a fault: with the exposed tier alone, and with named ones."""
    def exposed(where):
        path, problems = where + "/x.lmodel", Problems()
        write(path, base)
        r = lmodel("rekey", *OWNER, path)
        now = State(path)
        problems.of(r.returncode != 0 or now.gens != (("s", 2), ("g", 1)),
                    f"{r.returncode} {r.stderr.decode()} {now.gens}")
        gone(problems, OLD, now, read(path), "rekey")
        verify(problems, path, "rekey")
        return problems + check(path, OLD, (now,), where)

    def named(where):
        path, problems = where + "/x.lmodel", Problems()
        shutil.copyfile("both.lmodel", path)
        gone(problems, OLD, AFTER_BOTH, read(path), "rekey")
        verify(problems, path, "rekey")
        return problems + check(path, OLD, (AFTER_BOTH,), where)

    def passphrase(where):
        path, problems = where + "/x.lmodel", Problems()
        write(path, base)
        must(lmodel("grant", *OWNER, "--tier", "g", "--passphrase-file", "passphrase", path),
             "grant")
        before = State(path)
        r = lmodel("rekey", *OWNER, *BOTH, path, inject="fallocate:signal=KILL:when=1")
        now = State(path)
        problems.of(r.returncode not in (KILLED, 137) or now.gens != AFTER_BOTH.gens or
                    now.who != before.who, f"{r.returncode} {r.stderr.decode()} {now.key()}")
        opens(problems, path, "passphrase", "g", where)
        return problems + check(path, OLD, (now,), where)
    rounds("rekey", 3, [("exposed", exposed), ("named", named), ("passphrase", passphrase)])


# ---- killed, and failing ----

def interrupted(tiers, after_it, fault, killed, after):
    def case(where):
        path = where + "/x.lmodel"
        write(path, base)
        r = lmodel("rekey", *OWNER, *tiers, path, inject=fault)
        if r.returncode == 0:
            return None                 # past the last such call, or one that need not succeed
        problems, text = Problems(), r.stderr.decode()
        if killed:
            problems.of(r.returncode not in (KILLED, 137), f"{r.returncode} {text}")
        else:
            problems.of(r.returncode != 1 or text.count("\n") != 1 or
                        not ("No space left" in text or "Input/output error" in text),
                        f"{r.returncode} {text}")
            size = os.path.getsize(path)
            problems.of(size > len(base) and fault in APPENDING,
                        f"what was not put in force takes room: {size} bytes, not {len(base)}")
        return problems + check(path, OLD, (BASE, after_it), where, after)
    return case


APPENDING = [f"pwrite64:error={e}:when={n}" for e, ns in (("ENOSPC", (1, 2, 5, 10)),
                                                       ("EIO", (3, 8))) for n in ns] + \
    ["fdatasync:error=EIO:when=1"] + [f"ftruncate:error=ENOSPC:when={n}" for n in (1, 2, 3)]
COMMITTING = [f"pwrite64:error={e}:when={n}" for e, n in (
    ("ENOSPC", 12), ("ENOSPC", 14), ("EIO", 16), ("ENOSPC", 18), ("EIO", 21))] + \
    [f"fdatasync:error=EIO:when={n}" for n in range(2, 11)]
KILLS = {"pwrite64": (1, 2, 3, 5, 6, 8, 9, *range(11, 23)), "fdatasync": range(1, 11),
         "ftruncate": range(1, 4), "fallocate": range(1, 5)}


def kills():
    rounds("rekey killed", 25, [
        (f"{call} {n}, {after}",
         interrupted(BOTH, AFTER_BOTH, f"{call}:signal=KILL:when={n}", True, after))
        for call, ns in KILLS.items() for n in ns for after in (("grant", "rekey")[n % 2],)])
    rounds("rekey with a failing call", 15, [
        (fault, interrupted(BOTH, AFTER_BOTH, fault, False, ("grant", "rekey")[i % 2]))
        for i, fault in enumerate(APPENDING + COMMITTING)])


def short_writes():
    """Writes and truncations that really end in the middle: at a limit on the size of files."""
    def case_of(limit, disposition):
        def case(where):
            path, problems = where + "/x.lmodel", Problems()
            write(path, base)
            r = lmodel("rekey", *OWNER, *BOTH, path, limit=limit, xfsz=disposition)
            wanted = 1 if disposition == signal.SIG_IGN else -signal.SIGXFSZ
            problems.of(r.returncode != wanted, f"{r.returncode} {r.stderr.decode()}")
            return problems + check(path, OLD, (BASE,), where, ("grant", "rekey")[limit % 2])
        return case
    rng, last = random.Random(4), os.path.getsize("both.lmodel")
    rounds("rekey at a limit on the size of files", 8, [
        (f"{limit} of {len(base)} to {last}, {disposition}", case_of(limit, disposition))
        for limit in sorted(rng.randrange(len(base) - 1024, last) for _ in range(4))
        for disposition in (signal.SIG_IGN, signal.SIG_DFL)])


def no_holes():
    """Where holes cannot be punched zeros are written; that is killed, too."""
    def case_of(more):
        def case(where):
            path, problems = where + "/x.lmodel", Problems()
            write(path, base)
            argv = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fallocate,pwrite64",
                    "-e", "inject=fallocate:error=EOPNOTSUPP", *more]
            r = subprocess.run([*argv, LMODEL, "rekey", *OWNER, *BOTH, path], capture_output=True,
                               env={"PATH": os.environ["PATH"]} | {
                                   k: v for k, v in os.environ.items()
                                   if k in ("LD_LIBRARY_PATH", "ASAN_OPTIONS")})
            if not more:
                problems.of(r.returncode != 0, f"{r.returncode} {r.stderr.decode()}")
                gone(problems, OLD, AFTER_BOTH, read(path), "rekey")
                verify(problems, path, "rekey")
            elif r.returncode == 0:
                return None
            return problems + check(path, OLD, (BASE, AFTER_BOTH), where, "grant")
        return case
    rounds("rekey where no holes can be punched", 3, [("whole", case_of([]))] + [
        (f"killed at {n}", case_of(["-e", f"inject=pwrite64:signal=KILL:when={n}"]))
        for n in range(17, 23)])


# ---- one crash after the other ----

def walk(seed, steps):
    """Changes at random, most of them killed. What is completed leaves nothing behind."""
    def case(where):
        rng, path, problems = random.Random(seed), where + "/x.lmodel", Problems()
        write(path, base)
        old, crashes, state = dict(OLD), 0, State(path)
        for step in range(steps):
            before, gens = state, dict(state.gens)
            tiers = rng.choice((("s",), ("g",), ("s", "g"), ()))
            if tiers:
                args = ["rekey", *OWNER, *[a for t in tiers for a in ("--tier", t)], path]
                gens.update({t: gens[t] + 1 for t in tiers})
            else:
                change = ("revoke",) if state.has("bob") else ("grant", "--tier", "s")
                args = [*change, *OWNER, "-r", recipient["bob"], path]
            fault = None
            if rng.random() < 0.8:
                call, most = rng.choice((("pwrite64", 10), ("pwrite64", 10), ("fdatasync", 6),
                                         ("fallocate", 2), ("ftruncate", 1)))
                fault = f"{call}:signal=KILL:when={rng.randint(1, most if tiers else 2)}"
            r = lmodel(*args, inject=fault)
            state, what = State(path), f"step {step}, {args[0]} {tiers}, {fault}"
            old |= ciphertext(read(path), state.gens)
            crashes += r.returncode != 0
            found, done = Problems(), tuple(gens.items())
            found.of(state.trouble or state.gens not in (before.gens, done) or
                     (r.returncode == 0 and state.gens != done),
                     f"in force: {state.trouble or state.gens}")
            if not found:
                holders(found, path, state, where)
                verify(found, path, "now", *CRASH)
                lists(found, path, "now")
                if r.returncode == 0:
                    gone(found, old, state, read(path), "completed")
            problems += [f"{what}: {p}" for p in found]
            if found:
                return problems
        problems.of(crashes < 3, f"only {crashes} crashes")
        return problems + check(path, old, (state,), where)
    return case


def shorter_after_longer():
    """What a killed rekey leaves is longer than what the next one writes there: gaps between the
    members that this one writes must be zero all the same."""
    def case_of(n):
        def case(where):
            path, problems = where + "/x.lmodel", Problems()
            write(path, base)
            r = lmodel("rekey", *OWNER, "--tier", "g", path,
                       inject=f"pwrite64:signal=KILL:when={n}")
            problems.of(r.returncode not in (KILLED, 137), f"{r.returncode} {r.stderr.decode()}")
            r = lmodel("rekey", *OWNER, "--tier", "s", path)
            problems.of(r.returncode != 0, f"{r.returncode} {r.stderr.decode()}")
            verify(problems, path, "then")
            return problems
        return case
    rounds("a short rekey after a long one that was killed", 2, [(n, case_of(n)) for n in (4, 5)])


# ---- a reader beside it ----

F_OFD_GETLK, FLOCK = 36, "hhqqi4x"


def is_read(path):
    """Whether somebody holds the lock of readers, byte 0 (spec: 2.5)."""
    with open(path, "rb+") as f:
        lock = struct.pack(FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 1, 0)
        return struct.unpack(FLOCK, fcntl.fcntl(f, F_OFD_GETLK, lock))[0] != fcntl.F_UNLCK


def reader_beside(n, twice):
    """A reader sleeps before its read `n`, when it has the manifest."""
    def case(where):
        path, problems = where + "/x.lmodel", Problems()
        write(path, base)
        with ThreadPoolExecutor(1) as reading:
            reader = reading.submit(lmodel, "extract", "-q", "-j1", "-f", "-i", top + "/alice.key",
                                    "-o", where + "/read", path,
                                    inject=f"pread64:delay_enter=4000000:when={n}")
            until = time.monotonic() + 30
            while not is_read(path) and time.monotonic() < until:
                time.sleep(0.005)
            time.sleep(0.1)
            told_ = []
            for _ in range(1 + twice):
                r = lmodel("rekey", *OWNER[1:], *BOTH, path)
                told_.append((r.returncode, r.stderr.decode()))
            now, raw, still = State(path), read(path), not reader.done()
            problems.of(not still, "the reader did not last")
            problems.of(any(c != 0 or "somebody reads it" not in t for c, t in told_), f"{told_}")
            problems.of(now.gens != (("s", 2 + twice), ("g", 2 + twice)), f"{now.gens}")
            problems.of(any(n != of for n, of in (left_of(b, raw) for b in OLD.values())),
                        "the reader's ciphertext is gone")
            lines = verify(problems, path, "beside", "is still to be zeroed")
            problems.of(len(lines) != 4 * (1 + twice), f"{lines}")
            holders(problems, path, now, where)
            old = OLD | ciphertext(raw, [(t, g) for t in "sg" for g in range(2, 2 + twice)])
            r = reader.result()
        problems.of(r.returncode != 0 or digest(where + "/read") != weights["g"],
                    f"the reader: {r.returncode} {r.stderr.decode()}")
        return problems + check(path, old, (now,), where, "grant")
    return case


def beside():
    rounds("a reader beside a rekey ends well, and then the old shards are zeroed", 4,
           [(f"read {n}{', twice' * twice}", reader_beside(n, twice))
            for n, twice in ((8, False), (10, True), (12, False), (14, False))])


def main():
    completed()
    short_writes()
    if STRACE:
        kills()
        shorter_after_longer()
        no_holes()
        rounds("one crash after the other", 3, [(f"walk {i}", walk(i, 10)) for i in range(3)])
        beside()
        rekey_after.repacks(rekey_after.pending())
        rekey_after.signatures()
        rekey_after.sizes()
    else:
        rekey_after.repacks(read("both.lmodel"))


main()
