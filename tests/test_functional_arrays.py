"""What arrays go in and come out: layouts, types, `out=`, empty batches, ownership."""

import numpy as np
import pytest
from calls import IDS, make_calls
from tolerance import assert_same_bits

import convkit.functional as F

CALLS = {np.dtype(d): make_calls(d) for d in (np.float32, np.float64)}


@pytest.fixture(params=IDS)
def call(request, dtype):
    """Return each call in turn, in each float type."""
    return CALLS[dtype][request.param]


@pytest.fixture(params=IDS)
def call32(request):
    """Return each call in turn, in float32."""
    return CALLS[np.dtype(np.float32)][request.param]


def assert_same_results(got, expected):
    """Assert that two tuples of results have the same bits."""
    assert len(got) == len(expected)
    for g, e in zip(got, expected, strict=True):
        assert_same_bits(g, e)


# ---- layouts -------------------------------------------------------------------------------------


def every_other(a):
    """Return `a` as every other element of a larger array, along each axis."""
    big = np.full([2 * n for n in a.shape], 77, a.dtype)
    view = big[tuple(slice(None, None, 2) for _ in a.shape)]
    view[...] = a
    return view


def shifted(a, nbytes):
    """Return `a` at an address `nbytes` after a 64-byte boundary."""
    raw = np.zeros(a.nbytes + 128, np.uint8)
    start = -raw.ctypes.data % 64 + nbytes
    view = np.ndarray(a.shape, a.dtype, raw, start)
    view[...] = a
    return view


def read_only(a):
    """Return a copy that refuses writes."""
    a = a.copy()
    a.flags.writeable = False
    return a


def backwards(a):
    """Return `a` with negative strides along every axis."""
    flip = tuple(slice(None, None, -1) for _ in a.shape)
    return a[flip].copy()[flip]


class Subclass(np.ndarray):
    """An array type of a user's own."""


VIEWS = {
    "fortran": np.asfortranarray,
    "transposed": lambda a: a.T.copy().T,
    "backwards": backwards,
    "every other": every_other,
    "read-only": read_only,
    "byte-swapped": lambda a: a.astype(a.dtype.newbyteorder()),
    "odd address": lambda a: shifted(a, 1),
    "4 bytes off": lambda a: shifted(a, 4),
    "16 bytes off": lambda a: shifted(a, 16),
    "subclass": lambda a: a.copy().view(Subclass),
    "memoryview": lambda a: memoryview(np.ascontiguousarray(a)),
    "list": lambda a: a.tolist(),
}


@pytest.mark.parametrize("view", VIEWS)
def test_views_give_the_same_bits(call, view):
    changed = {name: VIEWS[view](a) for name, a in call.arrays.items()}
    if view == "list":  # a list of floats is float64, as np.asarray says; argmax needs its type
        changed.pop("argmax", None)
        expected = call.results(**{k: np.asarray(v) for k, v in changed.items()})
    else:
        expected = call.results()
    got = call.results(**changed)
    assert_same_results(got, expected)
    assert all(type(r) is np.ndarray for r in got)


def test_memory_map(call, tmp_path):
    changed = {}
    for name, a in call.arrays.items():
        np.save(tmp_path / f"{name}.npy", a)
        changed[name] = np.load(tmp_path / f"{name}.npy", mmap_mode="r")
    assert_same_results(call.results(**changed), call.results())


def test_broadcast_views(dtype, rng):
    x = np.broadcast_to(rng.random((1, 1, 6, 1)).astype(dtype), (2, 5, 6, 3))
    w = np.broadcast_to(dtype.type(0.5), (3, 3, 3, 4))
    assert_same_bits(F.conv2d(x, w), F.conv2d(x.copy(), w.copy()))
    assert_same_bits(F.max_pool2d(x), F.max_pool2d(x.copy()))
    assert_same_bits(F.relu(x), F.relu(x.copy()))


# ---- types ---------------------------------------------------------------------------------------

NARROW = [np.float16, np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint64, bool]


@pytest.mark.parametrize("kind", NARROW, ids=lambda k: np.dtype(k).name)
def test_narrow_types_are_computed_in_float32(call32, kind):
    changed = {k: np.abs(4 * call32.arrays[k]).astype(kind) for k in call32.float_arrays}
    if "labels" in changed and np.dtype(kind).kind != "f":
        changed.pop("labels")  # whole numbers may mean something else than probabilities
    floats = {k: a.astype(np.float32) for k, a in changed.items()}
    got, expected = call32.results(**changed), call32.results(**floats)
    assert_same_results(got, expected)


def test_one_float64_array_makes_everything_float64(call32):
    for name in call32.float_arrays:
        wide = {k: call32.arrays[k].astype(np.float64) for k in call32.float_arrays}
        mixed = call32.results(**{name: wide[name]})
        for got, expected in zip(mixed, call32.results(**wide), strict=True):
            if got.ndim:  # a loss is a number of its own type
                assert_same_bits(got, expected)


def test_results_have_the_type_of_the_inputs(call, dtype):
    for i, r in enumerate(call.results()):
        if call.name == "max_pool2d" and i == 1:
            assert r.dtype == np.uint8
        elif r.ndim or call.name != "softmax_cross_entropy":
            assert r.dtype == dtype


def as_objects(a):
    """Return an array of Python numbers."""
    return a.astype(object)


BAD_TYPES = {
    "complex64": lambda a: a.astype(np.complex64),
    "complex128": lambda a: a.astype(np.complex128),
    "object": as_objects,
    "str": lambda a: a.astype(str),
    "bytes": lambda a: a.astype("S8"),
    "text": lambda a: "image.png",
}


@pytest.mark.parametrize("bad", BAD_TYPES)
def test_other_types_are_refused(call, bad):
    for name, a in call.arrays.items():
        with pytest.raises(TypeError, match=rf"(?s)^{call.name}: .*\b{name}\b"):
            call(**{name: BAD_TYPES[bad](a)})


def test_none_is_no_array(call):
    for name in call.arrays:
        if name not in {"b", "gamma", "beta"}:
            with pytest.raises(TypeError, match=call.name):
                call(**{name: None})


# ---- ownership -----------------------------------------------------------------------------------


def test_results_are_fresh(call):
    first, second = call.results(), call.results()
    for r in (*first, *second):
        assert r.flags.c_contiguous and r.flags.writeable and r.flags.aligned
    arrays = [*first, *second, *call.arrays.values()]
    for i, a in enumerate(arrays):
        for b in arrays[:i]:
            assert not np.shares_memory(a, b)
    kept = [r.copy() for r in first]
    call.results()
    assert_same_results(first, kept)


def test_inputs_are_not_modified(call):
    before = {name: a.tobytes() for name, a in call.arrays.items()}
    call.results()
    assert before == {name: a.tobytes() for name, a in call.arrays.items()}


def test_identities_are_copies(dtype, rng):
    x = rng.random((2, 3, 3, 4)).astype(dtype)
    for y in (F.relu(x), F.max_pool2d(x, 1), F.avg_pool2d(x, 1)):
        assert_same_bits(y, x)
        assert not np.shares_memory(y, x)


def test_float_mode_of_the_caller_is_kept(call32):
    # Kernels flush subnormals; outside of them, arithmetic must go on as before.
    call32.results()
    smallest = np.array([1e-40], np.float32)
    assert (smallest * np.float32(0.5) > 0).all()
    assert (np.array([5e-310]) / 2 > 0).all()


# ---- out= ----------------------------------------------------------------------------------------

WITH_OUT = [name for name, call in CALLS[np.dtype(np.float32)].items() if call.takes_out]


@pytest.fixture(params=WITH_OUT)
def call_out(request, dtype):
    """Return each call that takes `out`."""
    return CALLS[dtype][request.param]


def test_out_is_filled_and_returned(call_out):
    (expected,) = call_out.results()
    out = np.full_like(expected, np.nan)
    assert call_out(out=out) is out
    assert_same_bits(out, expected)
    odd = np.full((3, *expected.shape), 7, expected.dtype)
    call_out(out=odd[1])
    assert_same_bits(odd[1], expected)
    assert (odd[0] == 7).all() and (odd[2] == 7).all()


def bad_outs(y):
    """Yield arrays that must be refused, each with one thing wrong."""
    other = np.float64 if y.dtype == np.float32 else np.float32
    yield "dtype", np.zeros(y.shape, other)
    yield "dtype", np.zeros(y.shape, y.dtype.newbyteorder())
    yield "dtype", np.zeros(y.shape, np.int32)
    yield "shape", np.zeros((*y.shape, 1), y.dtype)
    yield "shape", np.zeros((y.shape[0] + 1, *y.shape[1:]), y.dtype)
    yield "shape", np.zeros(y.size, y.dtype)
    yield "contiguous", np.zeros((*y.shape[:-1], 2 * y.shape[-1]), y.dtype)[..., ::2]
    yield "contiguous", np.zeros(y.shape[::-1], y.dtype).T
    yield "writ", read_only(y)


def test_bad_out_is_refused(call_out):
    (y,) = call_out.results()
    for problem, out in bad_outs(y):
        before = out.copy()
        with pytest.raises(ValueError, match=rf"(?s)^{call_out.name}: .*out"):
            call_out(out=out)
        np.testing.assert_array_equal(out, before, err_msg=problem)


def test_out_must_be_an_array(call_out):
    (y,) = call_out.results()
    with pytest.raises((TypeError, ValueError), match=rf"(?s)^{call_out.name}: .*out"):
        call_out(out=y.tolist())


def test_out_must_not_overlap_an_input(call_out):
    (y,) = call_out.results()
    for name in call_out.float_arrays:
        a = call_out.arrays[name]
        memory = np.zeros(a.size + y.size, a.dtype)
        for start in {0, a.size // 2, a.size - 1}:
            out = memory[start : start + y.size].reshape(y.shape)
            source = memory[: a.size].reshape(a.shape)
            source[...] = a
            before = memory.copy()
            with pytest.raises(ValueError, match=rf"(?s)^{call_out.name}: .*out"):
                call_out(**{name: source, "out": out})
            np.testing.assert_array_equal(memory, before)
        # Side by side in one block of memory is not an overlap.
        memory[: a.size].reshape(a.shape)[...] = a
        out = memory[a.size :].reshape(y.shape)
        call_out(**{name: memory[: a.size].reshape(a.shape), "out": out})
        assert_same_bits(out, y)


def test_out_must_not_overlap_a_converted_input(dtype):
    # The input is copied before use, but what the caller sees would still be half overwritten.
    memory = np.zeros(200, dtype)
    x = memory[:100].reshape(10, 10)[::-1]
    with pytest.raises(ValueError, match=r"(?s)^relu: .*out"):
        F.relu(x, out=memory[50:150].reshape(10, 10))


# ---- empty batches -------------------------------------------------------------------------------

# Means over no sample are undefined: they have tests of their own.
MEANS = ("batch_norm", "batch_norm_backward", "softmax_cross_entropy")


@pytest.fixture(params=[name for name in IDS if name.split("-")[0] not in MEANS])
def call_per_sample(request, dtype):
    """Return each call that an empty batch has a result for."""
    return CALLS[dtype][request.param]


def test_empty_batch(call_per_sample):
    call = call_per_sample
    changed = {name: a[:0] for name, a in call.arrays.items() if name in call.batch}
    if "x_shape" in call.options:
        changed["x_shape"] = (0, *call.options["x_shape"][1:])
    results, full = call.results(**changed), call.results()
    for i, (got, like) in enumerate(zip(results, full, strict=True)):
        assert got.dtype == like.dtype
        if call.name in {"conv2d_backward", "conv2d_transpose_backward", "dense_backward"} and i:
            assert got.shape == like.shape
            assert not got.any()
        else:
            assert got.shape == (0, *like.shape[1:])


@pytest.mark.parametrize("shape", [(0, 3), (0, 4, 4, 3), (2, 0, 4, 3)])
def test_no_sample_to_average(shape, dtype):
    x = np.zeros(shape, dtype)
    with pytest.raises(ValueError, match=r"(?s)^batch_norm: "):
        F.batch_norm(x)
    with pytest.raises(ValueError, match=r"(?s)^batch_norm_backward: "):
        F.batch_norm_backward(x, x, np.zeros(3, dtype), np.ones(3, dtype))


@pytest.mark.parametrize("shape", [(0, 3), (0, 4, 4, 3)])
def test_inference_needs_no_sample(shape, dtype):
    y = F.batch_norm_inference(np.zeros(shape, dtype), np.zeros(3, dtype), np.ones(3, dtype))
    assert y.shape == shape and y.dtype == dtype


def test_no_sample_to_average_the_loss_over(dtype):
    for labels in (np.zeros(0, int), np.zeros((0, 3), dtype)):
        with pytest.raises(ValueError, match=r"(?s)^softmax_cross_entropy: "):
            F.softmax_cross_entropy(np.zeros((0, 3), dtype), labels)
