"""Keras's name for where models are."""

from typing import TYPE_CHECKING

from convkit._check import missing_attribute
from convkit.model import Model as Model
from convkit.model import Sequential as Sequential

__all__ = ["Model", "Sequential"]


if not TYPE_CHECKING:

    def __getattr__(name):
        """Raise the error for a name that does not exist, with the nearest that does."""
        raise missing_attribute("module 'convkit.models'", name, __all__)
