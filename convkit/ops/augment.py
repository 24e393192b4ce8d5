"""Ops of augmentation: what is drawn for each sample, and what applies it to images.

A drawing op makes a small tensor with an entry per sample (a map of rows and columns, a transform,
a box, a partner), another op applies it. What is drawn is a function of a seed, a stream (which
tells layers apart), the step and the number of the sample: the same wherever in a batch it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from convkit import _check
from convkit.ops.base import Op, Struct, check_rank, check_real, check_shape, emit, product
from convkit.ops.elementwise import SOURCE_TYPES, Gather

if TYPE_CHECKING:
    from convkit.graph import Tensor

DRAW_MAP = Struct(
    "ck_draw_map",
    "map sample step base",
    "n ih iw oh ow seed stream flip alternating fill_mode",
    "top_low top_high left_low left_high",
)
GATHER_IMAGES = Struct(
    "ck_gather_images",
    "y x index map mean variance",
    "n ih iw c oh ow source_type x_rows rescale fill_stage",
    "fill scale offset epsilon",
)
DRAW_TRANSFORM = Struct(
    "ck_draw_transform",
    "transform sample step",
    "n ih iw oh ow seed stream same_zoom",
    "angle_low angle_high zoom_h_low zoom_h_high zoom_w_low zoom_w_high shift_h_low shift_h_high"
    " shift_w_low shift_w_high",
)
WARP = Struct("ck_warp", "y x transform", "n ih iw c oh ow bilinear fill_mode", "fill")
DRAW_UNIFORM = Struct("ck_draw_uniform", "y sample step", "n seed stream", "low high")
ADJUST = Struct("ck_adjust", "y x factor", "n pixels c contrast", "low high")
DRAW_ERASE = Struct(
    "ck_draw_erase",
    "box sample step",
    "n h w seed stream size",
    "factor_low factor_high scale_low scale_high",
)
ERASE = Struct("ck_erase", "y x box fill sample step", "n h w c seed stream", "low high")
DRAW_MIX = Struct(
    "ck_draw_mix", "partner weight box sample step", "n h w seed stream", "alpha_low alpha_high"
)
MIX = Struct("ck_mix", "y x partner weight box", "n h w c")
ONE_HOT = Struct("ck_one_hot", "y labels", "n classes")

# In the order of enum ck_fill_mode.
FILL_MODES = {
    name: i for i, name in enumerate(("constant", "nearest", "reflect", "mirror", "wrap"))
}
FLIPS = {"none": 0, "horizontal": 1, "vertical": 2, "horizontal_and_vertical": 3}

Range = tuple[float, float]


class Chance(NamedTuple):
    """Where random numbers come from: two numbers, and the tensors of the step and the samples.

    `step` is a uint64 counter, `sample` int64 (N,). What is fixed needs neither: Chance().
    """

    seed: int = 0
    stream: int = 0
    step: Tensor | None = None
    sample: Tensor | None = None

    @property
    def inputs(self) -> dict[str, Tensor | None]:
        """Return the tensors by role."""
        return {"sample": self.sample, "step": self.step}

    @property
    def numbers(self) -> dict[str, int]:
        """Return the numbers by field."""
        return {"seed": self.seed, "stream": self.stream}


class Augmentation(Op):
    """An op on images as they come from the data."""

    def gradient(self, dy: Mapping[str, Tensor], needs: set[str]) -> dict[str, Tensor]:
        """Raise ValueError: there is none."""
        raise ValueError(
            f"{type(self).__name__}: an augmentation has no gradient; put the layer before the"
            " first layer with weights"
        )


def _image(function: str, x: Tensor) -> tuple[int, int, int]:
    check_real(function, x=x)
    check_rank(function, "x", x, 4, "(N, H, W, C)")
    _n, h, w, c = x.shape
    assert h is not None and w is not None and c is not None
    return h, w, c


def _fill_mode(function: str, fill_mode: str) -> int:
    return FILL_MODES[_check.one_of(function, "fill_mode", fill_mode, FILL_MODES)]


# ---- whole pixels --------------------------------------------------------------------------------


class DrawMap(Op):
    """The rows and columns of x that make those of y, by sample; `base` is an earlier map."""

    kernel = "draw_map"
    struct = DRAW_MAP


class Remap(Augmentation):
    """y = x by a map, converted to itself: the kernel that gathers images, without an index."""

    kernel = "gather_images"
    struct = GATHER_IMAGES


class GatherImages(Gather):
    """Images gathered, converted, moved by a map, rescaled and normalized, in one pass.

    Made by the compiler out of a gather and what follows it; see `convkit.passes.fuse_gather`.
    """

    kernel = "gather_images"
    struct = GATHER_IMAGES


def remap(
    x: Tensor,
    size: tuple[int, int],
    chance: Chance,
    *,
    top: Range,
    left: Range,
    flip: str = "none",
    alternating: bool = False,
    fill_mode: str = "constant",
    fill_value: float = 0.0,
) -> Tensor:
    """Emit y of `size` whose first row and column are row floor(top) and column floor(left) of x.

    top and left are drawn from half-open ranges; what lies outside of x is filled. `flip` turns y
    around with probability 1/2 each way, or, `alternating`, in every other epoch; chance.step then
    counts epochs.
    """
    h, w, c = _image("remap", x)
    mode = _fill_mode("remap", fill_mode)
    (oh, ow), graph = size, x.graph
    draw = DrawMap(
        chance.inputs,
        {
            **{"ih": h, "iw": w, "oh": oh, "ow": ow, "fill_mode": mode, **chance.numbers},
            **{"top_low": top[0], "top_high": top[1], "left_low": left[0], "left_high": left[1]},
            **{"flip": FLIPS[flip], "alternating": int(alternating)},
        },
        {"n": 1},
    )
    table = graph.emit(draw, {"map": ((None, oh + ow), "int32")})["map"]
    op = Remap(
        {"x": x, "map": table},
        {
            **{"ih": h, "iw": w, "c": c, "oh": oh, "ow": ow, "fill": float(fill_value)},
            "source_type": SOURCE_TYPES[graph.dtype],
        },
        {"n": 1, "x_rows": 1},
    )
    return emit(op, y=(None, oh, ow, c))["y"]


# ---- between pixels ------------------------------------------------------------------------------


class DrawTransform(Op):
    """Six numbers by sample: where in x the rows and columns of y lie."""

    kernel = "draw_transform"
    struct = DRAW_TRANSFORM


class Warp(Augmentation):
    """y = x at the places of a transform."""

    kernel = "warp"
    struct = WARP


def warp(
    x: Tensor,
    size: tuple[int, int],
    chance: Chance,
    *,
    angle: Range = (0.0, 0.0),
    zoom_h: Range = (1.0, 1.0),
    zoom_w: Range | None = None,
    shift_h: Range = (0.0, 0.0),
    shift_w: Range = (0.0, 0.0),
    interpolation: str = "bilinear",
    fill_mode: str = "reflect",
    fill_value: float = 0.0,
) -> Tensor:
    """Emit x turned (radians, counterclockwise), zoomed (above 1: out) and shifted (pixels).

    All about the centers of x and y; zoom_w None is the height's zoom.
    """
    h, w, c = _image("warp", x)
    mode = _fill_mode("warp", fill_mode)
    kinds = ("nearest", "bilinear")
    bilinear = kinds.index(_check.one_of("warp", "interpolation", interpolation, kinds))
    oh, ow = size
    numbers: dict[str, float] = {"ih": h, "iw": w, "oh": oh, "ow": ow, **chance.numbers}
    ranges = {"angle": angle, "zoom_h": zoom_h, "zoom_w": zoom_w or zoom_h}
    for name, (low, high) in {**ranges, "shift_h": shift_h, "shift_w": shift_w}.items():
        numbers |= {f"{name}_low": low, f"{name}_high": high}
    draw = DrawTransform(chance.inputs, {**numbers, "same_zoom": int(zoom_w is None)}, {"n": 1})
    transform = x.graph.emit(draw, {"transform": ((None, 6), "float64")})["transform"]
    op = Warp(
        {"x": x, "transform": transform},
        {
            **{"ih": h, "iw": w, "c": c, "oh": oh, "ow": ow, "bilinear": bilinear},
            **{"fill_mode": mode, "fill": float(fill_value)},
        },
        {"n": 1},
    )
    return emit(op, y=(None, oh, ow, c))["y"]


# ---- brightness and contrast ---------------------------------------------------------------------


class DrawUniform(Op):
    """One number by sample."""

    kernel = "draw_uniform"
    struct = DRAW_UNIFORM


class Adjust(Augmentation):
    """y = x + factor, or (x - mean) * factor + mean, clipped."""

    kernel = "adjust"
    struct = ADJUST
    in_place = (("y", "x"),)


def adjust(
    x: Tensor, chance: Chance, *, factor: Range, value_range: Range, contrast: bool
) -> Tensor:
    """Emit x with another contrast (a factor of the distance from the mean) or brightness."""
    h, w, c = _image("adjust", x)
    low, high = factor
    draw = DrawUniform(chance.inputs, {"low": low, "high": high, **chance.numbers}, {"n": 1})
    drawn = emit(draw, y=((None,), "float64"))["y"]
    numbers: dict[str, float] = {"pixels": h * w, "c": c, "contrast": int(contrast)}
    numbers |= {"low": value_range[0], "high": value_range[1]}
    return emit(Adjust({"x": x, "factor": drawn}, numbers, {"n": 1}), y=x.shape)["y"]


# ---- erasing and mixing --------------------------------------------------------------------------


class DrawErase(Op):
    """The box to erase, by sample."""

    kernel = "draw_erase"
    struct = DRAW_ERASE


class Erase(Augmentation):
    """y = x with a box of a color or of noise."""

    kernel = "erase"
    struct = ERASE
    in_place = (("y", "x"),)


def erase(
    x: Tensor,
    chance: Chance,
    *,
    size: int = 0,
    factor: Range = (1.0, 1.0),
    scale: Range = (0.0, 0.0),
    fill: Sequence[float] | None = None,
    value_range: Range = (0.0, 1.0),
) -> Tensor:
    """Emit x with a square of `size` or, with probability `factor`, a box of share `scale` erased.

    fill is a value by channel; None is noise in value_range.
    """
    h, w, c = _image("erase", x)
    graph = x.graph
    numbers: dict[str, float] = {"h": h, "w": w, **chance.numbers}
    ranges = {"factor_low": factor[0], "factor_high": factor[1]}
    ranges |= {"scale_low": scale[0], "scale_high": scale[1]}
    draw = DrawErase(chance.inputs, {**numbers, **ranges, "size": size}, {"n": 1})
    box = emit(draw, box=((None, 4), "int32"))["box"]
    numbers |= {"c": c, "low": value_range[0], "high": value_range[1]}
    inputs: dict[str, Any] = {"x": x, "box": box}
    inputs |= chance.inputs if fill is None else {"fill": graph.constant(fill)}
    check_shape("erase", "fill", inputs.get("fill"), (c,))
    return emit(Erase(inputs, numbers, {"n": 1}), y=x.shape)["y"]


class DrawMix(Op):
    """By sample: a partner of the batch, and the share that a sample keeps of itself."""

    kernel = "draw_mix"
    struct = DRAW_MIX


class Mix(Augmentation):
    """y = weight x + (1 - weight) x[partner], or a box of x[partner] in x."""

    kernel = "mix"
    struct = MIX


class Mixture(NamedTuple):
    """How the samples of a batch are mixed: tensors (N,) of int64 and of the float type."""

    partner: Tensor
    weight: Tensor


def mix_images(x: Tensor, chance: Chance, *, alpha: Range, boxes: bool) -> tuple[Tensor, Mixture]:
    """Emit images blended with others of the batch, or, with boxes, with a box of another.

    Sources: Zhang et al., 2018 (mixup); Yun et al., 2019 (CutMix).
    """
    h, w, c = _image("mix_images", x)
    numbers = {"h": h, "w": w, "alpha_low": alpha[0], "alpha_high": alpha[1], **chance.numbers}
    outputs: dict[str, Any] = {"partner": ((None,), "int64"), "weight": (None,)}
    if boxes:
        outputs["box"] = ((None, 4), "int32")
    drawn = dict(emit(DrawMix(chance.inputs, numbers, {"n": 1}), **outputs))
    op = Mix({"x": x, **drawn}, {"h": h, "w": w, "c": c}, {"n": 1})
    return emit(op, y=x.shape)["y"], Mixture(drawn["partner"], drawn["weight"])


class OneHot(Op):
    """y = 1 at the label, else 0."""

    kernel = "one_hot"
    struct = ONE_HOT


def mix_labels(labels: Tensor, classes: int, mixture: Mixture) -> Tensor:
    """Emit labels mixed as the images were; class numbers become probabilities (N, classes)."""
    if labels.dtype == "int64":
        check_rank("mix_labels", "labels", labels, 1, "(N,)")
        op = OneHot({"labels": labels}, {"classes": classes}, {"n": 1})
        labels = emit(op, y=(None, classes))["y"]
    cols = product(labels.shape[1:])
    inputs = {"x": labels, "partner": mixture.partner, "weight": mixture.weight}
    return emit(Mix(inputs, {"h": 1, "w": 1, "c": cols}, {"n": 1}), y=labels.shape)["y"]
