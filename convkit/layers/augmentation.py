"""Layers that change images at random, in training only.

What happens to an image is a function of (seed, layer, step, number of the sample in the data): it
does not depend on threads, nor on where in a batch the image is. Called on an array by itself, such
a layer augments unless training=False is given, as in Keras, and differently at every call.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from convkit import _check, ops
from convkit.graph import Tensor
from convkit.layers.base import Layer, check_data_format, check_rank, check_seed
from convkit.layers.symbolic import Shape
from convkit.ops.augment import FILL_MODES, FLIPS, Range

AXES = "(batch, height, width, channels)"
HINT = "images of one channel need a last axis of one: x[..., None]"
INTERPOLATIONS = ("nearest", "bilinear")


class Augmentation(Layer):
    """What the layers share: a seed, images in, and nothing to do in inference."""

    def __init__(
        self, *, seed: int | None = None, data_format: str | None = None, **options: Any
    ) -> None:
        super().__init__(**options)
        kind = type(self).__name__
        check_data_format(kind, data_format)
        self.seed = check_seed(kind, seed)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Return the input's shape."""
        check_rank(self, input_shape, 4, AXES, HINT)
        return input_shape

    def __call__(self, inputs: Any, training: bool | None = True) -> Any:
        """Record a call on a symbolic tensor, or augment an array of images."""
        return super().__call__(inputs, training)

    def chance(self, x: Tensor, counter: Tensor | None = None) -> ops.Chance:
        """Return the source of this call's random numbers; they change with the counter."""
        graph = x.graph
        # The place in the graph tells layers (and calls of a shared layer) of one seed apart.
        stream = len(graph.ops)
        return ops.Chance(self.seed, stream, counter or graph.step, graph.sample_numbers())

    def call(self, x: Tensor, training: bool) -> Tensor:
        """Emit the change in training, else nothing."""
        return self.augment(x) if training else x

    def augment(self, x: Tensor) -> Tensor:
        """Emit the change."""
        raise TypeError(f"{type(self).__name__} must define augment(x)")


def _range(
    function: str, name: str, value: Any, low: float, high: float, *, symmetric: bool = True
) -> Range:
    """Return (lower, upper) from a number f, that is (-f, f) or (0, f), or from a pair."""
    if isinstance(value, list | tuple):
        if len(value) != 2:
            raise ValueError(
                f"{function}: {name} must be a number or a pair (lower, upper), got {value!r}"
            )
        pair = sorted(_check.number(function, name, each) for each in value)
        lower, upper = pair[0], pair[1]
    else:
        upper = abs(_check.number(function, name, value))
        lower = -upper if symmetric else 0.0
    if not low <= lower <= upper <= high:
        raise ValueError(f"{function}: {name} must lie in [{low}, {high}], got {name}={value!r}")
    return lower, upper


def _value_range(function: str, value: Any) -> Range:
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise ValueError(
            f"{function}: value_range must be a pair (lowest, highest) of pixel values, got"
            f" value_range={value!r}"
        )
    low, high = sorted(_check.number(function, "value_range", each) for each in value)
    return low, high


def _times(pair: Range, factor: float) -> Range:
    return pair[0] * factor, pair[1] * factor


# ---- whole pixels --------------------------------------------------------------------------------


class RandomFlip(Augmentation):
    """Flip each image with probability 1/2, left to right, upside down, or each of both.

    `mode` is "horizontal", "vertical" or "horizontal_and_vertical". With `alternating`, an image is
    flipped in every other epoch, and chance decides only about the first: two epochs show every
    image both ways, which trains faster (Jordan, 2024, arXiv:2404.00498).
    """

    def __init__(
        self,
        mode: str = "horizontal_and_vertical",
        seed: int | None = None,
        data_format: str | None = None,
        alternating: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(seed=seed, data_format=data_format, **options)
        modes = [name for name in FLIPS if name != "none"]
        self.mode = _check.one_of("RandomFlip", "mode", mode, modes)
        self.alternating = bool(alternating)

    def augment(self, x: Tensor) -> Tensor:
        """Emit the flip."""
        chance = self.chance(x, x.graph.epoch if self.alternating else None)
        return ops.remap(
            x,
            image_size(x),
            chance,
            top=(0, 0),
            left=(0, 0),
            flip=self.mode,
            alternating=self.alternating,
        )


class RandomCrop(Augmentation):
    """Cut a random window of height x width out of each image.

    `padding` rows and columns (an int, or (rows, columns)) are first put around the image, by
    fill_mode "constant" (fill_value), "nearest", "reflect", "mirror" or "wrap": RandomCrop(32, 32,
    padding=4) on 32 x 32 images is the usual augmentation of CIFAR-10. In inference, and for images
    smaller than the window, the largest window of the same shape in the middle of the image is
    resized to height x width, as in Keras; an image of that size is left alone.
    """

    def __init__(
        self,
        height: int,
        width: int,
        seed: int | None = None,
        data_format: str | None = None,
        padding: Any = 0,
        fill_mode: str = "constant",
        fill_value: float = 0.0,
        **options: Any,
    ) -> None:
        super().__init__(seed=seed, data_format=data_format, **options)
        self.height = _check.integer("RandomCrop", "height", height)
        self.width = _check.integer("RandomCrop", "width", width)
        self.padding = _check.pair("RandomCrop", "padding", padding, 0)
        self.fill_mode = _check.one_of("RandomCrop", "fill_mode", fill_mode, FILL_MODES)
        self.fill_value = _check.number("RandomCrop", "fill_value", fill_value)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Return (None, height, width, channels)."""
        n, _h, _w, c = super().compute_output_shape(input_shape)
        return (n, self.height, self.width, c)

    def call(self, x: Tensor, training: bool) -> Tensor:
        """Emit the crop in training, else the window in the middle."""
        h, w = image_size(x)
        tall = h + 2 * self.padding[0] - self.height
        wide = w + 2 * self.padding[1] - self.width
        size = (self.height, self.width)
        if not training or tall < 0 or wide < 0:
            return middle_window(x, size)
        if not tall and not wide and self.padding == (0, 0):
            return x
        rows, columns = self.padding
        return ops.remap(
            x,
            size,
            self.chance(x),
            top=(-rows, tall + 1 - rows),
            left=(-columns, wide + 1 - columns),
            fill_mode=self.fill_mode,
            fill_value=self.fill_value,
        )


def image_size(x: Tensor) -> tuple[int, int]:
    """Return height and width of images."""
    _n, h, w, _c = x.shape
    assert h is not None and w is not None
    return h, w


def resize(
    x: Tensor, window: tuple[int, int], size: tuple[int, int], interpolation: str = "bilinear"
) -> Tensor:
    """Emit the window of given height and width in the middle of x, resized."""
    if window != image_size(x):
        top, left = ((a - b) // 2 for a, b in zip(image_size(x), window, strict=True))
        x = ops.remap(x, window, ops.Chance(), top=(top, top), left=(left, left))
    if window == size:
        return x
    zoom_h, zoom_w = (a / b for a, b in zip(window, size, strict=True))
    return ops.warp(
        x,
        size,
        ops.Chance(),
        zoom_h=(zoom_h, zoom_h),
        zoom_w=(zoom_w, zoom_w),
        interpolation=interpolation,
        fill_mode="nearest",
    )


def middle_window(x: Tensor, size: tuple[int, int], interpolation: str = "bilinear") -> Tensor:
    """Emit the largest window of the shape of `size` in the middle of x, resized to `size`."""
    h, w = image_size(x)
    window = (max(1, min(h, w * size[0] // size[1])), max(1, min(w, h * size[1] // size[0])))
    return resize(x, window, size, interpolation)


# ---- between pixels ------------------------------------------------------------------------------


class _Warp(Augmentation):
    """What turning, zooming and shifting share."""

    def __init__(
        self,
        fill_mode: str,
        interpolation: str,
        seed: int | None,
        fill_value: float,
        data_format: str | None,
        **options: Any,
    ) -> None:
        super().__init__(seed=seed, data_format=data_format, **options)
        kind = type(self).__name__
        self.fill_mode = _check.one_of(kind, "fill_mode", fill_mode, FILL_MODES)
        self.interpolation = _check.one_of(kind, "interpolation", interpolation, INTERPOLATIONS)
        self.fill_value = _check.number(kind, "fill_value", fill_value)

    def _warp(self, x: Tensor, **ranges: Any) -> Tensor:
        return ops.warp(
            x,
            image_size(x),
            self.chance(x),
            **ranges,
            interpolation=self.interpolation,
            fill_mode=self.fill_mode,
            fill_value=self.fill_value,
        )


class RandomTranslation(_Warp):
    """Shift each image by a random part of its height (down) and width (right).

    A factor f means a part from -f to f, a pair the range; 1 is the whole height or width. With
    interpolation="nearest" whole pixels are moved, which costs no more than a copy.
    """

    def __init__(
        self,
        height_factor: Any,
        width_factor: Any,
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        data_format: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(fill_mode, interpolation, seed, fill_value, data_format, **options)
        self.height_factor, self.width_factor = height_factor, width_factor
        self._height = _range("RandomTranslation", "height_factor", height_factor, -1, 1)
        self._width = _range("RandomTranslation", "width_factor", width_factor, -1, 1)

    def augment(self, x: Tensor) -> Tensor:
        """Emit the shift."""
        h, w = image_size(x)
        shift_h, shift_w = _times(self._height, h), _times(self._width, w)
        if self.interpolation == "bilinear":
            return self._warp(x, shift_h=shift_h, shift_w=shift_w)
        return ops.remap(
            x,
            (h, w),
            self.chance(x),
            top=(0.5 - shift_h[1], 0.5 - shift_h[0]),
            left=(0.5 - shift_w[1], 0.5 - shift_w[0]),
            fill_mode=self.fill_mode,
            fill_value=self.fill_value,
        )


class RandomRotation(_Warp):
    """Turn each image by a random angle about its center.

    A factor f means from -f to f full turns, a pair the range; positive is counterclockwise.
    """

    def __init__(
        self,
        factor: Any,
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        data_format: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(fill_mode, interpolation, seed, fill_value, data_format, **options)
        self.factor = factor
        self._turns = _range("RandomRotation", "factor", factor, -1, 1)

    def augment(self, x: Tensor) -> Tensor:
        """Emit the rotation."""
        return self._warp(x, angle=_times(self._turns, 2 * math.pi))


class RandomZoom(_Warp):
    """Zoom each image about its center by a random factor of 1 + f; f > 0 makes it smaller.

    A factor f means from -f to f, a pair the range. Without width_factor the aspect stays.
    """

    def __init__(
        self,
        height_factor: Any,
        width_factor: Any = None,
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        data_format: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(fill_mode, interpolation, seed, fill_value, data_format, **options)
        self.height_factor, self.width_factor = height_factor, width_factor
        self._height = _range("RandomZoom", "height_factor", height_factor, -1, 1)
        self._width = (
            None
            if width_factor is None
            else _range("RandomZoom", "width_factor", width_factor, -1, 1)
        )

    def augment(self, x: Tensor) -> Tensor:
        """Emit the zoom."""
        zoom_h = (1 + self._height[0], 1 + self._height[1])
        zoom_w = None if self._width is None else (1 + self._width[0], 1 + self._width[1])
        return self._warp(x, zoom_h=zoom_h, zoom_w=zoom_w)


# ---- values --------------------------------------------------------------------------------------


class RandomContrast(Augmentation):
    """Scale the distance of every pixel from its channel's mean by a random factor, then clip.

    A factor f means from 1 - f to 1 + f, a pair (lower, upper) from 1 - lower to 1 + upper.
    value_range is that of the pixels, to clip to.
    """

    def __init__(
        self,
        factor: Any,
        value_range: Sequence[float] = (0, 255),
        seed: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(seed=seed, **options)
        self.factor = factor
        self.value_range = _value_range("RandomContrast", value_range)
        single = not isinstance(factor, list | tuple)
        lower, upper = _range("RandomContrast", "factor", factor, 0, 1, symmetric=False)
        self._factor = (1 - upper, 1 + upper) if single else (1 - lower, 1 + upper)

    def augment(self, x: Tensor) -> Tensor:
        """Emit the change of contrast."""
        return ops.adjust(
            x,
            self.chance(x),
            factor=self._factor,
            value_range=self.value_range,
            contrast=True,
        )


class RandomBrightness(Augmentation):
    """Add a random part of the range of values to all pixels of an image, then clip.

    A factor f means from -f to f of value_range's width, a pair the range.
    """

    def __init__(
        self,
        factor: Any,
        value_range: Sequence[float] = (0, 255),
        seed: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(seed=seed, **options)
        self.factor = factor
        self.value_range = _value_range("RandomBrightness", value_range)
        self._part = _range("RandomBrightness", "factor", factor, -1, 1)

    def augment(self, x: Tensor) -> Tensor:
        """Emit the change of brightness."""
        low, high = self.value_range
        factor = _times(self._part, high - low)
        return ops.adjust(
            x, self.chance(x), factor=factor, value_range=self.value_range, contrast=False
        )


# ---- erasing and mixing --------------------------------------------------------------------------


def _fill(layer: str, value: Any, channels: int) -> list[float]:
    """Return a fill value per channel from one number or one number per channel."""
    values = list(value) if isinstance(value, list | tuple) else [value] * channels
    if len(values) != channels:
        raise ValueError(
            f"{layer}: fill_value must be a number or one for each of {channels} channels, got"
            f" fill_value={value!r}"
        )
    return [_check.number(layer, "fill_value", each) for each in values]


class RandomErasing(Augmentation):
    """Erase a box of each image, with a probability drawn from `factor`.

    A factor f means a probability drawn from 0 to f, a pair the range. The box has sqrt(s) times
    the height and sqrt(s') times the width, s and s' drawn from `scale`. fill_value None is normal
    noise times the top of value_range, clipped to it. Source: Zhong et al., 2020.
    """

    def __init__(
        self,
        factor: Any = 1.0,
        scale: Any = (0.02, 0.33),
        fill_value: Any = None,
        value_range: Sequence[float] = (0, 255),
        seed: int | None = None,
        data_format: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(seed=seed, data_format=data_format, **options)
        kind = "RandomErasing"
        self.factor, self.scale = factor, scale
        self._factor = _range(kind, "factor", factor, 0, 1, symmetric=False)
        self._scale = _range(kind, "scale", scale, 0, 1, symmetric=False)
        self.value_range = _value_range(kind, value_range)
        self.fill_value = fill_value

    def augment(self, x: Tensor) -> Tensor:
        """Emit the erasing."""
        fill = None
        if self.fill_value is not None:
            low, high = self.value_range
            values = _fill("RandomErasing", self.fill_value, x.shape[3] or 0)
            fill = [min(max(value, low), high) for value in values]
        return ops.erase(
            x,
            self.chance(x),
            factor=self._factor,
            scale=self._scale,
            fill=fill,
            value_range=self.value_range,
        )


class Cutout(Augmentation):
    """Erase a square of `size` x `size` pixels about a random pixel of each image.

    The square may reach over the edge. Source: DeVries and Taylor, 2017.
    """

    def __init__(
        self, size: int, fill_value: Any = 0.0, seed: int | None = None, **options: Any
    ) -> None:
        super().__init__(seed=seed, **options)
        self.size = _check.integer("Cutout", "size", size)
        self.fill_value = fill_value

    def augment(self, x: Tensor) -> Tensor:
        """Emit the erasing."""
        fill = _fill("Cutout", self.fill_value, x.shape[3] or 0)
        return ops.erase(x, self.chance(x), size=self.size, fill=fill)


class _Mixing(Augmentation):
    """What mixing of images and labels shares."""

    _alpha: Range
    _boxes: bool

    def augment(self, x: Tensor) -> Tensor:
        """Emit the mixing, and let the labels of the batch be mixed alike."""
        y, mixture = ops.mix_images(x, self.chance(x), alpha=self._alpha, boxes=self._boxes)
        x.graph.mixtures.append(mixture)
        return y


class MixUp(_Mixing):
    """Blend each image with another of the batch; in `fit`, their labels are blended alike.

    An image keeps a share drawn from Beta(alpha, alpha). Class numbers and one-hot labels become
    probabilities; metrics are still measured against the labels given. Source: Zhang et al., 2018.
    """

    _boxes = False

    def __init__(
        self,
        alpha: float = 0.2,
        data_format: str | None = None,
        seed: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(seed=seed, data_format=data_format, **options)
        self.alpha = _check.number("MixUp", "alpha", alpha)
        if self.alpha <= 0:
            raise ValueError(f"MixUp: alpha must be greater than 0, got alpha={alpha!r}")
        self._alpha = (self.alpha, self.alpha)


class CutMix(_Mixing):
    """Replace a box of each image by that of another of the batch; in `fit`, labels mix by area.

    The area is drawn from Beta(a, a), with a drawn from `factor` for each batch (a number f means
    from 0 to f); labels as in MixUp. Source: Yun et al., 2019.
    """

    _boxes = True

    def __init__(
        self,
        factor: Any = 1.0,
        seed: int | None = None,
        data_format: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(seed=seed, data_format=data_format, **options)
        self.factor = factor
        self._alpha = _range("CutMix", "factor", factor, 0, 1, symmetric=False)
