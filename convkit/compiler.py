"""Turn a graph into a program: rewrite its ops, place its tensors, fill the C structs.

A program is one array of slots that the C code reads at each run; Python changes a few pointers in
it to feed data. All tensors of all programs of a model lie in one workspace. A program is one C
call, unless it has ops of Python functions: these run between its parts. Whatever writes state is
in the last part, so that a step happens wholly or not at all.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convkit import _core, _pack
from convkit.graph import Graph, Tensor, Variable
from convkit.ops.base import Op
from convkit.ops.elementwise import Gather
from convkit.passes import optimize
from convkit.placement import assign_storages, barriers, place, tensor_dtype, tensor_shape

__all__ = ["Program", "Workspace", "compile"]


class Packed:
    """Weights as kernels read them, laid out again when the variable was written since."""

    def __init__(self, variable: Variable, kernel_id: int, nbytes: int) -> None:
        self.memory = _core.aligned_empty(nbytes)
        self._variable = variable
        self._kernel_id = kernel_id
        self._version = -1

    def refresh(self, slots: NDArray[np.uint64], itemsize: int) -> None:
        """Bring the memory up to date; `slots` is the struct of an op that reads it."""
        if self._version != self._variable.version:
            _core.run(self._kernel_id, slots, itemsize)
            self._version = self._variable.version


class Workspace:
    """Memory for the tensors of a model's programs, as large as the largest of them needs.

    Programs share it: what one leaves there lasts until the next one runs. They also share packed
    weights, by what the layout depends on.
    """

    def __init__(self) -> None:
        self.memory: NDArray[np.uint8] = _core.aligned_empty(0)
        self.busy = False  # a program is between its parts
        self.packed: dict[tuple[Variable, str, tuple[tuple[str, float], ...], int], Packed] = {}
        self._programs: weakref.WeakSet[Program] = weakref.WeakSet()

    @property
    def nbytes(self) -> int:
        """Return the size in bytes."""
        return self.memory.nbytes

    def _admit(self, program: Program) -> None:
        """Make room for a program and point it at the memory."""
        if program.workspace_bytes > self.nbytes:
            self.memory = _core.aligned_empty(program.workspace_bytes)
            for other in self._programs:
                other._fill()
        self._programs.add(program)
        program._fill()


class _Input:
    """An op that gathers rows of what is fed, with the fields of its struct that say which."""

    def __init__(self, op: Gather, slots: NDArray[np.uint64]) -> None:
        self.op = op
        self._slots = slots
        fields = ("x", "index", "source_type", "x_rows")
        self._x, self._index, self._kind, self._rows = _pack.slots_of(op.struct.name, fields)

    def point_to(self, source: NDArray[Any], index: NDArray[np.int64], kind: int) -> None:
        slots = self._slots
        slots[self._x] = _core.address(source)
        slots[self._index] = _core.address(index)
        slots[self._kind] = kind
        slots[self._rows] = len(source)


class Program:
    """A compiled graph for one batch size: feed it, run it, view what was fetched."""

    def __init__(
        self,
        graph: Graph,
        ops: Sequence[Op],
        fetch: Sequence[Tensor],
        batch: int,
        workspace: Workspace,
    ) -> None:
        self.batch = batch
        self._graph = graph
        self._workspace = workspace
        self._fetch = frozenset(fetch)
        made = {tensor for op in ops for tensor in op.outputs.values()}
        block = [tensor for tensor in graph.gradient_block if tensor in made]
        self._storages = assign_storages(ops, [*fetch, *block], batch)
        storages = self._storages
        self.workspace_bytes = place(storages.values(), [storages[t] for t in block])
        self._ops = [op for op in ops if op.kernel or op.on_host]
        self._offsets = np.cumsum([0, *(op.slot_count for op in self._ops)])
        # One slot more, so that a program without ops has an array to point to.
        self._slots = np.zeros(self._offsets[-1] + 1, np.uint64)
        self._inputs = {
            op.source or op.outputs["y"]: _Input(op, self._part(i))
            for i, op in enumerate(self._ops)
            if isinstance(op, Gather)
        }
        self._sources: dict[Tensor, tuple[NDArray[Any], NDArray[np.int64]]] = {}
        self._checked: tuple[NDArray[np.int64], int] | None = None
        self._views: dict[Tensor, NDArray[Any]] = {}
        written = [op.inputs[role].variable for op in self._ops for role in op.writes]
        self._written: list[Variable] = [v for v in dict.fromkeys(written) if v is not None]
        workspace._admit(self)
        self._packs = self._pack()
        self._parts = self._make_parts()

    def _make_parts(self) -> list[_core.Program | Op]:
        """Return what runs one after the other: C programs, and the ops in Python between them."""
        meet = barriers(self._ops, self._storages)
        ends = [i for i, op in enumerate(self._ops) if op.on_host] + [len(self._ops)]
        parts: list[_core.Program | Op] = []
        begin = 0
        for end in ends:
            ops = self._ops[begin:end]
            if ops or end == len(self._ops):
                parts.append(
                    _core.Program(
                        self._graph.dtype.itemsize,
                        np.array([_core.kernel_ids[op.kernel] for op in ops], np.int64),
                        self._offsets[begin:end].astype(np.int64),
                        np.array(meet[begin:end], np.int64),
                        self._slots,
                        sum(not op.writes for op in ops),
                    )
                )
            parts += self._ops[end : end + 1]
            begin = end + 1
        return parts

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """Return the inputs that must be fed: those of the graph that something needs."""
        return tuple(self._inputs)

    @property
    def kernels(self) -> tuple[str, ...]:
        """Return the names of the kernels in the order in which they run; "" for Python."""
        return tuple(op.kernel for op in self._ops)

    def _part(self, i: int) -> NDArray[np.uint64]:
        return self._slots[self._offsets[i] : self._offsets[i + 1]]

    def _address(self, tensor: Tensor) -> int:
        storage = self._storages[tensor]
        if storage.variable is not None:
            return storage.variable.value.ctypes.data
        return self._workspace.memory.ctypes.data + storage.offset

    def _fill(self) -> None:
        """Write all structs; again when the workspace has moved."""
        self._views.clear()
        for i, op in enumerate(self._ops):
            if op.kernel:
                op.fill(self._part(i), self.batch, self._address, self._graph.dtype.itemsize)

    def _pack(self) -> list[tuple[Packed, NDArray[np.uint64]]]:
        """Give memory for packed weights to the ops whose weights this program does not write.

        Otherwise each run would lay them out anew, which costs more than a small batch itself.
        """
        packs = []
        for i, op in enumerate(self._ops):
            variable = op.inputs["w"].variable if op.packs_by else None
            if variable is None or variable in self._written:
                continue
            slots = self._part(i)
            nbytes = _core.packed_bytes(
                _core.kernel_ids[op.kernel], slots, self._graph.dtype.itemsize
            )
            # The layout may depend on the batch: then its size does too.
            key = variable, op.packs_by, tuple(sorted(op.numbers.items())), nbytes
            if key not in self._workspace.packed:
                kernel_id = _core.kernel_ids[op.packs_by]
                self._workspace.packed[key] = Packed(variable, kernel_id, nbytes)
            packed = self._workspace.packed[key]
            op.struct.fill(slots, {"packed": packed.memory.ctypes.data})
            packs.append((packed, slots))
        return packs

    def feed(self, tensor: Tensor, source: NDArray[Any], index: NDArray[np.int64]) -> None:
        """Let an input take the rows source[index] at the next runs; both are kept, not copied.

        source is (rows, ...) with the input's sizes, of any real dtype but float16 (int64 for an
        int64 input); index is int64 of `batch` rows. Both are C-contiguous.

        Raises TypeError and ValueError for arrays that do not fit.
        """
        if not isinstance(tensor.op, Gather) or tensor.graph is not self._graph:
            raise ValueError(f"feed: tensor must be an input of the graph, got {tensor!r}")
        if tensor not in self._inputs:
            return  # nothing in this program depends on it
        fed = self._inputs[tensor]
        kind = fed.op.source_type(source)
        if source.shape[1:] != tensor.shape[1:] or not source.ndim:
            raise ValueError(
                f"feed: source of {tensor!r} must have shape (rows, *{tensor.shape[1:]}), got shape"
                f" {source.shape}"
            )
        if not (source.flags.c_contiguous and source.flags.aligned and source.dtype.isnative):
            raise ValueError(f"feed: source of {tensor!r} must be C-contiguous, aligned and native")
        self._check_index(index, len(source))
        fed.point_to(source, index, kind)
        self._sources[tensor] = source, index

    def feed_sample_numbers(self, numbers: NDArray[np.int64], index: NDArray[np.int64]) -> None:
        """Say which samples of the data the rows of the batch are: numbers[index].

        Random ops make what they do to a sample depend on it; where there are none, nothing is fed.
        """
        if self._graph.sample is not None:
            self.feed(self._graph.sample, numbers, index)

    def _check_index(self, index: NDArray[np.int64], rows: int) -> None:
        if self._checked is not None and self._checked[0] is index and self._checked[1] == rows:
            return  # the same rows of another array
        if index.dtype != np.int64 or index.shape != (self.batch,) or not index.flags.c_contiguous:
            raise ValueError(
                f"feed: index must be int64 of shape ({self.batch},) and contiguous, got dtype"
                f" {index.dtype} and shape {index.shape}"
            )
        if not _core.rows_inside(index, rows):
            raise ValueError(
                f"feed: index must lie in [0, {rows}), got values from {index.min()} to"
                f" {index.max()}"
            )
        self._checked = index, rows

    def run(self) -> None:
        """Run the program once; it writes state wholly or not at all.

        Raises RuntimeError unless all inputs were fed, KeyboardInterrupt (or what a signal handler
        raised) when stopped before it wrote state, MemoryError, and what ops in Python raise.
        """
        if len(self._sources) < len(self._inputs):
            missing = [t for t in self._inputs if t not in self._sources]
            raise RuntimeError(f"run: all inputs must be fed first, missing {missing}")
        self._checked = None  # the caller may write other rows into the same index
        if self._workspace.busy:
            raise RuntimeError(
                "run: a function of Python inside of a model must not run that model; use another"
            )
        for packed, slots in self._packs:
            packed.refresh(slots, self._graph.dtype.itemsize)
        # First: a signal may end this when state is written, and what is packed would pass for it.
        for variable in self._written:
            variable.version += 1
        self._workspace.busy = len(self._parts) > 1
        try:
            for part in self._parts:
                if isinstance(part, Op):
                    self._run_on_host(part)
                else:
                    part.run()
        finally:
            self._workspace.busy = False

    def _run_on_host(self, op: Op) -> None:
        inputs = {role: self._array(tensor) for role, tensor in op.inputs.items()}
        for array in inputs.values():
            array.flags.writeable = False
        op.run_on_host(inputs, {role: self._array(tensor) for role, tensor in op.outputs.items()})

    def _array(self, tensor: Tensor) -> NDArray[Any]:
        """Return a view of a tensor's memory."""
        storage = self._storages[tensor]
        if storage.variable is not None:
            return storage.variable.value.reshape(tensor_shape(tensor, self.batch))
        shape = tensor_shape(tensor, self.batch)
        return np.ndarray(shape, tensor_dtype(tensor), self._workspace.memory, storage.offset)

    def view(self, tensor: Tensor) -> NDArray[Any]:
        """Return a read-only view of a fetched tensor, valid until the workspace's next run.

        Raises ValueError for a tensor that is not among those fetched.
        """
        if tensor not in self._fetch:
            raise ValueError(f"view: tensor must be one of those fetched, got {tensor!r}")
        if tensor.variable is not None:
            return tensor.variable.view
        view = self._views.get(tensor)
        if view is None:
            view = self._views[tensor] = self._array(tensor)
            view.flags.writeable = False
        return view


def compile(
    graph: Graph,
    *,
    batch: int,
    fetch: Sequence[Tensor],
    workspace: Workspace,
    target_ops: Sequence[Op] | None = None,
) -> Program:
    """Compile a graph for a batch size; the graph stays as it is.

    `fetch` are the tensors to view after a run. `target_ops` are the ops that write state and are
    to be kept, all of the graph's if None.

    Raises ValueError for tensors of another graph, or sizes that no memory can hold.
    """
    if batch < 1:
        raise ValueError(f"compile: batch must be at least 1, got batch={batch}")
    for tensor in fetch:
        if tensor.graph is not graph:
            raise ValueError(f"compile: fetch must hold tensors of the graph, got {tensor!r}")
    ops = optimize(graph, frozenset(fetch), target_ops, batch)
    return Program(graph, ops, fetch, batch, workspace)
