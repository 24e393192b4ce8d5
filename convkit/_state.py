"""What an object has counted so far, as plain values, so that a killed run can go on with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from convkit._config import arguments

__all__ = ["Stateful"]


class Stateful:
    """Objects whose state is what their attributes hold of numbers, strings, arrays, lists, dicts.

    The constructor's arguments do not count as state, nor does anything else: open files, models.
    A class that keeps its state otherwise defines get_state and set_state itself.
    """

    _no_state: tuple[str, ...] = ()

    def get_state(self) -> dict[str, Any]:
        """Return the state, as values that set_state takes."""
        cls: Any = type(self)
        left_out = {*arguments(cls), *self._no_state}
        return {
            name: _copied(value)
            for name, value in vars(self).items()
            if name not in left_out and _is_plain(value)
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what get_state returned."""
        for name, value in state.items():
            setattr(self, name, _copied(value))


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(_is_plain(item) for item in value)
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_plain(item) for key, item in value.items())
    if isinstance(value, np.ndarray):
        return value.dtype.kind in "fiub"
    return value is None or isinstance(value, bool | int | float | str | np.generic)


def _copied(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_copied(item) for item in value]
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return value.copy()
    return value.item() if isinstance(value, np.generic) else value
