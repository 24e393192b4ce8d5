"""Everything that takes arguments describes itself, through JSON, and comes back the same."""

import inspect
import json

import numpy as np
import pytest
from test_layers import CASES, make

import convkit
from convkit import (
    _config,
    constraints,
    initializers,
    layers,
    losses,
    metrics,
    optimizers,
    regularizers,
    schedules,
    utils,
)
from convkit.ops.update import HYPER

ARGUMENTS = {
    "Activation": {"activation": "tanh"},
    "ConfusionMatrix": {"num_classes": 3},
    "CosineDecay": {"initial_learning_rate": 0.1, "decay_steps": 10, "alpha": 0.25},
    "IoU": {"num_classes": 3, "target_class_ids": [0, 2], "ignore_class": -1},
    "MeanIoU": {"num_classes": 3, "sparse_y_pred": False},
    "ExponentialDecay": {"initial_learning_rate": 0.1, "decay_steps": 10, "decay_rate": 0.5},
    "ConstantLearningRate": {"learning_rate": 0.5},
    "CosineDecayRestarts": {"initial_learning_rate": 0.1, "first_decay_steps": 10},
    "InverseTimeDecay": {"initial_learning_rate": 0.1, "decay_steps": 10, "decay_rate": 0.5},
    "Lookahead": {"optimizer": _config.serialize(optimizers.SGD(0.5))},
    "PolynomialDecay": {"initial_learning_rate": 0.1, "decay_steps": 10},
    "PolynomialRamp": {"start": 0.5, "end": 1.0, "total_steps": 10},
    "StepDecay": {"initial_learning_rate": 0.1, "step_size": 10},
    "Triangular": {"peak": 0.1, "total_steps": 10},
    "WarmUp": {
        "schedule": _config.serialize(schedules.ConstantLearningRate(0.5)),
        "warmup_steps": 3,
    },
    "OneCycle": {"peak": 0.1, "total_steps": 10, "start": 0.25},
    "PiecewiseConstantDecay": {"boundaries": [3, 5], "values": [1.0, 0.5, 0.1]},
}


def through_json(item):
    """Send an object's description through JSON and make it anew."""
    return _config.deserialize(json.loads(json.dumps(_config.serialize(item))))


def exported(module, base):
    """Return the classes of a kind, by introspection."""
    return sorted(
        {
            cls
            for _, cls in inspect.getmembers(module, inspect.isclass)
            if issubclass(cls, base)
            and cls not in (base, metrics.MeanMetricWrapper)
            and not cls.__name__.startswith("_")
        },
        key=lambda cls: cls.__name__,
    )


def changed(cls):
    """Make an object whose numbers and flags all differ from the defaults where that is allowed."""
    given = dict(ARGUMENTS.get(cls.__name__, {}))
    for name, parameter in inspect.signature(cls).parameters.items():
        if name in given or parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            continue
        value = parameter.default
        candidates = []
        if isinstance(value, bool):
            candidates = [not value]
        elif isinstance(value, int | float):
            candidates = [value * 0.5, value + 0.25, value + 1]
        for candidate in candidates:
            try:
                cls(**{**given, name: candidate})
            except (TypeError, ValueError):
                continue
            given[name] = candidate
            break
    return cls(**given), given


KINDS = [
    *exported(losses, losses.Loss),
    *exported(metrics, metrics.Metric),
    *exported(optimizers, optimizers.Optimizer),
    *exported(schedules, schedules.LearningRateSchedule),
    *exported(initializers, initializers.Initializer),
    *exported(regularizers, regularizers.Regularizer),
    *exported(constraints, constraints.Constraint),
]


@pytest.mark.parametrize("cls", KINDS, ids=lambda cls: f"{cls.__module__}.{cls.__name__}")
def test_objects_come_back_with_every_argument(cls):
    item, given = changed(cls)
    config = item.get_config()
    for name, value in given.items():
        assert config[name] in (value, [value]), name
    again = through_json(item)
    assert type(again) is cls
    assert again.get_config() == config
    if isinstance(item, optimizers.Optimizer):
        np.testing.assert_array_equal(again.hyper.value, item.hyper.value)


@pytest.mark.parametrize("name", sorted(CASES))
def test_layers_come_back_with_every_argument(name):
    model, layer, _ = make(name)
    layer.trainable = False
    config = layer.get_config()
    for argument, value in CASES[name][0].items():
        assert config[argument] in (_config.serialize(value), [value, value])
    again = through_json(layer)
    assert type(again) is type(layer)
    assert again.get_config() == config
    assert not again.built and again.dtype == "float64" and not again.trainable
    assert set(config) == set(_config.arguments(type(layer)))
    assert model.layers[0] is not again


def least(y_true, y_pred):
    """A user's metric."""
    return y_pred.min(-1)


def test_a_function_as_a_metric_needs_to_be_known():
    text = json.loads(json.dumps(_config.serialize(metrics.get(least))))
    again = _config.deserialize(text, {"least": least})
    assert again.fn is least and again.name == "least"


def test_an_optimizers_schedule_and_changed_numbers_are_described():
    adam = optimizers.Adam(schedules.CosineDecay(0.1, 100), clipnorm=1.0)
    again = through_json(adam)
    assert again.learning_rate == 0.1 and again.clipnorm == 1.0 and again.clipvalue is None
    again.iterations.value[0] = 100
    assert again.learning_rate == 0.0
    sgd = optimizers.SGD(0.5, momentum=0.9, nesterov=True)
    sgd.learning_rate = 0.25
    assert through_json(sgd).learning_rate == 0.25
    assert through_json(sgd).get_config()["nesterov"] is True
    assert sgd.hyper.value[HYPER.index("nesterov")] == 1


def test_initializers_and_regularizers_inside_of_a_layer():
    layer = layers.Dense(
        3, kernel_initializer=initializers.RandomNormal(0.0, 2.0), bias_initializer="ones"
    )
    again = through_json(layer)
    assert isinstance(again.kernel_initializer, initializers.RandomNormal)
    assert again.kernel_initializer.stddev == 2.0 and again.bias_initializer == "ones"


class Scale(layers.Layer):
    """A user's layer without a get_config of its own."""

    def __init__(self, factor, **options):
        super().__init__(**options)
        self.factor = factor

    def call(self, x, training):
        """Emit the product."""
        return convkit.ops.affine(x, self.factor, 0.0)


class OldScale(Scale):
    """A user's layer with one, as Keras wants it."""

    def __init__(self, times, **options):
        super().__init__(2 * times, **options)
        self.half = times

    def get_config(self):
        """Return the arguments."""
        config = super().get_config()
        del config["factor"]
        return {**config, "times": self.half}


def test_a_class_of_ones_own_needs_to_be_known():
    text = json.loads(json.dumps(_config.serialize(Scale(3.0, name="s"))))
    assert text["module"] == "custom" and text["class_name"] == "Scale"
    with pytest.raises(ValueError, match=r"custom_objects=\{'Scale': Scale\}"):
        _config.deserialize(text)
    again = _config.deserialize(text, {"Scale": Scale})
    assert again.factor == 3.0 and again.name == "s"
    with utils.custom_object_scope({"Scale": Scale}):
        assert _config.deserialize(text).factor == 3.0
    old = _config.deserialize(_config.serialize(OldScale(4)), {"OldScale": OldScale})
    assert old.factor == 8 and old.half == 4


def test_a_registered_class_is_found_under_its_package(monkeypatch):
    monkeypatch.setattr(_config, "_registered", {})
    kept = utils.register_serializable("Tests", "Times")(Scale)
    assert kept is Scale
    text = _config.serialize(Scale(3.0))
    assert text["class_name"] == "Tests>Times"
    assert _config.deserialize(text).factor == 3.0
    assert _config.deserialize(text, {"Times": OldScale.__base__}).factor == 3.0
    utils.register_serializable("Tests", "Times")(Scale)
    with pytest.raises(ValueError, match="registered for"):
        utils.register_serializable("Tests", "Times")(OldScale)


def test_an_argument_that_is_not_kept_is_named():
    class Forgetful(layers.Layer):
        def __init__(self, width, **options):
            super().__init__(**options)

    with pytest.raises(TypeError, match=r"Forgetful.get_config: the argument 'width'.*self.width"):
        Forgetful(3).get_config()


@pytest.mark.parametrize("value", [object(), lambda x: x, {1, 2}, b"x"])
def test_what_json_cannot_hold_is_a_type_error(value):
    with pytest.raises(TypeError, match="get_config"):
        _config.serialize({"a": [value]})


@pytest.mark.parametrize(
    "hostile",
    [
        {"module": "os", "class_name": "system", "config": {}},
        {"module": "layers", "class_name": "_Pooling2D", "config": {}},
        {"module": "layers", "class_name": "np", "config": {}},
        {"module": "layers", "class_name": ["Dense"], "config": {}},
        {"module": ["layers"], "class_name": "Dense", "config": {}},
        {"module": None, "class_name": "Dense", "config": {}},
        {"module": "layers", "class_name": "Dense", "config": [1]},
        {"module": "layers", "class_name": "Dense", "config": {"units": {"units": 3}}},
        {"module": "layers", "class_name": "Dense", "config": {"units": 3, "call": 4}},
        {"module": "custom", "class_name": "builtins.eval", "config": None},
    ],
)
def test_only_the_registry_is_looked_into(hostile):
    with pytest.raises((ValueError, TypeError)):
        _config.deserialize(hostile)
