"""Pictures of what a network sees and how it learns.

Each function returns a Picture: it shows itself in a notebook and has save(path). They need
matplotlib, from the `plot` extra; `grid` and `save_png` do not.
"""

from convkit.viz._charts import batch_noise as batch_noise
from convkit.viz._charts import confusion_matrix as confusion_matrix
from convkit.viz._charts import curves as curves
from convkit.viz._charts import histograms as histograms
from convkit.viz._figure import figure as figure
from convkit.viz._images import images as images
from convkit.viz._images import mistakes as mistakes
from convkit.viz._images import predictions as predictions
from convkit.viz._images import rgb_planes as rgb_planes
from convkit.viz._network import class_weights as class_weights
from convkit.viz._network import feature_maps as feature_maps
from convkit.viz._network import filters as filters
from convkit.viz._png import grid as grid
from convkit.viz._png import save_png as save_png

__all__ = [
    "batch_noise",
    "class_weights",
    "confusion_matrix",
    "curves",
    "feature_maps",
    "figure",
    "filters",
    "grid",
    "histograms",
    "images",
    "mistakes",
    "predictions",
    "rgb_planes",
    "save_png",
]
