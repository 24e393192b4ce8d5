"""Fit the polynomials of csrc/math.inc: weighted least squares at Chebyshev points.

Each polynomial is fitted in float64 so that the relative error of the whole function is small, and
printed lowest power first with the largest relative error over the range. Needs NumPy and SciPy.
"""

import numpy as np
from scipy import special


def chebyshev_points(low: float, high: float, count: int = 4000) -> np.ndarray:
    """Points that are dense at both ends, where polynomial errors are largest."""
    angles = (np.arange(count) + 0.5) * np.pi / count
    return (low + high) / 2 + (high - low) / 2 * np.cos(angles)


def fit(name: str, x: np.ndarray, target: np.ndarray, weight: np.ndarray, degree: int) -> None:
    """Print the coefficients of p with weight * (p(x) - target) as small as can be."""
    basis = np.vander(x, degree + 1, increasing=True)
    norms = np.ones_like(x)
    for _ in range(30):  # Lawson's algorithm: least squares that tend to the minimax solution
        scale = weight * np.sqrt(norms)
        coefficients = np.linalg.lstsq(basis * scale[:, None], target * scale, rcond=None)[0]
        error = np.abs(weight * (basis @ coefficients - target))
        norms *= error / error.max() + 1e-3
        norms /= norms.mean()
    print(f"{name}: largest relative error {error.max():.2e}")
    print("   ", ", ".join(f"{c:.9e}f" for c in coefficients))


def main() -> None:
    """Fit all of them."""
    r = chebyshev_points(-0.3466, 0.3466)
    r = r[np.abs(r) > 1e-4]
    fit("expm1: (exp(r) - 1 - r) / r^2", r, (np.expm1(r) - r) / r**2, r**2 / np.abs(np.expm1(r)), 4)
    s2 = chebyshev_points(1e-6, 1 / 9)
    s = np.sqrt(s2)
    fit(
        "log1p: (2 atanh(s) / s - 2) / s^2",
        s2,
        (2 * np.arctanh(s) / s - 2) / s2,
        s2 / (2 * np.arctanh(s) / s),
        4,
    )
    u = chebyshev_points(1 / (1 + 0.5 * 10.5), 1)
    t = 2 * (1 / u - 1)
    fit("erfcx in u = 1 / (1 + t / 2)", u, special.erfcx(t), 1 / special.erfcx(t), 10)
    x2 = chebyshev_points(1e-6, 0.64**2)
    x = np.sqrt(x2)
    fit("tanh: (tanh(x) / x - 1) / x^2", x2, (np.tanh(x) / x - 1) / x2, x2 / (np.tanh(x) / x), 4)


if __name__ == "__main__":
    main()
