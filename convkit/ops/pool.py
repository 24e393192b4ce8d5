"""Max and average pooling, and their gradients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from convkit import _check
from convkit.ops.base import Op, Struct, check_rank, check_real, emit, one_sample, product
from convkit.ops.elementwise import reshape

if TYPE_CHECKING:
    from convkit.graph import Tensor

POOL2D = Struct(
    "ck_pool2d",
    "y argmax dx x dy",
    "n ih iw c oh ow kh kw stride_h stride_w pad_top pad_left argmax_bytes count_include_pad",
)


class MaxPool2DForward(Op):
    """y = the first maximum of each window, argmax = where in the window it was."""

    kernel = "max_pool2d_forward"
    struct = POOL2D
    optional = frozenset({"argmax"})

    def values(self, batch: int) -> dict[str, float]:
        """Return all fields that are numbers; argmax is kept only where something reads it."""
        values = super().values(batch)
        return values if "argmax" in self.outputs else {**values, "argmax_bytes": 0}

    def gradient(self, dy: Mapping[str, Tensor], needs: set[str]) -> dict[str, Tensor]:
        """Give dy to the cells that won."""
        inputs = {"dy": dy["y"], "argmax": self.outputs["argmax"]}
        op = MaxPool2DBackward(inputs, self.numbers, self.per_sample)
        return {"x": emit(op, dx=self.inputs["x"].shape)["dx"]}


class MaxPool2DBackward(Op):
    """dx = dy in the cell that won, else 0."""

    kernel = "max_pool2d_backward"
    struct = POOL2D


class AvgPool2DForward(Op):
    """y = the mean of each window."""

    kernel = "avg_pool2d_forward"
    struct = POOL2D

    def gradient(self, dy: Mapping[str, Tensor], needs: set[str]) -> dict[str, Tensor]:
        """Spread dy over the windows."""
        op = AvgPool2DBackward({"dy": dy["y"]}, self.numbers, self.per_sample)
        return {"x": emit(op, dx=self.inputs["x"].shape)["dx"]}


class AvgPool2DBackward(Op):
    """dx = dy shared out evenly over each window."""

    kernel = "avg_pool2d_backward"
    struct = POOL2D


def argmax_dtype(sizes: Mapping[str, float]) -> str:
    """Return the dtype that holds an index within a window."""
    return "uint8" if sizes["kh"] * sizes["kw"] <= 256 else "int32"


def _geometry(
    function: str, x: Tensor, pool_size: Any, strides: Any, padding: Any
) -> tuple[dict[str, int], tuple[int | None, ...]]:
    check_real(function, x=x)
    check_rank(function, "x", x, 4, "(N, H, W, C)")
    sizes = _check.pool2d_geometry(function, one_sample(x.shape), pool_size, strides, padding)
    del sizes["n"]
    return sizes, (x.shape[0], sizes["oh"], sizes["ow"], sizes["c"])


def max_pool2d(
    x: Tensor, pool_size: Any = 2, strides: Any = None, padding: Any = "valid"
) -> Tensor:
    """Emit max pooling; see convkit.functional.max_pool2d."""
    sizes, shape = _geometry("max_pool2d", x, pool_size, strides, padding)
    dtype = argmax_dtype(sizes)
    op = MaxPool2DForward(
        {"x": x}, {**sizes, "argmax_bytes": 1 if dtype == "uint8" else 4}, {"n": 1}
    )
    return emit(op, y=shape, argmax=(shape, dtype))["y"]


def avg_pool2d(
    x: Tensor,
    pool_size: Any = 2,
    strides: Any = None,
    padding: Any = "valid",
    count_include_pad: bool = False,
) -> Tensor:
    """Emit average pooling; see convkit.functional.avg_pool2d."""
    sizes, shape = _geometry("avg_pool2d", x, pool_size, strides, padding)
    op = AvgPool2DForward(
        {"x": x}, {**sizes, "count_include_pad": int(count_include_pad)}, {"n": 1}
    )
    return emit(op, y=shape)["y"]


def row_max(x: Tensor) -> Tensor:
    """Emit the maximum over the last axis, which stays with size 1; the gradient goes to the first.

    A row is pooled as a map of its own.
    """
    check_real("row_max", x=x)
    *outer, cols = x.shape
    maps = reshape(x, (None, product(outer[1:]), cols, 1))
    return reshape(max_pool2d(maps, (1, cols)), (*outer, 1))
