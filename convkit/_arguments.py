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
from convkit._elsewhere import for_argument

VARIABLE = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)

F = TypeVar("F", bound=Callable[..., Any])


def unknown_argument(function: str, name: str, value: Any, known: Iterable[str]) -> TypeError:
    """Return the error for an argument that does not exist."""
    advice = for_argument(function, name) or _check.suggestion(name, known)
    return TypeError(f"{function}: unknown argument {name}={value!r}; {advice}")


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
            trace, parameters = error.__traceback__, inspect.signature(function).parameters
            known, name = list(parameters), function.__name__
            open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
            if name == "__init__":
                cls: Any = type(args[0])
                known, name = list(accepted(cls)), cls.__name__
            unknown = [key for key in kwargs if key not in known]
            within = trace is not None and trace.tb_next is not None
            if not unknown or (open_ended and within):
                raise  # another error, of the call or from within the function
            wrong = unknown[0]
            raise unknown_argument(name, wrong, kwargs[wrong], {*known} - {"self"}) from None

    return cast(F, wrapper)


class NamedArguments:
    """Classes whose constructors suggest the nearest argument for one that does not exist."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "__init__" in vars(cls):
            cls.__init__ = named_arguments(cls.__init__)  # type: ignore[method-assign]
