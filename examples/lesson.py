"""What all lessons share: their options, their images, and where their pictures go."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import numpy as np

import convkit
from convkit import datasets

SHAPES = (
    "disc",
    "ring",
    "square",
    "frame",
    "cross",
    "slash",
    "lying",
    "standing",
    "checks",
    "dots",
)


class Lesson:
    """Read the options of a lesson: --quick, --data DIR, --out DIR, and more by name."""

    def __init__(self, text: str, **more: str) -> None:
        parser = argparse.ArgumentParser(description=text.strip().splitlines()[0])
        parser.add_argument(
            "--quick", action="store_true", help="a few seconds, on images that come with convkit"
        )
        parser.add_argument(
            "--data",
            metavar="DIR",
            default=os.environ.get("CONVKIT_DATA"),
            help="where mnist/ and cifar-10-batches-bin/ are (default: CONVKIT_DATA); without it"
            " the images that come with convkit are used",
        )
        parser.add_argument("--out", metavar="DIR", default="pictures", help="where pictures go")
        for name, purpose in more.items():
            parser.add_argument(f"--{name}", metavar=name.upper(), help=purpose)
        options = parser.parse_args()
        self.given: dict[str, str | None] = {name: getattr(options, name) for name in more}
        self.quick: bool = options.quick
        self.data: str | None = None if options.quick else options.data
        self.out = Path(options.out)
        self.out.mkdir(parents=True, exist_ok=True)
        convkit.set_seed(1)
        print(text.strip().splitlines()[0])

    def epochs(self, count: int) -> int:
        """Return how often to see the images: the built-in ones are few, so more often."""
        return count if self.data else 3 * count

    def digits(self) -> Any:
        """Return (x, y), (x_test, y_test): MNIST, or the built-in digits made as large.

        x: uint8 (N, 28, 28), y: uint8 (N,).
        """
        if self.data:
            return datasets.mnist.load_data(data_dir=self.data)
        return tuple((enlarge(x), y) for x, y in datasets.digits.load_data())

    def colours(self) -> Any:
        """Return (x, y), (x_test, y_test), names: CIFAR-10, or drawn shapes in random colours.

        x: uint8 (N, 32, 32, 3), y: uint8 (N, 1).
        """
        if self.data:
            names = datasets.cifar10.CLASS_NAMES
            return (*datasets.cifar10.load_data(data_dir=self.data), names)
        return draw_shapes(1500, seed=0), draw_shapes(500, seed=1), SHAPES

    def save(self, picture: Any, name: str) -> None:
        """Save a picture, or the pixels of a sheet, as a PNG."""
        path = self.out / name
        if isinstance(picture, np.ndarray):
            convkit.viz.save_png(path, picture, enlarge=3)
        else:
            picture.save(path)
        print(f"picture: {path}")


def enlarge(x: Any) -> Any:
    """Turn digits (N, 8, 8) of 0..16 into (N, 28, 28) of 0..255: three times as large, framed."""
    at = (np.arange(24) + 0.5) / 3 - 0.5  # the middle of each new pixel, in old pixels
    weight = np.exp(-(((at[:, None] - np.arange(8)) / 0.75) ** 2))  # a soft brush
    weight /= weight.sum(axis=1, keepdims=True)
    large = np.einsum("ih,nhw,jw->nij", weight, x / 16, weight, optimize=True)
    large *= 255 / large.max(axis=(1, 2), keepdims=True)
    return np.pad(np.rint(large), ((0, 0), (2, 2), (2, 2))).astype(np.uint8)


def draw_shapes(count: int, seed: int) -> Any:
    """Draw `count` shapes of random place, size and colours; return (x, y) as CIFAR-10 has them."""
    rng = np.random.default_rng(seed)
    y = (np.arange(count) % len(SHAPES)).astype(np.uint8)
    middle = rng.uniform(13, 19, (count, 2, 1, 1))
    size = rng.uniform(7, 12, (count, 1, 1))
    rows, columns = np.arange(32).reshape(1, 32, 1), np.arange(32).reshape(1, 1, 32)
    v, u = (rows - middle[:, 0]) / size, (columns - middle[:, 1]) / size
    far, most = np.hypot(u, v), np.maximum(np.abs(u), np.abs(v))
    box = most < 1
    masks = {
        "disc": far < 1,
        "ring": (far < 1) & (far > 0.6),
        "square": box,
        "frame": box & (most > 0.6),
        "cross": box & (np.minimum(np.abs(u), np.abs(v)) < 0.25),
        "slash": box & (np.abs(u + v) < 0.4),
        "lying": box & (np.floor(4 * v) % 2 == 0),
        "standing": box & (np.floor(4 * u) % 2 == 0),
        "checks": box & ((np.floor(3 * u) + np.floor(3 * v)) % 2 == 0),
        "dots": box & (np.hypot(3 * u % 1 - 0.5, 3 * v % 1 - 0.5) < 0.35),
    }
    mask = np.choose(y[:, None, None], [masks[name] for name in SHAPES])[..., None]
    paper, ink = rng.uniform(0, 110, (count, 1, 1, 3)), rng.uniform(120, 255, (count, 1, 1, 3))
    noise = rng.normal(0, 12, (count, 32, 32, 3))
    x = np.where(mask, ink, paper) + noise
    return x.clip(0, 255).astype(np.uint8), y.reshape(count, 1)
