"""Ops: one class per kernel, forward beside backward, and the functions that emit them."""

from convkit.ops.activation import activation
from convkit.ops.augment import Chance, adjust, erase, mix_images, mix_labels, remap, warp
from convkit.ops.batch_norm import batch_norm, batch_norm_inference
from convkit.ops.broadcast import (
    absolute,
    add,
    binary,
    bounded_relu,
    broadcast_to,
    clip,
    divide,
    exp,
    log,
    maximum,
    minimum,
    multiply,
    normalize,
    prelu,
    reduce_mean,
    reduce_sum,
    sqrt,
    square,
    subtract,
)
from convkit.ops.conv2d import conv2d, conv2d_transpose
from convkit.ops.dense import dense
from convkit.ops.elementwise import (
    affine,
    concatenate,
    crop2d,
    dropout,
    permute,
    random_normal,
    reshape,
    zero_pad2d,
)
from convkit.ops.group_norm import group_norm, layer_norm
from convkit.ops.loss import (
    element_loss,
    mean_loss,
    mean_squared_error,
    softmax_cross_entropy,
    total_loss,
)
from convkit.ops.numpy_function import numpy_function
from convkit.ops.pool import avg_pool2d, max_pool2d, row_max
from convkit.ops.resize import adaptive_avg_pool2d, adaptive_max_pool2d, upsample2d
from convkit.ops.softmax import log_softmax, softmax
from convkit.ops.update import Parameter, moving_average, muon_update, update
from convkit.ops.weights import constrain, penalty, weight_average

__all__ = [
    "Chance",
    "Parameter",
    "absolute",
    "activation",
    "adaptive_avg_pool2d",
    "adaptive_max_pool2d",
    "add",
    "adjust",
    "affine",
    "avg_pool2d",
    "batch_norm",
    "batch_norm_inference",
    "binary",
    "bounded_relu",
    "broadcast_to",
    "clip",
    "concatenate",
    "constrain",
    "conv2d",
    "conv2d_transpose",
    "crop2d",
    "dense",
    "divide",
    "dropout",
    "element_loss",
    "erase",
    "exp",
    "group_norm",
    "layer_norm",
    "log",
    "log_softmax",
    "max_pool2d",
    "maximum",
    "mean_loss",
    "mean_squared_error",
    "minimum",
    "mix_images",
    "mix_labels",
    "moving_average",
    "multiply",
    "muon_update",
    "normalize",
    "numpy_function",
    "penalty",
    "permute",
    "prelu",
    "random_normal",
    "reduce_mean",
    "reduce_sum",
    "remap",
    "reshape",
    "row_max",
    "softmax",
    "softmax_cross_entropy",
    "sqrt",
    "square",
    "subtract",
    "total_loss",
    "update",
    "upsample2d",
    "warp",
    "weight_average",
    "zero_pad2d",
]
