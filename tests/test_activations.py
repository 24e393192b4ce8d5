"""Activations by name: the same function on arrays, in graphs, on symbols, and in layers."""

import json
import math

import numpy as np
import pytest
from networks import Net
from tolerance import assert_close, unit_roundoff

import convkit
from convkit import _config, activations, layers, ops

# The formulas, in float64.
FORMULAS = {
    "celu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "exponential": np.exp,
    "gelu": lambda x: x / 2 * (1 + np.vectorize(math.erf)(x / np.sqrt(2))),
    "hard_sigmoid": lambda x: np.clip(x + 3, 0, 6) / 6,
    "hard_silu": lambda x: x * np.clip(x + 3, 0, 6) / 6,
    "hard_tanh": lambda x: np.clip(x, -1, 1),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.2 * x),
    "linear": lambda x: x,
    "log_sigmoid": lambda x: -np.log1p(np.exp(-x)),
    "log_softmax": lambda x: x - np.log(np.exp(x).sum(-1, keepdims=True)),
    "mish": lambda x: x * np.tanh(np.log1p(np.exp(x))),
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "selu": lambda x: (
        1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(np.minimum(x, 0)))
    ),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "silu": lambda x: x / (1 + np.exp(-x)),
    "soft_shrink": lambda x: np.sign(x) * np.maximum(np.abs(x) - 0.5, 0),
    "softmax": lambda x: np.exp(x) / np.exp(x).sum(-1, keepdims=True),
    "softplus": lambda x: np.log1p(np.exp(x)),
    "softsign": lambda x: x / (1 + np.abs(x)),
    "sparse_sigmoid": lambda x: np.clip((x + 1) / 2, 0, 1),
    "squareplus": lambda x: (x + np.sqrt(x * x + 4)) / 2,
    "tanh": np.tanh,
    "tanh_shrink": lambda x: x - np.tanh(x),
}
FORMULAS["swish"], FORMULAS["hard_swish"] = FORMULAS["silu"], FORMULAS["hard_silu"]


@pytest.mark.parametrize("name", activations.NAMES)
def test_arrays_tensors_symbols_and_layers_agree(name, dtype, rng):
    function = activations.get(name)
    x = rng.uniform(-8, 8, (5, 7)).astype(dtype)
    expected = FORMULAS[name](x.astype(np.float64))
    bound = 40 * unit_roundoff(dtype) * (np.abs(expected) + 1)
    assert_close(function(x), expected, bound)

    net = Net(dtype, rows=5)
    tensor = net.input(7)
    net.data[tensor][...] = x
    assert_close(net.values([function(tensor) + 0.0])[0], expected, bound)

    inputs = layers.Input((7,), dtype=str(dtype))
    given = layers.Activation(name, dtype=str(dtype))(inputs)
    assert_close(convkit.Model(inputs, given).predict(x), expected, bound)
    if name != "linear" and dtype == "float32":
        recorded = convkit.Model(inputs, function(inputs))
        assert_close(recorded.predict(x), expected, bound)


def test_parameters(dtype, rng):
    x = rng.uniform(-8, 8, (4, 9)).astype(dtype)
    net = Net(dtype, rows=4)
    tensor = net.input(9)
    net.data[tensor][...] = x
    wide = x.astype(np.float64)
    cases = [
        (lambda v: activations.relu(v, 0.25), np.where(wide > 0, wide, 0.25 * wide)),
        (lambda v: activations.relu(v, max_value=2), np.clip(wide, 0, 2)),
        (
            lambda v: activations.relu(v, 0.5, 3.0, 1.0),
            np.where(wide >= 3, 3, np.where(wide >= 1, wide, 0.5 * (wide - 1))),
        ),
        (lambda v: activations.elu(v, 0.5), np.where(wide > 0, wide, 0.5 * np.expm1(wide))),
        (lambda v: activations.leaky_relu(v, 0.1), np.where(wide > 0, wide, 0.1 * wide)),
        (
            lambda v: activations.celu(v, alpha=2.0),
            np.where(wide > 0, wide, 2 * np.expm1(wide / 2)),
        ),
        (lambda v: activations.soft_shrink(v, threshold=1.0), wide - np.clip(wide, -1, 1)),
    ]
    results = net.values([function(tensor) for function, _ in cases])
    for (function, expected), got in zip(cases, results, strict=True):
        bound = 40 * unit_roundoff(dtype) * (np.abs(expected) + 1)
        assert_close(function(x), expected, bound)
        assert_close(got, expected, bound)


def test_parameters_on_symbols(rng):
    x = rng.standard_normal((3, 4, 5)).astype(np.float32)
    inputs = layers.Input((4, 5))
    for function in (
        lambda v: activations.relu(v, max_value=0.5),
        lambda v: activations.softmax(v, axis=1),
        lambda v: activations.gelu(v, approximate=True),
        lambda v: activations.elu(v, 0.3),
    ):
        got = convkit.Model(inputs, function(inputs)).predict(x)
        np.testing.assert_allclose(got, function(x), rtol=1e-6, atol=1e-7)


def grown(x):
    return ops.exp(x * 0.5) - 1.0


def test_functions_of_the_users_own_are_activations(rng):
    x = rng.standard_normal((4, 6)).astype(np.float32)
    layer = layers.Dense(3, activation=grown)
    plain = layers.Dense(3)
    got = layer(x)
    plain.build((None, 6))
    plain.set_weights(layer.get_weights())
    plain.built = True
    np.testing.assert_allclose(got, np.expm1(plain(x) * 0.5), rtol=1e-5, atol=1e-6)
    description = json.loads(json.dumps(_config.serialize(layer)))
    again = _config.deserialize(description, {"grown": grown})
    assert again.activation is grown
    assert activations.deserialize(activations.serialize(activations.relu6)) is activations.relu6


def test_functions_and_layers_as_arguments():
    assert layers.Dense(3, activation=activations.swish).activation == "silu"
    assert layers.Dense(3, activation=convkit.functional.tanh).activation == "tanh"
    x = np.linspace(-2, 2, 8, dtype=np.float32).reshape(2, 4)
    layer = layers.Dense(4, activation=layers.LeakyReLU(0.5), kernel_initializer="ones")
    sums = np.repeat(x.sum(1, keepdims=True), 4, 1)
    np.testing.assert_allclose(layer(x), np.where(sums < 0, sums / 2, sums), rtol=1e-5)
    with pytest.raises(ValueError, match="must have no weights"):
        layers.Dense(3, activation=layers.PReLU())
    with pytest.raises(TypeError, match="must return a tensor"):
        layers.Dense(3, activation=lambda t: 3.0)(x)
    with pytest.raises(ValueError, match="did you mean 'relu6'"):
        activations.get("relu_6")
    assert activations.get(None) is activations.linear
