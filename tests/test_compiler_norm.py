"""Inference's batch normalization inside a convolution: the same bits as apart."""

import numpy as np
import pytest
from networks import Net
from tolerance import assert_same_bits

import convkit
from convkit import layers, ops
from convkit.graph import Variable

# Winograd, one tile of channels with a tail, few channels (samples as lanes), 1x1, depthwise.
SHAPES = {
    "winograd": ((9, 11, 16), 20, 3, {"padding": "same"}),
    "tails": ((8, 7, 3), 21, 3, {}),
    "few": ((12, 20, 2), 5, 3, {}),
    "pointwise": ((7, 6, 5), 18, 1, {}),
    "depthwise": ((8, 8, 20), 20, 3, {"groups": 20}),
}


def network(shape, dtype, activation, pool):
    """Return the net, the map before the normalization, and the result."""
    size, k, kernel, options = SHAPES[shape]
    net = Net(dtype, rows=19)
    z = net.conv(net.input(*size), k, kernel, **options)
    rng = np.random.default_rng(0)

    def vector(low, high):
        value = rng.uniform(low, high, k).astype(dtype)
        return z.graph.variable(Variable("v", value, trainable=False))

    mean, variance, gamma, beta = vector(-1, 1), vector(0.1, 2), vector(-1, 2), vector(-1, 1)
    y = ops.batch_norm_inference(z, mean, variance, gamma, beta)
    if activation:
        y = ops.activation(y, activation)
    return net, z, ops.max_pool2d(y) if pool else y


@pytest.mark.parametrize("pool", [False, True], ids=["map", "pooled"])
@pytest.mark.parametrize("activation", [None, "relu", "silu"])
@pytest.mark.parametrize("shape", SHAPES)
def test_within_the_convolution_it_gives_the_same_bits(shape, activation, pool, dtype):
    net, z, y = network(shape, dtype, activation, pool)
    fused, apart = net.compile([y]), net.compile([y, z])
    assert "batch_norm_inference" not in fused.kernels
    assert "batch_norm_inference" in apart.kernels
    results = []
    for program in (fused, apart):
        program.run()
        results.append(program.view(y).copy())
    assert_same_bits(*results)


def test_a_map_with_another_reader_is_normalized_apart():
    net, z, y = network("tails", "float32", None, False)
    both = ops.concatenate([y, z], 3)
    assert "batch_norm_inference" in net.compile([both]).kernels


def test_a_frozen_layer_trains_as_apart():
    def trained(extra):
        convkit.set_seed(3)
        x = layers.Input((8, 8, 3))
        z = layers.Conv2D(6, 3)(x)
        norm = layers.BatchNormalization()
        norm.trainable = False
        y = layers.Activation("silu")(norm(z))
        if extra:  # a second reader of z
            y = layers.Add()([y, layers.Rescaling(0.0)(z)])
        model = convkit.Model(x, layers.Dense(3, activation="softmax")(layers.Flatten()(y)))
        model.compile("sgd", "sparse_categorical_crossentropy")
        rng = np.random.default_rng(1)
        norm.set_weights([rng.uniform(0.5, 1, 6) for _ in range(4)])
        model.fit(rng.random((24, 8, 8, 3)), rng.integers(0, 3, 24), batch_size=8, verbose=0)
        return model.get_weights()

    for a, b in zip(trained(False), trained(True), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6)
