"""Small helpers with Keras's names."""

import numpy as np
import pytest

import convkit
from convkit import utils


def test_normalize():
    x = np.array([[3, 4], [0, 0], [-1, 0]])
    np.testing.assert_allclose(utils.normalize(x), [[0.6, 0.8], [0, 0], [-1, 0]])
    assert utils.normalize(x).dtype == np.float32
    np.testing.assert_allclose(utils.normalize(x.astype(float), 0, 1)[:, 1], [1, 0, 0])
    with pytest.raises(TypeError, match="normalize: x must be numbers"):
        utils.normalize(["a"])


def test_set_random_seed_is_set_seed():
    drawn = []
    for _ in range(2):
        utils.set_random_seed(3)
        drawn.append(convkit.runtime.next_seed())
    assert drawn[0] == drawn[1]


def test_split_dataset():
    x, y = np.arange(20).reshape(10, 2), np.arange(10)
    (a, b), (c, d) = utils.split_dataset((x, y), 0.8)
    assert (len(a), len(c)) == (8, 2) and np.array_equal(a[:, 0], 2 * b) and d.tolist() == [8, 9]
    left, right = utils.split_dataset(y, right_size=3)
    assert left.tolist() == list(range(7)) and right.tolist() == [7, 8, 9]
    left, right = utils.split_dataset(y, 2, 3)
    assert left.tolist() == [0, 1] and right.tolist() == [7, 8, 9]
    left, right = utils.split_dataset(y, 4, shuffle=True, seed=1)
    assert sorted([*left, *right]) == list(range(10)) and left.tolist() != [0, 1, 2, 3]
    again, _rest = utils.split_dataset(y, 4, shuffle=True, seed=1)
    assert again.tolist() == left.tolist()
    for sizes in ((None, None), (11, None), (8, 3), (1.5, None)):
        with pytest.raises(ValueError, match="split_dataset"):
            utils.split_dataset(y, *sizes)
    with pytest.raises(ValueError, match="as many rows"):
        utils.split_dataset((x, y[:3]), 0.5)


def test_to_categorical():
    rows = utils.to_categorical([[0], [2]])
    assert rows.dtype == np.float32 and rows.tolist() == [[1, 0, 0], [0, 0, 1]]
    assert utils.to_categorical([1], 4).shape == (1, 4)
    for labels in ([0, 3], [-1, 0]):
        with pytest.raises(ValueError, match=r"must lie in \[0, 3\), got values from"):
            utils.to_categorical(labels, 3)
