"""Names of Keras and TensorFlow that convkit does not have: errors say what to write instead."""

import importlib
import re

import pytest

import convkit
from convkit import _elsewhere, layers, optimizers


def small():
    """Return a built model."""
    return convkit.Sequential([layers.Input((3,)), layers.Dense(2)])


@pytest.mark.parametrize("place", _elsewhere.ATTRIBUTES)
def test_attributes_that_are_elsewhere(place):
    kind, _, name = place.partition(".")
    owner = {"": lambda: convkit, "model": small, "optimizer": optimizers.Adam}.get(
        kind, lambda: getattr(convkit, kind)
    )()
    with pytest.raises(AttributeError, match=re.escape(_elsewhere.ATTRIBUTES[place])):
        getattr(owner, name)


@pytest.mark.parametrize("place", _elsewhere.ARGUMENTS)
def test_arguments_that_are_elsewhere(place):
    function, _, name = place.rpartition(".")
    model = small()
    calls = {"": lambda **o: optimizers.Adam(**o), "LeakyReLU": layers.LeakyReLU}
    calls["SparseCategoricalCrossentropy"] = convkit.losses.SparseCategoricalCrossentropy
    call = calls[function] if function in calls else getattr(model, function)
    with pytest.raises(TypeError, match=re.escape(_elsewhere.ARGUMENTS[place])):
        call(**{name: 1})


NAME = re.compile(r"(?:convkit\.|layers\.|optimizers\.|model\.)[a-z_A-Z.]*[a-zA-Z]")


@pytest.mark.parametrize("advice", {**_elsewhere.ATTRIBUTES, **_elsewhere.ARGUMENTS}.values())
def test_what_the_advice_names_exists(advice):
    for text in NAME.findall(advice):
        owner, *path = text.split(".")
        found = {"convkit": convkit, "model": small()}.get(owner) or getattr(convkit, owner)
        if owner == "model":
            found.compile("sgd", "mse")
        for name in path:
            found = getattr(found, name)


@pytest.mark.parametrize("prefix", ["convkit", "convkit.keras"])
def test_modules_that_are_elsewhere(prefix):
    for name in ("preprocessing", "preprocessing.image", "applications"):
        with pytest.raises(ModuleNotFoundError, match=f"No module named .*{prefix}.*; .*convkit"):
            importlib.import_module(f"{prefix}.{name}")
    schedules = importlib.import_module(f"{prefix}.optimizers.schedules")
    assert schedules is convkit.schedules
    assert convkit.schedules.__spec__.name == "convkit.schedules"
    with pytest.raises(ModuleNotFoundError, match=r"nothing'$"):
        importlib.import_module(f"{prefix}.nothing")


def test_suggestions_are_of_public_names():
    with pytest.raises(AttributeError, match=r"'_metric'$"):
        _ = small()._metric
    for owner in (small(), optimizers.SGD(), layers.Dense(3)):
        with pytest.raises(AttributeError) as caught:
            _ = owner.hypr_slots_variablez
        assert "'_" not in str(caught.value)
    for module in ("callbacks", "initializers", "losses", "metrics", "optimizers", "utils"):
        with pytest.raises(
            AttributeError, match=f"module 'convkit.{module}' has no attribute 'xq'"
        ):
            _ = getattr(convkit, module).xq
    with pytest.raises(AttributeError, match="did you mean 'EarlyStopping'"):
        _ = convkit.callbacks.EarlyStoping


def test_models_of_ones_own_class_are_layers():
    class Net(convkit.Model):
        def __init__(self):
            super().__init__()

    with pytest.raises(TypeError, match=r"Net: .*Sequential\(\[Input\(shape\), YourLayer\(\)\]\)"):
        Net()


def test_the_backend_is_what_it_says():
    from convkit.keras import backend

    assert (backend.backend(), backend.epsilon(), backend.floatx()) == ("convkit", 1e-7, "float32")
    backend.set_image_data_format("channels_last")
    assert backend.image_data_format() == "channels_last"
    with pytest.raises(ValueError, match=r"x\.transpose\(0, 2, 3, 1\)"):
        backend.set_image_data_format("channels_first")
    assert convkit.Layer is layers.Layer
    made = convkit.initializers.he_normal(seed=1)
    assert isinstance(made, convkit.initializers.HeNormal)
