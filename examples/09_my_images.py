"""Lesson 9: your own images; a folder per class, read, trained on, and asked about a drawing."""

from pathlib import Path

import matplotlib
import numpy as np
from lesson import Lesson
from PIL import Image, ImageDraw, ImageFont, UnidentifiedImageError

import convkit
from convkit import layers, utils, viz

lesson = Lesson(
    __doc__,
    folder="a folder with one folder of PNGs per class (default: letters, drawn here)",
    drawing="a picture to be recognized (default: a letter in a typeface not seen in training)",
)
SIZE = (28, 28)


def draw(letter, font, rng):
    """Draw a letter, white on black, a little turned and shifted."""
    paper = Image.new("L", (56, 56))
    pen = ImageDraw.Draw(paper)
    pen.text(tuple(28 + rng.uniform(-3, 3, 2)), letter, fill=255, font=font, anchor="mm")
    return paper.rotate(rng.uniform(-12, 12)).resize(SIZE)


def draw_letters(folder):
    """Write 40 drawings of each letter from A to J, and two files that do not belong there."""
    rng = np.random.default_rng(0)
    fonts = Path(matplotlib.get_data_path()) / "fonts/ttf"
    for letter in "ABCDEFGHIJ":
        (folder / letter).mkdir(parents=True, exist_ok=True)
        for i in range(40):
            name = ("DejaVuSans", "DejaVuSerif", "DejaVuSans-Bold", "DejaVuSerif-Bold")[i % 4]
            font = ImageFont.truetype(fonts / f"{name}.ttf", int(rng.integers(34, 46)))
            draw(letter, font, rng).save(folder / letter / f"{i}.png")
    (folder / "A" / "empty.png").write_bytes(b"")
    Image.new("L", (40, 30)).save(folder / "F" / "wide.png")
    other = ImageFont.truetype(fonts / "DejaVuSansMono.ttf", 42)
    draw("E", other, rng).save(folder.parent / "09_drawing.png")


def read(path):
    """Read a picture as grey numbers of 0..1, (height, width)."""
    with Image.open(path) as picture:
        return np.asarray(picture.convert("L"), np.float32) / 255


folder = Path(lesson.given["folder"] or lesson.out / "letters")
drawing = lesson.given["drawing"]
if not lesson.given["folder"]:
    draw_letters(folder)
    drawing = drawing or lesson.out / "09_drawing.png"

images, names, skipped = [], [], []
for path in sorted(folder.glob("*/*.png")):
    try:
        image = read(path)
    except (UnidentifiedImageError, OSError):
        skipped.append(f"{path}: cannot be read")
        continue
    if image.shape != SIZE:
        skipped.append(f"{path}: {image.shape}, not {SIZE}; resize it")
        continue
    images.append(image)
    names.append(path.parent.name)  # the folder's name, whatever this system's slash is
print(f"{len(images)} images; skipped {len(skipped)}:", *skipped, sep="\n  ")

order = np.random.default_rng(1).permutation(len(images))
x = np.stack(images)[order].reshape(-1, *SIZE, 1)
classes, y = np.unique(np.array(names)[order], return_inverse=True)
model = convkit.Sequential(
    [
        layers.Input(shape=[*SIZE, 1]),
        layers.Conv2D(6, kernel_size=5, padding="same", activation="swish"),
        layers.MaxPool2D(),
        layers.Conv2D(16, kernel_size=5, activation="swish"),
        layers.MaxPool2D(),
        layers.Flatten(),
        layers.Dense(120, activation="swish"),
        layers.Dense(84, activation="swish"),
        layers.Dense(len(classes), activation="softmax"),
    ]
)
model.compile(loss="categorical_crossentropy", metrics="accuracy")
history = model.fit(
    x, utils.to_categorical(y, len(classes)), epochs=15, validation_split=0.2, verbose=0
)
print(f"validation accuracy {100 * history.history['val_accuracy'][-1]:.1f} %")

shown = slice(-23, None)  # of those kept for validation
asked = [x[shown]]
if drawing:
    asked.append(read(drawing).reshape(1, *SIZE, 1))
asked = np.concatenate(asked)
chances = model.predict(asked)
if drawing:
    print(f"the drawing is {classes[chances[-1].argmax()]} ({100 * chances[-1].max():.0f} %)")
lesson.save(
    viz.images(
        asked,
        [f"{classes[c.argmax()]}  {100 * c.max():.0f} %" for c in chances[: len(x[shown])]]
        + ["drawing: " + classes[chances[-1].argmax()]] * bool(drawing),
    ),
    "09_predictions.png",
)

assert set(classes) == {path.name for path in folder.iterdir() if path.is_dir()}
assert len(images) + len(skipped) == len(list(folder.glob("*/*.png")))
assert model.count_params() == 61706 - 85 * (10 - len(classes))
