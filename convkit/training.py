"""compile, fit and evaluate: loops over batches that only move pointers and run programs."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from convkit import _check, data, losses, metrics, ops, optimizers, runtime
from convkit.callbacks import CallbackList, History, ProgressBar
from convkit.graph import Tensor

if TYPE_CHECKING:
    import threading

Array = NDArray[Any]


@dataclass
class Batches:
    """Samples with their labels and weights, ready to be gathered from."""

    x: Array
    y: Array
    weights: Array | None

    def __len__(self) -> int:
        return len(self.x)


@dataclass
class Handles:
    """The tensors of a training or evaluation graph that batches are fed to and read from."""

    x: Tensor
    y: Tensor
    weights: Tensor | None
    loss: Tensor
    pred: Tensor


class Trainer:
    """What a model needs for training; `Model` adds the layers."""

    if TYPE_CHECKING:
        _lock: threading.RLock
        _outputs: list[Any]
        dtype: str
        output_shape: Any
        input_shape: Any
        _graph: Any
        _replay: Any
        _program: Any
        _require_built: Any
        _forget_programs: Any

    def __init__(self) -> None:
        self.optimizer: optimizers.Optimizer | None = None
        self.loss: losses.Loss | None = None
        self.stop_training = False
        self.history: History | None = None
        self._metrics_wanted: list[Any] = []
        self._metrics: list[metrics.Metric] | None = None
        self._fitting = False

    def compile(self, optimizer: Any = "rmsprop", loss: Any = None, metrics: Any = None) -> None:
        """Choose optimizer, loss and metrics: names or instances. Structure is read anew from here.

        Raises ValueError for names that do not exist, with the nearest that does.
        """
        chosen = optimizers.get(optimizer)
        chosen_loss = None if loss is None else losses.get(loss)
        if metrics is None:
            wanted: list[Any] = []
        else:
            wanted = list(metrics) if isinstance(metrics, list | tuple) else [metrics]
        kind = chosen_loss.label_kind if chosen_loss else "values"
        for metric in wanted:
            _metric(metric, kind, 2)
        self.optimizer, self.loss = chosen, chosen_loss
        self._metrics_wanted, self._metrics = wanted, None
        if hasattr(self, "_calls"):
            self._forget_programs()

    # ---- data ----------------------------------------------------------------------------------

    def _batches(
        self, function: str, x: Any, y: Any, sample_weight: Any = None, class_weight: Any = None
    ) -> Batches:
        if self.optimizer is None or self.loss is None:
            raise RuntimeError(f"{function}: compile the model first, with a loss")
        if y is None:
            raise ValueError(f"{function}: y must be given, got y=None")
        if len(self._outputs) != 1:
            raise ValueError(f"{function}: training needs a model with one output")
        array = data.samples(function, x, self.input_shape)
        if len(array) == 0:
            raise ValueError(
                f"{function}: x must hold at least one sample, got shape {array.shape}"
            )
        output = self._outputs[0].shape
        labels = data.labels(function, y, self.loss, output, len(array))
        weights = data.weights(function, sample_weight, class_weight, labels, self.loss)
        if self._metrics is None:
            kind, outputs = self.loss.label_kind, int(output[-1])
            self._metrics = [_metric(m, kind, outputs) for m in self._metrics_wanted]
        return Batches(array, labels, weights)

    def _loss_graph(self, training: bool, weighted: bool) -> Any:
        assert self.loss is not None and self.optimizer is not None
        graph = self._graph()
        x, results = self._replay(graph, training)
        pred = results[id(self._outputs[0])]
        if self.loss.label_kind == "integer":
            y = graph.input((None,), "int64", "y")
        else:
            y = graph.input(pred.shape, name="y")
        weights = graph.input((None,), name="weights") if weighted else None
        loss = self.loss.emit(pred, y, weights)
        for variable in graph.variables:
            penalty = variable.regularizer
            if penalty is not None and variable.trainable:
                loss = ops.penalty(loss, graph.variable(variable), penalty.l1, penalty.l2)
        if training:
            self.optimizer.emit(graph, graph.gradients(loss))
        return graph, [loss, pred], Handles(x, y, weights, loss, pred)

    def _run_batch(
        self, batches: Batches, rows: NDArray[np.int64], training: bool
    ) -> tuple[float, Array]:
        """Run one batch; return its mean loss and the predictions (a view)."""
        weighted = batches.weights is not None
        mode = ("train" if training else "evaluate", weighted)
        program, handles = self._program(
            mode, len(rows), lambda: self._loss_graph(training, weighted)
        )
        program.feed(handles.x, batches.x, rows)
        program.feed(handles.y, batches.y, rows)
        if weighted:
            program.feed(handles.weights, batches.weights, rows)
        if training:
            assert self.optimizer is not None
            self.optimizer.before_step()
        program.run()
        return float(program.view(handles.loss)[0]), program.view(handles.pred)

    def _pass(
        self, batches: Batches, order: NDArray[np.int64], size: int, training: bool, hooks: Any
    ) -> dict[str, float]:
        """Run all batches in an order; return loss and metrics."""
        assert self._metrics is not None
        total = 0.0
        for metric in self._metrics:
            metric.reset_state()
        begins = hooks is not None and hooks.listens("on_train_batch_begin")
        ends = hooks is not None and hooks.listens("on_train_batch_end")
        seen = 0
        for batch, start in enumerate(range(0, len(order), size)):
            rows = order[start : start + size]
            if begins:
                hooks.call("on_train_batch_begin", batch, {})
            loss, pred = self._run_batch(batches, rows, training)
            total += loss * len(rows)
            seen += len(rows)
            if self._metrics:
                y = batches.y[rows]
                weights = None if batches.weights is None else batches.weights[rows]
                for metric in self._metrics:
                    metric.update_state(y, pred, weights)
            if ends:
                hooks.call("on_train_batch_end", batch, self._logs(total / seen))
                if self.stop_training:
                    break
        return self._logs(total / seen)

    def _logs(self, loss: float) -> dict[str, float]:
        assert self._metrics is not None
        return {"loss": loss} | {metric.name: metric.result() for metric in self._metrics}

    # ---- public --------------------------------------------------------------------------------

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = 32,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: Any = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
    ) -> History:
        """Train on samples x with labels y; returns the History of loss and metrics.

        validation_split keeps the last share of the samples for validation; validation_data is
        (x, y) or (x, y, sample_weight). Everything is checked before the first step.
        """
        size = 32 if batch_size is None else _check.integer("fit", "batch_size", batch_size)
        epochs = _check.integer("fit", "epochs", epochs, 0)
        initial_epoch = _check.integer("fit", "initial_epoch", initial_epoch, 0)
        share = _check.number("fit", "validation_split", validation_split)
        if not 0 <= share < 1:
            raise ValueError(f"fit: validation_split must lie in [0, 1), got {validation_split!r}")
        with self._lock:
            if self._fitting:
                raise RuntimeError(
                    "fit: this model is training already; a nested fit is not allowed"
                )
            self._require_built("fit", x)
            batches = self._batches("fit", x, y, sample_weight, class_weight)
            validation = None
            if validation_data is not None:
                if not isinstance(validation_data, list | tuple) or len(validation_data) not in (
                    2,
                    3,
                ):
                    raise ValueError("fit: validation_data must be (x, y) or (x, y, sample_weight)")
                validation = self._batches("fit: validation_data", *validation_data)
            count = len(batches)
            if validation is None and share:
                kept = int(count * (1 - share))
                if kept < 1 or kept == count:
                    raise ValueError(
                        f"fit: validation_split={validation_split!r} of {count} samples leaves no"
                        " samples for one of both sides"
                    )
                cut = slice(kept, None)
                validation = Batches(
                    *(batches.x[cut], batches.y[cut]),
                    None if batches.weights is None else batches.weights[cut],
                )
                count = kept
            self._fitting, self.stop_training = True, False
            try:
                return self._fit(
                    batches,
                    count,
                    size,
                    epochs,
                    verbose,
                    callbacks,
                    validation,
                    shuffle,
                    initial_epoch,
                )
            finally:
                self._fitting = False

    def _fit(
        self,
        batches: Batches,
        count: int,
        size: int,
        epochs: int,
        verbose: Any,
        callbacks: Any,
        validation: Batches | None,
        shuffle: bool,
        initial_epoch: int,
    ) -> History:
        history = self.history = History()
        bar = ProgressBar(_verbosity(verbose), count)
        given = (
            callbacks if isinstance(callbacks, list | tuple) else [callbacks] if callbacks else []
        )
        steps = -(-count // size)
        hooks = CallbackList(
            [*given, history, *([bar] if bar.verbose else [])],
            self,  # type: ignore[arg-type]
            epochs=epochs,
            steps=steps,
            verbose=bar.verbose,
        )
        generator = runtime.random_generator()
        order = np.arange(count, dtype=np.int64)
        hooks.call("on_train_begin", {})
        try:
            for epoch in range(initial_epoch, epochs):
                if shuffle:
                    order = generator.permutation(count).astype(np.int64)
                hooks.call("on_epoch_begin", epoch, {})
                logs = self._pass(batches, order, size, True, hooks)
                if validation is not None:
                    rows = np.arange(len(validation), dtype=np.int64)
                    hooks.call("on_test_begin", {})
                    found = self._pass(validation, rows, size, False, None)
                    hooks.call("on_test_end", found)
                    logs |= {f"val_{name}": value for name, value in found.items()}
                hooks.call("on_epoch_end", epoch, logs)
                if self.stop_training:
                    break
        finally:
            bar.on_train_end()
        hooks.call("on_train_end", {})
        return history

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: Any = "auto",
        sample_weight: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """Compute loss and metrics on samples x with labels y, as inference.

        Returns the loss, or [loss, metric, ...] with metrics, or a dict with return_dict.
        """
        size = 32 if batch_size is None else _check.integer("evaluate", "batch_size", batch_size)
        with self._lock:
            self._require_built("evaluate", x)
            batches = self._batches("evaluate", x, y, sample_weight)
            rows = np.arange(len(batches), dtype=np.int64)
            logs = self._pass(batches, rows, size, False, None)
        if _verbosity(verbose) and not self._fitting:
            print(" - ".join(f"{name}: {value:.4f}" for name, value in logs.items()))
        if return_dict:
            return logs
        return list(logs.values()) if len(logs) > 1 else logs["loss"]


def _metric(value: Any, label_kind: str, outputs: int) -> metrics.Metric:
    return metrics.get(value, label_kind, outputs)


def _verbosity(verbose: Any) -> int:
    """Return 0 (silent), 1 (a bar) or 2 (lines); "auto" is a bar on a terminal, else lines."""
    if verbose == "auto":
        return 1 if sys.stdout.isatty() else 2
    if verbose not in (0, 1, 2):
        raise ValueError(f"verbose must be 'auto', 0, 1 or 2, got verbose={verbose!r}")
    return int(verbose)
