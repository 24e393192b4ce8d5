"""compile, fit and evaluate: loops over batches that only move pointers and run programs."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from convkit import _check, data, losses, metrics, ops, optimizers, runtime
from convkit._arguments import named_arguments
from convkit.callbacks.base import CallbackList, History, ProgressBar, logs_text
from convkit.feeding import Rows, Slices, Stream, is_stream, is_unreadable_map, unpack
from convkit.graph import Tensor
from convkit.metrics import Metric

if TYPE_CHECKING:
    import threading

Array = NDArray[Any]


@dataclass
class Batches:
    """Samples of all inputs with labels and weights of all outputs, ready to be gathered from.

    An output without a loss has neither.
    """

    x: list[Array]
    y: list[Array | None]
    weights: list[Array | None]
    first: int = 0  # the number of the first sample, for random ops

    @cached_property
    def numbers(self) -> NDArray[np.int64]:
        """Number the samples."""
        return np.arange(self.first, self.first + len(self), dtype=np.int64)

    def __len__(self) -> int:
        return len(self.x[0])

    def part(self, rows: slice) -> Batches:
        """Return some of the samples."""
        y, weights = (
            [None if array is None else array[rows] for array in arrays]
            for arrays in (self.y, self.weights)
        )
        return Batches([array[rows] for array in self.x], y, weights, self.first + rows.start)


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


@dataclass
class Target:
    """What is trained for at one output: its loss, the loss's weight in the total, its metrics."""

    name: str
    loss: losses.Loss | None
    weight: float
    metrics: list[Metric]
    weighted_metrics: list[Metric]

    @property
    def all_metrics(self) -> list[Metric]:
        """All metrics, those with weights last."""
        return [*self.metrics, *self.weighted_metrics]


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
        chosen_loss = _each(losses.get, loss)
        for wanted in (metrics, weighted_metrics):
            _each(_metric, wanted)
        with self._lock:
            before = (self.optimizer, self.loss, self._loss_weights, self._metrics_wanted)
            self.optimizer, self.loss = chosen, chosen_loss
            self._loss_weights = loss_weights
            self._metrics_wanted = (metrics, weighted_metrics)
            try:
                self._targets = self._make_targets() if self.built and loss is not None else None
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

    def _all_layers(self) -> list[Any]:
        """Return this model and all layers in it, also those of models inside."""
        found: list[Any] = [self]
        for layer in self.layers:
            found.extend(layer._all_layers() if isinstance(layer, Trainer) else [layer])
        return found

    def _make_targets(self) -> list[Target]:
        names = self.output_names
        chosen = _per_output("loss", self.loss, names)
        factors = _per_output("loss_weights", self._loss_weights, names)
        plain, weighted = (_metrics_per_output(each, names) for each in self._metrics_wanted)
        if not any(chosen):
            raise ValueError(f"compile: loss must name a loss for an output, got {self.loss!r}")
        targets = []
        for name, loss, factor, *wanted, end in zip(
            names, chosen, factors, plain, weighted, self._outputs, strict=True
        ):
            kind = loss.label_kind if loss else "values"
            weight = 1.0 if factor is None else _check.number("compile", "loss_weights", factor)
            listed = [_listed(each) for each in wanted]
            if any(listed) and loss is None:
                raise ValueError(f"compile: metrics of output {name!r} need a loss for it")
            outputs = int(end.shape[-1])
            made = [[_metric(each, kind, outputs) for each in some] for some in listed]
            targets.append(Target(name, loss, weight, *made))
            _number_equal_names(targets[-1].all_metrics)
        all_metrics = [id(metric) for target in targets for metric in target.all_metrics]
        if len(set(all_metrics)) < len(all_metrics):
            raise ValueError("compile: every output needs metric objects of its own")
        return targets

    # ---- data ----------------------------------------------------------------------------------

    def _batches(
        self, function: str, x: Any, y: Any, sample_weight: Any = None, class_weight: Any = None
    ) -> Batches:
        if self.optimizer is None or self.loss is None:
            raise RuntimeError(f"{function}: compile the model first, with a loss")
        if y is None:
            raise ValueError(f"{function}: y must be given, got y=None")
        if self._targets is None:
            self._targets = self._make_targets()
        arrays = data.inputs(function, x, self._inputs)
        count = len(arrays[0])
        if count == 0:
            raise ValueError(
                f"{function}: x must hold at least one sample, got shape {arrays[0].shape}"
            )
        names = [target.name for target in self._targets]
        if len(names) == 1:
            given, weights = [y], [sample_weight]
        else:
            given = data.by_name(function, "y", y, names, "output")
            weights = _per_output("sample_weight", sample_weight, names, function)
            if class_weight is not None:
                raise ValueError(
                    f"{function}: class_weight needs a model with one output; pass sample_weight"
                )
        batches = Batches(arrays, [], [])
        for target, end, of_output, weight in zip(
            self._targets, self._outputs, given, weights, strict=True
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
                x = Slices((x, y, sample_weight), size)
            elif y is not None or sample_weight is not None:
                name = "y" if y is not None else "sample_weight"
                raise ValueError(
                    f"{function}: {name} must not be given where x yields batches; let it yield"
                    " (x, y, sample_weight)"
                )

            def prepare(batch: Any, first: int) -> tuple[Batches, NDArray[np.int64]]:
                batches = self._batches(function, *unpack(function, batch), class_weight)
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
        assert self._targets is not None and self.optimizer is not None
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
        assert self._targets is not None and self.optimizer is not None
        graph, given = self._graph(self.optimizer.iterations)
        results = self._replay(given, training)
        handles = Handles(given, [], [], given[0], [], [results[id(t)] for t in self._outputs])
        for target, pred, has_weights in zip(self._targets, handles.preds, weighted, strict=True):
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
        pairs = [
            (loss, target.weight)
            for loss, target in zip(handles.losses, self._targets, strict=True)
            if loss is not None
        ]
        total = ops.total_loss([loss for loss, _ in pairs], [weight for _, weight in pairs])
        for variable in graph.variables:
            penalty = variable.regularizer
            if penalty is not None and variable.trainable:
                total = ops.penalty(total, graph.variable(variable), penalty.l1, penalty.l2)
        if training:
            self.optimizer.emit(graph, graph.gradients(total))
        handles.total = total
        several = [loss for loss, _ in pairs] if len(self._targets) > 1 else []
        return graph, list(dict.fromkeys([total, *several, *handles.preds])), handles

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
        return found, [program.view(pred) for pred in handles.preds]

    def _pass(
        self, source: Rows | Stream, hooks: CallbackList, position: Position | None = None
    ) -> dict[str, float]:
        """Run an epoch that was begun, training from a position on; return losses and metrics."""
        assert self._targets is not None
        training = position is not None
        at = position or Position(0)
        if at.batch == 0:
            for metric in self._all_metrics():
                metric.reset_state()
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

    def _all_metrics(self) -> list[Metric]:
        return [metric for target in self._targets or [] for metric in target.all_metrics]

    def _logs(self, means: Array) -> dict[str, float]:
        """Name the total loss, the outputs' losses and the metrics, as Keras does."""
        assert self._targets is not None
        several = len(self._targets) > 1
        names = [f"{target.name}_loss" for target in self._targets if several and target.loss]
        logs = dict(zip(["loss", *names], means.tolist(), strict=True))
        for target in self._targets:
            for metric in target.all_metrics:
                logs[f"{target.name}_{metric.name}" if several else metric.name] = metric.result()
        return logs

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
    ) -> History:
        """Train on samples x with labels y; returns the History of loss and metrics.

        x may also be an iterable or a PyDataset of batches (x, y) or (x, y, sample_weight), which a
        thread prepares ahead; steps_per_epoch ends an epoch early. validation_split keeps the last
        share of the samples for validation; validation_data is (x, y), (x, y, sample_weight), or an
        iterable of batches. All arrays are checked before the first step, batches as they come.
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
            source = self._source(
                "fit",
                (x, y, sample_weight),
                size=size,
                class_weight=class_weight,
                steps=_steps("fit", "steps_per_epoch", steps_per_epoch),
                epochs=epochs - initial_epoch,
                shuffle=shuffle,
            )
            validation: Rows | Stream | None = None
            if validation_data is not None:
                validation = self._source(
                    "fit: validation_data",
                    _validation(validation_data),
                    size=size,
                    steps=_steps("fit", "validation_steps", validation_steps),
                    epochs=epochs - initial_epoch,
                )
            elif share:
                source, validation = _split(source, share, size, validation_split)
            self._fitting, self.stop_training = True, False
            try:
                return self._fit(source, epochs, verbose, callbacks, validation, initial_epoch)
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
        initial_epoch: int,
    ) -> History:
        history = self.history = History()
        bar = ProgressBar(_verbosity(verbose))
        hooks = self.hooks = CallbackList(
            [*_listed(callbacks), history, *([bar] if bar.verbose else [])],
            self,  # type: ignore[arg-type]
            epochs=epochs,
            steps=source.steps,
            verbose=bar.verbose,
        )
        if self.order_seed is None or initial_epoch == 0:
            self.order_seed = runtime.next_seed()
        position = self.position = Position(self.order_seed, initial_epoch)
        later = False
        logs: dict[str, Any] = {}
        assert self.optimizer is not None
        hooks.call("on_train_begin", {})
        try:
            while position.epoch < epochs and not self.stop_training:
                if source.shuffle is not None:
                    source.shuffle = position.generator(int(self.optimizer.iterations.value[0]))
                if not _begin("fit", source, later):
                    break
                epoch = position.epoch
                self._epoch.value[0] = epoch
                hooks.call("on_epoch_begin", epoch, {})
                logs = self._pass(source, hooks, position)
                if validation is not None and _begin("fit: validation_data", validation, later):
                    hooks.call("on_test_begin", {})
                    found = self._pass(validation, hooks)
                    hooks.call("on_test_end", found)
                    logs |= {f"val_{name}": value for name, value in found.items()}
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
        size = 32 if batch_size is None else _check.integer("evaluate", "batch_size", batch_size)
        with self._lock:
            shown = _verbosity(verbose)
            source = self._source(
                *("evaluate", (x, y, sample_weight)),
                size=size,
                steps=_steps("evaluate", "steps", steps),
            )
            hooks = CallbackList(
                _listed(callbacks),
                self,  # type: ignore[arg-type]
                steps=source.steps,
                verbose=shown,
            )
            try:
                _begin("evaluate", source, False)
                hooks.call("on_test_begin", {})
                logs = self._pass(source, hooks)
            finally:
                source.close()
            hooks.call("on_test_end", logs)
        if shown and not self._fitting:
            print(logs_text(logs))
        if return_dict:
            return logs
        return list(logs.values()) if len(logs) > 1 else logs["loss"]


_WHEN = ("begin", "end")


def _each(get: Callable[[Any], Any], value: Any) -> Any:
    """Resolve a name or instance, or all of those in lists and dicts; None stays None."""
    if value is None:
        return None
    if isinstance(value, list | tuple):
        return [_each(get, item) for item in value]
    if isinstance(value, dict):
        return {key: _each(get, item) for key, item in value.items()}
    return get(value)


def _per_output(
    what: str, value: Any, names: Sequence[str], function: str = "compile"
) -> list[Any]:
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


def _metric(value: Any, label_kind: str = "values", outputs: int = 2) -> Metric:
    return metrics.get(value, label_kind, outputs)


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def _metrics_per_output(wanted: Any, names: Sequence[str]) -> list[Any]:
    """Return what is wanted of every output; of a single one a list is all its own."""
    if len(names) > 1 or isinstance(wanted, dict):
        return _per_output("metrics", wanted, names)
    return [wanted]


def _number_equal_names(found: Sequence[Metric]) -> None:
    """Number the later ones of metrics that have one name."""
    counts: dict[str, int] = {}
    for metric in found:
        number = counts.get(metric.name, 0)
        counts[metric.name] = number + 1
        if number:
            metric.name = f"{metric.name}_{number}"


def _steps(function: str, name: str, value: Any) -> int | None:
    return None if value is None else _check.integer(function, name, value)


def _validation(data: Any) -> tuple[Any, Any, Any]:
    """Return (x, y, sample_weight) of validation data, which may yield batches."""
    if is_stream(data):
        return data, None, None
    if not isinstance(data, list | tuple) or len(data) not in (2, 3):
        raise ValueError(
            "fit: validation_data must be (x, y), (x, y, sample_weight), or yield such batches"
        )
    return (*data, None)[:3]


def _split(source: Rows | Stream, share: float, size: int, given: Any) -> tuple[Rows, Rows]:
    """Return the first samples for training and the last share of them for validation."""
    if not isinstance(source, Rows):
        raise ValueError(
            f"fit: validation_split={given!r} needs arrays, x yields batches; pass validation_data"
        )
    count = len(source.batches)
    kept = int(count * (1 - share))
    if kept < 1 or kept == count:
        raise ValueError(
            f"fit: validation_split={given!r} of {count} samples leaves no samples for one of both"
            " sides"
        )
    return source.part(slice(0, kept)), Rows(source.batches.part(slice(kept, None)), size)


def _begin(function: str, source: Rows | Stream, later: bool) -> bool:
    """Begin an epoch; without batches an error for the first one, a warning for a later one."""
    if source.begin():
        return True
    if not later:
        raise ValueError(f"{function}: data must yield at least one batch, got none")
    warnings.warn(f"{function}: the data ended before the last epoch", stacklevel=4)
    return False


def _verbosity(verbose: Any) -> int:
    """Return 0 (silent), 1 (a bar) or 2 (lines); "auto" is a bar on a terminal, else lines."""
    if verbose == "auto":
        return 1 if sys.stdout.isatty() else 2
    if verbose not in (0, 1, 2):
        raise ValueError(f"verbose must be 'auto', 0, 1 or 2, got verbose={verbose!r}")
    return int(verbose)
