"""Write convkit/datasets/digits.npz from scikit-learn's copy of the UCI digits."""

from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits


def main() -> None:
    """Convert the images without loss and store them compressed."""
    digits = load_digits()
    x, y = digits.images.astype(np.uint8), digits.target.astype(np.uint8)
    assert np.array_equal(x, digits.images) and x.max() == 16
    target = Path(__file__).parents[1] / "convkit" / "datasets" / "digits.npz"
    np.savez_compressed(target, x=x, y=y)
    print(target, target.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
