"""Layers that change images at random, and those that prepare them."""

import numpy as np
import pytest

import convkit
from convkit import layers
from convkit.layers import augmentation

RANDOM = {
    "flip": lambda **o: layers.RandomFlip(**o),
    "crop": lambda **o: layers.RandomCrop(6, 5, **o),
    "padded crop": lambda **o: layers.RandomCrop(8, 7, padding=(2, 1), fill_mode="wrap", **o),
    "translation": lambda **o: layers.RandomTranslation(0.3, (-0.2, 0.1), **o),
    "whole translation": lambda **o: layers.RandomTranslation(0.3, 0.3, "mirror", "nearest", **o),
    "rotation": lambda **o: layers.RandomRotation(0.2, **o),
    "zoom": lambda **o: layers.RandomZoom((-0.5, 0.2), (0.1, 0.3), **o),
    "aspect zoom": lambda **o: layers.RandomZoom(0.4, fill_mode="nearest", **o),
    "contrast": lambda **o: layers.RandomContrast(0.5, **o),
    "brightness": lambda **o: layers.RandomBrightness((0.1, 0.4), **o),
    "erasing": lambda **o: layers.RandomErasing((1, 1), fill_value=3, **o),
    "noise": lambda **o: layers.RandomErasing((1, 1), **o),
    "cutout": lambda **o: layers.Cutout(3, (1, 2, 3), **o),
    "mixup": lambda **o: layers.MixUp(1.0, **o),
    "cutmix": lambda **o: layers.CutMix((1, 1), **o),
}


@pytest.fixture
def images(rng):
    """Return a few uint8 images."""
    return rng.integers(0, 256, (9, 8, 7, 3)).astype(np.uint8)


@pytest.mark.parametrize("name", RANDOM)
def test_a_random_layer_changes_images_in_training_only(name, images):
    layer = RANDOM[name](seed=5)
    first, second = layer(images), layer(images)
    assert first.shape == second.shape == layer.compute_output_shape(images.shape)
    assert not np.array_equal(first, second)
    quiet = layer(images, training=False)
    assert quiet.shape == first.shape
    if first.shape == images.shape:
        np.testing.assert_array_equal(quiet, images)
        assert not np.array_equal(first, images)
    twin = type(layer)(**layer.get_config())
    np.testing.assert_array_equal(twin(images), first)
    assert not np.array_equal(RANDOM[name](seed=6)(images), first)


@pytest.mark.parametrize("name", RANDOM)
def test_other_threads_and_float_types_draw_the_same(name, images):
    found = []
    before = convkit.get_num_threads()
    try:
        for threads in (1, 3):
            convkit.set_num_threads(threads)
            found.append(RANDOM[name](seed=5)(images))
    finally:
        convkit.set_num_threads(before)
    np.testing.assert_array_equal(*found)
    double = RANDOM[name](seed=5, dtype="float64")(images)
    np.testing.assert_allclose(found[0], double, rtol=0, atol=0.01)


def test_random_flip_modes(images):
    for mode, turns in (
        ("horizontal", {(1, -1)}),
        ("vertical", {(-1, 1)}),
        ("horizontal_and_vertical", {(1, -1), (-1, 1), (-1, -1)}),
    ):
        layer = layers.RandomFlip(mode, seed=1)
        seen = set()
        for _ in range(4):
            for image, y in zip(images, layer(images), strict=True):
                ways = [
                    (down, right)
                    for down in (1, -1)
                    for right in (1, -1)
                    if np.array_equal(image[::down, ::right], y)
                ]
                seen |= set(ways)
        assert seen == turns | {(1, 1)}


def test_random_crop_finds_every_window(images):
    layer = layers.RandomCrop(7, 7, seed=2)
    tops = set()
    for _ in range(3):
        for image, y in zip(images, layer(images), strict=True):
            tops |= {t for t in (0, 1) if np.array_equal(image[t : t + 7], y)}
    assert tops == {0, 1}


def test_padding_by_two_gives_all_shifts(images):
    """On images of the window's size, 9 images and 40 steps see each of 25 shifts."""
    layer = layers.RandomCrop(8, 7, padding=2, fill_mode="mirror", seed=2)
    padded = np.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0)), mode="reflect")
    seen = []
    for _ in range(40):
        for image, y in zip(padded, layer(images), strict=True):
            shifts = [
                (top, left)
                for top in range(5)
                for left in range(5)
                if np.array_equal(image[top : top + 8, left : left + 7], y)
            ]
            seen.extend(shifts)
    counts = {shift: seen.count(shift) for shift in set(seen)}
    assert len(counts) == 25 and len(seen) == 360
    assert min(counts.values()) > 2  # 14.4 expected


def test_crops_in_inference_are_resized_as_in_keras(images):
    """The largest window of the target's shape, in the middle, resized."""
    y = layers.RandomCrop(4, 4)(images, training=False)
    window = layers.Resizing(4, 4)(images[:, :7])  # 7 x 7, from row (8 - 7) // 2
    np.testing.assert_array_equal(y, window)
    larger = layers.RandomCrop(10, 10)(images)  # smaller images: the same in training
    np.testing.assert_array_equal(larger, layers.Resizing(10, 10)(images[:, :7]))


def test_center_crop(images):
    np.testing.assert_array_equal(layers.CenterCrop(4, 4)(images), images[:, 2:6, 1:5])
    np.testing.assert_array_equal(layers.CenterCrop(8, 7)(images), images)
    y = layers.CenterCrop(16, 8)(images)
    np.testing.assert_array_equal(y, layers.Resizing(16, 8)(images[:, :, 1:5]))


def test_resizing_halves_doubles_and_keeps():
    x = np.arange(16, dtype=np.float32).reshape(1, 4, 4, 1)
    np.testing.assert_array_equal(layers.Resizing(4, 4)(x), x)
    means = x.reshape(2, 2, 2, 2).mean((1, 3)).reshape(1, 2, 2, 1)
    np.testing.assert_array_equal(layers.Resizing(2, 2)(x), means)
    line = np.array([0, 4], np.float32).reshape(1, 1, 2, 1)
    np.testing.assert_array_equal(layers.Resizing(1, 4)(line).reshape(-1), [0, 1, 3, 4])
    nearest = layers.Resizing(1, 4, "nearest")(line).reshape(-1)
    np.testing.assert_array_equal(nearest, [0, 0, 4, 4])
    wide = layers.Resizing(2, 2, crop_to_aspect_ratio=True)(x[:, :2])
    np.testing.assert_array_equal(wide, x[:, :2, 1:3])


def test_a_pipeline_equals_its_layers_one_by_one(images):
    """Fused into one pass over uint8 images, or each by itself."""
    chain = [
        layers.Rescaling(1 / 255),
        layers.RandomFlip("horizontal", seed=1),
        layers.RandomCrop(8, 7, seed=2, padding=2),
        layers.Normalization(mean=[0.5, 0.4, 0.3], variance=[0.1, 0.2, 0.3]),
    ]
    x = convkit.Input(images.shape[1:])
    tensors = [x]
    for layer in chain:
        tensors.append(layer(tensors[-1]))
    whole = convkit.Model(x, tensors[-1])
    apart = convkit.Model(x, tensors[1:])
    y = whole(images, training=True)
    np.testing.assert_array_equal(y, apart(images, training=True)[-1])
    kernels = {k for program, _ in whole._programs.values() for k in program.kernels}
    assert kernels == {"gather", "draw_map", "gather_images"}


# ---- normalization -------------------------------------------------------------------------------


def test_normalization_adapts_to_arrays_and_batches(images):
    for data in (
        images,
        images.tolist(),
        (images[i : i + 4] for i in range(0, 9, 4)),
        ((images[i : i + 4], None) for i in range(0, 9, 4)),
    ):
        layer = layers.Normalization()
        layer.adapt(data)
        wide = images.astype(np.float64)
        np.testing.assert_allclose(layer.mean, wide.mean((0, 1, 2)), rtol=1e-6)
        np.testing.assert_allclose(layer.variance, wide.var((0, 1, 2)), rtol=1e-6)
        y = layer(images)
        np.testing.assert_allclose(y.mean((0, 1, 2)), 0, atol=1e-6)
        np.testing.assert_allclose(y.std((0, 1, 2)), 1, rtol=1e-6)
        back = layers.Normalization(invert=True)
        back.adapt(images)
        np.testing.assert_allclose(back(y), images, atol=1e-3)


def test_normalization_by_one_mean_and_of_features(rng):
    x = rng.normal(3, 2, (50, 4)).astype(np.float32)
    layer = layers.Normalization(axis=None)
    layer.adapt(x)
    np.testing.assert_allclose(layer(x), (x - x.mean()) / x.std(), atol=1e-5)
    given = layers.Normalization(mean=3.0, variance=4.0)
    np.testing.assert_allclose(given(x), (x - 3) / 2, atol=1e-6)
    assert given.get_weights() == []


def test_a_constant_channel_gives_zeros():
    x = np.full((5, 2), 7.0, np.float32)
    layer = layers.Normalization()
    layer.adapt(x)
    assert not layer(x).any()


def test_normalization_is_part_of_a_models_weights(images):
    model = convkit.Sequential(
        [convkit.Input((8, 7, 3)), layers.Normalization(), layers.Flatten(), layers.Dense(2)]
    )
    before = model.predict(images, verbose=0)
    model.layers[0].adapt(images)
    assert not np.allclose(model.predict(images, verbose=0), before)
    model.compile("sgd", "mse")
    model.fit(images, np.zeros((9, 2)), verbose=0)
    np.testing.assert_allclose(
        model.get_weights()[0], images.astype(np.float64).mean((0, 1, 2)), rtol=1e-6
    )


# ---- training ------------------------------------------------------------------------------------


def network(*augmentation, dtype="float32"):
    """Return a compiled classifier of 8 x 7 images behind some layers."""
    model = convkit.Sequential(
        [
            convkit.Input((8, 7, 3)),
            layers.Rescaling(1 / 255),
            *augmentation,
            layers.Flatten(),
            layers.Dense(4, activation="softmax"),
        ]
    )
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def test_training_with_everything_is_the_same_for_any_threads(images):
    before = convkit.get_num_threads()
    chosen = {name: make for name, make in RANDOM.items() if name != "crop"}
    try:
        weights = []
        for threads in (1, 2):
            convkit.set_num_threads(threads)
            convkit.set_seed(3)
            model = network(*(make() for make in chosen.values()))
            model.fit(images, np.arange(9) % 4, batch_size=4, epochs=2, verbose=0)
            weights.append(model.get_weights())
    finally:
        convkit.set_num_threads(before)
    for a, b in zip(*weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_mixed_labels_are_trained_on(images):
    """One step of SGD on two samples: the gradient is that of the blended image and label."""
    convkit.set_seed(1)
    pair, y = images[:2], np.array([0, 3])
    model = network(layers.MixUp(1.0, seed=4))
    weights = model.get_weights()
    front = convkit.Model(model.inputs, model.layers[1].output)
    mixed = front(pair, training=True) * 255
    first = pair.reshape(2, -1).astype(np.float64)
    span = first[1] - first[0]
    share = ((mixed.reshape(2, -1) - first[0]) * span).sum(1) / (span**2).sum()
    labels = np.zeros((2, 4))
    labels[:, 0], labels[:, 3] = 1 - share, share
    model.fit(pair, y, epochs=1, verbose=0, shuffle=False)
    plain = network()
    plain.set_weights(weights)
    plain.compile("sgd", "categorical_crossentropy")
    plain.fit(mixed, labels, epochs=1, verbose=0, shuffle=False)
    for a, b in zip(model.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_alternating_flips_follow_the_epochs_of_fit(images):
    seen = []

    class Spy(convkit.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            seen.append(int(model._epoch.value[0]))

    model = network(layers.RandomFlip("horizontal", alternating=True))
    model.fit(images, np.arange(9) % 4, epochs=3, verbose=0, callbacks=[Spy()])
    assert seen == [0, 1, 2]
    model.fit(images, np.arange(9) % 4, epochs=5, initial_epoch=4, verbose=0, callbacks=[Spy()])
    assert seen[3:] == [4]


# ---- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: layers.RandomFlip("sideways"), "RandomFlip: .*mode.*sideways"),
        (lambda: layers.RandomFlip(seed=-1), "RandomFlip: seed must be at least 0"),
        (lambda: layers.RandomRotation(2), r"RandomRotation: factor must lie in \[-1, 1\]"),
        (lambda: layers.RandomZoom((1, 2, 3)), "RandomZoom: height_factor must be a number or"),
        (lambda: layers.RandomTranslation(0.1, 0.1, "mirrored"), "did you mean 'mirror'"),
        (lambda: layers.RandomRotation(0.1, interpolation="cubic"), "interpolation"),
        (lambda: layers.RandomContrast(0.1, 255), "value_range must be a pair"),
        (lambda: layers.MixUp(0), "MixUp: alpha must be greater than 0, got alpha=0"),
        (lambda: layers.CutMix(1.5), r"CutMix: factor must lie in \[0, 1\]"),
        (lambda: layers.Cutout(0), "Cutout: size must be at least 1"),
        (lambda: layers.RandomCrop(4, 4, padding=-1), "RandomCrop: padding must be an int"),
        (lambda: layers.Normalization(axis=1), "axis must be -1"),
        (lambda: layers.Normalization(mean=1), "mean and variance must be given together"),
        (lambda: layers.Normalization(mean=1, variance=-1), "variance must not be negative"),
        (lambda: layers.Resizing(0, 3), "Resizing: height must be at least 1"),
        (lambda: layers.RandomFlip(data_format="channels_first"), "transpose"),
    ],
)
def test_wrong_arguments_are_refused(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()


def test_wrong_data_is_refused(images):
    with pytest.raises(ValueError, match=r"last axis of one: x\[..., None\]"):
        layers.RandomFlip()(images[..., 0])
    with pytest.raises(ValueError, match="one for each of 3 channels"):
        layers.Cutout(2, (1, 2))(images)
    with pytest.raises(ValueError, match="3 numbers, one per channel"):
        layers.Normalization(mean=[1, 2], variance=[1, 2])(images)
    with pytest.raises(ValueError, match="at least one sample"):
        layers.Normalization().adapt(images[:0])
    with pytest.raises(ValueError, match="made without mean and variance"):
        layers.Normalization(mean=1, variance=1).adapt(images)
    layer = layers.Normalization()
    layer.adapt(images)
    with pytest.raises(ValueError, match="adapt needs 3 channels"):
        layer.adapt(images[..., :2])


def test_an_augmentation_without_its_maths_says_what_to_define():
    with pytest.raises(TypeError, match=r"Augmentation must define augment\(x\)"):
        augmentation.Augmentation().augment(None)
