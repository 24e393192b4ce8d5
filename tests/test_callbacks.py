"""Callbacks against Keras's rules: what they do, when, and what the logs hold."""

import csv
import itertools
import sys
import types
import warnings
from typing import ClassVar

import numpy as np
import pytest

import convkit
from convkit import callbacks, layers, optimizers

HOOKS = [name for name in vars(callbacks.Callback) if name.startswith("on_")]


def model_and_data(rng, count=40, optimizer="sgd"):
    """Return a small classifier with its data."""
    convkit.set_seed(3)
    model = convkit.Sequential([layers.Input((3,)), layers.Dense(2, activation="softmax")])
    model.compile(optimizer, "sparse_categorical_crossentropy", ["accuracy"])
    return model, rng.standard_normal((count, 3)).astype(np.float32), rng.integers(0, 2, count)


class Recorder(callbacks.Callback):
    """Write down every hook that is called."""

    def __init__(self):
        self.calls = []


def _recorder_hook(name):
    def hook(self, *arguments):
        self.calls.append((name, *arguments))

    return hook


for _name in HOOKS:
    setattr(Recorder, _name, _recorder_hook(_name))


class Numbers(callbacks.Callback):
    """Put numbers of the test's into the logs, one per epoch."""

    def __init__(self, values, name="val_loss"):
        self.values, self.name = values, name

    def on_epoch_end(self, epoch, logs=None):
        """Put one in."""
        logs[self.name] = self.values[epoch]


class Weights(callbacks.Callback):
    """Keep the weights of every epoch."""

    def __init__(self):
        self.kept = []

    def on_epoch_end(self, epoch, logs=None):
        """Keep them."""
        self.kept.append(self.model.get_weights())


def fit(rng, values, *tested, name="val_loss", **options):
    """Train as many epochs as there are values; return the History and the model."""
    model, x, y = model_and_data(rng)
    given = [Numbers(values, name), *tested]
    options = {"epochs": len(values), "verbose": 0, **options}
    return model.fit(x, y, callbacks=given, **options), model


# ---- hooks ---------------------------------------------------------------------------------------


def test_hooks_are_called_in_order(rng):
    model, x, y = model_and_data(rng)
    seen = Recorder()
    history = model.fit(
        *(x, y, 20, 2, 0, [seen]), validation_data=(x[:30], y[:30]), shuffle=False
    ).history
    epoch = ["on_epoch_begin", *["on_train_batch_begin", "on_train_batch_end"] * 2]
    epoch += ["on_test_begin", *["on_test_batch_begin", "on_test_batch_end"] * 2, "on_test_end"]
    expected = ["on_train_begin", *[*epoch, "on_epoch_end"] * 2, "on_train_end"]
    assert [call[0] for call in seen.calls] == expected
    assert seen.params == {"epochs": 2, "steps": 2, "verbose": 0} and seen.model is model
    logs = {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert set(seen.calls[-1][1]) == set(seen.calls[-2][2]) == set(history) == logs
    batch_logs = [call for call in seen.calls if call[0] == "on_train_batch_end"]
    assert [call[1] for call in batch_logs] == [0, 1, 0, 1]
    assert batch_logs[1][2]["loss"] == history["loss"][0]


def test_hooks_of_evaluate_and_predict(rng):
    model, x, y = model_and_data(rng)
    seen = Recorder()
    found = model.evaluate(x, y, 25, verbose=0, callbacks=[seen], return_dict=True)
    names = [call[0] for call in seen.calls]
    batch = ["on_test_batch_begin", "on_test_batch_end"]
    assert names == ["on_test_begin", *batch * 2, "on_test_end"]
    assert seen.calls[-1][1] == found == seen.calls[-2][2]
    seen = Recorder()
    p = model.predict(x, 25, verbose=0, callbacks=seen)
    batch = ["on_predict_batch_begin", "on_predict_batch_end"]
    assert [call[0] for call in seen.calls] == ["on_predict_begin", *batch * 2, "on_predict_end"]
    np.testing.assert_array_equal(seen.calls[4][2]["outputs"], p[25:])


def test_functions_as_hooks(rng):
    seen = []
    hooks = callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append((epoch, logs["loss"])),
        on_train_batch_begin=lambda batch, logs: seen.append(batch),
        on_train_end=None,
    )
    history, _ = fit(rng, [0.0], hooks, batch_size=20)
    assert seen == [0, 1, (0, history.history["loss"][0])]
    with pytest.raises(ValueError, match="did you mean 'on_epoch_end'"):
        callbacks.LambdaCallback(on_epoch_ends=print)


def test_what_is_no_callback_is_refused(rng):
    model, x, y = model_and_data(rng)
    with pytest.raises(TypeError, match="must be instances of convkit"):
        model.fit(x, y, verbose=0, callbacks=[callbacks.History])


# ---- early stopping ------------------------------------------------------------------------------

# (values, arguments, epochs that run, best epoch)
STOPS = [
    ([3, 2, 1, 1, 1, 1], {}, 4, 2),
    ([3, 2, 1, 1, 1, 1], {"patience": 2}, 5, 2),
    ([3, 2, 4, 1, 5, 5], {"patience": 2}, 6, 3),
    ([1, 2, 3, 3, 9, 9], {"mode": "max", "patience": 1}, 4, 2),
    ([3, 2.9, 2.8, 2.7], {"min_delta": 0.5, "patience": 2}, 3, 0),
    ([3, 2.6, 2.2, 1.8], {"min_delta": 0.5, "patience": 2}, 4, 2),
    ([5, 4, 3, 2], {"baseline": 1, "patience": 2}, 2, 1),
    ([5, 4, 3, 2, 1], {"baseline": 3.5, "patience": 3}, 5, 4),
    ([1, 9, 9, 9, 9, 9], {"start_from_epoch": 2, "patience": 1}, 4, 2),
    ([1], {}, 1, 0),
]


@pytest.mark.parametrize(("values", "arguments", "epochs", "best"), STOPS)
def test_early_stopping(values, arguments, epochs, best, rng):
    kept = Weights()
    stop = callbacks.EarlyStopping(restore_best_weights=True, **arguments)
    history, model = fit(rng, values, stop, kept)
    assert len(history.epoch) == epochs and stop.best_epoch == best
    assert stop.stopped_epoch == (epochs - 1 if model.stop_training else 0)
    for w, e in zip(model.get_weights(), kept.kept[best], strict=True):
        np.testing.assert_array_equal(w, e)


def test_early_stopping_by_accuracy(rng, capsys):
    stop = callbacks.EarlyStopping("val_accuracy", verbose=1, patience=1)
    history, _ = fit(rng, [0.1, 0.5, 0.4, 0.9], stop, name="val_accuracy")
    assert len(history.epoch) == 3 and stop.best == 0.5
    assert "Epoch 3: early stopping" in capsys.readouterr().out
    assert stop.best_weights is None


def test_a_number_that_is_not_there_is_a_warning(rng):
    model, x, y = model_and_data(rng)
    for callback in (
        callbacks.EarlyStopping("val_los"),
        callbacks.ReduceLROnPlateau("val_los"),
        callbacks.ModelCheckpoint("never", "val_los", save_best_only=True),
    ):
        with pytest.warns(UserWarning, match=r"no 'val_los' to monitor; did you mean 'val_loss'"):
            model.fit(x, y, validation_split=0.2, verbose=0, callbacks=[callback])


# ---- learning rates ------------------------------------------------------------------------------


def test_reduce_on_plateau(rng):
    plateau = callbacks.ReduceLROnPlateau(factor=0.5, patience=2, min_delta=0.1, min_lr=0.002)
    history, model = fit(rng, [3, 2, 2, 1.95, 2, 2, 2, 2, 2, 2], plateau)
    rates = [0.01] * 4 + [0.005] * 2 + [0.0025] * 2 + [0.002] * 2
    assert history.history["learning_rate"] == pytest.approx(rates)
    assert model.optimizer.learning_rate == 0.002


def test_reduce_on_plateau_cools_down(rng, capsys):
    plateau = callbacks.ReduceLROnPlateau(factor=0.5, patience=1, cooldown=2, verbose=1)
    history, _ = fit(rng, [1, 1, 1, 1, 1, 1], plateau)
    # Lowered after epoch 2; epoch 3 cools down; epoch 4 counts again and lowers.
    assert history.history["learning_rate"] == pytest.approx(
        [0.01, 0.01, 0.005, 0.005, 0.0025, 0.0025]
    )
    assert "Epoch 2: learning rate lowered to 0.0050" in capsys.readouterr().out


def test_learning_rate_scheduler(rng):
    def schedule(epoch, rate):
        return rate / 2 if epoch else rate

    history, _ = fit(rng, [0, 0, 0], callbacks.LearningRateScheduler(schedule))
    assert history.history["learning_rate"] == pytest.approx([0.01, 0.005, 0.0025])
    one = callbacks.LearningRateScheduler(lambda epoch: 0.1 / (epoch + 1), verbose=1)
    history, _ = fit(rng, [0, 0], one)
    assert history.history["learning_rate"] == pytest.approx([0.1, 0.05])
    with pytest.raises(TypeError, match=r"schedule\(epoch\) must be a number"):
        fit(rng, [0], callbacks.LearningRateScheduler(lambda epoch: "fast"))


def net_of_three(rng):
    _, x, _ = model_and_data(rng)
    parts = [layers.Dense(4, name="a"), layers.Dense(4, name="b"), layers.Dense(2, name="c")]
    model = convkit.Sequential([layers.Input((3,)), *parts])
    model.compile(optimizers.SGD(0.05, momentum=0.9), "mse", ["mae"])
    return model, x, rng.standard_normal((len(x), 2)).astype(np.float32)


@pytest.mark.parametrize("chosen", ["b", ["b", "a"], 0])
def test_freeze(rng, chosen):
    model, x, y = net_of_three(rng)
    frozen = {"b": ["b"], 0: ["a"]}[chosen] if isinstance(chosen, str | int) else ["b", "a"]
    seen = []

    class Watch(callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append({layer.name: layer.kernel.copy() for layer in self.model.layers})

    freeze = callbacks.Freeze(model.layers[0] if chosen == 0 else chosen, 2)
    history = model.fit(x, y, 8, 4, 0, callbacks=[freeze, Watch()]).history
    for name in "abc":
        changes = [(one[name] != two[name]).any() for one, two in itertools.pairwise(seen)]
        assert changes == [True, name not in frozen, name not in frozen]
    assert len(history["mae"]) == 4
    assert [layer.trainable for layer in model.layers] == [n not in frozen for n in "abc"]


def test_freeze_leaves_the_others_as_they_would_be(rng):
    # By hand: two fits with a compile between them, as a Keras user writes it.
    results = []
    for by_hand in (False, True):
        model, x, y = net_of_three(np.random.default_rng(1))
        if by_hand:
            model.fit(x, y, 8, 2, 0)
            model.get_layer("a").trainable = False
            model.compile(model.optimizer, "mse", ["mae"])
            model.fit(x, y, 8, 4, 0, initial_epoch=2)
        else:
            model.fit(x, y, 8, 4, 0, callbacks=callbacks.Freeze("a", 2))
        results.append(model.get_weights())
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)


def test_freeze_names_what_is_not_there(rng):
    model, x, y = net_of_three(rng)
    with pytest.raises(ValueError, match="unknown name='d'"):
        model.fit(x, y, verbose=0, callbacks=callbacks.Freeze("d", 1))
    with pytest.raises(ValueError, match="layers must be layers of the model, got"):
        model.fit(x, y, verbose=0, callbacks=callbacks.Freeze(layers.Dense(3), 1))


# ---- files ---------------------------------------------------------------------------------------


def test_weights_of_checkpoints(rng, tmp_path):
    kept = Weights()
    saved = callbacks.ModelCheckpoint(
        tmp_path / "{epoch:02d}-{val_loss:.1f}.safetensors", save_weights_only=True
    )
    best = callbacks.ModelCheckpoint(
        tmp_path / "best.safetensors", save_best_only=True, save_weights_only=True
    )
    _, model = fit(rng, [3, 1, 2], kept, saved, best)
    names = ["01-3.0.safetensors", "02-1.0.safetensors", "03-2.0.safetensors", "best.safetensors"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    for name, epoch in zip(names, (0, 1, 2, 1), strict=True):
        model.load_weights(tmp_path / name)
        for w, e in zip(model.get_weights(), kept.kept[epoch], strict=True):
            np.testing.assert_array_equal(w, e)


def test_checkpoints_of_keras_weights(rng, tmp_path):
    kept = Weights()
    saved = callbacks.ModelCheckpoint(tmp_path / "{epoch}.weights.h5", save_weights_only=True)
    _, model = fit(rng, [3, 1], kept, saved)
    for epoch, expected in enumerate(kept.kept):
        model.load_weights(tmp_path / f"{epoch + 1}.weights.h5")
        for w, e in zip(model.get_weights(), expected, strict=True):
            np.testing.assert_array_equal(w, e)


def test_checkpoints_by_batches_and_thresholds(rng, tmp_path, capsys):
    every = callbacks.ModelCheckpoint(
        tmp_path / "{epoch}-{batch}", save_freq=3, save_weights_only=True, verbose=1
    )
    never = callbacks.ModelCheckpoint(
        tmp_path / "never", save_best_only=True, save_weights_only=True, initial_value_threshold=0.5
    )
    fit(rng, [3, 1, 2], every, never, batch_size=20)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2-1", "3-2"]
    assert "saved to" in capsys.readouterr().out
    wrong = callbacks.ModelCheckpoint(tmp_path / "{val_acuracy}", save_weights_only=True)
    with pytest.raises(KeyError, match="did you mean 'accuracy'"):
        fit(rng, [1], wrong)


def test_csv_files(rng, tmp_path):
    path = tmp_path / "log.csv"
    history, _ = fit(rng, [3, 1], callbacks.CSVLogger(path))
    with path.open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["epoch", "accuracy", "loss", "val_loss"]
    assert [float(row["loss"]) for row in rows] == history.history["loss"]
    fit(rng, [7], callbacks.CSVLogger(path, append=True), name="other")
    with path.open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 and rows[2]["epoch"] == "0" and rows[2]["val_loss"] == "NA"
    fit(rng, [7], callbacks.CSVLogger(path, separator=";"))
    assert path.read_text().splitlines()[0] == "epoch;accuracy;loss;val_loss"


def test_training_ends_at_nan(rng, capsys):
    model, x, y = model_and_data(rng, optimizer=optimizers.SGD(0.1))
    x[25] = np.nan
    model.fit(x, y, 10, 5, 0, [callbacks.TerminateOnNaN()], shuffle=False)
    assert int(model.optimizer.iterations.value[0]) == 3
    assert "Batch 2: the loss is nan" in capsys.readouterr().out


class Writer:
    """Stand for tensorboardX's SummaryWriter."""

    made: ClassVar[dict] = {}

    def __init__(self, folder):
        self.scalars, self.histograms, self.closed = {}, [], False
        Writer.made[folder.replace("\\", "/").split("/")[-1]] = self

    def add_scalar(self, name, value, step):
        """Keep it."""
        self.scalars[name, step] = value

    def add_histogram(self, name, value, step):
        """Keep it."""
        self.histograms.append((name, value.shape, step))

    def flush(self):
        """Do nothing."""

    def close(self):
        """Remember it."""
        self.closed = True


def test_tensorboard_files(rng, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tensorboardX", types.SimpleNamespace(SummaryWriter=Writer))
    board = callbacks.TensorBoard(tmp_path, histogram_freq=2, update_freq=3)
    history, model = fit(rng, [3, 1, 2], board, batch_size=20)
    train, validation = Writer.made["train"], Writer.made["validation"]
    for epoch in range(3):
        assert train.scalars["epoch_loss", epoch] == history.history["loss"][epoch]
        assert validation.scalars["epoch_loss", epoch] == history.history["val_loss"][epoch]
    steps = {step for name, step in train.scalars if name == "batch_loss"}
    assert steps == {3, 6} and train.closed and validation.closed
    shapes = [v.value.shape for v in model.variables]
    assert [h[1:] for h in train.histograms] == [(s, e) for e in (0, 2) for s in shapes]


def test_tensorboard_writes_real_files(rng, tmp_path):
    pytest.importorskip("tensorboardX")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit(rng, [3, 1], callbacks.TensorBoard(tmp_path, histogram_freq=1))
    assert len(list(tmp_path.glob("*/events*"))) == 2


def test_tensorboard_names_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ImportError, match=r"convkit\[tensorboard\]"):
        callbacks.TensorBoard()


WRONG = [
    (lambda: callbacks.EarlyStopping(patience=-1), ValueError, "patience must be at least 0"),
    (lambda: callbacks.EarlyStopping(mode="lowest"), ValueError, "unknown mode='lowest'"),
    (lambda: callbacks.ReduceLROnPlateau(factor=1.0), ValueError, "factor must be below 1"),
    (lambda: callbacks.ModelCheckpoint("x", save_freq=0), ValueError, "save_freq must be"),
    (
        lambda: callbacks.ModelCheckpoint("best.keras", save_best_only=True),
        *(ValueError, "ModelCheckpoint: 'best.keras' .* use 'best.convkit'"),
    ),
    (lambda: callbacks.ModelCheckpoint("a.weights.h5"), ValueError, "use 'a.weights.convkit'"),
    (lambda: callbacks.LearningRateScheduler(0.1), TypeError, "schedule must be a function"),
    (lambda: callbacks.Freeze("a", -1), ValueError, "epoch must be at least 0"),
]


@pytest.mark.parametrize(("call", "kind", "words"), WRONG)
def test_what_is_refused(call, kind, words):
    with pytest.raises(kind, match=words):
        call()


# ---- what is printed -----------------------------------------------------------------------------


def test_verbosity(rng, capsys):
    model, x, y = model_and_data(rng)
    model.fit(x, y, verbose=0)
    model.evaluate(x, y, verbose=0)
    assert capsys.readouterr().out == ""
    model.fit(x, y, epochs=2, verbose=2)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and lines[1].startswith("Epoch 2/2 - ")
    assert "accuracy: 0." in lines[0] and "loss: " in lines[0]
    model.fit(x, y, verbose=1)
    assert "Epoch 1/1: 100%" in capsys.readouterr().out
    loss, accuracy = model.evaluate(x, y, verbose=1)
    assert f"loss: {loss:.4f} - accuracy: {accuracy:.4f}" in capsys.readouterr().out


def test_arrays_and_tiny_numbers_are_printed():
    text = callbacks.base.logs_text({"a": np.array([0.5, 1e-5]), "b": 0.0, "c": 12.34567})
    assert text == "a: [0.5000, 1.0000e-05] - b: 0.0000 - c: 12.3457"
