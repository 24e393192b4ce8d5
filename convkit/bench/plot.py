"""Draw a report: how fast each library trains each net, beside PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from convkit.bench.report import FAMILIES, WORDS

COLOURS = {
    "convkit": "#d1495b",
    "torch": "#30638e",
    "torch_compile": "#7ea1c4",
    "tensorflow": "#edae49",
    "jax": "#5f8575",
}


def draw(report: Mapping[str, Any], path: Path) -> None:
    """Write a picture of the suites train and predict: speed as a multiple of PyTorch's.

    Raises ImportError without matplotlib, ValueError where PyTorch was not measured.
    """
    try:
        import matplotlib
    except ImportError:
        raise ImportError("drawing needs matplotlib: pip install 'convkit[plot]'") from None
    from matplotlib.figure import Figure

    titles = {"train": "Training", "predict": "Inference"}
    groups = {
        title: [row for row in report["suites"][suite]["rows"] if "torch" in row["ratios"]]
        for suite, title in titles.items()
        if suite in report["suites"]
    }
    groups = {title: rows for title, rows in groups.items() if rows}
    if not groups:
        raise ValueError("draw: the report must hold training or inference beside PyTorch")
    # Text stays text, and the same report gives the same file.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "convkit"}):
        heights = [len(rows) for rows in groups.values()]
        figure = Figure(figsize=(8, 1 + 0.5 * sum(heights)), layout="constrained")
        axes = figure.subplots(len(groups), 1, squeeze=False, height_ratios=heights)[:, 0]
        for axis, (title, rows) in zip(axes, groups.items(), strict=True):
            _bars(axis, title, rows)
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def _bars(axis: Any, title: str, rows: list[Any]) -> None:
    drawn = [f for f in COLOURS if f == "convkit" or any(f in row["ratios"] for row in rows)]
    height = 0.8 / len(drawn)
    for i, family in enumerate(drawn):
        speeds = [_speed(row, family) for row in rows]
        places = [y + (i - (len(drawn) - 1) / 2) * height for y in range(len(rows))]
        name = "convkit" if family == "convkit" else FAMILIES[family]
        axis.barh(places, speeds, height, label=name, color=COLOURS[family])
        if family == "convkit":
            for y, speed in zip(places, speeds, strict=True):
                axis.annotate(f"{speed:.1f}", (speed, y), (3, 0), textcoords="offset points",
                              va="center", fontsize=8)  # fmt: skip
    names = [f"{WORDS.get(row['name'], row['name'])}, {row['batch']}" for row in rows]
    axis.set_yticks(range(len(rows)), names, fontsize=8)
    axis.margins(y=0.02)
    axis.invert_yaxis()
    axis.set_title(f"{title}, times PyTorch's speed", loc="left", fontsize=10)
    axis.spines[["top", "right"]].set_visible(False)
    axis.axvline(1, color="#888888", linewidth=0.7)


def _speed(row: Any, family: str) -> float:
    """Return a family's speed over PyTorch's, by the paired ratios with convkit; 0 if unknown."""
    torch = row["ratios"]["torch"]["median"]
    if family == "convkit":
        return float(torch)
    found = row["ratios"].get(family)
    return float(torch / found["median"]) if found else 0.0
