"""Normalization of samples, enlarging, adaptive pooling, cropping, transposed convolution."""

import hashlib

import numpy as np
import pytest
import reference
import reference_maps
from networks import Net
from programs import assert_graph_gradients
from test_op_gradients import IMAGE, Builder
from tolerance import assert_close, assert_same_bits, assert_within_bound, unit_roundoff

import convkit
from convkit import ops
from convkit.compiler import Workspace, compile

# ---- normalization -------------------------------------------------------------------------------

# (sizes of a sample, groups): one pixel and many, groups narrower and wider than any vector.
GROUPS = [
    ((5, 4, 6), 3),
    ((5, 4, 6), 6),
    ((3, 3, 6), 1),
    ((40, 30, 20), 5),
    ((7, 2, 3), 3),
    ((3, 5, 96), 2),
    ((3, 5, 34), 1),
    ((6, 7, 35), 35),
    ((70,), 7),
    ((5,), 1),
]


def norm_operands(net, sizes, scale=True):
    """Return (x, gamma, beta) with values about 2, and their arrays."""
    x = net.input(*sizes)
    net.data[x] += 2
    gamma, beta = (net.variable(sizes[-1]) for _ in range(2)) if scale else (None, None)
    return x, gamma, beta, [v.variable.value if v else None for v in (gamma, beta)]


@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.parametrize(("sizes", "groups"), GROUPS, ids=str)
def test_group_norm(sizes, groups, scale, dtype):
    net = Net(dtype, rows=3)
    x, gamma, beta, (g, b) = norm_operands(net, sizes, scale)
    y = net.values([ops.group_norm(x, gamma, beta, groups=groups, epsilon=1e-3)])[0]
    expected = reference_maps.group_norm(net.data[x], g, b, groups, 1e-3)
    assert_close(y, expected, 60 * unit_roundoff(dtype) * (np.abs(expected) + 4))


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("c", [1, 5, 16, 67])
def test_layer_norm(c, axes, dtype):
    net = Net(dtype, rows=3)
    x = net.input(4, 3, c)
    sizes = (4, 3, c)[3 - axes :]
    gamma, beta = net.variable(*sizes), net.variable(*sizes)
    y = net.values([ops.layer_norm(x, gamma, beta, axes=axes, epsilon=1e-3)])[0]
    twin = reference_maps.layer_norm(
        net.data[x], gamma.variable.value, beta.variable.value, axes, 1e-3
    )
    assert_close(y, twin, 60 * unit_roundoff(dtype) * (np.abs(twin) + 4))


@pytest.mark.parametrize(("sizes", "groups"), GROUPS, ids=str)
def test_means_far_from_zero_keep_their_digits(sizes, groups):
    """A mean of 1e4 deviations costs the digits that x itself lacks, and no more."""
    net = Net("float32", rows=2)
    x = net.input(*sizes)
    net.data[x] += 1e4
    y = net.values([ops.group_norm(x, None, None, groups=groups, epsilon=0.0)])[0]
    expected = reference_maps.group_norm(net.data[x], None, None, groups, 0.0)
    # The rounding of the mean, 1e4 u, over a deviation near 1 (small groups have smaller ones).
    finite = np.isfinite(expected)
    assert_close(y[finite], expected[finite], 5e-3 * (1 + np.abs(expected[finite])))


def test_a_constant_group_gives_beta(dtype):
    net = Net(dtype, rows=2)
    x, gamma, beta, (_g, b) = norm_operands(net, (4, 3, 6))
    net.data[x][...] = 7
    y = net.values([ops.group_norm(x, gamma, beta, groups=3)])[0]
    assert_same_bits(y, np.broadcast_to(b, y.shape).copy())


def test_samples_do_not_know_of_each_other(dtype):
    """A sample has the same bits alone and in a batch, also with a NaN beside it."""
    net = Net(dtype, rows=4)
    x, gamma, beta, _ = norm_operands(net, (9, 9, 12))
    y = ops.group_norm(x, gamma, beta, groups=4)
    whole = net.values([y])[0]
    assert_same_bits(net.values([y], batch=1)[0], whole[:1])
    net.data[x][1, 3, 3, 0] = np.nan
    spoilt = net.values([y])[0]
    assert_same_bits(spoilt[[0, 2, 3]], whole[[0, 2, 3]])
    assert np.isnan(spoilt[1, ..., :3]).all() and not np.isnan(spoilt[1, ..., 3:]).any()


def group_norm(g, groups, activation=None, scale=True):
    vectors = [g.variable(n, g.x.shape[-1:]) if scale else None for n in ("gamma", "beta")]
    y = ops.group_norm(g.x, *vectors, groups=groups)
    return ops.activation(y, activation)


def layer_norm(g, axes):
    vectors = [g.variable(n, g.x.shape[-axes:]) for n in ("gamma", "beta")]
    return ops.layer_norm(g.x, *vectors, axes=axes)


def transpose(g, bias=True, **options):
    w = g.variable("w", (3, 2, 4 // options.get("groups", 1), g.x.shape[3]))
    return ops.conv2d_transpose(g.x, w, g.variable("b", (4,)) if bias else None, **options)


def spatial_dropout(g):
    step = g.graph.variable(convkit.graph.Variable("step", np.array([7], np.uint64), False))
    return ops.dropout(g.x, 0.4, seed=1, stream=2, step=step, spatial=True)


GRADIENTS = {
    "group_norm": ((5, 4, 6), lambda g: group_norm(g, 3)),
    "group_norm, instance": ((5, 4, 3), lambda g: group_norm(g, 3)),
    "group_norm, one wide group": ((2, 3, 37), lambda g: group_norm(g, 1)),
    "group_norm, many narrow": ((3, 2, 34), lambda g: group_norm(g, 17)),
    "group_norm without scale": ((5, 4, 6), lambda g: group_norm(g, 2, scale=False)),
    "group_norm, relu": ((5, 4, 6), lambda g: group_norm(g, 2, "relu")),
    "group_norm, silu": ((5, 4, 6), lambda g: group_norm(g, 2, "silu")),
    "layer_norm": (IMAGE, lambda g: layer_norm(g, 1)),
    "layer_norm of rows": ((37,), lambda g: layer_norm(g, 1)),
    "layer_norm of samples": (IMAGE, lambda g: layer_norm(g, 3)),
    "nearest": (IMAGE, lambda g: ops.upsample2d(g.x, (2, 3))),
    "bilinear": (IMAGE, lambda g: ops.upsample2d(g.x, (3, 2), "bilinear")),
    "bilinear of one pixel": ((1, 1, 3), lambda g: ops.upsample2d(g.x, 4, "bilinear")),
    "adaptive_max_pool2d": ((7, 5, 3), lambda g: ops.adaptive_max_pool2d(g.x, (3, 4))),
    "adaptive_avg_pool2d": ((7, 5, 3), lambda g: ops.adaptive_avg_pool2d(g.x, (3, 4))),
    "adaptive_avg_pool2d, equal": ((6, 4, 3), lambda g: ops.adaptive_avg_pool2d(g.x, (3, 2))),
    "crop2d": (IMAGE, lambda g: ops.crop2d(g.x, ((1, 0), (2, 1)))),
    "conv2d_transpose": (IMAGE, lambda g: transpose(g, strides=2)),
    "conv2d_transpose same": (IMAGE, lambda g: transpose(g, strides=(3, 2), padding="same")),
    "conv2d_transpose groups": ((4, 3, 4), lambda g: transpose(g, groups=2, dilation=2)),
    "conv2d_transpose padded": (
        IMAGE,
        lambda g: transpose(g, False, strides=2, output_padding=1),
    ),
    "conv2d_transpose, relu": (IMAGE, lambda g: ops.activation(transpose(g), "relu")),
    "conv2d_transpose, gelu": (IMAGE, lambda g: ops.activation(transpose(g), "gelu")),
    "spatial dropout": (IMAGE, spatial_dropout),
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradient(name, rng):
    shape, build = GRADIENTS[name]
    g = Builder(rng, shape)
    gradients = assert_graph_gradients(g.graph, g.squared(build(g)), g.feeds)
    assert set(gradients) == {v for v in g.graph.variables if v.trainable}


def test_an_activation_is_fused_into_a_group_norm(rng):
    for name in ("relu", "silu"):
        g = Builder(rng, (5, 4, 6))
        loss = g.squared(group_norm(g, 2, name))
        gradients = g.graph.gradients(loss)
        program = compile(g.graph, batch=3, fetch=list(gradients.values()), workspace=Workspace())
        assert not {"activation_forward", "activation_backward"} & set(program.kernels)


# ---- maps ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 3, (2, 5)], ids=str)
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
@pytest.mark.parametrize("sizes", [(5, 4, 3), (1, 7, 20), (3, 1, 1)], ids=str)
def test_upsample2d(sizes, interpolation, size, dtype):
    net = Net(dtype, rows=2)
    x = net.input(*sizes)
    y = net.values([ops.upsample2d(x, size, interpolation)])[0]
    expected = reference_maps.upsample2d(net.data[x], size, interpolation)
    bound = 8 * unit_roundoff(dtype) * np.abs(net.data[x]).max()
    assert_close(y, expected, 0 if interpolation == "nearest" else bound)


@pytest.mark.parametrize("output", [1, 2, 3, (4, 3), (7, 5)], ids=str)
@pytest.mark.parametrize("c", [1, 5, 18])
def test_adaptive_pools(output, c, dtype):
    net = Net(dtype, rows=2)
    x = net.input(7, 5, c)
    highest, mean = net.values(
        [ops.adaptive_max_pool2d(x, output), ops.adaptive_avg_pool2d(x, output)]
    )
    wide = net.data[x].astype(np.float64)
    assert_same_bits(highest, reference_maps.adaptive_pool2d(wide, output, np.max).astype(dtype))
    bound = (
        40 * unit_roundoff(dtype) * reference_maps.adaptive_pool2d(np.abs(wide), output, np.mean)
    )
    assert_close(mean, reference_maps.adaptive_pool2d(wide, output, np.mean), bound)


def test_adaptive_max_pool_keeps_nan():
    net = Net("float32", rows=1)
    x = net.input(5, 5, 2)
    net.data[x][0, 2, 2, 0] = np.nan
    y = net.values([ops.adaptive_max_pool2d(x, 3)])[0]
    assert np.isnan(y[0, ..., 0]).sum() == 1 and not np.isnan(y[0, ..., 1]).any()


def test_crop2d(dtype):
    for (top, bottom), (left, right) in (((1, 2), (0, 1)), ((0, 0), (0, 0)), ((0, 4), (2, 0))):
        net = Net(dtype)
        x = net.input(5, 4, 3)
        y = net.values([ops.crop2d(x, ((top, bottom), (left, right)))])[0]
        assert_same_bits(y, net.data[x][:, top : 5 - bottom, left : 4 - right])


TRANSPOSED = [
    {},
    {"strides": 2},
    {"strides": 3, "padding": "same"},
    {"strides": 2, "padding": "same", "output_padding": 1},
    {"dilation": 2, "groups": 2},
]


@pytest.mark.parametrize("options", TRANSPOSED, ids=str)
def test_conv2d_transpose(options, dtype):
    net = Net(dtype)
    x = net.input(5, 6, 4)
    w, b = net.variable(3, 2, 6 // options.get("groups", 1), 4), net.variable(6)
    y = net.values([ops.conv2d_transpose(x, w, b, **options)])[0]
    arrays = net.data[x], w.variable.value, b.variable.value
    expected = reference.conv2d_transpose(*arrays, **options)
    sums = reference.conv2d_transpose(*(np.abs(a) for a in arrays), **options)
    assert_within_bound(y, expected, sums, 3 * 2 * 4 + 1)


def test_spatial_dropout_drops_whole_channels():
    net = Net("float32", rows=40)
    x = net.input(3, 4, 50)
    y = ops.dropout(x, 0.3, seed=5, stream=2, step=net.counter(), spatial=True)
    values, data = net.values([y])[0], net.data[x]
    kept = values != 0
    assert_same_bits(kept, np.broadcast_to(kept[:, :1, :1], kept.shape).copy())
    bound = 2 * unit_roundoff("float32") * np.abs(values)
    assert_close(values, reference.dropout(data, kept, 0.3), bound)
    # The share of 2000 draws lies within 5 standard deviations of 0.7, and samples differ.
    assert abs(kept.mean() - 0.7) < 5 * np.sqrt(0.21 / 2000)
    assert len({row.tobytes() for row in kept[:, 0, 0]}) == 40


# ---- threads, errors -----------------------------------------------------------------------------


def everything(net):
    """Return results and gradients of all ops of this file and of broadcasting, as one program."""
    x = net.input(11, 7, 20)
    y = ops.conv2d_transpose(x, net.variable(3, 3, 18, 20), net.variable(18), strides=2)
    y = ops.group_norm(y, net.variable(18), net.variable(18), groups=6)
    y = ops.prelu(ops.upsample2d(y, 2, "bilinear"), net.variable(18))
    y = ops.layer_norm(y, net.variable(18), net.variable(18))
    weights = ops.reduce_mean(ops.exp(y), (1, 2), keepdims=True)
    y = ops.multiply(ops.upsample2d(y, (1, 2)), weights)
    y = ops.group_norm(y, None, net.variable(18), groups=1)
    y = ops.dropout(y, 0.3, seed=1, stream=1, step=net.counter(), spatial=True)
    y = ops.concatenate([ops.adaptive_max_pool2d(y, 5), ops.adaptive_avg_pool2d(y, 5)])
    net.classify(ops.maximum(ops.crop2d(y, ((1, 0), (0, 2))), net.variable(36)))
    return [net.loss, *net.graph.gradients(net.loss).values()]


def test_threads_give_the_same_bits(dtype):
    digests = set()
    before = convkit.get_num_threads()
    try:
        for threads in (1, 2, 3):
            convkit.set_num_threads(threads)
            net = Net(dtype, rows=3)
            values = net.values(everything(net))
            assert all(np.isfinite(v).all() for v in values)
            digests.add(hashlib.sha256(b"".join(v.tobytes() for v in values)).hexdigest())
    finally:
        convkit.set_num_threads(before)
    assert len(digests) == 1


def refused(net):
    """Yield calls that must raise, with a pattern of the message."""
    x, image = net.input(4), net.input(6, 5, 4)
    kernel = net.variable(3, 3, 2, 4)
    yield r"group_norm: groups must divide", lambda: ops.group_norm(image, None, None, groups=3)
    yield (
        r"group_norm: gamma must have 4",
        lambda: ops.group_norm(image, net.variable(3), None, groups=2),
    )
    yield r"group_norm: epsilon", lambda: ops.group_norm(image, None, None, groups=2, epsilon=-1)
    yield (
        r"group_norm: x must have at least 2",
        lambda: ops.group_norm(net.input(), None, None, groups=1),
    )
    yield r"layer_norm: axes must be at most 3", lambda: ops.layer_norm(image, None, None, axes=4)
    yield (
        r"layer_norm: beta must have 20",
        lambda: ops.layer_norm(image, None, net.variable(4), axes=2),
    )
    yield r"upsample2d: x must have 4 axes", lambda: ops.upsample2d(x)
    yield r"upsample2d: size must be", lambda: ops.upsample2d(image, 0)
    yield r"did you mean 'bilinear'", lambda: ops.upsample2d(image, 2, "bilinera")
    yield r"adaptive_max_pool2d: output_size must not", lambda: ops.adaptive_max_pool2d(image, 6)
    yield r"adaptive_avg_pool2d: x must have 4", lambda: ops.adaptive_avg_pool2d(x, 1)
    yield r"crop2d: cropping must leave", lambda: ops.crop2d(image, ((3, 3), (0, 0)))
    yield r"conv2d_transpose: w must be", lambda: ops.conv2d_transpose(net.input(6, 5, 3), kernel)
    yield (
        r"conv2d_transpose: b must have shape \(2,\)",
        lambda: ops.conv2d_transpose(image, kernel, net.variable(3)),
    )


def test_what_does_not_fit_is_refused_and_changes_nothing():
    net = Net()
    for pattern, call in refused(net):
        count = len(net.graph.ops)
        with pytest.raises(ValueError, match=pattern):
            call()
        assert len(net.graph.ops) <= count + 1  # an input made for the call
