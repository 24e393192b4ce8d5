"""Sheets of images as PNG files, without matplotlib."""

from __future__ import annotations

import os
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convkit import _check
from convkit._arguments import named_arguments
from convkit._files import atomic_write

Array = NDArray[Any]


def stack(function: str, images: ArrayLike) -> Array:
    """Return images (N, H, W) or (N, H, W, 1 or 3) as an array without a last axis of one."""
    array = np.asarray(images)
    if array.ndim == 4 and array.shape[-1] == 1:
        array = array[..., 0]
    colours = array.ndim == 4 and array.shape[-1] == 3
    if array.dtype.kind not in "fiub" or not (array.ndim == 3 or colours) or 0 in array.shape:
        raise ValueError(
            f"{function}: images must be numbers of shape (N, H, W), (N, H, W, 1) or (N, H, W, 3),"
            f" got {array.dtype} of shape {array.shape}; for one image pass image[None], for the"
            " channels of a feature map (H, W, C) pass maps.transpose(2, 0, 1)"
        )
    return array


def mosaic(images: Array, columns: int, pad: int, background: Any) -> Array:
    """Put images (N, H, W[, 3]) side by side in rows of `columns`, `pad` cells apart."""
    count, height, width = images.shape[:3]
    rows = -(-count // columns)
    sheet = np.full(
        (rows * (height + pad) - pad, columns * (width + pad) - pad, *images.shape[3:]),
        background,
        images.dtype,
    )
    for i, image in enumerate(images):
        top, left = i // columns * (height + pad), i % columns * (width + pad)
        sheet[top : top + height, left : left + width] = image
    return sheet


def _to_range(array: Array, axes: Any) -> Array:
    """Map the smallest value to 0 and the largest to 1; where all are equal, to 0."""
    values = array.astype(np.float64)
    low, high = values.min(axis=axes, keepdims=True), values.max(axis=axes, keepdims=True)
    return (values - low) / np.where(high > low, high - low, 1)


@named_arguments
def grid(
    images: ArrayLike,
    columns: int | None = None,
    *,
    pad: int = 1,
    background: int = 255,
    scale: str | None = None,
) -> NDArray[np.uint8]:
    """Arrange images in one sheet of uint8 pixels, (height, width) or (height, width, 3).

    images: (N, H, W), (N, H, W, 1) or (N, H, W, 3). scale="each" stretches every image from black
    to white, "all" all of them alike, "none" takes 0..255; by default uint8 is taken as it is and
    everything else stretched each. columns=None makes the sheet about square.
    Raises ValueError for other shapes.
    """
    array = stack("grid", images)
    if scale is None:
        scale = "none" if array.dtype == np.uint8 else "each"
    scale = _check.one_of("grid", "scale", scale, ("each", "all", "none"))
    if scale != "none":
        axes = tuple(range(1, array.ndim)) if scale == "each" else None
        array = 255 * _to_range(array, axes)
    count = int(np.ceil(np.sqrt(len(array)))) if columns is None else columns
    columns = min(_check.integer("grid", "columns", count), len(array))
    pixels = np.rint(array).clip(0, 255).astype(np.uint8)
    return mosaic(pixels, columns, _check.integer("grid", "pad", pad, 0), background)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@named_arguments
def save_png(path: str | os.PathLike[str], pixels: ArrayLike, enlarge: int = 1) -> None:
    """Write pixels (H, W), (H, W, 1) or (H, W, 3) as a PNG file, whole or not at all.

    Integers are 0..255, floats 0..1 (as matplotlib's imread gives them); enlarge=4 makes every
    pixel a square of 4 x 4. Raises ValueError for other shapes and values.
    Source: W3C, Portable Network Graphics (PNG) Specification, second edition.
    """
    array = np.asarray(pixels)
    if array.ndim == 3 and array.shape[-1] == 1:
        array = array[..., 0]
    if not (array.ndim == 2 or (array.ndim == 3 and array.shape[-1] == 3)) or not array.size:
        raise ValueError(
            f"save_png: pixels must have shape (H, W), (H, W, 1) or (H, W, 3), got {array.shape};"
            " put several images into one sheet with grid(images)"
        )
    top = 1 if array.dtype.kind == "f" else 255
    if not (array.min() >= 0 and array.max() <= top):
        raise ValueError(
            f"save_png: {array.dtype} pixels must lie in 0..{top}, got {array.min()} to"
            f" {array.max()}; grid(images) stretches them"
        )
    values = np.rint(array * (255 / top)).astype(np.uint8)
    times = _check.integer("save_png", "enlarge", enlarge)
    values = values.repeat(times, axis=0).repeat(times, axis=1)
    height, width = values.shape[:2]
    rows = values.reshape(height, -1)
    lines = np.concatenate([np.zeros((height, 1), np.uint8), rows], axis=1)  # 0: no filter
    header = struct.pack(">IIBBBBB", width, height, 8, 2 if values.ndim == 3 else 0, 0, 0, 0)
    with atomic_write(path) as file:
        file.write(b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header))
        file.write(_chunk(b"IDAT", zlib.compress(lines.tobytes(), 9)) + _chunk(b"IEND", b""))
