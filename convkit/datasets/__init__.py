"""Load data sets as Keras does: (x_train, y_train), (x_test, y_test), uint8.

`digits` comes with the package. The others are looked for in the `data_dir` argument, in the
directory that CONVKIT_DATA names and in the cache, and are downloaded if nobody has them; what a
download brings must match its checksum. `image_folder` reads pictures of your own.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from convkit import _check
from convkit._files import FormatError
from convkit.datasets import cifar10, cifar100, digits, fashion_mnist, mnist
from convkit.datasets._dataset import Arrays, Dataset
from convkit.datasets._fetch import DownloadError
from convkit.datasets._fetch import download as _download
from convkit.datasets._image_folder import image_folder

__all__ = [
    "DownloadError",
    "FormatError",
    "cifar10",
    "cifar100",
    "digits",
    "download",
    "fashion_mnist",
    "image_folder",
    "info",
    "load",
    "mnist",
    "names",
]

_MODULES = {
    module.DATASET.name: module for module in (digits, mnist, fashion_mnist, cifar10, cifar100)
}


def _known_name(name: str, function: str) -> str:
    """Return the canonical spelling of a name, or raise an error that suggests the nearest."""
    if not isinstance(name, str):
        raise TypeError(f"{function}: name must be a string, got name={name!r}")

    def plain(text: str) -> str:
        return "".join(c for c in text.lower() if c.isalnum())

    spellings = {plain(known): known for known in _MODULES}
    if plain(name) in spellings:
        return spellings[plain(name)]
    import difflib

    near = difflib.get_close_matches(plain(name), spellings, n=1)
    hint = f"; did you mean {spellings[near[0]]!r}?" if near else ""
    raise ValueError(
        f"{function}: name must be one of {', '.join(_MODULES)}, got name={name!r}{hint}"
    )


def names() -> list[str]:
    """List the names of the data sets."""
    return list(_MODULES)


def info(name: str) -> Dataset:
    """Return the description of a data set.

    Its attributes: name, title, classes, class_names, image_shape, train and test (numbers of
    images), download_size (bytes; 0 if it comes with the package). Raises ValueError for an unknown
    name.
    """
    return _MODULES[_known_name(name, "info")].DATASET


def load(name: str, data_dir: str | os.PathLike[str] | None = None) -> Arrays:
    """Load a data set by name, as its module's load_data does.

    Case, dashes and underscores do not matter: "Fashion-MNIST" is "fashion_mnist".
    Raises ValueError for an unknown name, otherwise what load_data raises.
    """
    return _MODULES[_known_name(name, "load")].load_data(data_dir=data_dir)


def download(name: str) -> Path:
    """Fetch a data set into the cache unless it is there and good; return its directory.

    Raises ValueError for an unknown name, DownloadError if no mirror answers.
    """
    known = _known_name(name, "download")
    if known == digits.DATASET.name:
        return Path(__file__).parent
    return _download(_MODULES[known].DATASET)


if not TYPE_CHECKING:
    __getattr__ = _check.missing_from(__name__, __all__)
