"""Pictures, with matplotlib from the `plot` extra."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from convkit._files import atomic_write

__all__ = ["save_predictions"]


def _figure(width: float, height: float) -> Any:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError("pictures need matplotlib: pip install 'convkit[plot]'") from None
    figure = Figure(figsize=(width, height), dpi=120)
    FigureCanvasAgg(figure)
    return figure


def save_predictions(
    path: str | os.PathLike[str],
    images: ArrayLike,
    labels: Sequence[int],
    predictions: ArrayLike,
    class_names: Sequence[str],
    columns: int = 6,
) -> None:
    """Save a sheet of images (N, H, W[, C]) with what the model says; mistakes are red.

    predictions are probabilities (N, K). Raises ImportError without matplotlib.
    """
    pictures = np.asarray(images, np.float64)
    chances = np.asarray(predictions)
    rows = -(-len(pictures) // columns)
    figure = _figure(1.6 * columns, 1.9 * rows)
    for i, picture in enumerate(pictures):
        axes = figure.add_subplot(rows, columns, i + 1)
        flat = picture[..., 0] if picture.shape[-1:] == (1,) else picture
        axes.imshow(flat / max(flat.max(), 1e-9), cmap="gray" if flat.ndim == 2 else None)
        axes.axis("off")
        guess = int(chances[i].argmax())
        color = "black" if guess == labels[i] else "red"
        axes.set_title(
            f"{class_names[guess]} {100 * chances[i, guess]:.0f} %", fontsize=9, color=color
        )
    figure.tight_layout()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    with atomic_write(path) as file:
        file.write(buffer.getvalue())
