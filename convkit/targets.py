"""What a model is trained for: a loss, its weight and metrics for every output."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from convkit import _check, metrics, ops
from convkit.graph import Graph, Tensor
from convkit.losses import Loss
from convkit.metrics import Metric

__all__ = [
    "Handles",
    "Target",
    "each",
    "emit_losses",
    "find_metric",
    "listed",
    "make_targets",
    "per_output",
]


@dataclass
class Target:
    """What is trained for at one output: its loss, the loss's weight in the total, its metrics."""

    name: str
    loss: Loss | None
    weight: float
    metrics: list[Metric]
    weighted_metrics: list[Metric]

    @property
    def all_metrics(self) -> list[Metric]:
        """All metrics, those with weights last."""
        return [*self.metrics, *self.weighted_metrics]


def make_targets(
    names: Sequence[str],
    sizes: Sequence[int],
    loss: Any,
    loss_weights: Any,
    metrics_wanted: tuple[Any, Any],
) -> list[Target]:
    """Return the targets of outputs, by their names and last axes, from compile's arguments.

    metrics_wanted holds those without weights of samples, then those with them.
    """
    losses = per_output("loss", loss, names)
    factors = per_output("loss_weights", loss_weights, names)
    plain, weighted = (_metrics_per_output(wanted, names) for wanted in metrics_wanted)
    if not any(losses):
        raise ValueError(f"compile: loss must name a loss for an output, got {loss!r}")
    targets = []
    for name, size, chosen, factor, *wanted in zip(
        names, sizes, losses, factors, plain, weighted, strict=True
    ):
        kind = chosen.label_kind if chosen else "values"
        weight = 1.0 if factor is None else _check.number("compile", "loss_weights", factor)
        lists = [listed(some) for some in wanted]
        if any(lists) and chosen is None:
            raise ValueError(f"compile: metrics of output {name!r} need a loss for it")
        made = [[find_metric(value, kind, size) for value in some] for some in lists]
        targets.append(Target(name, chosen, weight, *made))
        _number_equal_names(targets[-1].all_metrics)
    all_metrics = [id(found) for target in targets for found in target.all_metrics]
    if len(set(all_metrics)) < len(all_metrics):
        raise ValueError("compile: every output needs metric objects of its own")
    return targets


@dataclass
class Handles:
    """The tensors of a training or evaluation graph that batches are fed to and read from.

    y, weights, losses and preds are by output; losses and y are None where there is no loss.
    """

    x: list[Tensor]
    y: list[Tensor | None]
    weights: list[Tensor | None]
    total: Tensor
    losses: list[Tensor | None]
    preds: list[Tensor]


def emit_losses(
    graph: Graph,
    targets: Sequence[Target],
    inputs: list[Tensor],
    preds: list[Tensor],
    weighted: Sequence[bool],
) -> Handles:
    """Emit the losses of the outputs' predictions, `weighted` or not, and their total.

    The total is their weighted sum, with the penalties of all variables that training changes.
    """
    handles = Handles(inputs, [], [], preds[0], [], preds)
    for target, pred, has_weights in zip(targets, preds, weighted, strict=True):
        y = weights = loss = None
        if target.loss is not None:
            integer = target.loss.label_kind == "integer"
            shape = pred.shape[:-1] if integer else pred.shape
            y = graph.input(shape, "int64" if integer else "real")
            y.name = "y"
            weights = graph.input((None,), name="weights") if has_weights else None
            labels = y
            for mixture in graph.mixtures:
                labels = ops.mix_labels(labels, pred.shape[-1] or 0, mixture)
            loss = target.loss.emit(pred, labels, weights)
        handles.y.append(y)
        handles.weights.append(weights)
        handles.losses.append(loss)
    pairs = [(loss, t.weight) for loss, t in zip(handles.losses, targets, strict=True) if loss]
    total = ops.total_loss([loss for loss, _ in pairs], [weight for _, weight in pairs])
    for variable in graph.variables:
        penalty = variable.regularizer
        if penalty is not None and variable.trainable:
            total = ops.penalty(total, graph.variable(variable), penalty.l1, penalty.l2)
    handles.total = total
    return handles


def each(get: Callable[[Any], Any], value: Any) -> Any:
    """Resolve a name or instance, or all of those in lists and dicts; None stays None."""
    if value is None:
        return None
    if isinstance(value, list | tuple):
        return [each(get, item) for item in value]
    if isinstance(value, dict):
        return {key: each(get, item) for key, item in value.items()}
    return get(value)


def per_output(what: str, value: Any, names: Sequence[str], function: str = "compile") -> list[Any]:
    """Return one value per output, from one for all, a list, or a dict by name."""
    if isinstance(value, dict):
        for name in value:
            _check.one_of(function, f"output name in {what}", name, names)
        return [value.get(name) for name in names]
    if value is None or not isinstance(value, list | tuple):
        return [value] * len(names)
    if len(value) != len(names):
        raise ValueError(
            f"{function}: {what} must have one entry per output ({', '.join(names)}), or be a dict"
            f" by name, got {len(value)} entries"
        )
    return list(value)


def find_metric(value: Any, label_kind: str = "values", outputs: int = 2) -> Metric:
    """Return a metric for an output of as many values, from its name, class or instance."""
    return metrics.get(value, label_kind, outputs)


def listed(value: Any) -> list[Any]:
    """Return a list of what is one, None or a list."""
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def _metrics_per_output(wanted: Any, names: Sequence[str]) -> list[Any]:
    """Return what is wanted of every output; of a single one a list is all its own."""
    if len(names) > 1 or isinstance(wanted, dict):
        return per_output("metrics", wanted, names)
    return [wanted]


def _number_equal_names(found: Sequence[Metric]) -> None:
    """Number the later ones of metrics that have one name."""
    counts: dict[str, int] = {}
    for one in found:
        number = counts.get(one.name, 0)
        counts[one.name] = number + 1
        if number:
            one.name = f"{one.name}_{number}"
