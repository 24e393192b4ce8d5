"""Symbolic tensors: operators that record layers, and what Input and the layers' names take."""

import numpy as np
import pytest

import convkit
from convkit import layers


def test_operators_record_layers(rng):
    start = layers.Input((4, 4, 3))
    h = layers.Conv2D(3, 3, padding="same", activation="relu")(start)
    gate = layers.Reshape((1, 1, 3))(layers.GlobalAveragePooling2D()(h))
    x = rng.standard_normal((5, 4, 4, 3)).astype(np.float32)
    inner = convkit.Model(start, [h, gate]).predict(x, verbose=0)
    for result, kind, expected in (
        (h + start, layers.Add, lambda h, g: h + x),
        (h - start, layers.Subtract, lambda h, g: h - x),
        (h * gate, layers.Multiply, lambda h, g: h * g),
        (h + 2, layers.Rescaling, lambda h, g: h + 2),
        (np.float32(2) + h, layers.Rescaling, lambda h, g: h + 2),
        (h - 1.5, layers.Rescaling, lambda h, g: h - 1.5),
        (1 - h, layers.Rescaling, lambda h, g: 1 - h),
        (h * 3, layers.Rescaling, lambda h, g: h * 3),
        (np.int64(3) * h, layers.Rescaling, lambda h, g: h * 3),
        (start / 255.0, layers.Rescaling, lambda h, g: x / 255),
        (-h, layers.Rescaling, lambda h, g: -h),
    ):
        assert isinstance(result.layer, kind)
        model = convkit.Model(start, result)
        np.testing.assert_allclose(model.predict(x, verbose=0), expected(*inner), rtol=1e-5)
    saved = convkit.models.model_from_json(convkit.Model(start, h + start).to_json())
    assert isinstance(saved.layers[-1], layers.Add)
    wide = layers.Input((3,), dtype="float64")
    assert (wide + 1).dtype == (wide + wide).dtype == "float64"
    for wrong in (lambda: h / h, lambda: h + "1", lambda: 1 / h, lambda: np.ones(3) * h):
        with pytest.raises(TypeError, match="unsupported operand"):
            wrong()
    with pytest.raises(ValueError, match="shapes must be equal, or 1 where they differ"):
        h + wide


def test_merging_layers_have_functions(rng):
    start = layers.Input((3,))
    a, b = layers.Dense(3)(start), layers.Dense(3)(start)
    for function, kind in (
        *((layers.add, layers.Add), (layers.average, layers.Average)),
        *((layers.concatenate, layers.Concatenate), (layers.maximum, layers.Maximum)),
        *((layers.minimum, layers.Minimum), (layers.multiply, layers.Multiply)),
        (layers.subtract, layers.Subtract),
    ):
        made = function([a, b], name=f"my_{function.__name__}").layer
        assert isinstance(made, kind) and made.name == f"my_{function.__name__}"
    assert layers.concatenate([a, b], axis=-1).shape == (None, 6)
    with pytest.raises(TypeError, match="Add: unknown argument nam='x'; did you mean 'name'"):
        layers.add([a, b], nam="x")


def test_inputs_are_given_in_several_ways():
    for start in (
        *(layers.Input((4, 5, 1)), layers.Input(batch_shape=(None, 4, 5, 1))),
        *(layers.InputLayer((4, 5, 1)), layers.InputLayer(input_shape=[4, 5, 1], name="x")),
        *(layers.Input(batch_shape=[8, 4, 5, 1]), layers.InputLayer(batch_shape=(8, 4, 5, 1))),
    ):
        model = convkit.Sequential([start, layers.Flatten()])
        assert model.input_shape == (None, 4, 5, 1)
    model = convkit.Sequential([layers.Dense(3, input_dim=4)])
    assert model.input_shape == (None, 4) and "input_dim" not in model.layers[0].get_config()
    for wrong, words in (
        (lambda: layers.Input((3,), batch_shape=(None, 3)), "give shape or batch_shape, not both"),
        (lambda: layers.Input((None, None, 3)), r"sizes must be known, got shape=\(None, None, 3"),
        (lambda: layers.Input(), "shape must be a tuple or list of ints"),
        (lambda: layers.Dense(3, input_dim=0), "Dense: input_dim must be at least 1"),
    ):
        with pytest.raises(ValueError, match=words):
            wrong()


def test_names_begin_anew_with_a_clear_session():
    convkit.backend.clear_session()
    first, second = layers.Dense(3).name, layers.Dense(3).name
    convkit.utils.clear_session()
    assert (first, second, layers.Dense(3).name) == ("dense", "dense_1", "dense")


# ---- functions and nothing -----------------------------------------------------------------------


def test_a_lambda_layer_is_a_function_of_tensors(rng):
    x = rng.random((6, 4)).astype(np.float32)
    layer = layers.Lambda(lambda t: t / 2 + convkit.ops.reduce_mean(t, axis=-1, keepdims=True))
    np.testing.assert_allclose(layer(x), x / 2 + x.mean(1, keepdims=True), rtol=1e-6)
    model = convkit.Sequential([layers.Input((4,)), layers.Dense(2), layers.Lambda(abs)])
    model.compile("sgd", "mse")
    model.fit(x, np.ones((6, 2)), verbose=0)
    assert (model.predict(x, verbose=0) >= 0).all()
    assert layers.Lambda(lambda t, times: t * times, arguments={"times": 3})(x)[0, 0] == 3 * x[0, 0]
    unnamed = convkit.Sequential([layers.Input((4,)), layers.Lambda(lambda t: t)])
    with pytest.raises(TypeError, match=r"cannot be written to a file; pass .* a named function"):
        unnamed.to_json()
    with pytest.raises(TypeError, match="Lambda: function must be callable, got function=3"):
        layers.Lambda(3)


def test_identity(rng):
    x = rng.random((2, 3)).astype(np.float32)
    np.testing.assert_array_equal(layers.Identity()(x), x)
    start = layers.Input((3,))
    model = convkit.Model(start, layers.Identity()(layers.Dense(2)(start)))
    again = convkit.models.clone_model(model)
    again.set_weights(model.get_weights())
    np.testing.assert_array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))
