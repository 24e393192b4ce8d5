"""Filters that make patches white."""

import numpy as np
import pytest

import convkit
from convkit import layers


def correlated(rng, count=40, shape=(9, 8, 3)):
    """Return images whose neighbours and channels go together."""
    x = rng.standard_normal((count, *shape)) @ rng.standard_normal((shape[-1], shape[-1]))
    x[:, 1:] += 0.8 * x[:, :-1]
    x[:, :, 1:] -= 0.5 * x[:, :, :-1]
    return x


@pytest.mark.parametrize("kernel", [2, (1, 3)])
def test_patches_become_white(kernel, rng):
    x = correlated(rng)
    layer = layers.PatchWhitening(kernel, epsilon=0.0, dtype="float64")
    layer.adapt(x)
    y = layer(x)
    size = y.shape[-1] // 2
    assert size == 3 * np.prod(layer.kernel_size)
    np.testing.assert_allclose(y[..., size:], -y[..., :size])
    rows = y[..., :size].reshape(-1, size)
    np.testing.assert_allclose(rows.T @ rows / len(rows), np.eye(size), atol=1e-9)
    # The first filter is of the direction of largest variance: it scales down most.
    norms = np.linalg.norm(layer.kernel.reshape(-1, 2 * size)[:, :size], axis=0)
    assert (np.diff(norms) > 0).all()


def test_batches_and_pieces_make_no_difference(rng):
    x = correlated(rng, 300).astype(np.float32)
    whole, parts = (layers.PatchWhitening(2) for _ in range(2))
    whole.adapt(x)
    parts.adapt((x[i : i + 70], None) for i in range(0, 300, 70))
    np.testing.assert_allclose(parts.kernel, whole.kernel, rtol=1e-4, atol=1e-6)


def test_only_the_bias_learns(rng):
    x = correlated(rng).astype(np.float32)
    convkit.set_seed(2)
    layer = layers.PatchWhitening(activation="gelu", bias_regularizer="l2")
    model = convkit.Sequential([layers.Input(x.shape[1:]), layer, layers.Flatten()])
    model.add(layers.Dense(2))
    layer.adapt(x)
    kernel = layer.kernel.copy()
    model.compile("sgd", "mse")
    model.fit(x, rng.standard_normal((len(x), 2)), epochs=2, verbose=0)
    np.testing.assert_array_equal(layer.kernel, kernel)
    assert layer.bias.any()
    again = convkit.Sequential.from_config(model.get_config())
    again.set_weights(model.get_weights())
    np.testing.assert_array_equal(again.predict(x), model.predict(x))


def test_without_adapt_pixels_pass_in_both_signs():
    layer = layers.PatchWhitening(1, epsilon=0.0, use_bias=False)
    x = np.arange(12, dtype=np.float32).reshape(1, 2, 2, 3)
    np.testing.assert_allclose(layer(x), np.concatenate([x, -x], axis=-1), rtol=1e-6)


def test_what_is_refused():
    layer = layers.PatchWhitening(3)
    with pytest.raises(ValueError, match="at least 3 x 3 pixels, got data of shape"):
        layer.adapt(np.zeros((4, 2, 5, 1)))
    with pytest.raises(ValueError, match="at least one image"):
        layer.adapt(np.zeros((0, 5, 5, 1)))
    with pytest.raises(ValueError, match="only finite numbers"):
        layer.adapt(np.full((1, 5, 5, 1), np.nan))
    layer.adapt(np.ones((1, 5, 5, 1)))
    with pytest.raises(ValueError, match="needs 1 channels"):
        layer.adapt(np.zeros((1, 5, 5, 2)))
    with pytest.raises(ValueError, match="epsilon must not be negative"):
        layers.PatchWhitening(epsilon=-1)
