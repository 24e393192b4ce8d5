"""Optimizers with Keras's names, defaults and formulas; one fused kernel updates all parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convkit import _check, _pack, ops
from convkit._config import Configurable, serialize
from convkit.graph import Graph, Tensor, Variable
from convkit.ops.update import HYPER
from convkit.schedules import LearningRateSchedule

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "RMSprop", "get"]


def hyper_property(name: str, kind: Callable[[float], Any] = float) -> Any:
    """Make a property that shows a number which programs read at every step."""

    def show(self: Optimizer) -> Any:
        return kind(float(self.hyper.value[HYPER.index(name)]))

    show.__doc__ = f"The number {name} of the next step."
    return property(show)


def _or_none(value: float) -> float | None:
    return value or None


class Optimizer(Configurable):
    """State and numbers of an optimizer; programs read both at every step.

    learning_rate is a float or a schedule, and may be set between steps. weight_decay is decoupled:
    w -= w * weight_decay * learning_rate. clipnorm clips each gradient's norm, global_clipnorm
    that of all together, clipvalue each element. Raises ValueError for numbers out of range.
    """

    kind = "sgd"

    weight_decay = hyper_property("weight_decay", _or_none)
    clipnorm = hyper_property("clipnorm", _or_none)
    clipvalue = hyper_property("clipvalue", _or_none)
    global_clipnorm = hyper_property("global_clipnorm", _or_none)

    def __init__(
        self,
        learning_rate: Any,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        **numbers: float,
    ) -> None:
        self.hyper = Variable("hyper", np.zeros(len(HYPER)), trainable=False)
        self.iterations = Variable("iterations", np.zeros(1, np.uint64), trainable=False)
        self._slots: dict[int, tuple[Variable, list[Variable | None]]] = {}
        self._array_slots: dict[int, tuple[Any, list[NDArray[Any] | None]]] = {}
        given = [x for x in (clipnorm, clipvalue, global_clipnorm) if x is not None]
        if len(given) > 1:
            raise ValueError(
                f"{type(self).__name__}: only one of clipnorm, clipvalue and global_clipnorm may be"
                f" set, got clipnorm={clipnorm}, clipvalue={clipvalue},"
                f" global_clipnorm={global_clipnorm}"
            )
        self.learning_rate = learning_rate
        optional = {
            **{"weight_decay": weight_decay, "clipnorm": clipnorm, "clipvalue": clipvalue},
            **{"global_clipnorm": global_clipnorm},
        }
        for name, value in {**optional, **numbers}.items():
            self._set(name, 0.0 if value is None else value)

    def _set(self, name: str, value: Any) -> None:
        number = _check.number(type(self).__name__, name, value)
        if number < 0:
            raise ValueError(f"{type(self).__name__}: {name} must not be negative, got {value!r}")
        self.hyper.value[HYPER.index(name)] = number

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

    # ---- slots ---------------------------------------------------------------------------------

    def slot_count(self) -> tuple[bool, bool]:
        """Say which of the two slots a parameter needs."""
        return False, False

    def slots(self, variable: Variable) -> list[Variable | None]:
        """Return the slots of a variable: zeros at first, then kept."""
        key = id(variable)
        if key not in self._slots:
            made = [
                Variable(f"{variable.name}/{self.kind}_{i}", np.zeros_like(variable.value), False)
                if needed
                else None
                for i, needed in enumerate(self.slot_count())
            ]
            self._slots[key] = (variable, made)
        return self._slots[key][1]

    def count_params(self) -> int:
        """Return how many numbers training keeps: slots, step count, learning rate; 0 before it."""
        slots = [slot for _, made in self._slots.values() for slot in made if slot is not None]
        return sum(slot.value.size for slot in slots) + 2 if int(self.iterations.value[0]) else 0

    # ---- use -----------------------------------------------------------------------------------

    def emit(self, graph: Graph, grads: dict[Variable, Tensor]) -> None:
        """Emit the update of all variables that have a gradient."""
        parameters = [(v, g, self.slots(v), True) for v, g in grads.items()]
        ops.update(graph, self.kind, parameters, self.hyper, self.iterations)
        for variable in grads:
            if variable.constraint is not None:
                variable.constraint.emit(graph.variable(variable))

    def apply_gradients(self, grads_and_vars: Iterable[tuple[Any, NDArray[Any]]]) -> None:
        """Update plain NumPy weights in place: [(gradient, weight), ...].

        Weights are C-contiguous, writable arrays of one float type. Raises ValueError otherwise.
        """
        pairs = list(grads_and_vars)
        kinds = {w.dtype for _, w in pairs}
        if len(kinds) > 1 or not kinds <= {np.dtype(np.float32), np.dtype(np.float64)}:
            raise ValueError(f"apply_gradients: weights must share one float type, got {kinds}")
        table = np.zeros((len(pairs), _pack.slot_count("ck_parameter")), np.uint64)
        keep = []
        for row, (gradient, weight) in enumerate(pairs):
            g = np.require(gradient, weight.dtype, ["C", "A"])
            if g.shape != weight.shape or not (
                weight.flags.c_contiguous and weight.flags.writeable
            ):
                raise ValueError(
                    f"apply_gradients: weights must be C-contiguous, writable and of their"
                    f" gradient's shape, got weight {weight.shape} and gradient {g.shape}"
                )
            slots = self._slots_of_array(weight)
            keep.append(g)
            addresses = [_pack.address(s) for s in slots]
            _pack.fill(
                table[row],
                "ck_parameter",
                {
                    **{"w": _pack.address(weight), "g": _pack.address(g), "count": weight.size},
                    **{"slot1": addresses[0], "slot2": addresses[1], "decay": 1.0},
                    **{"rate": 1.0},
                },
            )
        self.before_step()
        if pairs:
            _pack.call(
                *(f"{self.kind}_update", kinds.pop().itemsize),
                **{"step": self.iterations.value, "hyper": self.hyper.value},
                **{"parameters": table, "n_parameters": len(pairs)},
            )

    def _slots_of_array(self, weight: NDArray[Any]) -> list[NDArray[Any] | None]:
        known = self._array_slots.get(id(weight))
        if known is None or known[0] is not weight:
            made = [np.zeros_like(weight) if needed else None for needed in self.slot_count()]
            known = self._array_slots[id(weight)] = (weight, made)
        return known[1]


class SGD(Optimizer):
    """w -= learning_rate g, with momentum or Nesterov's form of it."""

    kind = "sgd"
    momentum = hyper_property("momentum")
    nesterov = hyper_property("nesterov", bool)

    def __init__(
        self,
        learning_rate: Any = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        **options: Any,
    ) -> None:
        if not 0 <= momentum <= 1:
            raise ValueError(f"SGD: momentum must lie in [0, 1], got momentum={momentum!r}")
        super().__init__(learning_rate, **options, momentum=momentum, nesterov=float(nesterov))

    def slot_count(self) -> tuple[bool, bool]:
        """Momentum needs one."""
        return bool(self.hyper.value[HYPER.index("momentum")]), False


class RMSprop(Optimizer):
    """Divide by the root of a moving mean of g^2. Source: Tieleman and Hinton, 2012."""

    kind = "rmsprop"
    rho = hyper_property("rho")
    momentum = hyper_property("momentum")
    epsilon = hyper_property("epsilon")

    def __init__(
        self,
        learning_rate: Any = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        **options: Any,
    ) -> None:
        super().__init__(learning_rate, **options, rho=rho, momentum=momentum, epsilon=epsilon)

    def slot_count(self) -> tuple[bool, bool]:
        """The mean square, and the momentum."""
        return True, bool(self.hyper.value[HYPER.index("momentum")])


class Adam(Optimizer):
    """Moving means of g and g^2, corrected for their start. Source: Kingma and Ba, 2014."""

    kind = "adam"
    beta_1 = hyper_property("momentum")
    beta_2 = hyper_property("rho")
    epsilon = hyper_property("epsilon")

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        **options: Any,
    ) -> None:
        super().__init__(learning_rate, **options, momentum=beta_1, rho=beta_2, epsilon=epsilon)

    def slot_count(self) -> tuple[bool, bool]:
        """Both means."""
        return True, True


class AdamW(Adam):
    """Adam with decoupled weight decay. Source: Loshchilov and Hutter, 2017."""

    def __init__(
        self,
        learning_rate: Any = 0.001,
        weight_decay: float = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        **options: Any,
    ) -> None:
        super().__init__(
            *(learning_rate, beta_1, beta_2, epsilon), weight_decay=weight_decay, **options
        )


NAMES: dict[str, type[Optimizer]] = {"adam": Adam, "adamw": AdamW, "rmsprop": RMSprop, "sgd": SGD}


def get(value: Any) -> Optimizer:
    """Return an optimizer from its name or instance; a wrong name suggests the nearest."""
    if isinstance(value, Optimizer):
        return value
    if isinstance(value, str):
        value = value.lower()
    kind: Any = NAMES[_check.one_of("compile", "optimizer", value, NAMES)]
    return kind()
