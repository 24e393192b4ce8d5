"""Draw the training curves of logs that `cifar10.py --json` wrote.

python benchmarks/cifar10_curves.py airbench94_0.json airbench94_1.json curves.png
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from convkit import viz


def main() -> None:
    """Read the logs named first, and write the picture named last."""
    *logs, picture = sys.argv[1:]
    runs = {}
    for log in logs:
        run = json.loads(Path(log).read_text())
        columns = {key: [epoch[key] for epoch in run["history"]] for key in ("loss", "accuracy")}
        runs[f"{run['library']}, seed {run['seed']}"] = columns
    viz.curves(runs).save(picture)


if __name__ == "__main__":
    main()
