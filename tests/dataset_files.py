"""Make the files of two tiny data sets, of the same classes as the real ones."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

import numpy as np

from convkit.datasets._dataset import CifarDataset, IdxDataset, Remote

CLASSES = tuple("abcdefghij")
IDX_NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
OTHER_LABELS = (9, 9, 9, 9)
IDX = IdxDataset(
    name="tiny",
    title="Tiny",
    class_names=CLASSES,
    image_shape=(4, 3),
    train=20,
    test=5,
    folders=("tiny", "Tiny"),
    npz="tiny.npz",
    not_to_confuse=("Other", OTHER_LABELS),
)
CIFAR = CifarDataset(
    name="patches",
    title="Patches",
    class_names=CLASSES,
    image_shape=(2, 4, 3),
    train=12,
    test=5,
    folders=("patches-bin", "patches"),
    train_files=("data_batch_1.bin", "data_batch_2.bin"),
    test_file="test_batch.bin",
    label_limits=(3, 10),
    remotes=(Remote("patches-binary.tar.gz", 0, "", ()),),
)
CIFAR_RECORD = 2 + 2 * 4 * 3


def isolate(tmp_path: Path, monkeypatch) -> Path:
    """Keep the user's cache, data and proxies out of a test; return the cache directory."""
    monkeypatch.setenv("CONVKIT_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("CONVKIT_DATA", raising=False)
    monkeypatch.setenv("NO_PROXY", "*")
    return tmp_path / "home"


def idx_bytes(array: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    return header + array.tobytes()


def idx_arrays(seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    shapes = [(20, 4, 3), (20,), (5, 4, 3), (5,)]
    return [rng.integers(0, 256 if len(s) == 3 else 9, s, np.uint8) for s in shapes]


def write_idx(folder: Path, arrays: list[np.ndarray], ending: str = "", packed=None) -> None:
    """Write the four files; `packed` says whether to compress, default as the ending says."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in zip(IDX_NAMES, arrays, strict=True):
        data = idx_bytes(array)
        if packed if packed is not None else ending == ".gz":
            data = gzip.compress(data)
        (folder / (name + ending)).write_bytes(data)


def assert_same(loaded, arrays) -> None:
    (x_train, y_train), (x_test, y_test) = loaded
    for got, wanted in zip((x_train, y_train, x_test, y_test), arrays, strict=True):
        assert got.dtype == np.uint8 and got.shape == wanted.shape
        assert got.flags.c_contiguous and got.flags.writeable
        np.testing.assert_array_equal(got, wanted)


def cifar_arrays(seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    out = []
    for count in (12, 5):
        out.append(rng.integers(0, 256, (count, 2, 4, 3), np.uint8))
        out.append(np.stack([rng.integers(0, limit, count, np.uint8) for limit in (3, 10)], 1))
    return out


def cifar_files(arrays: list[np.ndarray]) -> dict[str, bytes]:
    """Write records one by one and pixel by pixel, straight from the format's description."""

    def records(images, labels):
        out = bytearray()
        for image, label in zip(images, labels, strict=True):
            out += bytes(label.tolist())
            for channel in range(3):
                for row in range(2):
                    for column in range(4):
                        out.append(image[row, column, channel])
        return bytes(out)

    x_train, y_train, x_test, y_test = arrays
    return {
        "data_batch_1.bin": records(x_train[:6], y_train[:6]),
        "data_batch_2.bin": records(x_train[6:], y_train[6:]),
        "test_batch.bin": records(x_test, y_test),
    }


def write_files(folder: Path, files: dict[str, bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)


def tar_bytes(members: list[tuple[str, bytes]], packed: bool = True) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        for name, data in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return gzip.compress(raw.getvalue()) if packed else raw.getvalue()


def cifar_tar(arrays, prefix="patches-bin/", packed=True) -> bytes:
    files = {"readme.html": b"<p>", **cifar_files(arrays)}
    return tar_bytes([(prefix + name, data) for name, data in files.items()], packed)
