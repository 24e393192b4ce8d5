"""The state of a model as named arrays and numbers: weights, optimizer, place in a fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from convkit import _check
from convkit._files import FormatError
from convkit.ops.update import HYPER

if TYPE_CHECKING:
    from convkit.graph import Variable
    from convkit.model import Model
    from convkit.optimizers import Optimizer
    from convkit.saving._container import File

Array = NDArray[Any]

WEIGHTS, SLOTS = "weights.", "optimizer."


def variable_names(model: Model) -> dict[str, Variable]:
    """Name every variable by its layer's place, so that files fit any model of the same shape."""
    named: dict[str, Variable] = {}
    seen: set[int] = set()
    for place, layer in enumerate(model.layers):
        for number, variable in enumerate(layer.variables):
            if id(variable) not in seen:  # layers that models share come once
                seen.add(id(variable))
                named[f"{place}.{number}.{variable.name.split('/')[-1]}"] = variable
    return named


# ---- weights -----------------------------------------------------------------------------------


def weight_arrays(model: Model) -> dict[str, Array]:
    """Return all weights by name (not copied)."""
    return {WEIGHTS + name: v.value for name, v in variable_names(model).items()}


def restore_weights(model: Model, file: File, function: str) -> None:
    """Set all weights, after checking every name, shape and type; else nothing is changed."""
    variables = {WEIGHTS + name: v for name, v in variable_names(model).items()}
    expected = {name: (v.value.dtype, v.value.shape) for name, v in variables.items()}
    found = {name: kind for name, kind in file.arrays.items() if name.startswith(WEIGHTS)}
    if expected != found:
        missing = sorted(expected.keys() - found.keys())
        extra = sorted(found.keys() - expected.keys())
        other = [
            f"{name} is {found[name][1]} {found[name][0]}, not {expected[name][1]}"
            f" {expected[name][0]}"
            for name in sorted(expected.keys() & found.keys())
            if expected[name] != found[name]
        ]
        raise FormatError(
            f"{function}: {file.path} holds another model's weights: missing {_few(missing)}, not"
            f" known {_few(extra)}, different {_few(other)}"
        )
    arrays = {name: file.array(name) for name in variables}
    for name, variable in variables.items():
        variable.assign(arrays[name])


def _few(names: list[str]) -> str:
    return str(names) if len(names) <= 4 else f"{names[:4]} and {len(names) - 4} more"


# ---- optimizer ---------------------------------------------------------------------------------


def optimizer_numbers(optimizer: Optimizer) -> dict[str, Any]:
    """Return the step counter and what updates read of numbers."""
    hyper = dict(zip(HYPER, optimizer.hyper.value.tolist(), strict=True))
    return {"iterations": int(optimizer.iterations.value[0]), "hyper": hyper}


def slot_arrays(model: Model) -> dict[str, Array]:
    """Return the optimizer's slots by name (not copied)."""
    assert model.optimizer is not None
    names = {v: name for name, v in variable_names(model).items()}
    slots = model.optimizer.slot_variables(names)
    return {SLOTS + name: slot.value for name, slot in slots.items()}


def restore_optimizer(model: Model, file: File, numbers: Any, function: str) -> None:
    """Set step counter, numbers and slots; what the file lacks is as before the first step."""

    def refuse(what: str) -> NoReturn:
        raise FormatError(f"{function}: {file.path}: the optimizer's state {what}")

    optimizer = model.optimizer
    assert optimizer is not None
    if not isinstance(numbers, dict) or not isinstance(numbers.get("hyper"), dict):
        refuse("is missing")
    variables = variable_names(model)
    wanted = {name: kind for name, kind in file.arrays.items() if name.startswith(SLOTS)}
    names = {v: name for name, v in variables.items()}
    for name in wanted:
        key = name[len(SLOTS) :].removeprefix("inner.").rpartition(".")[0]
        if key not in variables:
            refuse(f"has {name!r}, a slot of no weight")
        optimizer.slots(variables[key])
    slots = {SLOTS + name: slot for name, slot in optimizer.slot_variables(names).items()}
    for name, kind in wanted.items():
        if name not in slots:
            refuse(f"has {name!r}, {type(optimizer).__name__} has no such slot")
        if (slots[name].value.dtype, slots[name].value.shape) != kind:
            refuse(f"has {name!r} of shape {kind[1]} {kind[0]}, not {slots[name].shape}")
    arrays = {name: file.array(name) for name in wanted}
    try:
        iterations = _check.integer(function, "iterations", numbers["iterations"], 0, 2**63)
        now = dict(zip(HYPER, optimizer.hyper.value.tolist(), strict=True))
        hyper = [float(numbers["hyper"].get(name, value)) for name, value in now.items()]
    except (TypeError, ValueError, KeyError) as error:
        refuse(f"is damaged: {error}")
    for name, slot in slots.items():
        slot.assign(arrays.get(name, np.zeros_like(slot.value)))
    optimizer.hyper.assign(hyper)
    optimizer.iterations.value[0] = iterations


# ---- values with arrays in them ----------------------------------------------------------------


def take_arrays(value: Any, prefix: str, arrays: dict[str, Array]) -> Any:
    """Move the arrays in a state into `arrays`; return the state with their names instead."""
    if isinstance(value, list | tuple):
        return [take_arrays(item, f"{prefix}.{i}", arrays) for i, item in enumerate(value)]
    if isinstance(value, Mapping):
        return {key: take_arrays(item, f"{prefix}.{key}", arrays) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        arrays[prefix] = value
        return {"array": prefix}
    return value.item() if isinstance(value, np.generic) else value


def put_arrays(value: Any, file: File) -> Any:
    """Do the reverse."""
    if isinstance(value, list):
        return [put_arrays(item, file) for item in value]
    if isinstance(value, dict):
        if set(value) == {"array"} and isinstance(value["array"], str):
            return file.array(value["array"])
        return {key: put_arrays(item, file) for key, item in value.items()}
    return value
