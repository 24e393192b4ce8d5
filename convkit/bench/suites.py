"""What is compared: rows of tasks, each measured in all libraries, with roofs of the same run."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from convkit.bench import machine
from convkit.bench.measure import DISTURBED, TRIES, geometric_mean, interleave, ratio
from convkit.bench.nets import NETS, flops
from convkit.bench.shapes import BY_ID, CONV_SHAPES
from convkit.bench.tasks import LIBRARIES, Array, Task, bytes_moved
from convkit.bench.workers import Failed, Workers

OURS = "convkit"
ROOF = "bare passes"  # takes turns with the libraries
PYTORCH = ("torch", "torch_channels_last")
NETWORK_LIBRARIES = (OURS, *PYTORCH, "torch_compile", "tensorflow", "jax")

CONV_BATCH = OP_BATCH = 64
TRAIN = (
    *(("lenet5", 128), ("lenet5", 32), ("class_conv", 32), ("class_pool", 32)),
    *(("mnist_convnet", 128), ("cifar_cnn", 128)),
    *(("resnet20", 128), ("vgg_small", 128), ("airbench94", 128)),
)
PREDICT_BATCHES = (1, 128)
OPERATIONS = (
    *(("max_pool", (28, 28, 8)), ("max_pool", (32, 32, 64))),
    *(("batch_norm_relu", (32, 32, 16)), ("batch_norm_relu", (32, 32, 64))),
    ("add_relu", (32, 32, 64)),
    *(("dense", (400, 120)), ("dense", (2304, 256))),
    *(("sgd", (2**20,)), ("adam", (2**20,))),
)


@dataclass(frozen=True)
class Suite:
    """How a group of tasks is measured: with which libraries, for how long."""

    name: str
    title: str
    libraries: tuple[str, ...]
    rounds: int
    block_seconds: float
    one_thread: bool = False
    row_seconds: float = 12.0  # after which a row gets no further round


SUITES = {
    suite.name: suite
    for suite in (
        Suite("conv", "convolutions, pass by pass", (OURS, *PYTORCH), 5, 0.03, one_thread=True),
        Suite("ops", "other operations", (OURS, *PYTORCH, "tensorflow", "jax"), 7, 0.04),
        Suite("train", "training steps", NETWORK_LIBRARIES, 5, 0.2),
        Suite("predict", "inference", NETWORK_LIBRARIES, 5, 0.1),
    )
}


@dataclass(frozen=True)
class Choice:
    """A part of the tasks: None is all of them, or the batch sizes that the suite has."""

    nets: Sequence[str] | None = None
    ids: Sequence[str] | None = None
    passes: Sequence[str] | None = None
    batches: Sequence[int] | None = None


def tasks(suite: str, choice: Choice) -> list[Task]:
    """Return a suite's tasks."""
    nets, batches = choice.nets or list(NETS), choice.batches
    if suite == "conv":
        return [
            Task("conv", shape.id, direction, batch)
            for shape in CONV_SHAPES
            if choice.ids is None or shape.id in choice.ids
            for direction in shape.passes
            if choice.passes is None or direction in choice.passes
            for batch in batches or (CONV_BATCH,)
        ]
    if suite == "ops":
        return [
            Task("op", name, direction, batch, shape)
            for name, shape in OPERATIONS
            for direction in (("fwd",) if name in ("sgd", "adam") else ("fwd", "both"))
            for batch in batches or (OP_BATCH,)
        ]
    if suite == "train":
        rows = TRAIN if batches is None else [(net, batch) for net in NETS for batch in batches]
        return [Task("train", net, batch=batch) for net, batch in rows if net in nets]
    return [
        Task("predict", net, batch=batch)
        for net in NETS
        if net in nets
        for batch in batches or PREDICT_BATCHES
    ]


class Comparison:
    """A suite's rows, one by one, between two measurements of what the machine gives.

    `about` holds the roofs and how busy others kept the machine, complete after the last row.
    """

    def __init__(self, suite: Suite, threads: int, isa: str, libraries: Sequence[str]) -> None:
        self.suite = suite
        self.about: dict[str, Any] = {
            "threads": threads,
            "rounds": suite.rounds,
            "block_seconds": suite.block_seconds,
            "roofs": [],
        }
        self._workers = Workers([OURS, *(x for x in libraries if x != OURS)], threads, isa)
        self.about["failures"] = self._workers.failures
        self._threads = threads

    def rows(self, chosen: Sequence[Task]) -> Iterator[dict[str, Any]]:
        """Measure the tasks; yield a result for each. Ends the processes with the last one."""
        with self._workers:
            self._measure_roofs()
            start, others = time.perf_counter(), self._others()
            for task in chosen:
                yield self._row(task)
            seconds = time.perf_counter() - start
            self.about["others_cpus"] = (self._others() - others) / seconds
            self._measure_roofs()
            self.about["seconds"] = seconds

    def _measure_roofs(self) -> None:
        seconds = min(0.5, 10 * self.suite.block_seconds)
        now = self._workers[OURS].ask("call", machine.roofs, self._threads, seconds)
        self.about["roofs"].append(now)

    def _others(self) -> float:
        own = time.process_time() + self._workers.cpu_seconds()
        return machine.others_cpu_seconds(own)

    def _row(self, task: Task) -> dict[str, Any]:
        workers = self._workers
        infos, failures = workers.each("prepare", task)
        if OURS not in infos:
            raise Failed(f"bench: {task}: {failures.get(OURS, 'not offered by convkit')}")
        numbers = {name: info["numbers"] for name, info in infos.items() if "numbers" in info}
        if len(set(numbers.values())) > 1:
            raise ValueError(f"bench: {task.name}: the builds differ in size: {numbers}")
        for library in infos:
            workers[library].ask("calibrate", self.suite.block_seconds)
        way = workers[OURS].ask("prepare_roof", task, self.suite.block_seconds)
        turns = {library: _turn(workers, library) for library in infos}
        if way:
            turns[ROOF] = lambda: workers[OURS].ask("roof_turn")
        times, others = self._undisturbed(turns, (OURS, ROOF))
        bare = times.pop(ROOF, None)
        medians = {library: float(np.median(seconds)) for library, seconds in times.items()}
        row = {
            "name": task.name,
            "direction": task.direction,
            "batch": task.batch,
            "shape": list(task.shape),
            "rounds": len(times[OURS]),
            "others_cpus": others,
            "seconds": medians,
            "ratios": _ratios(times, medians),
            "roof": self._roof(task, times[OURS], bare, way),
            "failures": failures,
        }
        if task.kind == "conv":
            row["errors"] = _errors(task, workers, list(medians))
        return row

    def _undisturbed(
        self, turns: dict[str, Callable[[], float]], always: Sequence[str]
    ) -> tuple[dict[str, Any], float]:
        """Time all contenders, again if others were busy; return the quietest try's times.

        Beside it, how many CPUs others used meanwhile.
        """
        tries = []
        for _ in range(TRIES):
            start, before = time.perf_counter(), self._others()
            times = interleave(
                turns, self.suite.rounds, always=always, limit_seconds=self.suite.row_seconds
            )
            others = (self._others() - before) / (time.perf_counter() - start)
            tries.append((others, times))
            if not others > DISTURBED:  # NaN where it is not known
                break
        others, times = min(tries, key=lambda each: each[0])
        return times, others

    def _roof(self, task: Task, seconds: Any, bare: Any, way: str | None) -> dict[str, Any]:
        """Say what binds a task, and which part of what the machine gives convkit reaches.

        `bare` are the times of bare passes over memory in the same rounds, that write in this way.
        """
        moved = bytes_moved(task)
        if moved is not None:
            part = float(np.median(bare / seconds))
            limit = moved / float(np.median(bare)) / 1e9
            return {"unit": "GB/s", "rate": part * limit, "limit": limit, "part": part, "way": way}
        rate = _flops(task) / float(np.median(seconds)) / 1e9
        limit = self.about["roofs"][-1]["fma_gflops"]
        return {"unit": "GFLOP/s", "rate": rate, "limit": limit, "part": rate / limit}


def _turn(workers: Workers, library: str) -> Callable[[], float]:
    return lambda: workers[library].ask("turn")


def _ratios(times: dict[str, Any], medians: dict[str, float]) -> dict[str, dict[str, Any]]:
    """Compare with each family's fastest."""
    best: dict[str, str] = {}
    for library in times:
        family = LIBRARIES[library][2]
        if library != OURS and medians[library] < medians.get(best.get(family, ""), math.inf):
            best[family] = library
    found = {
        family: (library, ratio(times[OURS], times[library])) for family, library in best.items()
    }
    return {
        family: {"library": library, "median": r.median, "quartiles": list(r.quartiles)}
        for family, (library, r) in found.items()
    }


def _flops(task: Task) -> float:
    """Return the nominal operations of a task: those of direct convolutions and dense layers."""
    if task.kind == "conv":
        return task.batch * BY_ID[task.name].flops
    if task.kind == "op":  # dense: twice more for its gradients
        return 2 * task.batch * math.prod(task.shape) * (1 if task.direction == "fwd" else 3)
    return task.batch * flops(NETS[task.name], task.kind == "train")


def _errors(task: Task, workers: Workers, libraries: Sequence[str]) -> dict[str, float]:
    """Return each library's largest error, as a part of the largest exact value."""
    exact = _exact_conv(task)
    return {
        library: float(np.abs(workers[library].ask("result") - exact).max() / np.abs(exact).max())
        for library in libraries
    }


def _exact_conv(task: Task) -> Array:
    """Compute a pass of a convolution in float64, by the direct kernels."""
    from convkit import runtime
    from convkit.bench import in_convkit
    from convkit.bench.tasks import ConvData

    data = ConvData(BY_ID[task.name], task.batch)
    for name in ("x", "w", "b", "dy"):
        setattr(data, name, getattr(data, name).astype(np.float64))
    before = runtime.get_algorithm()
    runtime.set_algorithm("direct")
    try:
        result = in_convkit.conv(OURS, data, task.direction).result
        assert result is not None
        return result()
    finally:
        runtime.set_algorithm(before)


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Return the geometric mean of the ratios with each family."""
    families = {family for row in rows for family in row["ratios"]}
    return {
        family: geometric_mean(
            [row["ratios"][family]["median"] for row in rows if family in row["ratios"]]
        )
        for family in sorted(families)
    }


def with_effort(suite: Suite, rounds: int | None, block: float | None) -> Suite:
    """Return a suite with another number of rounds or length of blocks."""
    return replace(suite, rounds=rounds or suite.rounds, block_seconds=block or suite.block_seconds)
