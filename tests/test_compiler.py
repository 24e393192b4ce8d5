"""Programs: what is fused, dropped and placed where, and what running them does and leaves alone."""

import gc
import signal
import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from programs import feed, run_graph

import convkit
from convkit import _core, ops
from convkit.compiler import Workspace, compile
from convkit.graph import Graph, Variable
from convkit.placement import LINE, PAGE, SKEWED, barriers


def weight(graph, *shape, seed=0):
    """Return the tensor of a trainable variable of random values."""
    values = np.random.default_rng(seed).normal(size=shape, scale=0.3).astype(graph.dtype)
    return graph.variable(Variable("w", values))


def sgd(graph, loss, learning_rate=0.1):
    """Emit an update by gradient descent; return the step counter."""
    hyper = Variable("hyper", np.array([learning_rate, *[0.0] * 8]))
    step = Variable("step", np.zeros(1, np.uint64), trainable=False)
    ops.update(graph, "sgd", graph.gradients(loss).items(), hyper, step)
    return step


def program_of(graph, *fetch, batch=2, workspace=None):
    return compile(graph, batch=batch, fetch=fetch, workspace=workspace or Workspace())


def slot_of(program, kernel, field):
    """Return a pointer or integer field of the only instruction of a kernel."""
    (i,) = [i for i, name in enumerate(program.kernels) if name == kernel]
    struct = _core.kernel_structs[kernel]
    (slot,) = [slot for name, slot, _kind in _core.layouts[struct] if name == field]
    return int(program._part(i)[slot])


class Classifier:
    """convolution, ReLU, max pooling, dense, softmax, cross-entropy, SGD."""

    def __init__(self, dtype="float32", features=4):
        self.graph = graph = Graph(dtype)
        self.x = graph.input((None, 6, 6, 2))
        self.labels = graph.input((None,), "int64")
        self.z = ops.conv2d(self.x, weight(graph, 3, 3, 2, features), weight(graph, features))
        self.y = ops.activation(self.z, "relu")
        self.pooled = ops.max_pool2d(self.y, 2)
        flat = ops.reshape(self.pooled, (None, -1))
        self.logits = ops.dense(flat, weight(graph, 4 * features, 3), weight(graph, 3))
        self.prediction = ops.softmax(self.logits)
        self.loss = ops.softmax_cross_entropy(self.prediction, self.labels, from_logits=False)
        self.step = sgd(graph, self.loss)

    def feeds(self, batch, seed=1):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(batch, 6, 6, 2)).astype(self.graph.dtype)
        return {self.x: x, self.labels: rng.integers(0, 3, batch)}


# ---- what runs -----------------------------------------------------------------------------------


def test_a_training_step_is_the_shortest_list_of_kernels():
    """ReLU is in the convolution; its gradient works on the pooled map; softmax is in the loss."""
    net = Classifier()
    program = program_of(net.graph, net.loss, net.prediction)
    assert program.kernels == (
        "gather",
        "gather",
        "conv2d_forward",
        "max_pool2d_forward",
        "dense_forward",
        "cross_entropy",
        "dense_backward_weights",
        "dense_backward_data",
        "activation_backward",
        "max_pool2d_backward",
        "conv2d_backward_weights",
        "sgd_update",
    )
    assert slot_of(program, "conv2d_forward", "z") == 0


def test_prediction_runs_nothing_else():
    """Without a target op, only what the fetched tensor needs runs, and argmax is not kept."""
    net = Classifier()
    program = compile(
        net.graph, batch=2, fetch=[net.prediction], workspace=Workspace(), target_ops=[]
    )
    assert program.kernels == (
        "gather",
        "conv2d_forward",
        "max_pool2d_forward",
        "dense_forward",
        "softmax_forward",
    )
    assert program.inputs == (net.x,)
    assert slot_of(program, "max_pool2d_forward", "argmax") == 0
    assert slot_of(program, "max_pool2d_forward", "argmax_bytes") == 0


def test_evaluation_computes_no_gradient():
    """The loss's dx is a null pointer where no gradient is wanted."""
    net = Classifier()
    program = compile(net.graph, batch=2, fetch=[net.loss], workspace=Workspace(), target_ops=[])
    assert program.kernels[-1] == "cross_entropy"
    assert slot_of(program, "cross_entropy", "dx") == 0
    assert slot_of(program, "cross_entropy", "loss") == 0
    assert slot_of(program, "cross_entropy", "mean_loss") != 0


def test_compiling_leaves_the_graph_alone():
    """One graph serves several programs, in any order."""
    net = Classifier()
    before = [repr(op) + repr((op.numbers, op.per_sample)) for op in net.graph.ops]
    program_of(net.graph, net.loss)
    program_of(net.graph, net.loss, net.z, batch=5)
    assert [repr(op) + repr((op.numbers, op.per_sample)) for op in net.graph.ops] == before


@pytest.mark.parametrize("name", ["z", "y", "pooled", "logits", "prediction"])
def test_what_is_fetched_is_there(name):
    """Fetching any tensor gives its value, and changes no other."""
    net = Classifier("float64")
    program = program_of(net.graph, getattr(net, name), net.loss)
    everything = [net.z, net.y, net.pooled, net.logits, net.prediction, net.loss]
    reference = compile(net.graph, batch=2, fetch=everything, workspace=Workspace(), target_ops=[])
    feeds = net.feeds(2)
    for each in (reference, program):
        feed(each, feeds)
        each.run()
    for tensor in (getattr(net, name), net.loss):
        np.testing.assert_array_equal(program.view(tensor), reference.view(tensor))
    np.testing.assert_array_equal(reference.view(net.y), np.maximum(reference.view(net.z), 0))


def _train(build, fetch_z=False):
    graph = Graph()
    x = graph.input((None, 4, 4, 3))
    z = build(graph, x)
    y = ops.activation(z, "relu")
    loss = ops.mean_squared_error(y, x)
    gradients = graph.gradients(loss)
    return program_of(graph, *gradients.values(), *([z] if fetch_z else []))


def _norm(graph, x):
    return ops.batch_norm(x, weight(graph, 3), weight(graph, 3))[0]


def _sum(graph, x):
    return ops.add(ops.conv2d(x, weight(graph, 1, 1, 3, 3)), x)


def test_batch_norm_takes_in_its_activation_and_its_gradient():
    """No activation kernel remains: the backward computes z again."""
    assert _train(_norm).kernels == (
        "gather",
        "batch_norm_forward",
        "mean_squared_error",
        "batch_norm_backward",
    )


def test_batch_norm_whose_z_is_fetched_stays_apart():
    kernels = _train(_norm, fetch_z=True).kernels
    assert "activation_forward" in kernels


def test_add_takes_in_its_activation():
    kernels = _train(_sum).kernels
    assert "activation_forward" not in kernels and "add" in kernels


@pytest.mark.parametrize("name, stores_z", [("relu", False), ("leaky_relu", False), ("silu", True)])
def test_z_is_stored_where_its_gradient_needs_it(name, stores_z):
    graph = Graph()
    x = graph.input((None, 4))
    y = ops.activation(ops.dense(x, weight(graph, 4, 4)), name)
    loss = ops.mean_squared_error(y, x)
    trained = program_of(graph, *graph.gradients(loss).values())
    assert (slot_of(trained, "dense_forward", "z") != 0) == stores_z
    assert "activation_forward" not in trained.kernels
    assert slot_of(program_of(graph, y), "dense_forward", "z") == 0


def test_a_softmax_that_something_before_the_loss_reads_is_not_merged():
    graph = Graph("float64")
    x, labels = graph.input((None, 3)), graph.input((None,), "int64")
    logits = ops.dense(x, weight(graph, 3, 3))
    p = ops.softmax(logits)
    doubled = ops.affine(p, 2.0, 0.0)
    loss = ops.softmax_cross_entropy(p, labels, from_logits=False)
    feeds = {x: np.eye(3), labels: np.arange(3)}
    assert "softmax_forward" in program_of(graph, loss, doubled, batch=3).kernels
    p, doubled, _ = run_graph(graph, [p, doubled, loss], feeds)
    np.testing.assert_array_equal(doubled, 2 * p)


def test_updates_run_last():
    """Statistics that layers emit in the middle are written after everything has been computed."""
    graph = Graph()
    x = graph.input((None, 4))
    y, mean, _ = ops.batch_norm(x, weight(graph, 4), None)
    moving = graph.variable(Variable("moving", np.zeros(4, np.float32), trainable=False))
    ops.moving_average(moving, mean, 0.9)
    sgd(graph, ops.mean_squared_error(y, x))
    program = program_of(graph)
    assert program.kernels[-2:] == ("moving_average", "sgd_update")


def test_the_algorithm_is_the_one_of_the_time_of_compiling(direct):
    """Filling a program again, when the workspace grows, does not change what it runs."""
    net = Classifier()
    workspace = Workspace()
    program = program_of(net.graph, net.loss, workspace=workspace)
    assert slot_of(program, "conv2d_forward", "algorithm") == 1
    convkit.set_algorithm("auto")
    larger = program_of(net.graph, net.loss, batch=64, workspace=workspace)
    assert slot_of(program, "conv2d_forward", "algorithm") == 1
    assert slot_of(larger, "conv2d_forward", "algorithm") == 0


# ---- placement -----------------------------------------------------------------------------------

# A step of a random graph: what to do, and to which of the tensors so far.
STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["relu", "tanh", "silu", "conv2d", "dense", "batch_norm", "add", "affine", "dropout"]
            + ["max_pool2d", "concatenate", "zero_pad2d", "reshape"]
        ),
        st.integers(0, 100),
        st.integers(0, 100),
    ),
    max_size=14,
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
@given(STEPS, st.sets(st.integers(0, 14)), st.sampled_from([1, 3]))
def test_random_graphs_keep_live_tensors_apart_and_compute_the_same(steps, fetched, threads):
    """Fused and in place gives the bits of a program that keeps every tensor, for any threads."""
    graph, x, target, loss, tensors = random_graph(steps)
    gradients = list(graph.gradients(loss).values())
    fetch = [*gradients, loss, *(t for i, t in enumerate(tensors) if i in fetched)]
    program = program_of(graph, *fetch, batch=3)
    every = [t for op in graph.ops for t in op.outputs.values()]
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
        np.testing.assert_array_equal(program.view(tensor), reference.view(tensor))


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


def test_independent_ops_run_without_a_barrier():
    """Two inputs are gathered one after the other without meeting in between."""
    net = Classifier()
    program = program_of(net.graph, net.loss)
    meets = barriers(program._ops, program._storages)
    assert program.kernels[:2] == ("gather", "gather") and not meets[0]
    assert sum(meets) < len(meets) - 1


def test_gradients_lie_next_to_each_other():
    """All gradients of a model are one range of memory, in the order of `gradients`."""
    graph = Graph()
    x = graph.input((None, 7))
    shapes = [(7, 5), (5,), (5, 9), (9,)]
    w1, b1, w2, b2 = (weight(graph, *shape) for shape in shapes)
    y = ops.dense(ops.activation(ops.dense(x, w1, b1), "relu"), w2, b2)
    loss = ops.mean_squared_error(y, graph.input((None, 9)))
    gradients = list(graph.gradients(loss).values())
    sgd_like = program_of(graph, *gradients)
    assert [t.shape for t in gradients] == shapes
    ends = [span(sgd_like._storages[t]) for t in gradients]
    for (_, end), (begin, _) in zip(ends, ends[1:], strict=False):
        assert 0 <= begin - end < LINE


def test_memory_of_the_dead_is_used_again():
    """A deep chain needs little more memory than its two largest neighbours."""
    graph = Graph()
    y = graph.input((None, 1000))
    w = weight(graph, 1000, 1000)
    for _ in range(20):
        y = ops.dense(y, w)
    program = program_of(graph, y, batch=16)
    assert program.workspace_bytes <= 2 * 16 * 1000 * 4 + 2 * PAGE + LINE


def test_large_tensors_begin_at_different_places_within_a_page():
    graph = Graph()
    x = graph.input((None, SKEWED // 4))
    tensors = [ops.affine(x, float(i), 0.0) for i in range(4)]
    program = program_of(graph, *tensors, batch=1)
    places = {program._storages[t].offset % PAGE for t in tensors}
    assert len(places) == 4 and all(place % LINE == 0 for place in places)


# ---- workspaces ----------------------------------------------------------------------------------


def test_programs_of_two_batch_sizes_share_a_workspace():
    """A larger program moves the smaller one's memory; both compute as by themselves."""
    net = Classifier("float64")
    workspace = Workspace()
    programs = {}
    for batch in (2, 50, 3):
        programs[batch] = compile(
            net.graph, batch=batch, fetch=[net.logits], workspace=workspace, target_ops=[]
        )
    assert workspace.nbytes == programs[50].workspace_bytes > programs[2].workspace_bytes
    for batch in (2, 50, 3, 2):
        feeds = net.feeds(50)
        feed(programs[batch], {net.x: feeds[net.x]})
        programs[batch].run()
        alone = compile(
            net.graph, batch=batch, fetch=[net.logits], workspace=Workspace(), target_ops=[]
        )
        feed(alone, {net.x: feeds[net.x]})
        alone.run()
        np.testing.assert_array_equal(programs[batch].view(net.logits), alone.view(net.logits))
        assert np.shares_memory(programs[batch].view(net.logits), workspace.memory)


def test_what_was_fed_survives_a_move():
    net = Classifier("float64")
    workspace = Workspace()
    small = program_of(net.graph, net.logits, workspace=workspace)
    feed(small, net.feeds(2))
    small.run()
    expected = small.view(net.logits).copy()
    for variable, tensor in net.graph._variables.items():
        if tensor.dtype == "real":
            variable.assign(np.zeros(variable.shape))
    program_of(net.graph, net.logits, batch=99, workspace=workspace)
    small.run()
    assert np.all(small.view(net.logits) == 0) and np.any(expected != 0)


def test_a_workspace_does_not_keep_programs_alive():
    net = Classifier()
    workspace = Workspace()
    program_of(net.graph, net.loss, workspace=workspace)
    gc.collect()
    assert len(workspace._programs) == 0


def test_a_step_allocates_nothing():
    """Five hundred steps leave memory as it was, and the workspace where it was."""
    net = Classifier()
    workspace = Workspace()
    program = program_of(net.graph, net.loss, net.prediction, batch=64, workspace=workspace)
    feeds = net.feeds(64)
    index = np.arange(64)

    def steps(n):
        for _ in range(n):
            for tensor, source in feeds.items():
                program.feed(tensor, source, index)
            program.run()

    address = workspace.memory.ctypes.data
    tracemalloc.start()
    steps(300)  # until the interpreter's stores of small objects are full
    gc.collect()
    before, _ = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    steps(500)
    gc.collect()
    after, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # An object kept per step is 500 * 32 bytes or more; the smallest map of the batch has 3 KB,
    # the input 18 KB. What comes and goes are a few small Python objects.
    assert after - before < 4000
    assert peak - before < 8000
    assert workspace.memory.ctypes.data == address


# ---- running -------------------------------------------------------------------------------------


def test_training_lowers_the_loss_and_counts_versions():
    net = Classifier()
    program = program_of(net.graph, net.loss, batch=8)
    feed(program, net.feeds(8))
    losses = []
    for _ in range(50):
        program.run()
        losses.append(float(program.view(net.loss)[0]))
    assert losses[-1] < 0.5 * losses[0]
    assert net.step.value[0] == 50 and net.step.version == 50


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_training_gives_the_same_bits_for_any_number_of_threads(dtype):
    def train(threads):
        convkit.set_num_threads(threads)
        net = Classifier(dtype)
        program = program_of(net.graph, batch=8)
        feed(program, net.feeds(8))
        for _ in range(10):
            program.run()
        return [v.value.copy() for v in net.graph._variables]

    before = convkit.get_num_threads()
    try:
        expected = train(1)
        for threads in (2, 3):
            for a, b in zip(train(threads), expected, strict=True):
                np.testing.assert_array_equal(a, b)
    finally:
        convkit.set_num_threads(before)


def test_mean_loss_and_losses_of_samples():
    net = Classifier("float64")
    weights = np.random.default_rng(3).uniform(size=4)
    given = net.graph.input((None,))
    loss = ops.softmax_cross_entropy(net.logits, net.labels, given)
    feeds = net.feeds(4)
    mean, each, p = run_graph(
        net.graph, [loss, loss.per_sample, net.prediction], {**feeds, given: weights}
    )
    expected = -np.log(p[np.arange(4), feeds[net.labels]])
    np.testing.assert_allclose(each, expected, rtol=1e-12)
    np.testing.assert_allclose(mean, [np.mean(weights * expected)], rtol=1e-12)
    assert mean.dtype == np.float64


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs a timer signal")
def test_a_stopped_step_changes_nothing():
    """A handler that raises stops the step before the update; the program runs again after it."""
    graph = Graph()
    x = y = graph.input((None, 512))
    w = weight(graph, 512, 512)
    for _ in range(30):
        y = ops.activation(ops.dense(y, w), "tanh")
    step = sgd(graph, ops.mean_squared_error(y, x), learning_rate=1e-3)
    batch, took = 64, 0.0
    while took < 0.3 and batch <= 1 << 14:  # several of the 50 ms between two looks at the signals
        batch *= 2
        program = program_of(graph, batch=batch)
        feed(program, {x: np.ones((batch, 512), np.float32)})
        start = time.perf_counter()
        program.run()
        took = time.perf_counter() - start
    count, value, version = step.value[0], w.variable.value.copy(), w.variable.version

    class Stop(Exception):
        pass

    def stop(_number, _frame):
        raise Stop

    before = signal.signal(signal.SIGALRM, stop)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        with pytest.raises(Stop):
            program.run()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert step.value[0] == count and w.variable.version == version
    np.testing.assert_array_equal(w.variable.value, value)
    program.run()
    assert step.value[0] == count + 1 and w.variable.version == version + 1


# ---- what is refused -----------------------------------------------------------------------------


def test_feed_refuses_what_the_kernel_cannot_read():
    net = Classifier()
    program = program_of(net.graph, net.loss)
    good, index = net.feeds(4)[net.x], np.arange(2)
    labels = np.zeros(4, np.int64)
    for error, message, arguments in [
        (ValueError, r"shape \(rows, \*\(6, 6, 2\)\)", (net.x, good[:, :5], index)),
        (ValueError, "C-contiguous", (net.x, good[::2], index)),
        (TypeError, "source", (net.x, good.astype(">f4"), index)),
        (TypeError, "source", (net.x, good.astype(complex), index)),
        (TypeError, "source", (net.x, good.astype(np.float16), index)),
        (TypeError, "must be int64", (net.labels, labels.astype(np.int32), index)),
        (ValueError, "index must be int64", (net.x, good, index.astype(np.int32))),
        (ValueError, r"index must be int64 of shape \(2,\)", (net.x, good, np.arange(3))),
        (ValueError, r"\[0, 4\)", (net.x, good, np.array([0, 4]))),
        (ValueError, r"\[0, 4\)", (net.x, good, np.array([-1, 0]))),
        (ValueError, "must be an input", (net.y, good, index)),
    ]:
        with pytest.raises(error, match=message):
            program.feed(*arguments)
    with pytest.raises(RuntimeError, match="inputs must be fed first"):
        program.run()


def test_an_index_that_was_rewritten_is_looked_at_again():
    net = Classifier()
    program = program_of(net.graph, net.loss)
    feeds, index = net.feeds(4), np.arange(2)
    for tensor, source in feeds.items():
        program.feed(tensor, source, index)
    program.run()
    index[0] = 4
    with pytest.raises(ValueError, match=r"\[0, 4\)"):
        program.feed(net.x, feeds[net.x], index)


def test_feeding_what_is_not_needed_does_nothing():
    net = Classifier()
    program = compile(net.graph, batch=2, fetch=[net.logits], workspace=Workspace(), target_ops=[])
    feed(program, net.feeds(2))
    program.run()


def test_view_refuses_what_was_not_fetched():
    net = Classifier()
    program = program_of(net.graph, net.loss)
    with pytest.raises(ValueError, match="view: tensor must be one of those fetched"):
        program.view(net.y)
    with pytest.raises(ValueError, match="read-only"):
        program.view(net.loss)[0] = 1


def test_compile_refuses_other_graphs_and_impossible_sizes():
    net, other = Classifier(), Classifier()
    with pytest.raises(ValueError, match="fetch must hold tensors of the graph"):
        program_of(net.graph, other.loss)
    with pytest.raises(ValueError, match="batch must be at least 1"):
        program_of(net.graph, net.loss, batch=0)
    with pytest.raises(ValueError, match="compile: "):
        program_of(net.graph, net.loss, batch=1 << 60)


def test_an_empty_program_runs():
    program_of(Graph()).run()
