"""Integers in, exact integers out.

Every product and every partial sum of small integers is a float, so any order of summation, with
or without FMA, must give the int64 twin's numbers: the tolerance is zero.
"""

import numpy as np
import pytest
import reference
from cases import BIG, CONVS, POOLS, PRODUCTS, TAILS, Conv, integers, pool_id

import convkit.functional as F

pytestmark = pytest.mark.usefixtures("direct")


def inner(a, b):
    """Return the inner product in int64."""
    return int(np.sum(a.astype(np.int64) * b.astype(np.int64)))


def as_integers(*arrays):
    """Return the arrays in int64; the twin then computes exactly.

    float64 is as exact below 2**53, and much faster where there are many products.
    """
    many = max(a.size for a in arrays) > 10_000
    return [a.astype(np.float64 if many else np.int64) for a in arrays]


def conv_arrays(rng, conv, dtype):
    """Return integer-valued x, w, b, dy of one convolution."""
    shapes = (conv.x_shape, conv.w_shape, (conv.k,), conv.y_shape)
    return [integers(rng, shape, dtype) for shape in shapes]


@pytest.mark.parametrize("conv", [*CONVS, *TAILS, *BIG], ids=str)
def test_conv2d_forward(conv, dtype, rng):
    x, w, b, _ = conv_arrays(rng, conv, dtype)
    y_ref = reference.conv2d(*as_integers(x, w, b), **conv.options)
    y = F.conv2d(x, w, b, **conv.options)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, y_ref)
    # A result of zeros would be right for the wrong reason: most sums of these are not zero.
    assert np.mean(y != 0) > 0.7


@pytest.mark.parametrize("conv", [*CONVS, *TAILS, *BIG], ids=str)
def test_conv2d_backward(conv, dtype, rng):
    x, w, b, dy = conv_arrays(rng, conv, dtype)
    expected = reference.conv2d_backward(*as_integers(dy, x, w), **conv.options)
    dx, dw, db = F.conv2d_backward(dy, x, w, **conv.options)
    for got, want in zip((dx, dw, db), expected, strict=True):
        assert got.dtype == dtype
        np.testing.assert_array_equal(got, want)
    # The three gradients are the adjoints of the forward itself.
    y = F.conv2d(x, w, **conv.options)
    assert inner(dy, y) == inner(dx, x) == inner(dw, w)
    assert inner(db, b) == inner(dy, np.broadcast_to(b, dy.shape))


@pytest.mark.parametrize("activation", ["relu", None])
def test_conv2d_with_relu(activation, dtype, rng):
    for conv in (*CONVS[::5], *BIG):
        x, w, b, _ = conv_arrays(rng, conv, dtype)
        y_ref = reference.conv2d(*as_integers(x, w, b), **conv.options)
        y = F.conv2d(x, w, b, activation=activation, **conv.options)
        np.testing.assert_array_equal(y, np.maximum(y_ref, 0) if activation else y_ref)


TRANSPOSED = [
    (Conv((2, 3, 4, 3), (3, 3), 5), None),
    (Conv((2, 3, 4, 3), (3, 3), 5, padding="same"), None),
    (Conv((2, 3, 4, 3), (3, 3), 5, strides=2), None),
    (Conv((2, 3, 4, 3), (3, 3), 5, strides=2, padding="same"), None),
    (Conv((2, 3, 4, 3), (2, 2), 5, strides=2, padding="same"), None),
    (Conv((2, 3, 4, 3), (4, 4), 5, strides=2, padding="same"), None),
    (Conv((1, 3, 4, 3), (2, 1), 5, strides=(3, 2)), None),
    (Conv((1, 3, 4, 3), (2, 1), 5, strides=(3, 2), padding="same"), None),
    (Conv((1, 3, 4, 3), (3, 3), 5, strides=2, padding="same"), 1),
    (Conv((1, 3, 4, 3), (3, 3), 5, strides=2, padding="same"), (0, 1)),
    (Conv((1, 3, 4, 3), (3, 3), 5, strides=3), (1, 2)),
    (Conv((1, 3, 4, 3), (3, 3), 5, padding=1), None),
    (Conv((1, 3, 4, 3), (3, 3), 5, strides=2, padding=((1, 0), (0, 1))), 1),
    (Conv((1, 3, 4, 3), (3, 2), 5, dilation=2), None),
    (Conv((1, 5, 4, 3), (3, 3), 5, dilation=2, padding="same"), None),
    (Conv((1, 3, 4, 6), (3, 3), 4, strides=2, padding="same", groups=2), None),
    (Conv((1, 3, 4, 5), (3, 3), 5, strides=2, padding="same", groups=5), None),
    (Conv((1, 2, 3, 33), (3, 3), 17, strides=2, padding="same"), None),
]


@pytest.mark.parametrize(("conv", "output_padding"), TRANSPOSED, ids=str)
def test_conv2d_transpose(conv, output_padding, dtype, rng):
    kh, kw, _, k = conv.w_shape
    options = {**conv.options, "output_padding": output_padding}
    x = integers(rng, conv.x_shape, dtype)
    w = integers(rng, (kh, kw, k // conv.groups, conv.x_shape[3]), dtype)
    b = integers(rng, k, dtype)
    y_ref = reference.conv2d_transpose(*as_integers(x, w, b), **options)
    np.testing.assert_array_equal(F.conv2d_transpose(x, w, b, **options), y_ref)
    dy = integers(rng, y_ref.shape, dtype)
    expected = reference.conv2d_transpose_backward(*as_integers(dy, x, w), **options)
    gradients = F.conv2d_transpose_backward(dy, x, w, **options)
    for got, want in zip(gradients, expected, strict=True):
        np.testing.assert_array_equal(got, want)


DENSE = [
    *[(1, 1, 1), (2, 3, 5), (1, 70, 33), (17, 64, 65), (65, 129, 9), (3, 5000, 65)],
    *[(200, 1000, 600), (1, 3000, 10), (2000, 3, 5), (9, 2, 2000)],
]


@pytest.mark.parametrize("shape", [*DENSE, *PRODUCTS])
def test_dense(shape, dtype, rng):
    m, c, k = shape
    x, w, b, dy = (integers(rng, s, dtype) for s in ((m, c), (c, k), (k,), (m, k)))
    np.testing.assert_array_equal(F.dense(x, w, b), reference.dense(*as_integers(x, w, b)))
    gradients = F.dense_backward(dy, x, w)
    expected = reference.dense_backward(*as_integers(dy, x, w))
    for got, want in zip(gradients, expected, strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("case", POOLS, ids=pool_id)
def test_max_pool2d(case, dtype, rng):
    shape, pool_size, strides, padding = case
    options = {"pool_size": pool_size, "strides": strides, "padding": padding}
    x = rng.integers(-3, 1, shape).astype(dtype)  # many ties, nothing above the padding's zero
    y_ref, argmax_ref = reference.max_pool2d(x, return_argmax=True, **options)
    y, argmax = F.max_pool2d(x, return_argmax=True, **options)
    np.testing.assert_array_equal(y, y_ref)
    np.testing.assert_array_equal(argmax, argmax_ref)
    dy = integers(rng, y.shape, dtype)
    dx = F.max_pool2d_backward(dy, argmax, shape, **options)
    np.testing.assert_array_equal(dx, reference.max_pool2d_backward(dy, argmax, shape, **options))
    assert inner(dx, x) == inner(dy, y)


@pytest.mark.parametrize(("pool_size", "strides"), [(2, None), (4, 2), ((1, 8), 1), ((2, 1), 1)])
def test_avg_pool2d_of_power_of_two_windows(pool_size, strides, dtype, rng):
    x = integers(rng, (2, 9, 10, 19), dtype)
    y = F.avg_pool2d(x, pool_size, strides=strides)
    np.testing.assert_array_equal(y, reference.avg_pool2d(x, pool_size, strides=strides))
    dy = integers(rng, y.shape, dtype)
    dx = F.avg_pool2d_backward(dy, x.shape, pool_size, strides=strides)
    dx_ref = reference.avg_pool2d_backward(dy, x.shape, pool_size, strides=strides)
    np.testing.assert_array_equal(dx, dx_ref)
