"""Describe models as plain values, and make models from descriptions.

A description holds the inputs, every layer once, and the calls in the order in which they run.
Tensors are numbered: first the inputs, then what each call gives. A layer that another model in the
same description has already is written as {"shared": its number}.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from convkit import _check
from convkit._config import deserialize, serialize
from convkit.layers.base import Layer
from convkit.layers.symbolic import Input, SymbolicTensor
from convkit.model import Model, Sequential

# The layers described or made so far within one description.
_known: ContextVar[list[Layer] | None] = ContextVar("known_layers", default=None)


@contextmanager
def _one_description() -> Iterator[list[Layer]]:
    known = _known.get()
    if known is not None:
        yield known
        return
    known = []
    token = _known.set(known)
    try:
        yield known
    finally:
        _known.reset(token)


def _describe_layer(layer: Layer, known: list[Layer]) -> Any:
    for number, other in enumerate(known):
        if other is layer:
            return {"shared": number}
    description = serialize(layer)
    known.append(layer)
    return description


def _make_layer(description: Any, known: list[Layer]) -> Layer:
    if isinstance(description, dict) and set(description) == {"shared"}:
        return known[_index("shared", description["shared"], known)]
    layer = deserialize(description)
    if not isinstance(layer, Layer):
        raise ValueError(f"from_config: layers must be descriptions of layers, got {description!r}")
    known.append(layer)
    return layer


def _index(name: str, value: Any, known: list[Any]) -> int:
    return _check.integer("from_config", name, value, 0, len(known) - 1)


def _describe_input(tensor: SymbolicTensor) -> dict[str, Any]:
    return {"shape": list(tensor.shape[1:]), "dtype": tensor.dtype, "name": tensor.name}


def model_config(model: Model) -> dict[str, Any]:
    """Return what Model.from_config needs: inputs, layers, calls, outputs."""
    common = {"name": model.name, "trainable": model.trainable}
    with _one_description() as known:
        if isinstance(model, Sequential):
            start = model._start
            return {
                **common,
                "input": None if start is None else _describe_input(start),
                "layers": [_describe_layer(layer, known) for layer in model.layers],
            }
        numbers = {id(tensor): i for i, tensor in enumerate(model.inputs)}
        calls = []
        for call in model._calls:
            sources = [numbers[id(tensor)] for tensor in call.inputs]
            place = next(i for i, layer in enumerate(model.layers) if layer is call.layer)
            calls.append({"layer": place, "inputs": sources if call.many else sources[0]})
            for tensor in call.outputs:
                numbers[id(tensor)] = len(numbers)
        ends = [numbers[id(tensor)] for tensor in model.outputs]
        return {
            **common,
            "inputs": [_describe_input(tensor) for tensor in model.inputs],
            "layers": [_describe_layer(layer, known) for layer in model.layers],
            "calls": calls,
            "outputs": ends if model._several else ends[0],
        }


def make_model(cls: type[Any], config: Mapping[str, Any]) -> Model:
    """Make a model from a description: a chain of layers, or one by repeating its calls."""
    options = {"name": config.get("name"), "trainable": config.get("trainable", True)}
    with _one_description() as known:
        if issubclass(cls, Sequential):
            start = config.get("input")
            chain: list[Any] = [] if start is None else [Input(**start)]
            chain += [_make_layer(description, known) for description in config["layers"]]
            return cls(chain, **options)
        tensors: list[SymbolicTensor] = [Input(**start) for start in config["inputs"]]
        inputs = list(tensors)
        layers = [_make_layer(description, known) for description in config["layers"]]

        def pick(name: str, numbers: Any) -> Any:
            if isinstance(numbers, list):
                return [tensors[_index(name, number, tensors)] for number in numbers]
            return tensors[_index(name, numbers, tensors)]

        for call in config["calls"]:
            layer = layers[_index("layer", call["layer"], layers)]
            made = layer(pick("inputs", call["inputs"]))
            tensors.extend(made if isinstance(made, list) else [made])
        return cls(inputs, pick("outputs", config["outputs"]), **options)
