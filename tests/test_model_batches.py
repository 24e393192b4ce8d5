"""Single steps, validation now and then, and what a loop of one's own asks of a model."""

import numpy as np
import pytest

import convkit
from convkit import callbacks, layers


def network(loss="sparse_categorical_crossentropy", metrics=("accuracy",), built=True):
    """Return a compiled classifier, the same each time."""
    convkit.set_seed(3)
    front = [layers.Input((4, 4, 1))] if built else []
    model = convkit.Sequential(
        [
            *front,
            layers.Conv2D(4, 3, activation="relu"),
            layers.BatchNormalization(),
            layers.Flatten(),
            layers.Dropout(0.2),
            layers.Dense(3, activation="softmax"),
        ]
    )
    model.compile("adam", loss, list(metrics))
    return model


@pytest.fixture
def samples(rng):
    """Return 40 samples of 3 classes."""
    return rng.standard_normal((40, 4, 4, 1)).astype(np.float32), rng.integers(0, 3, 40)


def assert_same_weights(a, b):
    """Assert that two models have the same weights."""
    for one, other in zip(a.get_weights(), b.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


# ---- single steps --------------------------------------------------------------------------------


@pytest.mark.parametrize("built", [True, False])
def test_a_step_on_a_batch_is_fit_on_that_batch(samples, built):
    x, y = samples
    fitted, stepped = network(), network(built=built)
    for rows in (slice(0, 16), slice(16, 24), slice(0, 40)):
        found = stepped.train_on_batch(x[rows], y[rows])
        history = fitted.fit(x[rows], y[rows], batch_size=40, shuffle=False, verbose=0).history
        assert found == [history["loss"][0], history["accuracy"][0]]
    assert_same_weights(stepped, fitted)
    assert int(stepped.optimizer.iterations.value[0]) == 3
    assert stepped.metrics_names == ["loss", "accuracy"]
    assert [metric.name for metric in stepped.metrics] == ["accuracy"]


def test_weights_count_in_a_step(samples):
    x, y = samples
    stepped, fitted = network(), network()
    weights, table = np.linspace(0, 2, 40), {0: 1.0, 1: 3.0, 2: 0.5}
    found = stepped.train_on_batch(x, y, weights, table, return_dict=True)
    options = {"sample_weight": weights, "class_weight": table, "shuffle": False, "verbose": 0}
    history = fitted.fit(x, y, batch_size=40, **options).history
    assert found == {name: values[0] for name, values in history.items()}
    assert_same_weights(stepped, fitted)


def test_a_test_on_a_batch_is_evaluate_on_it(samples):
    x, y = samples
    model = network()
    before = model.get_weights()
    for _ in range(2):  # metrics are of the batch alone
        assert model.test_on_batch(x[:7], y[:7]) == model.evaluate(x[:7], y[:7], verbose=0)
    weights = np.linspace(0, 2, 7)
    assert model.test_on_batch(x[:7], y[:7], weights, return_dict=True) == model.evaluate(
        x[:7], y[:7], sample_weight=weights, return_dict=True, verbose=0
    )
    np.testing.assert_array_equal(model.predict_on_batch(x[:7]), model.predict(x[:7], verbose=0))
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert isinstance(network(metrics=()).test_on_batch(x, y), float)
    model.reset_metrics()
    assert model.metrics[0].result() == 0


def test_several_outputs_in_a_step(samples):
    x, y = samples
    start = layers.Input((4, 4, 1))
    flat = layers.Flatten()(start)
    ends = [layers.Dense(3, activation="softmax", name="a")(flat), layers.Dense(1, name="b")(flat)]
    model = convkit.Model(start, ends)
    model.compile("sgd", ["sparse_categorical_crossentropy", "mse"], {"a": ["accuracy"]})
    values = {"a": y, "b": np.ones(40)}
    found = model.train_on_batch(x, values, return_dict=True)
    assert list(found) == model.metrics_names == ["loss", "a_loss", "b_loss", "a_accuracy"]
    assert found["loss"] == pytest.approx(found["a_loss"] + found["b_loss"], rel=1e-6)
    assert len(model.predict_on_batch(x)) == 2
    assert model.input_names == [start.name] and model.output_names == ["a", "b"]


def test_steps_are_refused_within_fit_and_without_compile(samples):
    x, y = samples

    class Nested(callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.test_on_batch(x, y)
            self.model.train_on_batch(x, y)

    model = network()
    with pytest.raises(RuntimeError, match="train_on_batch: this model is in fit"):
        model.fit(x, y, verbose=0, callbacks=Nested())
    for run in (model.train_on_batch, model.test_on_batch):
        with pytest.raises(ValueError, match="_on_batch: y must be given"):
            run(x)
        with pytest.raises(ValueError, match="_on_batch: x and y must have as many samples"):
            run(x, y[:3])
    plain = convkit.Sequential([layers.Input((4, 4, 1)), layers.Flatten(), layers.Dense(3)])
    with pytest.raises(RuntimeError, match="train_on_batch: compile the model first"):
        plain.train_on_batch(x, y)
    assert plain.metrics_names == ["loss"] and plain.metrics == []


# ---- validation ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("frequency", "epochs"), [(1, 5), (2, 2), ([1, 4], 2), ((5,), 1)])
def test_validation_runs_after_the_epochs_that_are_asked_for(samples, frequency, epochs):
    x, y = samples
    model, tested = network(), []

    class Watch(callbacks.Callback):
        def on_test_end(self, logs=None):
            tested.append(logs["loss"])

        def on_epoch_end(self, epoch, logs=None):
            assert ("val_loss" in logs) == (len(tested) > len(self.before))
            self.before = list(tested)

        before = ()

    options = {"validation_data": (x[:9], y[:9]), "validation_freq": frequency}
    history = model.fit(x, y, epochs=5, verbose=0, callbacks=[Watch()], **options).history
    assert history["val_loss"] == tested and len(tested) == epochs
    assert len(history["loss"]) == 5


def test_validation_has_a_batch_size_of_its_own(samples):
    x, y = samples
    batches = []

    class Count(callbacks.Callback):
        def on_test_batch_end(self, batch, logs=None):
            batches.append(batch)

    for options, expected in (
        ({"validation_data": (x, y)}, [0, 1]),
        ({"validation_data": (x, y), "validation_batch_size": 10}, [0, 1, 2, 3]),
        ({"validation_split": 0.5, "validation_batch_size": 7}, [0, 1, 2]),
    ):
        batches.clear()
        network().fit(x, y, batch_size=20, verbose=0, callbacks=Count(), **options)
        assert batches == expected
    for wrong, words in (
        ({"validation_batch_size": 0}, "validation_batch_size must be at least 1"),
        ({"validation_freq": 0}, "validation_freq must be at least 1"),
        ({"validation_freq": [2, 0]}, "validation_freq must be at least 1"),
    ):
        with pytest.raises(ValueError, match=words):
            network().fit(x, y, verbose=0, **wrong)


def test_validation_batches_that_end_early_warn(samples):
    x, y = samples
    few = iter([(x[:5], y[:5])])
    with pytest.warns(UserWarning, match="validation_data: the data ended before the last epoch"):
        history = network().fit(
            *(x, y), epochs=3, verbose=0, validation_data=few, validation_steps=1
        )
    assert len(history.history["val_loss"]) == 1


# ---- older names of hooks ------------------------------------------------------------------------


def test_hooks_of_batches_have_an_older_name(samples):
    class Old(callbacks.Callback):
        def __init__(self):
            self.seen = []

        def on_batch_begin(self, batch, logs=None):
            self.seen.append(batch)

        def on_batch_end(self, batch, logs=None):
            self.seen.append(logs["loss"])

    old = Old()
    network().fit(*samples, batch_size=20, verbose=0, callbacks=old)
    assert old.seen[::2] == [0, 1] and all(np.isfinite(old.seen))


# ---- weights -------------------------------------------------------------------------------------


def test_weights_by_whether_training_changes_them(samples):
    model = network()
    trained, others = model.trainable_weights, model.non_trainable_weights
    assert [w.shape for w in trained] == [(3, 3, 1, 4), (4,), (4,), (4,), (16, 3), (3,)]
    assert [w.shape for w in others] == [(4,), (4,)]
    assert len(model.weights) == len(model.variables) == 8
    with pytest.raises(ValueError, match="read-only"):
        trained[0][...] = 0
    first = model.trainable_variables[0].numpy()
    first[...] = 7
    assert (model.trainable_weights[0] != 7).all()
    model.layers[0].trainable = False
    assert model.layers[0].trainable_weights == []
    assert len(model.layers[0].non_trainable_variables) == 2
    assert len(model.trainable_weights) == len(model.non_trainable_weights) == 4


def test_a_summary_as_wide_and_deep_as_asked_for(capsys):
    inner = network()
    model = convkit.Sequential([layers.Input((4, 4, 1)), inner, layers.Dense(2, name="last")])
    inner.layers[0].trainable = False
    model.summary(line_length=100)
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "-" * 100 and inner.layers[0].name not in "".join(lines)
    model.summary(expand_nested=True, show_trainable=True)
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].split()[-1] == "Trainable"
    (frozen,) = (line for line in lines if f"  {inner.layers[0].name} (" in line)
    (last,) = (line for line in lines if line.startswith("last"))
    (flat,) = (line for line in lines if "(Flatten)" in line)
    assert [line.split()[-1] for line in (frozen, last, flat)] == ["N", "Y", "-"]
    with pytest.raises(TypeError, match="did you mean 'line_length'"):
        model.summary(line_lenght=3)
