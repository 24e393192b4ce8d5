"""Winograd's method: chosen where it should be, as exact as promised, and bound to its tiles."""

import numpy as np
import pytest
import reference
from cases import Conv
from tolerance import assert_same_bits

import convkit
import convkit.functional as F

# Tiles that reach over the right and lower edge, tails of channels, several items, several images
# in an item, several blocks of columns, few tiles with several chunks of channels; weight gradients
# shared by the team and, of the last, in parts; input gradients by tiles that overlap, alone in an
# image, in several bands, over borders; so many channels that weights come from memory: staged
# items, few tiles, tiles that overlap; larger kernels of which 3x3 taps meet the image; one to four
# tiles in all: the U of one and of four stays in registers.
SHAPES = [
    Conv((3, 32, 32, 32), (3, 3), 32, padding="same"),
    Conv((2, 13, 11, 16), (3, 3), 33),
    Conv((5, 8, 8, 64), (3, 3), 70, padding="same"),
    Conv((1, 15, 9, 17), (3, 3), 40, padding=((2, 1), (0, 2))),
    Conv((70, 4, 4, 32), (3, 3), 48, padding="same"),
    Conv((3, 24, 24, 32), (5, 5), 32),
    Conv((2, 10, 14, 20), (5, 5), 18, padding=2),
    Conv((90, 8, 8, 80), (3, 3), 66, padding="same"),
    Conv((4, 7, 6, 83), (3, 3), 300, padding="same"),
    Conv((3, 6, 6, 40), (3, 3), 37),
    Conv((9, 13, 13, 150), (3, 3), 32),
    Conv((2, 17, 13, 32), (5, 5), 50, padding=((0, 1), (1, 0))),
    Conv((70, 4, 4, 340), (3, 3), 352, padding="same"),
    Conv((1, 2, 16, 16), (5, 3), 32, padding="same"),
    Conv((40, 16, 2, 16), (3, 5), 32, padding="same"),
    Conv((20, 6, 6, 352), (3, 3), 340),
    Conv((70, 3, 3, 41), (3, 3), 48, padding="same"),
    Conv((2, 4, 4, 70), (3, 3), 96, padding="same"),
    Conv((1, 4, 12, 33), (3, 3), 16, padding="same"),
    Conv((17, 7, 8, 40), (3, 3), 144, padding="same"),
    Conv((1, 3, 4, 71), (3, 3), 144, padding="same"),
    Conv((1, 7, 6, 71), (3, 3), 144, padding="same"),
    Conv((1, 30, 25, 65), (3, 3), 48, padding="same"),
    Conv((33, 31, 29, 17), (3, 3), 18, padding="same"),
]


def arrays(conv, rng):
    """Return x, w, b and dy as a network has them: after a relu, with He's weights."""
    kh, kw, c, k = conv.w_shape
    x = np.maximum(rng.standard_normal(conv.x_shape), 0)
    w = rng.standard_normal(conv.w_shape) * np.sqrt(2 / (kh * kw * c))
    b, dy = rng.standard_normal(k), rng.standard_normal(conv.y_shape)
    return [a.astype(np.float32) for a in (x, w, b, dy)]


def passes(x, w, b, dy, conv):
    """Return y, dx, dw and db."""
    y = F.conv2d(x, w, b, **conv.options)
    return y, *F.conv2d_backward(dy, x, w, **conv.options)


def rms(a):
    return np.sqrt(np.mean(np.square(a, dtype=np.float64)))


@pytest.mark.parametrize("conv", SHAPES, ids=str)
def test_error_stays_near_that_of_the_direct_sum(conv, rng):
    data = arrays(conv, rng)
    fast = passes(*data, conv)
    convkit.set_algorithm("direct")
    try:
        direct = passes(*data, conv)
    finally:
        convkit.set_algorithm("auto")
    x, w, b, dy = data
    exact = (
        reference.conv2d(x, w, b, **conv.options),
        *reference.conv2d_backward(dy, x, w, **conv.options),
    )
    for got, plain, want, most in zip(fast, direct, exact, (6, 6, 10, 6), strict=True):
        assert rms(got - want) < most * rms(plain - want)
    # Other bits say that another method computed them.
    for got, plain in zip(fast[:3], direct[:3], strict=True):
        assert not np.array_equal(got, plain)


@pytest.mark.parametrize("conv", SHAPES, ids=str)
def test_any_number_of_threads_gives_the_same_bits(conv, rng):
    data = arrays(conv, rng)
    before, results = convkit.get_num_threads(), []
    try:
        for threads in (1, 2, 3, 7):
            convkit.set_num_threads(threads)
            results.append(passes(*data, conv))
    finally:
        convkit.set_num_threads(before)
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            assert_same_bits(a, b)


@pytest.mark.parametrize("conv", [SHAPES[i] for i in (0, 4, 6, 7, 8, 12, 16, 17, 19)], ids=str)
def test_a_sample_does_not_depend_on_its_batch(conv, rng):
    x, w, b, dy = arrays(conv, rng)
    y, dx, _, _ = passes(x, w, b, dy, conv)
    for i in (0, len(x) - 1):
        one = slice(i, i + 1)
        y1, dx1, _, _ = passes(x[one], w, b, dy[one], conv)
        assert_same_bits(y1, y[one])
        assert_same_bits(dx1, dx[one])


@pytest.mark.parametrize("activation", ["relu", "silu", "tanh"])
def test_fused_activation_equals_activation_of_the_sum(activation, rng):
    conv = SHAPES[1]
    x, w, b, _ = arrays(conv, rng)
    fused = F.conv2d(x, w, b, activation=activation, **conv.options)
    assert_same_bits(fused, getattr(F, activation)(F.conv2d(x, w, b, **conv.options)))


def test_nan_and_inf_reach_their_windows_and_no_farther_than_their_tiles(rng):
    conv = SHAPES[0]
    x, w, b, _ = arrays(conv, rng)
    clean = F.conv2d(x, w, b, **conv.options)
    for bad in (np.nan, np.inf):
        x[1, 13, 17, 5] = bad
        y = F.conv2d(x, w, b, **conv.options)
        assert not np.isfinite(y[1, 12:15, 16:19]).any()
        # Tiles of 4x4 outputs whose 6x6 inputs hold the pixel: rows 12-15, columns 16-19.
        y[1, 12:16, 16:20] = clean[1, 12:16, 16:20]
        assert_same_bits(y, clean)


def test_nan_in_a_gradient_reaches_its_overlapping_tile_and_no_farther(rng):
    x, w, _, dy = arrays(Conv((2, 13, 13, 32), (3, 3), 32), rng)
    clean, _, _ = F.conv2d_backward(dy, x, w)
    dy[1, 5, 2, 7] = np.nan
    dx, _, _ = F.conv2d_backward(dy, x, w)
    assert np.isnan(dx[1, 5:8, 2:5]).all()
    # The tile of dy's rows 4-7 and columns 0-3 gives rows 4-9 and columns 0-5 of dx.
    dx[1, 4:10, 0:6] = clean[1, 4:10, 0:6]
    assert_same_bits(dx, clean)


def test_float64_is_always_the_plain_sum(rng):
    conv = SHAPES[0]
    data = [a.astype(np.float64) for a in arrays(conv, rng)]
    auto = passes(*data, conv)
    convkit.set_algorithm("direct")
    try:
        for a, b in zip(auto, passes(*data, conv), strict=True):
            assert_same_bits(a, b)
    finally:
        convkit.set_algorithm("auto")


def test_environment_turns_it_off(run_script):
    script = (
        "import numpy as np, convkit, convkit.functional as F\n"
        "r = np.random.default_rng(0)\n"
        "x, w = r.integers(-4, 5, (2, 16, 16, 32)), r.integers(-4, 5, (3, 3, 32, 32))\n"
        "y = F.conv2d(x, w, padding='same')\n"
        "print(convkit.runtime.get_algorithm(), bool((y == np.rint(y)).all()))\n"
    )
    assert run_script(script, CONVKIT_CONV="direct").split() == ["direct", "True"]
    # 1/3, 1/15 and 1/2 are among the constants: integers do not stay integers.
    assert run_script(script, CONVKIT_CONV="auto").split() == ["auto", "False"]
