"""What all optimizers share: numbers that programs read, slots of weights, averages of weights."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from convkit import _check, _core, _pack, ops
from convkit._arguments import accepted, unknown_argument
from convkit._config import Configurable, serialize
from convkit.graph import Graph, Tensor, Variable
from convkit.ops.update import HYPER, SLOTS, Parameter
from convkit.schedules import LearningRateSchedule

Array = NDArray[Any]


def hyper_property(name: str, kind: Callable[[float], Any] = float) -> Any:
    """Make a property that shows a number which programs read at every step."""

    def show(self: Optimizer) -> Any:
        return kind(float(self.hyper.value[HYPER.index(name)]))

    show.__doc__ = f"The number {name} of the next step."
    return property(show)


def _or_none(value: float) -> float | None:
    return value or None


class _OfArray(NamedTuple):
    """What is kept for a plain array that is trained."""

    weight: Array
    slots: list[Array | None]
    parameter: NDArray[np.uint64]  # its ck_parameter but for the gradient


class Optimizer(Configurable):
    """State and numbers of an optimizer; programs read both at every step.

    learning_rate is a float or a schedule, and may be set between steps. weight_decay is decoupled:
    w -= w * weight_decay * learning_rate. clipnorm clips each gradient's norm, global_clipnorm
    that of all together, clipvalue each element.

    With use_ema an average of every weight follows it, average = ema_momentum * average + (1 -
    ema_momentum) * w; every ema_overwrite_frequency steps, and at the end of `fit`, weights take
    their averages. learning_rate_multipliers maps patterns, searched for in the names of weights
    ("dense/kernel"), to factors of their learning rate; the first that is found counts.

    Raises ValueError for numbers out of range.
    """

    kind = "sgd"

    weight_decay = hyper_property("weight_decay", _or_none)
    clipnorm = hyper_property("clipnorm", _or_none)
    clipvalue = hyper_property("clipvalue", _or_none)
    global_clipnorm = hyper_property("global_clipnorm", _or_none)
    ema_momentum = hyper_property("average_momentum")

    def __init__(
        self,
        learning_rate: Any,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        learning_rate_multipliers: Mapping[str, float] | None = None,
        name: str | None = None,
        **numbers: float,
    ) -> None:
        function = type(self).__name__
        for wrong in sorted(numbers.keys() - set(HYPER)):
            cls: Any = type(self)
            raise unknown_argument(function, wrong, numbers[wrong], accepted(cls))
        self.hyper = Variable("hyper", np.zeros(len(HYPER)), trainable=False)
        self.iterations = Variable("iterations", np.zeros(1, np.uint64), trainable=False)
        self._slots: dict[int, tuple[Variable, list[Variable | None]]] = {}
        self._array_slots: dict[int, _OfArray] = {}
        given = [x for x in (clipnorm, clipvalue, global_clipnorm) if x is not None]
        if len(given) > 1:
            raise ValueError(
                f"{function}: only one of clipnorm, clipvalue and global_clipnorm may be set, got"
                f" clipnorm={clipnorm}, clipvalue={clipvalue}, global_clipnorm={global_clipnorm}"
            )
        self.name = name or _check.snake_case(function)
        self.learning_rate = learning_rate
        optional = {
            **{"weight_decay": weight_decay, "clipnorm": clipnorm, "clipvalue": clipvalue},
            **{"global_clipnorm": global_clipnorm},
        }
        for key, value in {**optional, **numbers}.items():
            self._set(key, 0.0 if value is None else value)
        self.use_ema = bool(use_ema)
        self._set("average_momentum", _check.fraction(function, "ema_momentum", ema_momentum))
        self.ema_overwrite_frequency = ema_overwrite_frequency
        if ema_overwrite_frequency is not None:
            _check.integer(function, "ema_overwrite_frequency", ema_overwrite_frequency)
        self.learning_rate_multipliers = dict(learning_rate_multipliers or {})
        for pattern, factor in self.learning_rate_multipliers.items():
            _check.at_least_zero(function, f"learning_rate_multipliers[{pattern!r}]", factor)
        self._undecayed: list[Any] = []  # variables, and patterns of names

    if not TYPE_CHECKING:

        def __getattr__(self, name):
            """Raise the error for an unknown attribute, with the nearest that exists."""
            owner = f"convkit optimizer {type(self).__name__}"
            raise _check.missing_attribute(owner, name, dir(self))

    def _set(self, name: str, value: Any) -> None:
        self.hyper.value[HYPER.index(name)] = _check.at_least_zero(type(self).__name__, name, value)

    @property
    def learning_rate(self) -> Any:
        """The learning rate of the next step, as a float."""
        if self._schedule is not None:
            return float(self._schedule(int(self.iterations.value[0])))
        return float(self.hyper.value[0])

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        if isinstance(value, LearningRateSchedule) or callable(value):
            self._schedule: Any = value
            return
        self._set("learning_rate", value)
        self._schedule = None

    def before_step(self) -> None:
        """Put the schedule's learning rate where the programs read it."""
        if self._schedule is not None:
            self.hyper.value[0] = self._schedule(int(self.iterations.value[0]))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments; learning_rate is the schedule where there is one."""
        config = super().get_config()
        if self._schedule is not None:
            config["learning_rate"] = serialize(self._schedule)
        return config

    # ---- weights -------------------------------------------------------------------------------

    def exclude_from_weight_decay(
        self, var_list: Sequence[Variable] | None = None, var_names: Sequence[str] | None = None
    ) -> None:
        """Leave variables, or those whose names hold one of the patterns, out of weight decay.

        It takes effect at the model's next `compile`.
        """
        self._undecayed += [*(var_list or []), *(var_names or [])]

    def _decays(self, variable: Variable) -> bool:
        return not any(
            re.search(each, variable.name) if isinstance(each, str) else each is variable
            for each in self._undecayed
        )

    def _multiplier(self, name: str) -> float:
        factors = self.learning_rate_multipliers.items()
        return next((float(f) for pattern, f in factors if re.search(pattern, name)), 1.0)

    def slot_count(self) -> tuple[bool, ...]:
        """Say which of the slots a parameter needs."""
        return ()

    def _new_slots(self, w: Array, name: str = "") -> list[Array | None]:
        """Return the slots of a weight as arrays, the average of the weight last."""
        needs = [*self.slot_count(), False, False, False][: len(SLOTS)]
        made: list[Array | None] = [self._first_slot(w) if needed else None for needed in needs]
        return [*made, w.copy() if self._averaging() else None]

    def _first_slot(self, w: Array) -> Array:
        return _core.aligned_empty(w.nbytes).view(w.dtype).reshape(w.shape)

    def slots(self, variable: Variable) -> list[Variable | None]:
        """Return the slots of a variable: made at first, then kept. The last is its average."""
        key = id(variable)
        if key not in self._slots:
            made = [
                None if a is None else Variable(f"{variable.name}/{self.kind}_{i}", a, False)
                for i, a in enumerate(self._new_slots(variable.value, variable.name))
            ]
            self._slots[key] = (variable, made)
        return self._slots[key][1]

    def _averaging(self) -> dict[str, Any] | None:
        """Return the options of ops.weight_average, None without averages."""
        return {"overwrite": self.ema_overwrite_frequency or 0} if self.use_ema else None

    def finalize_variable_values(self, variables: Iterable[Variable]) -> None:
        """Give variables their averages, with use_ema; `fit` does so at its end."""
        if not self.use_ema or not self.iterations.value[0]:
            return
        for variable in variables:
            known = self._slots.get(id(variable))
            if known is not None and known[1][-1] is not None:
                variable.assign(known[1][-1].value)

    def slot_variables(self, names: Mapping[Variable, str]) -> dict[str, Variable]:
        """Return the slots made so far of the named variables: "name.number" -> slot."""
        return {
            f"{names[variable]}.{number}": slot
            for variable, made in self._slots.values()
            if variable in names
            for number, slot in enumerate(made)
            if slot is not None
        }

    @property
    def variables(self) -> list[Variable]:
        """The step count, and the slots made so far."""
        slots = [slot for _, made in self._slots.values() for slot in made if slot is not None]
        return [self.iterations, *slots]

    def count_params(self) -> int:
        """Return how many numbers training keeps: slots, step count, learning rate; 0 before it."""
        if not int(self.iterations.value[0]):
            return 0
        return sum(variable.value.size for variable in self.variables) + 1

    # ---- use -----------------------------------------------------------------------------------

    def emit(self, graph: Graph, grads: dict[Variable, Tensor]) -> None:
        """Emit the update of all variables that have a gradient."""
        self._emit_updates(graph, grads)
        averaging = self._averaging()
        step, hyper = graph.variable(self.iterations), graph.variable(self.hyper)
        for variable in grads:
            w, average = graph.variable(variable), self.slots(variable)[-1]
            if averaging and average is not None:
                ops.weight_average(graph.variable(average), w, step, hyper, **averaging)
            if variable.constraint is not None:
                variable.constraint.emit(w)

    def _emit_updates(self, graph: Graph, grads: dict[Variable, Tensor]) -> None:
        parameters = [
            Parameter(v, g, self.slots(v)[:-1], self._decays(v), self._multiplier(v.name))
            for v, g in grads.items()
        ]
        ops.update(graph, self.kind, parameters, self.hyper, self.iterations)

    def apply_gradients(self, grads_and_vars: Iterable[tuple[Any, Array]]) -> None:
        """Update plain NumPy weights in place: [(gradient, weight), ...].

        Weights are C-contiguous, writable arrays of one float type. Raises ValueError otherwise.
        """
        pairs = list(grads_and_vars)
        kinds = {w.dtype for _, w in pairs}
        if len(kinds) > 1 or not kinds <= {np.dtype(np.float32), np.dtype(np.float64)}:
            raise ValueError(f"apply_gradients: weights must share one float type, got {kinds}")
        checked = [(_checked_gradient(gradient, w), w) for gradient, w in pairs]
        self.before_step()
        if pairs:
            self._apply(checked, kinds.pop().itemsize)

    def _apply(self, pairs: list[tuple[Array, Array]], real_bytes: int) -> None:
        self._apply_rule(self.kind, pairs, real_bytes)
        self._average_arrays([w for _, w in pairs], real_bytes)

    def _apply_rule(
        self, kind: str, pairs: list[tuple[Array, Array]], real_bytes: int, rate: float = 1.0
    ) -> None:
        table = np.array([self._of_array(w).parameter for _, w in pairs])
        gradients = [_core.address(g) for g, _ in pairs]
        _pack.fill(table.T, "ck_parameter", {"g": gradients, "rate": rate})
        _pack.call(
            *(f"{kind}_update", real_bytes),
            **{"step": self.iterations.value, "hyper": self.hyper.value},
            **{"parameters": table, "n_parameters": len(pairs)},
        )

    def _average_arrays(self, weights: Iterable[Array], real_bytes: int) -> None:
        averaging = self._averaging()
        if averaging is None:
            return
        numbers = {"period": 1, "overwrite": 0, "from_first": True, **averaging}
        for w in weights:
            _pack.call(
                *("weight_average", real_bytes),
                **{"average": self._slots_of_array(w)[-1], "w": w, "count": w.size},
                **{"step": self.iterations.value, "hyper": self.hyper.value, **numbers},
            )

    def _slots_of_array(self, weight: Array) -> list[Array | None]:
        return self._of_array(weight).slots

    def _of_array(self, weight: Array) -> _OfArray:
        known = self._array_slots.get(id(weight))
        if known is None or known.weight is not weight:
            slots = self._new_slots(weight)
            arrays = {"w": weight, **dict(zip(SLOTS, slots, strict=False))}
            values = {name: _core.address(array) for name, array in arrays.items()}
            parameter = np.zeros(_pack.slot_count("ck_parameter"), np.uint64)
            _pack.fill(parameter, "ck_parameter", {**values, "count": weight.size, "decay": 1.0})
            known = self._array_slots[id(weight)] = _OfArray(weight, slots, parameter)
        return known


def _checked_gradient(gradient: Any, weight: Array) -> Array:
    g = np.require(gradient, weight.dtype, ["C", "A"])
    if g.shape != weight.shape or not (weight.flags.c_contiguous and weight.flags.writeable):
        raise ValueError(
            f"apply_gradients: weights must be C-contiguous, writable and of their gradient's"
            f" shape, got weight {weight.shape} and gradient {g.shape}"
        )
    return g
