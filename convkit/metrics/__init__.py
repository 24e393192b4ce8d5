"""Metrics on plain arrays: update_state, result, reset_state, as in Keras."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from convkit import _check, _lookup
from convkit.metrics.accuracy import (
    Accuracy,
    BinaryAccuracy,
    CategoricalAccuracy,
    SparseCategoricalAccuracy,
    SparseTopKCategoricalAccuracy,
    TopKCategoricalAccuracy,
)
from convkit.metrics.base import Mean, MeanMetric, MeanMetricWrapper, Metric, Sum
from convkit.metrics.confusion import (
    AUC,
    ConfusionMatrix,
    F1Score,
    FalseNegatives,
    FalsePositives,
    FBetaScore,
    Precision,
    Recall,
    TrueNegatives,
    TruePositives,
    confusion_matrix,
)
from convkit.metrics.overlap import IoU, MeanIoU
from convkit.metrics.regression import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    CategoricalHinge,
    CosineSimilarity,
    Hinge,
    KLDivergence,
    LogCoshError,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    Poisson,
    RootMeanSquaredError,
    SparseCategoricalCrossentropy,
    SquaredHinge,
)

__all__ = [
    "AUC",
    "Accuracy",
    "BinaryAccuracy",
    "BinaryCrossentropy",
    "CategoricalAccuracy",
    "CategoricalCrossentropy",
    "CategoricalHinge",
    "ConfusionMatrix",
    "CosineSimilarity",
    "F1Score",
    "FBetaScore",
    "FalseNegatives",
    "FalsePositives",
    "Hinge",
    "IoU",
    "KLDivergence",
    "LogCoshError",
    "Mean",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanIoU",
    "MeanMetric",
    "MeanMetricWrapper",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "Metric",
    "Poisson",
    "Precision",
    "Recall",
    "RootMeanSquaredError",
    "SparseCategoricalAccuracy",
    "SparseCategoricalCrossentropy",
    "SparseTopKCategoricalAccuracy",
    "SquaredHinge",
    "Sum",
    "TopKCategoricalAccuracy",
    "TrueNegatives",
    "TruePositives",
    "confusion_matrix",
    "get",
]

_KINDS: tuple[type[Metric], ...] = (
    *(AUC, BinaryAccuracy, BinaryCrossentropy, CategoricalAccuracy, CategoricalCrossentropy),
    *(CategoricalHinge, CosineSimilarity, F1Score, FalseNegatives, FalsePositives, FBetaScore),
    *(Hinge, KLDivergence, LogCoshError, MeanAbsoluteError, MeanAbsolutePercentageError),
    *(MeanSquaredError, MeanSquaredLogarithmicError, Poisson, Precision, Recall),
    *(RootMeanSquaredError, SparseCategoricalAccuracy, SparseCategoricalCrossentropy),
    *(SparseTopKCategoricalAccuracy, SquaredHinge, TopKCategoricalAccuracy, TrueNegatives),
    TruePositives,
)
NAMES: dict[str, type[Metric]] = {
    cls.default_name or _check.snake_case(cls.__name__): cls for cls in _KINDS
} | {
    **{"mse": MeanSquaredError, "MSE": MeanSquaredError},
    **{"mae": MeanAbsoluteError, "MAE": MeanAbsoluteError},
    **{"mape": MeanAbsolutePercentageError, "MAPE": MeanAbsolutePercentageError},
    **{"msle": MeanSquaredLogarithmicError, "MSLE": MeanSquaredLogarithmicError},
    **{"rmse": RootMeanSquaredError, "f1_score": F1Score, "fbeta_score": FBetaScore},
    **{"kld": KLDivergence, "bce": BinaryCrossentropy, "log_cosh": LogCoshError},
}
# What depends on labels and outputs: name -> (one output, class numbers, rows).
CHOSEN: dict[str, tuple[type[Metric], type[Metric], type[Metric]]] = {
    "accuracy": (BinaryAccuracy, SparseCategoricalAccuracy, CategoricalAccuracy),
    "crossentropy": (BinaryCrossentropy, SparseCategoricalCrossentropy, CategoricalCrossentropy),
}
CHOSEN |= {"acc": CHOSEN["accuracy"], "ce": CHOSEN["crossentropy"]}


def get(identifier: Any, label_kind: str = "values", outputs: int = 1) -> Metric:
    """Return a metric from its name, class, function, config or instance.

    "accuracy" and "crossentropy" are chosen by labels and outputs, as in Keras. A wrong name
    suggests the nearest.
    """
    if isinstance(identifier, str):
        if identifier in CHOSEN:
            one, numbers, rows = CHOSEN[identifier]
            cls = numbers if label_kind == "integer" else one if outputs == 1 else rows
            return cls(name=identifier)
        known = {**NAMES, **{cls.__name__: cls for cls in NAMES.values()}}
        name = _check.one_of("compile", "metrics", identifier, (*known, *CHOSEN))
        return known[name](name=identifier)
    if callable(identifier) and not isinstance(identifier, Metric | type):
        return MeanMetricWrapper(identifier)
    return _lookup.find("compile", "metrics", identifier, Metric, NAMES)


if not TYPE_CHECKING:
    __getattr__ = _check.missing_from(__name__, __all__)
