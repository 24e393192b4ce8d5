"""Lesson 11: the larger the batch, the less noise batch normalization adds."""

import numpy as np
from lesson import Lesson

import convkit.functional as F
from convkit import viz

lesson = Lesson(__doc__)
SIZES = (8, 32, 64, 256, 512)
(x, _), _ = lesson.digits()
rng = np.random.default_rng(0)

# The maps of one convolution: 3 filters, every fourth place of the image.
filters = rng.standard_normal((5, 5, 1, 3)).astype(np.float32)
maps = F.conv2d(x[..., None] / np.float32(255), filters, strides=4)
draws = 150 if lesson.quick else 400

# The same image in many random batches. Its batch's mean and variance are those of all images
# plus noise, so the very same image becomes something else each time.
found = {}
for size in SIZES:
    results = []
    for _ in range(draws):
        batch = maps[rng.integers(0, len(maps), size)]  # with replacement
        batch[0] = maps[0]
        results.append(F.batch_norm(batch)[0][0])
    found[size] = np.array(results)
spread = {size: values.std(axis=0).mean() for size, values in found.items()}
for size in SIZES:
    print(f"batch {size:4}: the image's values vary by {spread[size]:.3f}")
lesson.save(viz.batch_noise({s: v[:, 2, 3, 0] for s, v in found.items()}), "11_batch_noise.png")

values = list(spread.values())
assert values == sorted(values, reverse=True), "larger batches, less noise"
ratio = spread[64] / spread[512]
print(f"from 64 to 512 the noise falls by {ratio:.2f}; sqrt(512 / 64) = {np.sqrt(8):.2f}")
assert 2.2 < ratio < 3.6
