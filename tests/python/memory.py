"""What loading takes: the model once, whatever its dtype and protection, and nothing without.

    memory.py               # all, each load in a process of its own
    memory.py PATH KEY...   # loads, prints how many MB the peak rose
"""

import os
import subprocess
import sys

import numpy as np

import lmodel
from lib.pytap import done, note, ok

MB = 1 << 20


def peak():
    """In MB. Not getrusage(): what that says begins with what the parent had."""
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM:")) / 1024


if len(sys.argv) > 1:
    path, *keys = sys.argv[1:]
    with lmodel.open(path, keys, base=not keys) as archive:
        archive.get_slice(archive.keys()[0])[:1]  # what is there whatever is read
        start = peak()
        weights = archive.load(jobs=2)
        if sum(a.nbytes for a in weights.values()) < 64 * MB:
            sys.exit("not the model")
        print(peak() - start)
    sys.exit()


def model(dtype, elements):
    rng = np.random.default_rng(3)
    return {f"layer{i}": rng.integers(0, 2**15, (64, elements // 512), "u2").view(dtype)
            if dtype == "u2" else rng.normal(size=(64, elements // 512)).astype(dtype)
            for i in range(8)}


owner = lmodel.keygen("owner.key")
lmodel.save("f32.lmodel", model("f4", 16 * MB), jobs=2)
lmodel.save("bf16.lmodel", (bits := model("u2", 16 * MB)), dtypes=dict.fromkeys(bits, "BF16"),
            jobs=2)
del bits
lmodel.save("keyed.lmodel", model("f4", 16 * MB), tiers={"a": .1}, owner=owner, jobs=2)
for path, keys in (("f32.lmodel", []), ("bf16.lmodel", []), ("keyed.lmodel", ["owner.key"])):
    run = subprocess.run([sys.executable, __file__, path, *keys], capture_output=True, text=True,
                         check=False)
    if run.returncode:
        ok(False, f"{path} loads")
        note(run.stderr)
        continue
    rose = float(run.stdout)
    note(f"{path}: 64 MB of weights, {rose:.1f} MB")
    if "LMODEL_SANITIZED" in os.environ:
        ok(rose > 0, f"{path}: loads; a sanitizer's memory is not measured")
    else:
        ok(60 < rose < 64 + 24, f"{path}: the peak rises by the model and less than 24 MB")
done()
