"""The networks of a class on convolutional networks: layers, output shapes, parameter counts."""

from dataclasses import dataclass

import convkit
from convkit import layers


@dataclass(frozen=True)
class Network:
    """One sample's shape, then (make a layer, its output shape, its parameters), and the total."""

    shape: tuple
    rows: list
    total: int
    frozen: int = 0  # of the total, what training does not change

    def layers(self):
        """Make new layers."""
        return [make() for make, _, _ in self.rows]

    def sequential(self):
        """Build it as a list of layers."""
        return convkit.Sequential([layers.Input(list(self.shape)), *self.layers()])

    def functional(self):
        """Build it by calling layers on tensors."""
        x = y = layers.Input(shape=list(self.shape))
        for layer in self.layers():
            y = layer(y)
        return convkit.models.Model(x, y)


BUILDERS = ("sequential", "functional")


def conv(filters, padding="valid", activation="swish"):
    """Return a function that makes a convolution of the class."""
    return lambda: layers.Conv2D(filters, kernel_size=5, padding=padding, activation=activation)


def dense(units, activation="swish"):
    """Return a function that makes a dense layer."""
    return lambda: layers.Dense(units, activation=activation)


def swish():
    """Make the activation layer."""
    return layers.Activation("swish")


flatten, pool, norm = layers.Flatten, layers.MaxPool2D, layers.BatchNormalization
ten = (dense(10, "softmax"), (10,), 850)

lenet_end = [
    (pool, (14, 14, 6), 0),
    (conv(16), (10, 10, 16), 2416),
    (pool, (5, 5, 16), 0),
    (flatten, (400,), 0),
    (dense(120), (120,), 48120),
    (dense(84), (84,), 10164),
    ten,
]

NETWORKS = {
    "table": Network((784,), [(dense(84), (84,), 65940), ten], 66790),
    "flatten": Network((28, 28), [(flatten, (784,), 0), (dense(84), (84,), 65940), ten], 66790),
    "conv": Network(
        (28, 28, 1),
        [
            (conv(3), (24, 24, 3), 78),
            (conv(6), (20, 20, 6), 456),
            (flatten, (2400,), 0),
            (dense(84), (84,), 201684),
            ten,
        ],
        203068,
    ),
    "pool": Network(
        (28, 28, 1),
        [
            (conv(3), (24, 24, 3), 78),
            (pool, (12, 12, 3), 0),
            (conv(6), (8, 8, 6), 456),
            (pool, (4, 4, 6), 0),
            (flatten, (96,), 0),
            (dense(84), (84,), 8148),
            ten,
        ],
        9532,
    ),
    "lenet_mnist": Network(
        (28, 28, 1),
        [(conv(6, "same"), (28, 28, 6), 156), *lenet_end],
        61706,
    ),
    "lenet_cifar": Network(
        (32, 32, 3),
        [(conv(6), (28, 28, 6), 456), *lenet_end],
        62006,
    ),
    "pool_norm": Network(
        (28, 28, 1),
        [
            (conv(3, activation=None), (24, 24, 3), 78),
            (norm, (24, 24, 3), 12),
            (swish, (24, 24, 3), 0),
            (pool, (12, 12, 3), 0),
            (conv(6, activation=None), (8, 8, 6), 456),
            (norm, (8, 8, 6), 24),
            (swish, (8, 8, 6), 0),
            (pool, (4, 4, 6), 0),
            (flatten, (96,), 0),
            (dense(84, None), (84,), 8148),
            (norm, (84,), 336),
            (swish, (84,), 0),
            ten,
        ],
        9904,
        186,
    ),
    "iris_norm": Network(
        (4,),
        [
            (dense(8, None), (8,), 40),
            (norm, (8,), 32),
            (swish, (8,), 0),
            (dense(8, None), (8,), 72),
            (norm, (8,), 32),
            (swish, (8,), 0),
            (dense(8, None), (8,), 72),
            (norm, (8,), 32),
            (swish, (8,), 0),
            (dense(3, "softmax"), (3,), 27),
        ],
        307,
        48,
    ),
}
IMAGE_NETWORKS = [name for name, network in NETWORKS.items() if len(network.shape) > 1]
