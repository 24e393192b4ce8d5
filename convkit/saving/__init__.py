"""Models and weights on disk: one file, checked, written whole or not at all. Never pickle.

The format is described in `docs/saving.md`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from convkit._arguments import named_arguments
from convkit._config import custom_object_scope as custom_object_scope
from convkit._config import deserialize as deserialize
from convkit._config import register_serializable as register_serializable
from convkit._config import serialize as serialize
from convkit._files import FormatError as FormatError
from convkit.layers.base import limited_weights
from convkit.model import Model
from convkit.saving._container import File, opened, write
from convkit.saving._state import (
    optimizer_numbers,
    restore_optimizer,
    restore_weights,
    slot_arrays,
    weight_arrays,
)

__all__ = [
    "FormatError",
    "custom_object_scope",
    "deserialize",
    "load_model",
    "load_weights",
    "read_metadata",
    "register_keras_serializable",
    "register_serializable",
    "save_model",
    "save_weights",
    "serialize",
    "verify",
]

register_keras_serializable = register_serializable

KERAS_ENDINGS = (".keras", ".h5", ".hdf5")


def check_name(function: str, path: str | os.PathLike[str]) -> None:
    """Raise ValueError for the names of Keras's files, whose format convkit's own is not."""
    name = os.fspath(path)
    ending = next((e for e in KERAS_ENDINGS if name.lower().endswith(e)), None)
    if ending:
        own = name[: -len(ending)] + ".convkit"
        raise ValueError(
            f"{function}: {name!r} has the name of a Keras file, convkit's own format is another;"
            f" use {own!r}, or for Keras's weights save_weights with a name in .weights.h5"
        )


def _metadata(function: str, metadata: Mapping[str, str] | None) -> dict[str, str]:
    if not all(isinstance(text, str) for pair in (metadata or {}).items() for text in pair):
        raise TypeError(f"{function}: metadata must map strings to strings, got {metadata!r}")
    return dict(metadata or {})


def describe_model(model: Model, include_optimizer: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the document and the arrays of a model: all that its file holds."""
    from convkit import __version__

    document: dict[str, Any] = {
        **{"kind": "model", "convkit_version": __version__, "model": serialize(model)},
    }
    arrays = weight_arrays(model)
    if model.optimizer is not None and include_optimizer:
        document["compile"] = serialize(model.get_compile_config())
        document["optimizer"] = optimizer_numbers(model.optimizer)
        document["order_seed"] = model.order_seed
        arrays |= slot_arrays(model)
    return document, arrays


@named_arguments
def save_model(
    model: Model,
    filepath: str | os.PathLike[str],
    overwrite: bool = True,
    *,
    include_optimizer: bool = True,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write a model to one file: architecture, weights, and how and how far it was trained.

    The file takes its name when it is complete and on the disk; a save that fails leaves the old
    file. metadata are strings of your own, given back by `read_metadata`. Raises ValueError for a
    model that is not built, FileExistsError with overwrite=False, TypeError for parts that cannot
    be described, OSError as the disk does.
    """
    check_name("save", filepath)
    if not overwrite and os.path.exists(filepath):
        raise FileExistsError(f"save: {os.fspath(filepath)} exists, and overwrite=False")
    if not model.built:
        raise ValueError(
            "save: the model has no weights yet; start with Input(shape), or call build or fit"
        )
    document, arrays = describe_model(model, include_optimizer)
    document["metadata"] = _metadata("save", metadata)
    write(filepath, document, arrays)


@named_arguments
def load_model(
    filepath: str | os.PathLike[str],
    custom_objects: Mapping[str, Any] | None = None,
    compile: bool = True,
) -> Model:
    """Read a model that `save_model` wrote; fit goes on where it was, unless compile=False.

    custom_objects maps names to classes and functions of your own. Raises FormatError (a
    ValueError) for a file that is damaged, incomplete or something else, OSError as the disk does.
    """
    if os.fspath(filepath).lower().endswith(KERAS_ENDINGS) and Path(filepath).is_file():
        raise FormatError(
            f"load_model: {os.fspath(filepath)} has the name of a Keras file; build the model in"
            " convkit and call model.load_weights(path)"
        )
    with opened(filepath) as file:
        document = _document(file, ("model", "backup"))
        with limited_weights(file.nbytes):
            model = _made(file, "model", document.get("model"), custom_objects)
        if not isinstance(model, Model) or not model.built:
            file.refuse("does not describe a model")
        restore_weights(model, file, "load_model")
        if compile and document.get("compile") is not None:
            arguments = _made(file, "compile arguments", document["compile"], custom_objects)
            try:
                model.compile(**arguments)
            except (TypeError, ValueError) as error:
                raise FormatError(f"{file.path}: cannot compile the model: {error}") from error
            restore_optimizer(model, file, document.get("optimizer"), "load_model")
            model.order_seed = document.get("order_seed")
    return model


def _document(file: File, kinds: tuple[str, ...]) -> dict[str, Any]:
    if file.document.get("kind") not in kinds:
        file.refuse(f"holds {file.document.get('kind')!r}, not {' or '.join(kinds)}")
    return file.document


def _made(file: File, what: str, value: Any, custom_objects: Mapping[str, Any] | None) -> Any:
    try:
        return deserialize(value, custom_objects)
    # Constructors of any class may raise anything for arguments that nobody would write.
    except Exception as error:
        raise FormatError(f"{file.path}: cannot make the {what}: {error}") from error


@named_arguments
def save_weights(
    model: Model, filepath: str | os.PathLike[str], metadata: Mapping[str, str] | None = None
) -> None:
    """Write all weights of a model to `filepath`: to a temporary file, synced, then renamed.

    A name in .weights.h5 makes a file of Keras 3, as interchange.save_keras_weights does.
    """
    from convkit import __version__

    if os.fspath(filepath).endswith(".weights.h5"):
        from convkit.interchange import save_keras_weights

        if metadata:
            raise ValueError(
                f"save_weights: a Keras file has no place for metadata, got metadata={metadata!r};"
                " use a name such as 'model.weights'"
            )
        save_keras_weights(model, filepath)
        return
    check_name("save_weights", filepath)
    document = {
        **{"kind": "weights", "convkit_version": __version__},
        "metadata": _metadata("save_weights", metadata),
    }
    write(filepath, document, weight_arrays(model))


@named_arguments
def load_weights(model: Model, filepath: str | os.PathLike[str]) -> None:
    """Set all weights of a model from a file of save_weights or save_model, or from a Keras file.

    Names in .keras and .h5 are Keras's, read as interchange.load_keras does. Every name, shape and
    type is checked first. Raises FormatError (a ValueError) for a file that is damaged or of
    another model; then nothing is changed.
    """
    if os.fspath(filepath).lower().endswith(KERAS_ENDINGS):
        from convkit.interchange import load_keras

        load_keras(model, filepath)
        return
    with opened(filepath) as file:
        _document(file, ("weights", "model", "backup"))
        restore_weights(model, file, "load_weights")


def read_metadata(filepath: str | os.PathLike[str]) -> dict[str, str]:
    """Return the metadata that a file was saved with; FormatError where it is damaged."""
    with opened(filepath) as file:
        found = file.document.get("metadata", {})
        if not isinstance(found, dict):
            file.refuse("has metadata that are not a JSON object")
        return found


def verify(filepath: str | os.PathLike[str]) -> dict[str, Any]:
    """Check a whole file against its digest; say what it holds: kind, version, arrays, bytes.

    Raises FormatError unless every byte is as it was written. Nothing is built.
    """
    with opened(filepath) as file:
        return {
            **{"kind": file.document.get("kind")},
            **{"convkit_version": file.document.get("convkit_version")},
            **{"arrays": len(file.arrays), "bytes": file.nbytes},
        }
