"""Runs commands, and says what each cost: wall and processor seconds, peak resident memory.

Commands that are compared take turns, A B C A B C, so that a machine that gets slower or faster
does so for all of them; ratios are medians over the rounds, each of neighbours in time.
"""
from __future__ import annotations

import dataclasses
import json
import os
import statistics
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path


class Failed(Exception):
    """A command failed, or its result is not what it has to be."""


@dataclasses.dataclass
class Sample:
    """One run. Seconds, and bytes of resident memory (of a pipe: the sum of the peaks)."""
    wall: float
    user: float
    system: float
    peak: int

    @property
    def cpu(self) -> float:
        """Seconds of processor time."""
        return self.user + self.system


@dataclasses.dataclass
class Job:
    """Something to measure: one command, or several that are joined by pipes.

    before: run before each measurement, not measured. outputs: removed before each one. sync:
    these outputs have to be on the disk before the clock stops. check: run once, after the first
    run; raises Failed when the result is wrong.
    """
    name: str
    commands: Sequence[Sequence[str | Path]]
    stdin: Path | None = None
    stdout: Path | None = None
    outputs: Sequence[Path] = ()
    sync: bool = False
    env: dict[str, str] | None = None
    before: Callable[[], None] | None = None
    check: Callable[[], None] | None = None


def remove(path: Path) -> None:
    """Removes a file or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        for child in path.iterdir():
            remove(child)
        path.rmdir()
    else:
        path.unlink(missing_ok=True)


class Clock:
    """Measures by the program `timed`, which is small: see there why."""

    def __init__(self, timed: Path, scratch: Path):
        self.timed = timed
        self.result = scratch / "timed.json"

    def once(self, job: Job) -> Sample:
        """One run of a job."""
        for path in job.outputs:
            remove(path)
        if job.before is not None:
            job.before()
        argv: list[str] = [str(self.timed)]
        if job.stdin is not None:
            argv += ["-i", str(job.stdin)]
        argv += ["-o", str(job.stdout if job.stdout is not None else os.devnull)]
        if job.sync:
            for path in job.outputs:
                argv += ["-s", str(path)]
        argv.append(str(self.result))
        for number, command in enumerate(job.commands):
            argv += ([":::"] if number > 0 else []) + [str(word) for word in command]
        done = subprocess.run(argv, env={**os.environ, **(job.env or {})}, capture_output=True,
                              text=True, check=False)
        told = done.stderr.strip()[-2000:]
        if done.returncode != 0:
            raise Failed(f"{job.name}: {told}")
        result = json.loads(self.result.read_text())
        steps = result["commands"]
        if any(step["status"] != 0 for step in steps):
            raise Failed(f"{job.name}: exit status {[s['status'] for s in steps]}: {told}")
        return Sample(result["wall"], sum(s["user"] for s in steps),
                      sum(s["system"] for s in steps), sum(s["peak"] for s in steps))

    def compare(self, jobs: Sequence[Job], rounds: int) -> dict[str, list[Sample]]:
        """Runs all jobs in turn, `rounds` times."""
        samples: dict[str, list[Sample]] = {job.name: [] for job in jobs}
        for number in range(rounds):
            for job in jobs:
                samples[job.name].append(self.once(job))
                if number == 0 and job.check is not None:
                    job.check()
        return samples


def median(samples: Sequence[Sample], field: str = "wall") -> float:
    """The median of one field of the samples."""
    return float(statistics.median(getattr(s, field) for s in samples))


def ratio(a: Sequence[Sample], b: Sequence[Sample], field: str = "wall") -> float:
    """How many times longer a took than b: the median over the rounds."""
    return float(statistics.median(getattr(x, field) / max(getattr(y, field), 1e-9)
                                   for x, y in zip(a, b)))


def forget(*paths: Path) -> None:
    """Drops files from the page cache, as far as an ordinary user may: what is written first
    goes to the disk. Files in memory (tmpfs) stay where they are."""
    for path in paths:
        fd = os.open(path, os.O_RDONLY)
        try:
            os.fdatasync(fd)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(fd)


def resident_share(path: Path) -> float | None:
    """The share of a file that is in the page cache; None when nobody here can tell."""
    if path.stat().st_size == 0:
        return 0.0
    try:
        done = subprocess.run(["fincore", "-b", "-n", "-r", "-o", "RES", path],
                              capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return int(done.stdout.split()[0]) / path.stat().st_size


def same(a: Path, b: Path, piece: int = 1 << 22) -> bool:
    """Whether two files have equal bytes."""
    if a.stat().st_size != b.stat().st_size:
        return False
    with a.open("rb") as x, b.open("rb") as y:
        while True:
            left, right = x.read(piece), y.read(piece)
            if left != right:
                return False
            if not left:
                return True


def must_equal(name: str, got: Path, wanted: Path) -> Callable[[], None]:
    """A check for a Job."""
    def check() -> None:
        if not same(got, wanted):
            raise Failed(f"{name}: {got} is not the same as {wanted}")
    return check
