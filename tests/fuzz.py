"""Fuzz the functional API for a given time: `python tests/fuzz.py [--seconds S] [--seed N]`.

Half of the time goes to random valid calls against the float64 twins (`checks.CHECKS`, on 1 to 3
threads), half to hostile calls (`hostile.py`) on every instruction set of this CPU. Ends with 0 if
nothing was found; else it prints the case, with the seed that finds it again.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import hostile
import hypothesis
import numpy as np
from checks import CHECKS, DTYPES, SEEDS
from hypothesis import strategies as st

import convkit

EXAMPLES = 50  # of one check in a round
HOSTILE_CALLS = 20_000  # of one process


def run_round(strategy, check, seed):
    """Draw EXAMPLES cases of a check; raise for one that is out of its bound, made small."""

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        print_blob=False,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(strategy, DTYPES, SEEDS, st.integers(1, 3))
    def every(case, dtype, data_seed, threads):
        convkit.set_num_threads(threads)
        check(case, dtype, np.random.default_rng(data_seed))

    every()


def differential(seconds, seed):
    """Run rounds of all checks; return how many cases held."""
    end, cases = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        for strategy, check in CHECKS.values():
            seed += 1
            run_round(strategy, check, seed)
            cases += EXAMPLES
    return cases


def hostile_calls(seconds, seed):
    """Run hostile calls in processes; return (calls made, what went wrong)."""
    end, calls, isas = time.monotonic() + seconds, 0, convkit.runtime.isas_usable()
    with tempfile.TemporaryDirectory() as folder:
        while time.monotonic() < end:
            isa = isas[seed % len(isas)]
            environment = {**os.environ, "CONVKIT_ISA": isa}
            found = hostile.run(seed, HOSTILE_CALLS, Path(folder, "last"), environment)
            calls += HOSTILE_CALLS
            if found:
                return calls, f"CONVKIT_ISA={isa}\n{found}"
            seed += 1
    return calls, ""


def main():
    """Read the arguments and run both parts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=180.0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", flush=True)
    calls, found = hostile_calls(arguments.seconds / 2, arguments.seed)
    print(f"{calls} hostile calls: {found or 'all computed or refused'}", flush=True)
    cases = differential(arguments.seconds / 2, arguments.seed)
    print(f"{cases} cases within the bounds of their float64 twins")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
