"""Batch normalization: statistics, gradients, and inputs that cancel."""

import numpy as np
import pytest
import reference
from cases import CHANNELS
from checks import (
    check_batch_norm,
    check_batch_norm_backward,
    check_batch_norm_inference,
    norm_arrays,
)
from gradcheck import assert_gradient
from tolerance import assert_close, assert_same_bits, gamma

import convkit.functional as F
from convkit._pack import call

pytestmark = pytest.mark.usefixtures("one_thread")

SHAPES = [
    *[(7, 3), (64, 1), (2, 5, 3, 4), (3, 2, 2, 2, 6), *[(2, 3, 5, c) for c in CHANNELS]],
    *[(5, 33, 31, 3), (9, 19, 18, 35), (50, 600), (3000, 1)],  # several blocks of rows
]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (3.0, 0.5), (1e4, 1.0), (-1e4, 100.0)])
def test_training(shape, mean, std, dtype, rng):
    check_batch_norm(shape, mean, std, dtype, rng)


@pytest.mark.parametrize("rows", [1, 3, 8])
def test_outliers_in_the_first_rows(rows, dtype, rng):
    """Sums are taken about the mean of a few rows; when those are far off, some digits go."""
    x = rng.standard_normal((1024, 5)).astype(dtype)
    x[:rows] += 1e4
    _, mean, variance = F.batch_norm(x)
    bound = 1024 * np.finfo(dtype).eps
    np.testing.assert_allclose(mean, x.mean(0, dtype=np.longdouble), rtol=bound)
    np.testing.assert_allclose(variance, x.var(0, dtype=np.longdouble), rtol=bound)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_backward(shape, dtype, rng):
    check_batch_norm_backward(shape, 2.0, dtype, rng)


@pytest.mark.parametrize("shape", [(2, 3, 2, 3), (6, 4), (2, 2, 1, 5)], ids=str)
@pytest.mark.parametrize("epsilon", [1e-3, 0.5])
def test_gradients_by_differences(shape, epsilon, rng):
    x, gamma_, beta, dy = norm_arrays(rng, shape, np.float64, mean=1.0)
    _, mean, variance = F.batch_norm(x, epsilon=epsilon)
    dx, dgamma, dbeta = F.batch_norm_backward(dy, x, mean, variance, gamma_, epsilon=epsilon)

    def y(x=x, gamma=gamma_, beta=beta):
        return F.batch_norm(x, gamma, beta, epsilon=epsilon)[0]

    assert_gradient(dx, lambda v: y(x=v), x, dy, step=1e-5)
    assert_gradient(dgamma, lambda v: y(gamma=v), gamma_, dy, step=1e-5)
    assert_gradient(dbeta, lambda v: y(beta=v), beta, dy, step=1e-5)


@pytest.mark.parametrize("shape", [(5, 3), (2, 3, 4, 17)], ids=str)
@pytest.mark.parametrize("epsilon", [1e-3, 1e-5, 2.0])
def test_inference(shape, epsilon, dtype, rng):
    check_batch_norm_inference(shape, epsilon, dtype, rng)


def test_gamma_and_beta_are_optional(dtype, rng):
    x, _, _, dy = norm_arrays(rng, (2, 3, 4, 5), dtype)
    one, zero = np.ones(5, dtype), np.zeros(5, dtype)
    y, mean, variance = F.batch_norm(x)
    np.testing.assert_array_equal(y, F.batch_norm(x, one, zero)[0])
    np.testing.assert_array_equal(y, F.batch_norm(x, gamma=one)[0])
    np.testing.assert_array_equal(y, F.batch_norm(x, beta=zero)[0])
    y = F.batch_norm_inference(x, mean, variance)
    np.testing.assert_array_equal(y, F.batch_norm_inference(x, mean, variance, one, zero))
    got = F.batch_norm_backward(dy, x, mean, variance)
    for g, want in zip(got, F.batch_norm_backward(dy, x, mean, variance, one), strict=True):
        np.testing.assert_array_equal(g, want)


@pytest.mark.parametrize("c", CHANNELS)
@pytest.mark.parametrize("value", [0.0, 1.0, -3.7e4, 1e30])
def test_one_value_per_channel(c, value, dtype):
    x = np.full((1, 1, 1, c), value, dtype)
    gamma_, beta = np.full(c, 2, dtype), np.arange(c).astype(dtype)
    y, mean, variance = F.batch_norm(x, gamma_, beta)
    assert_same_bits(y, np.broadcast_to(beta, x.shape))
    assert_same_bits(mean, x[0, 0, 0])
    assert not variance.any()
    dx, dgamma, dbeta = F.batch_norm_backward(x + 1, x, mean, variance, gamma_)
    assert not dx.any() and not dgamma.any()
    np.testing.assert_array_equal(dbeta, (x + 1)[0, 0, 0])


def test_constant_channels(dtype):
    # 0.1 is no float, and 96 is no power of two: a careless mean would leave a variance.
    x = np.full((4, 6, 4, 9), 0.1, dtype)
    y, mean, variance = F.batch_norm(x, beta=np.full(9, 0.5, dtype))
    error = 0.1 * gamma(97, dtype)
    assert_close(mean, np.full(9, dtype.type(0.1), np.float64), error)
    assert (variance <= error**2).all()
    assert_close(y, np.full(x.shape, 0.5), error / np.sqrt(1e-3) + np.finfo(dtype).eps)


@pytest.mark.parametrize("value", [0.1, 1e4 / 3, -7.7e-3])
def test_variance_is_never_negative(value, dtype):
    for rows in (3, 13, 97, 1000, 3001):
        _, _, variance = F.batch_norm(np.full((rows, 5), value, dtype))
        assert (variance >= 0).all()


def test_huge_values_do_not_overflow(dtype, rng):
    # The square of 1e30 overflows float32; a variance of (1e15)^2 does not.
    x = (1e15 * rng.standard_normal((4, 5, 5, 3))).astype(dtype)
    y, _, variance = F.batch_norm(x)
    y_ref, _, variance_ref = reference.batch_norm(x)
    np.testing.assert_allclose(variance, variance_ref, rtol=1e-4)
    np.testing.assert_allclose(y, y_ref, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("activation", [1, 5, 7])  # relu, gelu, silu: enum ck_activation_kind
@pytest.mark.parametrize("c", [3, 16, 37])
def test_gradient_through_an_activation_wherever_it_is_written(activation, c, dtype, rng):
    # A program may write dx over dy or over x; where it does not, a costly gradient is kept there.
    x, dy = rng.standard_normal((2, 333, c)).astype(dtype)
    _, mean, variance = F.batch_norm(x)
    results = []
    for place in ("apart", "dy", "x"):
        arrays = {"x": x.copy(), "dy": dy.copy(), "apart": np.empty_like(x)}
        sums = {"dgamma": np.empty(c, dtype), "dbeta": np.empty(c, dtype)}
        call(
            "batch_norm_backward",
            dtype.itemsize,
            **{"dx": arrays[place], "x": arrays["x"], "dy": arrays["dy"], **sums},
            **{"mean": mean, "variance": variance, "rows": len(x), "c": c},
            **{"epsilon": 1e-3, "activation": activation},
        )
        results.append((arrays[place], *sums.values()))
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            assert_same_bits(a, b)
    kind = {1: "relu", 5: "gelu", 7: "silu"}[activation]
    z = (x - mean) / np.sqrt(variance + dtype.type(1e-3))
    g = F.activation_backward(dy, z, kind)
    dx, dgamma, dbeta = F.batch_norm_backward(g, x, mean, variance)
    for got, want in zip(results[0], (dx, dgamma, dbeta), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)
