"""How far a result may be from its float64 twin, and how to say so when it is farther.

u is the unit roundoff: 2**-24 in float32, 2**-53 in float64.
"""

import numpy as np


def unit_roundoff(dtype):
    """Return half the distance from 1 to the next number."""
    return np.finfo(dtype).eps / 2


def gamma(n, dtype):
    """Return gamma_n = n u / (1 - n u), the error of n roundings (Higham, 2002, section 3.1)."""
    nu = n * unit_roundoff(dtype)
    return nu / (1 - nu)


def assert_close(y, y_ref, bound):
    """Assert equal shapes and |y - y_ref| <= bound; NaN and infinities match exactly."""
    y, y_ref = np.asarray(y), np.asarray(y_ref)
    assert y.shape == y_ref.shape
    with np.errstate(invalid="ignore", over="ignore"):
        error = np.abs(y.astype(np.float64) - y_ref)
        close = (error <= bound) | (y == y_ref) | (np.isnan(y) & np.isnan(y_ref))
    if not close.all():
        excess = np.where(close, 0, error / np.maximum(bound, np.finfo(np.float64).tiny))
        worst = np.unravel_index(np.argmax(np.nan_to_num(excess, nan=np.inf)), y.shape)
        limit = np.broadcast_to(bound, y.shape)[worst]
        raise AssertionError(
            f"{np.count_nonzero(~close)} of {y.size} elements are out of bounds; "
            f"at {tuple(map(int, worst))}: got {y[worst]!r}, expected {y_ref[worst]!r}, "
            f"allowed error {limit:.3g}"
        )


def assert_within_bound(y, y_ref, abs_sum, n):
    """Assert the a-priori bound of a sum of n products, in whatever order it was added.

    |y - y_ref| <= gamma_(n + 2) * abs_sum, abs_sum being the sum of the products' absolute values:
    n - 1 additions and a multiplication each, one for the bias, one for storing (the twin's own
    error in float64 is covered by the same two). Values below the normal range may be flushed.
    """
    y = np.asarray(y)
    assert_close(y, y_ref, gamma(n + 2, y.dtype) * np.abs(abs_sum) + np.finfo(y.dtype).tiny)


def assert_ulps(y, y_ref, ulps, scale=0.0):
    """Assert |y - y_ref| <= ulps * eps * (|y_ref| + scale); values below normal may be flushed."""
    y = np.asarray(y)
    info = np.finfo(y.dtype)
    assert_close(y, y_ref, ulps * info.eps * (np.abs(y_ref) + scale) + info.tiny)


def assert_same_bits(a, b):
    """Assert equal shape, dtype and bits; any NaN equals any NaN (their payload means nothing)."""
    a, b = np.asarray(a), np.asarray(b)
    assert a.dtype == b.dtype and a.shape == b.shape
    if a.dtype.kind == "f":
        both_nan = np.isnan(a) & np.isnan(b)
        unsigned = f"u{a.dtype.itemsize}"
        bits_a, bits_b = (np.ascontiguousarray(v).view(unsigned) for v in (a, b))
        same = (bits_a.reshape(a.shape) == bits_b.reshape(b.shape)) | both_nan
    else:
        same = a == b
    differing = np.count_nonzero(~same)
    assert same.all(), f"{differing} of {a.size} elements differ: {a[~same]} {b[~same]}"


def assert_constant_along(y, axis=-1):
    """Assert that y has the same bits at every index of `axis`: vector body and tail agree."""
    assert_same_bits(y, np.broadcast_to(np.take(y, [0], axis), np.shape(y)))
