"""What every op is: named tensors in and out, the numbers of its C struct, and its gradient.

An op class stands for one kernel. It declares the fields of the kernel's struct, which are checked
against the compiled library at import. `numbers` holds fields that are known when the op is made;
`per_sample` holds those that grow with the batch, so one graph serves every batch size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeGuard

import numpy as np
from numpy.typing import NDArray

from convkit import _core, _pack

if TYPE_CHECKING:
    from convkit.graph import Tensor

Shape = tuple[int | None, ...]


class Struct:
    """A struct of csrc/convkit.h, by its fields.

    Raises ImportError where they are not the fields of the compiled library.
    """

    def __init__(self, name: str, pointers: str, integers: str = "", doubles: str = "") -> None:
        self.name = name
        kinds = {"p": pointers.split(), "i": integers.split(), "d": doubles.split()}
        ours = {field: kind for kind, fields in kinds.items() for field in fields}
        theirs = {field: kind for field, _slot, kind in _core.layouts.get(name, ())}
        if ours != theirs:
            odd = sorted({field for field, _kind in ours.items() ^ theirs.items()})
            raise ImportError(
                f"{name}: the op classes and the compiled library disagree about"
                f" {', '.join(odd)}; rebuild the extension"
            )
        self.slots = len(theirs)

    def fill(self, slots: NDArray[np.uint64], values: Mapping[str, Any]) -> None:
        """Write fields (addresses, ints, floats) by name into the struct's slots."""
        _pack.fill(slots, self.name, values)


class Op:
    """One instruction of a graph: a kernel with its tensors and numbers.

    Subclasses set the class attributes and, where the op is differentiable, `gradient`.
    """

    kernel: ClassVar[str] = ""  # "": a view of its input, nothing to run, or a function of Python
    # Runs in Python, between the parts of a program: defines run_on_host.
    on_host: ClassVar[bool] = False
    struct: ClassVar[Struct]
    # Output roles whose pointer may be null when nobody reads them.
    optional: ClassVar[frozenset[str]] = frozenset()
    # (output, input) roles that may share memory because elements are read before they are written.
    in_place: ClassVar[tuple[tuple[str, str], ...]] = ()
    # Output role -> input role whose memory it must share.
    aliases: ClassVar[Mapping[str, str]] = {}
    # Role -> field of the struct, where they differ.
    fields: ClassVar[Mapping[str, str]] = {}
    # Takes an activation that follows it (struct fields `activation` and `alpha`) ...
    fuses_activation: ClassVar[bool] = False
    # ... and can keep what goes into that activation as output `z`.
    keeps_z: ClassVar[bool] = False
    is_loss: ClassVar[bool] = False
    # Kernel that lays out the weights `w` in memory of their own (struct field `packed`), once for
    # many runs instead of in each.
    packs_by: ClassVar[str] = ""

    def __init_subclass__(cls) -> None:
        """Check that kernel and struct belong together."""
        if cls.kernel and _core.kernel_structs.get(cls.kernel) != cls.struct.name:
            raise ImportError(
                f"{cls.__name__}: the compiled library has no kernel {cls.kernel} of struct"
                f" {cls.struct.name}; rebuild the extension"
            )

    def __init__(
        self,
        inputs: Mapping[str, Tensor | None],
        numbers: Mapping[str, float] | None = None,
        per_sample: Mapping[str, int] | None = None,
        offsets: Mapping[str, int] | None = None,
        writes: Iterable[str] = (),
    ) -> None:
        self.inputs: dict[str, Tensor] = {k: t for k, t in inputs.items() if t is not None}
        self.outputs: dict[str, Tensor] = {}  # filled by Graph.emit
        self.numbers = dict(numbers or {})
        self.per_sample = dict(per_sample or {})
        self.offsets = dict(offsets or {})  # role -> elements to skip at the start of its tensor
        self.writes = tuple(writes)  # input roles that are Variables which the op changes

    def clone(self) -> Op:
        """Return a copy whose tensors and numbers may be changed without changing this op."""
        twin = object.__new__(type(self))
        twin.inputs, twin.outputs = dict(self.inputs), dict(self.outputs)
        twin.numbers, twin.per_sample = dict(self.numbers), dict(self.per_sample)
        twin.offsets, twin.writes = dict(self.offsets), self.writes
        return twin

    @property
    def slot_count(self) -> int:
        """Return how many slots the op fills."""
        return self.struct.slots

    def values(self, batch: int) -> dict[str, float]:
        """Return all fields that are numbers, for a batch size."""
        return {**self.numbers, **{f: batch * each for f, each in self.per_sample.items()}}

    def fill(
        self, slots: NDArray[np.uint64], batch: int, address: Callable[[Tensor], int], itemsize: int
    ) -> None:
        """Write the op's struct into `slots`; `address` tells where a tensor lies."""
        values: dict[str, Any] = self.values(batch)
        shared = set(self.aliases.values())  # no field of its own: the output stands for it
        for role, tensor in (*self.inputs.items(), *self.outputs.items()):
            if role not in shared:
                field = self.fields.get(role, role)
                values[field] = address(tensor) + itemsize * self.offsets.get(role, 0)
        self.struct.fill(slots, values)

    def run_on_host(
        self, inputs: Mapping[str, NDArray[Any]], outputs: Mapping[str, NDArray[Any]]
    ) -> None:
        """Compute the outputs, arrays to write into, from the inputs."""
        raise NotImplementedError(f"{type(self).__name__} runs a kernel")

    def gradient(self, dy: Mapping[str, Tensor], needs: set[str]) -> dict[str, Tensor]:
        """Emit the ops of the gradient.

        dy maps output roles to gradients, `needs` names the input roles whose gradient is wanted;
        returns them by input role.
        """
        raise NotImplementedError(f"{type(self).__name__} has no gradient")

    def __repr__(self) -> str:
        """Show kernel, inputs and outputs."""

        def names(roles: Mapping[str, Tensor]) -> str:
            return ", ".join(f"{role}={tensor!r}" for role, tensor in roles.items())

        return f"{type(self).__name__}({names(self.inputs)}) -> {names(self.outputs)}"


class View(Op):
    """Another shape of the same memory."""

    aliases: ClassVar[Mapping[str, str]] = {"y": "x"}

    @property
    def slot_count(self) -> int:
        """Return 0: there is nothing to run."""
        return 0

    def gradient(self, dy: Mapping[str, Tensor], needs: set[str]) -> dict[str, Tensor]:
        """Give dy the shape of x."""
        return {"x": emit(View({"x": dy["y"]}), y=self.inputs["x"].shape)["y"]}


def emit(op: Op, **outputs: Any) -> dict[str, Tensor]:
    """Add an op to the graph of its inputs; return its new output tensors by role.

    An output is given as its shape, or as (shape, dtype) where it is not of the graph's float type.
    """
    graph = next(iter(op.inputs.values())).graph
    return graph.emit(op, outputs)


def is_tensor(value: Any) -> TypeGuard[Tensor]:
    """Say whether a value is a tensor of a graph."""
    from convkit.graph import Tensor  # it needs this module

    return isinstance(value, Tensor)


def operands(x: Any, *others: Any) -> tuple[Any, ...]:
    """Return all as tensors of the graph of x: Variables, arrays and numbers too; None stays."""
    return (x, *(o if o is None or is_tensor(o) else x.graph.operand(o) for o in others))


def one_sample(shape: Shape) -> tuple[int, ...]:
    """Return a shape with a batch of one."""
    return tuple(1 if size is None else size for size in shape)


def product(sizes: Sequence[int | None]) -> int:
    """Return the product of sizes, the batch (None) counted as one."""
    return math.prod(one_sample(tuple(sizes)))


def sized(**fields: Sequence[int | None]) -> dict[str, dict[str, int]]:
    """Turn fields that are products of sizes into the `numbers` and `per_sample` of an op."""
    numbers: dict[str, int] = {}
    per_sample: dict[str, int] = {}
    for field, sizes in fields.items():
        (per_sample if None in sizes else numbers)[field] = product(sizes)
    return {"numbers": numbers, "per_sample": per_sample}


def check_real(function: str, **tensors: Tensor | None) -> None:
    """Raise ValueError unless all tensors are of their graph's float type."""
    for name, tensor in tensors.items():
        if tensor is not None and tensor.dtype != "real":
            raise ValueError(
                f"{function}: {name} must be of the model's float type {tensor.graph.dtype}, got"
                f" {name} of dtype {tensor.dtype}; a model has one float type"
            )


def check_rank(function: str, name: str, tensor: Tensor, rank: int, axes: str) -> None:
    """Raise ValueError unless a tensor has `rank` axes."""
    if len(tensor.shape) != rank:
        raise ValueError(
            f"{function}: {name} must have {rank} axes {axes}, got {name} of shape {tensor.shape}"
        )


def check_shape(function: str, name: str, tensor: Tensor | None, shape: Shape) -> None:
    """Raise ValueError unless a tensor that is given has exactly this shape."""
    if tensor is not None and tensor.shape != tuple(shape):
        raise ValueError(
            f"{function}: {name} must have shape {tuple(shape)}, got {name} of shape {tensor.shape}"
        )
