"""Keras's name for where models are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from convkit import _check
from convkit._config import deserialize
from convkit.model import Model as Model
from convkit.model import Sequential as Sequential
from convkit.saving import load_model as load_model
from convkit.saving import save_model as save_model

__all__ = ["Model", "Sequential", "clone_model", "load_model", "model_from_json", "save_model"]


def model_from_json(json_string: str, custom_objects: Mapping[str, Any] | None = None) -> Model:
    """Make a model, with new weights, from what `to_json` returned.

    Raises ValueError for text that is not JSON or does not describe a model.
    """
    try:
        model = deserialize(json.loads(json_string), custom_objects)
    except (KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"model_from_json: the text does not describe a model: {error}") from error
    if not isinstance(model, Model):
        raise ValueError(
            f"model_from_json: the text must describe a model, got {type(model).__name__}"
        )
    return model


def clone_model(model: Model) -> Model:
    """Make a model of the same layers, with the same names, and new weights."""
    if not isinstance(model, Model):
        raise TypeError(f"clone_model: model must be a Model, got {type(model).__name__}")
    made: Model = type(model).from_config(model.get_config())
    return made


if not TYPE_CHECKING:
    __getattr__ = _check.missing_from(__name__, __all__)
