"""Small graphs for the tests of graph, ops and compiler, with data to run them on."""

import numpy as np

from convkit import ops
from convkit.compiler import Workspace, compile
from convkit.graph import Graph, Variable
from convkit.ops.update import HYPER


class Net:
    """A graph under construction, its variables, and the data of its inputs."""

    def __init__(self, dtype="float64", rows=9, seed=0):
        self.graph = Graph(dtype)
        self.dtype = self.graph.dtype
        self.rng = np.random.default_rng(seed)
        self.rows = rows
        self.data = {}
        self.loss = None

    def input(self, *sizes):
        """Add a real input with random data."""
        x = self.graph.input((None, *sizes))
        self.data[x] = self.rng.standard_normal((self.rows, *sizes)).astype(self.dtype)
        return x

    def labels(self, classes):
        """Add an input of class numbers."""
        x = self.graph.input((None,), "int64")
        self.data[x] = self.rng.integers(0, classes, self.rows)
        return x

    def variable(self, *shape, trainable=True, positive=False):
        """Add a variable of small random values."""
        value = 0.4 * self.rng.standard_normal(shape)
        value = 0.5 + np.abs(value) if positive else value
        return self.graph.variable(Variable("v", value.astype(self.dtype), trainable))

    def counter(self):
        """Add a uint64 counter."""
        return self.graph.variable(Variable("step", np.zeros(1, np.uint64), False))

    def conv(self, x, k, size=3, bias=True, **options):
        """Add a convolution."""
        w = self.variable(size, size, x.shape[3] // options.get("groups", 1), k)
        return ops.conv2d(x, w, self.variable(k) if bias else None, **options)

    def dense(self, x, k, bias=True):
        """Add a dense layer over flattened samples."""
        x = ops.reshape(x, (None, -1)) if len(x.shape) > 2 else x
        return ops.dense(x, self.variable(x.shape[1], k), self.variable(k) if bias else None)

    def norm(self, x):
        """Add a batch normalization in training."""
        c = x.shape[-1]
        return ops.batch_norm(x, self.variable(c, positive=True), self.variable(c))[0]

    def classify(self, x, classes=5):
        """End in a dense layer, softmax and cross-entropy."""
        p = ops.softmax(self.dense(x, classes))
        self.loss = ops.softmax_cross_entropy(p, self.labels(classes), from_logits=False)
        return p

    @property
    def variables(self):
        """Return all variables in order."""
        return list(self.graph._variables)

    def sgd(self, gradients, rate=0.1):
        """Add an optimizer step; return its counter."""
        step = Variable("iterations", np.zeros(1, np.uint64), False)
        hyper = Variable("hyper", np.array([rate, *[0.0] * (len(HYPER) - 1)]), False)
        ops.update(self.graph, "sgd", [(v, g) for v, g in gradients.items()], hyper, step)
        return step

    def compile(self, fetch, batch=None, workspace=None, **options):
        """Compile for a batch size, all rows by default, and feed the first rows."""
        batch = batch or self.rows
        program = compile(
            self.graph, batch=batch, fetch=fetch, workspace=workspace or Workspace(), **options
        )
        self.feed(program, np.arange(batch))
        return program

    def feed(self, program, index):
        """Feed all inputs with the rows of an index."""
        for tensor, data in self.data.items():
            program.feed(tensor, data, index)

    def values(self, fetch, **options):
        """Compile, run once, and return copies of the fetched tensors."""
        program = self.compile(fetch, **options)
        program.run()
        return [program.view(t).copy() for t in fetch]


# ---- networks with a loss -----------------------------------------------------------------------


def plain(net):
    """Convolution, ReLU, max pooling, dense."""
    x = ops.activation(net.conv(net.input(6, 7, 2), 4, padding="same"), "relu")
    net.classify(ops.max_pool2d(x))


def smooth(net):
    """Activations whose gradient needs z, after convolutions and dense layers."""
    x = ops.activation(net.conv(net.input(5, 6, 2), 3), "gelu")
    x = ops.activation(net.conv(x, 4, size=1, bias=False), "silu")
    x = ops.activation(net.dense(ops.avg_pool2d(x, 2, 1), 6), "tanh")
    net.classify(x)


def normalized(net):
    """Batch normalization before ReLU, before a smooth activation, and alone."""
    x = ops.activation(net.norm(net.conv(net.input(6, 6, 1), 3, bias=False)), "relu")
    x = ops.activation(net.norm(net.conv(ops.max_pool2d(x), 4, padding="same")), "elu")
    net.classify(net.norm(ops.reshape(x, (None, -1))))


def residual(net):
    """Blocks whose input is used twice, as in ResNet."""
    x = ops.activation(net.norm(net.conv(net.input(5, 5, 2), 4, padding="same")), "relu")
    for activation in ("relu", "leaky_relu", "mish"):
        y = ops.activation(net.norm(net.conv(x, 4, padding="same")), "relu")
        y = net.norm(net.conv(y, 4, padding="same"))
        x = ops.activation(ops.add(x, y), activation)
    net.classify(ops.reshape(ops.avg_pool2d(x, (5, 5)), (None, 4)))


def branches(net):
    """Concatenation of branches, one tensor used three times."""
    x = ops.activation(net.conv(net.input(5, 4, 2), 4, padding="same"), "relu")
    y = ops.concatenate([net.conv(x, 2, size=1), x, ops.max_pool2d(x, 3, 1, "same")])
    y = ops.concatenate([y, ops.affine(y, -0.5, 0.25)], axis=1)
    net.classify(ops.activation(y, "softplus"))


def padded(net):
    """Zero padding, depthwise and grouped convolutions, strides and dilation."""
    x = ops.zero_pad2d(net.input(5, 6, 4), ((1, 2), (0, 3)))
    x = ops.activation(net.conv(x, 8, groups=4, strides=2), "relu")
    x = ops.zero_pad2d(x, ((0, 1), (1, 0)))
    net.classify(net.conv(x, 4, size=2, groups=2, dilation=2))


def shared(net):
    """One convolution applied twice, and a sum of a tensor with itself."""
    x = net.input(6, 6, 3)
    w, b = net.variable(3, 3, 3, 3), net.variable(3)
    x = ops.activation(ops.conv2d(x, w, b, padding="same"), "relu")
    x = ops.activation(ops.conv2d(x, w, b, padding="same"), "sigmoid")
    net.classify(ops.max_pool2d(ops.add(x, x), 3, 2))


def dropped(net):
    """Dropout after an activation and on a tensor that something else reads too."""
    step = net.counter()
    x = ops.activation(net.conv(net.input(5, 5, 2), 3), "relu")
    y = ops.dropout(x, 0.4, seed=3, stream=1, step=step)
    y = ops.dropout(ops.add(x, y), 0.25, seed=3, stream=2, step=step)
    net.classify(y)


def regression(net):
    """Mean squared error with sample weights, tanh, log-softmax and softmax inside."""
    x = net.input(7)
    y = ops.log_softmax(net.dense(x, 6))
    z = ops.softmax(net.dense(x, 6))
    pred = net.dense(ops.activation(ops.add(y, z), "tanh"), 3)
    net.loss = ops.mean_squared_error(pred, net.input(3), net.input())


def probabilities(net):
    """Cross-entropy on probabilities that are no softmax's, with soft labels and smoothing."""
    p = ops.activation(net.dense(net.input(6), 4), "softplus")
    labels = net.graph.input((None, 4))
    net.data[labels] = net.rng.dirichlet(np.ones(4), net.rows).astype(net.dtype)
    net.loss = ops.softmax_cross_entropy(p, labels, label_smoothing=0.1, from_logits=False)


def frozen(net):
    """Batch normalization with fixed statistics inside of what is trained."""
    x = net.conv(net.input(5, 5, 2), 3)
    mean, variance = (
        net.variable(3, trainable=False),
        net.variable(3, trainable=False, positive=True),
    )
    gamma, beta = net.variable(3, positive=True), net.variable(3)
    x = ops.batch_norm_inference(x, mean, variance, gamma, beta)
    x = ops.activation(x, "relu")
    x = ops.batch_norm_inference(x, mean, variance, gamma, None)
    net.classify(ops.activation(x, "gelu"))


NETWORKS = [
    *(plain, smooth, normalized, residual, branches, padded, shared, dropped, regression),
    *(probabilities, frozen),
]


def build(network, **options):
    """Return the Net of a network function."""
    net = Net(**options)
    network(net)
    return net


def random_network(net, length=9):
    """Grow a graph of random ops, each on a random earlier tensor, ending in a loss."""
    maps = [net.conv(net.input(4, 5, 3), 3, padding="same")]
    for _ in range(length):
        x = maps[net.rng.integers(max(0, len(maps) - 3), len(maps))]
        kind = net.rng.integers(8)
        if kind == 0:
            y = net.conv(x, 3, padding="same")
        elif kind == 1:
            y = net.norm(x)
        elif kind == 2:
            y = ops.add(x, maps[net.rng.integers(len(maps))])
        elif kind == 3:
            y = ops.max_pool2d(x, 3, 1, "same")
        elif kind == 4:
            y = ops.affine(x, 0.5, 0.1)
        elif kind == 5:
            y = ops.concatenate([net.conv(x, 1, size=1), net.conv(x, 2, size=1)])
        else:
            name = ["relu", "leaky_relu", "gelu", "sigmoid", "relu"][net.rng.integers(5)]
            y = ops.activation(x, name)
        maps.append(y)
    last = maps[-1]
    for x in (maps[-2], maps[-3]):
        last = ops.add(last, x)
    net.classify(ops.max_pool2d(ops.activation(last, "relu")))
