"""What the figures were measured on and with."""
from __future__ import annotations

import os
import platform
import re
import subprocess
from pathlib import Path

from .context import Bench


def _first_line(*words: str | Path) -> str:
    try:
        done = subprocess.run([str(w) for w in words], capture_output=True, text=True, check=False)
    except OSError:
        return "not here"
    return (done.stdout or done.stderr).strip().splitlines()[0] if done.stdout or done.stderr else ""


def _field(path: str, pattern: str) -> str:
    try:
        found = re.search(pattern, Path(path).read_text(encoding="utf-8"), re.M)
    except OSError:
        return ""
    return found.group(1).strip() if found else ""


def _kind_of(folder: Path) -> str:
    done = subprocess.run(["stat", "-f", "-c", "%T", folder], capture_output=True, text=True,
                          check=False)
    return done.stdout.strip() or "unknown"


def describe(bench: Bench) -> dict[str, str]:
    """Name and value, for readers."""
    flags = _field("/proc/cpuinfo", r"^flags\s*: (.*)$").split()
    simd = [f for f in ("avx2", "avx512f", "avx512_vbmi", "sha_ni", "aes", "vaes", "asimd")
            if f in flags]
    make = (bench.options.build / "Makefile").read_text(encoding="utf-8")
    cc = re.search(r"^CC = (.*)$", make, re.M)
    cflags = re.search(r"^CFLAGS = (.*)$", make, re.M)
    compiler = cc.group(1).split()[-1] if cc else "cc"
    load = os.getloadavg()
    return {
        "processor": f"{_field('/proc/cpuinfo', r'^model name.*: (.*)$')}, "
                     f"{len(os.sched_getaffinity(0))} of them; {' '.join(simd)}",
        "memory": f"{int(_field('/proc/meminfo', r'^MemTotal: *([0-9]+)') or 0) / 1e6:.0f} GB",
        "system": f"{_field('/etc/os-release', 'PRETTY_NAME=.(.*).$')}, Linux "
                  f"{platform.release()}",
        "folders": f"memory: {_kind_of(bench.options.memory)}, disk: "
                   f"{_kind_of(bench.options.disk)}",
        "load when it ended": f"{load[0]:.2f} {load[1]:.2f} {load[2]:.2f}",
        "lmodel": f"{bench.run('--version').splitlines()[0]}; "
                  f"{_first_line(compiler, '--version')}, {cflags.group(1) if cflags else ''}",
        "zstd": _first_line("zstd", "--version").strip("* "),
        "age": _first_line("age", "--version"),
        "bsdtar": _first_line("bsdtar", "--version"),
    }
