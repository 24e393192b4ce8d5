"""Compare calls of `convkit.functional` with their float64 twins, each within a bound known before.

What a check takes are sizes and options; data are drawn from `rng`. The tests call them on chosen
cases, and `fuzz.py` on those that `CHECKS` draws.
"""

import numpy as np
import reference
from cases import Conv, uniform
from hypothesis import strategies as st
from tolerance import assert_close, assert_same_bits, assert_ulps, assert_within_bound, gamma

import convkit
import convkit.functional as F
from convkit.runtime import active_isa


def draw_arrays(rng, dtype, *shapes):
    """Return arrays of floats in [-1, 1)."""
    return [uniform(rng, shape, dtype) for shape in shapes]


def absolute(*arrays):
    """Return the absolute values of arrays."""
    return [np.abs(a) for a in arrays]


def longer(x):
    """Return float64 as a longer type: its results deserve a twin that is more exact than they."""
    return x.astype(np.longdouble) if x.dtype == np.float64 else x


# ---- convolution ---------------------------------------------------------------------------------


def check_conv2d(conv, dtype, rng):
    """Check y, dx, dw and db against the a-priori bounds of their sums (without Winograd)."""
    x, w, b, dy = draw_arrays(rng, dtype, conv.x_shape, conv.w_shape, (conv.k,), conv.y_shape)
    y = F.conv2d(x, w, b, **conv.options)
    assert y.dtype == dtype
    abs_sum = reference.conv2d(*absolute(x, w, b), **conv.options)
    assert_within_bound(y, reference.conv2d(x, w, b, **conv.options), abs_sum, conv.terms[0] + 1)
    gradients = F.conv2d_backward(dy, x, w, **conv.options)
    expected = reference.conv2d_backward(dy, x, w, **conv.options)
    abs_sums = reference.conv2d_backward(*absolute(dy, x, w), **conv.options)
    terms = (*conv.terms[1:], conv.terms[2])
    for got, want, abs_sum, n in zip(gradients, expected, abs_sums, terms, strict=True):
        assert got.dtype == dtype
        assert_within_bound(got, want, abs_sum, n)


def check_conv2d_auto(conv, dtype, rng):
    """Check the same with the algorithm that convkit chooses.

    Winograd F(4x4, 3x3) mixes the elements of a tile, so its error scales with the largest sum
    nearby, and its transforms (factors up to 8) cost one digit or two. The bound of a direct sum
    times 32, of the largest sum, leaves room for that; one wrong product exceeds it by 100.
    """
    x, w, dy = draw_arrays(rng, dtype, conv.x_shape, conv.w_shape, conv.y_shape)
    arrays = (x, w), (dy, x, w)
    got = (F.conv2d(*arrays[0], **conv.options), *F.conv2d_backward(*arrays[1], **conv.options))
    want, sizes = (
        (
            reference.conv2d(*[f(a) for a in arrays[0]], **conv.options),
            *reference.conv2d_backward(*[f(a) for a in arrays[1]], **conv.options),
        )
        for f in (np.asarray, np.abs)
    )
    for g, r, size, n in zip(got, want, sizes, (*conv.terms, conv.terms[2]), strict=True):
        assert_close(g, r, 32 * gamma(n + 2, dtype) * size.max(initial=0))


def check_conv2d_transpose(conv, output_padding, dtype, rng):
    """Check y, dx, dw and db of the transposed convolution."""
    kh, kw, _, k = conv.w_shape
    options = {**conv.options, "output_padding": output_padding}
    w_shape = (kh, kw, k // conv.groups, conv.x_shape[3])
    x, b, w = draw_arrays(rng, dtype, conv.x_shape, (k,), w_shape)
    y = F.conv2d_transpose(x, w, b, **options)
    y_ref = reference.conv2d_transpose(x, w, b, **options)
    abs_sum = reference.conv2d_transpose(*absolute(x, w, b), **options)
    assert_within_bound(y, y_ref, abs_sum, kh * kw * conv.x_shape[3] + 1)
    dy = uniform(rng, y.shape, dtype)
    gradients = F.conv2d_transpose_backward(dy, x, w, **options)
    expected = reference.conv2d_transpose_backward(dy, x, w, **options)
    abs_sums = reference.conv2d_transpose_backward(*absolute(dy, x, w), **options)
    terms = kh * kw * k, x[..., 0].size, dy[..., 0].size
    for got, want, abs_sum, n in zip(gradients, expected, abs_sums, terms, strict=True):
        assert_within_bound(got, want, abs_sum, n)


def check_dense(x_shape, k, dtype, rng):
    """Check y, dx, dw and db."""
    c, rows = x_shape[-1], int(np.prod(x_shape[:-1]))
    x, w, b, dy = draw_arrays(rng, dtype, x_shape, (c, k), (k,), (*x_shape[:-1], k))
    y = F.dense(x, w, b)
    assert y.dtype == dtype
    assert_within_bound(y, reference.dense(x, w, b), reference.dense(*absolute(x, w, b)), c + 1)
    expected = reference.dense_backward(dy, x, w)
    abs_sums = reference.dense_backward(*absolute(dy, x, w))
    got = F.dense_backward(dy, x, w)
    for g, want, size, n in zip(got, expected, abs_sums, (k, rows, rows), strict=True):
        assert g.dtype == dtype
        assert_within_bound(g, want, size, n)


# ---- pooling -------------------------------------------------------------------------------------


def check_max_pool2d(case, dtype, rng):
    """Check y, argmax and dx of (x_shape, pool_size, strides, padding).

    y and argmax have no tolerance.
    """
    x = uniform(rng, case[0], dtype) - dtype.type(2)  # all below zero: padding must not win
    options = dict(zip(("pool_size", "strides", "padding"), case[1:], strict=True))
    y, argmax = F.max_pool2d(x, return_argmax=True, **options)
    y_ref, argmax_ref = reference.max_pool2d(x, return_argmax=True, **options)
    assert_same_bits(y, y_ref)
    np.testing.assert_array_equal(argmax, argmax_ref)
    assert_same_bits(F.max_pool2d(x, **options), y)
    dy = uniform(rng, y.shape, dtype)
    dx = F.max_pool2d_backward(dy, argmax, case[0], **options)
    dx_ref = reference.max_pool2d_backward(dy, argmax, case[0], **options)
    abs_sum = reference.max_pool2d_backward(np.abs(dy), argmax, case[0], **options)
    assert dx.dtype == dtype
    # A cell is in as many windows as the window has cells, at most.
    assert_within_bound(dx, dx_ref, abs_sum, int(np.prod(reference.pair(case[1]))))


def check_avg_pool2d(case, count_include_pad, dtype, rng):
    """Check y and dx against the bounds of their sums."""
    x = uniform(rng, case[0], dtype)
    options = dict(zip(("pool_size", "strides", "padding"), case[1:], strict=True))
    options["count_include_pad"] = count_include_pad
    n = int(np.prod(reference.pair(case[1])))
    y = F.avg_pool2d(x, **options)
    assert y.dtype == dtype
    y_ref, abs_sum = reference.avg_pool2d(x, **options), reference.avg_pool2d(np.abs(x), **options)
    assert_within_bound(y, y_ref, abs_sum, n + 1)
    dy = uniform(rng, y.shape, dtype)
    dx = F.avg_pool2d_backward(dy, case[0], **options)
    dx_ref = reference.avg_pool2d_backward(dy, case[0], **options)
    abs_sum = reference.avg_pool2d_backward(np.abs(dy), case[0], **options)
    assert dx.dtype == dtype
    assert_within_bound(dx, dx_ref, abs_sum, n + 1)


# ---- batch normalization -------------------------------------------------------------------------


def norm_arrays(rng, shape, dtype, mean=0.0, std=1.0):
    """Return x, gamma, beta and dy."""
    c = shape[-1]
    x = (mean + std * rng.standard_normal(shape)).astype(dtype)
    gamma_, beta = uniform(rng, c, dtype) + 1, uniform(rng, c, dtype)
    return x, gamma_, beta, uniform(rng, shape, dtype)


def check_batch_norm(shape, mean, std, dtype, rng):
    """Check y, mean and variance of data with a mean and a standard deviation."""
    x, gamma_, beta, _ = norm_arrays(rng, shape, dtype, mean, std)
    y, got_mean, got_variance = F.batch_norm(x, gamma_, beta)
    assert y.dtype == got_mean.dtype == got_variance.dtype == dtype
    assert got_mean.shape == got_variance.shape == shape[-1:]
    y_ref, mean_ref, variance_ref = reference.batch_norm(longer(x), gamma_, beta)
    std_ref = np.sqrt(variance_ref + 1e-3)
    # 4 ulp of the numbers that went in: a mean or a difference to it cannot be better than x is,
    # and of the variance, a change of x by one ulp changes about 2 |mean| / std ulp. The textbook's
    # E[x^2] - E[x]^2 loses the square of that.
    eps = np.finfo(dtype).eps
    assert_close(got_mean, mean_ref, 4 * eps * (np.abs(mean_ref) + std_ref))
    condition = 1 + np.abs(mean_ref) / std_ref
    # Besides, up to 512 squares are added in a row: a few ulp more.
    assert_close(got_variance, variance_ref, 8 * eps * condition * (variance_ref + 1e-3))
    assert (got_variance >= 0).all()
    xhat = (x - mean_ref) / std_ref
    error = 4 * eps * np.abs(gamma_) * condition * (1 + np.abs(xhat))
    assert_close(y, y_ref, error + 4 * eps * (np.abs(y_ref) + np.abs(beta)))


def check_batch_norm_backward(shape, mean, dtype, rng):
    """Check dx, dgamma and dbeta."""
    x, gamma_, _, dy = norm_arrays(rng, shape, dtype, mean)
    _, mean, variance = F.batch_norm(x)
    got = F.batch_norm_backward(dy, x, mean, variance, gamma_)
    expected = reference.batch_norm_backward(dy, x, mean, variance, gamma_)
    axes, rows = tuple(range(x.ndim - 1)), x[..., 0].size
    std = np.sqrt(reference.wide(variance) + 1e-3)
    xhat = np.abs(x - reference.wide(mean)) / std
    # Every term of the three sums, with the error of xhat (from the cancellation in x - mean).
    eps = gamma(rows + 16, dtype)
    xhat_size = xhat + (np.abs(x) + np.abs(mean)) / std
    abs_dy = np.abs(dy.astype(np.float64))
    dgamma_size = (abs_dy * xhat_size).sum(axes)
    dx_size = abs_dy + abs_dy.mean(axes) + xhat_size * dgamma_size / rows
    sizes = np.abs(gamma_) / std * dx_size, dgamma_size, abs_dy.sum(axes)
    for g, want, size in zip(got, expected, sizes, strict=True):
        assert g.dtype == dtype
        assert_close(g, want, eps * size)


def check_batch_norm_inference(shape, epsilon, dtype, rng):
    """Check y with given statistics."""
    x, gamma_, beta, _ = norm_arrays(rng, shape, dtype)
    mean, variance = uniform(rng, shape[-1], dtype), (rng.random(shape[-1]) + 0.1).astype(dtype)
    y = F.batch_norm_inference(x, mean, variance, gamma_, beta, epsilon=epsilon)
    y_ref = reference.batch_norm_inference(x, mean, variance, gamma_, beta, epsilon=epsilon)
    # y may be computed as x * scale + offset: each part is then rounded at its own size.
    scale = np.abs(gamma_) / np.sqrt(variance.astype(np.float64) + epsilon)
    size = (np.abs(x) + np.abs(mean)) * scale + np.abs(beta)
    assert y.dtype == dtype
    assert_close(y, y_ref, 4 * np.finfo(dtype).eps * size)


# ---- activations, softmax and cross-entropy ------------------------------------------------------

# ulps of the result allowed. The piecewise linear ones round at most three times; the others hold
# an exp, a log or a tanh of 1 to 2 ulp and a few operations around it.
ULPS = {"relu": 0, "leaky_relu": 1, "hard_sigmoid": 2, "hard_silu": 2}


def _tail_ulps(size, dtype, parameters):
    """Return by how many ulp exp of a rounded argument may be off, in gelu's tail.

    The tanh form rounds its argument four times. The exact one has x^2 without a rounding error
    where FMA is fused; else, and in float64, where its twin rounds as well, an ulp is x^2 ulp.
    """
    if parameters.get("approximate"):
        return 2 * 1.5957691 * (size + 0.044715 * size**3)
    if dtype == np.float64:
        return 2 * size**2
    return size**2 if active_isa() == "baseline" else 0


def check_activation(name, parameters, x):
    """Check y of an activation."""
    dtype = x.dtype
    with np.errstate(under="ignore", over="ignore"):
        y_ref = reference.activate(longer(x), name, **parameters)
    y = getattr(F, name)(x, **parameters)
    assert y.dtype == dtype
    size, info = np.abs(x.astype(np.float64)), np.finfo(dtype)
    tail = (
        np.where(x < 0, _tail_ulps(np.minimum(size, 40), dtype, parameters), 0)
        if name == "gelu"
        else 0
    )
    # Where exp(x) is subnormal it may be flushed, so x * exp(x) may be zero.
    flushed = info.tiny * (1 + 2 * np.maximum(size, 1) * (x < 0))
    assert_close(y, y_ref, (ULPS.get(name, 4) + tail) * info.eps * np.abs(y_ref) + flushed)


def check_activation_backward(name, parameters, x, rng):
    """Check dx of an activation."""
    dtype = x.dtype
    if name.startswith("hard"):
        x = x[np.abs(np.abs(x) - 3) > 1e-3]  # the derivative jumps there
    dy = uniform(rng, x.shape, dtype)
    with np.errstate(under="ignore", over="ignore"):
        dx_ref = reference.activation_backward(dy, longer(x), name, **parameters)
    dx = F.activation_backward(dy, x, name, **parameters)
    assert dx.dtype == dtype
    # The smooth ones are sums of terms up to about 1 that cancel: an error of that size.
    size = np.abs(dy.astype(np.float64)) * (name not in {"relu", "leaky_relu", "hard_sigmoid"})
    if name in {"silu", "mish"}:
        # f / x and a rest of the other sign below zero, both small there.
        wide = longer(x)
        factor = reference.activate(wide, name) / np.where(wide == 0, 1, wide)
        slope = reference.activation_backward(np.ones_like(wide), wide, name)
        size = size * (factor + np.abs(slope - factor))
        # Where exp(x) is subnormal it may be flushed, and x times that.
        size = size + np.finfo(dtype).tiny / np.finfo(dtype).eps * np.maximum(np.abs(wide), 1)
    ulps = 2 if name in {"silu", "mish"} else ULPS.get(name, 6)
    assert_ulps(dx, dx_ref, ulps + 1, size)


def check_softmax(x):
    """Check softmax and log_softmax over the last axis."""
    dtype, cols = x.dtype, x.shape[-1]
    with np.errstate(under="ignore"):
        y_ref, log_ref = reference.softmax(x), reference.log_softmax(x)
    y, log_y = F.softmax(x), F.log_softmax(x)
    assert y.dtype == log_y.dtype == dtype
    # x - max is rounded; exp, a sum and a quotient follow.
    wide = x.astype(np.float64)
    shift = wide.max(-1, keepdims=True) - wide
    bound = gamma(cols + 12, np.float32) * (1 + shift + shift.max(-1, keepdims=True))
    bound = bound * (np.finfo(dtype).eps / np.finfo(np.float32).eps)
    tiny = np.finfo(dtype).tiny  # what is below the normal range may be flushed
    assert_close(y, y_ref, bound * y_ref + tiny)
    assert_close(log_y, log_ref, bound + tiny)
    assert_close(y.astype(np.float64).sum(-1), np.ones(y.shape[:-1]), gamma(cols + 20, dtype))


def check_cross_entropy(logits, labels, label_smoothing=0.0):
    """Check the mean loss and its gradient."""
    options = {"label_smoothing": label_smoothing}
    loss, dlogits = F.softmax_cross_entropy(logits, labels, **options)
    loss_ref, dlogits_ref = reference.softmax_cross_entropy(logits, labels, **options)
    dtype, (n, k) = logits.dtype, logits.shape
    size = 1 + np.abs(logits.astype(np.float64)).max()
    bound = gamma(n + 2 * k + 20, dtype) * size
    assert np.ndim(loss) == 0
    assert_close(np.float64(loss), loss_ref, bound * 4)
    assert dlogits.dtype == dtype
    assert_close(dlogits, dlogits_ref, bound * 4 / n)


# ---- random cases --------------------------------------------------------------------------------

DTYPES = st.sampled_from([np.dtype(np.float32), np.dtype(np.float64)])
CHANNELS = st.sampled_from([1, 2, 3, 4, 5, 7, 8, 9, 11, 15, 16, 17, 23, 31, 32, 33, 35, 64, 65])
SEEDS = st.integers(0, 2**32 - 1)


@st.composite
def convolutions(draw, channels=CHANNELS):
    """Draw a valid convolution: the output size first, then an input that gives it."""

    def number(low, high):
        return draw(st.integers(low, high))

    kernel = number(1, 5), number(1, 4)
    strides, dilation = (number(1, 4), number(1, 3)), (number(1, 3), number(1, 2))
    sides = (number(0, 3), number(0, 3)), (number(0, 3), number(0, 3))
    extent = reference.kernel_extent(kernel, dilation)
    size = []
    for axis in (0, 1):
        padded = (number(1, 6) - 1) * strides[axis] + extent[axis] + number(0, strides[axis] - 1)
        size.append(max(padded - sum(sides[axis]), 1))
    padding = draw(st.sampled_from(["same", sides, sides]))
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    c, k = groups * draw(channels), groups * draw(channels)
    if number(0, 9) == 0:  # depthwise
        groups, k = c, c * number(1, 2)
    return Conv((number(1, 3), *size, c), kernel, k, strides, padding, dilation, groups)


@st.composite
def plain_convolutions(draw):
    """Draw a convolution of stride 1, of 3x3 or 5x5, with more rows and channels: for Winograd."""
    kernel = draw(st.sampled_from([3, 3, 5]))
    size = [draw(st.integers(kernel, 20)) for _ in range(2)]
    c, k = (draw(st.sampled_from([8, 16, 17, 32, 33, 48, 64, 70])) for _ in range(2))
    padding = draw(st.sampled_from(["same", "valid", 1, ((2, 0), (1, 3))]))
    return Conv((draw(st.integers(1, 5)), *size, c), (kernel, kernel), k, padding=padding)


@st.composite
def pools(draw):
    """Draw a valid pooling: window, strides and padding first, then an image they fit."""

    def number(low, high):
        return draw(st.integers(low, high))

    pool, strides = (number(1, 5), number(1, 4)), (number(1, 4), number(1, 6))
    sides = tuple((number(0, k - 1), number(0, k - 1)) for k in pool)
    size = [max(k + number(0, 9) - sum(side), 1) for k, side in zip(pool, sides, strict=True)]
    padding = draw(st.sampled_from(["same", sides, sides]))
    return (number(1, 3), *size, draw(CHANNELS)), pool, strides, padding


@st.composite
def rows_of_channels(draw):
    """Draw the shape of an array with channels last."""
    axes = draw(st.lists(st.integers(1, 12), min_size=1, max_size=3))
    return (*axes, draw(CHANNELS))


def _direct(conv, dtype, rng):
    before = convkit.runtime.get_algorithm()
    convkit.set_algorithm("direct")
    try:
        check_conv2d(conv, dtype, rng)
    finally:
        convkit.set_algorithm(before)


def _transposed(conv, dtype, rng):
    # An int of padding may cut away all of a small output; by name it always fits.
    padding = conv.padding if isinstance(conv.padding, str) else "valid"
    conv = Conv(
        *(conv.x_shape, conv.kernel, conv.k, conv.strides, padding, conv.dilation, conv.groups)
    )
    before = convkit.runtime.get_algorithm()
    convkit.set_algorithm("direct")
    try:
        check_conv2d_transpose(conv, None, dtype, rng)
    finally:
        convkit.set_algorithm(before)


def _norm(shape, dtype, rng):
    mean, std = rng.choice([0.0, 3.0, -100.0, 1e4]), rng.choice([0.1, 1.0, 30.0])
    check_batch_norm(shape, mean, std, dtype, rng)
    check_batch_norm_backward(shape, rng.choice([0.0, 2.0, -5.0]), dtype, rng)
    check_batch_norm_inference(shape, rng.choice([1e-3, 1e-5, 2.0]), dtype, rng)


def _pooling(case, dtype, rng):
    check_max_pool2d(case, dtype, rng)
    check_avg_pool2d(case, bool(rng.integers(2)), dtype, rng)


def _activations(shape, dtype, rng):
    x = (rng.choice([0.1, 3.0, 30.0, 1e3]) * uniform(rng, shape, np.float64)).astype(dtype)
    variants = [(name, {}) for name in reference.ACTIVATIONS]
    variants += [("leaky_relu", {"negative_slope": rng.random()}), ("gelu", {"approximate": True})]
    variants += [("elu", {"alpha": 2 * rng.random()})]
    for name, parameters in variants:
        check_activation(name, parameters, x)
        check_activation_backward(name, parameters, x, rng)


def _softmax(shape, dtype, rng):
    check_softmax((rng.choice([0.1, 3.0, 300.0]) * uniform(rng, shape, np.float64)).astype(dtype))
    logits = (5 * uniform(rng, (int(np.prod(shape[:-1])), shape[-1]), np.float64)).astype(dtype)
    n, k = logits.shape
    labels = rng.integers(0, k, n)
    probabilities = reference.softmax(uniform(rng, (n, k), np.float64)).astype(dtype)
    check_cross_entropy(logits, labels, rng.random())
    check_cross_entropy(logits, probabilities, rng.random())


def _dense(shape, dtype, rng):
    check_dense(shape, int(rng.integers(1, 80)), dtype, rng)


# What is fuzzed: a strategy of cases, and check(case, dtype, rng).
CHECKS = {
    "conv2d": (convolutions(), _direct),
    "conv2d, algorithm by shape": (plain_convolutions(), check_conv2d_auto),
    "conv2d_transpose": (convolutions(), _transposed),
    "dense": (rows_of_channels(), _dense),
    "pooling": (pools(), _pooling),
    "batch_norm": (rows_of_channels(), _norm),
    "activations": (rows_of_channels(), _activations),
    "softmax": (rows_of_channels(), _softmax),
}
