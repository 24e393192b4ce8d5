"""Build the kernels once per ISA and float type, and the extension that holds them all.

Metadata is in pyproject.toml. Each ISA is one C file with flags of its own, compiled twice (for
float and for double); a compiler that lacks an ISA's flags or OpenMP gives a library without them,
which `convkit info` says. CONVKIT_BUILD="debug" turns assertions on and optimization down;
CONVKIT_CFLAGS adds flags (sanitizers, coverage, -Werror).
"""

import os
import platform
import shlex
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

X86 = platform.machine().lower() in {"x86_64", "amd64"}
ISA_FLAGS = {
    "baseline": [],
    **(
        {
            "avx2": ["-mavx2", "-mfma"],
            "avx512": [
                *("-mavx2", "-mfma", "-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl"),
                "-mprefer-vector-width=512",
            ],
        }
        if X86
        else {}
    ),
}
DEBUG = os.environ.get("CONVKIT_BUILD") == "debug"
# Contraction off: multiply and add fuse only where the source says so. Never -ffast-math: it
# changes results, and at link time it changes the float mode of the whole process. No tables for
# unwinding, 100 kB: nothing throws, and debug builds have them.
SMALL = [] if DEBUG else ["-fno-asynchronous-unwind-tables", "-fno-unwind-tables"]
FLAGS = [
    *("-std=gnu11", "-fno-lto", "-ffp-contract=off", "-fno-math-errno"),
    *("-fno-trapping-math", "-fvisibility=hidden"),
    *(
        ["-O1", "-g", "-UNDEBUG"]
        if DEBUG
        else ["-O2", "-g0", "-fvect-cost-model=dynamic", "-DNDEBUG"]
    ),
    *SMALL,
    *shlex.split(os.environ.get("CONVKIT_CFLAGS", "")),
]
COMMON = ["csrc/memory.c", "csrc/team.c", "csrc/program.c", "csrc/layout.c", "csrc/dispatch.c"]
HEADERS = sorted(str(p) for p in Path("csrc").glob("*") if p.suffix in {".h", ".inc"})


class BuildKernels(build_ext):
    """Compile csrc/isa_*.c with their own flags and link the objects into the extension."""

    def compiles(self, flags: list[str]) -> bool:
        """Say whether the compiler takes `flags`."""
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "probe.c")
            source.write_text("int probe(void) { return 0; }\n")
            try:
                self.compiler.compile([str(source)], output_dir=folder, extra_postargs=flags)
            except Exception:
                return False
            return True

    def build_extension(self, ext: Extension) -> None:
        """Build one extension: all ISAs first, then Cython's file, then the link."""
        openmp = ["-fopenmp"] if self.compiles(["-fopenmp"]) else []
        built = [isa for isa, flags in ISA_FLAGS.items() if self.compiles(flags)]
        jobs = [(source, "common", [f"-DCK_BUILT_{isa}" for isa in built]) for source in COMMON]
        for isa in built:
            for double in (0, 1):
                flags = [*ISA_FLAGS[isa], f"-DCK_DOUBLE={double}"]
                # Right rather than fast: float64, and x86 CPUs of before 2013. A third of the size.
                if (double or (X86 and isa == "baseline")) and not DEBUG:
                    flags.append("-Os")
                jobs.append((f"csrc/isa_{isa}.c", f"{isa}_{double}", flags))

        def compile_one(job: tuple[str, str, list[str]]) -> list[str]:
            source, folder, flags = job
            return self.compiler.compile(
                [source],
                output_dir=str(Path(self.build_temp, folder)),
                include_dirs=["csrc"],
                extra_postargs=[*FLAGS, *openmp, *flags],
                depends=HEADERS,
            )

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            objects = [o for found in pool.map(compile_one, jobs) for o in found]
        ext.extra_objects = objects
        ext.extra_link_args = [*openmp, "-lm", *([] if DEBUG else ["-Wl,-s"])]
        super().build_extension(ext)


setup(
    ext_modules=[
        Extension(
            "convkit._core",
            ["convkit/_core.pyx"],
            include_dirs=["csrc"],
            depends=[*HEADERS, *COMMON, "convkit/_core.pxd"],
            extra_compile_args=["-O2", "-g0", *SMALL],
        )
    ],
    cmdclass={"build_ext": BuildKernels},
)
