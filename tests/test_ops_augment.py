"""Ops of augmentation against their float64 twins, fused and not, and what they refuse."""

import numpy as np
import pytest
import reference_augment as reference
from programs import run_graph
from tolerance import unit_roundoff

from convkit import ops
from convkit.compiler import Workspace, compile
from convkit.graph import Graph, Variable
from convkit.ops.augment import DrawErase, DrawMix

SEED, STREAM, STEP = 11, 4, 9
SAMPLES = np.array([5, 0, 3, 1000, 7, 2, 6], np.int64)


class Images:
    """A graph with an input of images, sample numbers and a step, and data for them."""

    def __init__(self, shape=(6, 5, 3), dtype="float64", source="float64", step=STEP):
        self.graph = Graph(dtype)
        self.x = self.graph.input((None, *shape), name="x")
        self.step = Variable("step", np.array([step], np.uint64), False)
        self.chance = ops.Chance(
            SEED, STREAM, self.graph.variable(self.step), self.graph.sample_numbers()
        )
        rng = np.random.default_rng(3)
        self.data = rng.integers(0, 256, (len(SAMPLES), *shape)).astype(source)

    def run(self, *fetch):
        """Run and return the fetched tensors."""
        feeds = {self.x: self.data, self.graph.sample: SAMPLES}
        return run_graph(self.graph, fetch, feeds)

    def sample_keys(self):
        """Return the key of each sample."""
        return [reference.sample_key(SEED, STREAM, STEP, s) for s in SAMPLES]


MODES = ("constant", "nearest", "reflect", "mirror", "wrap")


@pytest.mark.parametrize("mode", MODES)
def test_remap_moves_whole_pixels(mode, dtype, threads):
    for size, top, left in (((6, 5), (-2, 3), (-4, 5)), ((3, 4), (0, 4), (0, 2))):
        images = Images(dtype=dtype)
        y = ops.remap(
            *(images.x, size, images.chance),
            **{"top": top, "left": left, "flip": "horizontal_and_vertical", "fill_mode": mode},
            fill_value=-7,
        )
        found = images.run(y)[0]
        for i, key in enumerate(images.sample_keys()):
            rows, columns = reference.draw_map(
                key, (6, 5), size, top, left, "horizontal_and_vertical", mode
            )
            expected = reference.remap(images.data[i], rows, columns, -7)
            np.testing.assert_array_equal(found[i], expected)


def test_far_outside_of_an_image_of_one_pixel():
    for mode in MODES[1:]:
        images = Images((1, 1, 2))
        y = ops.remap(
            images.x, (4, 3), images.chance, top=(-50, 50), left=(-50, 50), fill_mode=mode
        )
        assert np.array_equal(images.run(y)[0], np.broadcast_to(images.data, (7, 4, 3, 2)))


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 17])
def test_rows_are_flipped_whatever_the_channels(channels):
    images = Images((4, 19, channels), "float32", "uint8")
    y = ops.remap(images.x, (4, 19), images.chance, top=(0, 0), left=(0, 0), flip="horizontal")
    found = images.run(y)[0]
    flipped = [reference.uniform(key, 2) < 0.5 for key in images.sample_keys()]
    assert 0 < sum(flipped) < len(flipped)
    for i, turned in enumerate(flipped):
        np.testing.assert_array_equal(found[i], images.data[i, :, :: -1 if turned else 1])


def test_alternating_flips_turn_every_image_in_every_other_epoch():
    seen = []
    for epoch in range(4):
        images = Images(step=epoch)
        y = ops.remap(
            *(images.x, (6, 5), images.chance),
            **{"top": (0, 0), "left": (0, 0), "flip": "horizontal", "alternating": True},
        )
        found = images.run(y)[0]
        seen.append([np.array_equal(a, b) for a, b in zip(found, images.data, strict=True)])
    assert seen[0] == seen[2] != seen[1] == seen[3]
    assert [not same for same in seen[0]] == seen[1]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
def test_warp(mode, interpolation, dtype, threads):
    ranges = {
        "angle": (-3, 2),
        "zoom_h": (0.5, 1.7),
        "zoom_w": (0.6, 1.2),
        "shift_h": (-4, 3),
        "shift_w": (-2, 2),
    }
    for size, zoom_w in (((6, 5), ranges["zoom_w"]), ((3, 8), None)):
        images = Images(dtype=dtype)
        ranges["zoom_w"] = zoom_w
        y = ops.warp(
            *(images.x, size, images.chance),
            **ranges,
            **{"interpolation": interpolation, "fill_mode": mode, "fill_value": 100},
        )
        found = images.run(y)[0]
        for i, key in enumerate(images.sample_keys()):
            place = reference.draw_transform(key, (6, 5), size, **ranges)
            expected = reference.warp(images.data[i], place, size, interpolation, mode, 100)
            # Weights are rounded once, and three sums; values reach 255.
            tolerance = 0 if interpolation == "nearest" else 255 * 8 * unit_roundoff(dtype)
            np.testing.assert_allclose(found[i], expected, rtol=0, atol=tolerance + 1e-11)


def test_a_quarter_turn_and_a_whole_shift_are_exact():
    images = Images((5, 5, 2), "float32")
    turn = ops.warp(images.x, (5, 5), ops.Chance(), angle=(np.pi / 2, np.pi / 2))
    shift = ops.warp(
        *(images.x, (5, 5), ops.Chance()),
        **{"shift_h": (1, 1), "shift_w": (-2, -2), "fill_mode": "wrap"},
    )
    turned, shifted = images.run(turn, shift)
    np.testing.assert_allclose(turned, np.rot90(images.data, axes=(1, 2)), atol=1e-3)
    np.testing.assert_array_equal(shifted, np.roll(images.data, (1, -2), (1, 2)))


def test_adjust(dtype, threads):
    for contrast, factor in ((True, (0.3, 1.8)), (False, (-80, 90))):
        images = Images((6, 5, 3), dtype)
        y = ops.adjust(
            *(images.x, images.chance),
            **{"factor": factor, "value_range": (20, 230), "contrast": contrast},
        )
        found = images.run(y)[0]
        for i, key in enumerate(images.sample_keys()):
            drawn = reference.between(*factor, reference.uniform(key, 0))
            expected = reference.adjust(images.data[i], drawn, (20, 230), contrast)
            np.testing.assert_allclose(
                found[i], expected, rtol=0, atol=255 * 8 * unit_roundoff(dtype)
            )


def test_nan_pixels_stay():
    images = Images()
    images.data[0, 1, 1, 1] = np.nan
    y = ops.adjust(images.x, images.chance, factor=(1, 2), value_range=(0, 255), contrast=False)
    found = np.isnan(images.run(y)[0])
    assert found[0, 1, 1, 1] and found.sum() == 1


def test_cutout_and_erasing(dtype, threads):
    for side in (1, 2, 3, 9):
        images = Images(dtype=dtype)
        found = images.run(ops.erase(images.x, images.chance, size=side, fill=(1, 2, 3)))[0]
        for i, key in enumerate(images.sample_keys()):
            expected = images.data[i].copy()
            (top, bottom), (left, right) = reference.square(key, (6, 5), side)
            expected[top:bottom, left:right] = (1, 2, 3)
            np.testing.assert_array_equal(found[i], expected)
    images = Images(dtype=dtype)
    options = {"factor": (0.4, 0.9), "scale": (0.1, 0.9)}
    y = ops.erase(images.x, images.chance, **options, value_range=(-50, 255))
    found = images.run(y)[0]
    erased = 0
    for i, key in enumerate(images.sample_keys()):
        expected = images.data[i].copy()
        box = reference.erase_box(key, (6, 5), **options)
        if box is not None:
            erased += 1
            for r in range(*box[0]):
                for q in range(*box[1]):
                    for k in range(3):
                        element = (r * 5 + q) * 3 + k
                        expected[r, q, k] = reference.noise(key, element, (-50, 255))
        np.testing.assert_allclose(found[i], expected, rtol=4 * unit_roundoff(dtype), atol=1e-9)
    assert 0 < erased < len(SAMPLES)


def test_mixing_images_and_labels(dtype, threads):
    for boxes in (False, True):
        images = Images(dtype=dtype)
        labels = images.graph.input((None,), "int64")
        y, mixture = ops.mix_images(images.x, images.chance, alpha=(0.5, 1.5), boxes=boxes)
        mixed = ops.mix_labels(labels, 4, mixture)
        numbers = np.arange(len(SAMPLES)) % 4
        box = mixture.partner.op.outputs.get("box", mixture.partner)
        program = compile(
            images.graph,
            batch=len(SAMPLES),
            fetch=[y, mixed, *mixture, box],
            workspace=Workspace(),
        )
        index = np.arange(len(SAMPLES))
        for tensor, source in (
            (images.x, images.data),
            (images.graph.sample, SAMPLES),
            (labels, numbers),
        ):
            program.feed(tensor, source, index)
        program.run()
        found, rows = program.view(y), program.view(mixed)
        partner, weight = program.view(mixture.partner), program.view(mixture.weight)
        assert sorted(partner) == list(index) and not (partner == index).any()
        assert ((weight >= 0) & (weight <= 1)).all() and len(set(weight)) > 2
        tolerance = 255 * 4 * unit_roundoff(dtype)
        for i in range(len(SAMPLES)):
            w, other = float(weight[i]), images.data[partner[i]]
            expected = w * images.data[i] + (1 - w) * other
            if boxes:
                top, bottom, left, right = program.view(box)[i]
                assert w == pytest.approx(1 - (bottom - top) * (right - left) / 30, abs=1e-6)
                expected = images.data[i].copy()
                expected[top:bottom, left:right] = other[top:bottom, left:right]
            np.testing.assert_allclose(found[i], expected, rtol=0, atol=tolerance)
            shares = w * np.eye(4)[numbers[i]] + (1 - w) * np.eye(4)[numbers[partner[i]]]
            np.testing.assert_allclose(rows[i], shares, rtol=0, atol=4 * unit_roundoff(dtype))


@pytest.mark.parametrize("alpha", [1e-9, 0.2, 1.0, 3.0])
def test_weights_follow_the_beta_distribution(alpha):
    """Over 4000 draws a mean has a deviation of at most 0.5 / 63, a share 0.5 / 63."""
    count = 4000
    images = Images((1, 1, 1))
    _y, mixture = ops.mix_images(images.x, images.chance, alpha=(alpha, alpha), boxes=False)
    feeds = {
        images.x: np.zeros((count, 1, 1, 1)),
        images.graph.sample: np.arange(count),
    }
    weight = run_graph(images.graph, [mixture.weight], feeds)[0]
    drawn = np.random.default_rng(0).beta(max(alpha, 1e-6), max(alpha, 1e-6), 200_000)
    for share in (np.mean, np.var, lambda w: (w < 0.1).mean(), lambda w: (w < 0.4).mean()):
        assert share(weight) == pytest.approx(share(drawn), abs=0.04)


def test_one_sample_mixes_with_itself():
    images = Images()
    y, _mixture = ops.mix_images(images.x, images.chance, alpha=(1, 1), boxes=False)
    feeds = {images.x: images.data[:1], images.graph.sample: SAMPLES[:1]}
    np.testing.assert_allclose(run_graph(images.graph, [y], feeds)[0], images.data[:1])


# ---- independence --------------------------------------------------------------------------------


def random_chain(images):
    """Emit one of each random op on images."""
    x, chance = images.x, images.chance
    x = ops.remap(x, (6, 5), chance, top=(-2, 3), left=(-2, 3), flip="horizontal")
    x = ops.warp(x, (6, 5), chance._replace(stream=1), angle=(-1, 1))
    x = ops.adjust(
        x, chance._replace(stream=2), factor=(0.5, 1.5), value_range=(0, 255), contrast=True
    )
    return ops.erase(x, chance._replace(stream=3), factor=(0.5, 1), scale=(0.1, 0.4))


def test_a_sample_meets_the_same_fate_anywhere_in_any_batch(dtype):
    images = Images(dtype=dtype)
    y = random_chain(images)
    found = images.run(y)[0]
    order = np.array([6, 1, 3, 0])
    feeds = {images.x: images.data[order], images.graph.sample: SAMPLES[order]}
    np.testing.assert_array_equal(run_graph(images.graph, [y], feeds)[0], found[order])


def test_other_steps_seeds_and_streams_draw_other_numbers():
    images = Images()
    y = random_chain(images)
    first = images.run(y)[0]
    images.step.value[0] += 1
    assert not np.array_equal(images.run(y)[0], first)
    for field in ("seed", "stream"):
        images = Images()
        images.chance = images.chance._replace(**{field: 77})
        assert not np.array_equal(images.run(random_chain(images))[0], first)


def test_both_float_types_draw_the_same():
    boxes = []
    for dtype in ("float32", "float64"):
        images = Images(dtype=dtype)
        y = ops.erase(images.x, images.chance, size=2, fill=(0, 0, 0))
        op = next(op for op in images.graph.ops if isinstance(op, DrawErase))
        boxes.append(images.run(y, op.outputs["box"])[1])
    np.testing.assert_array_equal(*boxes)
    images = Images()
    ops.mix_images(images.x, images.chance, alpha=(1, 1), boxes=True)
    assert any(isinstance(op, DrawMix) for op in images.graph.ops)


# ---- fusion --------------------------------------------------------------------------------------


def rescale(x):
    """Emit a scaling."""
    return ops.affine(x, 1 / 255, -0.1)


def normalize(x):
    """Emit a normalization by channel."""
    mean, variance = (x.graph.constant(values) for values in ((0.1, 0.2, 0.3), (1.5, 2.5, 0.5)))
    return ops.batch_norm_inference(x, mean, variance, None, None, epsilon=1e-3)


def crop(chance, fill_value=0.0, mode="constant"):
    """Make a function that emits a shift with filling."""

    def emit(x):
        size = (6, 5)
        return ops.remap(
            *(x, size, chance),
            **{"top": (-2, 3), "left": (-3, 2), "fill_mode": mode, "fill_value": fill_value},
        )

    return emit


def flip(chance):
    """Make a function that emits a flip."""

    def emit(x):
        return ops.remap(x, (6, 5), chance, top=(0, 0), left=(0, 0), flip="horizontal")

    return emit


# Steps after the input, and how many of them join the gather.
CHAINS = {
    "rescale": (lambda c: [rescale], 1),
    "normalize": (lambda c: [normalize], 1),
    "both": (lambda c: [rescale, normalize], 2),
    "twice": (lambda c: [rescale, rescale], 1),
    "moved": (lambda c: [flip(c), crop(c._replace(stream=1))], 2),
    "moved, then changed": (lambda c: [crop(c, 9), flip(c), rescale, normalize], 4),
    "changed, then moved": (lambda c: [rescale, normalize, crop(c, 9), flip(c)], 4),
    "moved in between": (lambda c: [rescale, flip(c), normalize], 3),
    "filled in between": (lambda c: [rescale, crop(c, 9), normalize], 3),
    "reflected in between": (lambda c: [rescale, crop(c, 9, "reflect"), normalize], 3),
    "two colors": (lambda c: [crop(c, 9), crop(c, 8)], 1),
    "filled at two times": (lambda c: [crop(c, 9), rescale, crop(c, 9)], 2),
}


@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize("source", ["uint8", "float32", "int64"])
def test_what_follows_a_gather_joins_it_without_changing_a_bit(name, source, dtype, threads):
    steps, joined = CHAINS[name]
    images = Images(dtype=dtype, source=source)
    tensors = [images.x]
    for step in steps(images.chance):
        tensors.append(step(tensors[-1]))
    apart = images.run(*tensors)[-1]
    fused = compile(images.graph, batch=len(SAMPLES), fetch=tensors[-1:], workspace=Workspace())
    left = sum(kernel in ("affine", "batch_norm_inference") for kernel in fused.kernels)
    left += fused.kernels.count("gather_images") - 1
    assert left == len(tensors) - 1 - joined
    np.testing.assert_array_equal(images.run(tensors[-1])[0], apart)


def test_features_and_large_images_join_too():
    for shape in ((7,), (3, 4), (40, 41, 3)):
        images = Images(shape, "float32", "uint8")
        y = rescale(images.x)
        kernels = compile(images.graph, batch=2, fetch=[y], workspace=Workspace()).kernels
        assert kernels == ("gather_images",)
        apart = images.run(images.x, y)[1]
        np.testing.assert_array_equal(images.run(y)[0], apart)


def test_an_input_that_is_asked_for_or_read_twice_is_not_fused():
    images = Images()
    a, b = rescale(images.x), ops.affine(images.x, 2, 0)
    kernels = compile(images.graph, batch=2, fetch=[a, b], workspace=Workspace()).kernels
    assert sorted(kernels) == ["affine", "affine", "gather"]


# ---- refusals ------------------------------------------------------------------------------------


def test_an_augmentation_behind_weights_is_refused():
    images = Images()
    w = images.graph.variable(Variable("w", np.ones((1, 1, 3, 3))))
    y = ops.conv2d(images.x, w, None)
    y = ops.remap(y, (6, 5), images.chance, top=(0, 0), left=(0, 0))
    y = ops.reshape(y, (None, -1))
    loss = ops.mean_squared_error(y, images.graph.input(y.shape[1:] and (None, 90)))
    with pytest.raises(ValueError, match="no gradient; put the layer before the first layer"):
        images.graph.gradients(loss)


def test_what_is_not_an_image_is_refused():
    graph = Graph()
    x = graph.input((None, 4, 4))
    with pytest.raises(ValueError, match=r"remap: x must have 4 axes \(N, H, W, C\)"):
        ops.remap(x, (4, 4), ops.Chance(), top=(0, 0), left=(0, 0))
    with pytest.raises(ValueError, match="did you mean 'reflect'"):
        ops.remap(
            *(graph.input((None, 4, 4, 1)), (4, 4), ops.Chance()),
            **{"top": (0, 0), "left": (0, 0), "fill_mode": "reflekt"},
        )
