"""Enlarging maps, and pooling them to a given size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from convkit import _check
from convkit.ops.base import Op, Struct, check_rank, check_real, emit
from convkit.ops.pool import avg_pool2d, max_pool2d

if TYPE_CHECKING:
    from convkit.graph import Tensor

UPSAMPLE2D = Struct("ck_upsample2d", "y dx x dy", "n ih iw c factor_h factor_w bilinear")
ADAPTIVE_POOL2D = Struct("ck_adaptive_pool2d", "y argmax dx x dy", "n ih iw c oh ow")

INTERPOLATIONS = ("nearest", "bilinear")


def _map_sizes(function: str, x: Tensor) -> dict[str, int]:
    check_real(function, x=x)
    check_rank(function, "x", x, 4, "(N, H, W, C)")
    return {name: size or 0 for name, size in zip(("ih", "iw", "c"), x.shape[1:], strict=True)}


# ---- enlarging -----------------------------------------------------------------------------------


class Upsample2DForward(Op):
    """y = x enlarged by whole factors."""

    kernel = "upsample2d_forward"
    struct = UPSAMPLE2D

    def gradient(self, dy: Mapping[str, Tensor], needs: set[str]) -> dict[str, Tensor]:
        """Sum dy over what read each pixel."""
        op = Upsample2DBackward({"dy": dy["y"]}, self.numbers, self.per_sample)
        return {"x": emit(op, dx=self.inputs["x"].shape)["dx"]}


class Upsample2DBackward(Op):
    """dx = the sum of dy, weighted, over the outputs that read each pixel."""

    kernel = "upsample2d_backward"
    struct = UPSAMPLE2D


def upsample2d(x: Tensor, size: Any = 2, interpolation: str = "nearest") -> Tensor:
    """Emit images of `size` times as many rows and columns: an int or a pair.

    interpolation is "nearest" (pixels repeat) or "bilinear" (pixel centres at halves).
    """
    function = "upsample2d"
    sizes = _map_sizes(function, x)
    rows, columns = _check.pair(function, "size", size)
    _check.one_of(function, "interpolation", interpolation, INTERPOLATIONS)
    numbers = {**sizes, "factor_h": rows, "factor_w": columns}
    numbers["bilinear"] = int(interpolation == "bilinear")
    shape = (x.shape[0], sizes["ih"] * rows, sizes["iw"] * columns, sizes["c"])
    _check.product(function, "the output", (1, *shape[1:]))
    return emit(Upsample2DForward({"x": x}, numbers, {"n": 1}), y=shape)["y"]


# ---- pooling to a given size ---------------------------------------------------------------------


class AdaptiveMaxPool2DForward(Op):
    """y = the first maximum of each window, argmax = its cell in the image."""

    kernel = "adaptive_max_pool2d_forward"
    struct = ADAPTIVE_POOL2D
    optional = frozenset({"argmax"})

    def gradient(self, dy: Mapping[str, Tensor], needs: set[str]) -> dict[str, Tensor]:
        """Give dy to the cells that won."""
        inputs = {"dy": dy["y"], "argmax": self.outputs["argmax"]}
        op = AdaptiveMaxPool2DBackward(inputs, self.numbers, self.per_sample)
        return {"x": emit(op, dx=self.inputs["x"].shape)["dx"]}


class AdaptiveMaxPool2DBackward(Op):
    """dx = the sum of dy over the windows that a cell won."""

    kernel = "adaptive_max_pool2d_backward"
    struct = ADAPTIVE_POOL2D


class AdaptiveAvgPool2DForward(Op):
    """y = the mean of each window."""

    kernel = "adaptive_avg_pool2d_forward"
    struct = ADAPTIVE_POOL2D

    def gradient(self, dy: Mapping[str, Tensor], needs: set[str]) -> dict[str, Tensor]:
        """Spread dy over the windows."""
        op = AdaptiveAvgPool2DBackward({"dy": dy["y"]}, self.numbers, self.per_sample)
        return {"x": emit(op, dx=self.inputs["x"].shape)["dx"]}


class AdaptiveAvgPool2DBackward(Op):
    """dx = the sum of dy / cells over the windows that cover a cell."""

    kernel = "adaptive_avg_pool2d_backward"
    struct = ADAPTIVE_POOL2D


def _adaptive(
    function: str, x: Tensor, output_size: Any
) -> tuple[dict[str, int], tuple[int, int] | None]:
    """Return the sizes of the op, and the window where all are equal and side by side."""
    sizes = _map_sizes(function, x)
    sizes["oh"], sizes["ow"] = _check.pair(function, "output_size", output_size)
    if sizes["oh"] > sizes["ih"] or sizes["ow"] > sizes["iw"]:
        raise ValueError(
            f"{function}: output_size must not be larger than the map, got"
            f" output_size={output_size!r} for x of shape {x.shape}"
        )
    if sizes["ih"] % sizes["oh"] or sizes["iw"] % sizes["ow"]:
        return sizes, None
    return sizes, (sizes["ih"] // sizes["oh"], sizes["iw"] // sizes["ow"])


def adaptive_max_pool2d(x: Tensor, output_size: Any) -> Tensor:
    """Emit the maxima of output_size rows and columns of windows.

    Window r of R covers the rows from floor(r H / R) to ceil((r + 1) H / R), as in PyTorch.
    """
    sizes, window = _adaptive("adaptive_max_pool2d", x, output_size)
    if window:
        return max_pool2d(x, window)
    shape = (x.shape[0], sizes["oh"], sizes["ow"], sizes["c"])
    op = AdaptiveMaxPool2DForward({"x": x}, sizes, {"n": 1})
    return emit(op, y=shape, argmax=(shape, "int32"))["y"]


def adaptive_avg_pool2d(x: Tensor, output_size: Any) -> Tensor:
    """Emit the means of output_size rows and columns of windows, those of adaptive_max_pool2d."""
    sizes, window = _adaptive("adaptive_avg_pool2d", x, output_size)
    if window:
        return avg_pool2d(x, window)
    shape = (x.shape[0], sizes["oh"], sizes["ow"], sizes["c"])
    return emit(AdaptiveAvgPool2DForward({"x": x}, sizes, {"n": 1}), y=shape)["y"]
