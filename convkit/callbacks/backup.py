"""Keep a training that may be killed: go on from the last backup, to the bit."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from convkit import _check
from convkit._files import FormatError, remove_parts
from convkit.callbacks.base import Callback, Logs

FILE = "backup.convkit"


class BackupAndRestore(Callback):
    """Back up everything that a run needs; the same script started again goes on from there.

    The backup is one file in `backup_dir`, replaced after every epoch (save_freq="epoch") or every
    save_freq batches. It holds weights, statistics, the optimizer, all random streams, the place in
    the epoch, and the state of metrics and of the other callbacks, so that the weights in the end
    are those of a run that was never stopped, whatever stopped this one. It is deleted when fit
    ends, unless delete_checkpoint=False.

    When fit begins and there is a backup, fit continues after it; FormatError (a ValueError) where
    it is damaged or of another model.
    """

    runs_last = True  # after the callbacks whose state it keeps

    def __init__(
        self,
        backup_dir: str | os.PathLike[str],
        save_freq: str | int = "epoch",
        delete_checkpoint: bool = True,
    ) -> None:
        kind = type(self).__name__
        if not os.fspath(backup_dir):
            raise ValueError(f"{kind}: backup_dir must name a directory, got {backup_dir!r}")
        self.backup_dir = backup_dir
        if isinstance(save_freq, str):
            _check.one_of(kind, "save_freq", save_freq, ("epoch",))
        else:
            _check.integer(kind, "save_freq", save_freq)
        self.save_freq = save_freq
        self.delete_checkpoint = delete_checkpoint
        self._within_epoch = False

    @property
    def path(self) -> Path:
        """The file."""
        return Path(self.backup_dir) / FILE

    def get_state(self) -> dict[str, Any]:
        """Return nothing: a backup does not hold itself."""
        return {}

    def _save(self) -> None:
        from convkit.saving._fit import save_backup

        save_backup(self.model, self.path)

    def _restore(self) -> None:
        from convkit.saving._fit import load_backup

        try:
            load_backup(self.model, self.path)
        except FormatError as error:
            raise FormatError(f"{error}; delete it to start anew") from error

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Go on from the backup if there is one."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        remove_parts(self.path)
        if self.path.exists():
            self._restore()
            self._within_epoch = self.model.position.batch > 0

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Undo what callbacks did for the second time at the beginning of a resumed epoch."""
        if self._within_epoch:
            self._restore()
            self._within_epoch = False

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Back up every save_freq batches."""
        if isinstance(self.save_freq, int):
            assert self.model.optimizer is not None
            if int(self.model.optimizer.iterations.value[0]) % self.save_freq == 0:
                self._save()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Back up every epoch."""
        if self.save_freq == "epoch":
            self._save()

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Delete the backup of a run that is complete."""
        if self.delete_checkpoint:
            self.path.unlink(missing_ok=True)
