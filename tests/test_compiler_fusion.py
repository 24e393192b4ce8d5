"""Normalizations with their neighbours, and sums with convolutions, as one op: as apart."""

import numpy as np
import pytest
import reference
from networks import Net
from tolerance import assert_same_bits

import convkit
from convkit import ops
from convkit.passes import _ops

# Size, output channels, kernel: few channels (samples as lanes, and pixels for those left over),
# tails of vectors, Winograd, few tiles of it, tiles that overlap, 1x1, depthwise, strided, several
# bands of rows.
SHAPES = {
    "few": ((12, 20, 2), 5, 3, {"padding": "same"}),
    "tails": ((9, 8, 3), 21, 3, {"padding": "same"}),
    "winograd": ((12, 16, 16), 20, 3, {"padding": "same"}),
    "overlap": ((13, 13, 16), 20, 3, {}),
    "pointwise": ((7, 6, 5), 18, 1, {}),
    "depthwise": ((8, 8, 20), 20, 3, {"groups": 20, "padding": "same"}),
    "strided": ((17, 16, 3), 12, 3, {"strides": 2, "padding": "same"}),
    "bands": ((64, 40, 3), 24, 3, {"padding": "same"}),
    "whole": ((4, 4, 6), 9, 4, {}),
}
ROWS = 19
ACTIVATIONS = (None, "relu", "silu")


@pytest.fixture(autouse=True)
def small_maps_are_far(monkeypatch):
    """Let sums join convolutions whatever the size."""
    monkeypatch.setattr(_ops, "FAR_BYTES", 0)


def run(program, wanted):
    program.run()
    return [program.view(t).copy() for t in wanted]


def with_threads(results):
    """Return what `results()` gives with 1, 2 and 3 threads."""
    before = convkit.get_num_threads()
    try:
        for threads in (1, 2, 3):
            convkit.set_num_threads(threads)
            yield results()
    finally:
        convkit.set_num_threads(before)


def assert_all_same(results):
    first, *others = results
    for other in others:
        for a, b in zip(first, other, strict=True):
            assert_same_bits(a, b)


# ---- residual blocks -----------------------------------------------------------------------------


def block(activation, dtype, project=False, frozen=False):
    """Return a net of one residual block."""
    net = Net(dtype, rows=7)
    x = net.conv(net.input(6, 5, 3), 18, padding="same")
    y = net.conv(x, 18, padding="same")
    if frozen:
        mean = net.variable(18, trainable=False)
        variance = net.variable(18, trainable=False, positive=True)
        y = ops.batch_norm_inference(y, mean, variance, net.variable(18), net.variable(18))
    else:
        y = net.norm(y)
    shortcut = net.norm(net.conv(x, 18, 1)) if project else x
    z = ops.add(y, shortcut)
    net.classify(ops.activation(z, activation) if activation else z)
    return net


def maps(net):
    """Return what sums and normalizations give."""
    made = (op for op in net.graph.ops if {"a", "gamma"} & set(op.inputs))
    return [op.outputs["y"] for op in made if "y" in op.outputs]


@pytest.mark.parametrize("frozen", [False, True], ids=["trained", "frozen"])
@pytest.mark.parametrize("project", [False, True], ids=["identity", "projection"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_residual_block_gives_the_same_bits(activation, project, frozen, dtype):
    net = block(activation, dtype, project, frozen)
    wanted = [net.loss, *net.graph.gradients(net.loss).values()]
    fused = net.compile(wanted)
    assert "add" not in fused.kernels
    apart = net.compile([*wanted, *maps(net)])
    assert "add" in apart.kernels
    assert_all_same([run(fused, wanted), run(apart, wanted)])
    assert_all_same(with_threads(lambda: run(fused, wanted)))


def test_a_shortcut_that_is_made_later_is_waited_for():
    net = Net()
    x = net.input(4, 4, 3)
    y = net.norm(x)
    z = ops.activation(ops.add(y, ops.activation(net.conv(x, 3, 1), "tanh")), "relu")
    net.classify(z)
    wanted = [net.loss, *net.graph.gradients(net.loss).values()]
    fused = net.compile(wanted)
    assert "add" not in fused.kernels
    assert_all_same([run(fused, wanted), run(net.compile([*wanted, y]), wanted)])


def test_a_sum_of_a_map_with_itself_stays():
    net = Net()
    y = net.norm(net.input(4, 4, 3))
    net.classify(ops.add(y, y))
    assert "add" in net.compile([net.loss]).kernels


def test_statistics_that_are_read_before_the_sum_keep_the_normalization_in_place():
    net = Net()
    x = net.input(4, 4, 3)
    y, mean, _variance = ops.batch_norm(x, None, None)
    z = ops.add(y, ops.multiply(x, ops.affine(mean, 2.0, 1.0)))
    net.classify(z)
    fused, apart = net.compile([net.loss]), net.compile([net.loss, y])
    assert_all_same([run(fused, [net.loss]), run(apart, [net.loss])])


# ---- sums in convolutions ------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
def test_a_convolution_adds_a_map_and_activates_the_sum(shape, dtype):
    size, k, kernel, options = SHAPES[shape]
    net = Net(dtype, rows=ROWS)
    x = net.input(*size)
    y = net.conv(x, k, kernel, **options)
    other = net.input(*y.shape[1:])
    sums = [ops.add(y, other), ops.add(other, net.conv(x, k, kernel, **options))]
    result = [ops.activation(s, "silu") for s in sums]
    fused = net.compile(result)
    assert "add" not in fused.kernels
    apart = net.compile([*result, *sums, *(op.outputs["y"] for op in net.graph.ops)])
    assert "add" in apart.kernels
    assert_all_same([run(fused, result), run(apart, result)])
    assert_all_same(with_threads(lambda: run(fused, result)))


def test_a_normalized_convolution_adds_a_map():
    net = Net("float32")
    x = net.input(8, 8, 16)
    mean, variance = net.variable(16), net.variable(16, positive=True)
    y = ops.batch_norm_inference(net.conv(x, 16, padding="same"), mean, variance, None, None)
    result = ops.activation(ops.add(y, x), "relu")
    fused = net.compile([result])
    assert fused.kernels == ("gather", "conv2d_forward")
    assert_all_same([run(fused, [result]), run(net.compile([result, y]), [result])])


@pytest.mark.parametrize("shape", SHAPES)
def test_gradients_that_meet_are_added_by_the_convolution(shape, dtype):
    size, k, kernel, options = SHAPES[shape]
    net = Net(dtype, rows=ROWS)
    x = ops.activation(net.conv(net.input(*size), size[2], padding="same"), "tanh")
    y = net.conv(x, k, kernel, **options)
    net.classify(ops.concatenate([ops.reshape(y, (None, -1)), ops.reshape(x, (None, -1))]))
    before = len(net.graph.ops)
    wanted = list(net.graph.gradients(net.loss).values())
    gradients = [op.outputs["dx"] for op in net.graph.ops[before:] if "dx" in op.outputs]
    fused = net.compile(wanted)
    assert ("add" in fused.kernels) == (shape == "strided")
    assert_all_same([run(fused, wanted), run(net.compile([*wanted, *gradients]), wanted)])
    assert_all_same(with_threads(lambda: run(fused, wanted)))


# ---- input gradients -----------------------------------------------------------------------------


def before_a_convolution(shape, dtype, make):
    """Return (net, wanted, gradients) of a net of `make(net, map)` and a convolution after it."""
    size, k, kernel, options = SHAPES[shape]
    net = Net(dtype, rows=ROWS)
    x = make(net, net.conv(net.input(*size), size[2], padding="same"))
    net.classify(net.conv(x, k, kernel, **options))
    before = len(net.graph.ops)
    wanted = [net.loss, *net.graph.gradients(net.loss).values()]
    return net, wanted, [op.outputs["dx"] for op in net.graph.ops[before:] if "dx" in op.outputs]


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "silu"])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_gradient_of_relu_joins_that_of_the_convolution(shape, name, dtype):
    net, wanted, gradients = before_a_convolution(
        shape, dtype, lambda net, x: ops.activation(x, name)
    )
    fused = net.compile(wanted)
    joins = shape != "strided" and name != "silu"
    assert ("activation_backward" in fused.kernels) != joins
    assert_all_same([run(fused, wanted), run(net.compile([*wanted, *gradients]), wanted)])
    assert_all_same(with_threads(lambda: run(fused, wanted)))


def residual(net, x):
    """Add a map to its normalization."""
    return ops.activation(ops.add(net.norm(net.conv(x, x.shape[3], 1)), x), "relu")


NORMALIZED = {
    "linear": lambda net, x: net.norm(x),
    "relu": lambda net, x: ops.activation(net.norm(x), "relu"),
    "silu": lambda net, x: ops.activation(net.norm(x), "silu"),
    "residual": residual,
}


@pytest.mark.parametrize("kind", NORMALIZED)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_sums_of_a_normalization_join_the_gradient_of_the_convolution(shape, kind, dtype):
    net, wanted, gradients = before_a_convolution(shape, dtype, NORMALIZED[kind])
    fused = net.compile(wanted)
    joins = shape != "strided"
    assert ("batch_norm_backward" in fused.kernels) != joins
    assert ("batch_norm_backward_data" in fused.kernels) == joins
    if joins:
        assert not {"add", "activation_backward"} & set(fused.kernels)
    apart = net.compile([*wanted, *gradients])
    got, expected = run(fused, wanted), run(apart, wanted)
    # Sums of other blocks: other roundings of the same terms, which may cancel each other.
    tolerance = 50 * np.finfo(dtype).eps * max(np.abs(b).max() for b in expected)
    for a, b in zip(got, expected, strict=True):
        assert np.abs(a - b).max() <= tolerance
    assert_all_same(with_threads(lambda: run(fused, wanted)))


# ---- pooling -------------------------------------------------------------------------------------


def pooled(size, activation, dtype, rows=7):
    """Return a net of a normalization and a 2x2 max pool, and the map between them."""
    net = Net(dtype, rows=rows)
    y = net.norm(net.input(*size))
    y = ops.activation(y, activation) if activation else y
    net.classify(ops.max_pool2d(y))
    return net, y


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("size", [(6, 8, 3), (4, 2, 16), (2, 4, 37), (32, 40, 20)], ids=str)
def test_a_normalization_pools(size, activation, dtype):
    net, y = pooled(size, activation, dtype)
    (winners,) = [op.outputs["y"] for op in net.graph.ops if "argmax" in op.outputs]
    wanted = [winners, net.loss, *net.graph.gradients(net.loss).values()]
    fused = net.compile(wanted)
    assert not [name for name in fused.kernels if "max_pool" in name]
    apart = net.compile([*wanted, y, *(op.outputs["dx"] for op in _unpooling(net))])
    assert [name for name in apart.kernels if "max_pool" in name]
    got, expected = run(fused, wanted), run(apart, wanted)
    assert_same_bits(got[0], expected[0])
    for a, b in zip(got, expected, strict=True):
        # The gradient's sums are taken window by window: other roundings of the same terms.
        assert np.abs(a - b).max() <= 50 * np.finfo(dtype).eps * np.abs(b).max()
    assert_all_same(with_threads(lambda: run(fused, wanted)))


def _unpooling(net):
    return [op for op in net.graph.ops if op.kernel == "max_pool2d_backward"]


@pytest.mark.parametrize("size", [(7, 8, 3), (8, 7, 3)], ids=str)
def test_odd_maps_are_pooled_apart(size):
    net, _y = pooled(size, "relu", "float32")
    net.graph.gradients(net.loss)
    kernels = net.compile([net.loss, *net.graph.gradient_block]).kernels
    assert {"max_pool2d_forward", "max_pool2d_backward"} <= set(kernels)


def test_an_activation_of_the_pooled_map_stays_after_the_pooling():
    """silu is not monotone: of the largest number it is not the largest silu."""
    net = Net("float64")
    y = net.norm(net.input(4, 4, 3))
    result = ops.activation(ops.max_pool2d(y), "silu")
    fused = net.compile([result])
    assert "max_pool2d_forward" not in fused.kernels
    assert_all_same([run(fused, [result]), run(net.compile([result, y]), [result])])


# ---- statistics ----------------------------------------------------------------------------------


@pytest.mark.parametrize("pool", [False, True], ids=["map", "pooled"])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_convolution_takes_the_statistics_of_its_map(shape, pool, dtype):
    size, k, kernel, options = SHAPES[shape]
    if pool and shape == "whole":
        return  # one pixel
    net = Net(dtype, rows=ROWS)
    z = net.conv(net.input(*size), k, kernel, **options)
    z = ops.max_pool2d(z) if pool else z
    y, mean, variance = ops.batch_norm(z, None, None)
    wanted = [z, mean, variance, y]
    program = net.compile(wanted)
    assert "batch_norm_forward" not in program.kernels
    assert ("max_pool2d_forward" in program.kernels) is False
    got = run(program, wanted)
    y_ref, mean_ref, variance_ref = reference.batch_norm(got[0].astype(np.float64), None, None)
    tolerance = 100 * np.finfo(dtype).eps
    np.testing.assert_allclose(got[1], mean_ref, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(got[2], variance_ref, rtol=tolerance)
    np.testing.assert_allclose(got[3], y_ref, rtol=tolerance, atol=10 * tolerance)
    assert_all_same(with_threads(lambda: run(program, wanted)))


def test_statistics_of_a_map_that_is_read_twice_are_taken_once():
    net = Net()
    z = net.conv(net.input(6, 6, 3), 4)
    net.classify(ops.concatenate([net.norm(z), net.norm(z)]))
    kernels = net.compile([net.loss]).kernels
    assert kernels.count("batch_norm_forward") == kernels.count("batch_norm_inference") == 1
