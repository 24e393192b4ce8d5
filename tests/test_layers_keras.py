"""Layers as Keras has them: order of arguments, defaults, weights' options, values, errors."""

import numpy as np
import pytest
import reference_maps
from test_layers import CASES

import convkit
from convkit import constraints, layers, regularizers


@pytest.mark.parametrize("name", CASES)
def test_every_layer_takes_the_usual_keywords(name):
    options, shape = CASES[name]
    layer = getattr(layers, name)(
        **options, name="mine", dtype="float64", trainable=False, input_shape=shape
    )
    assert (layer.name, layer.dtype, layer.trainable) == ("mine", "float64", False)
    with pytest.raises(TypeError, match="unknown argument"):
        getattr(layers, name)(**options, nonsense=1)


def test_names_are_those_of_keras():
    names = {
        "Conv2DTranspose": "conv2d_transpose",
        "Cropping2D": "cropping2d",
        "GlobalAveragePooling2D": "global_average_pooling2d",
        "PReLU": "p_re_lu",
        "SpatialDropout2D": "spatial_dropout2d",
        "UpSampling2D": "up_sampling2d",
        "ZeroPadding2D": "zero_padding2d",
    }
    for kind, name in names.items():
        assert getattr(layers, kind)(**CASES[kind][0]).name.startswith(name)


# ---- weights -------------------------------------------------------------------------------------


def test_weights_take_regularizers_and_constraints(rng):
    model = convkit.Sequential(
        [
            layers.Input((6, 6, 2)),
            layers.Conv2D(4, 3, kernel_regularizer="l2", bias_constraint="non_neg"),
            layers.BatchNormalization(gamma_regularizer=regularizers.L1(0.5)),
            layers.SeparableConv2D(
                3, 2, depthwise_regularizer="l1", pointwise_constraint="max_norm"
            ),
            layers.PReLU(alpha_initializer="ones", alpha_regularizer="l2", shared_axes=[1, 2]),
            layers.Conv2DTranspose(2, 2, kernel_regularizer="l2"),
            layers.LayerNormalization(gamma_constraint=constraints.UnitNorm()),
            layers.Flatten(),
            layers.Dense(1, kernel_regularizer=regularizers.L1L2(0.1, 0.2)),
        ]
    )
    expected = sum(v.regularizer(v.value) for v in model.variables if v.regularizer)
    assert sum(v.regularizer is not None for v in model.variables) == 6
    x, y = rng.standard_normal((8, 6, 6, 2)), rng.standard_normal((8, 1))
    model.compile("sgd", "mse")
    loss = model.evaluate(x, y, verbose=0)
    error = np.mean((model.predict(x) - y) ** 2)
    assert loss == pytest.approx(error + expected, rel=1e-4)
    model.fit(x, y, epochs=2, verbose=0)
    assert (model.layers[0].bias >= 0).all()
    norm = model.get_layer(model.layers[5].name)
    assert np.linalg.norm(norm.gamma) == pytest.approx(1, rel=1e-5)
    with pytest.raises(ValueError, match="unknown regularizer='l3'"):
        layers.Dense(3, kernel_regularizer="l3")
    with pytest.raises(ValueError, match="activity_regularizer"):
        layers.Dense(3, activity_regularizer="l2")


def test_weights_have_the_shapes_of_keras():
    x = layers.Input((8, 8, 6))
    for layer, shapes in (
        (layers.Conv2DTranspose(4, (3, 2)), [(3, 2, 4, 6), (4,)]),
        (layers.SeparableConv2D(4, 3, depth_multiplier=2), [(3, 3, 1, 12), (1, 1, 12, 4), (4,)]),
        (layers.LayerNormalization([1, 2, 3]), [(8, 8, 6), (8, 8, 6)]),
        (layers.GroupNormalization(-1, center=False), [(6,)]),
        (layers.RMSNormalization([2, 3]), [(8, 6)]),
        (layers.PReLU(), [(8, 8, 6)]),
        (layers.PReLU(shared_axes=[1, 2]), [(1, 1, 6)]),
    ):
        layer(x)
        assert [w.shape for w in layer.get_weights()] == shapes


# ---- values --------------------------------------------------------------------------------------


def run(layer, x):
    """Run a layer with random weights on an array; return its result and the weights."""
    layer(x)
    rng = np.random.default_rng(5)
    layer.set_weights([rng.standard_normal(w.shape) for w in layer.get_weights()])
    return layer(x), layer.get_weights()


@pytest.mark.parametrize("axis", [-1, [2, 3], (1, 2, 3)], ids=str)
def test_layer_normalization(axis, rng):
    x = rng.standard_normal((3, 4, 5, 6))
    y, (gamma, beta) = run(layers.LayerNormalization(axis, dtype="float64"), x)
    axes = len(axis) if isinstance(axis, list | tuple) else 1
    expected = reference_maps.layer_norm(x, gamma, beta, axes, 1e-3)
    np.testing.assert_allclose(y, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("axis", [-1, [2, 3], (1, 2, 3)], ids=str)
def test_rms_normalization(axis, rng):
    x = rng.standard_normal((3, 4, 5, 6))
    y, (scale,) = run(layers.RMSNormalization(axis, dtype="float64"), x)
    axes = tuple(axis) if isinstance(axis, list | tuple) else axis
    expected = x / np.sqrt((x**2).mean(axes, keepdims=True) + 1e-6) * scale
    np.testing.assert_allclose(y, expected, rtol=1e-12)
    zeros = layers.RMSNormalization(axis)(0 * x)
    assert zeros.shape == x.shape and not zeros.any()


@pytest.mark.parametrize("groups", [1, 3, -1])
def test_group_normalization(groups, rng):
    x = rng.standard_normal((3, 4, 5, 6))
    y, (gamma, beta) = run(layers.GroupNormalization(groups, dtype="float64"), x)
    count = 6 if groups == -1 else groups
    expected = reference_maps.group_norm(x, gamma, beta, count, 1e-3)
    np.testing.assert_allclose(y, expected, rtol=1e-11, atol=1e-11)


def test_noise_of_training(rng):
    x = rng.uniform(1, 2, (50, 1000))
    noise = layers.GaussianNoise(0.5, seed=3, dtype="float64")
    added = noise(x, training=True) - x
    assert abs(added.mean()) < 0.012 and added.std() == pytest.approx(0.5, rel=0.02)
    dropout = layers.GaussianDropout(0.2, seed=3, dtype="float64")
    factors = dropout(x, training=True) / x
    assert factors.mean() == pytest.approx(1, abs=0.012)
    assert factors.std() == pytest.approx(0.5, rel=0.02)
    # The same numbers: seed, place and step are the same.
    np.testing.assert_allclose(factors - 1, added, atol=1e-12)
    for layer, training in ((noise, False), (dropout, False), (layers.GaussianNoise(0), True)):
        np.testing.assert_array_equal(layer(x, training=training), x.astype(layer.dtype))


def test_separable_convolution_is_two_convolutions(rng):
    x = rng.standard_normal((2, 7, 6, 3))
    options = {"strides": 2, "padding": "same"}
    layer = layers.SeparableConv2D(5, 3, depth_multiplier=2, dtype="float64", **options)
    y, (depthwise, pointwise, bias) = run(layer, x)
    between = convkit.functional.conv2d(x, depthwise, groups=3, **options)
    np.testing.assert_allclose(y, convkit.functional.conv2d(between, pointwise, bias), rtol=1e-12)


def test_transposed_convolution(rng):
    x = rng.standard_normal((2, 5, 4, 3))
    for options in (
        {"strides": 2},
        {"strides": 2, "padding": "same", "output_padding": 1},
        {"dilation_rate": 2},
    ):
        layer = layers.Conv2DTranspose(4, 3, activation="relu", dtype="float64", **options)
        y, (kernel, bias) = run(layer, x)
        options["dilation"] = options.pop("dilation_rate", 1)
        expected = convkit.functional.conv2d_transpose(x, kernel, bias, **options)
        np.testing.assert_allclose(y, np.maximum(expected, 0), rtol=1e-12)
        assert layer.output_shape == (None, *y.shape[1:])


def test_merging_repeats_axes_of_one(rng):
    maps = layers.Input((4, 5, 3))
    pooled = layers.GlobalAveragePooling2D(keepdims=True)(maps)
    x = rng.standard_normal((2, 4, 5, 3)).astype(np.float32)
    mean = x.mean((1, 2), keepdims=True)
    for layer, function in (
        (layers.Add(), np.add),
        (layers.Subtract(), np.subtract),
        (layers.Multiply(), np.multiply),
        (layers.Maximum(), np.maximum),
        (layers.Minimum(), np.minimum),
        (layers.Average(), lambda a, b: (a + b) / 2),
    ):
        got = convkit.Model(maps, layer([maps, pooled])).predict(x)
        np.testing.assert_allclose(got, function(x, mean), rtol=1e-5, atol=1e-6)


def test_squeeze_and_excitation_trains(rng):
    """Channel weights from pooled maps, with gradients through both ways of the product."""
    x = layers.Input((6, 6, 4))
    y = layers.Conv2D(4, 3, padding="same", activation="relu")(x)
    s = layers.GlobalAveragePooling2D(keepdims=True)(y)
    s = layers.Conv2D(4, 1, activation="sigmoid")(s)
    y = layers.GlobalMaxPooling2D()(layers.Multiply()([y, s]))
    model = convkit.Model(x, layers.Dense(2, activation="softmax")(y))
    model.compile(convkit.optimizers.Adam(0.02), "sparse_categorical_crossentropy", "accuracy")
    labels = rng.integers(0, 2, 64)
    data = rng.standard_normal((64, 6, 6, 4)) + labels[:, None, None, None]
    history = model.fit(data, labels, epochs=8, verbose=0).history
    assert history["accuracy"][-1] > 0.9


def test_shapes_move(rng):
    x = rng.standard_normal((2, 6, 5, 3)).astype(np.float32)
    np.testing.assert_array_equal(layers.Permute((3, 1, 2))(x), x.transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(layers.Cropping2D((1, 2))(x), x[:, 1:-1, 2:-2])
    np.testing.assert_array_equal(layers.UpSampling2D(2)(x), x.repeat(2, 1).repeat(2, 2))
    rows = x[:, 0, 0]
    np.testing.assert_array_equal(layers.RepeatVector(4)(rows), rows[:, None].repeat(4, 1))
    unit = layers.UnitNormalization()(x)
    np.testing.assert_allclose((unit**2).sum(-1), 1, rtol=1e-5)
    np.testing.assert_array_equal(layers.UnitNormalization()(0 * x), 0 * x)
    over = layers.UnitNormalization(axis=[1, 2])(x)
    np.testing.assert_allclose((over**2).sum((1, 2)), 1, rtol=1e-5)
    softmax = layers.Softmax(axis=1)(x)
    np.testing.assert_allclose(softmax.sum(1), 1, rtol=1e-5)


WRONG = [
    (lambda: layers.Conv2DTranspose(3, 3, 2, dilation_rate=2), "must not both be above 1"),
    (lambda: layers.Conv2DTranspose(3, 3, 2, output_padding=2), "smaller than strides"),
    (lambda: layers.Conv2DTranspose(3, 3)(layers.Input((8, 8))), "channel axis"),
    (lambda: layers.SeparableConv2D(3, 9)(layers.Input((8, 8, 1))), "larger than the padded"),
    (lambda: layers.SeparableConv2D(0, 3), "filters"),
    (lambda: layers.SpatialDropout2D(0.5)(layers.Input((8, 8))), "channel axis"),
    (lambda: layers.GaussianDropout(1), r"GaussianDropout: rate must lie in \[0, 1\)"),
    (lambda: layers.GaussianNoise(-1), "stddev must not be negative"),
    (lambda: layers.SpatialDropout2D(1.5), r"SpatialDropout2D: rate must lie in \[0, 1\)"),
    (lambda: layers.LayerNormalization(1)(layers.Input((8, 8))), "last axes"),
    (lambda: layers.LayerNormalization([0, 1])(layers.Input((8,))), "last axes"),
    (lambda: layers.LayerNormalization(epsilon=-1), "epsilon"),
    (lambda: layers.RMSNormalization(1)(layers.Input((8, 8))), "RMSNormalization .*last axes"),
    (lambda: layers.RMSNormalization(epsilon=-1), "epsilon must not be negative"),
    (lambda: layers.GroupNormalization()(layers.Input((8, 8, 12))), "groups must divide"),
    (lambda: layers.GroupNormalization(0), "groups must be at least 1"),
    (lambda: layers.GroupNormalization(2, axis=1)(layers.Input((8, 8, 2))), "axis must be"),
    (lambda: layers.UpSampling2D(interpolation="bilinaer"), "did you mean 'bilinear'"),
    (lambda: layers.UpSampling2D(0), "size"),
    (lambda: layers.Cropping2D(4)(layers.Input((8, 8, 1))), "at least one row"),
    (lambda: layers.Cropping2D(-1), "cropping must be an int, a pair"),
    (lambda: layers.Permute((0, 1)), "dims must hold"),
    (lambda: layers.Permute((2, 1))(layers.Input((8, 8, 1))), "dims must name every axis"),
    (lambda: layers.RepeatVector(2)(layers.Input((8, 8))), "Flatten"),
    (lambda: layers.Subtract()([layers.Input((8,))] * 3), "list of two"),
    (lambda: layers.Multiply()([layers.Input((8,)), layers.Input((7,))]), "shapes must be equal"),
    (lambda: layers.Multiply()([layers.Input((8,)), layers.Input((8, 8))]), "shapes must be equal"),
    (lambda: layers.PReLU(shared_axes=[3])(layers.Input((8, 8))), "shared_axes must lie in 1 to 2"),
    (lambda: layers.AdaptiveMaxPooling2D(9)(layers.Input((8, 8, 1))), "output_size must not"),
    (lambda: layers.ReLU(negative_slope=-1), "negative_slope must not be negative"),
]


@pytest.mark.parametrize(("make", "words"), WRONG)
def test_wrong_arguments(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_softmax_refuses_the_batch():
    with pytest.raises(ValueError, match="axis must not be the batch"):
        layers.Softmax(0)(np.ones((2, 8), np.float32))
