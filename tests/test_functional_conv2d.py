"""conv2d and its backward on random floats, against the twin and against differences."""

import itertools

import numpy as np
import pytest
import reference
from cases import BIG, CONVS, TAILS, Conv, uniform
from checks import check_conv2d, check_conv2d_auto, check_conv2d_transpose
from gradcheck import assert_gradient
from tolerance import assert_close, assert_same_bits, gamma

import convkit.functional as F

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.usefixtures("direct")
@pytest.mark.parametrize("conv", [*CONVS, *TAILS[::3], *BIG], ids=str)
def test_forward_and_backward(conv, dtype, rng):
    check_conv2d(conv, dtype, rng)


@pytest.mark.usefixtures("direct")
def test_every_stride_with_every_dilation(dtype, rng):
    # Which taps meet a pixel of dx follows from a congruence: none, one or several.
    for stride, dilation in itertools.product(range(2, 8), repeat=2):
        shape = (1, 4 * dilation + 9, 3 * stride + 8, 2)
        options = {"strides": (stride, dilation), "dilation": (dilation, stride), "padding": (2, 5)}
        check_conv2d(Conv(shape, (5, 4), 3, **options), dtype, rng)


def test_gradient_of_a_huge_stride(dtype, rng):
    # Each pixel of dx has its own tap or two; to try all taps for each would take minutes.
    stride, taps = 100_003, 200_001
    dy, w = uniform(rng, (1, 1, 2, 1), dtype), uniform(rng, (1, taps, 1, 1), dtype)
    x = np.zeros((1, 1, taps + stride, 1), dtype)
    dx = F.conv2d_backward(dy, x, w, strides=(1, stride), needs=("x",))[0].ravel()
    dx_ref = np.zeros(x.size)
    for start, g in zip((0, stride), dy.ravel().astype(np.float64), strict=True):
        dx_ref[start : start + taps] += g * w.ravel()
    assert_close(dx, dx_ref, gamma(2, dtype) * 2)


WINOGRAD = [
    Conv((1, 6, 6, 4), (3, 3), 4),
    Conv((2, 13, 14, 16), (3, 3), 16, padding="same"),
    Conv((1, 9, 7, 33), (3, 3), 17, padding="same"),
    Conv((1, 11, 12, 64), (3, 3), 65, padding=((2, 1), (0, 3))),
    Conv((2, 3, 29, 8), (3, 3), 24, padding="same"),
    Conv((3, 16, 16, 32), (3, 3), 32, padding="same"),
]


@pytest.mark.parametrize("conv", WINOGRAD, ids=str)
def test_fast_algorithms(conv, dtype, rng):
    check_conv2d_auto(conv, dtype, rng)


GRADIENTS = [
    Conv((2, 4, 5, 2), (3, 3), 3),
    Conv((1, 5, 4, 3), (3, 2), 2, padding="same"),
    Conv((1, 5, 6, 2), (3, 3), 2, strides=2, padding="same"),
    Conv((1, 5, 6, 2), (2, 2), 3, strides=3),
    Conv((1, 4, 4, 2), (3, 3), 3, padding=((2, 0), (1, 1))),
    Conv((1, 6, 6, 2), (3, 3), 2, dilation=2, padding=1),
    Conv((1, 4, 4, 4), (3, 3), 6, groups=2, padding="same"),
    Conv((1, 4, 4, 3), (3, 3), 3, groups=3, strides=2, padding="same"),
    Conv((2, 3, 3, 5), (1, 1), 4),
    Conv((1, 1, 6, 3), (1, 3), 2, strides=(1, 2)),
]


@pytest.mark.parametrize("conv", GRADIENTS, ids=str)
def test_gradients_by_differences(conv, rng):
    # A convolution is linear in each argument, so a large step has no truncation error.
    x, w = uniform(rng, conv.x_shape, np.float64), uniform(rng, conv.w_shape, np.float64)
    b, dy = uniform(rng, conv.k, np.float64), uniform(rng, conv.y_shape, np.float64)
    dx, dw, db = F.conv2d_backward(dy, x, w, **conv.options)
    assert_gradient(dx, lambda v: F.conv2d(v, w, b, **conv.options), x, dy, step=0.1)
    assert_gradient(dw, lambda v: F.conv2d(x, v, b, **conv.options), w, dy, step=0.1)
    assert_gradient(db, lambda v: F.conv2d(x, w, v, **conv.options), b, dy, step=0.1)


@pytest.mark.parametrize("name", reference.ACTIVATIONS)
def test_activation_is_applied(name, dtype, rng, direct):
    conv = Conv((2, 6, 7, 5), (3, 3), 19, padding="same")
    x, w, b = (uniform(rng, s, dtype) for s in (conv.x_shape, conv.w_shape, (conv.k,)))
    y = F.conv2d(x, w, b, activation=name, **conv.options)
    y_ref = reference.conv2d(x, w, b, activation=name, **conv.options)
    abs_sum = reference.conv2d(np.abs(x), np.abs(w), np.abs(b), **conv.options)
    # No activation here is steeper than 2; 8 more roundings are its own.
    bound = 2 * gamma(conv.terms[0] + 3, dtype) * abs_sum + 8 * np.finfo(dtype).eps * (1 + abs_sum)
    assert_close(y, y_ref, bound)


@pytest.mark.parametrize("bad_zero", [-0.0, 0.0])
def test_bias_of_zero_is_no_bias(bad_zero, dtype, rng):
    x, w = uniform(rng, (2, 5, 6, 3), dtype), uniform(rng, (3, 3, 3, 7), dtype)
    np.testing.assert_array_equal(F.conv2d(x, w), F.conv2d(x, w, np.full(7, bad_zero, dtype)))


@pytest.mark.parametrize("needs", [("x",), ("w",), ("b",), ("b", "x"), ["w", "b"], ("x", "w", "b")])
def test_needs(needs, dtype, rng):
    conv = CONVS[2]
    x, w, dy = (uniform(rng, s, dtype) for s in (conv.x_shape, conv.w_shape, conv.y_shape))
    everything = F.conv2d_backward(dy, x, w, **conv.options)
    some = F.conv2d_backward(dy, x, w, needs=needs, **conv.options)
    assert len(some) == 3
    for letter, got, want in zip("xwb", some, everything, strict=True):
        if letter in needs:
            assert_same_bits(got, want)
        else:
            assert got is None


TRANSPOSED = [
    Conv((2, 5, 6, 3), (3, 3), 4),
    Conv((2, 5, 6, 17), (3, 3), 9, strides=2, padding="same"),
    Conv((1, 4, 7, 6), (4, 3), 10, strides=(2, 3), padding=1, groups=2),
    Conv((5, 1, 1, 33), (4, 3), 10),
    # Kernels much larger than x: most pixels of y are met by few taps.
    Conv((2, 3, 2, 3), (41, 35), 4),
    Conv((1, 2, 3, 5), (70, 3), 5, strides=(2, 1), dilation=(3, 1), groups=5),
    Conv((1, 3, 2, 4), (5, 73), 17, strides=(1, 2), padding="same"),
]


@pytest.mark.parametrize("conv", TRANSPOSED, ids=str)
@pytest.mark.parametrize("output_padding", [None, 1])
def test_transpose_on_floats(conv, output_padding, dtype, rng, direct):
    check_conv2d_transpose(conv, output_padding, dtype, rng)


def test_transpose_by_a_huge_kernel(dtype, rng):
    # Full convolution commutes: the kernel may be the image. Most pairs of a pixel and a tap never
    # meet; going through all of them would take minutes.
    x, w = uniform(rng, (1, 1, 5, 1), dtype), uniform(rng, (1, 2**17, 1, 1), dtype)
    y = F.conv2d_transpose(x, w)
    y_ref = reference.conv2d_transpose(w.reshape(1, 1, -1, 1), x.reshape(1, 5, 1, 1))
    assert_close(y, y_ref, gamma(5, dtype) * 5)


def test_kernel_over_little_but_padding(dtype, rng):
    x, w = uniform(rng, (2, 3, 5, 3), dtype), uniform(rng, (3, 2**17, 3, 4), dtype)
    dy = uniform(rng, (2, 3, 5, 4), dtype)
    middle = slice(2**16 - 1 - 4, 2**16 - 1 + 5)  # the taps that meet the image
    near = np.ascontiguousarray(w[:, middle])
    assert_same_bits(F.conv2d(x, w, padding="same"), F.conv2d(x, near, padding="same"))
    dx, dw, db = F.conv2d_backward(dy, x, w, padding="same")
    near_dx, near_dw, near_db = F.conv2d_backward(dy, x, near, padding="same")
    assert_same_bits(dx, near_dx)
    assert_same_bits(dw[:, middle], near_dw)
    assert_same_bits(db, near_db)
    assert np.count_nonzero(dw) == near_dw.size


def test_needs_may_be_any_collection(rng):
    x, w = rng.standard_normal((2, 5, 5, 3)), rng.standard_normal((3, 3, 3, 4))
    dy = np.ones((2, 3, 3, 4))
    for needs in (["b"], {"b"}, iter("b"), (name for name in "b"), np.array(["b"])):
        dx, dw, db = F.conv2d_backward(dy, x, w, needs=needs)
        assert dx is None and dw is None
        np.testing.assert_array_equal(db, np.full(4, 18.0))
    for needs in (["q"], [["x"]], "x", 3):
        with pytest.raises(ValueError, match="needs must be a collection"):
            F.conv2d_backward(dy, x, w, needs=needs)
