"""Measure what a library costs beside time: memory while training, import time, size on disk.

Each figure comes from fresh processes with the allocator's own settings.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from convkit.bench import machine
from convkit.bench.suites import OURS
from convkit.bench.tasks import LIBRARIES, Task
from convkit.bench.workers import Workers

STEPS = 4

# What a package cannot do without, in a directory of its own.
COMPANIONS = {"jax": ("jaxlib",), "tensorflow": ("keras",)}

_IMPORT = """
import time
import numpy
start = time.perf_counter()
import {package}
print(time.perf_counter() - start)
"""


def memory(
    chosen: Sequence[Task], libraries: Sequence[str], threads: int, isa: str
) -> Iterator[dict[str, Any]]:
    """Yield the peak resident memory of training each net with each library, in MB.

    Speed does not matter here: the libraries work at once.
    """
    for task in chosen:
        with Workers(libraries, threads, isa, tuned_malloc=False) as workers:
            before, _ = workers.each("call", machine.peak_bytes)
            _, failures = workers.each("run", task, STEPS)
            peaks, _ = workers.each("call", machine.peak_bytes)
        done = [library for library in peaks if library not in failures]
        yield {
            "name": task.name,
            "batch": task.batch,
            "peak_mb": {library: peaks[library] / 1e6 for library in done},
            "before_mb": {library: before[library] / 1e6 for library in done},
            "failures": {**workers.failures, **failures},
        }


def size(libraries: Sequence[str], runs: int = 5) -> Iterator[dict[str, Any]]:
    """Yield each package's import time beyond NumPy's (ms) and its size on disk (MB)."""
    packages = list(dict.fromkeys(LIBRARIES[library][0] for library in (OURS, *libraries)))
    seconds: dict[str, list[float]] = {package: [] for package in packages}
    for turn in range(runs + 1):
        for package in packages:
            took = _import_seconds(package)
            if turn:  # the first one reads the files into the page cache
                seconds[package].append(took)
    for package, times in seconds.items():
        yield {
            "name": package,
            "import_ms": median(times) * 1e3,
            "quartiles_ms": [q * 1e3 for q in (quantiles(times)[0], quantiles(times)[2])],
            "package_mb": sum(
                _package_bytes(name) for name in (package, *COMPANIONS.get(package, ()))
            )
            / 1e6,
        }


def _import_seconds(package: str) -> float:
    done = subprocess.run(
        [sys.executable, "-c", _IMPORT.format(package=package)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=True,
    )
    return float(done.stdout)


def _package_bytes(package: str) -> int:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ImportError(f"size: {package} must be installed to be measured; pip install it")
    files = Path(spec.origin).parent.rglob("*")
    return sum(f.stat().st_size for f in files if f.is_file() and f.suffix != ".pyc")
