"""Tasks in convkit."""

from __future__ import annotations

from typing import Any

import convkit
from convkit import functional as F
from convkit import layers, ops
from convkit.bench import nets
from convkit.bench.tasks import (
    EPSILON,
    LEARNING_RATE,
    MOMENTUM,
    Array,
    ConvData,
    NotOffered,
    OpData,
    Prepared,
    aligned,
    repeat,
)
from convkit.compiler import Workspace, compile
from convkit.graph import Graph, Tensor


def set_threads(threads: int) -> None:
    """Use this many threads."""
    convkit.set_num_threads(threads)


# ---- single operations ---------------------------------------------------------------------------


def conv(library: str, data: ConvData, direction: str) -> Prepared:
    """A pass of a convolution on arrays; "dw" is without the gradient of the bias."""
    x, w, b, dy, s = data.x, data.w, data.b, data.dy, data.shape
    options: dict[str, Any] = {"strides": s.stride, "padding": s.pad, "groups": s.groups}

    def fwd() -> Any:
        return F.conv2d(x, w, b, **options)

    def dx() -> Any:
        return F.conv2d_backward(dy, x, w, needs=("x",), **options)[0]

    def dw() -> Any:
        return F.conv2d_backward(dy, x, w, needs=("w",), **options)[1]

    call = {"fwd": fwd, "dx": dx, "dw": dw}[direction]
    return Prepared(repeat(call), result=call)


def op(library: str, data: OpData, direction: str) -> Prepared:
    """An operation as a program of its own, on arrays that stay where they are, as in a net."""
    if data.name in ("sgd", "adam"):
        return _optimizer(data)
    graph = Graph()
    x, dy = graph.constant(data.x), graph.constant(data.dy)
    if data.name == "max_pool":
        y = ops.max_pool2d(x, (2, 2), (2, 2), "valid")
    elif data.name == "batch_norm_relu":
        gamma, beta = graph.constant(data.gamma), graph.constant(data.beta)
        y = ops.activation(ops.batch_norm(x, gamma, beta, epsilon=EPSILON)[0], "relu")
    elif data.name == "add_relu":
        y = ops.activation(ops.add(x, graph.constant(data.other)), "relu")
    elif data.name == "dense":
        y = ops.dense(x, graph.constant(data.w), graph.constant(data.b))
    else:
        raise NotOffered(f"convkit has no {data.name}")
    fetch = [y]
    if direction == "both":
        fetch += _emit_gradients(graph, y, dy)
    program = compile(graph, batch=len(data.x), fetch=fetch, workspace=Workspace())

    def result() -> Array:
        program.run()
        return program.view(fetch[min(1, len(fetch) - 1)])

    return Prepared(repeat(program.run), {"kernels": program.kernels}, result)


def _emit_gradients(graph: Graph, y: Tensor, dy: Tensor) -> list[Tensor]:
    """Emit the gradients by all that went into y; the input's comes first."""
    gradients: dict[Tensor, Tensor] = {y: dy}
    for made in reversed(list(graph.ops)):
        known = {role: gradients[t] for role, t in made.outputs.items() if t in gradients}
        for role, gradient in made.gradient(known, set(made.inputs)).items():
            gradients[made.inputs[role]] = gradient
    del gradients[y]
    inputs = graph.ops[0].inputs
    return list(dict.fromkeys(gradients[t] for t in inputs.values()))


def _optimizer(data: OpData) -> Prepared:
    if data.name == "sgd":
        optimizer: Any = convkit.optimizers.SGD(LEARNING_RATE, momentum=MOMENTUM)
    else:
        optimizer = convkit.optimizers.Adam(LEARNING_RATE)
    gradient, weight = map(aligned, (data.dy, data.x))  # as a model's are
    return Prepared(repeat(lambda: optimizer.apply_gradients([(gradient, weight)])))


# ---- nets ----------------------------------------------------------------------------------------


def build(net: nets.Net) -> Any:
    """Build a model, not yet compiled, that ends in a softmax as Keras users write it."""
    inputs = convkit.Input(net.input_shape)
    outputs = _chain(inputs, net.layers)
    return convkit.Model(inputs, layers.Activation("softmax")(outputs))


def _chain(x: Any, chain: nets.Layers) -> Any:
    for layer in chain:
        match layer:
            case nets.Conv():
                made: Any = layers.Conv2D(
                    layer.filters,
                    layer.kernel,
                    strides=layer.stride,
                    padding=layer.padding,
                    use_bias=layer.bias,
                )
                made.trainable = not layer.frozen
                x = made(x)
            case nets.BatchNorm():
                x = layers.BatchNormalization(scale=layer.scale)(x)
            case nets.Act():
                x = layers.Activation(layer.name)(x)
            case nets.MaxPool():
                x = layers.MaxPooling2D(layer.size)(x)
            case nets.GlobalAvgPool():
                x = layers.GlobalAveragePooling2D()(x)
            case nets.Flatten():
                x = layers.Flatten()(x)
            case nets.Dropout():
                x = layers.Dropout(layer.rate)(x)
            case nets.Dense():
                x = layers.Dense(layer.units, use_bias=layer.bias)(x)
            case nets.Residual():
                sides = [_chain(x, layer.body), _chain(x, layer.shortcut)]
                x = layers.Activation("relu")(layers.Add()(sides))
            case _:
                raise TypeError(f"build: no layer for {layer!r}")
    return x


def count_numbers(model: Any) -> int:
    """Count a model's weights and batch-norm statistics."""
    return sum(weight.size for weight in model.get_weights())


def train(library: str, net: nets.Net, x: Array, y: Array, batch: int) -> Prepared:
    """Training steps by `fit`, which shuffles and gathers: that is timed as well."""
    model = build(net)
    model.compile(
        optimizer=convkit.optimizers.SGD(LEARNING_RATE, momentum=MOMENTUM),
        loss="sparse_categorical_crossentropy",
    )
    pool = len(x) // batch

    def work(n: int) -> None:
        epochs, rest = divmod(n, pool)
        if epochs:
            model.fit(x, y, batch_size=batch, epochs=epochs, verbose=0)
        if rest:
            images = rest * batch
            model.fit(x[:images], y[:images], batch_size=batch, verbose=0)

    return Prepared(work, {"numbers": count_numbers(model)})


def predict(library: str, net: nets.Net, x: Array, y: Array, batch: int) -> Prepared:
    """Probabilities of one batch by `predict`."""
    model = build(net)

    def call() -> Array:
        return model.predict(x, batch_size=batch, verbose=0)

    return Prepared(repeat(call), {"numbers": count_numbers(model)}, call)
