"""Convolution and its gradients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from convkit import _check, runtime
from convkit.ops.base import (
    Op,
    Struct,
    check_rank,
    check_real,
    check_shape,
    emit,
    one_sample,
    operands,
)
from convkit.ops.broadcast import binary

if TYPE_CHECKING:
    from convkit.graph import Tensor

CONV2D = Struct(
    "ck_conv2d",
    "y z argmax batch_mean batch_variance dx dw db packed dgamma dbeta mean_g mean_gx"
    " x w b dy mean variance gamma beta addend norm_x",
    "n ih iw c oh ow k kh kw stride_h stride_w dilation_h dilation_w pad_top pad_left groups"
    " activation algorithm pool",
    "alpha epsilon",
)


def algorithm_number() -> int:
    """Return the chosen algorithm as enum ck_conv_algorithm counts it."""
    return ("auto", "direct").index(runtime.get_algorithm())


class _Conv2D(Op):
    struct = CONV2D

    def clone(self) -> Op:
        """Return a copy for one program, with the algorithm that is chosen now.

        It stays when the program is filled again: scratch was sized for it.
        """
        twin = super().clone()
        twin.numbers["algorithm"] = algorithm_number()
        return twin


class Conv2DForward(_Conv2D):
    """y = activation(z), z = conv(x, w) + b; with `pool`, the 2x2 max pool of that.

    With statistics, z is normalized by them, as in inference. An addend is added to z.
    batch_mean and batch_variance are the statistics of z, which is y if there is no activation.
    """

    kernel = "conv2d_forward"
    packs_by = "conv2d_pack"
    fuses_activation = True
    keeps_z = True
    optional = frozenset({"z", "argmax"})

    def gradient(self, dy: Mapping[str, Tensor], needs: set[str]) -> dict[str, Tensor]:
        """Emit dw and db in one op, dx in another, as far as they are needed."""
        x, w = self.inputs["x"], self.inputs["w"]
        result: dict[str, Tensor] = {}
        wanted = {"d" + role: self.inputs[role].shape for role in ("w", "b") if role in needs}
        if wanted:
            op = Conv2DBackwardWeights({"x": x, "dy": dy["y"]}, self.numbers, self.per_sample)
            result |= {role[1:]: tensor for role, tensor in emit(op, **wanted).items()}
        if "x" in needs:
            data = Conv2DBackwardData({"dy": dy["y"], "w": w}, self.numbers, self.per_sample)
            result["x"] = emit(data, dx=x.shape)["dx"]
        return result


class Conv2DBackwardData(_Conv2D):
    """dx from dy and w; an addend is added to it, and the activation's gradient follows.

    With `norm_x`, also the sums that the gradient of the normalization that made x wants.
    """

    kernel = "conv2d_backward_data"
    optional = frozenset({"dgamma", "dbeta"})


class Conv2DBackwardWeights(_Conv2D):
    """dw and db from x and dy."""

    kernel = "conv2d_backward_weights"
    optional = frozenset({"dw", "db"})


def conv2d(
    x: Tensor,
    w: Tensor,
    b: Tensor | None = None,
    *,
    strides: Any = 1,
    padding: Any = "valid",
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """Emit a convolution; see convkit.functional.conv2d. Depthwise is groups = channels."""
    x, w, b = operands(x, w, b)
    function = "conv2d"
    check_real(function, x=x, w=w, b=b)
    check_rank(function, "x", x, 4, "(N, H, W, C)")
    check_rank(function, "w", w, 4, "(KH, KW, C/groups, K)")
    sizes = _check.conv2d_geometry(
        function, one_sample(x.shape), one_sample(w.shape), strides, padding, dilation, groups
    )
    check_shape(function, "b", b, (sizes["k"],))
    del sizes["n"]
    op = Conv2DForward({"x": x, "w": w, "b": b}, sizes, {"n": 1})
    return emit(op, y=(x.shape[0], sizes["oh"], sizes["ow"], sizes["k"]))["y"]


class Conv2DTranspose(_Conv2D):
    """The transpose of a convolution as a linear map: a convolution's dx is y, its dy is x."""

    kernel = "conv2d_backward_data"
    fields: ClassVar[Mapping[str, str]] = {"y": "dx", "x": "dy"}

    def gradient(self, dy: Mapping[str, Tensor], needs: set[str]) -> dict[str, Tensor]:
        """Emit dx, the convolution of dy, and dw, where x and dy change places."""
        x, w = self.inputs["x"], self.inputs["w"]
        result: dict[str, Tensor] = {}
        if "w" in needs:
            op = Conv2DBackwardWeights({"x": dy["y"], "dy": x}, self.numbers, self.per_sample)
            result["w"] = emit(op, dw=w.shape)["dw"]
        if "x" in needs:
            data = Conv2DForward({"x": dy["y"], "w": w}, self.numbers, self.per_sample)
            result["x"] = emit(data, y=x.shape)["y"]
        return result


def conv2d_transpose(
    x: Tensor,
    w: Tensor,
    b: Tensor | None = None,
    *,
    strides: Any = 1,
    padding: Any = "valid",
    dilation: Any = 1,
    groups: int = 1,
    output_padding: Any = None,
) -> Tensor:
    """Emit a transposed convolution; see convkit.functional.conv2d_transpose."""
    x, w, b = operands(x, w, b)
    function = "conv2d_transpose"
    check_real(function, x=x, w=w, b=b)
    check_rank(function, "x", x, 4, "(N, H, W, C)")
    check_rank(function, "w", w, 4, "(KH, KW, K/groups, C)")
    sizes = _check.conv2d_transpose_geometry(
        *(function, one_sample(x.shape), one_sample(w.shape), strides, padding, dilation, groups),
        output_padding,
    )
    check_shape(function, "b", b, (sizes["c"],))
    del sizes["n"]
    op = Conv2DTranspose({"x": x, "w": w}, sizes, {"n": 1})
    y = emit(op, y=(x.shape[0], sizes["ih"], sizes["iw"], sizes["c"]))["y"]
    return y if b is None else binary("add", y, b)
