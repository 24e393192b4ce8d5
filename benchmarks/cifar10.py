"""Train a network of the zoo on CIFAR-10, with convkit or by the same recipe with PyTorch.

python benchmarks/cifar10.py airbench94 --library convkit --seed 0 --json airbench94.json
python benchmarks/cifar10.py airbench94 --library torch --seed 0
python benchmarks/cifar10.py resnet20 --library both --epochs 1   # one after the other, and a ratio

The files are those of `convkit.datasets` (CONVKIT_DATA, the cache, or a download). Time is that of
the training alone; memory is the process's peak, data and test included.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any


def train_with_convkit(given: argparse.Namespace, data: Any) -> dict[str, Any]:
    """Train and evaluate; return what a report says."""
    import convkit
    from convkit import callbacks, tta, zoo

    (x, y), (x_test, y_test) = data
    recipe = zoo.recipe(given.model)
    epochs = given.epochs or recipe.epochs
    convkit.set_num_threads(given.threads)
    convkit.set_seed(given.seed)
    model = recipe.build(x.shape[1:], 10)
    recipe.adapt(model, x)
    recipe.compile(model, epochs * -(-len(x) // recipe.batch_size))
    ends = [time.perf_counter()]
    clock = callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: ends.append(time.perf_counter())
    )
    history = model.fit(
        *(x, y, recipe.batch_size, epochs, 2), callbacks=[*recipe.callbacks(), clock]
    ).history
    seconds = [after - before for before, after in itertools.pairwise(ends)]
    columns = zip(history["loss"], history["accuracy"], seconds, strict=True)
    log = [dict(zip(("loss", "accuracy", "seconds"), row, strict=True)) for row in columns]
    result = {"epochs": epochs, "train_seconds": sum(seconds), "history": log}
    result["test_accuracy"] = model.evaluate(x_test, y_test, 500, verbose=0)[1]
    if views := recipe.views():
        right = tta.predict(model, x_test, views).argmax(-1) == y_test
        result["test_accuracy_with_views"] = float(right.mean())
    return result


def train_with_torch(given: argparse.Namespace, data: Any) -> dict[str, Any]:
    """Train and evaluate; return what a report says."""
    import cifar10_torch as recipes

    (x, y), (x_test, y_test) = data
    recipe = recipes.RECIPES[given.model]
    epochs = given.epochs or recipe.epochs
    recipes.set_threads(given.threads)
    model, log = recipes.train(recipe, x, y, epochs, given.seed)
    seconds = sum(entry["seconds"] for entry in log)
    result = {"epochs": epochs, "train_seconds": seconds, "history": log}
    result["test_accuracy"] = recipes.evaluate(model, x_test, y_test, views=False)
    if recipe.views:
        result["test_accuracy_with_views"] = recipes.evaluate(model, x_test, y_test, views=True)
    return result


LIBRARIES = {"convkit": train_with_convkit, "torch": train_with_torch}


def run(given: argparse.Namespace) -> dict[str, Any]:
    """Train with one library in this process."""
    from convkit.datasets import cifar10

    (x, y), (x_test, y_test) = cifar10.load_data()
    data = (x[: given.images], y[: given.images, 0]), (x_test, y_test[:, 0])
    result = {
        **{"library": given.trained_with, "model": given.model, "seed": given.seed},
        **{"images": len(data[0][0]), "threads": given.threads},
        **LIBRARIES[given.trained_with](given, data),
        "peak_mebibytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    print({name: value for name, value in result.items() if name != "history"})
    return result


def run_both(given: argparse.Namespace) -> dict[str, Any]:
    """Train with each library in a process of its own, PyTorch with a tuned allocator."""
    results = {}
    tuned = {"MALLOC_MMAP_THRESHOLD_": "33554432", "MALLOC_TRIM_THRESHOLD_": "1073741824"}
    with tempfile.TemporaryDirectory() as folder:
        for library in LIBRARIES:
            file = Path(folder, library)
            command = [sys.executable, __file__, given.model, "--library", library]
            for name in ("epochs", "seed", "threads", "images"):
                if (value := getattr(given, name)) is not None:
                    command += [f"--{name}", str(value)]
            environment = {**os.environ, **tuned}
            subprocess.run([*command, "--json", str(file)], env=environment, check=True)
            results[library] = json.loads(file.read_text())
    seconds = {name: result["train_seconds"] for name, result in results.items()}
    ratio = seconds["torch"] / seconds["convkit"]
    print(", ".join(f"{name} {value:.1f} s" for name, value in seconds.items()), f"x{ratio:.2f}")
    return results


def main() -> None:
    """Train, print, and write what was printed with the history."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument(
        "--library", dest="trained_with", choices=[*LIBRARIES, "both"], default="convkit"
    )
    parser.add_argument("--epochs", type=int, help="default: the recipe's")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--images", type=int, help="train on the first of them only")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    result = run_both(given) if given.trained_with == "both" else run(given)
    if given.json:
        given.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
