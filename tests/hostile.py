"""Call the functional API with one poisoned argument; it must compute or raise what it documents.

As a program, `hostile.py SEED COUNT FILE` makes COUNT calls and writes each into FILE before it is
made, so that who started it can name the call that killed the process or hung. It prints calls
that raised anything but ValueError, TypeError or MemoryError.
"""

import resource
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
from calls import make_calls

ALLOWED = (ValueError, TypeError, MemoryError)
SECONDS = 10  # for one call
MEMORY = 4 << 30
LARGE = 2**16  # a size that fits into memory

SIZES = [
    *(0, -1, 2, 3, 7, 2**31 - 1, 2**31, 2**62 - 1, 2**63, 2**200, float("nan"), 1.5, True, None),
    *("same ", "same", "valid", "", (), (1,), (1, 2), (0, 1), (2, -1), (2**31 - 1, 2**31 - 1)),
    *((1, 1, 1, 1, 1), ((1, 0), (0, 1)), ((1, 2), (2**40, 0)), [[3, 3], [3, 3]], {}, {"a": 1}),
    *(b"1", 1j, np.float32(2), np.int8(2), np.array(2), np.array([2, 1]), np.array([]), object()),
    *(range(2), "relu", "softmax", "rellu", float("inf"), -0.5, 1e308, 0.25, np.nan, [None, 1]),
]
TYPES = ["?", "i1", "u8", "f2", "g", "F", "O", "S3", "U2", "M8[s]", "m8[s]", ">f4", ">i8", "V4"]


def poisoned_array(array, rng):
    """Return something in the place of an array: of another type, shape, layout or content."""
    kind = rng.integers(16)
    shape = list(array.shape)
    if kind == 0:
        return SIZES[rng.integers(len(SIZES))]
    if kind == 1:
        name = TYPES[rng.integers(len(TYPES))]
        return np.zeros(array.shape, name) if name in ("M8[s]", "V4") else array.astype(name)
    if kind == 2:  # a size of zero, one more or one less
        axis = rng.integers(len(shape))
        shape[axis] = max(0, rng.choice([0, shape[axis] - 1, shape[axis] + 1, 1]))
        return np.ones(shape, array.dtype)
    if kind == 3:
        return array[None]
    if kind == 4:
        return array[0]
    if kind == 5:
        return np.ones((), array.dtype)
    if kind == 6:  # larger than memory, or than any size can count
        axis = rng.integers(len(shape))
        shape[axis] = int(rng.choice([LARGE, 2**31 - 1, 2**31, 2**40]))
        if np.prod(shape, dtype=object) * array.itemsize >= 2**63:
            shape[axis] = 2**33
        return np.broadcast_to(array.dtype.type(1), shape)
    if kind == 7:
        return array.tolist()
    if kind == 8:
        return [[1.0], [1.0, 2.0]]
    if kind == 9:
        return np.asfortranarray(array)
    if kind == 10:
        return array[::-1]
    if kind == 11:
        bad = array.copy()
        values = [np.nan, np.inf, -np.inf, 3e38, 1e-45] if array.dtype.kind == "f" else [99]
        bad.reshape(-1)[rng.integers(bad.size)] = values[rng.integers(len(values))]
        return bad
    if kind == 12:
        return np.swapaxes(array, 0, -1)
    if kind == 13:  # not aligned
        raw = np.zeros(array.nbytes + 1, np.uint8)[1:]
        return raw.view(array.dtype).reshape(array.shape)
    if kind == 14:
        return np.full_like(array, 255 if array.dtype.kind in "iu" else np.finfo(array.dtype).max)
    return None


# Arguments beyond those of the valid calls.
MORE = {
    "conv2d": ("strides", "dilation", "groups", "activation", "out"),
    "conv2d_backward": ("dilation", "groups", "needs"),
    "conv2d_transpose": ("dilation", "groups", "output_padding", "out"),
    "conv2d_transpose_backward": ("dilation", "groups", "output_padding", "needs"),
    "dense": ("activation", "out"),
    "dense_backward": ("needs",),
    "max_pool2d": ("out",),
    "max_pool2d_backward": ("out",),
    "avg_pool2d": ("count_include_pad", "out"),
    "avg_pool2d_backward": ("count_include_pad", "out"),
    "batch_norm": ("epsilon",),
    "batch_norm_inference": ("epsilon", "out"),
    "batch_norm_backward": ("epsilon",),
    "softmax": ("out",),
    "log_softmax": ("out",),
    "leaky_relu": ("negative_slope", "out"),
    "elu": ("alpha", "out"),
    "gelu": ("approximate", "out"),
}


def takes_minutes(changes):
    """Say whether the arguments are a large image and a kernel as large: honest work."""
    x, w = (getattr(changes.get(name), "shape", ()) for name in "xw")
    return len(x) == len(w) == 4 and any(x[i + 1] == w[i] == LARGE for i in (0, 1))


def one_call(calls, rng):
    """Return a valid call and a poisoned argument of it as a dict."""
    call = calls[rng.integers(len(calls))]
    names = [*call.arrays, *call.options, *MORE.get(call.name, ())]
    changes = {}
    for _ in range(rng.choice([1, 1, 1, 2])):
        name = names[rng.integers(len(names))]
        if name in call.arrays:
            changes[name] = poisoned_array(call.arrays[name], rng)
            if takes_minutes(changes):
                del changes[name]
        elif name == "out" and rng.integers(2):
            first = next(iter(call.arrays.values()))
            changes[name] = poisoned_array(np.asarray(first), rng)
        else:
            changes[name] = SIZES[rng.integers(len(SIZES))]
    return call, changes


def brief(value):
    """Describe a value in a few words."""
    if isinstance(value, np.ndarray):
        return f"array{value.shape}.{value.dtype}"
    return repr(value)[:80]


def main(seed, count, path):
    """Make the calls; return how many raised what they must not."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    calls = [c for dtype in (np.float32, np.float64) for c in make_calls(dtype).values()]
    rng = np.random.default_rng(seed)
    failures = 0
    with Path(path).open("wb", buffering=0) as file:
        for number in range(count):
            call, changes = one_call(calls, rng)
            text = f"{number} {call} {', '.join(f'{k}={brief(v)}' for k, v in changes.items())}"
            file.seek(0)
            file.write(text.encode().ljust(400))
            signal.alarm(SECONDS)
            try:
                with np.errstate(all="ignore"):
                    call(**changes)
            except ALLOWED:
                pass
            except BaseException as error:
                failures += 1
                print(f"seed {seed}, call {text}: {type(error).__name__}: {error}", flush=True)
    signal.alarm(0)
    return failures


def run(seed, count, path, environment):
    """Run the program in a process of its own; return what went wrong as a text, "" if nothing."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", __file__, str(seed), str(count), str(path)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    if done.returncode in (0, 1) and not done.stderr:
        return done.stdout
    last = Path(path).read_text().strip() if Path(path).exists() else "before any call"
    return f"{done.stdout}{done.stderr}\nended with {done.returncode} at: seed {seed}, call {last}"


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]) > 0)
