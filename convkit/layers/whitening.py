"""A first convolution that is computed from the data instead of learned."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from convkit import _check
from convkit.layers.base import check_rank
from convkit.layers.conv import HINT, Conv2D
from convkit.layers.preprocessing import pieces
from convkit.layers.symbolic import Shape

ROWS = 128  # images whose patches are laid out together


class PatchWhitening(Conv2D):
    """Convolve with filters that make the pixels of a patch uncorrelated, each of variance one.

    Input shape:  (batch, height, width, channels)
    Output shape: (batch, out_height, out_width, filters), filters = 2 * KH * KW * channels.

    `adapt(images)` finds the filters: the eigenvectors v of E[p p^T] over all patches p, divided by
    sqrt(eigenvalue + epsilon), the largest first, and then their negatives, so that an activation
    sees both signs. Training leaves them alone and learns the bias; until `adapt` the pixels count
    as white already. Sources: Krizhevsky, 2009; Page, 2019; Jordan, 2024 (arXiv:2404.00498).
    """

    # Of Conv2D, not its own:
    _unsaved = (
        *("filters", "groups", "dilation_rate"),
        *("kernel_initializer", "kernel_regularizer", "kernel_constraint"),
    )

    def __init__(
        self,
        kernel_size: Any = 2,
        epsilon: float = 5e-4,
        strides: Any = (1, 1),
        padding: Any = "valid",
        activation: Any = None,
        use_bias: bool = True,
        bias_initializer: Any = "zeros",
        bias_regularizer: Any = None,
        bias_constraint: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(
            1,
            kernel_size,
            strides,
            padding,
            activation=activation,
            use_bias=use_bias,
            bias_initializer=bias_initializer,
            bias_regularizer=bias_regularizer,
            bias_constraint=bias_constraint,
            **options,
        )
        self.epsilon = _check.at_least_zero("PatchWhitening", "epsilon", epsilon)

    def build(self, input_shape: Any) -> None:
        """Make the kernel, which training does not change, and the bias."""
        check_rank(self, input_shape, 4, "(batch, height, width, channels)", HINT)
        self._set_channels(input_shape)
        shape = (*self.kernel_size, input_shape[-1], self.filters)
        size = self.filters // 2
        self._kernel = self.add_weight("kernel", shape, "zeros", trainable=False)
        self._kernel.assign(self._filters(np.ones(size), np.eye(size)))
        if self.use_bias:
            self._bias = self.add_weight("bias", (self.filters,))

    def _set_channels(self, input_shape: Shape) -> None:
        kh, kw = self.kernel_size
        self.filters = 2 * kh * kw * (input_shape[-1] or 0)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Return (None, out_height, out_width, 2 * KH * KW * channels)."""
        check_rank(self, input_shape, 4, "(batch, height, width, channels)", HINT)
        self._set_channels(input_shape)
        return super().compute_output_shape(input_shape)

    def _filters(self, values: NDArray[Any], vectors: NDArray[Any]) -> NDArray[Any]:
        """Return the kernel of eigenvalues and the eigenvectors in columns."""
        scaled = vectors / np.sqrt(np.maximum(values, 0) + max(self.epsilon, 1e-12))
        assert self._kernel is not None
        return np.concatenate([scaled, -scaled], axis=1).reshape(self._kernel.shape)

    def adapt(self, data: Any) -> None:
        """Compute the filters from images as this layer gets them: an array, or batches of one.

        Raises ValueError unless they are (N, H, W, C), not smaller than a patch, and finite.
        """
        kh, kw = self.kernel_size
        count, moment = 0, np.zeros((1, 1))
        for piece in pieces(data):
            if piece.ndim != 4 or piece.shape[1] < kh or piece.shape[2] < kw:
                raise ValueError(
                    f"PatchWhitening: adapt needs images (N, H, W, C) of at least {kh} x {kw}"
                    f" pixels, got data of shape {piece.shape}"
                )
            self.ensure_built((None, *piece.shape[1:]))
            assert self._kernel is not None
            if piece.shape[3] != self._kernel.shape[2]:
                raise ValueError(
                    f"PatchWhitening: adapt needs {self._kernel.shape[2]} channels, got data of"
                    f" shape {piece.shape}"
                )
            for start in range(0, len(piece), ROWS):
                patches = _patches(piece[start : start + ROWS].astype(np.float64), kh, kw)
                moment = moment + patches.T @ patches
                count += len(patches)
        if not count or not np.isfinite(moment).all():
            raise ValueError(
                "PatchWhitening: adapt needs at least one image, and only finite numbers"
            )
        values, vectors = np.linalg.eigh(moment / count)
        # The sign of an eigenvector is arbitrary: the largest element is made positive.
        largest = vectors[np.abs(vectors).argmax(0), np.arange(len(values))]
        vectors = vectors * np.where(largest < 0, -1.0, 1.0)
        assert self._kernel is not None
        self._kernel.assign(self._filters(values[::-1], vectors[:, ::-1]))


def _patches(x: NDArray[Any], kh: int, kw: int) -> NDArray[Any]:
    """Return all patches (count, KH * KW * C) of images."""
    _n, h, w, c = x.shape
    shifted = [
        x[:, i : h - kh + 1 + i, j : w - kw + 1 + j].reshape(-1, c)
        for i in range(kh)
        for j in range(kw)
    ]
    return np.concatenate(shifted, axis=1)
