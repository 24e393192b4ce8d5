"""What cannot be computed is refused before anything is allocated, with a message that helps.

A message begins with the function's name and holds the offending argument's name and value.
"""

import re

import numpy as np
import pytest
import reference
from calls import make_calls

import convkit.functional as F

CALLS = make_calls(np.float32)


def assert_refused(call, kinds, *words, **changes):
    """Assert that the call raises one of `kinds`, with all of `words` in its message."""
    with pytest.raises(kinds) as caught:
        call(**changes)
    message = str(caught.value)
    assert message.startswith(f"{call.name}: "), message
    for word in words:
        assert word in message, f"{word!r} is missing in: {message}"


CONV = ("conv2d", "conv2d_backward", "conv2d_transpose", "conv2d_transpose_backward")
POOL = ("max_pool2d", "max_pool2d_backward", "avg_pool2d", "avg_pool2d_backward")
SIZES = [
    *[(name, option) for name in CONV for option in ("strides", "dilation", "groups")],
    *[(name, option) for name in POOL for option in ("pool_size", "strides")],
]

BAD_SIZES = [
    *(0, -1, -(2**63), 2**63, 2**200, True, False, 1.0, 2.5, float("nan"), "2", b"2", 1j),
    *((), (1,), (1, 2, 3), (0, 1), (1, -2), (1, 2.0), (True, 1), ((1, 1), 1), (None, 1), {}),
    np.float32(2),
]


@pytest.mark.parametrize(("name", "option"), SIZES)
@pytest.mark.parametrize("value", BAD_SIZES, ids=repr)
def test_sizes(name, option, value):
    assert_refused(CALLS[name], (ValueError, TypeError), option, str(value), **{option: value})


ONES = [1, np.int8(1), np.uint64(1), np.array(1), (1, np.int32(1)), [1, 1], np.array([1, 1])]


@pytest.mark.parametrize("one", ONES, ids=repr)
def test_sizes_are_anything_with_an_index(one):
    for name in ("conv2d", "conv2d_transpose", "max_pool2d", "avg_pool2d"):
        for option in ("strides", "dilation" if name.startswith("conv") else "pool_size"):
            expected = CALLS[name](**{option: 1})
            np.testing.assert_array_equal(CALLS[name](**{option: one}), expected)


@pytest.mark.parametrize(("name", "option"), SIZES)
def test_none_is_no_size(name, option):
    if (name, option) not in {(pool, "strides") for pool in POOL}:  # None: the pool size
        assert_refused(CALLS[name], (ValueError, TypeError), option, "None", **{option: None})


BAD_PADDINGS = [
    *(-1, True, 1.0, 2**63, 2**200, "smae", "full", "", b"same", (), (1,), (1, 2, 3), (-1, 0)),
    *((1, 2.0), ((1, 1),), ((1, 1), (1,)), ((1, 1), (0, -1)), ((1, 1), (1, True)), ((1, 1), 1)),
    *(((1, 1), (1, 1), (1, 1), (1, 1)), {"top": 1}, float("nan"), (None, 1)),
]


@pytest.mark.parametrize("name", [*CONV, *POOL])
@pytest.mark.parametrize("value", BAD_PADDINGS, ids=repr)
def test_paddings(name, value):
    assert_refused(CALLS[name], (ValueError, TypeError), "padding", str(value), padding=value)


@pytest.mark.parametrize("name", POOL)
@pytest.mark.parametrize("padding", [3, 4, (3, 0), (0, 3), ((0, 3), (0, 0)), ((0, 0), (3, 0))])
def test_pool_padding_is_smaller_than_the_window(name, padding):
    assert_refused(CALLS[name], ValueError, "padding", pool_size=3, strides=1, padding=padding)


@pytest.mark.parametrize("value", [-1, 1.5, True, "1", (1,), (1, -1), (1, 2, 3)], ids=repr)
@pytest.mark.parametrize("name", ["conv2d_transpose", "conv2d_transpose_backward"])
def test_output_padding(name, value):
    kinds = (ValueError, TypeError)
    assert_refused(CALLS[name], kinds, "output_padding", str(value), output_padding=value)


# ---- shapes --------------------------------------------------------------------------------------

WRONG_RANKS = [
    *[
        (name, "x", shape)
        for name in ("conv2d", "conv2d_transpose", "max_pool2d", "avg_pool2d")
        for shape in [(), (3,), (5, 5, 3), (1, 1, 5, 5, 3)]
    ],
    *[(name, "w", (3, 3, 3)) for name in CONV],
    *[(name, "w", (3, 3, 3, 4, 1)) for name in CONV],
    *[(name, "dy", (3, 3, 4)) for name in ("conv2d_backward", "conv2d_transpose_backward")],
    *[("conv2d", "b", shape) for shape in [(), (5,), (3,), (1, 4), (0,)]],
    *[("dense", "x", shape) for shape in [(), (6,)]],
    *[("dense", "w", shape) for shape in [(), (6,), (6, 7, 1), (1, 6, 7)]],
    *[("dense", "b", shape) for shape in [(), (6,), (1, 7)]],
    *[("batch_norm", "x", shape) for shape in [(), (5,)]],
    *[("batch_norm", name, shape) for name in ("gamma", "beta") for shape in [(), (4,), (1, 5)]],
    *[
        ("batch_norm_inference", name, shape)
        for name in ("mean", "variance", "gamma", "beta")
        for shape in [(), (4,), (1, 5)]
    ],
    *[
        ("batch_norm_backward", name, shape)
        for name in ("mean", "variance", "gamma")
        for shape in [(), (4,), (1, 5)]
    ],
    ("batch_norm_backward", "dy", (4, 3, 2, 4)),
    ("batch_norm_backward", "dy", (24, 5)),
    ("dense_backward", "dy", (5, 6)),
    ("dense_backward", "dy", (4, 7)),
    ("dense_backward", "dy", (35,)),
    ("conv2d_backward", "dy", (2, 3, 3, 3)),
    ("conv2d_backward", "dy", (2, 4, 3, 4)),
    ("conv2d_backward", "dy", (1, 3, 3, 4)),
    ("conv2d_transpose_backward", "dy", (2, 12, 11, 4)),
    ("conv2d_transpose", "b", (3,)),
    ("max_pool2d_backward", "dy", (2, 3, 3, 4)),
    ("max_pool2d_backward", "dy", (2, 3, 3)),
    ("avg_pool2d_backward", "dy", (2, 3, 2, 3)),
    ("avg_pool2d_backward", "dy", (1, 3, 3, 3)),
    ("softmax_cross_entropy-indices", "logits", (6,)),
    ("softmax_cross_entropy-indices", "logits", (6, 5, 1)),
    ("softmax_cross_entropy-indices", "logits", (5, 5)),
    ("softmax_cross_entropy-probabilities", "labels", (6, 4)),
    ("softmax_cross_entropy-probabilities", "labels", (5, 5)),
    ("activation_backward-relu", "dy", (3, 4, 4)),
    ("activation_backward-relu", "dy", (60,)),
    ("activation_backward-relu", "dy", (1, 4, 5)),
]


@pytest.mark.parametrize(("name", "array", "shape"), WRONG_RANKS)
def test_shapes(name, array, shape):
    value = np.full(shape, 0.25, np.float32)
    assert_refused(CALLS[name], ValueError, array, str(shape), **{array: value})


WRONG_WEIGHTS = [
    *[(name, shape) for name in CONV[:2] for shape in [(3, 3, 4, 4), (3, 3, 2, 4), (3, 3, 1, 4)]],
    *[(name, shape) for name in CONV[2:] for shape in [(3, 3, 4, 4), (3, 3, 4, 2), (3, 3, 4, 6)]],
    *[(name, shape) for name in ("dense", "dense_backward") for shape in [(7, 7), (5, 7)]],
]


@pytest.mark.parametrize(("name", "shape"), WRONG_WEIGHTS)
def test_input_channels_of_w(name, shape):
    call = CALLS[name]
    w = np.ones(shape, np.float32)
    assert_refused(call, ValueError, str(call.arrays["x"].shape), str(shape), w=w)


@pytest.mark.parametrize("name", [*CONV, "dense", "dense_backward"])
def test_output_channels_of_w(name):
    # One output channel more than b or dy has.
    call = CALLS[name]
    axis = 2 if "transpose" in name else call.arrays["w"].ndim - 1
    w = np.concatenate([call.arrays["w"], call.arrays["w"].take([0], axis)], axis)
    other = "dy" if "backward" in name else "b"
    assert_refused(call, ValueError, other, str(call.arrays[other].shape), w=w)


@pytest.mark.parametrize("name", [*CONV, "dense", "dense_backward", "max_pool2d", "avg_pool2d"])
def test_zero_sizes(name):
    call = CALLS[name]
    for array in set(call.arrays) - {"dy"}:
        a = call.arrays[array]
        for axis in range(a.ndim):
            if axis == 0 and array == "x":
                continue  # an empty batch is fine
            shape = [*a.shape[:axis], 0, *a.shape[axis + 1 :]]
            value = np.zeros(shape, np.float32)
            assert_refused(call, ValueError, str(value.shape), **{array: value})


def test_kernel_larger_than_the_padded_input():
    call = CALLS["conv2d"]
    for options in (
        {"padding": "valid", "dilation": 3},
        {"padding": "valid", "x": np.ones((1, 2, 5, 3), np.float32)},
        {"padding": "valid", "x": np.ones((1, 6, 2, 3), np.float32)},
        {"padding": ((0, 0), (1, 0)), "x": np.ones((1, 6, 1, 3), np.float32)},
    ):
        assert_refused(call, ValueError, "(3, 3", **options)
    for name in ("max_pool2d", "avg_pool2d"):
        assert_refused(CALLS[name], ValueError, "pool_size", "7", pool_size=7, padding="valid")
        assert_refused(CALLS[name], ValueError, "pool_size", "7", pool_size=(1, 7), padding="valid")


@pytest.mark.parametrize(
    ("c", "k", "groups"), [(3, 4, 2), (4, 3, 2), (3, 3, 4), (4, 4, 3), (2, 2, 2**40)]
)
def test_groups_divide_the_channels(c, k, groups):
    x, w = np.ones((1, 4, 4, c), np.float32), np.ones((3, 3, max(c // groups, 1), k), np.float32)
    call = CALLS["conv2d"]
    assert_refused(call, ValueError, "groups", str(groups), x=x, w=w, b=None, groups=groups)


# ---- other arguments -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["conv2d", "dense"])
@pytest.mark.parametrize("value", ["rellu", "RELU6", "", 3, b"relu", ["relu"], np.tanh], ids=str)
def test_unknown_activation(name, value):
    kinds = (ValueError, TypeError)
    assert_refused(CALLS[name], kinds, "activation", repr(value), activation=value)


def test_unknown_activation_names_the_nearest():
    assert_refused(CALLS["conv2d"], ValueError, "rellu", "relu", activation="rellu")
    call = CALLS["activation_backward-relu"]
    assert_refused(call, ValueError, "'sigmod'", "sigmoid", name="sigmod")


@pytest.mark.parametrize("value", [None, 3, ("relu",)], ids=str)
def test_activation_backward_needs_a_name(value):
    assert_refused(CALLS["activation_backward-relu"], (ValueError, TypeError), "name", name=value)


@pytest.mark.parametrize(
    "parameters", [{"alpha": 1.0}, {"slope": 0.1}, {"approximate": True}], ids=str
)
def test_activation_backward_refuses_parameters_of_others(parameters):
    (word,) = parameters
    call = CALLS["activation_backward-relu"]
    assert_refused(call, (ValueError, TypeError), word, **parameters)


@pytest.mark.parametrize("name", ["conv2d_backward", "dense_backward", "conv2d_transpose_backward"])
@pytest.mark.parametrize("value", [("y",), ("x", "dw"), (0,), 3, None], ids=repr)
def test_needs(name, value):
    assert_refused(CALLS[name], (ValueError, TypeError), "needs", needs=value)


@pytest.mark.parametrize("value", [-1e-3, float("nan"), "small", None, 1j], ids=repr)
@pytest.mark.parametrize("name", ["batch_norm", "batch_norm_inference", "batch_norm_backward"])
def test_epsilon(name, value):
    assert_refused(CALLS[name], (ValueError, TypeError), "epsilon", str(value), epsilon=value)


@pytest.mark.parametrize("value", [-0.1, 1.5, float("nan"), "0.1", None], ids=repr)
def test_label_smoothing(value):
    call, kinds = CALLS["softmax_cross_entropy-indices"], (ValueError, TypeError)
    assert_refused(call, kinds, "label_smoothing", str(value), label_smoothing=value)


@pytest.mark.parametrize("value", [3, -4, 2**70, 1.0, True, "last", None, (0, 1)], ids=repr)
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_axis(name, value):
    assert_refused(CALLS[f"{name}-axis1"], (ValueError, TypeError), "axis", str(value), axis=value)
    with pytest.raises(ValueError, match=f"^{name}: .*axis"):
        getattr(F, name)(np.float32(1))


@pytest.mark.parametrize(
    "labels",
    [
        [0, 1, 2, 3, 4, 5],
        [0, 1, 2, 3, 4, -1],
        [0, 1, 2, 3, 4, 2**62],
        np.array([0, 0, 0, 0, 0, 2**64 - 1], np.uint64),
        np.zeros(6),
        np.zeros(6, np.float32),
        np.zeros(7, int),
        np.zeros((6, 5, 1)),
        np.int64(3),
    ],
)
def test_labels(labels):
    call = CALLS["softmax_cross_entropy-indices"]
    assert_refused(call, (ValueError, TypeError), "labels", labels=labels)


# ---- argmax --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [np.int64, np.int8, np.int32, np.uint16, np.float32, bool])
def test_argmax_dtype(kind):
    call = CALLS["max_pool2d_backward"]
    argmax = call.arrays["argmax"].astype(kind)
    assert_refused(call, (ValueError, TypeError), "argmax", "uint8", argmax=argmax)


def test_argmax_shape():
    call = CALLS["max_pool2d_backward"]
    argmax = call.arrays["argmax"]
    for wrong in (argmax[:1], argmax[..., :2], argmax[0], argmax.ravel()):
        assert_refused(call, ValueError, "argmax", str(wrong.shape), argmax=wrong)


@pytest.mark.parametrize("value", [9, 200, 255])
def test_argmax_range(value):
    call = CALLS["max_pool2d_backward"]
    argmax = call.arrays["argmax"].copy()
    argmax[1, 2, 2, 2] = value
    assert_refused(call, ValueError, "argmax", str(value), argmax=argmax)


@pytest.mark.parametrize("value", [-1, 289, 2**31 - 1, -(2**31)])
def test_argmax_range_of_large_windows(value):
    argmax = np.zeros((1, 2, 2, 3), np.int32)
    argmax[0, 1, 1, 1] = value
    dy, options = np.ones((1, 2, 2, 3), np.float32), {"pool_size": 17, "strides": 3}
    with pytest.raises(ValueError, match=r"(?s)^max_pool2d_backward: .*argmax"):
        F.max_pool2d_backward(dy, argmax, (1, 20, 20, 3), **options)


@pytest.mark.parametrize("cell", range(9))
def test_argmax_in_the_padding_writes_nowhere(cell):
    # No forward gives such an index, but a caller may: refuse it, or lose that gradient; never
    # write outside of dx.
    dy = np.ones((1, 2, 2, 40), np.float32)
    argmax = np.full(dy.shape, cell, np.uint8)
    memory = np.full(3 * 2 * 2 * 40, 7, np.float32)
    out = memory[160:320].reshape(1, 2, 2, 40)
    arguments = (dy, argmax, (1, 2, 2, 40), 3)
    options = {"strides": 1, "padding": 1}
    try:
        F.max_pool2d_backward(*arguments, **options, out=out)
    except ValueError as error:
        assert re.match("max_pool2d_backward: .*argmax", str(error))
    else:
        np.testing.assert_array_equal(out, reference.max_pool2d_backward(*arguments, **options))
    assert (memory[:160] == 7).all() and (memory[320:] == 7).all()


@pytest.mark.parametrize(
    "x_shape",
    [
        *[(2, 5, 6), (2, 5, 6, 3, 1), (2, 5, 6, 4), (1, 5, 6, 3), (2, 8, 6, 3), (2, 5, 6, -3)],
        *[(), 5, None, "2563", (2, 5, 6, 3.0), (2, 5, 6, True), (2, 0, 6, 3), (2, 5, 6, 0)],
        *[(2, 5, 2**63, 3), (2**62, 5, 6, 3), (2, 2**31, 2**31, 2**31)],
    ],
    ids=repr,
)
@pytest.mark.parametrize("name", ["max_pool2d_backward", "avg_pool2d_backward"])
def test_x_shape(name, x_shape):
    assert_refused(CALLS[name], (ValueError, TypeError), "x_shape", str(x_shape), x_shape=x_shape)


# ---- sizes that cannot be ------------------------------------------------------------------------

HUGE = """
import resource, time
resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
import numpy as np
import convkit.functional as F

one, two = np.ones((1, 1, 1, 1), np.float32), np.ones((2, 2, 1, 1), np.float32)
zero = np.float32(0)
image = np.broadcast_to(zero, (1, 2**16, 2**16, 3))
wide = np.broadcast_to(zero, (1, 1, 1, 2**40))
calls = {
    "conv2d of a view": lambda: F.conv2d(image, np.ones((3, 3, 3, 4), np.float32)),
    "conv2d of a wide view": lambda: F.conv2d(wide, one),
    "conv2d with huge w": lambda: F.conv2d(one, np.broadcast_to(zero, (1, 1, 1, 2**40))),
    "pool of a view": lambda: F.max_pool2d(image),
    "relu of a view": lambda: F.relu(image),
    "dense of a view": lambda: F.dense(np.broadcast_to(zero, (2**40, 1)), one[0, 0]),
    "softmax of a view": lambda: F.softmax(image),
    "batch_norm of a view": lambda: F.batch_norm(image),
    "dx": lambda: F.avg_pool2d_backward(one, (1, 2**31, 2**31, 1), (2**31, 2**31)),
    "dx of max": lambda: F.max_pool2d_backward(
        one, np.zeros((1, 1, 1, 1), np.int32), (1, 2**20, 2**20, 1), 2**20),
    "transpose": lambda: F.conv2d_transpose(np.ones((1, 2, 2, 1), np.float32), one, strides=2**40),
    "transpose output": lambda: F.conv2d_transpose(one, one, output_padding=2**40, strides=2**41),
}
for padding in (2**20, 2**31 - 1, 2**31, 2**40, 2**61, 2**62 - 1, 2**62, 2**63 - 1):
    for form in (padding, (0, padding), ((padding, padding), (0, 0)), ((0, padding), (padding, 0))):
        calls[f"padding {form}"] = lambda form=form: F.conv2d(one, one, padding=form)
    calls[f"pool {padding}"] = lambda p=padding: F.max_pool2d(one, p, padding="same", strides=p)
    calls[f"strides {padding} of dx"] = lambda p=padding: F.conv2d_backward(
        one, one, one, strides=p)
    calls[f"strides {padding} transposed"] = lambda p=padding: F.conv2d_transpose(
        one, one, strides=p, padding=0)
    calls[f"strides {padding}"] = lambda p=padding: F.conv2d(one, one, strides=p, padding=p - 1)
    calls[f"dilation {padding}"] = lambda p=padding: F.conv2d(one, two, dilation=p)
for name, call in calls.items():
    start = time.monotonic()
    try:
        result = call()
    except (ValueError, MemoryError) as error:
        kind = type(error).__name__
    else:
        arrays = result if isinstance(result, tuple) else (result,)
        assert all(a.size < 2**24 for a in arrays), name
        kind = "result"
    assert time.monotonic() - start < 2, name
    print(name, kind, sep=": ")
"""


def test_absurd_sizes_are_refused_at_once(run_script):
    # In a process with 3 GiB of address space: what is refused too late fails there, not here.
    lines = dict(line.rsplit(": ", 1) for line in run_script(HUGE).splitlines())
    computable = {name for name, kind in lines.items() if kind == "result"}
    # A window or a stride larger than everything leaves one or two outputs; so may long padding
    # along one axis, where it fits into memory.
    small = ("pool ", "strides ", "padding (0, 1048576)", "padding ((1048576, 1048576), (0, 0))")
    assert all(name.startswith(small) for name in computable), computable


X, W = np.ones((1, 5, 5, 1), np.float32), np.ones((2, 2, 1, 1), np.float32)
TOO_LARGE = 2**31 - 1


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda: F.relu([[1, 2], [3]]), ValueError, r"relu: x must be a regular array"),
        (
            lambda: F.conv2d(X, W, dilation=TOO_LARGE),
            ValueError,
            r"dilation=.* larger than 2",
        ),
        (lambda: F.conv2d(X, W, padding=TOO_LARGE), ValueError, r"padding must leave the height"),
        (
            lambda: F.conv2d_transpose(X, W, dilation=TOO_LARGE),
            ValueError,
            r"the output must have .* fewer than 2\*\*31 rows and columns",
        ),
        (
            lambda: F.conv2d(X, W, groups=np.ones(2, int)),
            TypeError,
            r"groups must be an int, got groups=",
        ),
        (
            lambda: F.activation_backward(X, X, "gelu", approximate=1),
            TypeError,
            r"approximate must be a bool, got 1",
        ),
        (
            lambda: F.max_pool2d(X, return_argmax=True, out=np.empty((1, 2, 2, 1), np.float32)),
            ValueError,
            r"out must be None with return_argmax=True",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_no_kernel_can_take(call, kind, words):
    with pytest.raises(kind, match=words):
        call()
