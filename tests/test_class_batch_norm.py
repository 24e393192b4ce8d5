"""What the class's note says of batch normalization, with its numbers: scale, layers, noise."""

import numpy as np
import pytest

import convkit
import convkit.functional as F
from convkit import layers


@pytest.mark.parametrize("shape", [(64, 5), (8, 6, 6, 5)])
def test_training_gives_mean_zero_and_nearly_variance_one(shape, rng):
    axes = tuple(range(len(shape) - 1))
    x = (rng.standard_normal(shape) * [0.1, 1, 4, 20, 100] + [0, 5, -3, 40, 10]).astype(np.float32)
    y = layers.BatchNormalization()(x, training=True)
    variance = x.astype(float).var(axis=axes)
    np.testing.assert_allclose(y.mean(axis=axes), 0, atol=1e-5)
    # Not exactly 1: epsilon is added before the root.
    np.testing.assert_allclose(y.var(axis=axes), variance / (variance + 1e-3), rtol=1e-4)
    assert y.var(axis=axes)[0] < 0.95 and y.var(axis=axes)[3] > 0.9999


def test_gamma_and_beta_set_scale_and_place(rng):
    x = 10 * rng.standard_normal((256, 3))
    y, _, _ = F.batch_norm(x, [2.0, 0.5, 1.0], [1.0, -1.0, 7.0])
    np.testing.assert_allclose(y.mean(axis=0), [1, -1, 7], atol=1e-12)
    np.testing.assert_allclose(y.var(axis=0), [4, 0.25, 1], rtol=1e-4)


def test_inference_uses_the_moving_statistics(rng):
    x = rng.standard_normal((50, 4)).astype(np.float32) + 3
    norm = layers.BatchNormalization()
    np.testing.assert_allclose(norm(x), x / np.sqrt(1.001), rtol=1e-6)  # before any training
    np.testing.assert_array_equal(norm(x)[:1], norm(x[:1]))
    assert not np.allclose(norm(x, training=True)[:8], norm(x[:8], training=True))


@pytest.mark.parametrize(("steps", "share"), [(5, 0.049), (100, 0.634), (500, 0.9934)])
def test_how_far_the_moving_mean_has_moved(steps, share, rng):
    x = rng.normal([5, -2, 1], 1, (16, 3)).astype(np.float32)
    model = convkit.Sequential([layers.Input((3,)), layers.BatchNormalization(), layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(x, np.zeros(16), batch_size=16, epochs=steps, verbose=0)
    norm = model.layers[0]
    assert share == pytest.approx(1 - 0.99**steps, abs=1e-3)
    np.testing.assert_allclose(norm.moving_mean, (1 - 0.99**steps) * x.mean(axis=0), rtol=1e-4)
    expected = 0.99**steps + (1 - 0.99**steps) * x.var(axis=0)  # the biased variance
    np.testing.assert_allclose(norm.moving_variance, expected, rtol=1e-4)


def test_a_bias_before_it_does_nothing(rng):
    x = rng.standard_normal((64, 6)).astype(np.float32)
    convkit.set_seed(8)
    dense, norm = layers.Dense(4), layers.BatchNormalization()
    before = norm(dense(x), training=True)
    kernel, bias = dense.get_weights()
    dense.set_weights([kernel, bias + 7])
    np.testing.assert_allclose(norm(dense(x), training=True), before, atol=1e-5)
    z, dy = dense(x).astype(float), rng.standard_normal((64, 4))
    dz, _, _ = F.batch_norm_backward(dy, z, z.mean(axis=0), z.var(axis=0), epsilon=1e-9)
    np.testing.assert_allclose(dz.sum(axis=0), 0, atol=1e-12)  # so the bias' gradient is 0
    normal = (z - z.mean(axis=0)) / z.std(axis=0)
    np.testing.assert_allclose((dz * normal).sum(axis=0), 0, atol=1e-6)  # and so is the scale's


def test_layers_behind_it_do_not_feel_the_scale_of_those_before(rng):
    x = 3 * rng.standard_normal((128, 20))
    dense, norm = layers.Dense(8, dtype="float64"), layers.BatchNormalization(dtype="float64")
    z = dense(x)
    before = norm(z, training=True)
    dense.set_weights([10 * w for w in dense.get_weights()])
    np.testing.assert_allclose(dense(x), 10 * z)
    assert np.abs(norm(dense(x), training=True) - before).max() < 2e-3


def test_variance_grows_with_depth_without_it(rng):
    weights = [rng.standard_normal((64, 64)) * 1.5 / 8 for _ in range(10)]
    plain = normal = rng.standard_normal((512, 64))
    grown, kept = [], []
    for w in weights:
        plain = F.dense(plain, w)
        normal, _, _ = F.batch_norm(F.dense(normal, w))
        grown.append(plain.var())
        kept.append(normal.var())
    assert grown[0] == pytest.approx(2.25, rel=0.1) and 2000 < grown[-1] < 6000
    np.testing.assert_allclose(kept, 1, atol=2e-3)


SIZES = (8, 32, 64, 128, 256, 512)


def spread(population, rng, draws=400):
    """Pass one fixed sample in random batches of each size; return the spread of its result."""
    fixed = population[:1]
    result = []
    for size in SIZES:
        outcomes = []
        for _ in range(draws):
            batch = population[rng.integers(0, len(population), size)]
            batch[0] = fixed[0]
            outcomes.append(F.batch_norm(batch)[0][0])
        result.append(np.std(outcomes, axis=0).mean())
    return np.array(result)


def test_larger_batches_add_less_noise(rng):
    population = rng.exponential(size=(5000, 4))
    population[0] = 2  # one standard deviation above the mean
    found = spread(population, rng)
    assert (np.diff(found) < 0).all()
    # 64 against 512 samples: sqrt(8) = 2.83, up to 400 draws' own noise.
    assert 2.2 < found[2] / found[5] < 3.6
    means = [population[rng.integers(0, 5000, (400, size)), 1].mean(axis=1).std() for size in SIZES]
    np.testing.assert_allclose(means, 1 / np.sqrt(SIZES), rtol=0.15)


def test_larger_batches_add_less_noise_to_maps(rng):
    # Neighbouring pixels are alike, but images are independent of each other: the root law holds.
    images = rng.random((3000, 4, 4, 1)).repeat(3, axis=1).repeat(3, axis=2)
    maps = F.conv2d(images, rng.standard_normal((5, 5, 1, 3)))
    found = spread(maps, rng, draws=150)
    assert (np.diff(found) < 0).all() and 2.2 < found[2] / found[5] < 3.6


def test_dropout_is_noisier(rng):
    ones = np.ones((400, 500), np.float32)
    dropped = layers.Dropout(0.5)(ones, training=True)
    noise = spread(rng.standard_normal((3000, 4)), rng, draws=100)[2]
    assert dropped.std() == pytest.approx(1, abs=0.01) and noise < 0.3
