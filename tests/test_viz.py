"""Pictures: what they show, that nothing overlaps, and what is said without matplotlib."""

import importlib.util
import itertools

import numpy as np
import pytest
from course import NETWORKS

import convkit
from convkit import viz

needs_matplotlib = pytest.mark.skipif(
    importlib.util.find_spec("matplotlib") is None, reason="the plot extra is not installed"
)


# ---- sheets without matplotlib -------------------------------------------------------------------


def read(path):
    image = pytest.importorskip("PIL.Image")
    with image.open(path) as picture:
        picture.load()
        return np.asarray(picture)


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 1), (4, 3, 3)])
def test_png_files_hold_the_pixels(shape, tmp_path, rng):
    pixels = rng.integers(0, 256, shape, dtype=np.uint8)
    viz.save_png(tmp_path / "a.png", pixels)
    expected = pixels if shape[-1] == 3 else pixels.reshape(5, 7)
    np.testing.assert_array_equal(read(tmp_path / "a.png"), expected)
    viz.save_png(tmp_path / "b.png", pixels / 255, enlarge=3)
    np.testing.assert_array_equal(
        read(tmp_path / "b.png"), read(tmp_path / "a.png").repeat(3, axis=0).repeat(3, axis=1)
    )


def test_grid():
    images = np.arange(5 * 2 * 3).reshape(5, 2, 3).astype(np.uint8)
    sheet = viz.grid(images, columns=3)
    assert sheet.shape == (2 * 2 + 1, 3 * 3 + 2) and sheet.dtype == np.uint8
    np.testing.assert_array_equal(sheet[:2, 4:7], images[1])
    np.testing.assert_array_equal(sheet[3:, 8:], 255)  # the sixth place is empty
    assert viz.grid(images[..., None]).shape == sheet.shape  # about square
    each = viz.grid(images.astype(float), columns=5, pad=0)
    assert each.min() == 0 and each.max() == 255
    np.testing.assert_array_equal(each[:, :3], each[:, 3:6])
    together = viz.grid(images, columns=5, pad=0, scale="all")
    assert together[0, 0] == 0 and together[-1, -1] == 255 and (np.diff(together) > 0).all()
    assert viz.grid(np.ones((2, 4, 4, 3))).shape == (4, 9, 3)
    np.testing.assert_array_equal(viz.grid(np.ones((1, 4, 4))), 0)  # nothing to stretch


SHEETS = [
    (lambda: viz.grid(np.zeros((4, 4))), r"image\[None\]"),
    (lambda: viz.grid(np.zeros((2, 4, 4, 5))), r"transpose\(2, 0, 1\)"),
    (lambda: viz.grid(np.zeros((2, 4, 4)), scale="every"), "scale='every'"),
    (lambda: viz.grid(np.zeros((2, 4, 4)), columns=0), "columns must be at least 1"),
    (lambda: viz.save_png("never.png", np.zeros((3, 4, 4))), r"grid\(images\)"),
    (lambda: viz.save_png("never.png", np.full((4, 4), 2.0)), r"lie in 0..1"),
    (lambda: viz.save_png("never.png", np.full((4, 4), -1)), r"lie in 0..255"),
    (lambda: viz.save_png("never.png", np.full((4, 4), np.nan)), r"lie in 0..1"),
]


@pytest.mark.parametrize(("wrong", "words"), SHEETS)
def test_wrong_sheets(wrong, words):
    with pytest.raises(ValueError, match=words):
        wrong()


def test_without_matplotlib(run_script, tmp_path):
    found = run_script(
        "import sys; sys.modules['matplotlib'] = None\n"
        "import numpy as np\n"
        "from convkit import viz\n"
        "viz.save_png('sheet.png', viz.grid(np.zeros((3, 4, 4))))\n".replace(
            "sheet.png", str(tmp_path / "sheet.png")
        )
        + "try: viz.images(np.zeros((3, 4, 4)))\n"
        "except ImportError as error: print(error)\n"
    )
    assert found == "pictures need matplotlib: pip install 'convkit[plot]'\n"
    assert (tmp_path / "sheet.png").exists()


# ---- pictures -----------------------------------------------------------------------------------


def texts(picture):
    """Return the visible texts of a drawn picture: (words, size, box in pixels)."""
    picture.canvas.draw()
    found = list(picture.texts)
    for axes in picture.axes:
        found += [axes.title, axes._left_title, axes._right_title, *axes.texts]
        found += axes.get_legend().get_texts() if axes.get_legend() else []
        for axis in (axes.xaxis, axes.yaxis) if axes.axison else ():
            low, high = sorted(axis.get_view_interval())
            ticks = [*axis.get_major_ticks(), *axis.get_minor_ticks()]
            labels = [tick.label1 for tick in ticks] + [tick.label2 for tick in ticks]
            places = 2 * [tick.get_loc() for tick in ticks]
            found += [t for t, at in zip(labels, places, strict=True) if low <= at <= high]
            found.append(axis.label)
    shown = [text for text in found if text.get_visible() and text.get_text().strip()]
    return [(t.get_text(), t.get_fontsize(), t.get_window_extent()) for t in shown]


def check_layout(picture):
    """Fail where a text is cut off, too small, or lies over another."""
    found = texts(picture)
    width, height = picture.canvas.get_width_height()
    for words, size, box in found:
        assert size >= 6, words
        inside = box.x0 >= -1 and box.y0 >= -1 and box.x1 <= width + 1 and box.y1 <= height + 1
        assert inside, f"{words!r} is cut off"
    for (one, _, a), (other, _, b) in itertools.combinations(found, 2):
        over = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
        assert min(over) < 1.5, f"{one!r} lies over {other!r}"
    return [words for words, _, _ in found]


LONG = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def chances(rng, count, classes=10):
    rows = rng.random((count, classes)) ** 8
    return rows / rows.sum(axis=1, keepdims=True)


def drawn(name, rng):
    """Draw one picture of each kind."""
    grey, colour = rng.random((20, 28, 28)), rng.integers(0, 256, (20, 32, 32, 3), dtype=np.uint8)
    labels, guesses = rng.integers(0, 10, 200), chances(rng, 200)
    runs = {"loss": [2.0, 1.0, 0.5], "val_loss": [2.1, 1.3, 0.9], "accuracy": [0.2, 0.5, 0.8]}
    maps = {
        "conv": rng.random((2, 24, 24, 6)),
        "pool": rng.random((2, 12, 12, 20)),
        "flatten": rng.random((2, 2880)),
        "dense": chances(rng, 2),
    }
    made = {
        "images": lambda: viz.images(grey, [f"number {k}" for k in range(20)], title="twenty"),
        "one image": lambda: viz.images(grey[:1, :, :, None]),
        "rgb_planes": lambda: viz.rgb_planes(colour[0]),
        "predictions": lambda: viz.predictions(colour, labels[:20], guesses[:20], LONG),
        "long names": lambda: viz.mistakes(
            colour, labels[:20], guesses[:20], 10 * ["automobile"], columns=4
        ),
        "mistakes": lambda: viz.mistakes(colour, labels[:20], guesses[:20], LONG),
        "filters": lambda: viz.filters(rng.standard_normal((5, 5, 3, 6))),
        "many filters": lambda: viz.filters(rng.standard_normal((3, 3, 64, 128)), title="many"),
        "one filter": lambda: viz.filters(rng.standard_normal((3, 3, 1, 1))),
        "class_weights": lambda: viz.class_weights(rng.standard_normal((784, 10)), (28, 28), LONG),
        "feature_maps": lambda: viz.feature_maps(maps, grey[0], names=LONG),
        "maps alone": lambda: viz.feature_maps({"conv": maps["conv"][..., :1]}),
        "histograms": lambda: viz.histograms({"first layer": grey, "second layer": 50 * grey}),
        "shared axis": lambda: viz.histograms({"a": grey, "b": 9 * grey}, share_axis=True),
        "curves": lambda: viz.curves(runs),
        "one epoch": lambda: viz.curves({"loss": [1.0]}),
        "several curves": lambda: viz.curves({"with": runs, "without": runs}, ["loss"]),
        "confusion_matrix": lambda: viz.confusion_matrix(labels, guesses, LONG),
        "confusion of two": lambda: viz.confusion_matrix([0, 1, 1], [0, 1, 0]),
        "batch_noise": lambda: viz.batch_noise(
            {size: rng.normal(1, size**-0.5, 100) for size in (8, 32, 64, 128, 256, 512)}
        ),
    }
    return made if name is None else made[name]()


NAMES = list(drawn(None, np.random.default_rng(0)))


@needs_matplotlib
@pytest.mark.parametrize("name", NAMES)
def test_nothing_overlaps_or_is_cut_off(name, rng, tmp_path):
    picture = drawn(name, rng)
    check_layout(picture)
    picture.save(tmp_path / "a.png")
    pixels = read(tmp_path / "a.png")
    assert pixels.shape[:2] == picture.canvas.get_width_height()[::-1]
    assert len(np.unique(pixels.reshape(-1, pixels.shape[-1]), axis=0)) > 20


@needs_matplotlib
def test_what_the_layout_test_sees(rng):
    crowded = viz.images(rng.random((8, 9, 9)), ["a title that is far too long"] * 8)
    crowded.set_size_inches(4, 1)
    with pytest.raises(AssertionError, match=r"lies over|cut off"):
        check_layout(crowded)
    assert crowded._repr_png_()[:4] == b"\x89PNG"  # what notebooks show


@needs_matplotlib
def test_mistakes_come_surest_first():
    x, y = np.zeros((4, 6, 6)), [0, 1, 2, 2]
    rows = np.array([[0.9, 0.1, 0.0], [0.6, 0.4, 0.0], [0.0, 0.8, 0.2], [0.1, 0.1, 0.8]])
    picture = viz.mistakes(x, y, rows, ["ant", "bee", "cow"])
    assert [axes.get_title() for axes in picture.axes] == [
        *("is cow\nsays bee  80 %", "is bee\nsays ant  60 %")
    ]
    assert picture.get_suptitle() == "2 of 4 wrong; the surest 2"
    one = viz.mistakes(x, y, rows, count=1)
    assert [axes.get_title() for axes in one.axes] == ["is 2\nsays 1  80 %"]
    with pytest.raises(ValueError, match="all 1 predictions are right"):
        viz.mistakes(x[:1], y[:1], rows[:1])
    sheet = viz.predictions(x, np.eye(3)[y], rows)
    assert [axes.get_title() for axes in sheet.axes] == [
        *("0  90 %", "0  60 %\nis 1", "1  80 %\nis 2", "2  80 %")
    ]


@needs_matplotlib
def test_confusion_matrix_counts():
    picture = viz.confusion_matrix(np.eye(3)[[0, 1, 1, 2]], [[0], [1], [2], [2]])
    axes = picture.axes[0]
    counts = {(*text.get_position()[::-1],): text.get_text() for text in axes.texts}
    assert counts == {(0, 0): "1", (1, 1): "1", (1, 2): "1", (2, 2): "1"}
    assert axes.get_title() == "75.00 % right of 4"


@needs_matplotlib
def test_curves_show_the_history(rng):
    model = NETWORKS["pool"].sequential()
    model.compile(loss="categorical_crossentropy", metrics="accuracy")
    x, y = rng.random((20, 28, 28)), np.eye(10)[np.arange(20) % 10]
    history = model.fit(x, y, epochs=3, validation_split=0.5, verbose=0)
    loss, accuracy = history.plot().axes
    assert (loss.get_title(), accuracy.get_title()) == ("loss", "accuracy")
    for axes, name in ((loss, "loss"), (accuracy, "accuracy")):
        for line, key in zip(axes.lines, (name, f"val_{name}"), strict=True):
            np.testing.assert_array_equal(line.get_xdata(), [1, 2, 3])
            np.testing.assert_array_equal(line.get_ydata(), history.history[key])
    assert len(history.plot(["loss"]).axes) == 1


@needs_matplotlib
def test_models_draw_themselves(rng):
    model = NETWORKS["lenet_mnist"].functional()
    x = rng.integers(0, 256, (3, 28, 28), dtype=np.uint8)
    pictures = [model.plot_feature_maps(x), model.plot_feature_maps(x[0])]
    titles = [[axes.get_title(loc="left") for axes in picture.axes] for picture in pictures]
    assert titles[0] == titles[1] and len(titles[0]) == 9
    assert titles[0][0] == "image (28, 28)" and "(28, 28, 6)" in titles[0][1]
    # The second map of the pooled row: its own smallest and largest values are dark and bright.
    maps = model.feature_maps(x[:1])[model.layers[1].name]
    sheet = pictures[0].axes[2].images[0].get_array()
    tile = np.asarray(sheet[:42, 44 : 44 + 42])[::3, ::3]
    values = maps[0, :, :, 1]
    expected = (values - values.min()) / max(np.ptp(values), 0.1 * np.ptp(maps))
    np.testing.assert_allclose(tile, expected, atol=1e-6)

    flat = NETWORKS["flatten"].sequential()
    scaled = convkit.Sequential(
        [convkit.Input((28, 28)), convkit.layers.Rescaling(1 / 255), *flat.layers]
    )
    titles = [axes.get_title(loc="left") for axes in scaled.plot_feature_maps(x, names=LONG).axes]
    assert titles[:3] == [
        "image (28, 28)",
        f"{scaled.layers[0].name}  (28, 28)",
        f"{flat.layers[0].name}  (784,)",
    ]

    first = model.plot_filters()
    sheet = np.asarray(first.axes[0].images[0].get_array())
    np.testing.assert_allclose(sheet[:, :5], model.layers[0].kernel[:, :, 0, 0], rtol=1e-6)
    low, high = first.axes[0].images[0].get_clim()
    assert low == -high and high == pytest.approx(np.abs(model.layers[0].kernel).max())
    by_name = model.plot_filters(model.layers[2].name)
    assert by_name.axes[0].get_title() == model.layers[2].name
    assert model.plot_filters(2).axes[0].get_title() == model.layers[2].name


WRONG = [
    (lambda: viz.images(np.zeros((2, 4, 4)), ["one"]), "one per image, got 1 for 2"),
    (lambda: viz.rgb_planes(np.zeros((4, 4))), r"\(H, W, 3\)"),
    (lambda: viz.predictions(np.zeros((2, 4, 4)), [0, 1], [0, 1]), r"chances \(N, classes\)"),
    (lambda: viz.predictions(np.zeros((2, 4, 4)), [0.5, 1], np.eye(2)), "y must be class numbers"),
    (lambda: viz.filters(np.zeros((5, 5))), r"\(KH, KW, channels, filters\)"),
    (lambda: viz.filters(convkit.layers.Conv2D(3, 5)), "a built layer"),
    (lambda: viz.class_weights(np.zeros((784, 10)), (28, 27)), "hold the kernel's 784 rows"),
    (lambda: viz.feature_maps({"odd": np.zeros((1, 2, 3, 4, 5))}), "'odd' of shape"),
    (lambda: viz.histograms({}), "at least one array"),
    (lambda: viz.histograms({"a": [np.nan]}), "finite"),
    (lambda: viz.curves({}), "what fit returned"),
    (lambda: viz.curves({"loss": [1.0]}, ["los"]), "did you mean 'loss'"),
    (lambda: viz.confusion_matrix([0, 1], [0]), "as many labels"),
    (lambda: viz.batch_noise({8: [1, 2]}), "at least two sizes"),
    (
        lambda: NETWORKS["flatten"].sequential().plot_filters(),
        "the model has no filters; layers that have: none",
    ),
    (lambda: NETWORKS["pool"].sequential().plot_filters(1), "no filters"),
]


@needs_matplotlib
@pytest.mark.parametrize(("wrong", "words"), WRONG)
def test_wrong_pictures(wrong, words):
    with pytest.raises(ValueError, match=words):
        wrong()


@needs_matplotlib
def test_models_inside_of_models_and_of_several_inputs(rng):
    layers = convkit.layers
    inner = convkit.Sequential([layers.Input((8, 8, 1)), layers.Conv2D(4, 3, name="inside")])
    outer = convkit.Sequential([layers.Input((8, 8, 1)), inner, layers.Flatten(), layers.Dense(3)])
    assert outer.plot_filters().axes[0].get_title() == "inside"
    assert outer.plot_filters("inside").axes[0].get_title() == "inside"
    with pytest.raises(ValueError, match=f"'{outer.layers[1].name}' has no filters; .*: inside"):
        outer.plot_filters(1)
    a, b = layers.Input((8, 8, 1)), layers.Input((8, 8, 3))
    both = layers.Concatenate(name="both")([a, b])
    model = convkit.Model([a, b], layers.Dense(3, name="end")(layers.Flatten(name="flat")(both)))
    picture = model.plot_feature_maps([rng.random((5, 8, 8, 1)), rng.random((5, 8, 8, 3))])
    assert [axes.get_title(loc="left") for axes in picture.axes] == [
        *("both  (8, 8, 4)", "flat  (256,)", "end  (3,)")
    ]
    check_layout(picture)
