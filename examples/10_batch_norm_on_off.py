"""Lesson 10: batch normalization keeps every layer's input at mean 0 and variance 1."""

import numpy as np
from lesson import Lesson

import convkit
from convkit import callbacks, initializers, layers, optimizers, utils, viz

lesson = Lesson(__doc__)
(x, y), _ = lesson.digits()
x, labels = x[:15000].reshape(-1, 784) / 255, utils.to_categorical(y[:15000])
DEPTH = 6
WIDE = initializers.RandomNormal(stddev=0.27)  # for 64 inputs: each layer enlarges its input


def network(normalized):
    """Build six hidden layers whose first weights are rather too large."""
    convkit.set_seed(2)
    parts = [layers.Input((784,))]
    for _ in range(DEPTH):
        parts.append(layers.Dense(64, kernel_initializer=WIDE))
        parts += [layers.BatchNormalization(momentum=0.9)] if normalized else []
        parts.append(layers.Activation("swish"))
    return convkit.Sequential([*parts, layers.Dense(10, activation="softmax")])


class Watch(callbacks.Callback):
    """Note mean and standard deviation of what goes into each activation, step by step."""

    def __init__(self, model, batch):
        inputs = [layer.input for layer in model.layers if isinstance(layer, layers.Activation)]
        self.probe, self.batch, self.steps = convkit.Model(model.input, inputs), batch, []

    def on_train_batch_begin(self, batch, logs=None):
        if batch % 5 == 0:
            maps = self.probe(self.batch, training=True)
            self.steps.append([(values.mean(), values.std()) for values in maps])


def train(normalized, rate):
    """Train one network; return its history and what was watched: (steps, layers, 2)."""
    model = network(normalized)
    model.compile(optimizers.SGD(rate), "categorical_crossentropy", ["accuracy"])
    watch = Watch(model, x[:256])
    history = model.fit(
        x, labels, batch_size=64, epochs=lesson.epochs(2), verbose=0, callbacks=[watch]
    )
    return history, np.array(watch.steps)


with np.errstate(all="ignore"):  # without normalization the larger rate ends in infinities
    runs = {
        f"{'with' if normalized else 'without'}, rate {rate}": train(normalized, rate)
        for normalized in (False, True)
        for rate in (0.02, 0.5)
    }
for name, (history, _) in runs.items():
    print(f"{name}: loss {history.history['loss'][-1]:.3f}")

picture = viz.figure(8.4, 5.2)
panels = picture.subplots(2, 2, sharex=True, sharey="row")
for column, normalized in enumerate(("without", "with")):
    steps = runs[f"{normalized}, rate 0.02"][1]
    for row, (axes, text) in enumerate(zip(panels[:, column], ("mean", "std"), strict=True)):
        for k in range(DEPTH):
            colour = (0.12, 0.85 - 0.13 * k, 0.9 - 0.05 * k)
            axes.plot(5 * np.arange(len(steps)), steps[:, k, row], color=colour, label=str(k + 1))
        axes.set_ylabel(text if column == 0 else "")
        axes.spines[["top", "right"]].set_visible(False)
    panels[0, column].set_title(f"{normalized} batch normalization", fontsize=10)
    panels[1, column].set_xlabel("training step")
panels[1, 0].set_yscale("log")
panels[1, 1].legend(title="hidden layer", ncols=3, fontsize=8, title_fontsize=8, frameon=False)
lesson.save(picture, "10_drift.png")
survivors = {
    name: run[0] for name, run in runs.items() if np.isfinite(run[0].history["loss"]).all()
}
lesson.save(viz.curves(survivors), "10_curves.png")

with_it, without = runs["with, rate 0.02"][1], runs["without, rate 0.02"][1]
lesson.save(
    viz.histograms(
        {
            f"{name}, input of activation {k}": values
            for name, normalized in (("without", False), ("with", True))
            for k, values in [
                (k + 1, Watch(network(normalized), x[:256]).probe(x[:256], training=True)[k])
                for k in (0, 2, 5)
            ]
        },
        share_axis=True,
    ),
    "10_histograms.png",
)

assert without[0, -1, 1] > 5 * without[0, 0, 1], "the spread grows from layer to layer"
assert np.abs(with_it[0, :, 0]).max() < 1e-3 and np.abs(with_it[0, :, 1] - 1).max() < 0.05
fast = {name: runs[f"{name}, rate 0.5"][0].history["loss"][-1] for name in ("with", "without")}
assert np.isfinite(fast["with"]) and not fast["with"] > fast["without"], "a larger rate survives"
