"""The few functions of keras.backend that mean something here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from convkit import _check
from convkit.layers.base import check_data_format
from convkit.layers.symbolic import reset_names

__all__ = [
    "backend",
    "clear_session",
    "epsilon",
    "floatx",
    "image_data_format",
    "set_image_data_format",
]

clear_session = reset_names


def backend() -> str:
    """Return "convkit"."""
    return "convkit"


def epsilon() -> float:
    """Return the small number that losses keep probabilities away from 0 and 1 by."""
    return 1e-7


def floatx() -> str:
    """Return the float type of layers that are made without dtype."""
    return "float32"


def image_data_format() -> str:
    """Return the order of axes: (N, H, W, C)."""
    return "channels_last"


def set_image_data_format(data_format: str) -> None:
    """Raise ValueError unless data_format is "channels_last"."""
    check_data_format("set_image_data_format", data_format)


if not TYPE_CHECKING:
    __getattr__ = _check.missing_from(__name__, __all__)
