"""Fashion-MNIST: 70,000 pictures of clothes, 28 x 28, grey.

Source: H. Xiao, K. Rasul, R. Vollgraf, Fashion-MNIST: a novel image dataset for benchmarking
machine learning algorithms, arXiv:1708.07747, 2017; MIT licence.
"""

from __future__ import annotations

import os

from convkit._arguments import named_arguments
from convkit.datasets._dataset import Arrays, IdxDataset, Remote
from convkit.datasets._fetch import load

__all__ = ["CLASS_NAMES", "load_data"]

CLASS_NAMES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


def _remote(file: str, size: int, sha256: str) -> Remote:
    return Remote(
        file,
        size,
        sha256,
        (
            f"https://storage.googleapis.com/tensorflow/tf-keras-datasets/{file}",
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/"
            + file,
            # The authors' own server; it has no TLS, the checksum stands in for it.
            f"http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/{file}",
        ),
    )


DATASET = IdxDataset(
    name="fashion_mnist",
    title="Fashion-MNIST",
    class_names=CLASS_NAMES,
    image_shape=(28, 28),
    train=60_000,
    test=10_000,
    folders=("fashion-mnist", "fashion_mnist", "FashionMNIST"),
    not_to_confuse=("MNIST", (5, 0, 4, 1, 9, 2, 1, 3, 1, 4)),
    remotes=(
        _remote(
            "train-images-idx3-ubyte.gz",
            26_421_880,
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        ),
        _remote(
            "train-labels-idx1-ubyte.gz",
            29_515,
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        ),
        _remote(
            "t10k-images-idx3-ubyte.gz",
            4_422_102,
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        ),
        _remote(
            "t10k-labels-idx1-ubyte.gz",
            5_148,
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        ),
    ),
)


@named_arguments
def load_data(*, data_dir: str | os.PathLike[str] | None = None) -> Arrays:
    """Return (x_train, y_train), (x_test, y_test).

    x: uint8 (60000, 28, 28) and (10000, 28, 28), 0 is background; y: uint8 (60000,) and (10000,).
    data_dir is a directory with the four IDX files, or a directory `fashion-mnist` with them; next
    come CONVKIT_DATA, the cache, and a download of 31 MB.
    Raises FormatError for a damaged file, FileNotFoundError for an incomplete or absent data_dir,
    DownloadError if no mirror answers.
    """
    return load(DATASET, data_dir)
