#!/usr/bin/env python3
"""Looks for keys where none may be: in what lmodel prints and writes, in /proc, in a core.

    find_secrets.py LMODEL STRACE(0|1)     in a directory that secrets.sh has prepared

Prints one line a test, "0 NAME" or "1 NAME", and "# ..." lines. Each way of looking is first tried
on something that does hold the keys.
"""
import base64
import os
import platform
import pty
import re
import resource
import subprocess
import sys
import time

from slots import in_force, slots

LMODEL, STRACE = sys.argv[1], sys.argv[2] == "1"
ROOT = os.geteuid() == 0
TRACED = STRACE and ROOT    # nobody else is shown what an undumpable process writes
os.mkdir("tmp")
os.mkdir("work")
ENVIRONMENT = dict(os.environ, TMPDIR=os.path.abspath("tmp"), LMODEL_IDENTITY="bob.key")
WRITING = "write,pwrite64,writev,pwritev,pwritev2,sendto,sendmsg"


def read(path):
    with open(path, "rb") as f:
        return f.read()


def told(name, good, *remarks):
    if not good:
        print("#", *(str(r).replace("\n", " / ") for r in remarks))
    print(0 if good else 1, name, flush=True)


# ---- what is looked for ----

needles = {}


def text_needle(name, text):
    needles[name] = [text, text.lower(), text.upper()]


def key_needle(name, raw):
    """32 bytes as they are, either half of them, in hexadecimal and in base64."""
    assert len(raw) == 32 and len(set(raw)) > 8
    needles[name] = [raw[:16], raw[16:], raw.hex().encode(), raw.hex().upper().encode(),
                     base64.b64encode(raw)[:-2]]


def scalar(line):
    """The 32 bytes of AGE-SECRET-KEY-1..., without its checksum of six letters."""
    value = 0
    letters = line.lower().split("1", 1)[1][:-6]
    for c in letters:
        value = value << 5 | "qpzry9x8gf2tvdw0s3jn54khce6mua7l".index(c)
    return (value >> (5 * len(letters) - 256)).to_bytes(32, "big")


def keys_of(archive):
    """What the slots of an archive hold, opened by age."""
    slot = in_force(slots(read(archive)))
    for who in ("owner", "alice", "auditor"):
        for _, grant in slot.grants:
            r = subprocess.run(["age", "-d", "-i", who + ".key"], input=grant, capture_output=True)
            if r.returncode == 0:
                break
        for tier, kind, key in re.findall(
                r"^(?:tier (\S+) gen \d+ )?(key|poskey|owner-key|owner-seed) ([0-9a-f]{64})$",
                r.stdout.decode(), re.M):
            key_needle(f"{archive}: {who}'s {tier or 'own'} {kind}", bytes.fromhex(key))
    for locked in slot.identities:
        with open("locked", "wb") as f:
            f.write(locked)
        pid, terminal = pty.fork()
        if pid == 0:
            os.execvp("age", ["age", "-d", "-o", "unlocked", "locked"])
        os.read(terminal, 100)
        os.write(terminal, read("phrase"))
        os.waitpid(pid, 0)
        line = re.search(r"AGE-SECRET-KEY-1\w+", read("unlocked").decode())[0]
        key_needle(f"{archive}: identity of a passphrase", scalar(line))
        os.unlink("locked")
        os.unlink("unlocked")


def collect():
    text_needle("the passphrase", read("phrase").strip())
    text_needle("a side file of a tier", read("sealed").strip())
    for who in ("owner", "alice", "auditor", "bob"):
        line = re.search(r"AGE-SECRET-KEY-1\w+", read(who + ".key").decode())[0]
        text_needle(who + "'s identity", line.split("1", 1)[1].encode())
        key_needle(who + "'s scalar", scalar(line))
    # of a key that lmodel makes for itself, too
    text_needle("an identity", b"AGE-SECRET-KEY-1")
    keys_of("m.lmodel")


def found_in(raw, but=()):
    return sorted(name for name, forms in needles.items()
                  if name not in but and any(form in raw for form in forms))


# ---- what a command writes ----

def strace(trace, *options):
    return ["strace", "-f", "-y", "-xx", "-s", "100000000", "-o", trace, *options]


def calls(trace):
    """The lines of a trace; a call that another thread's cut in two is one again."""
    begun = {}
    for line in open(trace, errors="replace"):
        pid = line.split(maxsplit=1)[0]
        if line.endswith("<unfinished ...>\n"):
            begun[pid] = line[:-len("<unfinished ...>\n")]
            continue
        m = re.match(r"\d+ +<\.\.\. \w+ resumed>", line)
        yield begun.pop(pid, "") + line[m.end():] if m else line


def written(trace):
    """From a trace: what was written to each file, in the order of the calls, and shared maps."""
    files, shared = {}, []
    for line in calls(trace):
        m = re.match(r"\d+ +(\w+)\(\d+<(.*?)>(?:\(deleted\))?, (.*)\) += \d+", line)
        if m and m[1] in WRITING.split(","):
            data = b"".join(bytes.fromhex(s.replace("\\x", ""))
                            for s in re.findall(r'"((?:\\x[0-9a-f]{2})*)"', m[3]))
            path = re.sub(r"\\x(..)", lambda x: chr(int(x[1], 16)), m[2])
            files[path] = files.get(path, b"") + data
        if "MAP_SHARED" in line and "PROT_WRITE" in line:
            shared.append(line.strip())
    return files, shared


def files_of(path):
    """The file, or all below the directory."""
    if not os.path.isdir(path):
        return [path]
    return [os.path.join(d, f) for d, _, names in os.walk(path) for f in names]


def run(name, args, status=0, but=(), made=None):
    """One command: its output, every byte it writes anywhere, and what lies in TMPDIR after it.
    The keys of an archive that it makes are looked for, too."""
    trace = "trace"
    argv = [LMODEL, *args]
    if TRACED:
        argv = strace(trace, "-e", f"trace={WRITING},mmap", "-e", "signal=none") + argv
    before = set(os.listdir("."))
    r = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, env=ENVIRONMENT)
    if made and r.returncode == 0:
        keys_of(made)
    bad = [f"standard output: {found_in(r.stdout, but)}"] if found_in(r.stdout, but) else []
    bad += [f"standard error: {found_in(r.stderr, but)}"] if found_in(r.stderr, but) else []
    if r.returncode != status:
        bad.append(f"exit status {r.returncode}: {r.stderr.decode()[:300]}")
    count = 0
    if TRACED:
        files, shared = written(trace)
        count = sum(map(len, files.values()))
        bad += [f"{path}: {found_in(raw, but)}" for path, raw in files.items() if found_in(raw, but)]
        bad += shared
        if len(r.stdout) + len(r.stderr) > count:
            bad.append("the trace does not hold all that was written")
        os.unlink(trace)
    new = [f for n in os.listdir(".") if n not in before and n != "trace" for f in files_of(n)]
    new += files_of(".state") if os.path.isdir(".state") else []
    new += ["m.lmodel"] + ["tmp/" + f for f in os.listdir("tmp")]
    bad += [f"file {f}: {found_in(read(f), but)}" for f in new if found_in(read(f), but)]
    if os.listdir("tmp"):
        bad.append(f"left in TMPDIR: {os.listdir('tmp')}")
    told(f"no secret: {name}, {count} bytes written", not bad, *bad)
    return r


def control():
    """All needles, written in two pieces to a file without a name: found in the trace."""
    with open("plain", "wb") as f:
        f.write(b"".join(b"." + form for forms in needles.values() for form in forms))
    hidden = """import os
raw = open("plain", "rb").read()
fd = os.open("tmp", os.O_TMPFILE | os.O_RDWR)
for at in range(0, len(raw), 1001):
    os.write(fd, raw[at:at + 500])
    os.pwrite(fd, raw[at + 500:at + 1001], at + 500)
import mmap
mmap.mmap(fd, 10)
"""
    r = subprocess.run(strace("trace", "-e", f"trace={WRITING},mmap") +
                       [sys.executable, "-c", hidden])
    files, shared = written("trace")
    os.unlink("trace")
    here = [path for path in files if path.startswith(os.path.abspath("tmp"))]
    told("what is written to a file without a name is seen", r.returncode == 0 and len(here) == 1 and
         files[here[0]] == read("plain") and bool(shared), here, len(shared))
    os.unlink("plain")


def forms():
    for name, all_forms in needles.items():
        for form in all_forms:
            if name not in found_in(b"\0" + form + b"\n"):
                return name
    return None


# ---- what others see of the process ----

NUMBERS = {"x86_64": {"pwrite64": "18 ", "read": "0 "}, "aarch64": {"pwrite64": "68 ", "read": "63 "}}


def looked_at(argv, call, seconds=6):
    """A process that sleeps at a call: its command line, environment and memory."""
    p = subprocess.Popen(["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=" + call, "-e",
                          f"inject={call}:delay_enter={int(seconds * 1e6)}:when=1"] + argv,
                         stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                         stderr=subprocess.DEVNULL, env=ENVIRONMENT)
    seen = {"cmdline": b"", "environ": None, "memory": None}
    end = time.monotonic() + 20
    pid = None
    while pid is None and time.monotonic() < end and p.poll() is None:
        for child in read(f"/proc/{p.pid}/task/{p.pid}/children").split():
            try:
                if read(f"/proc/{int(child)}/cmdline").startswith(argv[0].encode() + b"\0"):
                    pid = int(child)
            except OSError:
                pass                # it has ended
    # until it sleeps at the call: it is in there, where that can be seen, and nothing moves for a
    # while (processor time counts in 10 ms)
    number = NUMBERS.get(platform.machine(), {}).get(call, "") if ROOT else ""
    last, still = None, 0
    while pid and still < 10 and time.monotonic() < end:
        try:
            now = read(f"/proc/{pid}/syscall") if ROOT else read(f"/proc/{pid}/stat")
            seen["cmdline"] += read(f"/proc/{pid}/cmdline")
        except (OSError, ProcessLookupError):
            break
        still = still + 1 if now == last and now.startswith(number.encode()) else 0
        last = now
        time.sleep(0.015)
    try:
        seen["environ"] = read(f"/proc/{pid}/environ")
        memory = b""
        with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb") as mem:
            for line in maps:
                m = re.match(r"(\w+)-(\w+) rw", line)
                if m and int(m[2], 16) - int(m[1], 16) < 1 << 27:
                    mem.seek(int(m[1], 16))
                    try:
                        memory += mem.read(int(m[2], 16) - int(m[1], 16))
                    except OSError:
                        pass
        seen["memory"] = memory
    except OSError as e:
        seen["denied"] = str(e)
    p.wait()
    return seen, p.returncode


def process():
    argv = [LMODEL, "grant", "-q", "-i", "owner.key", "--tier", "s", "-r",
            read("bob.pub").decode().strip(), "work/m.lmodel"]
    with open("work/m.lmodel", "wb") as f:
        f.write(read("m.lmodel"))
    seen, status = looked_at(argv, "pwrite64")
    told("grant, while it writes: its command line is what was given and holds no secret",
         status == 0 and "\0".join(argv).encode() + b"\0" in seen["cmdline"] and
         not found_in(seen["cmdline"]), status, found_in(seen["cmdline"]))
    if ROOT:
        wanted = b"".join(f"{k}={v}".encode() + b"\0" for k, v in ENVIRONMENT.items())
        told("its environment is what was given", seen["environ"] == wanted,
             f"{len(seen['environ'] or b'')} bytes, {len(wanted)} given")
        inside = found_in(seen["memory"] or b"")
        told("its memory does hold keys then, so the moment is the right one",
             any("key" in name for name in inside), f"in memory: {inside}")
    else:
        told("others of the same user may not look into it", "denied" in seen, seen.get("denied"))
    # the same looks find a secret that is there
    identity = needles["owner's identity"][0].decode()
    cat = os.path.realpath("/bin/cat")
    ENVIRONMENT["CONTROL"] = needles["bob's identity"][0].decode()
    seen, _ = looked_at([cat, "--", "/dev/null", identity], "read")
    del ENVIRONMENT["CONTROL"]
    told("a secret on a command line or in an environment would be seen",
         found_in(seen["cmdline"]) == ["owner's identity"] and
         "bob's identity" in found_in(seen["environ"] or b""))


# ---- cores ----

def aborted(argv, call):
    """Killed by SIGABRT at a call, with room for a core: what the kernel did."""
    def prepare():
        hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
        resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
    subprocess.run(["strace", "-f", "-o", "../trace", "-e", f"trace={call},prctl,openat", "-e",
                    f"inject={call}:signal=SIGABRT:when=1"] + argv, cwd="work", env=ENVIRONMENT,
                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                   preexec_fn=prepare)
    text = read("trace").decode(errors="replace")
    os.unlink("trace")
    cores = [f for f in os.listdir("work") if f.startswith("core")]
    for f in cores:
        os.unlink("work/" + f)
    return "killed by SIGABRT" in text, "(core dumped)" in text, cores, text


def core():
    died, dumped, cores, _ = aborted([os.path.realpath("/bin/cat"), "/dev/null"], "read")
    print(f"# of another program: core dumped {dumped}, files {cores}, core_pattern "
          f"{read('/proc/sys/kernel/core_pattern').decode().strip()}")
    if not dumped:
        print("# no core can be made here: what remains is that the process asks for none")
    told("the signal arrives", died, "no death")
    # Each works on a copy of before.
    owner = ["--allow-rollback", "-i", os.path.abspath("owner.key")]
    for name, args, call in (
            ("grant", ["grant", "-q", *owner, "--tier", "s", "-r",
                       read("bob.pub").decode().strip(), "m.lmodel"], "pwrite64"),
            ("extract", ["extract", "-q", "-f", *owner, "-o", "x", "m.lmodel"], "pwrite64"),
            ("pack", ["pack", "-q", "-f", "-j1", "--select", "random", "--tier", "s=2%", "--owner",
                      read("owner.pub").decode().strip(), "-o", "n.lmodel", "../m.safetensors"],
             "pwrite64"),
            ("keygen", ["keygen", "-q", "-o", "made.key"], "write"),
            ("inspect", ["inspect", *owner, "m.lmodel"], "write")):
        with open("work/m.lmodel", "wb") as f:
            f.write(read("m.lmodel"))
        died, dumped, cores, text = aborted([LMODEL, *args], call)
        told(f"{name}, aborted: no core", died and not dumped and not cores, died, dumped, cores)
        asked = text.find("prctl(PR_SET_DUMPABLE, SUID_DUMP_DISABLE) = 0")
        opened = text.find("owner.key\"") if owner in args and ROOT else len(text)
        told(f"{name}: undumpable before it opens a key file", 0 <= asked < opened, asked, opened)


# ---- all of it ----

def main():
    pub = {who: read(who + ".pub").decode().strip() for who in ("owner", "alice", "auditor", "bob")}
    if not TRACED:
        print("# without root and strace: what is printed and left alone is looked at")
    collect()
    print(f"# {len(needles)} secrets: {', '.join(needles)}")
    told("the keys of both tiers, of the audit and of the owner are known",
         {"m.lmodel: " + name for name in (
             "owner's own owner-key", "owner's own owner-seed", "alice's s key", "alice's g key",
             "auditor's s poskey")} <= set(needles))
    told("each of their forms would be found", forms() is None, forms())
    told("a key file has its own", found_in(read("owner.key")) == ["an identity", "owner's identity"])
    if TRACED:
        control()
    phrase = ["--passphrase-file", "phrase"]
    run("pack", ["pack", "-v", "--json", "--progress", "json", "-f", "--select", "random", "--tier",
                 "s=2%", "--tier", "g=5%", "--owner", pub["owner"], "-r", pub["alice"] + "=g",
                 "--audit", pub["auditor"], "--passphrase", "s", *phrase, "--attach", "sealed@g",
                 "-o", "n.lmodel", "m.safetensors"], made="n.lmodel")
    grant = ["grant", "-v", "--json", "-i", "owner.key"]
    run("grant", [*grant, "--tier", "g", "-r", pub["bob"], "--label", "bob", "m.lmodel"])
    run("revoke", ["revoke", "-v", "-i", "owner.key", "--label", "bob", "m.lmodel"])
    run("grant by passphrase", [*grant, "--tier", "s", "--passphrase", *phrase, "m.lmodel"],
        made="m.lmodel")
    told("the identities of passphrases are known",
         {"n.lmodel: identity of a passphrase", "m.lmodel: identity of a passphrase"} <= set(needles))
    run("grant of a second owner", [*grant, "--owner", "-r", pub["bob"], "m.lmodel"])
    run("detached grant", [*grant, "--tier", "s", "-r", pub["bob"], "--detached", "bob.lkey",
                           "m.lmodel"])
    for who in ("owner", "alice", "auditor"):
        for json in ([], ["--json"]):
            run(f"inspect for {who} {json}", ["inspect", "-v", *json, "-i", who + ".key", "m.lmodel"])
    run("verify", ["verify", "-v", "--json", "--progress", "json", "-i", "owner.key", "m.lmodel"])
    run("extract", ["extract", "-v", "--json", "--progress", "json", "-i", "alice.key", "-o", "x",
                    "m.lmodel"])
    run("extract by passphrase", ["extract", "-v", "-f", *phrase, "-o", "x", "m.lmodel"])
    run("extract of a stream", ["extract", "-v", "-i", "alice.key", "-o", "-", "m.lmodel"])
    r = run("cat of a side file", ["cat", "-i", "alice.key", "m.lmodel", "sealed"],
            but=("a side file of a tier",))
    told("which is what it gives", r.stdout == read("sealed"))
    run("strip", ["strip", "-v", "--tier", "s", "-o", "strip.lmodel", "m.lmodel"])
    # where it fails
    run("a key that opens nothing", ["extract", "-v", "-f", "-i", "stranger.key", "-o", "x",
                                     "n.lmodel"], status=3)
    with open("broken.key", "wb") as f:
        f.write(read("owner.key").replace(b"AGE-SECRET-KEY-1Q", b"AGE-SECRET-KEY-1P").rstrip()[:-1])
    r = run("a key file that is broken", ["extract", "-v", "-f", "-i", "broken.key", "-o", "x",
                                          "m.lmodel"], status=4, but=())
    print(f"# {r.stderr.decode().strip()}")
    # a key on the command line is refused without being repeated
    for args in (["grant", "-i", "owner.key", "--tier", "s", "-r", None, "m.lmodel"],
                 ["revoke", "-i", "owner.key", "-r", None, "m.lmodel"],
                 ["extract", "-f", "-i", None, "-o", "x", "m.lmodel"]):
        line = re.search(r"AGE-SECRET-KEY-1\w+", read("owner.key").decode())[0]
        r = subprocess.run([LMODEL] + [line if a is None else a for a in args], env=ENVIRONMENT,
                           stdin=subprocess.DEVNULL, capture_output=True)
        there = found_in(r.stdout + r.stderr, ("an identity",))
        told(f"{args[0]} does not repeat a key that it was given for something else",
             r.returncode != 0 and not there, r.stderr.decode()[:80] if not there else there)
    r = run("keygen -o tells the recipient alone", ["keygen", "-v", "-o", "made.key"],
            but=("an identity",))
    told("which it does", b"age1" in r.stderr and b"SECRET" not in r.stdout + r.stderr)
    if STRACE:
        process()
        core()
    # the last ones: what they leave behind is newer than m.lmodel
    run("rekey", ["rekey", "-v", "-i", "owner.key", "--tier", "s", "m.lmodel"])
    run("repack", ["repack", "-v", "m.lmodel"])


main()
