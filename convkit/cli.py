"""The command line: train, evaluate, predict, info, bench, download."""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

import numpy as np

from convkit._files import atomic_write, check_writable


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="convkit", description="Train convolutional networks on the CPU."
    )
    commands = parser.add_subparsers(dest="command", required=True)

    train = commands.add_parser("train", help="train a named model on a dataset")
    train.add_argument("dataset", nargs="?", default="digits", metavar="DATASET")
    train.add_argument("--model", metavar="NAME", help="a named model (default: by dataset)")
    train.add_argument("--epochs", type=_positive, metavar="N")
    train.add_argument("--batch-size", type=_positive, metavar="N")
    train.add_argument("--seed", type=int, default=0, metavar="N")
    train.add_argument("--threads", type=_positive, metavar="N")
    train.add_argument("--data-dir", metavar="DIR", help="where the dataset's files are")
    train.add_argument("--save", metavar="FILE", help="write the model to a file")
    train.add_argument("--json", metavar="FILE", help="write results as JSON")
    train.add_argument("--plot", metavar="FILE", help="write a PNG of test images and predictions")

    evaluate = commands.add_parser("evaluate", help="evaluate a saved model on a dataset")
    evaluate.add_argument("dataset", metavar="DATASET")
    evaluate.add_argument("--load", required=True, metavar="FILE")
    evaluate.add_argument("--data-dir", metavar="DIR")

    predict = commands.add_parser("predict", help="say what a picture shows")
    predict.add_argument("file", metavar="FILE.png")
    predict.add_argument("--load", required=True, metavar="FILE")

    commands.add_parser("info", help="print version, CPU, instruction sets, threads")

    from convkit.bench.cli import add_arguments

    add_arguments(commands.add_parser("bench", help="compare with the libraries installed beside"))

    download = commands.add_parser("download", help="fetch a dataset into the cache")
    download.add_argument("dataset", nargs="?", metavar="DATASET", help="(default: list them)")
    return parser


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, got {text}")
    return int(text)


def _check_results(arguments: argparse.Namespace) -> None:
    """Raise what writing the results would raise: before the training, not after it."""
    for option in ("save", "json", "plot"):
        path = getattr(arguments, option)
        if path is None:
            continue
        try:
            check_writable(path)
        except OSError as error:
            raise OSError(
                f"--{option} must name a file that can be written, got {path}: {error.strerror}"
            ) from None
    if arguments.plot:
        from convkit.viz._figure import figure

        figure(1, 1)


def _load(dataset: str, data_dir: str | None) -> tuple[Any, Any, list[str], float]:
    """Return (train, test, class names, scale) with labels (N,) and images (N, H, W, C)."""
    from convkit import datasets

    info = datasets.info(dataset)
    parts = []
    for x, y in datasets.load(dataset, data_dir=data_dir):
        parts.append((x if x.ndim == 4 else x[..., None], y.reshape(-1)))
    scale = 1 / 16 if info.image_shape[0] == 8 else 1 / 255
    return parts[0], parts[1], [str(name) for name in info.class_names], scale


def _write_json(path: str, values: dict[str, Any]) -> None:
    with atomic_write(path) as file:
        file.write((json.dumps(values, indent=2) + "\n").encode())


def _train(arguments: argparse.Namespace) -> int:
    import convkit
    from convkit import datasets, runtime, tta, zoo

    _check_results(arguments)
    if arguments.threads:
        convkit.set_num_threads(arguments.threads)
    dataset = datasets.info(arguments.dataset).name
    (x, y), (x_test, y_test), names, scale = _load(dataset, arguments.data_dir)
    name = arguments.model or zoo.DEFAULTS[dataset]
    recipe = zoo.recipe(name)
    epochs, batch_size = (
        arguments.epochs or recipe.epochs,
        arguments.batch_size or recipe.batch_size,
    )
    convkit.set_seed(arguments.seed)
    model = recipe.build(x.shape[1:], len(names), scale)
    recipe.adapt(model, x)
    recipe.compile(model, epochs * -(-len(x) // batch_size))
    start = time.perf_counter()
    history = model.fit(x, y, batch_size, epochs, callbacks=recipe.callbacks())
    seconds = time.perf_counter() - start
    loss, accuracy = model.evaluate(x_test, y_test, verbose=0)
    with_views = {}
    if views := recipe.views():
        right = tta.predict(model, x_test, views).argmax(-1) == y_test
        with_views = {"test_accuracy_with_views": float(right.mean())}
    rate = epochs * len(x) / seconds
    print(
        f"{name} on {dataset}: test accuracy {100 * accuracy:.2f} %,"
        + "".join(f" {100 * each:.2f} % with {len(views)} views," for each in with_views.values())
        + f" test loss {loss:.4f},"
        f" trained in {seconds:.2f} s ({rate:,.0f} images/s, {convkit.get_num_threads()} threads,"
        f" {runtime.active_isa()})"
    )
    if arguments.save:
        model.save(arguments.save, metadata={"model": name, "dataset": dataset})
        print(f"model saved to {arguments.save}")
    if arguments.plot:
        from convkit import viz

        shown = x_test[:24]
        viz.predictions(shown, y_test[:24], model.predict(shown), names).save(arguments.plot)
        print(f"picture saved to {arguments.plot}")
    if arguments.json:
        _write_json(
            arguments.json,
            {
                **{"dataset": dataset, "model": name, "epochs": epochs, "batch_size": batch_size},
                **{"threads": convkit.get_num_threads(), "isa": runtime.active_isa()},
                **{"seed": arguments.seed, "train_seconds": seconds, "images_per_second": rate},
                **{"test_accuracy": accuracy, **with_views, "test_loss": loss},
                "history": history.history,
            },
        )
    return 0


def _restore(path: str) -> tuple[Any, list[str] | None]:
    """Load a model; return it with its class names, where `train --save` wrote it."""
    from convkit import datasets
    from convkit.saving import load_model, read_metadata

    model = load_model(path)
    dataset = read_metadata(path).get("dataset")
    names = [str(name) for name in datasets.info(dataset).class_names] if dataset else None
    return model, names


def _evaluate(arguments: argparse.Namespace) -> int:
    model, _ = _restore(arguments.load)
    _, (x, y), _, _ = _load(arguments.dataset, arguments.data_dir)
    model.compile("sgd", "sparse_categorical_crossentropy", ["accuracy"])
    loss, accuracy = model.evaluate(x, y, verbose=0)
    print(f"test accuracy {100 * accuracy:.2f} %, test loss {loss:.4f} on {len(x)} images")
    return 0


def _predict(arguments: argparse.Namespace) -> int:
    model, names = _restore(arguments.load)
    try:
        from PIL import Image
    except ImportError:
        raise ImportError("reading pictures needs pillow: pip install 'convkit[plot]'") from None
    shape = model.input_shape
    if isinstance(shape, list) or len(shape) != 4 or shape[3] not in (1, 3):
        raise ValueError(
            f"predict: the model must take pictures (height, width, 1 or 3), that of"
            f" {arguments.load} takes {shape}"
        )
    _, height, width, channels = shape
    with Image.open(arguments.file) as picture:
        small = picture.convert("L" if channels == 1 else "RGB").resize((width, height))
    pixels = np.asarray(small, np.float32).reshape(1, height, width, channels)
    if height == 8:
        pixels = pixels * (16 / 255)
    chances = model.predict(pixels)[0]
    for k in np.argsort(-chances)[:3]:
        print(f"{names[k] if names else f'class {k}'}: {100 * chances[k]:.1f} %")
    return 0


def _info(arguments: argparse.Namespace) -> int:
    import convkit

    convkit.show_config()
    return 0


def _bench(arguments: argparse.Namespace) -> int:
    from convkit.bench import cli

    return cli.run(arguments)


def _download(arguments: argparse.Namespace) -> int:
    from convkit import datasets

    if arguments.dataset:
        print(datasets.download(arguments.dataset))
        return 0
    for name in datasets.names():
        info = datasets.info(name)
        size = f"{info.download_size / 1e6:.0f} MB" if info.download_size else "in the package"
        print(f"{name:<15} {info.title}, {size}")
    return 0


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return 0, or 1 for an error it can name (argparse: 2)."""
    arguments = _parser().parse_args(argv)
    command = globals()[f"_{arguments.command}"]
    try:
        return command(arguments)
    except (OSError, ValueError, ImportError) as error:
        print(f"convkit: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("convkit: interrupted", file=sys.stderr)
        return 1
