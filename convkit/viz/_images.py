"""Sheets of images: as they are, by colour, and with what a model says of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convkit import _check
from convkit._arguments import named_arguments
from convkit.viz._figure import ORANGE, figure, show_image
from convkit.viz._png import stack

if TYPE_CHECKING:
    from convkit.viz._picture import Picture

Array = NDArray[Any]


def class_numbers(function: str, name: str, labels: ArrayLike) -> Array:
    """Return class numbers (N,) from numbers (N,), (N, 1), or rows of chances (N, K)."""
    array = np.asarray(labels)
    if array.ndim == 2:
        array = array[:, 0] if array.shape[1] == 1 else array.argmax(axis=1)
    if array.ndim != 1 or array.dtype.kind not in "iub":
        raise ValueError(
            f"{function}: {name} must be class numbers (N,) or rows of chances (N, classes), got"
            f" {array.dtype} of shape {np.shape(labels)}"
        )
    return array.astype(np.int64)


def _chances(function: str, predictions: ArrayLike, count: int) -> Array:
    array = np.asarray(predictions)
    if array.ndim != 2 or len(array) != count:
        raise ValueError(
            f"{function}: predictions must be the chances (N, classes) of the {count} images, as"
            f" predict returns them, got shape {array.shape}"
        )
    return array


def _name(names: Sequence[str] | None, number: int) -> str:
    return str(number) if names is None else str(names[number])


def _sheet(
    pictures: Array, titles: Sequence[str], colours: Sequence[str], columns: int, title: str
) -> Picture:
    rows = -(-len(pictures) // columns)
    lines = max(text.count("\n") + 1 for text in titles) if any(titles) else 0
    longest = max(len(line) for text in titles for line in text.split("\n"))
    # Inches: a character of 9 points is about 0.08 wide, and no title may reach the next one's.
    side = max(1.25, 0.08 * longest)
    picture = figure(side * columns, (side - 0.05 + 0.19 * lines) * rows + (0.35 if title else 0))
    for i, image in enumerate(pictures):
        axes = picture.add_subplot(rows, columns, i + 1)
        show_image(axes, image)
        if titles[i]:
            axes.set_title(titles[i], fontsize=9, color=colours[i], pad=3)
    if title:
        picture.suptitle(title, fontsize=11)
    return picture


def _columns(function: str, columns: int, count: int) -> int:
    return min(_check.integer(function, "columns", columns), count)


@named_arguments
def images(
    x: ArrayLike, titles: Sequence[Any] | None = None, *, columns: int = 8, title: str = ""
) -> Picture:
    """Draw images (N, H, W), (N, H, W, 1) or (N, H, W, 3) in rows, each with its title."""
    pictures = stack("viz.images", x)
    texts = [""] * len(pictures) if titles is None else [str(text) for text in titles]
    if len(texts) != len(pictures):
        raise ValueError(
            f"viz.images: titles must be one per image, got {len(texts)} for {len(pictures)} images"
        )
    columns = _columns("viz.images", columns, len(pictures))
    return _sheet(pictures, texts, ["black"] * len(texts), columns, title)


@named_arguments
def rgb_planes(image: ArrayLike) -> Picture:
    """Draw a colour image (H, W, 3) beside its red, green and blue plane."""
    pixels = np.asarray(image)
    if pixels.ndim != 3 or pixels.shape[-1] != 3:
        raise ValueError(f"viz.rgb_planes: image must have shape (H, W, 3), got {pixels.shape}")
    height, width = pixels.shape[:2]
    picture = figure(8.4, 2.45)
    panels = picture.subplots(1, 4)
    show_image(panels[0], pixels)
    panels[0].set_title(f"image ({height}, {width}, 3)", fontsize=10)
    for k, name in enumerate(("red", "green", "blue")):
        plane = np.zeros(pixels.shape)
        plane[..., k] = pixels[..., k]
        show_image(panels[k + 1], plane, pixels.max())
        panels[k + 1].set_title(f"{name} ({height}, {width})", fontsize=10)
    return picture


@named_arguments
def predictions(
    x: ArrayLike,
    y: ArrayLike,
    predictions: ArrayLike,
    names: Sequence[str] | None = None,
    *,
    columns: int = 8,
) -> Picture:
    """Draw images with what the model says of them; mistakes are red and say what was right.

    y: class numbers (N,) or one-hot rows; predictions: chances (N, classes), as predict returns.
    """
    function = "viz.predictions"
    pictures = stack(function, x)
    right = class_numbers(function, "y", y)
    chances = _chances(function, predictions, len(pictures))
    guesses = chances.argmax(axis=1)
    texts = []
    for i, guess in enumerate(guesses):
        text = f"{_name(names, guess)}  {100 * chances[i, guess]:.0f} %"
        texts.append(text if guess == right[i] else f"{text}\nis {_name(names, right[i])}")
    colours = ["black" if good else ORANGE for good in guesses == right]
    return _sheet(pictures, texts, colours, _columns(function, columns, len(pictures)), "")


@named_arguments
def mistakes(
    x: ArrayLike,
    y: ArrayLike,
    predictions: ArrayLike,
    names: Sequence[str] | None = None,
    *,
    count: int = 16,
    columns: int = 8,
) -> Picture:
    """Draw the wrong answers that the model was surest of, the surest first.

    y: class numbers (N,) or one-hot rows; predictions: chances (N, classes), as predict returns.
    Raises ValueError if there is no mistake.
    """
    function = "viz.mistakes"
    pictures = stack(function, x)
    right = class_numbers(function, "y", y)
    chances = _chances(function, predictions, len(pictures))
    guesses, sure = chances.argmax(axis=1), chances.max(axis=1)
    wrong = np.flatnonzero(guesses != right)
    if not len(wrong):
        raise ValueError(f"{function}: all {len(pictures)} predictions are right; nothing to show")
    shown = wrong[np.argsort(-sure[wrong], kind="stable")][
        : _check.integer(function, "count", count)
    ]
    texts = [
        f"is {_name(names, right[i])}\nsays {_name(names, guesses[i])}  {100 * sure[i]:.0f} %"
        for i in shown
    ]
    title = f"{len(wrong):,} of {len(pictures):,} wrong; the surest {len(shown)}"
    columns = _columns(function, columns, len(shown))
    return _sheet(pictures[shown], texts, ["black"] * len(shown), columns, title)
