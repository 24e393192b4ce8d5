"""The class's networks run as its notebooks write them: raw images, few arguments, few imports."""

import numpy as np
import pytest
from course import BUILDERS, IMAGE_NETWORKS, NETWORKS

import convkit
from convkit import callbacks, datasets, layers


def images(rng, network, count=70):
    return rng.integers(0, 256, (count, *network.shape), dtype=np.uint8)


@pytest.mark.parametrize("builder", BUILDERS)
@pytest.mark.parametrize("name", NETWORKS)
def test_shapes_and_parameters(name, builder):
    network = NETWORKS[name]
    model = getattr(network, builder)()
    assert [(layer.output_shape[1:], layer.count_params()) for layer in model.layers] == [
        (shape, count) for _, shape, count in network.rows
    ]
    trained = sum(v.value.size for layer in model.layers for v in layer.trainable_variables)
    assert (model.count_params(), model.count_params() - trained) == (network.total, network.frozen)


def test_parameters_by_hand():
    assert NETWORKS["conv"].total == 84 * (2400 + 1) + 10 * (84 + 1) + 78 + 456
    # The + 1 is the bias.
    parts = [layers.Conv2D(3, 5, use_bias=False), layers.Conv2D(6, 5, use_bias=False)]
    parts += [layers.Flatten(), layers.Dense(84, use_bias=False), layers.Dense(10, use_bias=False)]
    convkit.Sequential([layers.Input((28, 28, 1)), *parts])
    assert [part.count_params() for part in parts] == [75, 450, 0, 201600, 840]


def test_filter_banks_in_keras_order_and_in_the_order_of_the_pictures():
    first, second = NETWORKS["conv"].sequential().layers[:2]
    assert (first.kernel.shape, second.kernel.shape) == ((5, 5, 1, 3), (5, 5, 3, 6))
    assert first.kernel.transpose(3, 0, 1, 2).shape == (3, 5, 5, 1)
    assert second.kernel.transpose(3, 0, 1, 2).shape == (6, 5, 5, 3)


@pytest.mark.parametrize("builder", BUILDERS)
@pytest.mark.parametrize("name", IMAGE_NETWORKS)
def test_training_on_raw_images(name, builder, rng):
    network = NETWORKS[name]
    convkit.set_seed(11)
    model = getattr(network, builder)()
    model.compile(loss="categorical_crossentropy", metrics="accuracy")
    x, y = images(rng, network), np.eye(10, dtype=bool)[rng.integers(0, 10, 70)]
    history = model.fit(x, y, epochs=4, verbose=0)
    losses = history.history["loss"]
    assert np.isfinite(losses).all() and losses[-1] < losses[0]
    assert list(history.history) == ["loss", "accuracy"] and history.epoch == [0, 1, 2, 3]
    chances = model.predict(x[0:5])
    assert chances.shape == (5, 10)
    np.testing.assert_allclose(chances.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("name", IMAGE_NETWORKS)
def test_both_ways_to_build_are_one_model(name, rng):
    network = NETWORKS[name]
    models = [getattr(network, builder)() for builder in BUILDERS]
    models[1].set_weights(models[0].get_weights())
    x = images(rng, network, 7)
    np.testing.assert_array_equal(models[0].predict(x), models[1].predict(x))


def test_reshaping_and_flattening_are_the_same(rng):
    table, image = NETWORKS["table"].sequential(), NETWORKS["flatten"].functional()
    image.set_weights(table.get_weights())
    x = images(rng, NETWORKS["flatten"], 9)
    np.testing.assert_array_equal(table.predict(x.reshape(9, 784)), image.predict(x))


class Forms:
    """The same labels in every form that notebooks have."""

    numbers = np.arange(60) % 10
    one_hot = np.eye(10)[numbers]

    @classmethod
    def frames(cls):
        pandas = pytest.importorskip("pandas")
        letters = np.array(list("ABCDEFGHIJ"))[cls.numbers]
        yield from (pandas.get_dummies(cls.numbers), pandas.get_dummies(letters))


@pytest.mark.parametrize("metrics", ["accuracy", ["accuracy"], "acc"])
def test_forms_of_labels(metrics, rng):
    forms = [Forms.one_hot, Forms.one_hot.astype(bool), Forms.one_hot.astype(int).tolist()]
    forms += [convkit.utils.to_categorical(Forms.numbers.reshape(-1, 1)), *Forms.frames()]
    x = images(rng, NETWORKS["pool"], 60)
    found = []
    for y in forms:
        convkit.set_seed(3)
        model = NETWORKS["pool"].sequential()
        model.compile(loss="categorical_crossentropy", metrics=metrics)
        found.append(model.fit(x, y, verbose=0).history)
    assert all(history == found[0] for history in found)
    assert 0 <= found[0]["acc" if metrics == "acc" else "accuracy"][0] <= 1


@pytest.mark.parametrize("numbers", [Forms.numbers, Forms.numbers.reshape(60, 1)])
def test_class_numbers_with_the_sparse_loss(numbers, rng):
    model = NETWORKS["pool"].sequential()
    model.compile(loss="sparse_categorical_crossentropy", metrics="accuracy")
    x = images(rng, NETWORKS["pool"], 60)
    assert np.isfinite(model.fit(x, numbers, verbose=0).history["loss"]).all()


def test_forms_of_images(rng):
    model = NETWORKS["conv"].sequential()
    x = images(rng, NETWORKS["conv"], 6)
    expected = model.predict(x)
    for form in (x[..., 0], x.tolist(), x.astype(float), [image for image in x], x.astype(">i4")):
        np.testing.assert_array_equal(model.predict(form), expected)
    flat = NETWORKS["flatten"].sequential()
    np.testing.assert_array_equal(flat.predict(x), flat.predict(x[..., 0]))
    assert convkit.Sequential([layers.Input([1]), layers.Dense(1)]).predict([[15]]).shape == (1, 1)


class Enough(Exception):
    """Training began; nothing more is wanted of it."""


class Steps(callbacks.Callback):
    """Learn how many steps an epoch has."""

    def on_train_begin(self, logs=None):
        self.steps = self.params["steps"]
        raise Enough


@pytest.mark.parametrize(("count", "steps"), [(60000, 1875), (50000, 1563), (18724, 586)])
def test_what_compile_and_fit_choose(count, steps):
    model = convkit.Sequential([layers.Input([1]), layers.Dense(1)])
    model.compile(loss="mse")
    seen = Steps()
    with pytest.raises(Enough):
        model.fit(np.zeros((count, 1), np.uint8), np.zeros(count), verbose=0, callbacks=[seen])
    assert seen.steps == steps
    assert isinstance(model.optimizer, convkit.optimizers.RMSprop)
    assert model.optimizer.learning_rate == pytest.approx(1e-3)


def test_summary(rng):
    lines = []
    model = NETWORKS["conv"].sequential()
    model.summary(print_fn=lines.append)
    text = "\n".join(lines)
    for word in ("(None, 24, 24, 3)", "201,684", "Param #", "Total params: 203,068 (793.23 KB)"):
        assert word in text
    assert "Optimizer params" not in text
    model.compile(loss="categorical_crossentropy")
    model.fit(images(rng, NETWORKS["conv"], 10), Forms.one_hot[:10], verbose=0)
    lines.clear()
    model.summary(print_fn=lines.append)
    # RMSprop keeps one number per weight, its step count and its learning rate.
    for word in ("Total params: 406,138", "Trainable params: 203,068", "Optimizer params: 203,070"):
        assert word in lines[0]
    # Moving means and variances are not trained.
    NETWORKS["pool_norm"].functional().summary(print_fn=lines.append)
    assert "Trainable params: 9,718" in lines[1] and "Non-trainable params: 186" in lines[1]


def test_outputs_of_layers_make_models(rng):
    model = NETWORKS["pool"].sequential()
    x = images(rng, NETWORKS["pool"], 5)
    maps = model.feature_maps(x)
    for layer in model.layers:
        part = convkit.Model(model.input, layer.output)
        np.testing.assert_array_equal(part.predict(x), maps[layer.name])
    both = convkit.Model(model.inputs, [model.layers[0].output, model.output])
    np.testing.assert_array_equal(both.predict(x)[1], model.predict(x))
    model.layers[0](x.astype(float))  # on an array: nothing is recorded
    assert model.layers[0].output.shape == (None, 24, 24, 3)


# What the class's notebooks do, in other words, with their import changed.
NOTEBOOKS = {
    "dense": """
import convkit as tf
import pandas as pd
(독립, 종속), _ = tf.keras.datasets.mnist.load_data()
독립 = 독립.reshape(len(독립), 784)
종속 = pd.get_dummies(종속)
X = tf.keras.layers.Input(shape=[784])
H = tf.keras.layers.Dense(84, activation='swish')(X)
Y = tf.keras.layers.Dense(10, activation='softmax')(H)
model = tf.keras.models.Model(X, Y)
model.compile(loss='categorical_crossentropy', metrics='accuracy')
model.fit(독립, 종속, epochs=2, verbose=0)
table = pd.DataFrame(model.predict(독립[0:5])).round(2)
""",
    "pooled": """
import convkit as tf
import pandas as pd
from convkit import layers, models, datasets
(x, y), _ = datasets.mnist.load_data()
x = x.reshape(len(x), 28, 28, 1)
y = pd.get_dummies(y)
X = layers.Input(shape=[28, 28, 1])
H = layers.Conv2D(3, kernel_size=5, activation='swish')(X)
H = layers.MaxPool2D()(H)
H = layers.Conv2D(6, kernel_size=5, activation='swish')(H)
H = layers.MaxPool2D()(H)
H = layers.Flatten()(H)
H = layers.Dense(84, activation='swish')(H)
Y = layers.Dense(10, activation='softmax')(H)
model = models.Model(X, Y)
model.compile(loss='categorical_crossentropy', metrics='accuracy')
model.fit(x, y, epochs=2, verbose=0)
table = pd.DataFrame(model.predict(x[0:5])).round(2)
model.summary()
""",
    "colour": """
from convkit.keras import Sequential, datasets, layers
import pandas as pd
(x, y), (x_test, y_test) = datasets.cifar10.load_data()
y = pd.get_dummies(y.reshape(len(y)))
model = Sequential([
    layers.Input(shape=[32, 32, 3]),
    layers.Conv2D(6, kernel_size=5, activation='swish'),
    layers.MaxPool2D(),
    layers.Conv2D(16, kernel_size=5, activation='swish'),
    layers.MaxPool2D(),
    layers.Flatten(),
    layers.Dense(120, activation='swish'),
    layers.Dense(84, activation='swish'),
    layers.Dense(10, activation='softmax'),
])
model.compile(loss='categorical_crossentropy', metrics='accuracy')
model.fit(x, y, epochs=2, batch_size=16, validation_split=0.2, verbose=0)
table = pd.DataFrame(model.predict(x_test[0:5])).round(2)
""",
}


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebooks_run_with_their_import_changed(name, rng, monkeypatch):
    pytest.importorskip("pandas")
    y = (np.arange(40) % 10).astype(np.uint8)

    def small(shape, labels):
        x = rng.integers(0, 256, (40, *shape), dtype=np.uint8)
        return lambda: ((x, labels), (x[:10], labels[:10]))

    monkeypatch.setattr(datasets.mnist, "load_data", small((28, 28), y))
    monkeypatch.setattr(datasets.cifar10, "load_data", small((32, 32, 3), y.reshape(40, 1)))
    names = {}
    exec(NOTEBOOKS[name], names)
    assert names["table"].shape == (5, 10)
    np.testing.assert_allclose(names["table"].sum(axis=1), 1, atol=0.06)


def test_keras_names_are_the_same_modules(run_script):
    found = run_script(
        "from convkit.keras.layers import Dense\n"
        "from convkit.keras.models import Sequential\n"
        "import convkit.keras.utils, convkit.keras, convkit.layers, importlib\n"
        "assert Dense is convkit.layers.Dense and convkit.keras is convkit\n"
        "assert convkit.layers.__spec__.name == 'convkit.layers'\n"
        "try: import convkit.keras.layer\n"
        "except ModuleNotFoundError as error: print(error)\n"
    )
    assert found == "No module named 'convkit.keras.layer'\n"
