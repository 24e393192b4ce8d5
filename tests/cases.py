"""Convolutions and pools that the tests share."""

from dataclasses import dataclass

import reference

# One vector, one less and one more of it, for vectors of 2 to 16 lanes, and several vectors.
CHANNELS = (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 70)


@dataclass(frozen=True)
class Conv:
    """Sizes and options of one convolution."""

    x_shape: tuple
    kernel: tuple
    k: int
    strides: object = 1
    padding: object = "valid"
    dilation: object = 1
    groups: int = 1

    @property
    def options(self):
        """Return the keyword arguments of conv2d."""
        return {
            "strides": self.strides,
            "padding": self.padding,
            "dilation": self.dilation,
            "groups": self.groups,
        }

    @property
    def w_shape(self):
        """Return (KH, KW, C/groups, K)."""
        return (*self.kernel, self.x_shape[3] // self.groups, self.k)

    @property
    def y_shape(self):
        """Return (N, OH, OW, K)."""
        extent = reference.kernel_extent(self.kernel, self.dilation)
        size = reference.output_size(self.x_shape[1:3], extent, self.strides, self.padding)
        return (self.x_shape[0], *size, self.k)

    @property
    def terms(self):
        """Return the number of products in one element of y, dx and dw."""
        kh, kw, c, k = self.w_shape
        n, oh, ow, _ = self.y_shape
        return kh * kw * c, kh * kw * k // self.groups, n * oh * ow

    def __str__(self):
        """Return a test id such as 1x5x6x3-3x3x8-s2."""
        text = "x".join(map(str, self.x_shape)) + "-" + "x".join(map(str, (*self.kernel, self.k)))
        for letter, value, default in (
            ("s", self.strides, 1),
            ("p", self.padding, "valid"),
            ("d", self.dilation, 1),
            ("g", self.groups, 1),
        ):
            text += "" if value == default else f"-{letter}{value}".replace(" ", "")
        return text


def integers(rng, shape, dtype, low=1, high=4):
    """Return non-zero integers of size 1..4 as floats: sums of their products are exact."""
    return (rng.integers(low, high + 1, shape) * rng.choice([-1, 1], shape)).astype(dtype)


CONVS = [
    # kernels
    Conv((1, 1, 1, 1), (1, 1), 1),
    Conv((2, 4, 5, 3), (1, 1), 6),
    Conv((1, 5, 6, 2), (3, 3), 4),
    Conv((2, 6, 5, 3), (5, 5), 2),
    Conv((1, 7, 8, 2), (2, 3), 5),
    Conv((1, 8, 7, 3), (7, 1), 4),
    Conv((1, 4, 13, 3), (1, 11), 4),
    Conv((3, 28, 28, 1), (3, 3), 8),
    Conv((2, 12, 12, 8), (3, 3), 16, padding="same"),
    Conv((1, 3, 3, 5), (3, 3), 7),
    # one row, one column
    Conv((2, 1, 9, 3), (1, 3), 4),
    Conv((2, 9, 1, 3), (3, 1), 4),
    Conv((2, 1, 9, 3), (3, 3), 4, padding="same"),
    Conv((2, 1, 1, 6), (3, 3), 4, padding=1),
    # strides, also larger than the kernel
    Conv((2, 9, 10, 3), (3, 3), 4, strides=2),
    Conv((2, 9, 10, 3), (3, 3), 4, strides=2, padding="same"),
    Conv((1, 9, 10, 3), (3, 2), 4, strides=(1, 3)),
    Conv((1, 9, 10, 3), (1, 1), 4, strides=2),
    Conv((1, 9, 10, 3), (2, 2), 4, strides=3),
    Conv((1, 9, 10, 3), (2, 1), 4, strides=(5, 4), padding="same"),
    Conv((1, 23, 23, 3), (11, 11), 4, strides=4, padding=2),
    # every form of padding
    Conv((2, 5, 6, 3), (3, 3), 4, padding="same"),
    Conv((2, 5, 6, 3), (2, 4), 4, padding="same"),
    Conv((2, 5, 6, 3), (3, 3), 4, padding=2),
    Conv((2, 5, 6, 3), (3, 3), 4, padding=(2, 0)),
    Conv((2, 5, 6, 3), (3, 3), 4, padding=((1, 0), (0, 2))),
    Conv((2, 5, 6, 3), (3, 3), 4, padding=((0, 3), (4, 1)), strides=2),
    Conv((1, 2, 2, 3), (5, 5), 4, padding=4),
    Conv((1, 2, 3, 3), (1, 1), 4, padding=((3, 1), (0, 2))),
    # dilation
    Conv((2, 9, 8, 3), (3, 3), 4, dilation=2),
    Conv((2, 9, 8, 3), (3, 2), 4, dilation=(1, 3), padding="same"),
    Conv((1, 9, 8, 3), (3, 3), 4, dilation=2, padding=((2, 1), (0, 3)), strides=2),
    Conv((1, 5, 5, 3), (1, 1), 4, dilation=7),
    # groups and depthwise
    Conv((2, 5, 6, 4), (3, 3), 6, groups=2),
    Conv((2, 5, 6, 6), (3, 3), 6, groups=3, padding="same", strides=2),
    Conv((1, 5, 6, 32), (3, 3), 32, groups=2, padding="same"),
    Conv((1, 5, 6, 10), (1, 1), 15, groups=5),
    Conv((2, 6, 5, 3), (3, 3), 3, groups=3),
    Conv((2, 6, 5, 3), (3, 3), 12, groups=3, padding="same"),
    Conv((1, 9, 9, 17), (3, 3), 17, groups=17, padding="same", strides=2),
    Conv((2, 8, 7, 21), (3, 3), 21, groups=21, padding=1, strides=2),
    Conv((1, 7, 8, 33), (5, 5), 33, groups=33, padding="same", strides=2),
    Conv((1, 8, 9, 16), (3, 3), 16, groups=16, padding=((0, 2), (2, 1)), strides=2),
    Conv((1, 2, 1, 18), (3, 3), 18, groups=18, padding=1, strides=2),
    Conv((1, 9, 9, 5), (5, 5), 5, groups=5, dilation=2, padding="same"),
    Conv((1, 6, 6, 70), (3, 3), 70, groups=70, padding="same"),
    # rows of tiles whose last one reaches back; rows of outputs that meet no row of the image
    Conv((1, 5, 14, 33), (3, 3), 33, groups=33, padding="same", strides=2),
    Conv((1, 4, 9, 40), (3, 3), 40, groups=40, padding=((3, 2), (1, 0)), dilation=(2, 1)),
    Conv((1, 8, 12, 18), (6, 6), 18, groups=18, padding="same", strides=2),
    # several groups in a vector, with tiles inside of the image and at its borders
    Conv((1, 6, 29, 32), (3, 3), 32, groups=8, padding="same"),
    Conv((2, 7, 43, 24), (3, 3), 48, groups=12, padding="same", strides=2),
    Conv((1, 7, 19, 30), (5, 5), 20, groups=10, padding="same"),
    Conv((1, 5, 23, 36), (2, 3), 12, groups=12),
    Conv((1, 9, 38, 32), (3, 3), 32, groups=32, dilation=(1, 2), padding="same"),
    Conv((1, 9, 50, 16), (3, 5), 16, groups=16, dilation=(2, 3), padding=(0, 4)),
    Conv((1, 9, 35, 16), (3, 3), 16, groups=16, strides=(1, 2)),
    # one vector of output channels, taps side by side
    Conv((2, 7, 37, 9), (3, 3), 16, padding="same"),
    Conv((1, 8, 19, 6), (5, 5), 12),
    Conv((3, 5, 9, 7), (2, 5), 13, padding=(0, 2)),
    Conv((1, 7, 18, 42), (3, 3), 42, groups=3, padding=1),
    # kernels larger than the image, with taps that meet it for some outputs or for none
    Conv((2, 3, 2, 5), (11, 9), 7, padding="same"),
    Conv((1, 2, 3, 3), (7, 9), 4, padding="same", strides=(2, 1)),
    Conv((2, 4, 3, 3), (5, 6), 6, padding="same", dilation=(2, 3)),
    Conv((1, 3, 4, 3), (6, 5), 4, padding=((9, 0), (1, 8)), strides=(1, 3)),
    Conv((3, 1, 1, 20), (3, 3), 33, padding="same"),
    Conv((2, 2, 2, 18), (3, 3), 18, padding="same", strides=2, groups=18),
    Conv((1, 2, 3, 16), (7, 7), 16, padding="same", groups=16),
    Conv((1, 2, 5, 12), (3, 9), 24, padding="same", groups=6),
    Conv((1, 2, 2, 3), (3, 3), 4, padding=3, strides=5),
    Conv((3, 6, 1, 5), (1, 4), 7, padding="same", strides=(1, 2)),
    Conv((3, 1, 6, 5), (4, 1), 7, padding="same", strides=(2, 1)),
    Conv((2, 1, 1, 6), (3, 3), 5, padding=1, strides=3),
    Conv((1, 1, 1, 3), (1, 1), 4, padding=2, strides=5),
    Conv((2, 3, 3, 2), (37, 35), 5, padding="same", strides=(3, 1)),
    Conv((2, 38, 3, 4), (37, 3), 5),
    # kernels as large as the image
    Conv((5, 5, 4, 17), (5, 4), 40),
    Conv((3, 4, 4, 2), (4, 4), 3, strides=2),
    Conv((2, 6, 5, 3), (6, 5), 4, padding=((0, 1), (0, 2)), strides=3),
    Conv((2, 4, 3, 6), (4, 3), 4, groups=2),
    # many samples, many rows
    Conv((17, 5, 4, 3), (3, 3), 5),
    # few channels, samples fill vectors, with some over
    Conv((21, 13, 17, 2), (3, 3), 5, padding="same"),
    Conv((33, 14, 14, 6), (5, 5), 16),
    Conv((17, 20, 28, 1), (5, 5), 6, padding=2),
    Conv((19, 9, 20, 3), (3, 2), 8, strides=2),
    Conv((18, 11, 19, 2), (2, 3), 3, dilation=(1, 2), padding=((3, 0), (1, 4))),
    Conv((1, 40, 3, 4), (3, 3), 6, padding="same"),
    Conv((1, 3, 40, 4), (3, 3), 6, padding="same"),
]

# Channel tails: each count once as input and once as output channels, with 3x3, 1x1 and depthwise.
TAILS = [
    conv
    for c, k in zip(CHANNELS, CHANNELS[::-1], strict=True)
    for conv in (
        Conv((1, 5, 6, c), (3, 3), k, padding="same"),
        Conv((2, 3, 3, c), (1, 1), k),
        Conv((1, 5, 4, c), (3, 3), c, groups=c),
    )
]

# Whatever a kernel cuts into blocks (rows, images, sums, weights), these have several blocks of it
# and a short last one.
BIG = [
    Conv((1, 70, 61, 24), (3, 3), 33, padding="same"),
    Conv((2, 131, 67, 8), (3, 3), 20, strides=2, padding=((0, 1), (2, 0))),
    Conv((1, 90, 50, 17), (5, 3), 9, dilation=(3, 2), padding="same"),
    Conv((1, 6, 5, 530), (3, 3), 67, padding="same"),
    Conv((3, 3, 3, 2100), (1, 1), 70),
    Conv((2, 5, 5, 300), (3, 3), 280),
    Conv((1, 5, 6, 9), (3, 3), 1300),
    Conv((1, 120, 60, 40), (3, 3), 40, groups=40, padding="same"),
    Conv((1, 80, 70, 12), (3, 3), 20, groups=2, strides=(2, 1), padding="same"),
    Conv((300, 2, 3, 5), (2, 2), 6),
    Conv((40, 28, 28, 1), (3, 3), 8),
    Conv((1, 1, 700, 3), (1, 5), 7, padding="same"),
    Conv((1, 700, 1, 3), (5, 1), 7, strides=(3, 1)),
    Conv((3, 33, 31, 20), (1, 1), 21),
    Conv((9, 12, 11, 30), (12, 11), 35),
]

# (x_shape, pool_size, strides, padding)
POOLS = [
    ((1, 1, 1, 1), 1, None, "valid"),
    ((2, 6, 8, 3), 2, None, "valid"),
    ((2, 7, 9, 3), 2, None, "valid"),
    ((2, 7, 9, 3), 2, None, "same"),
    ((2, 7, 9, 5), 3, 2, "valid"),
    ((2, 7, 9, 5), 3, 2, "same"),
    ((2, 7, 9, 5), 3, 1, "same"),
    ((1, 7, 9, 8), (2, 3), (1, 2), "valid"),
    ((1, 7, 9, 8), 2, 3, "valid"),
    ((1, 7, 9, 8), (1, 2), (4, 3), "same"),
    ((1, 7, 9, 17), 3, 2, 1),
    ((1, 7, 9, 17), (3, 4), 2, (1, 2)),
    ((1, 7, 9, 4), (3, 4), (2, 1), ((2, 0), (1, 3))),
    ((1, 2, 2, 3), 3, 1, 2),
    ((2, 1, 9, 3), (1, 3), 2, "valid"),
    ((2, 9, 1, 3), 3, 2, "same"),
    ((3, 5, 5, 70), 5, None, "valid"),
    ((1, 16, 16, 3), 16, 1, "valid"),
    ((1, 20, 19, 2), 17, 2, "valid"),
]


def pool_id(case):
    """Return a test id such as 2x6x8x3-pool2-s2-pvalid."""
    shape, pool, strides, padding = case
    return f"{'x'.join(map(str, shape))}-pool{pool}-s{strides}-p{padding}".replace(" ", "")


def uniform(rng, shape, dtype):
    """Return floats in [-1, 1)."""
    return (2 * rng.random(shape) - 1).astype(dtype)


# (m, c, k) of dense layers: what csrc/product.inc tells apart.
PRODUCTS = [
    (1, 600, 3),  # one tile: weights in place, but for the last rows, shorter than a vector
    (9, 700, 33),
    (20, 37, 3),
    (50, 300, 40),  # weights laid out, in two parts of the depth
    (30, 2000, 80),  # beyond L2
    (600, 70, 50),  # two bands
    (300, 1024, 30),  # rows of x a page apart
    (60, 700, 300),  # dx^T, with dy laid out once
    (120, 700, 300),  # and with dy laid out by parts
    (300, 520, 520),  # dw: rows of x and dy laid out, two groups of columns, two bands
    (300, 100, 10),  # dw^T
    (2100, 20, 30),  # many samples: a flat image
    (9000, 7, 5),
]
