"""The base of all layers.

Calling a layer on a symbolic tensor records the call; a model replays the recorded calls into a
graph of ops for each mode. Calling a layer on an array runs it.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from convkit import _check, constraints, initializers, regularizers, runtime
from convkit._arrays import look
from convkit._config import Configurable
from convkit.graph import Graph, Tensor, Variable
from convkit.layers.symbolic import Call, Input, SymbolicTensor, unique_name

if TYPE_CHECKING:
    from convkit.model import Model

# Bytes that weights made from a file's description may still take; None: drawn as usual.
_bytes_left: ContextVar[int | None] = ContextVar("bytes_left", default=None)


@contextmanager
def limited_weights(nbytes: int) -> Iterator[None]:
    """Make weights of zeros, at most `nbytes` of them: those that a file will fill."""
    token = _bytes_left.set(nbytes)
    try:
        yield
    finally:
        _bytes_left.reset(token)


def _undefined_call(self: Layer, x: Any, training: bool) -> Any:
    raise TypeError(f"{type(self).__name__} must define call(self, x) or call(self, x, training)")


@functools.cache
def _takes_training(cls: Any) -> bool:
    """Say whether a layer's call has an argument for the mode."""
    parameters = inspect.signature(cls.call).parameters
    return "training" in parameters or len(parameters) > 2


class Layer(Configurable):
    """What all layers do: hold variables, record calls, and emit ops when a model replays them.

    A subclass defines `build(input_shape)` (makes variables by add_weight) and `call(x)` or
    `call(x, training)`, which emits ops of `convkit.ops` on graph tensors and returns the result;
    layers that it keeps as attributes may be called there too. `compute_output_shape(input_shape)`
    is found by a trial call unless it is defined. With `several_inputs` it is called on lists, and
    gets lists of shapes and tensors. Where its __init__ keeps its arguments as attributes of their
    names, get_config and saving just work.
    """

    _unsaved: tuple[str, ...] = ("input_shape", "input_dim", "data_format")
    several_inputs = False

    def __init__(
        self,
        *,
        name: str | None = None,
        dtype: str | None = None,
        trainable: bool = True,
        input_shape: Sequence[int] | None = None,
        input_dim: int | None = None,
    ) -> None:
        kind = type(self).__name__
        if input_dim is not None:
            input_shape = (_check.integer(kind, "input_dim", input_dim),)
        if dtype not in (None, "float32", "float64"):
            raise ValueError(f"{kind}: dtype must be 'float32' or 'float64', got dtype={dtype!r}")
        self.name = name or unique_name(kind)
        self.dtype = dtype or "float32"
        self.trainable = trainable
        self.built = False
        self.given_input_shape = None if input_shape is None else tuple(input_shape)
        self._variables: list[Variable] = []
        self._changes: list[bool] = []  # which of them training changes
        self._input_shape: Any = None
        self._output_shape: Any = None
        self._alone: Model | None = None
        self._result: SymbolicTensor | None = None

    if not TYPE_CHECKING:

        def __getattr__(self, name):
            """Raise the error for an unknown attribute, with the nearest that exists."""
            raise _check.missing_attribute(f"convkit layer {type(self).__name__}", name, dir(self))

    # ---- what subclasses define ----------------------------------------------------------------

    def build(self, input_shape: Any) -> None:
        """Make variables for an input shape (None, ...)."""

    # As a rule call(self, x, training); `emit` also takes call(self, x).
    call: Callable[..., Any] = _undefined_call

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape that call gives, (None, ...); here by a trial."""
        graph = Graph(self.dtype)
        graph.step = graph.variable(Variable("step", np.zeros(1, np.uint64), trainable=False))
        if isinstance(input_shape, list):
            result = self.emit([graph.input(shape) for shape in input_shape], False)
        else:
            result = self.emit(graph.input(input_shape), False)
        return [y.shape for y in result] if isinstance(result, list) else result.shape

    def emit(self, x: Any, training: bool) -> Any:
        """Emit the layer's ops: run `call` on graph tensors, given `training` if it takes it."""
        graph = (x[0] if isinstance(x, list) else x).graph
        before, graph.training = graph.training, training
        try:
            kind: Any = type(self)
            result = self.call(x, training) if _takes_training(kind) else self.call(x)
        finally:
            graph.training = before
        result = list(result) if isinstance(result, tuple) else result
        for y in result if isinstance(result, list) else [result]:
            if not isinstance(y, Tensor) or y.graph is not graph:
                raise TypeError(
                    f"{self._title}: call must return a tensor made of its argument by convkit.ops,"
                    f" got {type(y).__name__}"
                )
        return result

    @property
    def trainable(self) -> bool:
        """Whether training changes the weights; a change takes effect at the next compile."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = bool(value)

    @property
    def input_shape(self) -> Any:
        """The shape of the first call's input, (None, ...); a list of them for several inputs."""
        return self._input_shape

    @property
    def output_shape(self) -> Any:
        """The shape of the first call's result, (None, ...)."""
        return self._output_shape

    # ---- variables -----------------------------------------------------------------------------

    def add_weight(
        self,
        name: str = "",
        shape: Sequence[int] = (),
        initializer: Any = None,
        trainable: bool = True,
        *,
        regularizer: Any = None,
        constraint: Any = None,
    ) -> Variable:
        """Make a variable of this layer, for `build`.

        What is None is read from the layer's attributes `<name>_initializer` (else
        "glorot_uniform"), `<name>_regularizer` and `<name>_constraint`.
        """
        if not isinstance(name, str):
            raise TypeError(
                f"{type(self).__name__} {self.name!r}: add_weight takes the name first, got"
                f" name={name!r}; write add_weight('w', shape, initializer)"
            )

        name = name or f"variable_{len(self._variables)}"

        def given(value: Any, kind: str) -> Any:
            return getattr(self, f"{name}_{kind}", None) if value is None else value

        left = _bytes_left.get()
        if left is None:
            initializer = given(initializer, "initializer")
            initializer = initializers.get("glorot_uniform" if initializer is None else initializer)
            value = initializer(tuple(shape), runtime.random_generator())
        else:
            left -= math.prod(shape) * np.dtype(self.dtype).itemsize
            if left < 0:
                raise ValueError(f"{self._title}: the weight {name} {shape} is not in the file")
            _bytes_left.set(left)
            value = np.zeros(tuple(shape))
        variable = Variable(f"{self.name}/{name}", value.astype(self.dtype), trainable)
        variable.regularizer = regularizers.get(given(regularizer, "regularizer"))
        variable.constraint = constraints.get(given(constraint, "constraint"))
        self._variables.append(variable)
        self._changes.append(trainable)
        return variable

    def _keep_weight_options(self, activity_regularizer: Any = None, **options: Any) -> None:
        """Keep initializers, regularizers and constraints, the latter two as objects."""
        if activity_regularizer is not None:
            raise ValueError(
                f"{type(self).__name__}: activity_regularizer is not supported, got"
                f" {activity_regularizer!r}; use kernel_regularizer"
            )
        self.activity_regularizer = None
        kinds = {"regularizer": regularizers.get, "constraint": constraints.get}
        for name, value in options.items():
            kind = kinds.get(name.rpartition("_")[2])
            setattr(self, name, kind(value) if kind else value)

    @property
    def sublayers(self) -> list[Layer]:
        """The layers that this one keeps as attributes, single ones and those in lists."""
        found: list[Layer] = []
        for name, value in vars(self).items():
            if name != "_alone":
                items = value if isinstance(value, list | tuple) else [value]
                found += [item for item in items if isinstance(item, Layer)]
        return list(dict.fromkeys(found))

    def set_trained_variables(self) -> None:
        """Tell the variables whether training changes them, by this layer's `trainable`."""
        for variable, changes in zip(self._variables, self._changes, strict=True):
            variable.trainable = changes and self.trainable
        for layer in self.sublayers:
            layer.set_trained_variables()
            if not self.trainable:
                for variable in layer.variables:
                    variable.trainable = False

    @property
    def variables(self) -> list[Variable]:
        """All variables: kernel, then bias, then what training does not change, then sublayers'."""
        inner = [v for layer in self.sublayers for v in layer.variables]
        return list(dict.fromkeys([*self._variables, *inner]))

    @property
    def weights(self) -> list[NDArray[Any]]:
        """Read-only views of all variables."""
        return [variable.view for variable in self.variables]

    @property
    def trainable_variables(self) -> list[Variable]:
        """The variables that training changes."""
        if not self.trainable:
            return []
        own = [v for v, changes in zip(self._variables, self._changes, strict=True) if changes]
        inner = [v for layer in self.sublayers for v in layer.trainable_variables]
        return list(dict.fromkeys([*own, *inner]))

    @property
    def non_trainable_variables(self) -> list[Variable]:
        """The variables that training does not change."""
        trained = set(self.trainable_variables)
        return [variable for variable in self.variables if variable not in trained]

    @property
    def trainable_weights(self) -> list[NDArray[Any]]:
        """Read-only views of the variables that training changes."""
        return [variable.view for variable in self.trainable_variables]

    @property
    def non_trainable_weights(self) -> list[NDArray[Any]]:
        """Read-only views of the variables that training does not change."""
        return [variable.view for variable in self.non_trainable_variables]

    def get_weights(self) -> list[NDArray[Any]]:
        """Copy all variables: kernel, then bias, then what training does not change."""
        return [variable.value.copy() for variable in self.variables]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Set all variables from arrays of the same shapes, or none of them."""
        arrays = [np.asarray(w) for w in weights]
        shapes = [v.value.shape for v in self.variables]
        if [a.shape for a in arrays] != shapes:
            raise ValueError(
                f"{self.name}: set_weights needs arrays of shapes {shapes}, got"
                f" {[a.shape for a in arrays]}"
            )
        for variable, array in zip(self.variables, arrays, strict=True):
            variable.assign(array)

    def count_params(self) -> int:
        """Return the number of values in all variables."""
        return sum(variable.value.size for variable in self.variables)

    # ---- calls -----------------------------------------------------------------------------------

    def ensure_built(self, shape: Any) -> None:
        """Make the variables at the first call; later inputs must fit them."""
        if not self.built:
            self.build(shape)
            self._input_shape, self._output_shape = shape, self.compute_output_shape(shape)
            self.built = True

    def __call__(self, inputs: Any, training: bool | None = None) -> Any:
        """Record a call on symbolic tensors, run the layer on arrays, or emit its ops in a graph.

        On tensors of a graph, in another layer's `call`, training is that layer's unless given.
        """
        many = isinstance(inputs, list | tuple)
        given = list(inputs) if many else [inputs]
        if given and all(isinstance(t, Tensor) for t in given):
            self.ensure_built([t.shape for t in given] if many else inputs.shape)
            inherited = given[0].graph.training
            return self.emit(given if many else inputs, inherited if training is None else training)
        symbols = [isinstance(t, SymbolicTensor) for t in given]
        if not any(symbols):
            return self._run(inputs, bool(training))
        if not all(symbols):
            raise TypeError(
                f"{self._title}: call it on symbolic tensors or on arrays, not on both at once"
            )
        self._result = self._record(given, many)
        return self._result

    @property
    def _title(self) -> str:
        return f"{type(self).__name__} {self.name!r}"

    def _record(self, given: list[SymbolicTensor], many: bool) -> Any:
        """Record a call; return its result, or a list of several."""
        if many and not self.several_inputs:
            raise ValueError(
                f"{self._title}: call it on one tensor, got a list of {len(given)}; join them with"
                " Concatenate() or Add()"
            )
        shape = [t.shape for t in given] if many else given[0].shape
        self.ensure_built(shape)
        result = self.compute_output_shape(shape)
        call = Call(self, given, many)
        shapes = result if isinstance(result, list) else [result]
        call.outputs = [SymbolicTensor(s, self.dtype, self.name, call) for s in shapes]
        return call.outputs if isinstance(result, list) else call.outputs[0]

    @property
    def output(self) -> Any:
        """The symbolic result of the latest call, for Model(model.input, layer.output)."""
        if self._result is None:
            raise ValueError(
                f"{self.name}: the layer has no output yet; call it on a tensor or add it to a"
                " model first"
            )
        return self._result

    @property
    def input(self) -> Any:
        """The symbolic tensor that the latest call was given, or a list of several."""
        result = self.output[0] if isinstance(self.output, list) else self.output
        return result.inputs if result.call.many else result.inputs[0]

    def _run(self, inputs: Any, training: bool) -> Any:
        """Compute the layer alone: as a model of its own, kept for the next call."""
        from convkit.model import Model

        if self.several_inputs and not isinstance(inputs, list | tuple):
            raise TypeError(f"{self._title}: call it on a list of arrays, got {type(inputs)}")
        values = list(inputs) if self.several_inputs else [inputs]
        arrays = [look(self._title, "x", value) for value in values]
        shapes = [array.shape[1:] for array in arrays]
        if self._alone is None or [t.shape[1:] for t in self._alone.inputs] != shapes:
            tensors = [Input(shape, dtype=self.dtype) for shape in shapes]
            self._alone = Model(tensors, self._record(tensors, self.several_inputs))
        return self._alone(arrays if len(arrays) > 1 else arrays[0], training=training)


class MergingLayer(Layer):
    """A layer of several inputs."""

    several_inputs = True


def variable_property(attribute: str) -> Callable[[Layer], Any]:
    """Make a property that shows the variable `_attribute` read-only."""

    def show(self: Layer) -> Any:
        variable = getattr(self, "_" + attribute, None)
        return None if variable is None else variable.view

    show.__doc__ = (
        f"A read-only view of {attribute}, None before it is built or where there is none."
    )
    return property(show)  # type: ignore[return-value]


def check_seed(kind: str, seed: int | None) -> int:
    """Return the seed that is given, else the next one of the process."""
    if seed is None:
        return runtime.next_seed()
    return _check.integer(kind, "seed", seed, 0, runtime.MAX_SEED)


def random_source(x: Tensor, seed: int) -> dict[str, Any]:
    """Return where an op at this place of a graph draws from: seed, stream and step."""
    step = x.graph.step
    assert step is not None
    # The place in the graph tells layers (and calls of a shared layer) of one seed apart.
    return {"seed": seed, "stream": len(x.graph.ops), "step": step}


def check_rank(layer: Layer, shape: Any, rank: int, axes: str, hint: str) -> None:
    """Raise ValueError unless an input shape has `rank` axes."""
    if isinstance(shape, list) or len(shape) != rank:
        raise ValueError(
            f"{type(layer).__name__} {layer.name!r}: expected input {axes},"
            f" got shape {shape}; {hint}"
        )


def check_data_format(layer: str, data_format: str | None) -> None:
    """Accept only the one layout."""
    if data_format not in (None, "channels_last"):
        raise ValueError(
            f"{layer}: arrays are (N, H, W, C), got data_format={data_format!r}; use"
            " x.transpose(0, 2, 3, 1)"
        )
