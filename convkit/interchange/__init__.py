"""Weights from and to PyTorch and Keras: same network there and here, same predictions.

Arrays are (N, H, W, C) and filters (KH, KW, in, out) here and in Keras, (N, C, H, W) and
(out, in, KH, KW) in PyTorch; what is converted, and what to watch, is in `docs/saving.md`.
"""

from convkit.interchange._keras import load_keras as load_keras
from convkit.interchange._keras import save_keras_weights as save_keras_weights
from convkit.interchange._torch import load_torch as load_torch
from convkit.interchange._torch import save_torch as save_torch
from convkit.interchange._torch import to_torch as to_torch

__all__ = ["load_keras", "load_torch", "save_keras_weights", "save_torch", "to_torch"]
