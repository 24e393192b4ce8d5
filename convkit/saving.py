"""Weights on disk: one safetensors file, written whole or not at all. Never pickle."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from convkit._files import atomic_write

if TYPE_CHECKING:
    from convkit.model import Model

FORMAT = "convkit-weights-1"


def _named(model: Model) -> dict[str, Any]:
    """Name every variable by its layer's place, so that files fit any model of the same shape."""
    return {
        f"{place}.{number}.{variable.name.split('/')[-1]}": variable
        for place, layer in enumerate(model.layers)
        for number, variable in enumerate(layer.variables)
    }


def save_weights(
    model: Model, path: str | os.PathLike[str], metadata: dict[str, str] | None = None
) -> None:
    """Write all weights of a model to `path`: to a temporary file, synced, then renamed."""
    from safetensors.numpy import save

    arrays = {name: np.ascontiguousarray(v.value) for name, v in _named(model).items()}
    data = save(arrays, metadata={"format": FORMAT, **(metadata or {})})
    with atomic_write(path) as file:
        file.write(data)


def read_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """Return the metadata of a weights file; ValueError where it is none."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(os.fspath(path), framework="numpy") as file:
            return dict(file.metadata() or {})
    except SafetensorError as error:
        raise ValueError(
            f"load_weights: {path} is not a complete safetensors file: {error}"
        ) from None


def load_weights(model: Model, path: str | os.PathLike[str]) -> None:
    """Set all weights of a model from `path`, after checking every name, shape and type.

    Raises ValueError for a file that is damaged or of another model; then nothing is changed.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        arrays = load_file(os.fspath(path))
    except SafetensorError as error:
        raise ValueError(
            f"load_weights: {path} is not a complete safetensors file: {error}"
        ) from None
    variables = _named(model)
    expected = {name: (v.value.shape, v.value.dtype) for name, v in variables.items()}
    found = {name: (a.shape, a.dtype) for name, a in arrays.items()}
    if expected != found:
        missing = sorted(expected.keys() - found.keys())
        extra = sorted(found.keys() - expected.keys())
        other = [
            f"{name} is {found[name][0]} {found[name][1]}, not {expected[name][0]}"
            f" {expected[name][1]}"
            for name in sorted(expected.keys() & found.keys())
            if expected[name] != found[name]
        ]
        raise ValueError(
            f"load_weights: {path} holds another model's weights: missing {missing}, not known"
            f" {extra}, different {other}"
        )
    for name, variable in variables.items():
        variable.assign(arrays[name])
