"""Check a backward against central differences of its forward, in float64."""

import numpy as np


def numeric_gradient(f, x, dy, step=1e-6):
    """Return d sum(dy * f(x)) / dx: (f(x + step) - f(x - step)) / (2 step), by element."""
    x = np.array(x, np.float64)
    dx = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        value = x[index]
        x[index] = value + step
        above = f(x)
        x[index] = value - step
        below = f(x)
        x[index] = value
        dx[index] = np.sum(dy * (np.asarray(above) - below)) / (2 * step)
    return dx


def assert_gradient(dx, f, x, dy, step=1e-6):
    """Assert that dx is the gradient of sum(dy * f(x)).

    The difference of two sums of size S carries about S u / step of rounding and step**2 / 6 times
    the third derivative of truncation: 1e-10 and 1e-12 for values near 1, here with a margin of
    100. A wrong factor or a missing term is larger by five orders.
    """
    expected = numeric_gradient(f, x, dy, step)
    scale = 1 + np.abs(expected).max(initial=0)
    np.testing.assert_allclose(dx, expected, rtol=1e-6, atol=1e-7 * scale)
