"""Mean losses of a batch; a loss op computes its gradient along with itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from convkit import _check
from convkit.ops.activation import ActivationForward
from convkit.ops.base import Op, Struct, check_real, check_shape, emit, sized
from convkit.ops.elementwise import affine
from convkit.ops.softmax import SoftmaxForward

if TYPE_CHECKING:
    from convkit.graph import Tensor

LOSS_SUM = Struct("ck_loss_sum", "total a b", "", "weight_a weight_b")
CROSS_ENTROPY = Struct(
    "ck_cross_entropy",
    "loss mean_loss probabilities dx x labels weights",
    "n positions classes label_kind from_logits reduction focal",
    "label_smoothing alpha gamma",
)
ELEMENT_LOSS = Struct(
    "ck_element_loss",
    "loss mean_loss dx x target weights",
    "n positions cols kind reduction",
    "label_smoothing alpha gamma",
)

# In the order of enum ck_reduction.
REDUCTIONS = ("sum_over_batch_size", "sum", "mean_with_sample_weight")

# In the order of enum ck_element_loss_kind.
ELEMENT_LOSSES = (
    *("mean_absolute_error", "mean_absolute_percentage_error"),
    *("binary_crossentropy", "binary_crossentropy_logits"),
    *("binary_focal_crossentropy", "binary_focal_crossentropy_logits"),
    *("hinge", "huber", "kl_divergence", "log_cosh", "poisson", "mean_squared_error"),
    *("squared_hinge", "mean_squared_logarithmic_error", "mean"),
)
SIGMOID = _check.ACTIVATIONS["sigmoid"][0]


class _Loss(Op):
    is_loss = True
    share: float = 1.0  # the loss's factor in the total of several, if it is part of one

    def gradient(self, dy: Mapping[str, Tensor], needs: set[str]) -> dict[str, Tensor]:
        """Return dx of the mean loss, by itself: a mean loss is where gradients start."""
        if needs != {"x"}:
            raise ValueError("gradients: labels, targets and weights must not depend on variables")
        dx = self.outputs["dx"]
        return {"x": dx if self.share == 1 else affine(dx, self.share, 0.0)}

    def mean_loss(self) -> Tensor:
        """Emit the op; return its mean loss, which carries the losses of the single samples."""
        x = self.inputs["x"]
        losses = {"mean_loss": ((1,), "float64"), "loss": x.shape[:1], "dx": x.shape}
        outputs = emit(self, **losses)
        outputs["mean_loss"].per_sample = outputs["loss"]
        return outputs["mean_loss"]


class LossSum(Op):
    """total = weight_a a + weight_b b of two mean losses."""

    kernel = "loss_sum"
    struct = LOSS_SUM
    is_loss = True

    def gradient(self, dy: Mapping[str, Tensor], needs: set[str]) -> dict[str, Tensor]:
        """Let the losses' own gradients start: they know their factors."""
        return {role: self.outputs["total"] for role in sorted(needs)}


class CrossEntropy(_Loss):
    """Cross-entropy of softmax(x), or of probabilities x, with labels.

    The compiler makes a softmax of the same x an output of this op, `probabilities`.
    """

    kernel = "cross_entropy"
    struct = CROSS_ENTROPY
    in_place = (("dx", "x"),)
    optional = frozenset({"mean_loss", "loss", "probabilities", "dx"})


class ElementLoss(_Loss):
    """Sum or mean over the last axis of a function of x and target, element by element."""

    kernel = "element_loss"
    struct = ELEMENT_LOSS
    in_place = (("dx", "x"), ("dx", "target"))
    optional = frozenset({"mean_loss", "loss", "dx"})


def _smoothing(function: str, value: float) -> float:
    smoothing = _check.number(function, "label_smoothing", value)
    if not 0 <= smoothing <= 1:
        raise ValueError(
            f"{function}: label_smoothing must lie in [0, 1], got label_smoothing={smoothing!r}"
        )
    return smoothing


def reduction_number(function: str, reduction: str) -> int:
    """Return the struct's number of a reduction by name."""
    return REDUCTIONS.index(_check.one_of(function, "reduction", reduction, REDUCTIONS))


def softmax_cross_entropy(
    logits: Tensor,
    labels: Tensor,
    weights: Tensor | None = None,
    *,
    label_smoothing: float = 0.0,
    from_logits: bool = True,
    focal: tuple[float, float] | None = None,
    reduction: str = "sum_over_batch_size",
) -> Tensor:
    """Emit the mean cross-entropy of (N, ..., K) logits, or of probabilities if not from_logits.

    labels are int64 class numbers (N, ...) or probabilities (N, ..., K), weights (N,). With focal =
    (alpha, gamma) every term counts alpha (1 - p)^gamma times. Probabilities that a softmax
    computed are taken as the logits behind it, without clipping; others are normalized and clipped
    as Keras does. `per_sample` of the result holds the losses before weighting.
    """
    function = "softmax_cross_entropy"
    check_real(function, logits=logits, weights=weights)
    if len(logits.shape) < 2:
        raise ValueError(
            f"{function}: logits must have at least 2 axes (N, ..., K), got logits of shape"
            f" {logits.shape}"
        )
    if not from_logits and isinstance(logits.op, SoftmaxForward):
        logits, from_logits = logits.op.inputs["x"], True
    smoothing = _smoothing(function, label_smoothing)
    alpha, gamma = focal or (1.0, 0.0)
    integers = labels.dtype == "int64"
    if integers:
        check_shape(function, "labels", labels, logits.shape[:-1])
    else:
        check_real(function, labels=labels)
        check_shape(function, "labels", labels, logits.shape)
    check_shape(function, "weights", weights, logits.shape[:1])
    inputs = {"x": logits, "labels": labels, "weights": weights}
    shape = logits.shape
    op = CrossEntropy(inputs, **sized(n=shape[:1], positions=shape[1:-1], classes=shape[-1:]))
    op.numbers |= {
        **{"label_kind": 0 if integers else 1, "from_logits": int(from_logits)},
        **{"reduction": reduction_number(function, reduction), "focal": int(focal is not None)},
        **{"label_smoothing": smoothing, "alpha": alpha, "gamma": gamma},
    }
    return op.mean_loss()


def element_loss(
    kind: str,
    pred: Tensor,
    target: Tensor | None,
    weights: Tensor | None = None,
    *,
    label_smoothing: float = 0.0,
    alpha: float = 0.0,
    gamma: float = 0.0,
    reduction: str = "sum_over_batch_size",
) -> Tensor:
    """Emit the mean over samples of a loss of single elements, one of ELEMENT_LOSSES by name.

    A sample's loss is the mean over its elements (kl_divergence: the sum over the last axis, and
    the mean over the others). target has pred's shape, weights (N,). alpha is Huber's delta, or the
    balance of focal losses (negative for none), gamma their exponent. A binary cross-entropy of
    what a sigmoid computed takes the logits behind it, without clipping.
    """
    function = kind if kind in ELEMENT_LOSSES else "element_loss"
    _check.one_of(function, "kind", kind, ELEMENT_LOSSES)
    check_real(function, pred=pred, target=target, weights=weights)
    if kind + "_logits" in ELEMENT_LOSSES and _is_sigmoid(pred.op):
        pred, kind = pred.op.inputs["x"], kind + "_logits"  # type: ignore[union-attr]
    check_shape(function, "target", target, pred.shape)
    check_shape(function, "weights", weights, pred.shape[:1])
    inputs = {"x": pred, "target": target, "weights": weights}
    shape = pred.shape
    op = ElementLoss(inputs, **sized(n=shape[:1], positions=shape[1:-1], cols=shape[1:][-1:]))
    op.numbers |= {
        **{"kind": ELEMENT_LOSSES.index(kind), "alpha": alpha, "gamma": gamma},
        **{"label_smoothing": _smoothing(function, label_smoothing)},
        **{"reduction": reduction_number(function, reduction)},
    }
    return op.mean_loss()


def _is_sigmoid(op: Op | None) -> bool:
    return isinstance(op, ActivationForward) and op.numbers["activation"] == SIGMOID


def mean_squared_error(pred: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
    """Emit the mean over samples of the mean of (pred - target)^2 over all other axes."""
    return element_loss("mean_squared_error", pred, target, weights)


def mean_loss(values: Tensor, weights: Tensor | None = None, **options: str) -> Tensor:
    """Emit the mean over samples of what ops computed, so that it can be trained on.

    values are (N, ...): a sample's loss is the mean over its other axes. `reduction` as in Keras.
    """
    return element_loss("mean", values, None, weights, **options)  # type: ignore[arg-type]


def total_loss(losses: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """Emit the sum of mean losses times their weights, which is a mean loss again.

    The losses are the direct results of loss ops. A single one of weight 1 is its own total.
    """
    function = "total_loss"
    factors = [_check.number(function, "weights", weight) for weight in weights]
    if not losses or len(losses) != len(factors):
        raise ValueError(
            f"{function}: there must be as many weights as losses, got {len(losses)} losses and"
            f" weights={factors}"
        )
    for loss in losses:
        if not isinstance(loss.op, _Loss):
            raise ValueError(f"{function}: losses must be the results of losses, got {loss!r}")
    if factors == [1.0]:
        return losses[0]
    for loss, factor in zip(losses, factors, strict=True):
        loss.op.share = factor  # type: ignore[union-attr]
    total, factor = losses[0], factors[0]
    rest: list[tuple[Tensor | None, float]] = list(zip(losses[1:], factors[1:], strict=True))
    for other, weight in rest or [(None, 0.0)]:
        op = LossSum({"a": total, "b": other}, {"weight_a": factor, "weight_b": weight})
        total, factor = emit(op, total=((1,), "float64"))["total"], 1.0
    return total
