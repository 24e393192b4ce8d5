"""Time libraries against each other, and say on what machine.

The contenders take turns in one process (A, B, C, A, B, C, ...) in blocks of a fraction of a
second, so that a change of clock speed or a busy neighbour meets all of them. The result is a ratio
per turn: its median, and its quartiles as the spread.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

# After a region, OpenMP's threads spin for some milliseconds and take the next contender's cores.
WARM_UP_SECONDS = 0.02

# glibc gives big blocks back to the kernel and page-faults them in again at the next step, which
# costs a framework that allocates its activations up to half its speed. It is told to keep them.
TUNED_MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": "33554432",  # the largest that glibc takes
    "MALLOC_TRIM_THRESHOLD_": "1073741824",
}

# Runs n units of work (calls, or training steps), one after another.
Work = Callable[[int], Any]


def _seconds(work: Work, units: int) -> float:
    start = time.perf_counter()
    work(units)
    return time.perf_counter() - start


def _warm_up(work: Work) -> float:
    """Run single units until the machine is this contender's; return the last one's seconds."""
    start = time.perf_counter()
    while True:
        took = _seconds(work, 1)
        if time.perf_counter() - start >= WARM_UP_SECONDS:
            return took


def interleave(
    contenders: Mapping[str, Work], *, rounds: int, block_seconds: float
) -> dict[str, np.ndarray]:
    """Time every contender in each round; return the seconds per unit of each round.

    A block is `block_seconds` of work after a warm-up that is not counted. Odd rounds go
    through the contenders backwards, so that none always follows the same other.
    """
    units: dict[str, int] = {}
    for name, work in contenders.items():
        _warm_up(work)  # first calls plan, compile and allocate
        guess = max(1, round(block_seconds / 4 / _warm_up(work)))
        per_unit = _seconds(work, guess) / guess
        units[name] = max(1, round(block_seconds / per_unit))
    times = {name: np.empty(rounds) for name in contenders}
    for turn in range(rounds):
        order = list(contenders)
        for name in order if turn % 2 == 0 else reversed(order):
            _warm_up(contenders[name])
            times[name][turn] = _seconds(contenders[name], units[name]) / units[name]
    return times


@dataclass(frozen=True)
class Duel:
    """How often `ours` is as fast as the best peer: > 1 is faster. Times are seconds per unit."""

    ours: float
    peer: float
    peer_name: str
    ratio: float
    quartiles: tuple[float, float]


def duel(times: Mapping[str, np.ndarray], ours: str) -> Duel:
    """Compare `ours` with the contender of the lowest median among the others."""
    medians = {name: float(np.median(seconds)) for name, seconds in times.items()}
    peer = min((name for name in times if name != ours), key=medians.__getitem__)
    low, middle, high = np.percentile(times[peer] / times[ours], (25, 50, 75))
    return Duel(medians[ours], medians[peer], peer, float(middle), (float(low), float(high)))


def geometric_mean(values: list[float]) -> float:
    return float(np.exp(np.mean(np.log(values))))


# ---- machine -----------------------------------------------------------------------------------


def set_threads(threads: int) -> None:
    """Give every library the same number of threads; subnormals are zero in all of them."""
    import torch

    import convkit

    convkit.set_num_threads(threads)
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)


def roofs(threads: int) -> dict[str, float]:
    """Measure what the machine gives now: FMA rate and memory bandwidth (reads plus writes)."""
    from convkit import _core

    return {
        "fma_gflops": _core.peak_gflops(threads, 0.5),
        "stream_gb_per_s": _core.stream_gbs(threads, 0.5),
    }


def others_cpu_seconds() -> float:
    """Return the CPU time that all but this process have used since boot (Linux, else NaN).

    With more threads than free cores every barrier waits for the scheduler: a table during which
    others were busy is worth little.
    """
    try:
        fields = Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
    except OSError:
        return float("nan")
    user, nice, system, _idle, _io_wait, irq, soft_irq, steal = map(float, fields)
    busy = (user + nice + system + irq + soft_irq + steal) / os.sysconf("SC_CLK_TCK")
    own = os.times()
    return busy - own.user - own.system


def environment(threads: int) -> dict[str, Any]:
    """Describe the machine and the software of this run."""
    from convkit import runtime

    variables = ("OMP_WAIT_POLICY", "OMP_NUM_THREADS", *TUNED_MALLOC)
    return {
        "cpu": _cpu_name(),
        "cpus": os.cpu_count(),
        "system": platform.platform(),
        "isa": runtime.active_isa(),
        "threads": threads,
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in ("convkit", "numpy", "torch")},
        "variables": {name: os.environ[name] for name in variables if name in os.environ},
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return getattr(__import__(package), "__version__", "unknown")
