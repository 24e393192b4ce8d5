"""Train convolutional networks on the CPU: fast kernels, Keras's names, NumPy arrays.

`import convkit as tf` runs a class notebook: convkit.keras is convkit itself.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

__version__ = "0.1.0"

from convkit import _openmp as _openmp  # first: it loads the compiled library
from convkit._files import FormatError as FormatError
from convkit._keras import KerasNames as KerasNames
from convkit.runtime import get_num_threads as get_num_threads
from convkit.runtime import set_algorithm as set_algorithm
from convkit.runtime import set_num_threads as set_num_threads
from convkit.runtime import set_seed as set_seed
from convkit.runtime import show_config as show_config

# Loaded when first asked for, so that `import convkit` costs little.
_MODULES = (
    *(
        "activations",
        "backend",
        "callbacks",
        "constraints",
        "data",
        "datasets",
        "functional",
        "initializers",
    ),
    *("interchange", "layers", "losses", "metrics", "models", "ops", "optimizers"),
    *("regularizers", "saving", "schedules", "tta", "utils", "viz", "zoo"),
)
_NAMES = {
    "Model": "convkit.model",
    "Sequential": "convkit.model",
    "Input": "convkit.layers",
    "Layer": "convkit.layers",
    "load_model": "convkit.saving",
}

__all__ = [
    "FormatError",
    "Input",
    "Layer",
    "Model",
    "Sequential",
    "activations",
    "backend",
    "callbacks",
    "constraints",
    "datasets",
    "functional",
    "get_num_threads",
    "initializers",
    "interchange",
    "keras",
    "layers",
    "load_model",
    "losses",
    "metrics",
    "models",
    "ops",
    "optimizers",
    "regularizers",
    "saving",
    "schedules",
    "set_algorithm",
    "set_num_threads",
    "set_seed",
    "show_config",
    "tta",
    "utils",
    "viz",
    "zoo",
]

keras = sys.modules[__name__]
sys.modules["convkit.keras"] = keras
sys.meta_path.insert(0, KerasNames())


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"convkit.{name}")
    if name in _NAMES:
        return getattr(importlib.import_module(_NAMES[name]), name)
    from convkit._check import missing_attribute

    raise missing_attribute("module 'convkit'", name, __all__)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
