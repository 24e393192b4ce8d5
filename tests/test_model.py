"""Models: the class's networks, training, evaluation, saving, callbacks, interrupts, the shell."""

import json
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import convkit
from convkit import callbacks, layers, optimizers, schedules
from convkit.cli import main
from convkit.compiler import Program


def small_model(optimizer="sgd", loss="sparse_categorical_crossentropy", dtype="float32"):
    convkit.set_seed(5)
    model = convkit.Sequential(
        [
            layers.Input((6, 6, 2)),
            layers.Conv2D(4, 3, dtype=dtype),
            layers.BatchNormalization(dtype=dtype),
            layers.Activation("relu", dtype=dtype),
            layers.MaxPool2D(dtype=dtype),
            layers.Flatten(dtype=dtype),
            layers.Dropout(0.3, dtype=dtype),
            layers.Dense(3, activation="softmax", dtype=dtype),
        ]
    )
    model.compile(optimizer, loss, ["accuracy"])
    return model


def small_data(rng, count=50):
    return rng.standard_normal((count, 6, 6, 2)).astype(np.float32), rng.integers(0, 3, count)


@pytest.mark.parametrize("optimizer", ["sgd", "rmsprop", "adam", "adamw"])
def test_same_bits_on_any_number_of_threads(optimizer, rng):
    x, y = small_data(rng)
    found = []
    before = convkit.get_num_threads()
    for threads in (1, 2, 3):
        convkit.set_num_threads(threads)
        model = small_model(optimizer)
        model.fit(x, y, batch_size=16, epochs=2, verbose=0)
        found.append([w.tobytes() for w in model.get_weights()])
    convkit.set_num_threads(before)
    assert found[0] == found[1] == found[2]


def test_both_float_types_agree(rng):
    x, y = small_data(rng)
    results = []
    for dtype in ("float32", "float64"):
        model = small_model("adam", dtype=dtype)
        model.fit(x, y, batch_size=25, epochs=3, verbose=0)
        results.append(model.predict(x))
    # Adam divides by the root of tiny second moments: differences of 1e-7 grow a thousandfold.
    np.testing.assert_allclose(results[0], results[1], atol=2e-3)


def test_evaluate_predict_and_weights_of_samples(rng):
    x, y = small_data(rng)
    model = small_model()
    p = model.predict(x)
    loss, accuracy = model.evaluate(x, y, verbose=0)
    assert loss == pytest.approx(-np.log(p[np.arange(50), y]).mean(), rel=1e-5)
    assert accuracy == pytest.approx((p.argmax(1) == y).mean())
    weights = rng.random(50)
    weighted = model.evaluate(x, y, sample_weight=weights, return_dict=True, verbose=0)
    expected = (-np.log(p[np.arange(50), y]) * weights).mean()
    assert weighted["loss"] == pytest.approx(expected, rel=1e-5)
    assert weighted["accuracy"] == accuracy  # as in Keras, metrics are not weighted ...
    model.compile("sgd", model.loss, "accuracy", weighted_metrics=["accuracy", "accuracy"])
    weighted = model.evaluate(x, y, sample_weight=weights, return_dict=True, verbose=0)
    assert list(weighted) == ["loss", "accuracy", "accuracy_1", "accuracy_2"]
    expected = ((p.argmax(1) == y) * weights).sum() / weights.sum()  # ... unless asked to be
    assert weighted["accuracy_1"] == weighted["accuracy_2"] == pytest.approx(expected)
    maps = model.feature_maps(x[:3])
    assert list(maps) == [layer.name for layer in model.layers]
    np.testing.assert_array_equal(maps[model.layers[-1].name], p[:3])


def test_weights_of_classes_and_validation(rng):
    x, y = small_data(rng)
    one, two = small_model(), small_model()
    table = {0: 1.0, 1: 2.5, 2: 0.5}
    one.fit(x, y, class_weight=table, verbose=0, shuffle=False)
    weights = [table[k] for k in y.tolist()]
    two.fit(x, y, sample_weight=weights, verbose=0, shuffle=False)
    for a, b in zip(one.get_weights(), two.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    model = small_model()
    history = model.fit(x, y, validation_split=0.2, epochs=2, verbose=0).history
    assert set(history) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    expected = model.evaluate(x[40:], y[40:], verbose=0)
    assert [history["val_loss"][-1], history["val_accuracy"][-1]] == pytest.approx(expected)


def test_residual_and_shared_layers(rng):
    x = layers.Input((5, 5, 3))
    conv = layers.Conv2D(3, 3, padding="same", activation="relu")
    y = layers.Add()([conv(conv(x)), x])
    model = convkit.Model(x, layers.Dense(2)(layers.GlobalAveragePooling2D()(y)))
    assert model.count_params() == 84 + 8
    model.compile("sgd", "mse")
    images = rng.standard_normal((12, 5, 5, 3))
    history = model.fit(images, np.ones((12, 2)), epochs=5, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]


class Stop(callbacks.Callback):
    """Look into the model and stop after three batches."""

    def on_train_batch_end(self, batch, logs=None):
        self.model.predict(np.zeros((1, 6, 6, 2)))
        self.model.optimizer.learning_rate = 0.5
        self.seen = batch
        if batch == 2:
            self.model.stop_training = True


def test_callbacks_may_use_the_model(rng):
    x, y = small_data(rng, 100)
    model, stop = small_model(), Stop()
    model.fit(x, y, batch_size=10, epochs=4, verbose=0, callbacks=[stop])
    assert stop.seen == 2 and model.optimizer.learning_rate == 0.5
    assert int(model.optimizer.iterations.value[0]) == 3

    class Nested(callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.fit(x, y, verbose=0)

    with pytest.raises(RuntimeError, match="nested fit"):
        model.fit(x, y, verbose=0, callbacks=[Nested()])
    model.fit(x, y, verbose=0)


@pytest.fixture
def interruptible():
    """Let SIGINT raise KeyboardInterrupt: a shell's background jobs are started ignoring it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_interrupt_leaves_a_usable_model(interruptible, rng):
    x, y = small_data(rng, 2000)
    model = small_model()
    sent = []

    def interrupt():
        sent.append(time.perf_counter())
        signal.raise_signal(signal.SIGINT)

    threading.Timer(0.3, interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        model.fit(x, y, epochs=10**6, verbose=0)
    assert time.perf_counter() - sent[0] < 1
    assert np.isfinite(model.evaluate(x, y, verbose=0)).all()
    model.fit(x[:10], y[:10], verbose=0)


def test_interrupt_after_the_last_kernel_of_a_step(monkeypatch, rng):
    class Interrupted:
        def __init__(self, part):
            self._part = part

        def run(self):
            self._part.run()
            raise KeyboardInterrupt

    def run(program):
        parts = program._parts
        program._parts = [Interrupted(part) for part in parts]
        try:
            whole(program)
        finally:
            program._parts = parts

    whole = Program.run
    x, y = small_data(rng)
    model, other = small_model(), small_model()
    model.predict(x)  # lays out weights
    with monkeypatch.context() as patch:
        patch.setattr(Program, "run", run)
        with pytest.raises(KeyboardInterrupt):
            model.train_on_batch(x, y)
    other.set_weights(model.get_weights())
    np.testing.assert_array_equal(model.predict(x), other.predict(x))


def test_two_threads_build_a_model_once(monkeypatch, rng):
    def rebuild(model):
        made.append(model)
        time.sleep(0.05)
        whole(model)

    made, found, whole = [], [], convkit.Sequential._rebuild
    model = convkit.Sequential([layers.Dense(5), layers.Dense(3)])
    monkeypatch.setattr(convkit.Sequential, "_rebuild", rebuild)
    x = rng.random((4, 6)).astype(np.float32)
    threads = [threading.Thread(target=lambda: found.append(model.predict(x))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [model]
    np.testing.assert_array_equal(*found)


def test_weights_on_disk(tmp_path, rng):
    model, other = small_model(), small_model()
    x, y = small_data(rng)
    model.fit(x, y, verbose=0)
    path = tmp_path / "w.safetensors"
    model.save_weights(path)
    other.load_weights(path)
    np.testing.assert_array_equal(model.predict(x), other.predict(x))
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]
    different = convkit.Sequential([layers.Input((4,)), layers.Dense(3)])
    before = different.get_weights()
    with pytest.raises(ValueError, match="another model"):
        different.load_weights(path)
    data = path.read_bytes()
    for cut in (0, 5, 100, len(data) - 1):
        path.write_bytes(data[:cut])
        with pytest.raises(ValueError, match=r"too short|damaged"):
            other.load_weights(path)
    np.testing.assert_array_equal(different.get_weights()[0], before[0])


def test_rmsprop_of_the_documentation():
    w = np.array([10.0], np.float32)
    optimizers.RMSprop(learning_rate=0.1).apply_gradients([(np.array([10.0], np.float32), w)])
    assert w[0] == pytest.approx(9.683772, rel=1e-6)


@pytest.mark.parametrize(
    "clip", [{}, {"clipnorm": 0.5}, {"clipvalue": 0.1}, {"global_clipnorm": 0.7}]
)
def test_clipping(clip, rng):
    weights = [rng.standard_normal(5), rng.standard_normal((3, 2))]
    grads = [rng.standard_normal(5), rng.standard_normal((3, 2))]
    expected = []
    everything = np.sqrt(sum((g**2).sum() for g in grads))
    for w, g in zip(weights, grads, strict=True):
        d = g
        if "clipnorm" in clip:
            d = g * min(1, 0.5 / np.sqrt((g**2).sum()))
        elif "clipvalue" in clip:
            d = np.clip(g, -0.1, 0.1)
        elif "global_clipnorm" in clip:
            d = g * min(1, 0.7 / everything)
        expected.append(w - 0.2 * d)
    optimizers.SGD(0.2, **clip).apply_gradients(list(zip(grads, weights, strict=True)))
    for w, e in zip(weights, expected, strict=True):
        np.testing.assert_allclose(w, e, rtol=1e-12)


def test_schedules(rng):
    schedule = schedules.ExponentialDecay(0.1, 10, 0.5)
    assert schedule(0) == 0.1 and schedule(10) == pytest.approx(0.05)
    assert schedules.CosineDecay(0.2, 100)(50) == pytest.approx(0.1)
    assert [schedules.PiecewiseConstantDecay([5], [1.0, 0.1])(s) for s in (5, 6)] == [1.0, 0.1]
    model = small_model(optimizers.SGD(schedule))
    x, y = small_data(rng, 40)
    model.fit(x, y, batch_size=4, epochs=1, verbose=0)
    assert model.optimizer.learning_rate == pytest.approx(0.05)


WRONG_DATA = [
    ({"x": np.zeros((4, 6, 5, 2))}, r"axis 2 is 5, not 6"),
    ({"x": np.zeros((6, 6, 2))}, r"x\[None\]"),
    ({"y": np.zeros(3, int)}, "as many samples"),
    ({"y": np.full(4, 3)}, r"\[0, 3\)"),
    ({"y": np.eye(3)[[0, 1, 2, 0]]}, "categorical_crossentropy"),
    ({"batch_size": 0}, "batch_size"),
    ({"validation_split": 1.5}, "validation_split"),
    ({"class_weight": {0: 1.0}}, "lacks the classes"),
    ({"sample_weight": np.ones(5)}, "one number per sample"),
    ({"x": np.zeros((0, 6, 6, 2)), "y": np.zeros(0, int)}, "at least one sample"),
    ({"verbose": 7}, "verbose"),
]


@pytest.mark.parametrize(("change", "words"), WRONG_DATA)
def test_wrong_data(change, words):
    model = small_model()
    given = {"x": np.zeros((4, 6, 6, 2)), "y": np.arange(4) % 3, "verbose": 0, **change}
    before = model.get_weights()
    with pytest.raises(ValueError, match=words):
        model.fit(**given)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_wrong_names():
    model = small_model()
    with pytest.raises(ValueError, match="did you mean 'accuracy'"):
        model.compile(metrics="accracy", loss="mse")
    with pytest.raises(ValueError, match="did you mean 'rmsprop'"):
        model.compile("rmsprob")
    one_hot = small_model(loss="categorical_crossentropy")
    with pytest.raises(ValueError, match="to_categorical"):
        one_hot.fit(np.zeros((4, 6, 6, 2)), [0, 1, 2, 0])
    with pytest.raises(RuntimeError, match="compile the model first"):
        convkit.Sequential([layers.Input((3,)), layers.Dense(2)]).fit(np.zeros((2, 3)), [0, 1])
    with pytest.raises(ValueError, match="one float type"):
        convkit.Sequential([layers.Input((3,)), layers.Dense(2), layers.Dense(2, dtype="float64")])


def test_the_shell_trains_saves_and_evaluates(tmp_path, capsys):
    report, weights = tmp_path / "r.json", tmp_path / "w.safetensors"
    arguments = ["train", "digits", "--json", str(report), "--save", str(weights), "--epochs", "12"]
    assert main(arguments) == 0
    found = json.loads(report.read_text())
    assert set(found) == {
        *("dataset", "model", "epochs", "batch_size", "threads", "isa", "seed", "train_seconds"),
        *("images_per_second", "test_accuracy", "test_loss", "history"),
    }
    assert found["test_accuracy"] > 0.96
    capsys.readouterr()
    assert main(["evaluate", "digits", "--load", str(weights)]) == 0
    assert f"{100 * found['test_accuracy']:.2f} %" in capsys.readouterr().out
    assert main(["train", "digitz"]) == 1
    assert "did you mean 'digits'" in capsys.readouterr().err
    assert main(["evaluate", "digits", "--load", str(tmp_path / "none")]) == 1
    with pytest.raises(SystemExit) as stop:
        main(["train", "--epochs", "0"])
    assert stop.value.code == 2


def test_import_is_light():
    code = (
        "import sys, numpy; before = set(sys.modules); import convkit;"
        " print([m for m in ('tqdm', 'pooch', 'safetensors', 'matplotlib', 'requests')"
        " if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
