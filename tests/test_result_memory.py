"""Memory of large results: aligned, and used again when they are gone."""

import copy
import itertools
import pickle
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from tolerance import assert_same_bits

import convkit.functional as F

SIZE = 2**18 + 3  # a megabyte of float32, not whole lines


def negative(value, size=SIZE):
    """Return an array that a functional call has just made: `size` times `value`, below zero."""
    return F.leaky_relu(np.full(size, value, np.float32), 1.0)


@pytest.mark.parametrize("size", [2**13, 2**16 + 1, SIZE, 2**20 + 5])
def test_large_results_are_aligned_arrays_like_others(size):
    y = negative(-1, size)
    assert y.ctypes.data % 64 == 0
    assert y.flags.c_contiguous and y.flags.writeable and y.flags.aligned
    y += 1
    assert not y.any()


def test_all_kinds_of_results_are_aligned(rng):
    x = rng.standard_normal((8, 32, 32, 16), np.float32)
    w = rng.standard_normal((3, 3, 16, 16), np.float32)
    y = F.conv2d(x, w, padding="same")
    pooled, argmax = F.max_pool2d(x, return_argmax=True)
    results = (y, pooled, argmax, *F.conv2d_backward(y, x, w, padding="same")[:1])
    results += (F.batch_norm(x)[0], F.softmax(x, 1), F.dense(x, w[0, 0]))
    assert all(result.ctypes.data % 64 == 0 for result in results)
    ordered = sorted((r.ctypes.data, r.ctypes.data + r.nbytes) for r in results)
    assert all(end <= begin for (_, end), (begin, _) in itertools.pairwise(ordered))


def test_memory_of_a_result_that_is_gone_serves_again():
    y = negative(-1)
    begin = y.ctypes.data
    del y
    assert negative(-2).ctypes.data == begin


def test_a_view_keeps_its_memory():
    view = negative(-1)[5:9]
    others = [negative(-2) for _ in range(3)]
    np.testing.assert_array_equal(view, -1)
    assert all(other[0] == -2 for other in others)


def test_copies_and_pickles():
    y = negative(-3)
    for twin in (y.copy(), copy.deepcopy(y), pickle.loads(pickle.dumps(y))):
        assert not np.shares_memory(twin, y)
        assert_same_bits(twin, y)


def test_threads_get_memory_of_their_own():
    wrong = []

    def work(value):
        for size in [SIZE, SIZE + 1, SIZE] * 20:
            y = negative(value, size)
            again = negative(value - 0.5, size)
            if not ((y == value).all() and (again == value - 0.5).all()):
                wrong.append(value)

    threads = [threading.Thread(target=work, args=(-1.0 - i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_what_is_kept_is_bounded():
    def resident():
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * 4096 / 2**20

    before = resident()
    for i in range(80):
        negative(-1, 2**20 + 2**13 * i)  # 4 MB or more each, never the same: 430 MB in all
    # 64 MB are kept; pages that are rounded up and what malloc keeps of the inputs come on top.
    assert resident() - before < 2 * 64
