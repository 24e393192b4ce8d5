"""Hold a report of `compare.py all --json FILE` against the project's goals.

python benchmarks/goals.py benchmarks/numbers.json
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from convkit.bench.measure import geometric_mean
from convkit.bench.shapes import BY_ID

# Net, batch -> at least, aim: times PyTorch's speed in training.
TRAINING = {
    ("lenet5", 128): (4.0, 5.5),
    ("lenet5", 32): (4.5, 8.0),
    ("mnist_convnet", 128): (3.0, 4.5),
    ("cifar_cnn", 128): (2.5, 3.5),
    ("resnet20", 128): (1.8, 2.5),
    ("vgg_small", 128): (2.0, 3.0),
    ("airbench94", 128): (2.0, 3.0),
}
INFERENCE, CONV_MEAN, CONV_LEAST, CONV_3X3 = (2.0, 3.0), (1.8, 2.5), (0.95, 1.0), (2.0, 3.0)
AVX2 = (1.5, 1.5)  # training and inference where every library is held to AVX2
OTHERS, OPERATIONS, MEMORY = (1.0, 3.0), (0.8, 1.0), (1.0, 1.0)

# What is held against what: a name, the value, at least, aim.
Goal = tuple[str, float, float, float]


def _of_torch(row: Any) -> float:
    return row["ratios"].get("torch", {}).get("median", float("nan"))


def _conv(rows: list[Any]) -> Iterator[Goal]:
    measured = [row for row in rows if "torch" in row["ratios"]]
    if not measured:
        return
    ratios = {f"{row['name']} {row['direction']}": _of_torch(row) for row in measured}
    least = min(ratios, key=ratios.__getitem__)
    yield f"{len(ratios)} convolutions, mean", geometric_mean(list(ratios.values())), *CONV_MEAN
    yield f"the slowest of them, {least}", ratios[least], *CONV_LEAST
    for direction in ("fwd", "dx", "dw"):
        chosen = [row for row in measured if row["direction"] == direction and _is_big_3x3(row)]
        if chosen:
            worst = min(chosen, key=_of_torch)
            mean = geometric_mean([_of_torch(row) for row in chosen])
            yield f"3x3, 32 channels or more, {direction}, mean", mean, *CONV_3X3
            yield f"the slowest of them, {worst['name']}", _of_torch(worst), *CONV_3X3


def _is_big_3x3(row: Any) -> bool:
    s = BY_ID[row["name"]]
    return s.kernel == 3 and s.stride == 1 and s.groups == 1 and min(s.c, s.k) >= 32


def _train(rows: list[Any]) -> Iterator[Goal]:
    for row in rows:
        name = f"{row['name']}, training, batch {row['batch']}"
        if (row["name"], row["batch"]) in TRAINING:
            yield name, _of_torch(row), *TRAINING[row["name"], row["batch"]]
        yield from _beside_others(name, row)


def _predict(rows: list[Any]) -> Iterator[Goal]:
    for row in rows:
        name = f"{row['name']}, inference, batch {row['batch']}"
        yield name, _of_torch(row), *INFERENCE
        yield from _beside_others(name, row)


def _beside_others(name: str, row: Any) -> Iterator[Goal]:
    for family in ("torch_compile", "tensorflow", "jax"):
        if family in row["ratios"]:
            yield f"  beside {family}", row["ratios"][family]["median"], *OTHERS


def _ops(rows: list[Any]) -> Iterator[Goal]:
    for row in rows:
        if row["roof"]["unit"] == "GB/s":
            shape = "x".join(map(str, row["shape"]))
            name = f"{row['name']} {row['direction']} {shape}, part of bandwidth"
            yield name, row["roof"]["part"], *OPERATIONS


def _memory(rows: list[Any]) -> Iterator[Goal]:
    for row in rows:
        theirs = [mb for library, mb in row["peak_mb"].items() if library.startswith("torch")]
        if theirs:
            ratio = min(theirs) / row["peak_mb"]["convkit"]
            yield f"{row['name']}, PyTorch's peak memory over ours", ratio, *MEMORY


SUITES: dict[str, Callable[[list[Any]], Iterator[Goal]]] = {
    "conv": _conv,
    "ops": _ops,
    "train": _train,
    "predict": _predict,
    "memory": _memory,
}


def goals(report: Any) -> Iterator[Goal]:
    """Yield every goal that the report says something about."""
    narrow = report["environment"]["isa"] == "avx2"
    for suite, found in report["suites"].items():
        for goal in SUITES.get(suite, lambda rows: iter(()))(found["rows"]):
            beside_torch = suite in ("train", "predict") and not goal[0].startswith("  ")
            yield (*goal[:2], *AVX2) if narrow and beside_torch else goal


def line(goal: Goal) -> str:
    """Return one goal as a line: what falls short is marked."""
    name, value, least, aim = goal
    verdict = "" if value >= aim else "below the aim" if value >= least else "BELOW"
    return f"{name:58} {value:6.2f}  at least {least:.2f}, aim {aim:.2f}  {verdict}".rstrip()


def main() -> None:
    """Print the goals."""
    for goal in goals(json.loads(Path(sys.argv[1]).read_text())):
        print(line(goal))


if __name__ == "__main__":
    main()
