"""Measure what a library costs beside time: memory while training, import time, size on disk.

Each figure comes from fresh processes with the allocator's own settings.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from measure import TUNED_MALLOC

LIBRARIES = ("convkit", "torch")
IMAGES, STEPS = 8192, 64

_TRAIN = """
import footprint
footprint.train_lenet({library!r}, {batch}, {threads})
print(footprint.peak_bytes())
"""

_IMPORT = """
import time
import numpy
start = time.perf_counter()
import {library}
print(time.perf_counter() - start)
"""


def _run(source: str) -> float:
    """Run Python source in a process that finds these files; return the number it prints."""
    here = str(Path(__file__).parent)
    environ = {name: value for name, value in os.environ.items() if name not in TUNED_MALLOC}
    environ["PYTHONPATH"] = os.pathsep.join([here, *filter(None, [environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-c", source], env=environ, stdout=subprocess.PIPE, text=True, check=True
    )
    return float(done.stdout)


def peak_bytes() -> float:
    """Return the most memory this process has had resident (Linux).

    `ru_maxrss` will not do: a child inherits its parent's.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return float(line.split()[1]) * 1024
    raise RuntimeError("peak_bytes: /proc/self/status must have VmHWM; run it on Linux")


def train_lenet(library: str, batch: int, threads: int) -> None:
    """Train LeNet-5 for 64 steps or more with one library."""
    from compare_train import convkit_steps, torch_steps, training_data
    from nets import LENET5

    x, y = training_data(LENET5, IMAGES)
    if library == "convkit":
        import convkit

        convkit.set_num_threads(threads)
        work, _ = convkit_steps(LENET5, x, y, batch)
    else:
        import torch

        torch.set_num_threads(threads)
        work, _ = torch_steps(LENET5, x, y, batch, "torch")
    work(STEPS)


def memory(batch: int, threads: int) -> dict[str, Any]:
    """Return the peak resident memory of training LeNet-5 with each library, in MB."""
    megabytes = {
        library: _run(_TRAIN.format(library=library, batch=batch, threads=threads)) / 1e6
        for library in LIBRARIES
    }
    return {
        **{f"{library}_peak_mb": value for library, value in megabytes.items()},
        "torch_over_convkit": megabytes["torch"] / megabytes["convkit"],
        "images": IMAGES,
        "batch": batch,
    }


def size(runs: int) -> dict[str, Any]:
    """Return each library's import time over NumPy's (ms) and the size of its package (MB)."""
    seconds: dict[str, list[float]] = {library: [] for library in LIBRARIES}
    for library in LIBRARIES:
        _run(_IMPORT.format(library=library))  # reads the files into the page cache
    for _ in range(runs):
        for library in LIBRARIES:
            seconds[library].append(_run(_IMPORT.format(library=library)))
    return {
        library: {
            "import_ms": median(times) * 1e3,
            "quartiles_ms": [q * 1e3 for q in (quantiles(times)[0], quantiles(times)[2])],
            "package_mb": _package_bytes(library) / 1e6,
        }
        for library, times in seconds.items()
    }


def _package_bytes(library: str) -> int:
    spec = importlib.util.find_spec(library)
    if spec is None or spec.origin is None:
        raise ImportError(f"size: {library} must be installed to be measured; pip install it")
    files = Path(spec.origin).parent.rglob("*")
    return sum(f.stat().st_size for f in files if f.is_file() and f.suffix != ".pyc")
