"""Models of several inputs and outputs, models inside of models, shared layers."""

import numpy as np
import pytest
from reference import softmax_cross_entropy

import convkit
from convkit import layers, metrics, optimizers

F64 = {"dtype": "float64"}


def two_by_two(name=""):
    """Build a model of inputs "image" and "extra", outputs "digit" (softmax) and "size"."""
    convkit.set_seed(3)
    image = layers.Input((5, 5, 1), name="image")
    extra = layers.Input((3,), name="extra")
    x = layers.Flatten(**F64)(layers.Conv2D(2, 3, activation="tanh", **F64)(image))
    x = layers.Concatenate(**F64)([x, layers.Dense(4, activation="tanh", **F64)(extra)])
    digit = layers.Dense(3, activation="softmax", name="digit", **F64)(x)
    size = layers.Dense(2, name="size", **F64)(x)
    return convkit.Model([image, extra], [digit, size])


def two_by_two_data(rng, count=20):
    x = [rng.standard_normal((count, 5, 5, 1)), rng.standard_normal((count, 3))]
    return x, [rng.integers(0, 3, count), rng.standard_normal((count, 2))]


LOSSES = ["sparse_categorical_crossentropy", "mse"]


def test_shapes_of_several_inputs_and_outputs(rng, capsys):
    model = two_by_two()
    assert model.input_shape == [(None, 5, 5, 1), (None, 3)]
    assert model.output_shape == [(None, 3), (None, 2)]
    assert [t.name for t in model.inputs] == ["image", "extra"]
    assert model.output_names == ["digit", "size"]
    x, _ = two_by_two_data(rng, 7)
    digit, size = model.predict(x, batch_size=3)
    assert digit.shape == (7, 3) and size.shape == (7, 2)
    for given in (tuple(x), {"extra": x[1], "image": x[0]}):
        for a, b in zip(model(given), (digit, size), strict=True):
            np.testing.assert_array_equal(a, b)
    maps = model.feature_maps(x)
    assert list(maps) == [layer.name for layer in model.layers]
    np.testing.assert_array_equal(maps["size"], size)
    model.summary()
    text = capsys.readouterr().out
    assert "image (InputLayer)" in text and "extra (InputLayer)" in text
    assert "Connected to" in text and f"Total params: {model.count_params()}" in text


def test_the_total_loss_is_the_weighted_sum(rng):
    """One step of plain SGD with several losses is the sum of the steps with each."""
    x, y = two_by_two_data(rng)
    factors = [0.5, 2.0]
    changes = []
    for weights in (factors, [0.5, 0.0], [0.0, 2.0]):
        model = two_by_two()
        start = model.get_weights()
        model.compile(optimizers.SGD(0.1), LOSSES, loss_weights=weights)
        history = model.fit(x, y, batch_size=20, shuffle=False, verbose=0).history
        assert list(history) == ["loss", "digit_loss", "size_loss"]
        digit, size = two_by_two().predict(x)
        digit_loss = -np.log(digit[np.arange(20), y[0]]).mean()
        size_loss = ((size - y[1]) ** 2).mean()
        assert history["digit_loss"][0] == pytest.approx(digit_loss, rel=1e-12)
        assert history["size_loss"][0] == pytest.approx(size_loss, rel=1e-12)
        total = weights[0] * digit_loss + weights[1] * size_loss
        assert history["loss"][0] == pytest.approx(total, rel=1e-12)
        after = model.get_weights()
        changes.append([b - a for a, b in zip(start, after, strict=True)])
    for both, first, second in zip(*changes, strict=True):
        np.testing.assert_allclose(both, first + second, rtol=1e-9, atol=1e-15)


def test_names_of_losses_and_metrics(rng):
    x, y = two_by_two_data(rng)
    weights = rng.random(20)
    model = two_by_two()
    model.compile(
        *(
            "adam",
            {"digit": LOSSES[0], "size": "mse"},
            {"digit": "accuracy", "size": ["mae", "mse"]},
        )
    )
    data = ({"image": x[0], "extra": x[1]}, {"size": y[1], "digit": y[0]})
    history = model.fit(*data, epochs=2, validation_split=0.25, sample_weight=weights, verbose=0)
    names = ["loss", "digit_loss", "size_loss", "digit_accuracy", "size_mae", "size_mse"]
    assert list(history.history) == [*names, *(f"val_{name}" for name in names)]
    found = model.evaluate(x, y, verbose=0)
    assert found == list(model.evaluate(x, y, return_dict=True, verbose=0).values())
    digit, size = model.predict(x)
    assert found[0] == pytest.approx(found[1] + found[2])
    assert found[1] == pytest.approx(softmax_cross_entropy(np.log(digit), y[0])[0])
    assert found[3] == pytest.approx((digit.argmax(1) == y[0]).mean())
    assert found[4] == pytest.approx(np.abs(size - y[1]).mean())
    assert [history.history["val_loss"][-1]] == pytest.approx(
        [
            model.evaluate(
                [a[15:] for a in x], [a[15:] for a in y], sample_weight=weights[15:], verbose=0
            )[0]
        ]
    )


def test_an_output_without_a_loss_is_not_trained(rng):
    x, y = two_by_two_data(rng)
    model = two_by_two()
    before = model.get_layer("size").get_weights()
    model.compile("sgd", [LOSSES[0], None], metrics=["accuracy", None])
    history = model.fit(x, [y[0], None], verbose=0).history
    assert list(history) == ["loss", "digit_loss", "digit_accuracy"]
    for a, b in zip(before, model.get_layer("size").get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_one_loss_and_metric_for_all_outputs(rng):
    x = layers.Input((4,))
    dense = layers.Dense(2, name="twice")
    model = convkit.Model(x, [dense(x), dense(layers.Rescaling(2.0)(x))])
    model.compile("sgd", "mse", metrics="mae")
    data = rng.standard_normal((6, 4))
    history = model.fit(data, [np.zeros((6, 2))] * 2, verbose=0).history
    names = ["twice_loss", "twice_1_loss", "twice_mae", "twice_1_mae"]
    assert list(history) == ["loss", *names]


def test_several_inputs_are_the_same_bits_on_any_number_of_threads(rng):
    x, y = two_by_two_data(rng)
    found = []
    before = convkit.get_num_threads()
    for threads in (1, 2, 3):
        convkit.set_num_threads(threads)
        model = two_by_two()
        model.compile("adam", LOSSES, loss_weights={"digit": 0.3})
        model.fit(x, y, batch_size=8, epochs=2, verbose=0)
        found.append([w.tobytes() for w in model.get_weights()])
    convkit.set_num_threads(before)
    assert found[0] == found[1] == found[2]


# ---- models as layers ----------------------------------------------------------------------------


def body():
    return convkit.Sequential(
        [
            layers.Input((6, 6, 1)),
            layers.Conv2D(2, 3, activation="relu"),
            layers.BatchNormalization(),
            layers.Flatten(),
        ],
        name="body",
    )


def test_a_model_is_a_layer(rng, capsys):
    inner = body()
    x = layers.Input((6, 6, 1))
    model = convkit.Model(x, layers.Dense(2, name="head")(inner(x)))
    assert [layer.name for layer in model.layers] == ["body", "head"]
    assert model.get_layer("body") is inner and model.get_layer(index=0) is inner
    assert model.count_params() == inner.count_params() + 66
    assert inner.output_shape == (None, 32)
    images = rng.standard_normal((9, 6, 6, 1)).astype(np.float32)
    head = model.get_layer("head")
    np.testing.assert_array_equal(model.predict(images), head(inner.predict(images)))
    np.testing.assert_array_equal(model.feature_maps(images)["body"], inner.predict(images))
    model.compile("sgd", "mse")
    start = inner.get_weights()
    model.fit(images, np.ones((9, 2)), epochs=3, verbose=0)
    changed = [not np.array_equal(a, b) for a, b in zip(start, inner.get_weights(), strict=True)]
    assert all(changed), "weights and moving statistics of the inner model are the outer's"
    np.testing.assert_array_equal(model.predict(images), head(inner.predict(images)))
    model.summary()
    assert "body (Sequential)" in capsys.readouterr().out


def test_a_nested_model_trains_as_its_layers_do(rng):
    """The same ops in the same order: the same bits as the flat model."""
    images, y = rng.standard_normal((20, 6, 6, 1)), rng.integers(0, 2, 20)
    results = []
    for nested in (False, True):
        convkit.set_seed(8)
        inner = body()
        end = layers.Dense(2, activation="softmax")
        start = layers.Input((6, 6, 1))
        parts = [inner] if nested else inner.layers
        model = convkit.Sequential([start, *parts, end])
        model.compile("adam", LOSSES[0], ["accuracy"])
        convkit.set_seed(9)
        model.fit(images, y, batch_size=8, epochs=2, verbose=0)
        results.append(model.get_weights())
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_frozen_model_does_not_change(rng):
    inner = body()
    inner.trainable = False
    assert not any(layer.trainable for layer in inner.layers)
    model = convkit.Sequential([inner, layers.Dense(2)])
    assert len(model.trainable_variables) == 2
    model.compile("sgd", "mse")
    start = model.get_weights()
    model.fit(rng.standard_normal((8, 6, 6, 1)), np.ones((8, 2)), verbose=0)
    same = [np.array_equal(a, b) for a, b in zip(start, model.get_weights(), strict=True)]
    assert same == [True] * 6 + [False] * 2
    inner.layers[0].trainable = True  # the model around it stays frozen
    assert inner.trainable_variables == []


def test_trainable_takes_effect_at_compile(rng):
    """As in the training of two nets against each other: each keeps what it was compiled with."""
    judge = convkit.Sequential([layers.Input((3,)), layers.Dense(1)], name="judge")
    judge.compile("sgd", "mse")
    judge.trainable = False
    x = layers.Input((2,))
    both = convkit.Model(x, judge(layers.Dense(3)(x)))
    both.compile("sgd", "mse")
    start = judge.get_weights()
    both.fit(rng.standard_normal((4, 2)), np.ones((4, 1)), verbose=0)
    assert np.array_equal(judge.get_weights()[0], start[0])
    judge.fit(rng.standard_normal((4, 3)), np.ones((4, 1)), verbose=0)
    assert not np.array_equal(judge.get_weights()[0], start[0])


def test_models_of_several_outputs_nest(rng):
    inner = two_by_two()
    image, extra = layers.Input((5, 5, 1), name="a"), layers.Input((3,), name="b")
    digit, size = inner([image, extra])
    model = convkit.Model([image, extra], layers.Concatenate(**F64)([digit, size]))
    x, _ = two_by_two_data(rng, 4)
    np.testing.assert_array_equal(model.predict(x), np.concatenate(inner.predict(x), 1))
    maps = model.feature_maps(x)
    assert [a.shape for a in maps[inner.name]] == [(4, 3), (4, 2)]
    with pytest.raises(ValueError, match=r"inputs of shapes .*\(None, 3\)"):
        inner([image, image])


def test_a_shared_model_sums_its_gradients(rng):
    """f(x) + f(-x) through one inner model, against two calls of the layers themselves."""
    inner = convkit.Sequential([layers.Input((4,)), layers.Dense(3, activation="tanh", **F64)])
    x = layers.Input((4,))
    y = layers.Rescaling(-1.0, **F64)(x)
    outer = convkit.Model(x, layers.Add(**F64)([inner(x), inner(y)]))
    assert outer.count_params() == 15 and len(outer.get_weights()) == 2
    data, target = rng.standard_normal((5, 4)), rng.standard_normal((5, 3))
    w, b = outer.get_weights()
    left, right = np.tanh(data @ w + b), np.tanh(-data @ w + b)
    d = 2 * (left + right - target) / target.size
    dw = data.T @ (d * (1 - left**2)) - data.T @ (d * (1 - right**2))
    outer.compile(optimizers.SGD(1.0), "mse")
    outer.fit(data, target, verbose=0)
    np.testing.assert_allclose(outer.get_weights()[0], w - dw, rtol=1e-11, atol=1e-13)


def test_weights_of_nested_models_are_saved(tmp_path, rng):
    path = tmp_path / "w.safetensors"
    images = rng.standard_normal((3, 6, 6, 1))
    one = convkit.Sequential([body(), layers.Dense(2)])
    two = convkit.Sequential([body(), layers.Dense(2)])
    one.save_weights(path)
    two.load_weights(path)
    np.testing.assert_array_equal(one.predict(images), two.predict(images))


def test_a_sequential_inside_is_built_by_the_call():
    inner = convkit.Sequential([layers.Dense(3), layers.Dense(2)])
    x = layers.Input((4,))
    model = convkit.Model(x, inner(x))
    assert inner.built and model.count_params() == 15 + 8


def test_the_rest_of_a_model_is_a_model(rng):
    x = layers.Input((4,))
    middle = layers.Dense(3, activation="tanh", **F64)(x)
    y = layers.Add(**F64)([layers.Dense(3, **F64)(middle), middle])
    whole, first = convkit.Model(x, y), convkit.Model(x, middle)
    rest = convkit.Model(first.output, whole.output)
    assert first.layers + rest.layers == whole.layers
    data = rng.standard_normal((5, 4))
    np.testing.assert_array_equal(rest.predict(first.predict(data)), whole.predict(data))


def test_a_chain_longer_than_the_recursion_limit():
    x = y = layers.Input((1,))
    for _ in range(1200):
        y = layers.Rescaling(1.0)(y)
    assert len(convkit.Model(x, y).layers) == 1200


# ---- layers of several inputs on arrays ----------------------------------------------------------


def test_merging_layers_take_arrays(rng):
    a, b = rng.standard_normal((2, 3, 4)), rng.standard_normal((2, 3, 4))
    np.testing.assert_array_equal(layers.Add(**F64)([a, b]), a + b)
    layer = layers.Concatenate(axis=1, **F64)
    np.testing.assert_array_equal(layer([a, b]), np.concatenate([a, b], 1))
    c = rng.standard_normal((2, 5, 4))
    np.testing.assert_array_equal(layer([a, c]), np.concatenate([a, c], 1))


def test_dropout_draws_anew_at_each_call():
    model = convkit.Sequential([layers.Input((200,)), layers.Dropout(0.5)])
    x = np.ones((2, 200), np.float32)
    first, second = model(x, training=True), model(x, training=True)
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(model(x), x)


# ---- what is refused -----------------------------------------------------------------------------


def wrong():
    """Yield (words, error, call)."""
    model = two_by_two()
    x, y = two_by_two_data(np.random.default_rng(0), 4)
    a = layers.Input((3,), name="a")
    b = layers.Dense(2)(a)
    yield r"list of 2, one per input \(image, extra\)", ValueError, lambda: model.predict(x[0])
    yield r"list of 2, one per input", ValueError, lambda: model.predict([*x, x[0]])
    yield r"x lacks the inputs \['extra'\]", ValueError, lambda: model.predict({"image": x[0]})
    yield r"did you mean 'image'", ValueError, lambda: model.predict({"imag": x[0], "extra": x[1]})
    yield r"as many samples, got \[4, 3\]", ValueError, lambda: model.predict([x[0], x[1][:3]])
    yield r"x\['extra'\] of shape \(None, 3\)", ValueError, lambda: model.predict([x[0], x[0]])
    yield "one entry per output", ValueError, lambda: model.compile("sgd", ["mse"])
    yield "did you mean 'digit'", ValueError, lambda: model.compile("sgd", {"digits": "mse"})
    yield "one entry per output", ValueError, lambda: model.compile("sgd", "mse", ["mae"])
    metric = metrics.MeanAbsoluteError()
    yield "metric objects of its own", ValueError, lambda: model.compile("sgd", "mse", metric)
    yield "loss for an output", ValueError, lambda: model.compile("sgd", [None, None])
    yield (
        *("need a loss", ValueError),
        lambda: model.compile("sgd", ["mse", None], [None, "mae"]),
    )
    yield "compile the model first", RuntimeError, lambda: model.fit(x, y)

    def trained(*arguments, **options):
        model.compile("sgd", LOSSES)
        return model.fit(*arguments, verbose=0, **options)

    yield r"y must be a list of 2", ValueError, lambda: trained(x, y[0])
    yield "one output", ValueError, lambda: trained(x, y, class_weight={0: 1, 1: 1, 2: 1})
    yield "inputs must be symbolic", TypeError, lambda: convkit.Model(x[0], b)
    yield "must not be empty", ValueError, lambda: convkit.Model([], b)
    yield "differ in name", ValueError, lambda: convkit.Model([a, a], b)
    other = layers.Input((3,))
    yield "do not depend on inputs", ValueError, lambda: convkit.Model([a, other], b)
    yield "depend on another input", ValueError, lambda: convkit.Model(other, b)
    yield "on one tensor, got a list of 2", ValueError, lambda: layers.Dense(2)([a, a])
    yield "not on both at once", TypeError, lambda: layers.Add()([a, np.zeros((2, 3))])
    yield "list of arrays", TypeError, lambda: layers.Add()(np.zeros((2, 3)))
    yield "index must be less than", ValueError, lambda: model.get_layer(index=99)
    yield "did you mean 'digit'", ValueError, lambda: model.get_layer("digt")
    nested = convkit.Sequential([layers.Input((4,)), layers.Dense(2)])
    yield "must be called on inputs of shapes", ValueError, lambda: nested(a)
    yield (
        "several outputs",
        ValueError,
        lambda: convkit.Sequential([convkit.Model(a, [b, b]), layers.Dense(1)]),
    )
    yield "no layers", ValueError, lambda: convkit.Sequential()(a)
    yield "no layers; add some first", ValueError, lambda: convkit.Sequential().predict(x[0])
    yield "no layer to remove", ValueError, lambda: convkit.Sequential().pop()
    yield "add layers, got 3", TypeError, lambda: convkit.Sequential([3])
    yield "Input must come first", ValueError, lambda: convkit.Sequential([layers.Dense(2), a])
    dense = layers.Dense(2)
    yield "is in the model already", ValueError, lambda: convkit.Sequential([dense, dense])
    unbuilt = convkit.Sequential([layers.Dense(2)])
    yield r"at least 2 axes .* got shape \(3,\)", ValueError, lambda: unbuilt.predict([1, 2, 3])
    yield "input shape is not known yet", ValueError, unbuilt.summary

    def labelled(loss, labels, **options):
        small = convkit.Sequential([layers.Input((3,)), layers.Dense(2)])
        small.compile("sgd", loss)
        return small.fit(np.ones((len(labels), 3)), labels, verbose=0, **options)

    sparse = "sparse_categorical_crossentropy"
    yield r"y must have shape \(2, 2\), got \(2, 3\)", *_fit(labelled, "mse", np.ones((2, 3)))
    yield "whole class numbers, got fractions", *_fit(labelled, sparse, np.array([0.5, 1]))
    yield "leaves no samples", *_fit(labelled, "mse", np.ones((1, 2)), validation_split=0.5)
    ragged = [[[1, 2], [3]], [[1, 2], [3]]]
    yield (
        "x must be a regular array",
        ValueError,
        lambda: convkit.Sequential([layers.Input((2, 2)), layers.Flatten()]).predict(ragged),
    )


def _fit(function, *arguments, **options):
    return ValueError, lambda: function(*arguments, **options)


def test_what_does_not_fit_is_refused():
    for words, error, call in wrong():
        with pytest.raises(error, match=words):
            call()
