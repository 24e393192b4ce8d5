"""Functions of the user's own on NumPy arrays, as ops: they run between the parts of a program."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from convkit import _check
from convkit.ops.base import Op, check_real, emit, is_tensor

if TYPE_CHECKING:
    from convkit.graph import Tensor

Array = NDArray[Any]
Function = Callable[..., Any]


class _HostOp(Op):
    """An op that calls Python: what to call goes along when it is copied."""

    on_host = True
    name: str
    forward: Function
    backward: Function | None

    @property
    def slot_count(self) -> int:
        """Return 0: there is no struct."""
        return 0

    def clone(self) -> Op:
        """Return a copy that calls the same functions."""
        twin = super().clone()
        assert isinstance(twin, _HostOp)
        return twin.calling(self.name, self.forward, self.backward)

    def calling(self, name: str, forward: Function, backward: Function | None) -> _HostOp:
        """Set what is called."""
        self.name, self.forward, self.backward = name, forward, backward
        return self

    def keep(self, what: str, result: Any, array: Array) -> None:
        """Copy what a function returned to where it belongs. Raises unless it has the shape."""
        try:
            values = np.asarray(result)
            fits = values.dtype.kind in "fiub"
        except ValueError:  # ragged
            values, fits = np.empty(0), False
        if not fits or values.shape != array.shape:
            raise ValueError(
                f"{self.name}: {what} must be an array of real numbers of shape {array.shape}, got"
                f" {type(result).__name__} of shape {values.shape} and dtype {values.dtype}"
            )
        np.copyto(array, values, casting="same_kind")


class NumpyFunction(_HostOp):
    """y = forward(x0, x1, ...)."""

    def run_on_host(self, inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> None:
        """Call forward."""
        self.keep("the result of forward", self.forward(*inputs.values()), outputs["y"])

    def gradient(self, dy: Mapping[str, Tensor], needs: set[str]) -> dict[str, Tensor]:
        """Emit the call of backward."""
        if self.backward is None:
            raise ValueError(
                f"{self.name}: it has no backward, so nothing before it can be trained; define"
                " backward(dy, x), or set trainable=False on the layers before it"
            )
        op = NumpyGradient({"dy": dy["y"], **self.inputs})
        op.calling(self.name, self.forward, self.backward)
        outputs = emit(op, **{"d" + role: self.inputs[role].shape for role in sorted(needs)})
        return {role[1:]: tensor for role, tensor in outputs.items()}


class NumpyGradient(_HostOp):
    """dx0, dx1, ... = backward(dy, x0, x1, ...)."""

    def run_on_host(self, inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> None:
        """Call backward; what nothing needs is left out."""
        assert self.backward is not None
        result = self.backward(*inputs.values())
        roles = [role for role in inputs if role != "dy"]
        gradients = result if isinstance(result, tuple | list) else (result,)
        if len(gradients) != len(roles):
            raise ValueError(
                f"{self.name}: backward must return {len(roles)} gradients, of x and of each"
                f" weight in forward's order, got {len(gradients)}"
            )
        for role, gradient in zip(roles, gradients, strict=True):
            if "d" + role in outputs:
                self.keep(
                    f"gradient {roles.index(role)} of backward", gradient, outputs["d" + role]
                )


def numpy_function(
    forward: Function,
    backward: Function | None,
    inputs: Sequence[Any],
    shape: Sequence[int | None],
    name: str = "numpy_function",
) -> Tensor:
    """Emit a call of a function on arrays: y = forward(*inputs), of a shape (None, sizes...).

    inputs are tensors of one graph, and Variables; at least the first is a tensor. forward gets
    read-only views that are valid during the call, and returns an array. backward(dy, *inputs)
    returns the gradient of sum(dy * y) by each input: one array, or a tuple of them; None for no
    gradient. Both are called in the thread that runs the program, between parts of it.
    """
    if not inputs or not is_tensor(inputs[0]):
        raise TypeError(f"{name}: inputs must begin with a tensor of a graph, got {inputs!r}")
    graph = inputs[0].graph
    tensors = {f"x{i}": t if is_tensor(t) else graph.operand(t) for i, t in enumerate(inputs)}
    check_real(name, **tensors)
    shape = tuple(shape)
    if not shape or shape[0] is not None:
        raise ValueError(f"{name}: shape must be (None, sizes...), got shape={shape}")
    for size in shape[1:]:
        _check.integer(name, "shape", size)
    op = NumpyFunction(tensors)
    op.calling(name, forward, backward)
    return emit(op, y=shape)["y"]
