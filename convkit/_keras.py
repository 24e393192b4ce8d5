"""Let `from convkit.keras.layers import Dense` import convkit.layers itself, not a second copy."""

from __future__ import annotations

import importlib
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

PREFIX = "convkit.keras."


class KerasNames:
    """Find and load convkit.keras.NAME: the module convkit.NAME, as it is."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Return how to load a module below convkit.keras, None for all others."""
        if not name.startswith(PREFIX):
            return None
        return ModuleSpec(name, self)  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Import the module that the name stands for."""
        try:
            module = importlib.import_module("convkit." + spec.name.removeprefix(PREFIX))
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(f"No module named {spec.name!r}", name=spec.name) from error
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Give the module back its own description; it has run already."""
        assert module.__spec__ is not None
        module.__spec__ = module.__spec__.loader_state
