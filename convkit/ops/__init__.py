"""Ops: one class per kernel, forward beside backward, and the functions that emit them."""

from convkit.ops.activation import activation
from convkit.ops.batch_norm import batch_norm, batch_norm_inference
from convkit.ops.conv2d import conv2d
from convkit.ops.dense import dense
from convkit.ops.elementwise import (
    add,
    affine,
    concatenate,
    dropout,
    permute,
    reshape,
    zero_pad2d,
)
from convkit.ops.loss import mean_squared_error, softmax_cross_entropy
from convkit.ops.pool import avg_pool2d, max_pool2d
from convkit.ops.softmax import log_softmax, softmax
from convkit.ops.update import Parameter, moving_average, update
from convkit.ops.weights import constrain, penalty, weight_average

__all__ = [
    "Parameter",
    "activation",
    "add",
    "affine",
    "avg_pool2d",
    "batch_norm",
    "batch_norm_inference",
    "concatenate",
    "constrain",
    "conv2d",
    "dense",
    "dropout",
    "log_softmax",
    "max_pool2d",
    "mean_squared_error",
    "moving_average",
    "penalty",
    "permute",
    "reshape",
    "softmax",
    "softmax_cross_entropy",
    "update",
    "weight_average",
    "zero_pad2d",
]
