"""Compare convolutions, pass by pass, with PyTorch's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from measure import Work, duel, interleave
from operations import TORCH_LIBRARIES, Call, ConvData, conv_call, conv_exact, conv_result
from shapes import ConvShape

HEADINGS = (
    f"{'shape':5} {'pass':4} {'convkit':>9} {'torch':>9} {'convkit':>8} {'torch':>8}"
    f" {'ratio':>6} {'quartiles':>13} {'error':>8} {'torch':>8}  torch's layout\n"
    f"{'':10} {'ms':>9} {'ms':>9} {'GFLOP/s':>8} {'GFLOP/s':>8} {'':20} {'of max':>8} {'of max':>8}"
)


def compare_conv(
    shapes: Sequence[ConvShape],
    passes: Sequence[str],
    *,
    batch: int,
    rounds: int,
    block_seconds: float,
) -> Iterator[dict[str, Any]]:
    """Yield one result per shape and pass. FLOPs are nominal: those of a direct convolution."""
    for shape in shapes:
        data = ConvData(shape, batch)
        for direction in passes:
            if direction in shape.passes:
                yield _compare(data, direction, rounds, block_seconds)


def _compare(data: ConvData, direction: str, rounds: int, block_seconds: float) -> dict[str, Any]:
    libraries = ("convkit", *TORCH_LIBRARIES)
    calls = {name: conv_call(data, name, direction) for name in libraries}
    times = interleave(
        {name: _repeat(call) for name, call in calls.items()},
        rounds=rounds,
        block_seconds=block_seconds,
    )
    result = duel(times, "convkit")
    exact = conv_exact(data, direction)
    gflop = data.shape.flops * len(data.x) / 1e9
    return {
        "shape": data.shape.id,
        "layer": data.shape.layer,
        "pass": direction,
        "batch": len(data.x),
        "convkit_ms": result.ours * 1e3,
        "torch_ms": result.peer * 1e3,
        "torch_layout": "NHWC" if result.peer_name == "torch_channels_last" else "NCHW",
        "convkit_gflops": gflop / result.ours,
        "torch_gflops": gflop / result.peer,
        "ratio": result.ratio,
        "quartiles": result.quartiles,
        "convkit_error": _error(calls["convkit"], exact, direction),
        "torch_error": _error(calls[result.peer_name], exact, direction),
    }


def _repeat(call: Call) -> Work:
    def work(n: int) -> None:
        for _ in range(n):
            call()

    return work


def _error(call: Call, exact: np.ndarray, direction: str) -> float:
    """Return the largest error against float64, as a fraction of the largest exact value."""
    return float(np.abs(conv_result(call(), direction) - exact).max() / np.abs(exact).max())


def row(r: dict[str, Any]) -> str:
    low, high = r["quartiles"]
    return (
        f"{r['shape']:5} {r['pass']:4} {r['convkit_ms']:9.3f} {r['torch_ms']:9.3f}"
        f" {r['convkit_gflops']:8.1f} {r['torch_gflops']:8.1f} {r['ratio']:6.2f}"
        f" {f'{low:.2f}..{high:.2f}':>13} {r['convkit_error']:8.1e} {r['torch_error']:8.1e}"
        f"  {r['torch_layout']}"
    )
