"""Code that runs between batches and epochs: the base class, History, and the progress bar."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from convkit._arguments import NamedArguments
from convkit._state import Stateful

if TYPE_CHECKING:
    from convkit.model import Model

Logs = dict[str, Any]


class Callback(NamedArguments, Stateful):
    """Override what you need; `self.model` is the model, `self.params` what fit was called with.

    params holds "epochs", "steps" and "verbose". Setting `self.model.stop_training = True` ends
    training after the batch. What a callback puts into the logs of on_epoch_end, those after it see
    and History keeps.

    What attributes hold of plain values and arrays, other than the constructor's arguments, is
    state: BackupAndRestore keeps it. Define get_state and set_state where that is not right.
    """

    runs_last = False
    _no_state: tuple[str, ...] = ("params",)

    model: Model
    params: dict[str, Any]

    def set_model(self, model: Model) -> None:
        """Learn which model this is for."""
        self.model = model

    def set_params(self, params: dict[str, Any]) -> None:
        """Learn epochs, steps and verbose."""
        self.params = params

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Run before the first epoch."""

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Run after the last epoch, with its logs."""

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Run before an epoch."""

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Run after an epoch, with its loss and metrics (and val_ ones)."""

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Run before a training step; unless overridden, on_batch_begin does."""
        self.on_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Run after a training step, with the running means; unless overridden, on_batch_end."""
        self.on_batch_end(batch, logs)

    def on_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Run before a training step: an older name."""

    def on_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Run after a training step: an older name."""

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """Run before an evaluation, also that of fit's validation data."""

    def on_test_end(self, logs: Logs | None = None) -> None:
        """Run after an evaluation, with its loss and metrics."""

    def on_test_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Run before a batch of an evaluation."""

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Run after a batch of an evaluation, with the running means."""

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        """Run before a prediction."""

    def on_predict_end(self, logs: Logs | None = None) -> None:
        """Run after a prediction."""

    def on_predict_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Run before a batch of a prediction."""

    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Run after a batch of a prediction, with its "outputs"."""


def _overrides(callback: Callback, hook: str) -> bool:
    names = [hook, hook.replace("train_batch", "batch")]
    methods = [(getattr(callback, name), getattr(Callback, name)) for name in dict.fromkeys(names)]
    return any(getattr(method, "__func__", method) is not base for method, base in methods)


class CallbackList:
    """Call the same hook of several callbacks, and know which hooks nobody listens to."""

    def __init__(
        self, callbacks: Iterable[Callback] | Callback | None, model: Model, **params: Any
    ) -> None:
        if callbacks is None:
            callbacks = []
        elif isinstance(callbacks, Callback):
            callbacks = [callbacks]
        self.callbacks = sorted(callbacks, key=lambda c: getattr(c, "runs_last", False))
        self.params = params
        for callback in self.callbacks:
            if not isinstance(callback, Callback):
                raise TypeError(
                    f"fit: callbacks must be instances of convkit.callbacks.Callback, got"
                    f" {callback!r}"
                )
            callback.set_model(model)
            callback.set_params(params)

    def listens(self, hook: str) -> bool:
        """Say whether anybody overrides a hook."""
        return any(_overrides(callback, hook) for callback in self.callbacks)

    def call(self, hook: str, *arguments: Any) -> None:
        """Call a hook of all."""
        for callback in self.callbacks:
            getattr(callback, hook)(*arguments)


class History(Callback):
    """What fit returns: `history[name]` lists loss and metrics by epoch, `epoch` the numbers."""

    def __init__(self) -> None:
        self.epoch: list[int] = []
        self.history: dict[str, list[Any]] = {}

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Append the epoch's numbers."""
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)

    def plot(self, metrics: list[str] | None = None) -> Any:
        """Draw loss and metrics by epoch, validation dashed: a Picture with save(path).

        metrics: which to draw, by default all. Raises ImportError without matplotlib.
        """
        from convkit import viz

        return viz.curves(self, metrics)


def logs_text(logs: Logs) -> str:
    """Write loss and metrics in one line."""
    return " - ".join(f"{name}: {number_text(value)}" for name, value in logs.items())


def number_text(value: Any) -> str:
    """Write a number with 4 digits, or with an exponent where those would hide it."""
    if np.ndim(value):
        return "[" + ", ".join(number_text(item) for item in value) + "]"
    return f"{value:.4f}" if value == 0 or abs(value) > 1e-3 else f"{value:.4e}"


class ProgressBar(Callback):
    """A tqdm bar per epoch on a terminal; elsewhere, and with verbose=2, one line per epoch."""

    def __init__(self, verbose: int) -> None:
        self.verbose = verbose
        self._bar: Any = None
        self._start = 0.0
        self._shown = 0.0
        self._steps = 0

    def get_state(self) -> dict[str, Any]:
        """Return nothing: a bar is of this process."""
        return {}

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Start the clock and the bar."""
        self._start = time.perf_counter()
        if self.verbose == 1:
            from tqdm import tqdm

            title = f"Epoch {epoch + 1}/{self.params['epochs']}"
            self._bar = tqdm(total=self.params["steps"], desc=title, file=sys.stdout, leave=True)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Move the bar; its text at most ten times a second."""
        if self._bar is None:
            return
        self._steps = batch + 1
        now = time.perf_counter()
        if now - self._shown > 0.1:
            self._shown = now
            self._bar.update(batch + 1 - self._bar.n)
            self._bar.set_postfix_str(logs_text(logs or {}))

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Finish the bar, or print the line."""
        seconds = time.perf_counter() - self._start
        if self._bar is not None:
            self._bar.update(self._steps - self._bar.n)
            self._bar.set_postfix_str(logs_text(logs or {}))
            self._bar.close()
            self._bar = None
        elif self.verbose:
            title = f"Epoch {epoch + 1}/{self.params['epochs']}"
            print(f"{title} - {seconds:.1f}s - {logs_text(logs or {})}", flush=True)

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Close a bar that an interrupt left open."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
