"""Test-time augmentation: predictions averaged over several views of each image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convkit import _check
from convkit._arrays import look

__all__ = ["View", "mirrored", "predict", "shifted", "standard_views"]

Array = NDArray[Any]
View = tuple[float, Callable[[Array], Array]]  # a weight, and what makes the view of images

ROWS = 1024  # images whose views are made together


def mirrored(x: Array) -> Array:
    """Return images (N, H, W, C) flipped left to right."""
    return x[:, :, ::-1]


def shifted(x: Array, down: int, right: int) -> Array:
    """Return images (N, H, W, C) moved by whole pixels; the edge mirrors what is inside of it."""
    _n, h, w, _c = x.shape
    if max(abs(down), abs(right)) >= min(h, w):
        raise ValueError(
            f"shifted: down and right must be smaller than the images, got {(down, right)} for"
            f" images of shape {x.shape}"
        )
    margins = [(0, 0), *((abs(d), abs(d)) for d in (down, right)), (0, 0)]
    padded = np.pad(x, margins, "reflect")
    top, left = abs(down) - down, abs(right) - right
    return padded[:, top : top + h, left : left + w]


def standard_views(flip: bool = True, shift: int = 0) -> list[View]:
    """Return views with weights of sum one: images, also mirrored, also moved by `shift` pixels.

    Moved are the images twice, up and left and down and right, with half of the weight.
    """
    shift = _check.integer("standard_views", "shift", shift, 0)
    moves = [(0.5, 0), (0.25, -shift), (0.25, shift)] if shift else [(1.0, 0)]
    turns = (False, True) if flip else (False,)
    return [
        (weight / len(turns), partial(_view, move=move, turn=turn))
        for weight, move in moves
        for turn in turns
    ]


def _view(x: Array, *, move: int, turn: bool) -> Array:
    x = shifted(x, move, move) if move else x
    return mirrored(x) if turn else x


def predict(
    model: Any, x: Any, views: Sequence[View] | None = None, batch_size: int | None = None
) -> Array:
    """Return the weighted sum of a model's predictions for views of images x (N, H, W, C).

    views are pairs (weight, function of a batch of images), by default `standard_views()`: the
    images and their mirror images. Sources: Krizhevsky et al., 2012; Jordan, 2024
    (arXiv:2404.00498).

    Raises ValueError for other than four axes, no images or no views.
    """
    images = look("tta.predict", "x", x)
    if images.ndim != 4 or not len(images):
        raise ValueError(
            f"tta.predict: x must be images (N, H, W, C), at least one, got shape {images.shape}"
        )
    chosen = standard_views() if views is None else list(views)
    if not chosen:
        raise ValueError("tta.predict: views must not be empty")
    parts = []
    for start in range(0, len(images), ROWS):
        piece = images[start : start + ROWS]
        total: Any = 0
        for weight, view in chosen:
            total = total + weight * model.predict(view(piece), batch_size, verbose=0)
        parts.append(total)
    return np.concatenate(parts)
