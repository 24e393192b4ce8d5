"""Convolution, activation and 2x2 max pooling as one op: the same values and gradients as apart."""

import numpy as np
import pytest
from networks import Net
from tolerance import assert_same_bits

import convkit
from convkit import ops

# Few output channels (samples as lanes, and pixels for those left over; odd rows and columns that
# belong to no window), vectors of channels with tails, Winograd, groups, depthwise, stride.
SHAPES = {
    "lenet1": ((28, 28, 1), 6, 5, {"padding": "same"}),
    "lenet2": ((14, 14, 6), 16, 5, {}),
    "planes": ((13, 41, 3), 8, 3, {}),
    "one plane": ((9, 70, 2), 1, 3, {"padding": 1}),
    "bands": ((61, 64, 3), 3, 3, {"padding": "same"}),
    "tall": ((300, 34, 2), 4, 3, {"padding": 1}),
    "tails": ((9, 8, 3), 21, 3, {}),
    "winograd": ((13, 15, 32), 33, 3, {}),
    "winograd 5x5": ((12, 12, 16), 20, 5, {}),
    "pointwise": ((7, 6, 5), 18, 1, {}),
    "groups": ((8, 8, 6), 10, 3, {"groups": 2}),
    "depthwise": ((8, 9, 20), 20, 3, {"groups": 20, "padding": "same"}),
    "strided": ((17, 16, 3), 12, 3, {"strides": 2, "padding": "same"}),
}
ACTIVATIONS = {
    "relu": {},
    "leaky_relu": {"negative_slope": -0.3},
    "tanh": {},
    "silu": {},
    "gelu": {},
    "mish": {},
}


def network(shape, activation, dtype, parameters=None):
    """Return the net with its tensors before the pooling."""
    size, k, kernel, options = SHAPES[shape]
    net = Net(dtype, rows=19 if k <= 8 else 5)
    z = net.conv(net.input(*size), k, kernel, **options)
    y = ops.activation(z, activation, **(parameters or {}))
    net.classify(ops.max_pool2d(y))
    return net, y


def both(shape, activation, dtype, parameters=None):
    """Return loss and gradients of the fused program and of one that must keep the map."""
    net, y = network(shape, activation, dtype, parameters)
    wanted = [net.loss, *net.graph.gradients(net.loss).values()]
    fused, apart = net.compile(wanted), net.compile([*wanted, y])
    assert "max_pool2d_forward" not in fused.kernels
    assert "max_pool2d_forward" in apart.kernels
    for program in (fused, apart):
        program.run()
    return [[program.view(t).copy() for t in wanted] for program in (fused, apart)]


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("shape", SHAPES)
def test_fused_equals_apart(shape, activation, dtype):
    fused, apart = both(shape, activation, dtype, ACTIVATIONS[activation])
    for a, b in zip(fused, apart, strict=True):
        # Sums are the same, but for the gradient sums of pixels that Winograd's tiles or the
        # even map group otherwise; 50 roundings of the largest element leave room for them.
        assert np.abs(a - b).max() <= 50 * np.finfo(dtype).eps * np.abs(b).max()


@pytest.mark.parametrize("shape", SHAPES)
def test_any_number_of_threads_gives_the_same_bits(shape):
    before, results = convkit.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            convkit.set_num_threads(threads)
            results.append(both(shape, "silu", "float32")[0])
    finally:
        convkit.set_num_threads(before)
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            assert_same_bits(a, b)


def test_nan_is_the_highest(dtype):
    net, _y = network("lenet1", "silu", dtype)
    (x,) = [t for t in net.data if len(t.shape) == 4]
    net.data[x][2, 10, 11, 0] = np.nan
    (pooled,) = [op.outputs["y"] for op in net.graph.ops if op.kernel == "max_pool2d_forward"]
    values = net.values([pooled])[0]
    # A 5x5 kernel around row 10, column 11 covers rows 8-12 and columns 9-13 of the map.
    assert np.isnan(values[2, 4:7, 4:7]).all()
    assert np.isnan(values).sum() == 9 * 6


def test_windows_that_are_not_2x2_stay_apart():
    for pool in ({"pool_size": 3}, {"pool_size": 2, "strides": 1}, {"padding": "same"}):
        net = Net()
        y = net.conv(net.input(7, 7, 2), 3)
        net.classify(ops.max_pool2d(y, **pool))
        kernels = net.compile([net.loss]).kernels
        assert ("max_pool2d_forward" in kernels) == (pool != {"padding": "same"} or y.shape[1] % 2)


def test_a_map_with_another_reader_stays():
    net = Net()
    y = ops.activation(net.conv(net.input(6, 6, 2), 4, padding="same"), "silu")
    pooled = ops.max_pool2d(y)
    net.classify(ops.concatenate([ops.reshape(pooled, (None, -1)), ops.reshape(y, (None, -1))], 1))
    assert "max_pool2d_forward" in net.compile([net.loss]).kernels
