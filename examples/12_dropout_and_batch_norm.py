"""Lesson 12: dropout and batch normalization both add noise, dropout far more."""

import numpy as np
from lesson import Lesson

from convkit import layers, viz

lesson = Lesson(__doc__)
rng = np.random.default_rng(0)
draws = 500 if lesson.quick else 3000
dropout, norm = layers.Dropout(0.5), layers.BatchNormalization()

# One value of 1, seen again and again. Dropout makes it 0, or 1 / (1 - 0.5) = 2.
dropped = dropout(np.ones((draws, 1), np.float32), training=True)[:, 0]

# Batch normalization divides it by a spread, and subtracts a mean, of 63 random others and itself.
batches = rng.standard_normal((draws, 64, 1)).astype(np.float32)
batches[:, 0] = 1
normalized = np.array([norm(batch, training=True)[0, 0] for batch in batches])

picture = viz.figure(7.2, 2.9)
for axes, (name, values) in zip(
    picture.subplots(1, 2, sharex=True),
    {"dropout, rate 0.5": dropped, "batch normalization, batch 64": normalized}.items(),
    strict=True,
):
    axes.hist(values, bins=61, range=(-0.2, 2.2), color="#1f6fb2")
    axes.set_title(f"{name}: std {values.std():.2f}", fontsize=9)
    axes.set_xlabel("what becomes of a 1", fontsize=9)
    axes.set_yticks([])
    axes.spines[["top", "right", "left"]].set_visible(False)
lesson.save(picture, "12_noise.png")
print(f"dropout: values {sorted(set(dropped.tolist()))}, spread {dropped.std():.2f}")
print(f"batch normalization: spread {normalized.std():.2f}")

assert set(dropped.tolist()) == {0.0, 2.0}
assert abs(dropped.mean() - 1) < 0.15, "on average dropout changes nothing"
assert normalized.std() < 0.25 * dropped.std()
