"""The optimizers whose step is one formula for all elements, with Keras's names and defaults."""

from __future__ import annotations

from typing import Any

import numpy as np

from convkit import _check
from convkit.ops.update import HYPER
from convkit.optimizers.base import Array, Optimizer, hyper_property


class SGD(Optimizer):
    """w -= learning_rate g, with momentum or Nesterov's form of it."""

    kind = "sgd"
    momentum = hyper_property("momentum")
    nesterov = hyper_property("nesterov", bool)

    def __init__(
        self,
        learning_rate: Any = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        **options: Any,
    ) -> None:
        _check.fraction("SGD", "momentum", momentum)
        super().__init__(learning_rate, **options, momentum=momentum, nesterov=float(nesterov))

    def slot_count(self) -> tuple[bool, ...]:
        """Momentum needs one."""
        return (bool(self.momentum),)


class RMSprop(Optimizer):
    """Divide by the root of a moving mean of g^2. Source: Tieleman and Hinton, 2012.

    centered=True divides by the standard deviation instead. Source: Graves, 2013.
    """

    kind = "rmsprop"
    rho = hyper_property("rho")
    momentum = hyper_property("momentum")
    epsilon = hyper_property("epsilon")

    def __init__(
        self,
        learning_rate: Any = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(learning_rate, **options, rho=rho, momentum=momentum, epsilon=epsilon)
        self.centered = bool(centered)

    def slot_count(self) -> tuple[bool, ...]:
        """The mean square, the momentum, the mean."""
        return True, bool(self.momentum), self.centered


class Adam(Optimizer):
    """Moving means of g and g^2, corrected for their start. Source: Kingma and Ba, 2014.

    amsgrad=True divides by the largest mean of g^2 so far. Source: Reddi et al., 2018.
    """

    kind = "adam"
    beta_1 = hyper_property("momentum")
    beta_2 = hyper_property("rho")
    epsilon = hyper_property("epsilon")

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(learning_rate, **options, momentum=beta_1, rho=beta_2, epsilon=epsilon)
        self.amsgrad = bool(amsgrad)

    def slot_count(self) -> tuple[bool, ...]:
        """Both means, and the largest."""
        return True, True, self.amsgrad


class AdamW(Adam):
    """Adam with decoupled weight decay. Source: Loshchilov and Hutter, 2017."""

    def __init__(
        self,
        learning_rate: Any = 0.001,
        weight_decay: float = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(
            *(learning_rate, beta_1, beta_2, epsilon, amsgrad), weight_decay=weight_decay, **options
        )


class _Means(Optimizer):
    """What divides a moving mean of g by the size of g, a second number that follows it."""

    beta_1 = hyper_property("momentum")
    beta_2 = hyper_property("rho")
    epsilon = hyper_property("epsilon")

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        **options: Any,
    ) -> None:
        super().__init__(learning_rate, **options, momentum=beta_1, rho=beta_2, epsilon=epsilon)

    def slot_count(self) -> tuple[bool, ...]:
        """Both means."""
        return True, True


class Adamax(_Means):
    """Adam with the largest |g|, which decays by beta_2, for the root of the mean of g^2.

    Source: Kingma and Ba, 2015, section 7.1.
    """

    kind = "adamax"


class Nadam(_Means):
    """Adam with Nesterov momentum, which grows with the steps. Source: Dozat, 2015."""

    kind = "nadam"
    _product = (0, 1.0)  # steps done, and the product of their momenta

    def before_step(self) -> None:
        """Put the learning rate and the product of the momenta where the programs read them."""
        super().before_step()
        step = int(self.iterations.value[0]) + 1
        done, product = self._product if self._product[0] <= step else (0, 1.0)
        for t in range(done + 1, step + 1):
            product *= self.beta_1 * (1 - 0.5 * 0.96**t)
        self._product = step, product
        self.hyper.value[HYPER.index("momentum_product")] = product


class Adagrad(Optimizer):
    """Divide by the root of the sum of all g^2. Source: Duchi et al., 2011."""

    kind = "adagrad"
    epsilon = hyper_property("epsilon")

    def __init__(
        self,
        learning_rate: Any = 0.001,
        initial_accumulator_value: float = 0.1,
        epsilon: float = 1e-7,
        **options: Any,
    ) -> None:
        super().__init__(learning_rate, **options, epsilon=epsilon)
        self.initial_accumulator_value = _check.at_least_zero(
            "Adagrad", "initial_accumulator_value", initial_accumulator_value
        )

    def slot_count(self) -> tuple[bool, ...]:
        """The sum."""
        return (True,)

    def _first_slot(self, w: Array) -> Array:
        return np.full_like(w, self.initial_accumulator_value)


class Adadelta(Optimizer):
    """Steps as large as those before, for gradients as large as those before.

    Source: Zeiler, 2012 (arXiv:1212.5701), whose learning rate is 1.
    """

    kind = "adadelta"
    rho = hyper_property("rho")
    epsilon = hyper_property("epsilon")

    def __init__(
        self,
        learning_rate: Any = 0.001,
        rho: float = 0.95,
        epsilon: float = 1e-7,
        **options: Any,
    ) -> None:
        _check.fraction("Adadelta", "rho", rho)
        super().__init__(learning_rate, **options, rho=rho, epsilon=epsilon)

    def slot_count(self) -> tuple[bool, ...]:
        """The mean squares of gradients and of steps."""
        return True, True


class Lion(Optimizer):
    """Steps of one size: the sign of a moving mean of g. Source: Chen et al., 2023."""

    kind = "lion"
    beta_1 = hyper_property("momentum")
    beta_2 = hyper_property("rho")

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.99,
        **options: Any,
    ) -> None:
        if _check.fraction("Lion", "beta_1", beta_1) == 0:
            raise ValueError(f"Lion: beta_1 must lie in (0, 1], got beta_1={beta_1!r}")
        super().__init__(learning_rate, **options, momentum=beta_1, rho=beta_2)

    def slot_count(self) -> tuple[bool, ...]:
        """The mean."""
        return (True,)
