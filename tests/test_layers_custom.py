"""Layers of the user's own: of ops, of layers, and in NumPy."""

import signal
import threading
import time

import numpy as np
import pytest
from programs import assert_graph_gradients
from test_op_gradients import BATCH, ROW, Builder

import convkit
from convkit import layers, ops


class Affine(layers.Layer):
    def build(self, input_shape):
        self.a = self.add_weight("a", (input_shape[-1],), "glorot_uniform")
        self.b = self.add_weight(shape=(1,), initializer="ones", trainable=False)

    def call(self, x):
        return self.a * x - self.b


class Block(layers.Layer):
    def __init__(self, units, **options):
        super().__init__(**options)
        self.units = units
        self.inner = [layers.Dense(units, activation="relu", dtype=self.dtype) for _ in range(2)]
        self.norm = layers.BatchNormalization(dtype=self.dtype)

    def call(self, x):
        for layer in self.inner:
            x = layer(x)
        return self.norm(x)


class Cube(layers.NumpyLayer):
    """y = factor x^3, with a record of where it ran."""

    def __init__(self, **options):
        super().__init__(**options)
        self.calls = []

    def build(self, input_shape):
        self.add_weight("factor", (input_shape[-1],), "ones")

    def forward(self, x, factor):
        assert not x.flags.writeable and x.dtype == self.dtype
        self.calls.append(threading.get_ident())
        return factor * x**3

    def backward(self, dy, x, factor):
        return 3 * factor * x**2 * dy, (dy * x**3).reshape(-1, x.shape[-1]).sum(0)


# ---- made of ops and layers ----------------------------------------------------------------------


def test_a_layer_of_ops(dtype, rng):
    layer = Affine(dtype=str(dtype))
    x = rng.standard_normal((3, 5, 4)).astype(dtype)
    y = layer(x)
    a, b = layer.get_weights()
    np.testing.assert_allclose(y, a * x - b, rtol=1e-6)
    assert layer.output_shape == (None, 5, 4) and y.dtype == dtype
    assert [v.name.split("/")[1] for v in layer.variables] == ["a", "variable_1"]
    assert [v.name.split("/")[1] for v in layer.trainable_variables] == ["a"]


def test_a_layer_of_ops_joins_the_program(rng):
    model = convkit.Sequential([layers.Input((6,)), layers.Dense(4), Affine(), layers.Dense(1)])
    model.compile("sgd", "mse")
    x, y = rng.standard_normal((32, 6)), rng.standard_normal((32, 1))
    before = model.get_weights()
    losses = model.fit(x, y, epochs=5, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    same = [np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True)]
    assert same == [False, False, False, True, False, False]
    programs = [p for value in model._programs.values() for p in value if hasattr(p, "kernels")]
    assert programs and all(len(program._parts) == 1 for program in programs)


def test_a_layer_of_layers(rng):
    block = Block(5)
    x = rng.standard_normal((16, 3)).astype(np.float32)
    model = convkit.Sequential([layers.Input((3,)), block, layers.Dense(1)])
    assert len(block.variables) == 8 and len(block.trainable_variables) == 6
    assert block.count_params() == 3 * 5 + 5 + 5 * 5 + 5 + 4 * 5
    assert model.output_shape == (None, 1)
    w0, b0, w1, b1, *_norm = block.get_weights()
    expected = np.maximum(np.maximum(x @ w0 + b0, 0) @ w1 + b1, 0) / np.sqrt(1.001)
    np.testing.assert_allclose(block(x), expected, rtol=1e-4, atol=1e-6)
    # In training the inner normalization uses the batch's statistics, and moves its own.
    assert not np.allclose(model(x, training=True), model(x))
    model.compile("sgd", "mse")
    model.fit(x, x[:, :1], verbose=0)
    assert not np.array_equal(block.get_weights()[6], np.zeros(5))


def test_a_frozen_layer_freezes_its_layers(rng):
    block = Block(5)
    model = convkit.Sequential([layers.Input((3,)), block, layers.Dense(1)])
    block.trainable = False
    assert block.trainable_variables == []
    model.compile("sgd", "mse")
    before = block.get_weights()
    model.fit(rng.standard_normal((16, 3)), np.ones((16, 1)), verbose=0)
    for old, new in zip(before[:4], block.get_weights()[:4], strict=True):
        np.testing.assert_array_equal(old, new)


def test_what_call_returns_is_checked():
    class Wrong(layers.Layer):
        def call(self, x):
            return np.zeros(3)

    class Missing(layers.Layer):
        pass

    with pytest.raises(TypeError, match="call must return a tensor made of its argument"):
        Wrong()(layers.Input((3,)))
    with pytest.raises(TypeError, match=r"Missing must define call\(self, x\)"):
        Missing()(layers.Input((3,)))
    with pytest.raises(TypeError, match="add_weight takes the name first"):
        layers.Dense(3).add_weight((3,), "zeros")


# ---- in NumPy ------------------------------------------------------------------------------------


def test_gradients_flow_through_numpy(rng):
    g = Builder(rng, ROW)
    factor = g.variable("factor", (6,))
    cube = Cube(dtype="float64")
    y = ops.activation(g.x, "tanh")
    y = ops.numpy_function(cube.forward, cube.backward, [y, factor], (None, 6))
    y = ops.add(ops.activation(y, "sigmoid"), g.x)
    gradients = assert_graph_gradients(g.graph, g.squared(y), g.feeds)
    assert set(gradients) == {v for v in g.graph.variables if v.trainable}


def test_the_program_is_split_around_numpy(rng):
    g = Builder(rng, ROW)
    cube = Cube(dtype="float64")
    inner = [ops.activation(g.x, "tanh"), np.ones(6)]
    y = ops.activation(ops.numpy_function(cube.forward, None, inner, (None, 6)), "tanh")
    program = convkit.compiler.compile(
        g.graph, batch=BATCH, fetch=[y], workspace=convkit.compiler.Workspace()
    )
    kinds = [isinstance(part, convkit.ops.base.Op) for part in program._parts]
    assert kinds == [False, True, False] and program.kernels.count("") == 1


def model_of(layer, width=6):
    convkit.set_seed(1)
    model = convkit.Sequential(
        [layers.Input((width,)), layers.Dense(4, activation="tanh"), layer, layers.Dense(1)]
    )
    model.compile(convkit.optimizers.SGD(0.05), "mse")
    return model


def test_a_numpy_layer_trains_as_ops_do(rng):
    class Same(layers.Layer):
        def build(self, input_shape):
            self.factor = self.add_weight("factor", (input_shape[-1],), "ones")

        def call(self, x):
            return ops.square(x) * x * self.factor

    x, y = rng.standard_normal((50, 6)), rng.standard_normal((50, 1))
    trained = []
    for layer in (Cube(), Same()):
        model = model_of(layer)
        model.fit(x, y, epochs=3, batch_size=16, shuffle=False, verbose=0)
        trained.append([*model.get_weights(), model.predict(x), model.evaluate(x, y, verbose=0)])
    for a, b in zip(*trained, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_threads_do_not_change_results_around_numpy(rng):
    x, y = rng.standard_normal((40, 6)), rng.standard_normal((40, 1))
    before, results = convkit.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            convkit.set_num_threads(threads)
            layer = Cube()
            model = model_of(layer)
            model.fit(x, y, epochs=2, batch_size=7, shuffle=False, verbose=0)
            results.append([w.tobytes() for w in model.get_weights()])
            assert set(layer.calls) == {threading.get_ident()}
    finally:
        convkit.set_num_threads(before)
    assert results[0] == results[1] == results[2]


def test_an_error_changes_no_weight(rng):
    class Failing(Cube):
        broken = False

        def backward(self, dy, x, factor):
            if self.broken:
                raise ZeroDivisionError("in the middle")
            return super().backward(dy, x, factor)

    layer = Failing()
    model = model_of(layer)
    x, y = rng.standard_normal((8, 6)), rng.standard_normal((8, 1))
    model.fit(x, y, verbose=0)
    before, step = model.get_weights(), model.optimizer.iterations.value.copy()
    layer.broken = True
    with pytest.raises(ZeroDivisionError):
        model.fit(x, y, verbose=0)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert step == model.optimizer.iterations.value
    layer.broken = False
    model.fit(x, y, verbose=0)
    assert not np.array_equal(before[0], model.get_weights()[0])


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs POSIX timers")
def test_an_interrupt_during_numpy_changes_no_weight(rng):
    class Slow(Cube):
        def forward(self, x, factor):
            time.sleep(0.05)
            return super().forward(x, factor)

    model = model_of(Slow())
    x, y = rng.standard_normal((8, 6)), rng.standard_normal((8, 1))
    model.fit(x, y, verbose=0)
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 0.12)
    try:
        with pytest.raises(KeyboardInterrupt):
            model.fit(x, y, epochs=1000, verbose=0)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    # The steps before it are whole: weights and counter agree with a run of as many.
    steps = int(model.optimizer.iterations.value[0])
    twin = model_of(Cube())
    twin.fit(x, y, epochs=steps, shuffle=False, verbose=0)
    assert steps == twin.optimizer.iterations.value[0]
    model.fit(x, y, verbose=0)


def test_a_numpy_layer_must_not_run_its_model(rng):
    inner = {"model": None}

    class Recursive(layers.NumpyLayer):
        def forward(self, x):
            if inner["model"] is not None:
                inner["model"].predict(np.ones((2, 6)))
            return x

    model, other = model_of(Recursive()), model_of(Cube())
    inner["model"] = other
    expected = model.predict(np.ones((2, 6)))
    inner["model"] = model
    with pytest.raises(RuntimeError, match="must not run that model"):
        model.predict(np.ones((2, 6)))
    inner["model"] = None
    np.testing.assert_array_equal(model.predict(np.ones((2, 6))), expected)


def test_without_backward_it_predicts_only(rng):
    class Rounded(layers.NumpyLayer):
        def forward(self, x):
            return np.round(x)

    x = rng.standard_normal((5, 6))
    np.testing.assert_array_equal(Rounded(dtype="float64")(x), np.round(x))
    model = model_of(Rounded())
    assert model.predict(x).shape == (5, 1)
    with pytest.raises(ValueError, match="it has no backward"):
        model.fit(x, x[:, :1], verbose=0)
    model.layers[0].trainable = False
    model.compile("sgd", "mse")
    model.fit(x, x[:, :1], verbose=0)


@pytest.mark.parametrize(
    ("forward", "words"),
    [
        (lambda x: x[:, :2], r"the result of forward must be .* of shape \(5, 3\)"),
        (lambda x: x * 1j, r"must be an array of real numbers"),
        (lambda x: None, r"must be an array of real numbers"),
        (lambda x: [[1], [1, 2]], r"must be an array of real numbers"),
    ],
)
def test_what_forward_returns_is_checked(forward, words):
    class Given(layers.NumpyLayer):
        def forward(self, x):
            return forward(x)

        def compute_output_shape(self, input_shape):
            return input_shape

    with pytest.raises(ValueError, match=words):
        Given()(np.ones((5, 3), np.float32))


def test_what_backward_returns_is_counted(rng):
    class Short(Cube):
        def backward(self, dy, x, factor):
            return dy

    with pytest.raises(ValueError, match="backward must return 2 gradients"):
        model_of(Short()).fit(np.ones((4, 6)), np.ones((4, 1)), verbose=0)


def test_forward_must_keep_the_samples():
    class Total(layers.NumpyLayer):
        def forward(self, x):
            return x.sum()

    with pytest.raises(ValueError, match="one result for each of the 2 samples"):
        Total()(layers.Input((3,)))


def test_other_shapes_and_types(rng):
    class Half(layers.NumpyLayer):
        """The first half of each sample, as integers."""

        def forward(self, x):
            return np.floor(x[:, : x.shape[1] // 2]).astype(np.int64)

    x = 10 * rng.standard_normal((7, 6))
    y = Half()(x)
    assert y.dtype == np.float32 and y.shape == (7, 3)
    np.testing.assert_array_equal(y, np.floor(x.astype(np.float32)[:, :3]))
