"""Lookahead: slow weights that follow those of another optimizer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from convkit import _check
from convkit._config import serialize
from convkit.graph import Graph, Tensor, Variable
from convkit.optimizers.base import Array, Optimizer


class Lookahead(Optimizer):
    """Every sync_period steps, weights go slow_step_size of the way from the last such point.

    `optimizer` makes the steps and holds all numbers: learning_rate and clipping are its own.
    slow_step_size may be a schedule or another function of the steps done: one that falls averages
    more and more as training goes on. Source: Zhang et al., 2019.
    """

    def __init__(
        self, optimizer: Any, sync_period: int = 6, slow_step_size: Any = 0.5, name: Any = None
    ) -> None:
        from convkit.optimizers import get

        self.optimizer = get(optimizer)
        if self.optimizer.use_ema or isinstance(self.optimizer, Lookahead):
            raise ValueError(
                "Lookahead: optimizer must not average weights itself, got"
                f" {type(self.optimizer).__name__} with use_ema={self.optimizer.use_ema}"
            )
        super().__init__(self.optimizer.learning_rate, name=name)
        self.hyper, self.iterations = self.optimizer.hyper, self.optimizer.iterations
        self._schedule = self.optimizer._schedule
        self.sync_period = _check.integer("Lookahead", "sync_period", sync_period)
        if not callable(slow_step_size):
            slow_step_size = _check.fraction("Lookahead", "slow_step_size", slow_step_size)
        self.slow_step_size = slow_step_size

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {
            **{"optimizer": serialize(self.optimizer), "sync_period": self.sync_period},
            **{"slow_step_size": serialize(self.slow_step_size), "name": self.name},
        }

    def before_step(self) -> None:
        """Let the inner optimizer prepare, by this one's schedule, and set the slow step."""
        self.optimizer._schedule = self._schedule
        self.optimizer.before_step()
        part = self.slow_step_size
        if callable(part):
            part = part(int(self.iterations.value[0]) + 1)
            _check.fraction("Lookahead", "slow_step_size(step)", part)
        self._set("average_momentum", 1 - part)

    def count_params(self) -> int:
        """Return how many numbers training keeps, slow weights and the inner optimizer's state."""
        own = super().count_params()
        return own + self.optimizer.count_params() - 2 if own else 0

    def slots(self, variable: Variable) -> list[Variable | None]:
        """Return the slots of a variable, its slow weight; the inner optimizer's are made too."""
        self.optimizer.slots(variable)
        return super().slots(variable)

    def slot_variables(self, names: Mapping[Variable, str]) -> dict[str, Variable]:
        """Return the slots made so far of the named variables, the inner ones as "inner."."""
        inner = self.optimizer.slot_variables(names)
        return super().slot_variables(names) | {f"inner.{k}": slot for k, slot in inner.items()}

    def _averaging(self) -> dict[str, Any]:
        return {"period": self.sync_period, "overwrite": self.sync_period, "from_first": False}

    def _emit_updates(self, graph: Graph, grads: dict[Variable, Tensor]) -> None:
        self.optimizer._emit_updates(graph, grads)

    def _apply(self, pairs: list[tuple[Array, Array]], real_bytes: int) -> None:
        for _, w in pairs:
            self._slots_of_array(w)  # the slow weights begin where the weights are now
        self.optimizer._apply(pairs, real_bytes)
        self._average_arrays([w for _, w in pairs], real_bytes)
