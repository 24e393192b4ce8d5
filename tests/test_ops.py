"""Ops in graphs against their float64 twins, and what emitting functions refuse."""

import importlib
import itertools
import re
from pathlib import Path

import numpy as np
import pytest
import reference
import reference_augment
import reference_update
from networks import Net
from tolerance import assert_close, unit_roundoff

from convkit import _core, ops
from convkit.graph import Variable
from convkit.ops import elementwise
from convkit.ops.base import Op, Struct
from convkit.ops.update import HYPER, Parameter

# ---- structs -------------------------------------------------------------------------------------


def test_a_struct_must_have_the_fields_of_the_library():
    Struct("ck_fill", "y", "count", "value")
    for fields in (("y", "count"), ("y x", "count", "value"), ("y", "count value"), ("z", "count")):
        with pytest.raises(ImportError, match=r"ck_fill: .* disagree about .*; rebuild"):
            Struct("ck_fill", *fields)
    with pytest.raises(ImportError, match="ck_nothing"):
        Struct("ck_nothing", "y")


def test_a_kernel_must_take_the_struct_of_its_op():
    with pytest.raises(ImportError, match="no kernel conv2d_sideways of struct ck_fill"):
        type(
            "Wrong",
            (Op,),
            {"kernel": "conv2d_sideways", "struct": Struct("ck_fill", "y", "count", "value")},
        )


def subclasses(cls):
    """Yield all classes below a class."""
    for sub in cls.__subclasses__():
        yield sub
        yield from subclasses(sub)


def test_every_kernel_has_an_op():
    known = {cls.kernel for cls in subclasses(Op)}
    packing = {cls.packs_by for cls in subclasses(Op)} - {""}
    assert set(_core.kernel_ids) - known - packing == {"probe_fma", "probe_streams"}


# What every kernel is compared with: a float64 twin in a module of the tests, or NumPy itself.
TWINS = {
    "reference": {
        **{"conv2d": "conv2d_forward", "dense": "dense_forward"},
        "conv2d_backward": "conv2d_backward_data conv2d_backward_weights",
        "dense_backward": "dense_backward_data dense_backward_weights",
        **{"max_pool2d": "max_pool2d_forward", "max_pool2d_backward": "max_pool2d_backward"},
        **{"avg_pool2d": "avg_pool2d_forward", "avg_pool2d_backward": "avg_pool2d_backward"},
        **{"batch_norm": "batch_norm_forward", "batch_norm_inference": "batch_norm_inference"},
        "batch_norm_backward": "batch_norm_backward batch_norm_backward_data",
        **{"activate": "activation_forward", "activation_backward": "activation_backward"},
        **{"softmax": "softmax_forward", "softmax_backward": "softmax_backward"},
        **{"log_softmax": "log_softmax_forward", "log_softmax_backward": "log_softmax_backward"},
        **{"cross_entropy": "cross_entropy", "huber": "element_loss", "dropout": "dropout"},
        "permute": "permute",
    },
    "reference_update": {
        **{"sgd": "sgd_update", "rmsprop": "rmsprop_update", "adam": "adam_update"},
        **{"nadam": "nadam_update", "adamax": "adamax_update", "adagrad": "adagrad_update"},
        **{"adadelta": "adadelta_update", "lion": "lion_update", "muon": "muon_update"},
        **{"penalty": "penalty", "bounded_norm": "constrain"},
    },
    "reference_maps": {
        "group_norm": "group_norm_forward group_norm_backward",
        "upsample2d": "upsample2d_forward upsample2d_backward",
        "adaptive_pool2d": "adaptive_max_pool2d_forward adaptive_max_pool2d_backward "
        "adaptive_avg_pool2d_forward adaptive_avg_pool2d_backward",
    },
    "reference_augment": {
        **{"draw_map": "draw_map", "remap": "gather_images", "draw_transform": "draw_transform"},
        **{"warp": "warp", "adjust": "adjust", "erase_box": "draw_erase", "noise": "erase"},
        "uniform": "draw_uniform draw_mix",
        "random_normal": "random_normal",
    },
    "numpy": {
        "add": "add affine binary_forward binary_backward loss_sum mix moving_average "
        "weight_average",
        "exp": "unary_forward unary_backward",
        **{"sum": "reduce_sum", "take": "gather", "eye": "one_hot", "full": "fill", "pad": "copy"},
    },
}


def test_every_kernel_has_a_twin_that_tests_call():
    """A kernel that is added comes with what it is compared with."""
    named = [k for twins in TWINS.values() for kernels in twins.values() for k in kernels.split()]
    packing = {cls.packs_by for cls in subclasses(Op)} - {""}
    assert sorted([*named, *packing, "probe_fma", "probe_streams"]) == sorted(_core.kernel_ids)
    folder = Path(__file__).parent
    tests = "".join(path.read_text() for path in sorted(folder.glob("*.py")))
    for module, twins in TWINS.items():
        for twin in twins:
            assert callable(getattr(importlib.import_module(module), twin))
            if module != "numpy":
                calls = len(re.findall(rf"\b{twin}\b", tests))
                assert calls > 2, f"no test calls {module}.{twin}"


# ---- values --------------------------------------------------------------------------------------


def one_op(emit, *shapes, dtype="float64", **options):
    """Run an emitting function on random inputs; return its result and the inputs."""
    net = Net(dtype)
    inputs = [net.input(*shape) for shape in shapes]
    y = emit(*inputs, **options)
    return net.values([y])[0], [net.data[x] for x in inputs]


def test_add_and_affine(dtype):
    y, (a, b) = one_op(ops.add, (3, 5), (3, 5), dtype=dtype)
    np.testing.assert_array_equal(y, a + b)
    y, (x,) = one_op(ops.affine, (3, 5), dtype=dtype, scale=-0.5, offset=0.25)
    assert_close(y, -0.5 * x + 0.25, 2 * unit_roundoff(dtype) * (np.abs(x) + 1))


def test_concatenate(dtype):
    def emit(*tensors, axis):
        return ops.concatenate(tensors, axis)

    for axis, shapes in (
        (3, [(2, 3, 4), (2, 3, 1)]),
        (1, [(2, 3), (5, 3), (1, 3)]),
        (-2, [(2, 3), (5, 3)]),
    ):
        y, arrays = one_op(emit, *shapes, dtype=dtype, axis=axis)
        np.testing.assert_array_equal(y, np.concatenate(arrays, axis))


@pytest.mark.parametrize(
    "sizes", [(3, 4, 5), (1, 17, 33), (40, 1, 20), (7, 2, 2, 3), (2, 3, 4, 2, 5)]
)
def test_permute(sizes, dtype, threads):
    """Every order of the axes, with sizes below, at and above the kernel's blocks."""
    orders = list(itertools.permutations(range(1, len(sizes) + 1)))
    for axes in orders[:: max(1, len(orders) // 24)]:
        y, (x,) = one_op(ops.permute, sizes, dtype=dtype, axes=axes)
        np.testing.assert_array_equal(y, reference.permute(x, axes))


def test_permute_in_order_is_nothing():
    net = Net()
    x, column = net.input(3, 4), net.input(1, 4, 1)
    assert ops.permute(x, (1, 2)) is x
    assert ops.permute(column, (2, 3, 1)).op.kernel == ""


def test_zero_pad2d(dtype):
    for sides in (((1, 2), (0, 3)), ((0, 0), (0, 0)), ((0, 1), (2, 0))):
        y, (x,) = one_op(ops.zero_pad2d, (3, 4, 2), dtype=dtype, padding=sides)
        np.testing.assert_array_equal(y, np.pad(x, ((0, 0), *sides, (0, 0))))


def test_reshape(dtype):
    for shape in ((None, -1), (None, 4, -1, 3), (None, 2, 6, 2)):
        y, (x,) = one_op(ops.reshape, (4, 2, 3), dtype=dtype, shape=shape)
        np.testing.assert_array_equal(y, x.reshape(len(x), *shape[1:]))


def test_inputs_are_converted_from_any_type(dtype):
    x = np.arange(60).reshape(10, 2, 3)
    index = np.array([7, 0, 7])
    for kind in ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8", "?"):
        net = Net(dtype, rows=3)
        t = net.graph.input((None, 2, 3))
        y = ops.affine(t, 1, 0)
        program = net.compile([y])
        source = x.astype(kind)
        program.feed(t, source, index)
        program.run()
        np.testing.assert_array_equal(program.view(y), source[index].astype(dtype))


def test_labels_arrive_bit_by_bit(dtype):
    """int64 rows pass through a float kernel: also those that are NaNs or subnormals as floats."""
    words = np.array([0, 1, -1, 2**63 - 1, -(2**63), 0x7FF0000000000001, 0x7F8000017FC00000, 3, 77])
    net = Net(dtype)
    t = net.graph.input((None,), "int64")
    net.data[t] = words
    np.testing.assert_array_equal(net.values([t])[0], words)


def test_dropout_keeps_a_share_and_scales():
    def emit(x):
        net.step = net.counter()
        return ops.dropout(x, 0.3, seed=5, stream=2, step=net.step)

    net = Net("float32", rows=50)
    x = net.input(40, 50)
    y = emit(x)
    values, data = net.values([y])[0], net.data[x]
    kept = values != 0
    assert_close(
        values, reference.dropout(data, kept, 0.3), 2 * unit_roundoff(np.float32) * np.abs(values)
    )
    # The share of 1e5 draws lies within 5 standard deviations of 0.7.
    assert abs(kept.mean() - 0.7) < 5 * np.sqrt(0.21 / kept.size)


def test_dropout_masks_follow_seed_stream_and_step():
    net = Net(rows=4)
    x = net.input(100)
    net.data[x][...] = 1
    step = net.counter()
    draws = [(1, 0), (2, 0), (1, 1), (1, 0)]
    ys = [ops.dropout(x, 0.5, seed=a, stream=b, step=step) for a, b in draws]
    program = net.compile(ys)
    masks = []
    for count in (0, 1, 0):
        step.variable.value[0] = count
        program.run()
        masks.append([program.view(y).copy() for y in ys])
    same = [[(a == b).all() for b in masks[0]] for a in masks[0]]
    assert same == [[i == j or {i, j} == {0, 3} for j in range(4)] for i in range(4)]
    assert not (masks[0][0] == masks[1][0]).all()
    np.testing.assert_array_equal(masks[0], masks[2])


@pytest.mark.parametrize("size", [1, 7, 16, 33])
def test_random_normal(size, dtype):
    net = Net(dtype)
    step = net.counter()
    step.variable.value[0] = 6
    x = net.input(size)
    y = ops.random_normal(x, 0.5, 2.0, seed=2**40 + 3, stream=9, step=step)
    expected = 0.5 + 2 * reference_augment.random_normal(net.rows * size, 2**40 + 3, 9, 6)
    np.testing.assert_allclose(net.values([y])[0].reshape(-1), expected, atol=5e-6)


def test_random_normal_is_normal():
    net = Net("float32", rows=300)
    x = net.input(1000)
    step = net.counter()
    draws = [(1, 0), (1, 0), (2, 0), (1, 1)]
    ys = net.values([ops.random_normal(x, seed=s, stream=t, step=step) for s, t in draws])
    y, again, *others = (values.reshape(-1).astype(float) for values in ys)
    np.testing.assert_array_equal(y, again)
    count = y.size
    # Within 5 standard deviations: moments, the tail, and what should not go together.
    for power, moment, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs((y**power).mean() - moment) < 5 * np.sqrt(variance / count)
    assert abs((y > 2).mean() - 0.02275) < 5 * np.sqrt(0.0222 / count)
    for other in (*others, np.roll(y, 1), np.roll(y, 16), np.roll(y, 1000)):
        assert abs((y * other).mean()) < 5 / np.sqrt(count)


def test_dropout_of_nothing_is_nothing():
    net = Net()
    x = net.input(3)
    assert ops.dropout(x, 0, seed=0, stream=0, step=net.counter()) is x


def test_softmax_cross_entropy_takes_the_logits_behind_a_softmax():
    net = Net()
    logits = net.dense(net.input(4), 6)
    p, labels = ops.softmax(logits), net.labels(6)
    mean = ops.softmax_cross_entropy(p, labels, from_logits=False)
    x, got_p, got, each = net.values([logits, p, mean, mean.per_sample])
    expected, _ = reference.softmax_cross_entropy(x, net.data[labels])
    np.testing.assert_allclose(got, expected, rtol=1e-13)
    np.testing.assert_allclose(got_p, reference.softmax(x), rtol=1e-13)
    np.testing.assert_allclose(each.mean(), expected, rtol=1e-13)


def test_cross_entropy_of_probabilities_clips():
    net = Net(rows=3)
    p, labels = net.input(3), net.labels(3)
    net.data[p][...] = [[0.2, 0.0, 0.6], [1, 0, 0], [1, 2, 3]]
    net.data[labels][...] = [1, 0, 2]
    mean = ops.softmax_cross_entropy(p, labels, from_logits=False)
    expected = reference.cross_entropy(net.data[p], net.data[labels])
    np.testing.assert_allclose(net.values([mean])[0], expected, rtol=1e-12)


def test_total_loss():
    for weights in ([2.0], [0.5, 3.0], [1.0, -2.0, 0.0]):
        net = Net()
        each = [ops.mean_squared_error(net.dense(net.input(3), 2), net.input(2)) for _ in weights]
        total = ops.total_loss(each, weights)
        got, *parts = net.values([total, *each])
        expected = sum(w * part[0] for w, part in zip(weights, parts, strict=True))
        np.testing.assert_allclose(got[0], expected, rtol=1e-14)
    assert ops.total_loss(each[:1], [1.0]) is each[0]


def test_sample_weights_weigh_and_divide_by_the_batch():
    net = Net()
    pred, target, weights = net.input(4, 2), net.input(4, 2), net.input()
    mean = ops.mean_squared_error(pred, target, weights)
    got, each = net.values([mean, mean.per_sample])
    squares = ((net.data[pred] - net.data[target]) ** 2).mean((1, 2))
    np.testing.assert_allclose(each, squares, rtol=1e-13)
    np.testing.assert_allclose(got, (squares * net.data[weights]).mean(), rtol=1e-12)


# ---- state ---------------------------------------------------------------------------------------


def test_moving_average():
    net = Net()
    x = net.input(3, 4)
    _y, mean, variance = ops.batch_norm(x, None, None)
    v = net.variable(4, trainable=False)
    start = v.variable.value.copy()
    ops.moving_average(v, mean, 0.9)
    net.values([variance])
    expected = 0.9 * start + 0.1 * net.data[x].mean((0, 1))
    np.testing.assert_allclose(v.variable.value, expected, rtol=1e-13)
    assert v.variable.version == 1


def run_update(kind, slots, steps=3, **numbers):
    """Run an optimizer on a linear model; return the weights, their start, and the gradients."""
    net = Net()
    w = net.variable(3, 2)
    net.loss = ops.mean_squared_error(ops.dense(net.input(3), w), net.input(2))
    ((variable, g),) = net.graph.gradients(net.loss).items()
    state = [Variable("slot", np.zeros((3, 2)), False) if used else None for used in slots]
    hyper = Variable("hyper", np.array([numbers.get(name, 0.0) for name in HYPER]), False)
    step = Variable("step", np.zeros(1, np.uint64), False)
    ops.update(net.graph, kind, [Parameter(variable, g, state)], hyper, step)
    program = net.compile([g])
    start, gradients = variable.value.copy(), []
    for _ in range(steps):
        program.run()
        gradients.append(program.view(g).copy())
    assert step.value[0] == steps and variable.version == steps
    return variable.value, start, gradients


def test_sgd_with_nesterov_momentum():
    w, expected, gradients = run_update("sgd", [1], learning_rate=0.1, momentum=0.9, nesterov=1)
    velocity = 0.0
    for g in gradients:
        expected, velocity = reference_update.sgd(
            expected, g, velocity, learning_rate=0.1, momentum=0.9, nesterov=True
        )
    np.testing.assert_allclose(w, expected, rtol=1e-12)


def test_plain_sgd():
    w, expected, gradients = run_update("sgd", [0, 0], learning_rate=0.1)
    for g in gradients:
        expected, _ = reference_update.sgd(expected, g, learning_rate=0.1)
    np.testing.assert_allclose(w, expected, rtol=1e-12)


def test_rmsprop():
    numbers = {"learning_rate": 0.01, "rho": 0.8, "epsilon": 1e-5}
    for momentum in (0.0, 0.5):
        w, expected, gradients = run_update(
            "rmsprop", [1, momentum > 0], momentum=momentum, **numbers
        )
        state = ()
        for g in gradients:
            expected, *state = reference_update.rmsprop(
                expected, g, *state, momentum=momentum, **numbers
            )
        np.testing.assert_allclose(w, expected, rtol=1e-12)


def test_adam():
    w, expected, gradients = run_update(
        "adam", [1, 1], learning_rate=0.01, momentum=0.8, rho=0.95, epsilon=1e-5
    )
    state = ()
    for step, g in enumerate(gradients, 1):
        expected, *state = reference_update.adam(
            *(expected, g, *state),
            **{"step": step, "learning_rate": 0.01, "beta_1": 0.8, "beta_2": 0.95, "epsilon": 1e-5},
        )
    np.testing.assert_allclose(w, expected, rtol=1e-12)


def test_weight_decay_leaves_out_what_it_is_told_to():
    net = Net()
    w, b = net.variable(3, 2), net.variable(2)
    net.loss = ops.mean_squared_error(ops.dense(net.input(3), w, b), net.input(2))
    gradients = net.graph.gradients(net.loss)
    hyper = np.zeros(len(HYPER))
    hyper[[HYPER.index("learning_rate"), HYPER.index("weight_decay")]] = 0.1, 0.5
    parameters = [Parameter(v, g, (), decay=v.value.ndim > 1) for v, g in gradients.items()]
    ops.update(
        *(net.graph, "sgd", parameters, Variable("h", hyper)),
        Variable("step", np.zeros(1, np.uint64)),
    )
    before = [w.variable.value.copy(), b.variable.value.copy()]
    dw, db = net.values(list(gradients.values()))
    np.testing.assert_allclose(w.variable.value, before[0] * (1 - 0.05) - 0.1 * dw, rtol=1e-12)
    np.testing.assert_allclose(b.variable.value, before[1] - 0.1 * db, rtol=1e-12)


# ---- what is refused -----------------------------------------------------------------------------


def refused(net):
    """Yield calls that must raise, with a pattern of the message."""
    x, image = net.input(4), net.input(6, 5, 3)
    w = net.variable(4, 2)
    labels, step = net.labels(3), net.counter()
    yield r"conv2d: x must have 4 axes .* shape \(None, 4\)", lambda: ops.conv2d(x, w)
    yield r"conv2d: w must have 4 axes", lambda: ops.conv2d(image, w)
    kernel = net.variable(3, 3, 2, 4)
    yield r"conv2d: w must have as many input channels", lambda: ops.conv2d(image, kernel)
    kernel = net.variable(7, 3, 3, 4)
    yield r"conv2d: the kernel must not be larger", lambda: ops.conv2d(image, kernel)
    kernel = net.variable(3, 3, 3, 4)
    yield r"conv2d: b must have shape \(4,\)", lambda: ops.conv2d(image, kernel, net.variable(3))
    yield r"conv2d: strides", lambda: ops.conv2d(image, kernel, strides=0)
    yield r"dense: x must be \(..., C\)", lambda: ops.dense(net.input(3), w)
    yield r"dense: b must have shape \(2,\)", lambda: ops.dense(x, w, net.variable(3))
    yield r"max_pool2d: x must have 4 axes", lambda: ops.max_pool2d(x)
    yield r"max_pool2d: the pool_size must not be larger", lambda: ops.max_pool2d(image, 6)
    yield r"avg_pool2d: padding must be smaller", lambda: ops.avg_pool2d(image, 2, 1, 2)
    yield r"batch_norm: gamma must have shape \(3,\)", lambda: ops.batch_norm(image, w, None)
    yield r"batch_norm: epsilon", lambda: ops.batch_norm(image, None, None, epsilon=-1)
    yield r"add: shapes must agree", lambda: ops.add(x, image)
    yield r"concatenate: shapes must agree", lambda: ops.concatenate([x, image])
    yield r"concatenate: shapes must agree", lambda: ops.concatenate([image, net.input(5, 5, 3)])
    yield r"concatenate: axis must not be the batch", lambda: ops.concatenate([x, x], 0)
    yield r"concatenate: axis", lambda: ops.concatenate([x, x], 2)
    yield r"concatenate: tensors must not be empty", lambda: ops.concatenate([])
    yield r"permute: axes must hold each of 1 to 3 once", lambda: ops.permute(image, (1, 2, 2))
    yield r"permute: axes must be at least 1", lambda: ops.permute(image, (0, 1, 2))
    deep = net.input(2, 3, 2, 3, 2, 3, 2)
    yield r"permute: at most 6 axes", lambda: ops.permute(deep, (7, 6, 5, 4, 3, 2, 1))
    yield r"zero_pad2d: padding", lambda: ops.zero_pad2d(image, "same")
    yield r"zero_pad2d: .*not negative", lambda: ops.zero_pad2d(image, ((-1, 0), (0, 0)))
    yield r"reshape: shape must be \(None", lambda: ops.reshape(image, (6, 15))
    yield r"reshape: .* as many values", lambda: ops.reshape(image, (None, 6, 16))
    yield r"reshape: .* as many values", lambda: ops.reshape(image, (None, 4, -1))
    yield r"reshape: .* as many values", lambda: ops.reshape(image, (None, -1, -1))
    yield r"dropout: rate", lambda: ops.dropout(x, 1.0, seed=0, stream=0, step=step)
    yield (
        r"random_normal: stddev",
        lambda: ops.random_normal(x, stddev=-1, seed=0, stream=0, step=step),
    )
    yield r"random_normal: step", lambda: ops.random_normal(x, seed=0, stream=0, step=w)
    yield r"dropout: step", lambda: ops.dropout(x, 0.5, seed=0, stream=0, step=w)
    yield r"activation: unknown .*did you mean 'relu'", lambda: ops.activation(x, "rellu")
    yield r"activation: 'softmax' mixes", lambda: ops.activation(x, "softmax")
    yield r"softmax: x must have at least 2 axes", lambda: ops.softmax(net.input())
    loss = ops.softmax_cross_entropy
    yield (
        r"softmax_cross_entropy: logits must have at least 2 ax",
        lambda: loss(net.input(), labels),
    )
    yield r"softmax_cross_entropy: labels must have shape", lambda: loss(image, labels)
    yield r"softmax_cross_entropy: labels must have shape", lambda: loss(x, image)
    yield r"softmax_cross_entropy: weights must have shape", lambda: loss(x, labels, x)
    yield r"softmax_cross_entropy: label_smoothing", lambda: loss(x, labels, label_smoothing=2)
    yield r"softmax_cross_entropy: logits must be of the model's", lambda: loss(labels, labels)
    yield r"mean_squared_error: target", lambda: ops.mean_squared_error(x, image)
    mean = ops.mean_squared_error(x, net.input(4))
    yield r"total_loss: there must be as many", lambda: ops.total_loss([mean], [])
    yield r"total_loss: there must be as many", lambda: ops.total_loss([], [])
    yield r"total_loss: losses must be the results of losses", lambda: ops.total_loss([x], [1])
    yield r"total_loss: weights must be", lambda: ops.total_loss([mean], ["1"])
    yield r"moving_average: batch must have shape", lambda: ops.moving_average(w, x, 0.9)
    yield r"moving_average: variable", lambda: ops.moving_average(x, x, 0.9)
    v, h, s = w.variable, Variable("h", np.zeros(len(HYPER))), step.variable
    yield (
        r"update: unknown kind='adma'; did you mean 'adam'",
        lambda: ops.update(net.graph, "adma", [], h, s),
    )
    yield r"update: parameters", lambda: ops.update(net.graph, "sgd", [], h, s)
    yield r"update: adam needs", lambda: ops.update(net.graph, "adam", [(v, w, [])], h, s)
    yield r"update: hyper", lambda: ops.update(net.graph, "sgd", [(v, w, [])], v, s)
    yield r"update: step", lambda: ops.update(net.graph, "sgd", [(v, w, [])], h, h)
    other = net.input(5)
    yield r"add: a and b must have one shape", lambda: elementwise.add(x, other)
    yield (
        r"batch_norm: x must have at least 2 axes",
        lambda: ops.batch_norm(net.input(), None, None),
    )
    yield (
        r"numpy_function: inputs must begin with a tensor",
        lambda: ops.numpy_function(np.sin, None, [], (None, 4)),
    )
    yield (
        r"numpy_function: shape must be \(None, sizes...\)",
        lambda: ops.numpy_function(np.sin, None, [x], (4,)),
    )
    yield r"penalty: mean_loss must be the result of a loss", lambda: ops.penalty(x, w)
    yield r"constrain: w must be a variable", lambda: ops.constrain(x)
    yield (
        r"weight_average: average and w must be variables of one shape",
        lambda: ops.weight_average(x, w, step, net.graph.variable(h)),
    )
    row = Parameter(Variable("row", np.ones(3, np.float32)), w, [None], 0.0, 1.0)
    yield (
        r"muon_update: a weight must have at least 2 axes",
        lambda: ops.muon_update(net.graph, row, h, None, {}),
    )
    yield r"update: gradient", lambda: ops.update(net.graph, "sgd", [(v, kernel, [])], h, s)


def test_what_does_not_fit_is_refused_and_changes_nothing():
    net = Net()
    for pattern, call in refused(net):
        count = len(net.graph.ops)
        with pytest.raises((ValueError, TypeError), match=pattern):
            call()
        added = net.graph.ops[count:]
        assert all(op.kernel == "gather" for op in added), pattern


def test_an_op_without_kernel_or_gradient_says_so():
    net = Net()
    op = ops.affine(net.input(4), 2.0, 0.0).op
    with pytest.raises(NotImplementedError, match="runs a kernel"):
        op.run_on_host({}, {})
    with pytest.raises(NotImplementedError, match="has no gradient"):
        Op.gradient(op, {}, set())
