"""Describe data sets: which files they are made of, where those may lie, how they are read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from convkit._files import FormatError, atomic_write
from convkit.datasets._formats import (
    parse_cifar,
    read_archive,
    read_exactly,
    read_idx,
    read_npz,
)

__all__ = ["Arrays", "CifarDataset", "Dataset", "IdxDataset", "Remote"]

# (x_train, y_train), (x_test, y_test)
Arrays = tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Remote:
    """Name a file to download: its exact size in bytes, its SHA-256 and its mirrors, in order."""

    file: str
    size: int
    sha256: str
    mirrors: tuple[str, ...]


@dataclass(frozen=True)
class Dataset:
    """Describe a data set of `train` + `test` images of `image_shape`, uint8."""

    name: str
    title: str
    class_names: tuple[str, ...]
    image_shape: tuple[int, ...]
    train: int
    test: int
    folders: tuple[str, ...] = ()  # below a data directory; downloads go into the first
    remotes: tuple[Remote, ...] = ()

    @property
    def classes(self) -> int:
        """Return how many classes there are."""
        return len(self.class_names)

    @property
    def download_size(self) -> int:
        """Return how many bytes a download takes; 0 if the data come with the package."""
        return sum(remote.size for remote in self.remotes)


class StoredDataset(Dataset, ABC):
    """A data set that lies in files of its own, and can be downloaded."""

    @property
    @abstractmethod
    def parts(self) -> tuple[str, ...]:
        """Return the names of the files that the data set is made of, unpacked."""

    @abstractmethod
    def locate(self, folder: Path) -> dict[str, Path]:
        """Return {part: path} of the parts that are in `folder`, in any form that is read."""

    @abstractmethod
    def read(self, paths: Mapping[str, Path]) -> Arrays:
        """Read all parts. Raises FormatError where a file does not hold what it should."""

    @abstractmethod
    def remotes_for(self, parts: Iterable[str]) -> list[Remote]:
        """Return the downloads that bring `parts`."""

    @abstractmethod
    def install(self, remote: Remote, raw: IO[bytes], folder: Path) -> None:
        """Put a download, already verified, into `folder`, each file at once or not at all."""


def _first_file(folder: Path, names: Iterable[str]) -> Path | None:
    return next((folder / name for name in names if (folder / name).is_file()), None)


@dataclass(frozen=True)
class IdxDataset(StoredDataset):
    """Describe MNIST and what copies its form: four IDX files, or Keras's mnist.npz.

    image_shape is (height, width); images are read as (N, height, width), labels as (N,).
    """

    npz: str = ""  # name of the .npz file, if there is one
    # MNIST and its drop-in replacements have the same file names and shapes. Their first labels
    # tell them apart: (title, first training labels) of the one most often taken for this.
    not_to_confuse: tuple[str, tuple[int, ...]] = ("", ())

    @property
    def parts(self) -> tuple[str, ...]:
        return (
            "train-images-idx3-ubyte",
            "train-labels-idx1-ubyte",
            "t10k-images-idx3-ubyte",
            "t10k-labels-idx1-ubyte",
        )

    def _shapes(self) -> list[tuple[int, ...]]:
        return [shape for n in (self.train, self.test) for shape in ((n, *self.image_shape), (n,))]

    def locate(self, folder: Path) -> dict[str, Path]:
        found = {}
        for part in self.parts:
            spellings = (part, part.replace("-idx", ".idx"))  # the second is in older archives
            path = _first_file(folder, [n + end for n in spellings for end in ("", ".gz")])
            if path:
                found[part] = path
        if len(found) < len(self.parts) and self.npz and (folder / self.npz).is_file():
            return dict.fromkeys(self.parts, folder / self.npz)
        return found

    def read(self, paths: Mapping[str, Path]) -> Arrays:
        first = paths[self.parts[0]]
        if first.name.endswith(".npz"):
            x_train, y_train, x_test, y_test = self.read_npz(first)
        else:
            x_train, y_train, x_test, y_test = (
                read_idx(paths[part], shape)
                for part, shape in zip(self.parts, self._shapes(), strict=True)
            )
        for labels, part in ((y_train, self.parts[1]), (y_test, self.parts[3])):
            self._check_labels(labels, paths[part])
        return (x_train, y_train), (x_test, y_test)

    def read_npz(self, path: Path) -> list[np.ndarray]:
        """Read the four arrays, in the order of `parts`, from an .npz file as Keras's."""
        keys = ("x_train", "y_train", "x_test", "y_test")
        arrays = read_npz(path, dict(zip(keys, self._shapes(), strict=True)))
        return [arrays[key] for key in keys]

    def _check_labels(self, labels: np.ndarray, path: Path) -> None:
        if labels.max(initial=0) >= self.classes:
            raise FormatError(
                f"load_data: {path} must hold labels from 0 to {self.classes - 1}, got a label"
                f" {labels.max()}; replace it by a good copy, or delete it to have it downloaded"
                " again"
            )
        other, start = self.not_to_confuse
        if other and len(labels) == self.train and tuple(labels[: len(start)]) == start:
            raise FormatError(
                f"load_data: {path} must hold the labels of {self.title}, got those of {other}"
                " (its files have the same names); pass the directory that holds"
                f" {self.title}, or keep each set in a directory of its own:"
                f" {', '.join(self.folders)}"
            )

    def remotes_for(self, parts: Iterable[str]) -> list[Remote]:
        wanted = set(parts)
        return [remote for remote in self.remotes if remote.file.removesuffix(".gz") in wanted]

    def install(self, remote: Remote, raw: IO[bytes], folder: Path) -> None:
        with atomic_write(folder / remote.file) as target:
            target.write(raw.read())


@dataclass(frozen=True)
class CifarDataset(StoredDataset):
    """Describe CIFAR-10 and CIFAR-100 in their binary form: .bin files or the archive of them.

    image_shape is (height, width, channels); images are read as (N, height, width, channels),
    labels as (N, k), k being the number of label bytes per record.
    """

    train_files: tuple[str, ...] = ()  # of equally many records each
    test_file: str = ""
    label_limits: tuple[int, ...] = ()  # one for each label byte of a record

    @property
    def parts(self) -> tuple[str, ...]:
        return (*self.train_files, self.test_file)

    def _records(self) -> dict[str, int]:
        """Return {part: how many records it holds}."""
        return {
            **dict.fromkeys(self.train_files, self.train // len(self.train_files)),
            self.test_file: self.test,
        }

    def _sizes(self) -> dict[str, int]:
        """Return {part: its size in bytes}."""
        record = len(self.label_limits) + int(np.prod(self.image_shape))
        return {part: count * record for part, count in self._records().items()}

    def locate(self, folder: Path) -> dict[str, Path]:
        found = {}
        for part in self.parts:
            path = _first_file(folder, (part, f"{part}.gz"))
            if path:
                found[part] = path
        if len(found) < len(self.parts):
            archive = self.remotes[0].file
            path = _first_file(folder, (archive, archive.removesuffix(".gz")))
            if path:
                return dict.fromkeys(self.parts, path)
        return found

    def read(self, paths: Mapping[str, Path]) -> Arrays:
        records, sizes = self._records(), self._sizes()
        contents: dict[str, bytes] = {}
        if len(set(paths.values())) == 1:  # all in one file: the archive
            archive = paths[self.test_file]
            with open(archive, "rb") as raw:
                contents = read_archive(raw, archive, self.folders[0], sizes)
        splits = []
        for files in (self.train_files, (self.test_file,)):
            count = sum(records[part] for part in files)
            images = np.empty((count, *self.image_shape), np.uint8)
            labels = np.empty((count, len(self.label_limits)), np.uint8)
            start = 0
            for part in files:
                rows = slice(start, start + records[part])
                data = contents.pop(part, None) or read_exactly(
                    paths[part],
                    sizes[part],
                    f"{records[part]:,} records of {self.title} in binary form",
                )
                parse_cifar(images[rows], labels[rows], data, paths[part], self.label_limits)
                start = rows.stop
            splits.append((images, labels))
        return splits[0], splits[1]

    def remotes_for(self, parts: Iterable[str]) -> list[Remote]:
        return list(self.remotes) if list(parts) else []

    def install(self, remote: Remote, raw: IO[bytes], folder: Path) -> None:
        # The unpacked files are kept, not the archive: unpacking takes longer than an epoch's
        # worth of reading, and would have to be done at each start.
        for part, data in read_archive(raw, remote.file, self.folders[0], self._sizes()).items():
            with atomic_write(folder / part) as target:
                target.write(data)
