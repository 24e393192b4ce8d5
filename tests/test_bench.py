"""The comparisons: descriptions, builders, timing, processes, reports; no other library needed."""

import dataclasses
import json
import math
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import convkit
from convkit import _core
from convkit.bench import (
    cli,
    footprint,
    functional,
    in_convkit,
    in_numpy,
    machine,
    nets,
    plot,
    report,
    suites,
    tasks,
)
from convkit.bench.measure import FEW, geometric_mean, interleave, ratio
from convkit.bench.shapes import CONV_SHAPES
from convkit.bench.tasks import (
    ConvData,
    NotOffered,
    OpData,
    Task,
    bytes_moved,
    passes_over_memory,
    prepare,
)
from convkit.bench.workers import Failed, Workers

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))
sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import goals
import paste_numbers

ROOT = Path(__file__).parents[1]


# ---- nets ----------------------------------------------------------------------------------------

# Counted by hand or published: LeNet-5 61,706; the class's nets 203,068 and 9,532; the Keras
# example 34,826; TensorFlow's tutorial 122,570; airbench94 by its layers.
NUMBERS = {
    "lenet5": 61_706,
    "class_conv": 203_068,
    "class_pool": 9_532,
    "mnist_convnet": 34_826,
    "cifar_cnn": 122_570,
    "airbench94": 312 + 13_824 + 36_864 + 147_456 + 3 * 589_824 + 2_560 + 6 * (64 + 256 + 256),
}


@pytest.mark.parametrize("name", nets.NETS)
def test_builds_have_the_same_numbers(name):
    net = nets.NETS[name]
    count = in_convkit.count_numbers(in_convkit.build(net))
    assert functional.initial(net).count == count
    assert NUMBERS.get(name, count) == count


@pytest.mark.parametrize("name", nets.NETS)
def test_the_description_ends_in_the_classes(name):
    net = nets.NETS[name]
    assert nets.output_shape(net.layers, net.input_shape) == (net.classes,)
    assert in_convkit.build(net).output_shape == (None, net.classes)


def test_airbench_trains_all_but_its_first_layer():
    model = in_convkit.build(nets.AIRBENCH94)
    x, y = tasks.images_and_labels((32, 32, 3), 10, 4)
    model.compile("sgd", "sparse_categorical_crossentropy")
    before = model.get_weights()
    model.fit(x, y, batch_size=4, verbose=0)
    changed = [not np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True)]
    assert changed == [False, False, *[True] * (len(before) - 2)]


def test_flops_of_training_leave_out_what_nobody_needs():
    conv, dense = nets.Conv(4, 3, "valid"), nets.Dense(5)
    frozen = nets.Conv(4, 3, "valid", frozen=True)
    own, then = 2 * 6 * 6 * 4 * 9 * 3, 2 * 144 * 5

    def net(*layers):
        return nets.Net("net", (8, 8, 3), layers)

    assert nets.flops(net(conv, nets.Flatten(), dense), False) == own + then
    assert nets.flops(net(conv, nets.Flatten(), dense), True) == 2 * own + 3 * then
    assert nets.flops(net(frozen, nets.Flatten(), dense), True) == own + 2 * then


def test_flops_of_a_residual_layer_are_those_of_both_sides():
    body, shortcut = (nets.Conv(4, 3),), (nets.Conv(4, 1),)
    net = nets.Net("net", (8, 8, 3), (nets.Residual(body, shortcut),))
    assert nets.flops(net, False) == 2 * 64 * 4 * 3 * (9 + 1)
    assert nets.flops(net, True) == 2 * nets.flops(net, False)


class _NumpyPrimitives:
    """The primitives in float64, for one check of the walk through a net."""

    def conv(self, x, w, stride, padding):
        return convkit.functional.conv2d(x, w, strides=stride, padding=padding)

    def activation(self, x, name):
        return getattr(convkit.functional, name)(x)

    def max_pool(self, x, size):
        return convkit.functional.max_pool2d(x, size)

    def batch_norm(self, x, gamma, beta, mean, variance):
        return convkit.functional.batch_norm_inference(x, mean, variance, gamma, beta)

    def batch_norm_training(self, x, gamma, beta):
        return convkit.functional.batch_norm(x, gamma, beta)

    def mean_of_pixels(self, x):
        return x.mean((1, 2))

    def reshape(self, x, columns):
        return x.reshape(-1, columns)

    def dropout(self, x, rate):
        return x

    def matmul(self, x, w):
        return x @ w


@pytest.mark.parametrize("name", ["lenet5", "resnet20", "airbench94"])
def test_functional_nets_compute_what_convkit_does(name):
    net = nets.NETS[name]
    model = in_convkit.build(net)
    numbers = functional.initial(net)
    trained, kept = iter(numbers.trained), iter(numbers.kept)
    weights = []
    for variable in model.variables:
        frozen = name == "airbench94" and len(weights) < 2
        weights.append(next(trained if variable.trainable and not frozen else kept))
    model.set_weights(weights)
    x, _ = tasks.images_and_labels(net.input_shape, net.classes, 2)
    logits, after = functional.forward(
        net, _NumpyPrimitives(), numbers.trained, numbers.kept, x, False
    )
    chances = convkit.functional.softmax(np.asarray(logits, np.float32))
    np.testing.assert_allclose(model.predict(x, verbose=0), chances, rtol=1e-3, atol=1e-5)
    _, after = functional.forward(net, _NumpyPrimitives(), numbers.trained, numbers.kept, x, True)
    assert [a.shape for a in after] == [k.shape for k in numbers.kept]


# ---- tasks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [s for s in CONV_SHAPES if s.groups == 1 and s.flops < 2e6])
def test_numpy_and_convkit_convolve_alike(shape):
    data = ConvData(shape, 2)
    for direction in shape.passes:
        ours = in_convkit.conv("convkit", data, direction).result()
        theirs = in_numpy.conv("numpy", data, direction).result()
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4 * np.abs(theirs).max())


@pytest.mark.parametrize(
    ("name", "direction"),
    sorted({(t.name, t.direction) for t in suites.tasks("ops", suites.Choice())}),
)
def test_operations_run(name, direction):
    shape = {"dense": (6, 5), "sgd": (7,), "adam": (7,)}.get(name, (6, 4, 3))
    prepared = prepare("convkit", Task("op", name, direction, 2, shape))
    prepared.work(2)
    if prepared.result is not None:
        assert np.isfinite(prepared.result()).all()


def test_a_gradient_of_an_operation_is_that_of_the_functions():
    data = OpData(Task("op", "batch_norm_relu", "both", 2, (4, 3, 5)))
    found = in_convkit.op("convkit", data, "both").result()
    F = convkit.functional
    z, mean, variance = F.batch_norm(data.x, data.gamma, data.beta)
    dz = data.dy * (z > 0)
    dx = F.batch_norm_backward(dz, data.x, mean, variance, data.gamma)[0]
    np.testing.assert_allclose(found, dx, rtol=1e-4, atol=1e-5)


def test_batch_norm_with_its_activation_is_one_kernel_each_way():
    prepared = prepare("convkit", Task("op", "batch_norm_relu", "both", 2, (4, 4, 8)))
    assert len(prepared.info["kernels"]) == 2


def test_bytes_are_those_of_the_arrays():
    task = Task("op", "add_relu", "fwd", 3, (4, 4, 2))
    assert bytes_moved(task) == 3 * 4 * (3 * 4 * 4 * 2)
    assert bytes_moved(Task("op", "adam", "fwd", 64, (10,))) == 7 * 4 * 10
    assert bytes_moved(Task("op", "dense", "fwd", 3, (4, 2))) is None


@pytest.mark.parametrize("past_caches", [False, True])
def test_bare_passes_read_and_write_what_the_operation_does(past_caches):
    task = Task("op", "max_pool", "both", 3, (16, 16, 8))
    ((x, _),), ((y, _), (winner, _)) = passes_over_memory(task)[0]
    assert (x.nbytes, y.nbytes, winner.nbytes) == (24576, 6144, 1536)
    passes = [([(x, 1)], [(y, 4), (winner, 16)]), ([(y, 4), (winner, 16)], [(x, 1)])]
    x.view(np.float32)[:] = 1
    _core.Streams(passes, past_caches).run()
    for array in (x, y, winner):
        assert (array.view(np.float32) > 0).all()

    ((a, _), (b, _)), ((y, _),) = passes_over_memory(Task("op", "add_relu", "fwd", 2, (16, 16, 1)))[
        0
    ]
    a.view(np.float32)[:] = np.arange(512)
    b.view(np.float32)[:] = 0.5
    _core.Streams([([(a, 1), (b, 1)], [(y, 1)])], past_caches).run()
    np.testing.assert_array_equal(y.view(np.float32), np.arange(512) + 1.5)


def test_what_a_library_lacks_is_not_offered():
    with pytest.raises(NotOffered):
        prepare("numpy", Task("train", "lenet5"))


@pytest.mark.parametrize("suite", suites.SUITES)
def test_suites_have_tasks_that_can_be_chosen(suite):
    everything = suites.tasks(suite, suites.Choice())
    assert len(set(everything)) == len(everything) > 8
    assert {t.batch for t in suites.tasks(suite, suites.Choice(batches=[3]))} == {3}
    some = suites.tasks(suite, suites.Choice(nets=["lenet5"], ids=["V2"]))
    assert {t.name for t in some if suite != "ops"} <= {"lenet5", "V2"}


# ---- timing --------------------------------------------------------------------------------------


def test_turns_alternate_and_those_far_behind_stop():
    order = []

    def turn(name, seconds):
        return lambda: order.append(name) or seconds

    turns = {"ours": turn("ours", 9.0), "fast": turn("fast", 1.0), "slow": turn("slow", 2.0)}
    times = interleave(turns, 5, always=("ours",))
    assert order[:6] == ["ours", "fast", "slow", "slow", "fast", "ours"]
    assert {name: len(found) for name, found in times.items()} == {
        **{"ours": 5, "fast": 5},
        "slow": FEW,
    }


def test_no_round_begins_after_the_limit():
    times = interleave({"ours": lambda: 1.0}, 9, always=("ours",), limit_seconds=0)
    assert len(times["ours"]) == FEW


def test_ratio_pairs_the_rounds_of_both():
    found = ratio(np.array([1.0, 2.0, 4.0, 100.0]), np.array([3.0, 6.0, 12.0]))
    assert found.median == 3 and found.quartiles == (3, 3)
    assert geometric_mean([1, 4]) == pytest.approx(2)


# ---- processes -----------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_process_measures_and_says_what_it_cannot():
    with Workers(["convkit", "numpy"], 1) as workers:
        task = Task("op", "dense", "fwd", 4, (6, 5))
        infos, failures = workers.each("prepare", task)
        assert set(infos) == {"convkit", "numpy"} and not failures
        results = [workers[name].ask("result") for name in infos]
        np.testing.assert_allclose(*results, rtol=1e-5)
        workers["convkit"].ask("calibrate", 0.001)
        assert workers["convkit"].ask("turn") > 0
        infos, failures = workers.each("prepare", Task("predict", "lenet5", batch=1))
        assert set(infos) == {"convkit"} and not failures
        with pytest.raises(Failed, match="KeyError"):
            workers["convkit"].ask("prepare", Task("conv", "none"))
        with pytest.raises(Failed, match="exit code 3"):
            workers["numpy"].ask("call", os._exit, 3)
        with pytest.raises(Failed, match="numpy: the process has ended"):
            workers["numpy"].send("result")
        workers.failures["jax"] = "jax: it is broken"
        with pytest.raises(Failed, match="jax: it is broken"):
            workers["jax"].ask("result")


@pytest.mark.parametrize(
    ("infos", "failures", "kind", "words"),
    [
        ({}, {"convkit": "out of memory"}, Failed, r"lenet5.*out of memory"),
        ({"numpy": {}}, {}, Failed, r"lenet5.*not offered by convkit"),
        (
            {"convkit": {"numbers": 3}, "torch": {"numbers": 4}},
            {},
            ValueError,
            r"lenet5: the builds differ in size: \{'convkit': 3, 'torch': 4\}",
        ),
    ],
)
def test_what_cannot_be_compared_is_refused(infos, failures, kind, words):
    comparison = object.__new__(suites.Comparison)
    comparison._workers = SimpleNamespace(each=lambda *_: (infos, failures))
    with pytest.raises(kind, match=words):
        comparison._row(Task("train", "lenet5"))


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """Measure a few things with convkit and NumPy; return the report."""
    file = tmp_path_factory.mktemp("bench") / "report.json"
    arguments = [
        *("bench", "conv", "predict", "--libraries", "convkit,numpy", "--ids", "L2"),
        *("--passes", "fwd", "--nets", "lenet5", "--batch", "2", "--rounds", "3"),
        *("--block", "0.001", "--threads", "1", "--json", str(file)),
    ]
    from convkit.cli import main

    assert main(arguments) == 0
    return json.loads(file.read_text())


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_command_writes_a_report(measured):
    assert measured["format"] == 1
    assert measured["environment"]["isa"] == convkit.runtime.active_isa()
    assert set(measured["environment"]["versions"]) >= {"convkit", "numpy"}
    (row,) = measured["suites"]["conv"]["rows"]
    assert row["seconds"].keys() == {"convkit", "numpy"}
    assert row["ratios"]["numpy"]["median"] > 0 and len(row["ratios"]["numpy"]["quartiles"]) == 2
    assert 0 < row["roof"]["part"] < 20
    assert max(row["errors"].values()) < 1e-4
    assert len(measured["suites"]["conv"]["roofs"]) == 2
    assert "numpy" not in measured["suites"]["predict"]["rows"][0]["seconds"]


def test_a_wrong_name_is_an_error_that_lists_the_right_ones(capsys):
    with pytest.raises(SystemExit):
        cli.main(["conv", "--ids", "V2,Q9"])
    error = capsys.readouterr().err
    assert "Q9: unknown" in error and "V3" in error


def test_what_is_measured_must_exist(tmp_path, monkeypatch, capsys):
    with pytest.raises(SystemExit):
        cli.main(["conv", "--threads", "0"])
    assert "must be at least 1, got 0" in capsys.readouterr().err
    with pytest.raises(ImportError, match="size: no_such_package must be installed"):
        footprint._package_bytes("no_such_package")
    monkeypatch.setattr(machine.Path, "read_text", lambda self: "Name: x")
    with pytest.raises(OSError, match="must have VmHWM; run it on Linux"):
        machine.peak_bytes()
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match="drawing needs matplotlib"):
        plot.draw({}, tmp_path / "p.svg")


def test_operations_that_a_library_lacks():
    data = OpData(Task("op", "dense", "fwd", 2, (6, 5)))
    data.name = "nothing"
    grouped = dataclasses.replace(next(iter(CONV_SHAPES)), groups=3, c=3, k=3)
    for call, words in (
        (lambda: in_convkit.op("convkit", data, "fwd"), "convkit has no nothing"),
        (lambda: in_numpy.op("numpy", data, "fwd"), "nothing is not compared with NumPy"),
        (lambda: in_numpy.conv("numpy", ConvData(grouped, 1), "fwd"), "groups are not written"),
        (lambda: functional.operation(None, data), "nothing is no function of arrays"),
    ):
        with pytest.raises(NotOffered, match=words):
            call()
    with pytest.raises(TypeError, match="build: no layer for 'a layer'"):
        in_convkit._chain(None, ["a layer"])
    with pytest.raises(TypeError, match="forward: no function for 'a layer'"):
        functional._forward(["a layer"], (3,), *[None] * 6)


def test_a_missing_library_is_named(monkeypatch):
    monkeypatch.setitem(tasks.LIBRARIES, "jax", ("no_such_package", "in_jax", "jax"))
    with pytest.raises(ImportError, match="jax needs no_such_package"):
        cli.main(["conv", "--libraries", "jax"])


def test_the_names_of_the_command_line_are_those_of_the_suites():
    assert set(cli.LIBRARY_NAMES) == set(tasks.LIBRARIES)
    assert set(cli.NAMES) == {*suites.SUITES, "memory", "size"}
    families = {family for *_, family in tasks.LIBRARIES.values()}
    assert families - {"convkit"} == set(report.FAMILIES)


# ---- reports -------------------------------------------------------------------------------------


def _row(name, direction="fwd", batch=128, **ratios):
    libraries = {"torch": "torch_channels_last"}
    return {
        **{"name": name, "direction": direction, "batch": batch, "shape": [], "rounds": 3},
        "others_cpus": 0.0,
        "seconds": {
            "convkit": 0.01,
            **{libraries.get(k, k): 0.01 * v for k, v in ratios.items()},
        },
        "ratios": {
            k: {"library": libraries.get(k, k), "median": v, "quartiles": [v, v]}
            for k, v in ratios.items()
        },
        "roof": {"unit": "GFLOP/s", "rate": 50.0, "limit": 100.0, "part": 0.5},
        "failures": {},
    }


def _report(**rows):
    about = {"threads": 2, "roofs": [{"threads": 2, "fma_gflops": 100, "stream_gb_per_s": 10}]}
    environment = {
        **{"cpu": "A CPU", "cpus": 2, "system": "Linux", "isa": "avx512", "threads": 2},
        **{"python": "3.11", "versions": {"convkit": "1.0", "torch": "2.0+cpu"}},
        **{"variables": {}, "time": "2030-01-02T03:04:05Z"},
    }
    found = {name: {**about, "rows": list(each)} for name, each in rows.items()}
    return {"format": 1, "environment": environment, "suites": found}


def test_tables_say_what_was_measured():
    text = report.markdown(
        _report(
            train=[_row("lenet5", torch=4.0, jax=8.0), _row("cifar_cnn", torch=2.5)],
            conv=[_row("V2", "fwd", torch=2.0), _row("V2", "dx", torch=8.0)],
        )
    )
    assert "A CPU, avx512 (100 GFLOP/s" in text and "PyTorch 2.0." in text
    assert "| LeNet-5 | 128 | **12,800** | 3,200 (4.0x) | 1,600 (8.0x) | 50 % |" in text
    assert "| `cifar_cnn` | 128 | **12,800** | 5,120 (2.5x) | - | 50 % |" in text
    assert "| 2 | **4.00x** | 2.00x (V2 fwd) | 8.00x (V2 dx) |" in text


def test_means_count_equal_ratios_twice():
    rows = [_row("V2", torch=1.0), _row("V3", torch=1.0), _row("V4", torch=8.0)]
    assert "| 3 | **2.00x** |" in report.markdown(_report(conv=rows))


def test_lines_show_failures_and_ratios():
    row = _row("lenet5", torch=4.0)
    row["failures"] = {"jax": "jax: it broke"}
    text = report.line("train", row, ["torch", "tensorflow", "jax"])
    assert "12,800" in text and "4.00" in text and "failed" in text
    assert text.index(" - ") < text.index("failed")


def test_paste_replaces_what_stands_between_the_marks():
    begin, end = paste_numbers.BEGIN, paste_numbers.END
    text = f"# Title\n\n{begin}\nold\n{end}\n\nmore\n"
    pasted = paste_numbers.paste(text, "new")
    assert pasted == f"# Title\n\n{begin}\n\nnew\n\n{end}\n\nmore\n"
    assert paste_numbers.paste(pasted, "new") == pasted
    for wrong in ("nothing", f"{end} {begin}", text + begin):
        with pytest.raises(ValueError, match="must have"):
            paste_numbers.paste(wrong, "new")


def test_readme_has_the_tables_of_the_report_beside_it():
    file = ROOT / "benchmarks" / "numbers.json"
    text = (ROOT / "README.md").read_text()
    assert paste_numbers.paste(text, report.markdown(json.loads(file.read_text()))) == text


def test_goals_mark_what_falls_short():
    rows = [_row("V2", "fwd", torch=1.5), _row("V3", "fwd", torch=6.0)]
    training = [_row("lenet5", torch=5.0, jax=0.5)]
    found = {name.strip(): (value, least, aim) for name, value, least, aim in goals.goals(
        _report(conv=rows, train=training))}  # fmt: skip
    assert found["3x3, 32 channels or more, fwd, mean"] == (pytest.approx(3.0), 2.0, 3.0)
    assert found["lenet5, training, batch 128"] == (5.0, 4.0, 5.5)
    assert goals.line(("x", 0.5, 1.0, 3.0)).endswith("BELOW")
    assert goals.line(("x", 2.0, 1.0, 3.0)).endswith("below the aim")
    assert goals.line(("x", 4.0, 1.0, 3.0)).endswith("aim 3.00")
    assert not math.isnan(found["beside jax"][0])


def test_goals_on_avx2_are_lower():
    narrow = _report(train=[_row("lenet5", torch=1.6)])
    narrow["environment"]["isa"] = "avx2"
    assert [goal[2] for goal in goals.goals(narrow)] == [1.5]


def test_a_picture_is_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    from convkit.bench.plot import draw

    rows = [_row("lenet5", torch=4.0, jax=8.0), _row("resnet20", torch=2.0)]
    files = [tmp_path / "a.svg", tmp_path / "b.svg"]
    for file in files:
        draw(_report(train=rows, predict=rows), file)
    assert files[0].read_bytes() == files[1].read_bytes()
    assert "LeNet-5" in files[0].read_text()
    with pytest.raises(ValueError, match="PyTorch"):
        draw(_report(train=[_row("lenet5")]), tmp_path / "c.svg")
