"""What the class says of filters, feature maps and pooling holds to the number."""

import numpy as np
import pytest

import convkit.functional as F
from convkit import layers


@pytest.mark.parametrize(
    ("shape", "filters", "padding", "expected"),
    [
        ((28, 28, 1), 3, "valid", (24, 24, 3)),
        ((24, 24, 3), 6, "valid", (20, 20, 6)),
        ((28, 28, 1), 6, "same", (28, 28, 6)),
        ((14, 14, 6), 16, "valid", (10, 10, 16)),
        ((32, 32, 3), 3, "valid", (28, 28, 3)),
    ],
)
def test_sizes_of_feature_maps(shape, filters, padding, expected, rng):
    layer = layers.Conv2D(filters, kernel_size=5, padding=padding)
    assert layer(rng.random((2, *shape))).shape == (2, *expected)
    assert layer.kernel.shape == (5, 5, shape[-1], filters)


@pytest.mark.parametrize(("size", "half"), [(24, 12), (8, 4), (28, 14), (10, 5), (25, 12), (5, 2)])
def test_pooling_halves_each_side(size, half, rng):
    x = rng.standard_normal((2, size, size, 3)).astype(np.float32)
    y = layers.MaxPool2D()(x)
    assert y.shape == (2, half, half, 3)
    windows = x[:, : 2 * half, : 2 * half].reshape(2, half, 2, half, 2, 3)
    np.testing.assert_array_equal(y, windows.max(axis=(2, 4)))
    if size == 2 * half:
        assert x.size == 4 * y.size
        np.testing.assert_array_equal(y.max(axis=(1, 2)), x.max(axis=(1, 2)))


@pytest.mark.parametrize(
    ("shape", "count"),
    [((28, 28), 784), ((20, 20, 6), 2400), ((4, 4, 6), 96), ((5, 5, 16), 400), ((32, 32, 3), 3072)],
)
def test_flatten_counts_the_numbers(shape, count):
    assert layers.Flatten()(np.zeros((2, *shape))).shape == (2, count)


def test_one_filter_makes_one_map(rng):
    x, w = rng.random((2, 12, 12, 3)), rng.standard_normal((5, 5, 3, 6))
    maps = F.conv2d(x, w)
    w[..., 4] = 0
    changed = (F.conv2d(x, w) != maps).any(axis=(0, 1, 2))
    np.testing.assert_array_equal(changed, np.arange(6) == 4)
    assert F.conv2d(x, w[..., :1]).shape == (2, 8, 8, 1)  # one filter on colours: one map


def test_a_filter_sees_all_channels(rng):
    x, w = rng.random((2, 12, 12, 3)), rng.standard_normal((5, 5, 3, 6))
    maps = F.conv2d(x, w)
    x[..., 1] = 0
    assert (F.conv2d(x, w) != maps).any(axis=(0, 1, 2)).all()


def test_filters_are_not_flipped(rng):
    w = rng.standard_normal((3, 3, 1, 1))
    x = np.zeros((1, 9, 9, 1))
    x[0, 4, 4, 0] = 1
    np.testing.assert_array_equal(F.conv2d(x, w)[0, 2:5, 2:5, 0], w[::-1, ::-1, 0, 0])
    x = np.zeros((1, 9, 9, 1))
    x[0, 3:6, 2:5] = w[..., 0]  # the pattern that the filter is looking for
    y = F.conv2d(x, w)[0, ..., 0]
    assert np.unravel_index(y.argmax(), y.shape) == (3, 2)
    assert y.max() == pytest.approx((w**2).sum())


def test_a_shifted_image_shifts_its_map(rng):
    x, w = rng.random((1, 14, 14, 2)), rng.standard_normal((5, 5, 2, 3))
    y = F.conv2d(x, w)
    shifted = F.conv2d(np.roll(x, (1, 1), (1, 2)), w)
    np.testing.assert_allclose(shifted[:, 1:, 1:], y[:, :-1, :-1], atol=1e-12)


def test_edge_filters_find_bars_of_their_direction():
    vertical = np.array([[-1, 2, -1]] * 3, float).reshape(3, 3, 1, 1)
    bar = np.zeros((1, 8, 8, 1))
    bar[0, :, 5] = 1
    found = F.conv2d(bar, vertical)[0, ..., 0]
    assert found.shape == (6, 6)
    assert (found.argmax(axis=1) == 4).all()  # column 5 of the image is the middle of window 4
    lying = F.conv2d(bar.transpose(0, 2, 1, 3), vertical)
    np.testing.assert_array_equal(lying, 0)


def test_pooling_of_small_tables():
    nine = np.arange(1.0, 10).reshape(1, 3, 3, 1)
    y = F.max_pool2d(nine, 2, strides=1)
    np.testing.assert_array_equal(y[0, ..., 0], [[5, 6], [8, 9]])
    twelve = np.arange(1.0, 13).reshape(1, 3, 4, 1)
    np.testing.assert_array_equal(F.max_pool2d(twelve, 2, strides=2)[0, ..., 0], [[6, 8]])


def test_the_gradient_goes_where_the_maximum_was(rng):
    x = rng.permutation(36).reshape(1, 6, 6, 1).astype(float)
    y, argmax = F.max_pool2d(x, return_argmax=True)
    dy = rng.standard_normal(y.shape)
    dx = F.max_pool2d_backward(dy, argmax, x.shape)
    assert y.shape == (1, 3, 3, 1) and np.count_nonzero(dx) == 9
    assert dx.sum() == pytest.approx(dy.sum())
    np.testing.assert_array_equal(np.sort(x[dx != 0]), np.sort(y.reshape(-1)))
