"""Suggest the right name where a call names an argument that does not exist.

Python says only which argument it did not expect. Functions are marked with @named_arguments, the
constructors of classes by deriving from NamedArguments.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any, TypeVar, cast

from convkit import _check

VARIABLE = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)

F = TypeVar("F", bound=Callable[..., Any])


def unknown_argument(function: str, name: str, value: Any, known: Iterable[str]) -> TypeError:
    """Return the error for an argument that does not exist."""
    return TypeError(
        f"{function}: unknown argument {name}={value!r}; {_check.suggestion(name, known)}"
    )


def _names(function: Callable[..., Any]) -> list[str]:
    return [p.name for p in inspect.signature(function).parameters.values()]


@functools.cache
def accepted(cls: Any) -> tuple[str, ...]:
    """Return the names of all arguments that a class's constructor takes, its bases' included."""
    names: dict[str, None] = {}
    for base in cls.__mro__:
        if "__init__" not in vars(base) or base is object:
            continue
        parameters = list(inspect.signature(vars(base)["__init__"]).parameters.values())[1:]
        named = [p.name for p in parameters if p.kind not in VARIABLE]
        names |= dict.fromkeys(named)
        if len(named) == len(parameters):
            break
    return tuple(names)


def named_arguments(function: F) -> F:
    """Let a function's TypeError for a misspelt argument suggest the nearest that exists."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except TypeError as error:
            trace = error.__traceback__
            if trace is None or trace.tb_next is not None:
                raise  # it comes from within the function
            name, known = function.__name__, _names(function)
            if name == "__init__":
                cls: Any = type(args[0])
                name, known = cls.__name__, list(accepted(cls))
            unknown = [key for key in kwargs if key not in known]
            if not unknown:
                raise
            raise unknown_argument(
                name, unknown[0], kwargs[unknown[0]], set(known) - {"self"}
            ) from None

    return cast(F, wrapper)


class NamedArguments:
    """Classes whose constructors suggest the nearest argument for one that does not exist."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "__init__" in vars(cls):
            cls.__init__ = named_arguments(cls.__init__)  # type: ignore[method-assign]
