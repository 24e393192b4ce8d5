"""Load the compiled library with an OpenMP runtime that soon stops spinning between calls.

GCC's runtime spins for some milliseconds after a parallel region, so that the next one starts fast.
On a machine that is busy with something else, spinning threads take the cores that the working ones
need: a training step of a small net with two threads took 12 ms instead of 3 beside other work. The
runtime reads its environment when it is loaded; what the user has set is left alone.
"""

import os

# Some 100 us: longer than what Python does between two steps of training.
SPINS = "10000"

if "GOMP_SPINCOUNT" in os.environ or "OMP_WAIT_POLICY" in os.environ:
    from convkit import _core as _core
else:
    os.environ["GOMP_SPINCOUNT"] = SPINS
    try:
        from convkit import _core as _core
    finally:
        del os.environ["GOMP_SPINCOUNT"]
