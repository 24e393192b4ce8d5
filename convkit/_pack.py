"""Fill the C structs: named values into 8-byte slots. The one place that knows how.

A program's structs lie in one array of slots (`fill`); a single call packs its own (`call`).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from convkit import _core

_CODES = {"p": "Q", "i": "q", "d": "d"}  # of the struct module


class _Layout(NamedTuple):
    """The fields of a C struct."""

    slots: dict[str, int]
    kinds: dict[str, str]
    pack: Callable[..., bytes]


_LAYOUTS = {
    name: _Layout(
        {field: slot for field, slot, _kind in fields},
        {field: kind for field, _slot, kind in fields},
        struct.Struct("=" + "".join(_CODES[kind] for _field, _slot, kind in fields)).pack,
    )
    for name, fields in _core.layouts.items()
}
_KERNELS = {
    kernel: (number, _LAYOUTS[_core.kernel_structs[kernel]])
    for kernel, number in _core.kernel_ids.items()
}


def slot_count(name: str) -> int:
    """Return the size of a struct in slots."""
    return len(_LAYOUTS[name].slots)


def slots_of(name: str, fields: Sequence[str]) -> list[int]:
    """Return the slots of some fields of a struct."""
    return [_LAYOUTS[name].slots[field] for field in fields]


def fill(slots: NDArray[np.uint64], name: str, values: Mapping[str, Any]) -> None:
    """Write `values` (addresses, ints, floats; None is a null pointer) into a struct's slots."""
    layout = _LAYOUTS[name]
    views = {"p": slots, "i": slots.view(np.int64), "d": slots.view(np.float64)}
    for field, value in values.items():
        views[layout.kinds[field]][layout.slots[field]] = 0 if value is None else value


def call(kernel: str, real_bytes: int, /, **values: Any) -> None:
    """Run one kernel; arrays are passed as their addresses, what is left out is 0 or null.

    The caller keeps the arrays alive and has checked everything.
    """
    number, layout = _KERNELS[kernel]
    slots = layout.slots
    row: list[Any] = [0] * len(slots)
    for field, value in values.items():
        if isinstance(value, np.ndarray):
            row[slots[field]] = _core.address(value)
        elif value is not None:
            row[slots[field]] = value
    _core.run_packed(number, layout.pack(*row), real_bytes)
