"""The convolutions that are measured, as data: layers of nets that people train on MNIST and CIFAR.

`padding` is in Keras's words; `pad` is the same in pixels on each side, which every library takes
alike (at stride 2, "same" would put Keras's rows at the bottom and PyTorch's on both sides).
"""

from __future__ import annotations

from dataclasses import dataclass

PASSES = ("fwd", "dx", "dw")


@dataclass(frozen=True)
class ConvShape:
    """One convolution layer; h, w and c are those of its input."""

    id: str
    layer: str
    h: int
    w: int
    c: int
    k: int
    kernel: int
    stride: int
    padding: str
    groups: int = 1
    passes: tuple[str, ...] = PASSES

    @property
    def pad(self) -> int:
        return (self.kernel - 1) // 2 if self.padding == "same" else 0

    @property
    def oh(self) -> int:
        return (self.h + 2 * self.pad - self.kernel) // self.stride + 1

    @property
    def ow(self) -> int:
        return (self.w + 2 * self.pad - self.kernel) // self.stride + 1

    @property
    def flops(self) -> int:
        """Return the operations of one pass over one image, counted as a direct convolution."""
        return 2 * self.oh * self.ow * self.k * self.kernel**2 * self.c // self.groups


# The input of a net needs no gradient; a whitening layer has fixed weights as well.
STEM = ("fwd", "dw")
FIXED = ("fwd",)

CONV_SHAPES = (
    ConvShape("L1", "LeNet-5 c1", 28, 28, 1, 6, 5, 1, "same", passes=STEM),
    ConvShape("L2", "LeNet-5 c2", 14, 14, 6, 16, 5, 1, "valid"),
    ConvShape("M1", "Keras mnist_convnet c1", 28, 28, 1, 32, 3, 1, "valid", passes=STEM),
    ConvShape("M2", "Keras mnist_convnet c2", 13, 13, 32, 64, 3, 1, "valid"),
    ConvShape("T2", "beautiful_mnist c2", 24, 24, 32, 32, 5, 1, "valid"),
    ConvShape("F1", "train_mnist_fast c1", 28, 28, 1, 24, 5, 1, "valid", passes=STEM),
    ConvShape("K1", "Keras cifar10_cnn c1", 32, 32, 3, 32, 3, 1, "same", passes=STEM),
    ConvShape("K2", "Keras cifar10_cnn c2", 32, 32, 32, 32, 3, 1, "valid"),
    ConvShape("V1", "VGG/ResNet-9 stem", 32, 32, 3, 64, 3, 1, "same", passes=STEM),
    ConvShape("V2", "VGG-small 1b", 32, 32, 64, 64, 3, 1, "same"),
    ConvShape("V3", "VGG-small 2b / ResNet-9 r1", 16, 16, 128, 128, 3, 1, "same"),
    ConvShape("V4", "VGG-small 3b", 8, 8, 256, 256, 3, 1, "same"),
    ConvShape("R1", "ResNet-20 s1", 32, 32, 16, 16, 3, 1, "same"),
    ConvShape("R2", "ResNet-20 s2 down", 32, 32, 16, 32, 3, 2, "same"),
    ConvShape("R3", "ResNet-20 s2", 16, 16, 32, 32, 3, 1, "same"),
    ConvShape("R4", "ResNet-20 s3", 8, 8, 64, 64, 3, 1, "same"),
    ConvShape("N1", "ResNet-9 l1", 32, 32, 64, 128, 3, 1, "same"),
    ConvShape("N2", "ResNet-9 l3", 8, 8, 256, 512, 3, 1, "same"),
    ConvShape("N3", "ResNet-9 r3", 4, 4, 512, 512, 3, 1, "same"),
    ConvShape("A1", "airbench94 whiten", 32, 32, 3, 24, 2, 1, "valid", passes=FIXED),
    ConvShape("A2", "airbench94 b1c1", 31, 31, 24, 64, 3, 1, "same"),
    ConvShape("A3", "airbench94 b2c1", 15, 15, 64, 256, 3, 1, "same"),
    ConvShape("A4", "airbench94 b3c1", 7, 7, 256, 256, 3, 1, "same"),
    ConvShape("P1", "pointwise", 32, 32, 64, 128, 1, 1, "valid"),
    ConvShape("P2", "pointwise", 8, 8, 256, 256, 1, 1, "valid"),
    ConvShape("DW1", "depthwise", 32, 32, 64, 64, 3, 1, "same", groups=64),
    ConvShape("DW2", "depthwise, stride 2", 16, 16, 128, 128, 3, 2, "same", groups=128),
)

BY_ID = {shape.id: shape for shape in CONV_SHAPES}
