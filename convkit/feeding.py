"""Batches out of whatever yields them, prepared by a thread while the last one is computed.

An iterable yields batches: (x, y), (x, y, sample_weight), or x alone for `predict`. A `PyDataset`
is asked for them by number.
"""

from __future__ import annotations

import itertools
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convkit import _check
from convkit.ops.elementwise import SOURCE_TYPES

__all__ = [
    "Batches",
    "Prefetcher",
    "PyDataset",
    "Rows",
    "Slices",
    "Stream",
    "begin",
    "is_stream",
    "is_unreadable_map",
    "split",
    "unpack",
    "validation_arrays",
]

AHEAD = 2  # batches that are ready before they are asked for
# Samples of a batch are numbered from a multiple of this on, so that a batch that comes at another
# time, in a shuffled epoch, has the same numbers.
NUMBERS_PER_BATCH = 1 << 24


class PyDataset:
    """Base of data sets that make batch i when asked for it, as in Keras.

    A subclass defines `__len__` (batches in an epoch) and `__getitem__(i)`, which returns (x, y) or
    (x, y, sample_weight), and may define `on_epoch_end`. It is called from other threads than the
    main one, from `workers` of them at a time.
    """

    def __init__(self, workers: int = 1) -> None:
        self.workers = _check.integer(type(self).__name__, "workers", workers)

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        raise NotImplementedError(f"{type(self).__name__} must define __len__")

    def __getitem__(self, index: int) -> Any:
        """Return batch `index`."""
        raise NotImplementedError(f"{type(self).__name__} must define __getitem__")

    def on_epoch_end(self) -> None:
        """Prepare the next epoch; called when the last batch of one has been trained on."""


def _is_dataset(x: Any) -> bool:
    return isinstance(x, PyDataset) or (
        hasattr(x, "__getitem__") and hasattr(x, "__len__") and not hasattr(x, "__iter__")
    )


_ARRAY_LIKE = (np.ndarray, list, tuple, dict, str, bytes, bytearray, memoryview, range)


def is_stream(x: Any) -> bool:
    """Say whether x yields batches, rather than being an array or what becomes one."""
    if x is None or isinstance(x, _ARRAY_LIKE):
        return False
    if hasattr(x, "__array__") or hasattr(x, "__array_interface__"):
        return False
    return hasattr(x, "__iter__") or _is_dataset(x)


def is_unreadable_map(x: Any) -> bool:
    """Say whether x is a memory map of a kind that programs cannot read rows of in place."""
    return isinstance(x, np.memmap) and not (
        (x.dtype in SOURCE_TYPES and x.dtype.isnative) and x.flags.c_contiguous and x.flags.aligned
    )


def unpack(function: str, batch: Any) -> tuple[Any, Any, Any]:
    """Return (x, y, sample_weight) of a batch, None for what it lacks."""
    if not isinstance(batch, tuple):
        return batch, None, None
    if not 1 <= len(batch) <= 3:
        raise ValueError(
            f"{function}: a batch must be (x, y) or (x, y, sample_weight), got a tuple of"
            f" {len(batch)}"
        )
    x, y, weight = (*batch, None, None)[:3]
    return x, y, weight


def apply(function: Callable[[Any], Any], value: Any) -> Any:
    """Return function(value), or that of each array in a dict or a list; None stays."""

    def of(each: Any) -> Any:
        return None if each is None else function(each)

    if isinstance(value, dict):
        return {name: of(each) for name, each in value.items()}
    return [of(each) for each in value] if isinstance(value, list | tuple) else of(value)


def copied(value: Any) -> Any:
    """Return arrays as copies: who yields them may fill them anew while a thread is ahead."""
    return apply(lambda each: each.copy() if isinstance(each, np.ndarray) else each, value)


class Slices(PyDataset):
    """Batches of arrays whose rows are converted when they are needed, not all at once.

    `several`: y and sample_weight may be lists, an array for each output.
    """

    def __init__(
        self, function: str, arrays: tuple[Any, Any, Any], size: int, *, several: bool
    ) -> None:
        super().__init__()
        x, *others = arrays
        self._size, self._order = size, np.arange(len(x))

        def whole(name: str, value: Any) -> Any:
            array = np.asarray(value)  # of a table, too, whose rows have names
            if array.ndim == 0 or len(array) != len(x):
                raise ValueError(
                    f"{function}: {name} must have as many samples as x, {len(x)}, got shape"
                    f" {array.shape}"
                )
            return array

        self._arrays = [x]
        for name, value in zip(("y", "sample_weight"), others, strict=True):
            many = isinstance(value, dict) or (several and isinstance(value, list | tuple))
            check = partial(whole, name)
            self._arrays.append(apply(check, value) if many or value is None else check(value))

    def __len__(self) -> int:
        """Return the number of batches."""
        return -(-len(self._order) // self._size)

    def __getitem__(self, index: int) -> Any:
        """Copy the rows of a batch, in the order of the file."""
        rows = np.sort(self._order[index * self._size : (index + 1) * self._size])
        return tuple(apply(lambda array: array[rows], arrays) for arrays in self._arrays)

    def reorder(self, generator: np.random.Generator) -> None:
        """Choose another order of the rows."""
        self._order = generator.permutation(len(self._order))


@dataclass
class Batches:
    """Samples of all inputs with labels and weights of all outputs, ready to be gathered from.

    An output without a loss has neither.
    """

    x: list[NDArray[Any]]
    y: list[NDArray[Any] | None]
    weights: list[NDArray[Any] | None]
    first: int = 0  # the number of the first sample, for random ops

    @cached_property
    def numbers(self) -> NDArray[np.int64]:
        """Number the samples."""
        return np.arange(self.first, self.first + len(self), dtype=np.int64)

    def __len__(self) -> int:
        return len(self.x[0])

    def part(self, rows: slice) -> Batches:
        """Return some of the samples."""
        y, weights = (
            [None if array is None else array[rows] for array in arrays]
            for arrays in (self.y, self.weights)
        )
        return Batches([array[rows] for array in self.x], y, weights, self.first + rows.start)


class Rows:
    """Epochs of batches out of arrays: (batches, rows), in the order that `shuffle` gives each."""

    def __init__(self, batches: Any, size: int, *, steps: int | None = None) -> None:
        self.batches, self._size = batches, size
        self.shuffle: np.random.Generator | None = None
        self._limit = steps
        self._order = np.arange(len(batches), dtype=np.int64)
        self._starts = range(0, len(batches), size)[:steps]
        self.steps: int | None = len(self._starts)

    def part(self, rows: slice) -> Rows:
        """Return epochs of some of the samples."""
        part = Rows(self.batches.part(rows), self._size, steps=self._limit)
        part.shuffle = self.shuffle
        return part

    def begin(self) -> bool:
        """Begin an epoch."""
        if self.shuffle is not None:
            self._order = self.shuffle.permutation(len(self._order)).astype(np.int64)
        return True

    def __iter__(self) -> Iterator[tuple[Any, NDArray[np.int64]]]:
        """Yield what the steps of an epoch read."""
        size = self._size
        return ((self.batches, self._order[start : start + size]) for start in self._starts)

    def close(self) -> None:
        """There is nothing to end."""


class Prefetcher:
    """An iterator over `items` that a thread goes through, a few items ahead.

    What `items` raises is raised where its item would have come. The thread ends with the items, or
    after `close` as soon as `items` returns to it.
    """

    def __init__(self, items: Iterator[Any]) -> None:
        self._ready: deque[Any] = deque()
        self._changed = threading.Condition()
        self._ended = self._closed = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(
            target=self._fetch, args=(items,), name="convkit-batches", daemon=True
        )
        self._thread.start()

    def _fetch(self, items: Iterator[Any]) -> None:
        error: BaseException | None = None
        try:
            for item in items:
                with self._changed:
                    self._ready.append(item)
                    self._changed.notify_all()
                    self._changed.wait_for(lambda: self._closed or len(self._ready) < AHEAD)
                    if self._closed:
                        break
        except BaseException as raised:
            error = raised
        with self._changed:
            self._ended, self._error = True, error
            self._changed.notify_all()

    def more(self) -> bool:
        """Wait for the next item; say whether there is one. Raises what getting it raised."""
        with self._changed:
            while not self._ready and not self._ended:
                # With a limit, so that signals are seen on systems where waiting hides them.
                self._changed.wait(0.1)
            if self._ready:
                return True
            if self._error is not None:
                error, self._error = self._error, None
                raise error
            return False

    def __iter__(self) -> Prefetcher:
        return self

    def __next__(self) -> Any:
        if not self.more():
            raise StopIteration
        with self._changed:
            item = self._ready.popleft()
            self._changed.notify_all()
        return item

    def close(self) -> None:
        """Let the thread end; wait for it, but not long for code of others that it is in."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(0.5)


class Stream:
    """Epochs of batches out of an iterable or a data set, each made by prepare(batch, number).

    `steps` ends an epoch early. An iterator is gone through once over all `epochs`; other iterables
    begin anew with each epoch. `shuffle` (a generator) orders the batches of a data set, or the
    rows of arrays.
    """

    def __init__(
        self,
        function: str,
        data: Any,
        prepare: Callable[[Any, int], Any],
        *,
        steps: int | None = None,
        epochs: int = 1,
    ) -> None:
        self._data, self._prepare = data, prepare
        self.shuffle: np.random.Generator | None = None
        self._dataset = _is_dataset(data)
        self._once = not self._dataset and iter(data) is data
        self.steps = steps
        if self._dataset:
            if len(data) < 1:
                raise ValueError(f"{function}: the data set must have at least one batch, got none")
            self.steps = min(len(data), steps or len(data))
        elif hasattr(data, "__len__"):
            self.steps = min(len(data), steps or len(data))
        if self._once and steps is None and epochs > 1:
            raise ValueError(
                f"{function}: a generator is gone through once; for epochs={epochs} pass how many"
                " of its batches make an epoch (steps_per_epoch=, validation_steps=), or an object"
                " whose __iter__ begins anew"
            )
        self._function = function
        self._epochs = epochs
        self._ahead: Prefetcher | None = None

    def first(self) -> Any:
        """Return the first batch as it is, which comes again in the first epoch."""
        if self._dataset:
            return self._data[0]
        begun = iter(self._data)
        batch = next(begun, None)
        if batch is None:
            raise ValueError(f"{self._function}: data must yield at least one batch, got none")
        if self._once:
            self._data = itertools.chain([batch], begun)
        return batch

    def begin(self) -> bool:
        """Begin an epoch; say whether it has a batch."""
        if self._ahead is None or not self._once:
            self.close()
            limit = self.steps
            if self._once and limit is not None:
                limit *= self._epochs
            numbered = self._numbered()
            self._ahead = Prefetcher(
                self._prepare(batch, number * NUMBERS_PER_BATCH)
                for number, batch in itertools.islice(numbered, limit)
            )
        return self._ahead.more()

    def _numbered(self) -> Iterator[tuple[int, Any]]:
        if not self._dataset:
            if self.steps is None or not self._once:
                return enumerate(self._data)
            return ((i % self.steps, batch) for i, batch in enumerate(self._data))
        order: Sequence[int] = range(len(self._data))
        if self.shuffle and isinstance(self._data, Slices):
            self._data.reorder(self.shuffle)
        elif self.shuffle:
            order = self.shuffle.permutation(len(order)).tolist()
        return self._fetched(order)

    def _fetched(self, order: Sequence[int]) -> Iterator[tuple[int, Any]]:
        """Yield the batches of a data set, from as many threads as it asks for."""
        workers = int(getattr(self._data, "workers", 1))
        if workers < 2:
            for i in order:
                yield i, self._data[i]
            return
        with ThreadPoolExecutor(workers, "convkit-batches") as pool:
            waiting: deque[Any] = deque()
            for i in order:
                waiting.append((i, pool.submit(self._data.__getitem__, i)))
                if len(waiting) > workers:
                    number, future = waiting.popleft()
                    yield number, future.result()
            for number, future in waiting:
                yield number, future.result()

    def __iter__(self) -> Iterator[Any]:
        """Yield the batches of the epoch that was begun."""
        assert self._ahead is not None
        yield from itertools.islice(self._ahead, self.steps)
        finished = getattr(self._data, "on_epoch_end", None)
        if callable(finished):
            finished()

    def close(self) -> None:
        """End the thread."""
        if self._ahead is not None:
            self._ahead.close()
            self._ahead = None


def validation_arrays(data: Any) -> tuple[Any, Any, Any]:
    """Return (x, y, sample_weight) of validation data, which may yield batches."""
    if is_stream(data):
        return data, None, None
    if not isinstance(data, list | tuple) or len(data) not in (2, 3):
        raise ValueError(
            "fit: validation_data must be (x, y), (x, y, sample_weight), or yield such batches"
        )
    return (*data, None)[:3]


def split(source: Rows | Stream, share: float, size: int, given: Any) -> tuple[Rows, Rows]:
    """Return the first samples for training and the last share of them for validation."""
    if not isinstance(source, Rows):
        raise ValueError(
            f"fit: validation_split={given!r} needs arrays, x yields batches; pass validation_data"
        )
    count = len(source.batches)
    kept = int(count * (1 - share))
    if kept < 1 or kept == count:
        raise ValueError(
            f"fit: validation_split={given!r} of {count} samples leaves no samples for one of both"
            " sides"
        )
    return source.part(slice(0, kept)), Rows(source.batches.part(slice(kept, None)), size)


def begin(function: str, source: Rows | Stream, later: bool) -> bool:
    """Begin an epoch; without batches an error for the first one, a warning for a later one."""
    if source.begin():
        return True
    if not later:
        raise ValueError(f"{function}: data must yield at least one batch, got none")
    warnings.warn(f"{function}: the data ended before the last epoch", stacklevel=4)
    return False
