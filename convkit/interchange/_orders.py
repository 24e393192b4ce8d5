"""In which order a flat tensor's features are, where they come from or become an image.

Flattening (H, W, C) and flattening (C, H, W) give the same numbers in another order: the weights of
a Dense after a Flatten (or before a Reshape to an image) must be brought into the other one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convkit.layers import Concatenate, Dense, Flatten, Layer, Reshape
from convkit.model import Model

# order[i] is the place in PyTorch's flat tensor of what is at place i here.
Order = NDArray[np.int64]


def image_order(shape: Any) -> Order | None:
    """Return the order of a flat image (None, H, W, C); None where it is the same in both."""
    _, h, w, c = shape
    if h * w == 1 or c == 1:
        return None
    return np.arange(c * h * w).reshape(c, h, w).transpose(1, 2, 0).reshape(-1)


def _carries(layer: Layer, shape: Any, made: Any) -> bool:
    """Say whether what a layer makes is in the order of what it got: one number from each."""
    single = all(len(v.shape) <= 1 for v in layer.variables)
    return not isinstance(layer, Dense | Model) and single and shape == made and len(made) == 2


def flat_orders(model: Model, given: Sequence[Order | None] = ()) -> dict[int, Order]:
    """Return the orders of a model's flat tensors, by the tensors' ids; same orders are left out.

    `given` are those of the inputs. Raises ValueError where tensors of different orders meet.
    """
    orders = {id(t): o for t, o in zip(model.inputs, given, strict=False) if o is not None}
    for call in model._calls:
        source, made = call.inputs[0], call.outputs[0]
        order: Order | None = None
        if isinstance(call.layer, Model):
            within = flat_orders(call.layer, [orders.get(id(t)) for t in call.inputs])
            for inner, outer in zip(call.layer.outputs, call.outputs, strict=True):
                if id(inner) in within:
                    orders[id(outer)] = within[id(inner)]
        elif isinstance(call.layer, Flatten | Reshape) and len(made.shape) == 2:
            image = len(source.shape) == 4
            order = image_order(source.shape) if image else orders.get(id(source))
        elif isinstance(call.layer, Concatenate) and len(made.shape) == 2:
            order = _joined([(orders.get(id(t)), t.shape[1] or 0) for t in call.inputs])
        elif all(_carries(call.layer, t.shape, made.shape) for t in call.inputs):
            order = orders.get(id(source))
            for other in call.inputs[1:]:
                if not _equal(order, orders.get(id(other))):
                    raise ValueError(
                        f"interchange: {call.layer.name!r} joins flat tensors whose features are in"
                        " another order in PyTorch; flatten after joining"
                    )
        if order is not None:
            orders[id(made)] = order
    for call in reversed(model._calls):
        source, made = call.inputs[0], call.outputs[0]
        order = None
        if isinstance(call.layer, Reshape) and len(source.shape) == 2 and len(made.shape) == 4:
            order = image_order(made.shape)
        elif _carries(call.layer, source.shape, made.shape):
            order = orders.get(id(made))
        if order is not None:
            orders.setdefault(id(source), order)
    return orders


def _joined(parts: list[tuple[Order | None, int]]) -> Order | None:
    if all(order is None for order, _ in parts):
        return None
    starts = np.cumsum([0, *(size for _, size in parts)])
    return np.concatenate(
        [
            start + (np.arange(size) if order is None else order)
            for (order, size), start in zip(parts, starts, strict=False)
        ]
    )


def _equal(a: Order | None, b: Order | None) -> bool:
    return np.array_equal(a, b) if a is not None and b is not None else a is b
