"""Digits: 1,797 handwritten digits, 8 x 8, grey; part of the package, so always there.

Source: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning
Repository, 1998, https://doi.org/10.24432/C50P49; licence CC BY 4.0. These are the set's test
images (13 writers), in their order, as scikit-learn's load_digits has them.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from convkit._arguments import named_arguments
from convkit.datasets._dataset import Arrays, Dataset

__all__ = ["CLASS_NAMES", "load_data"]

CLASS_NAMES = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")

DATASET = Dataset(
    name="digits",
    title="Digits",
    class_names=CLASS_NAMES,
    image_shape=(8, 8),
    train=1_442,
    test=355,
)


@named_arguments
def load_data(*, data_dir: str | os.PathLike[str] | None = None) -> Arrays:
    """Return (x_train, y_train), (x_test, y_test).

    x: uint8 (1442, 8, 8) and (355, 8, 8), each value 0..16 (not 255), 0 is background;
    y: uint8 (1442,) and (355,).
    Every fifth image of each digit is for testing, the others for training, both in the source's
    order: always the same split, in which all digits and all writers occur in both parts.
    data_dir is not looked at; it is there so that all data sets are loaded alike.
    """
    with np.load(Path(__file__).with_name("digits.npz"), allow_pickle=False) as stored:
        x, y = stored["x"], stored["y"]
    occurrence = np.empty(len(y), np.intp)  # how many of the same digit came before
    for digit in range(len(CLASS_NAMES)):
        of_digit = y == digit
        occurrence[of_digit] = np.arange(np.count_nonzero(of_digit))
    test = occurrence % 5 == 4
    return (x[~test], y[~test]), (x[test], y[test])
