"""Snapshots of a running record: consistent, checked, whole or absent, the newest few kept."""

import os
import re
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from ..files.atomic import PART, explained, sync_folder
from .connection import explain, last_line
from .errors import RecordCorrupt

SUFFIX = ".backup.db"


def snapshot(db_path: Path, destination: Path, keep: int = 6) -> Path:
    """Copy the record as it is at one moment, beside a writer and without stopping it.

    Parameters
    ----------
    db_path
        The record.
    destination
        Folder for the copies, made if need be; may be on another disk. Copies are numbered ``<name>-000001.backup.db``.
    keep
        How many of the newest stay.

    Returns
    -------
    Path
        The copy: one file, checked, with nobody's lease in it.

    Raises
    ------
    RecordCorrupt
        The copy did not pass SQLite's integrity check, so the record is damaged; no copy is left.
    NoRoom, NotWritable
        The destination is full or refuses.
    """
    db_path, destination = Path(db_path), Path(destination)
    with explained(destination):
        destination.mkdir(exist_ok=True)
        earlier = backups(db_path, destination)
        number = _number(earlier[-1]) + 1 if earlier else 1
        path = destination / f"{db_path.stem}-{number:06d}{SUFFIX}"
        part = path.with_name(f".{path.name}.{os.getpid()}{PART}")
        try:
            _copy(db_path, part)
            part.replace(path)
        except BaseException:
            for leftover in (part, part.with_name(part.name + "-journal")):
                with suppress(OSError):
                    leftover.unlink()
            raise
        sync_folder(destination)
        for old in backups(db_path, destination)[: -max(keep, 1)]:
            old.unlink(missing_ok=True)
    return path


def backups(db_path: Path, destination: Path) -> list[Path]:
    """List the copies of this record in a folder, oldest first."""
    stem = Path(db_path).stem
    named = re.compile(rf"{re.escape(stem)}-\d+{re.escape(SUFFIX)}")
    found = [path for path in Path(destination).glob(f"*{SUFFIX}") if named.fullmatch(path.name)]
    return sorted(found, key=_number)


def _number(path: Path) -> int:
    return int(path.name.removesuffix(SUFFIX).rsplit("-", 1)[1])


def _copy(source: Path, part: Path) -> None:
    try:
        with closing(_reader(source)) as record, closing(sqlite3.connect(part, isolation_level=None)) as copy:
            record.backup(copy)
            # The copy is one file without a log beside it, and nobody writes it.
            copy.execute("PRAGMA journal_mode=DELETE")
            copy.execute("PRAGMA synchronous=FULL")
            copy.execute("DELETE FROM lease")
            said = copy.execute("PRAGMA integrity_check(1)").fetchone()[0]
    except sqlite3.Error as error:
        full = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_FULL
        raise explain(part.parent if full else source, error) from error
    if said != "ok":
        raise RecordCorrupt(
            f"{source} is damaged ({last_line(said)}); the backup before this one is the last good state."
        )
    handle = os.open(part, os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _reader(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=30)
