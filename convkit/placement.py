"""Give every tensor of a program a place in the workspace, and say where the team must meet.

Tensors that live at different times share memory. A storage is memory of one or more tensors:
views, in-place results, and tensors that several ops fill in turn share one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from convkit import _check, _core
from convkit.graph import Tensor, Variable
from convkit.ops.base import Op

LINE = 64
PAGE = 4096
# Storages from this size on begin at different places within a page: rows of several of them that
# are read together then do not compete for the same cache sets, and a load does not wait for a
# store at the same place in another page.
SKEWED = 4 * PAGE
SKEW = 5 * LINE  # an odd number of lines: steps through all 64 of a page


@dataclass(eq=False)
class Storage:
    """Memory of one or more tensors, live from instruction `first` to `last`, both included."""

    nbytes: int
    first: int
    last: int
    variable: Variable | None = None  # whose memory it is, if not the workspace's
    pinned: bool = False  # to be kept until the end
    offset: int = -1


def tensor_dtype(tensor: Tensor) -> np.dtype:
    """Return the NumPy dtype of a tensor."""
    return tensor.graph.dtype if tensor.dtype == "real" else np.dtype(tensor.dtype)


def tensor_shape(tensor: Tensor, batch: int) -> tuple[int, ...]:
    """Return the shape of a tensor for a batch size."""
    return tuple(batch if size is None else size for size in tensor.shape)


def tensor_bytes(tensor: Tensor, batch: int) -> int:
    """Return the size of a tensor. Raises ValueError where no 64-bit size holds it."""
    count = _check.product("compile", f"{tensor!r}", tensor_shape(tensor, batch))
    return count * tensor_dtype(tensor).itemsize


def assign_storages(ops: Sequence[Op], kept: Iterable[Tensor], batch: int) -> dict[Tensor, Storage]:
    """Return the storage of each tensor of `ops`, with lifetimes, before offsets are chosen.

    Tensors in `kept` live to the end. An op works in place where it may and where its input dies.
    """
    last_use = {t: i for i, op in enumerate(ops) for t in op.inputs.values()}
    kept = set(kept)
    storages: dict[Tensor, Storage] = {}

    for i, op in enumerate(ops):
        for tensor in op.inputs.values():
            if tensor not in storages:
                assert tensor.variable is not None, f"{tensor!r} is read before it is made"
                storages[tensor] = Storage(0, i, len(ops), variable=tensor.variable, pinned=True)
        taken: set[int] = set()
        for role, tensor in op.outputs.items():
            storage = None
            source = op.inputs.get(op.aliases.get(role, ""))
            if source is not None:
                storage = storages[source]
            else:
                storage = _reusable(op, role, i, storages, taken, tensor_bytes(tensor, batch))
            if storage is None:
                storage = Storage(tensor_bytes(tensor, batch), i, i)
            taken.add(id(storage))
            storages[tensor] = storage
            storage.last = max(storage.last, last_use.get(tensor, i))
            storage.pinned |= tensor in kept
    for storage in storages.values():
        if storage.pinned:
            storage.last = len(ops)
    return storages


def _reusable(
    op: Op,
    role: str,
    i: int,
    storages: Mapping[Tensor, Storage],
    taken: set[int],
    nbytes: int,
) -> Storage | None:
    """Return the storage of an input that dies in op i and that output `role` may overwrite."""
    for output, source in op.in_place:
        if output != role or source not in op.inputs:
            continue
        tensor = op.inputs[source]
        storage = storages[tensor]
        if storage.pinned or storage.last > i or storage.nbytes != nbytes:
            continue
        if id(storage) in taken:
            continue
        # Other inputs in the same memory are read element by element just as this one is.
        return storage
    return None


def place(storages: Iterable[Storage], block: Sequence[Storage] = ()) -> int:
    """Choose offsets in the workspace so that no two live storages overlap; return its size.

    The storages of `block` are laid one after the other, in order. Largest first, each into the
    smallest gap that is long enough (best fit by size, as in Pisarchyk and Lee, 2020).
    """
    block = [s for i, s in enumerate(block) if s not in block[:i]]
    wanted = [s for s in dict.fromkeys(storages) if s.variable is None and s not in block]
    whole = None
    if block:
        length = sum(_lines(s.nbytes) for s in block)
        whole = Storage(length, min(s.first for s in block), max(s.last for s in block))
        wanted.append(whole)
    placed: list[Storage] = []
    for storage in sorted(wanted, key=lambda s: (-s.nbytes, s.first)):
        neighbours = [s for s in placed if s.first <= storage.last and storage.first <= s.last]
        storage.offset = _best_gap(neighbours, storage.nbytes)
        placed.append(storage)
    if whole is not None:
        offset = whole.offset
        for storage in block:
            storage.offset = offset
            offset += _lines(storage.nbytes)
    return max((s.offset + _lines(s.nbytes) for s in placed), default=0)


def _lines(nbytes: int) -> int:
    return -(-max(nbytes, 1) // LINE) * LINE


def _best_gap(neighbours: Sequence[Storage], nbytes: int) -> int:
    """Return the offset in the smallest gap between neighbours that holds nbytes."""
    avoided = {s.offset % PAGE for s in neighbours if s.nbytes >= SKEWED <= nbytes}
    length = _lines(nbytes)
    best, best_gap, end = -1, 0, 0
    for other in sorted(neighbours, key=lambda s: s.offset):
        gap = other.offset - end
        if gap >= length and (best < 0 or gap < best_gap):
            start = _skewed(end, avoided)
            if start + length <= other.offset:
                best, best_gap = start, gap
        end = max(end, other.offset + _lines(other.nbytes))
    return best if best >= 0 else _skewed(end, avoided)


def _skewed(offset: int, avoided: set[int]) -> int:
    """Return the next offset that no large neighbour shares within its page, if there is one."""
    for step in range(PAGE // LINE):
        if (offset + step * SKEW) % PAGE not in avoided:
            return offset + step * SKEW
    return offset


def barriers(ops: Sequence[Op], storages: Mapping[Tensor, Storage]) -> list[bool]:
    """Say after which ops the whole team must meet.

    A barrier is left out where the ops since the last one touch nothing that the next one writes,
    write nothing that it touches, and at most one of them uses the scratch memory they would share.
    """
    result = [False] * len(ops)
    read: list[tuple[int, int, int]] = []
    written: list[tuple[int, int, int]] = []
    scratch = False
    for i, op in enumerate(ops):
        if op.on_host:  # the parts of a program before and after it are runs of their own
            result[max(i - 1, 0)] = result[i] = True
            read, written, scratch = [], [], False
            continue
        reads = [_region(storages[t]) for t in op.inputs.values()]
        writes = [_region(storages[t]) for t in op.outputs.values()]
        writes += [_region(storages[op.inputs[role]]) for role in op.writes]
        uses_scratch = _core.kernel_uses_scratch(_core.kernel_ids[op.kernel])
        clash = (
            (scratch and uses_scratch)
            or _overlap(writes, read)
            or _overlap(writes, written)
            or _overlap(reads, written)
        )
        if clash:
            result[i - 1] = True
            read, written, scratch = [], [], False
        read += reads
        written += writes
        scratch |= uses_scratch
    return result


def _region(storage: Storage) -> tuple[int, int, int]:
    """Return (address space, begin, end): variables are spaces of their own."""
    if storage.variable is not None:
        return id(storage.variable), 0, 1
    return 0, storage.offset, storage.offset + max(storage.nbytes, 1)


def _overlap(a: Iterable[tuple[int, int, int]], b: Sequence[tuple[int, int, int]]) -> bool:
    return any(x[0] == y[0] and x[1] < y[2] and y[1] < x[2] for x in a for y in b)
