"""Batches prepared ahead by a thread: order, errors, ends."""

import threading
import time

import numpy as np
import pytest

from convkit.feeding import AHEAD, NUMBERS_PER_BATCH, Prefetcher, PyDataset, Stream, is_stream


def working():
    """Return the threads that prepare batches."""
    return [t for t in threading.enumerate() if t.name.startswith("convkit-batches")]


@pytest.fixture(autouse=True)
def no_thread_stays():
    """Every test ends the threads it began."""
    yield
    end = time.monotonic() + 2
    while working() and time.monotonic() < end:
        time.sleep(0.005)
    assert not working()


def test_items_come_in_order_and_the_thread_ends():
    ahead = Prefetcher(iter(range(50)))
    assert list(ahead) == list(range(50))
    ahead.close()


def test_a_thread_is_only_a_few_items_ahead():
    made = []

    def items():
        for i in range(100):
            made.append(i)
            yield i

    ahead = Prefetcher(items())
    assert next(ahead) == 0
    time.sleep(0.05)
    assert len(made) <= 1 + AHEAD + 1
    ahead.close()


def test_errors_come_where_the_item_would_have_come():
    def items():
        yield 1
        raise OSError("disk")

    ahead = Prefetcher(items())
    assert next(ahead) == 1
    with pytest.raises(OSError, match="disk"):
        next(ahead)
    with pytest.raises(StopIteration):
        next(ahead)
    ahead.close()


def test_close_does_not_wait_long_for_items_that_block():
    free = threading.Event()

    def items():
        yield 1
        free.wait(5)
        yield 2

    ahead = Prefetcher(items())
    assert next(ahead) == 1
    start = time.monotonic()
    ahead.close()
    assert time.monotonic() - start < 3
    free.set()


class Numbers(PyDataset):
    """Batch i is i."""

    def __init__(self, count, **options):
        super().__init__(**options)
        self.count = count
        self.ended = 0

    def __len__(self):
        """Return the number of batches."""
        return self.count

    def __getitem__(self, index):
        """Return a number, later for even ones."""
        time.sleep(0.002 * (index % 2 == 0))
        return index

    def on_epoch_end(self):
        """Count."""
        self.ended += 1


def epochs(stream, count):
    """Return the batches of some epochs."""
    found = []
    for _ in range(count):
        assert stream.begin()
        found.append(list(stream))
    stream.close()
    return found


def pair(batch, number):
    """Keep the batch and its number."""
    return batch, number // NUMBERS_PER_BATCH


@pytest.mark.parametrize("workers", [1, 3])
def test_a_data_set_is_asked_batch_by_batch(workers):
    data = Numbers(5, workers=workers)
    assert epochs(Stream("fit", data, pair), 2) == [[(i, i) for i in range(5)]] * 2
    assert data.ended == 2
    assert epochs(Stream("fit", data, pair, steps=3), 1) == [[(i, i) for i in range(3)]]
    shuffled = Stream("fit", data, pair)
    shuffled.shuffle = np.random.default_rng(0)
    first, second = epochs(shuffled, 2)
    assert first != second and sorted(first) == sorted(second) == [(i, i) for i in range(5)]


def test_what_begins_anew_is_gone_through_in_every_epoch():
    class Loader:
        def __iter__(self):
            return iter("abc")

    assert epochs(Stream("fit", Loader(), pair), 2) == [[("a", 0), ("b", 1), ("c", 2)]] * 2
    assert epochs(Stream("fit", Loader(), pair, steps=2), 2) == [[("a", 0), ("b", 1)]] * 2


def test_a_generator_goes_on_from_epoch_to_epoch_and_no_item_is_lost():
    items = iter(range(100))
    found = epochs(Stream("fit", items, pair, steps=3, epochs=2), 2)
    assert found == [[(0, 0), (1, 1), (2, 2)], [(3, 0), (4, 1), (5, 2)]]
    assert next(items) == 6
    whole = Stream("fit", iter("ab"), pair)
    assert whole.first() == "a"
    assert epochs(whole, 1) == [[("a", 0), ("b", 1)]]


def test_a_generator_that_ends_early_cannot_begin_another_epoch():
    stream = Stream("fit", iter(range(4)), pair, steps=2, epochs=3)
    epochs_found = [list(stream) for _ in range(3) if stream.begin()]
    assert len(epochs_found) == 2
    stream.close()


def test_streams_without_batches_or_ends_are_refused():
    with pytest.raises(ValueError, match=r"gone through once; for epochs=2 pass .*steps_per_epoch"):
        Stream("fit", iter([1]), pair, epochs=2)
    with pytest.raises(ValueError, match="at least one batch, got none"):
        Stream("fit", iter([]), pair).first()
    with pytest.raises(ValueError, match="at least one batch, got none"):
        Stream("fit", Numbers(0), pair)
    with pytest.raises(NotImplementedError, match="PyDataset must define __getitem__"):
        PyDataset()[0]
    with pytest.raises(NotImplementedError, match="PyDataset must define __len__"):
        Stream("fit", PyDataset(), pair)
    with pytest.raises(ValueError, match="workers must be at least 1"):
        Numbers(3, workers=0)


def test_what_is_a_stream(tmp_path):
    for data in (iter([1]), (i for i in ()), Numbers(2), {1}.__iter__()):
        assert is_stream(data)
    memmap = np.memmap(tmp_path / "x", np.uint8, "w+", shape=(3, 2))
    for data in (None, [1], (1,), {"a": 1}, "text", range(3), np.ones(3), memmap, memoryview(b"a")):
        assert not is_stream(data)
