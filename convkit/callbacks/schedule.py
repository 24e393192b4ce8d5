"""LearningRateScheduler: a learning rate per epoch."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from convkit import _check
from convkit.callbacks.base import Callback, Logs, number_text


class LearningRateScheduler(Callback):
    """Set the learning rate at the begin of every epoch to schedule(epoch, learning_rate).

    A schedule of one argument gets the epoch alone. The logs get "learning_rate".
    """

    def __init__(self, schedule: Callable[..., Any], verbose: int = 0) -> None:
        if not callable(schedule):
            raise TypeError(
                f"LearningRateScheduler: schedule must be a function, got schedule={schedule!r}"
            )
        self.schedule, self.verbose = schedule, verbose
        parameters = inspect.signature(schedule).parameters.values()
        places = (
            *(inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD),
            inspect.Parameter.VAR_POSITIONAL,
        )
        taken = [p for p in parameters if p.kind in places]
        several = any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in taken)
        self._takes_rate = several or len(taken) > 1

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Set the rate."""
        optimizer = self.model.optimizer
        assert optimizer is not None
        given = (epoch, float(optimizer.learning_rate)) if self._takes_rate else (epoch,)
        rate = self.schedule(*given)
        optimizer.learning_rate = _check.number("LearningRateScheduler", "schedule(epoch)", rate)
        if self.verbose:
            print(f"\nEpoch {epoch + 1}: learning rate {number_text(float(rate))}", flush=True)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Put the rate into the logs."""
        assert self.model.optimizer is not None
        if logs is not None:
            logs["learning_rate"] = float(self.model.optimizer.learning_rate)
