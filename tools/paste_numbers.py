"""Put the tables of a report of `convkit bench all --json` between two marks of a file.

python tools/paste_numbers.py benchmarks/numbers.json README.md
"""

import argparse
import json
from pathlib import Path

from convkit.bench.plot import draw
from convkit.bench.report import markdown

BEGIN, END = "<!-- numbers: begin -->", "<!-- numbers: end -->"


def paste(text: str, tables: str) -> str:
    """Return `text` with what stands between the marks replaced.

    Raises ValueError unless both marks are there once, in their order.
    """
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise ValueError(f"paste: the file must have {BEGIN} once and then {END} once")
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n\n{tables}\n\n{END}{rest.split(END)[1]}"


def main() -> None:
    """Paste."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("report", type=Path)
    parser.add_argument("file", type=Path)
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw it, too")
    arguments = parser.parse_args()
    report = json.loads(arguments.report.read_text())
    arguments.file.write_text(paste(arguments.file.read_text(), markdown(report)))
    if arguments.plot:
        draw(report, arguments.plot)


if __name__ == "__main__":
    main()
