"""Ops that write persistent state: moving averages and optimizer updates. They run last."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from convkit import _check
from convkit.ops.base import Op, Struct, check_real, check_shape, emit, product, sized

if TYPE_CHECKING:
    from convkit.graph import Graph, Tensor, Variable

MOVING_AVERAGE = Struct("ck_moving_average", "moving batch", "count", "momentum")
PARAMETER = Struct("ck_parameter", "w slot1 slot2 slot3 g", "count", "decay rate")
UPDATE = Struct("ck_update", "step parameters hyper", "n_parameters")
MUON = Struct(
    "ck_muon", "w slot1 step g hyper", "rows cols steps nesterov", "momentum a b c scale decay rate"
)

SLOTS = ("slot1", "slot2", "slot3")

# In the order of enum ck_hyper.
HYPER = (
    *("learning_rate", "momentum", "rho", "epsilon", "weight_decay"),
    *("clipvalue", "clipnorm", "global_clipnorm", "nesterov", "momentum_product"),
    "average_momentum",
)


class MovingAverage(Op):
    """moving = momentum * moving + (1 - momentum) * batch."""

    kernel = "moving_average"
    struct = MOVING_AVERAGE


def moving_average(variable: Tensor, batch: Tensor, momentum: float) -> None:
    """Emit the update of a moving statistic, a variable, by that of the batch."""
    function = "moving_average"
    check_real(function, variable=variable, batch=batch)
    if variable.variable is None:
        raise ValueError(f"{function}: variable must be the tensor of a variable, got {variable!r}")
    check_shape(function, "batch", batch, variable.shape)
    inputs = {"moving": variable, "batch": batch}
    op = MovingAverage(inputs, **sized(count=variable.shape), writes=("moving",))
    op.numbers["momentum"] = _check.number(function, "momentum", momentum)
    emit(op)


class Parameter(NamedTuple):
    """What an optimizer changes: a weight, its gradient, the optimizer's state for it."""

    variable: Variable
    gradient: Tensor
    slots: Sequence[Variable | None] = ()  # by place; None where one is not used
    decay: bool = True  # whether weight decay applies
    rate: float = 1.0  # factor of the learning rate


class Update(Op):
    """A step of an optimizer for all parameters; the ck_parameter structs follow its own."""

    struct = UPDATE

    @property
    def slot_count(self) -> int:
        """Return the slots of the struct and of its parameters."""
        return UPDATE.slots + PARAMETER.slots * int(self.numbers["n_parameters"])

    def fill(
        self, slots: NDArray[np.uint64], batch: int, address: Callable[[Tensor], int], itemsize: int
    ) -> None:
        """Write the op's struct and its parameters into `slots`, which must stay where they are."""
        size = PARAMETER.slots
        for i in range(int(self.numbers["n_parameters"])):
            begin = UPDATE.slots + i * size
            w = self.inputs[f"w{i}"]
            values: dict[str, float] = {
                "w": address(w),
                "g": address(self.inputs[f"g{i}"]),
                "count": product(w.shape),
            }
            for name in SLOTS:
                if f"{name}_{i}" in self.inputs:
                    values[name] = address(self.inputs[f"{name}_{i}"])
            values |= {name: self.numbers[f"{name}{i}"] for name in ("decay", "rate")}
            PARAMETER.fill(slots[begin : begin + size], values)
        values = {role: address(self.inputs[role]) for role in ("step", "hyper")}
        values["parameters"] = slots.ctypes.data + 8 * UPDATE.slots
        values["n_parameters"] = self.numbers["n_parameters"]
        UPDATE.fill(slots, values)


class SgdUpdate(Update):
    """slots: the momentum, if any."""

    kernel = "sgd_update"


class RmspropUpdate(Update):
    """slots: the mean square; the momentum, if any; the mean gradient, if centered."""

    kernel = "rmsprop_update"


class AdamUpdate(Update):
    """slots: the first and second moments; the largest second moment, for AMSGrad."""

    kernel = "adam_update"


class AdamaxUpdate(Update):
    """slots: the first moment and the largest gradient, which decays."""

    kernel = "adamax_update"


class NadamUpdate(Update):
    """slots: the first and second moments."""

    kernel = "nadam_update"


class AdagradUpdate(Update):
    """slots: the sum of squares."""

    kernel = "adagrad_update"


class AdadeltaUpdate(Update):
    """slots: the mean squares of gradients and of steps."""

    kernel = "adadelta_update"


class LionUpdate(Update):
    """slots: the momentum."""

    kernel = "lion_update"


# The op, how many slots it must have, and how many it may have.
UPDATES: dict[str, tuple[type[Update], int, int]] = {
    "sgd": (SgdUpdate, 0, 1),
    "rmsprop": (RmspropUpdate, 1, 3),
    "adam": (AdamUpdate, 2, 3),
    "adamax": (AdamaxUpdate, 2, 2),
    "nadam": (NadamUpdate, 2, 2),
    "adagrad": (AdagradUpdate, 1, 1),
    "adadelta": (AdadeltaUpdate, 2, 2),
    "lion": (LionUpdate, 1, 1),
}


def update(
    graph: Graph,
    kind: str,
    parameters: Iterable[Parameter | tuple[Any, ...]],
    hyper: Variable,
    step: Variable,
) -> None:
    """Emit a step of an optimizer, one of those in UPDATES by name, for all parameters.

    parameters are `Parameter`s or tuples of their fields; hyper is a float64 variable of the
    numbers named in HYPER, step a uint64 counter: both are read at each run, and step counts up.
    """
    function = "update"
    op_class, fewest, most = UPDATES[_check.one_of(function, "kind", kind, UPDATES)]
    listed = [Parameter(*p) for p in parameters]
    if not listed:
        raise ValueError(f"{function}: parameters must not be empty")
    if hyper.value.dtype != np.float64 or hyper.shape != (len(HYPER),):
        raise ValueError(
            f"{function}: hyper must be float64 of shape ({len(HYPER)},), got {hyper!r}"
        )
    if step.value.dtype != np.uint64 or step.value.size != 1:
        raise ValueError(f"{function}: step must be one uint64, got {step!r}")
    inputs = {"step": graph.variable(step), "hyper": graph.variable(hyper)}
    writes = ["step"]
    numbers: dict[str, float] = {"n_parameters": len(listed)}
    for i, p in enumerate(listed):
        slots = {j: slot for j, slot in enumerate(p.slots, 1) if slot is not None}
        if not set(range(1, fewest + 1)) <= slots.keys() <= set(range(1, most + 1)):
            raise ValueError(
                f"{function}: {kind} needs {fewest} to {most} slots, got slots={list(p.slots)!r}"
            )
        written = {f"w{i}": graph.variable(p.variable)}
        written |= {f"slot{j}_{i}": graph.variable(slot) for j, slot in slots.items()}
        for name, tensor in {**written, "gradient": p.gradient}.items():
            check_real(function, **{name: tensor})
            check_shape(function, name, tensor, p.variable.shape)
        inputs |= {**written, f"g{i}": p.gradient}
        writes.extend(written)
        numbers |= {f"decay{i}": float(p.decay), f"rate{i}": p.rate}
    emit(op_class(inputs, numbers, writes=writes))


class MuonUpdate(Op):
    """A step of Muon for one matrix."""

    kernel = "muon_update"
    struct = MUON


def muon_update(
    graph: Graph,
    parameter: Parameter,
    hyper: Variable,
    step: Variable | None,
    numbers: Mapping[str, float],
) -> None:
    """Emit a step of Muon for one weight of at least 2 axes, taken as a matrix (..., K).

    The parameter has one slot, the momentum. `numbers` are the fields of struct ck_muon: steps,
    nesterov, momentum, a, b, c, scale, decay. step, if given, counts up.
    """
    function = "muon_update"
    w = parameter.variable
    if len(w.shape) < 2:
        raise ValueError(f"{function}: a weight must have at least 2 axes, got {w!r}")
    slot = parameter.slots[0]
    assert slot is not None
    inputs = {"w": graph.variable(w), "slot1": graph.variable(slot), "g": parameter.gradient}
    for name, tensor in inputs.items():
        check_real(function, **{name: tensor})
        check_shape(function, name, tensor, w.shape)
    inputs["hyper"] = graph.variable(hyper)
    writes = ["w", "slot1"]
    if step is not None:
        inputs["step"] = graph.variable(step)
        writes.append("step")
    sizes = {"rows": product(w.shape[:-1]), "cols": w.shape[-1], "rate": parameter.rate}
    emit(MuonUpdate(inputs, {**numbers, **sizes}, writes=writes))
