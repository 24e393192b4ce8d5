"""The Python of the documentation runs as it stands, page by page.

A block that needs more than the tests do names it: ```python torch.
"""

import importlib.util
import re
from pathlib import Path

import pytest

# The pages of the class load MNIST; tests/test_class_docs.py runs them on stand-ins.
PAGES = [
    page
    for page in sorted((Path(__file__).parents[1] / "docs").glob("*.md"))
    if not page.name.startswith("class")
]
BLOCK = re.compile(
    r"^```python(?: (?P<needs>\w+))?\n(?P<source>.*?)^```$", re.MULTILINE | re.DOTALL
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_examples_run(page, tmp_path, monkeypatch):
    pytest.importorskip("PIL")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    text = page.read_text(encoding="utf-8")
    names = {"__name__": page.stem}
    for block in BLOCK.finditer(text):
        if block["needs"] and importlib.util.find_spec(block["needs"]) is None:
            continue
        line = text[: block.start("source")].count("\n")
        # Line numbers of errors are those of the page.
        exec(compile("\n" * line + block["source"], str(page), "exec"), names)
