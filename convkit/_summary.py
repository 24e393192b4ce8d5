"""The table that `summary` prints: a model's layers, their output shapes and parameter counts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from convkit.layers.symbolic import names_text

if TYPE_CHECKING:
    from convkit.model import Model

__all__ = ["summary_text"]


def summary_text(model: Model, width: int, expand_nested: bool, show_trainable: bool) -> str:
    """Write the table, at least `width` wide."""
    head = ["Layer (type)", "Output Shape", "Param #"]
    head += ["Trainable"] if show_trainable else []
    head += [] if _is_chain(model) else ["Connected to"]
    rows = [row[: len(head)] for row in _rows(model, expand_nested, show_trainable, "")]
    widths = [max(len(row[i]) for row in (head, *rows)) + 2 for i in range(len(head))]
    widths[0] += max(0, width - sum(widths))
    rule = "-" * sum(widths)
    lines = [f'Model: "{model.name}"', rule]
    for row in (head, *rows):
        lines.append("".join(cell.ljust(size) for cell, size in zip(row, widths, strict=True)))
        if row is head:
            lines.append("=" * sum(widths))
    lines += [rule, *_totals(model)]
    return "\n".join(line.rstrip() for line in lines)


def _rows(model: Model, expand_nested: bool, show_trainable: bool, indent: str) -> list[list[str]]:
    """Return name, shape, count, whether it is trained if asked for, and sources of each layer."""
    from convkit.model import Model

    dash = ["-"] if show_trainable else []
    rows = [[f"{indent}{t.name} (InputLayer)", str(t.shape), "0", *dash, ""] for t in model.inputs]
    for call in model._calls:
        layer: Any = call.layer
        title = f"{indent}{layer.name} ({type(layer).__name__})"
        shapes = ", ".join(str(t.shape) for t in call.outputs)
        trained = ("Y" if layer.trainable else "N") if layer.count_params() else "-"
        flag = [trained] if show_trainable else []
        rows.append([title, shapes, f"{layer.count_params():,}", *flag, names_text(call.inputs)])
        if expand_nested and isinstance(layer, Model):
            rows += _rows(layer, expand_nested, show_trainable, indent + "  ")
    return rows


def _totals(model: Model) -> list[str]:
    total = model.count_params()
    trainable = sum(variable.value.size for variable in model.trainable_variables)
    size = np.dtype(model.dtype).itemsize
    kept = model.optimizer.count_params() if model.optimizer else 0
    counts = [("Total", total + kept), ("Trainable", trainable)]
    counts += [("Non-trainable", total - trainable), *([("Optimizer", kept)] if kept else [])]
    return [f"{name} params: {n:,} ({_size_text(n * size)})" for name, n in counts]


def _is_chain(model: Model) -> bool:
    before = model.inputs[0]
    for call in model._calls:
        if call.inputs != [before]:
            return False
        before = call.outputs[0]
    return len(model.inputs) == 1


def _size_text(nbytes: int) -> str:
    if not nbytes:
        return "0.00 B"
    power = min(3, int(math.log(nbytes, 1024)))
    return f"{nbytes / 1024**power:.2f} {('B', 'KB', 'MB', 'GB')[power]}"
