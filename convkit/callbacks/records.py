"""Callbacks that write down what happens: CSV files, TensorBoard, functions of one's own."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from convkit import _check
from convkit.callbacks.base import Callback, Logs


class CSVLogger(Callback):
    """Write the logs of every epoch as a row of a CSV file; append=True goes on in an old one."""

    def __init__(
        self, filename: str | os.PathLike[str], separator: str = ",", append: bool = False
    ) -> None:
        self.filename, self.separator, self.append = os.fspath(filename), separator, bool(append)
        self._names: list[str] | None = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Begin the file, or read its header."""
        path = Path(self.filename)
        self._names = None
        if self.append and path.exists() and path.stat().st_size:
            with path.open(newline="") as file:
                self._names = next(csv.reader(file, delimiter=self.separator))[1:]
        else:
            path.write_text("")

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Write a row; numbers that it lacks are "NA"."""
        logs = logs or {}
        rows: list[list[Any]] = []
        if self._names is None:
            self._names = sorted(logs)
            rows.append(["epoch", *self._names])
        rows.append([epoch, *(_cell(logs.get(name, "NA")) for name in self._names)])
        with Path(self.filename).open("a", newline="") as file:
            csv.writer(file, delimiter=self.separator, lineterminator="\n").writerows(rows)


def _cell(value: Any) -> Any:
    return value if isinstance(value, str) else np.asarray(value).tolist()


class LambdaCallback(Callback):
    """Call functions: LambdaCallback(on_epoch_end=lambda epoch, logs: print(epoch, logs))."""

    def __init__(self, **hooks: Callable[..., Any] | None) -> None:
        known = [name for name in vars(Callback) if name.startswith("on_")]
        for name, function in hooks.items():
            _check.one_of("LambdaCallback", "hook", name, known)
            if function is not None:
                setattr(self, name, function)


class TensorBoard(Callback):
    """Write loss and metrics for TensorBoard: log_dir/train and log_dir/validation, as Keras does.

    update_freq "epoch" writes after epochs, "batch" or a number also after so many batches. Every
    histogram_freq epochs, if not 0, the weights are written as histograms. Raises ImportError
    without tensorboardX (`pip install 'convkit[tensorboard]'`).
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str] = "logs",
        histogram_freq: int = 0,
        update_freq: str | int = "epoch",
    ) -> None:
        self.log_dir = os.fspath(log_dir)
        self.histogram_freq = _check.integer("TensorBoard", "histogram_freq", histogram_freq, 0)
        self.update_freq = update_freq
        if not isinstance(update_freq, int):
            _check.one_of("TensorBoard", "update_freq", update_freq, ("epoch", "batch"))
        self._writers: dict[str, Any] = {}
        self._steps = 0
        _summary_writer()

    def _writer(self, name: str) -> Any:
        if name not in self._writers:
            self._writers[name] = _summary_writer()(os.path.join(self.log_dir, name))
        return self._writers[name]

    def _write(self, prefix: str, logs: Logs, step: int) -> None:
        for name, value in logs.items():
            if np.ndim(value) == 0:
                kind = "validation" if name.startswith("val_") else "train"
                self._writer(kind).add_scalar(prefix + name.removeprefix("val_"), value, step)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Write the running means."""
        self._steps += 1
        every = {"epoch": 0, "batch": 1}.get(str(self.update_freq), self.update_freq)
        if every and self._steps % int(every) == 0:
            self._write("batch_", logs or {}, self._steps)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Write loss, metrics and histograms."""
        self._write("epoch_", logs or {}, epoch)
        if self.histogram_freq and epoch % self.histogram_freq == 0:
            for variable in self.model.variables:
                self._writer("train").add_histogram(variable.name, variable.value, epoch)
        for writer in self._writers.values():
            writer.flush()

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Close the files."""
        for writer in self._writers.values():
            writer.close()
        self._writers = {}


def _summary_writer() -> Any:
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        raise ImportError(
            "TensorBoard needs the package tensorboardX: pip install 'convkit[tensorboard]'"
        ) from None
    return SummaryWriter
