"""Code that runs between batches and epochs, with Keras's names and defaults."""

from typing import TYPE_CHECKING

from convkit import _check
from convkit.callbacks.backup import BackupAndRestore as BackupAndRestore
from convkit.callbacks.base import Callback as Callback
from convkit.callbacks.base import CallbackList as CallbackList
from convkit.callbacks.base import History as History
from convkit.callbacks.base import ProgressBar as ProgressBar
from convkit.callbacks.freeze import Freeze as Freeze
from convkit.callbacks.monitors import EarlyStopping as EarlyStopping
from convkit.callbacks.monitors import ModelCheckpoint as ModelCheckpoint
from convkit.callbacks.monitors import ReduceLROnPlateau as ReduceLROnPlateau
from convkit.callbacks.monitors import TerminateOnNaN as TerminateOnNaN
from convkit.callbacks.records import CSVLogger as CSVLogger
from convkit.callbacks.records import LambdaCallback as LambdaCallback
from convkit.callbacks.records import TensorBoard as TensorBoard
from convkit.callbacks.schedule import LearningRateScheduler as LearningRateScheduler

__all__ = [
    "BackupAndRestore",
    "CSVLogger",
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "Freeze",
    "History",
    "LambdaCallback",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "ProgressBar",
    "ReduceLROnPlateau",
    "TensorBoard",
    "TerminateOnNaN",
]


if not TYPE_CHECKING:
    __getattr__ = _check.missing_from(__name__, __all__)
