"""The command line: commands, options, the JSON report, exit codes, and errors on stderr."""

import json
import subprocess
import sys

import numpy as np
import pytest

import convkit
from convkit import cli, datasets, layers, zoo

KEYS = (
    *("dataset", "model", "epochs", "batch_size", "threads", "isa", "seed", "train_seconds"),
    *("images_per_second", "test_accuracy", "test_loss", "history"),
)


@pytest.fixture
def run(capsys):
    """Return a function that runs a command line: (exit code, stdout, stderr)."""

    def command(*words):
        try:
            code = cli.main([str(word) for word in words])
        except SystemExit as ended:  # argparse
            code = ended.code
        return (code, *capsys.readouterr())

    return command


@pytest.fixture(autouse=True)
def threads_stay():
    """Undo --threads."""
    before = convkit.get_num_threads()
    yield
    convkit.set_num_threads(before)


# ---- train ---------------------------------------------------------------------------------------


def test_the_report_has_exactly_the_documented_keys(run, tmp_path):
    path = tmp_path / "report.json"
    code, out, err = run(
        *("train", "Digits", "--model", "digits_cnn", "--epochs", 2, "--batch-size", 100),
        *("--seed", 7, "--threads", 2, "--json", path),
    )
    assert code == 0, err
    report = json.loads(path.read_text())
    assert tuple(report) == KEYS
    asked = {"dataset": "digits", "model": "digits_cnn", "epochs": 2, "batch_size": 100}
    asked |= {"threads": 2, "seed": 7, "isa": convkit.runtime.active_isa()}
    assert {key: report[key] for key in asked} == asked
    assert 0 < report["test_accuracy"] <= 1 and report["test_loss"] > 0
    images = len(datasets.digits.load_data()[0][0])
    rate = 2 * images / report["train_seconds"]
    assert report["images_per_second"] == pytest.approx(rate)
    assert {"loss", "accuracy"} <= set(report["history"])
    assert all(len(values) == 2 for values in report["history"].values())
    assert f"test accuracy {100 * report['test_accuracy']:.2f} %" in out


def test_a_seed_gives_the_same_model(run, tmp_path):
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        run("train", "--epochs", 1, "--seed", seed, "--save", tmp_path / name)
    weights = [convkit.load_model(tmp_path / name).get_weights()[0] for name in "abc"]
    np.testing.assert_array_equal(weights[0], weights[1])
    assert not np.array_equal(weights[0], weights[2])


def test_a_picture_is_saved(run, tmp_path):
    assert run("train", "--epochs", 1, "--plot", tmp_path / "p.png")[0] == 0
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("option", ["--save", "--json", "--plot"])
def test_a_result_that_cannot_be_written_is_found_before_the_training(
    option, run, tmp_path, monkeypatch
):
    monkeypatch.setattr(convkit.Model, "fit", lambda *args, **options: pytest.fail("trained"))
    for path, reason in (
        (tmp_path / "missing" / "file", "No such file or directory"),
        (tmp_path, "Is a directory"),
    ):
        code, out, err = run("train", option, path)
        assert (code, out) == (1, "")
        start = f"convkit: {option} must name a file that can be written, got {path}: {reason}"
        assert err.startswith(start)
    assert list(tmp_path.iterdir()) == []


def test_a_picture_without_matplotlib_is_refused_before_the_training(run, tmp_path, monkeypatch):
    monkeypatch.setattr(convkit.Model, "fit", lambda *args, **options: pytest.fail("trained"))
    for name in [name for name in sys.modules if name.startswith(("matplotlib", "convkit.viz._p"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    code, _, err = run("train", "--plot", tmp_path / "p.png")
    assert (code, err) == (1, "convkit: pictures need matplotlib: pip install 'convkit[plot]'\n")


def test_every_dataset_has_a_model():
    assert set(zoo.DEFAULTS) == set(datasets.names())
    assert set(zoo.DEFAULTS.values()) <= set(zoo.RECIPES)


# ---- the other commands --------------------------------------------------------------------------


def test_info_is_the_report_of_the_runtime(run, capsys):
    code, out, _ = run("info")
    convkit.show_config()
    assert code == 0 and out == capsys.readouterr().out


def test_download_without_a_name_lists_what_there_is(run):
    code, out, _ = run("download")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == datasets.names()
    code, out, _ = run("download", "digits")
    assert code == 0 and out.strip().endswith("datasets")


def test_a_model_of_no_pictures_cannot_predict_one(run, tmp_path):
    convkit.Sequential([layers.Input([4]), layers.Dense(2)]).save(tmp_path / "flat")
    code, _, err = run("predict", tmp_path / "p.png", "--load", tmp_path / "flat")
    assert code == 1
    assert "the model must take pictures (height, width, 1 or 3)" in err and "(None, 4)" in err


def test_a_missing_picture_library_is_named(run, tmp_path, monkeypatch):
    convkit.Sequential([layers.Input([8, 8, 1]), layers.Flatten()]).save(tmp_path / "m")
    monkeypatch.setitem(sys.modules, "PIL", None)
    code, _, err = run("predict", tmp_path / "p.png", "--load", tmp_path / "m")
    assert (code, err) == (
        *(1, "convkit: reading pictures needs pillow: pip install 'convkit[plot]'\n"),
    )


# ---- errors --------------------------------------------------------------------------------------

WRONG = {
    "a misspelt dataset": (["train", "digts"], 1, "did you mean 'digits'?"),
    "a misspelt model": (["train", "--model", "lnet5"], 1, "did you mean 'lenet5'?"),
    "a missing folder": (
        ["train", "mnist", "--data-dir", "/no/such/folder"],
        *(1, "data_dir must be an existing directory, got data_dir='/no/such/folder'"),
    ),
    "a dataset to fetch": (["download", "mnst"], 1, "did you mean 'mnist'?"),
    "no such model file": (["evaluate", "digits", "--load", "/no/such"], 1, "'/no/such'"),
    "a model to predict": (["predict", "p.png", "--load", "/no/such"], 1, "'/no/such'"),
    "no epochs": (["train", "--epochs", "0"], 2, "must be a whole number of at least 1, got 0"),
    "epochs in words": (["train", "--epochs", "ten"], 2, "at least 1, got ten"),
    "a part of a batch": (["train", "--batch-size", "1.5"], 2, "at least 1, got 1.5"),
    "too many threads": (["train", "--threads", "5000"], 1, "from 1 to 1024, got n=5000"),
    "a negative seed": (["train", "--seed", "-1"], 1, "must not be negative, got seed=-1"),
    "no model to load": (["evaluate", "digits"], 2, "required: --load"),
    "a misspelt command": (["trian"], 2, "invalid choice: 'trian'"),
    "no command": ([], 2, "required: command"),
    "a misspelt option": (["train", "--sed", "3"], 2, "unrecognized arguments: --sed"),
}


@pytest.mark.parametrize("case", WRONG)
def test_errors_are_named_on_stderr(case, run):
    words, status, message = WRONG[case]
    code, out, err = run(*words)
    assert (code, out) == (status, "")
    assert message in err and "Traceback" not in err


def test_interrupted(run, monkeypatch):
    def interrupted(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(convkit.Model, "fit", interrupted)
    code, _, err = run("train", "--epochs", 1)
    assert (code, err) == (1, "convkit: interrupted\n")


def test_the_module_is_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "convkit", "train", "digts"], capture_output=True, text=True
    )
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith("convkit: ")
