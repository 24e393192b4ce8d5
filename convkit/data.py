"""Turn what users pass (arrays, lists, frames, bools) into sources that programs read from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from convkit import _check
from convkit.losses import Loss
from convkit.losses.categorical import check_class_numbers
from convkit.ops.elementwise import SOURCE_TYPES

Array = NDArray[Any]
Shape = tuple[int | None, ...]


# Those that programs read as they are: native, and other than bool.
_PLAIN_TYPES = frozenset(kind for kind in SOURCE_TYPES if kind != np.dtype(bool))


def source(function: str, name: str, value: Any) -> Array:
    """Return an array that programs can gather rows from: native, C-contiguous, a real type."""
    try:
        array = np.asarray(value)
    except ValueError as error:
        _check_sizes(function, name, value)
        raise ValueError(f"{function}: {name} must be a regular array; {error}") from None
    flags = array.flags
    if array.dtype in _PLAIN_TYPES and flags.c_contiguous and flags.aligned:
        return array
    if array.dtype.kind not in "fiub":
        _check_sizes(function, name, array)
        hint = (
            "turn class names into rows with pandas.get_dummies(y), or into numbers with"
            " numpy.unique(y, return_inverse=True)[1]"
            if name == "y"
            else "read the pictures first, all of one size"
        )
        raise TypeError(
            f"{function}: {name} must be an array of numbers, got dtype {array.dtype} and shape"
            f" {array.shape}; {hint}"
        )
    kind = array.dtype.newbyteorder("=")
    if kind == np.dtype(bool):
        kind = np.dtype(np.uint8)
    if kind not in SOURCE_TYPES:  # float16, longdouble
        kind = np.dtype(np.float32 if kind.itemsize < 4 else np.float64)
    if array.dtype == np.dtype(bool) and array.flags.c_contiguous:
        return array.view(np.uint8)
    return np.require(array, kind, ("C_CONTIGUOUS", "ALIGNED"))


def _check_sizes(function: str, name: str, value: Any) -> None:
    """Raise ValueError if the samples are arrays of different shapes."""
    try:
        shapes = [np.shape(sample) for sample in value]
    except (TypeError, ValueError):
        return
    other = next((i for i, shape in enumerate(shapes) if shape != shapes[0]), None)
    if other is not None:
        raise ValueError(
            f"{function}: all samples must have one shape, but {name}[0] has shape {shapes[0]}"
            f" and {name}[{other}] has {shapes[other]}; resize the images to one size first"
        )


def samples(function: str, name: str, x: Any, shape: Shape) -> Array:
    """Return x (called `name`) as samples for a model input of `shape` (None, ...).

    As in Keras, a last axis of one may be missing or too many.
    """
    array = source(function, name, x)
    wanted = tuple(shape[1:])
    if array.ndim >= 1:
        if array.shape[1:] == wanted:
            return array
        if (*array.shape[1:], 1) == wanted or array.shape[1:] == (*wanted, 1):
            return array.reshape(len(array), *[size or 0 for size in wanted])
    raise ValueError(
        f"{function}: expected {name} of shape {(None, *wanted)}, got {array.shape};"
        f" {_shape_hint(array.shape, wanted)}"
    )


def _shape_hint(shape: tuple[int, ...], wanted: Shape) -> str:
    """Say how samples of `shape` become ones of (None, *wanted)."""
    if wanted in (shape, (*shape, 1)):
        return "for one sample pass x[None]"
    sizes = wanted[:-1] if len(shape) == len(wanted) and wanted[-1] == 1 else wanted
    if len(shape) == len(sizes) + 1:
        axis = next(i for i, size in enumerate(sizes) if shape[i + 1] != size)
        return f"axis {axis + 1} is {shape[axis + 1]}, not {sizes[axis]}"
    values = math.prod(size or 0 for size in wanted)
    if math.prod(shape[1:]) == values:
        return f"reshape with x.reshape(-1, {', '.join(map(str, wanted))})"
    return f"a sample must hold {values} values"


def inputs(function: str, x: Any, tensors: Sequence[Any]) -> list[Array]:
    """Return samples of every input of a model, from an array, a list, or a dict by name."""
    names = [tensor.name for tensor in tensors]
    if len(tensors) == 1 and not isinstance(x, dict):
        shape = tensors[0].shape
        # A list of one array: of one input's samples, as for several inputs.
        listed = isinstance(x, list | tuple) and len(x) == 1
        listed = listed and getattr(x[0], "shape", ())[1:] == shape[1:]
        values = [x[0] if listed else x]
    else:
        values = by_name(function, "x", x, names, "input")
    arrays = [
        samples(function, "x" if len(names) == 1 else f"x[{name!r}]", value, tensor.shape)
        for name, value, tensor in zip(names, values, tensors, strict=True)
    ]
    counts = [len(array) for array in arrays]
    if len(set(counts)) > 1:
        raise ValueError(
            f"{function}: all inputs must have as many samples, got {counts} for {names}"
        )
    return arrays


def by_name(function: str, what: str, value: Any, names: Sequence[str], kind: str) -> list[Any]:
    """Return one value per input or output (`kind`), from a list or a dict by name."""
    if isinstance(value, dict):
        for name in value:
            _check.one_of(function, f"{kind} name in {what}", name, names)
        missing = [name for name in names if name not in value]
        if missing:
            raise ValueError(f"{function}: {what} lacks the {kind}s {missing}")
        return [value[name] for name in names]
    if not isinstance(value, list | tuple) or len(value) != len(names):
        got = f"{len(value)}" if isinstance(value, list | tuple) else type(value).__name__
        raise ValueError(
            f"{function}: {what} must be a list of {len(names)}, one per {kind}"
            f" ({', '.join(names)}), or a dict by name, got {got}"
        )
    return list(value)


def labels(function: str, y: Any, loss: Loss, output: Shape, count: int) -> Array:
    """Return labels as the loss reads them: int64 (N, ...), or rows of the output's shape."""
    array = source(function, "y", y)
    if array.ndim == 0 or len(array) != count:
        raise ValueError(
            f"{function}: x and y must have as many samples, got {count} and labels of shape"
            f" {array.shape}"
        )
    classes = output[-1]
    assert classes is not None
    if loss.label_kind == "integer":
        return _class_numbers(function, array, loss.name, (count, *output[1:-1]), classes)
    wanted = (count, *output[1:])
    if array.shape == wanted:
        return array
    if loss.label_kind == "probabilities":
        hint = (
            "class numbers go with loss='sparse_categorical_crossentropy', or pass"
            " convkit.utils.to_categorical(y)"
            if array.ndim == 1 or array.shape[1:] == (1,)
            else f"the model's output has the shape {output}; add Flatten() before its last Dense"
            if len(output) > 2 and array.ndim == 2
            else f"the model has {classes} outputs"
        )
        raise ValueError(
            f"{function}: {loss.name} needs one-hot rows of shape {wanted}, got y of shape"
            f" {array.shape}; {hint}"
        )
    if array.size == np.prod([size or 0 for size in wanted]):
        return array.reshape([size or 0 for size in wanted])
    raise ValueError(f"{function}: y must have shape {wanted}, got {array.shape}")


def _class_numbers(function: str, array: Array, loss: str, wanted: Shape, classes: int) -> Array:
    if array.shape == (*wanted, 1):
        array = array.reshape(array.shape[:-1])
    if array.shape != wanted:
        hint = (
            "one-hot rows go with loss='categorical_crossentropy'"
            if array.shape == (*wanted, classes)
            else "pass one class number per sample"
        )
        raise ValueError(
            f"{function}: {loss} needs class numbers of shape {wanted}, got y of shape"
            f" {array.shape}; {hint}"
        )
    if array.dtype.kind == "f" and not np.array_equal(array, np.trunc(array)):
        raise ValueError(f"{function}: {loss} needs whole class numbers, got fractions")
    numbers = array.astype(np.int64)
    check_class_numbers(function, numbers, classes)
    return numbers


def weights(
    function: str, sample_weight: Any, class_weight: Any, y: Array, loss: Loss
) -> Array | None:
    """Return one weight per sample from both kinds of weights, or None."""
    result = None
    if sample_weight is not None:
        result = source(function, "sample_weight", sample_weight).reshape(-1).astype(np.float64)
        if len(result) != len(y):
            raise ValueError(
                f"{function}: sample_weight must have one number per sample, got {len(result)} for"
                f" {len(y)} samples"
            )
    if class_weight is not None:
        if not isinstance(class_weight, Mapping):
            raise TypeError(
                f"{function}: class_weight must be a dict from class numbers to weights, such as"
                f" {{0: 1.0, 1: 2.5}}, got class_weight={class_weight!r}"
            )
        numbers = _classes_of_samples(function, y, loss)
        missing = set(np.unique(numbers).tolist()) - {int(k) for k in class_weight}
        if missing:
            raise ValueError(f"{function}: class_weight lacks the classes {sorted(missing)}")
        table = np.ones(int(numbers.max(initial=0)) + 1)
        for key, value in class_weight.items():
            if int(key) < len(table):
                table[int(key)] = value
        result = table[numbers] if result is None else result * table[numbers]
    return result


def _classes_of_samples(function: str, y: Array, loss: Loss) -> Array:
    """Return the class of every sample: a number, the largest of a row, or a whole value."""
    if loss.label_kind == "integer" and y.ndim == 1:
        return y
    if loss.label_kind == "probabilities" and y.ndim == 2:
        return y.argmax(axis=-1)
    if y.size == len(y) and np.array_equal(y, np.abs(np.trunc(y))):
        return y.reshape(-1).astype(np.int64)
    raise ValueError(
        f"{function}: class_weight needs one class per sample, got {loss.name} and y of shape"
        f" {y.shape}; pass sample_weight"
    )


if not TYPE_CHECKING:
    __getattr__ = _check.missing_from(__name__, ())
