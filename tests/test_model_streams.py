"""fit, evaluate and predict on generators, iterables, data sets of batches, and memory maps."""

import threading
import time

import numpy as np
import pytest

import convkit
from convkit import layers
from convkit.utils import PyDataset


@pytest.fixture
def samples(rng):
    """Return 50 samples of 3 classes."""
    x = rng.integers(0, 256, (50, 4, 4, 1)).astype(np.uint8)
    return x, rng.integers(0, 3, 50)


@pytest.fixture(autouse=True)
def no_thread_stays():
    """Fit ends the threads it began."""
    yield
    end = time.monotonic() + 2
    while time.monotonic() < end:
        left = [t for t in threading.enumerate() if t.name.startswith("convkit-batches")]
        if not left:
            return
        time.sleep(0.005)
    raise AssertionError(left)


def network(*front, built=True):
    """Return a compiled classifier, the same each time."""
    convkit.set_seed(1)
    model = convkit.Sequential(
        [
            *([convkit.Input((4, 4, 1))] if built else []),
            *(layers.Rescaling(1 / 255), *front),
            *(layers.Flatten(), layers.Dense(3, activation="softmax")),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def batches(x, y, size=8, weight=None):
    """Yield batches in order."""
    for i in range(0, len(x), size):
        rows = slice(i, i + size)
        yield (x[rows], y[rows]) if weight is None else (x[rows], y[rows], weight[rows])


class Slices(PyDataset):
    """Batches of arrays, in order."""

    def __init__(self, x, y, size=8, **options):
        super().__init__(**options)
        self.x, self.y, self.size = x, y, size

    def __len__(self):
        """Return the number of batches."""
        return -(-len(self.x) // self.size)

    def __getitem__(self, i):
        """Return a batch."""
        rows = slice(i * self.size, (i + 1) * self.size)
        return self.x[rows], self.y[rows]


def assert_same(a, b):
    """Assert that two models have the same weights and histories."""
    assert a.history.history == b.history.history
    for one, other in zip(a.get_weights(), b.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


class Loader:
    """Begins anew each time, as loaders of other libraries do."""

    def __init__(self, *arrays):
        self.arrays = arrays

    def __iter__(self):
        """Return the batches."""
        return batches(*self.arrays)


@pytest.mark.parametrize("built", [True, False])
def test_batches_train_as_the_same_rows_of_arrays_do(samples, built):
    x, y = samples
    array = network()
    array.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0)
    for data in (Slices(x, y), Slices(x, y, workers=3), Loader(x, y)):
        model = network(built=built)
        model.fit(data, epochs=2, shuffle=False, verbose=0)
        assert_same(model, array)
    model = network(built=built)
    repeated = (batch for _ in range(2) for batch in batches(x, y))
    model.fit(repeated, epochs=2, steps_per_epoch=7, verbose=0)
    assert_same(model, array)
    once = network(built=built)
    once.fit(batches(x, y), verbose=0)
    array = network()
    array.fit(x, y, batch_size=8, shuffle=False, verbose=0)
    assert_same(once, array)


def test_weights_come_with_the_batches(samples):
    x, y = samples
    weight = np.linspace(0, 2, 50)
    array, model = network(), network()
    array.fit(x, y, batch_size=8, shuffle=False, sample_weight=weight, verbose=0)
    model.fit(batches(x, y, weight=weight), verbose=0)
    assert_same(model, array)
    by_class = {0: 1, 1: 2, 2: 0.5}
    array.fit(x, y, batch_size=8, shuffle=False, class_weight=by_class, verbose=0)
    model.fit(batches(x, y), class_weight=by_class, verbose=0)
    assert_same(model, array)


def test_validation_evaluate_and_predict(samples):
    x, y = samples
    array = network()
    array.fit(x, y, 8, 2, shuffle=False, validation_data=(x[:20], y[:20]), verbose=0)
    for validation in (Slices(x[:20], y[:20], 32), [x[:20], y[:20]]):
        model = network()
        model.fit(
            *(Slices(x, y), None, 8, 2),
            **{"shuffle": False, "validation_data": validation, "verbose": 0},
        )
        for name, values in array.history.history.items():
            assert model.history.history[name] == pytest.approx(values)
        assert model.evaluate(Slices(x, y), verbose=0) == pytest.approx(
            array.evaluate(x, y, verbose=0)
        )
        assert model.evaluate(Slices(x, y), steps=2, verbose=0) == pytest.approx(
            array.evaluate(x[:16], y[:16], verbose=0)
        )
    expected = array.predict(x, verbose=0)
    for data in (
        (x[i : i + 8] for i in range(0, 50, 8)),
        Slices(x, y),
        batches(x, y, weight=y),
    ):
        np.testing.assert_array_equal(array.predict(data, verbose=0), expected)
    few = network(built=False).predict(Loader(x, y), steps=2, verbose=0)
    assert few.shape == (16, 3)


def test_an_iterator_of_validation_batches_goes_on_too(samples):
    x, y = samples
    forever = ((x[:5], y[:5]) for _ in iter(int, 1))
    model = network()
    history = model.fit(x, y, epochs=3, validation_data=forever, validation_steps=2, verbose=0)
    assert len(history.history["val_loss"]) == 3


def test_data_set_batches_are_shuffled_each_epoch(samples):
    x, y = samples
    seen = []

    class Spy(Slices):
        def __getitem__(self, i):
            seen.append(i)
            return super().__getitem__(i)

    network().fit(Spy(x, y), epochs=2, verbose=0)
    first, second = seen[:7], seen[7:]
    assert sorted(first) == sorted(second) == list(range(7)) and first != second != sorted(second)
    seen.clear()
    network().fit(Spy(x, y), epochs=1, shuffle=False, verbose=0)
    assert seen == list(range(7))


def test_arrays_take_a_number_of_steps_too(samples):
    x, y = samples
    part, whole = network(), network()
    part.fit(x, y, batch_size=8, steps_per_epoch=2, shuffle=False, verbose=0)
    whole.fit(x[:16], y[:16], batch_size=8, shuffle=False, verbose=0)
    assert_same(part, whole)
    assert part.evaluate(x, y, batch_size=8, steps=2, verbose=0) == whole.evaluate(
        x[:16], y[:16], batch_size=8, verbose=0
    )


def test_alternating_flips_show_every_sample_both_ways_in_two_epochs(samples):
    """The sum of both is the sum of the image and its mirror image."""
    x, y = samples
    convkit.set_seed(2)
    front = network(layers.RandomFlip("horizontal", alternating=True, seed=5))
    flipped = []
    for epoch in range(2):
        front._epoch.value[0] = epoch
        inner = convkit.Model(front.inputs, front.layers[1].output)
        inner._epoch.value[0] = epoch
        flipped.append(inner(x, training=True))
    both = (x + x[:, :, ::-1].astype(float)) / 255
    np.testing.assert_allclose(flipped[0] + flipped[1], both, rtol=1e-6)
    front.fit(Slices(x, y), epochs=2, verbose=0)


# ---- memory maps ---------------------------------------------------------------------------------


def test_memory_maps_are_read_in_place(samples, tmp_path):
    x, y = samples
    array = network()
    array.fit(x, y, epochs=2, verbose=0)
    np.save(tmp_path / "x.npy", x)
    model = network()
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    model.fit(mapped, y, epochs=2, verbose=0)
    assert_same(model, array)
    with model._lock:
        source = model._source("fit", (mapped, y, None), size=8)
    assert np.shares_memory(source.batches.x[0], mapped)


@pytest.mark.parametrize("kind", [">f4", "f2"])
def test_memory_maps_of_other_kinds_are_converted_batch_by_batch(samples, tmp_path, kind):
    x, y = samples
    np.save(tmp_path / "x.npy", x.astype(kind))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    array, model = network(), network()
    array.fit(x, y, batch_size=8, shuffle=False, verbose=0)
    model.fit(mapped, y, batch_size=8, shuffle=False, verbose=0)
    assert_same(model, array)
    model.fit(mapped, y, epochs=2, verbose=0)
    assert model.evaluate(mapped, y, verbose=0) == model.evaluate(x, y, verbose=0)
    with pytest.raises(ValueError, match=r"validation_split=0\.5 needs arrays"):
        model.fit(mapped, y, validation_split=0.5, verbose=0)


# ---- ends and errors -----------------------------------------------------------------------------


def test_errors_of_the_data_reach_the_caller(samples):
    x, y = samples

    def broken():
        yield x[:8], y[:8]
        raise OSError("the disk is gone")

    model = network()
    with pytest.raises(OSError, match="the disk is gone"):
        model.fit(broken(), verbose=0)
    assert int(model.optimizer.iterations.value[0]) == 1
    with pytest.raises(ValueError, match="expected x of shape"):
        model.fit(iter([(x[:8, :3], y[:8])]), verbose=0)
    with pytest.raises(ValueError, match="y must be given, got y=None"):
        model.fit(iter([x[:8]]), verbose=0)
    with pytest.raises(ValueError, match=r"a batch must be .* got a tuple of 4"):
        model.fit(iter([(x, y, y, y)]), verbose=0)
    model.fit(x, y, verbose=0)


def test_errors_of_callbacks_end_the_thread(samples):
    x, y = samples
    closed = threading.Event()

    def endless():
        try:
            while True:
                yield x[:8], y[:8]
        finally:
            closed.set()

    class Stop(convkit.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 3:
                raise KeyboardInterrupt

    model = network()
    with pytest.raises(KeyboardInterrupt):
        model.fit(endless(), steps_per_epoch=10, callbacks=[Stop()], verbose=0)
    assert not model._fitting


def test_data_that_end_early_end_the_training_with_a_warning(samples):
    x, y = samples
    model = network()
    with pytest.warns(UserWarning, match="fit: the data ended before the last epoch"):
        history = model.fit(batches(x, y), steps_per_epoch=4, epochs=5, verbose=0)
    assert len(history.history["loss"]) == 2


def test_what_does_not_go_with_batches_is_refused(samples):
    x, y = samples
    model = network()
    for options, message in (
        ({"y": y}, "y must not be given where x yields batches"),
        ({"sample_weight": y}, "sample_weight must not be given"),
        ({"epochs": 2}, "gone through once; for epochs=2"),
        ({"validation_split": 0.5}, "validation_split=0.5 needs arrays"),
        ({"steps_per_epoch": 0}, "steps_per_epoch must be at least 1"),
        ({"validation_data": 3}, "validation_data must be"),
    ):
        with pytest.raises(ValueError, match=message):
            model.fit(batches(x, y), verbose=0, **options)
    for run in (model.fit, model.evaluate, model.predict):
        with pytest.raises(ValueError, match="at least one batch, got none"):
            run(iter([]), verbose=0)


def test_a_bar_without_a_length(samples, capsys):
    x, y = samples
    network().fit(Loader(x, y), epochs=2, verbose=1)
    assert "7it" in capsys.readouterr().out
    network().fit(Slices(x, y), verbose=1)
    assert "7/7" in capsys.readouterr().out


def test_ctrl_c_stops_fit_while_it_waits_for_a_batch(run_script):
    """The generator sleeps for seconds; fit returns at once, and the model is usable."""
    out = run_script(
        """
import os, signal, threading, time
import numpy as np
import convkit
from convkit import layers

signal.signal(signal.SIGINT, signal.default_int_handler)
x, y = np.zeros((4, 3)), np.zeros(4, int)

def slow():
    yield x, y
    time.sleep(3)
    yield x, y

model = convkit.Sequential([convkit.Input((3,)), layers.Dense(2, activation="softmax")])
model.compile("sgd", "sparse_categorical_crossentropy")
threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
start = time.monotonic()
try:
    model.fit(slow(), verbose=0)
except KeyboardInterrupt:
    print("stopped", time.monotonic() - start < 2)
model.fit(x, y, verbose=0)
print("usable", int(model.optimizer.iterations.value[0]))
"""
    )
    assert out.split() == ["stopped", "True", "usable", "2"]


def test_a_generator_may_fill_its_arrays_anew(samples):
    x, y = samples
    x, y = x[:48], y[:48]

    def batches():
        images, labels = np.empty_like(x[:8]), np.empty_like(y[:8])
        for first in range(0, len(x), 8):
            images[...], labels[...] = x[first : first + 8], y[first : first + 8]
            yield images, labels

    model = network()
    np.testing.assert_array_equal(
        model.predict((images for images, _ in batches()), verbose=0), model.predict(x, verbose=0)
    )
    assert model.evaluate(batches(), verbose=0) == pytest.approx(model.evaluate(x, y, verbose=0))


class Table:
    """Labels whose rows have names, as a data frame's."""

    def __init__(self, values):
        self._values = values

    def __array__(self, dtype=None, copy=None):
        return self._values

    def __len__(self):
        return len(self._values)

    def __getitem__(self, names):
        return self._values[::-1][names]


def test_labels_beside_a_map_that_is_converted(samples, tmp_path):
    x, y = samples
    mapped = np.memmap(tmp_path / "x", np.float16, "w+", shape=x.shape)
    mapped[...] = x
    model = network()
    wanted = model.evaluate(x.astype(np.float32), y, verbose=0)
    for labels in (y, list(y), Table(y)):  # rows are taken by place, not by name
        assert model.evaluate(mapped, labels, verbose=0) == pytest.approx(wanted, rel=1e-6)
    for labels in (y[:-1], np.append(y, 0), 3):
        with pytest.raises(ValueError, match="y must have as many samples as x, 50"):
            model.fit(mapped, labels, verbose=0)
    with pytest.raises(ValueError, match="sample_weight must have as many samples as x, 50"):
        model.fit(mapped, y, sample_weight=np.ones(3), verbose=0)
