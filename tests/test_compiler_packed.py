"""Weights that a program does not write are laid out once, and again when somebody writes them."""

import numpy as np
import pytest
from networks import Net
from tolerance import assert_same_bits

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


def test_programs_of_a_workspace_share_packed_weights():
    net, weights, y = network("winograd", rows=8)
    workspace = Workspace()
    large = net.compile([y], workspace=workspace)
    large.run()
    expected = large.view(y).copy()
    small = net.compile([y], batch=2, workspace=workspace)
    assert len(workspace.packed) == len(weights) == 2
    small.run()
    assert_same_bits(small.view(y), expected[:2])


def test_weights_for_few_tiles_are_read_as_they_lie():
    net, _, y = network("winograd", rows=2)
    workspace = Workspace()
    program = net.compile([y], workspace=workspace)
    assert [variable.value.ndim for variable, *_ in workspace.packed] == [2]
    program.run()
    assert_same_bits(program.view(y), net.values([y])[0])


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
