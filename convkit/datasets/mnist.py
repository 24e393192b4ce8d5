"""MNIST: 70,000 handwritten digits, 28 x 28, grey.

Source: Y. LeCun, C. Cortes, C. J. C. Burges, The MNIST database of handwritten digits.
"""

from __future__ import annotations

import os
from pathlib import Path

from convkit._arguments import named_arguments
from convkit.datasets._dataset import Arrays, IdxDataset, Remote
from convkit.datasets._fetch import load

__all__ = ["CLASS_NAMES", "load_data"]

CLASS_NAMES = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")


def _remote(file: str, size: int, sha256: str) -> Remote:
    return Remote(
        file,
        size,
        sha256,
        (
            f"https://storage.googleapis.com/cvdf-datasets/mnist/{file}",
            f"https://ossci-datasets.s3.amazonaws.com/mnist/{file}",
        ),
    )


DATASET = IdxDataset(
    name="mnist",
    title="MNIST",
    class_names=CLASS_NAMES,
    image_shape=(28, 28),
    train=60_000,
    test=10_000,
    folders=("mnist", "MNIST"),
    npz="mnist.npz",
    not_to_confuse=("Fashion-MNIST", (9, 0, 0, 3, 0, 2, 7, 2, 5, 5)),
    remotes=(
        _remote(
            "train-images-idx3-ubyte.gz",
            9_912_422,
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        ),
        _remote(
            "train-labels-idx1-ubyte.gz",
            28_881,
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        ),
        _remote(
            "t10k-images-idx3-ubyte.gz",
            1_648_877,
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        ),
        _remote(
            "t10k-labels-idx1-ubyte.gz",
            4_542,
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        ),
    ),
)


@named_arguments
def load_data(
    path: str | os.PathLike[str] = "mnist.npz",
    *,
    data_dir: str | os.PathLike[str] | None = None,
) -> Arrays:
    """Return (x_train, y_train), (x_test, y_test).

    x: uint8 (60000, 28, 28) and (10000, 28, 28), 0 is background; y: uint8 (60000,) and (10000,).
    data_dir is a directory with the four IDX files, or Keras's mnist.npz, or a directory `mnist`
    with them; next come CONVKIT_DATA, the cache, and a download of 12 MB. A `path` of one's own
    that names an existing .npz file goes before all these.
    Raises FormatError for a damaged file, FileNotFoundError for an incomplete or absent data_dir,
    DownloadError if no mirror answers.
    """
    if os.fspath(path) != "mnist.npz" and Path(path).is_file():
        return DATASET.read(dict.fromkeys(DATASET.parts, Path(path)))
    return load(DATASET, data_dir)
