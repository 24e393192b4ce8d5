"""Read a folder of pictures, one folder a class, into arrays or batch by batch."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from convkit import _check, runtime
from convkit._arguments import named_arguments
from convkit.feeding import PyDataset

COLOR_MODES = {"rgb": ("RGB", 3), "grayscale": ("L", 1), "rgba": ("RGBA", 4)}
ON_ERROR = ("warn", "raise")
SHOWN = 10  # files that a message names


class Images(NamedTuple):
    """Pictures of a folder: x (N, H, W, C) uint8, class numbers y (N,), names, and the files."""

    x: NDArray[np.uint8]
    y: NDArray[np.int64]
    class_names: list[str]
    files: list[Path]


@named_arguments
def image_folder(
    path: str | os.PathLike[str],
    image_size: Sequence[int] | int | None = None,
    color_mode: str = "rgb",
    validation_split: float | None = None,
    seed: int | None = None,
    shuffle: bool = True,
    on_error: str = "warn",
) -> Any:
    """Load path/CLASS/**/PICTURE: one folder a class, numbered by their sorted names.

    Returns Images (x, y, class_names, files); with validation_split a pair of them, training and
    validation, that share out every class. Files may be PNG, JPEG and whatever else pillow reads.
    image_size is (height, width) or one number for both: all pictures are resized to it; without it
    they must have one size. The order is random unless shuffle=False, the same for the same seed.
    Files that cannot be read as pictures are left out with a warning that lists them, or, with
    on_error="raise", are an error.

    Raises FileNotFoundError, ValueError for a folder without classes or pictures, for pictures of
    several sizes without image_size, and for unreadable files if asked to; ImportError without
    pillow.
    """
    function = "image_folder"
    mode, channels = COLOR_MODES[_check.one_of(function, "color_mode", color_mode, COLOR_MODES)]
    _check.one_of(function, "on_error", on_error, ON_ERROR)
    size = None if image_size is None else _check.pair(function, "image_size", image_size)
    share = 0.0
    if validation_split is not None:
        share = _check.number(function, "validation_split", validation_split)
        if not 0 < share < 1:
            raise ValueError(
                f"{function}: validation_split must lie in (0, 1), got {validation_split!r}"
            )
    folder = Path(path)
    classes, found = _find(function, folder)
    pictures: list[NDArray[np.uint8]] = []
    numbers: list[int] = []
    files: list[Path] = []
    unreadable: list[str] = []
    for file, number in found:
        picture = _read(function, file, mode, size)
        if isinstance(picture, str):
            unreadable.append(f"{file.relative_to(folder)} ({picture})")
            continue
        pictures.append(picture.reshape(*picture.shape[:2], channels))
        numbers.append(number)
        files.append(file)
    _report(function, unreadable, on_error)
    empty = [name for number, name in enumerate(classes) if number not in numbers]
    if empty:
        raise ValueError(
            f"{function}: every class needs a picture, there is none that can be read in"
            f" {', '.join(empty)}"
        )
    _require_one_size(function, pictures, [str(file.relative_to(folder)) for file in files])
    x, y = np.stack(pictures), np.array(numbers, np.int64)
    generator = np.random.default_rng(seed) if seed is not None else runtime.random_generator()
    order = generator.permutation(len(y)) if shuffle else np.arange(len(y))

    def part(rows: NDArray[Any]) -> Images:
        return Images(x[rows], y[rows], classes, [files[row] for row in rows])

    if not share:
        return part(order)
    held = _held_out(function, y, order, share, classes)
    return part(order[~held[order]]), part(order[held[order]])


def _held_out(
    function: str,
    y: NDArray[np.int64],
    order: NDArray[np.int64],
    share: float,
    classes: Sequence[str],
) -> NDArray[np.bool_]:
    """Mark a share of every class, the first in an order."""
    held = np.zeros(len(y), bool)
    for number, name in enumerate(classes):
        rows = order[y[order] == number]
        count = round(len(rows) * share)
        if not 0 < count < len(rows):
            raise ValueError(
                f"{function}: validation_split={share!r} of the {len(rows)} pictures of"
                f" class {name!r} leaves none for one of both sides"
            )
        held[rows[:count]] = True
    return held


LABEL_MODES = ("int", "categorical", "binary", None)
SUBSETS = ("training", "validation")


class ImageBatches(PyDataset):
    """Batches of pictures that are read from their files when they are needed."""

    def __init__(
        self,
        files: Sequence[Path],
        labels: NDArray[np.int64],
        class_names: list[str],
        *,
        read: Callable[[Path], NDArray[np.uint8]],
        label_mode: str | None,
        batch_size: int,
        generator: np.random.Generator | None,
    ) -> None:
        super().__init__()
        self.file_paths = list(files)
        self.class_names = class_names
        self.labels = labels
        self._read, self._label_mode, self._size = read, label_mode, batch_size
        self._generator = generator
        self._order = np.arange(len(labels))
        self.on_epoch_end()

    def __len__(self) -> int:
        """Return the number of batches."""
        return -(-len(self.labels) // self._size)

    def __getitem__(self, index: int) -> Any:
        """Read a batch: (x, y), or x alone without labels."""
        rows = self._order[index * self._size : (index + 1) * self._size]
        x = np.stack([self._read(self.file_paths[row]) for row in rows])
        y: NDArray[Any] = self.labels[rows]
        if self._label_mode is None:
            return x
        if self._label_mode == "categorical":
            y = np.eye(len(self.class_names), dtype=np.float32)[y]
        elif self._label_mode == "binary":
            y = y.astype(np.float32)[:, None]
        return x, y

    def on_epoch_end(self) -> None:
        """Shuffle anew."""
        if self._generator is not None:
            self._order = self._generator.permutation(len(self.labels))


@named_arguments
def image_dataset_from_directory(
    directory: str | os.PathLike[str],
    label_mode: str | None = "int",
    color_mode: str = "rgb",
    batch_size: int = 32,
    image_size: Sequence[int] | int = (256, 256),
    shuffle: bool = True,
    seed: int | None = None,
    validation_split: float | None = None,
    subset: str | None = None,
) -> ImageBatches:
    """Read directory/CLASS/**/PICTURE batch by batch, for folders larger than memory.

    Returns a PyDataset for fit, evaluate and predict with attributes class_names and file_paths;
    the pictures are uint8, resized to image_size. label_mode is "int", "categorical" (one-hot),
    "binary" (one column) or None. With validation_split give subset="training" or "validation" and
    the same seed to both calls; each class is shared out.

    Raises what image_folder raises; unreadable files are an error when they are read.
    """
    function = "image_dataset_from_directory"
    mode, channels = COLOR_MODES[_check.one_of(function, "color_mode", color_mode, COLOR_MODES)]
    if label_mode not in LABEL_MODES:
        raise ValueError(
            f"{function}: label_mode must be one of {LABEL_MODES}, got label_mode={label_mode!r}"
        )
    size = _check.pair(function, "image_size", image_size)
    batch_size = _check.integer(function, "batch_size", batch_size)
    folder = Path(directory)
    classes, found = _find(function, folder)
    if label_mode == "binary" and len(classes) != 2:
        raise ValueError(f"{function}: label_mode='binary' needs two classes, got {len(classes)}")
    if not found:
        raise ValueError(f"{function}: {folder} must hold pictures, its folders are empty")
    y = np.array([number for _file, number in found], np.int64)
    if (validation_split is None) != (subset is None):
        raise ValueError(
            f"{function}: validation_split and subset must be given together, got"
            f" validation_split={validation_split!r}, subset={subset!r}"
        )
    rows = np.arange(len(y))
    if validation_split is not None:
        share = _check.number(function, "validation_split", validation_split)
        chosen = _check.one_of(function, "subset", subset, SUBSETS)
        if seed is None:
            raise ValueError(
                f"{function}: validation_split needs a seed, the same for both subsets"
            )
        order = np.random.default_rng(seed).permutation(len(y))
        held = _held_out(function, y, order, share, classes)
        rows = rows[held == (chosen == "validation")]
    generator = None
    if shuffle:
        generator = runtime.random_generator() if seed is None else np.random.default_rng(seed)

    def read(file: Path) -> NDArray[np.uint8]:
        picture = _read(function, file, mode, size)
        if isinstance(picture, str):
            raise ValueError(f"{function}: {file} cannot be read ({picture}); repair or remove it")
        return picture.reshape(*size, channels)

    return ImageBatches(
        [found[row][0] for row in rows],
        y[rows],
        classes,
        read=read,
        label_mode=label_mode,
        batch_size=batch_size,
        generator=generator,
    )


def _find(function: str, folder: Path) -> tuple[list[str], list[tuple[Path, int]]]:
    """Return the classes of a folder, and its files with their class numbers, both sorted."""
    if not folder.is_dir():
        raise FileNotFoundError(f"{function}: path must be a folder, got {str(folder)!r}")
    classes = sorted(entry.name for entry in folder.iterdir() if _visible(entry) and entry.is_dir())
    if not classes:
        raise ValueError(
            f"{function}: {folder} must hold one folder for each class, it holds no folder; move"
            " the pictures of each class into a folder of its own"
        )
    found = [
        (file, number)
        for number, name in enumerate(classes)
        for file in sorted(each for each in (folder / name).rglob("*") if _visible(each))
        if file.is_file()
    ]
    return classes, found


def _visible(path: Path) -> bool:
    return not path.name.startswith(".") and path.name not in ("Thumbs.db", "desktop.ini")


def _read(
    function: str, file: Path, mode: str, size: tuple[int, int] | None
) -> NDArray[np.uint8] | str:
    """Return a picture, or why there is none."""
    try:
        from PIL import Image, ImageOps, UnidentifiedImageError
    except ImportError:
        raise ImportError(
            f"{function}: reading pictures needs pillow: pip install 'convkit[plot]'"
        ) from None
    try:
        with Image.open(file) as image:
            upright = ImageOps.exif_transpose(image).convert(mode)
            if size is not None and upright.size != size[::-1]:
                upright = upright.resize(size[::-1], Image.Resampling.BILINEAR)
            return np.asarray(upright, np.uint8)
    except UnidentifiedImageError:
        return "not a picture"
    except (OSError, SyntaxError, ValueError) as error:  # what pillow raises for damaged files
        return str(error) or type(error).__name__


def _listed(names: Sequence[str]) -> str:
    rest = f", and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + rest


def _report(function: str, unreadable: Sequence[str], on_error: str) -> None:
    if not unreadable:
        return
    what = f"{function}: {len(unreadable)} files cannot be read as pictures"
    if on_error == "raise":
        raise ValueError(f"{what}; repair or remove them: {_listed(unreadable)}")
    warnings.warn(f"{what} and are left out: {_listed(unreadable)}", stacklevel=3)


def _require_one_size(function: str, pictures: Sequence[Any], names: Sequence[str]) -> None:
    sizes = Counter(picture.shape[:2] for picture in pictures)
    if len(sizes) == 1:
        return
    (height, width), count = sizes.most_common(1)[0]
    odd = [
        f"{name} ({picture.shape[0]} x {picture.shape[1]})"
        for picture, name in zip(pictures, names, strict=True)
        if picture.shape[:2] != (height, width)
    ]
    raise ValueError(
        f"{function}: pictures must have one size, {count} are {height} x {width}, {len(odd)} are"
        f" not; pass image_size=({height}, {width}) to resize them: {_listed(odd)}"
    )
