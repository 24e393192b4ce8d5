"""Images are moved, rescaled and normalized while they are gathered and converted."""

from __future__ import annotations

import math

from convkit.graph import Tensor
from convkit.ops.augment import FILL_MODES, GatherImages, Remap
from convkit.ops.base import Op, one_sample, product
from convkit.ops.batch_norm import BatchNormInference
from convkit.ops.elementwise import Affine, Gather
from convkit.passes._ops import Kept, producers_of, uses_of

# Elements of an image that are gathered as one row where no map moves them.
LONG_ROW = 4096


def fuse_gather(ops: list[Op], kept: Kept) -> list[Op]:
    """Move, rescale and normalize images while they are gathered and converted."""
    uses, makers = uses_of(ops), producers_of(ops)
    fused: dict[int, Op] = {}
    removed: set[int] = set()
    for op in ops:
        if type(op) is not Gather or op.outputs["y"].dtype != "real":
            continue
        y = op.outputs["y"]
        images = _gather_of(op)
        last: Op | None = None
        while y not in kept and len(uses.get(y, ())) == 1:
            reader = uses[y][0].op
            if not _absorb(images, reader, makers):
                break
            removed |= {id(op), id(reader)}
            last, y = reader, reader.outputs["y"]
        if last is None:
            continue
        images.outputs["y"] = y
        h, w, c = (images.numbers[key] for key in ("ih", "iw", "c"))
        if "map" not in images.inputs and h * w * c <= LONG_ROW:
            images.numbers |= {"ih": 1, "oh": 1, "iw": h * w, "ow": h * w}
        fused[id(last)] = images
    return [fused.get(id(op), op) for op in ops if id(op) in fused or id(op) not in removed]


def _gather_of(op: Gather) -> GatherImages:
    y = op.outputs["y"]
    *sizes, c = one_sample(y.shape[1:]) or (1,)
    h, w = sizes if len(sizes) == 2 else (1, product(sizes))
    images = GatherImages({}, {"ih": h, "iw": w, "oh": h, "ow": w, "c": c}, op.per_sample)
    images.source = y
    return images


def _absorb(images: Op, op: Op, makers: dict[Tensor, Op]) -> bool:
    """Let `images` do what `op` does after it, if it can; say whether it does."""
    numbers, inputs = images.numbers, images.inputs
    # What has been done so far: 1 rescaled, 2 normalized.
    stage = 2 if "variance" in inputs else 1 if "rescale" in numbers else 0
    if isinstance(op, Affine) and stage < 1:
        numbers |= {"rescale": 1, "scale": op.numbers["scale"], "offset": op.numbers["offset"]}
        return True
    if isinstance(op, BatchNormInference) and set(op.inputs) == {"x", "mean", "variance"}:
        if stage < 2:
            inputs |= {role: op.inputs[role] for role in ("mean", "variance")}
            numbers["epsilon"] = op.numbers["epsilon"]
        return stage < 2
    if not isinstance(op, Remap):
        return False
    draw = makers[op.inputs["map"]]
    if _leaves_image(draw):
        filling = {"fill": op.numbers["fill"], "fill_stage": stage}
        if "fill" in numbers and any(numbers[key] != filling[key] for key in filling):
            return False
        numbers |= filling
    if "map" in inputs:
        draw.inputs["base"] = inputs["map"]
    inputs["map"] = op.inputs["map"]
    numbers |= {"oh": op.numbers["oh"], "ow": op.numbers["ow"]}
    return True


def _leaves_image(draw: Op) -> bool:
    """Say whether a drawn map may ask for the fill value."""
    n = draw.numbers
    starts = ((n["top_low"], n["top_high"], "h"), (n["left_low"], n["left_high"], "w"))
    inside = all(
        low >= 0 and max(math.floor(low), math.ceil(high) - 1) + n["o" + axis] <= n["i" + axis]
        for low, high, axis in starts
    )
    return not inside and n["fill_mode"] == FILL_MODES["constant"]
