"""What the examples share: options, a table on the terminal, a picture, and a JSON document."""

import argparse
import json
import os
import platform
import resource
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "python"))
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
_MARKERS = "osD^vPX"


def options(description: str) -> argparse.ArgumentParser:
    """A parser with what every example takes: --small, --data, --out, --seed."""
    parser = argparse.ArgumentParser(description=description,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true",
                        help="fewer steps and images: minutes, and rough figures")
    parser.add_argument("--data", metavar="DIR",
                        help="folder with data/ and models/ (default: $LMODEL_DATA, then "
                             "../shared/data beside the repository)")
    parser.add_argument("--out", metavar="DIR", default=str(ROOT / "examples" / "results"),
                        help="where results are written (default: examples/results)")
    parser.add_argument("--seed", type=int, default=0, metavar="N",
                        help="of all random choices (default: 0)")
    return parser


def program() -> Path:
    """The `lmodel` to run: $LMODEL, else the one that was built, else the one in PATH."""
    import shutil

    given = os.environ.get("LMODEL")
    built = [ROOT / "build" / "bin" / "lmodel", ROOT / "bin" / "lmodel"]
    for path in ([Path(given)] if given else []) + built:
        if os.access(path, os.X_OK):
            return path
    found = shutil.which("lmodel")
    if found is None:
        sys.exit("lmodel is not built: run make in build/, or set LMODEL to the program")
    return Path(found)


class Report:
    """Figures of one run. Times it, prints tables, writes NAME.json and NAME.png to `--out`."""

    def __init__(self, name: str, arguments: argparse.Namespace):
        """Starts the clock. `arguments` are those of options()."""
        self.name = name
        self.folder = Path(arguments.out)
        self.small = arguments.small
        self._start = time.monotonic()
        self.document = {"name": name, "command": _command(), "small": arguments.small,
                         "seed": arguments.seed, "versions": _versions()}
        if arguments.data:
            os.environ["LMODEL_DATA"] = arguments.data

    def put(self, **figures) -> None:
        """Adds figures to the JSON document."""
        self.document.update(figures)

    def table(self, key: str, title: str, columns: Sequence[str],
              rows: Sequence[Sequence]) -> None:
        """Prints a table and keeps it in the document; None prints as a dash."""
        self.document[key] = {"title": title, "columns": list(columns),
                              "rows": [list(row) for row in rows]}
        cells = [list(columns)] + [[_cell(value) for value in row] for row in rows]
        widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
        print(f"\n{title}\n")
        for i, row in enumerate(cells):
            print("  " + "  ".join(text.ljust(width) if j == 0 else text.rjust(width)
                                   for j, (text, width) in enumerate(zip(row, widths))))
            if i == 0:
                print("  " + "  ".join("-" * width for width in widths))
        print(flush=True)

    def note(self, text: str) -> None:
        """Prints a line, at once, with the seconds so far."""
        print(f"[{time.monotonic() - self._start:6.1f} s] {text}", flush=True)

    def lines(self, panels: Sequence[dict], columns: int = 2,
              finish: Callable | None = None) -> None:
        """Draws NAME.png. A panel: {"title", "x", "y": labels, "lines": {label: (xs, ys)},
        "levels": {label: y}, "ticks": [x...] or {x: label}, "log": bool, "ylim": (low, high)}.
        `finish(figure, axes)` may add to it."""
        import matplotlib
        matplotlib.use("Agg")
        from matplotlib import pyplot

        columns = min(columns, len(panels))
        height = -(-len(panels) // columns)
        figure, axes = pyplot.subplots(height, columns, squeeze=False,
                                       figsize=(5.4 * columns, 3.9 * height))
        for panel, axis in zip(panels, axes.flat):
            _panel(axis, panel)
        for axis in list(axes.flat)[len(panels):]:
            axis.axis("off")
        if finish is not None:
            finish(figure, axes)
        figure.tight_layout()
        self.folder.mkdir(parents=True, exist_ok=True)
        figure.savefig(self.folder / f"{self.name}.png", dpi=110,
                       metadata={"Software": None})
        pyplot.close(figure)

    def write(self) -> None:
        """Writes NAME.json, with the seconds the run took and its memory, and says where."""
        self.document["seconds"] = round(time.monotonic() - self._start, 1)
        self.document["memory_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{self.name}.json"
        path.write_text(json.dumps(_rounded(self.document), indent=1) + "\n")
        print(f"{path}: {self.document['seconds']} s")


def _command() -> str:
    return " ".join([f"examples/{Path(sys.argv[0]).name}", *sys.argv[1:]])


def _versions() -> dict[str, str]:
    import numpy
    import torch

    return {"python": platform.python_version(), "torch": torch.__version__,
            "numpy": numpy.__version__, "machine": platform.machine()}


def _cell(value) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def _rounded(value):
    """Floats to six digits, so that files stay readable."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {str(key): _rounded(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(part) for part in value]
    return value


def _panel(axis, panel: dict) -> None:
    for i, (label, (xs, ys)) in enumerate(panel["lines"].items()):
        axis.plot(xs, ys, marker=_MARKERS[i % len(_MARKERS)], markersize=4.5, linewidth=1.6,
                  color=_COLOURS[i % len(_COLOURS)], label=label)
    for label, y in panel.get("levels", {}).items():
        axis.axhline(y, color="#777777", linewidth=1, linestyle="--")
        axis.annotate(label, (1, y), xycoords=("axes fraction", "data"), xytext=(-3, 3),
                      textcoords="offset points", fontsize=7.5, color="#555555", ha="right")
    if panel.get("log"):
        axis.set_xscale("log")
    ticks = panel.get("ticks")
    if ticks is not None:
        axis.set_xticks(list(ticks), minor=False)
        axis.set_xticks([], minor=True)
        labels = ticks.values() if isinstance(ticks, dict) else [f"{tick:g}" for tick in ticks]
        axis.set_xticklabels(list(labels))
    if "ylim" in panel:
        axis.set_ylim(*panel["ylim"])
    axis.set_title(panel["title"], fontsize=10)
    axis.set_xlabel(panel["x"], fontsize=9)
    axis.set_ylabel(panel["y"], fontsize=9)
    axis.tick_params(labelsize=8)
    axis.grid(alpha=0.25)
    if len(panel["lines"]) > 1:
        axis.legend(fontsize=8)
