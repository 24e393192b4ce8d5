"""What `Model.plot_feature_maps` and `Model.plot_filters` draw: the parts of a model by name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from convkit.layers.base import Layer
from convkit.viz._network import feature_maps, filters

if TYPE_CHECKING:
    from convkit.model import Model

Array = NDArray[Any]


def plot_feature_maps(model: Model, x: Any, options: dict[str, Any]) -> Any:
    """Draw what every layer makes of one sample, or of the first of several."""
    model._require_built("plot_feature_maps", x)
    if len(model._inputs) > 1:
        maps, image = model.feature_maps([np.asarray(part)[:1] for part in x]), None
    else:
        first, shape = np.asarray(x), model.input_shape[1:]
        first = first[None] if shape in (first.shape, (*first.shape, 1)) else first[:1]
        maps, image = model.feature_maps(first), first[0] if len(shape) > 1 else None
    single: dict[str, Array] = {}
    for name, value in maps.items():
        several = isinstance(value, list)
        single |= {f"{name}[{i}]": v for i, v in enumerate(value)} if several else {name: value}
    return feature_maps(single, image, **options)


def plot_filters(model: Model, layer: str | int | None, options: dict[str, Any]) -> Any:
    """Draw the filters of a layer, by name or index, or of the first that has any."""
    having = list(_convolutions(model.layers))
    named = {part.name: part for part in having}
    chosen: Any
    if layer is None:
        chosen = having[0] if having else None
    elif isinstance(layer, str):
        chosen = named[layer] if layer in named else model.get_layer(layer)
    else:
        chosen = model.layers[layer]
    if chosen not in having:
        what = "the model" if chosen is None else f"layer {chosen.name!r}"
        names = ", ".join(named) or "none"
        raise ValueError(f"plot_filters: {what} has no filters; layers that have: {names}")
    return filters(chosen, **{"title": chosen.name, **options})


def _convolutions(layers: Sequence[Any]) -> Iterator[Layer]:
    """Find the layers with filters, those of models inside of the model included."""
    for layer in layers:
        if hasattr(layer, "layers"):
            yield from _convolutions(layer.layers)
        elif np.ndim(getattr(layer, "kernel", 0)) == 4:
            yield layer
