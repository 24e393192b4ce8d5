"""A run that is stopped and started again ends in the same bits as one that never stopped."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import resumable
from test_saving_malformed import changed_document

import convkit
from convkit import FormatError, callbacks, saving


class Stopped(Exception):
    """The run was stopped."""


def stop():
    raise Stopped


@pytest.fixture(scope="module")
def whole():
    """Return what a run that is never stopped ends in."""
    return resumable.run(None, None)


@pytest.mark.parametrize("save_freq", ["epoch", 1, 3])
@pytest.mark.parametrize("die_at", [1, 3, 4, 6, 8, 11, 16])
def test_stopped_and_started_again(tmp_path, whole, save_freq, die_at):
    # The second run draws other numbers at first: all that counts must come from the backup.
    with pytest.raises(Stopped):
        resumable.run(tmp_path, save_freq, extra=[resumable.Die(die_at, stop)])
    has_backup = (tmp_path / "backup.convkit").exists()
    assert has_backup == (die_at > {"epoch": 4, 1: 1, 3: 3}[save_freq])
    again = resumable.run(tmp_path, save_freq, seed=77 if has_backup else 1)
    assert again == whole
    assert not list(tmp_path.iterdir())


def test_stopped_again_and_again(tmp_path, whole):
    for die_at in range(1, resumable.STEPS + 1):
        seed = die_at if (tmp_path / "backup.convkit").exists() else 1
        with pytest.raises(Stopped):
            resumable.run(tmp_path, 1, seed=seed, extra=[resumable.Die(die_at, stop)])
    assert resumable.run(tmp_path, 1, seed=99) == whole


@pytest.mark.parametrize("die_at", [2, 7])
def test_killed_and_started_again(tmp_path, whole, die_at):
    folder, result = tmp_path / "backup", tmp_path / "result.json"
    script = str(Path(resumable.__file__))
    command = [sys.executable, "-W", "error", script, str(folder), "1", str(result)]
    killed = subprocess.run([*command, "--die-at", str(die_at)], timeout=60)
    assert killed.returncode == -signal.SIGKILL and not result.exists()
    assert saving.verify(folder / "backup.convkit")["kind"] == "backup"
    subprocess.run([*command, "--seed", "55"], timeout=60, check=True)
    assert json.loads(result.read_text()) == whole
    assert not list(folder.iterdir())


def test_a_checkpoint_of_a_model_goes_on_with_initial_epoch(tmp_path):
    rng = np.random.default_rng(5)
    x, y = rng.random((60, 6, 6, 1), np.float32), rng.integers(0, 3, 60)

    class Save(callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.save(tmp_path / f"{epoch + 1}.convkit")

    model = resumable.make_model(3)
    model.fit(x, y, 16, 4, 0, callbacks=Save())
    for epoch in (1, 2, 3):
        convkit.set_seed(1000 + epoch)
        loaded = convkit.load_model(tmp_path / f"{epoch}.convkit")
        loaded.fit(x, y, 16, 4, 0, initial_epoch=epoch)
        for a, b in zip(model.get_weights(), loaded.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_run_that_is_complete_or_stopped_early_stays_so(tmp_path):
    class StopAt(callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = epoch == 1

    backup = callbacks.BackupAndRestore(tmp_path, delete_checkpoint=False)
    rng = np.random.default_rng(5)
    x, y = rng.random((60, 6, 6, 1), np.float32), rng.integers(0, 3, 60)
    ended = []
    for seed in (1, 2):
        model = resumable.make_model(seed)
        history = model.fit(x, y, 16, 4, 0, callbacks=[backup, StopAt()])
        assert history.epoch == [0, 1]
        ended.append(model.get_weights())
    for a, b in zip(*ended, strict=True):
        np.testing.assert_array_equal(a, b)
    assert convkit.load_model(backup.path).count_params() == model.count_params()


def test_backups_that_do_not_fit(tmp_path):
    with pytest.raises(Stopped):
        resumable.run(tmp_path, 1, extra=[resumable.Die(3, stop)])
    path = tmp_path / "backup.convkit"
    good = path.read_bytes()
    rng = np.random.default_rng(5)
    x, y = rng.random((60, 6, 6, 1), np.float32), rng.integers(0, 3, 60)
    backup = callbacks.BackupAndRestore(tmp_path)
    model = resumable.make_model(1)
    with pytest.raises(FormatError, match=r"within an epoch of 4 batches, this fit has 6.*delete"):
        model.fit(x, y, 10, 4, 0, callbacks=backup)
    model.compile("sgd", "sparse_categorical_crossentropy", ["accuracy"])
    with pytest.raises(FormatError, match="with the optimizer Adam, this fit has SGD"):
        model.fit(x, y, 16, 4, 0, callbacks=backup)
    other = convkit.Sequential([convkit.Input((6, 6, 1)), convkit.layers.Flatten()])
    other.add(convkit.layers.Dense(3, activation="softmax"))
    other.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
    with pytest.raises(FormatError, match="other layers or metrics"):
        other.fit(x, y, 16, 4, 0, callbacks=backup)
    path.write_bytes(changed_document(good, lambda document: document.update(fit=None)))
    with pytest.raises(FormatError, match="the state of the fit is damaged"):
        resumable.make_model(1).fit(x, y, 16, 4, 0, callbacks=backup)
    path.write_bytes(good[:-1])
    before = model.get_weights()
    with pytest.raises(FormatError, match=r"damaged.*delete it to start anew"):
        resumable.make_model(1).fit(x, y, 16, 4, 0, callbacks=backup)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    model.save(path)
    with pytest.raises(FormatError, match="holds 'model', not a backup"):
        model.fit(x, y, 16, 4, 0, callbacks=backup)


def test_parts_of_killed_writers_are_cleared_away(tmp_path):
    (tmp_path / ".backup.convkit.0123456789abcdef.part").write_text("half")
    (tmp_path / "other").write_text("kept")
    resumable.run(tmp_path, "epoch")
    assert [p.name for p in tmp_path.iterdir()] == ["other"]


@pytest.mark.parametrize("wrong", ["batch", 0, -3, True, 1.5, None])
def test_how_often_must_be_sensible(tmp_path, wrong):
    with pytest.raises((ValueError, TypeError), match="save_freq"):
        callbacks.BackupAndRestore(tmp_path, wrong)
    with pytest.raises(ValueError, match="backup_dir"):
        callbacks.BackupAndRestore("")


def arrays_in_memory(x, y, folder):
    return x, y


def mapped_file_to_convert(x, y, folder):
    path = folder / "x.npy"
    if not path.exists():
        np.save(path, x.astype(">f4"))
    return np.load(path, mmap_mode="r"), y


class Batches(convkit.utils.PyDataset):
    """Batches by number, which fit shuffles."""

    def __init__(self, x, y):
        super().__init__()
        self.x, self.y = x, y

    def __len__(self):
        """Return the number of batches."""
        return -(-len(self.x) // 16)

    def __getitem__(self, i):
        """Return batch i."""
        rows = slice(16 * i, 16 * i + 16)
        return self.x[rows], self.y[rows]


def batches_by_number(x, y, folder):
    return (Batches(x, y),)


OPTIMIZERS = {
    "lookahead": lambda: convkit.optimizers.Lookahead("adam", sync_period=3),
    "average": lambda: convkit.optimizers.SGD(0.05, momentum=0.9, use_ema=True),
    "muon": lambda: convkit.optimizers.Muon(0.02),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("source", [arrays_in_memory, mapped_file_to_convert, batches_by_number])
def test_every_source_and_averaging_optimizer_goes_on(tmp_path, source, optimizer):
    rng = np.random.default_rng(5)
    x, y = rng.random((60, 6, 6, 1), np.float32), rng.integers(0, 3, 60)

    def run(seed, backup=(), extra=()):
        model = resumable.make_model(seed)
        model.compile(OPTIMIZERS[optimizer](), "sparse_categorical_crossentropy", ["accuracy"])
        watchers = [
            callbacks.EarlyStopping("loss", min_delta=1.0, patience=2, restore_best_weights=True),
            callbacks.ReduceLROnPlateau("loss", factor=0.5, patience=0, min_delta=1.0),
        ]
        data = source(x, y, tmp_path)
        options = {"batch_size": 16} if len(data) == 2 else {}
        history = model.fit(
            *data, epochs=5, verbose=0, callbacks=[*backup, *watchers, *extra], **options
        )
        return model.get_weights(), history.history, watchers[0].stopped_epoch

    weights, history, stopped = run(1)
    assert stopped == 2  # two epochs after the first were no better
    assert len(set(history["learning_rate"])) == 2
    for die_at in (6, 9):
        keep = [callbacks.BackupAndRestore(tmp_path / "backup", 1)]
        with pytest.raises(Stopped):
            run(1, keep, [resumable.Die(die_at, stop)])
        again, logs, when = run(44, keep)
        assert (logs, when) == (history, stopped)
        for a, b in zip(weights, again, strict=True):
            np.testing.assert_array_equal(a, b)
