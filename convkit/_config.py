"""Describe objects as plain values that JSON can hold, and make them from such a description.

An object is {"module": ..., "class_name": ..., "config": its constructor's arguments}. Descriptions
name classes in a fixed registry: convkit's own, and what a program registers or passes along.
Nothing is ever imported because a file says so.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any, TypeVar

import numpy as np

from convkit import _check
from convkit._arguments import NamedArguments, accepted, named_arguments

__all__ = [
    "Configurable",
    "custom_object_scope",
    "deserialize",
    "get_registered_name",
    "register_serializable",
    "serialize",
]

MODULES = (
    *("layers", "losses", "metrics", "optimizers", "schedules"),
    *("initializers", "regularizers", "constraints", "models"),
)
CUSTOM = "custom"  # the "module" of what users define

_registered: dict[str, Any] = {}
_passed: ContextVar[Mapping[str, Any] | None] = ContextVar("custom_objects", default=None)

T = TypeVar("T")
C = TypeVar("C", bound="Configurable")


@cache
def arguments(cls: Any) -> tuple[str, ...]:
    """Return the names of the arguments of a class's constructor that get_config keeps."""
    unsaved = {name for base in cls.__mro__ for name in vars(base).get("_unsaved", ())}
    return tuple(name for name in accepted(cls) if name not in unsaved)


class Configurable(NamedArguments):
    """Objects whose constructor's arguments are kept as attributes of the same names."""

    # Arguments that a class takes and get_config leaves out, in addition to its bases'.
    _unsaved: tuple[str, ...] = ()

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments as they are now, as values that JSON can hold.

        Raises TypeError for an argument that is not kept as an attribute of its name.
        """
        cls: Any = type(self)
        config = {}
        for name in arguments(cls):
            if hasattr(self, name):
                config[name] = serialize(getattr(self, name))
            elif cls.get_config is Configurable.get_config:
                kind = cls.__name__
                raise TypeError(
                    f"{kind}.get_config: the argument {name!r} of __init__ is not kept; set"
                    f" self.{name} there, or define {kind}.get_config"
                )
        return config

    @classmethod
    def from_config(cls: type[C], config: Mapping[str, Any]) -> C:
        """Make an object from get_config's result."""
        return cls(**{name: deserialize(value) for name, value in config.items()})


@named_arguments
def register_serializable(
    package: str = "Custom", name: str | None = None
) -> Callable[[type[T]], type[T]]:
    """Register a class or function of one's own under "package>name", for saving and loading.

    Use it as a decorator. The name is the class's own unless given. Raises ValueError for a name
    that another class has.
    """

    def register(item: Any) -> Any:
        full = f"{package}>{name or item.__name__}"
        known = _registered.get(full)
        if known is not None and (known.__module__, known.__qualname__) != (
            *(item.__module__, item.__qualname__),
        ):
            raise ValueError(
                f"register_serializable: {full!r} is registered for {known!r} already; choose"
                f" another package or name for {item!r}"
            )
        _registered[full] = item
        return item

    return register


@named_arguments
@contextmanager
def custom_object_scope(custom_objects: Mapping[str, Any] | None) -> Iterator[None]:
    """Know classes and functions of the user's own by name, within the block."""
    token = _passed.set({**(_passed.get() or {}), **(custom_objects or {})})
    try:
        yield
    finally:
        _passed.reset(token)


@cache
def _classes(module: str) -> dict[str, Any]:
    """Return convkit's own classes of a kind by name."""
    found = vars(importlib.import_module(f"convkit.{module}"))
    return {
        cls.__name__: cls
        for cls in found.values()
        if isinstance(cls, type)
        and issubclass(cls, Configurable)
        and cls.__module__.split(".")[0] == "convkit"
        and not cls.__name__.startswith("_")
    }


def get_registered_name(item: Any) -> str:
    """Return the name under which a class or function of the user's is saved."""
    return next((name for name, known in _registered.items() if known is item), item.__name__)


def _place(item: Any) -> tuple[str, str]:
    """Return the (module, class name) of a class or function."""
    parts, name = item.__module__.split("."), item.__name__
    if parts[0] == "convkit" and len(parts) > 1:
        module = {"model": "models"}.get(parts[1], parts[1])
        if module in MODULES and _classes(module).get(name) is item:
            return module, name
    return CUSTOM, get_registered_name(item)


def serialize(value: Any) -> Any:
    """Describe a value: numbers, strings, lists, dicts, arrays, and objects with get_config.

    Raises TypeError for anything else.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, list | tuple):
        return [serialize(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): serialize(item) for key, item in value.items()}
    if isinstance(value, np.dtype):
        return value.name
    if not isinstance(value, type) and callable(getattr(value, "get_config", None)):
        module, name = _place(type(value))
        return {"module": module, "class_name": name, "config": value.get_config()}
    if inspect.isfunction(value) and value.__name__ != "<lambda>":
        return {"module": CUSTOM, "class_name": get_registered_name(value), "config": None}
    raise TypeError(
        f"get_config: {value!r} cannot be written to a file; pass a name, a named function, or an"
        " object with get_config"
    )


def _known(module: Any, name: Any) -> Any:
    """Return the class or function that a description names."""
    if module == CUSTOM:
        passed = _passed.get() or {}
        for key in (name, str(name).split(">")[-1]):
            if key in passed:
                return passed[key]
        if name in _registered:
            return _registered[name]
        bare = str(name).split(">")[-1]
        raise ValueError(
            f"{name!r} is not a class of convkit; pass custom_objects={{{bare!r}: {bare}}}, or"
            " register it with @convkit.utils.register_serializable() before loading"
        )
    classes = _classes(_check.one_of("from_config", "module", module, MODULES))
    return classes[_check.one_of("from_config", "class_name", name, classes)]


def deserialize(value: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """Make what `serialize` described; objects at any depth.

    Raises ValueError for classes that are neither convkit's nor registered nor in custom_objects.
    """
    with custom_object_scope(custom_objects):
        return _made(value)


def _made(value: Any) -> Any:
    if isinstance(value, list):
        return [_made(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "class_name" not in value or "config" not in value:
        return {key: _made(item) for key, item in value.items()}
    item = _known(value.get("module", CUSTOM), value["class_name"])
    config = value["config"]
    if config is None:
        return item
    if not isinstance(config, dict):
        raise ValueError(f"from_config: the config of {value['class_name']!r} must be a dict")
    return item.from_config(config)
