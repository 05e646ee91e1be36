"""Test Anything Protocol for tests in Python, beside tests/lib/tap.sh.

    from lib.pytap import done, equal, ok, raises

    ok(x > 1, "x is large")
    raises(lmodel.NoKeyError, lambda: lmodel.load("m.lmodel"), "needs a key", "no key")
    done()

Run from an empty directory, which tap.sh removes afterwards. `lmodel` is on the PATH.
"""

import os
import subprocess
import sys
import traceback
import warnings

import numpy as np

_count = _failed = 0


def ok(passed, name):
    """A test; gives whether it passed."""
    global _count, _failed
    _count += 1
    _failed += not passed
    print(f"{'ok' if passed else 'not ok'} {_count} - {name}", flush=True)
    return bool(passed)


def note(text):
    """A line for who reads the log."""
    for line in str(text).splitlines():
        print("#   " + line, flush=True)


def equal(got, wanted, name):
    """Equal values."""
    if not ok(got == wanted, name):
        note(f"got:    {got!r}\nwanted: {wanted!r}")


def same(got, wanted, name):
    """Equal arrays: type, shape and every bit."""
    got, wanted = np.asarray(got), np.asarray(wanted)
    if not ok(got.dtype == wanted.dtype and got.shape == wanted.shape and
              got.tobytes() == wanted.tobytes(), name):
        note(f"{got.dtype} {got.shape}, wanted {wanted.dtype} {wanted.shape}")


def raises(kind, what, part, name):
    """what() raises exactly `kind`, with `part` in its message; gives the exception."""
    try:
        what()
    except Exception as e:  # whatever it is, it is looked at
        if not ok(type(e) is kind and part in str(e), name):
            note(traceback.format_exc())
        return e
    ok(False, f"{name}: raises nothing")
    return None


def warned(what, *kinds):
    """(what(), messages of the warnings of these kinds)."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = what()
    return result, [w for w in caught if issubclass(w.category, kinds)]


def lmodel(*arguments, status=0, **keywords):
    """Runs the program; gives its standard output, or fails the test."""
    env = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD"}
    done_ = subprocess.run(["lmodel", *map(str, arguments)], env=env, capture_output=True,
                           check=False, **keywords)
    if done_.returncode != status:
        ok(False, f"lmodel {' '.join(map(str, arguments))} exits {status}")
        note(f"{done_.returncode}: {done_.stderr.decode()}")
    return done_.stdout.decode()


def tool(name, *arguments):
    """Runs a tool of tests/lib, e.g. tool("mkmodel.py", "m.safetensors", "w:F32:2x3")."""
    env = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD"}
    path = os.path.join(os.environ["srcdir"], "tests/lib", name)
    subprocess.run([sys.executable, path, *map(str, arguments)], env=env, check=True)


def done():
    """At the end."""
    print(f"1..{_count}")
    sys.exit(_failed != 0)
