"""Small helpers with Keras's names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convkit import _check, runtime
from convkit._arguments import named_arguments
from convkit._config import custom_object_scope as custom_object_scope
from convkit._config import register_serializable as register_serializable
from convkit.datasets._image_folder import (
    image_dataset_from_directory as image_dataset_from_directory,
)
from convkit.feeding import PyDataset as PyDataset
from convkit.layers.symbolic import reset_names

__all__ = [
    "PyDataset",
    "Sequence",
    "clear_session",
    "custom_object_scope",
    "image_dataset_from_directory",
    "normalize",
    "register_keras_serializable",
    "register_serializable",
    "set_random_seed",
    "split_dataset",
    "to_categorical",
]

register_keras_serializable = register_serializable
set_random_seed = runtime.set_seed
Sequence = PyDataset
clear_session = reset_names


@named_arguments
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


@named_arguments
def normalize(x: ArrayLike, axis: int = -1, order: int = 2) -> NDArray[Any]:
    """Divide x by its norm of an order along an axis; zeros stay."""
    values = np.asarray(x)
    if values.dtype.kind not in "fiub":
        raise TypeError(f"normalize: x must be numbers, got dtype {values.dtype}")
    if values.dtype.kind != "f":
        values = values.astype(np.float32)
    norm = np.linalg.norm(values, order, axis, keepdims=True)
    return values / np.where(norm == 0, 1, norm).astype(values.dtype)


@named_arguments
def split_dataset(
    dataset: Any,
    left_size: float | int | None = None,
    right_size: float | int | None = None,
    shuffle: bool = False,
    seed: int | None = None,
) -> tuple[Any, Any]:
    """Split an array, or a tuple of arrays (x, y) row by row, in two.

    Sizes are shares (floats) or numbers of rows (ints); one of them is enough.
    Raises ValueError for sizes that do not fit.
    """
    function = "split_dataset"
    many = isinstance(dataset, tuple)
    arrays = [np.asarray(array) for array in (dataset if many else (dataset,))]
    counts = {len(array) for array in arrays}
    if len(counts) != 1:
        raise ValueError(f"{function}: arrays must have as many rows, got {sorted(counts)}")
    count = counts.pop()
    sizes = [_rows(function, size, count) for size in (left_size, right_size)]
    if sizes == [None, None]:
        raise ValueError(f"{function}: left_size or right_size must be given")
    left, right = sizes
    left = count - right if left is None and right is not None else left
    assert left is not None
    right = count - left if right is None else right
    if left < 0 or right < 0 or left + right > count:
        raise ValueError(
            f"{function}: sizes must fit in {count} rows, got left_size={left_size!r},"
            f" right_size={right_size!r}"
        )
    order = np.arange(count)
    if shuffle:
        generator = runtime.random_generator() if seed is None else np.random.default_rng(seed)
        order = generator.permutation(count)
    parts = (order[:left], order[count - right :])
    split = [tuple(array[rows] for array in arrays) for rows in parts]
    return (split[0], split[1]) if many else (split[0][0], split[1][0])


def _rows(function: str, size: Any, count: int) -> int | None:
    if size is None:
        return None
    if isinstance(size, float):
        if not 0 <= size <= 1:
            raise ValueError(f"{function}: a share must lie in [0, 1], got {size!r}")
        return round(size * count)
    return _check.integer(function, "size", size, 0)


if not TYPE_CHECKING:
    __getattr__ = _check.missing_from(__name__, __all__)
