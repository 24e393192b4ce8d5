"""Relations between results that hold whatever the right numbers are.

Exact ones use integers; bitwise ones use floats and ask for identical bits.
"""

import numpy as np
import pytest
import reference
from calls import IDS, make_calls
from cases import CONVS, Conv, integers, uniform
from tolerance import assert_same_bits

import convkit.functional as F

BASE = Conv((2, 8, 9, 6), (3, 3), 10)
WINOGRAD = Conv((5, 14, 14, 32), (3, 3), 48, padding="same")


@pytest.fixture
def arrays(rng, dtype):
    """Return integer-valued x, w, b of BASE."""
    return [integers(rng, s, dtype) for s in (BASE.x_shape, BASE.w_shape, (BASE.k,))]


# ---- a sample's result does not depend on its batch ----------------------------------------------

# Sums over the batch, and statistics of it.
OVER_THE_BATCH = ("backward", "batch_norm", "softmax_cross_entropy")


def is_per_sample(name):
    """Return whether each sample of the call's result depends on that sample alone."""
    return name == "batch_norm_inference" or not any(part in name for part in OVER_THE_BATCH)


@pytest.mark.parametrize("name", [name for name in IDS if is_per_sample(name)])
def test_small_calls_sample_by_sample(name, dtype):
    call = make_calls(dtype)[name]
    batch = {k: a for k, a in call.arrays.items() if k in call.batch}
    together = call.results()
    for i in range(len(batch["x"])):
        alone = call.results(**{k: a[i : i + 1] for k, a in batch.items()})
        for one, all_ in zip(alone, together, strict=True):
            assert_same_bits(one, all_[i : i + 1])


@pytest.mark.parametrize("algorithm", ["auto", "direct"])
@pytest.mark.parametrize("conv", [*CONVS[::3], WINOGRAD], ids=str)
def test_convolutions_sample_by_sample(conv, algorithm, dtype, rng, request):
    if algorithm == "direct":
        request.getfixturevalue("direct")
    x = uniform(rng, (5, *conv.x_shape[1:]), dtype)
    w = uniform(rng, conv.w_shape, dtype)
    dy = uniform(rng, (5, *conv.y_shape[1:]), dtype)
    y = F.conv2d(x, w, **conv.options)
    dx, _, _ = F.conv2d_backward(dy, x, w, needs=("x",), **conv.options)
    for i in (0, 3, 4):
        assert_same_bits(F.conv2d(x[i : i + 1], w, **conv.options), y[i : i + 1])
        alone = F.conv2d_backward(dy[i : i + 1], x[i : i + 1], w, needs=("x",), **conv.options)[0]
        assert_same_bits(alone, dx[i : i + 1])


@pytest.mark.parametrize(("c", "k"), [(1, 1), (7, 10), (64, 10), (300, 33), (129, 257)])
def test_dense_row_by_row(c, k, dtype, rng):
    x, w, b = uniform(rng, (67, c), dtype), uniform(rng, (c, k), dtype), uniform(rng, k, dtype)
    dy = uniform(rng, (67, k), dtype)
    y, dx = F.dense(x, w, b), F.dense_backward(dy, x, w)[0]
    for rows in (slice(0, 1), slice(66, 67), slice(13, 18), slice(0, 32)):
        assert_same_bits(F.dense(x[rows], w, b), y[rows])
        assert_same_bits(F.dense_backward(dy[rows], x[rows], w)[0], dx[rows])


# ---- convolution ---------------------------------------------------------------------------------


def test_linear_in_each_argument(arrays, dtype, rng, direct):
    x, w, b = arrays
    x2, w2 = integers(rng, x.shape, dtype), integers(rng, w.shape, dtype)
    y = F.conv2d(x, w)
    np.testing.assert_array_equal(F.conv2d(x + 2 * x2, w), y + 2 * F.conv2d(x2, w))
    np.testing.assert_array_equal(F.conv2d(x, w + 2 * w2), y + 2 * F.conv2d(x, w2))
    np.testing.assert_array_equal(F.conv2d(x, w, b), y + b)


def test_translation(arrays, direct):
    x, w, _ = arrays
    y = F.conv2d(x, w)
    np.testing.assert_array_equal(F.conv2d(x[:, 1:], w), y[:, 1:])
    np.testing.assert_array_equal(F.conv2d(x[:, :, 2:], w), y[:, :, 2:])
    np.testing.assert_array_equal(F.conv2d(x[:, :-1, :-3], w), y[:, :-1, :-3])


def test_flips(arrays, direct):
    x, w, _ = arrays
    y = F.conv2d(x, w, padding=1)
    np.testing.assert_array_equal(F.conv2d(x[:, ::-1], w[::-1], padding=1), y[:, ::-1])
    np.testing.assert_array_equal(F.conv2d(x[:, :, ::-1], w[:, ::-1], padding=1), y[:, :, ::-1])
    turned = F.conv2d(x.transpose(0, 2, 1, 3), w.transpose(1, 0, 2, 3), padding=1)
    np.testing.assert_array_equal(turned.transpose(0, 2, 1, 3), y)


def test_permuted_channels(arrays, rng, direct):
    x, w, b = arrays
    y = F.conv2d(x, w, b)
    order, order_k = rng.permutation(x.shape[3]), rng.permutation(w.shape[3])
    np.testing.assert_array_equal(F.conv2d(x[..., order], w[:, :, order], b), y)
    np.testing.assert_array_equal(F.conv2d(x, w[..., order_k], b[order_k]), y[..., order_k])


def test_output_channels_do_not_depend_on_each_other(dtype, rng):
    x, w = uniform(rng, (2, 7, 6, 5), dtype), uniform(rng, (3, 3, 5, 37), dtype)
    y = F.conv2d(x, w)
    spoiled = w.copy()
    spoiled[..., 20] = np.nan
    expected = y.copy()
    expected[..., 20] = np.nan
    assert_same_bits(F.conv2d(x, spoiled), expected)


def test_one_by_one_is_a_matrix_product(rng, dtype, direct):
    x, w = integers(rng, (3, 5, 7, 19), dtype), integers(rng, (19, 23), dtype)
    np.testing.assert_array_equal(F.conv2d(x, w[None, None]), F.dense(x, w))
    np.testing.assert_array_equal(F.dense(x, w), (x.astype(int) @ w.astype(int)))


def test_whole_image_kernel_is_dense(rng, dtype, direct):
    x, w = integers(rng, (4, 5, 6, 3), dtype), integers(rng, (5, 6, 3, 11), dtype)
    y = F.conv2d(x, w).reshape(4, 11)
    np.testing.assert_array_equal(y, F.dense(x.reshape(4, -1), w.reshape(-1, 11)))


@pytest.mark.parametrize("strides", [2, 3, (1, 4), (5, 2)])
def test_stride_is_subsampling(strides, arrays, direct):
    x, w, b = arrays
    sh, sw = reference.pair(strides)
    np.testing.assert_array_equal(
        F.conv2d(x, w, b, strides=strides, padding=2),
        F.conv2d(x, w, b, padding=2)[:, ::sh, ::sw],
    )


@pytest.mark.parametrize("dilation", [2, 3, (1, 2)])
def test_dilation_is_a_kernel_with_zeros(dilation, arrays, direct):
    x, w, b = arrays
    dh, dw = reference.pair(dilation)
    spread = np.zeros((*reference.kernel_extent((3, 3), dilation), *w.shape[2:]), w.dtype)
    spread[::dh, ::dw] = w
    np.testing.assert_array_equal(F.conv2d(x, w, b, dilation=dilation), F.conv2d(x, spread, b))


@pytest.mark.parametrize("padding", [1, (2, 0), ((0, 1), (2, 3)), "same"])
@pytest.mark.parametrize("strides", [1, 2])
def test_padding_is_np_pad(padding, strides, arrays, direct):
    x, w, b = arrays
    sides = reference.resolve_padding(padding, x.shape[1:3], (3, 3), strides)
    padded = np.pad(x, ((0, 0), *sides, (0, 0)))
    y = F.conv2d(x, w, b, strides=strides, padding=padding)
    np.testing.assert_array_equal(y, F.conv2d(padded, w, b, strides=strides))
    np.testing.assert_array_equal(y, F.conv2d(x, w, b, strides=strides, padding=sides))


def test_forms_of_padding_agree(arrays):
    x, w, b = arrays
    y = F.conv2d(x, w, b, padding=2)
    for padding in ((2, 2), [2, 2], ((2, 2), (2, 2)), [[2, 2], [2, 2]], np.int64(2)):
        assert_same_bits(F.conv2d(x, w, b, padding=padding), y)
    assert_same_bits(F.conv2d(x, w, b, padding="valid"), F.conv2d(x, w, b, padding=0))
    asymmetric = F.conv2d(x, w, b, padding=(1, 2))
    assert_same_bits(asymmetric, F.conv2d(x, w, b, padding=((1, 1), (2, 2))))


def test_groups_are_separate_convolutions(rng, dtype, direct):
    x, w = integers(rng, (2, 6, 5, 12), dtype), integers(rng, (3, 3, 4, 15), dtype)
    parts = [F.conv2d(x[..., 4 * g : 4 * g + 4], w[..., 5 * g : 5 * g + 5]) for g in range(3)]
    np.testing.assert_array_equal(F.conv2d(x, w, groups=3), np.concatenate(parts, axis=3))


def test_kernel_of_one_cell_shifts_the_image(rng, dtype, direct):
    x = uniform(rng, (2, 6, 7, 5), dtype)
    w = np.zeros((3, 3, 5, 5), dtype)
    w[0, 2] = np.eye(5)
    y = F.conv2d(x, w, padding=1)
    np.testing.assert_array_equal(y[:, 1:, :-1], x[:, :-1, 1:])
    assert not y[:, 0].any() and not y[:, :, -1].any()


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("strides", [1, 2])
def test_transpose_is_the_gradient_of_the_forward(padding, strides, rng, dtype, direct):
    options = {"strides": strides, "padding": padding}
    w, x = integers(rng, (3, 3, 4, 7), dtype), integers(rng, (2, 5, 4, 7), dtype)
    y = F.conv2d_transpose(x, w, **options)
    dx, _, _ = F.conv2d_backward(x, np.zeros_like(y), w, needs=("x",), **options)
    np.testing.assert_array_equal(y, dx)


# ---- pooling and normalization -------------------------------------------------------------------


def test_max_pool_commutes_with_rising_functions(rng, dtype):
    x = uniform(rng, (2, 8, 8, 21), dtype)
    assert_same_bits(F.max_pool2d(F.relu(x), 3, strides=2), F.relu(F.max_pool2d(x, 3, strides=2)))
    assert_same_bits(F.max_pool2d(4 * x), 4 * F.max_pool2d(x))


def test_max_pool_of_shifted_images(rng, dtype):
    x = uniform(rng, (2, 9, 9, 5), dtype)
    y = F.max_pool2d(x, 3, strides=1)
    assert_same_bits(F.max_pool2d(x[:, 2:, 1:], 3, strides=1), y[:, 2:, 1:])
    assert_same_bits(F.max_pool2d(x, 3, strides=2), np.ascontiguousarray(y[:, ::2, ::2]))
    assert_same_bits(F.max_pool2d(F.max_pool2d(x, (3, 1), strides=1), (1, 3), strides=1), y)


def test_average_pool_is_a_depthwise_convolution(rng, dtype, direct):
    x = integers(rng, (2, 7, 8, 6), dtype)
    w = np.full((2, 4, 1, 6), 1 / 8, dtype)
    y = F.avg_pool2d(x, (2, 4), strides=(2, 1))
    np.testing.assert_array_equal(y, F.conv2d(x, w, strides=(2, 1), groups=6))


def test_batch_norm_ignores_a_shift_by_integers(rng, dtype):
    x = integers(rng, (4, 4, 4, 5), dtype, high=100)
    y = F.batch_norm(x)[0]
    np.testing.assert_allclose(F.batch_norm(x + 1000)[0], y, atol=2000 * np.finfo(dtype).eps)
    np.testing.assert_allclose(F.batch_norm(-x)[0], -y, rtol=8 * np.finfo(dtype).eps)


def test_batch_norm_training_equals_inference_with_its_statistics(rng, dtype):
    x, gamma, beta = (uniform(rng, shape, dtype) for shape in ((4, 3, 3, 9), 9, 9))
    y, mean, variance = F.batch_norm(x, gamma, beta)
    again = F.batch_norm_inference(x, mean, variance, gamma, beta)
    np.testing.assert_allclose(again, y, atol=16 * np.finfo(dtype).eps * 4)


def test_softmax_of_shifted_logits(rng, dtype):
    x = integers(rng, (5, 13), dtype)
    assert_same_bits(F.softmax(x + 64), F.softmax(x))
    np.testing.assert_allclose(np.exp(F.log_softmax(x)), F.softmax(x), rtol=1e-5)


def test_index_labels_equal_one_hot_labels(rng, dtype):
    logits, labels = uniform(rng, (9, 10), dtype), rng.integers(0, 10, 9)
    loss, dlogits = F.softmax_cross_entropy(logits, labels)
    for one_hot in (np.eye(10, dtype=dtype)[labels], np.eye(10, dtype=bool)[labels]):
        loss2, dlogits2 = F.softmax_cross_entropy(logits, one_hot)
        np.testing.assert_allclose(loss2, loss, rtol=8 * np.finfo(dtype).eps)
        np.testing.assert_allclose(dlogits2, dlogits, atol=8 * np.finfo(dtype).eps)
