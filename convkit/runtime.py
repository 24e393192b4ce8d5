"""Choose threads, instruction set, algorithm and seed; say what is running and why."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from convkit import _core
from convkit._arguments import named_arguments
from convkit._files import cache_directory

__all__ = [
    "active_isa",
    "get_algorithm",
    "get_num_threads",
    "get_random_state",
    "isas_usable",
    "next_seed",
    "random_generator",
    "set_algorithm",
    "set_num_threads",
    "set_random_state",
    "set_seed",
    "show_config",
]

MAX_THREADS = 1024
MAX_SEED = 2**62 - 1
ALGORITHMS = ("auto", "direct")


# ---- instruction set ---------------------------------------------------------------------------


def isas_usable() -> list[str]:
    """List the ISAs that were built in and that this CPU runs, slowest first."""
    return [name for name, _built, usable in _core.isas() if usable]


def active_isa() -> str:
    """Return the name of the ISA whose kernels run."""
    return _core.active_isa()


def _choose_isa() -> str:
    """Pick the widest usable ISA, or the one that CONVKIT_ISA names."""
    wanted = os.environ.get("CONVKIT_ISA", "")
    known = {name: (built, usable) for name, built, usable in _core.isas()}
    if not wanted:
        return isas_usable()[-1]
    if wanted not in known:
        raise ImportError(f"CONVKIT_ISA={wanted!r} is not one of: {', '.join(known)}")
    built, usable = known[wanted]
    if not built:
        raise ImportError(
            f"CONVKIT_ISA={wanted!r} was not built into this copy of convkit (its compiler lacked"
            f" the flags); use one of: {', '.join(isas_usable())}"
        )
    if not usable:
        raise ImportError(
            f"CONVKIT_ISA={wanted!r} was built in, but this CPU or operating system does not"
            f" support it; use one of: {', '.join(isas_usable())}"
        )
    return wanted


# ---- threads -----------------------------------------------------------------------------------


def _cgroup_limit() -> float | None:
    """Return the CPU quota of the control group in CPUs, or None where there is none.

    Source: Linux control groups v2, `cpu.max`; v1, `cpu.cfs_quota_us` and `cpu.cfs_period_us`.
    """
    limits = []
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        _number, controllers, path = line.split(":", 2)
        if not controllers:
            folder = Path("/sys/fs/cgroup") / path.lstrip("/")
            # A parent's quota binds its children; containers often mount only the root.
            for place in [folder, *folder.parents]:
                limits.append(_quota(place / "cpu.max"))
                if place == Path("/sys/fs/cgroup"):
                    break
        elif "cpu" in controllers.split(","):
            for folder in (
                Path("/sys/fs/cgroup/cpu") / path.lstrip("/"),
                Path("/sys/fs/cgroup/cpu"),
            ):
                limits.append(_quota(folder / "cpu.cfs_quota_us", folder / "cpu.cfs_period_us"))
    found = [limit for limit in limits if limit is not None]
    return min(found) if found else None


def _quota(*files: Path) -> float | None:
    try:
        words = " ".join(file.read_text() for file in files).split()
        quota, period = float(words[0]), float(words[1])
    except (OSError, ValueError, IndexError):
        return None  # "max", an empty file, or no such file: no limit
    return quota / period if quota > 0 and period > 0 else None


def _threads_from(variable: str) -> int | None:
    """Read a thread count from the environment; OMP_NUM_THREADS may be a list."""
    text = os.environ.get(variable, "").split(",")[0].strip()
    if not text:
        return None
    if not text.isdigit() or not 1 <= int(text) <= MAX_THREADS:
        if variable == "CONVKIT_NUM_THREADS":
            raise ImportError(
                f"CONVKIT_NUM_THREADS must be a whole number from 1 to {MAX_THREADS}, got {text!r}"
            )
        return None
    return int(text)


def _choose_threads() -> tuple[int, str]:
    for variable in ("CONVKIT_NUM_THREADS", "OMP_NUM_THREADS"):
        threads = _threads_from(variable)
        if threads is not None:
            return threads, variable
    if hasattr(os, "sched_getaffinity"):
        cpus, why = len(os.sched_getaffinity(0)), "CPUs this process may use"
    else:
        cpus, why = os.cpu_count() or 1, "CPUs of this machine"
    limit = _cgroup_limit()
    if limit is not None and limit < cpus:
        return max(1, int(limit)), "CPU quota of the control group"
    return min(cpus, MAX_THREADS), why


@named_arguments
def set_num_threads(n: int) -> None:
    """Set how many threads later calls use; more than there are CPUs is honoured.

    Results do not depend on it, only their speed. Raises TypeError or ValueError unless n is a
    whole number from 1 to 1024.
    """
    global _threads_why
    if isinstance(n, bool) or not hasattr(n, "__index__"):
        raise TypeError(f"set_num_threads: n must be an int, got n={n!r}")
    if not 1 <= int(n) <= MAX_THREADS:
        raise ValueError(f"set_num_threads: n must be from 1 to {MAX_THREADS}, got n={n!r}")
    _core.set_num_threads(int(n))
    _threads_why = "set_num_threads"


def get_num_threads() -> int:
    """Return how many threads calls use."""
    return _core.get_num_threads()


# ---- algorithm ---------------------------------------------------------------------------------


@named_arguments
def set_algorithm(name: str) -> None:
    """Choose how convolutions are computed: "auto", or "direct" (sums in the plain order only).

    Raises ValueError for any other name.
    """
    global _algorithm
    if name not in ALGORITHMS:
        raise ValueError(f"set_algorithm: name must be one of {ALGORITHMS}, got name={name!r}")
    _algorithm = name


def get_algorithm() -> str:
    """Return the algorithm chosen for convolutions."""
    return _algorithm


def _choose_algorithm() -> str:
    wanted = os.environ.get("CONVKIT_CONV") or "auto"
    if wanted not in ALGORITHMS:
        raise ImportError(f"CONVKIT_CONV={wanted!r} is not one of: {', '.join(ALGORITHMS)}")
    return wanted


# ---- seed --------------------------------------------------------------------------------------


@named_arguments
def set_seed(seed: int) -> None:
    """Seed everything random that follows: initial weights, shuffles, dropout.

    NumPy's global generator is neither used nor changed. Raises TypeError or ValueError unless seed
    is a non-negative int.
    """
    global _generator
    if isinstance(seed, bool) or not hasattr(seed, "__index__"):
        raise TypeError(f"set_seed: seed must be an int, got seed={seed!r}")
    if int(seed) < 0:
        raise ValueError(f"set_seed: seed must not be negative, got seed={seed!r}")
    _generator = np.random.default_rng(int(seed))


def next_seed() -> int:
    """Draw a seed from the library's own stream: equal after the same set_seed."""
    return int(_generator.integers(0, MAX_SEED, endpoint=True))


def get_random_state() -> dict[str, Any]:
    """Return the state of the library's own stream, for set_random_state."""
    return dict(_generator.bit_generator.state)


def set_random_state(state: Mapping[str, Any]) -> None:
    """Go on with the library's own stream where get_random_state was called."""
    _generator.bit_generator.state = dict(state)


def random_generator() -> np.random.Generator:
    """Return a new generator seeded from the library's own stream."""
    return np.random.default_rng(next_seed())


# ---- report ------------------------------------------------------------------------------------


def _openmp_runtimes() -> list[str]:
    """List the OpenMP libraries loaded into this process (Linux)."""
    try:
        lines = Path("/proc/self/maps").read_text().splitlines()
    except OSError:
        return []
    files = {line.split()[-1] for line in lines if len(line.split()) > 5}
    prefixes = ("libgomp", "libomp", "libiomp")
    return sorted(f for f in files if Path(f).name.startswith(prefixes))


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.lower().startswith(("model name", "hardware")):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def config() -> dict[str, str]:
    """Collect what show_config prints."""
    from convkit import __version__

    isas = _core.isas()
    return {
        "convkit": __version__,
        "python": sys.version.split()[0],
        "numpy": np.__version__,
        "compiler": _core.compiler,
        "cpu": _cpu_name(),
        "isas built": ", ".join(name for name, built, _ in isas if built),
        "isas usable": ", ".join(isas_usable()),
        "isa active": active_isa(),
        "isas missing": ", ".join(name for name, built, _ in isas if not built) or "none",
        "threads": f"{get_num_threads()} ({_threads_why})"
        if _core.has_openmp
        else "1 (built without OpenMP)",
        "openmp": ", ".join(_openmp_runtimes()) or "built in"
        if _core.has_openmp
        else "none: the compiler had no OpenMP, so every call runs on one thread",
        "algorithm": _algorithm,
        "cache": str(cache_directory()),
    }


def show_config() -> None:
    """Print version, compiler, ISAs, threads and why, OpenMP runtime, cache directory."""
    for name, value in config().items():
        print(f"{name + ':':<14} {value}")


_core.select_isa(_choose_isa())
_threads, _threads_why = _choose_threads()
_core.set_num_threads(_threads)
_algorithm = _choose_algorithm()
_generator = np.random.default_rng()
