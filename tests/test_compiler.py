"""Programs: what the passes fuse, where tensors lie, where the team meets, what a run touches."""

import gc
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import NETWORKS, Net, build, dropped, plain, random_network, residual
from tolerance import assert_same_bits

from convkit import _core, ops, runtime
from convkit.compiler import Workspace, compile
from convkit.graph import Variable
from convkit.ops.base import View
from convkit.passes import optimize
from convkit.placement import Storage, assign_storages, barriers, place, tensor_bytes

RANDOM = [lambda net, seed=seed: random_network(net) for seed in range(12)]


def kernels_of(net, fetch):
    """Return the names of the kernels of a program."""
    return [k for k in net.compile(fetch).kernels if k != "gather"]


# ---- passes --------------------------------------------------------------------------------------


def test_a_step_of_a_plain_network_is_fused():
    net = build(plain)
    net.sgd(net.graph.gradients(net.loss))
    assert kernels_of(net, [net.loss]) == [
        "conv2d_forward",  # with activation and pooling
        "dense_forward",
        "cross_entropy",
        "dense_backward_weights",
        "dense_backward_data",
        "activation_backward",  # on the pooled map
        "conv2d_backward_weights",  # which it reads as it is
        "sgd_update",
    ]


def test_ops_that_nothing_asks_for_are_dropped():
    net = Net()
    x = net.input(6, 6, 2)
    y = ops.activation(net.conv(x, 3), "relu")
    p = net.classify(ops.max_pool2d(y))
    net.graph.gradients(net.loss)
    assert kernels_of(net, [y]) == ["conv2d_forward"]
    assert kernels_of(net, [p])[-1] == "softmax_forward"
    program = net.compile([p])
    assert program.inputs == (x,)
    assert kernels_of(net, []) == []
    net.compile([]).run()


def test_updates_run_last_and_can_be_chosen():
    net = Net()
    x = net.input(4)
    y, mean, variance = ops.batch_norm(x, None, None)
    moving = net.variable(4, trainable=False)
    ops.moving_average(moving, mean, 0.9)
    ops.moving_average(net.variable(4, trainable=False), variance, 0.9)
    net.classify(y)
    step = net.sgd(net.graph.gradients(net.loss))
    updates = ["moving_average", "moving_average", "sgd_update"]
    assert kernels_of(net, [])[-3:] == updates
    assert not set(kernels_of(net, [y])[:-3]) & set(updates)
    chosen = [op for op in net.graph.ops if op.kernel == "moving_average"][:1]
    program = net.compile([net.loss], target_ops=chosen)
    assert program.kernels[-1] == "moving_average" and "sgd_update" not in program.kernels
    before = moving.variable.value.copy()
    program.run()
    assert (moving.variable.value != before).all() and step.value[0] == 0


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "gelu", "hard_silu"])
def test_activations_join_convolutions_in_inference(name):
    net = Net()
    y = ops.activation(net.conv(net.input(5, 5, 2), 3), name)
    y = ops.activation(net.dense(y, 4), name)
    y = ops.activation(ops.add(y, y), name)
    assert kernels_of(net, [y]) == ["conv2d_forward", "dense_forward", "add"]


@pytest.mark.parametrize("name", ["relu", "mish"])
def test_activations_join_batch_norm_both_ways(name):
    net = Net()
    net.classify(ops.activation(net.norm(net.conv(net.input(5, 5, 2), 3)), name))
    gradients = net.graph.gradients(net.loss)
    kernels = kernels_of(net, list(gradients.values()))
    assert not [k for k in kernels if k.startswith("activation")]
    net = Net()
    x, c = net.input(5, 3), [net.variable(3, positive=True) for _ in range(4)]
    y = ops.activation(ops.batch_norm_inference(x, *c), name)
    assert kernels_of(net, [y]) == ["batch_norm_inference"]


def test_z_is_kept_where_its_gradient_needs_it():
    def kept(name):
        net = Net()
        z = net.conv(net.input(5, 5, 2), 3)
        net.classify(ops.activation(z, name))
        gradients = net.graph.gradients(net.loss)
        ops_ = optimize(net.graph, frozenset(gradients.values()))
        (conv,) = [op for op in ops_ if op.kernel == "conv2d_forward"]
        assert not [op for op in ops_ if op.kernel == "activation_forward"]
        return conv.outputs.get("z") is z

    assert {name: kept(name) for name in ("relu", "leaky_relu", "gelu", "silu")} == {
        **{"relu": False, "leaky_relu": False},
        **{"gelu": True, "silu": True},
    }


def test_argmax_is_kept_only_for_the_gradient():
    for train in (False, True):
        net = build(plain)
        fetch = list(net.graph.gradients(net.loss).values()) if train else [net.loss]
        (conv,) = [
            op for op in optimize(net.graph, frozenset(fetch)) if op.kernel == "conv2d_forward"
        ]
        assert ("argmax" in conv.outputs) == train
        net = Net()
        net.classify(ops.max_pool2d(net.norm(net.input(7, 6, 2))))
        fetch = list(net.graph.gradients(net.loss).values()) if train else [net.loss]
        (pool,) = [
            op for op in optimize(net.graph, frozenset(fetch)) if op.kernel == "max_pool2d_forward"
        ]
        assert ("argmax" in pool.outputs) == train
        assert pool.values(4)["argmax_bytes"] == (1 if train else 0)


def test_softmax_comes_out_of_the_loss():
    net = build(plain)
    (softmax,) = [op for op in net.graph.ops if op.kernel == "softmax_forward"]
    p = softmax.outputs["y"]
    assert "softmax_forward" not in kernels_of(net, [net.loss, p])
    with_loss, alone = net.values([p, net.loss])[0], net.values([p])[0]
    assert_same_bits(with_loss, alone)
    # Not where something before the loss reads it.
    net = Net()
    p = ops.softmax(net.dense(net.input(4), 3))
    q = ops.softmax(net.dense(p, 3))
    loss = ops.softmax_cross_entropy(p, net.labels(3), from_logits=False)
    assert kernels_of(net, [q, loss]).count("softmax_forward") == 2


def test_a_fetched_tensor_is_never_fused_away():
    net = Net()
    x = net.input(6, 6, 2)
    z = net.conv(x, 3)
    n, _mean, _variance = ops.batch_norm(z, None, None)
    r = ops.activation(n, "relu")
    c = net.conv(r, 3)
    a = ops.activation(c, "relu")
    s = ops.add(a, a)
    t = ops.activation(s, "tanh")
    every = [x, z, n, r, c, a, s, t]
    alone = [net.values([y])[0] for y in every]
    for got, expected in zip(net.values(every), alone, strict=True):
        assert_same_bits(got, expected)
    np.testing.assert_array_equal(alone[3], np.maximum(alone[2], 0))


def test_compile_leaves_the_graph_as_it_is():
    def description(graph):
        return [
            (op, dict(op.inputs), dict(op.outputs), dict(op.numbers), dict(op.per_sample))
            for op in graph.ops
        ]

    net = build(residual)
    net.sgd(net.graph.gradients(net.loss))
    before = description(net.graph)
    for batch in (2, 7):
        net.compile([net.loss], batch=batch)
    assert description(net.graph) == before


def everything(net):
    """Return all tensors that a program can show: not those that are still being put together."""
    parts = {op.inputs["into"] for op in net.graph.ops if "into" in op.inputs}
    return [t for op in net.graph.ops for t in op.outputs.values() if t not in parts]


@pytest.mark.parametrize("network", [*NETWORKS, *RANDOM], ids=str)
def test_fusion_and_reuse_of_memory_do_not_change_results(network):
    """A program that shows every tensor fuses and overwrites nothing."""
    net = Net(seed=RANDOM.index(network) if network in RANDOM else 0)
    network(net)
    wanted = [net.loss, *net.graph.gradients(net.loss).values()]
    plainly = net.compile(everything(net))
    plainly.run()
    for t, got in zip(wanted, net.values(wanted), strict=True):
        # Sums may be split differently around a fused derivative: a few roundings of float64.
        np.testing.assert_allclose(got, plainly.view(t), rtol=1e-11, atol=1e-13)
    assert net.compile(wanted).workspace_bytes < plainly.workspace_bytes


# ---- placement -----------------------------------------------------------------------------------


def check_placement(ops_, kept, batch, block=()):
    """Place tensors; walk through the ops and assert that every byte read is what was written."""
    storages = assign_storages(ops_, [*kept, *block], batch)
    size = place(storages.values(), [storages[t] for t in block])
    owner = np.full(size // 64 + 1, -1)
    identity = {}

    def lines(t):
        s = storages[t]
        assert s.offset % 64 == 0 and tensor_bytes(t, batch) <= s.nbytes
        assert s.offset + s.nbytes <= size
        return slice(s.offset // 64, -(-(s.offset + tensor_bytes(t, batch)) // 64))

    def assert_whole(t):
        if storages[t].variable is None:
            assert (owner[lines(t)] == identity[t]).all(), t

    for i, op in enumerate(ops_):
        for t in op.inputs.values():
            assert_whole(t)
        for role, t in op.outputs.items():
            source = op.inputs.get(op.aliases.get(role, ""))
            if isinstance(op, View):
                identity[t] = identity[source]
            else:
                identity[t] = len(identity) + i * 1000
            if source is not None:
                assert storages[t] is storages[source]
            if storages[t].variable is None:
                owner[lines(t)] = identity[t]
        for t in op.outputs.values():  # outputs of one op must not overlap each other
            assert_whole(t)
    for t in kept:
        assert_whole(t)
    starts = [storages[t].offset for t in block]
    assert starts == sorted(starts)
    ends = [storages[t].offset + -(-storages[t].nbytes // 64) * 64 for t in block]
    assert starts[1:] == ends[:-1]
    return storages, size


@pytest.mark.parametrize("network", [*NETWORKS, *RANDOM], ids=str)
def test_no_tensor_is_overwritten_while_it_is_needed(network):
    net = Net(seed=RANDOM.index(network) if network in RANDOM else 0)
    network(net)
    gradients = list(net.graph.gradients(net.loss).values())
    for fetch in ([], [net.loss], everything(net)[::3]):
        kept = [net.loss, *fetch, *gradients]
        ops_ = optimize(net.graph, frozenset(kept))
        made = {t for op in ops_ for t in op.outputs.values()}
        for batch in (1, 17):
            check_placement(ops_, [t for t in kept if t in made], batch, gradients)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 300_000), st.integers(0, 30), st.integers(0, 9)), max_size=40
    ),
    st.integers(0, 5),
)
def test_live_storages_never_overlap(sizes, blocked):
    storages = [Storage(nbytes, first, first + length) for nbytes, first, length in sizes]
    total = place(storages, storages[:blocked])
    for i, a in enumerate(storages):
        assert a.offset % 64 == 0 and a.offset >= 0 and a.offset + a.nbytes <= total
        for b in storages[:i]:
            alive_together = a.first <= b.last and b.first <= a.last
            if alive_together and a.nbytes and b.nbytes:
                assert a.offset + a.nbytes <= b.offset or b.offset + b.nbytes <= a.offset
    # Never worse than everything side by side.
    assert total <= sum(-(-s.nbytes // 64) * 64 + 64 + 4096 for s in storages)


def test_memory_is_reused_along_a_chain():
    net = Net("float32")
    x = net.input(16, 16, 8)
    y = x
    for _ in range(8):
        y = net.conv(y, 8, padding="same")
    bytes_of_one = net.rows * 16 * 16 * 8 * 4
    assert net.compile([y]).workspace_bytes <= 2 * bytes_of_one + 4096


def test_elementwise_ops_work_in_place():
    net = Net("float32")
    x = net.input(16, 16, 8)
    step = net.counter()
    y = ops.affine(ops.affine(x, 2, 0), 3, 1)  # the first joins the gather
    y = ops.dropout(ops.max_pool2d(y, 3, 1, "same"), 0.5, seed=1, stream=1, step=step)
    y = ops.add(ops.activation(y, "gelu"), ops.max_pool2d(y, 3, 1, "same"))
    ops_ = optimize(net.graph, frozenset([y]))
    storages, _size = check_placement(ops_, [y], 4)
    by_kernel = {op.kernel: op for op in ops_}
    for kernel in ("affine", "dropout", "add"):
        op = by_kernel[kernel]
        sources = {storages[t] for t in op.inputs.values()}
        assert storages[op.outputs["y"]] in sources, kernel
    gelu = by_kernel["activation_forward"]  # its input is read again
    assert storages[gelu.outputs["y"]] is not storages[gelu.inputs["x"]]


def test_gradients_lie_next_to_each_other():
    net = build(residual, dtype="float32")
    gradients = net.graph.gradients(net.loss)
    net.sgd(gradients)
    ops_ = optimize(net.graph, frozenset([net.loss]))
    check_placement(ops_, [net.loss], 8, list(gradients.values()))
    program = net.compile([net.loss, *gradients.values()])
    ends = 0
    for g in gradients.values():
        start = program.view(g).ctypes.data
        assert ends == 0 or start == -(-ends // 64) * 64
        ends = start + program.view(g).nbytes


# ---- barriers ------------------------------------------------------------------------------------


def touches(op, storages, batch):
    """Return (reads, writes) of an op as sets of 64-byte lines and variables."""

    def region(t):
        s = storages[t]
        if s.variable is not None:
            return {id(s.variable)}
        return {("line", i) for i in range(s.offset // 64, -(-(s.offset + s.nbytes) // 64))}

    def union(tensors):
        return set().union(*map(region, tensors))

    written = [*op.outputs.values(), *(op.inputs[role] for role in op.writes)]
    return union(op.inputs.values()), union(written)


@pytest.mark.parametrize("network", [*NETWORKS, *RANDOM], ids=str)
def test_ops_without_a_barrier_between_them_do_not_meet(network):
    net = Net(seed=RANDOM.index(network) if network in RANDOM else 0)
    network(net)
    gradients = net.graph.gradients(net.loss)
    net.sgd(gradients)
    ops_ = optimize(net.graph, frozenset([net.loss]))
    storages, _size = check_placement(ops_, [net.loss], 3, list(gradients.values()))
    run = [op for op in ops_ if op.kernel]
    flags = barriers(run, storages)
    assert len(flags) == len(run)
    group = []
    for op, barrier in zip(run, flags, strict=True):
        reads, writes = touches(op, storages, 3)
        for other in group:
            other_reads, other_writes = touches(other, storages, 3)
            assert not writes & (other_reads | other_writes) and not reads & other_writes
            scratch = [_core.kernel_uses_scratch(_core.kernel_ids[o.kernel]) for o in (op, other)]
            assert not all(scratch)
        group = [] if barrier else [*group, op]


def test_independent_ops_need_no_barrier():
    net = Net()
    x, y = net.input(4), net.input(4)
    n, mean, variance = ops.batch_norm(x, None, None)
    for statistic in (mean, variance):
        ops.moving_average(net.variable(4, trainable=False), statistic, 0.9)
    fetch = [n, y]
    ops_ = optimize(net.graph, frozenset(fetch))
    storages = assign_storages(ops_, fetch, 5)
    place(storages.values())
    kernels = [op.kernel for op in ops_]
    assert kernels == ["gather", "gather", "batch_norm_forward", "moving_average", "moving_average"]
    assert barriers(ops_, storages) == [False, True, True, False, False]


@pytest.mark.parametrize("network", [residual, dropped, RANDOM[0]], ids=str)
def test_any_number_of_threads_gives_the_same_bits(network, threads):
    net = build(network, dtype="float32", rows=33)
    gradients = net.graph.gradients(net.loss)
    net.sgd(gradients)
    start = [v.value.copy() for v in net.variables]

    def train(count):
        _core.set_num_threads(count)
        for v, value in zip(net.variables, start, strict=True):
            v.assign(value)
        program = net.compile([net.loss])
        for _ in range(3):
            program.run()
        return [v.value.copy() for v in net.variables]

    before = _core.get_num_threads()
    expected = train(1)
    for got, value in zip(train(before), expected, strict=True):
        assert_same_bits(got, value)


# ---- programs ------------------------------------------------------------------------------------


def test_a_program_trains():
    net = build(plain, dtype="float32", rows=40)
    step = net.sgd(net.graph.gradients(net.loss), rate=0.2)
    program = net.compile([net.loss], batch=20)
    losses = []
    for i in range(60):
        net.feed(program, (np.arange(20) + i) % 40)
        program.run()
        losses.append(float(program.view(net.loss)[0]))
    assert step.value[0] == 60
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])


def test_versions_count_what_a_run_writes():
    net = build(plain)
    frozen = net.variables[0]
    frozen.trainable = False
    net.sgd(net.graph.gradients(net.loss))
    program = net.compile([net.loss])
    before = [v.version for v in net.variables]
    program.run()
    program.run()
    counted = [v.version - b for v, b in zip(net.variables, before, strict=True)]
    named = {v.name: c for v, c in zip(net.variables, counted, strict=True)}
    assert counted[0] == 0 and counted[1:4] == [2, 2, 2]
    assert named["hyper"] == 0 and named["iterations"] == 2


def test_programs_of_two_batch_sizes_share_a_workspace():
    net = build(residual)
    gradients = net.graph.gradients(net.loss)
    fetch = [net.loss, *gradients.values()]
    alone = {batch: net.values(fetch, batch=batch) for batch in (2, 9)}
    workspace = Workspace()
    small = net.compile(fetch, batch=2, workspace=workspace)
    small.run()
    memory = workspace.memory
    large = net.compile(fetch, batch=9, workspace=workspace)
    assert workspace.memory is not memory, "the larger program must have made it grow"
    assert workspace.nbytes == large.workspace_bytes > small.workspace_bytes
    again = net.compile(fetch, batch=4, workspace=workspace)
    assert workspace.nbytes == large.workspace_bytes
    for program, batch in ((small, 2), (large, 9), (small, 2), (again, 4), (large, 9)):
        program.run()
        if batch in alone:
            for t, expected in zip(fetch, alone[batch], strict=True):
                assert_same_bits(program.view(t), expected)
                assert np.shares_memory(program.view(t), workspace.memory)


def test_a_workspace_forgets_programs_that_are_gone():
    net = build(plain)
    workspace = Workspace()
    net.compile([net.loss], batch=1, workspace=workspace)
    gc.collect()
    assert len(workspace._programs) == 0


def test_a_run_allocates_nothing():
    net = build(residual, dtype="float32")
    net.sgd(net.graph.gradients(net.loss))
    program = net.compile([net.loss])
    index = np.arange(net.rows)
    for _ in range(3):
        net.feed(program, index)
        program.run()
    memory, slots = program._workspace.memory.ctypes.data, program._slots.ctypes.data
    tracemalloc.start()
    try:
        program.run()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(50):
            program.run()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    # Versions become larger ints; nothing else.
    assert grown < 64 * len(program._written)
    assert program._workspace.memory.ctypes.data == memory
    assert program._slots.ctypes.data == slots


def test_the_kernels_write_only_inside_of_the_workspace():
    """Guard bytes behind a program's share of a larger workspace stay as they were."""
    net = build(residual, dtype="float32")
    net.sgd(net.graph.gradients(net.loss))
    program = net.compile([net.loss])
    workspace = Workspace()
    workspace.memory = _core.aligned_empty(program.workspace_bytes + 8192)
    guarded = net.compile([net.loss], workspace=workspace)
    assert workspace.nbytes == program.workspace_bytes + 8192
    workspace.memory[program.workspace_bytes :] = 77
    guarded.run()
    assert (workspace.memory[program.workspace_bytes :] == 77).all()


def test_views_are_read_only_and_of_fetched_tensors():
    net = build(plain)
    program = net.compile([net.loss])
    program.run()
    with pytest.raises(ValueError, match="read-only"):
        program.view(net.loss)[0] = 1
    with pytest.raises(ValueError, match="view: tensor must be one of those fetched"):
        program.view(net.graph.ops[2].outputs["y"])
    w = net.graph.variable(net.variables[0])
    np.testing.assert_array_equal(net.compile([w]).view(w), net.variables[0].value)


def test_feed_checks_what_it_is_given():
    net = Net("float32", rows=6)
    x, labels = net.input(4, 2), net.labels(3)
    loss = ops.softmax_cross_entropy(ops.reshape(x, (None, 8)), labels)
    program = compile(net.graph, batch=3, fetch=[loss], workspace=Workspace())
    data, index = net.data[x], np.array([5, 0, 2])
    with pytest.raises(RuntimeError, match="run: all inputs must be fed"):
        program.run()
    program.feed(x, data, index)
    with pytest.raises(RuntimeError, match="int64"):
        program.run()
    program.feed(labels, net.data[labels], index)
    program.run()
    for source in (data[:, :3], data[:, ::-1], data[..., None], np.float32(3)):
        with pytest.raises(ValueError, match="feed: source"):
            program.feed(x, source, index)
    for kind in (np.float16, np.complex64, object):
        with pytest.raises(TypeError, match="feed: source"):
            program.feed(x, data.astype(kind), index)
    with pytest.raises(TypeError, match="must be int64"):
        program.feed(labels, net.data[labels].astype(np.int32), index)
    for bad in ([0, 1, 6], [0, -1, 2]):
        with pytest.raises(ValueError, match=r"feed: index must lie in \[0, 6\)"):
            program.feed(x, data, np.array(bad))
    for bad in (index[:2], index.astype(np.int32), np.arange(6)[::2]):
        with pytest.raises(ValueError, match="feed: index must be int64"):
            program.feed(x, data, bad)
    with pytest.raises(ValueError, match="feed: tensor must be an input"):
        program.feed(loss, data, index)
    # Checked once per run, and again where another source is shorter, or after the run.
    program.feed(x, data, index)
    with pytest.raises(ValueError, match=r"\[0, 5\)"):
        program.feed(labels, net.data[labels][:5].copy(), index)
    program.run()
    index[0] = 6
    with pytest.raises(ValueError, match=r"\[0, 6\)"):
        program.feed(x, data, index)


def test_an_input_that_nothing_needs_may_be_fed():
    net = build(plain)
    p = next(op for op in net.graph.ops if op.kernel == "softmax_forward").outputs["y"]
    program = net.compile([p])
    assert len(program.inputs) == 1
    program.run()


def test_compile_checks_its_arguments():
    net, other = build(plain), build(plain)
    with pytest.raises(ValueError, match="compile: batch"):
        net.compile([net.loss], batch=-1)
    with pytest.raises(ValueError, match="compile: fetch"):
        net.compile([other.loss])
    with pytest.raises(ValueError, match=r"2\*\*60"):
        compile(net.graph, batch=2**60, fetch=[net.loss], workspace=Workspace())


def test_a_program_keeps_the_algorithm_chosen_when_it_was_compiled(direct):
    net = build(plain)
    (conv,) = [
        op for op in optimize(net.graph, frozenset([net.loss])) if op.kernel == "conv2d_forward"
    ]
    runtime.set_algorithm("auto")
    assert conv.values(1)["algorithm"] == 1
    (conv,) = [
        op for op in optimize(net.graph, frozenset([net.loss])) if op.kernel == "conv2d_forward"
    ]
    assert conv.values(1)["algorithm"] == 0


def test_an_interrupted_step_happens_wholly_or_not_at_all(run_script):
    """After Ctrl-C the weights are those of as many whole steps as the counter says."""
    source = """
import os, signal, threading, time
from networks import build, plain

signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs ignore it

def start():
    net = build(plain, dtype="float32", rows=40000)
    step = net.sgd(net.graph.gradients(net.loss))
    return net, step, net.compile([net.loss])

net, step, program = start()
program.run()
begin = time.monotonic()
threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    while time.monotonic() - begin < 20:
        program.run()
except KeyboardInterrupt:
    print("stopped" if time.monotonic() - begin < 5 else "late")
program.run()
twin, steps, again = start()
for _ in range(int(step.value[0])):
    again.run()
print(all((a.value == b.value).all() for a, b in zip(net.variables, twin.variables)))
"""
    assert run_script(source).split() == ["stopped", "True"]


def test_variables_can_be_shared_by_programs_of_two_graphs():
    a, b = Net("float32"), Net("float32", seed=1)
    v = Variable("w", np.ones((3, 2), np.float32))
    ys = [ops.dense(n.input(3), n.graph.variable(v)) for n in (a, b)]
    a.loss = ops.mean_squared_error(ys[0], a.input(2))
    a.sgd(a.graph.gradients(a.loss))
    program = b.compile([ys[1]])
    program.run()
    before = program.view(ys[1]).copy()
    a.compile([a.loss]).run()
    program.run()
    assert not np.allclose(program.view(ys[1]), before)
    np.testing.assert_allclose(
        program.view(ys[1]), next(iter(b.data.values())) @ v.value, rtol=1e-5, atol=1e-6
    )
