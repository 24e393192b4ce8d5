"""Results as text: lines for a terminal, and the tables of README.md."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from convkit.bench.measure import DISTURBED, geometric_mean

FAMILIES = {
    "torch": "PyTorch",
    "torch_compile": "torch.compile",
    "tensorflow": "TensorFlow",
    "jax": "JAX",
    "numpy": "NumPy",
}
WORDS = {
    "lenet5": "LeNet-5",
    "class_conv": "two small convolutions",
    "class_pool": "the same with pooling",
    "resnet20": "ResNet-20",
    "vgg_small": "VGG-small",
    "airbench94": "airbench94's net",
}

Row = Mapping[str, Any]


# ---- terminal ------------------------------------------------------------------------------------


def environment_lines(environment: Mapping[str, Any]) -> list[str]:
    """Say on what machine and with what software."""
    versions = ", ".join(f"{name} {version}" for name, version in environment["versions"].items())
    return [
        f"{environment['cpu']}, {environment['cpus']} CPUs, {environment['isa']};"
        f" {environment['system']}",
        f"Python {environment['python']}, {versions}",
        "settings: " + " ".join(f"{k}={v}" for k, v in environment["variables"].items()),
    ]


def roofs_line(about: Mapping[str, Any]) -> str:
    """Say what the machine gave at the last measurement."""
    now = about["roofs"][-1]
    return (
        f"roofs with {now['threads']} threads: {now['fma_gflops']:.0f} GFLOP/s,"
        f" {now['stream_gb_per_s']:.1f} GB/s"
    )


def headings(suite: str, families: Sequence[str]) -> str:
    """Return the headings of a suite's lines."""
    what = {"conv": "ms", "ops": "ms", "train": "images/s", "predict": "images/s"}[suite]
    columns = "".join(f" {FAMILIES[f]:>24}" for f in families)
    errors = "  error of max: convkit, best PyTorch" if suite == "conv" else ""
    return f"{'':42} {what:>10} {'of roof':>18}{columns}{errors}"


def line(suite: str, row: Row, families: Sequence[str]) -> str:
    """Return one result: convkit, the part of its roof, and how often as fast as each peer."""
    ours = row["seconds"]["convkit"]
    mine = f"{ours * 1e3:.3f}" if suite in ("conv", "ops") else f"{row['batch'] / ours:,.0f}"
    roof = row["roof"]
    part = f"{roof['rate']:.0f} {roof['unit']}, {100 * roof['part']:.0f} %"
    cells = []
    for family in families:
        found = row["ratios"].get(family)
        if found is None:
            cells.append(f" {'failed' if _failed(row, family) else '-':>24}")
            continue
        low, high = found["quartiles"]
        peer = row["seconds"][found["library"]]
        theirs = f"{peer * 1e3:.2f}" if suite in ("conv", "ops") else f"{row['batch'] / peer:,.0f}"
        cells.append(f" {theirs:>8} {found['median']:5.2f}{f' {low:.2f}..{high:.2f}':>10}")
    errors = ""
    if "errors" in row:
        best = row["ratios"].get("torch", {}).get("library", "convkit")
        errors = f"  {row['errors']['convkit']:.1e} {row['errors'][best]:.1e}"
    disturbed = "  (others were busy)" if row["others_cpus"] > DISTURBED else ""
    return f"{_label(suite, row):42} {mine:>10} {part:>18}{''.join(cells)}{errors}{disturbed}"


def _failed(row: Row, family: str) -> bool:
    return any(library.startswith(family) for library in row["failures"])


def _label(suite: str, row: Row) -> str:
    shape = "x".join(map(str, row["shape"]))
    parts = [row["name"], shape, "" if suite in ("train", "predict") else row["direction"]]
    return " ".join(filter(None, parts)) + f", batch {row['batch']}"


def memory_line(row: Row) -> str:
    """Return one net's peak memory."""
    cells = ", ".join(f"{library} {mb:.0f}" for library, mb in row["peak_mb"].items())
    return f"{row['name']}, batch {row['batch']}: peak MB: {cells}"


def size_line(row: Row) -> str:
    """Return one package's costs."""
    return (
        f"{row['name']}: import {row['import_ms']:.0f} ms beyond NumPy,"
        f" {row['package_mb']:.1f} MB on disk"
    )


# ---- README.md -----------------------------------------------------------------------------------


def markdown(report: Mapping[str, Any]) -> str:
    """Return what README.md says about a report of all suites."""
    suites = report["suites"]
    parts = [_introduction(report)]
    for name, title in (("train", "Training, images/s"), ("predict", "Inference, images/s")):
        if name in suites:
            parts.append(_speed_table(title, suites[name]["rows"]))
    if "conv" in suites:
        parts.append(_conv_table(suites["conv"]))
    if "ops" in suites:
        parts.append(_ops_table(suites["ops"]))
    if "memory" in suites:
        parts.append(_memory_table(suites["memory"]["rows"]))
    if "size" in suites:
        parts.append(_size_table(suites["size"]["rows"]))
    return "\n\n".join(parts)


def _introduction(report: Mapping[str, Any]) -> str:
    environment = report["environment"]
    about = next(
        (s for s in report["suites"].values() if s.get("threads") == environment["threads"]), None
    )
    roofs = ""
    if about is not None:
        now = about["roofs"][0]
        roofs = (
            f" ({now['fma_gflops']:.0f} GFLOP/s of float32 multiply-adds,"
            f" {now['stream_gb_per_s']:.0f} GB/s, measured in the same run)"
        )
    names = {"torch": "PyTorch", "tensorflow": "TensorFlow", "jax": "JAX", "numpy": "NumPy"}
    versions = ", ".join(
        f"{names.get(name, name)} {version.split('+')[0]}"
        for name, version in environment["versions"].items()
    )
    return (
        f"Measured on {environment['time'][:10]} with {environment['threads']} threads of"
        f" {environment['cpu']}, {environment['isa']}{roofs}: {versions}. Beside each peer's figure"
        " stands how many times as fast convkit is: the median of paired turns."
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _families(rows: Sequence[Row]) -> list[str]:
    return [family for family in FAMILIES if any(family in row["ratios"] for row in rows)]


def _name(row: Row) -> str:
    return WORDS.get(row["name"], f"`{row['name']}`")


def _speed_table(title: str, rows: Sequence[Row]) -> str:
    families = _families(rows)

    def cell(row: Row, family: str) -> str:
        found = row["ratios"].get(family)
        if found is None:
            return "-"
        rate = _three_digits(row["batch"] / row["seconds"][found["library"]])
        return f"{rate} ({found['median']:.1f}x)"

    head = [title, "batch", "convkit", *(FAMILIES[family] for family in families), "of FMA peak"]
    return _table(
        head,
        [
            [
                *(_name(row), str(row["batch"])),
                f"**{_three_digits(row['batch'] / row['seconds']['convkit'])}**",
                *(cell(row, family) for family in families),
                f"{100 * row['roof']['part']:.0f} %",
            ]
            for row in rows
        ],
    )


def _three_digits(value: float) -> str:
    """Write a number with three significant digits: 67,100 or 0.358."""
    rounded = float(f"{value:.3g}")
    return f"{rounded:,.0f}" if rounded >= 100 else f"{rounded:g}"


GROUPS: tuple[tuple[str, Callable[[Row], bool]], ...] = (
    ("all convolutions and gradients", lambda row: True),
    ("forward", lambda row: row["direction"] == "fwd"),
    ("input gradient", lambda row: row["direction"] == "dx"),
    ("weight gradient", lambda row: row["direction"] == "dw"),
)


def _conv_table(suite: Mapping[str, Any]) -> str:
    rows = []
    for title, belongs in GROUPS:
        found = [row for row in suite["rows"] if belongs(row) and "torch" in row["ratios"]]
        if found:
            found.sort(key=lambda row: row["ratios"]["torch"]["median"])
            mean = geometric_mean([row["ratios"]["torch"]["median"] for row in found])
            cells = [_conv_cell(found[0]), _conv_cell(found[-1])]
            rows.append([title, str(len(found)), f"**{mean:.2f}x**", *cells])
    head = [
        f"Beside PyTorch, threads: {suite['threads']}",
        "count",
        "geometric mean",
        "least",
        "most",
    ]
    return _table(head, rows)


def _conv_cell(row: Row) -> str:
    return f"{row['ratios']['torch']['median']:.2f}x ({row['name']} {row['direction']})"


def _ops_table(suite: Mapping[str, Any]) -> str:
    families = _families(suite["rows"])
    head = [
        *("Operation", "ms", *(FAMILIES[family] for family in families), "of roof"),
    ]

    def cell(row: Row, family: str) -> str:
        found = row["ratios"].get(family)
        return "-" if found is None else f"{found['median']:.1f}x"

    return _table(
        head,
        [
            [
                _label("ops", row).replace(" both", " forward and backward").replace(" fwd", ""),
                f"{1e3 * row['seconds']['convkit']:.3g}",
                *(cell(row, family) for family in families),
                f"{100 * row['roof']['part']:.0f} % of {row['roof']['limit']:.0f}"
                f" {row['roof']['unit']}",
            ]
            for row in suite["rows"]
        ],
    )


def _memory_table(rows: Sequence[Row]) -> str:
    def least(row: Row, family: str) -> str:
        found = [mb for library, mb in row["peak_mb"].items() if library.startswith(family)]
        return f"{min(found):,.0f}" if found else "-"

    families = [f for f in ("torch", "tensorflow", "jax") if any(least(r, f) != "-" for r in rows)]
    head = ["Peak memory of training, MB", "batch", "convkit", *(FAMILIES[f] for f in families)]
    return _table(
        head,
        [
            [
                *(_name(row), str(row["batch"]), f"**{row['peak_mb']['convkit']:,.0f}**"),
                *(least(row, family) for family in families),
            ]
            for row in rows
        ],
    )


def _size_table(rows: Sequence[Row]) -> str:
    return _table(
        ["Package", "import beyond NumPy's, ms", "on disk, MB"],
        [
            [row["name"], _three_digits(row["import_ms"]), f"{row['package_mb']:,.1f}"]
            for row in rows
        ],
    )
