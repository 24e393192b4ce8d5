"""Slow, obviously right NumPy twins, in float64, of what changes weights.

Optimizers are as Keras 3 defines them. Nothing is validated here.
"""

import math

import numpy as np

# Each takes w, its gradient g and its slots, and returns the new (w, slots...). step starts at 1.


def sgd(w, g, velocity=0.0, *, learning_rate=0.01, momentum=0.0, nesterov=False):
    """v = momentum v - lr g, v being the velocity; w += v, or momentum v - lr g (Nesterov)."""
    velocity = momentum * velocity - learning_rate * g
    return w + (momentum * velocity - learning_rate * g if nesterov else velocity), velocity


def rmsprop(
    w, g, mean_square=0.0, velocity=0.0, *, learning_rate=0.001, rho=0.9, momentum=0.0, epsilon=1e-7
):
    """s = rho s + (1 - rho) g^2; v = momentum v + lr g / sqrt(s + epsilon); w -= v: epsilon is
    inside the root, s is the mean square, v the velocity."""
    mean_square = rho * mean_square + (1 - rho) * g**2
    velocity = momentum * velocity + learning_rate * g / np.sqrt(mean_square + epsilon)
    return w - velocity, mean_square, velocity


def adam(w, g, m=0.0, v=0.0, *, step, learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-7):
    """w -= lr sqrt(1 - beta_2^t) / (1 - beta_1^t) m / (sqrt(v) + epsilon): the "epsilon hat" of
    Kingma and Ba, 2015, outside the root and not corrected for bias."""
    m = m + (g - m) * (1 - beta_1)
    v = v + (g**2 - v) * (1 - beta_2)
    rate = learning_rate * math.sqrt(1 - beta_2**step) / (1 - beta_1**step)
    return w - rate * m / (np.sqrt(v) + epsilon), m, v


def adamw(w, g, m=0.0, v=0.0, *, step, learning_rate=0.001, weight_decay=0.004, **parameters):
    """Adam after w -= lr weight_decay w: the decay comes first (Loshchilov and Hutter, 2019)."""
    decayed = w - learning_rate * weight_decay * w
    return adam(decayed, g, m, v, step=step, learning_rate=learning_rate, **parameters)


def rmsprop_centered(
    w, g, mean_square=0.0, mean=0.0, *, learning_rate=0.001, rho=0.9, epsilon=1e-7
):
    """RMSprop without momentum whose mean square is less the mean's square: a variance."""
    mean_square = rho * mean_square + (1 - rho) * g**2
    mean = rho * mean + (1 - rho) * g
    step = learning_rate * g / np.sqrt(mean_square - mean**2 + epsilon)
    return w - step, mean_square, mean


def amsgrad(w, g, m=0.0, v=0.0, largest=0.0, *, step, learning_rate=0.001, epsilon=1e-7):
    """Adam that divides by the root of the largest second moment so far (Reddi et al., 2018)."""
    _, m, v = adam(w, g, m, v, step=step)
    largest = np.maximum(largest, v)
    rate = learning_rate * math.sqrt(1 - 0.999**step) / (1 - 0.9**step)
    return w - rate * m / (np.sqrt(largest) + epsilon), m, v, largest


def nadam(w, g, m=0.0, v=0.0, *, step, learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-7):
    """Adam looking ahead by momenta mu_t = beta_1 (1 - 0.96^t / 2) (Dozat, 2015, algorithm 2)."""
    mu = [beta_1 * (1 - 0.5 * 0.96**t) for t in range(step + 2)]
    product = math.prod(mu[1 : step + 1])
    m = beta_1 * m + (1 - beta_1) * g
    v = beta_2 * v + (1 - beta_2) * g**2
    ahead = mu[step + 1] * m / (1 - product * mu[step + 1]) + (1 - mu[step]) * g / (1 - product)
    return w - learning_rate * ahead / (np.sqrt(v / (1 - beta_2**step)) + epsilon), m, v


def adagrad(w, g, total=0.1, *, learning_rate=0.001, epsilon=1e-7):
    """w -= lr g / sqrt(total + epsilon), total being the sum of all g^2 (Duchi et al., 2011)."""
    total = total + g**2
    return w - learning_rate * g / np.sqrt(total + epsilon), total


def adamax(
    w, g, m=0.0, u=0.0, *, step, learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-7
):
    """Adam with u = max(beta_2 u, |g|) for the root of v (Kingma and Ba, 2015, 7.1)."""
    m = beta_1 * m + (1 - beta_1) * g
    u = np.maximum(beta_2 * u, np.abs(g))
    return w - learning_rate / (1 - beta_1**step) * m / (u + epsilon), m, u


def adadelta(w, g, squares=0.0, steps=0.0, *, learning_rate=0.001, rho=0.95, epsilon=1e-7):
    """w -= lr d, d = g over the root of its mean square, times that of all d (Zeiler, 2012)."""
    squares = rho * squares + (1 - rho) * g**2
    d = np.sqrt(steps + epsilon) * g / np.sqrt(squares + epsilon)
    return w - learning_rate * d, squares, rho * steps + (1 - rho) * d**2


def lion(w, g, m=0.0, *, learning_rate=0.001, beta_1=0.9, beta_2=0.99):
    """w -= lr sign(beta_1 m + (1 - beta_1) g); then m as with beta_2 (Chen et al., 2023)."""
    direction = np.sign(beta_1 * m + (1 - beta_1) * g)
    return w - learning_rate * direction, beta_2 * m + (1 - beta_2) * g


def orthogonalized(g, steps=5):
    """X <- a X + (b A + c A^2) X with A = X X^T, from g over its norm (Jordan et al., 2024)."""
    wide_g = g if g.shape[0] <= g.shape[1] else g.T
    x = wide_g / (np.sqrt((g**2).sum()) + 1e-7)
    for _ in range(steps):
        a = x @ x.T
        x = 3.4445 * x + (-4.775 * a + 2.0315 * a @ a) @ x
    return x if wide_g is g else x.T


def muon(w, g, m=0.0, *, learning_rate=0.001, weight_decay=0.004, momentum=0.95, rms_rate=0.2):
    """Muon with Nesterov momentum for a weight (..., K), taken as a matrix."""
    rows = g.reshape(-1, g.shape[-1])
    m = momentum * m + g
    x = orthogonalized((g + momentum * m).reshape(rows.shape)).reshape(w.shape)
    scale = max(1, rows.shape[0] / rows.shape[1]) ** 0.5
    if rms_rate is not None:
        scale = rms_rate * max(rows.shape) ** 0.5
    return w * (1 - learning_rate * weight_decay) - learning_rate * scale * x, m


# ---- weights: penalties, constraints, averages ---------------------------------------------------


def penalty(w, l1=0.0, l2=0.0):
    """Return (l1 sum |w| + l2 sum w^2, its gradient); the gradient of |w| at 0 is 0."""
    return l1 * np.abs(w).sum() + l2 * (w**2).sum(), l1 * np.sign(w) + 2 * l2 * w


def non_negative(w):
    """max(w, 0)."""
    return np.maximum(w, 0)


def bounded_norm(w, axes, low, high, rate=1.0, epsilon=1e-7):
    """Scale w so that its norms over `axes` are rate clip(norm, low, high) + (1 - rate) norm."""
    norm = np.sqrt((w**2).sum(axes, keepdims=True))
    return w * (rate * np.clip(norm, low, high) + (1 - rate) * norm) / (epsilon + norm)
