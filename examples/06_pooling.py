"""Lesson 6: pooling halves each side of the maps and keeps what stands out most."""

import time

from lesson import Lesson

import convkit
import convkit.functional as F
from convkit import layers, utils, viz

lesson = Lesson(__doc__)
(x, y), _ = lesson.digits()
labels = utils.to_categorical(y)


def network(pooled):
    """Build the same network with or without pooling."""
    parts = [layers.Input(shape=[28, 28, 1])]
    for filters in (3, 6):
        parts.append(layers.Conv2D(filters, kernel_size=5, activation="swish"))
        parts += [layers.MaxPool2D()] if pooled else []
    parts += [layers.Flatten(), layers.Dense(84, activation="swish")]
    model = convkit.Sequential([*parts, layers.Dense(10, activation="softmax")])
    model.compile(loss="categorical_crossentropy", metrics="accuracy")
    return model


epochs = lesson.epochs(3)
models = {"no pooling": network(False), "max pooling": network(True)}
results = {}
for name, model in models.items():
    start = time.perf_counter()
    history = model.fit(x, labels, epochs=epochs, verbose=0)
    seconds = (time.perf_counter() - start) / epochs
    accuracy = 100 * history.history["accuracy"][-1]
    results[name] = (model.count_params(), seconds, accuracy)
    print(f"{name}: {results[name][0]:,} parameters, {seconds:.2f} s an epoch, {accuracy:.2f} %")

picture = viz.figure(8, 2.6)
titles = ("parameters", "seconds an epoch", "training accuracy, %")
for k, (axes, title) in enumerate(zip(picture.subplots(1, 3), titles, strict=True)):
    bars = axes.bar(list(results), [row[k] for row in results.values()], color="#1f6fb2", width=0.5)
    axes.bar_label(bars, fmt="{:,.0f}" if k == 0 else "{:.2f}", fontsize=8, padding=2)
    axes.set_title(title, fontsize=10)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.margins(y=0.15)
    axes.set_yticks([])
lesson.save(picture, "06_table.png")
lesson.save(models["max pooling"].plot_feature_maps(x[0]), "06_maps.png")

# One map, pooled in two ways: the maximum keeps the peak, the average flattens it.
before = next(iter(models["max pooling"].feature_maps(x[:1]).values()))
largest, average = F.max_pool2d(before), F.avg_pool2d(before)
peak = before.max(axis=(0, 1, 2))
k = (before / peak).mean(axis=(0, 1, 2)).argmax()  # the map that is lit most
picture = viz.figure(7.6, 2.6)
titled = {"map": before, "max pooling": largest, "average pooling": average}
for axes, (name, maps) in zip(picture.subplots(1, 3), titled.items(), strict=True):
    values = maps[0, :, :, k]
    axes.imshow(values, cmap="viridis", vmin=before[..., k].min(), vmax=peak[k])
    axes.set_title(f"{name} {values.shape}, peak {values.max():.0f}", fontsize=9)
    axes.axis("off")
lesson.save(picture, "06_max_and_average.png")

dense = [model.layers[-2].count_params() for model in models.values()]
print(f"the first Dense layer: {dense[0]:,} parameters without pooling, {dense[1]:,} with")

assert dense == [201684, 8148]
assert largest.size * 4 == before.size, "half of each side is a quarter of the numbers"
assert (largest.max(axis=(1, 2)) == before.max(axis=(1, 2))).all(), "no peak is lost"
