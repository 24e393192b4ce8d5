"""Ops that move or combine elements: gather, add, affine, dropout, copies, orders, views."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from convkit import _check
from convkit.ops.base import Op, Struct, View, check_rank, check_real, emit, product, sized

if TYPE_CHECKING:
    from convkit.graph import Tensor

GATHER = Struct("ck_gather", "y x index", "n cols source_type x_rows")
ADD = Struct("ck_add", "y a b", "count activation", "alpha")
AFFINE = Struct("ck_affine", "y x", "count", "scale offset")
RANDOM_NORMAL = Struct("ck_random_normal", "y step", "count seed stream", "mean stddev")
DROPOUT = Struct("ck_dropout", "y x step", "count seed stream pixels c", "rate")
COPY = Struct("ck_copy", "y x", "n0 n1 n2 n3 y0 y1 y2 x0 x1 x2")
PERMUTE = Struct("ck_permute", "y x", "n0 n1 n2 n3 n4 n5 x0 x1 x2 x3 x4 x5")
FILL = Struct("ck_fill", "y", "count", "value")

# In the order of enum ck_source_type.
_INTEGERS = ("uint8", "int8", "int16", "uint16", "int32", "uint32", "int64", "uint64")
SOURCE_TYPES = {np.dtype(name): i for i, name in enumerate((*_INTEGERS, "float32", "float64"))}
SOURCE_TYPES[np.dtype(bool)] = SOURCE_TYPES[np.dtype("uint8")]


# ---- gather --------------------------------------------------------------------------------------


class Gather(Op):
    """y[i] = x[index[i]], converted to the float type: how data enter a program."""

    kernel = "gather"
    struct = GATHER
    # The input that is fed, where the compiler has made y another tensor.
    source: Tensor | None = None

    @classmethod
    def of(cls, shape: tuple[int | None, ...], dtype: str, itemsize: int) -> Gather:
        """Make the op of an input; int64 rows are moved as the float-sized words in them."""
        words = 8 // itemsize if dtype == "int64" else 1
        return cls({}, {"cols": product(shape) * words}, {"n": 1})

    def source_type(self, source: np.ndarray[Any, Any]) -> int:
        """Return the struct's number of a source array's dtype. Raises TypeError for others."""
        y = self.outputs["y"]
        if y.dtype == "int64":
            if source.dtype != np.int64:
                raise TypeError(f"feed: source of {y!r} must be int64, got dtype {source.dtype}")
            # A float kernel copies such words unchanged: it moves them and computes nothing.
            return SOURCE_TYPES[y.graph.dtype]
        if source.dtype not in SOURCE_TYPES:
            raise TypeError(
                f"feed: source of {y!r} must be bool, 8- to 64-bit integers, float32 or float64,"
                f" got dtype {source.dtype}"
            )
        return SOURCE_TYPES[source.dtype]


# ---- add, affine ---------------------------------------------------------------------------------


class Add(Op):
    """y = activation(a + b)."""

    kernel = "add"
    struct = ADD
    in_place = (("y", "a"), ("y", "b"))
    fuses_activation = True

    def gradient(self, dy: Mapping[str, Tensor], needs: set[str]) -> dict[str, Tensor]:
        """Pass dy to both sides."""
        return {role: dy["y"] for role in sorted(needs)}


def add(a: Tensor, b: Tensor) -> Tensor:
    """Emit a + b of two tensors of one shape."""
    check_real("add", a=a, b=b)
    if a.shape != b.shape:
        raise ValueError(f"add: a and b must have one shape, got {a.shape} and {b.shape}")
    return emit(Add({"a": a, "b": b}, **sized(count=a.shape)), y=a.shape)["y"]


class Affine(Op):
    """y = x * scale + offset."""

    kernel = "affine"
    struct = AFFINE
    in_place = (("y", "x"),)

    def gradient(self, dy: Mapping[str, Tensor], needs: set[str]) -> dict[str, Tensor]:
        """Compute dx = dy * scale."""
        return {"x": affine(dy["y"], self.numbers["scale"], 0.0)}


def affine(x: Tensor, scale: float, offset: float) -> Tensor:
    """Emit x * scale + offset with two numbers."""
    check_real("affine", x=x)
    op = Affine({"x": x}, **sized(count=x.shape))
    op.numbers["scale"] = _check.number("affine", "scale", scale)
    op.numbers["offset"] = _check.number("affine", "offset", offset)
    return emit(op, y=x.shape)["y"]


# ---- dropout -------------------------------------------------------------------------------------


class Dropout(Op):
    """y = x / (1 - rate) where kept, else 0; the mask is a function of seed, stream and step."""

    kernel = "dropout"
    struct = DROPOUT
    in_place = (("y", "x"),)

    def gradient(self, dy: Mapping[str, Tensor], needs: set[str]) -> dict[str, Tensor]:
        """Drop the same elements of dy."""
        return {"x": self._of(dy["y"])}

    def _of(self, x: Tensor) -> Tensor:
        twin = Dropout({"x": x, "step": self.inputs["step"]}, self.numbers, self.per_sample)
        return emit(twin, y=x.shape)["y"]


def _chance(function: str, seed: int, stream: int, step: Tensor) -> dict[str, int]:
    """Check where random numbers come from; return the fields of a struct."""
    if step.dtype != "uint64":
        raise TypeError(f"{function}: step must be the tensor of a uint64 variable, got {step!r}")
    return {
        "seed": _check.integer(function, "seed", seed, 0, _check.MAX_PRODUCT),
        "stream": _check.integer(function, "stream", stream, 0, _check.MAX_PRODUCT),
    }


def dropout(
    x: Tensor, rate: float, *, seed: int, stream: int, step: Tensor, spatial: bool = False
) -> Tensor:
    """Emit dropout; `step` is the tensor of a uint64 counter variable, `stream` tells layers apart.

    `spatial` drops whole channels of a sample. Source: Srivastava et al., 2014 (scaled at training
    time); Tompson et al., 2015.
    """
    check_real("dropout", x=x)
    rate = _check.number("dropout", "rate", rate)
    if not 0 <= rate < 1:
        raise ValueError(f"dropout: rate must lie in [0, 1), got rate={rate!r}")
    chance = _chance("dropout", seed, stream, step)
    if rate == 0:
        return x
    op = Dropout({"x": x, "step": step}, **sized(count=x.shape))
    op.numbers |= {"rate": rate, **chance}
    if spatial:
        op.numbers |= {"pixels": product(x.shape[1:-1]), "c": product(x.shape[-1:])}
    return emit(op, y=x.shape)["y"]


class RandomNormal(Op):
    """y is normally distributed: a function of seed, stream, step and the element's index."""

    kernel = "random_normal"
    struct = RANDOM_NORMAL


def random_normal(
    like: Tensor,
    mean: float = 0.0,
    stddev: float = 1.0,
    *,
    seed: int,
    stream: int,
    step: Tensor,
) -> Tensor:
    """Emit normally distributed numbers in the shape of a tensor; `step` and others as dropout's.

    Source: Box and Muller, 1958.
    """
    function = "random_normal"
    check_real(function, like=like)
    op = RandomNormal({"step": step}, **sized(count=like.shape))
    op.numbers |= {
        "mean": _check.number(function, "mean", mean),
        "stddev": _check.at_least_zero(function, "stddev", stddev),
        **_chance(function, seed, stream, step),
    }
    return emit(op, y=like.shape)["y"]


# ---- copies: concatenation, padding and cropping -------------------------------------------------


class Fill(Op):
    """y = value everywhere."""

    kernel = "fill"
    struct = FILL


def _zeros(like: Tensor, shape: Sequence[int | None]) -> Tensor:
    """Emit zeros in the graph of a tensor, for a block to be copied into."""
    op = Fill({}, **sized(count=shape))
    op.numbers["value"] = 0.0
    return like.graph.emit(op, {"y": tuple(shape)})["y"]


class Copy(Op):
    """Copy a block of x to a block of y; what else y holds comes from `into`.

    The blocks of ops that copy into one tensor do not overlap, so each leaves the gradient of the
    others' blocks alone.
    """

    kernel = "copy"
    struct = COPY
    aliases: ClassVar[Mapping[str, str]] = {"y": "into"}

    def gradient(self, dy: Mapping[str, Tensor], needs: set[str]) -> dict[str, Tensor]:
        """Cut dx out of dy."""
        result = {}
        if "x" in needs:
            x = self.inputs["x"]
            numbers = dict(self.numbers)
            for axis in "012":
                numbers[f"y{axis}"], numbers[f"x{axis}"] = numbers[f"x{axis}"], numbers[f"y{axis}"]
            cut = Copy({"x": dy["y"]}, numbers, self.per_sample, {"x": self.offsets.get("y", 0)})
            result["x"] = emit(cut, y=x.shape)["y"]
        if "into" in needs:
            result["into"] = dy["y"]
        return result


_STRIDES = ("y0", "y1", "y2", "x0", "x1", "x2")


def concatenate(tensors: Sequence[Tensor], axis: int = -1) -> Tensor:
    """Emit the concatenation of tensors along an axis that is not the batch."""
    function = "concatenate"
    if not tensors:
        raise ValueError(f"{function}: tensors must not be empty")
    first = tensors[0]
    rank = len(first.shape)
    check_real(function, **{f"tensors[{i}]": t for i, t in enumerate(tensors)})
    axis = _check.integer(function, "axis", axis, -rank, rank - 1)
    axis %= rank
    if axis == 0:
        raise ValueError(f"{function}: axis must not be the batch, got axis=0")
    for t in tensors:
        if (*t.shape[:axis], *t.shape[axis + 1 :]) != (
            *first.shape[:axis],
            *first.shape[axis + 1 :],
        ):
            raise ValueError(
                f"{function}: shapes must agree but for axis {axis}, got"
                f" {', '.join(str(t.shape) for t in tensors)}"
            )
    size = sum(product(t.shape[axis : axis + 1]) for t in tensors)
    shape = (*first.shape[:axis], size, *first.shape[axis + 1 :])
    row, offset = product(shape[axis:]), 0
    y: Tensor | None = None
    for x in tensors:
        run = product(x.shape[axis:])
        op = Copy({"x": x, "into": y}, **sized(n2=first.shape[:axis]), offsets={"y": offset})
        op.numbers |= dict.fromkeys(_STRIDES, 0) | {
            "n0": 1,
            "n1": 1,
            "n3": run,
            "y2": row,
            "x2": run,
        }
        y = emit(op, y=shape)["y"]
        offset += run
    assert y is not None
    return y


def zero_pad2d(x: Tensor, padding: tuple[tuple[int, int], tuple[int, int]]) -> Tensor:
    """Emit images with rows and columns of zeros around them: ((top, bottom), (left, right))."""
    function = "zero_pad2d"
    check_real(function, x=x)
    check_rank(function, "x", x, 4, "(N, H, W, C)")
    form = _check.explicit_padding(function, padding)
    if isinstance(form, str):
        raise ValueError(
            f"{function}: padding must be ((top, bottom), (left, right)), got {form!r}"
        )
    (top, bottom), (left, right) = form
    n, h, w, c = x.shape
    assert h is not None and w is not None and c is not None
    shape = (n, h + top + bottom, w + left + right, c)
    row, image = shape[2] * c, shape[1] * shape[2] * c
    offsets = {"y": top * row + left * c}
    op = Copy({"x": x, "into": _zeros(x, shape)}, **sized(n0=(n,)), offsets=offsets)
    op.numbers |= dict.fromkeys(_STRIDES, 0) | {"n1": h, "n2": 1, "n3": w * c}
    op.numbers |= {"y0": image, "y1": row, "x0": h * w * c, "x1": w * c}
    return emit(op, y=shape)["y"]


class Crop(Copy):
    """Copy a block out of x."""

    def gradient(self, dy: Mapping[str, Tensor], needs: set[str]) -> dict[str, Tensor]:
        """Put dy into zeros."""
        x = self.inputs["x"]
        numbers = dict(self.numbers)
        for axis in "012":
            numbers[f"y{axis}"], numbers[f"x{axis}"] = numbers[f"x{axis}"], numbers[f"y{axis}"]
        inputs = {"x": dy["y"], "into": _zeros(x, x.shape)}
        op = Copy(inputs, numbers, self.per_sample, {"y": self.offsets["x"]})
        return {"x": emit(op, y=x.shape)["y"]}


def crop2d(x: Tensor, cropping: tuple[tuple[int, int], tuple[int, int]]) -> Tensor:
    """Emit images without some rows and columns at their sides: ((top, bottom), (left, right))."""
    function = "crop2d"
    check_real(function, x=x)
    check_rank(function, "x", x, 4, "(N, H, W, C)")
    n, h, w, c = x.shape
    assert h is not None and w is not None and c is not None
    (top, bottom), (left, right) = cropping
    rows, columns = h - top - bottom, w - left - right
    if min(top, bottom, left, right) < 0 or min(rows, columns) < 1:
        raise ValueError(
            f"{function}: cropping must leave at least one row and column, got"
            f" cropping={cropping!r} for x of shape {x.shape}"
        )
    op = Crop({"x": x}, **sized(n0=(n,)), offsets={"x": (top * w + left) * c})
    op.numbers |= dict.fromkeys(_STRIDES, 0) | {"n1": rows, "n2": 1, "n3": columns * c}
    op.numbers |= {"x0": h * w * c, "x1": w * c, "y0": rows * columns * c, "y1": columns * c}
    return emit(op, y=(n, rows, columns, c))["y"]


# ---- the order of axes ---------------------------------------------------------------------------


class Permute(Op):
    """Another order of the axes, the batch first."""

    kernel = "permute"
    struct = PERMUTE

    def gradient(self, dy: Mapping[str, Tensor], needs: set[str]) -> dict[str, Tensor]:
        """Bring the axes of dy back into the order of x."""
        sizes = [int(self.numbers[f"n{i}"]) for i in range(1, AXES)]
        strides = [int(self.numbers[f"x{i}"]) for i in range(1, AXES)]
        order = sorted(range(AXES - 1), key=lambda i: -strides[i])
        dense = [math.prod(sizes[i + 1 :]) for i in order]
        axes = [(sizes[i], stride) for i, stride in zip(order, dense, strict=True)]
        batch = int(self.per_sample["n0"]), int(self.numbers["x0"])
        return {"x": _permuted(dy["y"], [batch, *axes], self.inputs["x"].shape)}


AXES = 6


def _permuted(x: Tensor, axes: Sequence[tuple[int, int]], shape: Sequence[int | None]) -> Tensor:
    """Emit the op for y's axes as (size, stride in x), the batch's first, for a sample's size."""
    joined = [axes[0]]
    for size, stride in axes[1:]:
        before, reach = joined[-1]
        if size == 1:
            continue
        if reach == size * stride:
            joined[-1] = before * size, stride
        else:
            joined.append((size, stride))
    if len(joined) == 1:  # only axes of one element moved
        return reshape(x, shape)
    if len(joined) > AXES:
        raise ValueError(f"permute: at most {AXES} axes can change places, got {len(joined)}")
    padded = [joined[0], *[(1, 0)] * (AXES - len(joined)), *joined[1:]]
    op = Permute({"x": x}, per_sample={"n0": padded[0][0]})
    op.numbers = {f"n{i}": size for i, (size, _) in enumerate(padded) if i}
    op.numbers |= {f"x{i}": stride for i, (_, stride) in enumerate(padded)}
    return emit(op, y=shape)["y"]


def permute(x: Tensor, axes: Sequence[int]) -> Tensor:
    """Emit x with its axes in another order: axis i + 1 of the result is axis axes[i] of x.

    The batch stays first; axes counts from 1, as in Keras.
    """
    function = "permute"
    check_real(function, x=x)
    rank = len(x.shape)
    places = [_check.integer(function, "axes", a, 1, rank - 1) for a in axes]
    if sorted(places) != list(range(1, rank)):
        raise ValueError(
            f"{function}: axes must hold each of 1 to {rank - 1} once, got axes={tuple(axes)!r} for"
            f" x of shape {x.shape}"
        )
    if places == sorted(places):
        return x
    sample = [(product(x.shape[a : a + 1]), product(x.shape[a + 1 :])) for a in places]
    return _permuted(x, [(1, product(x.shape[1:])), *sample], (None, *(x.shape[a] for a in places)))


# ---- views ---------------------------------------------------------------------------------------


def view(x: Tensor, shape: Sequence[int | None]) -> Tensor:
    """Emit the same values in another shape of as many; x itself where it has that shape."""
    if x.shape == tuple(shape):
        return x
    return emit(View({"x": x}), y=(tuple(shape), x.dtype))["y"]


def reshape(x: Tensor, shape: Sequence[int | None]) -> Tensor:
    """Emit a view of x with other sizes; the first is the batch, None; one other may be -1."""
    function = "reshape"
    if isinstance(shape, str) or not isinstance(shape, Sequence) or tuple(shape[:1]) != (None,):
        raise ValueError(f"{function}: shape must be (None, sizes...), got shape={shape!r}")
    sizes = [_check.integer(function, "shape", size, -1) for size in shape[1:]]
    total = product(x.shape[1:])
    if sizes.count(-1) == 1:
        known = -product(sizes)
        sizes[sizes.index(-1)] = total // known if known > 0 else 0
    if product(sizes) != total or min(sizes, default=1) < 1:
        raise ValueError(
            f"{function}: shape must hold as many values per sample as x, got"
            f" shape={tuple(shape)!r} for x of shape {x.shape}"
        )
    return emit(View({"x": x}), y=((x.shape[0], *sizes), x.dtype))["y"]
