"""Variables, tensors, graphs and their gradients."""

import numpy as np
import pytest
from networks import NETWORKS, Net, build, plain, shared

from convkit import ops
from convkit.graph import Graph, Variable

# ---- variables -----------------------------------------------------------------------------------


def test_a_variable_owns_an_aligned_copy(dtype):
    start = np.arange(6, dtype=dtype).reshape(2, 3)
    v = Variable("w", start[:, ::-1])
    start[:] = 0
    assert v.value.ctypes.data % 64 == 0 and v.value.flags.c_contiguous
    np.testing.assert_array_equal(v.value, [[2, 1, 0], [5, 4, 3]])
    assert v.value.dtype == dtype and v.shape == (2, 3)


def test_a_view_follows_the_value_and_is_read_only():
    v = Variable("w", np.zeros(3, np.float32))
    view = v.view
    v.assign([1, 2, 3])
    np.testing.assert_array_equal(view, [1, 2, 3])
    with pytest.raises(ValueError, match="read-only"):
        view[0] = 5


def test_assign_keeps_the_memory_and_counts():
    v = Variable("w", np.zeros((2, 2)))
    memory, version = v.value.ctypes.data, v.version
    v.assign(np.ones((2, 2), np.int8))
    assert v.value.ctypes.data == memory and v.version == version + 1
    with pytest.raises(
        ValueError, match=r"assign: .*'w' must have shape \(2, 2\), got shape \(2,\)"
    ):
        v.assign([1, 2])
    with pytest.raises(TypeError, match="real numbers"):
        v.assign([["a", "b"], ["c", "d"]])
    assert v.version == version + 1 and (v.value == 1).all()


def test_variables_of_other_types_are_refused():
    with pytest.raises(TypeError, match="int64"):
        Variable("w", np.zeros(3, np.int64))
    swapped = np.arange(3, dtype=np.dtype(np.float32).newbyteorder())
    assert Variable("w", swapped).value.dtype == np.float32


# ---- graphs --------------------------------------------------------------------------------------


def test_a_variable_has_one_tensor_per_graph():
    g, v = Graph(), Variable("w", np.zeros(3, np.float32))
    assert g.variable(v) is g.variable(v)
    assert Graph().variable(v) is not g.variable(v)


def test_inputs_begin_with_the_batch():
    g = Graph()
    for shape in ((3, 4), (), (None, None), (None, 0)):
        with pytest.raises(ValueError, match=r"Graph\.input: shape"):
            g.input(shape)
    with pytest.raises(ValueError, match="real"):
        g.input((None, 3), "float16")
    with pytest.raises(ValueError, match="float32 or float64"):
        Graph("float16")


def test_a_graph_has_one_float_type():
    g = Graph("float32")
    w = g.variable(Variable("w", np.zeros((4, 2))))
    with pytest.raises(ValueError, match="dense: w must be of the model's float type float32"):
        ops.dense(g.input((None, 4)), w)


def test_graphs_do_not_mix():
    g, h = Graph(), Graph()
    with pytest.raises(ValueError, match="one graph"):
        ops.add(g.input((None, 4)), h.input((None, 4)))


# ---- gradients -----------------------------------------------------------------------------------


@pytest.mark.parametrize("network", NETWORKS, ids=lambda f: f.__name__)
def test_gradients_match_differences(network):
    """(L(w + h d) - L(w - h d)) / 2h = <g, d> in float64, for each variable along a random d.

    Rounding gives about L u / h = 1e-10, truncation h^2 = 1e-12 times third derivatives; a wrong
    factor or a missing term is larger by orders.
    """
    net = build(network)
    gradients = net.graph.gradients(net.loss)
    trainable = [v for v in net.variables if v.trainable]
    assert list(gradients) == trainable
    loss = net.compile([net.loss])
    found = net.values(list(gradients.values()))
    h = 1e-6
    for v, g in zip(trainable, found, strict=True):
        d = net.rng.standard_normal(v.shape)
        start = v.value.copy()
        sides = []
        for sign in (1, -1):
            v.assign(start + sign * h * d)
            loss.run()
            sides.append(float(loss.view(net.loss)[0]))
        v.assign(start)
        expected = (sides[0] - sides[1]) / (2 * h)
        assert g.shape == v.shape
        np.testing.assert_allclose(np.sum(g * d), expected, rtol=1e-6, atol=2e-8)


def test_gradients_are_only_of_trainable_variables():
    net = build(plain)
    first = net.variables[0]
    first.trainable = False
    gradients = net.graph.gradients(net.loss)
    assert list(gradients) == net.variables[1:]
    for v in net.variables:
        v.trainable = False
    with pytest.raises(ValueError, match="trainable"):
        net.graph.gradients(net.loss)


def test_no_gradient_of_what_nothing_trained_went_into():
    net = build(plain)
    net.graph.gradients(net.loss)
    kernels = [op.kernel for op in net.graph.ops]
    assert "conv2d_backward_weights" in kernels and "conv2d_backward_data" not in kernels
    # Nor behind the last trained layer.
    net = build(plain)
    for v in net.variables[:2]:
        v.trainable = False
    net.graph.gradients(net.loss)
    kernels = [op.kernel for op in net.graph.ops if "backward" in op.kernel]
    assert kernels == ["dense_backward_weights"]


def test_gradients_of_a_bias_alone():
    net = Net()
    x = net.input(3)
    w, b = net.variable(3, 4, trainable=False), net.variable(4)
    net.loss = ops.softmax_cross_entropy(ops.dense(x, w, b), net.labels(4))
    (db,) = net.graph.gradients(net.loss).values()
    (op,) = [op for op in net.graph.ops if op.kernel == "dense_backward_weights"]
    assert list(op.outputs) == ["db"] and op.outputs["db"] is db
    logits, probabilities = net.data[x] @ w.variable.value + b.variable.value, np.eye(4)
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    expected = (p - probabilities[net.data[list(net.data)[1]]]).mean(0)
    np.testing.assert_allclose(net.values([db])[0], expected, rtol=1e-12)


def test_gradients_of_shared_variables_are_summed():
    net = build(shared)
    net.graph.gradients(net.loss)
    adds = [op for op in net.graph.ops if op.kernel == "add"]
    assert len(adds) == 1 + 2 + 1  # forward; w and b of two uses; both sides of x + x


def test_gradients_start_at_a_loss():
    net = build(plain)
    with pytest.raises(ValueError, match="loss op"):
        net.graph.gradients(net.graph.ops[2].outputs["y"])
    x = net.input(3)
    loss = ops.mean_squared_error(net.input(3), x)
    with pytest.raises(ValueError, match="trainable"):
        net.graph.gradients(loss)


def test_targets_must_not_be_trained():
    net = Net()
    x = net.input(3)
    y = net.dense(x, 3)
    with pytest.raises(ValueError, match="must not depend"):
        net.graph.gradients(ops.mean_squared_error(y, ops.affine(y, 2, 0)))
