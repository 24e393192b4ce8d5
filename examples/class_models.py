"""The five networks of the class, trained as its notebooks train them: raw images, RMSprop, 32.

Ten epochs on MNIST and CIFAR-10 with --data DIR (or CONVKIT_DATA); prints a table in Markdown.
"""

import time

from lesson import Lesson

import convkit
from convkit import callbacks, layers, utils


def network(shape, filters, padding, pooled, hidden):
    """Build convolutions of 5 x 5 with swish, pooled or not, then the hidden and the last layer."""
    parts = [layers.Input(shape=shape)]
    for count, pad in zip(filters, padding, strict=True):
        parts.append(layers.Conv2D(count, kernel_size=5, padding=pad, activation="swish"))
        parts += [layers.MaxPool2D()] if pooled else []
    parts.append(layers.Flatten())
    parts += [layers.Dense(units, activation="swish") for units in hidden]
    return convkit.Sequential([*parts, layers.Dense(10, activation="softmax")])


GREY, COLOUR = [28, 28, 1], [32, 32, 3]
NETWORKS = {
    "dense": (GREY, (), (), False, (84,)),
    "convolutions": (GREY, (3, 6), ("valid", "valid"), False, (84,)),
    "convolutions and pooling": (GREY, (3, 6), ("valid", "valid"), True, (84,)),
    "LeNet-5 on digits": (GREY, (6, 16), ("same", "valid"), True, (120, 84)),
    "LeNet-5 on colour images": (COLOUR, (6, 16), ("valid", "valid"), True, (120, 84)),
}


class Clock(callbacks.Callback):
    """Note the fastest epoch: the one that other programs on the machine disturbed least."""

    best = float("inf")

    def on_epoch_begin(self, epoch, logs=None):
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.best = min(self.best, time.perf_counter() - self.start)


lesson = Lesson(__doc__)
epochs = 2 if lesson.quick else 10
grey, colour = lesson.digits(), lesson.colours()[:2]
print("| network | parameters | training accuracy | test accuracy | fastest epoch, s |")
print("|---|---|---|---|---|")
counts = []
for name, arguments in NETWORKS.items():
    convkit.set_seed(1)
    (x, y), (x_test, y_test) = colour if arguments[0] == COLOUR else grey
    model = network(*arguments)
    model.compile(loss="categorical_crossentropy", metrics="accuracy")
    clock = Clock()
    history = model.fit(x, utils.to_categorical(y), epochs=epochs, verbose=0, callbacks=[clock])
    _, accuracy = model.evaluate(x_test, utils.to_categorical(y_test, 10), verbose=0)
    shares = [100 * share for share in (history.history["accuracy"][-1], accuracy)]
    counts.append(model.count_params())
    print(
        f"| {name} | {counts[-1]:,} | {shares[0]:.2f} % | {shares[1]:.2f} % | {clock.best:.2f} |",
        flush=True,
    )

assert counts == [66790, 203068, 9532, 61706, 62006]
