"""Compare convkit with PyTorch on this machine.

    python benchmarks/compare.py conv   [--threads 1] [--batch 64] [--ids V2,V3] [--passes fwd,dx]
    python benchmarks/compare.py train  [--threads 2] [--batch 128] [--nets lenet5,resnet20]
    python benchmarks/compare.py memory [--threads 2] [--batch 128]
    python benchmarks/compare.py size

Ratios are torch's time / convkit's time in the same turn: above 1, convkit is faster.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import compare_conv
import compare_train
import footprint
from measure import (
    TUNED_MALLOC,
    environment,
    geometric_mean,
    others_cpu_seconds,
    roofs,
    set_threads,
)
from nets import NETS
from shapes import BY_ID, PASSES


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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = parser.add_subparsers(dest="what", required=True)

    conv = what.add_parser("conv", help="convolutions, pass by pass")
    conv.add_argument("--ids", type=_some_of(BY_ID), default=list(BY_ID), metavar="ID,...")
    conv.add_argument("--passes", type=_some_of(PASSES), default=list(PASSES), metavar="PASS,...")
    conv.set_defaults(batch=64, threads=1, rounds=15, block=0.05)

    train = what.add_parser("train", help="whole training steps, in images per second")
    train.add_argument("--nets", type=_some_of(NETS), default=list(NETS), metavar="NET,...")
    train.set_defaults(batch=128, threads=2, rounds=15, block=0.4)

    memory = what.add_parser("memory", help="peak memory of training LeNet-5")
    memory.set_defaults(batch=128, threads=2)

    size = what.add_parser("size", help="import time over NumPy's, and size on disk")
    size.add_argument("--runs", type=int, default=10)

    for command in (conv, train):
        command.add_argument("--rounds", type=int, help="turns of each library")
        command.add_argument("--block", type=float, help="seconds of a library's turn")
    for command in (conv, train, memory):
        command.add_argument("--batch", type=int)
        command.add_argument("--threads", type=int)
    for command in (conv, train, memory, size):
        command.add_argument("--json", type=Path, metavar="FILE", help="write the results here too")
    return parser


def _with_tuned_malloc() -> None:
    """Start again with the allocator tuned, as glibc reads its settings when a process starts."""
    if any(os.environ.get(name) != value for name, value in TUNED_MALLOC.items()):
        os.execve(
            sys.executable,
            [sys.executable, *sys.argv],
            {**os.environ, **TUNED_MALLOC},
        )


def _table(
    arguments: argparse.Namespace, headings: str, rows: Iterable[dict[str, Any]], show: Any
) -> dict[str, Any]:
    """Print results as they come, between two measurements of what the machine gives."""
    set_threads(arguments.threads)
    about = {"environment": environment(arguments.threads), "roofs": [roofs(arguments.threads)]}
    print(json.dumps(about["environment"]))
    _print_roofs(about["roofs"][0])
    print(headings)
    results = []
    started, others = time.perf_counter(), others_cpu_seconds()
    for result in rows:
        results.append(result)
        print(show(result), flush=True)
    about["others_cpus"] = (others_cpu_seconds() - others) / (time.perf_counter() - started)
    about["roofs"].append(roofs(arguments.threads))
    _print_roofs(about["roofs"][1])
    mean = geometric_mean([result["ratio"] for result in results])
    print(f"geometric mean of {len(results)} ratios: {mean:.2f}")
    print(f"meanwhile, others used {about['others_cpus']:.2f} of this machine's CPUs")
    return {**about, "results": results, "geometric_mean_ratio": mean}


def _print_roofs(now: dict[str, float]) -> None:
    print(f"roofs: {now['fma_gflops']:.0f} GFLOP/s, {now['stream_gb_per_s']:.1f} GB/s")


def _conv(arguments: argparse.Namespace) -> dict[str, Any]:
    rows = compare_conv.compare_conv(
        [BY_ID[name] for name in arguments.ids],
        arguments.passes,
        batch=arguments.batch,
        rounds=arguments.rounds,
        block_seconds=arguments.block,
    )
    return _table(arguments, compare_conv.HEADINGS, rows, compare_conv.row)


def _train(arguments: argparse.Namespace) -> dict[str, Any]:
    rows = compare_train.compare_train(
        [NETS[name] for name in arguments.nets],
        batch=arguments.batch,
        rounds=arguments.rounds,
        block_seconds=arguments.block,
    )
    return _table(arguments, compare_train.HEADINGS, rows, compare_train.row)


def _memory(arguments: argparse.Namespace) -> dict[str, Any]:
    result = footprint.memory(arguments.batch, arguments.threads)
    print(json.dumps(result, indent=2))
    return {"environment": environment(arguments.threads), "memory": result}


def _size(arguments: argparse.Namespace) -> dict[str, Any]:
    result = footprint.size(arguments.runs)
    print(json.dumps(result, indent=2))
    return {"environment": environment(1), "size": result}


def main() -> None:
    arguments = _parser().parse_args()
    for library in footprint.LIBRARIES:
        if importlib.util.find_spec(library) is None:
            sys.exit(f"compare.py: {library} must be installed, it was not found; pip install it")
    if arguments.what in ("conv", "train"):
        _with_tuned_malloc()
    commands = {"conv": _conv, "train": _train, "memory": _memory, "size": _size}
    report = commands[arguments.what](arguments)
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
