"""Whole training steps and inference: pytest benchmarks/test_nets.py --benchmark-only"""

import pytest

from convkit.bench.suites import Choice, tasks

pytest.importorskip("pytest_benchmark")

pytestmark = pytest.mark.benchmark(max_time=1.0, min_rounds=3, warmup=True, warmup_iterations=1)


def _cases(suite):
    return [pytest.param(t, id=f"{t.name}-{t.batch}") for t in tasks(suite, Choice())]


@pytest.mark.parametrize("task", _cases("train"))
def test_training_step(measure, task):
    measure(task, f"train {task.name} batch {task.batch}")


@pytest.mark.parametrize("task", _cases("predict"))
def test_predict(measure, task):
    measure(task, f"predict {task.name} batch {task.batch}")
