"""The lessons run offline, assert their facts, and write pictures."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from convkit import datasets

EXAMPLES = Path(__file__).parents[1] / "examples"
LESSONS = sorted(path.name for path in EXAMPLES.glob("[0-9][0-9]_*.py"))


def test_there_are_twelve():
    assert [int(name[:2]) for name in LESSONS] == list(range(1, 13))


@pytest.mark.parametrize("name", LESSONS)
def test_lesson(name, one_thread, tmp_path, monkeypatch, capsys):
    pytest.importorskip("matplotlib")
    pytest.importorskip("PIL")
    monkeypatch.setattr(sys, "argv", [name, "--quick", "--out", str(tmp_path / "out")])
    monkeypatch.syspath_prepend(EXAMPLES)
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    text = capsys.readouterr().out
    assert text.startswith(f"Lesson {int(name[:2])}: ")
    pictures = [line.removeprefix("picture: ") for line in text.splitlines() if "picture: " in line]
    assert all(Path(path).read_bytes()[:4] == b"\x89PNG" for path in pictures)
    assert bool(pictures) == (name != "05_parameters.py")
    assert all(100 < Path(path).stat().st_size < 150_000 for path in pictures)


def test_the_five_networks(one_thread, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["class_models.py", "--quick", "--out", str(tmp_path)])
    monkeypatch.syspath_prepend(EXAMPLES)
    runpy.run_path(str(EXAMPLES / "class_models.py"), run_name="__main__")
    rows = capsys.readouterr().out.splitlines()[-5:]
    assert all(row.count("|") == 6 and "nan" not in row for row in rows)


def test_lessons_read_real_images(tmp_path, monkeypatch, capsys):
    asked = []

    def images(name, shape):
        def load_data(data_dir):
            asked.append((name, data_dir))
            x = np.full((40, *shape), 200, np.uint8)
            return (x, np.zeros((40, 1), np.uint8)), (x, np.zeros((40, 1), np.uint8))

        return load_data

    monkeypatch.setattr(datasets.mnist, "load_data", images("mnist", (28, 28)))
    monkeypatch.setattr(datasets.cifar10, "load_data", images("cifar10", (32, 32, 3)))
    monkeypatch.setattr(sys, "argv", ["01", "--data", "somewhere", "--out", str(tmp_path)])
    monkeypatch.syspath_prepend(EXAMPLES)
    runpy.run_path(str(EXAMPLES / "01_dimensions.py"), run_name="__main__")
    assert asked == [("mnist", "somewhere"), ("cifar10", "somewhere")]
    assert "(40, 28, 28) and (40, 32, 32, 3)" in capsys.readouterr().out


def test_built_in_images(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    import lesson

    (x, _), _ = datasets.digits.load_data()
    large = lesson.enlarge(x[:50])
    assert large.shape == (50, 28, 28) and large.dtype == "uint8"
    assert (large.max(axis=(1, 2)) == 255).all() and not large[:, :2].any()
    shapes, labels = lesson.draw_shapes(40, seed=3)
    assert shapes.shape == (40, 32, 32, 3) and labels.shape == (40, 1)
    assert len(set(labels[:, 0])) == len(lesson.SHAPES)
