"""Losses as functions of arrays: one number per row of the last axis, as Keras's functions give."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from convkit.losses import categorical, elementwise, rows
from convkit.losses.base import Array, Loss

Function = Callable[..., Array]

# Which class a function belongs to, so that compile(loss=function) can train on it.
CLASSES: dict[Function, type[Loss]] = {}
NOT_A_FUNCTIONS = ("reduction", "name")


def _function_of(cls: type[Loss], name: str) -> Function:
    def function(y_true: ArrayLike, y_pred: ArrayLike, *options: Any, **arguments: Any) -> Array:
        return cls(*options, **arguments).call(np.asarray(y_true), np.asarray(y_pred))

    function.__name__ = function.__qualname__ = name
    given = list(inspect.signature(function).parameters.values())[:2]
    own = [p for p in inspect.signature(cls).parameters.values() if p.name not in NOT_A_FUNCTIONS]
    function.__signature__ = inspect.Signature([*given, *own])  # type: ignore[attr-defined]
    function.__doc__ = (
        f"Compute {cls.__name__} of every row of the last axis.\n\n"
        "    y_true and y_pred are arrays (..., K), the result is (...). The other arguments\n"
        f"    are those of {cls.__name__}.\n    "
    )
    CLASSES[function] = cls
    return function


mean_squared_error = _function_of(elementwise.MeanSquaredError, "mean_squared_error")
mean_absolute_error = _function_of(elementwise.MeanAbsoluteError, "mean_absolute_error")
mean_absolute_percentage_error = _function_of(
    elementwise.MeanAbsolutePercentageError, "mean_absolute_percentage_error"
)
mean_squared_logarithmic_error = _function_of(
    elementwise.MeanSquaredLogarithmicError, "mean_squared_logarithmic_error"
)
log_cosh = _function_of(elementwise.LogCosh, "log_cosh")
poisson = _function_of(elementwise.Poisson, "poisson")
hinge = _function_of(elementwise.Hinge, "hinge")
squared_hinge = _function_of(elementwise.SquaredHinge, "squared_hinge")
kl_divergence = _function_of(elementwise.KLDivergence, "kl_divergence")
huber = _function_of(elementwise.Huber, "huber")
binary_crossentropy = _function_of(elementwise.BinaryCrossentropy, "binary_crossentropy")
binary_focal_crossentropy = _function_of(
    elementwise.BinaryFocalCrossentropy, "binary_focal_crossentropy"
)
categorical_crossentropy = _function_of(
    categorical.CategoricalCrossentropy, "categorical_crossentropy"
)
sparse_categorical_crossentropy = _function_of(
    categorical.SparseCategoricalCrossentropy, "sparse_categorical_crossentropy"
)
categorical_focal_crossentropy = _function_of(
    categorical.CategoricalFocalCrossentropy, "categorical_focal_crossentropy"
)
categorical_hinge = _function_of(rows.CategoricalHinge, "categorical_hinge")
cosine_similarity = _function_of(rows.CosineSimilarity, "cosine_similarity")
