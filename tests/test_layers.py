"""Every exported layer keeps the contract: shapes, modes, weights, gradients, errors."""

import inspect

import numpy as np
import pytest

import convkit
from convkit import layers, losses
from convkit.layers.augmentation import Augmentation
from convkit.layers.base import Layer, MergingLayer


@convkit.utils.register_serializable("tests")
def double(x):
    """Be the function of a Lambda layer."""
    return x * 2


# What each layer is made with, and the shape of one sample.
CASES = {
    "Activation": ({"activation": "tanh"}, (5, 4, 3)),
    "AdaptiveAveragePooling2D": ({"output_size": (3, 2)}, (7, 5, 3)),
    "AdaptiveMaxPooling2D": ({"output_size": 3}, (7, 5, 3)),
    "Add": ({}, (5, 4, 3)),
    "Average": ({}, (5, 4, 3)),
    "AveragePooling2D": ({"pool_size": 3, "strides": 2, "padding": "same"}, (7, 6, 3)),
    "BatchNormalization": ({}, (5, 4, 3)),
    "CenterCrop": ({"height": 3, "width": 2}, (6, 5, 3)),
    "Concatenate": ({}, (5, 4, 3)),
    "Conv2D": ({"filters": 4, "kernel_size": 3, "activation": "swish"}, (6, 5, 3)),
    "Conv2DTranspose": (
        {"filters": 4, "kernel_size": 3, "strides": 2, "padding": "same", "activation": "silu"},
        (4, 3, 3),
    ),
    "Cropping2D": ({"cropping": ((1, 0), (0, 2))}, (6, 5, 3)),
    "CutMix": ({"factor": 0.5, "seed": 2}, (6, 5, 3)),
    "Cutout": ({"size": 3, "fill_value": 2.0, "seed": 2}, (6, 5, 3)),
    "Dense": ({"units": 4, "activation": "sigmoid"}, (7,)),
    "DepthwiseConv2D": ({"kernel_size": 3, "depth_multiplier": 2}, (6, 5, 3)),
    "Dropout": ({"rate": 0.4}, (6, 5, 3)),
    "ELU": ({"alpha": 0.5}, (6, 5, 3)),
    "Flatten": ({}, (6, 5, 3)),
    "GaussianDropout": ({"rate": 0.4}, (6, 5, 3)),
    "GaussianNoise": ({"stddev": 0.5}, (6, 5, 3)),
    "GlobalAveragePooling2D": ({}, (6, 5, 3)),
    "GlobalMaxPooling2D": ({"keepdims": True}, (6, 5, 3)),
    "GroupNormalization": ({"groups": 2}, (6, 5, 4)),
    "Identity": ({}, (6, 5, 3)),
    "Lambda": ({"function": double}, (6, 5, 3)),
    "LayerNormalization": ({}, (6, 5, 4)),
    "LeakyReLU": ({}, (6, 5, 3)),
    "MaxPooling2D": ({}, (7, 6, 3)),
    "Maximum": ({}, (5, 4, 3)),
    "Minimum": ({}, (5, 4, 3)),
    "MixUp": ({"alpha": 0.7, "seed": 2}, (6, 5, 3)),
    "Multiply": ({}, (5, 4, 3)),
    "Normalization": ({"axis": None}, (6, 5, 3)),
    "PReLU": ({"alpha_initializer": "glorot_uniform", "shared_axes": [1]}, (6, 5, 3)),
    "PatchWhitening": ({"kernel_size": (2, 3), "activation": "gelu"}, (5, 6, 2)),
    "Permute": ({"dims": (3, 1, 2)}, (6, 5, 3)),
    "RandomBrightness": ({"factor": 0.5, "value_range": (-1, 2), "seed": 2}, (6, 5, 3)),
    "RandomContrast": ({"factor": (0.1, 0.5), "seed": 2}, (6, 5, 3)),
    "RandomCrop": ({"height": 4, "width": 4, "padding": 1, "seed": 2}, (6, 5, 3)),
    "RandomErasing": ({"factor": (1, 1), "scale": (0.4, 0.9), "value_range": (-1, 2)}, (6, 5, 3)),
    "RandomFlip": ({"mode": "vertical", "alternating": True, "seed": 2}, (6, 5, 3)),
    "RandomRotation": ({"factor": 0.2, "fill_mode": "wrap", "seed": 2}, (6, 5, 3)),
    "RandomTranslation": (
        {"height_factor": 0.4, "width_factor": (0, 0.2), "interpolation": "nearest", "seed": 2},
        (6, 5, 3),
    ),
    "RandomZoom": ({"height_factor": (0.1, 0.4), "seed": 2}, (6, 5, 3)),
    "RMSNormalization": ({"axis": [2, 3]}, (6, 5, 4)),
    "ReLU": ({"max_value": 1.5, "negative_slope": 0.25, "threshold": 0.125}, (6, 5, 3)),
    "RepeatVector": ({"n": 3}, (7,)),
    "Rescaling": ({"scale": 0.5, "offset": 1.0}, (6, 5, 3)),
    "Reshape": ({"target_shape": (10, -1)}, (6, 5, 3)),
    "Resizing": ({"height": 4, "width": 7, "crop_to_aspect_ratio": True}, (6, 5, 3)),
    "SeparableConv2D": (
        {"filters": 4, "kernel_size": 3, "depth_multiplier": 2, "activation": "relu"},
        (6, 5, 3),
    ),
    "Softmax": ({"axis": 1}, (6, 5, 3)),
    "SpatialDropout2D": ({"rate": 0.4}, (6, 5, 3)),
    "Subtract": ({}, (5, 4, 3)),
    "UnitNormalization": ({}, (6, 5, 3)),
    "UpSampling2D": ({"size": (2, 3), "interpolation": "bilinear"}, (6, 5, 3)),
    "ZeroPadding2D": ({"padding": ((1, 0), (2, 3))}, (6, 5, 3)),
}
CLASSES = sorted(
    {
        cls.__name__
        for _, cls in inspect.getmembers(layers, inspect.isclass)
        if issubclass(cls, Layer) and cls not in (Layer, layers.NumpyLayer)
    }
)


def test_every_exported_layer_has_a_case():
    assert sorted(CASES) == CLASSES


def make(name, dtype="float64", head=None):
    """Build the model of one layer: with a flat output when `head` asks for it."""
    options, shape = CASES[name]
    convkit.set_seed(3)
    layer = getattr(layers, name)(**options, dtype=dtype)
    x = layers.Input(shape)
    if isinstance(layer, MergingLayer):
        y = layer([x, layers.Activation("tanh", dtype=dtype)(x)])
    else:
        y = layer(x)
    if head:
        if len(y.shape) > 2:
            y = layers.Flatten(dtype=dtype)(y)
        y = layers.Dense(head, dtype=dtype)(y)
    return convkit.Model(x, y), layer, shape


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", CLASSES)
def test_shapes_and_dtype(name, dtype, rng):
    model, layer, shape = make(name, dtype)
    x = rng.standard_normal((5, *shape))
    y = model.predict(x, batch_size=3)
    assert y.shape == (5, *model.output_shape[1:])
    assert y.dtype == dtype
    assert layer.output_shape == model.output_shape
    np.testing.assert_array_equal(model(x), y)
    assert layer.count_params() == sum(w.size for w in layer.get_weights())
    assert layer.name in repr(layer.get_config().values()) and model.count_params() >= 0


@pytest.mark.parametrize("name", CLASSES)
def test_training_mode_differs_only_where_it_should(name, rng):
    model, _, shape = make(name)
    x = rng.standard_normal((6, *shape))
    same = np.array_equal(model(x, training=True), model(x))
    noisy = (Augmentation, layers.Dropout, layers.GaussianNoise, layers.BatchNormalization)
    assert same == (not issubclass(getattr(layers, name), noisy))


@pytest.mark.parametrize("name", CLASSES)
def test_weights_go_out_and_in(name):
    model, layer, _ = make(name)
    old = layer.get_weights()
    layer.set_weights([w + 1 for w in old])
    for before, after in zip(old, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(before + 1, after)
    with pytest.raises(ValueError, match="set_weights"):
        layer.set_weights([np.zeros((9, 9))])
    for view in model.weights:
        assert not view.flags.writeable


class _Frozen(convkit.optimizers.SGD):
    """Plain SGD with rate 1: the change of a weight is minus its gradient."""

    def __init__(self):
        super().__init__(1.0)


@pytest.mark.parametrize("name", CLASSES)
def test_gradients(name, rng):
    model, layer, shape = make(name, head=3)
    if "Dropout" in name or "Noise" in name:
        layer.seed = 7
    x = rng.standard_normal((4, *shape))
    y = rng.standard_normal((4, 3))
    start = model.get_weights()

    def loss_at(weights):
        model.set_weights(weights)
        model.optimizer.iterations.value[0] = 0
        return model.fit(x, y, batch_size=4, shuffle=False, verbose=0).history["loss"][0]

    model.compile(_Frozen(), "mse")
    loss_at(start)
    changed = model.get_weights()
    step = 1e-6
    checked = 0
    for i, weight in enumerate(start):
        if not model.variables[i].trainable:
            continue  # statistics
        for at in rng.choice(weight.size, min(5, weight.size), replace=False):
            moved = [w.copy() for w in start]
            moved[i].reshape(-1)[at] += step
            above = loss_at(moved)
            moved[i].reshape(-1)[at] -= 2 * step
            below = loss_at(moved)
            slope = (above - below) / (2 * step)
            got = (weight - changed[i]).reshape(-1)[at]
            # Central differences: rounding of the loss over the step, plus the third derivative.
            assert abs(got - slope) <= 2e-8 * max(1, abs(slope)) + 1e-7
            checked += 1
    assert checked >= 4


def test_batch_norm_moves_its_statistics(rng):
    x = (3 * rng.standard_normal((50, 4)) + 2).astype(np.float32)
    model = convkit.Sequential([layers.Input((4,)), layers.BatchNormalization(), layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(x, np.zeros((50, 1)), batch_size=50, epochs=3, verbose=0)
    norm = model.layers[0]
    share = 1 - 0.99**3
    np.testing.assert_allclose(norm.moving_mean, share * x.mean(0), rtol=1e-5)
    np.testing.assert_allclose(norm.moving_variance, 1 + share * (x.var(0) - 1), rtol=1e-5)


def test_frozen_layers_do_not_change(rng):
    model = convkit.Sequential([layers.Input((4,)), layers.Dense(3), layers.Dense(2)])
    model.layers[0].trainable = False
    model.compile("sgd", "mse")
    before = model.get_weights()
    model.fit(rng.standard_normal((8, 4)), np.ones((8, 2)), verbose=0)
    after = model.get_weights()
    assert [np.array_equal(a, b) for a, b in zip(before, after, strict=True)] == [
        *(True, True, False, False)
    ]


def test_dropout_statistics():
    x = np.ones((200, 500), np.float32)
    y = layers.Dropout(0.2)(x, training=True)
    assert set(np.unique(y)) == {np.float32(0), np.float32(1.25)}
    # 100,000 draws: the mean has a standard deviation of 0.5 / sqrt(1e5) = 0.0016.
    assert abs(y.mean() - 1) < 0.008
    np.testing.assert_array_equal(layers.Dropout(0.2)(x), x)


WRONG = [
    (lambda: layers.Conv2D(0, 3), "filters"),
    (lambda: layers.Conv2D(3, (3, 0)), "kernel_size"),
    (lambda: layers.Conv2D(3, 3, padding="sam"), "did you mean 'same'"),
    (lambda: layers.Conv2D(3, 3, data_format="channels_first"), "data_format"),
    (lambda: layers.Conv2D(3, 3, activation="swich"), "did you mean 'swish'"),
    (lambda: layers.Conv2D(4, 3, groups=3), "groups"),
    (lambda: layers.Dropout(1.0), "rate"),
    (lambda: layers.BatchNormalization(momentum=2), "momentum"),
    (lambda: layers.Conv2D(3, 5)(layers.Input((3, 3, 1))), "larger than the padded input"),
    (lambda: layers.Conv2D(3, 3)(layers.Input((28, 28))), "channel axis"),
    (lambda: layers.MaxPool2D()(layers.Input((28,))), "batch, height, width, channels"),
    (lambda: layers.Add()(layers.Input((3,))), "list of at least two"),
    (lambda: layers.Reshape((7, 7))(layers.Input((3, 3))), "target_shape"),
    (lambda: layers.Input(28), "tuple or list"),
    (lambda: layers.Conv2D(4, 3, groups=2)(layers.Input((8, 8, 3))), "groups=2 must divide the 3"),
    (lambda: _twice(layers.Dense(2)), r"expected 3 features, got shape \(None, 4\)"),
    (lambda: layers.Dropout(0.5, noise_shape=(1, 2)), "SpatialDropout2D drops whole channels"),
    (lambda: layers.ZeroPadding2D("same"), "padding must be numbers, got padding='same'"),
    (
        lambda: layers.Concatenate()([layers.Input((2, 3)), layers.Input((3, 3))]),
        "must agree on all axes but axis=-1",
    ),
    (lambda: layers.BatchNormalization(axis=2), r"axis must be -1 \(the channels\), got axis=2"),
    (
        lambda: layers.BatchNormalization(axis=1)(layers.Input((8, 8, 3))),
        r"axis must be the last one, got axis=1 for input shape \(None, 8, 8, 3\)",
    ),
    (lambda: layers.Normalization()(layers.Input(())), r"expected input \(batch, ..., channels\)"),
    (lambda: layers.Normalization().adapt([1.0, 2.0]), r"must have at least 2 axes .*got \(2,\)"),
]


def _twice(layer):
    """Call a layer on inputs of 3 and of 4 features."""
    layer(layers.Input((3,)))
    return layer(layers.Input((4,)))


@pytest.mark.parametrize(("make_wrong", "words"), WRONG)
def test_wrong_arguments(make_wrong, words):
    with pytest.raises(ValueError, match=words):
        make_wrong()


def test_unknown_argument_suggests():
    with pytest.raises(TypeError, match="did you mean 'activation'"):
        layers.Dense(3, activaation="relu")


def test_losses_on_arrays():
    p = np.array([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]])
    sparse = losses.SparseCategoricalCrossentropy()([0, 2], p)
    expected = -(np.log(0.7) + np.log(0.8)) / 2
    assert sparse == pytest.approx(expected, rel=1e-6)
    one_hot = convkit.utils.to_categorical([0, 2], 3)
    assert losses.CategoricalCrossentropy()(one_hot, p) == pytest.approx(expected, rel=1e-6)
    weighted = losses.SparseCategoricalCrossentropy()([0, 2], p, sample_weight=[2, 0])
    assert weighted == pytest.approx(-np.log(0.7), rel=1e-6)
    assert losses.MeanSquaredError()([[1.0, 2.0]], [[2.0, 4.0]]) == pytest.approx(2.5)
    with pytest.raises(ValueError, match="did you mean 'categorical_crossentropy'"):
        losses.get("scategorical_crossentropy")
    with pytest.raises(ValueError, match=r"\[0, 3\)"):
        losses.SparseCategoricalCrossentropy()([0, 3], p)
