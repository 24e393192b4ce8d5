"""Slow, obviously right NumPy twins of every operation, in float64.

Names and arguments are those of `convkit.functional`. Floats are computed in float64 whatever their
type; integer and bool arrays are computed in int64, so that convolutions and matrix products of
integers are exact. Nothing is validated here. Loops run over the kernel window only.

Shapes: x (N, H, W, C), w (KH, KW, C/groups, K), y (N, OH, OW, K).
"""

import math

import numpy as np

# ---- sizes ---------------------------------------------------------------------------------------


def wide(a):
    """Return `a` as int64 if it holds integers or bools, else as float64 (or longer, as it is)."""
    a = np.asarray(a)
    return a.astype(np.int64 if a.dtype.kind in "iub" else np.result_type(a, np.float64))


def together(*arrays):
    """Return the arrays as int64 if all hold integers or bools, else all as float64."""
    arrays = [wide(a) for a in arrays]
    return [a.astype(np.result_type(*arrays)) for a in arrays]


def pair(value):
    """Return (value, value) for a number, else the two numbers of a pair."""
    return (value, value) if np.ndim(value) == 0 else tuple(value)


def kernel_extent(kernel, dilation):
    """Return the input rows that a dilated kernel spans: (kernel - 1) * dilation + 1."""
    return tuple((k - 1) * d + 1 for k, d in zip(pair(kernel), pair(dilation), strict=True))


def resolve_padding(padding, size, extent, strides):
    """Return ((top, bottom), (left, right)) for any form of `padding`.

    "same" is TensorFlow's rule: the output has ceil(size / stride) rows, and of an odd total the
    extra row goes to the bottom/right.
    """
    if isinstance(padding, str):
        if padding == "valid":
            return (0, 0), (0, 0)
        sides = []
        for n, k, s in zip(size, extent, pair(strides), strict=True):
            total = max((-(-n // s) - 1) * s + k - n, 0)
            sides.append((total // 2, total - total // 2))
        return tuple(sides)
    vertical, horizontal = pair(padding)
    return pair(vertical), pair(horizontal)


def output_size(size, extent, strides, padding):
    """Return (OH, OW) = floor((padded size - kernel extent) / stride) + 1."""
    sides = resolve_padding(padding, size, extent, strides)
    return tuple(
        (n + sum(side) - k) // s + 1
        for n, side, k, s in zip(size, sides, extent, pair(strides), strict=True)
    )


def windows(size, kernel, strides, padding, dilation=1):
    """Yield (i, j, rows, columns) for each cell of the kernel: the slices of the padded input that
    the cell meets, one entry per output position."""
    (sh, sw), (dh, dw) = pair(strides), pair(dilation)
    oh, ow = output_size(size, kernel_extent(kernel, dilation), strides, padding)
    for i in range(pair(kernel)[0]):
        for j in range(pair(kernel)[1]):
            rows = slice(i * dh, i * dh + (oh - 1) * sh + 1, sh)
            columns = slice(j * dw, j * dw + (ow - 1) * sw + 1, sw)
            yield i, j, rows, columns


def pad_image(x, sides, value=0):
    """Return x with rows and columns of `value` around each image."""
    return np.pad(x, ((0, 0), *sides, (0, 0)), constant_values=value)


def crop_image(xp, sides, size):
    """Return the images inside their padding: the inverse of `pad_image`."""
    (top, _), (left, _) = sides
    return xp[:, top : top + size[0], left : left + size[1]]


# ---- convolution and dense -----------------------------------------------------------------------


def _by_group(a, groups):
    """(..., C) -> (groups, rows, C/groups), so that matmul runs over the groups."""
    return a.reshape(-1, groups, a.shape[-1] // groups).swapaxes(0, 1)


def _cell_by_group(cell, groups):
    """(C/groups, K) -> (groups, C/groups, K/groups): output channels are grouped in order."""
    return cell.reshape(cell.shape[0], groups, -1).swapaxes(0, 1)


def conv2d(x, w, b=None, *, strides=1, padding="valid", dilation=1, groups=1, activation=None):
    """y[n,p,q,k] = b[k] + sum_ijc w[i,j,c,k] x[n, p*s + i*d - top, q*s + j*d - left, c]."""
    x, w = together(x, w)
    n, size = x.shape[0], x.shape[1:3]
    extent = kernel_extent(w.shape[:2], dilation)
    xp = pad_image(x, resolve_padding(padding, size, extent, strides))
    y = np.zeros((n, *output_size(size, extent, strides, padding), w.shape[3]), xp.dtype)
    for i, j, rows, columns in windows(size, w.shape[:2], strides, padding, dilation):
        patch = _by_group(xp[:, rows, columns], groups)
        y = y + (patch @ _cell_by_group(w[i, j], groups)).swapaxes(0, 1).reshape(y.shape)
    if b is not None:
        y = y + wide(b)
    return activate(y, activation)


def conv2d_backward(
    dy, x, w, *, strides=1, padding="valid", dilation=1, groups=1, needs=("x", "w", "b")
):
    """Return (dx, dw, db) of sum(dy * conv2d(x, w, b)): each product of the forward, transposed."""
    dy, x, w = together(dy, x, w)
    size = x.shape[1:3]
    sides = resolve_padding(padding, size, kernel_extent(w.shape[:2], dilation), strides)
    xp = pad_image(x, sides)
    dxp, dw = np.zeros_like(xp), np.zeros_like(w)
    dy_g = _by_group(dy, groups)
    for i, j, rows, columns in windows(size, w.shape[:2], strides, padding, dilation):
        patch = xp[:, rows, columns]
        products = _by_group(patch, groups).swapaxes(1, 2) @ dy_g
        dw[i, j] = products.swapaxes(0, 1).reshape(w.shape[2:])
        d_patch = dy_g @ _cell_by_group(w[i, j], groups).swapaxes(1, 2)
        dxp[:, rows, columns] += d_patch.swapaxes(0, 1).reshape(patch.shape)
    gradients = {"x": crop_image(dxp, sides, size), "w": dw, "b": dy.sum((0, 1, 2))}
    return tuple(gradients[name] if name in needs else None for name in "xwb")


def _transpose_size(n, extent, stride, padding, side, output_padding):
    """Return (output rows, rows cut at the top) of a transposed convolution.

    Keras 3: "valid" gives (n-1)*stride + max(extent, stride), "same" gives n*stride; with
    `output_padding`, (n-1)*stride + extent + it, or (n-1)*stride + extent % 2 + it. "same" cuts
    floor(excess / 2) rows at the top. Explicit padding is cut on its own side.
    """
    full = (n - 1) * stride + extent
    if padding == "valid":
        return full + (max(stride - extent, 0) if output_padding is None else output_padding), 0
    if padding == "same":
        rows = n * stride
        if output_padding is not None:
            rows = (n - 1) * stride + extent % 2 + output_padding
        return rows, max(full - rows, 0) // 2
    return full - sum(side) + (output_padding or 0), side[0]


def _transpose_geometry(size, kernel, strides, padding, dilation, output_padding):
    """Return (full size, output size, rows and columns cut at the top left)."""
    strides, extent = pair(strides), kernel_extent(kernel, dilation)
    sides = ((0, 0), (0, 0)) if isinstance(padding, str) else resolve_padding(padding, 0, 0, 1)
    full = tuple((size[a] - 1) * strides[a] + extent[a] for a in (0, 1))
    extra = pair(output_padding)
    (oh, top), (ow, left) = (
        _transpose_size(size[a], extent[a], strides[a], padding, sides[a], extra[a]) for a in (0, 1)
    )
    return full, (oh, ow), (top, left)


def conv2d_transpose(
    x, w, b=None, *, strides=1, padding="valid", dilation=1, groups=1, output_padding=None
):
    """Add x[n,p,q,c] w[i,j,k,c] to y[n, p*s + i*d - top, q*s + j*d - left, k].

    w is (KH, KW, K/groups, C), as in Keras.
    """
    x, w = together(x, w)
    n, size, kernel = x.shape[0], x.shape[1:3], w.shape[:2]
    full_size, (oh, ow), (top, left) = _transpose_geometry(
        size, kernel, strides, padding, dilation, output_padding
    )
    full = np.zeros((n, *full_size, w.shape[2] * groups), x.dtype)
    for i, j, rows, columns in windows(full_size, kernel, strides, "valid", dilation):
        spread = _by_group(x, groups) @ _cell_by_group(w[i, j], groups).swapaxes(1, 2)
        full[:, rows, columns] += spread.swapaxes(0, 1).reshape(n, *size, full.shape[3])
    y = np.zeros((n, oh, ow, full.shape[3]), full.dtype)
    part = full[:, top : top + oh, left : left + ow]
    y[:, : part.shape[1], : part.shape[2]] = part
    return y if b is None else y + wide(b)


def conv2d_transpose_backward(
    dy,
    x,
    w,
    *,
    strides=1,
    padding="valid",
    dilation=1,
    groups=1,
    output_padding=None,
    needs=("x", "w", "b"),
):
    """Return (dx, dw, db) of sum(dy * conv2d_transpose(x, w, b))."""
    dy, x, w = together(dy, x, w)
    n, size, kernel = x.shape[0], x.shape[1:3], w.shape[:2]
    full_size, (oh, ow), (top, left) = _transpose_geometry(
        size, kernel, strides, padding, dilation, output_padding
    )
    full = np.zeros((n, *full_size, dy.shape[3]), dy.dtype)
    part = full[:, top : top + oh, left : left + ow]
    part[...] = dy[:, : part.shape[1], : part.shape[2]]
    dx, dw, x_g = np.zeros_like(x), np.zeros_like(w), _by_group(x, groups)
    for i, j, rows, columns in windows(full_size, kernel, strides, "valid", dilation):
        spread = _by_group(full[:, rows, columns], groups)
        dx = dx + (spread @ _cell_by_group(w[i, j], groups)).swapaxes(0, 1).reshape(x.shape)
        dw[i, j] = (spread.swapaxes(1, 2) @ x_g).swapaxes(0, 1).reshape(w.shape[2:])
    gradients = {"x": dx, "w": dw, "b": dy.sum((0, 1, 2))}
    return tuple(gradients[name] if name in needs else None for name in "xwb")


def dense(x, w, b=None, *, activation=None):
    """y = activation(x w + b) over the last axis of x."""
    x, w = together(x, w)
    y = (x.reshape(-1, x.shape[-1]) @ w).reshape(*x.shape[:-1], w.shape[1])
    return activate(y if b is None else y + wide(b), activation)


def dense_backward(dy, x, w, *, needs=("x", "w", "b")):
    """dx = dy w^T, dw = x^T dy, db = column sums of dy."""
    dy, x, w = together(dy, x, w)
    rows, dy_rows = x.reshape(-1, x.shape[-1]), dy.reshape(-1, dy.shape[-1])
    gradients = {"x": (dy_rows @ w.T).reshape(x.shape), "w": rows.T @ dy_rows, "b": dy_rows.sum(0)}
    return tuple(gradients[name] if name in needs else None for name in "xwb")


# ---- pooling -------------------------------------------------------------------------------------


def _pool_setup(shape, pool_size, strides, padding):
    pool, size = pair(pool_size), shape[1:3]
    strides = pool if strides is None else pair(strides)
    sides = resolve_padding(padding, size, pool, strides)
    return pool, size, strides, sides


def max_pool2d(x, pool_size=2, *, strides=None, padding="valid", return_argmax=False):
    """Largest value of each window. The first maximum in row-major order wins, the first NaN wins
    over everything, padding never wins. argmax is i * KW + j within the (padded) window."""
    x = np.asarray(x)
    x = x if x.dtype.kind == "f" else wide(x).astype(np.float64)
    pool, size, strides, sides = _pool_setup(x.shape, pool_size, strides, padding)
    xp = pad_image(x, sides)
    inside = pad_image(np.ones((1, *size, 1), bool), sides, False)
    best = argmax = None
    for i, j, rows, columns in windows(size, pool, strides, padding):
        value = xp[:, rows, columns]
        real = np.broadcast_to(inside[:, rows, columns], value.shape)
        if best is None:
            best, argmax = np.zeros_like(value), np.full(value.shape, -1)
        wins = real & ((argmax < 0) | (value > best) | (np.isnan(value) & ~np.isnan(best)))
        best, argmax = np.where(wins, value, best), np.where(wins, i * pool[1] + j, argmax)
    return (best, argmax) if return_argmax else best


def max_pool2d_backward(dy, argmax, x_shape, pool_size=2, *, strides=None, padding="valid"):
    """Send each dy to the cell of its window that argmax names."""
    dy = wide(dy)
    pool, size, strides, sides = _pool_setup(x_shape, pool_size, strides, padding)
    dxp = pad_image(np.zeros(x_shape, dy.dtype), sides)
    for i, j, rows, columns in windows(size, pool, strides, padding):
        dxp[:, rows, columns] += np.where(argmax == i * pool[1] + j, dy, 0)
    return crop_image(dxp, sides, size)


def _pool_counts(size, pool, strides, padding, sides, count_include_pad):
    """Return the divisor of each window: all its cells, or those inside the image."""
    inside = pad_image(np.ones((1, *size, 1)), sides, 1 if count_include_pad else 0)
    return sum(inside[:, rows, cols] for _, _, rows, cols in windows(size, pool, strides, padding))


def avg_pool2d(x, pool_size=2, *, strides=None, padding="valid", count_include_pad=False):
    """Mean of each window, over the cells inside the image or over all of them."""
    x = wide(x).astype(np.float64)
    pool, size, strides, sides = _pool_setup(x.shape, pool_size, strides, padding)
    xp = pad_image(x, sides)
    total = sum(xp[:, rows, cols] for _, _, rows, cols in windows(size, pool, strides, padding))
    return total / _pool_counts(size, pool, strides, padding, sides, count_include_pad)


def avg_pool2d_backward(
    dy, x_shape, pool_size=2, *, strides=None, padding="valid", count_include_pad=False
):
    """Spread dy / count over the cells of its window."""
    dy = wide(dy).astype(np.float64)
    pool, size, strides, sides = _pool_setup(x_shape, pool_size, strides, padding)
    share = dy / _pool_counts(size, pool, strides, padding, sides, count_include_pad)
    dxp = pad_image(np.zeros(x_shape), sides)
    for _, _, rows, columns in windows(size, pool, strides, padding):
        dxp[:, rows, columns] += share
    return crop_image(dxp, sides, size)


# ---- batch normalization (Ioffe and Szegedy, 2015) -----------------------------------------------


def batch_norm(x, gamma=None, beta=None, *, epsilon=1e-3):
    """y = gamma (x - mean) / sqrt(variance + epsilon) + beta, statistics over all axes but the
    last, biased variance. Return (y, mean, variance)."""
    x = wide(x) * 1.0
    axes = tuple(range(x.ndim - 1))
    mean = x.mean(axes)
    variance = ((x - mean) ** 2).mean(axes)
    return batch_norm_inference(x, mean, variance, gamma, beta, epsilon=epsilon), mean, variance


def batch_norm_inference(x, mean, variance, gamma=None, beta=None, *, epsilon=1e-3):
    """Normalize with given statistics."""
    gamma = 1.0 if gamma is None else wide(gamma)
    beta = 0.0 if beta is None else wide(beta)
    return gamma * (wide(x) - wide(mean)) / np.sqrt(wide(variance) + epsilon) + beta


def batch_norm_backward(dy, x, mean, variance, gamma=None, *, epsilon=1e-3):
    """Return (dx, dgamma, dbeta), statistics being functions of x.

    dbeta = sum dy, dgamma = sum dy xhat, dx = gamma / std (dy - dbeta / M - xhat dgamma / M).
    """
    dy, x, gamma = wide(dy), wide(x), 1.0 if gamma is None else wide(gamma)
    axes = tuple(range(x.ndim - 1))
    rows = math.prod(x.shape[:-1])
    std = np.sqrt(wide(variance) + epsilon)
    xhat = (x - wide(mean)) / std
    dbeta, dgamma = dy.sum(axes), (dy * xhat).sum(axes)
    return gamma / std * (dy - dbeta / rows - xhat * dgamma / rows), dgamma, dbeta


# ---- activations ---------------------------------------------------------------------------------

SELU_ALPHA = 1.6732632423543772  # Klambauer et al., 2017
SELU_SCALE = 1.0507009873554805
_erfc = np.vectorize(math.erfc, otypes=[np.float64])


def relu(x):
    """max(x, 0); NaN stays NaN."""
    return np.maximum(x, 0)


def leaky_relu(x, negative_slope=0.2):
    """x above zero, negative_slope * x below."""
    return np.where(x < 0, negative_slope * x, x)


def elu(x, alpha=1.0):
    """x above zero, alpha (exp(x) - 1) below."""
    return np.where(x < 0, alpha * np.expm1(np.minimum(x, 0)), x)


def selu(x):
    """scale * elu(x, alpha) with the constants of the paper."""
    return SELU_SCALE * elu(x, SELU_ALPHA)


def _gelu_tanh_argument(x):
    return math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)


def gelu(x, approximate=False):
    """x Phi(x), Phi the normal distribution function; or its tanh approximation.

    (1 + tanh t) / 2 = sigmoid(2 t), which does not cancel for negative t.
    """
    if approximate:
        return x * sigmoid(2 * _gelu_tanh_argument(x))
    return x * 0.5 * _erfc(-x / math.sqrt(2))


def sigmoid(x):
    """1 / (1 + exp(-x)), in the form whose exp does not overflow."""
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1.0) / (1 + e)


def silu(x):
    """x sigmoid(x)."""
    return x * sigmoid(x)


def softplus(x):
    """log(1 + exp(x)), in the form whose exp does not overflow."""
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def hard_sigmoid(x):
    """relu6(x + 3) / 6 (Keras 3)."""
    return np.clip(x + 3, 0, 6) / 6


def hard_silu(x):
    """x hard_sigmoid(x)."""
    return x * hard_sigmoid(x)


def mish(x):
    """x tanh(softplus(x))."""
    return x * np.tanh(softplus(x))


def _gelu_derivative(x, approximate=False):
    if approximate:
        t = 2 * _gelu_tanh_argument(x)
        slope = 2 * math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x**2)
        return sigmoid(t) + x * sigmoid(t) * sigmoid(-t) * slope
    return 0.5 * _erfc(-x / math.sqrt(2)) + x * np.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def _mish_derivative(x):
    """1 - tanh(s)^2 as 4 e / (1 + e)^2, e = exp(-2 s): it does not cancel where tanh is 1."""
    e = np.exp(-2 * softplus(x))
    return np.tanh(softplus(x)) + x * 4 * e / (1 + e) ** 2 * sigmoid(x)


ACTIVATIONS = {
    "relu": relu,
    "leaky_relu": leaky_relu,
    "elu": elu,
    "selu": selu,
    "gelu": gelu,
    "silu": silu,
    "sigmoid": sigmoid,
    "tanh": np.tanh,
    "softplus": softplus,
    "hard_sigmoid": hard_sigmoid,
    "hard_silu": hard_silu,
    "mish": mish,
}

# Derivatives; at the kink of relu, hard_sigmoid and hard_silu the derivative is 0 (TensorFlow's).
DERIVATIVES = {
    "relu": lambda x: np.where(x > 0, 1.0, 0.0),
    "leaky_relu": lambda x, negative_slope=0.2: np.where(x > 0, 1.0, negative_slope),
    "elu": lambda x, alpha=1.0: np.where(x > 0, 1.0, alpha * np.exp(np.minimum(x, 0))),
    "selu": lambda x: SELU_SCALE * np.where(x > 0, 1.0, SELU_ALPHA * np.exp(np.minimum(x, 0))),
    "gelu": _gelu_derivative,
    "silu": lambda x: sigmoid(x) * (1 + x * sigmoid(-x)),
    "sigmoid": lambda x: sigmoid(x) * sigmoid(-x),
    "tanh": lambda x: 1 - np.tanh(x) ** 2,
    "softplus": sigmoid,
    "hard_sigmoid": lambda x: np.where(np.abs(x) < 3, 1 / 6, 0.0),
    "hard_silu": lambda x: np.where(np.abs(x) < 3, x / 3 + 0.5, np.where(x > 0, 1.0, 0.0)),
    "mish": _mish_derivative,
}


def activate(x, name=None, **parameters):
    """Apply the activation called `name`; None is the identity."""
    return x if name is None else ACTIVATIONS[name](wide(x) * 1.0, **parameters)


def activation_backward(dy, x, name, **parameters):
    """dx = dy f'(x)."""
    return wide(dy) * DERIVATIVES[name](wide(x) * 1.0, **parameters)


# ---- softmax and losses --------------------------------------------------------------------------


def log_softmax(x, axis=-1):
    """x - log(sum(exp(x))), shifted by the maximum so that exp does not overflow."""
    x = wide(x).astype(np.float64)
    shifted = x - x.max(axis, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis, keepdims=True))


def softmax(x, axis=-1):
    """exp(x) / sum(exp(x))."""
    return np.exp(log_softmax(x, axis))


def softmax_backward(dy, y, axis=-1):
    """dx = y (dy - sum(dy y)), y being the softmax."""
    return y * (dy - (dy * y).sum(axis, keepdims=True))


def log_softmax_backward(dy, y, axis=-1):
    """dx = dy - exp(y) sum(dy), y being the log-softmax."""
    return dy - np.exp(y) * dy.sum(axis, keepdims=True)


def target_probabilities(labels, classes, label_smoothing=0.0):
    """Return labels (N,) as one-hot rows, or (N, K) as they are, smoothed as Keras does:
    t (1 - s) + s / K."""
    labels = np.asarray(labels)
    target = np.eye(classes)[labels] if labels.ndim == 1 else labels.astype(np.float64)
    return target * (1 - label_smoothing) + label_smoothing / classes


def softmax_cross_entropy(logits, labels, *, label_smoothing=0.0):
    """Return (mean loss, its gradient): loss_n = -sum(t log_softmax(x_n))."""
    log_p = log_softmax(logits)
    t = target_probabilities(labels, log_p.shape[1], label_smoothing)
    dlogits = (np.exp(log_p) * t.sum(1, keepdims=True) - t) / len(t)
    return -(t * log_p).sum(1).mean(), dlogits


def cross_entropy(probabilities, labels, *, label_smoothing=0.0, epsilon=1e-7):
    """Mean of -sum(t log p) over rows scaled to sum 1 and clipped to [epsilon, 1 - epsilon]."""
    p = wide(probabilities).astype(np.float64)
    p = np.clip(p / p.sum(1, keepdims=True), epsilon, 1 - epsilon)
    t = target_probabilities(labels, p.shape[1], label_smoothing)
    return -(t * np.log(p)).sum(1).mean()


def mean_squared_error(x, target):
    """Return (mean (x - target)^2, its gradient 2 (x - target) / size)."""
    difference = wide(x).astype(np.float64) - wide(target)
    return (difference**2).mean(), 2 * difference / difference.size


def permute(x, axes):
    """Axis i + 1 of the result is axis axes[i] of x; the batch stays first."""
    return np.transpose(x, (0, *axes))


def huber(t, p, delta):
    """Half the square up to delta, delta (|d| - delta / 2) beyond; the mean over the last axis."""
    d = np.abs(p - t)
    return np.where(d <= delta, 0.5 * d**2, delta * (d - 0.5 * delta)).mean(-1)


def signs(t):
    """Labels 0 and 1 as -1 and 1."""
    return 2 * t - 1


def binary_crossentropy(t, p, from_logits=False, label_smoothing=0.0, gamma=0.0, alpha=None):
    """Mean over the last axis of -(1 - p_t)^gamma (t log p + (1 - t) log(1 - p)); with alpha, ones
    count alpha and zeros 1 - alpha times."""
    t = t * (1 - label_smoothing) + 0.5 * label_smoothing
    log_p, log_rest = -softplus(-p), -softplus(p)
    if from_logits:
        p = np.exp(log_p)
    else:
        log_p, log_rest = np.log(p), np.log(1 - p)
    right = t * p + (1 - t) * (1 - p)
    balance = 1 if alpha is None else t * alpha + (1 - t) * (1 - alpha)
    return -(balance * (1 - right) ** gamma * (t * log_p + (1 - t) * log_rest)).mean(-1)


def categorical_crossentropy(t, p, from_logits=False, label_smoothing=0.0, alpha=1.0, gamma=0.0):
    """-alpha sum over the last axis of t (1 - p)^gamma log p."""
    t = t * (1 - label_smoothing) + label_smoothing / t.shape[-1]
    p = np.exp(log_softmax(p)) if from_logits else p / p.sum(-1, keepdims=True)
    return -alpha * (t * (1 - p) ** gamma * np.log(p)).sum(-1)


def cosine_similarity(t, p):
    """-t.p / (|t| |p|) over the last axis, 0 where one of both is 0."""
    sizes = np.sqrt((t**2).sum(-1) * (p**2).sum(-1))
    return -(t * p).sum(-1) / np.where(sizes == 0, 1, sizes)


# The losses of rows (..., K) of targets and predictions, by Keras's names.
LOSSES = {
    "mean_squared_error": lambda t, p: ((p - t) ** 2).mean(-1),
    "mean_absolute_error": lambda t, p: np.abs(p - t).mean(-1),
    "mean_absolute_percentage_error": lambda t, p: 100 * (np.abs(p - t) / np.abs(t)).mean(-1),
    "mean_squared_logarithmic_error": lambda t, p: ((np.log1p(p) - np.log1p(t)) ** 2).mean(-1),
    "log_cosh": lambda t, p: np.log(np.cosh(p - t)).mean(-1),
    "poisson": lambda t, p: (p - t * np.log(p + 1e-7)).mean(-1),
    "hinge": lambda t, p: np.maximum(1 - signs(t) * p, 0).mean(-1),
    "squared_hinge": lambda t, p: (np.maximum(1 - signs(t) * p, 0) ** 2).mean(-1),
    "kl_divergence": lambda t, p: (t * np.log(t / p)).sum(-1),
    "huber": huber,
    "binary_crossentropy": binary_crossentropy,
    "binary_focal_crossentropy": binary_crossentropy,
    "categorical_crossentropy": categorical_crossentropy,
    "categorical_focal_crossentropy": categorical_crossentropy,
    "cosine_similarity": cosine_similarity,
    "categorical_hinge": lambda t, p: np.maximum(1 + ((1 - t) * p).max(-1) - (t * p).sum(-1), 0),
}


def dropout(x, mask, rate):
    """x / (1 - rate) where mask is true, else 0 (Srivastava et al., 2014, scaled in training)."""
    return np.where(mask, wide(x) / (1 - rate), 0.0)
