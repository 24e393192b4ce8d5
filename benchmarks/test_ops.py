"""Single operations: pytest benchmarks --benchmark-only

Groups are an operation, a pass and a shape; libraries that are not installed are skipped.
"""

import pytest

from convkit.bench.suites import Choice, tasks

pytest.importorskip("pytest_benchmark")

BATCH = 32

# Turns are short and many: the minimum of many is what a shared machine lets one compare.
pytestmark = pytest.mark.benchmark(max_time=0.2, min_rounds=5, warmup=True, warmup_iterations=3)


def _cases(suite):
    found = tasks(suite, Choice(batches=[BATCH]))
    return [pytest.param(task, id=_title(task).replace(" ", "-")) for task in found]


def _title(task):
    return " ".join([task.name, task.direction, *map(str, task.shape)])


@pytest.mark.parametrize("task", _cases("conv"))
def test_conv2d(measure, task):
    measure(task, f"conv2d {task.direction} {task.name}")


@pytest.mark.parametrize("task", _cases("ops"))
def test_operation(measure, task):
    measure(task, _title(task))
