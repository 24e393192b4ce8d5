"""Muon: matrices take steps in orthogonalized directions, everything else those of AdamW."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from convkit import _check, _pack, ops
from convkit.graph import Graph, Tensor, Variable
from convkit.ops.update import Parameter
from convkit.optimizers.base import Array, Optimizer, hyper_property
from convkit.optimizers.rules import Adam


class Muon(Optimizer):
    """Momentum whose direction is orthogonalized by Newton and Schulz's iteration.

    It is for weights of 2 or more axes; filters (KH, KW, C, K) are taken as matrices (KH KW C, K).
    Others, and those whose names match a pattern in exclude_layers (the output layer, as a rule),
    take steps of AdamW with learning_rate * adam_lr_ratio, adam_beta_1, adam_beta_2, epsilon and
    adam_weight_decay. Steps have a root mean square of rms_rate, or with None singular values of
    sqrt(max(1, rows / columns)). Gradients are not clipped: their size does not count.

    Sources: Jordan et al., 2024; Liu et al., 2025 (rms_rate). Keras's Muon leaves filters to AdamW.
    """

    kind = "muon"
    adam_beta_1 = hyper_property("momentum")
    adam_beta_2 = hyper_property("rho")
    epsilon = hyper_property("epsilon")
    weight_decay: Any = 0.0

    def __init__(
        self,
        learning_rate: Any = 0.001,
        adam_beta_1: float = 0.9,
        adam_beta_2: float = 0.999,
        adam_weight_decay: float | None = 0.004,
        epsilon: float = 1e-7,
        weight_decay: float | None = 0.004,
        *,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        learning_rate_multipliers: Any = None,
        name: str | None = None,
        exclude_layers: Sequence[str] | None = None,
        muon_a: float = 3.4445,
        muon_b: float = -4.775,
        muon_c: float = 2.0315,
        adam_lr_ratio: float = 1.0,
        momentum: float = 0.95,
        ns_steps: int = 5,
        nesterov: bool = True,
        rms_rate: float | None = 0.2,
    ) -> None:
        super().__init__(
            learning_rate,
            use_ema=use_ema,
            ema_momentum=ema_momentum,
            ema_overwrite_frequency=ema_overwrite_frequency,
            learning_rate_multipliers=learning_rate_multipliers,
            name=name,
            momentum=adam_beta_1,
            rho=adam_beta_2,
            epsilon=epsilon,
        )
        # The decay that update kernels read is AdamW's; Muon's own goes with its op.
        self._set("weight_decay", adam_weight_decay or 0.0)
        self.adam_weight_decay = adam_weight_decay
        self.weight_decay = _check.at_least_zero("Muon", "weight_decay", weight_decay or 0.0)
        self.exclude_layers = list(exclude_layers or [])
        self.muon_a, self.muon_b, self.muon_c = muon_a, muon_b, muon_c
        self.adam_lr_ratio = _check.at_least_zero("Muon", "adam_lr_ratio", adam_lr_ratio)
        self.momentum = _check.fraction("Muon", "momentum", momentum)
        self.ns_steps = _check.integer("Muon", "ns_steps", ns_steps)
        self.nesterov, self.rms_rate = bool(nesterov), rms_rate

    def _is_matrix(self, shape: Sequence[int], name: str = "") -> bool:
        return len(shape) > 1 and not any(re.search(each, name) for each in self.exclude_layers)

    def slot_count(self) -> tuple[bool, ...]:
        """The momentum, or both of AdamW's means."""
        return True, True

    def _new_slots(self, w: Array, name: str = "") -> list[Array | None]:
        made = super()._new_slots(w, name)
        if self._is_matrix(w.shape, name):
            made[1] = None
        return made

    def _numbers(self, shape: Sequence[int], decays: bool = True) -> dict[str, float]:
        rows, columns = math.prod(shape[:-1]), shape[-1]
        scale = math.sqrt(max(1.0, rows / columns))
        if self.rms_rate is not None:
            scale = self.rms_rate * math.sqrt(max(rows, columns))
        return {
            **{"steps": self.ns_steps, "nesterov": int(self.nesterov), "momentum": self.momentum},
            **{"a": self.muon_a, "b": self.muon_b, "c": self.muon_c, "scale": scale},
            "decay": self.weight_decay if decays else 0.0,
        }

    def _emit_updates(self, graph: Graph, grads: dict[Variable, Tensor]) -> None:
        matrices = [v for v in grads if self._is_matrix(v.shape, v.name)]
        others = [v for v in grads if v not in matrices]
        for variable in matrices:
            counts = not others and variable is matrices[-1]
            rate = self._multiplier(variable.name)
            ops.muon_update(
                *(graph, Parameter(variable, grads[variable], self.slots(variable), rate=rate)),
                *(self.hyper, self.iterations if counts else None),
                self._numbers(variable.shape, self._decays(variable)),
            )
        parameters = [
            Parameter(
                *(v, grads[v], self.slots(v)[:2], self._decays(v)),
                self.adam_lr_ratio * self._multiplier(v.name),
            )
            for v in others
        ]
        if parameters:
            ops.update(graph, Adam.kind, parameters, self.hyper, self.iterations)

    def _apply(self, pairs: list[tuple[Array, Array]], real_bytes: int) -> None:
        matrices = [(g, w) for g, w in pairs if self._is_matrix(w.shape)]
        others = [(g, w) for g, w in pairs if not self._is_matrix(w.shape)]
        for i, (g, w) in enumerate(matrices, 1):
            counts = not others and i == len(matrices)
            _pack.call(
                *("muon_update", real_bytes),
                **{"w": w, "slot1": self._slots_of_array(w)[0], "g": g, "hyper": self.hyper.value},
                **{"step": self.iterations.value if counts else None, "rate": 1.0},
                **{"rows": w.size // w.shape[-1], "cols": w.shape[-1], **self._numbers(w.shape)},
            )
        if others:
            self._apply_rule(Adam.kind, others, real_bytes, self.adam_lr_ratio)
        self._average_arrays([w for _, w in pairs], real_bytes)
