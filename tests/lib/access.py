#!/usr/bin/env python3
"""Crashes, failing calls and torn slots around the commands that change who may open an archive.

    access.py LMODEL STRACE(0|1)      in a directory that access.sh has prepared

Prints one line a test, "0 NAME" or "1 NAME", and "# ..." lines that say what was wrong. The
manifest slots are read here by other code than the library's: spec 2.2 to 2.4.
"""
import json
import os
import random
import shutil
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from faults import (KILLED, STRACE, Problems, digest, lmodel, read, rounds, told, top, write)
from slots import in_force, slots

PEOPLE = ("owner", "alice", "bob", "carol")
recipient = {p: open(p + ".pub").read().strip() for p in PEOPLE}


# ---- files ----

def with_slots(raw, a, b):
    """The file with other bytes in its slots; None leaves a slot as it is."""
    raw = bytearray(raw)
    for slot, new in zip(slots(bytes(raw)), (a, b)):
        if new is not None:
            raw[slot.at:slot.at + slot.size] = new
    return bytes(raw)


def pieces(blob, others):
    """Pieces of a grant that are in no other one. A database page ends within a grant."""
    step = 24
    found = {blob[i:i + step] for i in range(len(blob) - step)}
    for other in others:
        found -= {other[i:i + step] for i in range(len(other) - step)}
    return found


def left_of(blob, others, raw):
    return sum(piece in raw for piece in pieces(blob, others))


# ---- running ----

def grant(path, who, tier, **how):
    return lmodel("grant", "-q", "-i", top + "/owner.key", "--tier", tier, "-r", recipient[who],
                  "--label", who, path, **how)


def revoke(path, who, **how):
    return lmodel("revoke", "-q", "-i", top + "/owner.key", "-r", recipient[who], path, **how)


def listed(path):
    """Who is in, as the owner sees it: (slot, tier, recipient) of each."""
    r = lmodel("inspect", "--json", "-i", "owner.key", path)
    if r.returncode != 0:
        return f"inspect: {r.returncode} {r.stderr.decode()}"
    return tuple((s["id"], s["tier"], s["recipient"]) for s in json.loads(r.stdout)["slots"])


def opens(problems, path, who, tier, where):
    """Whoever is in gets the weights of the tier, whoever is not gets nothing."""
    out = where + "/weights"
    r = lmodel("extract", "-q", "-f", "-j1", "-i", who + ".key", "-o", out, path)
    if tier is None:
        problems.of(r.returncode != 3 or os.path.exists(out),
                    f"{who}, who is not in: extract {r.returncode} {r.stderr.decode()}")
    elif problems.of(r.returncode != 0, f"{who}: extract {r.returncode} {r.stderr.decode()}"):
        problems.of(digest(out) != weights[tier], f"{who}: other weights than those of {tier}")
    if os.path.exists(out):
        os.unlink(out)


def check(path, allowed, where, rest=True):
    """The archive at any moment: one of the allowed states, and everything works from there."""
    problems = Problems()
    now = listed(path)
    if not problems.of(now not in allowed, f"in force: {now}, allowed: {allowed}"):
        return problems, now
    pair = slots(read(path))
    force = in_force(pair)
    problems.of([i for i, _ in force.grants] != [i for i, _, _ in now],
                "the newest valid slot holds other grants than inspect shows")
    level = pair[0].bytes == pair[1].bytes
    tiers = {who: tier or "g" for _, tier, who in now}
    for who in ("alice", "bob"):
        opens(problems, path, who, tiers.get(recipient[who]), where)
    if not rest:
        return problems, now
    r = lmodel("verify", "-j1", path)
    lines = r.stderr.decode().splitlines()
    problems.of(any(": note: " not in s and "(verify --repair mends it)" not in s for s in lines) or
                r.returncode != (4 if any("mends" in s for s in lines) else 0) or
                bool(lines) == (level and pair[0].padded),
                f"verify: {r.returncode} {lines}, the slots alike: {level}")
    # one copy is repaired, the next grant goes to the other
    copy = where + "/copy.lmodel"
    shutil.copyfile(path, copy)
    r = lmodel("verify", "-q", "-j1", "--repair", copy)
    mended = slots(read(copy))
    problems.of(r.returncode != 0 or listed(copy) != now or mended[0].bytes != mended[1].bytes,
                f"verify --repair: {r.returncode} {r.stderr.decode()}")
    problems.of(mended[0].grants != force.grants, "verify --repair: other grants")
    r = grant(path, "carol", "s")
    after = now + ((now[-1][0] + 1, "s", recipient["carol"]),)
    if problems.of(r.returncode != 0, f"the next grant: {r.returncode} {r.stderr.decode()}"):
        problems.of(listed(path) != after, f"after the next grant: {listed(path)}, not {after}")
        pair = slots(read(path))
        problems.of(pair[0].bytes != pair[1].bytes or not pair[0].padded or
                    pair[0].counter <= force.counter, "after the next grant the slots differ")
        opens(problems, path, "carol", "s", where)
        r = lmodel("verify", "-j1", path)
        problems.of(r.returncode != 0 or r.stderr, f"then verify: {r.stderr.decode()}")
    return problems, now


# ---- the states to start from ----

def torn(old, new, how, rng):
    """A slot that was being overwritten when the power went: sectors, or a beginning, of both."""
    n = len(old)
    cut = rng.randrange(1, n)
    if how == "beginning":
        return new[:cut] + old[cut:]
    if how == "end":
        return old[:cut] + new[cut:]
    if how == "zeros":
        return new[:cut] + bytes(n - cut)
    mix = bytearray(old)
    for at in range(0, n, 512):
        if rng.random() < 0.5:
            mix[at:at + 512] = new[at:at + 512]
    if how == "footer":     # the footer alone arrived
        mix = bytearray(old)
        mix[-512:] = new[-512:]
    return bytes(mix)


HOWS = ("beginning", "end", "zeros", "sectors", "footer")
base = read("base.lmodel")          # the owner and alice
if grant("base.lmodel", "bob", "s").returncode != 0:
    sys.exit("grant does not work")
with_bob = read("base.lmodel")      # and bob
write("with_bob.lmodel", with_bob)
write("base.lmodel", base)
WITHOUT, WITH = listed("base.lmodel"), listed("with_bob.lmodel")
weights = {"g": digest("m.safetensors"), "s": digest("s.safetensors")}
image = {"old": slots(base)[0].bytes, "new": slots(with_bob)[0].bytes}
bob_blob = slots(with_bob)[0].grants[2][1]
other_blobs = [g for _, g in slots(with_bob)[0].grants[:2]]

total = len(pieces(bob_blob, other_blobs))
told("a grant's bytes are found while it is in", total > 200 and
     left_of(bob_blob, other_blobs, with_bob) > total / 2,
     f"{left_of(bob_blob, other_blobs, with_bob)} of {total} pieces")
told("and are not in a file without it", left_of(bob_blob, other_blobs, base) == 0)


def start(name, rng, before=base, old="old", new="new"):
    """A file as an interrupted commit leaves it, and what is in force in it."""
    o, n = image[old], image[new]
    states = {
        "level": lambda: (None, None),
        "B torn": lambda: (o, torn(o, n, rng.choice(HOWS), rng)),
        "B new": lambda: (o, n),
        "A torn": lambda: (torn(o, n, rng.choice(HOWS), rng), n),
        "A padding": lambda: (o[:-600] + b"\1" * 80 + o[-520:], o),
    }
    return with_slots(before, *states[name]())


STATES = ("level", "B torn", "B new", "A torn", "A padding")


def force_of(raw):
    """WITH or WITHOUT, by the slots alone."""
    return WITH if len(in_force(slots(raw)).grants) == 3 else WITHOUT


def act(state, path, **how):
    """Lets bob in, or takes him out: what is possible. Returns the result and the next state."""
    if state == WITHOUT:
        return grant(path, "bob", "s", **how), WITH
    return revoke(path, "bob", **how), WITHOUT


# ---- killed, and failing ----

def interrupted(raw, inject, killed, rest):
    def case(where):
        path, before = where + "/x.lmodel", force_of(raw)
        write(path, raw)
        r, after = act(before, path, inject=inject)
        if r.returncode == 0:
            return None                 # past the last such call
        problems = Problems()
        if killed:
            problems.of(r.returncode not in (KILLED, 137), f"{r.returncode} {r.stderr.decode()}")
        else:
            text = r.stderr.decode()
            problems.of(r.returncode != 1 or text.count("\n") != 1 or
                        not ("No space left" in text or "Input/output error" in text),
                        f"{r.returncode} {text}")
        return problems + check(path, (before, after), where, rest)[0]
    return case


def completed(raw):
    """Without a fault, from any state: done, and a grant that was taken out is gone."""
    def case(where):
        path, before = where + "/x.lmodel", force_of(raw)
        write(path, raw)
        held = [g for s in slots(raw) for _, g in s.grants[2:]]
        r, after = act(before, path)
        problems = Problems()
        problems.of(r.returncode != 0, f"{r.returncode} {r.stderr.decode()}")
        if after == WITHOUT:
            problems.of(not held, "there is nothing to look for")
            for blob in held:
                n = left_of(blob, other_blobs, read(path))
                problems.of(n > 0, f"{n} pieces of the revoked grant are in the file")
        return problems + check(path, (after,), where)[0]
    return case


def both_ways(rng):
    """All the states, once each as a grant and as a revocation leaves them."""
    for name in STATES:
        yield f"grant, {name}", start(name, rng)
        yield f"revoke, {name}", start(name, rng, with_bob, "revoke old", "revoke new")


def revocation_images():
    """The same for a revocation: bob is in the old image."""
    write("revoked.lmodel", with_bob)
    if revoke("revoked.lmodel", "bob").returncode != 0:
        sys.exit("revoke does not work")
    image["revoke old"] = image["new"]
    image["revoke new"] = slots(read("revoked.lmodel"))[0].bytes


def kills():
    rng = random.Random(1)
    # Up to three slot writes and syncs; a fourth where bytes that are not zero are rewritten. The
    # longer check is for every third.
    rounds("killed", 50, [
        (f"{name}, {call} {n}", interrupted(raw, f"{call}:signal=KILL:when={n}", True,
                                            (i + n) % 3 == 0))
        for i, (name, raw) in enumerate(both_ways(rng))
        for call, most in (("pwrite64", 4), ("fdatasync", 4))
        for n in range(1, most + 1 if name.endswith("padding") else most)])
    rounds("a failing call", 50, [
        (f"{name}, {fault} {n}", interrupted(raw, f"{fault}:when={n}", False, (i + j) % 3 == 0))
        for i, (name, raw) in enumerate(both_ways(rng))
        for j, (fault, n) in enumerate((
            ("pwrite64:error=ENOSPC", 1), ("pwrite64:error=ENOSPC", 2), ("pwrite64:error=EIO", 1),
            ("pwrite64:error=EIO", 3), ("fdatasync:error=EIO", 1), ("fdatasync:error=EIO", 2)))])


def short_writes():
    """Writes that really end in the middle of a slot: at a limit on the size of files."""
    rng = random.Random(2)

    def case_of(raw, limit, disposition):
        def case(where):
            path, before = where + "/x.lmodel", force_of(raw)
            write(path, raw)
            r, after = act(before, path, limit=limit, xfsz=disposition)
            if r.returncode == 0:
                return None
            problems = Problems()
            wanted = 1 if disposition == signal.SIG_IGN else -signal.SIGXFSZ
            problems.of(r.returncode != wanted, f"{r.returncode} {r.stderr.decode()}")
            return problems + check(path, (before, after), where)[0]
        return case
    cases = []
    for name, raw in both_ways(rng):
        for i, slot in enumerate(slots(raw)):
            for disposition in (signal.SIG_IGN, signal.SIG_DFL):
                limit = slot.at + rng.randrange(1, slot.size)
                cases.append((f"{name}, in slot {'AB'[i]}, limit {limit}",
                              case_of(raw, limit, disposition)))
    rounds("a write that ends within a slot", 30, cases)


def torn_states():
    """Any two images may meet, and a slot may be torn again while it is made level."""
    rng = random.Random(3)
    cases = []
    for name, raw in both_ways(rng):
        cases.append((name, completed(raw)))
    for i in range(12):
        o, n = ("old", "new") if i % 2 else ("revoke old", "revoke new")
        o, n = image[o], image[n]
        bad = torn(o, n, rng.choice(HOWS), rng)
        # torn, then torn again by the commit that made it level
        again = torn(bad, o, rng.choice(HOWS), rng)
        cases.append((f"B torn twice, {i}", completed(with_slots(base, o, again))))
        bad = torn(o, n, rng.choice(HOWS), rng)
        again = torn(bad, n, rng.choice(HOWS), rng)
        cases.append((f"A torn twice, {i}", completed(with_slots(base, again, n))))
    rounds("torn slots, then a change that is not interrupted", 34, cases)


# ---- one crash after the other ----

def walk(seed):
    def case(where):
        rng, path, problems = random.Random(seed), where + "/x.lmodel", Problems()
        write(path, base)
        state, gone, crashes = WITHOUT, [], 0
        for step in range(14):
            for _, blob in in_force(slots(read(path))).grants[2:]:
                gone.append(blob)
            inject = None
            if rng.random() < 0.75:
                inject = f"{rng.choice(('pwrite64', 'fdatasync'))}:signal=KILL:when={rng.randint(1, 4)}"
            r, after = act(state, path, inject=inject)
            crashes += r.returncode != 0
            found, now = check(path, (after,) if r.returncode == 0 else (state, after), where,
                               rest=False)
            problems += [f"step {step}, {inject}: {p}" for p in found]
            if found:
                break
            if r.returncode == 0:
                # completed: nothing is left of what is not in
                keep = {g for _, g in in_force(slots(read(path))).grants}
                raw = read(path)
                for blob in gone:
                    if blob not in keep:
                        n = left_of(blob, keep, raw)
                        problems.of(n > 0, f"step {step}: {n} pieces of a revoked grant")
                gone = []
            state = now
        problems.of(crashes < 3, f"only {crashes} crashes")
        found, _ = check(path, (state,), where)
        return problems + found
    return case


def revoked_twice():
    """A revocation is killed when it is in force but still in the older slot; it is given again."""
    def case(where):
        path, problems = where + "/x.lmodel", Problems()
        write(path, start("B new", None, with_bob, "revoke old", "revoke new"))
        problems.of(listed(path) != WITHOUT, "bob is still in")
        problems.of(left_of(bob_blob, other_blobs, read(path)) == 0, "there is nothing to look for")
        r = revoke(path, "bob")
        problems.of(r.returncode not in (0, 2), f"{r.returncode} {r.stderr.decode()}")
        n = left_of(bob_blob, other_blobs, read(path))
        problems.of(n > 0, f"revoke exits {r.returncode}, {n} pieces of the grant are in the file")
        return problems + check(path, (WITHOUT,), where)[0]
    rounds("a killed revocation given again leaves nothing of the grant", 1, [("revoke", case)])


# ---- whole files: pack, strip, detached grants ----

def whole_files():
    pack = ["pack", "-q", "-j1", "--select", "random", "--tier", "s=2%", "--tier", "g=5%",
            "--owner", recipient["owner"], "-r", recipient["alice"] + "=g"]

    def new_pack(p, out, where):
        r = lmodel("verify", "-q", "-j1", "-i", "alice.key", out)
        p.of(r.returncode != 0, f"verify: {r.returncode} {r.stderr.decode()}")
        p.of(listed(out) != WITHOUT, f"slots {listed(out)}")
        opens(p, out, "alice", "g", where)
        opens(p, out, "bob", None, where)

    def new_strip(p, out, where):
        r = lmodel("verify", "-q", "-j1", "-i", "alice.key", out)
        p.of(r.returncode != 0, f"verify: {r.returncode} {r.stderr.decode()}")
        p.of(listed(out) != WITH, f"slots {listed(out)}")
        r = lmodel("extract", "-q", "-f", "-j1", "--tier", "s", "-i", "alice.key", "-o",
                   where + "/weights", out)
        p.of(r.returncode != 0 or digest(where + "/weights") != weights["s"],
             f"extract: {r.returncode} {r.stderr.decode()}")

    def new_detached(p, out, where):
        r = lmodel("extract", "-q", "-f", "-j1", "-i", "bob.key", "-i", out, "-o",
                   where + "/weights", "base.lmodel")
        p.of(r.returncode != 0 or digest(where + "/weights") != weights["s"],
             f"extract: {r.returncode} {r.stderr.decode()}")

    works = {
        "pack": (pack + ["-o", "out", top + "/m.safetensors"], new_pack),
        "strip": (["strip", "-q", "-j1", "--tier", "s", "-o", "out", top + "/with_bob.lmodel"],
                  new_strip),
        "grant --detached": (["grant", "-q", "-i", top + "/owner.key", "--tier", "s", "-r",
                              recipient["bob"], "--detached", "out", top + "/base.lmodel"],
                             new_detached),
    }

    def case_of(args, new, inject, force, killed):
        def case(where):
            work, problems = where + "/work", Problems()
            os.mkdir(work)
            out = work + "/out"
            if force:
                write(out, base)
            r = lmodel(*args[:1], *(["-f"] if force else []), *args[1:], cwd=work, inject=inject)
            left = os.listdir(work)
            is_old = (read(out) == base) if force and os.path.exists(out) else left == []
            if r.returncode == 0:
                new(problems, out, where)   # past the last such call: then all of it is there
                return problems or None
            if killed:
                problems.of(r.returncode not in (KILLED, 137), f"{r.returncode} {r.stderr.decode()}")
            else:
                text = r.stderr.decode()
                problems.of(r.returncode != 1 or text.count("\n") != 1 or
                            left != (["out"] if force else []) or not is_old,
                            f"{r.returncode} {text}, left: {left}")
            if not is_old and (not killed or "out" in left):
                new(problems, out, where)
            return problems
        return case
    for name, (args, new) in works.items():
        for force in (False, True):
            cases = [(f"{call} {n}", case_of(args, new, f"{call}:signal=KILL:when={n}", force, True))
                     for call, ns in (("write", (1,)), ("pwrite64", (1, 2, 3, 4, 5, 7, 10, 15, 20, 26)),
                                      ("fsync", (1, 2)), ("fdatasync", (1,)), ("linkat", (1, 2)),
                                      ("rename", (1,)))
                     for n in ns]
            rounds(f"{name}{' -f' if force else ''} killed", 4, cases)
            cases = [(f"{fault} {n}", case_of(args, new, f"{fault}:when={n}", force, False))
                     for fault, n in (("write:error=ENOSPC", 1), ("pwrite64:error=ENOSPC", 1),
                                      ("pwrite64:error=EIO", 4), ("fsync:error=EIO", 1),
                                      ("linkat:error=EIO", 1), ("rename:error=EIO", 1))]
            rounds(f"{name}{' -f' if force else ''} with a failing call", 3, cases)
    told("no source was changed", read("base.lmodel") == base and read("with_bob.lmodel") == with_bob)


# ---- a reader beside a writer ----

def beside(seconds):
    path = "shared.lmodel"
    write(path, base)
    end = time.monotonic() + seconds
    count, wrong, locked = {}, [], [0]

    def loop(name, step):
        count[name] = 0
        while time.monotonic() < end and len(wrong) < 20:
            bad = step()
            if bad:
                wrong.append(f"{name}, round {count[name]}: {bad}")
            count[name] += 1

    def change():
        for r in (grant(path, "bob", "s"), revoke(path, "bob")):
            if r.returncode != 0:
                return f"{r.returncode} {r.stderr.decode()}"

    def other_writer():
        r = grant(path, "carol", "s")
        if r.returncode == 0:
            while (r := revoke(path, "carol")).returncode == 1 and b"another writer" in r.stderr:
                time.sleep(0.003)
        if r.returncode == 1 and b"another writer" in r.stderr:
            locked[0] += 1
        elif r.returncode != 0:
            return f"{r.returncode} {r.stderr.decode()}"

    def inspecting():
        now = listed(path)
        if now not in (WITHOUT, WITH):
            return f"inspect: {now}"

    def extracting():
        problems = Problems()
        opens(problems, path, "alice", "g", top)
        return "; ".join(problems)

    def run(*loops):
        threads = [threading.Thread(target=loop, args=a) for a in loops]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
    run(("grants and revocations", change), ("inspect", inspecting), ("extract", extracting))
    told("readers beside a writer see the old or the new state", not wrong,
         *wrong, ", ".join(f"{k}: {v}" for k, v in count.items()))
    told("each of them had its turns", min(count.values()) >= 10)

    # two writers: one has the lock, the other is told so
    wrong.clear()
    count.clear()
    end = time.monotonic() + seconds / 4

    def patient():
        for act_ in (lambda: grant(path, "bob", "s"), lambda: revoke(path, "bob")):
            while (r := act_()).returncode == 1 and b"another writer" in r.stderr:
                locked[0] += 1
            if r.returncode != 0:
                return f"{r.returncode} {r.stderr.decode()}"
    run(("one writer", patient), ("another", other_writer))
    told("of two writers one is told to wait, and no change is lost", not wrong and
         listed(path) == WITHOUT, *wrong, f"{locked[0]} times locked")
    told("they met", locked[0] > 0)


def slow_reader():
    """Readers that are put to sleep between two of their reads while one grant commits."""
    def one(case):
        args, when = case
        path = f"slow-{args[0]}-{when}.lmodel"
        write(path, base)
        with ThreadPoolExecutor(1) as reading:
            reader = reading.submit(lmodel, *args, path,
                                    inject=f"pread64:delay_enter=400000:when={when}")
            time.sleep(0.2)
            r = grant(path, "bob", "s")
            reader = reader.result()
        os.unlink(path)
        text = reader.stderr.decode()
        if r.returncode == 0 and reader.returncode == 0 and ": fault: " not in text:
            return []
        return [f"{args[0]}, asleep before read {when}: {reader.returncode} {text}, grant "
                f"{r.returncode} {r.stderr.decode()}"]
    for args in (["inspect", "--json"], ["extract", "-q", "-j1", "-i", "alice.key", "-o", "-"],
                 ["verify", "-j1"]):
        with ThreadPoolExecutor(4) as several:
            wrong = sum(several.map(one, [(args, when) for when in range(3, 15)]), [])
        told(f"{args[0]} that sleeps between its reads sees no damage", not wrong, *wrong)


def slow_reader_of_many_changes():
    """Asleep before each read while one change follows the other: a look may meet any of them."""
    path, end, wrong, rounds_ = "slow.lmodel", time.monotonic() + 3, [], 0
    write(path, base)

    def changing():
        while time.monotonic() < end:
            for r in (grant(path, "bob", "s"), revoke(path, "bob")):
                if r.returncode != 0:
                    wrong.append(f"{r.returncode} {r.stderr.decode()}")
    t = threading.Thread(target=changing)
    t.start()
    while time.monotonic() < end and not wrong:
        r = lmodel("inspect", "--json", path, inject="pread64:delay_enter=8000:when=3+")
        rounds_ += 1
        if r.returncode != 0:
            wrong.append(f"round {rounds_}: inspect {r.returncode} {r.stderr.decode()}")
    t.join()
    return wrong


def main():
    revocation_images()
    if STRACE:
        kills()
    short_writes()
    torn_states()
    if STRACE:
        rounds("one crash after the other", 4, [(f"walk {i}", walk(i)) for i in range(4)])
    revoked_twice()
    if STRACE:
        whole_files()
        slow_reader()
        wrong = slow_reader_of_many_changes()
        told("nor does a slow inspect where one change follows the other", not wrong, *wrong)
    beside(8)


main()
