"""softmax, log_softmax and softmax_cross_entropy."""

import numpy as np
import pytest
import reference
from cases import CHANNELS, uniform
from checks import check_cross_entropy, check_softmax
from gradcheck import assert_gradient
from tolerance import assert_close, assert_same_bits, gamma

import convkit.functional as F

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("cols", CHANNELS)
@pytest.mark.parametrize("scale", [1.0, 30.0, 1000.0])
def test_softmax_over_the_last_axis(cols, scale, dtype, rng):
    check_softmax(scale * uniform(rng, (6, cols), dtype))


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2, -3])
def test_axis(axis, dtype, rng):
    x = 3 * uniform(rng, (4, 5, 6), dtype)
    for f in (F.softmax, F.log_softmax):
        y = f(x, axis)
        assert_same_bits(y, np.moveaxis(f(np.moveaxis(x, axis, -1)), -1, axis))
        assert y.flags.c_contiguous
    assert_close(F.softmax(x, axis), reference.softmax(x, axis), gamma(60, dtype))


@pytest.mark.parametrize("shape", [(1,), (7,), (0, 5), (2, 0, 3), (2, 3, 1, 4, 5)])
def test_any_rank(shape, dtype, rng):
    x = uniform(rng, shape, dtype)
    for name in ("softmax", "log_softmax"):
        y = getattr(F, name)(x)
        assert y.shape == shape and y.dtype == dtype
        assert_close(y, getattr(reference, name)(x), gamma(60, dtype) * 4)


def test_shift_of_large_logits(dtype):
    # exp(1000) overflows: only the differences may count.
    x = np.array([[1000, 999, 998], [-1000, -1001, -1002]], dtype)
    y = F.softmax(x)
    assert_same_bits(y[0], y[1])
    assert_close(y[0], reference.softmax([2.0, 1.0, 0.0]), gamma(20, dtype))


LABEL_TYPES = [np.int64, np.int32, np.uint8, np.int8, np.uint64, list]


@pytest.mark.parametrize("kind", LABEL_TYPES)
def test_integer_labels(kind, dtype, rng):
    logits, labels = 5 * uniform(rng, (12, 10), dtype), rng.integers(0, 10, 12)
    check_cross_entropy(logits, labels.tolist() if kind is list else labels.astype(kind))


@pytest.mark.parametrize(("n", "k"), [(1, 1), (1, 2), (3, 7), (64, 10), (5, 100), (130, 33)])
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1, 1.0])
def test_sizes_and_smoothing(n, k, label_smoothing, dtype, rng):
    logits, labels = 5 * uniform(rng, (n, k), dtype), rng.integers(0, k, n)
    check_cross_entropy(logits, labels, label_smoothing)
    one_hot = np.eye(k, dtype=dtype)[labels]
    check_cross_entropy(logits, one_hot, label_smoothing)
    probabilities = reference.softmax(uniform(rng, (n, k), dtype)).astype(dtype)
    check_cross_entropy(logits, probabilities, label_smoothing)


def test_extreme_logits(dtype):
    logits = np.array([[1e4, 0, -1e4], [-1e4, 0, 1e4]], dtype)
    loss, dlogits = F.softmax_cross_entropy(logits, [0, 0])
    assert loss == 1e4  # (0 + 2e4) / 2
    np.testing.assert_array_equal(dlogits, [[0, 0, 0], [-0.5, 0, 0.5]])


@pytest.mark.parametrize("label_smoothing", [0.0, 0.2])
def test_gradient_by_differences(label_smoothing, rng):
    logits = 2 * uniform(rng, (4, 5), np.float64)
    for labels in (rng.integers(0, 5, 4), reference.softmax(uniform(rng, (4, 5), np.float64))):

        def loss(x, labels=labels):
            return F.softmax_cross_entropy(x, labels, label_smoothing=label_smoothing)[0]

        _, dlogits = F.softmax_cross_entropy(logits, labels, label_smoothing=label_smoothing)
        assert_gradient(dlogits, loss, logits, 1.0, step=1e-5)


def test_gradient_rows_sum_to_zero(dtype, rng):
    _, dlogits = F.softmax_cross_entropy(uniform(rng, (8, 33), dtype), rng.integers(0, 33, 8))
    assert_close(dlogits.astype(np.float64).sum(1), np.zeros(8), gamma(60, dtype))


def test_the_gradient_of_softmax_takes_an_axis_only():
    x = np.ones((2, 3), np.float32)
    with pytest.raises(TypeError, match="activation_backward: softmax takes axis, got alpha"):
        F.activation_backward(x, x, "softmax", alpha=1)
