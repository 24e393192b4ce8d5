"""The same bits for any number of threads, from any Python thread, and after a fork."""

import os
import threading

import numpy as np
import pytest
from calls import IDS, LARGE, digest, make_calls
from cases import uniform
from tolerance import assert_same_bits

import convkit
import convkit.functional as F

DIGESTS = """
import calls, convkit
print(convkit.runtime.active_isa())
for threads in (1, 2, 3, 1):
    convkit.set_num_threads(threads)
    print(calls.digest())
print(calls.exact_digest())
"""


def test_every_isa_gives_the_same_bits_for_any_number_of_threads(run_script):
    exact = set()
    for isa in convkit.runtime.isas_usable():
        active, *digests, integers = run_script(DIGESTS, CONVKIT_ISA=isa).split()
        assert active == isa
        assert len(digests) == 4 and len(set(digests)) == 1, isa
        exact.add(integers)
    # Sums of integers are exact, so the ISAs agree with each other too.
    assert len(exact) == 1


def test_digest_does_not_depend_on_the_process(run_script):
    script = "import calls; print(calls.digest())"
    again = run_script(script, CONVKIT_ISA=convkit.runtime.active_isa(), CONVKIT_NUM_THREADS="3")
    assert again.strip() == digest()


def test_large_convolutions(threads, rng):
    # The reference is what one thread computes; the fixture runs 1, 2 and 3.
    for conv in LARGE:
        x, w = uniform(rng, conv.x_shape, np.float32), uniform(rng, conv.w_shape, np.float32)
        dy = uniform(rng, conv.y_shape, np.float32)
        got = F.conv2d(x, w, **conv.options), *F.conv2d_backward(dy, x, w, **conv.options)
        convkit.set_num_threads(1)
        want = F.conv2d(x, w, **conv.options), *F.conv2d_backward(dy, x, w, **conv.options)
        convkit.set_num_threads(threads)
        for g, r in zip(got, want, strict=True):
            assert_same_bits(g, r)


@pytest.mark.parametrize("name", [name for name in IDS if "activation" not in name])
def test_more_threads_than_work(name):
    call = make_calls(np.float32)[name]
    before = convkit.get_num_threads()
    results = []
    for n in (1, 8):
        convkit.set_num_threads(n)
        small = {k: a[:1] if k in call.batch else a for k, a in call.arrays.items()}
        options = {}
        if "x_shape" in call.options:
            options["x_shape"] = (1, *call.options["x_shape"][1:])
        results.append(call.results(**small, **options))
    convkit.set_num_threads(before)
    for one, eight in zip(*results, strict=True):
        assert_same_bits(one, eight)


def test_calls_from_several_python_threads(threads):
    calls = [*make_calls(np.float32).values(), *make_calls(np.float64).values()]
    expected = [call.results() for call in calls]
    start, failures = threading.Barrier(4), []

    def work(offset):
        try:
            start.wait(10)
            for i in range(3 * len(calls)):
                at = (i + offset) % len(calls)
                for got, want in zip(calls[at].results(), expected[at], strict=True):
                    assert_same_bits(got, want)
        except BaseException as error:
            failures.append(error)
            raise

    workers = [threading.Thread(target=work, args=(17 * n,)) for n in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert not worker.is_alive()
    assert not failures


CONCURRENT_LARGE = """
import threading
import numpy as np
import convkit
import convkit.functional as F

convkit.set_num_threads(2)
rng = np.random.default_rng(0)
x, w = rng.random((4, 20, 20, 16), np.float32), rng.random((3, 3, 16, 32), np.float32)
expected = F.conv2d(x, w).tobytes()
wrong = []

def work():
    for _ in range(40):
        if F.conv2d(x, w).tobytes() != expected:
            wrong.append(1)

workers = [threading.Thread(target=work) for _ in range(4)]
for worker in workers:
    worker.start()
for worker in workers:
    worker.join()
print("wrong" if wrong else "same")
"""


def test_four_threads_on_one_team(run_script):
    assert run_script(CONCURRENT_LARGE).strip() == "same"


FORK = """
import hashlib, os, signal, sys, warnings
import numpy as np
import convkit
import convkit.functional as F

warnings.simplefilter("ignore", DeprecationWarning)  # Python >= 3.12 warns of fork with threads
convkit.set_num_threads(2)
rng = np.random.default_rng(0)
x, w = rng.random((4, 20, 20, 16), np.float32), rng.random((3, 3, 16, 32), np.float32)

def results():
    sha = hashlib.sha256(F.conv2d(x, w).tobytes())
    for gradient in F.conv2d_backward(np.ones((4, 18, 18, 32), np.float32), x, w):
        sha.update(gradient.tobytes())
    return sha.hexdigest()

before = results()
for _ in range(3):
    child = os.fork()
    if child == 0:
        signal.alarm(20)  # a hang ends as a signal, which is not exit status 0
        ok = results() == before
        convkit.set_num_threads(3)
        ok = ok and results() == before
        os._exit(0 if ok else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert results() == before
print("same")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
def test_fork_after_use(run_script):
    assert run_script(FORK, timeout=90).strip() == "same"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
def test_fork_while_another_thread_computes(run_script):
    script = FORK.replace(
        "before = results()\n",
        "import threading\n"
        "before, stop = results(), threading.Event()\n"
        "def busy():\n"
        "    while not stop.is_set():\n"
        "        results()\n"
        "threading.Thread(target=busy, daemon=True).start()\n",
    ).replace('print("same")', 'stop.set(); print("same")')
    assert run_script(script, timeout=90).strip() == "same"
