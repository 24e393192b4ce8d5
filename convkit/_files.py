"""Name the cache directory, and write files so that nobody ever sees half of one."""

from __future__ import annotations

import errno
import glob
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

__all__ = ["FormatError", "atomic_write", "cache_directory", "check_writable", "remove_parts"]


class FormatError(ValueError):
    """A file is damaged, incomplete, or does not hold what it should."""


def cache_directory() -> Path:
    """Return where downloads are kept: CONVKIT_HOME, else the platform's cache directory."""
    home = os.environ.get("CONVKIT_HOME")
    if home:
        return Path(home).expanduser()
    import pooch

    return Path(pooch.os_cache("convkit"))


def remove_parts(path: str | os.PathLike[str]) -> None:
    """Delete what writers of `path` that were killed left behind."""
    target = Path(os.path.realpath(path))
    for part in target.parent.glob(f".{glob.escape(target.name)}.*.part"):
        part.unlink(missing_ok=True)


def _part_of(target: Path) -> Path:
    return target.with_name(f".{target.name}.{os.urandom(8).hex()}.part")


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raise the OSError that atomic_write would raise, before the work whose result it is for."""
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    if target.exists() and not target.is_file():
        return
    part = _part_of(target)
    part.touch(exist_ok=False)
    part.unlink()


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file for writing that takes the name `path` only when the block ends without error.

    Readers see the old contents or the new, never a part; of several writers the last one wins.
    On an error nothing is left behind. Raises OSError where the directory cannot be written.
    """
    target = Path(os.path.realpath(path))  # a link stays a link: its target is replaced
    if target.exists() and not target.is_file():
        # Devices and pipes cannot be replaced by a rename: root would turn /dev/null into a file.
        with open(target, "wb") as stream:
            yield stream
        return
    part = _part_of(target)
    try:
        with open(part, "xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())  # else a power cut may leave the new name without contents
        os.replace(part, target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
