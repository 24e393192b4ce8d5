"""Models: recorded layer calls, replayed into graphs, compiled into programs of one call."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from convkit import _check, data, runtime
from convkit.compiler import Program, Workspace, compile
from convkit.graph import Graph, Tensor, Variable
from convkit.layers.base import Input, Layer, MergingLayer, SymbolicTensor, unique_name
from convkit.training import Trainer

__all__ = ["Model", "Sequential"]

Array = NDArray[Any]

# Programs kept per model: train and evaluate with their last partial batches, predict, and a few.
MAX_PROGRAMS = 12


class Model(Trainer):
    """The layers between an input and an output (or several outputs).

    Model(inputs, outputs) takes symbolic tensors: inputs from `Input`, outputs from calling layers.
    """

    def __init__(self, inputs: Any, outputs: Any, name: str | None = None) -> None:
        super().__init__()
        self.name = name or unique_name("Functional")
        self._lock = threading.RLock()
        self._connect(inputs, outputs)

    if not TYPE_CHECKING:

        def __getattr__(self, name):
            """Raise the error for an unknown attribute, with the nearest that exists."""
            raise _check.missing_attribute(f"convkit model {self.name!r}", name, dir(self))

    def _connect(self, inputs: Any, outputs: Any) -> None:
        """Find the recorded calls between inputs and outputs, in order."""
        if isinstance(inputs, list | tuple):
            if len(inputs) != 1:
                raise ValueError(f"Model: one input is supported, got {len(inputs)} inputs")
            inputs = inputs[0]
        self._several = isinstance(outputs, list | tuple)
        ends = list(outputs) if self._several else [outputs]
        for name, tensor in [("inputs", inputs), *[("outputs", end) for end in ends]]:
            if not isinstance(tensor, SymbolicTensor):
                raise TypeError(
                    f"Model: {name} must be symbolic tensors (from Input and from calling layers),"
                    f" got {type(tensor).__name__}"
                    + ("; call the layer on a tensor" if isinstance(tensor, Layer) else "")
                )
        self._input: SymbolicTensor = inputs
        self._outputs: list[SymbolicTensor] = ends
        self._calls: list[SymbolicTensor] = []
        seen: set[int] = set()

        def visit(tensor: SymbolicTensor) -> None:
            if id(tensor) in seen:
                return
            seen.add(id(tensor))
            for source in tensor.inputs:
                visit(source)
            if tensor.layer is not None:
                self._calls.append(tensor)
            elif tensor is not inputs:
                raise ValueError(
                    f"Model: outputs depend on another input, {tensor}, than the given {inputs}"
                )

        for end in ends:
            visit(end)
        if id(inputs) not in seen:
            raise ValueError("Model: outputs do not depend on inputs")
        self.layers: list[Layer] = list(dict.fromkeys(c.layer for c in self._calls if c.layer))
        kinds = {layer.dtype for layer in self.layers} or {"float32"}
        if len(kinds) > 1:
            raise ValueError(
                f"Model: all layers must have one float type, got {sorted(kinds)}; pass the same"
                " dtype= to every layer"
            )
        self.dtype = kinds.pop()
        self._step = Variable("step", np.zeros(1, np.uint64), trainable=False)
        self._forget_programs()

    def _forget_programs(self) -> None:
        self._workspace = Workspace()
        self._programs: dict[tuple[Any, ...], Any] = {}
        self._graphs: dict[tuple[Any, ...], Any] = {}

    # ---- shapes and weights --------------------------------------------------------------------

    @property
    def input_shape(self) -> Any:
        """The shape of the input, (None, ...)."""
        return self._input.shape

    @property
    def output_shape(self) -> Any:
        """The shape of the output, or a list of them."""
        shapes = [end.shape for end in self._outputs]
        return shapes if self._several else shapes[0]

    @property
    def input(self) -> SymbolicTensor:
        """The symbolic input."""
        return self._input

    @property
    def output(self) -> Any:
        """The symbolic output, or a list of several."""
        return self._outputs if self._several else self._outputs[0]

    @property
    def inputs(self) -> list[SymbolicTensor]:
        """The symbolic input, in a list."""
        return [self._input]

    @property
    def outputs(self) -> list[SymbolicTensor]:
        """The symbolic outputs."""
        return self._outputs

    @property
    def variables(self) -> list[Variable]:
        """All variables, layer by layer."""
        return [variable for layer in self.layers for variable in layer.variables]

    @property
    def weights(self) -> list[Array]:
        """Read-only views of all weights."""
        return [variable.view for variable in self.variables]

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """Return a layer by name or by index."""
        if index is not None:
            return self.layers[index]
        names = {layer.name: layer for layer in self.layers}
        return names[_check.one_of("get_layer", "name", name, names)]

    def get_weights(self) -> list[Array]:
        """Copy all weights, layer by layer."""
        with self._lock:
            return [variable.value.copy() for variable in self.variables]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Set all weights from arrays in get_weights' order, or none of them."""
        variables = self.variables
        arrays = [np.asarray(w) for w in weights]
        shapes = [v.value.shape for v in variables]
        if [a.shape for a in arrays] != shapes:
            raise ValueError(
                f"set_weights: needs arrays of shapes {shapes}, got {[a.shape for a in arrays]}"
            )
        with self._lock:
            for variable, array in zip(variables, arrays, strict=True):
                variable.assign(array)

    def count_params(self) -> int:
        """Return the number of values in all weights."""
        return sum(layer.count_params() for layer in self.layers)

    def save_weights(self, filepath: str | os.PathLike[str]) -> None:
        """Write all weights to one .safetensors file, whole or not at all."""
        from convkit.saving import save_weights

        with self._lock:
            save_weights(self, filepath)

    def load_weights(self, filepath: str | os.PathLike[str]) -> None:
        """Set all weights from a file of save_weights; ValueError where it does not fit."""
        from convkit.saving import load_weights

        with self._lock:
            load_weights(self, filepath)

    # ---- programs ------------------------------------------------------------------------------

    def _replay(self, graph: Graph, training: bool) -> tuple[Tensor, dict[int, Tensor]]:
        """Emit all recorded calls; return the input and each call's result by its symbol."""
        x = graph.input(self._input.shape, name="x")
        results = {id(self._input): x}
        for call in self._calls:
            layer = call.layer
            assert layer is not None
            sources = [results[id(t)] for t in call.inputs]
            given: Any = sources if isinstance(layer, MergingLayer) else sources[0]
            results[id(call)] = layer.call(given, training)
        return x, results

    def _graph(self) -> Graph:
        """Make an empty graph whose random ops count the optimizer's steps."""
        for layer in self.layers:
            layer.set_trained_variables()
        graph = Graph(self.dtype)
        graph.step = graph.variable(self.optimizer.iterations if self.optimizer else self._step)
        return graph

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
        graph = self._graph()
        x, results = self._replay(graph, training)
        fetch = [results[id(symbol)] for symbol in symbols]
        return graph, fetch, (x, fetch)

    def _forward(
        self, function: str, x: Any, batch_size: int, symbols: Sequence[SymbolicTensor], mode: str
    ) -> list[Array]:
        """Run all samples through the model; return the arrays of the given symbols."""
        array = data.samples(function, x, self.input_shape)
        count = len(array)
        results = [
            np.empty((count, *[size or 0 for size in s.shape[1:]]), self.dtype) for s in symbols
        ]
        key = (mode, tuple(id(s) for s in symbols))
        index = np.arange(count, dtype=np.int64)
        with self._lock:
            for start in range(0, count, batch_size):
                rows = index[start : start + batch_size]
                program, (source, fetch) = self._program(
                    key, len(rows), lambda: self._forward_graph(mode == "training", symbols)
                )
                program.feed(source, array, rows)
                program.run()
                for result, tensor in zip(results, fetch, strict=True):
                    result[start : start + len(rows)] = program.view(tensor)
        return results

    def predict(self, x: Any, batch_size: int | None = None, verbose: Any = "auto") -> Any:
        """Compute the output for samples x, in batches of batch_size (None: 32).

        Returns an array (N, ...), or a list of them for several outputs.
        """
        size = 32 if batch_size is None else _check.integer("predict", "batch_size", batch_size)
        self._require_built("predict", x)
        results = self._forward("predict", x, size, self._outputs, "predict")
        return results if self._several else results[0]

    def __call__(self, x: Any, training: bool = False) -> Any:
        """Compute the output for one batch x; on a symbolic tensor, record the model's calls."""
        if isinstance(x, SymbolicTensor):
            return self._call_symbolic(x)
        self._require_built("model", x)
        mode = "training" if training else "predict"
        size = max(1, len(np.asarray(x)))
        results = self._forward("model", x, size, self._outputs, mode)
        return results if self._several else results[0]

    def _call_symbolic(self, x: SymbolicTensor) -> Any:
        results = {id(self._input): x}
        for call in self._calls:
            sources = [results[id(t)] for t in call.inputs]
            assert call.layer is not None
            merging = isinstance(call.layer, MergingLayer)
            results[id(call)] = call.layer(sources if merging else sources[0])
        ends = [results[id(end)] for end in self._outputs]
        return ends if self._several else ends[0]

    def feature_maps(self, x: Any) -> dict[str, Array]:
        """Return what every layer makes of samples x: layer name -> array (N, ...)."""
        self._require_built("feature_maps", x)
        results = self._forward("feature_maps", x, 32, self._calls, "features")
        names: dict[str, Array] = {}
        for call, result in zip(self._calls, results, strict=True):
            assert call.layer is not None
            name, number = call.layer.name, 1
            while name in names:  # a shared layer's later calls
                number += 1
                name = f"{call.layer.name}:{number}"
            names[name] = result
        return names

    def plot_feature_maps(self, x: Any, **options: Any) -> Any:
        """Draw what every layer makes of one sample, or of the first of several: a Picture.

        Options are those of convkit.viz.feature_maps. Raises ImportError without matplotlib.
        """
        from convkit import viz

        self._require_built("plot_feature_maps", x)
        first = np.asarray(x)
        shape = self.input_shape[1:]
        first = first[None] if shape in (first.shape, (*first.shape, 1)) else first[:1]
        maps = self.feature_maps(first)
        return viz.feature_maps(maps, first[0] if len(shape) > 1 else None, **options)

    def plot_filters(self, layer: str | int | None = None, **options: Any) -> Any:
        """Draw the filters of a layer, by name or index, or of the first that has any: a Picture.

        Options are those of convkit.viz.filters. Raises ValueError for a layer without filters and
        ImportError without matplotlib.
        """
        from convkit import viz

        having = [part for part in self.layers if np.ndim(getattr(part, "kernel", 0)) == 4]
        if layer is None:
            chosen = having[0] if having else None
        else:
            chosen = self.layers[layer] if isinstance(layer, int) else self.get_layer(layer)
        if chosen not in having:
            what = "the model" if chosen is None else f"layer {chosen.name!r}"
            names = ", ".join(part.name for part in having) or "no layer"
            raise ValueError(f"plot_filters: {what} has no filters; {names} of this model has")
        assert chosen is not None
        return viz.filters(chosen, **{"title": chosen.name, **options})

    def _require_built(self, function: str, x: Any) -> None:
        """Subclasses that build themselves from data do it here."""

    # ---- report --------------------------------------------------------------------------------

    def summary(self, print_fn: Any = print) -> None:
        """Print a table of layers, output shapes and parameter counts."""
        rows = [(f"{self._input.name} (InputLayer)", str(self._input.shape), "0")]
        for call in self._calls:
            assert call.layer is not None
            title = f"{call.layer.name} ({type(call.layer).__name__})"
            rows.append((title, str(call.shape), f"{call.layer.count_params():,}"))
        head = ("Layer (type)", "Output Shape", "Param #")
        widths = [max(len(row[i]) for row in (head, *rows)) + 2 for i in range(3)]
        rule = "-" * sum(widths)
        total = self.count_params()
        trainable = sum(v.value.size for layer in self.layers for v in layer.trainable_variables)
        size = np.dtype(self.dtype).itemsize
        lines = [f'Model: "{self.name}"', rule]
        for row in (head, *rows):
            lines.append(
                "".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            )
            if row is head:
                lines.append("=" * sum(widths))
        kept = self.optimizer.count_params() if self.optimizer else 0
        counts = [("Total", total + kept), ("Trainable", trainable)]
        counts += [("Non-trainable", total - trainable), *([("Optimizer", kept)] if kept else [])]
        lines.append(rule)
        lines += [f"{name} params: {n:,} ({_size_text(n * size)})" for name, n in counts]
        print_fn("\n".join(line.rstrip() for line in lines))


def _size_text(nbytes: int) -> str:
    if not nbytes:
        return "0.00 B"
    power = min(3, int(math.log(nbytes, 1024)))
    return f"{nbytes / 1024**power:.2f} {('B', 'KB', 'MB', 'GB')[power]}"


class Sequential(Model):
    """A chain of layers. Without an Input it is built at the first data it sees."""

    def __init__(self, layers: Sequence[Any] | None = None, name: str | None = None) -> None:
        Trainer.__init__(self)
        self.name = name or unique_name("Sequential")
        self._lock = threading.RLock()
        self._start: SymbolicTensor | None = None
        self._chain: list[Any] = []
        self.layers: list[Layer] = []
        self.dtype = "float32"
        for layer in layers or []:
            self.add(layer, rebuild=False)
        self._rebuild()

    def add(self, layer: Any, rebuild: bool = True) -> None:
        """Append a layer (or, first, an Input)."""
        if isinstance(layer, SymbolicTensor):
            if self._chain or self._start is not None:
                raise ValueError("Sequential: Input must come first")
            self._start = layer
        elif isinstance(layer, Layer | Model):
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
        self.layers = [layer for layer in self._chain if isinstance(layer, Layer)]
        if self._start is None and self._chain:
            given = getattr(self._chain[0], "given_input_shape", None)
            if given is not None:
                self._start = Input(given, dtype=self._chain[0].dtype)
        if self._start is None or not self._chain:
            return
        tensor = self._start
        for layer in self._chain:
            tensor = layer(tensor)
        self._connect(self._start, tensor)

    @property
    def built(self) -> bool:
        """Whether the input shape is known and the weights are made."""
        return hasattr(self, "_calls")

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Make the weights for inputs of shape (None, ...)."""
        self._start = Input([size or 0 for size in input_shape[1:]], dtype=self.dtype)
        self._rebuild()

    def _require_built(self, function: str, x: Any) -> None:
        if self.built:
            return
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

    def __call__(self, x: Any, training: bool = False) -> Any:
        """Compute the output for one batch x; on a symbolic tensor, record the model's calls."""
        if isinstance(x, SymbolicTensor) and not self.built:
            self._start = Input([size or 0 for size in x.shape[1:]], dtype=self._chain[0].dtype)
            self._rebuild()
        return super().__call__(x, training)

    def summary(self, print_fn: Any = print) -> None:
        """Print a table of layers, output shapes and parameter counts."""
        if not self.built:
            raise ValueError("summary: the input shape is not known yet; start with Input(shape)")
        super().summary(print_fn)
