"""The picture: size and speed of all tools."""
from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

OWN, OTHER = "#1b6ca8", "#b8bec4"


def _bars(axes: Any, values: dict[str, float], title: str, unit: str) -> None:
    """Horizontal bars, best first; lmodel's in colour."""
    names = list(values)
    places = range(len(names))
    axes.barh(places, [values[n] for n in names],
              color=[OWN if n.startswith("lmodel") else OTHER for n in names])
    axes.set_yticks(places, names, fontsize=8)
    axes.invert_yaxis()
    for place, name in zip(places, names):
        axes.text(values[name], place, f" {values[name]:.3g}", va="center", fontsize=8)
    axes.set_title(title, fontsize=10, loc="left")
    axes.set_xlabel(unit, fontsize=8)
    axes.tick_params(axis="x", labelsize=8)
    axes.margins(x=0.18)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _speeds(records: list[dict[str, Any]], work: str, kind: str) -> dict[str, float]:
    found = {r["tool"]: r["raw"] / 1e9 / statistics.median(r["wall"]) for r in records
             if r["work"] == work and r["model"] == kind and r["place"] == "memory"}
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def _sizes(records: list[dict[str, Any]], kind: str) -> dict[str, float]:
    found = {r["tool"]: r["stored"] / r["raw"] for r in records
             if r["work"] == "pack" and r["model"] == kind and r["place"] == "memory"}
    return dict(sorted(found.items(), key=lambda item: item[1]))


def draw(records: dict[str, Any], out: Path) -> None:
    """Writes results.svg and results.png, when speed was measured."""
    if "speed" not in records:
        return
    import matplotlib  # not needed to measure
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    matplotlib.rcParams["svg.hashsalt"] = "lmodel"
    speed = records["speed"]
    figure, axes = plt.subplots(2, 3, figsize=(13, 6.2), constrained_layout=True)
    for row, kind in enumerate(("bf16", "fp32")):
        _bars(axes[row][0], _sizes(speed, kind), f"{kind}: size", "share of raw (less is better)")
        _bars(axes[row][1], _speeds(speed, "pack", kind), f"{kind}: packing",
              "GB of model a second")
        _bars(axes[row][2], _speeds(speed, "unpack", kind), f"{kind}: unpacking (lmodel verifies)",
              "GB of model a second")
    figure.savefig(out / "results.svg", metadata={"Date": None})
    figure.savefig(out / "results.png", dpi=110)
    plt.close(figure)
