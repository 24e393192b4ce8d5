"""Optimizers with Keras's names, defaults and formulas; one fused kernel updates all parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from convkit import _check, _lookup
from convkit import schedules as schedules
from convkit.optimizers.base import Optimizer
from convkit.optimizers.lookahead import Lookahead
from convkit.optimizers.muon import Muon
from convkit.optimizers.rules import (
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    Lion,
    Nadam,
    RMSprop,
)

__all__ = [
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Lion",
    "Lookahead",
    "Muon",
    "Nadam",
    "Optimizer",
    "RMSprop",
    "get",
    "schedules",
]

NAMES: dict[str, type[Optimizer]] = {
    **{"adadelta": Adadelta, "adagrad": Adagrad, "adam": Adam, "adamax": Adamax, "adamw": AdamW},
    **{"lion": Lion, "muon": Muon, "nadam": Nadam, "rmsprop": RMSprop, "sgd": SGD},
}


def get(identifier: Any) -> Optimizer:
    """Return an optimizer from its name, class, config or instance.

    Capitals do not matter. A wrong name suggests the nearest.
    """
    if isinstance(identifier, str):
        identifier = identifier.lower()
    return _lookup.find("compile", "optimizer", identifier, Optimizer, NAMES)


if not TYPE_CHECKING:
    __getattr__ = _check.missing_from(__name__, __all__)
