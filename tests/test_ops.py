"""Every op in a graph: its result, its gradient, and what it refuses."""

import numpy as np
import pytest
from programs import assert_graph_gradients, run_graph

import convkit.functional as F
from convkit import _check, _core, ops
from convkit.compiler import Workspace, compile
from convkit.graph import Graph, Variable
from convkit.ops.base import Op, Struct
from convkit.ops.conv2d import CONV2D

BATCH = 3


class Builder:
    """A float64 graph whose input `x` is a trainable variable, one row per sample."""

    def __init__(self, rng, shape):
        self.rng, self.graph = rng, Graph("float64")
        self.feeds = {}
        self.values = rng.normal(size=(BATCH, *shape))
        rows = self.variable("x", (BATCH, int(np.prod(shape))), self.values.reshape(BATCH, -1))
        # Rows of the identity pick rows of the variable, so that dx is the variable's gradient.
        chosen = ops.dense(self.input(np.eye(BATCH)), rows)
        self.x = ops.reshape(chosen, (None, *shape))

    def input(self, source, dtype="real"):
        """Add an input that is fed with `source`."""
        tensor = self.graph.input((None, *source.shape[1:]), dtype)
        self.feeds[tensor] = source
        return tensor

    def variable(self, name, shape, value=None, trainable=True):
        """Add a variable of random values."""
        value = self.rng.normal(size=shape) if value is None else value
        return self.graph.variable(Variable(name, value, trainable))

    def squared(self, y):
        """Return the mean squared distance of y from random values, with random weights."""
        target = self.input(self.rng.normal(size=(BATCH, *y.shape[1:])))
        weights = self.input(self.rng.uniform(0.5, 2, size=BATCH))
        return ops.mean_squared_error(y, target, weights)


def _conv(g, **options):
    w = g.variable("w", (3, 2, g.x.shape[3] // options.get("groups", 1), 4))
    return ops.conv2d(g.x, w, g.variable("b", (4,)), **options)


def _norm(g, x=None, scale=True):
    x = g.x if x is None else x
    vectors = [g.variable(n, x.shape[-1:]) if scale else None for n in ("gamma", "beta")]
    return ops.batch_norm(x, *vectors)[0]


def _norm_inference(g, trainable):
    mean = g.variable("mean", (3,), trainable=False)
    variance = g.variable("variance", (3,), np.array([0.5, 1, 2]), trainable=False)
    gamma, beta = (g.variable(name, (3,), trainable=trainable) for name in ("gamma", "beta"))
    return ops.batch_norm_inference(g.x, mean, variance, gamma, beta)


def _residual(g):
    """y = relu(x + conv(relu(conv(x)))), with one convolution's weights used twice."""
    w = g.variable("w", (3, 3, 3, 3))
    inner = ops.activation(ops.conv2d(g.x, w, padding="same"), "relu")
    return ops.activation(ops.add(ops.conv2d(inner, w, padding="same"), g.x), "relu")


def _dropout(g):
    step = g.graph.variable(Variable("step", np.array([7], np.uint64), trainable=False))
    return ops.dropout(g.x, 0.4, seed=1, stream=2, step=step)


def _branches(g):
    """Concatenate a tensor, twice, with a function of itself."""
    return ops.concatenate([g.x, ops.activation(g.x, "tanh"), g.x], axis=-1)


IMAGE, ROW = (5, 4, 3), (6,)

GRADIENTS = {
    "conv2d": (IMAGE, lambda g: _conv(g, strides=2, padding="same")),
    "conv2d groups": ((5, 6, 4), lambda g: _conv(g, dilation=2, groups=2)),
    "conv2d depthwise": ((5, 4, 4), lambda g: _conv(g, groups=4, padding=1)),
    "conv2d without bias": (IMAGE, lambda g: ops.conv2d(g.x, g.variable("w", (2, 2, 3, 4)))),
    "dense": (ROW, lambda g: ops.dense(g.x, g.variable("w", (6, 4)), g.variable("b", (4,)))),
    "dense on images": (IMAGE, lambda g: ops.dense(g.x, g.variable("w", (3, 2)))),
    "softmax": (ROW, lambda g: ops.softmax(g.x)),
    "log_softmax": (ROW, lambda g: ops.log_softmax(g.x)),
    "max_pool2d": (IMAGE, lambda g: ops.max_pool2d(g.x, 3, 2, "same")),
    "avg_pool2d": (IMAGE, lambda g: ops.avg_pool2d(g.x, 3, 2, "same")),
    "avg_pool2d with pad": (IMAGE, lambda g: ops.avg_pool2d(g.x, 3, 1, 1, True)),
    "conv2d, relu, max_pool2d": (
        IMAGE,
        lambda g: ops.max_pool2d(ops.activation(_conv(g), "relu"), 2, 1),
    ),
    "batch_norm": (IMAGE, _norm),
    "batch_norm of rows": (ROW, _norm),
    "batch_norm without scale": (IMAGE, lambda g: _norm(g, scale=False)),
    "batch_norm, silu": (IMAGE, lambda g: ops.activation(_norm(g), "silu")),
    "conv2d, batch_norm, relu": (IMAGE, lambda g: ops.activation(_norm(g, _conv(g)), "relu")),
    "batch_norm_inference": (IMAGE, lambda g: _norm_inference(g, True)),
    "batch_norm_inference, elu": (
        IMAGE,
        lambda g: ops.activation(_norm_inference(g, True), "elu", alpha=0.7),
    ),
    "batch_norm_inference frozen": (
        IMAGE,
        lambda g: ops.activation(_norm_inference(g, False), "gelu"),
    ),
    "dropout": (IMAGE, _dropout),
    "affine": (ROW, lambda g: ops.affine(g.x, -3.0, 0.5)),
    "add": (ROW, lambda g: ops.add(g.x, ops.activation(g.x, "sigmoid"))),
    "add to itself": (ROW, lambda g: ops.activation(ops.add(g.x, g.x), "tanh")),
    "residual": (IMAGE, _residual),
    "concatenate": (IMAGE, _branches),
    "concatenate rows": (IMAGE, lambda g: ops.concatenate([g.x, _norm(g)], axis=1)),
    "zero_pad2d": (IMAGE, lambda g: ops.zero_pad2d(g.x, ((1, 0), (2, 1)))),
    "reshape": (IMAGE, lambda g: ops.softmax(ops.reshape(g.x, (None, -1, 6)))),
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradient(name, rng):
    """The gradient of every trainable variable is the difference quotient of the loss."""
    shape, build = GRADIENTS[name]
    g = Builder(rng, shape)
    loss = g.squared(build(g))
    gradients = assert_graph_gradients(g.graph, loss, g.feeds)
    trainable = {v for v in g.graph._variables if v.trainable}
    assert set(gradients) == trainable


@pytest.mark.parametrize("name", [name for name in _check.ACTIVATIONS if name != "linear"])
@pytest.mark.parametrize("after", ["dense", "conv2d", "add", "nothing"])
def test_activation_gradient(name, after, rng):
    """Every activation, fused into what is before it or alone, has its derivative."""
    g = Builder(rng, IMAGE if after == "conv2d" else ROW)
    z = {
        "dense": lambda: ops.dense(g.x, g.variable("w", (6, 4)), g.variable("b", (4,))),
        "conv2d": lambda: _conv(g),
        "add": lambda: ops.add(g.x, ops.affine(g.x, 0.5, 0.1)),
        "nothing": lambda: ops.reshape(g.x, (None, 3, 2)),
    }[after]()
    assert_graph_gradients(g.graph, g.squared(ops.activation(z, name)), g.feeds)


def test_negative_slope_below_zero_reads_the_input(rng):
    """y does not tell the sign of z where the slope is negative: its gradient must read z."""
    g = Builder(rng, ROW)
    z = ops.dense(g.x, g.variable("w", (6, 4)))
    y = ops.activation(z, "leaky_relu", negative_slope=-0.5)
    assert_graph_gradients(g.graph, g.squared(y), g.feeds)


@pytest.mark.parametrize("kind", ["integers", "probabilities", "smoothed", "weighted"])
@pytest.mark.parametrize("form", ["logits", "softmax", "probabilities"])
def test_cross_entropy_gradient(kind, form, rng):
    """Cross-entropy differentiates in every form of predictions and labels."""
    g = Builder(rng, ROW)
    pred = {"logits": lambda x: x, "softmax": ops.softmax}.get(
        form, lambda x: ops.activation(x, "sigmoid")
    )(g.x)
    if kind == "probabilities":
        labels = g.input(rng.dirichlet(np.ones(6), BATCH))
    else:
        labels = g.input(rng.integers(0, 6, BATCH), "int64")
    weights = g.input(rng.uniform(0.5, 2, BATCH)) if kind == "weighted" else None
    loss = ops.softmax_cross_entropy(
        pred,
        labels,
        weights,
        label_smoothing=0.1 if kind == "smoothed" else 0.0,
        from_logits=form == "logits",
    )
    assert_graph_gradients(g.graph, loss, g.feeds)


# ---- results -------------------------------------------------------------------------------------

W, B = (3, 3, 3, 4), (4,)

RESULTS = {
    "conv2d": (lambda x, w, b: ops.conv2d(x, w, b, strides=2, padding="same"), (W, B), F.conv2d),
    "max_pool2d": (lambda x: ops.max_pool2d(x, 3, 2, "same"), (), F.max_pool2d),
    "avg_pool2d": (lambda x: ops.avg_pool2d(x, 3, 2, "same"), (), F.avg_pool2d),
    "dense": (ops.dense, ((3, 5), (5,)), F.dense),
    "softmax": (ops.softmax, (), F.softmax),
    "log_softmax": (ops.log_softmax, (), F.log_softmax),
    "mish": (lambda x: ops.activation(x, "mish"), (), F.mish),
    "batch_norm": (lambda x, g, b: ops.batch_norm(x, g, b)[0], ((3,), (3,)), F.batch_norm),
}
OPTIONS = {
    "conv2d": {"strides": 2, "padding": "same"},
    "max_pool2d": {"pool_size": 3, "strides": 2, "padding": "same"},
    "avg_pool2d": {"pool_size": 3, "strides": 2, "padding": "same"},
}


@pytest.mark.parametrize("name", RESULTS)
def test_result_is_that_of_the_functional_api(name, dtype, rng):
    """A program and a single call run the same kernel on the same struct: the same bits."""
    op, shapes, function = RESULTS[name]
    graph = Graph(dtype)
    x = rng.normal(size=(2, 7, 6, 3)).astype(dtype)
    arrays = [rng.normal(size=shape).astype(dtype) for shape in shapes]
    y = op(tensor := graph.input((None, 7, 6, 3)), *(graph.variable(Variable("", a)) for a in arrays))
    expected = function(x, *arrays, **OPTIONS.get(name, {}))
    expected = expected[0] if isinstance(expected, tuple) else expected
    (result,) = run_graph(graph, [y], {tensor: x})
    np.testing.assert_array_equal(result, expected)


def test_elementwise_results(dtype, rng):
    """Additions, copies and pads move every element to its place."""
    graph = Graph(dtype)
    a, b = (rng.integers(-9, 9, (2, 3, 4, 2)).astype(dtype) for _ in range(2))
    ta, tb = graph.input((None, 3, 4, 2)), graph.input((None, 3, 4, 2))
    padding = ((1, 2), (0, 3))
    fetch = {
        ops.add(ta, tb): a + b,
        ops.affine(ta, 2.0, -1.0): 2 * a - 1,
        ops.concatenate([ta, tb, ta], -1): np.concatenate([a, b, a], -1),
        ops.concatenate([ta, tb], 1): np.concatenate([a, b], 1),
        ops.concatenate([ta, tb], 2): np.concatenate([a, b], 2),
        ops.zero_pad2d(ta, padding): np.pad(a, ((0, 0), *padding, (0, 0))),
        ops.reshape(ta, (None, 4, -1)): a.reshape(2, 4, -1),
    }
    for result, expected in zip(
        run_graph(graph, list(fetch), {ta: a, tb: b}), fetch.values(), strict=True
    ):
        np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize(
    "source",
    ["bool", "uint8", "int8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32"]
    + ["float64"],
)
def test_gather_converts_rows(source, dtype, rng):
    """An input takes rows of any real dtype, in the order of the index."""
    graph = Graph(dtype)
    x = graph.input((None, 5))
    rows = rng.integers(0, 2 if source == "bool" else 100, (7, 5)).astype(source)
    index = np.array([6, 0, 6])
    program = compile(graph, batch=3, fetch=[x], workspace=Workspace())
    program.feed(x, rows, index)
    program.run()
    np.testing.assert_array_equal(program.view(x), rows[index].astype(dtype))


def test_integer_labels_keep_all_bits(dtype):
    """Labels are moved, not converted to floats, which hold neither 2**53 + 1 nor these patterns."""
    graph = Graph(dtype)
    labels = graph.input((None,), "int64")
    values = np.array([0, 1, -1, 2**53 + 1, 0x7F800001_7F800001, 1 << 63 - 1], np.int64)
    (result,) = run_graph(graph, [labels], {labels: values})
    np.testing.assert_array_equal(result, values)


def test_dropout_depends_on_seed_stream_and_step():
    """The mask is the same for the same numbers and another one for others."""

    def mask(seed, stream, count):
        graph = Graph()
        x = graph.input((None, 1000))
        step = graph.variable(Variable("step", np.array([count], np.uint64), trainable=False))
        y = ops.dropout(x, 0.25, seed=seed, stream=stream, step=step)
        return run_graph(graph, [y], {x: np.ones((4, 1000), np.float32)})[0]

    base = mask(1, 2, 3)
    np.testing.assert_array_equal(base, mask(1, 2, 3))
    assert set(np.unique(base)) == {0, np.float32(1 / 0.75)}
    # 4000 draws of probability 1/4: standard deviation 27.
    assert abs(np.count_nonzero(base == 0) - 1000) < 6 * 27
    for other in [(0, 2, 3), (1, 0, 3), (1, 2, 4)]:
        assert np.count_nonzero(mask(*other) != base) > 1000


# ---- state ---------------------------------------------------------------------------------------


def test_moving_average():
    """moving = momentum * moving + (1 - momentum) * batch."""
    graph = Graph("float64")
    x = graph.input((None, 2))
    moving = Variable("moving", np.array([1.0, 2.0]), trainable=False)
    _, mean, _ = ops.batch_norm(x, None, None)
    ops.moving_average(graph.variable(moving), mean, 0.9)
    run_graph(graph, [], {x: np.array([[1.0, 2.0], [3.0, 8.0]])})
    np.testing.assert_allclose(moving.value, [0.9 + 0.2, 1.8 + 0.5], rtol=1e-15)
    assert moving.version == 1


@pytest.mark.parametrize("kind, slots", [("sgd", 0), ("sgd", 1), ("rmsprop", 1), ("adam", 2)])
def test_update_moves_every_parameter(kind, slots):
    """A step changes weights against their gradients, fills the slots and counts up."""
    graph = Graph("float64")
    x, target = graph.input((None, 3)), graph.input((None, 2))
    w = Variable("w", np.ones((3, 2)))
    b = Variable("b", np.zeros(2))
    loss = ops.mean_squared_error(ops.dense(x, graph.variable(w), graph.variable(b)), target)
    gradients = graph.gradients(loss)
    state = {v: [Variable("slot", np.zeros(v.shape)) for _ in range(slots)] for v in (w, b)}
    hyper = Variable("hyper", np.array([0.1, 0.9, 0.9, 1e-7, 0, 0, 0, 0, 0]))
    step = Variable("step", np.zeros(1, np.uint64))
    ops.update(graph, kind, [(v, g, state[v]) for v, g in gradients.items()], hyper, step)
    feeds = {x: np.ones((2, 3)), target: np.zeros((2, 2))}
    # y = 3 everywhere: dw = 2 * 3 * 1 / 2 = 3, db = 3.
    run_graph(graph, [], feeds)
    assert step.value[0] == 1 and step.version == w.version == b.version == 1
    assert (w.value < 1).all() and (b.value < 0).all()
    if kind == "sgd":
        np.testing.assert_allclose(w.value, 1 - 0.1 * 3, rtol=1e-14)
        np.testing.assert_allclose(b.value, -0.1 * 3, rtol=1e-14)
    for variable in [slot for some in state.values() for slot in some]:
        assert variable.version == 1 and (variable.value != 0).all()


# ---- what is refused -----------------------------------------------------------------------------


def _raises(error, message, call):
    with pytest.raises(error, match=message):
        call()


def test_shapes_are_checked_when_the_graph_is_made():
    """A wrong shape is refused by the emitting function, in the words of the functional API."""
    graph = Graph()
    x, row = graph.input((None, 5, 4, 3)), graph.input((None, 6))
    labels = graph.input((None,), "int64")
    w = graph.variable(Variable("w", np.zeros((3, 3, 2, 4), np.float32)))
    v = graph.variable(Variable("v", np.zeros((5, 2), np.float32)))
    wide = graph.variable(Variable("wide", np.zeros(3)))
    before = len(graph.ops)
    _raises(ValueError, "conv2d: .*channels", lambda: ops.conv2d(x, w))
    _raises(ValueError, "conv2d: x must have 4 axes", lambda: ops.conv2d(row, w))
    _raises(ValueError, "dense: x must be", lambda: ops.dense(row, v))
    _raises(ValueError, "max_pool2d", lambda: ops.max_pool2d(x, 9))
    _raises(ValueError, "avg_pool2d: x must have 4 axes", lambda: ops.avg_pool2d(row))
    _raises(ValueError, "one float type", lambda: ops.batch_norm(x, wide, None))
    _raises(ValueError, "batch_norm: gamma", lambda: ops.batch_norm(row, row, None))
    _raises(ValueError, "add: a and b", lambda: ops.add(x, row))
    _raises(ValueError, "concatenate: axis", lambda: ops.concatenate([row, row], 0))
    _raises(ValueError, "concatenate: shapes", lambda: ops.concatenate([row, x]))
    _raises(ValueError, "reshape: shape must hold", lambda: ops.reshape(row, (None, 4)))
    _raises(ValueError, "reshape: shape must hold", lambda: ops.reshape(row, (None, 4, -1)))
    _raises(ValueError, "did you mean 'relu'", lambda: ops.activation(x, "rellu"))
    _raises(ValueError, "dropout: rate", lambda: ops.dropout(x, 1.0, seed=0, stream=0, step=labels))
    _raises(TypeError, "dropout: step", lambda: ops.dropout(x, 0.5, seed=0, stream=0, step=labels))
    _raises(ValueError, "logits must have 2", lambda: ops.softmax_cross_entropy(x, labels))
    _raises(
        ValueError,
        "label_smoothing",
        lambda: ops.softmax_cross_entropy(row, labels, label_smoothing=2.0),
    )
    _raises(ValueError, "labels must have", lambda: ops.softmax_cross_entropy(row, x))
    _raises(ValueError, "target must have", lambda: ops.mean_squared_error(row, x))
    _raises(ValueError, "moving_average: variable", lambda: ops.moving_average(row, row, 0.9))
    assert len(graph.ops) == before


def test_update_refuses_what_the_kernel_cannot_take():
    """Hyper numbers, counter and slots must have the kernel's form."""
    graph = Graph()
    w, x = Variable("w", np.zeros((2, 2), np.float32)), graph.input((None, 2))
    hyper, step = Variable("h", np.zeros(9)), Variable("s", np.zeros(1, np.uint64))
    loss = ops.mean_squared_error(ops.dense(x, graph.variable(w)), x)
    gradient = graph.gradients(loss)[w]

    def update(kind="sgd", parameters=((w, gradient),), hyper=hyper, step=step):
        return lambda: ops.update(graph, kind, parameters, hyper, step)

    _raises(ValueError, "kind", update(kind="sdg"))
    _raises(ValueError, "parameters must not be empty", update(parameters=[]))
    _raises(ValueError, "hyper must be float64", update(hyper=Variable("h", np.zeros(3))))
    _raises(ValueError, "step must be one uint64", update(step=hyper))
    _raises(ValueError, "adam needs", update("adam"))
    _raises(ValueError, "gradient must have shape", update(parameters=[(w, x)]))


def test_a_struct_that_differs_from_the_library_fails_at_import():
    """Missing, invented and mistyped fields are ImportErrors that name them."""
    with pytest.raises(ImportError, match=r"ck_fill.*disagree about value; rebuild"):
        Struct("ck_fill", "y", "count")
    with pytest.raises(ImportError, match=r"ck_fill.*about colour"):
        Struct("ck_fill", "y", "count", "value colour")
    with pytest.raises(ImportError, match=r"ck_fill.*about count"):
        Struct("ck_fill", "y", "", "value count")
    with pytest.raises(ImportError, match="no kernel softmax_forward of struct ck_conv2d"):
        type("Wrong", (Op,), {"kernel": "softmax_forward", "struct": CONV2D})


def test_every_kernel_of_the_library_has_an_op():
    """Each kernel but the probes of the machine is the kernel of one op class."""

    def classes(base):
        for each in base.__subclasses__():
            yield each
            yield from classes(each)

    kernels = [c.kernel for c in classes(Op) if c.kernel and c.__module__.startswith("convkit.")]
    assert sorted(kernels) == sorted(k for k in _core.kernel_ids if not k.startswith("probe_"))
