"""The command line of the comparisons: `convkit bench`, and `benchmarks/compare.py`."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from convkit.bench.nets import NETS
from convkit.bench.shapes import BY_ID, PASSES

NAMES = ("conv", "ops", "train", "predict", "memory", "size")
LIBRARY_NAMES = (
    *("convkit", "torch", "torch_channels_last", "torch_compile", "tensorflow", "jax", "numpy"),
)
DESCRIPTION = """\
Compare convkit with the libraries installed beside it: PyTorch, TensorFlow, JAX.

  conv     convolutions, pass by pass, on one thread
  ops      pooling, batch normalization, sums, dense layers, optimizers, beside the memory's speed
  train    whole training steps
  predict  inference, batch 1 and 128
  memory   peak memory of training, in fresh processes
  size     import time and size on disk
  all      all of these, about ten minutes on two cores with three peers

Ratios are the peer's time over convkit's in the same turn: above 1, convkit is faster.
"""


def _some_of(known: Iterable[str]) -> Callable[[str], list[str]]:
    """Return an argument type: a comma-separated choice of the known names."""
    names = list(known)

    def parse(text: str) -> list[str]:
        wrong = [name for name in text.split(",") if name not in names]
        if wrong:
            raise argparse.ArgumentTypeError(
                f"{', '.join(wrong)}: unknown; choose from {', '.join(names)}"
            )
        return text.split(",")

    return parse


def _counts(text: str) -> list[int]:
    numbers = [int(part) for part in text.split(",")]
    if min(numbers) < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {text}")
    return numbers


def _count(text: str) -> int:
    return _counts(text)[0]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = DESCRIPTION
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    add("suites", nargs="*", choices=(*NAMES, "all"), metavar="SUITE", default="train",
        help="what to measure (default: train)")  # fmt: skip
    add("--libraries", type=_some_of(LIBRARY_NAMES), metavar="NAME,...",
        help=f"of {', '.join(LIBRARY_NAMES)} (default: what is installed)")  # fmt: skip
    add("--threads", type=_count, metavar="N", help="(default: convkit's, and 1 for conv)")
    add("--batch", type=_counts, metavar="N,...", help="(default: as the suite has it)")
    add("--nets", type=_some_of(NETS), metavar="NET,...", help=f"of {', '.join(NETS)}")
    add("--ids", type=_some_of(BY_ID), metavar="ID,...", help="convolutions")
    add("--passes", type=_some_of(PASSES), metavar="PASS,...", help="fwd, dx, dw")
    add("--rounds", type=_count, metavar="N", help="turns of each library")
    add("--block", type=float, metavar="S", help="seconds of a turn")
    add("--isa", choices=("avx2",), default="", help="hold every library to it")
    add("--json", type=Path, metavar="FILE", help="write the results")
    add("--plot", type=Path, metavar="FILE", help="draw training and inference (SVG, PNG, PDF)")


def run(arguments: argparse.Namespace) -> int:
    """Measure, print, and write what was asked for."""
    from convkit.bench import footprint, report, suites, tasks, workers

    wanted = [arguments.suites] if isinstance(arguments.suites, str) else arguments.suites
    names = NAMES if "all" in wanted else tuple(dict.fromkeys(wanted))
    threads = arguments.threads or _default_threads()
    for library in arguments.libraries or ():
        if not tasks.installed(library):
            package = tasks.LIBRARIES[library][0]
            raise ImportError(f"bench: {library} needs {package}, which is not installed")
    choice = suites.Choice(arguments.nets, arguments.ids, arguments.passes, arguments.batch)
    with workers.Workers(["convkit"], threads, arguments.isa) as own:
        environment = own["convkit"].ask("call", _describe, threads, arguments.isa)
    print("\n".join(report.environment_lines(environment)), flush=True)
    results: dict[str, Any] = {"format": 1, "environment": environment, "suites": {}}
    for name in names:
        start = time.perf_counter()
        if name in suites.SUITES:
            suite = suites.with_effort(suites.SUITES[name], arguments.rounds, arguments.block)
            count = (arguments.threads or 1) if suite.one_thread else threads
            found = _compare(suite, choice, count, arguments)
        else:
            found = {"rows": []}
            everything = arguments.libraries or suites.NETWORK_LIBRARIES
            libraries = [x for x in everything if tasks.installed(x) and x != "torch_compile"]
            print(f"\n{name}", flush=True)
            if name == "memory":
                whole = replace(choice, batches=choice.batches or [128])
                chosen = suites.tasks("train", whole)
                rows = footprint.memory(chosen, libraries, threads, arguments.isa)
                show: Any = report.memory_line
            else:
                rows, show = footprint.size(libraries), report.size_line
            for row in rows:
                found["rows"].append(row)
                print(show(row), flush=True)
        found["seconds"] = time.perf_counter() - start
        results["suites"][name] = found
        if arguments.json:
            arguments.json.write_text(json.dumps(_rounded(results), indent=1) + "\n")
    if arguments.plot:
        from convkit.bench.plot import draw

        draw(results, arguments.plot)
    return 0


def _rounded(report: Any) -> Any:
    """Return a report with five significant digits, which are more than repeat."""
    return json.loads(json.dumps(report), parse_float=lambda text: float(f"{float(text):.5g}"))


def _default_threads() -> int:
    import convkit

    return convkit.get_num_threads()


def _describe(threads: int, isa: str) -> dict[str, Any]:
    from convkit.bench import machine

    return machine.describe(threads, isa)


def _compare(suite: Any, choice: Any, threads: int, arguments: argparse.Namespace) -> Any:
    """Measure one suite and print its rows as they come."""
    from convkit.bench import report, suites, tasks

    libraries = [x for x in arguments.libraries or suite.libraries if tasks.installed(x)]
    comparison = suites.Comparison(suite, threads, arguments.isa, libraries)
    families = [
        family
        for family in report.FAMILIES
        if any(tasks.LIBRARIES[library][2] == family for library in libraries)
    ]
    print(f"\n{suite.title}, {threads} thread{'s' if threads > 1 else ''}")
    rows: list[Any] = []
    for row in comparison.rows(suites.tasks(suite.name, choice)):
        if not rows:
            print(report.roofs_line(comparison.about))
            print(report.headings(suite.name, families))
        rows.append(row)
        print(report.line(suite.name, row, families), flush=True)
        for reason in row["failures"].values():
            print(f"  {reason}")
    means = suites.summary(rows)
    for family, mean in means.items():
        print(f"geometric mean over {report.FAMILIES[family]}: {mean:.2f}")
    print(report.roofs_line(comparison.about))
    print(f"meanwhile, others used {comparison.about['others_cpus']:.2f} of this machine's CPUs")
    return {**comparison.about, "rows": rows, "geometric_means": means}


def main(argv: list[str] | None = None) -> int:
    """Run the comparisons by themselves."""
    parser = argparse.ArgumentParser(prog="compare.py")
    add_arguments(parser)
    return run(parser.parse_args(argv))
