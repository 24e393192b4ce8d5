"""Variables, tensors and graphs: what they hold, refuse, and emit for a gradient."""

import numpy as np
import pytest

from convkit import ops
from convkit.graph import Graph, Tensor, Variable
from convkit.ops.conv2d import Conv2DBackwardData, Conv2DBackwardWeights
from convkit.ops.elementwise import Add


def variable(*shape, trainable=True):
    return Variable("v", np.ones(shape, np.float32), trainable)


def count(graph, op_class):
    return sum(isinstance(op, op_class) for op in graph.ops)


# ---- variables -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint64"])
def test_variable_copies_into_memory_of_its_own(dtype):
    source = np.arange(6, dtype=dtype).reshape(2, 3)[:, ::-1]
    v = Variable("w", source)
    np.testing.assert_array_equal(v.value, source)
    assert v.value.dtype == dtype and v.value.flags.c_contiguous
    assert v.value.ctypes.data % 64 == 0
    assert not np.shares_memory(v.value, source)


def test_assign_writes_in_place_and_counts():
    v = variable(2, 2)
    value, address = v.value, v.value.ctypes.data
    v.assign([[1, 2], [3, 4]])
    assert v.version == 1 and v.value is value and value.ctypes.data == address
    np.testing.assert_array_equal(v.view, [[1, 2], [3, 4]])


def test_assign_refuses_another_shape_and_changes_nothing():
    v = variable(2, 2)
    with pytest.raises(ValueError, match=r"'v' must have shape \(2, 2\), got shape \(2,\)"):
        v.assign(np.zeros(2))
    with pytest.raises(TypeError, match="real numbers"):
        v.assign(np.zeros((2, 2), complex))
    assert v.version == 0 and (v.value == 1).all()


def test_the_view_of_a_variable_is_read_only():
    with pytest.raises(ValueError, match="read-only"):
        variable(2).view[0] = 3


@pytest.mark.parametrize("value", [np.zeros(2, np.int32), np.zeros(2, np.float16), ["a"]])
def test_variable_refuses_other_dtypes(value):
    with pytest.raises(TypeError, match="float32, float64 or uint64"):
        Variable("v", value)


# ---- graphs --------------------------------------------------------------------------------------


def test_graph_refuses_other_dtypes():
    with pytest.raises(ValueError, match="float32 or float64"):
        Graph("float16")


def test_a_variable_has_one_tensor():
    graph, v = Graph(), variable(2)
    assert graph.variable(v) is graph.variable(v)
    assert graph.variable(v) is not graph.variable(variable(2))
    assert Graph().variable(v) is not graph.variable(v)


@pytest.mark.parametrize("shape", [(), (3, 2), (None, None), (None, 0), (None, -1)])
def test_input_refuses_shapes_without_a_batch_or_with_no_size(shape):
    with pytest.raises(ValueError, match=r"Graph\.input: shape"):
        Graph().input(shape)


def test_input_refuses_other_dtypes():
    with pytest.raises(ValueError, match="dtype"):
        Graph().input((None, 2), "int32")


def test_tensors_of_two_graphs_do_not_mix():
    a, b = Graph(), Graph()
    with pytest.raises(ValueError, match="one graph, b does not"):
        ops.add(a.input((None, 2)), b.input((None, 2)))


def test_shapes_of_results():
    graph = Graph()
    x = graph.input((None, 8, 6, 3))
    w = graph.variable(variable(3, 3, 3, 5))
    y = ops.conv2d(x, w, strides=2, padding="same")
    assert y.shape == (None, 4, 3, 5)
    assert ops.max_pool2d(y).shape == (None, 2, 1, 5)
    assert ops.reshape(y, (None, -1)).shape == (None, 60)
    assert ops.zero_pad2d(y, ((1, 2), (3, 4))).shape == (None, 7, 10, 5)
    assert ops.concatenate([y, y], 2).shape == (None, 4, 6, 5)
    assert isinstance(y, Tensor) and y.op is not None


# ---- gradients -----------------------------------------------------------------------------------


def two_convolutions(train_first=True, train_second=True):
    """Return (graph, loss, w1, w2) of two convolutions one after the other."""
    graph = Graph()
    x, target = graph.input((None, 5, 5, 2)), graph.input((None, 5, 5, 2))
    w1, w2 = (variable(3, 3, 2, 2, trainable=t) for t in (train_first, train_second))
    y = ops.conv2d(x, graph.variable(w1), padding="same")
    y = ops.conv2d(y, graph.variable(w2), padding="same")
    return graph, ops.mean_squared_error(y, target), w1, w2


def test_the_gradient_of_the_input_is_not_computed():
    graph, loss, w1, w2 = two_convolutions()
    gradients = graph.gradients(loss)
    assert list(gradients) == [w1, w2]
    assert count(graph, Conv2DBackwardWeights) == 2
    assert count(graph, Conv2DBackwardData) == 1


def test_nothing_is_computed_for_what_is_frozen():
    graph, loss, _w1, w2 = two_convolutions(train_first=False)
    assert list(graph.gradients(loss)) == [w2]
    assert count(graph, Conv2DBackwardWeights) == 1
    assert count(graph, Conv2DBackwardData) == 0

    graph, loss, w1, _w2 = two_convolutions(train_second=False)
    assert list(graph.gradients(loss)) == [w1]
    assert count(graph, Conv2DBackwardWeights) == 1
    assert count(graph, Conv2DBackwardData) == 1


def test_weights_and_bias_share_one_op():
    graph = Graph()
    x = graph.input((None, 4))
    w, b = variable(4, 4), variable(4)
    y = ops.dense(x, graph.variable(w), graph.variable(b))
    gradients = graph.gradients(ops.mean_squared_error(y, x))
    assert gradients[w].op is gradients[b].op
    assert gradients[w].shape == (4, 4) and gradients[b].shape == (4,)


def test_gradients_of_several_consumers_are_added():
    graph = Graph()
    x, w = graph.input((None, 4)), variable(4, 4)
    h = ops.dense(x, graph.variable(w))
    y = ops.add(ops.add(h, ops.activation(h, "tanh")), ops.activation(h, "silu"))
    before = count(graph, Add)
    graph.gradients(ops.mean_squared_error(y, x))
    assert count(graph, Add) - before == 2


def test_branches_without_a_loss_are_left_alone():
    graph = Graph()
    x, w = graph.input((None, 4)), variable(4, 4)
    y = ops.dense(x, graph.variable(w))
    unused = ops.dense(x, graph.variable(variable(4, 2)))
    gradients = graph.gradients(ops.mean_squared_error(y, x))
    assert list(gradients) == [w]
    assert all(unused not in op.inputs.values() for op in graph.ops)


def test_gradients_refuse_what_is_no_loss_or_has_nothing_to_train():
    graph, loss, *_ = two_convolutions(train_first=False, train_second=False)
    with pytest.raises(ValueError, match="depend on a trainable variable"):
        graph.gradients(loss)
    with pytest.raises(ValueError, match="must be the mean loss"):
        graph.gradients(graph.input((None, 2)))


def test_labels_must_not_depend_on_what_is_trained():
    graph = Graph()
    x, w = graph.input((None, 4)), variable(4, 4)
    y = ops.dense(x, graph.variable(w))
    with pytest.raises(ValueError, match="targets and weights must not depend on variables"):
        graph.gradients(ops.mean_squared_error(x, y))
