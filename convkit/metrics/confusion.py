"""Metrics that count right and wrong positives: precision, recall, F1, AUC, confusion matrices.

Labels may be like the predictions (0 and 1), or class numbers where predictions are rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from convkit import _check
from convkit.losses.base import like_prediction, row_weights
from convkit.metrics.accuracy import class_numbers
from convkit.metrics.base import Array, Metric

EPSILON = 1e-7


def _labels_and_weights(
    function: str, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None
) -> tuple[Array, Array, Array]:
    """Return (true as bools, predictions, weights), all (N, columns)."""
    pred, true = np.asarray(y_pred), np.asarray(y_true)
    if pred.ndim < 2:
        pred, true = pred.reshape(-1, 1), true.reshape(-1, 1)
    elif true.shape != pred.shape and pred.shape[-1] > 1:
        numbers = class_numbers(true, pred).astype(np.int64)
        true = numbers[..., None] == np.arange(pred.shape[-1])
    true = like_prediction(function, true, pred.shape) > 0.5
    weights = row_weights(function, sample_weight, pred)
    weights = np.ones(pred.shape) if weights is None else weights
    columns = pred.shape[-1]
    return true.reshape(-1, columns), pred.reshape(-1, columns), weights.reshape(-1, columns)


def _ratio(a: Array, b: Array) -> Array:
    """Divide, giving 0 for a division by 0."""
    return np.divide(a, b, out=np.zeros(np.broadcast_shapes(a.shape, b.shape)), where=b != 0)


class _AtThresholds(Metric):
    """Sums of weights of true and false positives and negatives at every threshold."""

    def __init__(
        self,
        thresholds: float | Sequence[float] | None = None,
        top_k: int | None = None,
        class_id: int | None = None,
        name: str | None = None,
    ) -> None:
        function = type(self).__name__
        self.thresholds = thresholds
        self.top_k = None if top_k is None else _check.integer(function, "top_k", top_k)
        self.class_id = (
            None if class_id is None else _check.integer(function, "class_id", class_id, 0)
        )
        self._several = _check.is_sequence(thresholds)
        limits = list(thresholds) if self._several else [thresholds]  # type: ignore[arg-type]
        if thresholds is None:
            # Those not among the top k are -inf then: the others are all above.
            limits = [0.5 if top_k is None else -np.inf]
            self._limits = np.array(limits)
        else:
            self._limits = np.array([_check.fraction(function, "thresholds", t) for t in limits])
        super().__init__(name)

    def reset_state(self) -> None:
        """Forget all batches."""
        self._sums = np.zeros((4, len(self._limits)))

    def update_state(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> None:
        """Count a batch in."""
        function = type(self).__name__
        true, pred, weights = _labels_and_weights(function, y_true, y_pred, sample_weight)
        if self.top_k is not None:
            kept = np.argsort(-pred, axis=-1, kind="stable")[:, : self.top_k]
            chosen = np.full(pred.shape, -np.inf)
            np.put_along_axis(chosen, kept, np.take_along_axis(pred, kept, -1), -1)
            pred = chosen
        if self.class_id is not None:
            if self.class_id >= pred.shape[-1]:
                raise ValueError(
                    f"{function}: class_id must be below the {pred.shape[-1]} outputs, got"
                    f" class_id={self.class_id}"
                )
            column = slice(self.class_id, self.class_id + 1)
            true, pred, weights = true[:, column], pred[:, column], weights[:, column]
        for i, limit in enumerate(self._limits):
            positive = pred > limit
            for j, cells in enumerate(
                (true & positive, ~true & positive, ~true & ~positive, true & ~positive)
            ):
                self._sums[j, i] += weights[cells].sum()

    def _value(self, values: Array) -> Any:
        return values.copy() if self._several else float(values[0])


class Precision(_AtThresholds):
    """The share of right ones among positives: tp / (tp + fp), at 0.5 or at `thresholds`.

    With top_k, the k largest outputs of a row are its positives; class_id looks at one output only.
    """

    def result(self) -> Any:
        """Return a number, or an array for a list of thresholds."""
        tp, fp, _tn, _fn = self._sums
        return self._value(_ratio(tp, tp + fp))


class Recall(_AtThresholds):
    """The share found of all ones: tp / (tp + fn); arguments as Precision's."""

    def result(self) -> Any:
        """Return a number, or an array for a list of thresholds."""
        tp, _fp, _tn, fn = self._sums
        return self._value(_ratio(tp, tp + fn))


class _Count(_AtThresholds):
    row = 0

    def __init__(
        self, thresholds: float | Sequence[float] | None = None, name: str | None = None
    ) -> None:
        super().__init__(thresholds, name=name)

    def result(self) -> Any:
        """Return a number, or an array for a list of thresholds."""
        return self._value(self._sums[self.row])


class TruePositives(_Count):
    """How many ones are above the threshold."""


class FalsePositives(_Count):
    """How many zeros are above the threshold."""

    row = 1


class TrueNegatives(_Count):
    """How many zeros are not above the threshold."""

    row = 2


class FalseNegatives(_Count):
    """How many ones are not above the threshold."""

    row = 3


class FBetaScore(Metric):
    """(1 + beta^2) precision recall / (beta^2 precision + recall), for every class.

    average=None gives an array, "micro" counts all classes together, "macro" is the mean,
    "weighted" the mean weighted by how often classes are true. threshold=None takes the largest
    output of a row.
    """

    def __init__(
        self,
        average: str | None = None,
        beta: float = 1.0,
        threshold: float | None = None,
        name: str | None = None,
    ) -> None:
        function = type(self).__name__
        if average is not None:
            _check.one_of(function, "average", average, ("micro", "macro", "weighted"))
        self.average, self.beta = average, _check.number(function, "beta", beta)
        self.threshold = (
            None if threshold is None else _check.fraction(function, "threshold", threshold)
        )
        if self.beta <= 0:
            raise ValueError(f"{function}: beta must be positive, got beta={beta!r}")
        super().__init__(name)

    def reset_state(self) -> None:
        """Forget all batches."""
        self._sums: Any = 0.0

    def update_state(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> None:
        """Count a batch in."""
        function = type(self).__name__
        true, pred, weights = _labels_and_weights(function, y_true, y_pred, sample_weight)
        if self.threshold is None:
            positive = pred.argmax(axis=-1)[:, None] == np.arange(pred.shape[-1])
        else:
            positive = pred > self.threshold
        axis = None if self.average == "micro" else 0
        cells = (true & positive, ~true & positive, true & ~positive, true)
        self._sums = self._sums + np.stack([np.sum(c * weights, axis) for c in cells])

    def result(self) -> Any:
        """Return an array of classes, or a number with an average."""
        if np.ndim(self._sums) == 0:
            return 0.0
        tp, fp, fn, ones = self._sums
        precision = tp / (tp + fp + EPSILON)
        recall = tp / (tp + fn + EPSILON)
        square = self.beta**2
        score = (1 + square) * precision * recall / (square * precision + recall + EPSILON)
        if self.average == "weighted":
            return float((score * ones).sum() / (ones.sum() + EPSILON))
        return score if self.average is None else float(np.mean(score))


class F1Score(FBetaScore):
    """The harmonic mean of precision and recall; arguments as FBetaScore's."""

    def __init__(
        self, average: str | None = None, threshold: float | None = None, name: str | None = None
    ) -> None:
        super().__init__(average, 1.0, threshold, name or "f1_score")


class AUC(Metric):
    """The area under the ROC or PR curve, from counts at num_thresholds evenly spaced thresholds.

    Predictions lie in [0, 1], or are logits if from_logits. multi_label takes every output by
    itself and gives the mean. PR areas are interpolated as in Davis and Goadrich, 2006.
    """

    default_name = "auc"

    def __init__(
        self,
        num_thresholds: int = 200,
        curve: str = "ROC",
        summation_method: str = "interpolation",
        name: str | None = None,
        thresholds: Sequence[float] | None = None,
        multi_label: bool = False,
        from_logits: bool = False,
    ) -> None:
        self.curve = _check.one_of("AUC", "curve", curve, ("ROC", "PR"))
        methods = ("interpolation", "minoring", "majoring")
        self.summation_method = _check.one_of("AUC", "summation_method", summation_method, methods)
        self.thresholds = None if thresholds is None else list(thresholds)
        self.multi_label, self.from_logits = bool(multi_label), bool(from_logits)
        self.num_thresholds = _check.integer("AUC", "num_thresholds", num_thresholds, 2)
        if thresholds is None:
            inner = np.arange(1, self.num_thresholds - 1) / (self.num_thresholds - 1)
        else:
            given = [_check.fraction("AUC", "thresholds", t) for t in thresholds]
            inner = np.sort(np.array(given, np.float64))
        self._limits = np.concatenate([[-EPSILON], inner, [1 + EPSILON]])
        super().__init__(name)

    def reset_state(self) -> None:
        """Forget all batches."""
        self._sums: Any = None

    def update_state(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> None:
        """Count a batch in."""
        true, pred, weights = _labels_and_weights("AUC", y_true, y_pred, sample_weight)
        if self.from_logits:
            pred = 0.5 * (1 + np.tanh(0.5 * pred.astype(np.float64)))
        if pred.size and not 0 <= pred.min() <= pred.max() <= 1:
            raise ValueError(
                f"AUC: y_pred must lie in [0, 1], got values from {pred.min()} to {pred.max()}; use"
                " from_logits=True for logits"
            )
        if not self.multi_label:
            true, pred, weights = (a.reshape(-1, 1) for a in (true, pred, weights))
        # A prediction is positive at the thresholds below it: the first `above` of them.
        above = np.searchsorted(self._limits, pred)
        columns, size = pred.shape[-1], len(self._limits) + 1
        cell = above + size * np.arange(columns)
        sums = np.empty((2, columns, size))
        for i, chosen in enumerate((true, ~true)):
            found = np.bincount(cell[chosen], weights[chosen], columns * size)
            sums[i] = found.reshape(columns, size)
        self._sums = sums if self._sums is None else self._sums + sums

    def result(self) -> float:
        """Return the area so far, 0.0 before the first batch."""
        if self._sums is None:
            return 0.0
        positives = self._sums[:, :, ::-1].cumsum(-1)[:, :, ::-1]  # with at least so many below
        tp, fp = positives[:, :, 1:]
        fn, tn = positives[0, :, :1] - tp, positives[1, :, :1] - fp
        if self.curve == "PR" and self.summation_method == "interpolation":
            return float(_interpolated_pr(tp, fp, fn).mean())
        recall = _ratio(tp, tp + fn)
        x, y = (
            (_ratio(fp, fp + tn), recall) if self.curve == "ROC" else (recall, _ratio(tp, tp + fp))
        )
        sides = {"interpolation": (y[:, :-1] + y[:, 1:]) / 2}
        sides["minoring"] = np.minimum(y[:, :-1], y[:, 1:])
        sides["majoring"] = np.maximum(y[:, :-1], y[:, 1:])
        areas = ((x[:, :-1] - x[:, 1:]) * sides[self.summation_method]).sum(-1)
        return float(areas.mean())


def _interpolated_pr(tp: Array, fp: Array, fn: Array) -> Array:
    """Integrate precision over recall: between thresholds, true positives are linear in all."""
    p = tp + fp
    dtp, dp = tp[:, :-1] - tp[:, 1:], p[:, :-1] - p[:, 1:]
    slope = _ratio(dtp, dp)
    intercept = tp[:, 1:] - slope * p[:, 1:]
    both = (p[:, :-1] > 0) & (p[:, 1:] > 0)
    ratio = np.divide(p[:, :-1], p[:, 1:], out=np.ones(dp.shape), where=both)
    pieces = slope * (dtp + intercept * np.log(ratio))
    return _ratio(pieces, tp[:, 1:] + fn[:, 1:]).sum(-1)


def confusion_matrix(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    num_classes: int | None = None,
    sample_weight: ArrayLike | None = None,
) -> Array:
    """Count predictions by class: row i, column j holds how often class i was taken for j.

    Both may be class numbers (N,) or rows (N, K), of which the largest counts. Counts are int64, or
    sums of weights in float64. Raises ValueError for numbers outside of [0, num_classes).
    """
    true, pred = (_as_numbers(a) for a in (y_true, y_pred))
    if true.shape != pred.shape:
        raise ValueError(
            f"confusion_matrix: y_true and y_pred must be as many, got shapes {np.shape(y_true)}"
            f" and {np.shape(y_pred)}"
        )
    most = int(max(true.max(initial=-1), pred.max(initial=-1)))
    least = int(min(true.min(initial=0), pred.min(initial=0)))
    classes = most + 1 if num_classes is None else num_classes
    if least < 0 or most >= classes:
        raise ValueError(
            f"confusion_matrix: class numbers must lie in [0, {classes}), got values from {least}"
            f" to {most}"
        )
    weights = row_weights("confusion_matrix", sample_weight, true)
    cells = np.bincount(true * classes + pred, weights, classes * classes)
    return cells.reshape(classes, classes)


def _as_numbers(y: ArrayLike) -> Array:
    array = np.asarray(y)
    if array.ndim > 1 and array.shape[-1] > 1:
        array = array.argmax(axis=-1)
    return array.reshape(-1).astype(np.int64)


class ConfusionMatrix(Metric):
    """How often class i (row) was taken for class j (column), as an array of both."""

    def __init__(self, num_classes: int, name: str | None = None) -> None:
        self.num_classes = _check.integer("ConfusionMatrix", "num_classes", num_classes)
        super().__init__(name)

    def reset_state(self) -> None:
        """Forget all batches."""
        self._cells: Any = np.zeros((self.num_classes, self.num_classes), np.int64)

    def update_state(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> None:
        """Count a batch in."""
        cells = confusion_matrix(y_true, y_pred, self.num_classes, sample_weight)
        self._cells = self._cells + cells

    def result(self) -> Array:
        """Return the counts so far."""
        copy: Array = self._cells.copy()
        return copy
