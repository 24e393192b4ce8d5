"""Freeze: layers that stop learning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from convkit import _check
from convkit.callbacks.base import Callback, Logs


class Freeze(Callback):
    """Leave layers as they are from an epoch on, which counts from 0: the epochs get faster.

    `layers` are layers of the model or their names. Their `trainable` becomes False and the model
    is compiled anew, with the optimizer's state kept; they stay frozen after `fit`.

    Raises ValueError for a name that the model does not have, when `fit` begins.
    """

    def __init__(self, layers: Any, epoch: int) -> None:
        self.layers = layers
        self.epoch = _check.integer("Freeze", "epoch", epoch, 0)

    def _chosen(self) -> list[Any]:
        single = not isinstance(self.layers, Sequence) or isinstance(self.layers, str)
        listed = [self.layers] if single else self.layers
        return [self.model.get_layer(each) if isinstance(each, str) else each for each in listed]

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Check that the layers are there."""
        known = self.model._all_layers()
        for layer in self._chosen():
            if not any(layer is each for each in known):
                raise ValueError(f"Freeze: layers must be layers of the model, got {layer!r}")

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Freeze them, if it is time."""
        learning = [layer for layer in self._chosen() if layer.trainable]
        if epoch < self.epoch or not learning:
            return
        for layer in learning:
            layer.trainable = False
        self.model.compile(**self.model.get_compile_config())
