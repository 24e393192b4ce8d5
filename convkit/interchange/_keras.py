"""Weights from and to Keras's files: .keras, .weights.h5, and the older whole-model .h5."""

from __future__ import annotations

import io
import os
import re
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convkit._arguments import named_arguments
from convkit._files import FormatError, atomic_write
from convkit.graph import Variable
from convkit.layers import Layer
from convkit.model import Model, Sequential

Array = NDArray[Any]
Owned = tuple[Layer, Variable]

WEIGHTS_MEMBER = "model.weights.h5"
# An optimizer's slots come with the weights; what unpacks to more than this is no such file.
FACTOR, SLACK = 16, 64 << 20


def _h5py() -> Any:
    try:
        import h5py
    except ImportError:
        raise ImportError(
            "Keras's files need h5py: pip install 'convkit[keras]' (or h5py itself)"
        ) from None
    return h5py


# ---- the model's layers, as Keras names and orders them ----------------------------------------


def _snake_case(name: str) -> str:
    """Return a class's name as Keras writes it into files: Conv2D -> conv2d, PReLU -> p_re_lu."""
    name = re.sub(r"\W+", "", name)
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def _class_name(layer: Layer) -> str:
    if isinstance(layer, Sequential):
        return "sequential"
    return "functional" if isinstance(layer, Model) else _snake_case(type(layer).__name__)


def _ordered(model: Model) -> list[Layer]:
    """Return the layers in Keras's order: by their distance from the outputs, far ones first."""
    if isinstance(model, Sequential):
        return model.layers
    met: dict[int, int] = {}
    stack = list(reversed(model.outputs))
    seen: set[int] = set()
    while stack:
        tensor = stack.pop()
        if tensor.call is None or id(tensor.call) in seen:
            continue
        seen.add(id(tensor.call))
        met.setdefault(id(tensor.call.layer), len(met))
        stack.extend(reversed(tensor.call.inputs))
    call_depths: dict[int, int] = {}
    depths: dict[int, int] = {}
    for call in reversed(model._calls):
        depth = max(call_depths.get(id(call), 0), depths.get(id(call.layer), 0))
        depths[id(call.layer)] = call_depths[id(call)] = depth
        for tensor in call.inputs:
            if tensor.call is not None:
                call_depths[id(tensor.call)] = max(call_depths.get(id(tensor.call), 0), depth + 1)
    return sorted(model.layers, key=lambda layer: (-depths[id(layer)], met[id(layer)]))


def _places(model: Model, prefix: str = "") -> Iterator[tuple[str, Layer]]:
    """Yield every layer that is not a model, with its group's name in a file of Keras 3."""
    counts: dict[str, int] = {}
    for layer in _ordered(model):
        name = _class_name(layer)
        number = counts.get(name, 0)
        counts[name] = number + 1
        place = f"{prefix}layers/{name}_{number}" if number else f"{prefix}layers/{name}"
        if isinstance(layer, Model):
            yield from _places(layer, place + "/")
        else:
            yield place, layer


def _keras_shape(layer: Layer, variable: Variable) -> tuple[int, ...]:
    """Return the shape of a variable in Keras: that here, but for depthwise filters."""
    shape = variable.shape
    multiplier = getattr(layer, "depth_multiplier", None)
    if multiplier and len(shape) == 4 and shape[2] == 1 and variable is layer.variables[0]:
        return (*shape[:2], shape[3] // multiplier, multiplier)
    return shape


# ---- reading -----------------------------------------------------------------------------------


def _open(path: str | os.PathLike[str], limit: int) -> Any:
    """Open the HDF5 file, that in a .keras archive too."""
    h5py = _h5py()
    name = os.fspath(path)
    try:
        if zipfile.is_zipfile(name):
            with zipfile.ZipFile(name) as archive:
                info = archive.getinfo(WEIGHTS_MEMBER)
                if info.file_size > limit:
                    raise FormatError(
                        f"load_keras: {name} holds {info.file_size} bytes of weights, the model"
                        f" has not that many"
                    )
                with archive.open(info) as member:
                    return h5py.File(io.BytesIO(member.read(limit + 1)), "r")
        return h5py.File(name, "r")
    except KeyError:
        raise FormatError(f"load_keras: {name} is an archive without {WEIGHTS_MEMBER}") from None
    except (zipfile.BadZipFile, zipfile.zlib.error, NotImplementedError) as error:  # type: ignore[attr-defined]
        raise FormatError(f"load_keras: {name} is damaged: {error}") from error
    except OSError as error:
        if isinstance(error, FileNotFoundError | IsADirectoryError | PermissionError):
            raise
        raise FormatError(f"load_keras: {name} is not an HDF5 file: {error}") from error


def _datasets(group: Any, names: list[str], limit: int) -> list[Array]:
    """Read datasets that lie in the file itself, none larger than the model."""
    h5py = _h5py()
    arrays = []
    for name in names:
        at = group
        for part in name.split("/"):
            link = at.get(part, getlink=True) if isinstance(at, h5py.Group) else None
            if not isinstance(link, h5py.HardLink):
                raise FormatError(f"load_keras: {name!r} is missing in {group.name!r}")
            at = at[part]
        if not isinstance(at, h5py.Dataset) or at.dtype.kind not in "fiu" or at.nbytes > limit:
            raise FormatError(f"load_keras: {name!r} is not an array of weights")
        if at.external or at.is_virtual:
            raise FormatError(f"load_keras: {name!r} lies in another file")
        arrays.append(np.asarray(at[()]))
    return arrays


def _read_v3(file: Any, model: Model, limit: int) -> Iterator[tuple[str, list[Owned], list[Array]]]:
    """Read a file of Keras 3: groups by class and number, numbered variables."""
    for place, layer in _places(model):
        count = len(layer.variables)
        if count:
            found = f"{place}/vars"
            extra = found in file and len(file[found]) != count
            if found not in file or extra:
                held = f"{len(file[found])} arrays" if extra else "nothing"
                raise ValueError(
                    f"load_keras: layer {layer.name!r} needs {count} arrays, the file has {held} at"
                    f" {found!r}; it holds {sorted(_listed(file))}"
                )
            owned = [(layer, variable) for variable in layer.variables]
            yield place, owned, _datasets(file, [f"{found}/{i}" for i in range(count)], limit)


def _listed(file: Any, place: str = "layers") -> Iterator[str]:
    for name, group in file.get(place, {}).items():
        if "layers" in group:
            yield from _listed(file, f"{place}/{name}/layers")
        elif len(group.get("vars", ())):
            yield f"{place}/{name}"


def _read_legacy(
    file: Any, model: Model, limit: int
) -> Iterator[tuple[str, list[Owned], list[Array]]]:
    """Read a file of Keras 1 and 2: lists of layers' and weights' names, in order."""

    def names(group: Any, key: str) -> list[str]:
        return [n.decode() if isinstance(n, bytes) else str(n) for n in group.attrs[key]]

    groups = [(name, names(file[name], "weight_names")) for name in names(file, "layer_names")]
    filled = [(name, listed) for name, listed in groups if listed]
    layers = [layer for layer in _ordered(model) if layer.variables]
    if len(filled) != len(layers):
        raise ValueError(
            f"load_keras: the model has {len(layers)} layers with weights, the file"
            f" {len(filled)}: {[name for name, _ in filled]}"
        )
    for layer, (name, listed) in zip(layers, filled, strict=True):
        yield name, _legacy_variables(layer), _datasets(file[name], listed, limit)


def _legacy_variables(layer: Layer) -> list[Owned]:
    """Return what one group holds: of a model within, first all that training changes."""
    inner = [leaf for _, leaf in _places(layer)] if isinstance(layer, Model) else [layer]
    owned = [(leaf, variable) for leaf in inner for variable in leaf.variables]
    return sorted(owned, key=lambda pair: pair[1].name.split("/")[-1].startswith("moving_"))


@named_arguments
def load_keras(model: Model, filepath: str | os.PathLike[str]) -> None:
    """Set a model's weights from a Keras file: .keras, .weights.h5, or a whole-model .h5.

    The model has the same layers as the one in Keras. Needs h5py (`pip install 'convkit[keras]'`).
    Raises ValueError, before anything is changed, where layers or shapes do not fit; FormatError
    (a ValueError) for files that are damaged.
    """
    limit = FACTOR * sum(variable.value.nbytes for variable in model.variables) + SLACK
    values: list[tuple[Variable, Array]] = []
    with _open(filepath, limit) as file:
        try:
            root = file.get("model_weights", file)
            read = _read_legacy if "layer_names" in root.attrs else _read_v3
            for place, owned, arrays in read(root, model, limit):
                wanted = [_keras_shape(layer, variable) for layer, variable in owned]
                if [array.shape for array in arrays] != wanted:
                    raise ValueError(
                        f"load_keras: layer {owned[0][0].name!r} needs arrays of shapes {wanted},"
                        f" the file has {[array.shape for array in arrays]} at {place!r}"
                    )
                for (_, variable), array in zip(owned, arrays, strict=True):
                    values.append((variable, array.reshape(variable.shape)))
        except (OSError, KeyError, RuntimeError, TypeError, AttributeError) as error:
            raise FormatError(f"load_keras: {os.fspath(filepath)} is damaged: {error}") from error
    with model._lock:
        for variable, array in values:
            variable.assign(array)


# ---- writing -----------------------------------------------------------------------------------


@named_arguments
def save_keras_weights(model: Model, filepath: str | os.PathLike[str]) -> None:
    """Write a model's weights as Keras 3 does, for `load_weights` of a Keras model of these layers.

    The name must end in .weights.h5, which Keras asks for. Needs h5py.
    """
    if not os.fspath(filepath).endswith(".weights.h5"):
        raise ValueError(
            f"save_keras_weights: the file's name must end in .weights.h5, which Keras needs, got"
            f" {os.fspath(filepath)!r}"
        )
    h5py = _h5py()
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.create_group("vars").attrs["name"] = model.name
        for place, layer in _places(model):
            group = file.create_group(f"{place}/vars")
            group.attrs["name"] = layer.name
            for number, variable in enumerate(layer.variables):
                group[str(number)] = variable.value.reshape(_keras_shape(layer, variable))
    with atomic_write(filepath) as target:
        target.write(buffer.getbuffer())
