"""Max and average pooling: ties, NaN, infinities, padding, overlap, argmax."""

import itertools

import numpy as np
import pytest
import reference
from cases import POOLS, integers, pool_id, uniform
from checks import check_avg_pool2d, check_max_pool2d
from gradcheck import assert_gradient
from tolerance import assert_same_bits

import convkit.functional as F

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("case", POOLS, ids=pool_id)
def test_max_pool2d(case, dtype, rng):
    check_max_pool2d(case, dtype, rng)


@pytest.mark.parametrize("case", POOLS, ids=pool_id)
@pytest.mark.parametrize("count_include_pad", [False, True])
def test_avg_pool2d(case, count_include_pad, dtype, rng):
    check_avg_pool2d(case, count_include_pad, dtype, rng)


@pytest.mark.parametrize("case", [c for c in POOLS if np.prod(c[0]) < 300], ids=pool_id)
def test_gradients_by_differences(case, rng):
    options = dict(zip(("pool_size", "strides", "padding"), case[1:], strict=True))
    # Distinct values 0.1 apart: no difference of 1e-3 changes which element is the largest.
    x = 0.1 * rng.permutation(np.prod(case[0])).reshape(case[0])
    y, argmax = F.max_pool2d(x, return_argmax=True, **options)
    dy = uniform(rng, y.shape, np.float64)
    dx = F.max_pool2d_backward(dy, argmax, x.shape, **options)
    assert_gradient(dx, lambda v: F.max_pool2d(v, **options), x, dy, step=1e-3)
    for count_include_pad in (False, True):
        options["count_include_pad"] = count_include_pad
        dx = F.avg_pool2d_backward(dy, x.shape, **options)
        assert_gradient(dx, lambda v: F.avg_pool2d(v, **options), x, dy, step=1e-3)


@pytest.mark.parametrize("c", [1, 3, 4, 7, 8, 9, 16, 17, 33, 70])
@pytest.mark.parametrize("value", [0.0, -7.5, -np.inf, np.inf])
def test_first_of_equal_values_wins(c, value, dtype):
    x = np.full((2, 6, 6, c), value, dtype)
    y, argmax = F.max_pool2d(x, 3, strides=2, return_argmax=True)
    assert_same_bits(y, np.full((2, 2, 2, c), value, dtype))
    assert not argmax.any()
    # With padding at the top left, the first cell inside the image is the first candidate.
    y, argmax = F.max_pool2d(x, 3, strides=3, padding=((1, 2), (2, 1)), return_argmax=True)
    assert_same_bits(y, np.full(y.shape, value, dtype))
    np.testing.assert_array_equal(argmax[:, 0, 0], 1 * 3 + 2)
    np.testing.assert_array_equal(argmax[:, 1, 1], 0)


@pytest.mark.parametrize("c", [1, 3, 4, 7, 8, 9, 16, 17, 33, 70])
def test_nan_wins_in_every_lane(c, dtype):
    for position in range(9):
        x = np.ones((1, 3, 3, c), dtype)
        x.reshape(9, c)[position] = np.nan
        x.reshape(9, c)[(position + 4) % 9] = np.inf
        y, argmax = F.max_pool2d(x, 3, return_argmax=True)
        assert np.isnan(y).all()
        np.testing.assert_array_equal(argmax, position)
        assert np.isnan(F.max_pool2d(x, 3)).all()
        assert np.isnan(F.avg_pool2d(x, 3)).all()


def test_argmax_names_a_nan_where_there_are_several(dtype, rng):
    x = uniform(rng, (2, 8, 9, 21), dtype)
    x[rng.random(x.shape) < 0.3] = np.nan
    y, argmax = F.max_pool2d(x, 2, strides=2, return_argmax=True)
    n, p, q, k = np.indices(y.shape)
    assert_same_bits(x[n, 2 * p + argmax // 2, 2 * q + argmax % 2, k], y)
    assert np.isnan(y).any() and not np.isnan(y).all()
    np.testing.assert_array_equal(np.isnan(y), np.isnan(reference.max_pool2d(x)))


@pytest.mark.parametrize("c", [1, 3, 8, 16, 17, 32])
def test_every_order_of_special_values_in_a_window(c, dtype):
    values = np.array([-np.inf, -1, -0.0, 0.0, 2, np.nan], dtype)
    cells = np.array(list(itertools.product(values, repeat=4)))  # a window in each image
    best, expected = cells[:, 0], np.zeros(len(cells), np.uint8)
    for i in range(1, 4):
        wins = (cells[:, i] > best) | np.isnan(cells[:, i]) & ~np.isnan(best)
        best, expected = np.where(wins, cells[:, i], best), np.where(wins, i, expected)
    x = np.tile(cells.reshape(-1, 2, 2, 1), (1, 1, 3, c))
    y, argmax = F.max_pool2d(x, return_argmax=True)
    assert_same_bits(y, np.tile(best.reshape(-1, 1, 1, 1), (1, 1, 3, c)))
    np.testing.assert_array_equal(argmax, np.broadcast_to(expected.reshape(-1, 1, 1, 1), y.shape))
    assert_same_bits(F.max_pool2d(x), y)


@pytest.mark.parametrize(
    ("pool_size", "kind"),
    [(1, np.uint8), ((16, 16), np.uint8), ((1, 256), np.uint8), ((1, 257), np.int32)],
)
def test_argmax_type(pool_size, kind, dtype, rng):
    kh, kw = reference.pair(pool_size)
    x = integers(rng, (1, kh, kw + 1, 3), dtype)
    x[:, -1, -1] = x[:, -1, -2] = 9  # the last cell of each window: the largest index
    options = {"pool_size": pool_size, "strides": 1}
    y, argmax = F.max_pool2d(x, return_argmax=True, **options)
    assert argmax.dtype == kind and argmax.shape == y.shape and argmax.flags.c_contiguous
    argmax_ref = reference.max_pool2d(x, return_argmax=True, **options)[1]
    np.testing.assert_array_equal(argmax, argmax_ref)
    dx = F.max_pool2d_backward(y, argmax, x.shape, **options)
    dx_ref = reference.max_pool2d_backward(y, argmax, x.shape, **options)
    np.testing.assert_array_equal(dx, dx_ref)


def test_strides_default_to_the_pool_size(dtype, rng):
    x = uniform(rng, (1, 9, 10, 3), dtype)
    for pool in (F.max_pool2d, F.avg_pool2d):
        assert_same_bits(pool(x), pool(x, 2, strides=2))
        assert_same_bits(pool(x, (3, 2)), pool(x, (3, 2), strides=(3, 2)))


def test_average_of_padding(dtype):
    x = np.ones((1, 2, 2, 5), dtype)
    np.testing.assert_array_equal(F.avg_pool2d(x, 2, padding=1), np.ones((1, 2, 2, 5)))
    quarter = F.avg_pool2d(x, 2, padding=1, count_include_pad=True)
    np.testing.assert_array_equal(quarter, np.full((1, 2, 2, 5), 0.25))


@pytest.mark.parametrize("c", [3, 16, 20])
def test_gradient_of_a_large_map_is_that_of_its_images(c, rng):
    x = uniform(rng, (3, 1024, 720 // c, c), np.float32)  # above 8 MB
    y, argmax = F.max_pool2d(x, return_argmax=True)
    dx = F.max_pool2d_backward(y, argmax, x.shape)
    for i in range(3):
        alone = F.max_pool2d_backward(y[i : i + 1], argmax[i : i + 1], (1, *x.shape[1:]))
        assert_same_bits(dx[i : i + 1], alone)
