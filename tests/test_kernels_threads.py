"""Every kernel, by name, gives the same bytes on 1, 2 and 3 threads.

Each network runs training steps and a prediction on batches that give several threads work; which
kernels its programs hold is recorded, so that a kernel that no network runs fails the last test.
"""

import numpy as np
import pytest
from test_layers import CASES

import convkit
from convkit import _core, layers, losses, ops, optimizers
from convkit.compiler import Program
from convkit.layers.augmentation import Augmentation
from convkit.passes import _ops

SAMPLES = 41
RAN, DONE = set(), set()


def of_layer(name):
    """Return a model of a layer with a trained layer before it, so that its backward is needed."""
    options, shape = CASES[name]
    if len(shape) == 3 and name != "Reshape":
        shape = (3 * shape[0], 3 * shape[1], shape[2])
    x = start = layers.Input(shape)
    layer = getattr(layers, name)(**options)
    if not isinstance(layer, Augmentation) and name not in ("CenterCrop", "Resizing"):
        x = layers.BatchNormalization()(start)  # those come first in a model
    y = layer([x, layers.Activation("tanh")(x)] if layer.several_inputs else x)
    model = convkit.Model(start, layers.Dense(2)(layers.Flatten()(y)))
    model.compile("sgd", "mse")
    return model


def dense(optimizer, loss="mse", end=None, **options):
    """Return a model of wide dense layers."""
    start = layers.Input((70,))
    x = layers.Dense(150, "relu", **options)(start)
    y = layers.Dense(3)(x)
    model = convkit.Model(start, y if end is None else end(y))
    model.compile(optimizer, loss)
    return model


def of_two_outputs():
    """Return a model whose total loss is a sum."""
    start = layers.Input((70,))
    model = convkit.Model(start, [layers.Dense(3)(start), layers.Dense(3)(start)])
    model.compile("sgd", ["mse", "mae"])
    return model


def of_mixed_labels():
    """Return a model whose class numbers become mixed rows."""
    start = layers.Input((9, 8, 3))
    x = layers.Flatten()(layers.MixUp(seed=1)(start))
    model = convkit.Model(start, layers.Dense(3, activation="softmax")(x))
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


def of_uneven_windows():
    """Return a model that pools to a number of rows which does not divide the map's."""
    start = layers.Input((11, 10, 3))
    y = layers.AdaptiveMaxPooling2D(3)(layers.BatchNormalization()(start))
    model = convkit.Model(start, layers.Dense(2)(layers.Flatten()(y)))
    model.compile("sgd", "mse")
    return model


def of_convolutions():
    """Return a model of two convolutions with a normalization between them."""
    start = layers.Input((11, 10, 3))
    y = layers.BatchNormalization()(layers.Conv2D(5, 3)(start))
    y = layers.Conv2D(4, 3)(layers.ReLU()(y))
    model = convkit.Model(start, layers.Dense(2)(layers.Flatten()(y)))
    model.compile("sgd", "mse")
    return model


RULES = {
    **{name: lambda name=name: dense(name) for name in optimizers.NAMES},
    "average": lambda: dense(optimizers.SGD(0.01, use_ema=True)),
}
NETWORKS = {
    **{name: lambda name=name: of_layer(name) for name in CASES},
    **RULES,
    "limits": lambda: dense("sgd", kernel_regularizer="l1", kernel_constraint="max_norm"),
    "softmax": lambda: dense("sgd", end=layers.Softmax()),
    "log_softmax": lambda: dense("sgd", end=layers.Activation("log_softmax")),
    "exponential": lambda: dense("sgd", end=layers.Lambda(ops.exp)),
    "two outputs": of_two_outputs,
    "mixed labels": of_mixed_labels,
    "uneven windows": of_uneven_windows,
    "convolutions": of_convolutions,
}
KERNELS = {number: name for name, number in _core.kernel_ids.items()}


@pytest.fixture(autouse=True)
def recorded(monkeypatch):
    """Record the kernels of all programs that run, and those called alone."""
    run_program, run_kernel = Program.run, _core.run

    def program_recorded(program):
        RAN.update(program.kernels)
        return run_program(program)

    def kernel_recorded(number, *arguments):
        RAN.add(KERNELS[number])
        return run_kernel(number, *arguments)

    monkeypatch.setattr(_ops, "FAR_BYTES", 0)  # sums join convolutions, whatever the size
    monkeypatch.setattr(Program, "run", program_recorded)
    monkeypatch.setattr(_core, "run", kernel_recorded)


def on_threads(compute):
    """Return what a function computes on 1, 2 and 3 threads, as bytes."""
    before, found = convkit.get_num_threads(), []
    for threads in (1, 2, 3):
        convkit.set_num_threads(threads)
        found.append([np.asarray(array).tobytes() for array in compute()])
    convkit.set_num_threads(before)
    return found


@pytest.mark.parametrize("name", NETWORKS)
def test_networks(name):
    def compute():
        convkit.set_seed(1)
        model = NETWORKS[name]()
        rng = np.random.default_rng(0)
        x = rng.random((SAMPLES, *model.input_shape[1:]), np.float32)
        shapes = model.output_shape
        sizes = [shape[-1] for shape in (shapes if isinstance(shapes, list) else [shapes])]
        if name == "mixed labels":
            y = rng.integers(0, 3, SAMPLES)
        else:
            y = [rng.random((SAMPLES, size)) for size in sizes]
            y = y if len(y) > 1 else y[0]
        model.fit(x, y, batch_size=SAMPLES, epochs=2, verbose=0)
        predicted = model.predict(x, verbose=0)
        return [*model.get_weights(), *(predicted if isinstance(predicted, list) else [predicted])]

    one, two, three = on_threads(compute)
    assert one == two == three
    DONE.add(name)


def test_losses_on_arrays():
    rng = np.random.default_rng(0)
    p, y = rng.random((3000, 7), np.float32), rng.integers(0, 7, 3000)
    loss = losses.SparseCategoricalCrossentropy(reduction="none")
    one, two, three = on_threads(lambda: [loss(y, p)])
    assert one == two == three
    DONE.add("losses")


def test_every_kernel_was_run():
    """Runs after the others: what they ran is all that there is, but the machine's probes."""
    if "losses" not in DONE or len(DONE) <= len(NETWORKS):
        pytest.skip("not all tests of this file passed")
    assert sorted(set(_core.kernel_ids) - RAN) == ["probe_fma", "probe_streams"]
