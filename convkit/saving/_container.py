"""The file: named arrays and one JSON document, with a digest over all of it.

It is a safetensors file: 8 bytes with the header's length, a JSON header that gives each array's
type, shape and place, then the arrays one behind another. The header's `__metadata__` holds the
document, and first of all the SHA-256 digest of the whole file as it is with zeros for the digest.
Any safetensors reader opens it. It is read and written here, and not by the safetensors package, so
that the digest is checked before anything else is believed, the same arrays always give the same
bytes, and no more memory is used than the arrays need.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO, NoReturn

import numpy as np
from numpy.typing import NDArray

from convkit._files import FormatError, atomic_write

Array = NDArray[Any]

FORMAT = "convkit-1"
START = '{"__metadata__":{"sha256":"'
DIGITS = 64
# A header that lies about its size is not read. A net of 300 layers needs a fifth of this.
HEADER_LIMIT = 4 << 20
CHUNK = 1 << 20
MAX_AXES = 32
TYPES = {
    **{"F64": np.dtype("<f8"), "F32": np.dtype("<f4"), "F16": np.dtype("<f2")},
    **{"I64": np.dtype("<i8"), "I32": np.dtype("<i4"), "I16": np.dtype("<i2")},
    **{"I8": np.dtype("<i1"), "U64": np.dtype("<u8"), "U32": np.dtype("<u4")},
    **{"U16": np.dtype("<u2"), "U8": np.dtype("<u1"), "BOOL": np.dtype("?")},
}
NAMES = {dtype: name for name, dtype in TYPES.items()}


# ---- writing -----------------------------------------------------------------------------------


def write(
    path: str | os.PathLike[str], document: Mapping[str, Any], arrays: Mapping[str, Array]
) -> None:
    """Write a document and arrays to `path`: to a temporary file, synced, then renamed.

    Raises ValueError where the header would be larger than HEADER_LIMIT, OSError as the disk does.
    """
    header: dict[str, Any] = {
        "__metadata__": {
            **{"sha256": "0" * DIGITS, "format": FORMAT},
            "document": json.dumps(document, separators=(",", ":")),
        }
    }
    placed: list[Array] = []
    end = 0
    # The widest elements first, so that every array is aligned.
    for name, value in sorted(arrays.items(), key=lambda item: -item[1].dtype.itemsize):
        array = np.asarray(value, value.dtype.newbyteorder("<"), order="C")
        begin, end = end, end + array.nbytes
        header[name] = {
            **{"dtype": NAMES[array.dtype], "shape": list(array.shape)},
            "data_offsets": [begin, end],
        }
        placed.append(array)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    if len(text) > HEADER_LIMIT:
        raise ValueError(
            f"save: the description of the model needs {len(text)} bytes, a file may have"
            f" {HEADER_LIMIT}; keep large arrays in weights, not in a layer's config"
        )
    head = bytearray(len(text).to_bytes(8, "little") + text)
    digest = hashlib.sha256(head)
    for array in placed:
        digest.update(_bytes(array))
    head[8 + len(START) : 8 + len(START) + DIGITS] = digest.hexdigest().encode()
    with atomic_write(path) as file:
        file.write(head)
        for array in placed:
            file.write(_bytes(array))


def _bytes(array: Array) -> memoryview:
    return array.reshape(-1).view(np.uint8).data


# ---- reading -----------------------------------------------------------------------------------


class File:
    """A file whose digest and header were found right; arrays are read when asked for."""

    def __init__(self, path: str | os.PathLike[str], stream: BinaryIO) -> None:
        self.path, self._stream = os.fspath(path), stream
        self._size = os.fstat(stream.fileno()).st_size
        text = self._header()
        self._check_digest(text)
        header = self._parse(text, "header")
        metadata = header.pop("__metadata__")
        if metadata.get("format") != FORMAT:
            self.refuse(f"has format {metadata.get('format')!r}, this convkit reads {FORMAT!r}")
        self.document = self._parse(str(metadata.get("document")).encode(), "document")
        self._start = 8 + len(text)
        self._entries = self._check_entries(header)

    def refuse(self, what: str) -> NoReturn:
        """Raise FormatError for this file."""
        raise FormatError(f"{self.path}: {what}")

    def _header(self) -> bytes:
        stream = self._stream
        length = int.from_bytes(stream.read(8), "little")
        begin = stream.read(len(START))
        if begin != START.encode():
            self.refuse(
                "is not a file that convkit wrote (PyTorch's and Keras's files are read by"
                " convkit.interchange)"
                if self._size >= 8 + len(START)
                else f"is too short for a model, it has {self._size} bytes"
            )
        if not len(START) + DIGITS <= length <= min(HEADER_LIMIT, self._size - 8):
            self.refuse(f"is damaged: a header of {length} bytes in a file of {self._size}")
        text = begin + stream.read(length - len(begin))
        if len(text) != length:
            self.refuse("became shorter while it was read")
        return text

    def _check_digest(self, text: bytes) -> None:
        place = len(START)
        digest = hashlib.sha256(len(text).to_bytes(8, "little"))
        digest.update(text[:place] + b"0" * DIGITS + text[place + DIGITS :])
        while chunk := self._stream.read(CHUNK):
            digest.update(chunk)
        if digest.hexdigest().encode() != text[place : place + DIGITS]:
            self.refuse("is damaged: its contents do not have the digest that it was written with")

    def _parse(self, text: bytes, what: str) -> dict[str, Any]:
        try:
            found = json.loads(text, object_pairs_hook=_without_repeats)
        except (ValueError, RecursionError) as error:
            self.refuse(f"has a {what} that is not JSON: {error}")
        if not isinstance(found, dict):
            self.refuse(f"has a {what} that is not a JSON object")
        return found

    def _check_entries(self, header: dict[str, Any]) -> dict[str, tuple[Any, tuple[int, ...], int]]:
        """Check types, shapes and places; the arrays must fill the file without holes."""
        entries = {}
        end = 0
        for name, entry in header.items():
            if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
                self.refuse(f"describes the array {name!r} as {entry!r:.200}")
            shape, offsets = entry["shape"], entry["data_offsets"]
            dtype: Any = TYPES.get(entry["dtype"]) if isinstance(entry["dtype"], str) else None
            if dtype is None or not (_sizes(shape) and len(shape) <= MAX_AXES and _sizes(offsets)):
                self.refuse(f"describes the array {name!r} as {entry!r:.200}")
            if offsets != [end, end + math.prod(shape) * dtype.itemsize]:
                self.refuse(
                    f"places the array {name!r}, {dtype} of shape {shape}, at {offsets}, not from"
                    f" {end} on"
                )
            entries[name] = (dtype, tuple(shape), end)
            end = offsets[1]
        if self._start + end != self._size:
            self.refuse(f"has {self._size - self._start} bytes of arrays, its header says {end}")
        return entries

    @property
    def arrays(self) -> dict[str, tuple[Any, tuple[int, ...]]]:
        """The (dtype, shape) of all arrays by name."""
        return {name: (dtype, shape) for name, (dtype, shape, _) in self._entries.items()}

    @property
    def nbytes(self) -> int:
        """The size of all arrays together."""
        return self._size - self._start

    def array(self, name: str) -> Array:
        """Read an array."""
        if name not in self._entries:
            self.refuse(f"lacks the array {name!r}")
        dtype, shape, begin = self._entries[name]
        array = np.empty(shape, dtype)
        self._stream.seek(self._start + begin)
        if self._stream.readinto(_bytes(array)) != array.nbytes:  # type: ignore[attr-defined]
            self.refuse("became shorter while it was read")
        return array.astype(dtype.newbyteorder("="), copy=False)


def _sizes(values: Any) -> bool:
    return isinstance(values, list) and all(type(v) is int and 0 <= v < 2**63 for v in values)


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name occurs twice")
    return found


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[File]:
    """Open a file for reading, after checking all of it.

    Raises FormatError unless it is whole and as it was written; OSError as the disk does.
    """
    with open(path, "rb") as stream:
        yield File(path, stream)
