"""One thread for every library: on a shared machine only that is comparable.

NumPy's BLAS and TensorFlow take the number when they are first imported or used; JAX takes the
CPUs that the process may run on.
"""

import importlib
import os

import pytest

from convkit.bench.machine import QUIET
from convkit.bench.tasks import LIBRARIES, NotOffered, installed, prepare

THREADS = 1

for name, value in {**QUIET, "OPENBLAS_NUM_THREADS": str(THREADS)}.items():
    os.environ.setdefault(name, value)

if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])


@pytest.fixture(params=LIBRARIES)
def library(request):
    """Name each library in turn."""
    if not installed(request.param):
        pytest.skip(f"{LIBRARIES[request.param][0]} is not installed")
    importlib.import_module(f"convkit.bench.{LIBRARIES[request.param][1]}").set_threads(THREADS)
    return request.param


@pytest.fixture
def measure(benchmark, library):
    """Return a function that measures a task; it skips what a library does not offer."""

    def run(task, group):
        benchmark.group = group
        try:
            prepared = prepare(library, task)
        except NotOffered as reason:
            pytest.skip(str(reason))
        benchmark.extra_info.update(prepared.info)
        benchmark(prepared.work, 1)

    return run
