"""Hold what a model computes: variables, tensors, and the ops between them in order.

A graph is a description: nothing is computed and no memory for results is taken here. The emitting
functions of `convkit.ops` add ops; `Graph.gradients` adds the ops of the gradient; the compiler
turns a graph into a program.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from convkit import _check, _core
from convkit.ops.base import Op
from convkit.ops.elementwise import Gather, add

if TYPE_CHECKING:
    from convkit.constraints import Constraint
    from convkit.ops.augment import Mixture
    from convkit.regularizers import Regularizer

__all__ = ["Graph", "Tensor", "Variable"]


class Variable:
    """State that outlives programs: weights, statistics, optimizer slots, counters.

    `value` is an array in aligned memory of its own; programs point to it, so it is written in
    place and never replaced. Every write counts `version` up. float32, float64 or uint64.
    `regularizer` (a `convkit.regularizers.Regularizer`) adds to the loss of training and
    evaluation, `constraint` (a `convkit.constraints.Constraint`) holds after every update.
    """

    __slots__ = (
        *("__weakref__", "constraint", "name", "regularizer", "trainable", "value", "version"),
    )

    def __init__(self, name: str, value: ArrayLike, trainable: bool = True) -> None:
        array = np.asarray(value)
        dtype = array.dtype.newbyteorder("=")
        if dtype not in ("float32", "float64", "uint64"):
            raise TypeError(
                f"Variable: value must be float32, float64 or uint64, got dtype {array.dtype}"
            )
        memory = _core.aligned_empty(array.size * dtype.itemsize)
        self.value: NDArray[Any] = memory.view(dtype).reshape(array.shape)
        self.value[...] = array
        self.name = name
        self.trainable = trainable
        self.version = 0
        self.regularizer: Regularizer | None = None
        self.constraint: Constraint | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the shape of the value."""
        return self.value.shape

    @property
    def view(self) -> NDArray[Any]:
        """Return a read-only view of the value."""
        view = self.value.view()
        view.flags.writeable = False
        return view

    def numpy(self) -> NDArray[Any]:
        """Copy the value."""
        return self.value.copy()

    def assign(self, value: ArrayLike) -> None:
        """Copy `value` in. Raises ValueError unless it has the variable's shape."""
        array = np.asarray(value)
        if array.shape != self.value.shape:
            raise ValueError(
                f"assign: value of variable {self.name!r} must have shape {self.value.shape}, got"
                f" shape {array.shape}"
            )
        if array.dtype.kind not in "fiub":
            raise TypeError(
                f"assign: value of variable {self.name!r} must be real numbers, got dtype"
                f" {array.dtype}"
            )
        self.value[...] = array
        self.version += 1

    def __repr__(self) -> str:
        """Show name, shape and dtype."""
        return f"Variable({self.name!r}, {self.value.shape}, {self.value.dtype})"


def _ops() -> Any:
    from convkit import ops  # it needs this module

    return ops


class Tensor:
    """The result of an op, or a variable, in a graph.

    `shape` has None for the batch, which is axis 0; `dtype` is "real" (the graph's float type),
    "float64", "int64", "uint64", "int32" or "uint8". A mean loss carries the losses of the single
    samples as `per_sample`.
    """

    __slots__ = ("dtype", "graph", "name", "op", "per_sample", "shape", "variable")

    def __init__(
        self,
        graph: Graph,
        shape: Sequence[int | None],
        dtype: str = "real",
        *,
        op: Op | None = None,
        variable: Variable | None = None,
        name: str = "",
    ) -> None:
        self.graph, self.shape, self.dtype = graph, tuple(shape), dtype
        self.op, self.variable, self.name = op, variable, name
        self.per_sample: Tensor | None = None

    # The operators take tensors, Variables, arrays and numbers, as `convkit.ops` does. NumPy arrays
    # on the left leave them to the tensor.
    __array_ufunc__ = None

    def __add__(self, other: Any) -> Tensor:
        return _ops().add(self, other)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Tensor:
        return _ops().subtract(self, other)

    def __rsub__(self, other: Any) -> Tensor:
        return _ops().subtract(other, self)

    def __mul__(self, other: Any) -> Tensor:
        return _ops().multiply(self, other)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Tensor:
        return _ops().divide(self, other)

    def __rtruediv__(self, other: Any) -> Tensor:
        return _ops().divide(other, self)

    def __neg__(self) -> Tensor:
        return _ops().multiply(self, -1.0)

    def __abs__(self) -> Tensor:
        return _ops().absolute(self)

    def __repr__(self) -> str:
        """Show name, shape and dtype."""
        return f"Tensor({f'{self.name!r}, ' if self.name else ''}{self.shape}, {self.dtype})"


class Graph:
    """Ops in the order in which they were emitted, which is an order in which they can run."""

    def __init__(self, dtype: DTypeLike = "float32") -> None:
        self.dtype = np.dtype(dtype)
        if self.dtype not in (np.float32, np.float64):
            raise ValueError(f"Graph: dtype must be float32 or float64, got dtype={dtype!r}")
        self.ops: list[Op] = []
        self.gradient_block: list[Tensor] = []  # lie next to each other in memory
        # What random ops read, set by the graph's owner: counters of steps and epochs.
        self.step: Tensor | None = None
        self.epoch: Tensor | None = None
        self.mixtures: list[Mixture] = []  # how samples were mixed, for the labels
        self.sample: Tensor | None = None
        self.training = False  # the mode of the layer that is emitting
        self._variables: dict[Variable, Tensor] = {}

    def input(self, shape: Sequence[int | None], dtype: str = "real", name: str = "") -> Tensor:
        """Add a tensor that is fed per run: rows of a source array, chosen by an index.

        `shape` begins with None, the batch. Real inputs take any real source dtype, int64 inputs
        (labels) int64 only.
        """
        shape = tuple(shape)
        _check.one_of("Graph.input", "dtype", dtype, ("real", "int64"))
        if not shape or shape[0] is not None or None in shape[1:]:
            raise ValueError(
                f"Graph.input: shape must be (None, sizes...), None for the batch, got {shape}"
            )
        for size in shape[1:]:
            _check.integer("Graph.input", "shape", size)
        y = self.emit(Gather.of(shape, dtype, self.dtype.itemsize), {"y": (shape, dtype)})["y"]
        y.name = name
        return y

    def sample_numbers(self) -> Tensor:
        """Return the input that says which sample of the data each one of the batch is.

        It is made at the first call; `sample` is None before.
        """
        if self.sample is None:
            self.sample = self.input((None,), "int64", "sample")
        return self.sample

    def variable(self, variable: Variable) -> Tensor:
        """Return the tensor of a variable, the same one each time."""
        tensor = self._variables.get(variable)
        if tensor is None:
            dtype = "real" if variable.value.dtype == self.dtype else variable.value.dtype.name
            tensor = Tensor(self, variable.shape, dtype, variable=variable, name=variable.name)
            self._variables[variable] = tensor
        return tensor

    def operand(self, value: Any) -> Tensor:
        """Return the tensor of a Variable, or of an array or number that never changes."""
        return self.variable(value) if isinstance(value, Variable) else self.constant(value)

    def constant(self, value: ArrayLike) -> Tensor:
        """Return the tensor of an array that never changes."""
        return self.variable(Variable("constant", np.asarray(value, self.dtype), trainable=False))

    def emit(self, op: Op, outputs: Mapping[str, Any]) -> dict[str, Tensor]:
        """Append an op and return its new output tensors by role; see convkit.ops.base.emit."""
        for role, tensor in op.inputs.items():
            if tensor.graph is not self:
                raise ValueError(
                    f"{type(op).__name__}: all tensors must belong to one graph, {role} does not"
                )
        for role, spec in outputs.items():
            typed = bool(spec) and isinstance(spec[-1], str)
            shape, dtype = spec if typed else (spec, "real")
            op.outputs[role] = Tensor(self, shape, dtype, op=op)
        self.ops.append(op)
        return op.outputs

    @property
    def variables(self) -> list[Variable]:
        """Return the variables that the graph uses, in the order of first use."""
        return list(self._variables)

    def gradients(self, loss: Tensor) -> dict[Variable, Tensor]:
        """Emit the gradient of a mean loss by every trainable variable that it depends on.

        The gradient tensors lie next to each other in memory, in the order returned. Gradients of
        tensors that nothing trainable went into are not computed.

        Raises ValueError unless `loss` comes from a loss op and depends on something trainable.
        """
        if loss.op is None or not loss.op.is_loss:
            raise ValueError(
                "gradients: loss must be the mean loss of a loss op, got another tensor"
            )
        forward = list(self.ops)
        needed = self._trained_tensors(forward)
        found: dict[Tensor, Tensor] = {}
        for op in reversed(forward):
            dy = {role: found.pop(t) for role, t in op.outputs.items() if t in found}
            if not dy and op is not loss.op:
                continue
            needs = {role for role, t in op.inputs.items() if t in needed}
            if not needs:
                continue
            for role, gradient in op.gradient(dy, needs).items():
                tensor = op.inputs[role]
                # Summed as they come, so that few are alive at a time.
                found[tensor] = add(found[tensor], gradient) if tensor in found else gradient
        gradients = {v: found[t] for v, t in self._variables.items() if v.trainable and t in found}
        if not gradients:
            raise ValueError(
                "gradients: loss must depend on a trainable variable, it depends on none"
            )
        self.gradient_block.extend(t for t in gradients.values() if t not in self.gradient_block)
        return gradients

    def _trained_tensors(self, ops: Sequence[Op]) -> set[Tensor]:
        """Return the tensors whose value depends on a trainable variable."""
        trained = {t for v, t in self._variables.items() if v.trainable}
        for op in ops:
            if not trained.isdisjoint(op.inputs.values()):
                trained.update(op.outputs.values())
        return trained
