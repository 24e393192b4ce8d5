"""Folders of pictures, one folder a class."""

import builtins
import shutil

import numpy as np
import pytest

import convkit
from convkit.datasets import image_folder
from convkit.utils import image_dataset_from_directory

Image = pytest.importorskip("PIL.Image")


def color(value, size=(6, 5)):
    """Return a picture (height, width) of one color."""
    return Image.new("RGB", size[::-1], (value, value // 2, 0))


@pytest.fixture
def folder(tmp_path):
    """Make two classes: 4 cats from 10 on, 6 dogs from 100 on."""
    for name, count, base in (("dog", 6, 100), ("cat", 4, 10)):
        for i in range(count):
            place = tmp_path / name / ("more" if i == 3 else "")
            place.mkdir(parents=True, exist_ok=True)
            color(base + i).save(place / f"{i}.png")
    (tmp_path / "dog" / ".DS_Store").write_bytes(b"x")
    (tmp_path / ".cache").mkdir()
    return tmp_path


def test_classes_are_numbered_by_name_and_files_sorted(folder):
    x, y, names, files = image_folder(folder, shuffle=False)
    assert names == ["cat", "dog"]
    assert x.shape == (10, 6, 5, 3) and x.dtype == np.uint8
    assert y.tolist() == [0] * 4 + [1] * 6 and y.dtype == np.int64
    assert x[:, 0, 0, 0].tolist() == [10, 11, 12, 13, 100, 101, 102, 104, 105, 103]
    assert files[0] == folder / "cat" / "0.png" and files[9] == folder / "dog" / "more" / "3.png"


def test_the_order_is_a_seed_s(folder):
    a, b, c = (image_folder(folder, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(a.x, b.x)
    assert a.files == b.files != c.files
    for x, y, file in zip(a.x, a.y, a.files, strict=True):
        assert np.asarray(Image.open(file))[0, 0, 0] == x[0, 0, 0]
        assert ("cat", "dog")[y] in str(file)
    convkit.set_seed(4)
    first = image_folder(folder).files
    convkit.set_seed(4)
    assert image_folder(folder).files == first


def test_a_share_of_every_class_is_held_out(folder):
    train, held = image_folder(folder, validation_split=0.25, seed=3)
    assert sorted(train.y.tolist()) == [0] * 3 + [1] * 4
    assert sorted(held.y.tolist()) == [0] + [1] * 2
    assert not {*train.files} & {*held.files} and train.class_names == held.class_names
    with pytest.raises(ValueError, match="4 pictures of class 'cat' leaves none"):
        image_folder(folder, validation_split=0.9)
    with pytest.raises(ValueError, match=r"must lie in \(0, 1\), got 1"):
        image_folder(folder, validation_split=1)


def test_gray_pictures_and_other_sizes(folder):
    x = image_folder(folder, image_size=(3, 4), color_mode="grayscale", shuffle=False).x
    assert x.shape == (10, 3, 4, 1)
    assert x[0, 0, 0, 0] == np.asarray(color(10).convert("L"))[0, 0]
    assert image_folder(folder, 8).x.shape == (10, 8, 8, 3)
    assert image_folder(folder, color_mode="rgba").x[0, 0, 0, 3] == 255


def test_odd_sized_files_are_named_with_the_fix(folder):
    color(1, (9, 7)).save(folder / "cat" / "large.png")
    with pytest.raises(ValueError, match=r"10 are 6 x 5, 1 are not; pass image_size=\(6, 5\)") as e:
        image_folder(folder)
    assert str(e.value).endswith("large.png (9 x 7)")
    assert len(image_folder(folder, (6, 5)).x) == 11


def test_unreadable_files_are_reported_and_left_out(folder):
    (folder / "cat" / "notes.txt").write_text("no picture")
    whole = (folder / "dog" / "0.png").read_bytes()
    (folder / "dog" / "half.png").write_bytes(whole[: len(whole) // 2])
    with pytest.warns(UserWarning, match="2 files cannot be read") as caught:
        assert len(image_folder(folder).x) == 10
    assert "notes.txt (not a picture)" in str(caught[0].message)
    assert "half.png" in str(caught[0].message)
    with pytest.raises(ValueError, match=r"2 files cannot be read .* repair or remove"):
        image_folder(folder, on_error="raise")
    for i in range(12):
        (folder / "cat" / f"{i}.jpg").write_bytes(b"")
    with pytest.warns(UserWarning, match="and 4 more"):
        image_folder(folder)


def test_turned_photographs_stand_upright(folder):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    color(50, (5, 6)).save(folder / "cat" / "turned.jpg", exif=exif)
    assert image_folder(folder).x.shape == (11, 6, 5, 3)


def test_folders_without_pictures_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"must be a folder, got .*none"):
        image_folder(tmp_path / "none")
    color(1).save(tmp_path / "loose.png")
    with pytest.raises(ValueError, match="one folder for each class, it holds no folder"):
        image_folder(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="there is none that can be read in empty"):
        image_folder(tmp_path)
    with pytest.raises(ValueError, match="did you mean 'grayscale'"):
        image_folder(tmp_path, color_mode="greyscale")


def test_without_pillow_the_message_says_what_to_install(folder, monkeypatch):
    real = builtins.__import__

    def without_pillow(name, *arguments, **options):
        if name.startswith("PIL"):
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without_pillow)
    with pytest.raises(ImportError, match=r"needs pillow: pip install 'convkit\[plot\]'"):
        image_folder(folder)


def test_a_model_trains_on_it(folder):
    x, y, names, _files = image_folder(folder, seed=0)
    model = convkit.Sequential(
        [
            convkit.Input(x.shape[1:]),
            convkit.layers.Rescaling(1 / 255),
            convkit.layers.Flatten(),
            convkit.layers.Dense(len(names), activation="softmax"),
        ]
    )
    model.compile(
        convkit.optimizers.Adam(0.05), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    history = model.fit(x, y, epochs=60, batch_size=4, verbose=0)
    assert history.history["accuracy"][-1] == 1


def test_batches_are_read_when_they_are_needed(folder):
    data = image_dataset_from_directory(folder, batch_size=4, image_size=(6, 5), shuffle=False)
    assert len(data) == 3 and data.class_names == ["cat", "dog"]
    x, y = data[0]
    assert x.shape == (4, 6, 5, 3) and x.dtype == np.uint8 and y.tolist() == [0] * 4
    assert len(data[2][0]) == 2
    whole = image_folder(folder, shuffle=False)
    np.testing.assert_array_equal(np.concatenate([data[i][0] for i in range(3)]), whole.x)
    assert data.file_paths == whole.files
    kinds = {"categorical": (2, 2), "binary": (2, 1)}
    for mode, shape in kinds.items():
        data = image_dataset_from_directory(folder, mode, batch_size=2, image_size=8)
        assert data[0][1].shape == shape and data[0][0].shape == (2, 8, 8, 3)
    assert image_dataset_from_directory(folder, None, image_size=8)[0].shape == (10, 8, 8, 3)


def test_batches_are_shuffled_and_split_by_a_seed(folder):
    def rows(**options):
        return image_dataset_from_directory(folder, image_size=(6, 5), **options)

    first, second = rows(seed=1), rows(seed=1)
    np.testing.assert_array_equal(first[0][0], second[0][0])
    first.on_epoch_end()
    assert not np.array_equal(first[0][1], second[0][1]) or not np.array_equal(
        first[0][0], second[0][0]
    )
    parts = [rows(seed=1, validation_split=0.3, subset=s) for s in ("training", "validation")]
    assert sorted(parts[0].file_paths + parts[1].file_paths) == sorted(first.file_paths)
    assert [set(part.labels.tolist()) for part in parts] == [{0, 1}] * 2
    for options, message in (
        ({"validation_split": 0.3}, "validation_split and subset must be given together"),
        ({"validation_split": 0.3, "subset": "training"}, "needs a seed"),
        ({"label_mode": "float"}, "label_mode must be one of"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
    ):
        with pytest.raises(ValueError, match=message):
            rows(**options)
    (folder / "empty").mkdir()
    with pytest.raises(ValueError, match="label_mode='binary' needs two classes, got 3"):
        rows(label_mode="binary")
    for name in ("a", "b"):
        (folder / "none" / name).mkdir(parents=True)
    with pytest.raises(ValueError, match="must hold pictures, its folders are empty"):
        image_dataset_from_directory(folder / "none")
    shutil.rmtree(folder / "none")
    (folder / "empty").rmdir()
    (folder / "cat" / "0.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"0.png cannot be read .* repair or remove it"):
        first[0]
