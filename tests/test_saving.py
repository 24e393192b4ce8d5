"""Models in files: everything comes back, and a save that fails leaves the old file."""

import errno
import json
import os

import numpy as np
import pytest
from test_layers import CASES, make

import convkit
from convkit import layers, losses, metrics, models, optimizers, saving, schedules
from convkit.layers import BatchNormalization, Conv2D, Dense, Dropout, Flatten, Input, MaxPooling2D


def small_model(*, seed=1, dropout=0.25):
    """A net with every kind of state: statistics, slots, masks, a schedule."""
    convkit.set_seed(seed)
    model = convkit.Sequential(
        [
            Input((6, 6, 1)),
            Conv2D(3, 3, activation="relu"),
            BatchNormalization(momentum=0.9),
            MaxPooling2D(),
            Flatten(),
            Dropout(dropout),
            Dense(3, activation="softmax"),
        ]
    )
    rate = schedules.ExponentialDecay(0.01, 10, 0.5)
    model.compile(optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


@pytest.fixture
def samples(rng):
    """Return images and class numbers."""
    return rng.random((50, 6, 6, 1), np.float32), rng.integers(0, 3, 50)


def equal_weights(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a.get_weights(), b.get_weights(), strict=True))


def branched_model():
    """Two inputs, two outputs, a shared layer, a model within, and a layer that both use."""
    a, b = Input((4, 4, 2), name="a"), Input((4, 4, 2), name="b")
    shared = Conv2D(3, 1, activation="tanh", name="shared")
    inner_in = Input((4, 4, 3))
    inner = convkit.Model(inner_in, BatchNormalization(name="inner_bn")(inner_in), name="inner")
    joined = layers.Add()([inner(shared(a)), shared(b)])
    again = inner.layers[0](joined)
    head = convkit.Sequential([Flatten(), Dense(2, name="dense")], name="head")
    return convkit.Model([a, b], [head(again), layers.GlobalMaxPooling2D()(joined)], name="two")


# ---- whole models ------------------------------------------------------------------------------


def test_a_loaded_model_predicts_and_trains_on_as_the_saved_one(tmp_path, samples):
    x, y = samples
    model = small_model()
    model.fit(x, y, epochs=2, verbose=0)
    path = tmp_path / "model.convkit"
    model.save(path)
    loaded = convkit.load_model(path)
    assert type(loaded) is convkit.Sequential and loaded.name == model.name
    np.testing.assert_array_equal(loaded.predict(x), model.predict(x))
    assert loaded.evaluate(x, y, verbose=0) == model.evaluate(x, y, verbose=0)
    assert loaded.optimizer.learning_rate == model.optimizer.learning_rate < 0.01
    ended = [
        m.fit(x, y, epochs=4, initial_epoch=2, verbose=0).history["loss"] for m in (model, loaded)
    ]
    assert ended[0] == ended[1]
    assert equal_weights(model, loaded)


def test_two_fits_are_one_fit(samples):
    x, y = samples
    one, two = small_model(), small_model()
    convkit.set_seed(5)
    one.fit(x, y, epochs=4, verbose=0)
    convkit.set_seed(5)
    two.fit(x, y, epochs=2, verbose=0)
    two.fit(x, y, epochs=4, initial_epoch=2, verbose=0)
    assert equal_weights(one, two)


@pytest.mark.parametrize("name", ["sgd", "adam", "rmsprop", "adamw"])
def test_every_optimizer_goes_on(tmp_path, samples, name):
    x, y = samples
    model = small_model(dropout=0.0)
    options = {"momentum": 0.9} if name in ("sgd", "rmsprop") else {}
    model.compile(
        optimizers.NAMES[name](0.01, **options), "sparse_categorical_crossentropy", ["accuracy"]
    )
    model.fit(x, y, epochs=1, verbose=0)
    model.optimizer.learning_rate = 0.005  # as a callback does
    model.save(tmp_path / "m")
    loaded = convkit.load_model(tmp_path / "m")
    assert loaded.optimizer.get_config() == model.optimizer.get_config()
    for m in (model, loaded):
        m.fit(x, y, epochs=2, initial_epoch=1, shuffle=False, verbose=0)
    assert equal_weights(model, loaded)


def test_losses_and_metrics_come_back_with_their_arguments(tmp_path, samples):
    x, y = samples
    model = small_model()
    model.compile(
        "sgd",
        losses.CategoricalCrossentropy(label_smoothing=0.125),
        metrics=["accuracy", metrics.TopKCategoricalAccuracy(k=2, name="two")],
    )
    rows = convkit.utils.to_categorical(y, 3)
    model.fit(x, rows, verbose=0)
    model.save(tmp_path / "m")
    loaded = convkit.load_model(tmp_path / "m")
    assert loaded.loss.label_smoothing == 0.125
    result = loaded.evaluate(x, rows, verbose=0, return_dict=True)
    assert result == model.evaluate(x, rows, verbose=0, return_dict=True)
    assert list(result) == ["loss", "accuracy", "two"]


def test_models_of_any_shape_come_back(tmp_path, rng):
    model = branched_model()
    x = [rng.random((5, 4, 4, 2)), rng.random((5, 4, 4, 2))]
    model.set_weights([w + rng.random(w.shape) for w in model.get_weights()])
    model.save(tmp_path / "m")
    loaded = convkit.load_model(tmp_path / "m")
    for a, b in zip(model.predict(x), loaded.predict(x), strict=True):
        np.testing.assert_array_equal(a, b)
    assert [t.name for t in loaded.inputs] == ["a", "b"]
    assert [layer.name for layer in loaded.layers] == [layer.name for layer in model.layers]
    # What was shared is shared again.
    assert len(loaded.variables) == len(model.variables) == 2 + 4 + 2
    inner = loaded.get_layer("inner")
    assert any(layer is inner.layers[0] for layer in loaded.layers)
    assert loaded.to_json() == model.to_json()


@pytest.mark.parametrize("name", sorted(CASES))
def test_every_layer_comes_back(tmp_path, name, rng):
    model, layer, shape = make(name)
    model.save(tmp_path / "m")
    convkit.set_seed(99)
    loaded = convkit.load_model(tmp_path / "m")
    x = rng.standard_normal((3, *shape))
    np.testing.assert_array_equal(loaded.predict(x), model.predict(x))
    np.testing.assert_array_equal(loaded(x, training=True), model(x, training=True))
    assert loaded.get_layer(layer.name).get_config() == layer.get_config()


def test_loading_draws_no_random_numbers_and_no_weights(tmp_path, monkeypatch):
    model = small_model()
    model.save(tmp_path / "m")
    before = convkit.runtime.get_random_state()
    monkeypatch.setattr(convkit.runtime, "random_generator", None)
    convkit.load_model(tmp_path / "m")
    assert convkit.runtime.get_random_state() == before


def test_compile_false_and_include_optimizer(tmp_path, samples):
    x, y = samples
    model = small_model()
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "m")
    assert convkit.load_model(tmp_path / "m", compile=False).optimizer is None
    model.save(tmp_path / "small", include_optimizer=False)
    assert convkit.load_model(tmp_path / "small").optimizer is None
    assert os.path.getsize(tmp_path / "small") < os.path.getsize(tmp_path / "m")


def test_frozen_layers_stay_frozen(tmp_path, samples):
    x, y = samples
    model = small_model()
    model.layers[0].trainable = False
    model.compile("adam", "sparse_categorical_crossentropy")
    model.save(tmp_path / "m")
    loaded = convkit.load_model(tmp_path / "m")
    kernel = loaded.layers[0].kernel.copy()
    loaded.fit(x, y, verbose=0)
    np.testing.assert_array_equal(kernel, loaded.layers[0].kernel)


def test_the_file_is_a_safetensors_file_of_fixed_bytes(tmp_path, samples):
    from safetensors import safe_open

    x, y = samples
    model = small_model()
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "a", metadata={"author": "학생"})
    model.save(tmp_path / "b", metadata={"author": "학생"})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    with safe_open(tmp_path / "a", "numpy") as file:
        np.testing.assert_array_equal(file.get_tensor("weights.0.0.kernel"), model.layers[0].kernel)
        document = json.loads(file.metadata()["document"])
    assert document["model"]["class_name"] == "Sequential"
    assert saving.read_metadata(tmp_path / "a") == {"author": "학생"}
    found = saving.verify(tmp_path / "a")
    assert found["kind"] == "model" and found["arrays"] == len(model.weights) + 2 * 6


def test_saving_needs_a_model_that_has_weights(tmp_path):
    with pytest.raises(ValueError, match=r"no weights yet.*Input"):
        convkit.Sequential([Dense(3)]).save(tmp_path / "m")
    with pytest.raises(ValueError, match="Keras"):
        small_model().save(tmp_path / "m.keras")
    for name in ("m.h5", "m.keras"):
        with pytest.raises(ValueError, match=r"use '.*m\.convkit'.*\.weights\.h5"):
            small_model().save_weights(tmp_path / name)
    with pytest.raises(ValueError, match="a Keras file has no place for metadata"):
        saving.save_weights(small_model(), tmp_path / "m.weights.h5", {"author": "me"})
    with pytest.raises(TypeError, match="metadata must map strings"):
        small_model().save(tmp_path / "m", metadata={"epochs": 3})
    assert not list(tmp_path.iterdir())
    (tmp_path / "m").write_text("precious")
    with pytest.raises(FileExistsError, match="overwrite=False"):
        small_model().save(tmp_path / "m", overwrite=False)
    assert (tmp_path / "m").read_text() == "precious"
    with pytest.raises(FileNotFoundError):
        convkit.load_model(tmp_path / "absent")
    (tmp_path / "x.keras").write_text("PK")
    with pytest.raises(convkit.FormatError, match="load_weights"):
        convkit.load_model(tmp_path / "x.keras")


# ---- descriptions ------------------------------------------------------------------------------


@pytest.mark.parametrize("make_model", [small_model, branched_model])
def test_json_and_clones_have_the_same_layers_and_new_weights(make_model):
    model = make_model()
    for again in (models.model_from_json(model.to_json(indent=1)), models.clone_model(model)):
        assert again.get_config() == model.get_config()
        assert [w.shape for w in again.get_weights()] == [w.shape for w in model.get_weights()]
        assert not equal_weights(model, again)
        assert all(a is not b for a, b in zip(again.layers, model.layers, strict=True))
    assert type(model).from_config(model.get_config()).name == model.name


def test_a_chain_without_an_input_stays_one():
    model = convkit.Sequential([Dense(3, name="d")])
    again = models.clone_model(model)
    assert not again.built
    again.build((None, 4))
    assert again.count_params() == 15


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", '"Sequential"', '{"class_name": "Sequential"}'),
        '{"module": "models", "class_name": "Sequential", "config": {}}',
        '{"module": "models", "class_name": "Model", "config": {"inputs": [3]}}',
    ],
)
def test_json_that_is_no_model(text):
    with pytest.raises(ValueError):
        models.model_from_json(text)
    with pytest.raises(TypeError, match="clone_model"):
        models.clone_model(text)


class Double(layers.Layer):
    """A layer of one's own."""

    def __init__(self, times=2.0, **options):
        super().__init__(**options)
        self.times = times

    def call(self, x, training):
        """Emit the product."""
        return convkit.ops.affine(x, self.times, 0.0)


class Halved(losses.MeanSquaredError):
    """A loss of one's own."""


def test_classes_of_ones_own(tmp_path, rng):
    model = convkit.Sequential([Input((4,)), Double(3.0), Dense(2)])
    model.compile("sgd", Halved())
    model.save(tmp_path / "m")
    with pytest.raises(convkit.FormatError, match=r"custom_objects=\{'Double': Double\}"):
        convkit.load_model(tmp_path / "m")
    loaded = convkit.load_model(tmp_path / "m", custom_objects={"Double": Double, "Halved": Halved})
    x = rng.random((3, 4))
    np.testing.assert_array_equal(loaded.predict(x), model.predict(x))
    assert type(loaded.loss) is Halved
    with saving.custom_object_scope({"Double": Double}):
        convkit.load_model(tmp_path / "m", compile=False)
    text = model.to_json()
    assert models.model_from_json(text, custom_objects={"Double": Double}).layers[0].times == 3.0


# ---- weights -----------------------------------------------------------------------------------


def test_weights_go_to_a_model_of_the_same_shape_only(tmp_path, rng):
    model, other = small_model(seed=1), small_model(seed=2)
    path = tmp_path / "w"
    model.save_weights(path)
    other.load_weights(path)
    assert equal_weights(model, other)
    model.save(tmp_path / "whole")
    third = small_model(seed=3)
    third.load_weights(tmp_path / "whole")
    assert equal_weights(model, third)
    different = convkit.Sequential([Input((4,)), Dense(3)])
    before = different.get_weights()
    with pytest.raises(
        convkit.FormatError, match=r"another model's weights.*'weights.0.0.kernel is"
    ):
        different.load_weights(path)
    np.testing.assert_array_equal(before[0], different.get_weights()[0])
    double = convkit.Sequential([Input((4,)), Dense(3, dtype="float64")])
    double.save_weights(path)
    with pytest.raises(convkit.FormatError, match="float64, not"):
        different.load_weights(path)
    with pytest.raises(convkit.FormatError, match="holds 'weights', not model"):
        convkit.load_model(path)


# ---- saves that fail ---------------------------------------------------------------------------


class Disk:
    """The system calls of a save; the one with the given number fails."""

    def __init__(self, monkeypatch, fail_at, error):
        self.calls, self.fail_at, self.error = 0, fail_at, error
        for name in ("fsync", "replace"):
            monkeypatch.setattr(os, name, self.wrap(getattr(os, name)))
        import convkit._files as files

        real = open

        def opening(path, mode, *rest):
            self.step()
            stream = real(path, mode, *rest)
            return Stream(stream, self)

        monkeypatch.setattr(files, "open", opening, raising=False)

    def step(self):
        self.calls += 1
        if self.calls == self.fail_at:
            raise OSError(self.error, os.strerror(self.error))

    def wrap(self, function):
        def call(*arguments):
            self.step()
            return function(*arguments)

        return call


class Stream:
    """A file whose writes are counted."""

    def __init__(self, stream, disk):
        self.stream, self.disk = stream, disk

    def write(self, data):
        """Write half of the data before a failure."""
        try:
            self.disk.step()
        except OSError:
            self.stream.write(bytes(data)[: len(data) // 2])
            raise
        return self.stream.write(data)

    def __getattr__(self, name):
        return getattr(self.stream, name)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.stream.close()


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
def test_a_save_that_fails_anywhere_leaves_the_old_file(tmp_path, error):
    path = tmp_path / "m"
    old, new = small_model(seed=1), small_model(seed=2)
    old.save(path)
    before = path.read_bytes()
    steps = 0
    for k in range(1, 100):
        with pytest.MonkeyPatch.context() as patch:
            disk = Disk(patch, k, error)
            try:
                new.save(path)
            except OSError as raised:
                assert raised.errno == error
                assert path.read_bytes() == before
                assert [p.name for p in tmp_path.iterdir()] == ["m"]
                steps = k
                continue
        assert disk.calls < k
        break
    assert steps >= 10  # open, a write for the header and each array, fsync, rename
    assert equal_weights(convkit.load_model(path), new)


def test_a_full_disk_is_an_os_error():
    with pytest.raises(OSError, match="No space"):
        small_model().save("/dev/full")


def test_a_description_that_no_file_may_have_is_refused(tmp_path, monkeypatch):
    model = convkit.Sequential([convkit.Input((3,)), convkit.layers.Dense(2)])
    monkeypatch.setattr("convkit.saving._container.HEADER_LIMIT", 100)
    with pytest.raises(ValueError, match=r"needs \d+ bytes, .* 100; keep large arrays"):
        model.save(tmp_path / "m")
    assert list(tmp_path.iterdir()) == []
