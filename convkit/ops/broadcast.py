"""Functions of two tensors that repeat along axes, sums along axes, functions of elements."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from convkit import _check
from convkit.ops import elementwise
from convkit.ops.base import Op, Shape, Struct, check_real, emit, is_tensor, product, sized
from convkit.ops.elementwise import affine, view

if TYPE_CHECKING:
    from convkit.graph import Tensor

Operand = Any  # a tensor, a Variable, an array or a number

BINARY = Struct(
    "ck_binary",
    "y z a b dy",
    "n0 n1 n2 n3 a0 a1 a2 a3 b0 b1 b2 b3 kind side activation",
    "alpha",
)
REDUCE = Struct("ck_reduce", "y x z", "outer size inner", "scale")
UNARY = Struct("ck_unary", "y dx x dy", "count kind", "alpha low high")

# In the order of enum ck_binary_kind.
KINDS = ("add", "subtract", "multiply", "divide", "maximum", "minimum", "prelu")
# In the order of enum ck_unary_kind.
UNARY_KINDS = ("exp", "log", "sqrt", "square", "abs", "clip", "bounded_relu")


# ---- two tensors ---------------------------------------------------------------------------------


class Binary(Op):
    """y = activation(f(a, b)), each repeated along the axes where it has one element."""

    kernel = "binary_forward"
    struct = BINARY
    in_place = (("y", "a"), ("y", "b"))
    optional = frozenset({"z"})
    fuses_activation = True
    keeps_z = True

    @property
    def kind(self) -> str:
        """Return the name of the function."""
        return KINDS[int(self.numbers["kind"])]

    def gradient(self, dy: Mapping[str, Tensor], needs: set[str]) -> dict[str, Tensor]:
        """Emit each side's gradient: dy times the derivative, summed where the side repeats."""
        return {role: self._side(dy["y"], role) for role in sorted(needs)}

    def _side(self, dy: Tensor, role: str) -> Tensor:
        a, b = self.inputs["a"], self.inputs["b"]
        side = self.inputs[role]
        if self.kind == "multiply":
            other = b if role == "a" else a
            if other.shape == dy.shape:
                return sum_to(dy, side.shape, times=other)
            return sum_to(multiply(dy, other), side.shape)
        if self.kind == "add":
            return sum_to(dy, side.shape)
        if self.kind == "subtract":
            return sum_to(dy, side.shape, scale=1.0 if role == "a" else -1.0)
        op = BinaryBackward({"a": a, "b": b, "dy": dy}, self.numbers, self.per_sample)
        op.numbers["side"] = int(role == "b")
        return sum_to(emit(op, y=dy.shape)["y"], side.shape)


class BinaryBackward(Op):
    """y = dy times the derivative of f by a (side 0) or by b (side 1)."""

    kernel = "binary_backward"
    struct = BINARY
    in_place = (("y", "dy"), ("y", "a"), ("y", "b"))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _aligned(shape: Shape, rank: int) -> Shape:
    """Put axes of size 1 in front; a batch of a shorter shape is refused by the caller."""
    return (*[1] * (rank - len(shape)), *shape)


def common_shape(function: str, a: Tensor, b: Tensor) -> Shape:
    """Return the shape that a and b repeat to, by NumPy's rule; the batch is repeated too."""
    rank = max(len(a.shape), len(b.shape))
    shape: list[int | None] = []
    for one, other in zip(_aligned(a.shape, rank), _aligned(b.shape, rank), strict=True):
        if one != other and 1 not in (one, other):
            raise ValueError(
                f"{function}: shapes must agree, or have a size of 1, axis by axis from the last"
                f" one, got {a.shape} and {b.shape}; reshape one of them"
            )
        shape.append(other if one == 1 else one)
    if None in shape[1:]:
        raise ValueError(
            f"{function}: the batch of both must be the first axis of the result, got shapes"
            f" {a.shape} and {b.shape}; reshape the shorter one"
        )
    return tuple(shape)


def _axes(shape: Shape, a: Shape, b: Shape) -> list[list[int]]:
    """Return (size, stride of a, stride of b) by axis, few: neighbours that can be are one.

    A batch counts as one sample. The first axis may grow with the batch: one that is not first must
    not be joined to it unless it grows alike, which holds for dense and for constant operands.
    """

    def strides(of: Shape) -> list[int]:
        aligned = _aligned(of, len(shape))
        return [
            0 if size == 1 and full != 1 else math.prod(s or 1 for s in aligned[i + 1 :])
            for i, (size, full) in enumerate(zip(aligned, shape, strict=True))
        ]

    joined: list[list[int]] = []
    for size, *steps in zip(shape, strides(a), strides(b), strict=True):
        if size == 1:
            continue
        if joined and all(
            before == (size or 1) * step for before, step in zip(joined[-1][1:], steps, strict=True)
        ):
            joined[-1] = [joined[-1][0] * (size or 1), *steps]
        else:
            joined.append([size or 1, *steps])
    return joined or [[1, 1, 1]]


def _layout(function: str, shape: Shape, a: Shape, b: Shape) -> dict[str, dict[str, int]]:
    """Return the `numbers` and `per_sample` that describe a binary op."""
    axes = _axes(shape, a, b)
    if len(axes) > 4:
        raise ValueError(
            f"{function}: operands repeat along too many separate axes, got shapes {a} and {b}"
        )
    filler = [[1, 0, 0]] * (4 - len(axes))
    grows = shape[0] is None
    if grows and len(axes) == 1:
        # One dense row of all samples: a row a sample, so that the count of rows grows.
        size, *steps = axes[0]
        axes = [[1, *(size * step for step in steps)], *filler[1:], axes[0]]
    elif grows:
        axes = [axes[0], *filler, *axes[1:]]  # the axis that holds the batch goes first
    else:
        axes = [*filler, *axes]
    numbers = {f"n{i}": axis[0] for i, axis in enumerate(axes)}
    numbers |= {
        f"{side}{i}": axis[1 + j] for i, axis in enumerate(axes) for j, side in enumerate("ab")
    }
    return {"numbers": numbers, "per_sample": {"n0": numbers.pop("n0")} if grows else {}}


def _emit_binary(kind: str, a: Tensor, b: Tensor, shape: Shape) -> Tensor:
    op = Binary({"a": a, "b": b}, **_layout(kind, shape, a.shape, b.shape))
    op.numbers |= {"kind": KINDS.index(kind), "side": 0}
    return emit(op, y=shape)["y"]


def _operands(function: str, a: Operand, b: Operand) -> tuple[Tensor, Tensor]:
    """Return both as tensors of the graph that one of them belongs to."""
    graph = next((t.graph for t in (a, b) if is_tensor(t)), None)
    if graph is None:
        raise TypeError(f"{function}: one of both must be a tensor of a graph, got {a!r} and {b!r}")
    a, b = (t if is_tensor(t) else graph.operand(t) for t in (a, b))
    check_real(function, a=a, b=b)
    return a, b


def binary(kind: str, a: Operand, b: Operand) -> Tensor:
    """Emit a function of two operands, one of KINDS, that repeat along axes by NumPy's rule.

    An operand is a tensor, a Variable, an array or a number; one of both must be a tensor.
    """
    kind = _check.one_of("binary", "kind", kind, KINDS)
    a, b = _operands(kind, a, b)
    return _emit_binary(kind, a, b, common_shape(kind, a, b))


def add(a: Operand, b: Operand) -> Tensor:
    """Emit a + b."""
    if is_tensor(a) and is_tensor(b) and a.shape == b.shape:
        return elementwise.add(a, b)
    if is_tensor(a) and _is_number(b):
        return affine(a, 1.0, b)
    return add(b, a) if _is_number(a) else binary("add", a, b)


def subtract(a: Operand, b: Operand) -> Tensor:
    """Emit a - b."""
    if is_tensor(a) and _is_number(b):
        return affine(a, 1.0, -b)
    if is_tensor(b) and _is_number(a):
        return affine(b, -1.0, a)
    return binary("subtract", a, b)


def multiply(a: Operand, b: Operand) -> Tensor:
    """Emit a * b, element by element."""
    if is_tensor(a) and _is_number(b):
        return affine(a, b, 0.0)
    return multiply(b, a) if _is_number(a) else binary("multiply", a, b)


def divide(a: Operand, b: Operand) -> Tensor:
    """Emit a / b, element by element."""
    return binary("divide", a, b)


def maximum(a: Operand, b: Operand) -> Tensor:
    """Emit the greater of a and b; where they are equal the gradient goes to a."""
    return binary("maximum", a, b)


def minimum(a: Operand, b: Operand) -> Tensor:
    """Emit the smaller of a and b; where they are equal the gradient goes to a."""
    return binary("minimum", a, b)


def prelu(x: Tensor, alpha: Operand) -> Tensor:
    """Emit x where x >= 0, else alpha x. Source: He et al., 2015."""
    return binary("prelu", x, alpha)


# ---- sums along axes -----------------------------------------------------------------------------


class ReduceSum(Op):
    """y = scale * the sum of x (or of x * z) over one axis, of rows of `inner` elements."""

    kernel = "reduce_sum"
    struct = REDUCE

    def gradient(self, dy: Mapping[str, Tensor], needs: set[str]) -> dict[str, Tensor]:
        """Repeat dy along the axis."""
        result = {}
        for role in sorted(needs):
            x, other = self.inputs[role], self.inputs.get("z" if role == "x" else "x")
            rows, scale = view(dy["y"], self._kept_shape(x.shape)), self.numbers["scale"]
            if other is None:
                result[role] = broadcast_to(rows, x.shape, scale)
            else:
                result[role] = multiply(other, affine(rows, scale, 0.0) if scale != 1 else rows)
        return result

    def _kept_shape(self, shape: Shape) -> Shape:
        """Return the shape of x with the summed axes of size 1."""
        axes = range(int(self.numbers["first"]), int(self.numbers["last"]))
        return tuple(1 if i in axes else size for i, size in enumerate(shape))

    def values(self, batch: int) -> dict[str, float]:
        """Return all fields of the struct that are numbers."""
        values = super().values(batch)
        return {k: v for k, v in values.items() if k not in ("first", "last")}


def _reduced(x: Tensor, first: int, last: int, scale: float, times: Tensor | None) -> Tensor:
    """Emit the sum over the axes first..last - 1, which go."""
    fields = {"outer": x.shape[:first], "size": x.shape[first:last], "inner": x.shape[last:]}
    numbers: dict[str, float] = {"scale": scale, "first": first, "last": last}
    per_sample: dict[str, int] = {}
    for field, sizes in fields.items():
        (per_sample if None in sizes else numbers)[field] = product(sizes)
    op = ReduceSum({"x": x, "z": times}, numbers, per_sample)
    return emit(op, y=(*x.shape[:first], *x.shape[last:]))["y"]


def _runs(axes: Sequence[int]) -> list[tuple[int, int]]:
    """Return sorted axes as runs [first, last) of neighbours, the last run first."""
    runs: list[tuple[int, int]] = []
    for axis in sorted(axes):
        if runs and runs[-1][1] == axis:
            runs[-1] = runs[-1][0], axis + 1
        else:
            runs.append((axis, axis + 1))
    return runs[::-1]


def _sum_over(x: Tensor, axes: Sequence[int], scale: float, times: Tensor | None) -> Tensor:
    for first, last in _runs(axes):
        x = _reduced(x, first, last, scale, times)
        scale, times = 1.0, None
    return x


def sum_to(x: Tensor, shape: Shape, scale: float = 1.0, times: Tensor | None = None) -> Tensor:
    """Emit scale * x (* times) summed over the axes along which `shape` would repeat to x's."""
    aligned = _aligned(shape, len(x.shape))
    axes = [
        i
        for i, (kept, size) in enumerate(zip(aligned, x.shape, strict=True))
        if kept == 1 and size != 1
    ]
    if not axes:
        x = multiply(x, times) if times is not None else x
        return view(x if scale == 1.0 else affine(x, scale, 0.0), shape)
    return view(_sum_over(x, axes, scale, times), shape)


def _reduction(function: str, x: Tensor, axis: Any, keepdims: bool) -> tuple[list[int], Shape]:
    """Check the axes of a reduction; return them and the shape of its result."""
    check_real(function, x=x)
    rank = len(x.shape)
    given = range(1, rank) if axis is None else [axis] if not _check.is_sequence(axis) else axis
    axes = [_check.integer(function, "axis", a, -rank, rank - 1) % rank for a in given]
    if not axes or len(set(axes)) < len(axes) or (0 in axes and x.shape[0] is None):
        raise ValueError(
            f"{function}: axis must name axes of x, each once and not the batch, got axis={axis!r}"
            f" for x of shape {x.shape}"
        )
    kept = [1 if i in axes else size for i, size in enumerate(x.shape)]
    shape = kept if keepdims else [size for i, size in enumerate(x.shape) if i not in axes]
    return axes, tuple(shape)


def reduce_sum(x: Tensor, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Emit the sum over an axis or several; None: over all but the batch."""
    axes, shape = _reduction("reduce_sum", x, axis, keepdims)
    return view(_sum_over(x, axes, 1.0, None), shape)


def reduce_mean(x: Tensor, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Emit the mean over an axis or several; None: over all but the batch."""
    axes, shape = _reduction("reduce_mean", x, axis, keepdims)
    count = product([x.shape[a] for a in axes])
    return view(_sum_over(x, axes, 1.0 / count, None), shape)


def broadcast_to(x: Tensor, shape: Sequence[int | None], scale: float = 1.0) -> Tensor:
    """Emit scale * x, repeated to a shape along the axes where x has one element."""
    check_real("broadcast_to", x=x)
    shape = tuple(shape)
    if x.shape == shape:
        return x if scale == 1.0 else affine(x, scale, 0.0)
    if len(x.shape) > len(shape) or any(
        size not in (1, full)
        for size, full in zip(_aligned(x.shape, len(shape)), shape, strict=True)
    ):
        raise ValueError(
            f"broadcast_to: x must have the sizes of shape, or 1, axis by axis from the last one,"
            f" got x of shape {x.shape} and shape={shape}"
        )
    return _emit_binary("multiply", x, x.graph.constant([scale]), shape)


# ---- single elements -----------------------------------------------------------------------------


class Unary(Op):
    """y = f(x), element by element."""

    kernel = "unary_forward"
    struct = UNARY
    in_place = (("y", "x"),)

    def gradient(self, dy: Mapping[str, Tensor], needs: set[str]) -> dict[str, Tensor]:
        """Compute dx = dy f'(x)."""
        x = self.inputs["x"]
        op = UnaryBackward({"dy": dy["y"], "x": x}, self.numbers, self.per_sample)
        return {"x": emit(op, dx=x.shape)["dx"]}


class UnaryBackward(Op):
    """dx = dy f'(x)."""

    kernel = "unary_backward"
    struct = UNARY
    in_place = (("dx", "dy"), ("dx", "x"))


def _unary(kind: str, x: Tensor, **numbers: float) -> Tensor:
    check_real(kind, x=x)
    op = Unary({"x": x}, **sized(count=x.shape))
    op.numbers |= {"kind": UNARY_KINDS.index(kind), **numbers}
    return emit(op, y=x.shape)["y"]


def exp(x: Tensor) -> Tensor:
    """Emit e^x."""
    return _unary("exp", x)


def log(x: Tensor) -> Tensor:
    """Emit the natural logarithm."""
    return _unary("log", x)


def sqrt(x: Tensor) -> Tensor:
    """Emit the square root."""
    return _unary("sqrt", x)


def square(x: Tensor) -> Tensor:
    """Emit x^2."""
    return _unary("square", x)


def absolute(x: Tensor) -> Tensor:
    """Emit |x|; the gradient at 0 is 0."""
    return _unary("abs", x)


def normalize(x: Tensor, axis: Any = -1) -> Tensor:
    """Emit x over its Euclidean norm over an axis or several; a norm is not below 1e-12."""
    squares = reduce_sum(square(x), axis, keepdims=True)
    return divide(x, sqrt(maximum(squares, 1e-24)))


def clip(x: Tensor, low: float, high: float) -> Tensor:
    """Emit x brought into [low, high]; beyond, the gradient is 0."""
    low, high = _check.number("clip", "low", low), _check.number("clip", "high", high)
    if low > high:
        raise ValueError(f"clip: low must not be above high, got low={low!r} and high={high!r}")
    return _unary("clip", x, low=low, high=high)


def bounded_relu(
    x: Tensor,
    max_value: float | None = None,
    negative_slope: float = 0.0,
    threshold: float = 0.0,
) -> Tensor:
    """Emit max_value from there on, x from threshold on, negative_slope (x - threshold) below."""
    high = math.inf if max_value is None else _check.number("relu", "max_value", max_value)
    low = _check.number("relu", "threshold", threshold)
    slope = _check.number("relu", "negative_slope", negative_slope)
    return _unary("bounded_relu", x, alpha=slope, low=low, high=high)
