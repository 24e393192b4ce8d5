"""Files that are damaged or hostile: always FormatError, at once, and without much memory."""

import copy
import hashlib
import json
import sys
import time

import numpy as np
import pytest

import convkit
from convkit import FormatError, saving
from convkit.layers import Dense, Input
from convkit.saving import _container

DIGEST = slice(8 + len(_container.START), 8 + len(_container.START) + _container.DIGITS)


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """Return the bytes of a small model that was trained."""
    convkit.set_seed(1)
    model = convkit.Sequential([Input((2,), name="x"), Dense(2, name="d")], name="m")
    model.compile("adam", "mse")
    model.fit(np.ones((4, 2)), np.ones((4, 2)), verbose=0)
    path = tmp_path_factory.mktemp("good") / "m"
    model.save(path)
    return path.read_bytes()


@pytest.fixture
def load(tmp_path):
    """Return a function that loads a model from bytes."""
    path = tmp_path / "m"

    def from_bytes(data):
        path.write_bytes(data)
        return convkit.load_model(path)

    return from_bytes


def split(data):
    """Return (header, arrays) of a file."""
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def sealed(header, arrays):
    """Make a file with a right digest from a header (a dict or text) and arrays."""
    text = header if isinstance(header, bytes) else json.dumps(header, separators=(",", ":"))
    text = text if isinstance(text, bytes) else text.encode()
    head = bytearray(len(text).to_bytes(8, "little") + text)
    head[DIGEST] = b"0" * _container.DIGITS
    head[DIGEST] = hashlib.sha256(bytes(head) + arrays).hexdigest().encode()
    return bytes(head) + arrays


def changed_document(data, change):
    """Return the file with its document changed, and sealed again."""
    header, arrays = split(data)
    document = json.loads(header["__metadata__"]["document"])
    document = change(document) or document
    text = document if isinstance(document, str) else json.dumps(document)
    header["__metadata__"]["document"] = text
    return sealed(header, arrays)


def test_sealing_again_changes_nothing(good, load):
    header, arrays = split(good)
    assert load(sealed(header, arrays)).count_params() == 6
    assert load(changed_document(good, lambda document: None)).count_params() == 6


def test_every_prefix_is_refused(good, load):
    for length in range(len(good)):
        with pytest.raises(FormatError):
            load(good[:length])
    with pytest.raises(FormatError):
        load(good + b"\0")


def test_every_flipped_bit_of_the_header_is_noticed(good, load, tmp_path):
    model = convkit.Sequential([Input((2,)), Dense(2)])
    model.save_weights(tmp_path / "w")
    weights = (tmp_path / "w").read_bytes()

    def load_weights(data):
        (tmp_path / "w").write_bytes(data)
        model.load_weights(tmp_path / "w")

    for whole, function, bits in ((weights, load_weights, range(8)), (good, load, range(1))):
        data = bytearray(whole)
        for place in range(8 + int.from_bytes(data[:8], "little")):
            for bit in bits:
                data[place] ^= 1 << bit
                with pytest.raises(FormatError):
                    function(data)
                data[place] ^= 1 << bit


def test_random_damage_is_noticed(good, load, rng):
    for _ in range(1000):
        data = bytearray(good)
        for _ in range(rng.integers(1, 4)):
            place = rng.integers(len(data))
            data[place] = (data[place] + rng.integers(1, 256)) % 256
        if bytes(data) != good:
            with pytest.raises(FormatError):
                load(data)


ENTRY = "weights.0.0.kernel"

HEADERS = {
    "type": lambda h: h[ENTRY].update(dtype="F8"),
    "type is a list": lambda h: h[ENTRY].update(dtype=["F32"]),
    "other type": lambda h: h[ENTRY].update(dtype="F64"),
    "shape is larger": lambda h: h[ENTRY].update(shape=[2, 3]),
    "shape is huge": lambda h: h[ENTRY].update(shape=[2**62, 2**62]),
    "shape overflows to fit": lambda h: h[ENTRY].update(shape=[2**62 + 1, 4]),
    "shape has many axes": lambda h: h[ENTRY].update(shape=[1] * 40 + [4]),
    "shape is negative": lambda h: h[ENTRY].update(shape=[-2, -2]),
    "shape is a float": lambda h: h[ENTRY].update(shape=[2.0, 2]),
    "shape is a bool": lambda h: h[ENTRY].update(shape=[True, 4]),
    "shape is null": lambda h: h[ENTRY].update(shape=None),
    "offsets overlap": lambda h: h[ENTRY].update(data_offsets=[8, 24]),
    "offsets are beyond the end": lambda h: h[ENTRY].update(data_offsets=[10**9, 10**9 + 16]),
    "offsets are negative": lambda h: h[ENTRY].update(data_offsets=[-16, 0]),
    "offsets are reversed": lambda h: h[ENTRY]["data_offsets"].reverse(),
    "one offset": lambda h: h[ENTRY].update(data_offsets=[0]),
    "an extra key": lambda h: h[ENTRY].update(pickle="cos"),
    "a missing key": lambda h: h[ENTRY].pop("shape"),
    "an entry is a list": lambda h: h.update({ENTRY: []}),
    "an array is missing": lambda h: h.pop(ENTRY),
    "an array has another name": lambda h: h.update({"weights.0.0.x": h.pop(ENTRY)}),
    "another format": lambda h: h["__metadata__"].update(format="convkit-99"),
    "no format": lambda h: h["__metadata__"].pop("format"),
    "no document": lambda h: h["__metadata__"].pop("document"),
}


@pytest.mark.parametrize("name", sorted(HEADERS))
def test_hostile_headers(name, good, load):
    header, arrays = split(good)
    HEADERS[name](header)
    with pytest.raises(FormatError):
        load(sealed(header, arrays))


def test_headers_that_are_no_objects(good, load):
    _, arrays = split(good)
    start = _container.START.encode() + b"0" * _container.DIGITS
    for rest in (
        *(b"", b'"', b'"}', b'"}}}', b'"}}[', b'","a":1,"a":2}}'),
        *(b'"},"x":' + b"[" * 100_000, b'"}}\xff', b'","format":"convkit-1","document":"[]"}}'),
    ):
        with pytest.raises(FormatError):
            load(sealed(start + rest, arrays))


def test_header_lengths_that_lie(good, load):
    for length in (0, 1, 90, 2**20, 2**31, 2**63, 2**64 - 1):
        with pytest.raises(FormatError):
            load(length.to_bytes(8, "little") + good[8:])


def layer_of(document):
    return document["model"]["config"]["layers"][0]


DOCUMENTS = {
    "another kind": lambda d: d.update(kind="cookbook"),
    "kind is a list": lambda d: d.update(kind=["model"]),
    "no model": lambda d: d.pop("model"),
    "a model that is a string": lambda d: d.update(model="Sequential"),
    "a model that is a layer": lambda d: d.update(model=layer_of(d)),
    "a model that is a metric": lambda d: d["model"].update(
        module="metrics", class_name="Mean", config={}
    ),
    "a class of the system": lambda d: layer_of(d).update(module="os", class_name="system"),
    "a class of numpy": lambda d: layer_of(d).update(module="layers.np", class_name="ndarray"),
    "a private class": lambda d: layer_of(d).update(class_name="_Pooling2D"),
    "a class that is a dict": lambda d: layer_of(d).update(class_name={}),
    "a function": lambda d: layer_of(d).update(module="custom", class_name="eval", config=None),
    "a config that is a list": lambda d: layer_of(d).update(config=[2]),
    "an unknown argument": lambda d: layer_of(d)["config"].update(eval="1"),
    "more units than weights": lambda d: layer_of(d)["config"].update(units=3),
    "units beyond memory": lambda d: layer_of(d)["config"].update(units=2**30),
    "units that are a model": lambda d: layer_of(d)["config"].update(
        units={"class_name": "Sequential", "config": {}}
    ),
    "an input beyond memory": lambda d: d["model"]["config"]["input"].update(shape=[2**30]),
    "an input of no shape": lambda d: d["model"]["config"]["input"].update(shape=[]),
    "an input that is a list": lambda d: d["model"]["config"].update(input=[2]),
    "no layers": lambda d: d["model"]["config"].update(layers=[]),
    "no list of layers": lambda d: d["model"]["config"].pop("layers"),
    "a layer shared with nobody": lambda d: d["model"]["config"].update(layers=[{"shared": 7}]),
    "a layer that is an optimizer": lambda d: d["model"]["config"].update(
        layers=[d["compile"]["optimizer"]]
    ),
    "another float type": lambda d: layer_of(d)["config"].update(dtype="float64"),
    "no float type": lambda d: layer_of(d)["config"].update(dtype="object"),
    "an optimizer that is a loss": lambda d: d["compile"].update(optimizer=d["compile"]["loss"]),
    "another optimizer": lambda d: d["compile"]["optimizer"].update(
        class_name="SGD", config={"learning_rate": 0.1}
    ),
    "numbers of the optimizer": lambda d: d["optimizer"].update(hyper=None),
    "a number that is a string": lambda d: d["optimizer"]["hyper"].update(epsilon="x"),
    "steps below zero": lambda d: d["optimizer"].update(iterations=-1),
    "no steps": lambda d: d["optimizer"].pop("iterations"),
    "no optimizer": lambda d: d.pop("optimizer"),
    "a loss that is not one": lambda d: d["compile"].update(loss="abc"),
    "an unknown argument of compile": lambda d: d["compile"].update(pickle=1),
    "text": lambda d: "pickle",
    "a list": lambda d: "[]",
    "nested too deep": lambda d: '{"kind":' + "[" * 50_000 + "]" * 50_000 + "}",
    "a number too long": lambda d: '{"kind":' + "9" * 10_000 + "}",
}


@pytest.mark.parametrize("name", sorted(DOCUMENTS))
def test_hostile_documents(name, good, load):
    with pytest.raises(FormatError):
        load(changed_document(good, DOCUMENTS[name]))


VALUES = (
    *(None, True, 0, -1, 1, 2, 3, 2**31, 2**63, 2**70, 0.5, float("nan"), float("inf"), "", "x"),
    *("valid", "float64", "Dense", "layers", "custom", [], [0], [[1, 2], [3]], {}, {"shared": 0}),
    *({"module": "models", "class_name": "Sequential", "config": {"layers": []}},),
)


def mutate(rng, value):
    """Replace, drop or repeat one part of a JSON value, at any depth."""
    if isinstance(value, dict | list) and value and rng.random() < 0.9:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        key = keys[rng.integers(len(keys))]
        kind = rng.random()
        if kind < 0.06:
            del value[key]
        elif kind < 0.12:
            other = json.loads(json.dumps(value[keys[rng.integers(len(keys))]]))
            value[key] = other
        else:
            value[key] = mutate(rng, value[key])
        return value
    return copy.deepcopy(VALUES[rng.integers(len(VALUES))])


def load_mutated(data, path, rng, count):
    """Load sealed files with random descriptions; return how many still made a model.

    Anything but a model or a FormatError, within ten seconds, is a failure.
    """
    made = 0
    for _ in range(count):
        header, arrays = split(data)
        document = json.loads(header["__metadata__"]["document"])
        for _ in range(rng.integers(1, 3)):
            if rng.random() < 0.8:
                document = mutate(rng, document)
            else:
                header = mutate(rng, header)
        if isinstance(header, dict) and isinstance(header.get("__metadata__"), dict):
            header["__metadata__"]["document"] = json.dumps(document)
        path.write_bytes(sealed(header, arrays))
        start = time.perf_counter()
        try:
            convkit.load_model(path)
            made += 1
        except FormatError:
            pass
        assert time.perf_counter() - start < 10, document
    return made


def test_random_descriptions(good, tmp_path, rng):
    made = load_mutated(good, tmp_path / "m", rng, 200)
    assert made < 150


def test_models_nested_too_deep(good, load):
    def nest(document):
        inner = json.dumps(document["model"])
        part = '{"module":"models","class_name":"Sequential","config":{"layers":['
        text = part * 2000 + inner + "]}}" * 2000
        document["model"] = "HERE"
        return json.dumps(document).replace('"HERE"', text)

    with pytest.raises(FormatError):
        load(changed_document(good, nest))


def test_hostile_topologies(tmp_path, load):
    x = Input((2,))
    model = convkit.Model(x, convkit.layers.Add()([Dense(2)(x), x]))
    model.save(tmp_path / "graph")
    good = (tmp_path / "graph").read_bytes()
    assert load(good).count_params() == 6
    for change in (
        lambda c: c.update(calls=[]),
        lambda c: c["calls"][0].update(layer=9),
        lambda c: c["calls"][0].update(layer=-1),
        lambda c: c["calls"][0].update(inputs=5),
        lambda c: c["calls"][0].update(inputs=[0, 0]),
        lambda c: c["calls"][1].update(inputs=[]),
        lambda c: c["calls"][1].update(inputs=[[0]]),
        lambda c: c.update(outputs=99),
        lambda c: c.update(outputs=[]),
        lambda c: c.update(outputs=None),
        lambda c: c.update(inputs=[]),
        lambda c: c["inputs"].append({"shape": [3]}),
    ):
        with pytest.raises(FormatError):
            load(changed_document(good, lambda d, change=change: change(d["model"]["config"])))


def test_files_of_others(tmp_path, load):
    from safetensors.numpy import save

    for data in (
        *(b"", b"\x80\x04\x95\x0b.", b"PK\x03\x04" + bytes(100), b"\x89HDF\r\n\x1a\n" + bytes(200)),
        *(bytes(1000), b"x" * 1000, save({"weight": np.ones(3, np.float32)})),
    ):
        with pytest.raises(FormatError, match=r"m: is (not a file|too short)"):
            load(data)
    with pytest.raises(IsADirectoryError):
        convkit.load_model(tmp_path)


def test_a_failed_load_changes_nothing(tmp_path, good):
    model = convkit.Sequential([Input((2,)), Dense(2)])
    before = model.get_weights()
    data = bytearray(good)
    data[-1] ^= 1
    (tmp_path / "m").write_bytes(data)
    for function in (model.load_weights, saving.verify, saving.read_metadata, convkit.load_model):
        with pytest.raises(FormatError, match="damaged: its contents do not have the digest"):
            function(tmp_path / "m")
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_stays_within_the_files_size(run_script):
    output = run_script(
        """
import os, resource, sys, tempfile, time
import numpy as np
events = []
sys.addaudithook(lambda name, _: name.startswith("pickle") and events.append(name))
import convkit
from convkit.layers import Dense, Input

def peak():
    for line in open("/proc/self/status"):
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024

def reset():
    open("/proc/self/clear_refs", "w").write("5")
    return peak()

path = os.path.join(tempfile.mkdtemp(), "m")
model = convkit.Sequential([Input((4000,)), Dense(2000, kernel_initializer="zeros")])
before = reset()
model.save(path)
size = os.path.getsize(path)
assert size > 30e6
assert peak() - before < 8e6, peak() - before
del model
before = reset()
start = time.perf_counter()
loaded = convkit.load_model(path)
assert time.perf_counter() - start < 5
assert peak() - before < 2 * size + 64e6, peak() - before
data = bytearray(open(path, "rb").read())
data[-1] ^= 1
open(path, "wb").write(data)
del data, loaded
before = reset()
try:
    convkit.load_model(path)
except convkit.FormatError:
    pass
assert peak() - before < 16e6, peak() - before
assert not events, events
os.remove(path)
print("fine")
"""
    )
    assert output == "fine\n"
