"""Tasks in JAX: everything under jit, steps one after another, waited for at the end."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from convkit.bench import functional, nets
from convkit.bench.tasks import (
    EPSILON,
    LEARNING_RATE,
    MOMENTUM,
    Array,
    ConvData,
    OpData,
    Prepared,
    repeat,
)

DIMENSIONS = ("NHWC", "HWIO", "NHWC")


def set_threads(threads: int) -> None:
    """Do nothing: JAX takes the CPUs the process may run on."""


def _call(function: Any, *arguments: Any) -> Prepared:
    """Prepare a function of arrays and lists of them, compiled."""
    compiled, arrays = jax.jit(function), jax.tree.map(jnp.asarray, arguments)

    def call() -> Any:
        return compiled(*arrays)

    def result() -> Array:
        found = call()
        return np.asarray(found[0] if isinstance(found, tuple) else found)

    return Prepared(repeat(call, jax.block_until_ready), result=result)


def conv(library: str, data: ConvData, direction: str) -> Prepared:
    """A pass of a convolution; gradients by the transposed convolutions that JAX derives."""
    s = data.shape

    def forward(x: Any, w: Any) -> Any:
        return lax.conv_general_dilated(
            *(x, w, (s.stride, s.stride), [(s.pad, s.pad)] * 2),
            dimension_numbers=DIMENSIONS,
            feature_group_count=s.groups,
        )

    if direction == "fwd":
        return _call(lambda x, w, b: forward(x, w) + b, data.x, data.w, data.b)
    if direction == "dx":
        return _call(
            lambda x, w, dy: jax.vjp(lambda x: forward(x, w), x)[1](dy)[0], data.x, data.w, data.dy
        )
    return _call(
        lambda x, w, dy: jax.vjp(lambda w: forward(x, w), w)[1](dy)[0], data.x, data.w, data.dy
    )


def op(library: str, data: OpData, direction: str) -> Prepared:
    """An operation, and its gradients by jax.vjp."""
    function, arguments = functional.operation(_Primitives(jax.random.key(0)), data)
    if direction == "fwd":
        return _call(function, *arguments)

    def both(dy: Any, *arrays: Any) -> Any:
        y, gradient = jax.vjp(function, *arrays)
        return *gradient(dy), y  # unless it is returned, y is not computed where it is not needed

    return _call(both, data.dy, *arguments)


class _Primitives:
    def __init__(self, key: Any) -> None:
        self.key = key

    def conv(self, x: Any, w: Any, stride: int, padding: str) -> Any:
        return lax.conv_general_dilated(
            x, w, (stride, stride), padding.upper(), dimension_numbers=DIMENSIONS
        )

    def activation(self, x: Any, name: str) -> Any:
        return jax.nn.gelu(x, approximate=False) if name == "gelu" else getattr(jax.nn, name)(x)

    def max_pool(self, x: Any, size: int) -> Any:
        window = (1, size, size, 1)
        return lax.reduce_window(x, -jnp.inf, lax.max, window, window, "VALID")

    def batch_norm(self, x: Any, gamma: Any, beta: Any, mean: Any, variance: Any) -> Any:
        scale = gamma * lax.rsqrt(variance + EPSILON)
        return x * scale + (beta - mean * scale)

    def batch_norm_training(self, x: Any, gamma: Any, beta: Any) -> tuple[Any, Any, Any]:
        mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
        return self.batch_norm(x, gamma, beta, mean, variance), mean, variance

    def mean_of_pixels(self, x: Any) -> Any:
        return x.mean((1, 2))

    def reshape(self, x: Any, columns: int) -> Any:
        return x.reshape(-1, columns)

    def dropout(self, x: Any, rate: float) -> Any:
        kept = jax.random.bernoulli(self.key, 1 - rate, x.shape)
        return jnp.where(kept, x / (1 - rate), 0)

    def matmul(self, x: Any, w: Any) -> Any:
        return x @ w


def train(library: str, net: nets.Net, x: Array, y: Array, batch: int) -> Prepared:
    """Training steps over batches laid out beforehand; the old state's memory is given away."""
    numbers = functional.initial(net)
    pool = len(x) // batch
    images = [jnp.asarray(part) for part in np.split(x, pool)]
    labels = [jnp.asarray(part.astype(np.int32)) for part in np.split(y, pool)]

    def loss(trained: Any, kept: Any, key: Any, x: Any, y: Any) -> Any:
        logits, after = functional.forward(net, _Primitives(key), trained, kept, x, True)
        chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], 1)
        return -chosen.mean(), after

    def step(state: Any, x: Any, y: Any) -> Any:
        trained, kept, momenta, key = state
        key, now = jax.random.split(key)
        gradients, kept = jax.grad(loss, has_aux=True)(trained, kept, now, x, y)
        momenta = [MOMENTUM * m + g for m, g in zip(momenta, gradients, strict=True)]
        trained = [w - LEARNING_RATE * m for w, m in zip(trained, momenta, strict=True)]
        return trained, kept, momenta, key

    compiled = jax.jit(step, donate_argnums=0)
    trained, kept = ([jnp.array(a) for a in part] for part in (numbers.trained, numbers.kept))
    state: Any = trained, kept, [jnp.zeros_like(w) for w in trained], jax.random.key(0)

    def work(n: int) -> None:
        nonlocal state
        for k in range(n):
            state = compiled(state, images[k % pool], labels[k % pool])
        jax.block_until_ready(state)

    return Prepared(work, {"numbers": numbers.count})


def predict(library: str, net: nets.Net, x: Array, y: Array, batch: int) -> Prepared:
    """Probabilities of one batch."""
    numbers = functional.initial(net)
    primitives = _Primitives(jax.random.key(0))

    def probabilities(trained: Any, kept: Any, x: Any) -> Any:
        return jax.nn.softmax(functional.forward(net, primitives, trained, kept, x, False)[0])

    prepared = _call(probabilities, numbers.trained, numbers.kept, x)
    prepared.info["numbers"] = numbers.count
    return prepared
