"""Functions of repeating operands, sums, elementwise functions, and their gradients."""

import numpy as np
import pytest
from networks import Net
from programs import assert_graph_gradients
from test_op_gradients import BATCH, IMAGE, ROW, Builder
from tolerance import assert_close, assert_same_bits, unit_roundoff

import convkit
from convkit import ops

BINARY = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "divide": np.divide,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "prelu": lambda a, b: np.where(a < 0, a * b, a),
}
# Shapes of two operands; None is the batch, shapes without one are variables.
SHAPES = [
    ((None, 5, 4, 3), (None, 5, 4, 3)),
    ((None, 5, 4, 3), (None, 1, 1, 3)),
    ((None, 1, 4, 1), (None, 5, 1, 3)),
    ((None, 5, 4, 3), (3,)),
    ((None, 5, 4, 3), (5, 1, 3)),
    ((None, 5, 4, 3), (4, 1)),
    ((1, 1, 1), (None, 5, 4, 3)),
    ((None, 33), (None, 1)),
    ((None, 1), (None, 1)),
    ((None, 5000), (5000,)),
    ((None, 2, 1, 1, 3), (None, 2, 4, 6, 3)),
]


def operand(net, shape):
    """Return a tensor of random values away from zero, and the array it holds."""
    if shape[0] is None:
        tensor = net.input(*shape[1:])
        values = net.data[tensor]
    else:
        tensor = net.variable(*shape)
        values = tensor.variable.value
    values += np.sign(values) * values.dtype.type(0.5)
    return tensor, values


@pytest.mark.parametrize("shapes", SHAPES, ids=str)
@pytest.mark.parametrize("kind", BINARY)
def test_values(kind, shapes, dtype):
    net = Net(dtype, rows=3)
    (a, x), (b, y) = (operand(net, shape) for shape in shapes)
    got = net.values([ops.binary(kind, a, b)])[0]
    assert_same_bits(got, BINARY[kind](x, y).astype(dtype))


@pytest.mark.parametrize("shapes", [s for s in SHAPES if 5000 not in s[0]], ids=str)
@pytest.mark.parametrize("kind", BINARY)
def test_gradients(kind, shapes, rng):
    """Both sides are variables: of rows picked by the batch, or used as they are."""
    g = Builder(rng, (1,))
    tensors = []
    for shape in shapes:
        values = rng.normal(size=(BATCH if shape[0] is None else shape[0], *shape[1:]))
        values += np.sign(values) * 0.5
        if shape[0] is None:
            rows = g.variable("rows", (BATCH, values[0].size), values.reshape(BATCH, -1))
            picked = ops.dense(g.input(np.eye(BATCH)), rows)
            tensors.append(ops.reshape(picked, shape))
        else:
            tensors.append(g.variable("v", shape, values))
    y = ops.binary(kind, *tensors)
    assert_graph_gradients(g.graph, g.squared(y), g.feeds)


@pytest.mark.parametrize("axis", [None, 1, -1, (1, 2), (1, 3), (2, 3), [1, 2, 3]], ids=str)
@pytest.mark.parametrize("keepdims", [False, True])
def test_sums_and_means(axis, keepdims, dtype):
    net = Net(dtype, rows=4)
    x = net.input(9, 70, 5)
    over = tuple(axis) if isinstance(axis, list) else axis or (1, 2, 3)
    got = net.values([ops.reduce_sum(x, axis, keepdims), ops.reduce_mean(x, axis, keepdims)])
    wide = net.data[x].astype(np.float64)
    total = wide.sum(axis=over, keepdims=keepdims)
    bound = 9 * 70 * 5 * unit_roundoff(dtype) * np.abs(wide).sum(axis=over, keepdims=keepdims)
    count = wide.size / total.size
    assert_close(got[0], total, bound)
    assert_close(got[1], total / count, bound / count)


@pytest.mark.parametrize("size", [1, 15, 16, 17, 1025, 20000])
@pytest.mark.parametrize("inner", [1, 3, 40])
def test_long_sums_lose_little(size, inner):
    """Blocks bound the error: not one of n roundings, but of a block's and of the few blocks'."""
    net = Net("float32", rows=2)
    x = net.input(size, inner)
    net.data[x] += 1
    got = net.values([ops.reduce_sum(x, 1)])[0]
    wide = net.data[x].astype(np.float64)
    assert_close(got, wide.sum(1), 260 * unit_roundoff("float32") * np.abs(wide).sum(1))


UNARY = {
    "exp": (ops.exp, np.exp, (-3, 3)),
    "log": (ops.log, np.log, (0.1, 9)),
    "sqrt": (ops.sqrt, np.sqrt, (0.1, 9)),
    "square": (ops.square, np.square, (-3, 3)),
    "absolute": (ops.absolute, np.abs, (-3, 3)),
    "clip": (lambda x: ops.clip(x, -0.5, 0.7), lambda x: np.clip(x, -0.5, 0.7), (-2, 2)),
    "bounded_relu": (
        lambda x: ops.bounded_relu(x, 1.5, 0.2, 0.3),
        lambda x: np.where(x >= 1.5, 1.5, np.where(x < 0.3, 0.2 * (x - 0.3), x)),
        (-3, 3),
    ),
    "relu6": (lambda x: ops.bounded_relu(x, 6), lambda x: np.clip(x, 0, 6), (-9, 9)),
}


@pytest.mark.parametrize("name", UNARY)
def test_elementwise_functions(name, dtype):
    emit, function, (low, high) = UNARY[name]
    net = Net(dtype, rows=5)
    x = net.input(7, 33)
    net.data[x][...] = net.rng.uniform(low, high, net.data[x].shape)
    expected = function(net.data[x].astype(np.float64))
    # exp and log are good to 4 units in the last place; near log(1) = 0 as to 1.
    assert_close(
        net.values([emit(x)])[0], expected, 8 * unit_roundoff(dtype) * (np.abs(expected) + 0.1)
    )


@pytest.mark.parametrize("name", UNARY)
def test_elementwise_gradients(name, rng):
    emit, _function, (low, high) = UNARY[name]
    g = Builder(rng, ROW)
    variable = next(v for v in g.graph.variables if v.name == "x")
    variable.assign(rng.uniform(low, high, variable.shape))
    assert_graph_gradients(g.graph, g.squared(emit(g.x)), g.feeds)


def test_logarithm_at_its_ends():
    net = Net("float32", rows=1)
    x = net.input(8)
    values = [0.0, -0.0, -1.0, np.inf, np.nan, 1.0, 3.4028235e38, 1.1754944e-38]
    net.data[x][...] = np.float32(values)
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = np.log(np.float64(np.float32(values)))
    assert_close(net.values([ops.log(x)])[0][0], expected, 4 * unit_roundoff("float32") * 100)


def test_nan_stays(dtype):
    net = Net(dtype, rows=2)
    a, b = net.input(21), net.input(21)
    net.data[a][0, ::2] = np.nan
    net.data[b][1, ::3] = np.nan
    either = np.isnan(net.data[a]) | np.isnan(net.data[b])
    functions = [ops.binary(kind, a, b) for kind in BINARY if kind != "prelu"]
    for y in net.values(functions):
        np.testing.assert_array_equal(np.isnan(y), either)
    for emit, _function, _range in UNARY.values():
        if emit not in (ops.log, ops.sqrt):
            np.testing.assert_array_equal(np.isnan(net.values([emit(a)])[0]), np.isnan(net.data[a]))


def test_operators_take_numbers_variables_and_arrays(dtype):
    net = Net(dtype, rows=3)
    x, v = net.input(4), net.variable(4)
    array = np.arange(1, 5)
    a, w = net.data[x], v.variable.value
    results = {
        "x + 1": (x + 1, a + 1),
        "1 + x": (1 + x, a + 1),
        "x - 2": (x - 2, a - 2),
        "2 - x": (2 - x, 2 - a),
        "3 * x": (3 * x, 3 * a),
        "x / 4": (x / 4, a / 4),
        "1 / x": (1 / x, 1 / a),
        "-x": (-x, -a),
        "abs(x)": (abs(x), abs(a)),
        "x * v": (x * v.variable, a * w),
        "v - x": (v.variable - x, w - a),
        "array * x": (array * x, array * a),
        "x - array": (x - array, a - array),
    }
    got = net.values([y for y, _ in results.values()])
    for name, y in zip(results, got, strict=True):
        expected = results[name][1]
        assert_close(y, expected, 2 * unit_roundoff(dtype) * (np.abs(expected) + np.abs(a) + 4))


def test_an_activation_is_fused_into_a_sum(rng):
    """Bias and activation are one pass; the gradient of a smooth one reads what went into it."""
    for name in ("relu", "silu"):
        g = Builder(rng, IMAGE)
        y = ops.activation(ops.add(g.x, g.variable("b", (3,))), name)
        net = convkit.compiler.compile(
            g.graph, batch=BATCH, fetch=[y], workspace=convkit.compiler.Workspace()
        )
        assert "activation_forward" not in net.kernels
        assert_graph_gradients(g.graph, g.squared(y), g.feeds)


def wrong(net):
    """Yield calls that must raise, with a pattern of the message."""
    x, image = net.input(4), net.input(6, 5, 3)
    yield r"multiply: shapes must agree", lambda: ops.multiply(x, net.input(3))
    yield r"add: the batch of both", lambda: ops.add(net.input(6, 1, 4), x)
    far, repeated = net.input(2, 4, 3, 6, 5), net.input(2, 1, 3, 1, 5)
    yield r"add: operands repeat along too many", lambda: ops.add(far, repeated)
    yield r"reduce_sum: axis must name axes", lambda: ops.reduce_sum(image, 0)
    yield r"reduce_mean: axis must name axes", lambda: ops.reduce_mean(image, (1, 1))
    yield r"reduce_mean: axis must be at most 3", lambda: ops.reduce_mean(image, 4)
    yield r"clip: low must not be above high", lambda: ops.clip(x, 2, 1)
    yield r"broadcast_to: x must have the sizes", lambda: ops.broadcast_to(x, (None, 5))
    yield r"prelu: b must be of the model's float", lambda: ops.prelu(x, net.labels(3))


def test_refused():
    net = Net()
    for pattern, call in wrong(net):
        with pytest.raises(ValueError, match=pattern):
            call()
    with pytest.raises(TypeError, match="one of both must be a tensor"):
        ops.binary("divide", 1.0, np.ones(3))
