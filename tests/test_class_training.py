"""Dropout, activations, losses and the optimizer give the numbers that the class works with."""

import numpy as np
import pytest

import convkit
import convkit.functional as F
from convkit import layers, losses, optimizers


def test_dropout_multiplies_by_zero_or_the_inverse_share():
    x = np.arange(1, 11, dtype=np.float32).repeat(4000).reshape(400, 100)
    y = layers.Dropout(0.2)(x, training=True)
    factors = y / x
    assert set(np.unique(factors.round(6))) == {0, 1.25}
    assert factors.mean() == pytest.approx(1, abs=0.02)
    assert factors.std() == pytest.approx(np.sqrt(0.2 / 0.8), abs=0.02)
    np.testing.assert_array_equal(layers.Dropout(0.2)(x), x)
    np.testing.assert_array_equal(layers.Dropout(0.0)(x, training=True), x)
    same = [layers.Dropout(0.5, seed=4)(x, training=True) for _ in range(2)]
    np.testing.assert_array_equal(same[0], same[1])


def test_dropout_has_one_mask_forward_and_backward(rng):
    model = convkit.Sequential(
        [layers.Input((8,)), layers.Dropout(0.5, seed=1), layers.Dense(1, use_bias=False)]
    )
    x = rng.uniform(1, 2, (1, 8)).astype(np.float32)
    seen = model(x, training=True) / 1  # the first step's mask is also that of the first fit step
    kernel = model.get_weights()[0][:, 0]
    model.compile(optimizers.SGD(1.0), "mse")
    model.fit(x, [[0.0]], verbose=0)
    # d loss / d w = 2 y x mask / (1 - rate): zero where the mask is.
    change = (kernel - model.get_weights()[0][:, 0]) / (2 * seen[0, 0])
    kept = change != 0
    np.testing.assert_allclose(change[kept], 2 * x[0, kept], rtol=1e-5)
    assert seen[0, 0] == pytest.approx((kernel * 2 * x[0])[kept].sum(), rel=1e-5)


def test_swish():
    found = F.silu(np.array([0.0, 1.0, -1.278465]))
    np.testing.assert_allclose(found, [0, 0.731059, -0.278465], atol=1e-6)
    grid = F.silu(np.linspace(-6, 2, 8001))
    assert grid.min() == pytest.approx(-0.278465, abs=1e-6)


def test_softmax_survives_raw_pixels(rng):
    z = rng.normal(0, 40 * 255, (20, 10)).astype(np.float32)  # what raw 0..255 images lead to
    p = F.softmax(z)
    assert np.isfinite(p).all()
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_array_equal(F.softmax(np.float32([[1, 2]])), F.softmax(np.float32([[5, 6]])))
    assert np.isfinite(F.softmax_cross_entropy(z, np.zeros(20, int))[0])


def test_cross_entropy(rng):
    z, y = rng.standard_normal((6, 10)), np.eye(10)[rng.integers(0, 10, 6)]
    _, dz = F.softmax_cross_entropy(z, y)
    np.testing.assert_allclose(dz, (F.softmax(z) - y) / 6, atol=1e-15)
    uniform = losses.CategoricalCrossentropy()(y, np.full((6, 10), 0.1))
    assert uniform == pytest.approx(np.log(10), rel=1e-6)


def test_first_step_of_rmsprop():
    w = np.array([10.0])
    optimizers.RMSprop(learning_rate=0.1).apply_gradients([(np.array([10.0]), w)])
    assert w[0] == pytest.approx(9.683772, abs=1e-6)
