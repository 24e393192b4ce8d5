"""Slow, obviously right NumPy twins, in float64, of ops on maps that only layers use.

x is (N, H, W, C). Nothing is validated here.
"""

import numpy as np
import reference


def group_norm(x, gamma, beta, groups, epsilon):
    """Normalize groups of neighbouring channels over all positions of each sample."""
    x = np.asarray(x, np.float64)
    n, c = x.shape[0], x.shape[-1]
    grouped = x.reshape(n, -1, groups, c // groups)
    mean = grouped.mean((1, 3), keepdims=True)
    variance = ((grouped - mean) ** 2).mean((1, 3), keepdims=True)
    z = ((grouped - mean) / np.sqrt(variance + epsilon)).reshape(x.shape)
    return z * (1 if gamma is None else gamma) + (0 if beta is None else beta)


def layer_norm(x, gamma, beta, axes, epsilon):
    """Normalize each sample over its last axes; gamma and beta have their sizes."""
    x = np.asarray(x, np.float64)
    over = tuple(range(x.ndim - axes, x.ndim))
    mean = x.mean(over, keepdims=True)
    variance = ((x - mean) ** 2).mean(over, keepdims=True)
    z = (x - mean) / np.sqrt(variance + epsilon)
    return z * (1 if gamma is None else gamma) + (0 if beta is None else beta)


def _interpolation(size, factor):
    """Return (size * factor, size): the weights of inputs in outputs along one axis."""
    matrix = np.zeros((size * factor, size))
    for o in range(size * factor):
        position = (o + 0.5) / factor - 0.5
        below = int(np.floor(position))
        for cell, weight in ((below, 1 - (position - below)), (below + 1, position - below)):
            matrix[o, min(max(cell, 0), size - 1)] += weight
    return matrix


def upsample2d(x, size, interpolation):
    """Enlarge images by whole factors of rows and columns."""
    rows, columns = reference.pair(size)
    x = np.asarray(x, np.float64)
    if interpolation == "nearest":
        return x.repeat(rows, 1).repeat(columns, 2)
    down, along = _interpolation(x.shape[1], rows), _interpolation(x.shape[2], columns)
    return np.einsum("ph,qw,nhwc->npqc", down, along, x)


def adaptive_pool2d(x, output_size, function):
    """Apply a function (np.max or np.mean) to windows that cover the image in equal shares."""
    x = np.asarray(x, np.float64)
    sizes = reference.pair(output_size)
    y = np.empty((x.shape[0], *sizes, x.shape[3]))
    ends = [
        [(i * n // k, -(-(i + 1) * n // k)) for i in range(k)]
        for n, k in zip(x.shape[1:3], sizes, strict=True)
    ]
    for r, (top, bottom) in enumerate(ends[0]):
        for q, (left, right) in enumerate(ends[1]):
            y[:, r, q] = function(x[:, top:bottom, left:right], axis=(1, 2))
    return y
