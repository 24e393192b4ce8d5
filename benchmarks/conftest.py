"""Give NumPy one thread like the others: its BLAS reads the variable when it is first imported."""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
