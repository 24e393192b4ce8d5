"""What a library can be asked to do, and the data for it: the same numbers in every library.

A task is built by a library's module into `Prepared`: work that can be repeated. Directions are
"fwd", "dx" and "dw" of a convolution, "fwd" and "both" (forward, then backward) of other
operations.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
import string
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convkit.bench.nets import NETS
from convkit.bench.shapes import BY_ID, ConvShape

Array = NDArray[Any]

# Runs n units of work (calls, or training steps), one after another, to their end.
Work = Callable[[int], Any]

# Library -> (package that must be installed, module that builds its tasks, family).
# Within a family the fastest speaks for all: PyTorch has two layouts.
LIBRARIES = {
    "convkit": ("convkit", "in_convkit", "convkit"),
    "torch": ("torch", "in_torch", "torch"),
    "torch_channels_last": ("torch", "in_torch", "torch"),
    "torch_compile": ("torch", "in_torch", "torch_compile"),
    "tensorflow": ("tensorflow", "in_tensorflow", "tensorflow"),
    "jax": ("jax", "in_jax", "jax"),
    "numpy": ("numpy", "in_numpy", "numpy"),
}

KINDS = ("conv", "op", "train", "predict")
OPS = ("max_pool", "batch_norm_relu", "add_relu", "dense", "sgd", "adam")

LEARNING_RATE, MOMENTUM, EPSILON = 0.01, 0.9, 1e-3

# Numbers of a training set in memory, 32 MB; longer runs go over it again.
POOL_NUMBERS = 2**23


class NotOffered(Exception):
    """A library has no such operation, or nothing that would be worth comparing."""


@dataclass(frozen=True)
class Task:
    """One thing to measure. `name` is a net, a convolution's id, or an operation.

    `shape` is one sample's shape of an operation (for optimizers, that of the parameter).
    """

    kind: str
    name: str
    direction: str = "fwd"
    batch: int = 128
    shape: tuple[int, ...] = ()


@dataclass
class Prepared:
    """Work of one library, what is known about it, and what it computes, as NumPy arrays."""

    work: Work
    info: dict[str, Any] = field(default_factory=dict)
    result: Callable[[], Array] | None = None


def installed(library: str) -> bool:
    """Say whether a library can be measured here."""
    return importlib.util.find_spec(LIBRARIES[library][0]) is not None


def prepare(library: str, task: Task) -> Prepared:
    """Build a task for a library. Raises NotOffered where the library has no such thing."""
    module = importlib.import_module(f"convkit.bench.{LIBRARIES[library][1]}")
    build = getattr(module, task.kind, None)
    if build is None:
        raise NotOffered(f"{library} has no {task.kind}")
    if task.kind == "conv":
        return build(library, ConvData(BY_ID[task.name], task.batch), task.direction)
    if task.kind == "op":
        return build(library, OpData(task), task.direction)
    net = NETS[task.name]
    each = task.batch * math.prod(net.input_shape)
    batches = max(1, POOL_NUMBERS // each) if task.kind == "train" else 1
    x, y = images_and_labels(net.input_shape, net.classes, batches * task.batch)
    return build(library, net, x, y, task.batch)


def images_and_labels(
    shape: tuple[int, ...], classes: int, count: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return random images (NHWC) and labels: the speed is that of real ones."""
    rng = np.random.default_rng(0)
    return rng.random((count, *shape), np.float32), rng.integers(0, classes, count)


def repeat(call: Callable[[], Any], finish: Callable[[Any], Any] | None = None) -> Work:
    """Return work that calls again and again, and waits for the last result with `finish`."""

    def work(n: int) -> None:
        result = None
        for _ in range(n):
            result = call()
        if finish is not None:
            finish(result)

    return work


def aligned(array: Array) -> Array:
    """Return a copy at the start of a cache line, where every library puts its own arrays.

    NumPy's large arrays begin 16 bytes behind one, which costs all libraries that share them some
    speed, and not the same in every run.
    """
    from convkit import _core

    copy = _core.aligned_empty(array.nbytes).view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


class ConvData:
    """Arrays of a convolution: input, weights, bias and the gradient of the output."""

    def __init__(self, shape: ConvShape, batch: int) -> None:
        rng = np.random.default_rng(0)
        s = shape
        fan_in = s.kernel**2 * s.c // s.groups
        self.shape = shape
        self.x = aligned(rng.standard_normal((batch, s.h, s.w, s.c), np.float32))
        self.w = rng.standard_normal((s.kernel, s.kernel, s.c // s.groups, s.k), np.float32)
        self.w *= np.float32((2 / fan_in) ** 0.5)
        self.b = rng.standard_normal(s.k, np.float32)
        self.dy = aligned(rng.standard_normal((batch, s.oh, s.ow, s.k), np.float32))


class OpData:
    """Arrays of an operation: two inputs, a matrix or two vectors, the gradient of the output."""

    def __init__(self, task: Task) -> None:
        rng = np.random.default_rng(0)
        self.name = task.name
        optimizer = task.name in ("sgd", "adam")
        shape = task.shape if optimizer else (task.batch, *task.shape)
        if task.name == "dense":
            *_, inputs, self.units = task.shape
            shape = (task.batch, inputs)
            self.w = rng.standard_normal((inputs, self.units), np.float32)
            self.b = rng.standard_normal(self.units, np.float32)
            self.dy = rng.standard_normal((task.batch, self.units), np.float32)
        self.x = rng.standard_normal(shape, np.float32)
        if task.name == "max_pool":
            n, h, w, c = shape
            self.dy = rng.standard_normal((n, h // 2, w // 2, c), np.float32)
        elif task.name != "dense":
            self.dy = rng.standard_normal(shape, np.float32)
        if task.name == "add_relu":
            self.other = rng.standard_normal(shape, np.float32)
        self.gamma = rng.random(shape[-1], np.float32) + 0.5
        self.beta = rng.random(shape[-1], np.float32)


# (operation, direction) -> passes, each the arrays that it reads and writes, at the least. A number
# after a name is the part of the input's bytes that the array has: pooling stores a quarter and, in
# training, a byte for each winner. Batch norm reads its input for the statistics and again to apply
# them, its gradient likewise reads two arrays twice. The ReLU of a sum passes on one gradient, its
# mask known from the output.
PASSES_OVER_MEMORY = {
    ("max_pool", "fwd"): (("x", "y4"),),
    ("max_pool", "both"): (("x", "y4 winner16"), ("dy4 winner16", "dx")),
    ("batch_norm_relu", "fwd"): (("x", ""), ("x", "y")),
    ("batch_norm_relu", "both"): (("x", ""), ("x", "y"), ("x dy", ""), ("x dy", "dx")),
    ("add_relu", "fwd"): (("a b", "y"),),
    ("add_relu", "both"): (("a b", "y"), ("y dy", "dx")),
    ("sgd", "fwd"): (("w dw m", "w m"),),
    ("adam", "fwd"): (("w dw m v", "w m v"),),
}

# What is read and what is written, each with the part of the largest array that it is.
Pass = tuple[list[tuple[Array, int]], list[tuple[Array, int]]]


def _part(name: str) -> int:
    return int(name.lstrip(string.ascii_letters) or 1)


def _passes(task: Task) -> tuple[tuple[list[str], list[str]], ...]:
    if task.kind != "op":
        return ()
    found = PASSES_OVER_MEMORY.get((task.name, task.direction), ())
    return tuple((read.split(), written.split()) for read, written in found)


def _bytes(task: Task) -> int:
    samples = 1 if task.name in ("sgd", "adam") else task.batch
    return 4 * samples * math.prod(task.shape)


def bytes_moved(task: Task) -> float | None:
    """Return the bytes an operation has to move at the least, None where arithmetic binds."""
    names = [name for each in _passes(task) for side in each for name in side]
    return sum(_bytes(task) / _part(name) for name in names) if names else None


def passes_over_memory(task: Task) -> list[Pass]:
    """Return the passes of an operation bound by memory over arrays like its own."""
    from convkit import _core

    passes = _passes(task)
    names = {name for each in passes for side in each for name in side}
    arrays = {name: _core.aligned_empty(_bytes(task) // _part(name)) for name in sorted(names)}

    def listed(side: list[str]) -> list[tuple[Array, int]]:
        return [(arrays[name], _part(name)) for name in side]

    return [(listed(read), listed(written)) for read, written in passes]
