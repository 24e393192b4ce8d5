"""Fill the C structs: named values into an array of 8-byte slots. The one place that knows how."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convkit import _core

_FIELDS: dict[str, dict[str, tuple[int, str]]] = {
    struct: {field: (slot, kind) for field, slot, kind in fields}
    for struct, fields in _core.layouts.items()
}


def check_fields(struct: str, fields: tuple[str, ...]) -> None:
    """Raise ImportError unless `fields` are exactly the fields of the C struct."""
    known = set(_FIELDS.get(struct, ()))
    if known != set(fields):
        missing, unknown = sorted(known - set(fields)), sorted(set(fields) - known)
        raise ImportError(
            f"{struct}: Python and C disagree: C alone has {missing}, Python alone has {unknown};"
            " rebuild the extension"
        )


def slot_count(struct: str) -> int:
    """Return the size of a struct in slots."""
    return len(_FIELDS[struct])


def fill(slots: NDArray[np.uint64], struct: str, values: Mapping[str, Any]) -> None:
    """Write `values` (addresses, ints, floats; None is a null pointer) into a struct's slots."""
    fields = _FIELDS[struct]
    ints, floats = slots.view(np.int64), slots.view(np.float64)
    for name, value in values.items():
        slot, kind = fields[name]
        if kind == "d":
            floats[slot] = value
        elif kind == "i":
            ints[slot] = value
        else:
            slots[slot] = value or 0


def address(array: NDArray[Any] | None) -> int:
    """Return where an array's data begin; 0 for None."""
    return 0 if array is None else array.__array_interface__["data"][0]


def call(kernel: str, real_bytes: int, **values: Any) -> None:
    """Run one kernel; arrays are passed as their addresses, what is left out is 0 or null.

    The caller keeps the arrays alive and has checked everything.
    """
    struct = _core.kernel_structs[kernel]
    slots = np.zeros(slot_count(struct), np.uint64)
    for name, value in values.items():
        if isinstance(value, np.ndarray):
            values[name] = address(value)
    fill(slots, struct, values)
    _core.run(_core.kernel_ids[kernel], slots, real_bytes)
