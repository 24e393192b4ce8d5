"""Time contenders against each other in turns.

The contenders take turns (A, B, C, then C, B, A, ...) in blocks of a fraction of a second, so that
a change of clock speed or a busy neighbour meets all of them. The result is a ratio per turn: its
median, and its quartiles as the spread.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convkit.bench.tasks import Work

# After a region, OpenMP's threads spin for some milliseconds and take the next contender's cores.
WARM_UP_SECONDS = 0.02

# Contenders this much slower than the fastest peer stop after FEW rounds.
FAR_BEHIND, FEW = 1.5, 3

# While other processes use more CPUs than this, a row is tried again, until there are TRIES.
DISTURBED, TRIES = 0.15, 2


def _seconds(work: Work, units: int) -> float:
    start = time.perf_counter()
    work(units)
    return time.perf_counter() - start


class Timer:
    """One contender's clock: it counts as many units of work as fill a block."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._units = 1

    def _warm_up(self) -> float:
        """Run single units until the machine is this contender's; return the last one's seconds."""
        start = time.perf_counter()
        while True:
            took = _seconds(self._work, 1)
            if time.perf_counter() - start >= WARM_UP_SECONDS:
                return took

    def calibrate(self, seconds: float) -> None:
        """Find out how many units fill a block; the work has been done once before."""
        took = self._warm_up()
        guess = round(seconds / 4 / took)
        if guess > 1:
            took = _seconds(self._work, guess) / guess
        self._units = max(1, round(seconds / took))

    def turn(self) -> float:
        """Return the seconds per unit of a block, after a warm-up that is not counted."""
        self._warm_up()
        return _seconds(self._work, self._units) / self._units


def interleave(
    turns: Mapping[str, Callable[[], float]],
    rounds: int,
    always: Sequence[str] = (),
    limit_seconds: float = math.inf,
) -> dict[str, NDArray[np.float64]]:
    """Give every contender a turn in each round; return their seconds per unit.

    Odd rounds go through the contenders backwards, so that none always follows the same other.
    Contenders far behind all but those of `always` stop early: their results are shorter. After
    `limit_seconds` no further round begins, once there are FEW.
    """
    times: dict[str, list[float]] = {name: [] for name in turns}
    going = list(turns)
    start = time.perf_counter()
    for turn in range(rounds):
        for name in going if turn % 2 == 0 else reversed(going):
            times[name].append(turns[name]())
        if turn + 1 >= FEW and time.perf_counter() - start > limit_seconds:
            break
        if turn + 1 == FEW:
            peers = {name: np.median(times[name]) for name in going if name not in always}
            limit = FAR_BEHIND * min(peers.values(), default=0)
            going = [name for name in going if name in always or peers[name] <= limit]
    return {name: np.array(seconds) for name, seconds in times.items()}


@dataclass(frozen=True)
class Ratio:
    """How many times as fast `ours` is as a peer, per round: above 1 it is faster."""

    median: float
    quartiles: tuple[float, float]


def ratio(ours: NDArray[np.float64], peer: NDArray[np.float64]) -> Ratio:
    """Compare the rounds that both took part in."""
    rounds = min(len(ours), len(peer))
    low, middle, high = np.percentile(peer[:rounds] / ours[:rounds], (25, 50, 75))
    return Ratio(float(middle), (float(low), float(high)))


def geometric_mean(values: Sequence[float]) -> float:
    """Return the geometric mean."""
    return float(np.exp(np.mean(np.log(values))))
