"""Lesson 3: a filter by hand; what a convolution finds is a picture of where it found it."""

import numpy as np
from lesson import Lesson

import convkit.functional as F
from convkit.viz import figure

lesson = Lesson(__doc__)
standing = np.array([[-1, 2, -1], [-1, 2, -1], [-1, 2, -1]], np.float32)
FILTERS = {"upright strokes": standing, "level strokes": standing.T}


def feature_map(image, weights):
    """Slide one filter over one grey image (H, W)."""
    return F.conv2d(image[None, :, :, None], weights[:, :, None, None])[0, :, :, 0]


(x, y), _ = lesson.digits()
digit = x[np.flatnonzero(y == 4)[0]].astype(np.float32)
picture = figure(6.4, 4.3)
panels = picture.subplots(2, 3)
for row, (name, weights) in zip(panels, FILTERS.items(), strict=True):
    found = feature_map(digit, weights)
    limit = np.abs(found).max()
    row[0].imshow(digit, cmap="gray")
    row[1].imshow(weights, cmap="RdBu_r", vmin=-2, vmax=2)
    for (i, j), weight in np.ndenumerate(weights):
        row[1].text(j, i, f"{weight:.0f}", ha="center", va="center", color="white")
    row[2].imshow(found, cmap="RdBu_r", vmin=-limit, vmax=limit)
    texts = (f"image {digit.shape}", f"filter for {name}", f"feature map {found.shape}")
    for axes, text in zip(row, texts, strict=True):
        axes.set_title(text, fontsize=9)
        axes.axis("off")
lesson.save(picture, "03_filters_by_hand.png")

# A bar in column 5 of an 8 x 8 image. The filter's middle stands on it in window 4.
bar = np.zeros((8, 8), np.float32)
bar[:, 5] = 1
upright, level = (feature_map(bar, weights) for weights in FILTERS.values())
print("an upright bar under the filter for upright strokes:")
print(upright.astype(int))
print("the same bar under the filter for level strokes:")
print(level.astype(int))

assert upright.shape == (6, 6), "8 - 3 + 1 = 6"
assert (upright.argmax(axis=1) == 4).all() and upright.max() == 6
assert not feature_map(bar.T, standing).any(), "it does not see lying bars"
