"""Convolutions with few channels, where samples fill the vectors: bits, and dx of small batches."""

import numpy as np
import pytest
from cases import Conv
from tolerance import assert_same_bits

import convkit
import convkit.functional as F

CONVS = [
    Conv((35, 28, 28, 1), (5, 5), 6, padding="same"),
    Conv((35, 14, 14, 6), (5, 5), 16),
    Conv((21, 12, 19, 3), (5, 5), 6),
    Conv((21, 33, 64, 3), (3, 3), 7, padding=1),
    Conv((19, 9, 20, 3), (3, 2), 8, dilation=(2, 1), padding=((0, 3), (2, 1))),
]


def arrays(conv, rng):
    x, w, dy = (
        rng.standard_normal(shape).astype(np.float32)
        for shape in (conv.x_shape, conv.w_shape, conv.y_shape)
    )
    return x, w, rng.standard_normal(conv.k).astype(np.float32), dy


@pytest.mark.parametrize("conv", CONVS, ids=str)
def test_a_sample_gives_the_same_bits_in_any_batch(conv, rng):
    x, w, b, dy = arrays(conv, rng)
    y = F.conv2d(x, w, b, **conv.options)
    dx = F.conv2d_backward(dy, x, w, needs=("x",), **conv.options)[0]
    for part in (slice(0, 1), slice(3, 20), slice(len(x) - 2, len(x))):
        assert_same_bits(F.conv2d(x[part], w, b, **conv.options), y[part])
        alone = F.conv2d_backward(dy[part], x[part], w, needs=("x",), **conv.options)[0]
        assert_same_bits(alone, dx[part])


@pytest.mark.parametrize("conv", CONVS, ids=str)
def test_any_number_of_threads_gives_the_same_bits(conv, rng):
    x, w, b, dy = arrays(conv, rng)
    before, results = convkit.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            convkit.set_num_threads(threads)
            gradients = F.conv2d_backward(dy, x, w, **conv.options)
            results.append([F.conv2d(x, w, b, **conv.options), *gradients])
    finally:
        convkit.set_num_threads(before)
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            assert_same_bits(a, b)
