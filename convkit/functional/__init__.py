"""Compute convolutions, pooling, normalization, dense layers and activations on NumPy arrays.

x is (N, H, W, C) and w is (KH, KW, C/groups, K). Arrays may be anything that np.asarray takes; they
are never modified. Results are float64 if any float argument is, else float32, in fresh
C-contiguous arrays or in `out=`. The memory of large results that are gone is kept for the next
ones, 64 MB at most. Everything is checked before anything is allocated: ValueError for values,
TypeError for types.
"""

from convkit.functional._activation import (
    activation_backward,
    elu,
    gelu,
    hard_sigmoid,
    hard_silu,
    leaky_relu,
    mish,
    relu,
    selu,
    sigmoid,
    silu,
    softplus,
    swish,
    tanh,
)
from convkit.functional._batch_norm import batch_norm, batch_norm_backward, batch_norm_inference
from convkit.functional._conv2d import (
    conv2d,
    conv2d_backward,
    conv2d_transpose,
    conv2d_transpose_backward,
)
from convkit.functional._dense import dense, dense_backward
from convkit.functional._pool import (
    avg_pool2d,
    avg_pool2d_backward,
    max_pool2d,
    max_pool2d_backward,
)
from convkit.functional._softmax import log_softmax, softmax, softmax_cross_entropy

__all__ = [
    "activation_backward",
    "avg_pool2d",
    "avg_pool2d_backward",
    "batch_norm",
    "batch_norm_backward",
    "batch_norm_inference",
    "conv2d",
    "conv2d_backward",
    "conv2d_transpose",
    "conv2d_transpose_backward",
    "dense",
    "dense_backward",
    "elu",
    "gelu",
    "hard_sigmoid",
    "hard_silu",
    "leaky_relu",
    "log_softmax",
    "max_pool2d",
    "max_pool2d_backward",
    "mish",
    "relu",
    "selu",
    "sigmoid",
    "silu",
    "softmax",
    "softmax_cross_entropy",
    "softplus",
    "swish",
    "tanh",
]
