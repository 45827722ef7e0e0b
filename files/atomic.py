"""Files that are there whole or not at all: written aside, synced, renamed, and the folder synced after.

A process killed in between leaves at most a ``.part`` file, which nobody reads and `sweep` removes.
"""

import errno
import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from ..protocols.errors import BadInput, EpicycleError

PART = ".part"
"""Ending of a file that is still being written."""

_serial = itertools.count()
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class NoRoom(EpicycleError):
    """The disk is full, or the user's quota; what was there before is untouched."""


class NotWritable(BadInput):
    """The folder does not exist, or this user may not write there."""


def write_bytes(path: Path, data: bytes) -> None:
    """Put these bytes under this name, or leave what was there.

    Raises
    ------
    NoRoom
        The disk is full.
    NotWritable
        The folder is missing or read-only.
    """
    write_with(path, lambda file: file.write(data))


def write_with(path: Path, fill: Callable[[BinaryIO], object]) -> None:
    """Let ``fill`` write the file aside, then give it its name; raises as `write_bytes` does."""
    path = Path(path)
    part = path.with_name(f".{path.name}.{os.getpid()}-{next(_serial)}{PART}")
    with explained(path):
        try:
            with part.open("xb") as file:
                fill(file)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        except BaseException:
            with suppress(OSError):
                part.unlink()
            raise
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make a rename in this folder outlast a power cut; does nothing where folders cannot be synced (Windows)."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)


def sweep(folder: Path) -> int:
    """Remove the leftovers of killed writers in this folder; call it only while nobody writes. Returns how many."""
    leftovers = list(Path(folder).glob(f".*{PART}"))
    for part in leftovers:
        part.unlink(missing_ok=True)
    return len(leftovers)


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals while writing ``path`` into sentences."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise NoRoom(f"No room left on the disk for {path}; free some space and go on.") from error
        if isinstance(error, FileNotFoundError):
            raise NotWritable(f"{path} cannot be written: its folder does not exist; create {path.parent}.") from error
        if isinstance(error, PermissionError | NotADirectoryError | IsADirectoryError) or error.errno == errno.EROFS:
            why = (error.strerror or "refused").lower()
            raise NotWritable(f"{path} cannot be written ({why}); choose a folder you may write to.") from error
        raise
