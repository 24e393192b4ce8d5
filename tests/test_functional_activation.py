"""Activations and their derivatives, in units in the last place."""

import numpy as np
import pytest
import reference
from cases import uniform
from checks import check_activation, check_activation_backward
from gradcheck import assert_gradient
from tolerance import assert_same_bits

import convkit.functional as F

pytestmark = pytest.mark.usefixtures("one_thread")

# Name, parameters.
VARIANTS = [
    *[(name, {}) for name in reference.ACTIVATIONS],
    ("leaky_relu", {"negative_slope": 0.01}),
    ("elu", {"alpha": 0.3}),
    ("gelu", {"approximate": True}),
]


def arguments(dtype):
    """Return x over the whole range where an activation bends, and far outside of it."""
    far = np.array([15, 17, 20, 30, 50, 80, 87, 88, 89, 100, 200, 700, 710, 1e4, 1e20])
    near = np.geomspace(1e-30, 1, 61)
    bend = np.linspace(-12, 12, 2401)
    return np.concatenate([bend, near, -near, far, -far]).astype(dtype)


@pytest.mark.parametrize(("name", "parameters"), VARIANTS)
def test_forward(name, parameters, dtype):
    check_activation(name, parameters, arguments(dtype))


@pytest.mark.parametrize(("name", "parameters"), VARIANTS)
def test_backward(name, parameters, dtype, rng):
    check_activation_backward(name, parameters, arguments(dtype), rng)


@pytest.mark.parametrize(("name", "parameters"), VARIANTS)
def test_gradient_by_differences(name, parameters, rng):
    x = 5 * uniform(rng, (4, 9), np.float64) + 1e-3
    dy = uniform(rng, x.shape, np.float64)
    dx = F.activation_backward(dy, x, name, **parameters)
    assert_gradient(dx, lambda v: getattr(F, name)(v, **parameters), x, dy, step=1e-5)


@pytest.mark.parametrize(("name", "parameters"), VARIANTS)
@pytest.mark.parametrize("shape", [(), (1,), (0,), (3, 0, 2), (7,), (2, 3), (2, 1, 3, 2, 5)])
def test_any_rank(name, parameters, shape, dtype, rng):
    x = 3 * uniform(rng, shape, dtype)
    y = getattr(F, name)(x, **parameters)
    assert isinstance(y, np.ndarray) and y.shape == shape and y.dtype == dtype
    flat = getattr(F, name)(np.atleast_1d(x).ravel(), **parameters)
    assert_same_bits(y.ravel(), flat)
    dx = F.activation_backward(x, x, name, **parameters)
    assert dx.shape == shape and dx.dtype == dtype


def test_kink_of_relu(dtype):
    x = np.array([-1, -0.0, 0.0, 1], dtype)
    np.testing.assert_array_equal(F.activation_backward(np.ones_like(x), x, "relu"), [0, 0, 0, 1])
    np.testing.assert_array_equal(F.relu(x), [0, 0, 0, 1])


def test_parameters_change_the_result(dtype):
    x = np.array([-2.0], dtype)
    assert F.leaky_relu(x, 0.5) == -1
    assert F.leaky_relu(x) == dtype.type(-2) * dtype.type(0.2)
    assert F.leaky_relu(x, negative_slope=0.0) == 0
    assert F.elu(x, 2.0) == 2 * F.elu(x)
    assert F.gelu(x, approximate=True) != F.gelu(x)


def test_swish_is_silu(dtype, rng):
    x, dy = uniform(rng, 37, dtype), uniform(rng, 37, dtype)
    w, logits = np.eye(37, dtype=dtype), x[None]
    assert_same_bits(F.swish(x), F.silu(x))
    backward = (F.activation_backward(dy, x, name) for name in ("swish", "silu"))
    assert_same_bits(*backward)
    assert_same_bits(*(F.dense(logits, w, activation=name) for name in ("swish", "silu")))
