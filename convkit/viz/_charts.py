"""Charts: training curves, confusion, distributions of activations, noise of batch statistics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from convkit import _check
from convkit._arguments import named_arguments
from convkit.viz._figure import BLUE, GREY, ORANGE, figure, plain
from convkit.viz._images import class_numbers

if TYPE_CHECKING:
    from convkit.viz._picture import Picture

CYCLE = (BLUE, ORANGE, "#2a9d6f", "#e09f3e", "#6a4c93", GREY)


def _runs(histories: Any) -> dict[str, tuple[list[int], dict[str, list[float]]]]:
    """Return label -> (epochs, metric -> values) from a History, its dict, or several by label."""

    def one(value: Any) -> tuple[list[int], dict[str, list[float]]]:
        metrics = getattr(value, "history", value)
        if not isinstance(metrics, Mapping) or not metrics:
            raise ValueError(
                f"viz.curves: histories must be what fit returned, after at least one epoch, got"
                f" {value!r}"
            )
        longest = max(len(values) for values in metrics.values())
        epochs = getattr(value, "epoch", None) or range(longest)
        return [epoch + 1 for epoch in epochs], dict(metrics)

    values = list(histories.values()) if isinstance(histories, Mapping) else []
    if values and not isinstance(values[0], list | tuple):
        return {str(label): one(value) for label, value in histories.items()}
    return {"": one(histories)}


@named_arguments
def curves(histories: Any, metrics: Sequence[str] | None = None) -> Picture:
    """Draw loss and metrics by epoch: training as a line, validation dashed.

    histories: what fit returned, or {label: what fit returned} to compare runs. metrics: names to
    draw (without val_); by default all.
    """
    runs = _runs(histories)
    found = list(dict.fromkeys(n.removeprefix("val_") for _, h in runs.values() for n in h))
    for name in metrics or []:
        _check.one_of("viz.curves", "metrics", name, found)
    shown = list(metrics or found)
    picture = figure(4.2 * len(shown), 3.1)
    for axes, name in zip(picture.subplots(1, len(shown), squeeze=False)[0], shown, strict=True):
        for i, (label, (epochs, values)) in enumerate(runs.items()):
            for kind, key in (("training", name), ("validation", f"val_{name}")):
                if key not in values:
                    continue
                first = kind == "training"
                axes.plot(
                    epochs[: len(values[key])],
                    values[key],
                    color=CYCLE[i % len(CYCLE)] if label else BLUE if first else ORANGE,
                    linestyle="-" if first else "--",
                    marker="o" if len(epochs) <= 12 else None,
                    markersize=3.5,
                    label=f"{label} {kind}" if label and not first else label or kind,
                )
        plain(axes)
        axes.set_title(name, fontsize=10)
        axes.set_xlabel("epoch", fontsize=9)
        axes.tick_params(labelsize=8)
        if max(len(epochs) for epochs, _ in runs.values()) == 1:
            axes.set_xlim(axes.get_xlim()[0] - 0.5, axes.get_xlim()[1] + 0.5)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend(fontsize=8, frameon=False)
    return picture


@named_arguments
def confusion_matrix(
    y_true: ArrayLike, y_pred: ArrayLike, names: Sequence[str] | None = None
) -> Picture:
    """Draw how often each class (row) was taken for which (column); rows are coloured by share.

    Both are class numbers (N,) or rows (N, classes): one-hot labels, or what predict returns.
    """
    function = "viz.confusion_matrix"
    true, pred = (
        class_numbers(function, "y_true", y_true),
        class_numbers(function, "y_pred", y_pred),
    )
    if true.shape != pred.shape or not len(true):
        raise ValueError(
            f"{function}: y_true and y_pred must hold as many labels, at least one, got"
            f" {len(true)} and {len(pred)}"
        )
    classes = max(int(max(true.max(), pred.max())) + 1, len(names or ()))
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (true, pred), 1)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    labels = [str(k) for k in range(classes)] if names is None else [str(n) for n in names]
    size = max(3.2, 0.5 * classes + 1.2)
    picture = figure(size + 0.3, size)
    axes = picture.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row in range(classes):
        for column in range(classes):
            if counts[row, column]:
                axes.text(
                    column,
                    row,
                    f"{counts[row, column]:,}",
                    ha="center",
                    va="center",
                    fontsize=8 if classes < 16 else 6,
                    color="white" if shares[row, column] > 0.5 else "#333333",
                )
    long = max(len(text) for text in labels) > 3
    axes.set_xticks(range(classes), labels, fontsize=8, rotation=45 if long else 0)
    axes.set_yticks(range(classes), labels, fontsize=8)
    if long:
        for text in axes.get_xticklabels():
            text.set(ha="right", rotation_mode="anchor")
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_color("#cccccc")
    axes.set_xlabel("the model says", fontsize=9)
    axes.set_ylabel("it is", fontsize=9)
    right = int(np.trace(counts))
    axes.set_title(f"{100 * right / len(true):.2f} % right of {len(true):,}", fontsize=10)
    return picture


@named_arguments
def histograms(values: Mapping[str, ArrayLike], *, share_axis: bool = False) -> Picture:
    """Draw the distribution of each array, for instance of every layer's activations.

    values: name -> array of any shape, as Model.feature_maps returns them. share_axis=True gives
    all the same horizontal axis, so that growth shows. The outermost 0.1 % on both sides are cut.
    """
    function = "viz.histograms"
    if not values:
        raise ValueError(f"{function}: values must hold at least one array, got none")
    arrays = {name: np.asarray(value, np.float64).reshape(-1) for name, value in values.items()}
    limits = {}
    for name, array in arrays.items():
        finite = array[np.isfinite(array)]
        if not len(finite):
            raise ValueError(f"{function}: {name!r} must hold finite numbers, got none")
        low, high = np.quantile(finite, [0.001, 0.999])
        limits[name] = (low, high) if high > low else (low - 0.5, low + 0.5)
    if share_axis:
        ends = list(limits.values())
        both = (min(low for low, _ in ends), max(high for _, high in ends))
        limits = dict.fromkeys(limits, both)
    picture = figure(6.4, 0.95 * len(arrays) + 0.3)
    panels = picture.subplots(len(arrays), 1, sharex=share_axis, squeeze=False)[:, 0]
    for axes, (name, array) in zip(panels, arrays.items(), strict=True):
        axes.hist(array, bins=80, range=limits[name], color=BLUE)
        axes.set_title(name, fontsize=9, loc="left", pad=2)
        places = int(np.clip(2 - np.floor(np.log10(max(array.std(), 1e-12))), 0, 12))
        text = f"mean {array.mean():.{places}f}, std {array.std():.{places}f}"
        axes.set_title(text.replace("-0.000", "0.000"), fontsize=8, loc="right", pad=2)
        axes.set_yticks([])
        axes.set_xlim(*limits[name])
        axes.tick_params(labelsize=7)
        axes.spines[["top", "right", "left"]].set_visible(False)
    return picture


@named_arguments
def batch_noise(values: Mapping[int, ArrayLike]) -> Picture:
    """Draw how much one sample's batch-normalized value varies with its batch, by batch size.

    values: batch size -> what the same sample became in different batches, at least two sizes.
    The right panel compares the spread with 1 / sqrt(batch size).
    """
    function = "viz.batch_noise"
    sizes = sorted(_check.integer(function, "batch size", size) for size in values)
    arrays = {size: np.asarray(values[size], np.float64).reshape(-1) for size in sizes}
    if len(sizes) < 2 or min(len(array) for array in arrays.values()) < 2:
        raise ValueError(
            f"{function}: values must have at least two sizes with at least two values each, got"
            f" { {size: len(array) for size, array in arrays.items()} }"
        )
    spreads = np.array([array.std() for array in arrays.values()])
    picture = figure(8.4, 3.3)
    left, right = picture.subplots(1, 2, width_ratios=[1.25, 1])
    # The places of the points within a strip are spread evenly, in an order without a pattern.
    for i, array in enumerate(arrays.values()):
        jitter = (np.arange(len(array)) * 0.6180339887) % 1 - 0.5
        left.plot(i + 0.55 * jitter, array, ".", markersize=3, color=BLUE, alpha=0.45)
        low, high = array.mean() - array.std(), array.mean() + array.std()
        left.plot([i, i], [low, high], color=ORANGE, linewidth=2.5, solid_capstyle="butt")
    left.set_xticks(range(len(sizes)), sizes)
    left.set_title("one sample in random batches (bar: mean ± std)", fontsize=9)
    left.set_ylabel("value after batch normalization", fontsize=9)
    root = spreads[0] * np.sqrt(sizes[0] / np.array(sizes))
    right.loglog(sizes, root, "--", color=GREY, label="1 / sqrt(batch size)")
    right.loglog(sizes, spreads, "o-", color=BLUE, markersize=4, label="measured")
    right.set_xticks(sizes, sizes)
    right.set_xticks([], minor=True)
    ticks = [k * 10.0**p for p in range(-8, 4) for k in (1, 2, 5)]
    right.set_yticks([t for t in ticks if 0.7 * spreads.min() < t < 1.4 * spreads.max()])
    right.set_yticks([], minor=True)
    right.yaxis.set_major_formatter("{x:g}")
    right.set_title("spread (std)", fontsize=9)
    right.legend(fontsize=8, frameon=False)
    for axes in (left, right):
        plain(axes)
        axes.set_xlabel("batch size", fontsize=9)
        axes.tick_params(labelsize=8)
    return picture
