"""The base of layers that compute with NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convkit import ops
from convkit.graph import Tensor
from convkit.layers.base import Layer

Array = NDArray[Any]


class NumpyLayer(Layer):
    """A layer of your own in NumPy: define forward, and backward to train through it.

    forward(x, *weights) returns the output for a batch x (N, ...). backward(dy, x, *weights)
    returns the gradient of sum(dy * forward(x, *weights)) by x, or a tuple of it and those by the
    weights. The weights are what `build` made with add_weight, in that order. Arrays that come in
    are read-only views that are valid during the call; copy what is to be kept. Both methods run in
    the thread that called fit or predict, between parts of the program; an exception ends the step
    with no weight changed. They must not run the model that they are part of.

    Every sample's result must depend on that sample only, for models run batches of any size. The
    output's shape is found by a trial on zeros unless compute_output_shape(input_shape) is defined.
    """

    # Defined by subclasses.
    forward: Callable[..., Any]
    backward: Callable[..., Any] | None = None

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of forward's result for a batch of two samples of zeros, (None, ...)."""
        zeros = np.zeros((2, *input_shape[1:]), self.dtype)
        zeros.flags.writeable = False  # as in a program
        shape = np.shape(self.forward(zeros, *(v.view for v in self.variables)))
        if not shape or shape[0] != 2:
            raise ValueError(
                f"{self._title}: forward must return one result for each of the 2 samples given,"
                f" got shape {shape} for x of shape {zeros.shape}"
            )
        return (None, *shape[1:])

    def call(self, x: Tensor, training: bool) -> Tensor:
        """Emit the call of forward, and in training of backward."""
        inputs = [x, *self.variables]
        shape = self.compute_output_shape(x.shape)
        return ops.numpy_function(self.forward, self.backward, inputs, shape, self._title)
