"""Lesson 5: count the parameters by hand; the + 1 is the bias."""

from lesson import Lesson

import convkit
from convkit import layers

Lesson(__doc__)
parts = {
    "3 filters of 5 x 5 on 1 channel": (layers.Conv2D(3, 5), 3 * (5 * 5 * 1 + 1)),
    "6 filters of 5 x 5 on 3 channels": (layers.Conv2D(6, 5), 6 * (5 * 5 * 3 + 1)),
    "flattened: 20 * 20 * 6 = 2400": (layers.Flatten(), 0),
    "84 features from 2400 numbers": (layers.Dense(84), 84 * (2400 + 1)),
    "10 digits from 84 features": (layers.Dense(10), 10 * (84 + 1)),
}
model = convkit.Sequential([layers.Input((28, 28, 1)), *(layer for layer, _ in parts.values())])
print(f"{'layer':34}{'by hand':>10}{'summary':>10}")
for name, (layer, count) in parts.items():
    print(f"{name:34}{count:>10,}{layer.count_params():>10,}")
total = 84 * (2400 + 1) + 10 * (84 + 1) + 78 + 456
print(f"{'together':34}{total:>10,}{model.count_params():>10,}")

assert all(layer.count_params() == count for layer, count in parts.values())
assert total == model.count_params() == 203068
