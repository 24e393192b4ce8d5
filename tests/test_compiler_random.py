"""Random graphs: memory, barriers and results of their programs; what is looked at when feeding."""

from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import build, plain
from programs import feed

import convkit
from convkit import _core, ops
from convkit.compiler import Workspace, compile
from convkit.graph import Graph, Variable
from convkit.ops.update import HYPER
from convkit.passes import _ops
from convkit.placement import LINE, PAGE, SKEWED, barriers


def weight(graph, *shape, seed=0):
    """Return the tensor of a trainable variable of random values."""
    values = np.random.default_rng(seed).normal(size=shape, scale=0.3).astype(graph.dtype)
    return graph.variable(Variable("w", values))


def sgd(graph, loss, learning_rate=0.1):
    """Emit an update by gradient descent; return the step counter."""
    hyper = Variable("hyper", np.array([learning_rate, *[0.0] * (len(HYPER) - 1)]))
    step = Variable("step", np.zeros(1, np.uint64), trainable=False)
    ops.update(graph, "sgd", graph.gradients(loss).items(), hyper, step)
    return step


def program_of(graph, *fetch, batch=2):
    return compile(graph, batch=batch, fetch=fetch, workspace=Workspace())


# ---- random graphs -------------------------------------------------------------------------------

# A step of a random graph: what to do, and to which of the tensors so far.
KINDS = (
    *("relu", "tanh", "silu", "conv2d", "dense", "batch_norm", "add", "affine", "dropout"),
    *("max_pool2d", "concatenate", "zero_pad2d", "reshape", "multiply", "maximum", "channels"),
    *("group_norm", "layer_norm", "prelu", "exp", "resize", "crop2d", "transpose", "numpy"),
)
STEPS = st.lists(
    st.tuples(st.sampled_from(KINDS), st.integers(0, 100), st.integers(0, 100)), max_size=14
)


def random_graph(steps):
    """Return (graph, x, target, loss, tensors) of a float64 graph of (None, 4, 4, 2) tensors."""
    graph = Graph("float64")
    x, target = graph.input((None, 4, 4, 2)), graph.input((None, 4, 4, 2))
    step = graph.variable(Variable("step", np.zeros(1, np.uint64), trainable=False))
    tensors = [ops.conv2d(x, weight(graph, 1, 1, 2, 2))]
    for i, (kind, first, second) in enumerate(steps):
        a, b = tensors[-1 - first % min(3, len(tensors))], tensors[second % len(tensors)]
        if kind == "conv2d":
            y = ops.conv2d(a, weight(graph, 3, 3, 2, 2, seed=i), padding="same")
        elif kind == "dense":
            y = ops.dense(a, weight(graph, 2, 2, seed=i), weight(graph, 2))
        elif kind == "batch_norm":
            y = ops.batch_norm(a, weight(graph, 2), weight(graph, 2, seed=i))[0]
        elif kind == "add":
            y = ops.add(a, b)
        elif kind == "affine":
            y = ops.affine(a, 0.5, 0.25)
        elif kind == "dropout":
            y = ops.dropout(a, 0.3, seed=i, stream=1, step=step)
        elif kind == "max_pool2d":
            y = ops.max_pool2d(a, 3, 1, "same")
        elif kind == "concatenate":
            y = ops.max_pool2d(ops.concatenate([a, b], 1), (2, 1))
        elif kind == "zero_pad2d":
            y = ops.max_pool2d(ops.zero_pad2d(a, ((1, 1), (2, 0))), 3, 1)
        elif kind in ("multiply", "maximum"):
            y = ops.binary(kind, a, b)
        elif kind == "channels":
            y = ops.multiply(a, ops.reduce_mean(b, (1, 2), keepdims=True))
        elif kind == "group_norm":
            y = ops.group_norm(a, weight(graph, 2), weight(graph, 2, seed=i), groups=1 + i % 2)
        elif kind == "layer_norm":
            y = ops.layer_norm(a, weight(graph, 4, 2), None, axes=2, epsilon=0.1)
        elif kind == "prelu":
            y = ops.prelu(a, weight(graph, 4, 4, 1, seed=i))
        elif kind == "exp":
            y = ops.exp(ops.activation(a, "tanh"))
        elif kind == "resize":
            y = ops.adaptive_avg_pool2d(ops.upsample2d(a, (2, 1), "bilinear"), 4)
        elif kind == "crop2d":
            y = ops.crop2d(ops.zero_pad2d(a, ((2, 1), (0, 3))), ((1, 2), (1, 2)))
        elif kind == "transpose":
            w, b = weight(graph, 3, 3, 2, 2, seed=i), weight(graph, 2)
            y = ops.conv2d_transpose(a, w, b, padding="same")
        elif kind == "numpy":
            y = ops.numpy_function(np.sin, lambda dy, x: dy * np.cos(x), [a], a.shape)
        elif kind == "reshape":
            y = ops.reshape(ops.affine(ops.reshape(a, (None, 32)), -1.0, 0.0), (None, 4, 4, 2))
        else:
            y = ops.activation(a, kind)
        assert y.shape == (None, 4, 4, 2)
        tensors.append(y)
    return graph, x, target, ops.mean_squared_error(tensors[-1], target), tensors


def span(storage):
    return storage.offset, storage.offset + storage.nbytes


def overlap(a, b):
    return a[0] < b[1] and b[0] < a[1]


@settings(max_examples=150, deadline=None)
@given(STEPS, st.sets(st.integers(0, 14)), st.sampled_from([1, 3]), st.booleans())
def test_random_graphs_keep_live_tensors_apart_and_compute_the_same(steps, fetched, threads, far):
    """Fused and in place gives what a program that keeps every tensor gives.

    The bits too, but where the sums of a normalization are taken in a convolution.
    """
    graph, x, target, loss, tensors = random_graph(steps)
    gradients = list(graph.gradients(loss).values())
    fetch = [*gradients, loss, *(t for i, t in enumerate(tensors) if i in fetched)]
    every = [t for op in graph.ops for t in op.outputs.values()]
    with patch.object(_ops, "FAR_BYTES", 0 if far else 1 << 40):
        program = program_of(graph, *fetch, batch=3)
        reference = program_of(graph, *every, batch=3)

    placed = {id(s): s for s in program._storages.values() if s.variable is None}
    storages = list(placed.values())
    for i, a in enumerate(storages):
        assert a.offset >= 0 and a.offset % LINE == 0
        assert a.offset + a.nbytes <= program.workspace_bytes
        for b in storages[:i]:
            if a.first <= b.last and b.first <= a.last:
                assert not overlap(span(a), span(b))
    for tensor in fetch:
        assert program._storages[tensor].pinned
    assert not reference.workspace_bytes < program.workspace_bytes

    rng = np.random.default_rng(len(steps))
    feeds = {t: rng.normal(size=(3, 4, 4, 2)) for t in (x, target)}
    before = convkit.get_num_threads()
    convkit.set_num_threads(threads)
    try:
        for each in (reference, program):
            feed(each, feeds)
            each.run()
            each.run()  # what a run leaves behind does not matter to the next
    finally:
        convkit.set_num_threads(before)
    for tensor in fetch:
        got, expected = program.view(tensor), reference.view(tensor)
        if far:
            most = np.abs(expected).max(initial=0.0)
            np.testing.assert_allclose(got, expected, rtol=0, atol=1e-9 * max(most, 1e-3))
        else:
            np.testing.assert_array_equal(got, expected)


def regions(program, op):
    """Return what an op reads and writes as (space, begin, end)."""

    def region(tensor):
        if tensor.variable is not None:
            return id(tensor.variable), 0, 1
        return 0, *span(program._storages[tensor])

    reads = [region(t) for t in op.inputs.values()]
    writes = [region(t) for t in op.outputs.values()]
    return reads, writes + [region(op.inputs[role]) for role in op.writes]


def clash(a, b):
    return any(p[0] == q[0] and overlap(p[1:], q[1:]) for p in a for q in b)


@settings(max_examples=40, deadline=None)
@given(STEPS)
def test_ops_between_two_barriers_do_not_touch_each_others_memory(steps):
    """Whatever two ops may run at the same time share no written memory and no scratch."""
    graph, _x, _target, loss, _tensors = random_graph(steps)
    sgd(graph, loss)
    program = program_of(graph, loss)
    meets = barriers(program._ops, program._storages)
    for j, later in enumerate(program._ops):
        later_reads, later_writes = regions(program, later)
        for i in range(j - 1, -1, -1):
            if meets[i]:
                break
            reads, writes = regions(program, program._ops[i])
            assert not clash(writes, later_reads + later_writes)
            assert not clash(reads, later_writes)
            both = (_core.kernel_ids[op.kernel] for op in (program._ops[i], later))
            assert not all(map(_core.kernel_uses_scratch, both))


def test_large_tensors_begin_at_different_places_within_a_page():
    graph = Graph()
    x = graph.input((None, SKEWED // 4))
    tensors = [ops.affine(x, float(i), 0.0) for i in range(4)]
    program = program_of(graph, *tensors, batch=1)
    places = {program._storages[t].offset % PAGE for t in tensors}
    assert len(places) == 4 and all(place % LINE == 0 for place in places)


# ---- feeding -------------------------------------------------------------------------------------


def test_an_index_that_was_rewritten_is_looked_at_again():
    """A kernel does not check rows, so each run's rows must have been looked at."""
    net = build(plain, rows=4)
    program = net.compile([net.loss], batch=2)
    index = np.arange(2)
    net.feed(program, index)
    program.run()
    index[0] = 4
    with pytest.raises(ValueError, match=r"\[0, 4\)"):
        net.feed(program, index)
