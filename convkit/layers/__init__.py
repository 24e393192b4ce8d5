"""Layers with Keras's names and defaults. A layer does no maths: called, it adds ops to a graph."""

from typing import TYPE_CHECKING

from convkit import _check
from convkit.layers.activation import ELU as ELU
from convkit.layers.activation import Activation as Activation
from convkit.layers.activation import LeakyReLU as LeakyReLU
from convkit.layers.activation import PReLU as PReLU
from convkit.layers.activation import ReLU as ReLU
from convkit.layers.activation import Softmax as Softmax
from convkit.layers.augmentation import CutMix as CutMix
from convkit.layers.augmentation import Cutout as Cutout
from convkit.layers.augmentation import MixUp as MixUp
from convkit.layers.augmentation import RandomBrightness as RandomBrightness
from convkit.layers.augmentation import RandomContrast as RandomContrast
from convkit.layers.augmentation import RandomCrop as RandomCrop
from convkit.layers.augmentation import RandomErasing as RandomErasing
from convkit.layers.augmentation import RandomFlip as RandomFlip
from convkit.layers.augmentation import RandomRotation as RandomRotation
from convkit.layers.augmentation import RandomTranslation as RandomTranslation
from convkit.layers.augmentation import RandomZoom as RandomZoom
from convkit.layers.base import Layer as Layer
from convkit.layers.conv import Conv2D as Conv2D
from convkit.layers.conv import DepthwiseConv2D as DepthwiseConv2D
from convkit.layers.conv import SeparableConv2D as SeparableConv2D
from convkit.layers.conv_transpose import Conv2DTranspose as Conv2DTranspose
from convkit.layers.core import Dense as Dense
from convkit.layers.core import Dropout as Dropout
from convkit.layers.core import Flatten as Flatten
from convkit.layers.core import Identity as Identity
from convkit.layers.core import Lambda as Lambda
from convkit.layers.core import Rescaling as Rescaling
from convkit.layers.core import Reshape as Reshape
from convkit.layers.core import SpatialDropout2D as SpatialDropout2D
from convkit.layers.core import ZeroPadding2D as ZeroPadding2D
from convkit.layers.merging import Add as Add
from convkit.layers.merging import Average as Average
from convkit.layers.merging import Concatenate as Concatenate
from convkit.layers.merging import Maximum as Maximum
from convkit.layers.merging import Minimum as Minimum
from convkit.layers.merging import Multiply as Multiply
from convkit.layers.merging import Subtract as Subtract
from convkit.layers.merging import add as add
from convkit.layers.merging import average as average
from convkit.layers.merging import concatenate as concatenate
from convkit.layers.merging import maximum as maximum
from convkit.layers.merging import minimum as minimum
from convkit.layers.merging import multiply as multiply
from convkit.layers.merging import subtract as subtract
from convkit.layers.noise import GaussianDropout as GaussianDropout
from convkit.layers.noise import GaussianNoise as GaussianNoise
from convkit.layers.normalization import BatchNormalization as BatchNormalization
from convkit.layers.numpy_layer import NumpyLayer as NumpyLayer
from convkit.layers.pooling import AdaptiveAveragePooling2D as AdaptiveAveragePooling2D
from convkit.layers.pooling import AdaptiveMaxPooling2D as AdaptiveMaxPooling2D
from convkit.layers.pooling import AveragePooling2D as AveragePooling2D
from convkit.layers.pooling import GlobalAveragePooling2D as GlobalAveragePooling2D
from convkit.layers.pooling import GlobalMaxPooling2D as GlobalMaxPooling2D
from convkit.layers.pooling import MaxPooling2D as MaxPooling2D
from convkit.layers.preprocessing import CenterCrop as CenterCrop
from convkit.layers.preprocessing import Normalization as Normalization
from convkit.layers.preprocessing import Resizing as Resizing
from convkit.layers.reshaping import Cropping2D as Cropping2D
from convkit.layers.reshaping import Permute as Permute
from convkit.layers.reshaping import RepeatVector as RepeatVector
from convkit.layers.reshaping import UpSampling2D as UpSampling2D
from convkit.layers.sample_normalization import GroupNormalization as GroupNormalization
from convkit.layers.sample_normalization import LayerNormalization as LayerNormalization
from convkit.layers.sample_normalization import RMSNormalization as RMSNormalization
from convkit.layers.sample_normalization import UnitNormalization as UnitNormalization
from convkit.layers.symbolic import Input as Input
from convkit.layers.symbolic import InputLayer as InputLayer
from convkit.layers.whitening import PatchWhitening as PatchWhitening

MaxPool2D = MaxPooling2D
AvgPool2D = AveragePooling2D
GlobalAvgPool2D = GlobalAveragePooling2D
GlobalMaxPool2D = GlobalMaxPooling2D
Convolution2D = Conv2D
Convolution2DTranspose = Conv2DTranspose
SeparableConvolution2D = SeparableConv2D

__all__ = [
    "ELU",
    "Activation",
    "AdaptiveAveragePooling2D",
    "AdaptiveMaxPooling2D",
    "Add",
    "Average",
    "AveragePooling2D",
    "AvgPool2D",
    "BatchNormalization",
    "CenterCrop",
    "Concatenate",
    "Conv2D",
    "Conv2DTranspose",
    "Convolution2D",
    "Convolution2DTranspose",
    "Cropping2D",
    "CutMix",
    "Cutout",
    "Dense",
    "DepthwiseConv2D",
    "Dropout",
    "Flatten",
    "GaussianDropout",
    "GaussianNoise",
    "GlobalAveragePooling2D",
    "GlobalAvgPool2D",
    "GlobalMaxPool2D",
    "GlobalMaxPooling2D",
    "GroupNormalization",
    "Identity",
    "Input",
    "InputLayer",
    "Lambda",
    "Layer",
    "LayerNormalization",
    "LeakyReLU",
    "MaxPool2D",
    "MaxPooling2D",
    "Maximum",
    "Minimum",
    "MixUp",
    "Multiply",
    "Normalization",
    "NumpyLayer",
    "PReLU",
    "PatchWhitening",
    "Permute",
    "RMSNormalization",
    "RandomBrightness",
    "RandomContrast",
    "RandomCrop",
    "RandomErasing",
    "RandomFlip",
    "RandomRotation",
    "RandomTranslation",
    "RandomZoom",
    "ReLU",
    "RepeatVector",
    "Rescaling",
    "Reshape",
    "Resizing",
    "SeparableConv2D",
    "SeparableConvolution2D",
    "Softmax",
    "SpatialDropout2D",
    "Subtract",
    "UnitNormalization",
    "UpSampling2D",
    "ZeroPadding2D",
    "add",
]


if not TYPE_CHECKING:
    __getattr__ = _check.missing_from(__name__, __all__)
