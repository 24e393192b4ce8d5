"""One valid call of every function of `convkit.functional`: the list that layout, dtype, error and
determinism tests go through."""

import hashlib
from dataclasses import dataclass, field

import numpy as np
import reference
from cases import BIG, CONVS, Conv, integers, uniform

import convkit
import convkit.functional as F


@dataclass(frozen=True)
class Call:
    """A function, its array arguments and its options, all by their public names."""

    name: str
    arrays: dict
    options: dict = field(default_factory=dict)
    label: str = ""
    batch: tuple = ("x", "dy", "argmax")  # arrays whose first axis is the batch

    def __call__(self, **changes):
        """Call the function with some arguments replaced."""
        return getattr(F, self.name)(**{**self.arrays, **self.options, **changes})

    def results(self, **changes):
        """Call the function; return its results as a tuple of arrays."""
        got = self(**changes)
        return tuple(np.asarray(r) for r in (got if isinstance(got, tuple) else (got,)))

    @property
    def float_arrays(self):
        """Return the names of the arguments that take part in the dtype rule."""
        return [name for name, a in self.arrays.items() if a.dtype.kind == "f"]

    @property
    def takes_out(self):
        """Return whether the function returns one array, and so takes `out`."""
        return self.name not in {
            "conv2d_backward",
            "conv2d_transpose_backward",
            "dense_backward",
            "batch_norm",
            "batch_norm_backward",
            "softmax_cross_entropy",
        } and not self.options.get("return_argmax")

    def __str__(self):
        """Return the test id."""
        return self.name + self.label


def _conv_calls(rng, dtype):
    def random(shape):
        return uniform(rng, shape, dtype)

    x, w, b = random((2, 6, 5, 3)), random((3, 3, 3, 4)), random(4)
    same = {"strides": 2, "padding": "same"}
    yield Call("conv2d", {"x": x, "w": w, "b": b}, {"padding": "same", "activation": "relu"})
    yield Call("conv2d_backward", {"dy": random((2, 3, 3, 4)), "x": x, "w": w}, same)
    wt = random((3, 3, 4, 3))
    yield Call("conv2d_transpose", {"x": x, "w": wt, "b": b}, same)
    dy = random((2, 12, 10, 4))
    yield Call("conv2d_transpose_backward", {"dy": dy, "x": x, "w": wt}, same)
    m = random((5, 6))
    yield Call("dense", {"x": m, "w": random((6, 7)), "b": random(7)})
    yield Call("dense_backward", {"dy": random((5, 7)), "x": m, "w": random((6, 7))})


def _pool_calls(rng, dtype):
    x, dy = uniform(rng, (2, 5, 6, 3), dtype), uniform(rng, (2, 3, 3, 3), dtype)
    same = {"pool_size": 3, "strides": 2, "padding": "same"}
    argmax = reference.max_pool2d(x, return_argmax=True, **same)[1].astype(np.uint8)
    yield Call("max_pool2d", {"x": x}, same)
    yield Call("max_pool2d", {"x": x}, {**same, "return_argmax": True}, label="-argmax")
    yield Call("max_pool2d_backward", {"dy": dy, "argmax": argmax}, {"x_shape": x.shape, **same})
    yield Call("avg_pool2d", {"x": x}, same)
    yield Call("avg_pool2d_backward", {"dy": dy}, {"x_shape": x.shape, **same})


def _norm_calls(rng, dtype):
    def random(shape):
        return uniform(rng, shape, dtype)

    x, gamma, beta, mean = random((4, 3, 2, 5)), random(5), random(5), random(5)
    variance = (0.5 + rng.random(5)).astype(dtype)
    yield Call("batch_norm", {"x": x, "gamma": gamma, "beta": beta})
    statistics = {"x": x, "mean": mean, "variance": variance, "gamma": gamma}
    yield Call("batch_norm_inference", {**statistics, "beta": beta})
    yield Call("batch_norm_backward", {"dy": random(x.shape), **statistics})


def _elementwise_calls(rng, dtype):
    x, dy = 4 * uniform(rng, (3, 4, 5), dtype), uniform(rng, (3, 4, 5), dtype)
    for name in reference.ACTIVATIONS:
        yield Call(name, {"x": x})
        yield Call("activation_backward", {"dy": dy, "x": x}, {"name": name}, label=f"-{name}")
    tanh = {"approximate": True}
    yield Call("gelu", {"x": x}, tanh, label="-tanh")
    options = {"name": "gelu", **tanh}
    yield Call("activation_backward", {"dy": dy, "x": x}, options, label="-gelu-tanh")
    for axis in (-1, 1):
        yield Call("softmax", {"x": x}, {"axis": axis}, label=f"-axis{axis}")
        yield Call("log_softmax", {"x": x}, {"axis": axis}, label=f"-axis{axis}")
    logits, labels = 3 * uniform(rng, (6, 5), dtype), rng.integers(0, 5, 6)
    yield Call("softmax_cross_entropy", {"logits": logits, "labels": labels}, label="-indices")
    probabilities = reference.softmax(uniform(rng, (6, 5), dtype)).astype(dtype)
    arrays = {"logits": logits, "labels": probabilities}
    smooth = {"label_smoothing": 0.1}
    yield Call("softmax_cross_entropy", arrays, smooth, label="-probabilities")


def make_calls(dtype):
    """Return all calls, with arrays of `dtype`; the values depend on nothing else."""
    rng = np.random.default_rng(7)
    families = (_conv_calls, _pool_calls, _norm_calls, _elementwise_calls)
    return {str(call): call for family in families for call in family(rng, np.dtype(dtype))}


IDS = list(make_calls(np.float32))

# Large enough that every kernel has work for several threads, with tails on every axis.
LARGE = [
    Conv((3, 29, 31, 17), (3, 3), 33, padding="same"),
    Conv((5, 28, 28, 1), (3, 3), 8),
    Conv((2, 20, 21, 35), (1, 1), 66),
    Conv((2, 23, 22, 40), (3, 3), 40, groups=40, padding="same", strides=2),
    Conv((1, 40, 37, 3), (7, 7), 16, strides=2, padding="same"),
    Conv((70, 4, 4, 9), (3, 3), 20),
    *BIG[::2],
]


def _update(sha, results):
    for r in results:
        sha.update(str((r.shape, r.dtype)).encode())
        sha.update(np.ascontiguousarray(r).tobytes())


def large_results(dtype):
    """Yield the results of calls whose sums are long enough to show a change of their order."""
    rng = np.random.default_rng(11)
    for conv in (*LARGE, *CONVS):
        x, w = uniform(rng, conv.x_shape, dtype), uniform(rng, conv.w_shape, dtype)
        dy = uniform(rng, conv.y_shape, dtype)
        yield F.conv2d(x, w, uniform(rng, conv.k, dtype), **conv.options)
        yield from F.conv2d_backward(dy, x, w, **conv.options)
    x, w, dy = (uniform(rng, s, dtype) for s in ((130, 301), (301, 77), (130, 77)))
    yield F.dense(x, w)
    yield from F.dense_backward(dy, x, w)
    x, dy = uniform(rng, (9, 19, 18, 35), dtype), uniform(rng, (9, 19, 18, 35), dtype)
    y, mean, variance = F.batch_norm(x)
    yield from (y, mean, variance)
    yield from F.batch_norm_backward(dy, x, mean, variance)
    options = {"pool_size": 3, "strides": 2, "padding": "same"}
    y, argmax = F.max_pool2d(x, return_argmax=True, **options)
    yield from (y, argmax)
    yield F.max_pool2d_backward(y, argmax, x.shape, **options)
    yield F.avg_pool2d_backward(F.avg_pool2d(x, **options), x.shape, **options)
    yield F.softmax(x)
    loss, dlogits = F.softmax_cross_entropy(x.reshape(-1, 35), np.arange(9 * 19 * 18) % 35)
    yield from (np.asarray(loss), dlogits)


def digest():
    """Return the SHA-256 of the results of all calls, small and large, in both float types."""
    sha = hashlib.sha256()
    for dtype in (np.float32, np.float64):
        for call in make_calls(dtype).values():
            _update(sha, call.results())
        _update(sha, large_results(np.dtype(dtype)))
    return sha.hexdigest()


def exact_digest():
    """Return the SHA-256 of convolutions of integers: equal on every ISA."""
    sha = hashlib.sha256()
    rng = np.random.default_rng(13)
    convkit.set_algorithm("direct")
    for conv in (*LARGE, *CONVS):
        x, w = integers(rng, conv.x_shape, np.float32), integers(rng, conv.w_shape, np.float32)
        dy = integers(rng, conv.y_shape, np.float32)
        _update(sha, [F.conv2d(x, w, **conv.options)])
        _update(sha, F.conv2d_backward(dy, x, w, **conv.options))
    return sha.hexdigest()
