"""Keras's name for where models are."""

from convkit.model import Model as Model
from convkit.model import Sequential as Sequential

__all__ = ["Model", "Sequential"]
