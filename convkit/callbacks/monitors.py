"""Callbacks that watch a number: stop early, keep the best weights, lower the learning rate."""

from __future__ import annotations

import math
import warnings
from typing import Any

from numpy.typing import NDArray

from convkit import _check
from convkit.callbacks.base import Callback, Logs, number_text

# Parts of the names of metrics that are better the higher they are.
HIGHER = (
    *("acc", "auc", "precision", "recall", "f1", "fbeta", "similarity", "true_positives"),
    "true_negatives",
)


class Monitor(Callback):
    """What watches `monitor` in the logs; mode says whether "min" or "max" is better.

    "auto" takes "max" for accuracies, AUC, precision, recall and their like, else "min".
    """

    def __init__(self, monitor: str, mode: str, min_delta: float, verbose: int) -> None:
        function = type(self).__name__
        self.monitor = monitor
        self.mode = _check.one_of(function, "mode", mode, ("auto", "min", "max"))
        self.min_delta = abs(_check.number(function, "min_delta", min_delta))
        self.verbose = verbose
        self.best: float | None = None

    def _is_better(self, value: float, than: float | None) -> bool:
        if than is None:
            return True
        up = self.mode == "max" or (
            self.mode == "auto" and any(part in self.monitor for part in HIGHER)
        )
        return value - self.min_delta > than if up else value + self.min_delta < than

    def _value(self, logs: Logs | None) -> float | None:
        """Return the number that is watched, None with a warning where there is none."""
        found = (logs or {}).get(self.monitor)
        if found is None:
            warnings.warn(
                f"{type(self).__name__}: there is no {self.monitor!r} to monitor;"
                f" {_check.suggestion(self.monitor, logs or {})}",
                stacklevel=2,
            )
            return None
        return float(found)

    def _say(self, epoch: int, text: str) -> None:
        if self.verbose:
            print(f"\nEpoch {epoch + 1}: {text}", flush=True)


class EarlyStopping(Monitor):
    """Stop when `monitor` has not become better for `patience` epochs.

    Better is by more than min_delta, and, with a baseline, better than that. The first
    start_from_epoch epochs do not count. restore_best_weights brings back the weights of the best
    epoch at the end. `stopped_epoch`, `best` and `best_epoch` tell what happened.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0.0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        super().__init__(monitor, mode, min_delta, verbose)
        self.patience = _check.integer("EarlyStopping", "patience", patience, 0)
        self.baseline = baseline
        self.restore_best_weights = bool(restore_best_weights)
        self.start_from_epoch = _check.integer(
            *("EarlyStopping", "start_from_epoch", start_from_epoch, 0)
        )
        self._forget()

    def _forget(self) -> None:
        self.wait = self.stopped_epoch = self.best_epoch = 0
        self.best = None
        self.best_weights: list[NDArray[Any]] | None = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Forget an earlier training."""
        self._forget()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Compare, and stop."""
        value = self._value(logs)
        if value is None or epoch < self.start_from_epoch:
            return
        self.wait += 1
        better = self._is_better(value, self.best)
        if better:
            self.best, self.best_epoch = value, epoch
            if self._is_better(value, self.baseline):
                self.wait = 0
        if self.restore_best_weights and (better or self.best_weights is None):
            self.best_weights = self.model.get_weights()
        if self.wait >= self.patience and epoch > 0 and self.wait > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Bring the best weights back."""
        if self.stopped_epoch:
            self._say(self.stopped_epoch, "early stopping")
        if self.restore_best_weights and self.best_weights is not None:
            self._say(self.stopped_epoch, f"weights of the best epoch {self.best_epoch + 1}")
            self.model.set_weights(self.best_weights)


class ReduceLROnPlateau(Monitor):
    """Multiply the learning rate by `factor` when `monitor` has not improved for `patience` epochs.

    For `cooldown` epochs after that nothing is counted; min_lr is the lowest rate. The logs get
    "learning_rate".
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        super().__init__(monitor, mode, min_delta, verbose)
        self.factor = _check.at_least_zero("ReduceLROnPlateau", "factor", factor)
        if self.factor >= 1:
            raise ValueError(f"ReduceLROnPlateau: factor must be below 1, got factor={factor!r}")
        self.patience = _check.integer("ReduceLROnPlateau", "patience", patience, 0)
        self.cooldown = _check.integer("ReduceLROnPlateau", "cooldown", cooldown, 0)
        self.min_lr = _check.at_least_zero("ReduceLROnPlateau", "min_lr", min_lr)
        self.wait = self.cooldown_counter = 0

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Forget an earlier training."""
        self.best = None
        self.wait = self.cooldown_counter = 0

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Compare, and lower the rate."""
        optimizer = self.model.optimizer
        assert optimizer is not None
        rate = float(optimizer.learning_rate)
        value = self._value(logs)
        if logs is not None:
            logs["learning_rate"] = rate
        if value is None:
            return
        if self.cooldown_counter:
            self.cooldown_counter -= 1
            self.wait = 0
        if self._is_better(value, self.best):
            self.best, self.wait = value, 0
        elif not self.cooldown_counter:
            self.wait += 1
            if self.wait >= self.patience and rate > self.min_lr:
                lower = max(rate * self.factor, self.min_lr)
                optimizer.learning_rate = lower
                self._say(epoch, f"learning rate lowered to {number_text(lower)}")
                self.cooldown_counter, self.wait = self.cooldown, 0


class TerminateOnNaN(Callback):
    """Stop as soon as the loss is NaN or infinite."""

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Look at the loss."""
        loss = (logs or {}).get("loss")
        if loss is not None and not math.isfinite(loss):
            print(f"Batch {batch}: the loss is {loss}; training ends", flush=True)
            self.model.stop_training = True


class ModelCheckpoint(Monitor):
    """Save the model, or its weights only, after every epoch or every save_freq batches.

    filepath may hold numbers: "{epoch:02d}-{val_loss:.2f}.convkit" (epochs count from 1). With
    save_best_only the file is written when `monitor` has become better, by the end of an epoch;
    initial_value_threshold is what it must be better than at first.
    """

    def __init__(
        self,
        filepath: Any,
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        save_freq: str | int = "epoch",
        initial_value_threshold: float | None = None,
    ) -> None:
        super().__init__(monitor, mode, 0.0, verbose)
        self.filepath = str(filepath)
        self.save_best_only, self.save_weights_only = bool(save_best_only), bool(save_weights_only)
        if not (save_weights_only and self.filepath.endswith(".weights.h5")):
            from convkit.saving import check_name

            check_name("ModelCheckpoint", self.filepath)  # now, not after an epoch
        self.save_freq = save_freq
        if save_freq != "epoch":
            _check.integer("ModelCheckpoint", "save_freq", save_freq)
        self.initial_value_threshold = self.best = initial_value_threshold
        self._epoch = self._batches = 0

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Remember which epoch it is."""
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Save by the number of batches."""
        self._batches += 1
        if self.save_freq != "epoch" and self._batches % int(self.save_freq) == 0:
            self._save(self._epoch, {"batch": batch + 1, **(logs or {})})

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Save by the epoch."""
        if self.save_freq == "epoch":
            self._save(epoch, logs or {})

    def _save(self, epoch: int, logs: Logs) -> None:
        if self.save_best_only:
            value = self._value(logs)
            if value is None or not self._is_better(value, self.best):
                return
            self.best = value
        try:
            path = self.filepath.format(epoch=epoch + 1, **logs)
        except KeyError as error:
            raise KeyError(
                f"ModelCheckpoint: filepath {self.filepath!r} names {error}, which is not in the"
                f" logs; {_check.suggestion(error.args[0], ['epoch', *logs])}"
            ) from None
        model: Any = self.model
        (model.save_weights if self.save_weights_only else model.save)(path)
        self._say(epoch, f"saved to {path}")
