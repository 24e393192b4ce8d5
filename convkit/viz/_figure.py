"""Make figures; matplotlib is imported here, and only when a picture is made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from convkit._arguments import named_arguments

if TYPE_CHECKING:
    from convkit.viz._picture import Picture

# Two hues that remain apart for colour-blind readers: training and validation, right and wrong.
BLUE, ORANGE, GREY = "#1f6fb2", "#d1495b", "#8a8f98"
# Signed values (weights): blue below zero, white at zero, red above.
SIGNED = "RdBu_r"
# Values of feature maps: dark is little, bright is much.
AMOUNT = "viridis"


@named_arguments
def figure(width: float, height: float) -> Picture:
    """Make an empty Picture of a size in inches: a matplotlib Figure with save(path).

    Raises ImportError without matplotlib.
    """
    try:
        from convkit.viz._picture import Picture
    except ImportError:
        raise ImportError("pictures need matplotlib: pip install 'convkit[plot]'") from None
    return Picture(figsize=(width, height), dpi=110, layout="constrained")


def bare(axes: Any) -> None:
    """Take ticks and frame away: an image explains itself."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def show_image(axes: Any, image: Any, top: float | None = None) -> None:
    """Show an image from black (its 0, or less) to white (`top`, by default its largest value)."""
    values = np.asarray(image, np.float64)
    low = min(0.0, values.min())
    span = max((values.max() if top is None else top) - low, 1e-9)
    axes.imshow((values - low) / span, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    bare(axes)


def plain(axes: Any) -> None:
    """Leave a chart its two axes and a faint grid."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(True, color="#e3e5e8", linewidth=0.8)
    axes.set_axisbelow(True)
