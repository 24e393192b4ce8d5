"""Test the data sets on the disk: what is accepted, what is refused, where it is looked for."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import pickle
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from dataset_files import (
    CIFAR,
    CIFAR_RECORD,
    IDX,
    IDX_NAMES,
    OTHER_LABELS,
    assert_same,
    cifar_arrays,
    cifar_files,
    cifar_tar,
    idx_arrays,
    idx_bytes,
    isolate,
    tar_bytes,
    write_files,
    write_idx,
)

from convkit import datasets
from convkit._files import FormatError, atomic_write, cache_directory
from convkit.datasets import _fetch


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """Return the cache directory of this test."""
    return isolate(tmp_path, monkeypatch)


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Fail on any attempt to download."""

    def refuse(*args, **kwargs):
        raise AssertionError("tried to download")

    monkeypatch.setattr(_fetch, "_fetch_from", refuse)


# ---- names -------------------------------------------------------------------------------------


def test_names_and_info():
    assert datasets.names() == ["digits", "mnist", "fashion_mnist", "cifar10", "cifar100"]
    shapes = {n: datasets.info(n).image_shape for n in datasets.names()}
    assert shapes["mnist"] == (28, 28) and shapes["cifar10"] == (32, 32, 3)
    assert datasets.info("cifar100").classes == 100
    assert datasets.info("digits").download_size == 0
    assert datasets.info("cifar10").download_size == 170_052_171


@pytest.mark.parametrize(
    ("given", "nearest"),
    [("mnits", "mnist"), ("cifar-1o", "cifar10"), ("Fashion Mnst", "fashion_mnist")],
)
@pytest.mark.parametrize("function", ["load", "info", "download"])
def test_wrong_name_suggests_the_nearest(function, given, nearest):
    with pytest.raises(ValueError, match=f"{function}: name must be one of .*'{nearest}'"):
        getattr(datasets, function)(given)


def test_hopeless_name_and_wrong_type():
    with pytest.raises(ValueError, match=r"name='imagenet'$"):
        datasets.load("imagenet")
    with pytest.raises(TypeError, match="name must be a string, got name=10"):
        datasets.load(10)


def test_load_takes_other_spellings(monkeypatch):
    seen = []
    monkeypatch.setattr(datasets.fashion_mnist, "load_data", lambda data_dir: seen.append(data_dir))
    for name in ("fashion_mnist", "fashion-mnist", "Fashion-MNIST", "fashionmnist"):
        datasets.load(name, "somewhere")
    assert seen == ["somewhere"] * 4


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10", "cifar100"])
def test_descriptions_are_complete(name):
    """A typing error here would show only on a machine without the data."""
    dataset = datasets.info(name)
    assert len(set(dataset.class_names)) == dataset.classes == (100 if name == "cifar100" else 10)
    assert dataset.class_names == getattr(datasets, name).CLASS_NAMES
    assert {r.file for r in dataset.remotes_for(dataset.parts)} == {r.file for r in dataset.remotes}
    for remote in dataset.remotes:
        assert len(remote.sha256) == 64 and int(remote.sha256, 16)
        assert len(set(remote.mirrors)) >= 2
        assert all(url.endswith("/" + remote.file) for url in remote.mirrors)
        assert remote.mirrors[0].startswith("https://")


def test_names_of_cifar100():
    assert list(datasets.cifar100.CLASS_NAMES) == sorted(datasets.cifar100.CLASS_NAMES)
    assert len(set(datasets.cifar100.COARSE_CLASS_NAMES)) == 20


# ---- digits ------------------------------------------------------------------------------------


def test_digits_shapes_and_split():
    (x_train, y_train), (x_test, y_test) = datasets.digits.load_data()
    assert x_train.shape == (1442, 8, 8) and y_train.shape == (1442,)
    assert x_test.shape == (355, 8, 8) and y_test.shape == (355,)
    assert {a.dtype for a in (x_train, y_train, x_test, y_test)} == {np.dtype(np.uint8)}
    assert x_train.max() == x_test.max() == 16
    info = datasets.info("digits")
    assert (info.train, info.test) == (1442, 355)
    # Every fifth of each digit: floor(n / 5), and there are 174 to 183 of each.
    assert set(np.bincount(y_test)) <= {34, 35, 36}
    assert np.bincount(np.concatenate([y_train, y_test])).min() == 174


def test_digits_are_the_published_ones():
    """The digest is of scikit-learn's load_digits: images, then target, as bytes."""
    with np.load(datasets.download("digits") / "digits.npz") as stored:
        digest = hashlib.sha256(stored["x"].tobytes() + stored["y"].tobytes())
    assert digest.hexdigest() == "87ff0c9e40dc7e2c0e34e7257799c2e3f3aec1a016363bb11cad869ec428a826"


def test_digits_can_be_learned():
    """The nearest training image gives the right digit in at least 98 of 100 cases."""
    (x_train, y_train), (x_test, y_test) = datasets.digits.load_data()
    a = x_train.reshape(-1, 64).astype(float)
    b = x_test.reshape(-1, 64).astype(float)
    distance = (b**2).sum(1)[:, None] - 2 * b @ a.T + (a**2).sum(1)
    assert np.mean(y_train[distance.argmin(1)] == y_test) >= 0.98


def test_digits_name_their_source_and_licence():
    folder = datasets.download("digits")
    text = (folder / "digits.txt").read_text()
    assert "Alpaydin" in text and "CC BY 4.0" in text and "10.24432/C50P49" in text
    assert (folder / "digits.npz").is_file()


# ---- IDX files that are accepted ---------------------------------------------------------------


@pytest.mark.parametrize("place", [".", "tiny", "Tiny", "Tiny/raw"])
@pytest.mark.parametrize(("ending", "packed"), [("", False), (".gz", True)])
def test_idx_places_and_forms(tmp_path, place, ending, packed):
    arrays = idx_arrays()
    write_idx(tmp_path / place, arrays, ending, packed)
    assert_same(_fetch.load(IDX, tmp_path), arrays)


def test_idx_compression_is_told_by_contents_not_by_name(tmp_path):
    arrays = idx_arrays()
    write_idx(tmp_path / "a", arrays, ".gz", packed=False)  # unpacked by the browser on the way
    write_idx(tmp_path / "b", arrays, "", packed=True)
    assert_same(_fetch.load(IDX, tmp_path / "a"), arrays)
    assert_same(_fetch.load(IDX, str(tmp_path / "b")), arrays)


def test_idx_old_spelling(tmp_path):
    arrays = idx_arrays()
    write_idx(tmp_path, arrays)
    for name in IDX_NAMES:
        (tmp_path / name).rename(tmp_path / name.replace("-idx", ".idx"))
    assert_same(_fetch.load(IDX, tmp_path), arrays)


def save_npz(path: Path, arrays, **changes) -> None:
    keys = ("x_train", "y_train", "x_test", "y_test")
    np.savez_compressed(path, **{**dict(zip(keys, arrays, strict=True)), **changes})


def test_npz(tmp_path):
    arrays = idx_arrays()
    save_npz(tmp_path / "tiny.npz", arrays)
    assert_same(_fetch.load(IDX, tmp_path), arrays)


def test_idx_files_go_before_npz(tmp_path):
    write_idx(tmp_path, idx_arrays(1))
    save_npz(tmp_path / "tiny.npz", idx_arrays(2))
    assert_same(_fetch.load(IDX, tmp_path), idx_arrays(1))


def test_search_order(tmp_path, home, monkeypatch):
    """data_dir, then CONVKIT_DATA, then the cache."""
    write_idx(tmp_path / "given" / "tiny", idx_arrays(1), ".gz")
    write_idx(tmp_path / "data" / "tiny", idx_arrays(2), ".gz")
    write_idx(home / "tiny", idx_arrays(3), ".gz")
    (tmp_path / "empty").mkdir()
    assert_same(_fetch.load(IDX), idx_arrays(3))
    monkeypatch.setenv("CONVKIT_DATA", str(tmp_path / "data"))
    assert_same(_fetch.load(IDX), idx_arrays(2))
    assert_same(_fetch.load(IDX, tmp_path / "empty"), idx_arrays(2))
    assert_same(_fetch.load(IDX, tmp_path / "given"), idx_arrays(1))
    monkeypatch.setenv("CONVKIT_DATA", str(tmp_path / "empty"))
    assert_same(_fetch.load(IDX), idx_arrays(3))


def test_mnist_path_argument(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.mnist, "DATASET", IDX)
    save_npz(tmp_path / "mine.npz", idx_arrays(1))
    write_idx(tmp_path, idx_arrays(2))
    assert_same(datasets.mnist.load_data(tmp_path / "mine.npz"), idx_arrays(1))
    assert_same(datasets.mnist.load_data("mnist.npz", data_dir=tmp_path), idx_arrays(2))
    assert_same(datasets.mnist.load_data("no-such.npz", data_dir=tmp_path), idx_arrays(2))


# ---- IDX files that are refused ----------------------------------------------------------------

GOOD = idx_bytes(idx_arrays()[0])
SIZE = len(GOOD)


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (GOOD[:-1], f"only {SIZE - 1} of {SIZE} bytes"),
        (GOOD[:9], f"only 9 of {SIZE} bytes"),
        (GOOD + b"\0", f"more than {SIZE} bytes"),
        (b"", "an empty file"),
        (b"\n <!DOCTYPE html><html>", "a web page"),
        (b"PK\3\4" + GOOD[4:], "begins with the bytes 50 4b 03 04"),
        (b"\0\0\x08\x01" + GOOD[4:], "begins with the bytes 00 00 08 01"),  # labels
        (b"\0\0\x0d\x03" + GOOD[4:], "begins with the bytes 00 00 0d 03"),  # float32
        (idx_bytes(np.zeros((20, 3, 4), np.uint8)), "20 x 3 x 4"),
        (idx_bytes(np.zeros((5, 4, 3), np.uint8)), "5 x 4 x 3"),
        (GOOD[:4] + b"\xff" * 12 + GOOD[16:], "4294967295 x 4294967295"),
        (gzip.compress(GOOD)[:-30], "ends too early"),
        (gzip.compress(GOOD)[:-8] + bytes(8), "damaged gzip stream"),  # checksum
        (gzip.compress(GOOD)[:12] + b"\xff" * 50, "damaged gzip stream"),
        (gzip.compress(GOOD) + b"garbage", "damaged gzip stream"),
        (gzip.compress(GOOD + b"\0"), f"more than {SIZE} bytes"),
        (gzip.compress(GOOD[:-1]), f"only {SIZE - 1} of {SIZE} bytes"),
        (b"\x1f\x8b", "ends too early"),
    ],
)
def test_idx_refused(tmp_path, data, found):
    write_idx(tmp_path, idx_arrays())
    path = tmp_path / IDX_NAMES[0]
    path.write_bytes(data)
    with pytest.raises(FormatError) as error:
        _fetch.load(IDX, tmp_path)
    text = str(error.value)
    assert str(path) in text and "20 x 4 x 3 unsigned bytes in IDX form" in text
    assert found in text and "replace it by a good copy, or delete it" in text


def test_gzip_bomb_is_not_unpacked(tmp_path, monkeypatch):
    """A file that unpacks to 200 MB is refused after the bytes expected and one more."""
    write_idx(tmp_path, idx_arrays())
    bomb = gzip.compress(GOOD + bytes(200_000_000), 1)
    (tmp_path / IDX_NAMES[0]).write_bytes(bomb)
    asked = []
    read = gzip.GzipFile.read
    monkeypatch.setattr(
        gzip.GzipFile, "read", lambda self, size=-1: (asked.append(size), read(self, size))[1]
    )
    with pytest.raises(FormatError, match="more than"):
        _fetch.load(IDX, tmp_path)
    assert asked == [SIZE + 1]


def test_idx_label_out_of_range(tmp_path):
    arrays = idx_arrays()
    arrays[3][2] = 10
    write_idx(tmp_path, arrays)
    with pytest.raises(FormatError, match=r"t10k-labels.* labels from 0 to 9, got a label 10"):
        _fetch.load(IDX, tmp_path)


def test_files_of_the_set_with_the_same_names(tmp_path):
    arrays = idx_arrays()
    arrays[1][:4] = OTHER_LABELS
    write_idx(tmp_path, arrays)
    with pytest.raises(FormatError, match="must hold the labels of Tiny, got those of Other"):
        _fetch.load(IDX, tmp_path)


def test_mnist_is_not_taken_for_fashion_mnist(tmp_path):
    """The first labels of either are written down in the description of the other."""
    mnist, fashion = datasets.info("mnist"), datasets.info("fashion_mnist")
    y_train = np.zeros(60_000, np.uint8)
    for dataset, other in ((mnist, fashion), (fashion, mnist)):
        title, start = dataset.not_to_confuse
        assert title == other.title and len(start) == 10
        y_train[:10] = start
        with pytest.raises(FormatError, match=f"got those of {other.title}"):
            dataset._check_labels(y_train, Path("train-labels-idx1-ubyte"))
        other._check_labels(y_train, Path("train-labels-idx1-ubyte"))


def test_incomplete_set_names_what_is_missing(tmp_path, monkeypatch):
    write_idx(tmp_path / "tiny", idx_arrays())
    (tmp_path / "tiny" / IDX_NAMES[2]).unlink()
    with pytest.raises(FileNotFoundError, match=f"missing: {IDX_NAMES[2]}$"):
        _fetch.load(IDX, tmp_path)
    monkeypatch.setenv("CONVKIT_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=f"missing: {IDX_NAMES[2]}$"):
        _fetch.load(IDX)


def test_absent_directory(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match="data_dir must be an existing directory"):
        _fetch.load(IDX, tmp_path / "nowhere")
    with pytest.raises(TypeError, match="data_dir must be a path, got data_dir=7"):
        _fetch.load(IDX, 7)
    monkeypatch.setenv("CONVKIT_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(FileNotFoundError, match="CONVKIT_DATA must be an existing directory"):
        _fetch.load(IDX)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"x_train": np.zeros((20, 4, 4), np.uint8)}, r"x_train of shape \(20, 4, 4\)"),
        ({"x_train": np.zeros((20, 4, 3), np.float32)}, "dtype float32"),
        ({"x_train": np.zeros((20, 4, 3), np.uint8, order="F")}, "x_train of shape"),
        ({"y_test": np.full(5, 10, np.uint8)}, "a label 10"),
        ({"y_test": np.array([None] * 5, object)}, "dtype object"),
    ],
)
def test_npz_refused(tmp_path, change, found):
    save_npz(tmp_path / "tiny.npz", idx_arrays(), **change)
    with pytest.raises(FormatError, match=f"tiny.npz must hold .*{found}"):
        _fetch.load(IDX, tmp_path)


def test_npz_damaged(tmp_path):
    path = tmp_path / "tiny.npz"
    save_npz(path, idx_arrays())
    data = path.read_bytes()
    middle = len(data) // 2
    damaged = {
        "cut": data[:-40],
        "empty": b"",
        "flipped": data[:120] + bytes([data[120] ^ 0xFF]) + data[121:],
        "zeros": data[:middle] + bytes(40) + data[middle + 40 :],
    }
    for contents in damaged.values():
        path.write_bytes(contents)
        with pytest.raises(FormatError, match=r"tiny\.npz must hold"):
            _fetch.load(IDX, tmp_path)


def test_npz_that_is_much_too_large(tmp_path):
    (tmp_path / "tiny.npz").write_bytes(bytes(2_000_000))
    with pytest.raises(FormatError, match=r"tiny\.npz must hold .* got more than 1,048,901 bytes"):
        _fetch.load(IDX, tmp_path)


def test_npz_lacks_an_array(tmp_path):
    np.savez(tmp_path / "tiny.npz", x_train=idx_arrays()[0])
    with pytest.raises(FormatError, match=r"no item named 'y_train.npy'"):
        _fetch.load(IDX, tmp_path)


def test_npz_header_does_not_decide_how_much_is_read(tmp_path):
    """The header claims the right shape, the member goes on for 100 MB."""
    path = tmp_path / "tiny.npz"
    save_npz(path, idx_arrays())
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["x_train.npy"] += bytes(100_000_000)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    with pytest.raises(FormatError, match="more than 240 bytes"):
        _fetch.load(IDX, tmp_path)


# ---- CIFAR -------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", [".", "patches-bin", "patches", "patches/patches-bin"])
@pytest.mark.parametrize("ending", ["", ".gz"])
def test_cifar_files(tmp_path, place, ending):
    arrays = cifar_arrays()
    files = cifar_files(arrays)
    if ending:
        files = {name + ending: gzip.compress(data) for name, data in files.items()}
    write_files(tmp_path / place, files)
    assert_same(_fetch.load(CIFAR, tmp_path), arrays)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("prefix", ["patches-bin/", "./patches-bin/", "", "./"])
@pytest.mark.parametrize("name", ["patches-binary.tar.gz", "patches-binary.tar"])
def test_cifar_archive_put_there_by_hand(tmp_path, packed, prefix, name):
    arrays = cifar_arrays()
    write_files(tmp_path / "patches", {name: cifar_tar(arrays, prefix, packed)})
    assert_same(_fetch.load(CIFAR, tmp_path), arrays)
    assert [p.name for p in (tmp_path / "patches").iterdir()] == [name]  # nothing is extracted


def test_cifar_pickles_are_not_touched(tmp_path, monkeypatch):
    """The files of the "python" archive are no copy of the data set."""
    write_files(tmp_path / "patches", {f"data_batch_{i}": b"cos\nsystem\n" for i in range(1, 6)})
    monkeypatch.setattr(pickle, "loads", None)
    monkeypatch.setattr(pickle, "load", None)
    with pytest.raises(_fetch.DownloadError):  # no mirrors: the search found nothing
        _fetch.load(CIFAR, tmp_path)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda data: data[:-1], f"only {6 * CIFAR_RECORD - 1} of {6 * CIFAR_RECORD} bytes"),
        (lambda data: data + b"\0", f"more than {6 * CIFAR_RECORD} bytes"),
        (lambda data: b"", "an empty file"),
        (lambda data: b"<html>", "a web page"),
        (lambda data: b"\3" + data[1:], "labels from 0 to 2, got a label 3"),
        (lambda data: data[:1] + b"\xff" + data[2:], "labels from 0 to 9, got a label 255"),
        (lambda data: gzip.compress(data)[:-9], "ends too early"),
    ],
)
def test_cifar_files_refused(tmp_path, change, found):
    files = cifar_files(cifar_arrays())
    files["data_batch_2.bin"] = change(files["data_batch_2.bin"])
    write_files(tmp_path, files)
    with pytest.raises(FormatError) as error:
        _fetch.load(CIFAR, tmp_path)
    assert str(tmp_path / "data_batch_2.bin") in str(error.value) and found in str(error.value)


def archive_members() -> list[tuple[str, bytes]]:
    return [("patches-bin/" + n, d) for n, d in cifar_files(cifar_arrays()).items()]


def link_archive() -> bytes:
    """Return an archive in which a member is a link to a file outside."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        entry = tarfile.TarInfo("patches-bin/data_batch_1.bin")
        entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(entry)
    return raw.getvalue()


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (tar_bytes(archive_members()[:2]), "none named test_batch.bin"),
        (tar_bytes([("../" + n, d) for n, d in archive_members()]), "none named data_batch_1"),
        (tar_bytes([("/tmp/" + n, d) for n, d in archive_members()]), "none named data_batch_1"),
        (tar_bytes([*archive_members(), archive_members()[0]]), "data_batch_1.bin twice"),
        (
            tar_bytes([("patches-bin/test_batch.bin", b"1234")]),
            f"test_batch.bin of {5 * CIFAR_RECORD} bytes, got 4 bytes",
        ),
        (link_archive(), "none named data_batch_1.bin"),
        (tar_bytes(archive_members())[:-200], "ends too early"),
        (tar_bytes(archive_members())[:-8] + bytes(8), "damaged archive"),  # gzip's checksum
        (tar_bytes(archive_members(), packed=False)[:700], "damaged archive"),
        (gzip.compress(b"no tar at all" * 100), "damaged archive"),
        (b"", "damaged archive"),
        (b"<html>", "damaged archive"),
        (tar_bytes([("big", bytes(3_000_000)), *archive_members()]), "bytes when unpacked"),
    ],
)
def test_cifar_archive_refused(tmp_path, data, found):
    path = tmp_path / "patches-binary.tar.gz"
    path.write_bytes(data)
    with pytest.raises(FormatError) as error:
        _fetch.load(CIFAR, tmp_path)
    assert str(path) in str(error.value) and found in str(error.value)


def test_cifar_archive_with_random_damage(tmp_path):
    """Whatever is flipped in an archive without checksums, the error is a FormatError or none."""
    good = cifar_tar(cifar_arrays(), packed=False)
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(300):
        data = bytearray(good)
        for position in rng.integers(0, len(data), 8):
            data[position] ^= int(rng.integers(1, 256))
        (tmp_path / "patches-binary.tar").write_bytes(data)
        try:
            _fetch.load(CIFAR, tmp_path)
        except FormatError:
            refused += 1
    assert refused > 0


def test_cifar100_label_modes(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.cifar100, "DATASET", CIFAR)
    arrays = cifar_arrays()
    write_files(tmp_path, cifar_files(arrays))
    for mode, column in (("coarse", 0), ("fine", 1)):
        (_, y_train), (_, y_test) = datasets.cifar100.load_data(mode, data_dir=tmp_path)
        np.testing.assert_array_equal(y_train, arrays[1][:, column : column + 1])
        np.testing.assert_array_equal(y_test, arrays[3][:, column : column + 1])
    with pytest.raises(ValueError, match='must be "fine" or "coarse", got label_mode=\'middle\''):
        datasets.cifar100.load_data("middle")


# ---- writing files -----------------------------------------------------------------------------


def test_atomic_write(tmp_path):
    path = tmp_path / "file"
    with atomic_write(path) as stream:
        stream.write(b"old")
        assert not path.exists()
    with pytest.raises(RuntimeError), atomic_write(path) as stream:
        stream.write(b"new")
        raise RuntimeError
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["file"]
    if os.name == "posix":
        plain = tmp_path / "plain"
        plain.touch()
        assert path.stat().st_mode == plain.stat().st_mode  # others may read it, as the umask says


@pytest.mark.skipif(os.name != "posix", reason="links and pipes as POSIX has them")
def test_atomic_write_through_a_link_and_to_a_pipe(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with atomic_write(tmp_path / "link") as stream:
        stream.write(b"x")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "target").read_bytes() == b"x"
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with atomic_write(pipe) as stream:
        stream.write(b"x")
    assert os.read(reader, 10) == b"x" and pipe.is_fifo()
    os.close(reader)


def test_cache_directory(monkeypatch, tmp_path):
    monkeypatch.setenv("CONVKIT_HOME", str(tmp_path))
    assert cache_directory() == tmp_path
    monkeypatch.delenv("CONVKIT_HOME")
    assert cache_directory().name == "convkit" or "convkit" in cache_directory().parts
