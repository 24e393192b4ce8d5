"""Say on what machine, with what software and with which settings something was measured."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import time
from pathlib import Path
from typing import Any

from convkit.bench.tasks import LIBRARIES, installed

# glibc gives big blocks back to the kernel and page-faults them in again at the next step, which
# costs a framework that allocates its activations up to half its speed. It is told to keep them.
TUNED_MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": "33554432",  # the largest that glibc takes
    "MALLOC_TRIM_THRESHOLD_": "1073741824",
}

# Every library held to AVX2. Eigen, which TensorFlow uses beside oneDNN, has no such setting.
AVX2 = {
    "CONVKIT_ISA": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "ATEN_CPU_CAPABILITY": "avx2",
    "XLA_FLAGS": "--xla_cpu_max_isa=AVX2",
}
ISAS = {"": {}, "avx2": AVX2}

QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": ""}


def settings(threads: int, isa: str, tuned_malloc: bool = True) -> dict[str, str]:
    """Return the environment variables of a process that measures."""
    return {
        **QUIET,
        **ISAS[isa],
        **(TUNED_MALLOC if tuned_malloc else {}),
        "OPENBLAS_NUM_THREADS": str(threads),
    }


def describe(threads: int, isa: str) -> dict[str, Any]:
    """Describe machine, software and settings; run it in a process that has them."""
    from convkit import runtime

    packages = sorted({package for package, *_ in LIBRARIES.values()})
    return {
        "cpu": _cpu_name(),
        "cpus": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "system": platform.platform(),
        "isa": runtime.active_isa(),
        "threads": threads,
        "python": platform.python_version(),
        "versions": {
            library: _version(library)
            for library in packages
            if library in LIBRARIES and installed(library)
        },
        "variables": {k: v for k, v in settings(threads, isa).items() if k not in QUIET},
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def roofs(threads: int, seconds: float) -> dict[str, float]:
    """Measure what the machine gives now: FMA rate and memory bandwidth (reads plus writes)."""
    from convkit import _core

    return {
        "threads": threads,
        "fma_gflops": _core.peak_gflops(threads, seconds),
        "stream_gb_per_s": _core.stream_gbs(threads, seconds),
    }


def others_cpu_seconds(own: float) -> float:
    """Return the CPU time used since boot by all processes (Linux, else NaN) less `own`.

    With more threads than free cores every barrier waits for the scheduler: a table during which
    others were busy is worth little.
    """
    try:
        fields = Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
    except OSError:
        return float("nan")
    user, nice, system, _idle, _io_wait, irq, soft_irq, steal = map(float, fields)
    return (user + nice + system + irq + soft_irq + steal) / os.sysconf("SC_CLK_TCK") - own


def peak_bytes() -> float:
    """Return the most memory this process has had resident (Linux).

    `ru_maxrss` will not do: a child inherits its parent's.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return float(line.split()[1]) * 1024
    raise OSError("peak_bytes: /proc/self/status must have VmHWM; run it on Linux")


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _version(package: str) -> str:
    """Return the version of what brings a package: tensorflow comes from tensorflow-cpu, too."""
    names = importlib.metadata.packages_distributions().get(package, [package])
    try:
        return importlib.metadata.version(names[0])
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
