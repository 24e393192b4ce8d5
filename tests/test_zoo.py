"""Named models: the nets that they say they are, and recipes that train them."""

import json
import math

import numpy as np
import pytest

import convkit
from convkit import callbacks, cli, layers, optimizers, zoo
from convkit.bench import in_convkit, nets

SHAPES = {
    "digits_cnn": (8, 8, 1),
    **dict.fromkeys(("lenet5", "mnist_convnet", "mnist_fast"), (28, 28, 1)),
}


def shape_of(name):
    return SHAPES.get(name, (32, 32, 3))


def images(rng, name, count):
    """Return images of three classes that differ in brightness."""
    y = np.arange(count) % 3
    x = rng.integers(0, 60, (count, *shape_of(name))) + 80 * y[:, None, None, None]
    return x.astype(np.uint8), y


def weight_shapes(model):
    return [w.shape for w in model.get_weights()]


@pytest.mark.parametrize("name", sorted(zoo.RECIPES.keys() & nets.NETS.keys()))
def test_nets_are_those_that_are_measured(name):
    model = zoo.recipe(name).build(shape_of(name), 10)
    statistics = 2 * zoo.recipe(name).normalized  # mean and variance of the pixels
    assert weight_shapes(model)[statistics:] == weight_shapes(in_convkit.build(nets.NETS[name]))


COUNTS = {  # trainable and all
    "airbench94": (1_971_352, 1_973_950),
    "digits_cnn": (43_050, 43_050),
    "mnist_fast": (30_354, 30_418),
    "mobilenet_tiny": (205_642, 209_616),
    "resnet20": (272_474, 274_048),
    "resnet9": (6_573_120, 6_577_606),
    "vgg_small": (1_187_274, 1_189_072),
}


@pytest.mark.parametrize("name", COUNTS)
def test_numbers_of_weights(name):
    model = zoo.recipe(name).build(shape_of(name), 10)
    trained = sum(v.value.size for v in model.trainable_variables)
    assert (trained, model.count_params()) == COUNTS[name]
    assert model.name == name and model.output_shape == (None, 10)


@pytest.mark.parametrize("name", sorted(zoo.RECIPES))
def test_every_recipe_learns(name, rng):
    recipe = zoo.recipe(name)
    x, y = images(rng, name, 24)
    convkit.set_seed(1)
    model = recipe.build(x.shape[1:], 3)
    recipe.adapt(model, x)
    steps = 8
    recipe.compile(model, steps)
    history = model.fit(x, y, 24, steps, 0, callbacks=recipe.callbacks()).history
    assert all(math.isfinite(loss) for loss in history["loss"])
    assert min(history["loss"][1:]) < history["loss"][0]
    views = recipe.views()
    assert abs(sum(weight for weight, _ in views) - bool(views)) < 1e-12


@pytest.mark.parametrize("name", ["resnet20", "airbench94", "resnet9"])
def test_colour_recipes_take_other_images(name):
    recipe = zoo.recipe(name)
    grey = recipe.build((28, 28, 1), 7)
    augmentation = layers.augmentation.Augmentation
    assert not any(isinstance(layer, augmentation) for layer in grey.layers)
    colour = recipe.build((40, 36, 3), 7)
    assert sum(isinstance(layer, augmentation) for layer in colour.layers) >= 2
    assert grey.output_shape == colour.output_shape == (None, 7)


def test_the_whitening_layer_stops_learning(rng):
    recipe = zoo.recipe("airbench94")
    x, y = images(rng, "airbench94", 16)
    model = recipe.build(x.shape[1:], 3)
    recipe.adapt(model, x)
    recipe.compile(model, 5)
    biases = []
    watch = callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: biases.append(model.get_layer("whiten").bias.copy())
    )
    model.fit(x, y, 16, 5, 0, callbacks=[*recipe.callbacks(), watch])
    changes = [bool((a != b).any()) for a, b in zip([0 * biases[0], *biases], biases, strict=False)]
    assert changes == [True, True, True, False, False]


class Stopped(Exception):
    """The run was stopped."""


@pytest.mark.parametrize("die_at", [3, 8])
def test_airbench94_goes_on_to_the_bit(tmp_path, rng, die_at):
    recipe = zoo.recipe("airbench94")
    x, y = images(rng, "airbench94", 10)

    def train(seed, *extra):
        convkit.set_seed(seed)
        model = recipe.build(x.shape[1:], 3)
        recipe.adapt(model, x)
        recipe.compile(model, 10)
        model.fit(x, y, 6, 5, 0, callbacks=[*recipe.callbacks(), *extra])
        return model.get_weights()

    class Stop(callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if int(self.model.optimizer.iterations.value[0]) == die_at:
                raise Stopped

    whole = train(1)
    with pytest.raises(Stopped):
        train(1, callbacks.BackupAndRestore(tmp_path, 1), Stop())
    again = train(9, callbacks.BackupAndRestore(tmp_path, 1))
    for a, b in zip(whole, again, strict=True):
        np.testing.assert_array_equal(a, b)


def test_rates_of_airbench94():
    recipe = zoo.recipe("airbench94")
    optimizer = recipe.optimizer(392)
    assert isinstance(optimizer, optimizers.Lookahead) and optimizer.sync_period == 5
    inner = optimizer.optimizer
    assert inner.learning_rate == pytest.approx(0.2 * 1.5) and inner.nesterov
    top = round(0.23 * 392)
    assert inner._schedule(top) == pytest.approx(1.5, rel=0.01)
    assert inner._schedule(392) == pytest.approx(0.07 * 1.5)
    assert optimizer.slow_step_size(5) == pytest.approx(1 - 0.95**5 * (5 / 392) ** 3)


def test_an_unknown_model():
    with pytest.raises(ValueError, match="unknown model='resnet21'; did you mean 'resnet20'"):
        zoo.recipe("resnet21")


def test_the_command_trains_with_views(tmp_path, monkeypatch, capsys, rng):
    x, y = images(rng, "airbench94", 40)
    data = (x[:32], y[:32]), (x[32:], y[32:]), [f"class {i}" for i in range(10)], 1 / 255
    monkeypatch.setattr(cli, "_load", lambda dataset, data_dir: data)
    file = tmp_path / "result.json"
    command = ["train", "cifar10", "--model", "airbench94", "--epochs", "2", "--json", str(file)]
    assert cli.main([*command, "--save", str(tmp_path / "m.convkit")]) == 0
    assert "with 6 views" in capsys.readouterr().out
    result = json.loads(file.read_text())
    assert 0 <= result["test_accuracy_with_views"] <= 1 and len(result["history"]["loss"]) == 2
    model = convkit.load_model(tmp_path / "m.convkit")
    assert model.optimizer.slow_step_size.power == 3
    assert cli.main(["evaluate", "cifar10", "--load", str(tmp_path / "m.convkit")]) == 0


def test_a_recipe_says_what_it_lacks():
    with pytest.raises(NotImplementedError, match="Half must define network"):
        type("Half", (zoo.Recipe,), {})().network(None, 10)
