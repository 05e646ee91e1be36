"""What every part of a run has: options, places, programs, models, and what was found."""
from __future__ import annotations

import dataclasses
import os
import subprocess
from pathlib import Path
from typing import Any

from . import data, measure, peers, reasons

TOP = Path(__file__).resolve().parents[2]
GB = 1e9
MB = 1e6


@dataclasses.dataclass
class Options:
    """What was asked for. Sizes in bytes."""
    build: Path
    size: int
    huge: int
    rounds: int
    quick: bool
    peers: Path | None
    models: Path | None
    memory: Path
    disk: Path


@dataclasses.dataclass
class Goal:
    """One line to be ahead of: `got` against `wanted`, both as a reader sees them."""
    what: str
    got: str
    wanted: str
    met: bool
    peer: str = ""
    why: str = ""


@dataclasses.dataclass
class Table:
    """Rows of text under columns."""
    title: str
    columns: list[str]
    rows: list[list[str]]
    note: str = ""


class Bench:
    """One run."""

    def __init__(self, options: Options):
        self.options = options
        self.goals: list[Goal] = []
        self.tables: list[Table] = []
        self.records: dict[str, Any] = {}
        self._models: dict[tuple[str, int, Path, int | None], Path] = {}
        self._codecs: list[peers.Peer] | None = None
        self.tools = Path(options.build) / "bench"
        self.clock = measure.Clock(self.tools / "timed", self.place("work"))
        self.env = {"XDG_STATE_HOME": str(self.place("state")), "LC_ALL": "C.UTF-8"}
        self.lmodel = options.build / "bin/lmodel"
        real = options.build / "bin/.libs/lmodel"
        if real.exists():  # libtool's wrapper is a script: not what is to be measured
            self.lmodel = real
            self.library = options.build / "libfmt/.libs/liblmodel.so"
            self.env["LD_LIBRARY_PATH"] = str(self.library.parent)
        self.work = self.place("work")
        self.processors = len(os.sched_getaffinity(0))

    def place(self, name: str, disk: bool = False) -> Path:
        """A folder of this run, in memory or on the disk."""
        path = (self.options.disk if disk else self.options.memory) / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def places(self) -> list[tuple[str, Path]]:
        """Where files are measured: name, folder."""
        return [("memory", self.place("work")), ("disk", self.place("work", disk=True))]

    def model(self, kind: str, size: int | None = None, folder: Path | None = None,
              side: int | None = None) -> Path:
        """A model of a kind of data.KINDS, made when first asked for; `side` as in data.layers()."""
        size = self.options.size if size is None else size
        folder = folder or self.place("models")
        key = (kind, size, folder, side)
        if key not in self._models:
            name = f"{kind}-{size // 1_000_000}" + (f"-{side}" if side else "")
            path = folder / f"{name}.safetensors"
            self.say(f"making {path.name}")
            data.model(path, kind, size, side)
            self._models[key] = path
        return self._models[key]

    def forget_models(self) -> None:
        """Removes the models that were made: room for other sizes."""
        for path in self._models.values():
            measure.remove(path)
        self._models.clear()

    def real_models(self) -> list[Path]:
        """Trained models by others, as far as they are here, and GNU Backgammon's networks."""
        found: list[Path] = []
        if self.options.models is not None:
            wanted = ["esrgan_thick_x4.f32.safetensors", "dncnn_25_kair.safetensors",
                      "dncnn_25_kair.bf16.safetensors", "resnet20-12fca82f.safetensors",
                      "vgg_gtsrb.safetensors", "silero_vad_16k.safetensors",
                      "stories260K.bf16.safetensors", "stories260K.f16.gguf",
                      "realesrgan_quants.gguf"]
            found = [p for p in (self.options.models / "models" / n for n in wanted) if p.exists()]
        weights = Path("/usr/lib/gnubg/gnubg.wd")
        if weights.exists():
            path = self.place("models") / "gnubg.safetensors"
            subprocess.run(["/usr/bin/python3", TOP / "examples/gnubg-to-safetensors.py", weights,
                            path], check=True, capture_output=True)
            found.append(path)
        return found

    def codecs(self) -> list[peers.Peer]:
        """The tools that make a file smaller, or copy it; peers from source are built once."""
        if self._codecs is None:
            folder = self.options.build / "bench-peers"
            folder.mkdir(exist_ok=True)
            if self.options.peers is not None:
                self.say("building peers")
            self._codecs = peers.compressors(self.options.peers, folder, "gcc")
        return self._codecs

    # ---- lmodel ----

    def run(self, *words: str | Path) -> str:
        """Runs lmodel, not measured; its output."""
        done = subprocess.run([str(self.lmodel), *map(str, words)], capture_output=True, text=True,
                              env={**os.environ, **self.env}, check=False)
        if done.returncode != 0:
            raise measure.Failed(f"lmodel {words[0]}: {done.stderr.strip()[-2000:]}")
        return done.stdout

    def job(self, name: str, *words: str | Path, **more: Any) -> measure.Job:
        """A job of lmodel; `more` as in measure.Job."""
        return measure.Job(name, [[self.lmodel, *words]], env=self.env, **more)

    def key(self, name: str) -> tuple[Path, str]:
        """An age identity: its file and its recipient."""
        path = self.place("keys") / f"{name}.key"
        if not path.exists():
            self.run("keygen", "-q", "-o", path)
        return path, self.run("keygen", "-y", path).strip()

    # ---- results ----

    def say(self, text: str) -> None:
        """Tells how far the run is."""
        print(f"bench: {text}", flush=True)

    def goal(self, what: str, got: str, wanted: str, met: bool, peer: str = "",
             why: str = "") -> None:
        """Adds a line to the table of goals. `why` explains, above all a goal that is missed."""
        if not met and not why:
            why = reasons.of(what)
        self.goals.append(Goal(what, got, wanted, met, peer, why))
        answer = "" if self.options.quick else "ok    " if met else "MISS  "
        self.say(f"  {answer}{what}: {got} (wanted: {wanted})")

    def table(self, title: str, columns: list[str], rows: list[list[str]], note: str = "") -> None:
        """Adds a table to the report."""
        self.tables.append(Table(title, columns, rows, note))

    def record(self, part: str, **fields: Any) -> None:
        """Adds a line to the JSON."""
        self.records.setdefault(part, []).append(fields)


def samples(found: list[measure.Sample]) -> dict[str, Any]:
    """Samples as they stand in the JSON."""
    return {"wall": [round(s.wall, 6) for s in found], "cpu": [round(s.cpu, 6) for s in found],
            "peak": max(s.peak for s in found)}
