"""NaN, infinities, signed zeros, subnormals and the largest numbers, in every lane of a vector.

The same value is put into every channel of C = 1..70: a vector body and its tail must agree.
"""

import numpy as np
import pytest
import reference
from tolerance import assert_constant_along, assert_same_bits

import convkit.functional as F

pytestmark = pytest.mark.usefixtures("one_thread")

ALL_CHANNELS = range(1, 71)


def special_values(dtype):
    """Return the table of special values of a float type."""
    info = np.finfo(dtype)
    values = [np.nan, np.inf, -np.inf, 0.0, -0.0, info.max, info.min, info.tiny, -info.tiny]
    return np.array([*values, info.smallest_subnormal, -info.tiny / 4, 1.0, -1.5], dtype)


def images(dtype):
    """Yield (value, image): one special value among ordinary ones, and a constant image of it."""
    ordinary = np.linspace(-1, 1, 30).reshape(5, 6).astype(dtype)
    for value in special_values(dtype):
        one = ordinary.copy()
        one[2, 3] = value
        yield value, one
        yield value, np.full_like(ordinary, value)


def in_channels(image, c):
    """Return (1, H, W, C) with the image in every channel."""
    return np.repeat(image[None, :, :, None], c, axis=3)


@pytest.fixture(autouse=True)
def quiet_twin():
    """Let the twin meet infinities without warnings."""
    with np.errstate(all="ignore"):
        yield


@pytest.mark.parametrize("algorithm", ["auto", "direct"])
def test_conv2d_output_channels_agree(algorithm, dtype, request):
    if algorithm == "direct":
        request.getfixturevalue("direct")
    w = np.linspace(-1, 1, 18).reshape(3, 3, 2, 1).astype(dtype)
    for _value, image in images(dtype):
        x = np.stack([image, image[::-1]], axis=-1)[None]
        for k in ALL_CHANNELS:
            assert_constant_along(F.conv2d(x, np.repeat(w, k, axis=3), padding="same"))


def test_conv2d_depthwise_channels_agree(dtype):
    w = np.linspace(-1, 1, 9).reshape(3, 3, 1, 1).astype(dtype)
    for _value, image in images(dtype):
        for c in (*range(1, 20), 31, 32, 33, 70):
            y = F.conv2d(in_channels(image, c), np.repeat(w, c, axis=3), groups=c, padding="same")
            assert_constant_along(y)


def test_conv2d_backward_channels_agree(dtype):
    for _value, image in images(dtype):
        dy = np.linspace(-1, 1, 12).reshape(1, 3, 4, 1).astype(dtype)
        for c in (1, 2, 3, 5, 8, 11, 16, 21, 33, 70):
            x, w = in_channels(image, c), np.full((3, 3, c, 2), 0.25, dtype)
            dx, dw, _ = F.conv2d_backward(np.repeat(dy, 2, axis=3), x, w)
            assert_constant_along(dx)
            assert_constant_along(dw, axis=2)
            assert_constant_along(dw, axis=3)


def test_conv2d_spreads_nan_to_the_windows_that_see_it(dtype, direct):
    # Winograd computes tiles of windows together: there a NaN reaches its neighbours too.
    for c in (1, 3, 8, 17, 64):
        x, w = np.ones((2, 6, 6, c), dtype), np.ones((3, 3, c, 33), dtype)
        x[1, 1, 1, c - 1] = np.nan
        y = F.conv2d(x, w)
        expected = np.zeros(y.shape, bool)
        expected[1, :2, :2] = True
        np.testing.assert_array_equal(np.isnan(y), expected)
        dx, dw, _ = F.conv2d_backward(np.ones_like(y), x, w)
        assert not np.isnan(dx).any()
        assert np.isnan(dw[:, :, c - 1]).sum() == 4 * 33  # the four kernel cells that meet it
        assert np.isnan(dw).sum() == 4 * 33


def test_zero_times_nan_is_nan(dtype):
    # A zero weight or gradient is no licence to skip: 0 * NaN and 0 * inf are NaN.
    for value in (np.nan, np.inf):
        x, w = np.full((1, 4, 4, 5), value, dtype), np.zeros((3, 3, 5, 9), dtype)
        assert np.isnan(F.conv2d(x, w)).all()
        assert np.isnan(F.dense(x, w[0, 0])).all()
        dy = np.zeros((1, 2, 2, 9), dtype)
        assert np.isnan(F.conv2d_backward(dy, x, w)[1]).all()


def test_padding_is_zero_or_left_out(dtype, direct):
    # Zero padding times an infinite weight: the twin's NaN is one right answer, and skipping the
    # padding is the other. Cells away from the border see no padding.
    w = np.full((3, 3, 1, 5), np.inf, dtype)
    y = F.conv2d(np.ones((1, 5, 5, 1), dtype), w, padding="same")
    assert (y[:, 1:-1, 1:-1] == np.inf).all()
    assert (np.isnan(y) | (y == np.inf)).all()


def test_dense_columns_agree(dtype):
    w = np.linspace(-1, 1, 30).reshape(30, 1).astype(dtype)
    for _value, image in images(dtype):
        x = np.stack([image.ravel(), image.ravel()[::-1]])
        for k in ALL_CHANNELS:
            assert_constant_along(F.dense(x, np.repeat(w, k, axis=1)))


def test_pools_agree_over_channels(dtype):
    for value, image in images(dtype):
        for c in (*range(1, 36), 63, 64, 65, 70):
            x = in_channels(image, c)
            options = {"strides": 2, "padding": "same"}
            y, argmax = F.max_pool2d(x, 3, return_argmax=True, **options)
            assert_constant_along(y)
            assert_constant_along(argmax)
            for v in (F.max_pool2d(x, 3, **options), F.avg_pool2d(x, 3, **options)):
                assert_constant_along(v)
            if np.isnan(value):
                assert_same_bits(y, reference.max_pool2d(x, 3, **options))
            assert_constant_along(F.max_pool2d_backward(y, argmax, x.shape, 3, **options))


def test_batch_norm_channels_agree(dtype):
    for value, image in images(dtype):
        for c in (*range(1, 36), 63, 64, 65, 70):
            x = in_channels(image, c)
            y, mean, variance = F.batch_norm(x)
            for r in (y, mean, variance):
                assert_constant_along(r)
            if not np.isfinite(value):
                assert np.isnan(y).all()
            gradients = F.batch_norm_backward(x, x, mean, variance)
            for r in gradients:
                assert_constant_along(r)
            assert_constant_along(F.batch_norm_inference(x, mean, variance))


@pytest.mark.parametrize("name", reference.ACTIVATIONS)
def test_activations_agree_along_an_array(name, dtype):
    for value in special_values(dtype):
        for n in ALL_CHANNELS:
            x = np.full(n, value, dtype)
            y = getattr(F, name)(x)
            assert_constant_along(y)
            dx = F.activation_backward(np.ones_like(x), x, name)
            assert_constant_along(dx)
        assert np.isnan(y).all() == np.isnan(value) or np.isneginf(value)


# Limits at -inf and +inf. None: x * f(x) with f(-inf) = 0, where 0 and NaN are both in use.
LIMITS = {
    "relu": (0, np.inf),
    "leaky_relu": (-np.inf, np.inf),
    "elu": (-1, np.inf),
    "selu": (-reference.SELU_SCALE * reference.SELU_ALPHA, np.inf),
    "gelu": (None, np.inf),
    "silu": (None, np.inf),
    "sigmoid": (0, 1),
    "tanh": (-1, 1),
    "softplus": (0, np.inf),
    "hard_sigmoid": (0, 1),
    "hard_silu": (None, np.inf),
    "mish": (None, np.inf),
}


@pytest.mark.parametrize("name", reference.ACTIVATIONS)
def test_activations_at_infinity(name, dtype):
    y = getattr(F, name)(np.array([-np.inf, np.inf, np.nan], dtype))
    low, high = LIMITS[name]
    if low is None:
        assert np.isnan(y[0]) or y[0] == 0
    else:
        np.testing.assert_allclose(y[0], low, rtol=4 * np.finfo(dtype).eps)
    assert y[1] == high
    assert np.isnan(y[2])


@pytest.mark.parametrize("name", reference.ACTIVATIONS)
def test_activations_of_large_numbers_are_finite(name, dtype):
    large = np.finfo(dtype).max / 16
    x = np.array([-large, -1e9, 1e9, large], dtype)
    y = getattr(F, name)(x)
    assert np.isfinite(y).all()
    np.testing.assert_allclose(y[2:], reference.activate(x[2:], name), rtol=1e-6)
    dy = np.ones_like(x)
    dx_ref = reference.activation_backward(dy, x, name)
    np.testing.assert_allclose(F.activation_backward(dy, x, name), dx_ref, atol=1e-6)


def test_zeros_and_subnormals(dtype):
    info = np.finfo(dtype)
    for value in (-0.0, info.smallest_subnormal, -info.tiny / 4):
        # Subnormals may count as zero, in and out; they must not become anything else.
        x = np.full((1, 4, 4, 19), value, dtype)
        w = np.ones((1, 1, 19, 21), dtype)
        bound = 19 * np.abs(value) + info.tiny * (value != 0)
        assert (np.abs(F.conv2d(x, w)) <= bound).all()
        for y in (F.relu(x), F.max_pool2d(x), F.avg_pool2d(x), F.tanh(x)):
            assert (np.abs(y) <= np.abs(value)).all()
        np.testing.assert_array_equal(F.sigmoid(x), 0.5)
        # 1 / sqrt(epsilon) is 32: what is left of x - mean may be as much larger.
        y, mean, variance = F.batch_norm(x)
        assert (np.abs([y.max(), y.min(), mean[0], variance[0]]) <= 32 * info.tiny).all()


def test_softmax_rows(dtype):
    for cols in ALL_CHANNELS:
        x = np.zeros((6, cols), dtype)
        x[1, cols - 1] = np.nan
        x[2] = np.inf
        x[3] = -np.inf
        x[4, 1:] = -np.inf
        x[5] = np.finfo(dtype).max
        y, log_y = F.softmax(x), F.log_softmax(x)
        assert np.isnan(y[1:4]).all() and np.isnan(log_y[1:4]).all()
        for row in (0, 5):
            assert_constant_along(y[row])
            np.testing.assert_allclose(y[row], 1 / cols, rtol=8 * np.finfo(dtype).eps)
            assert_constant_along(log_y[row])
        expected = np.zeros(cols)
        expected[0] = 1
        np.testing.assert_array_equal(y[4], expected)
        assert log_y[4, 0] == 0 and (log_y[4, 1:] == -np.inf).all()


def test_cross_entropy_reports_nan(dtype, rng):
    logits = rng.random((5, 7)).astype(dtype)
    logits[3, 6] = np.nan
    loss, dlogits = F.softmax_cross_entropy(logits, [0, 1, 2, 3, 4])
    assert np.isnan(loss)
    np.testing.assert_array_equal(np.isnan(dlogits).any(1), [0, 0, 0, 1, 0])
