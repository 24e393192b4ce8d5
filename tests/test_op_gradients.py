"""Every op by itself, after every producer it may be fused into, against differences in float64."""

import numpy as np
import pytest
from programs import assert_graph_gradients, run_graph

import convkit.functional as F
from convkit import _check, ops
from convkit.graph import Graph, Variable

BATCH = 3


class Builder:
    """A float64 graph whose input `x` is a trainable variable, one row per sample."""

    def __init__(self, rng, shape):
        self.rng, self.graph = rng, Graph("float64")
        self.feeds = {}
        rows = self.variable("x", (BATCH, int(np.prod(shape))))
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


def conv(g, **options):
    w = g.variable("w", (3, 2, g.x.shape[3] // options.get("groups", 1), 4))
    return ops.conv2d(g.x, w, g.variable("b", (4,)), **options)


def norm(g, x=None, scale=True):
    x = g.x if x is None else x
    vectors = [g.variable(n, x.shape[-1:]) if scale else None for n in ("gamma", "beta")]
    return ops.batch_norm(x, *vectors)[0]


def norm_inference(g, trainable):
    mean = g.variable("mean", (3,), trainable=False)
    variance = g.variable("variance", (3,), np.array([0.5, 1, 2]), trainable=False)
    gamma, beta = (g.variable(name, (3,), trainable=trainable) for name in ("gamma", "beta"))
    return ops.batch_norm_inference(g.x, mean, variance, gamma, beta)


def residual(g):
    """y = relu(x + conv(relu(conv(x)))), with one convolution's weights used twice."""
    w = g.variable("w", (3, 3, 3, 3))
    inner = ops.activation(ops.conv2d(g.x, w, padding="same"), "relu")
    return ops.activation(ops.add(ops.conv2d(inner, w, padding="same"), g.x), "relu")


def dropout(g):
    step = g.graph.variable(Variable("step", np.array([7], np.uint64), trainable=False))
    return ops.dropout(g.x, 0.4, seed=1, stream=2, step=step)


def branches(g):
    """Concatenate a tensor, twice, with a function of itself."""
    return ops.concatenate([g.x, ops.activation(g.x, "tanh"), g.x], axis=-1)


def pooled_sum(g):
    """Pool a ReLU plus data: the pooled values do not tell where the ReLU was open."""
    y = ops.activation(ops.affine(g.x, 2.0, 0.0), "relu")
    return ops.max_pool2d(ops.add(y, g.input(g.rng.normal(size=(BATCH, *IMAGE)))), 2)


IMAGE, ROW = (5, 4, 3), (6,)

GRADIENTS = {
    "conv2d": (IMAGE, lambda g: conv(g, strides=2, padding="same")),
    "conv2d groups": ((5, 6, 4), lambda g: conv(g, dilation=2, groups=2)),
    "conv2d depthwise": ((5, 4, 4), lambda g: conv(g, groups=4, padding=1)),
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
        lambda g: ops.max_pool2d(ops.activation(conv(g), "relu"), 2, 1),
    ),
    "relu, add, max_pool2d": (IMAGE, pooled_sum),
    "batch_norm": (IMAGE, norm),
    "batch_norm of rows": (ROW, norm),
    "batch_norm without scale": (IMAGE, lambda g: norm(g, scale=False)),
    "batch_norm, silu": (IMAGE, lambda g: ops.activation(norm(g), "silu")),
    "conv2d, batch_norm, relu": (IMAGE, lambda g: ops.activation(norm(g, conv(g)), "relu")),
    "batch_norm_inference": (IMAGE, lambda g: norm_inference(g, True)),
    "batch_norm_inference, elu": (
        IMAGE,
        lambda g: ops.activation(norm_inference(g, True), "elu", alpha=0.7),
    ),
    "batch_norm_inference frozen": (
        IMAGE,
        lambda g: ops.activation(norm_inference(g, False), "gelu"),
    ),
    "dropout": (IMAGE, dropout),
    "affine": (ROW, lambda g: ops.affine(g.x, -3.0, 0.5)),
    "add": (ROW, lambda g: ops.add(g.x, ops.activation(g.x, "sigmoid"))),
    "add to itself": (ROW, lambda g: ops.activation(ops.add(g.x, g.x), "tanh")),
    "residual": (IMAGE, residual),
    "concatenate": (IMAGE, branches),
    "concatenate rows": (IMAGE, lambda g: ops.concatenate([g.x, norm(g)], axis=1)),
    "zero_pad2d": (IMAGE, lambda g: ops.zero_pad2d(g.x, ((1, 0), (2, 1)))),
    "permute": (IMAGE, lambda g: ops.permute(g.x, (3, 1, 2))),
    "permute twice": (
        IMAGE,
        lambda g: ops.permute(ops.softmax(ops.permute(g.x, (3, 2, 1))), (2, 3, 1)),
    ),
    "reshape": (IMAGE, lambda g: ops.softmax(ops.reshape(g.x, (None, -1, 6)))),
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradient(name, rng):
    """The gradient of every trainable variable, x included, is the difference quotient."""
    shape, build = GRADIENTS[name]
    g = Builder(rng, shape)
    gradients = assert_graph_gradients(g.graph, g.squared(build(g)), g.feeds)
    assert set(gradients) == {v for v in g.graph._variables if v.trainable}


@pytest.mark.parametrize("name", [name for name in _check.ACTIVATIONS if name != "linear"])
@pytest.mark.parametrize("after", ["dense", "conv2d", "add", "nothing"])
def test_activation_gradient(name, after, rng):
    """Every activation, fused into what is before it or alone, has its derivative."""
    g = Builder(rng, (3, 3, 2) if after == "conv2d" else ROW)
    z = {
        "dense": lambda: ops.dense(g.x, g.variable("w", (6, 4)), g.variable("b", (4,))),
        "conv2d": lambda: ops.conv2d(g.x, g.variable("w", (2, 2, 2, 3)), g.variable("b", (3,))),
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
    if form == "probabilities":
        pred = ops.activation(g.x, "sigmoid")
    else:
        pred = ops.softmax(g.x) if form == "softmax" else g.x
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


def test_total_loss_gradient(rng):
    """Losses of one tensor and of another made from it, with their weights, and a penalty."""
    g = Builder(rng, ROW)
    w = g.variable("w", (6, 4))
    y = ops.dense(g.x, w)
    softmax = ops.softmax_cross_entropy(y, g.input(rng.integers(0, 4, BATCH), "int64"))
    total = ops.total_loss([g.squared(g.x), softmax, g.squared(y)], [0.5, 2.0, -0.3])
    assert_graph_gradients(g.graph, ops.penalty(total, w, 0.0, 0.1), g.feeds)


# ---- results -------------------------------------------------------------------------------------

POOL = {"pool_size": 3, "strides": 2, "padding": "same"}
CONV = {"strides": 2, "padding": "same"}

RESULTS = {
    "conv2d": (ops.conv2d, F.conv2d, ((3, 3, 3, 4), (4,)), CONV),
    "max_pool2d": (ops.max_pool2d, F.max_pool2d, (), POOL),
    "avg_pool2d": (ops.avg_pool2d, F.avg_pool2d, (), POOL),
    "dense": (ops.dense, F.dense, ((3, 5), (5,)), {}),
    "softmax": (ops.softmax, F.softmax, (), {}),
    "log_softmax": (ops.log_softmax, F.log_softmax, (), {}),
    "mish": (lambda x: ops.activation(x, "mish"), F.mish, (), {}),
    "batch_norm": (ops.batch_norm, F.batch_norm, ((3,), (3,)), {}),
}


@pytest.mark.parametrize("name", RESULTS)
def test_result_is_that_of_the_functional_api(name, dtype, rng):
    """A program and a single call run the same kernel on the same struct: the same bits."""
    emit, function, shapes, options = RESULTS[name]
    graph = Graph(dtype)
    x = rng.normal(size=(2, 7, 6, 3)).astype(dtype)
    arrays = [rng.normal(size=shape).astype(dtype) for shape in shapes]
    tensor = graph.input((None, 7, 6, 3))
    results = emit(tensor, *(graph.variable(Variable("", a)) for a in arrays), **options)
    expected = function(x, *arrays, **options)
    if not isinstance(results, tuple):
        results, expected = (results,), (expected,)
    for y, y_ref in zip(run_graph(graph, results, {tensor: x}), expected, strict=True):
        np.testing.assert_array_equal(y, y_ref)
