"""Lesson 1: the two meanings of dimension, as a table's columns and as an array's depth."""

import numpy as np
from lesson import Lesson

from convkit import viz

lesson = Lesson(__doc__)

# An observation with n columns is a point in a space of n dimensions. So two observations have a
# distance, and "how alike" becomes a number.
flowers = np.array([[5.1, 3.5, 1.4, 0.2], [4.9, 3.0, 1.4, 0.2], [6.3, 3.3, 6.0, 2.5]])
distance = np.linalg.norm(flowers[:, None] - flowers, axis=-1)
print("three flowers, four columns: points in 4-dimensional space; their distances:")
print(distance.round(2))

# The other meaning counts brackets: how deep arrays hold arrays. By either name they are tensors.
d1 = np.array([1, 2, 3, 4, 5])
d2 = np.array([d1, d1, d1, d1])
d3 = np.array([d2, d2, d2])
d4 = np.array([d3, d3])
for depth, array in enumerate((d1, d2, d3, d4), start=1):
    print(f"depth {depth}: shape {array.shape}")

# Four numbers in a row or in a square: the same 4-dimensional space, different forms.
x1 = np.array([5, 3, 1, 2])
img1 = np.array([[0, 255], [255, 0]])
print(f"x1 {x1.shape} and img1 {img1.shape} hold {x1.size} numbers each")

(digits, _), _ = lesson.digits()
(photos, _), _, _ = lesson.colours()
digit, photo = digits[0], photos[0]
print(f"a grey image {digit.shape}: a point in {digit.size}-dimensional space")
print(f"a colour image {photo.shape}: a point in {photo.size}-dimensional space")
print(f"all of them: {digits.shape} and {photos.shape}")

lesson.save(viz.grid(digits[:32], columns=8), "01_digits.png")
lesson.save(viz.images(photos[:16], columns=8), "01_colours.png")
lesson.save(viz.rgb_planes(photo), "01_planes.png")

assert (d1.shape, d2.shape, d3.shape, d4.shape) == ((5,), (4, 5), (3, 4, 5), (2, 3, 4, 5))
assert (digit.size, photo.size) == (784, 3072)
assert x1.size == img1.size == 4 and (x1.ndim, img1.ndim) == (1, 2)
assert distance[0, 1] < distance[0, 2]
