"""Losses: inside of a model they emit ops; alone they take plain arrays, as in Keras."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from convkit import _check, _lookup
from convkit.losses.base import Loss
from convkit.losses.categorical import (
    CategoricalCrossentropy,
    CategoricalFocalCrossentropy,
    SparseCategoricalCrossentropy,
)
from convkit.losses.elementwise import (
    BinaryCrossentropy,
    BinaryFocalCrossentropy,
    Hinge,
    Huber,
    KLDivergence,
    LogCosh,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    Poisson,
    SquaredHinge,
)
from convkit.losses.functions import (
    CLASSES,
    binary_crossentropy,
    binary_focal_crossentropy,
    categorical_crossentropy,
    categorical_focal_crossentropy,
    categorical_hinge,
    cosine_similarity,
    hinge,
    huber,
    kl_divergence,
    log_cosh,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_error,
    mean_squared_logarithmic_error,
    poisson,
    sparse_categorical_crossentropy,
    squared_hinge,
)
from convkit.losses.numpy_loss import NumpyLoss
from convkit.losses.rows import CategoricalHinge, CosineSimilarity

__all__ = [
    "BinaryCrossentropy",
    "BinaryFocalCrossentropy",
    "CategoricalCrossentropy",
    "CategoricalFocalCrossentropy",
    "CategoricalHinge",
    "CosineSimilarity",
    "Hinge",
    "Huber",
    "KLDivergence",
    "LogCosh",
    "Loss",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "NumpyLoss",
    "Poisson",
    "SparseCategoricalCrossentropy",
    "SquaredHinge",
    "binary_crossentropy",
    "binary_focal_crossentropy",
    "categorical_crossentropy",
    "categorical_focal_crossentropy",
    "categorical_hinge",
    "cosine_similarity",
    "get",
    "hinge",
    "huber",
    "kl_divergence",
    "log_cosh",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_squared_error",
    "mean_squared_logarithmic_error",
    "poisson",
    "sparse_categorical_crossentropy",
    "squared_hinge",
]

NAMES: dict[str, type[Loss]] = {function.__name__: cls for function, cls in CLASSES.items()} | {
    **{"mse": MeanSquaredError, "MSE": MeanSquaredError},
    **{"mae": MeanAbsoluteError, "MAE": MeanAbsoluteError},
    **{"mape": MeanAbsolutePercentageError, "MAPE": MeanAbsolutePercentageError},
    **{"msle": MeanSquaredLogarithmicError, "MSLE": MeanSquaredLogarithmicError},
    **{"bce": BinaryCrossentropy, "BCE": BinaryCrossentropy},
    **{"kld": KLDivergence, "KLD": KLDivergence, "logcosh": LogCosh},
}


def get(identifier: Any) -> Loss:
    """Return a loss from its name, class, function, config or instance.

    A wrong name suggests the nearest.
    """
    if callable(identifier) and identifier in CLASSES:
        return CLASSES[identifier]()
    if callable(identifier) and not isinstance(identifier, Loss | type):
        raise TypeError(
            "compile: loss must be a name or a convkit.losses.Loss, got the function"
            f" {identifier!r};"
            " NumPy functions have no gradient by themselves: derive from convkit.losses.NumpyLoss"
        )
    return _lookup.find("compile", "loss", identifier, Loss, NAMES)


if not TYPE_CHECKING:
    __getattr__ = _check.missing_from(__name__, __all__)
