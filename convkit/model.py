"""Models: recorded layer calls, replayed into graphs, compiled into programs of one call."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from convkit import _check, data, runtime
from convkit._arguments import named_arguments
from convkit.callbacks.base import CallbackList
from convkit.compiler import Program, Workspace, compile
from convkit.feeding import Stream, copied, is_stream, unpack
from convkit.graph import Graph, Tensor, Variable
from convkit.layers.base import Layer
from convkit.layers.symbolic import Call, Input, SymbolicTensor, calls_between, unique_name
from convkit.training import Trainer

__all__ = ["Model", "Sequential"]

Array = NDArray[Any]

# Programs kept per model: train and evaluate with their last partial batches, predict, and a few.
MAX_PROGRAMS = 12


class Model(Trainer, Layer):
    """The layers between inputs and outputs: symbolic tensors, one or a list each.

    Inputs come from `Input` (or are results inside of another model, whose rest this model then
    is), outputs from calling layers. A model is a layer too: called on a
    symbolic tensor (or a list of them) it becomes part of another model, with shared weights.
    """

    several_inputs = True

    def __init__(
        self,
        inputs: Any = None,
        outputs: Any = None,
        name: str | None = None,
        trainable: bool = True,
    ) -> None:
        if inputs is None or outputs is None:
            raise TypeError(
                f"{type(self).__name__}: a model is made of inputs and outputs, Model(inputs,"
                " outputs); where call says what to compute, derive from layers.Layer instead and"
                " write Sequential([Input(shape), YourLayer()])"
            )
        self._begin(name or unique_name("Functional"), trainable)
        self._connect(inputs, outputs)

    if not TYPE_CHECKING:

        def __getattr__(self, name):
            """Raise the error for an unknown attribute, with the nearest that exists."""
            raise _check.missing_attribute(f"convkit model {self.name!r}", name, dir(self))

    def _begin(self, name: str, trainable: bool) -> None:
        self.layers: list[Layer] = []
        Trainer.__init__(self)
        Layer.__init__(self, name=name, trainable=trainable)
        self._lock = threading.RLock()

    def _connect(self, inputs: Any, outputs: Any) -> None:
        """Find the recorded calls between inputs and outputs, in order."""
        self._several = isinstance(outputs, list | tuple)
        starts = list(inputs) if isinstance(inputs, list | tuple) else [inputs]
        ends = list(outputs) if self._several else [outputs]
        named = [("inputs", t) for t in starts] + [("outputs", t) for t in ends]
        if not starts or not ends:
            raise ValueError("Model: inputs and outputs must not be empty")
        for name, tensor in named:
            if not isinstance(tensor, SymbolicTensor):
                raise TypeError(
                    f"Model: {name} must be symbolic tensors (from Input and from calling layers),"
                    f" got {type(tensor).__name__}"
                    + ("; call the layer on a tensor" if isinstance(tensor, Layer) else "")
                )
        names = [tensor.name for tensor in starts]
        if len(set(names)) < len(names):
            raise ValueError(f"Model: inputs must be different and differ in name, got {names}")
        self._calls: list[Call] = calls_between(starts, ends)
        self._inputs: list[SymbolicTensor] = starts
        self._outputs: list[SymbolicTensor] = ends
        self.layers = list(dict.fromkeys(call.layer for call in self._calls))
        kinds = {layer.dtype for layer in self.layers} or {"float32"}
        if len(kinds) > 1:
            raise ValueError(
                f"Model: all layers must have one float type, got {sorted(kinds)}; pass the same"
                " dtype= to every layer"
            )
        self.dtype = kinds.pop()
        # Counters for random ops: of calls with training=True, and of fit's epochs.
        self._step = Variable("step", np.zeros(1, np.uint64), trainable=False)
        self._epoch = Variable("epoch", np.zeros(1, np.uint64), trainable=False)
        self._targets = None
        self._forget_programs()
        self.built = True

    def _forget_programs(self) -> None:
        self._workspace = Workspace()
        self._programs: dict[tuple[Any, ...], Any] = {}
        self._graphs: dict[tuple[Any, ...], Any] = {}

    # ---- as a layer ----------------------------------------------------------------------------

    @property
    def trainable(self) -> bool:
        """Whether training changes the weights. Setting it sets it for all layers."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = bool(value)
        for layer in self.layers:
            layer.trainable = bool(value)

    def set_trained_variables(self) -> None:
        """Tell the variables whether training changes them, by their layers' `trainable`."""
        for layer in self.layers:
            layer.set_trained_variables()
        if not self.trainable:
            for variable in self.variables:
                variable.trainable = False

    def ensure_built(self, shape: Any) -> None:
        """Build a Sequential that is not; the shape must be that of the inputs."""
        if not self.built:
            self.build(shape)
        shapes = shape if isinstance(shape, list) else [shape]
        wanted = [t.shape for t in self._inputs]
        if shapes != wanted:
            raise ValueError(
                f"{self._title}: must be called on inputs of shapes {wanted}, got {shapes}"
            )

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the output, or a list of them."""
        return self.output_shape

    def call(self, x: Any, training: bool) -> Any:
        """Emit the ops of all layers for graph tensors."""
        given = x if isinstance(x, list) else [x]
        results = self._replay(given, training)
        ends = [results[id(end)] for end in self._outputs]
        return ends if self._several else ends[0]

    def _replay(self, given: Sequence[Tensor], training: bool) -> dict[int, Tensor]:
        """Emit all recorded calls; return the graph's tensor of each symbol, by its id."""
        results = {id(t): x for t, x in zip(self._inputs, given, strict=True)}
        for call in self._calls:
            sources = [results[id(t)] for t in call.inputs]
            result: Any = call.layer.emit(sources if call.many else sources[0], training)
            made = result if isinstance(result, list) else [result]
            results |= {id(t): y for t, y in zip(call.outputs, made, strict=True)}
        return results

    # ---- shapes and weights --------------------------------------------------------------------

    @property
    def input_shape(self) -> Any:
        """The shape of the input, (None, ...), or a list of them for several."""
        shapes = [t.shape for t in self._inputs]
        return shapes if len(shapes) > 1 else shapes[0]

    @property
    def output_shape(self) -> Any:
        """The shape of the output, or a list of them."""
        shapes = [end.shape for end in self._outputs]
        return shapes if self._several else shapes[0]

    @property
    def input(self) -> Any:
        """The symbolic input, or a list of several."""
        return self._inputs if len(self._inputs) > 1 else self._inputs[0]

    @property
    def output(self) -> Any:
        """The symbolic output, or a list of several."""
        return self._outputs if self._several else self._outputs[0]

    @property
    def inputs(self) -> list[SymbolicTensor]:
        """The symbolic inputs."""
        return self._inputs

    @property
    def outputs(self) -> list[SymbolicTensor]:
        """The symbolic outputs."""
        return self._outputs

    @property
    def input_names(self) -> list[str]:
        """The names of the inputs."""
        return [tensor.name for tensor in self._inputs]

    @property
    def output_names(self) -> list[str]:
        """The names of the outputs: of the layers that make them, numbered where they repeat."""
        names: list[str] = []
        for end in self._outputs:
            name, number = end.name, 0
            while name in names:
                number += 1
                name = f"{end.name}_{number}"
            names.append(name)
        return names

    @property
    def variables(self) -> list[Variable]:
        """All variables, layer by layer; those that several layers share once."""
        return list(dict.fromkeys(v for layer in self.layers for v in layer.variables))

    @property
    def trainable_variables(self) -> list[Variable]:
        """The variables that training changes."""
        if not self.trainable:
            return []
        found = [v for layer in self.layers for v in layer.trainable_variables]
        return list(dict.fromkeys(found))

    @named_arguments
    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """Return a layer by name or by index."""
        if index is not None:
            place = _check.integer("get_layer", "index", index, 1 - 2**31)
            if not -len(self.layers) <= place < len(self.layers):
                raise ValueError(
                    f"get_layer: index must be less than {len(self.layers)}, the number of layers,"
                    f" got index={index!r}"
                )
            return self.layers[place]
        names = {layer.name: layer for layer in self.layers}
        return names[_check.one_of("get_layer", "name", name, names)]

    def get_weights(self) -> list[Array]:
        """Copy all weights, layer by layer."""
        with self._lock:
            return super().get_weights()

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Set all weights from arrays in get_weights' order, or none of them."""
        with self._lock:
            super().set_weights(weights)

    # ---- files ---------------------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """Return inputs, layers and calls, as values that JSON can hold."""
        from convkit.saving._architecture import model_config

        return model_config(self)

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Any = None) -> Any:
        """Make a model from get_config's result, with new weights."""
        from convkit.saving import _architecture, custom_object_scope

        with custom_object_scope(custom_objects):
            return _architecture.make_model(cls, config)

    @named_arguments
    def to_json(self, **options: Any) -> str:
        """Return the architecture as JSON; options are json.dumps's (indent=2)."""
        from convkit.saving import serialize

        return json.dumps(serialize(self), **options)

    @named_arguments
    def save(
        self, filepath: str | os.PathLike[str], overwrite: bool = True, **options: Any
    ) -> None:
        """Write the model to one file, for convkit.load_model; see convkit.saving.save_model."""
        from convkit.saving import save_model

        with self._lock:
            save_model(self, filepath, overwrite, **options)

    @named_arguments
    def save_weights(self, filepath: str | os.PathLike[str]) -> None:
        """Write all weights to one file, whole or not at all."""
        from convkit.saving import save_weights

        with self._lock:
            save_weights(self, filepath)

    @named_arguments
    def load_weights(self, filepath: str | os.PathLike[str]) -> None:
        """Set all weights from a file of save_weights or save; FormatError if it does not fit."""
        from convkit.saving import load_weights

        with self._lock:
            load_weights(self, filepath)

    # ---- programs ------------------------------------------------------------------------------

    def _graph(self, step: Variable) -> tuple[Graph, list[Tensor]]:
        """Make a graph of the inputs, whose random ops count `step`."""
        graph = Graph(self.dtype)
        graph.step, graph.epoch = graph.variable(step), graph.variable(self._epoch)
        return graph, [graph.input(t.shape, name=t.name) for t in self._inputs]

    def _program(self, mode: tuple[Any, ...], batch: int, build: Any) -> tuple[Program, Any]:
        """Return the program of a mode and batch size; `build()` gives (graph, fetch, handles)."""
        key = (*mode, runtime.get_algorithm())
        if (*key, batch) in self._programs:
            return self._programs[(*key, batch)]
        if key not in self._graphs:
            self._graphs[key] = build()
        graph, fetch, handles = self._graphs[key]
        program = compile(graph, batch=batch, fetch=fetch, workspace=self._workspace)
        if len(self._programs) >= MAX_PROGRAMS:
            del self._programs[next(iter(self._programs))]
        self._programs[(*key, batch)] = (program, handles)
        return program, handles

    def _forward_graph(self, training: bool, symbols: Sequence[SymbolicTensor]) -> Any:
        graph, given = self._graph(self._step)
        results = self._replay(given, training)
        fetch = [results[id(symbol)] for symbol in symbols]
        return graph, fetch, (given, fetch)

    def _forward(
        self,
        function: str,
        x: Any,
        batch_size: int | None,
        symbols: Sequence[SymbolicTensor],
        training: bool = False,
        hooks: CallbackList | None = None,
    ) -> list[Array]:
        """Run all samples through the model; return the arrays of the given symbols."""
        arrays = data.inputs(function, x, self._inputs)
        count = len(arrays[0])
        size = max(1, count) if batch_size is None else batch_size
        results = [
            np.empty((count, *[size or 0 for size in s.shape[1:]]), self.dtype) for s in symbols
        ]
        key = ("forward", training, tuple(id(s) for s in symbols))
        index = np.arange(count, dtype=np.int64)
        with self._lock:
            for batch, start in enumerate(range(0, count, size)):
                rows = index[start : start + size]
                program, (given, fetch) = self._program(
                    key, len(rows), lambda: self._forward_graph(training, symbols)
                )
                if hooks and hooks.callbacks:
                    hooks.call("on_predict_batch_begin", batch, {})
                for tensor, array in zip(given, arrays, strict=True):
                    program.feed(tensor, array, rows)
                program.feed_sample_numbers(index, rows)
                program.run()
                made = [result[start : start + len(rows)] for result in results]
                for result, tensor in zip(made, fetch, strict=True):
                    result[...] = program.view(tensor)
                if training:
                    self._step.value += np.uint64(1)
                if hooks and hooks.callbacks:
                    logs = {"outputs": made if len(made) > 1 else made[0]}
                    hooks.call("on_predict_batch_end", batch, logs)
        return results

    @named_arguments
    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: Any = "auto",
        callbacks: Any = None,
        steps: int | None = None,
    ) -> Any:
        """Compute the output for samples x, in batches of batch_size (None: 32).

        x is an array (N, ...), or a list of them (or a dict by name) for several inputs; or an
        iterable or PyDataset of batches of these, of which `steps` are taken. Returns an array
        (N, ...), or a list of them for several outputs.
        """
        size = 32 if batch_size is None else _check.integer("predict", "batch_size", batch_size)
        limit = None if steps is None else _check.integer("predict", "steps", steps)
        hooks = CallbackList(callbacks, self, verbose=verbose)
        if is_stream(x):
            results = self._predict_stream(x, size, limit, hooks)
        else:
            self._require_built("predict", x)
            hooks.call("on_predict_begin", {})
            results = self._forward("predict", x, size, self._outputs, hooks=hooks)
        hooks.call("on_predict_end", {})
        return results if self._several else results[0]

    @named_arguments
    def predict_on_batch(self, x: Any) -> Any:
        """Compute the output for samples x, all in one batch."""
        return self._run(x, False)

    def _predict_stream(
        self, x: Any, size: int, steps: int | None, hooks: CallbackList
    ) -> list[Array]:
        """Run all batches that x yields through the model."""
        stream = Stream(
            "predict", x, lambda batch, _: copied(unpack("predict", batch)[0]), steps=steps
        )
        if not self.built:
            self._require_built("predict", unpack("predict", stream.first())[0])
        hooks.call("on_predict_begin", {})
        try:
            parts = [
                self._forward("predict", batch, size, self._outputs, hooks=hooks)
                for batch in (stream if stream.begin() else ())
            ]
        finally:
            stream.close()
        if not parts:
            raise ValueError("predict: x must yield at least one batch, got none")
        return [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]

    def _run(self, inputs: Any, training: bool) -> Any:
        """Compute the output for one batch of arrays."""
        self._require_built("model", inputs)
        results = self._forward("model", inputs, None, self._outputs, bool(training))
        return results if self._several else results[0]

    @named_arguments
    def feature_maps(self, x: Any) -> dict[str, Any]:
        """Return what every layer makes of samples x: layer name -> array (N, ...).

        A layer of several outputs (a model) has a list of arrays.
        """
        self._require_built("feature_maps", x)
        symbols = [t for call in self._calls for t in call.outputs]
        results = iter(self._forward("feature_maps", x, 32, symbols))
        maps: dict[str, Any] = {}
        for call in self._calls:
            name, number = call.layer.name, 1
            while name in maps:  # a shared layer's later calls
                number += 1
                name = f"{call.layer.name}:{number}"
            found = [next(results) for _ in call.outputs]
            maps[name] = found if len(found) > 1 else found[0]
        return maps

    @named_arguments
    def plot_feature_maps(self, x: Any, **options: Any) -> Any:
        """Draw what every layer makes of one sample, or of the first of several: a Picture.

        x: samples, a single sample, or a list of samples for each of several inputs. Options are
        those of convkit.viz.feature_maps. Raises ImportError without matplotlib.
        """
        from convkit.viz._model import plot_feature_maps

        return plot_feature_maps(self, x, options)

    @named_arguments
    def plot_filters(self, layer: str | int | None = None, **options: Any) -> Any:
        """Draw the filters of a layer, by name or index, or of the first that has any: a Picture.

        Options are those of convkit.viz.filters. Raises ValueError for a layer without filters and
        ImportError without matplotlib.
        """
        from convkit.viz._model import plot_filters

        return plot_filters(self, layer, options)

    def _require_built(self, function: str, x: Any) -> None:
        """Subclasses that build themselves from data do it here."""

    # ---- report --------------------------------------------------------------------------------

    @named_arguments
    def summary(
        self,
        line_length: int | None = None,
        *,
        print_fn: Any = print,
        expand_nested: bool = False,
        show_trainable: bool = False,
    ) -> None:
        """Print a table of layers, output shapes and parameter counts, line_length wide or more.

        expand_nested also lists the layers of models inside, show_trainable says which layers
        training changes.
        """
        from convkit._summary import summary_text

        print_fn(summary_text(self, line_length or 0, expand_nested, show_trainable))


class Sequential(Model):
    """A chain of layers. Without an Input it is built at the first data it sees."""

    def __init__(
        self, layers: Sequence[Any] | None = None, trainable: bool = True, name: str | None = None
    ) -> None:
        self._begin(name or unique_name("Sequential"), trainable)
        self._start: SymbolicTensor | None = None
        self._chain: list[Layer] = []
        for layer in layers or []:
            self.add(layer, rebuild=False)
        self._rebuild()

    def add(self, layer: Any, rebuild: bool = True) -> None:
        """Append a layer (or, first, an Input)."""
        if isinstance(layer, SymbolicTensor):
            if self._chain or self._start is not None:
                raise ValueError("Sequential: Input must come first")
            self._start = layer
        elif isinstance(layer, Layer):
            if layer in self._chain:
                raise ValueError(
                    f"Sequential: layer {layer.name!r} is in the model already; make another, or"
                    " share it with Model(inputs, outputs)"
                )
            self._chain.append(layer)
        else:
            raise TypeError(f"Sequential: add layers, got {layer!r}")
        if rebuild:
            self._rebuild()

    def pop(self) -> Any:
        """Remove and return the last layer."""
        if not self._chain:
            raise ValueError("Sequential: there is no layer to remove")
        layer = self._chain.pop()
        self._rebuild()
        return layer

    def _rebuild(self) -> None:
        self.built = False
        self.layers = list(self._chain)
        if self._start is None and self._chain:
            first = self._chain[0]
            given = first.given_input_shape
            if isinstance(first, Model) and first.built and len(first.inputs) == 1:
                given = first.input_shape[1:]
            if given is not None:
                self._start = Input(given, dtype=first.dtype)
        if self._start is None or not self._chain:
            return
        tensor = self._start
        for layer in self._chain:
            if isinstance(tensor, list):
                raise ValueError(
                    f"Sequential: only the last layer may have several outputs, {layer.name!r}"
                    " comes after one that has"
                )
            tensor = layer(tensor)
        self._connect(self._start, tensor)

    def build(self, input_shape: Any) -> None:
        """Make the weights for inputs of shape (None, ...)."""
        if not self._chain:
            raise ValueError(f"{self._title}: the model has no layers; add some first")
        self._start = Input([size or 0 for size in input_shape[1:]], dtype=self.dtype)
        self._rebuild()

    def _require_built(self, function: str, x: Any) -> None:
        with self._lock:  # or two threads would build it at once
            if not self.built:
                self._build_for(function, x)

    def _build_for(self, function: str, x: Any) -> None:
        if not self._chain:
            raise ValueError(f"{function}: the model has no layers; add some first")
        shape = np.shape(x)
        if len(shape) < 2:
            raise ValueError(
                f"{function}: x must have at least 2 axes (samples, ...) to build the model, got"
                f" shape {shape}"
            )
        self._start = Input(shape[1:], dtype=self._chain[0].dtype)
        self._rebuild()

    @named_arguments
    def summary(self, line_length: int | None = None, **options: Any) -> None:
        """Print a table of layers, as Model.summary does, once the input's shape is known."""
        if not self.built:
            raise ValueError(
                "summary: the input shape is not known yet; start with Input(shape), or call"
                " build((None, height, width, channels)) first"
            )
        super().summary(line_length, **options)
