"""The pages about the class: their code runs, their links lead somewhere, both say the same."""

import re
from pathlib import Path

import numpy as np
import pytest

from convkit import datasets

DOCS = Path(__file__).parents[1] / "docs"
PAGES = ("class.md", "class.ko.md")


def blocks(page):
    """Return the Python code of a page."""
    return re.findall(r"```python\n(.*?)```", (DOCS / page).read_text("utf-8"), re.DOTALL)


@pytest.mark.parametrize("page", PAGES)
def test_the_code_runs(page, rng, monkeypatch, tmp_path, capsys):
    pytest.importorskip("matplotlib")

    def small(shape, labels):
        x = rng.integers(0, 256, (30, *shape), dtype=np.uint8)
        return lambda: ((x, labels), (x[:10], labels[:10]))

    y = (np.arange(30) % 10).astype(np.uint8)
    monkeypatch.setattr(datasets.mnist, "load_data", small((28, 28), y))
    monkeypatch.setattr(datasets.cifar10, "load_data", small((32, 32, 3), y.reshape(30, 1)))
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in blocks(page):
        exec(block, names)
    text = capsys.readouterr().out
    assert "(5, 5, 1, 3) (5, 5, 3, 6)\n(6, 5, 5, 3)\n" in text and "Total params" in text
    np.testing.assert_allclose(names["z"].std(axis=0), 1, atol=1e-3)
    assert {path.name for path in tmp_path.iterdir()} == {"planes.png", "maps.png", "filters.png"}


def test_both_languages_show_the_same_code():
    def code(page):
        return [re.sub(r"#.*", "", block) for block in blocks(page)]

    assert code("class.md") == code("class.ko.md")
    heads = [re.findall(r"^#+", (DOCS / p).read_text("utf-8"), re.MULTILINE) for p in PAGES]
    assert heads[0] == heads[1]


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", (DOCS / page).read_text("utf-8"))
    assert len(targets) > 20
    for target in targets:
        assert (DOCS / target).exists(), target
        if target.endswith(".png"):
            assert (DOCS / target).stat().st_size < 100_000
