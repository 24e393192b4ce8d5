"""dense and its backward."""

import numpy as np
import pytest
import reference
from cases import CHANNELS, PRODUCTS, uniform
from checks import check_dense
from gradcheck import assert_gradient
from tolerance import assert_close, assert_same_bits, gamma

import convkit
import convkit.functional as F

pytestmark = pytest.mark.usefixtures("one_thread")

SHAPES = [
    ((1, 1), 1),
    ((1, 1000), 10),
    ((64, 3), 2),
    ((33, 129), 65),
    ((3, 4, 5), 6),
    ((2, 3, 4, 5), 7),
    ((200, 37), 19),
    *[((5, c), k) for c, k in zip(CHANNELS, CHANNELS[::-1], strict=True)],
]


@pytest.mark.parametrize(("x_shape", "k"), SHAPES)
def test_forward_and_backward(x_shape, k, dtype, rng):
    check_dense(x_shape, k, dtype, rng)


FEW = [(100, 37, 84), (100, 130, 17), (100, 65, 16), (100, 200, 10), (100, 71, 700)]


@pytest.mark.parametrize("shape", [*FEW, *PRODUCTS])
def test_a_sample_gives_the_same_bits_in_any_batch_and_team(shape, dtype, rng):
    m, c, k = shape
    x, w, b, dy = (uniform(rng, s, dtype) for s in ((m, c), (c, k), (k,), (m, k)))
    y, (dx, dw, db) = F.dense(x, w, b), F.dense_backward(dy, x, w)
    for threads in (1, 2, 3):
        convkit.set_num_threads(threads)
        for got, want in zip(F.dense_backward(dy, x, w), (dx, dw, db), strict=True):
            assert_same_bits(got, want)
        for some in (slice(0, 1), slice(3, 19), slice(5, 38), slice(36, None), slice(None)):
            assert_same_bits(F.dense(x[some], w, b), y[some])
            assert_same_bits(F.dense_backward(dy[some], x[some], w)[0], dx[some])


@pytest.mark.parametrize("name", reference.ACTIVATIONS)
def test_activation_is_applied(name, dtype, rng):
    x, w, b = (uniform(rng, s, dtype) for s in ((9, 13), (13, 21), (21,)))
    y = F.dense(x, w, b, activation=name)
    abs_sum = reference.dense(np.abs(x), np.abs(w), np.abs(b))
    # No activation here is steeper than 2; 8 more roundings are its own.
    bound = 2 * gamma(16, dtype) * abs_sum + 8 * np.finfo(dtype).eps * (1 + abs_sum)
    assert_close(y, reference.dense(x, w, b, activation=name), bound)


@pytest.mark.parametrize("shape", PRODUCTS)
def test_activation_follows_the_whole_sum(shape, rng):
    m, c, k = shape
    x, w, b = (uniform(rng, s, np.float32) for s in ((m, c), (c, k), (k,)))
    y = F.dense(x, w, b, activation="silu")
    abs_sum = reference.dense(np.abs(x), np.abs(w), np.abs(b))
    bound = 2 * gamma(c + 3, np.float32) * abs_sum + 8 * np.finfo(np.float32).eps * (1 + abs_sum)
    assert_close(y, reference.dense(x, w, b, activation="silu"), bound)


@pytest.mark.parametrize("x_shape", [(3, 4), (2, 3, 4)])
def test_gradients_by_differences(x_shape, rng):
    x, w, b = (uniform(rng, s, np.float64) for s in (x_shape, (4, 5), (5,)))
    dy = uniform(rng, (*x_shape[:-1], 5), np.float64)
    dx, dw, db = F.dense_backward(dy, x, w)
    assert_gradient(dx, lambda v: F.dense(v, w, b), x, dy, step=0.1)
    assert_gradient(dw, lambda v: F.dense(x, v, b), w, dy, step=0.1)
    assert_gradient(db, lambda v: F.dense(x, w, v), b, dy, step=0.1)


@pytest.mark.parametrize("needs", [("x",), ("w",), ("b",), ("b", "x"), ["w", "b"]])
def test_needs(needs, dtype, rng):
    x, w, dy = (uniform(rng, s, dtype) for s in ((5, 6), (6, 7), (5, 7)))
    everything = F.dense_backward(dy, x, w)
    some = F.dense_backward(dy, x, w, needs=needs)
    for letter, got, want in zip("xwb", some, everything, strict=True):
        if letter in needs:
            assert_same_bits(got, want)
        else:
            assert got is None


def test_leading_axes_are_rows(dtype, rng):
    x, w = uniform(rng, (2, 3, 4, 5), dtype), uniform(rng, (5, 7), dtype)
    assert_same_bits(F.dense(x, w), F.dense(x.reshape(24, 5), w).reshape(2, 3, 4, 7))
