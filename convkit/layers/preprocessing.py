"""Layers that prepare images and features the same way in training and inference."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convkit import _check, ops
from convkit._config import serialize
from convkit.data import source
from convkit.graph import Tensor, Variable
from convkit.layers.augmentation import (
    AXES,
    HINT,
    INTERPOLATIONS,
    image_size,
    middle_window,
    resize,
)
from convkit.layers.base import Layer, check_data_format, check_rank, variable_property
from convkit.layers.symbolic import Shape

ROWS = 1024  # samples of an array that adapt looks at together


class Normalization(Layer):
    """(x - mean) / sqrt(variance), by channel, or with invert=True the way back.

    mean and variance are numbers or one number per channel; without them `adapt(data)` finds them.
    axis is -1 (the channels) or None (one mean and variance for all).
    """

    mean = variable_property("mean")
    variance = variable_property("variance")

    def __init__(
        self,
        axis: int | None = -1,
        mean: Any = None,
        variance: Any = None,
        invert: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if axis not in (-1, None):
            raise ValueError(
                f"Normalization: axis must be -1 (by channel) or None, got axis={axis!r}"
            )
        if (mean is None) != (variance is None):
            raise ValueError(
                "Normalization: mean and variance must be given together, got"
                f" mean={mean!r}, variance={variance!r}"
            )
        self.axis = axis
        self.invert = bool(invert)
        self._given = None
        if mean is not None:
            self._given = tuple(np.asarray(value, np.float64) for value in (mean, variance))
            if (self._given[1] < 0).any():
                raise ValueError(
                    f"Normalization: variance must not be negative, got variance={variance!r}"
                )
        self._mean: Variable | None = None
        self._variance: Variable | None = None

    def build(self, input_shape: Any) -> None:
        """Make mean and variance; they are weights unless they were given."""
        if isinstance(input_shape, list) or len(input_shape) < 2:
            raise ValueError(
                f"Normalization {self.name!r}: expected input (batch, ..., channels), got shape"
                f" {input_shape}"
            )
        shape = (input_shape[-1],)
        if self._given is None:
            self._mean = self.add_weight("mean", shape, "zeros", trainable=False)
            self._variance = self.add_weight("variance", shape, "ones", trainable=False)
            return
        for name, value in zip(("mean", "variance"), self._given, strict=True):
            if value.shape not in ((), (1,), shape):
                raise ValueError(
                    f"Normalization {self.name!r}: {name} must be a number or {shape[0]} numbers,"
                    f" one per channel, got shape {value.shape}"
                )
            whole = np.broadcast_to(value, shape).astype(self.dtype)
            setattr(self, "_" + name, Variable(f"{self.name}/{name}", whole, trainable=False))

    def adapt(self, data: Any) -> None:
        """Set mean and variance to those of data: an array, or batches (x or (x, y)) of one.

        Computed in float64; an array is read piece by piece, never copied whole.
        """
        if self._given is not None:
            raise ValueError("Normalization: adapt needs a layer made without mean and variance")
        count, mean, square = 0, np.zeros(1), np.zeros(1)
        for piece in pieces(data):
            rows = piece.reshape(-1, piece.shape[-1]).astype(np.float64)
            if self.axis is None:
                rows = rows.reshape(-1, 1)
            if not count:
                self.ensure_built((None, *piece.shape[1:]))
            assert self._mean is not None
            if piece.shape[-1:] != self._mean.shape:
                raise ValueError(
                    f"Normalization: adapt needs {self._mean.shape[0]} channels, got data of shape"
                    f" {piece.shape}"
                )
            # Means and squared distances of two parts merged: Chan et al., 1979.
            here, total = rows.mean(0), count + len(rows)
            distance = here - mean
            square = square + ((rows - here) ** 2).sum(0)
            square = square + distance**2 * (count * len(rows) / total)
            mean = mean + distance * (len(rows) / total)
            count = total
        if not count:
            raise ValueError("Normalization: adapt needs at least one sample, got none")
        assert self._mean is not None and self._variance is not None
        self._mean.assign(np.broadcast_to(mean, self._mean.shape))
        self._variance.assign(np.broadcast_to(square / count, self._mean.shape))

    def call(self, x: Tensor, training: bool) -> Tensor:
        """Emit the normalization."""
        assert self._mean is not None and self._variance is not None
        mean, variance = x.graph.variable(self._mean), x.graph.variable(self._variance)
        # A channel of one value is divided by 1e-7, as in Keras.
        if not self.invert:
            return ops.batch_norm_inference(x, mean, variance, None, None, epsilon=1e-14)
        # variance x / sqrt(variance) + mean
        zero = x.graph.constant(np.zeros(mean.shape[0] or 0))
        return ops.batch_norm_inference(x, zero, variance, variance, mean, epsilon=1e-14)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        mean, variance = (None, None) if self._given is None else self._given
        return {**super().get_config(), "mean": serialize(mean), "variance": serialize(variance)}


def pieces(data: Any) -> Iterable[NDArray[Any]]:
    """Yield arrays of samples (N, ..., channels) out of an array or of batches."""
    if not hasattr(data, "__array__") and not isinstance(data, list | tuple):
        for batch in data:
            yield source("adapt", "data", batch[0] if isinstance(batch, tuple) else batch)
        return
    array = source("adapt", "data", data)
    if array.ndim < 2:
        raise ValueError(
            f"adapt: data must have at least 2 axes (samples, ..., channels), got {array.shape}"
        )
    for start in range(0, len(array), ROWS):
        yield array[start : start + ROWS]


class _Sized(Layer):
    """What layers that give images another height and width share."""

    def __init__(self, height: int, width: int, data_format: str | None, **options: Any) -> None:
        super().__init__(**options)
        kind = type(self).__name__
        check_data_format(kind, data_format)
        self.height = _check.integer(kind, "height", height)
        self.width = _check.integer(kind, "width", width)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Return (None, height, width, channels)."""
        check_rank(self, input_shape, 4, AXES, HINT)
        return (input_shape[0], self.height, self.width, input_shape[3])


class CenterCrop(_Sized):
    """Cut the window of height x width out of the middle of each image.

    A larger window than the image is made as in Keras: the largest one of that shape is resized.
    """

    def __init__(
        self, height: int, width: int, data_format: str | None = None, **options: Any
    ) -> None:
        super().__init__(height, width, data_format, **options)

    def call(self, x: Tensor, training: bool) -> Tensor:
        """Emit the crop."""
        size = (self.height, self.width)
        h, w = image_size(x)
        if h < self.height or w < self.width:
            return middle_window(x, size)
        return resize(x, size, size)


class Resizing(_Sized):
    """Resize images to height x width; with crop_to_aspect_ratio, the middle of them."""

    def __init__(
        self,
        height: int,
        width: int,
        interpolation: str = "bilinear",
        crop_to_aspect_ratio: bool = False,
        data_format: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(height, width, data_format, **options)
        self.interpolation = _check.one_of(
            "Resizing", "interpolation", interpolation, INTERPOLATIONS
        )
        self.crop_to_aspect_ratio = bool(crop_to_aspect_ratio)

    def call(self, x: Tensor, training: bool) -> Tensor:
        """Emit the resizing."""
        size = (self.height, self.width)
        if self.crop_to_aspect_ratio:
            return middle_window(x, size, self.interpolation)
        return resize(x, image_size(x), size, self.interpolation)
