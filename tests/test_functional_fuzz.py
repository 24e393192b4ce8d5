"""A short round of the fuzzer (`make fuzz` runs it for minutes): the same cases in every run."""

import os

import hostile
import numpy as np
import pytest
from checks import CHECKS, DTYPES, SEEDS
from hypothesis import HealthCheck, given, settings

pytestmark = pytest.mark.usefixtures("one_thread")


# `derandomize` draws the same examples in every run, so a failure is never a matter of luck.
@pytest.mark.parametrize("name", CHECKS)
def test_any_valid_call_is_within_its_bound(name):
    strategy, check = CHECKS[name]

    @settings(
        derandomize=True,
        max_examples=50,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy, DTYPES, SEEDS)
    def every(case, dtype, seed):
        check(case, dtype, np.random.default_rng(seed))

    every()


def test_hostile_calls_compute_or_raise_what_is_documented(tmp_path):
    assert hostile.run(1, 2000, tmp_path / "last", dict(os.environ)) == ""
