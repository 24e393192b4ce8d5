"""Float64 NumPy twins of what augmentation draws and does: slow, sample by sample."""

import math

import numpy as np

MASK = 2**64 - 1


def mix64(h):
    """Return splitmix64's next number after h."""
    h = (h + 0x9E3779B97F4A7C15) & MASK
    h = ((h ^ (h >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    h = ((h ^ (h >> 27)) * 0x94D049BB133111EB) & MASK
    return h ^ (h >> 31)


def batch_key(seed, stream, step):
    """Return the key of a batch."""
    return mix64(mix64(mix64(seed) ^ stream) ^ step)


def element_bits(key, i):
    """Return the 32 bits of element i."""
    h = (i + (key & 0xFFFFFFFF)) & 0xFFFFFFFF
    h = ((h ^ (h >> 16)) * 0x7FEB352D) & 0xFFFFFFFF
    h ^= (key >> 32) & 0xFFFFFFFF
    h = ((h ^ (h >> 15)) * 0x846CA68B) & 0xFFFFFFFF
    return h ^ (h >> 16)


def random_normal(count, seed, stream, step):
    """Return normally distributed numbers, each from two uniform ones of 24 bits."""
    key = batch_key(seed, stream, step)
    u = [((element_bits(key, i) >> 8) + 1) * 2.0**-24 for i in range(count)]
    v = [(element_bits(mix64(key), i) >> 8) * 2.0**-24 - 0.5 for i in range(count)]
    return np.sqrt(-2 * np.log(u)) * np.sin(2 * np.pi * np.array(v))


def sample_key(seed, stream, step, sample):
    """Return the key of a sample."""
    return mix64(batch_key(seed, stream, step) ^ int(sample))


def uniform(key, k):
    """Return the k-th number of a key in [0, 1)."""
    return (mix64((key + k) & MASK) >> 11) * 2.0**-53


def between(low, high, u):
    """Return the number at u between two."""
    return low + (high - low) * u


def folded(i, size, mode):
    """Return which cell of 0..size - 1 stands at i, None for the fill value."""
    cells = list(range(size))
    if 0 <= i < size:
        return i
    if mode == "constant":
        return None
    if mode == "nearest":
        return min(max(i, 0), size - 1)
    periods = {"wrap": cells, "reflect": cells + cells[::-1], "mirror": cells + cells[-2:0:-1]}
    return periods[mode][i % len(periods[mode])]


def draw_map(key, size, out, top, left, flip="none", mode="constant", parity=0):
    """Return the source rows and columns of a sample's y."""
    starts = [math.floor(between(*pair, uniform(key, k))) for k, pair in enumerate((top, left))]
    turned = [(uniform(key, 3) < 0.5) ^ parity, (uniform(key, 2) < 0.5) ^ parity]
    wanted = [flip in ("vertical", "horizontal_and_vertical"), flip.startswith("horizontal")]
    axes = []
    for axis in range(2):
        cells = [folded(starts[axis] + i, size[axis], mode) for i in range(out[axis])]
        axes.append(cells[::-1] if turned[axis] and wanted[axis] else cells)
    return axes


def remap(x, rows, columns, fill=0.0):
    """Return the image made of the given rows and columns of x."""
    y = np.full((len(rows), len(columns), x.shape[2]), fill, np.float64)
    for r, row in enumerate(rows):
        for q, column in enumerate(columns):
            if row is not None and column is not None:
                y[r, q] = x[row, column]
    return y


def draw_transform(key, size, out, angle, zoom_h, zoom_w, shift_h, shift_w):
    """Return where in x the cells of y lie: a function of (row, column)."""
    a = between(*angle, uniform(key, 0))
    zoom = [between(*zoom_h, uniform(key, 1))]
    zoom.append(zoom[0] if zoom_w is None else between(*zoom_w, uniform(key, 2)))
    shift = [between(*shift_h, uniform(key, 3)), between(*shift_w, uniform(key, 4))]

    def place(r, q):
        down, right = r - (out[0] - 1) / 2, q - (out[1] - 1) / 2
        turned = (
            down * math.cos(a) + right * math.sin(a),
            right * math.cos(a) - down * math.sin(a),
        )
        return tuple((size[k] - 1) / 2 + zoom[k] * turned[k] - shift[k] for k in range(2))

    return place


def warp(x, place, out, interpolation, mode, fill=0.0):
    """Return the image whose cells are x at place(r, q)."""

    def cell(r, q):
        row, column = folded(r, x.shape[0], mode), folded(q, x.shape[1], mode)
        return np.full(x.shape[2], fill) if row is None or column is None else x[row, column]

    y = np.zeros((*out, x.shape[2]))
    for r in range(out[0]):
        for q in range(out[1]):
            at = place(r, q)
            if interpolation == "nearest":
                y[r, q] = cell(math.floor(at[0] + 0.5), math.floor(at[1] + 0.5))
                continue
            row, column = math.floor(at[0]), math.floor(at[1])
            for i, down in enumerate((1 - (at[0] - row), at[0] - row)):
                for j, right in enumerate((1 - (at[1] - column), at[1] - column)):
                    y[r, q] += down * right * cell(row + i, column + j)
    return y


def adjust(x, factor, value_range, contrast):
    """Return an image with another contrast or brightness."""
    mean = x.mean((0, 1))
    y = (x - mean) * factor + mean if contrast else x + factor
    return np.clip(y, *value_range)


def span(size, length, u):
    """Return the cells p of begin <= p < begin + length * size as (first, end)."""
    begin = u * (size - length * size)
    inside = [p for p in range(size) if begin <= p < begin + length * size]
    return (inside[0], inside[-1] + 1) if inside else (0, 0)


def erase_box(key, size, factor, scale):
    """Return the box that random erasing draws, or None."""
    if uniform(key, 0) >= between(*factor, uniform(key, 1)):
        return None
    sides = [math.sqrt(between(*scale, uniform(key, k))) for k in (2, 3)]
    return [span(size[k], sides[k], uniform(key, 4 + k)) for k in range(2)]


def square(key, size, side):
    """Return the box that cutout draws."""
    box = []
    for k in range(2):
        begin = math.floor(size[k] * uniform(key, k)) - side // 2
        box.append((max(0, begin), min(size[k], begin + side)))
    return box


def noise(key, element, value_range):
    """Return an element of the noise that random erasing fills with."""
    key = mix64(key)
    radius = math.sqrt(-2 * math.log(1 - uniform(key, 2 * element)))
    value = radius * math.cos(2 * math.pi * uniform(key, 2 * element + 1)) * value_range[1]
    return min(max(value, value_range[0]), value_range[1])
