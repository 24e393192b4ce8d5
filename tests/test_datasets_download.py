"""Test downloads from servers on 127.0.0.1 that fail in every way that was seen in the wild."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import pickle
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from dataset_files import (
    CIFAR,
    IDX,
    IDX_NAMES,
    assert_same,
    cifar_arrays,
    cifar_tar,
    idx_arrays,
    idx_bytes,
    isolate,
    write_files,
    write_idx,
)
from http_server import Server, serve

from convkit import datasets
from convkit._files import FormatError
from convkit.datasets import _fetch
from convkit.datasets._dataset import Remote


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """Return the cache directory of this test."""
    return isolate(tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def server():
    """Serve the files of IDX and CIFAR."""
    files = {
        f"{name}.gz": gzip.compress(idx_bytes(array), mtime=0)
        for name, array in zip(IDX_NAMES, idx_arrays(), strict=True)
    }
    with serve({**files, "patches-binary.tar.gz": cifar_tar(cifar_arrays())}) as running:
        yield running


@pytest.fixture
def impatient(monkeypatch):
    """Wait for tenths of seconds only."""
    monkeypatch.setattr(_fetch, "READ_TIMEOUT", 0.2)
    monkeypatch.setattr(_fetch, "CONNECT_TIMEOUT", 2.0)


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def served(dataset, server: Server, *ways: str):
    """Return the data set with one mirror for each way of serving."""

    def url(how: str, name: str) -> str:
        if how == "refused":
            return f"http://127.0.0.1:{closed_port()}/{name}"
        if how == "nohost":
            return f"http://no-such-host.invalid/{name}"
        return server.url(how, name)

    names = [f"{n}.gz" for n in IDX_NAMES] if dataset is IDX else ["patches-binary.tar.gz"]
    remotes = tuple(
        Remote(
            name,
            len(server.files[name]),
            hashlib.sha256(server.files[name]).hexdigest(),
            tuple(url(how, name) for how in ways),
        )
        for name in names
    )
    return dataclasses.replace(dataset, remotes=remotes)


BAD_WAYS = {
    "404": "HTTP status 404",
    "500": "HTTP status 500",
    "truncated": "incomplete|IncompleteRead|got .* bytes",
    "short": "got .* bytes; expected",
    "long": "more than the expected",
    "wrong": "wrong contents: SHA-256 is",
    "stall": "timed out",
    "silent": "timed out",
    "loop": "Exceeded 30 redirects",
    "refused": "refused",
    "nohost": "name|known|resol|Name|address",
    "empty": "got 0 bytes; expected",
    "midheader": "",  # http.client takes it for an empty body or a broken connection
    "badlength": "many",
    "html": "got .* bytes, a web page; expected",
}


def leftovers(home: Path) -> list[str]:
    return sorted(p.name for p in home.rglob("*") if p.is_file())


@pytest.mark.parametrize("way", BAD_WAYS)
def test_bad_mirror_then_good_one(way, server, home, impatient, capsys):
    dataset = served(CIFAR, server, way, "good")
    assert_same(_fetch.load(dataset), cifar_arrays())
    assert leftovers(home) == sorted(CIFAR.parts)  # the archive is not kept
    shown = capsys.readouterr().err
    assert shown.index(dataset.remotes[0].mirrors[0]) < shown.index(dataset.remotes[0].mirrors[1])


@pytest.mark.parametrize("way", BAD_WAYS)
def test_only_bad_mirrors(way, server, home, impatient):
    dataset = served(CIFAR, server, way)
    with pytest.raises(_fetch.DownloadError, match=f"(?s)Patches is not .*{BAD_WAYS[way]}"):
        _fetch.load(dataset)
    assert leftovers(home) == []


def test_error_lists_all_mirrors_and_says_what_to_do(server, home, impatient):
    dataset = served(IDX, server, *(way for way in BAD_WAYS if way != "midheader"))
    with pytest.raises(_fetch.DownloadError) as error:
        _fetch.load(dataset)
    text = str(error.value)
    assert isinstance(error.value, OSError)
    remote = dataset.remotes[0]
    lines = text.splitlines()
    for url in remote.mirrors:
        reason = lines[lines.index(f"  {url}") + 1]
        assert reason.startswith("    ") and len(reason) > 10
    for wanted in dataset.remotes:
        assert f"{wanted.file} ({wanted.size:,} bytes, SHA-256 {wanted.sha256})" in text
    for place in ("data_dir=DIR", "$CONVKIT_DATA/tiny", str(home / "tiny")):
        assert place in text
    for advice in ("verify", "insecure", "ssl"):
        assert advice not in text.lower()


def test_doing_what_the_error_says_works(server, home, impatient):
    dataset = served(IDX, server, "404")
    with pytest.raises(_fetch.DownloadError):
        _fetch.load(dataset)
    write_files(home / "tiny", {r.file: server.files[r.file] for r in dataset.remotes})
    assert_same(_fetch.load(dataset), idx_arrays())


def test_idx_download_is_kept_and_not_repeated(server, home):
    dataset = served(IDX, server, "good")
    before = len(server.requests)
    assert_same(_fetch.load(dataset), idx_arrays())
    assert leftovers(home) == sorted(f"{name}.gz" for name in IDX_NAMES)
    assert_same(_fetch.load(dataset), idx_arrays())
    assert len(server.requests) == before + 4
    assert _fetch.download(dataset) == home / "tiny"
    assert len(server.requests) == before + 4


def test_files_are_asked_for_as_they_are(server):
    """A server that packs .gz files once more, or unpacks them, would spoil the checksum."""
    server.encodings.clear()
    _fetch.load(served(IDX, server, "good"))
    assert server.encodings == {"identity"}


def test_redirects_are_followed(server):
    assert_same(_fetch.load(served(CIFAR, server, "moved")), cifar_arrays())


def test_only_missing_files_are_downloaded(server, home):
    write_idx(home / "tiny", idx_arrays())
    (home / "tiny" / IDX_NAMES[1]).unlink()
    before = len(server.requests)
    assert_same(_fetch.load(served(IDX, server, "good")), idx_arrays())
    assert server.requests[before:] == [("good", f"{IDX_NAMES[1]}.gz")]


def test_slow_mirror_is_left_for_the_next(server, monkeypatch):
    monkeypatch.setattr(_fetch, "SLOW_AFTER", 0.05)
    monkeypatch.setattr(_fetch, "CHUNK", 8)  # at 100 bytes a second
    assert_same(_fetch.load(served(CIFAR, server, "drip", "good")), cifar_arrays())
    assert server.requests[-2:] == [(w, "patches-binary.tar.gz") for w in ("drip", "good")]


def test_slow_mirror_is_kept_if_it_is_the_last(server, monkeypatch):
    monkeypatch.setattr(_fetch, "SLOW_AFTER", 0.05)
    monkeypatch.setattr(_fetch, "CHUNK", 8)
    name = f"{IDX_NAMES[3]}.gz"  # 50 bytes
    dataset = served(IDX, server, "404", "drip")
    raw = io.BytesIO()
    _fetch._fetch(dataset, dataset.remotes[3], raw)
    assert raw.getvalue() == server.files[name]


def test_damaged_cache_is_refused_by_load_and_mended_by_download(server, home):
    dataset = served(IDX, server, "good")
    write_idx(home / "tiny", idx_arrays())
    (home / "tiny" / IDX_NAMES[0]).write_bytes(idx_bytes(idx_arrays()[0])[:50])
    with pytest.raises(FormatError, match="delete it to have it downloaded again"):
        _fetch.load(dataset)
    assert _fetch.download(dataset) == home / "tiny"
    assert_same(_fetch.load(dataset), idx_arrays())


def test_two_processes_at_once(server, home):
    dataset = served(CIFAR, server, "good")
    code = (
        "import pickle, sys; from convkit.datasets import _fetch;"
        "x = _fetch.load(pickle.loads(bytes.fromhex(sys.argv[1])))[0][0]; print(int(x.sum()))"
    )
    command = [sys.executable, "-c", code, pickle.dumps(dataset).hex()]
    running = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)
    ]
    for process in running:
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err.decode()
        assert int(out) == cifar_arrays()[0].sum()
    assert leftovers(home) == sorted(CIFAR.parts)


def test_many_threads_at_once(server, home):
    dataset = served(IDX, server, "good")
    results: list = []
    threads = [
        threading.Thread(target=lambda: results.append(_fetch.load(dataset))) for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 6
    for loaded in results:
        assert_same(loaded, idx_arrays())
    assert leftovers(home) == sorted(f"{name}.gz" for name in IDX_NAMES)


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_interrupted_download_leaves_nothing(server, home, monkeypatch, error):
    def fail(self, chunk):
        raise error

    monkeypatch.setattr(_fetch._Receiver, "write", fail)
    expected = _fetch.DownloadError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected):
        _fetch.load(served(CIFAR, server, "good"))
    assert leftovers(home) == []


def test_full_disk_is_not_blamed_on_the_mirrors(server, monkeypatch):
    def fail(self, chunk):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_fetch._Receiver, "write", fail)
    with pytest.raises(_fetch.DownloadError, match="No space left on device; set CONVKIT_HOME"):
        _fetch.load(served(CIFAR, server, "good", "good"))


def test_cache_that_cannot_be_made(server, tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("CONVKIT_HOME", str(tmp_path / "file"))
    with pytest.raises(_fetch.DownloadError, match=r"which failed: .*; set CONVKIT_HOME"):
        _fetch.load(served(CIFAR, server, "good"))


def test_download_by_name(server, home, monkeypatch):
    monkeypatch.setattr(datasets.cifar10, "DATASET", served(CIFAR, server, "good"))
    assert datasets.download("CIFAR-10") == home / "patches-bin"
    assert_same(datasets.load("cifar10"), cifar_arrays())
