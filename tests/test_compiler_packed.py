"""Weights that a program does not write are laid out once, and again when somebody writes them."""

import numpy as np
import pytest
from networks import Net
from tolerance import assert_same_bits

import convkit.functional as F
from convkit import ops
from convkit.compiler import Workspace

# Input sizes, filters, kernel size and options, one for each way to convolve.
CONVS = {
    "winograd": ((12, 12, 17), 20, 3, {"padding": "same"}),
    "winograd 5x5": ((12, 12, 16), 16, 5, {}),
    "strided": ((9, 9, 8), 12, 3, {"strides": 2}),
    "few channels": ((12, 12, 1), 6, 5, {"padding": "same"}),
    "groups": ((6, 7, 16), 16, 3, {"groups": 4}),
    "depthwise": ((6, 7, 20), 20, 3, {"groups": 20, "padding": "same"}),
    "pointwise": ((5, 5, 19), 23, 1, {}),
}


def network(name, dtype="float32", rows=5):
    """Build a convolution, with pooling, and a dense layer; return the net, weights and output."""
    sizes, k, kernel, options = CONVS[name]
    net = Net(dtype, rows=rows)
    y = ops.max_pool2d(ops.activation(net.conv(net.input(*sizes), k, kernel, **options), "relu"))
    y = net.dense(y, 7)
    return net, [v for v in net.graph.variables if v.value.ndim > 1], y


@pytest.mark.parametrize("name", CONVS)
def test_packed_weights_follow_the_variable(name, rng):
    net, weights, y = network(name)
    program = net.compile([y])
    program.run()
    first = program.view(y).copy()
    program.run()
    assert_same_bits(program.view(y), first)
    for w in weights:
        w.assign(rng.standard_normal(w.shape).astype(np.float32))
        program.run()
        second = program.view(y).copy()
        assert (second != first).any()
        assert_same_bits(second, net.values([y])[0])
        first = second


@pytest.mark.parametrize(
    ("batch", "layouts"),
    [(9, 2), pytest.param(2, 3, id="few tiles have a layout of their own")],
)
def test_programs_of_a_workspace_share_packed_weights(batch, layouts):
    net, weights, y = network("winograd", rows=12)
    assert len(weights) == 2
    workspace = Workspace()
    large = net.compile([y], workspace=workspace)
    large.run()
    expected = large.view(y).copy()
    small = net.compile([y], batch=batch, workspace=workspace)
    assert len(workspace.packed) == layouts
    for _ in range(2):
        small.run()
        assert_same_bits(small.view(y), expected[:batch])
        large.run()
        assert_same_bits(large.view(y), expected)


@pytest.mark.parametrize(
    ("rows", "size", "c", "k", "kernel", "padding"),
    [
        pytest.param(1, 4, 70, 40, 3, "same", id="a tile"),
        pytest.param(1, 8, 67, 32, 3, "same", id="four tiles"),
        pytest.param(1, 8, 67, 37, 3, "same", id="four tiles, some columns"),
        pytest.param(2, 9, 33, 19, 3, "valid", id="eight tiles"),
        pytest.param(3, 15, 64, 272, 3, "same", id="far weights"),
        pytest.param(2, 10, 20, 21, 5, "same", id="5x5"),
        pytest.param(1, 2, 70, 40, 5, "same", id="5x5, of which 3x3 count"),
    ],
)
def test_packed_weights_of_few_tiles(rows, size, c, k, kernel, padding):
    net = Net("float32", rows=rows)
    x = net.input(size, size, c)
    y = net.conv(x, k, kernel, padding=padding)
    w, b = (v.value for v in net.graph.variables)
    program = net.compile([y])
    program.run()
    unpacked = F.conv2d(net.data[x], w, b, padding=padding)
    assert_same_bits(program.view(y), unpacked)


def test_a_program_that_writes_weights_packs_them_itself():
    net = Net("float32", rows=17)
    x = net.conv(net.input(8, 8, 16), 16)
    net.classify(x)
    frozen = next(v for v in net.graph.variables if v.value.ndim == 4)
    workspace = Workspace()
    frozen.trainable = False
    net.sgd(net.graph.gradients(net.loss), rate=1e-4)
    program = net.compile([net.loss], workspace=workspace)
    assert [variable for variable, *_ in workspace.packed] == [frozen]
    losses = []
    for _ in range(3):
        program.run()
        losses.append(float(program.view(net.loss)[0]))
    assert losses[0] > losses[1] > losses[2]
