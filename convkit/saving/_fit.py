"""Backups of a running fit: the model's file, and where the fit stands."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from convkit import runtime
from convkit._files import FormatError
from convkit.saving import describe_model
from convkit.saving._container import File, opened, write
from convkit.saving._state import put_arrays, restore_optimizer, restore_weights, take_arrays

if TYPE_CHECKING:
    from convkit.callbacks import Callback
    from convkit.model import Model


def _others(model: Model) -> list[Callback]:
    return model.hooks.callbacks if model.hooks else []


def _seeded_layers(model: Model) -> list[Any]:
    return [layer for layer in model._all_layers() if isinstance(getattr(layer, "seed", None), int)]


def save_backup(model: Model, path: str | os.PathLike[str]) -> None:
    """Write the model and the fit that runs."""
    document, arrays = describe_model(model, include_optimizer=True)
    position = model.position
    totals = np.asarray(position.totals, np.float64).tolist()
    fit = {
        "position": {
            **{"seed": position.seed, "epoch": position.epoch, "batch": position.batch},
            **{"seen": position.seen, "totals": totals},
        },
        "steps": model.hooks.params["steps"] if model.hooks else None,
        "stop_training": model.stop_training,
        "random": runtime.get_random_state(),
        "seeds": [layer.seed for layer in _seeded_layers(model)],
        "metrics": [metric.get_state() for metric in model.metrics],
        "callbacks": [[type(c).__name__, c.get_state()] for c in _others(model)],
    }
    document |= {"kind": "backup", "fit": take_arrays(fit, "fit", arrays)}
    write(path, document, arrays)


def load_backup(model: Model, path: str | os.PathLike[str]) -> None:
    """Put a model and the fit that has just begun where a backup was made."""
    with opened(path) as file:
        document = file.document
        if document.get("kind") != "backup":
            file.refuse(f"holds {document.get('kind')!r}, not a backup")
        was = (document.get("compile") or {}).get("optimizer") or {}
        if was.get("class_name") != type(model.optimizer).__name__:
            file.refuse(
                f"was made with the optimizer {was.get('class_name')}, this fit has"
                f" {type(model.optimizer).__name__}"
            )
        try:
            _apply(model, file)
        except (KeyError, TypeError, IndexError, AttributeError, OverflowError) as error:
            raise FormatError(f"{file.path}: the state of the fit is damaged: {error!r}") from error


def _apply(model: Model, file: File) -> None:
    fit: Any = put_arrays(file.document["fit"], file)
    at = fit["position"]
    steps = model.hooks.params["steps"] if model.hooks else None
    if at["batch"] and fit["steps"] != steps:
        file.refuse(
            f"was made within an epoch of {fit['steps']} batches, this fit has {steps} in an epoch;"
            " use the same samples and batch_size"
        )
    layers, metrics = _seeded_layers(model), model.metrics
    if len(layers) != len(fit["seeds"]) or len(metrics) != len(fit["metrics"]):
        file.refuse("was made by a model with other layers or metrics")
    restore_weights(model, file, "fit")
    restore_optimizer(model, file, file.document.get("optimizer"), "fit")
    if [layer.seed for layer in layers] != fit["seeds"]:
        for layer, seed in zip(layers, fit["seeds"], strict=True):
            layer.seed = seed
        model._forget_programs()
    position = model.position
    position.seed, position.epoch, position.batch = at["seed"], at["epoch"], at["batch"]
    position.seen = at["seen"]
    position.totals = np.asarray(at["totals"], np.float64)
    model.order_seed = position.seed
    model.stop_training = fit["stop_training"]
    runtime.set_random_state(fit["random"])
    for metric, state in zip(metrics, fit["metrics"], strict=True):
        metric.set_state(state)
    states = list(fit["callbacks"])
    for callback in _others(model):
        found = next((pair for pair in states if pair[0] == type(callback).__name__), None)
        if found is not None:
            states.remove(found)
            callback.set_state(found[1])
