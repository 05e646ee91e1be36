"""What the tests of crashes and failing calls share: running lmodel with faults, checks, rounds.

The test's own program is called with LMODEL and STRACE(0|1).
"""
import hashlib
import itertools
import os
import resource
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

LMODEL, STRACE = sys.argv[1], sys.argv[2] == "1"
KILLED = -signal.SIGKILL
top = os.getcwd()


def read(path):
    with open(path, "rb") as f:
        return f.read()


def write(path, raw):
    with open(path, "wb") as f:
        f.write(raw)


def digest(path):
    return hashlib.sha256(read(path)).hexdigest()


# ---- running ----

def lmodel(*args, cwd=None, inject=None, limit=None, xfsz=signal.SIG_DFL, memory=None):
    """With a fault, as strace injects it, or a limit on the size of files. Nothing is remembered of
    archives but in `memory`, a directory: tests go back to older states of the same archive."""
    argv = [LMODEL, *args]
    env = {k: v for k, v in os.environ.items() if k not in ("HOME", "XDG_STATE_HOME")}
    if memory:
        env["XDG_STATE_HOME"] = memory
    if inject:
        # strace stops at the injected call alone where it can: not where it sends a signal
        stops = [] if ":signal=" in inject else ["--seccomp-bpf"]
        argv = ["strace", "-f", *stops, "-qq", "-o", "/dev/null", "-e",
                "trace=" + inject.split(":")[0], "-e", "inject=" + inject] + argv

    def prepare():
        signal.signal(signal.SIGXFSZ, xfsz)
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    return subprocess.run(argv, cwd=cwd, env=env, stdin=subprocess.DEVNULL, capture_output=True,
                          preexec_fn=prepare if limit is not None else None)


# ---- telling ----

class Problems(list):
    def of(self, wrong, what):
        if wrong:
            self.append(what)
        return not wrong


def told(name, good, *remarks):
    for r in remarks:
        print("#", str(r).replace("\n", " / "))
    print(0 if good else 1, name, flush=True)


pool = ThreadPoolExecutor(4) # syncs take more time than work does
numbers = itertools.count()


def rounds(name, least, cases):
    """Runs each case, a function of its directory that returns problems or None: not counted."""
    def one(case):
        where = f"{top}/round{next(numbers)}"
        os.mkdir(where)
        try:
            return case[0], case[1](where)
        finally:
            shutil.rmtree(where)
    results = [r for r in pool.map(one, cases) if r[1] is not None]
    wrong = [f"{what}: {p}" for what, problems in results for p in problems]
    told(f"{name}: {len(results)} rounds", not wrong, *wrong[:20])
    told(f"{name}: at least {least} of them took place", len(results) >= least)
