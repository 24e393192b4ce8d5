"""Find losses, metrics, optimizers and so on by what users pass for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from convkit import _check

T = TypeVar("T")


def find(function: str, argument: str, value: Any, base: type[T], names: Mapping[str, Any]) -> T:
    """Return an object from itself, its class, its description, or its name.

    `names` maps names to classes, whose own names are known too; a description is {"class_name":
    ..., "config": the arguments}. A wrong name suggests the nearest.
    """
    if isinstance(value, base):
        return value
    if isinstance(value, type) and issubclass(value, base):
        return value()
    classes = {cls.__name__: cls for cls in names.values()}
    if isinstance(value, Mapping):
        name = _check.one_of(function, "class_name", value.get("class_name"), classes)
        made: T = classes[name].from_config(value.get("config", {}))
        return made
    known = {**names, **classes}
    found: T = known[_check.one_of(function, argument, value, known)]()
    return found
