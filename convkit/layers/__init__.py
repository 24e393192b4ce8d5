"""Layers with Keras's names and defaults. A layer does no maths: called, it adds ops to a graph."""

from typing import TYPE_CHECKING

from convkit._check import missing_attribute
from convkit.layers.activation import Activation as Activation
from convkit.layers.activation import LeakyReLU as LeakyReLU
from convkit.layers.activation import ReLU as ReLU
from convkit.layers.activation import Softmax as Softmax
from convkit.layers.base import Input as Input
from convkit.layers.base import Layer as Layer
from convkit.layers.conv import Conv2D as Conv2D
from convkit.layers.conv import DepthwiseConv2D as DepthwiseConv2D
from convkit.layers.core import Dense as Dense
from convkit.layers.core import Dropout as Dropout
from convkit.layers.core import Flatten as Flatten
from convkit.layers.core import Rescaling as Rescaling
from convkit.layers.core import Reshape as Reshape
from convkit.layers.core import ZeroPadding2D as ZeroPadding2D
from convkit.layers.merging import Add as Add
from convkit.layers.merging import Concatenate as Concatenate
from convkit.layers.normalization import BatchNormalization as BatchNormalization
from convkit.layers.pooling import AveragePooling2D as AveragePooling2D
from convkit.layers.pooling import GlobalAveragePooling2D as GlobalAveragePooling2D
from convkit.layers.pooling import GlobalMaxPooling2D as GlobalMaxPooling2D
from convkit.layers.pooling import MaxPooling2D as MaxPooling2D

MaxPool2D = MaxPooling2D
AvgPool2D = AveragePooling2D
GlobalAvgPool2D = GlobalAveragePooling2D
GlobalMaxPool2D = GlobalMaxPooling2D
Convolution2D = Conv2D

__all__ = [
    "Activation",
    "Add",
    "AveragePooling2D",
    "AvgPool2D",
    "BatchNormalization",
    "Concatenate",
    "Conv2D",
    "Convolution2D",
    "Dense",
    "DepthwiseConv2D",
    "Dropout",
    "Flatten",
    "GlobalAveragePooling2D",
    "GlobalAvgPool2D",
    "GlobalMaxPool2D",
    "GlobalMaxPooling2D",
    "Input",
    "Layer",
    "LeakyReLU",
    "MaxPool2D",
    "MaxPooling2D",
    "ReLU",
    "Rescaling",
    "Reshape",
    "Softmax",
    "ZeroPadding2D",
]


if not TYPE_CHECKING:

    def __getattr__(name):
        """Raise the error for a name that does not exist, with the nearest that does."""
        raise missing_attribute("module 'convkit.layers'", name, __all__)
