"""Time single operations: pytest benchmarks --benchmark-only

Groups are an operation, a pass and a shape; libraries that are not installed are skipped.
"""

from __future__ import annotations

import importlib
import importlib.util

import numpy as np
import pytest
from operations import (
    LIBRARIES,
    ConvData,
    batch_norm_call,
    conv_call,
    dense_call,
    max_pool_call,
)
from shapes import BY_ID

pytest.importorskip("pytest_benchmark")

BATCH = 32

# Turns are short and many: the minimum of many is what a shared machine lets one compare.
pytestmark = pytest.mark.benchmark(max_time=0.3, min_rounds=5, warmup=True, warmup_iterations=3)


@pytest.fixture(params=LIBRARIES)
def library(request):
    """Name each library in turn, with one thread: on a busy machine only that is comparable."""
    package = request.param.split("_")[0]
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    if package == "numpy":  # conftest.py has set its threads
        yield request.param
        return
    module = importlib.import_module(package)
    before = module.get_num_threads()
    module.set_num_threads(1)
    yield request.param
    module.set_num_threads(before)


@pytest.fixture(params=["fwd", "bwd"])
def direction(request):
    """Name the two passes of operations that have no more."""
    return request.param


def _images(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((BATCH, *shape), np.float32)


@pytest.mark.parametrize(
    ("shape", "direction"),
    [(name, direction) for name in ("L2", "M2", "V2", "R2") for direction in BY_ID[name].passes],
)
def test_conv2d(benchmark, library, shape, direction):
    benchmark.group = f"conv2d {direction} {shape}"
    benchmark.extra_info["gflop"] = BY_ID[shape].flops * BATCH / 1e9
    benchmark(conv_call(ConvData(BY_ID[shape], BATCH), library, direction))


@pytest.mark.parametrize("shape", [(28, 28, 6), (32, 32, 64)], ids=str)
def test_max_pool2d(benchmark, library, shape, direction):
    if library == "numpy":
        pytest.skip("a max-pool in NumPy is a line that says nothing about libraries")
    benchmark.group = f"max_pool2d {direction} {shape}"
    benchmark(max_pool_call(_images(*shape), library, direction))


@pytest.mark.parametrize("shape", [(32, 32, 16), (32, 32, 64)], ids=str)
def test_batch_norm(benchmark, library, shape, direction):
    if library == "numpy":
        pytest.skip("measured for libraries with a fused operation only")
    benchmark.group = f"batch_norm {direction} {shape}"
    benchmark(batch_norm_call(_images(*shape), library, direction))


@pytest.mark.parametrize(("inputs", "units"), [(400, 120), (1600, 10)])
def test_dense(benchmark, library, inputs, units, direction):
    if library == "torch_channels_last":
        pytest.skip("matrices have one layout")
    benchmark.group = f"dense {direction} {inputs}x{units}"
    benchmark(dense_call(_images(inputs), units, library, direction))
