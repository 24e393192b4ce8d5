"""Results too large for the caches, which a program writes past them: the same bits as otherwise.

What is expected comes from the functional API, whose results do not begin a line of the cache here
and so are written as small ones are.
"""

import numpy as np
import pytest
from tolerance import assert_same_bits

import convkit
import convkit.functional as F
from convkit import _core, ops
from convkit.compiler import Workspace, compile
from convkit.graph import Graph

ROWS, C = 3 * 2**15 + 5, 64  # 25 MB; blocks of rows do not end where ranks do


@pytest.fixture(autouse=True)
def results_within_lines(monkeypatch):
    """Let the functional API's results begin within a line of the cache."""

    def memory(nbytes):
        block = np.empty(nbytes + 128, np.uint8)
        begin = (16 - block.ctypes.data) % 64
        return block[begin : begin + nbytes]

    monkeypatch.setattr(_core, "result_memory", memory)


def program_results(graph, batch, *fetch):
    """Run a graph of constants on one thread and on three; return what it fetched."""
    workspace = Workspace()
    program = compile(graph, batch=batch, fetch=fetch, workspace=workspace)
    views = [program.view(tensor) for tensor in fetch]
    assert all(view.ctypes.data % 64 == 0 for view in views)
    before = convkit.get_num_threads()
    results = []
    for threads in (1, 3):
        convkit.set_num_threads(threads)
        try:
            program.run()
        finally:
            convkit.set_num_threads(before)
        results.append([view.copy() for view in views])
        workspace.memory[...] = 0
    for alone, together in zip(*results, strict=True):
        assert_same_bits(alone, together)
    return results[0]


def emit_gradient(y, dy):
    return y.op.gradient({"y": dy}, {"x"})["x"]


@pytest.mark.parametrize("activation", ["linear", "relu"])
def test_add(activation, rng):
    a, b = rng.standard_normal((2, ROWS, C), np.float32)
    graph = Graph()
    y = ops.add(graph.constant(a), graph.constant(b))
    if activation == "relu":
        y = ops.activation(y, "relu")
    (got,) = program_results(graph, ROWS, y)
    assert_same_bits(got, np.maximum(a + b, 0) if activation == "relu" else a + b)


def test_relu_backward(rng):
    x, dy = rng.standard_normal((2, ROWS, C), np.float32)
    graph = Graph()
    y = ops.activation(graph.constant(x), "relu")
    (dx,) = program_results(graph, ROWS, emit_gradient(y, graph.constant(dy)))
    assert_same_bits(dx, np.where(x > 0, dy, 0))


def test_batch_norm(rng):
    x, dy = rng.standard_normal((2, ROWS, C), np.float32)
    gamma, beta = rng.random((2, C), np.float32)
    big = np.concatenate([x, dy])  # of two arrays, not of three
    graph = Graph()
    y = ops.batch_norm(*map(graph.constant, (big, gamma, beta)), epsilon=1e-3)[0]
    assert_same_bits(program_results(graph, len(big), y)[0], F.batch_norm(big, gamma, beta)[0])
    graph = Graph()
    y, *_ = ops.batch_norm(*map(graph.constant, (x, gamma, beta)), epsilon=1e-3)
    dx = emit_gradient(y, graph.constant(dy))
    _, mean, variance = F.batch_norm(x, gamma, beta)
    expected, _, _ = F.batch_norm_backward(dy, x, mean, variance, gamma)
    assert_same_bits(program_results(graph, ROWS, dx)[0], expected)


def test_max_pool_backward(rng):
    n, size, c = 9, 120, 64  # 33 MB
    x = rng.standard_normal((n, size, size, c), np.float32)
    dy = rng.standard_normal((n, size // 2, size // 2, c), np.float32)
    graph = Graph()
    y = ops.max_pool2d(graph.constant(x), (2, 2), (2, 2), "valid")
    (dx,) = program_results(graph, n, emit_gradient(y, graph.constant(dy)))
    _, argmax = F.max_pool2d(x, return_argmax=True)
    expected = F.max_pool2d_backward(dy, argmax, x.shape)
    assert expected.ctypes.data % 64 == 16
    assert_same_bits(dx, expected)


def test_depthwise_stride_2_backward(rng):
    n, size, c = 16, 120, 64
    x = rng.standard_normal((n, size, size, c), np.float32)
    w = rng.standard_normal((3, 3, 1, c), np.float32)
    graph = Graph()
    y = ops.conv2d(graph.constant(x), graph.constant(w), strides=2, padding=1, groups=c)
    dy = rng.standard_normal((n, *y.shape[1:]), np.float32)
    (dx,) = program_results(graph, n, emit_gradient(y, graph.constant(dy)))
    expected, *_ = F.conv2d_backward(dy, x, w, strides=2, padding=1, groups=c, needs=("x",))
    assert_same_bits(dx, expected)
