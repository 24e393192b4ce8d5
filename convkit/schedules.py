"""Learning rates as functions of the step. Call a schedule with a step to get a float.

Keras's schedules by its names and defaults, and those of the CIFAR recipes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from convkit import _check, _lookup
from convkit._config import Configurable

__all__ = [
    "ConstantLearningRate",
    "CosineDecay",
    "CosineDecayRestarts",
    "ExponentialDecay",
    "InverseTimeDecay",
    "LearningRateSchedule",
    "OneCycle",
    "PiecewiseConstantDecay",
    "PolynomialDecay",
    "PolynomialRamp",
    "StepDecay",
    "Triangular",
    "WarmUp",
    "get",
]


class LearningRateSchedule(Configurable):
    """schedule(step) -> learning rate; step counts from 0.

    A schedule of your own defines `__call__(step)`; any function of the step serves as well.
    """

    def __call__(self, step: int) -> float:
        """Return the learning rate of a step."""
        raise TypeError(f"{type(self).__name__} must define __call__(step)")

    def _rate(self, name: str, value: Any) -> float:
        return _check.at_least_zero(type(self).__name__, name, value)

    def _steps(self, name: str, value: Any) -> float:
        number = _check.number(type(self).__name__, name, value)
        if number <= 0:
            raise ValueError(
                f"{type(self).__name__}: {name} must be positive, got {name}={value!r}"
            )
        return number


class ConstantLearningRate(LearningRateSchedule):
    """The same learning rate at every step."""

    def __init__(self, learning_rate: float) -> None:
        self.learning_rate = self._rate("learning_rate", learning_rate)

    def __call__(self, step: int) -> float:
        """Return the learning rate of a step."""
        return self.learning_rate


class ExponentialDecay(LearningRateSchedule):
    """initial * rate^(step / decay_steps), in whole powers with staircase."""

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        decay_rate: float,
        staircase: bool = False,
    ) -> None:
        self.initial_learning_rate = self._rate("initial_learning_rate", initial_learning_rate)
        self.decay_steps = self._steps("decay_steps", decay_steps)
        self.decay_rate = self._rate("decay_rate", decay_rate)
        self.staircase = bool(staircase)

    def _power(self, step: int) -> float:
        power = step / self.decay_steps
        return math.floor(power) if self.staircase else power

    def __call__(self, step: int) -> float:
        """Return the learning rate of a step."""
        return self.initial_learning_rate * self.decay_rate ** self._power(step)


class InverseTimeDecay(ExponentialDecay):
    """initial / (1 + rate * step / decay_steps), in whole parts with staircase."""

    def __call__(self, step: int) -> float:
        """Return the learning rate of a step."""
        return self.initial_learning_rate / (1 + self.decay_rate * self._power(step))


class StepDecay(LearningRateSchedule):
    """initial * rate^k after k times step_size steps."""

    def __init__(
        self, initial_learning_rate: float, step_size: int, decay_rate: float = 0.1
    ) -> None:
        self.initial_learning_rate = self._rate("initial_learning_rate", initial_learning_rate)
        self.step_size = self._steps("step_size", step_size)
        self.decay_rate = self._rate("decay_rate", decay_rate)

    def __call__(self, step: int) -> float:
        """Return the learning rate of a step."""
        return self.initial_learning_rate * self.decay_rate ** math.floor(step / self.step_size)


class PolynomialDecay(LearningRateSchedule):
    """(initial - end) (1 - step / decay_steps)^power + end; with cycle, decay_steps grow by whole
    multiples so that the end is never passed."""

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        end_learning_rate: float = 0.0001,
        power: float = 1.0,
        cycle: bool = False,
    ) -> None:
        self.initial_learning_rate = self._rate("initial_learning_rate", initial_learning_rate)
        self.decay_steps = self._steps("decay_steps", decay_steps)
        self.end_learning_rate = self._rate("end_learning_rate", end_learning_rate)
        self.power, self.cycle = self._rate("power", power), bool(cycle)

    def __call__(self, step: int) -> float:
        """Return the learning rate of a step."""
        steps = self.decay_steps
        if self.cycle:
            steps *= max(1, math.ceil(step / steps))
        share = min(step, steps) / steps
        drop = self.initial_learning_rate - self.end_learning_rate
        return drop * (1 - share) ** self.power + self.end_learning_rate


class CosineDecay(LearningRateSchedule):
    """Half a cosine from initial to alpha * initial, after a line to warmup_target if there is one.

    The line takes warmup_steps, the cosine decay_steps more, from warmup_target to alpha of it.
    Source: Loshchilov and Hutter, 2016.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        alpha: float = 0.0,
        warmup_target: float | None = None,
        warmup_steps: int = 0,
    ) -> None:
        self.initial_learning_rate = self._rate("initial_learning_rate", initial_learning_rate)
        self.decay_steps = self._steps("decay_steps", decay_steps)
        self.alpha = self._rate("alpha", alpha)
        self.warmup_target = (
            None if warmup_target is None else self._rate("warmup_target", warmup_target)
        )
        self.warmup_steps = _check.integer("CosineDecay", "warmup_steps", warmup_steps, 0)

    def __call__(self, step: int) -> float:
        """Return the learning rate of a step."""
        top = self.initial_learning_rate
        if self.warmup_target is not None:
            if step < self.warmup_steps:
                return top + (self.warmup_target - top) * step / self.warmup_steps
            top, step = self.warmup_target, step - self.warmup_steps
        share = min(step, self.decay_steps) / self.decay_steps
        cosine = 0.5 * (1 + math.cos(math.pi * share))
        return top * ((1 - self.alpha) * cosine + self.alpha)


class CosineDecayRestarts(LearningRateSchedule):
    """Cosines of first_decay_steps, t_mul times longer and m_mul times lower each time.

    Source: Loshchilov and Hutter, 2016.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        first_decay_steps: int,
        t_mul: float = 2.0,
        m_mul: float = 1.0,
        alpha: float = 0.0,
    ) -> None:
        self.initial_learning_rate = self._rate("initial_learning_rate", initial_learning_rate)
        self.first_decay_steps = self._steps("first_decay_steps", first_decay_steps)
        self.t_mul, self.m_mul = self._steps("t_mul", t_mul), self._rate("m_mul", m_mul)
        self.alpha = self._rate("alpha", alpha)
        if self.t_mul < 1:
            raise ValueError(f"CosineDecayRestarts: t_mul must be at least 1, got t_mul={t_mul!r}")

    def __call__(self, step: int) -> float:
        """Return the learning rate of a step."""
        share = step / self.first_decay_steps
        if self.t_mul == 1:
            restarts = math.floor(share)
            share -= restarts
        else:
            # The first r cycles take (t_mul^r - 1) / (t_mul - 1) of the first one's time.
            grown = 1 + share * (self.t_mul - 1)
            restarts = math.floor(math.log(grown) / math.log(self.t_mul) + 1e-12)
            passed = (self.t_mul**restarts - 1) / (self.t_mul - 1)
            share = max(0.0, (share - passed) / self.t_mul**restarts)
        cosine = 0.5 * self.m_mul**restarts * (1 + math.cos(math.pi * share))
        return self.initial_learning_rate * ((1 - self.alpha) * cosine + self.alpha)


class PiecewiseConstantDecay(LearningRateSchedule):
    """values[i] up to and including boundaries[i], the last value after them."""

    def __init__(self, boundaries: Sequence[int], values: Sequence[float]) -> None:
        if len(values) != len(boundaries) + 1:
            raise ValueError(
                f"PiecewiseConstantDecay: values must be one more than boundaries, got"
                f" {len(values)} and {len(boundaries)}"
            )
        self.boundaries, self.values = list(boundaries), list(values)

    def __call__(self, step: int) -> float:
        """Return the learning rate of a step."""
        return self.values[sum(step > boundary for boundary in self.boundaries)]


class OneCycle(LearningRateSchedule):
    """Rise on a line to `peak`, then fall on half a cosine to almost nothing.

    Source: Smith and Topin, 2018.
    """

    def __init__(
        self, peak: float, total_steps: int, warmup: float = 0.25, start: float = 0.1
    ) -> None:
        self.peak, self.total_steps = self._rate("peak", peak), max(1, total_steps)
        self.warmup, self.start = _check.fraction("OneCycle", "warmup", warmup), start
        self._rise = max(1.0, warmup * self.total_steps)

    def __call__(self, step: int) -> float:
        """Return the learning rate of a step."""
        if step < self._rise:
            return self.peak * (self.start + (1 - self.start) * step / self._rise)
        share = min(1.0, (step - self._rise) / max(1.0, self.total_steps - self._rise))
        return self.peak * max(1e-4, 0.5 * (1 + math.cos(math.pi * share)))


class Triangular(LearningRateSchedule):
    """Lines from start * peak up to `peak` at peak_at of total_steps, and down to end * peak.

    Source: Smith, 2017 (one triangle, as the fast CIFAR recipes use it).
    """

    def __init__(
        self,
        peak: float,
        total_steps: int,
        start: float = 0.2,
        end: float = 0.0,
        peak_at: float = 0.25,
    ) -> None:
        self.peak, self.total_steps = self._rate("peak", peak), self._steps("steps", total_steps)
        self.start, self.end = self._rate("start", start), self._rate("end", end)
        self.peak_at = _check.fraction("Triangular", "peak_at", peak_at)

    def __call__(self, step: int) -> float:
        """Return the learning rate of a step."""
        top = self.peak_at * self.total_steps
        if step < top:
            return self.peak * (self.start + (1 - self.start) * step / top)
        share = min(1.0, (step - top) / max(self.total_steps - top, 1e-12))
        return self.peak * (1 + (self.end - 1) * share)


class PolynomialRamp(LearningRateSchedule):
    """start + (end - start) (step / total_steps)^power: slow at first where power > 1; then end."""

    def __init__(self, start: float, end: float, total_steps: int, power: float = 1.0) -> None:
        self.start, self.end = self._rate("start", start), self._rate("end", end)
        self.total_steps = self._steps("total_steps", total_steps)
        self.power = self._rate("power", power)

    def __call__(self, step: int) -> float:
        """Return the learning rate of a step."""
        share = min(1.0, step / self.total_steps) ** self.power
        return self.start + (self.end - self.start) * share


class WarmUp(LearningRateSchedule):
    """A line from `start` to where `schedule` begins, in warmup_steps; then the schedule."""

    def __init__(self, schedule: Any, warmup_steps: int, start: float = 0.0) -> None:
        self.schedule = schedule if callable(schedule) else get(schedule)
        self.warmup_steps = _check.integer("WarmUp", "warmup_steps", warmup_steps)
        self.start = self._rate("start", start)

    def __call__(self, step: int) -> float:
        """Return the learning rate of a step."""
        if step >= self.warmup_steps:
            return self.schedule(step - self.warmup_steps)
        first = self.schedule(0)
        return self.start + (first - self.start) * step / self.warmup_steps


NAMES: dict[str, type[LearningRateSchedule]] = {
    _check.snake_case(cls.__name__): cls
    for cls in (
        *(
            ConstantLearningRate,
            CosineDecay,
            CosineDecayRestarts,
            ExponentialDecay,
            InverseTimeDecay,
        ),
        *(OneCycle, PiecewiseConstantDecay, PolynomialDecay, PolynomialRamp, StepDecay),
        *(Triangular, WarmUp),
    )
}


def get(value: Any) -> LearningRateSchedule:
    """Return a schedule from its config or instance, or a constant one from a number."""
    if isinstance(value, int | float):
        return ConstantLearningRate(value)
    return _lookup.find("schedules.get", "schedule", value, LearningRateSchedule, NAMES)


if not TYPE_CHECKING:
    __getattr__ = _check.missing_from(__name__, __all__)
