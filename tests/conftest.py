"""Fixtures of all tests.

The ISA is chosen when convkit is imported and fixed for the process: `make test` runs the suite
once per value of CONVKIT_ISA.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import convkit


def pytest_report_header():
    """Say on which kernels the suite runs."""
    usable = ", ".join(convkit.runtime.isas_usable())
    return f"convkit: isa {convkit.runtime.active_isa()} (usable: {usable})"


@pytest.fixture
def isa():
    """Return the name of the active ISA."""
    return convkit.runtime.active_isa()


@pytest.fixture
def rng():
    """Return a generator that is the same in every test."""
    return np.random.default_rng(20240229)


@pytest.fixture(params=[np.float32, np.float64], ids=["f32", "f64"])
def dtype(request):
    """Run the test once per float type."""
    return np.dtype(request.param)


@pytest.fixture(params=[1, 2, 3])
def threads(request):
    """Run the test with 1, 2 and 3 threads."""
    before = convkit.get_num_threads()
    convkit.set_num_threads(request.param)
    yield request.param
    convkit.set_num_threads(before)


@pytest.fixture
def one_thread():
    """Use one thread: for tests of very many tiny calls whose subject is not threads."""
    before = convkit.get_num_threads()
    convkit.set_num_threads(1)
    yield
    convkit.set_num_threads(before)


@pytest.fixture
def direct():
    """Turn Winograd off: every product of the definition is then added as it stands."""
    before = convkit.runtime.get_algorithm()
    convkit.set_algorithm("direct")
    yield
    convkit.set_algorithm(before)


@pytest.fixture
def run_script():
    """Return a function that runs Python source in a process of its own and returns its output.

    The process sees this convkit and the test helpers; keyword arguments are environment variables.
    """

    def run(source, timeout=60, **variables):
        folders = [Path(convkit.__file__).parents[1], Path(__file__).parent]
        path = os.pathsep.join([*map(str, folders), os.environ.get("PYTHONPATH", "")])
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", source],
            env={**os.environ, "PYTHONPATH": path, **variables},
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run
