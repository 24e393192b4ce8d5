"""Let `from convkit.keras.layers import Dense` import convkit.layers itself, not a second copy.

Modules that Keras has in another place, or that convkit does not have, are found here too.
"""

from __future__ import annotations

import importlib
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from convkit._elsewhere import for_attribute

PREFIX = "convkit.keras."
MOVED = {"convkit.optimizers.schedules": "convkit.schedules"}


def _advice(name: str) -> str | None:
    """Return what to write instead of importing a module, or None."""
    return for_attribute("module 'convkit'", name.removeprefix(PREFIX).removeprefix("convkit."))


class KerasNames:
    """Find and load convkit.keras.NAME: the module convkit.NAME, as it is."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Return how to load a module of Keras, None for convkit's own and all others."""
        if (
            name.startswith(PREFIX)
            or name in MOVED
            or (name.startswith("convkit.") and _advice(name))
        ):
            return ModuleSpec(name, self)  # type: ignore[arg-type]
        return None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Import the module that the name stands for."""
        advice = _advice(spec.name)
        message = f"No module named {spec.name!r}" + (f"; {advice}" if advice else "")
        if advice:
            raise ModuleNotFoundError(message, name=spec.name)
        target = "convkit." + spec.name.removeprefix(PREFIX).removeprefix("convkit.")
        try:
            module = importlib.import_module(MOVED.get(target, target))
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(message, name=spec.name) from error
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Give the module back its own description; it has run already."""
        assert module.__spec__ is not None
        module.__spec__ = module.__spec__.loader_state
