"""What is inside of a network: filters, weights, feature maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convkit import _check
from convkit._arguments import named_arguments
from convkit.viz._figure import AMOUNT, BLUE, GREY, SIGNED, bare, figure, plain, show_image
from convkit.viz._png import mosaic

if TYPE_CHECKING:
    from convkit.viz._picture import Picture

Array = NDArray[Any]


def _kernel(function: str, value: Any, rank: int, axes: str) -> Array:
    """Return the kernel of a layer, or the given array."""
    kernel = getattr(value, "kernel", value)
    array = np.asarray(kernel, np.float64) if kernel is not None else np.empty(0)
    if array.ndim != rank or not array.size:
        raise ValueError(
            f"{function}: kernel must be an array {axes} or a built layer with such a kernel, got"
            f" shape {array.shape}"
        )
    return array


@named_arguments
def filters(
    kernel: Any, *, max_filters: int = 16, max_channels: int = 8, title: str = ""
) -> Picture:
    """Draw the filters of a convolution: a column per filter, a row per channel that it looks at.

    kernel: (KH, KW, channels, filters), or a layer that has one. Red weights are positive, blue
    ones negative, and all share one scale. Of more filters or channels the first are drawn.
    """
    array = _kernel("viz.filters", kernel, 4, "(KH, KW, channels, filters)")
    height, width, channels, count = array.shape
    rows = min(channels, _check.integer("viz.filters", "max_channels", max_channels))
    columns = min(count, _check.integer("viz.filters", "max_filters", max_filters))
    tiles = array[:, :, :rows, :columns].transpose(2, 3, 0, 1).reshape(-1, height, width)
    limit = max(np.abs(tiles).max(), 1e-12)
    wide, high = max(0.62 * columns + 1.5, 3.2), max(0.62 * rows + 0.9, 1.7)
    picture = figure(wide, high)
    axes = picture.subplots()
    sheet = mosaic(tiles, columns, 1, np.nan)
    shown = axes.imshow(sheet, cmap=SIGNED, vmin=-limit, vmax=limit, interpolation="nearest")
    bare(axes)
    axes.tick_params(length=0, labelsize=8)
    axes.set_xticks(
        (width - 1) / 2 + (width + 1) * np.arange(columns), list(map(str, range(1, columns + 1)))
    )
    axes.set_yticks(
        (height - 1) / 2 + (height + 1) * np.arange(rows), list(map(str, range(1, rows + 1)))
    )
    axes.set_xlabel(f"filter (of {count})", fontsize=9)
    axes.set_ylabel(f"channel (of {channels})", fontsize=9)
    axes.set_title(title or f"{height}x{width} filters, depth {channels}", fontsize=10)
    bar = picture.colorbar(shown, ax=axes, fraction=0.05, pad=0.02)
    bar.ax.tick_params(labelsize=7)
    bar.outline.set_visible(False)
    return picture


@named_arguments
def class_weights(
    kernel: Any, image_shape: Sequence[int], names: Sequence[str] | None = None
) -> Picture:
    """Draw what each class weighs every pixel with: red speaks for the class, blue against it.

    kernel: (pixels, classes), or a Dense layer; image_shape: (height, width) of the pixels.
    """
    function = "viz.class_weights"
    array = _kernel(function, kernel, 2, "(pixels, classes)")
    height, width = _check.pair(function, "image_shape", list(image_shape)[:2])
    if height * width != len(array):
        raise ValueError(
            f"{function}: image_shape must hold the kernel's {len(array)} rows, got"
            f" image_shape={tuple(image_shape)}"
        )
    classes = array.shape[1]
    columns = min(classes, 5)
    rows = -(-classes // columns)
    limit = max(np.abs(array).max(), 1e-12)
    picture = figure(1.5 * columns + 0.7, 1.7 * rows)
    panels = picture.subplots(rows, columns, squeeze=False)
    shown: Any = None
    for k, axes in enumerate(panels.flat):
        bare(axes)
        if k < classes:
            weights = array[:, k].reshape(height, width)
            shown = axes.imshow(
                weights, cmap=SIGNED, vmin=-limit, vmax=limit, interpolation="nearest"
            )
            axes.set_title(str(k) if names is None else str(names[k]), fontsize=10, pad=3)
    bar = picture.colorbar(shown, ax=panels, fraction=0.03, pad=0.02)
    bar.ax.tick_params(labelsize=7)
    bar.outline.set_visible(False)
    return picture


@named_arguments
def feature_maps(
    maps: Mapping[str, ArrayLike],
    image: ArrayLike | None = None,
    *,
    names: Sequence[str] | None = None,
    max_maps: int = 16,
) -> Picture:
    """Draw what every layer makes of one image: maps as pictures, numbers as strips or bars.

    maps: layer name -> array (N, ...), as Model.feature_maps returns them; the first sample is
    drawn. Every map has its own scale from its smallest (dark) to its largest value (bright), of at
    least a tenth of its layer's.
    names: class names, for layers of as many numbers.
    """
    function = "viz.feature_maps"
    limit = _check.integer(function, "max_maps", max_maps)
    rows: list[tuple[str, Array]] = []
    for name, value in maps.items():
        array = np.asarray(value)
        if array.ndim not in (2, 3, 4) or not array.size:
            raise ValueError(
                f"{function}: maps must be arrays (N, H, W, channels), (N, H, W) or (N, numbers),"
                f" got {name!r} of shape {array.shape}"
            )
        title = f"{name}  {array.shape[1:]}"
        rows.append((title, array[0, :, :, None] if array.ndim == 3 else array[0]))
    columns = min(8, max([1, *(min(a.shape[-1], limit) for _, a in rows if a.ndim == 3)]))
    heights = [1.6] if image is not None else []
    for _, array in rows:
        lines = -(-min(array.shape[-1], limit) // columns)
        heights.append(8 / columns * lines if array.ndim == 3 else 0.9 if _bars(array) else 0.3)
    picture = figure(8.0, sum(heights) + 0.32 * len(heights))
    panels = picture.subplots(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    if image is not None:
        pixels = np.asarray(image)
        show_image(panels[0], pixels[..., 0] if pixels.shape[-1:] == (1,) else pixels)
        panels[0].set_anchor("W")
        panels[0].set_title(f"image {pixels.shape}", fontsize=9, loc="left", pad=3)
        panels = panels[1:]
    for axes, (text, array) in zip(panels, rows, strict=True):
        if array.ndim == 3:
            sheet = mosaic(_tiles(array, limit, columns), columns, 2, np.nan)
            axes.imshow(sheet, cmap=AMOUNT, vmin=0, vmax=1, interpolation="nearest")
            bare(axes)
            axes.set_anchor("W")
            if array.shape[-1] > limit:
                text += f", the first {limit}"
        elif _bars(array):
            best = int(array.argmax())
            places = np.arange(len(array))
            axes.bar(places, array, color=[BLUE if k == best else GREY for k in places])
            plain(axes)
            named = names is not None and len(names) == len(array)
            axes.set_xticks(places, names if named else places, fontsize=8)
            axes.tick_params(axis="y", labelsize=7)
        else:
            axes.imshow(array[None], cmap=AMOUNT, aspect="auto", interpolation="nearest")
            bare(axes)
        axes.set_title(text, fontsize=9, loc="left", pad=3)
    return picture


def _tiles(array: Array, limit: int, columns: int) -> Array:
    """Return the first maps of (H, W, channels) as images of 0..1 in full rows, about 48 high."""
    maps = array.transpose(2, 0, 1).astype(np.float64)
    # A map that hardly varies is dead; stretched like the others it would show its noise.
    least = 0.1 * np.ptp(maps) if np.ptp(maps) else 1.0
    tiles = maps[:limit]
    low = tiles.min(axis=(1, 2), keepdims=True)
    tiles = (tiles - low) / np.maximum(np.ptp(tiles, axis=(1, 2), keepdims=True), least)
    times = max(1, round(48 / array.shape[0]))
    tiles = tiles.repeat(times, axis=1).repeat(times, axis=2)
    missing = np.full((-len(tiles) % columns, *tiles.shape[1:]), np.nan)
    return np.concatenate([tiles, missing])


def _bars(array: Array) -> bool:
    """Say whether numbers are few enough for one bar each."""
    return array.ndim == 1 and len(array) <= 16
