"""Read the files of data sets: IDX, CIFAR's binary form and .npz; trust nothing that they say.

Sizes are known beforehand, so every reader stops one byte after the last it expects: a file that
unpacks to terabytes costs no more than a good one. Nothing is ever unpickled or extracted by name.
"""

from __future__ import annotations

import gzip
import io
import math
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO, NoReturn

import numpy as np

from convkit._files import FormatError

__all__ = ["parse_cifar", "read_archive", "read_exactly", "read_idx", "read_npz"]

GZIP_MAGIC = b"\x1f\x8b"  # neither an IDX file nor a CIFAR record can begin with it
NPY_HEADER_LIMIT = 1024  # bytes; NumPy writes 80 to 128 for such arrays
ARCHIVE_SLACK = 1 << 20  # bytes of an archive beyond the wanted members: headers, readme, names


def refuse(path: Path | str, expected: str, found: str) -> NoReturn:
    """Raise FormatError for the file at `path`."""
    raise FormatError(
        f"load_data: {path} must hold {expected}, got {found}; replace it by a good copy, or"
        " delete it to have it downloaded again"
    )


class _Limited(io.RawIOBase):
    """Read from a stream, but refuse to go beyond `limit` bytes."""

    def __init__(self, stream: IO[bytes], limit: int, path: Path | str) -> None:
        self.stream, self.left, self.limit, self.path = stream, limit, limit, path

    def read(self, size: int = -1) -> bytes:
        wanted = self.left + 1 if size < 0 else min(size, self.left + 1)
        data = self.stream.read(wanted)
        self.left -= len(data)
        if self.left < 0:
            refuse(self.path, f"at most {self.limit:,} bytes when unpacked", "more")
        return data


def _unpacked(raw: IO[bytes]) -> IO[bytes]:
    """Return a stream of the contents, whether `raw` is compressed with gzip or not."""
    # Names do not tell: browsers unpack .gz files on the way and keep the name.
    start = raw.read(2)
    raw.seek(0)
    return gzip.GzipFile(fileobj=raw, mode="rb") if start == GZIP_MAGIC else raw  # type: ignore[return-value]


def _describe(data: bytes) -> str:
    """Say what the contents look like, for a message."""
    if not data:
        return "an empty file"
    if data.lstrip()[:1] == b"<":
        return "a web page (an error page or a login page saved under this name)"
    return f"a file that begins with the bytes {data[:4].hex(' ')}"


def _read_at_most(path: Path, size: int, expected: str) -> bytes:
    """Read at most `size` bytes of the contents of a plain or gzip file."""
    with open(path, "rb") as raw:
        try:
            return _unpacked(raw).read(size)
        except EOFError:
            refuse(path, expected, "a gzip stream that ends too early (truncated)")
        except (gzip.BadGzipFile, zlib.error) as error:
            refuse(path, expected, f"a damaged gzip stream ({error})")


def _check_length(path: Path | str, data: bytes, size: int, expected: str) -> None:
    if len(data) < size:
        refuse(path, expected, f"only {len(data):,} of {size:,} bytes (truncated)")
    if len(data) > size:
        refuse(path, expected, f"more than {size:,} bytes")


def read_exactly(path: Path, size: int, expected: str) -> bytes:
    """Read a plain or gzip file whose contents must be `size` bytes.

    Raises FormatError if they are not; `expected` names them in the message.
    """
    data = _read_at_most(path, size + 1, expected)
    if len(data) < size and data.lstrip()[:1] in (b"", b"<"):
        refuse(path, expected, _describe(data))
    _check_length(path, data, size, expected)
    return data


def read_idx(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """Read an IDX file of unsigned bytes, plain or compressed with gzip: uint8 of `shape`.

    Raises FormatError unless magic number, dimensions and length are exactly those of `shape`.
    Source: Y. LeCun, C. Cortes, C. J. C. Burges, The MNIST database, "File formats".
    """
    header = 4 + 4 * len(shape)
    size = header + math.prod(shape)
    sizes = " x ".join(map(str, shape))
    expected = f"{sizes} unsigned bytes in IDX form"
    data = _read_at_most(path, size + 1, expected)
    if data[:4] != bytes([0, 0, 8, len(shape)]):  # 8: unsigned byte; then the number of dimensions
        refuse(path, expected, _describe(data))
    found = tuple(int(n) for n in np.frombuffer(data[4:header], ">u4")) if data[header:] else ()
    if found and found != shape:
        refuse(path, expected, f"{' x '.join(map(str, found))}")
    _check_length(path, data, size, expected)
    return np.frombuffer(data, np.uint8, offset=header).reshape(shape).copy()


def parse_cifar(
    images: np.ndarray, labels: np.ndarray, data: bytes, path: Path | str, limits: tuple[int, ...]
) -> None:
    """Take apart the records of one file of CIFAR's binary form.

    images: uint8 (records, height, width, channels), written; labels: uint8 (records, k), written.
    A record is k label bytes, label i below limits[i], then one plane per channel, row-major.
    `data` has the right length. Raises FormatError if a label is out of range.
    Source: A. Krizhevsky, Learning multiple layers of features from tiny images, 2009.
    """
    records, height, width, channels = images.shape
    table = np.frombuffer(data, np.uint8).reshape(records, -1)
    labels[...] = table[:, : len(limits)]
    for column, limit in enumerate(limits):
        worst = int(labels[:, column].max(initial=0))
        if worst >= limit:
            refuse(path, f"labels from 0 to {limit - 1}", f"a label {worst}")
    planes = table[:, len(limits) :].reshape(records, channels, height, width)
    images[...] = planes.transpose(0, 2, 3, 1)


def read_archive(
    raw: IO[bytes], path: Path | str, folder: str, members: Mapping[str, int]
) -> dict[str, bytes]:
    """Read the files `members` (name: size in bytes) out of a tar archive, plain or gzip.

    They may be in `folder` or at the top; everything else in the archive is skipped, and nothing is
    written to the disk. Raises FormatError if one is missing, there twice, or of another size.
    """
    import tarfile

    expected = f"a tar archive with {', '.join(members)}"
    limit = sum(members.values()) + ARCHIVE_SLACK
    found: dict[str, bytes] = {}
    try:
        stream = _Limited(_unpacked(raw), limit, path)
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            for member in archive:
                name = member.name.removeprefix("./").removeprefix(f"{folder}/")
                if name not in members or not member.isreg():
                    continue
                if member.size != members[name]:
                    refuse(path, f"{name} of {members[name]:,} bytes", f"{member.size:,} bytes")
                if name in found:
                    refuse(path, expected, f"{name} twice")
                content = archive.extractfile(member)
                assert content is not None  # it is a regular file
                found[name] = content.read()
                _check_length(path, found[name], members[name], name)
        while stream.read(1 << 16):  # up to the end, where gzip's checksum is
            pass
    except EOFError:
        refuse(path, expected, "an archive that ends too early (truncated)")
    except FormatError:
        raise
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, ValueError, RecursionError) as error:
        refuse(path, expected, f"a damaged archive ({error})")
    missing = [name for name in members if name not in found]
    if missing:
        refuse(path, expected, f"none named {', '.join(missing)}")
    return found


def read_npz(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Read uint8 arrays of known names and shapes from an .npz file, never unpickling.

    Raises FormatError if one is missing or of another shape or dtype.
    Source: NumPy Enhancement Proposal 1, the .npy format.
    """
    import zipfile

    expected = f"the uint8 arrays {', '.join(f'{key} {shape}' for key, shape in shapes.items())}"
    limit = sum(math.prod(shape) for shape in shapes.values()) + ARCHIVE_SLACK
    with open(path, "rb") as raw:
        packed = raw.read(limit + 1)
    if len(packed) > limit:
        refuse(path, expected, f"more than {limit:,} bytes")
    arrays = {}
    try:
        with zipfile.ZipFile(io.BytesIO(packed)) as archive:
            for key, shape in shapes.items():
                count = math.prod(shape)
                with archive.open(f"{key}.npy") as member:
                    data = io.BytesIO(member.read(NPY_HEADER_LIMIT + count + 1))
                version = np.lib.format.read_magic(data)
                if version != (1, 0):
                    refuse(path, expected, f"{key} in version {version} of the .npy format")
                found, fortran, dtype = np.lib.format.read_array_header_1_0(data)
                if found != shape or dtype != np.uint8 or fortran:
                    refuse(path, expected, f"{key} of shape {found} and dtype {dtype}")
                values = data.read()
                _check_length(path, values, count, key)
                arrays[key] = np.frombuffer(values, np.uint8).reshape(shape).copy()
    except FormatError:
        raise
    except KeyError as error:
        refuse(path, expected, str(error.args[0]))
    except Exception as error:
        # All is in memory, so whatever goes wrong is the contents' fault, and zipfile and NumPy
        # have a dozen ways of saying so: BadZipFile, zlib.error, struct.error, TokenError, ...
        refuse(path, expected, f"a damaged file ({error})")
    return arrays
