"""Find a data set on the disk, or download it: search order, mirrors, checksums.

Looked at in order: the `data_dir` argument, the directory in CONVKIT_DATA, the cache (CONVKIT_HOME,
else the platform's cache directory), then each mirror. What is found on the disk is accepted for
its contents, not for a checksum, so that files unpacked, recompressed or converted by hand will do;
what is downloaded must match its SHA-256.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from convkit._files import FormatError, cache_directory
from convkit.datasets._dataset import Arrays, Remote, StoredDataset

__all__ = ["DownloadError", "download", "load"]

CONNECT_TIMEOUT = 10.0  # seconds
READ_TIMEOUT = 30.0  # seconds without a byte
# A mirror that stays below MIN_SPEED for SLOW_AFTER seconds is left for the next one; the last
# mirror is never left. At this speed CIFAR takes an hour, a good mirror needs seconds.
MIN_SPEED = 50_000.0  # bytes per second
SLOW_AFTER = 20.0  # seconds
CHUNK = 4096  # bytes; small, so that a trickle is noticed


class DownloadError(OSError):
    """Report that no mirror gave a file, and say where to put it by hand."""


class _MirrorError(Exception):
    """Report why one mirror was given up."""


# ---- on the disk -------------------------------------------------------------------------------


def _user_directory(value: str | os.PathLike[str], name: str) -> Path:
    """Check and return a directory that the user named."""
    if not isinstance(value, (str, os.PathLike)):
        raise TypeError(f"load_data: {name} must be a path, got {name}={value!r}")
    path = Path(value).expanduser()
    if not path.is_dir():
        raise FileNotFoundError(
            f"load_data: {name} must be an existing directory, got {name}={str(value)!r}"
        )
    return path


def _folders(dataset: StoredDataset, root: Path) -> Iterator[Path]:
    """Yield where the files may lie below `root`: its usual folders, then `root` itself."""
    for name in dataset.folders:
        yield root / name
    for name in dataset.folders[1:]:
        yield root / name / "raw"  # as torchvision keeps MNIST
        yield root / name / dataset.folders[0]  # an archive unpacked inside a folder
    yield root


def _find(dataset: StoredDataset, root: Path, *, allow_missing: bool) -> dict[str, Path] | None:
    """Return {part: path} of the first complete copy below `root`.

    Raises FileNotFoundError if only some of the files are there, unless allow_missing.
    """
    incomplete: tuple[Path, dict[str, Path]] | None = None
    for folder in _folders(dataset, root):
        found = dataset.locate(folder)
        if len(found) == len(dataset.parts):
            return found
        if found and incomplete is None:
            incomplete = folder, found
    if incomplete and not allow_missing:
        folder, found = incomplete
        missing = ", ".join(part for part in dataset.parts if part not in found)
        raise FileNotFoundError(
            f"load_data: {folder} must hold all files of {dataset.title}, got only"
            f" {', '.join(path.name for path in found.values())}; missing: {missing}"
        )
    return None


def _cache_folder(dataset: StoredDataset) -> Path:
    return cache_directory() / dataset.folders[0]


def load(dataset: StoredDataset, data_dir: str | os.PathLike[str] | None = None) -> Arrays:
    """Load a data set from the first place that has it, downloading it if none has.

    Raises FormatError for a damaged file, FileNotFoundError for an incomplete set in a directory
    that the user named, DownloadError if no mirror answers.
    """
    named = [(data_dir, "data_dir"), (os.environ.get("CONVKIT_DATA") or None, "CONVKIT_DATA")]
    for value, name in named:
        if value is not None:
            paths = _find(dataset, _user_directory(value, name), allow_missing=False)
            if paths:
                return dataset.read(paths)
    paths = _find(dataset, cache_directory(), allow_missing=True)
    if not paths:
        folder = _cache_folder(dataset)
        _fetch_missing(dataset, folder)
        paths = dataset.locate(folder)
    return dataset.read(paths)


def download(dataset: StoredDataset) -> Path:
    """Make sure that the cache holds a good copy of a data set; return its directory.

    Files that are there and good are kept, damaged ones are downloaded again.
    Raises DownloadError if no mirror answers.
    """
    folder = _cache_folder(dataset)
    paths = _find(dataset, cache_directory(), allow_missing=True)
    if paths:
        try:
            dataset.read(paths)
        except FormatError as error:
            print(error, file=sys.stderr)
            for path in set(paths.values()):
                path.unlink(missing_ok=True)
        else:
            return paths[dataset.parts[0]].parent
    _fetch_missing(dataset, folder)
    return folder


# ---- from the network --------------------------------------------------------------------------


def _fetch_missing(dataset: StoredDataset, folder: Path) -> None:
    """Download into `folder` the files of the data set that are not there."""
    import tempfile

    found = dataset.locate(folder)
    remotes = dataset.remotes_for([part for part in dataset.parts if part not in found])
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for remote in remotes:
            # Without a name, in the target's file system: it is gone whatever happens to us.
            with tempfile.TemporaryFile(dir=folder) as raw:
                _fetch(dataset, remote, raw)
                raw.seek(0)
                dataset.install(remote, raw, folder)
    except DownloadError:
        raise
    except OSError as error:
        raise DownloadError(
            f"load_data: {dataset.title} must be stored in {folder}, which failed: {error};"
            " set CONVKIT_HOME to a directory that can be written and has room for"
            f" {_megabytes(dataset)}, or CONVKIT_DATA to one that holds the files"
        ) from error


def _fetch(dataset: StoredDataset, remote: Remote, raw: IO[bytes]) -> None:
    """Write the contents of `remote` to the empty file `raw`, from the first mirror that works."""
    reasons = []
    for url in remote.mirrors:
        print(f"Downloading {url}", file=sys.stderr, flush=True)
        try:
            _fetch_from(url, remote, raw, last=url == remote.mirrors[-1])
        except _MirrorError as error:
            print(f"  {error}", file=sys.stderr, flush=True)
            reasons.append(f"  {url}\n    {error}")
            raw.seek(0)
            raw.truncate()
        else:
            return
    raise DownloadError(_no_mirror(dataset, remote, reasons))


def _fetch_from(url: str, remote: Remote, raw: IO[bytes], *, last: bool) -> None:
    """Download and verify from one mirror. Raises _MirrorError with the reason if it fails."""
    import pooch
    import requests
    import urllib3

    receive = pooch.HTTPDownloader(
        chunk_size=CHUNK,
        timeout=(CONNECT_TIMEOUT, READ_TIMEOUT),
        headers={"Accept-Encoding": "identity"},  # else .gz files may arrive unpacked
    )
    with _Receiver(raw, remote, last=last) as receiver:
        try:
            receive(url, receiver, None)
        except requests.HTTPError as error:
            raise _MirrorError(f"HTTP status {str(error).partition(' for url')[0]}") from error
        except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:
            raise _MirrorError(_innermost(error)) from error
        receiver.verify()


class _Receiver:
    """Take in a download: write, count and hash it, show progress, stop what goes wrong."""

    def __init__(self, raw: IO[bytes], remote: Remote, *, last: bool) -> None:
        import hashlib

        from tqdm import tqdm

        self.raw, self.remote, self.last = raw, remote, last
        self.hash = hashlib.sha256()
        self.start, self.count, self.head = time.monotonic(), 0, b""
        self.bar: Any = tqdm(
            total=remote.size, unit="B", unit_scale=True, desc=remote.file, disable=None
        )

    def __enter__(self) -> _Receiver:
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.close()

    def write(self, chunk: bytes) -> int:
        """Write a chunk to the file. Raises _MirrorError if the download is not worth going on."""
        self.head = self.head or chunk[:64]
        self.count += len(chunk)
        if self.count > self.remote.size:
            raise _MirrorError(f"more than the expected {self.remote.size:,} bytes")
        seconds = time.monotonic() - self.start
        if not self.last and seconds > SLOW_AFTER and self.count < MIN_SPEED * seconds:
            speed = self.count / seconds / 1000
            raise _MirrorError(f"too slow: {speed:.1f} kB/s over {seconds:.0f} seconds")
        self.hash.update(chunk)
        self.raw.write(chunk)
        self.bar.update(len(chunk))
        return len(chunk)

    def flush(self) -> None:
        """Do nothing: the file is flushed when it is complete."""

    def verify(self) -> None:
        """Raise _MirrorError unless what came is what was expected."""
        if self.count != self.remote.size:
            page = ", a web page" if self.head.lstrip()[:1] == b"<" else ""
            raise _MirrorError(
                f"got {self.count:,} bytes{page}; expected {self.remote.size:,} bytes"
            )
        if self.hash.hexdigest() != self.remote.sha256:
            raise _MirrorError(
                f"wrong contents: SHA-256 is {self.hash.hexdigest()}, expected {self.remote.sha256}"
            )


def _innermost(error: BaseException) -> str:
    """Return the first cause of a network error: the outer ones repeat it at length."""
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__  # type: ignore[assignment]
    return str(error) or type(error).__name__


def _megabytes(dataset: StoredDataset) -> str:
    return f"{2 * dataset.download_size / 1e6:.0f} MB"  # the download and what is made of it


def _no_mirror(dataset: StoredDataset, remote: Remote, reasons: list[str]) -> str:
    """Compose the message for a file that no mirror gave."""
    files = "\n".join(f"  {r.file} ({r.size:,} bytes, SHA-256 {r.sha256})" for r in dataset.remotes)
    folder = dataset.folders[0]
    return (
        f"load_data: {dataset.title} is not on this machine, and none of the mirrors gave"
        f" {remote.file}:\n" + "\n".join(reasons) + "\n"
        "Try again later, or fetch on another machine, from any of these addresses,\n"
        f"{files}\n"
        "and put them, packed or unpacked, into one of these directories:\n"
        f"  DIR or DIR/{folder}, with load_data(data_dir=DIR)\n"
        f"  $CONVKIT_DATA/{folder}\n"
        f"  {_cache_folder(dataset)}"
    )
