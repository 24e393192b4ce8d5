"""Tasks in TensorFlow: graphs by tf.function; a run of training steps is one call.

This is faster than Keras's `fit`, which calls once a step, and than XLA (`jit_compile=True`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from convkit.bench import functional, nets
from convkit.bench.tasks import (
    EPSILON,
    LEARNING_RATE,
    MOMENTUM,
    Array,
    ConvData,
    NotOffered,
    OpData,
    Prepared,
    repeat,
)


def set_threads(threads: int) -> None:
    """Use this many threads within an operation, and run one operation at a time."""
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def _call(function: Any, *arguments: Array) -> Prepared:
    """Prepare a function of arrays, traced once."""
    traced = tf.function(function, autograph=False)
    tensors = [tf.constant(a) for a in arguments]

    def call() -> Any:
        return traced(*tensors)

    def result() -> Array:
        found = call()
        return (found[0] if isinstance(found, list | tuple) else found).numpy()

    return Prepared(repeat(call), result=result)


def conv(library: str, data: ConvData, direction: str) -> Prepared:
    """A pass of a convolution."""
    s = data.shape
    if s.groups > 1:
        raise NotOffered("grouped gradients are missing on CPUs")
    strides = [1, s.stride, s.stride, 1]
    sides = [[0, 0], [s.pad, s.pad], [s.pad, s.pad], [0, 0]]
    if direction == "fwd":
        return _call(
            lambda x, w, b: tf.nn.bias_add(tf.nn.conv2d(x, w, strides, sides), b),
            *(data.x, data.w, data.b),
        )
    explicit = {"padding": "EXPLICIT", "explicit_paddings": np.ravel(sides).tolist()}
    if direction == "dx":
        return _call(
            lambda w, dy: tf.raw_ops.Conv2DBackpropInput(
                input_sizes=data.x.shape, filter=w, out_backprop=dy, strides=strides, **explicit
            ),
            *(data.w, data.dy),
        )
    return _call(
        lambda x, dy: tf.raw_ops.Conv2DBackpropFilter(
            input=x, filter_sizes=data.w.shape, out_backprop=dy, strides=strides, **explicit
        ),
        *(data.x, data.dy),
    )


def op(library: str, data: OpData, direction: str) -> Prepared:
    """An operation, and its gradients by a tape."""
    function, arguments = functional.operation(_Primitives(), data)
    if direction == "fwd":
        return _call(function, *arguments)

    def both(dy: Any, *arrays: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(arrays)
            y = function(*arrays)
        return *tape.gradient(y, arrays, dy), y  # y is left out of the graph unless returned

    return _call(both, data.dy, *arguments)


class _Primitives:
    def conv(self, x: Any, w: Any, stride: int, padding: str) -> Any:
        return tf.nn.conv2d(x, w, stride, padding.upper())

    def activation(self, x: Any, name: str) -> Any:
        return getattr(tf.nn, name)(x)

    def max_pool(self, x: Any, size: int) -> Any:
        return tf.nn.max_pool2d(x, size, size, "VALID")

    def batch_norm(self, x: Any, gamma: Any, beta: Any, mean: Any, variance: Any) -> Any:
        statistics = {"mean": mean, "variance": variance, "epsilon": EPSILON}
        return tf.compat.v1.nn.fused_batch_norm(x, gamma, beta, **statistics, is_training=False)[0]

    def batch_norm_training(self, x: Any, gamma: Any, beta: Any) -> tuple[Any, Any, Any]:
        return tf.compat.v1.nn.fused_batch_norm(x, gamma, beta, epsilon=EPSILON)

    def mean_of_pixels(self, x: Any) -> Any:
        return tf.reduce_mean(x, (1, 2))

    def reshape(self, x: Any, columns: int) -> Any:
        return tf.reshape(x, (-1, columns))

    def dropout(self, x: Any, rate: float) -> Any:
        return tf.nn.dropout(x, rate)

    def matmul(self, x: Any, w: Any) -> Any:
        return x @ w


# Plain Python: there is no branch or loop in it that depends on a tensor.
forward = tf.autograph.experimental.do_not_convert(functional.forward)


def train(library: str, net: nets.Net, x: Array, y: Array, batch: int) -> Prepared:
    """Training steps over batches laid out beforehand, all of a run in one graph."""
    numbers = functional.initial(net)
    pool = len(x) // batch
    images = tf.constant(x.reshape(pool, batch, *net.input_shape))
    labels = tf.constant(y.reshape(pool, batch))
    trained = [tf.Variable(a) for a in numbers.trained]
    kept = [tf.Variable(a, trainable=False) for a in numbers.kept]
    momenta = [tf.Variable(tf.zeros_like(w), trainable=False) for w in trained]

    @tf.function
    def steps(n: Any) -> None:
        for step in tf.range(n):
            k = step % pool
            with tf.GradientTape() as tape:
                logits, after = forward(net, _Primitives(), trained, kept, images[k], True)
                losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels[k], logits)
                loss = tf.reduce_mean(losses)
            for w, m, g in zip(trained, momenta, tape.gradient(loss, trained), strict=True):
                tf.raw_ops.ResourceApplyMomentum(
                    var=w.handle, accum=m.handle, lr=LEARNING_RATE, grad=g, momentum=MOMENTUM
                )
            for old, new in zip(kept, after, strict=True):
                old.assign(new)

    return Prepared(lambda n: steps(tf.constant(n)), {"numbers": numbers.count})


def predict(library: str, net: nets.Net, x: Array, y: Array, batch: int) -> Prepared:
    """Probabilities of one batch."""
    numbers = functional.initial(net)
    trained, kept = ([tf.constant(a) for a in part] for part in (numbers.trained, numbers.kept))
    prepared = _call(
        lambda x: tf.nn.softmax(forward(net, _Primitives(), trained, kept, x, False)[0]), x
    )
    prepared.info["numbers"] = numbers.count
    return prepared
