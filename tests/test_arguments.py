"""A misspelt argument is answered with the nearest that exists, wherever convkit is called."""

import functools
import inspect
import pickle
import types
from pathlib import Path

import pytest

import convkit
from convkit import functional as F
from convkit import layers
from convkit._arguments import NamedArguments, accepted, named_arguments

MODULES = (
    *("activations", "callbacks", "constraints", "initializers", "layers", "losses", "metrics"),
    *("models", "optimizers", "regularizers", "schedules"),
)


def classes():
    """Find every class that the package shows, with each of its arguments' names."""
    found = {}
    for module in MODULES:
        for name, value in vars(getattr(convkit, module)).items():
            if isinstance(value, type) and issubclass(value, NamedArguments) and name[0] != "_":
                found |= {(value, argument): f"{name}-{argument}" for argument in accepted(value)}
    return found


def functions():
    """Find every function that a user calls with arguments, with each of their names."""
    from convkit import interchange, saving, utils, viz

    model = convkit.Sequential([layers.Input([3]), layers.Dense(2)])
    found = [getattr(module, name) for module in (F, utils, viz) for name in module.__all__]
    found += list(convkit.activations.NAMES.values())
    found += [getattr(convkit.datasets, name).load_data for name in convkit.datasets.names()]
    found += [getattr(saving, n) for n in ("save_model", "load_model", "save_weights")]
    found += [getattr(interchange, n) for n in ("load_keras", "load_torch", "to_torch")]
    found += [layers.Input, convkit.set_num_threads, convkit.set_seed, convkit.set_algorithm]
    methods = ("compile", "fit", "evaluate", "predict", "summary", "save", "save_weights")
    for name in (*methods, "train_on_batch", "test_on_batch", "predict_on_batch"):
        found.append(getattr(model, name))
    named = [f for f in found if isinstance(f, types.FunctionType | types.MethodType)]
    return {
        (function, p.name): f"{function.__name__}-{p.name}"
        for function in named
        for p in inspect.signature(function).parameters.values()
        if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    }


def misspell(name):
    """Drop the last letter but one: "kernel_size" -> "kernel_sie"; double a single letter."""
    return name[:-2] + name[-1] if len(name) > 2 else name + name[-1]


CLASSES, FUNCTIONS = classes(), functions()


@pytest.mark.parametrize(("cls", "name"), CLASSES, ids=CLASSES.values())
def test_constructors_suggest_each_argument(cls, name):
    wrong = misspell(name)
    assert wrong not in accepted(cls), "misspell must make a name that is none"
    with pytest.raises(TypeError) as caught:
        cls(**{wrong: 3})
    start = f"{cls.__name__}: unknown argument {wrong}=3; did you mean "
    assert str(caught.value).startswith(start), caught.value


@pytest.mark.parametrize(("function", "name"), FUNCTIONS, ids=FUNCTIONS.values())
def test_functions_suggest_each_argument(function, name):
    wrong = misspell(name)
    with pytest.raises(TypeError) as caught:
        function(**{wrong: 3})
    assert f"{function.__name__}: unknown argument {wrong}=3; " in str(caught.value)
    assert "did you mean" in str(caught.value) or "use one of" in str(caught.value)


def test_what_classes_write_suggests_what_is_right():
    model = convkit.Sequential([layers.Input([3]), layers.Dense(2)])
    for wrong, right, call in (
        ("kernal_size", "kernel_size", lambda: layers.Conv2D(3, kernal_size=5)),
        ("unit", "units", lambda: layers.Dense(unit=3)),
        ("epoch", "epochs", lambda: model.fit([[1, 2, 3]], [[1, 2]], epoch=10)),
        ("optimiser", "optimizer", lambda: model.compile(optimiser="sgd")),
        ("batchsize", "batch_size", lambda: model.predict([[1, 2, 3]], batchsize=3)),
        ("stride", "strides", lambda: F.conv2d([[1]], [[1]], stride=2)),
        ("output", "outputs", lambda: convkit.Model(inputs=model.input, output=model.output)),
    ):
        with pytest.raises(TypeError, match=rf"{wrong}=.*did you mean '{right}'\?"):
            call()


def test_arguments_of_a_base_class_are_known():
    with pytest.raises(TypeError, match="did you mean 'trainable'"):
        layers.Conv2D(3, 5, trainabel=False)
    with pytest.raises(TypeError, match=r"Adam: .* wd=0\.1; use one of: amsgrad, beta"):
        convkit.optimizers.Adam(wd=0.1)


def test_classes_of_ones_own_suggest_too():
    class Scale(layers.Layer):
        def __init__(self, factor, **options):
            super().__init__(**options)
            self.factor = factor

    assert Scale(factor=2, name="twice").name == "twice"
    with pytest.raises(TypeError, match="Scale: unknown argument facter=2; did you mean 'factor'"):
        Scale(facter=2)
    with pytest.raises(TypeError, match="Scale: unknown argument nam='x'; did you mean 'name'"):
        Scale(2, nam="x")


def test_other_type_errors_are_left_as_they_are():
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'units'"):
        layers.Dense()
    with pytest.raises(TypeError, match="multiple values for argument 'units'"):
        layers.Dense(3, units=3)

    @named_arguments
    def outer(x):
        return inner(y=x)

    def inner(x):
        return x

    with pytest.raises(TypeError, match=r"inner.*unexpected keyword argument 'y'"):
        outer(x=1)


def test_marked_functions_look_and_pickle_as_before():
    assert str(inspect.signature(F.relu)).startswith("(x: 'ArrayLike', *, out:")
    assert list(inspect.signature(layers.Dropout).parameters)[:2] == ["rate", "noise_shape"]
    assert pickle.loads(pickle.dumps(F.conv2d)) is F.conv2d
    assert F.conv2d.__doc__.startswith("Convolve images")


# ---- order and defaults -------------------------------------------------------------------------

SIGNATURES = (Path(__file__).parent / "keras_signatures.txt").read_text().splitlines()


@pytest.mark.parametrize("line", SIGNATURES, ids=lambda line: line.partition("(")[0])
def test_order_and_defaults_are_those_of_keras(line):
    """Each line of the file is a signature of Keras 3, without what convkit does not have."""
    place, _, rest = line.partition("(")
    theirs = inspect.signature(eval(f"lambda {rest[:-1]}: None")).parameters
    ours = inspect.signature(functools.reduce(getattr, place.split("."), convkit)).parameters
    ours = {name: p for name, p in ours.items() if name != "self"}
    positional = [name for name, p in ours.items() if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert positional[: len(theirs)] == list(theirs)
    for name, parameter in theirs.items():
        default = ours[name].default
        if name != "pool_size":  # of average pooling: required in Keras, 2 here
            same = str(default).lower() == str(parameter.default).lower()
            assert same or default == parameter.default, f"{place}: {name}={default!r}"
