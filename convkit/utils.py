"""Small helpers with Keras's names."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convkit._config import custom_object_scope as custom_object_scope
from convkit._config import register_serializable as register_serializable

__all__ = [
    "custom_object_scope",
    "register_keras_serializable",
    "register_serializable",
    "to_categorical",
]

register_keras_serializable = register_serializable


def to_categorical(x: ArrayLike, num_classes: int | None = None) -> NDArray[Any]:
    """Turn class numbers (N,) or (N, 1) into one-hot rows (N, num_classes) of float32.

    Raises ValueError for numbers outside [0, num_classes).
    """
    labels = np.asarray(x)
    if labels.ndim > 1 and labels.shape[-1] == 1:
        labels = labels.reshape(labels.shape[:-1])
    labels = labels.astype(np.int64)
    classes = int(labels.max(initial=-1)) + 1 if num_classes is None else int(num_classes)
    if labels.size and not 0 <= labels.min() <= labels.max() < classes:
        raise ValueError(
            f"to_categorical: labels must lie in [0, {classes}), got values from {labels.min()} to"
            f" {labels.max()}"
        )
    return np.eye(classes, dtype=np.float32)[labels]
