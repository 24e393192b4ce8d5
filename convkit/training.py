"""compile, fit and evaluate: loops over batches that only move pointers and run programs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from convkit import _check, data, losses, optimizers, runtime
from convkit._arguments import named_arguments
from convkit.callbacks.base import CallbackList, History, ProgressBar, logs_text
from convkit.feeding import (
    Batches,
    Rows,
    Slices,
    Stream,
    begin,
    copied,
    is_stream,
    is_unreadable_map,
    split,
    unpack,
    validation_arrays,
)
from convkit.metrics import Metric
from convkit.targets import (
    Target,
    each,
    emit_losses,
    find_metric,
    listed,
    make_targets,
    per_output,
)

if TYPE_CHECKING:
    import threading

Array = NDArray[Any]


@dataclass
class Position:
    """Where a fit stands: with weights and optimizer, what a killed run needs to go on to the bit.

    The order of an epoch's samples is a function of `seed` and of the steps before the epoch.
    """

    seed: int
    epoch: int = 0
    batch: int = 0  # batches of the epoch that are done
    seen: int = 0  # their samples
    totals: Any = 0.0  # the losses of those samples, summed

    def next_epoch(self) -> None:
        """Go to the beginning of the next epoch."""
        self.epoch, self.batch, self.seen, self.totals = self.epoch + 1, 0, 0, 0.0

    def generator(self, steps: int) -> np.random.Generator:
        """Return what orders the epoch that began `batch` of `steps` steps ago."""
        return np.random.default_rng([self.seed, steps - self.batch])


class Trainer:
    """What a model needs for training; `Model` adds the layers."""

    if TYPE_CHECKING:
        _lock: threading.RLock
        _inputs: list[Any]
        _outputs: list[Any]
        layers: list[Any]
        dtype: str
        built: bool
        _graph: Any
        _replay: Any
        _program: Any
        _require_built: Any
        _forget_programs: Any
        _epoch: Any

        @property
        def output_names(self) -> list[str]: ...

    def __init__(self) -> None:
        self.optimizer: optimizers.Optimizer | None = None
        self.loss: Any = None
        self.stop_training = False
        self.history: History | None = None
        self._loss_weights: Any = None
        self._metrics_wanted: tuple[Any, Any] = (None, None)  # without weights, with them
        self._targets: list[Target] | None = None
        self._trained: list[tuple[Any, bool]] = []
        self._fitting = False
        self.hooks: CallbackList | None = None
        self.position = Position(0)
        self.order_seed: int | None = None  # of the last fit, for one that goes on after it

    @named_arguments
    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        metrics: Any = None,
        *,
        loss_weights: Any = None,
        weighted_metrics: Any = None,
    ) -> None:
        """Choose optimizer, loss and metrics: names or instances. Structure is read anew from here.

        With several outputs, loss is one for all, or a list (None: not trained) or dict by output
        name; metrics likewise, with one metric or a list of them per output. The total loss is the
        sum of the outputs' losses times their loss_weights. Weights of samples and classes count in
        the losses and in weighted_metrics, not in metrics.

        Raises ValueError for names that do not exist, with the nearest that does.
        """
        chosen = optimizers.get(optimizer)
        chosen_loss = each(losses.get, loss)
        for wanted in (metrics, weighted_metrics):
            each(find_metric, wanted)
        with self._lock:
            before = (self.optimizer, self.loss, self._loss_weights, self._metrics_wanted)
            self.optimizer, self.loss = chosen, chosen_loss
            self._loss_weights = loss_weights
            self._metrics_wanted = (metrics, weighted_metrics)
            self._targets = None
            try:
                if self.built and loss is not None:
                    self._make_targets()
            except Exception:
                self.optimizer, self.loss, self._loss_weights, self._metrics_wanted = before
                raise
            self._trained = [(layer, layer.trainable) for layer in self._all_layers()]
            if self.built:
                self._forget_programs()

    def get_compile_config(self) -> dict[str, Any]:
        """Return the arguments of `compile` as they are now."""
        return {
            **{"optimizer": self.optimizer, "loss": self.loss},
            **dict(zip(("metrics", "weighted_metrics"), self._metrics_wanted, strict=True)),
            "loss_weights": self._loss_weights,
        }

    def _make_targets(self) -> list[Target]:
        """Return the targets, made at the first call after compile with the outputs known."""
        if self._targets is None:
            sizes = [int(end.shape[-1]) for end in self._outputs]
            self._targets = make_targets(
                *(self.output_names, sizes, self.loss, self._loss_weights, self._metrics_wanted)
            )
        return self._targets

    @property
    def metrics(self) -> list[Metric]:
        """The metrics' objects, those of the last batches; the loss has none."""
        return [metric for target in self._targets or [] for metric in target.all_metrics]

    @property
    def metrics_names(self) -> list[str]:
        """The names of what `evaluate` returns, in its order: the losses, then the metrics."""
        targets = self._targets or []
        several = len(targets) > 1
        names = ["loss", *(f"{t.name}_loss" for t in targets if several and t.loss)]
        for target in targets:
            prefix = f"{target.name}_" if several else ""
            names += [prefix + metric.name for metric in target.all_metrics]
        return names

    def reset_metrics(self) -> None:
        """Forget the batches that the metrics have counted in."""
        for metric in self.metrics:
            metric.reset_state()

    def _all_layers(self) -> list[Any]:
        """Return this model and all layers in it, also those of models inside."""
        found: list[Any] = [self]
        for layer in self.layers:
            found.extend(layer._all_layers() if isinstance(layer, Trainer) else [layer])
        return found

    # ---- data ----------------------------------------------------------------------------------

    def _batches(
        self, function: str, x: Any, y: Any, sample_weight: Any = None, class_weight: Any = None
    ) -> Batches:
        if self.optimizer is None or self.loss is None:
            raise RuntimeError(f"{function}: compile the model first, with a loss")
        if y is None:
            raise ValueError(f"{function}: y must be given, got y=None")
        targets = self._make_targets()
        arrays = data.inputs(function, x, self._inputs)
        count = len(arrays[0])
        if count == 0:
            raise ValueError(
                f"{function}: x must hold at least one sample, got shape {arrays[0].shape}"
            )
        names = [target.name for target in targets]
        if len(names) == 1:
            given, weights = [y], [sample_weight]
        else:
            given = data.by_name(function, "y", y, names, "output")
            weights = per_output("sample_weight", sample_weight, names, function)
            if class_weight is not None:
                raise ValueError(
                    f"{function}: class_weight needs a model with one output; pass sample_weight"
                )
        batches = Batches(arrays, [], [])
        for target, end, of_output, weight in zip(
            targets, self._outputs, given, weights, strict=True
        ):
            labels = found = None
            if target.loss is not None:
                labels = data.labels(function, of_output, target.loss, end.shape, count)
                found = data.weights(function, weight, class_weight, labels, target.loss)
            batches.y.append(labels)
            batches.weights.append(found)
        return batches

    def _source(
        self,
        function: str,
        data: tuple[Any, Any, Any],
        *,
        size: int,
        class_weight: Any = None,
        steps: int | None = None,
        epochs: int = 1,
        shuffle: bool = False,
    ) -> Rows | Stream:
        """Return what yields the batches of an epoch, from arrays or from batches themselves."""
        x, y, sample_weight = data
        if not is_stream(x) and not is_unreadable_map(x):
            self._require_built(function, x)
            source: Rows | Stream = Rows(
                self._batches(function, *data, class_weight), size, steps=steps
            )
        else:
            if not is_stream(x):
                x = Slices(function, data, size, several=getattr(self, "_several", False))
            elif y is not None or sample_weight is not None:
                name = "y" if y is not None else "sample_weight"
                raise ValueError(
                    f"{function}: {name} must not be given where x yields batches; let it yield"
                    " (x, y, sample_weight)"
                )

            def prepare(batch: Any, first: int) -> tuple[Batches, NDArray[np.int64]]:
                arrays = unpack(function, batch)
                inputs, labels, weights = arrays if isinstance(x, Slices) else map(copied, arrays)
                batches = self._batches(function, inputs, labels, weights, class_weight)
                batches.first = first
                return batches, np.arange(len(batches), dtype=np.int64)

            source = Stream(function, x, prepare, steps=steps, epochs=epochs)
            if not self.built:
                self._require_built(function, unpack(function, source.first())[0])
        if shuffle:  # drawn after the weights
            source.shuffle = runtime.random_generator()
        return source

    def _loss_graph(self, training: bool, weighted: Sequence[bool]) -> Any:
        """Build the graph of a step: all losses, penalties, and in training the update."""
        now = [(layer, layer._trainable) for layer, _ in self._trained]
        try:
            # `trainable` is as it was at compile, whatever other models have set since.
            for layer, trainable in self._trained:
                layer._trainable = trainable
            for layer in self.layers:
                layer.set_trained_variables()
            return self._emit_step(training, weighted)
        finally:
            for layer, trainable in now:
                layer._trainable = trainable

    def _emit_step(self, training: bool, weighted: Sequence[bool]) -> Any:
        assert self.optimizer is not None
        graph, given = self._graph(self.optimizer.iterations)
        results = self._replay(given, training)
        preds = [results[id(t)] for t in self._outputs]
        handles = emit_losses(graph, self._make_targets(), given, preds, weighted)
        if training:
            self.optimizer.emit(graph, graph.gradients(handles.total))
        losses = handles.losses if len(preds) > 1 else []
        fetch = [t for t in (handles.total, *losses, *preds) if t is not None]
        return graph, list(dict.fromkeys(fetch)), handles

    def _run_batch(
        self, batches: Batches, rows: NDArray[np.int64], training: bool
    ) -> tuple[list[float], list[Array]]:
        """Run one batch; return the total and the outputs' losses, and the predictions (views)."""
        weighted = tuple(weights is not None for weights in batches.weights)
        mode = ("train" if training else "evaluate", weighted)
        program, handles = self._program(
            mode, len(rows), lambda: self._loss_graph(training, weighted)
        )
        for tensors, arrays in (
            *((handles.x, batches.x), (handles.y, batches.y)),
            (handles.weights, batches.weights),
        ):
            for tensor, array in zip(tensors, arrays, strict=True):
                if tensor is not None:
                    program.feed(tensor, array, rows)
        program.feed_sample_numbers(batches.numbers, rows)
        if training:
            assert self.optimizer is not None
            self.optimizer.before_step()
        program.run()
        several = handles.losses if len(handles.losses) > 1 else []
        found = [float(program.view(t)[0]) for t in (handles.total, *several) if t is not None]
        # Copies, which a metric may keep, or change the shape of.
        return found, [program.view(pred).copy() for pred in handles.preds]

    def _pass(
        self, source: Rows | Stream, hooks: CallbackList, position: Position | None = None
    ) -> dict[str, float]:
        """Run an epoch that was begun, training from a position on; return losses and metrics."""
        assert self._targets is not None
        training = position is not None
        at = position or Position(0)
        if at.batch == 0:
            self.reset_metrics()
        begin, end = (f"on_{'train' if training else 'test'}_batch_{when}" for when in _WHEN)
        begins, ends = hooks.listens(begin), hooks.listens(end)
        done = at.batch
        for batch, (batches, rows) in enumerate(source):
            if batch < done:
                continue
            if begins:
                hooks.call(begin, batch, {})
            found, preds = self._run_batch(batches, rows, training)
            at.totals = at.totals + len(rows) * np.array(found)
            at.seen += len(rows)
            at.batch += 1
            for target, pred, y, weights in zip(
                self._targets, preds, batches.y, batches.weights, strict=True
            ):
                if y is None or not target.all_metrics:
                    continue
                true = y[rows]
                for metric in target.metrics:
                    metric.update_state(true, pred)
                for metric in target.weighted_metrics:
                    metric.update_state(true, pred, None if weights is None else weights[rows])
            if ends:
                hooks.call(end, batch, self._logs(at.totals / at.seen))
                if training and self.stop_training:
                    break
        return self._logs(at.totals / at.seen)

    def _logs(self, means: Array) -> dict[str, float]:
        """Name the mean losses and the metrics' results."""
        results = [metric.result() for metric in self.metrics]
        return dict(zip(self.metrics_names, [*means.tolist(), *results], strict=True))

    # ---- public --------------------------------------------------------------------------------

    @named_arguments
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
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: int | Sequence[int] = 1,
    ) -> History:
        """Train on samples x with labels y; returns the History of loss and metrics.

        x may also be an iterable or a PyDataset of batches (x, y) or (x, y, sample_weight), which a
        thread prepares ahead; steps_per_epoch ends an epoch early. validation_split keeps the last
        share of the samples for validation; validation_data is (x, y), (x, y, sample_weight), or an
        iterable of batches, in batches of validation_batch_size (None: batch_size). Validation runs
        after every validation_freq-th epoch, or after the epochs of those numbers, from 1 on. All
        arrays are checked before the first step, batches as they come.
        """
        size = _count("fit", "batch_size", batch_size) or 32
        validation_size = _count("fit", "validation_batch_size", validation_batch_size) or size
        due = _check.integers("fit", "validation_freq", validation_freq)
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
            source = self._source(
                "fit",
                (x, y, sample_weight),
                size=size,
                class_weight=class_weight,
                steps=_count("fit", "steps_per_epoch", steps_per_epoch),
                epochs=epochs - initial_epoch,
                shuffle=shuffle,
            )
            validation: Rows | Stream | None = None
            if validation_data is not None:
                validation = self._source(
                    "fit: validation_data",
                    validation_arrays(validation_data),
                    size=validation_size,
                    steps=_count("fit", "validation_steps", validation_steps),
                    epochs=epochs - initial_epoch,
                )
            elif share:
                source, validation = split(source, share, validation_size, validation_split)
            self._fitting, self.stop_training = True, False
            try:
                return self._fit(
                    *(source, epochs, verbose, callbacks, validation, due, initial_epoch)
                )
            finally:
                self._fitting, self.hooks = False, None
                source.close()
                if validation is not None:
                    validation.close()

    def _fit(
        self,
        source: Rows | Stream,
        epochs: int,
        verbose: Any,
        callbacks: Any,
        validation: Rows | Stream | None,
        due: int | list[int],
        initial_epoch: int,
    ) -> History:
        history = self.history = History()
        bar = ProgressBar(_verbosity(verbose))
        hooks = self.hooks = CallbackList(
            [*listed(callbacks), history, *([bar] if bar.verbose else [])],
            self,  # type: ignore[arg-type]
            epochs=epochs,
            steps=source.steps,
            verbose=bar.verbose,
        )
        if self.order_seed is None or initial_epoch == 0:
            self.order_seed = runtime.next_seed()
        position = self.position = Position(self.order_seed, initial_epoch)
        later = compared = False
        logs: dict[str, Any] = {}
        assert self.optimizer is not None
        hooks.call("on_train_begin", {})
        try:
            while position.epoch < epochs and not self.stop_training:
                if source.shuffle is not None:
                    source.shuffle = position.generator(int(self.optimizer.iterations.value[0]))
                if not begin("fit", source, later):
                    break
                epoch = position.epoch
                self._epoch.value[0] = epoch
                hooks.call("on_epoch_begin", epoch, {})
                logs = self._pass(source, hooks, position)
                n = epoch + 1
                if validation is not None and (n in due if isinstance(due, list) else n % due == 0):
                    logs |= self._validate(validation, hooks, compared)
                    compared = True
                position.next_epoch()
                later = True
                hooks.call("on_epoch_end", epoch, logs)
        finally:
            bar.on_train_end()
        if self.optimizer is not None:
            variables = [v for layer in self.layers for v in layer.trainable_variables]
            self.optimizer.finalize_variable_values(variables)
        hooks.call("on_train_end", logs)
        return history

    def _validate(
        self, source: Rows | Stream, hooks: CallbackList, later: bool
    ) -> dict[str, float]:
        """Return losses and metrics of the validation data; none where their batches are over."""
        if not begin("fit: validation_data", source, later):
            return {}
        hooks.call("on_test_begin", {})
        found = self._pass(source, hooks)
        hooks.call("on_test_end", found)
        return {f"val_{name}": value for name, value in found.items()}

    @named_arguments
    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: Any = "auto",
        sample_weight: Any = None,
        return_dict: bool = False,
        callbacks: Any = None,
        steps: int | None = None,
    ) -> Any:
        """Compute loss and metrics on samples x with labels y, as inference.

        x may be an iterable or a PyDataset of batches, of which `steps` are taken, as in fit.
        Returns the loss, or [loss, metric, ...] with metrics, or a dict with return_dict.
        """
        size = _count("evaluate", "batch_size", batch_size) or 32
        with self._lock:
            shown = _verbosity(verbose)
            source = self._source(
                *("evaluate", (x, y, sample_weight)),
                size=size,
                steps=_count("evaluate", "steps", steps),
            )
            hooks = CallbackList(
                listed(callbacks),
                self,  # type: ignore[arg-type]
                steps=source.steps,
                verbose=shown,
            )
            try:
                begin("evaluate", source, False)
                hooks.call("on_test_begin", {})
                logs = self._pass(source, hooks)
            finally:
                source.close()
            hooks.call("on_test_end", logs)
        if shown and not self._fitting:
            print(logs_text(logs))
        return _results(logs, return_dict)

    @named_arguments
    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """Make one training step on samples x with labels y, all in one batch.

        Returns what `evaluate` does: loss and metrics of this batch, before the step.
        Raises RuntimeError within `fit`.
        """
        with self._lock:
            if self._fitting:
                raise RuntimeError(
                    "train_on_batch: this model is in fit, which trains it; call it after fit"
                )
            batch = (x, y, sample_weight)
            return self._on_batch("train_on_batch", batch, class_weight, return_dict, Position(0))

    @named_arguments
    def test_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False
    ) -> Any:
        """Compute loss and metrics on samples x with labels y, all in one batch, as `evaluate`."""
        with self._lock:
            return self._on_batch("test_on_batch", (x, y, sample_weight), None, return_dict, None)

    def _on_batch(
        self,
        function: str,
        batch: tuple[Any, Any, Any],
        class_weight: Any,
        return_dict: bool,
        position: Position | None,
    ) -> Any:
        """Run one batch, as training from a position on or as inference."""
        self._require_built(function, batch[0])
        batches = self._batches(function, *batch, class_weight)
        rows = Rows(batches, len(batches))
        return _results(self._pass(rows, CallbackList(None, self), position), return_dict)  # type: ignore[arg-type]


_WHEN = ("begin", "end")


def _count(function: str, name: str, value: Any) -> int | None:
    return None if value is None else _check.integer(function, name, value)


def _results(logs: dict[str, float], return_dict: bool) -> Any:
    """Return losses and metrics as a dict, a list, or the loss alone where that is all."""
    if return_dict:
        return logs
    return list(logs.values()) if len(logs) > 1 else logs["loss"]


def _verbosity(verbose: Any) -> int:
    """Return 0 (silent), 1 (a bar) or 2 (lines); "auto" is a bar on a terminal, else lines."""
    if verbose == "auto":
        return 1 if sys.stdout.isatty() else 2
    if verbose not in (0, 1, 2):
        raise ValueError(f"verbose must be 'auto', 0, 1 or 2, got verbose={verbose!r}")
    return int(verbose)
