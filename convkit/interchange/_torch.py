"""Weights from and to a PyTorch state_dict."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convkit._arguments import named_arguments
from convkit._files import FormatError, atomic_write
from convkit.graph import Variable
from convkit.interchange._orders import Order, flat_orders
from convkit.layers import BatchNormalization, Dense, Layer
from convkit.model import Model

Array = NDArray[Any]

COUNTER = "num_batches_tracked"
LEAVES = {
    **{"kernel": "weight", "bias": "bias", "gamma": "weight", "beta": "bias", "alpha": "weight"},
    **{"moving_mean": "running_mean", "moving_variance": "running_var"},
    **{"depthwise_kernel": "weight", "pointwise_kernel": "weight"},
}
PICKLED = (".pt", ".pth", ".bin", ".ckpt")


@dataclass
class Entry:
    """A variable here, its name within a module there, and the orders of its two flat sides."""

    variable: Variable
    leaf: str
    rows: Order | None = None
    columns: Order | None = None

    def shape(self) -> tuple[int, ...]:
        """Return the shape there."""
        return self.outward().shape

    def outward(self) -> Array:
        """Return the value as it is there."""
        value = self.variable.value
        if value.ndim == 4:  # (KH, KW, in, out) -> (out, in, KH, KW); transposed convolutions too
            return value.transpose(3, 2, 0, 1).copy()
        if value.ndim == 2:
            value = _scattered(value, self.rows)
            return _scattered(value.T, self.columns).copy()
        return _scattered(value, self.columns).reshape(-1).copy()

    def inward(self, value: Array) -> Array:
        """Return a value from there as it is here."""
        if value.ndim == 4:
            return value.transpose(2, 3, 1, 0)
        if value.ndim == 2:
            value = value if self.columns is None else value[self.columns]
            value = value.T
            return value if self.rows is None else value[self.rows]
        value = value if self.columns is None else value[self.columns]
        return value.reshape(self.variable.shape)


def _scattered(value: Array, order: Order | None) -> Array:
    if order is None:
        return value
    result = np.empty_like(value)
    result[order] = value
    return result


@dataclass
class Module:
    """A module there, for a layer here or a half of one."""

    layer: Layer
    name: str
    entries: list[Entry]

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of all entries, by name."""
        return {entry.leaf: entry.shape() for entry in self.entries}


def _layers(
    model: Model, prefix: str = "", given: Sequence[Order | None] = ()
) -> Iterable[tuple[str, Layer, Order | None, Order | None]]:
    """Yield every layer with weights once: its name, and the orders of what it gets and makes."""
    orders = flat_orders(model, given)
    seen: set[int] = set()
    for call in model._calls:
        layer = call.layer
        if id(layer) in seen or not layer.variables:
            continue
        seen.add(id(layer))
        if isinstance(layer, Model):
            inside = [orders.get(id(tensor)) for tensor in call.inputs]
            yield from _layers(layer, f"{prefix}{layer.name}.", inside)
        else:
            sides = (orders.get(id(call.inputs[0])), orders.get(id(call.outputs[0])))
            yield prefix + layer.name, layer, *sides


def _modules(model: Model) -> list[Module]:
    modules = []
    for name, layer, before, after in _layers(model):
        groups: dict[str, list[Entry]] = {}
        names = [variable.name.split("/")[-1] for variable in layer.variables]
        for variable, own in zip(layer.variables, names, strict=True):
            leaf = LEAVES.get(own)
            if leaf is None:
                raise ValueError(
                    f"interchange: {type(layer).__name__} {name!r} has the weight {own!r}, which"
                    " PyTorch's layers do not have"
                )
            part = ""
            if "pointwise_kernel" in names:  # two modules there; the bias is the second one's
                part = ".depthwise" if own == "depthwise_kernel" else ".pointwise"
            dense = isinstance(layer, Dense) and own == "kernel"
            entry = Entry(variable, leaf, before if dense else None, after)
            groups.setdefault(name + part, []).append(entry)
        modules += [Module(layer, full, entries) for full, entries in groups.items()]
    return modules


def _grouped(keys: Iterable[str]) -> dict[str, list[str]]:
    """Group the names of a state_dict by module."""
    groups: dict[str, list[str]] = {}
    for key in keys:
        module, _, leaf = key.rpartition(".")
        if leaf != COUNTER:
            groups.setdefault(module, []).append(leaf)
    return groups


def _by_shapes(modules: Sequence[Module], state: Mapping[str, Any]) -> list[str]:
    """Match modules by their shapes, those of same shapes by the numbers in their names.

    Files do not keep the order of a state_dict. Returns [] where the names do not tell either.
    """
    found: dict[str, list[str]] = {}
    for name, leaves in _grouped(state).items():
        shapes = {leaf: tuple(np.shape(state[_key(name, leaf)])) for leaf in leaves}
        found.setdefault(repr(sorted(shapes.items())), []).append(name)
    for names in found.values():
        if len({re.sub(r"\d+", "0", name) for name in names}) > 1:
            return []
        names.sort(key=lambda name: [int(number) for number in re.findall(r"\d+", name)])
    chosen = []
    for module in modules:
        same = found.get(repr(sorted(module.shapes.items())))
        if not same:
            return []
        chosen.append(same.pop(0))
    return [] if any(found.values()) else chosen


def _prefixes(
    function: str,
    modules: Sequence[Module],
    state: Mapping[str, Any],
    layers: Any,
    ordered: bool = True,
) -> list[str]:
    """Return the name there of each module: as given, else the same name, else by order."""
    groups = _grouped(state)
    if layers is not None:
        unknown = set(layers) - {module.name for module in modules}
        absent = [m.name for m in modules if m.name not in layers]
        if unknown or absent:
            raise ValueError(
                f"{function}: layers must name every layer with weights once; not in the model:"
                f" {sorted(unknown)}, not given: {absent}"
            )
        chosen = [layers[module.name] for module in modules]
    elif {module.name for module in modules} <= set(groups):
        chosen = [module.name for module in modules]
    elif not ordered:
        chosen = _by_shapes(modules, state)
        if not chosen:
            raise ValueError(
                f"{function}: the file does not keep the order of its modules, and neither names"
                " nor shapes tell which layer each belongs to; pass layers={'layer here': 'module"
                f" there', ...}}. Layers: {[(m.name, m.shapes) for m in modules]}, modules:"
                f" {list(groups)}"
            )
    else:
        chosen = list(groups)
    expected = [module.shapes for module in modules]
    found = [
        {leaf: tuple(np.shape(state[_key(name, leaf)])) for leaf in groups.get(name, ())}
        for name in chosen
    ]
    if expected != found:
        rows = []
        for i in range(max(len(expected), len(found))):
            here = f"{modules[i].name} {expected[i]}" if i < len(modules) else "nothing"
            there = f"{chosen[i]} {found[i]}" if i < len(chosen) else "nothing"
            differs = i >= len(modules) or i >= len(chosen) or expected[i] != found[i]
            rows.append(f"  {'->' if differs else '  '} {here}: {there}")
        raise ValueError(
            f"{function}: the modules of the state_dict do not fit the layers in their order; pass"
            " layers={'layer here': 'module there', ...} where the order differs. Shapes as in"
            " PyTorch, layer here: module there\n" + "\n".join(rows)
        )
    return chosen


def _key(module: str, leaf: str) -> str:
    return f"{module}.{leaf}" if module else leaf


def _array(name: str, value: Any) -> Array:
    if hasattr(value, "detach"):  # a tensor
        value = value.detach().cpu()
        if "bfloat16" in str(value.dtype):
            value = value.float()
    array = np.asarray(value)
    if array.dtype.kind not in "fiu":
        raise TypeError(f"load_torch: {name} must be an array of numbers, got {array.dtype}")
    return array


def _read(path: str | os.PathLike[str]) -> dict[str, Any]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    name = os.fspath(path)
    if name.lower().endswith(PICKLED):
        raise ValueError(
            f"load_torch: {name} is a pickle, which can run any code when it is read; in PyTorch,"
            " write safetensors.torch.save_file(model.state_dict(), 'weights.safetensors')"
        )
    try:
        return dict(load_file(name))
    except (SafetensorError, KeyError, TypeError) as error:
        raise FormatError(f"load_torch: {name} is not a file of arrays: {error}") from error


@named_arguments
def load_torch(
    model: Model,
    state_dict: Mapping[str, Any] | str | os.PathLike[str],
    layers: Mapping[str, str] | None = None,
) -> None:
    """Set a model's weights from a PyTorch state_dict, or a .safetensors file of one.

    Modules are matched by name where every layer's name is there, else by order (in files, which
    have none, by shapes and numbers in names); `layers` maps layers' names to modules' names.
    Filters and matrices are transposed, and a Dense after a Flatten gets its rows in this library's
    order. Raises ValueError, before anything is changed, where the shapes do not fit.
    """
    ordered = not isinstance(state_dict, str | os.PathLike)
    if isinstance(state_dict, str | os.PathLike):
        state_dict = _read(state_dict)
    modules = _modules(model)
    state = {name: _array(name, value) for name, value in state_dict.items()}
    prefixes = _prefixes("load_torch", modules, state, layers, ordered)
    values = [
        (entry.variable, entry.inward(state[_key(prefix, entry.leaf)]))
        for module, prefix in zip(modules, prefixes, strict=True)
        for entry in module.entries
    ]
    with model._lock:
        for variable, value in values:
            variable.assign(value)


@named_arguments
def to_torch(
    model: Model,
    like: Mapping[str, Any] | None = None,
    layers: Mapping[str, str] | None = None,
) -> dict[str, Array]:
    """Return a model's weights as PyTorch names and shapes them: name -> new array.

    Modules have the layers' names; with `like`, a state_dict of the PyTorch model, its own names,
    matched as in `load_torch`. Use `{k: torch.from_numpy(v) for k, v in ...}` as a state_dict.
    """
    modules = _modules(model)
    prefixes = [module.name for module in modules]
    if like is not None:
        prefixes = _prefixes("to_torch", modules, like, layers)
    state: dict[str, Array] = {}
    for module, prefix in zip(modules, prefixes, strict=True):
        for entry in module.entries:
            state[_key(prefix, entry.leaf)] = entry.outward()
        if isinstance(module.layer, BatchNormalization):
            state[_key(prefix, COUNTER)] = np.zeros((), np.int64)
    return state


@named_arguments
def save_torch(
    model: Model,
    filepath: str | os.PathLike[str],
    like: Mapping[str, Any] | None = None,
    layers: Mapping[str, str] | None = None,
) -> None:
    """Write `to_torch`'s result to a .safetensors file, for safetensors.torch.load_file."""
    from safetensors.numpy import save

    data = save(to_torch(model, like, layers))
    with atomic_write(filepath) as file:
        file.write(data)
