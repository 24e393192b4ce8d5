"""One process per library, driven by messages: one works while the others sleep.

Each library then has the allocator, the OpenMP runtime, the thread pool and the settings that it
would have alone, and one that cannot do something does not stop the others.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any

import numpy as np

from convkit import _core
from convkit.bench import machine
from convkit.bench.measure import FEW, Timer, interleave
from convkit.bench.tasks import LIBRARIES, NotOffered, Pass, Task, passes_over_memory, prepare

WAYS_TO_WRITE = {"through the caches": False, "past the caches": True}


class Failed(ChildProcessError):
    """A library's process could not do what it was asked; the message says why."""


class _Server:
    """What a library's process does: its methods are the messages."""

    def __init__(self, library: str, threads: int) -> None:
        self._library = library
        if library == "jax" and hasattr(os, "sched_setaffinity"):  # has no other setting
            os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
        importlib.import_module(f"convkit.bench.{LIBRARIES[library][1]}").set_threads(threads)

    def prepare(self, task: Task) -> dict[str, Any]:
        """Build a task and run it once, which plans, compiles and allocates; say what is known."""
        self._prepared = prepare(self._library, task)
        self._prepared.work(1)
        self._timer = Timer(self._prepared.work)
        return self._prepared.info

    def calibrate(self, seconds: float) -> None:
        """Find out how much work fills a block of so many seconds."""
        self._timer.calibrate(seconds)

    def turn(self) -> float:
        """Do a block of work; return the seconds per unit."""
        return self._timer.turn()

    def prepare_roof(self, task: Task, seconds: float) -> str | None:
        """Prepare bare passes over arrays like a task's, for blocks of so many seconds.

        Returns the way to write that was chosen, None where arithmetic binds. Results are there to
        be read: the chosen way is the faster one where that follows the passes.
        """
        passes = passes_over_memory(task)
        if not passes:
            return None
        reading: list[Pass] = [([each], []) for _, written in passes for each in written]
        timers = {
            way: Timer(_core.Streams([*passes, *reading], past_caches).run)
            for way, past_caches in WAYS_TO_WRITE.items()
        }
        for timer in timers.values():
            timer.calibrate(seconds)
        times = interleave({way: timer.turn for way, timer in timers.items()}, FEW)
        chosen = min(times, key=lambda way: float(np.median(times[way])))
        self._roof = Timer(_core.Streams(passes, WAYS_TO_WRITE[chosen]).run)
        self._roof.calibrate(seconds)
        return chosen

    def roof_turn(self) -> float:
        """Make the passes for a block of time; return the seconds of all of them."""
        return self._roof.turn()

    def run(self, task: Task, units: int) -> None:
        """Build a task and do some units of work, without timing."""
        prepare(self._library, task).work(units)

    def result(self) -> Any:
        """Return what the task computes."""
        assert self._prepared.result is not None
        return self._prepared.result()

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call any function here."""
        return function(*arguments)

    def cpu_seconds(self) -> float:
        """Return the CPU time of this process."""
        used = os.times()
        return used.user + used.system + used.children_user + used.children_system


def _serve(connection: Connection, library: str, threads: int) -> None:
    if library != "convkit":  # what peers log there is no part of a table; errors are sent
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    try:
        server = _Server(library, threads)
        connection.send(("done", None))
        while True:
            method, arguments = connection.recv()
            try:
                connection.send(("done", getattr(server, method)(*arguments)))
            except NotOffered as reason:
                connection.send(("not offered", str(reason)))
            except Exception as error:
                connection.send(("failed", f"{type(error).__name__}: {error}"))
    except (EOFError, KeyboardInterrupt):
        pass
    except Exception as error:
        connection.send(("failed", f"{type(error).__name__}: {error}"))


class Worker:
    """A library's process. Raises Failed where it cannot start."""

    def __init__(self, library: str, threads: int, environ: Mapping[str, str]) -> None:
        self.name = library
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(theirs, library, threads), daemon=False, name=f"bench-{library}"
        )
        with _environment(environ):
            self._process.start()
        theirs.close()

    def send(self, method: str, *arguments: Any) -> None:
        """Ask for something; `receive` waits for it."""
        try:
            self._connection.send((method, arguments))
        except OSError:
            raise Failed(f"{self.name}: the process has ended") from None

    def receive(self) -> Any:
        """Wait for the answer. Raises NotOffered or Failed."""
        try:
            how, value = self._connection.recv()
        except (EOFError, OSError):
            self._process.join(1)
            raise Failed(
                f"{self.name}: the process ended with exit code {self._process.exitcode}"
            ) from None
        if how == "not offered":
            raise NotOffered(value)
        if how == "failed":
            raise Failed(f"{self.name}: {value}")
        return value

    def ask(self, method: str, *arguments: Any) -> Any:
        """Ask for something and wait for it."""
        self.send(method, *arguments)
        return self.receive()

    def close(self) -> None:
        """End the process."""
        self._connection.close()
        self._process.join(5)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


@contextmanager
def _environment(changes: Mapping[str, str]) -> Any:
    """Set environment variables for a while: a process reads them when it starts."""
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


class Workers:
    """The processes of several libraries; a context manager that ends them.

    `failures` tells which could not start, and why.
    """

    def __init__(
        self, libraries: Sequence[str], threads: int, isa: str = "", tuned_malloc: bool = True
    ) -> None:
        self.threads = threads
        self.failures: dict[str, str] = {}
        environ = machine.settings(threads, isa, tuned_malloc)
        started = {library: Worker(library, threads, environ) for library in libraries}
        self._running: dict[str, Worker] = {}
        for library, worker in started.items():
            try:
                worker.receive()
                self._running[library] = worker
            except Failed as reason:
                self.failures[library] = str(reason)
                worker.close()

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for worker in self._running.values():
            worker.close()

    def __getitem__(self, library: str) -> Worker:
        """Return a library's process. Raises Failed where it could not start."""
        if library in self.failures:
            raise Failed(self.failures[library])
        return self._running[library]

    def __contains__(self, library: str) -> bool:
        return library in self._running

    def each(self, method: str, *arguments: Any) -> tuple[dict[str, Any], dict[str, str]]:
        """Ask all, let them work at once; return the answers, and why some have none."""
        answers: dict[str, Any] = {}
        failures: dict[str, str] = {}
        asked = []
        for library, worker in self._running.items():
            try:
                worker.send(method, *arguments)
                asked.append(library)
            except Failed as reason:
                failures[library] = str(reason)
        for library in asked:
            try:
                answers[library] = self._running[library].receive()
            except NotOffered:
                pass
            except Failed as reason:
                failures[library] = str(reason)
        return answers, failures

    def cpu_seconds(self) -> float:
        """Return the CPU time of all of them."""
        return sum(self.each("cpu_seconds")[0].values())
