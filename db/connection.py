"""Opening the record: one writer that locks before it writes, readers that never lock, a schema that is known.

SQLite with WAL, ``synchronous=FULL`` and ``BEGIN IMMEDIATE``: a commit that returned outlasts a power cut, and what a
transaction reads nobody changes before it writes. That one process alone writes a night's state, and so may know it
without reading, is the lease's doing. A PostgreSQL URL may stand where a path does.
"""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from pydantic_core import from_json
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.pool import NullPool, QueuePool

from .. import __version__
from ..files.atomic import NoRoom
from . import schema
from .columns import as_json
from .errors import (
    RecordCorrupt,
    RecordError,
    RecordExists,
    RecordInUse,
    RecordMissing,
    RecordNewer,
    RecordNotReadable,
    RecordNotWritable,
    RecordOlder,
)
from .lease import locked
from .querying import reading
from .server import OUR_TABLES, create_on_server, open_on_server

__all__ = [
    "RecordCorrupt",
    "RecordError",
    "RecordExists",
    "RecordInUse",
    "RecordMissing",
    "RecordNewer",
    "RecordNotReadable",
    "RecordNotWritable",
    "RecordOlder",
    "create_record",
    "explain",
    "open_reader",
    "open_writer",
    "reading",
]

BUSY_TIMEOUT_MS = 30_000
_MAGIC = b"SQLite format 3\0"


def create_record(path: Path | str) -> Engine:
    """Make an empty record and open it for writing.

    Raises
    ------
    RecordExists
        A record is there already.
    RecordNotWritable, NoRoom
        The folder does not exist or refuses, or the disk is full.
    """
    place = _place(path)
    if isinstance(place, URL):
        return create_on_server(place)
    path = place
    if not path.parent.is_dir():
        raise RecordNotWritable(f"{path} cannot be made: its folder does not exist; create {path.parent}.")
    with locked(path):
        if path.exists() and not _is_blank(path):
            raise RecordExists(f"{path} exists already; resume it, or choose another folder.")
        _migrate_file(path, mode="rwc")
    return _writer(path)


def open_writer(path: Path | str) -> Engine:
    """Open a record for writing, brought up to the present schema first; take the lease before writing.

    Every transaction of this engine begins with ``BEGIN IMMEDIATE``; `reading` gives one that does not.

    Raises
    ------
    RecordMissing, RecordCorrupt, RecordNewer, RecordNotWritable
        See `db.errors`.
    RecordInUse
        It needs an upgrade while another process writes it.
    """
    place = _place(path)
    if isinstance(place, URL):
        return open_on_server(place, writing=True)
    path = place
    _check_file(path)
    if not os.access(path, os.W_OK) or not os.access(path.parent, os.W_OK):
        raise RecordNotWritable(f"{path} is read-only for you, file or folder; copy it to where you may write.")
    with closing(_open_sqlite(path, "ro")) as raw:
        revision = _check_contents(path, raw, thorough=True)
    if revision != schema.head():
        with locked(path):
            _migrate_file(path, mode="rw")
    return _writer(path)


def open_reader(path: Path | str) -> Engine:
    """Open a record read-only, safe beside a running night and never in its way.

    Each transaction sees one consistent state. A record on a read-only disk can be read too.

    Raises
    ------
    RecordMissing, RecordCorrupt, RecordNewer, RecordOlder, RecordNotReadable
        See `db.errors`.
    """
    place = _place(path)
    if isinstance(place, URL):
        return open_on_server(place, writing=False)
    path = place
    _check_file(path)
    mode = _reading_mode(path)
    with closing(_open_sqlite(path, mode)) as raw:
        revision = _check_contents(path, raw, thorough=False)
    if revision != schema.head():
        raise RecordOlder(
            f"{path} is of schema {revision}, older than this program's {schema.head()}; "
            "a copy opened once with `epicycle resume` is brought up to date."
        )
    return _sqlite_engine(path, mode)


def _place(path: Path | str) -> Path | URL:
    """Tell a file from a server; SQLite's own URLs name files."""
    if not isinstance(path, str) or "://" not in path:
        return Path(path)
    url = make_url(path)
    return Path(url.database or "") if url.get_backend_name() == "sqlite" else url


def _writer(path: Path) -> Engine:
    return _sqlite_engine(path, "rw", begin="BEGIN IMMEDIATE")


def _sqlite_engine(path: Path, mode: str, *, begin: str = "BEGIN", foreign_keys: bool = True) -> Engine:
    pool: dict[str, Any] = {"poolclass": QueuePool} if foreign_keys else {"poolclass": NullPool}
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        creator=lambda: _open_sqlite(path, mode, foreign_keys=foreign_keys),
        json_serializer=as_json,
        json_deserializer=from_json,
        **pool,
    )

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get("sqlite_begin", begin))

    event.listen(engine, "handle_error", _explainer(path), retval=True)
    return engine


def _open_sqlite(path: Path, mode: str, *, foreign_keys: bool = True) -> sqlite3.Connection:
    """Connect with our pragmas; ``mode`` is ``rwc``, ``rw``, ``ro`` or ``ro&immutable=1``."""
    raw = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=BUSY_TIMEOUT_MS / 1000,
        isolation_level=None,  # SQLAlchemy's begin event says BEGIN; the driver must not
        check_same_thread=False,
    )
    try:
        raw.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
        raw.execute(f"PRAGMA foreign_keys={'ON' if foreign_keys else 'OFF'}")
        if mode.startswith("ro"):
            raw.execute("PRAGMA query_only=ON")
            return raw
        raw.execute("PRAGMA synchronous=FULL")
        kind = raw.execute("PRAGMA journal_mode=WAL").fetchone()[0]
        if kind != "wal":
            raise RecordNotWritable(f"{path} is on a disk without shared memory files; put it on a local disk.")
    except BaseException:
        raw.close()
        raise
    return raw


def _migrate_file(path: Path, mode: str) -> None:
    """Bring one file to the present schema in one transaction, foreign keys checked at its end.

    They are off meanwhile: rebuilding a table in SQLite drops it, which would otherwise take its children along.
    """
    engine = _sqlite_engine(path, mode, begin="BEGIN IMMEDIATE", foreign_keys=False)
    with engine.begin() as connection:
        schema.upgrade(connection)
        if broken := connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall():
            raise RecordCorrupt(f"{path}: {len(broken)} rows point to rows that are not there; restore a backup.")


def _is_blank(path: Path) -> bool:
    """Whether nothing is in the file: empty, or a record whose making was cut short before its first commit."""
    if path.stat().st_size == 0:
        return True
    try:
        with closing(_open_sqlite(path, "ro")) as raw:
            return bool(raw.execute("SELECT count(*) = 0 FROM sqlite_master").fetchone()[0])
    except sqlite3.Error:
        return False


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise RecordMissing(f"{path} is a folder; name the database file in it.")
    try:
        start, size = _first_bytes(path, 18)
    except FileNotFoundError:
        raise RecordMissing(f"{path}: no such database; check the name.") from None
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise RecordNotReadable(f"{path} cannot be read ({why}); check that you may read it.") from error
    if not start:
        raise RecordCorrupt(f"{path} is empty, no night was ever written to it; name another or restore a backup.")
    if not start.startswith(_MAGIC):
        raise RecordCorrupt(f"{path} is not a database but some other file; name the night's .db file.")
    page_bytes = int.from_bytes(start[16:18], "big")
    if size % (65536 if page_bytes == 1 else page_bytes or 1):
        raise RecordCorrupt(f"{path} is cut short ({size} bytes); restore the latest backup of the night.")


_KEPT_OPEN: dict[tuple[int, int], int] = {}
"""Descriptors through which database files were looked at, by device and inode; see `_first_bytes`."""


def _first_bytes(path: Path, count: int) -> tuple[bytes, int]:
    """Read the start of a database file, and its size, without ever closing it.

    On POSIX, closing *any* descriptor of a file drops every lock that this process holds on it, SQLite's among them
    (SQLite, How To Corrupt An SQLite Database File, section 2.2). Another process that then closes its connection takes
    itself for the last one and removes the log under a running night. So one descriptor stays open for each file that
    is still there.
    """
    place = path.stat()
    key = (place.st_dev, place.st_ino)
    if key not in _KEPT_OPEN:
        for gone in [other for other, handle in _KEPT_OPEN.items() if os.fstat(handle).st_nlink == 0]:
            os.close(_KEPT_OPEN.pop(gone))
        _KEPT_OPEN[key] = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0))
    handle = _KEPT_OPEN[key]
    os.lseek(handle, 0, os.SEEK_SET)
    return os.read(handle, count), os.fstat(handle).st_size


def _reading_mode(path: Path) -> str:
    """Choose how to read: on a read-only disk SQLite cannot make its shared memory, and nobody else can write."""
    try:
        with closing(_open_sqlite(path, "ro")) as raw:
            raw.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.OperationalError as error:
        wal = path.with_name(path.name + "-wal")
        waiting = wal.exists() and wal.stat().st_size > 0
        if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
            raise explain(path, error) from error
        if waiting:
            raise RecordNotReadable(
                f"{path} has changes waiting in {wal.name}, and its folder is read-only; copy both elsewhere."
            ) from error
        return "ro&immutable=1"
    except sqlite3.DatabaseError as error:
        raise explain(path, error) from error
    return "ro"


def _check_contents(path: Path, raw: sqlite3.Connection, *, thorough: bool) -> str:
    """Make sure that this is a sound record of a schema we know; returns its revision."""
    try:
        tables = {name for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not tables >= OUR_TABLES:
            what = "a database of another program" if tables else "empty: its making was cut short"
            raise RecordCorrupt(f"{path} is {what}; name the night's .db file.")
        found = raw.execute("SELECT version_num FROM alembic_version").fetchone()
        if thorough and (said := raw.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
            raise RecordCorrupt(f"{path} is damaged ({last_line(said)}); restore the latest backup of the night.")
        if found is None or found[0] not in schema.known():
            raise RecordNewer(_newer(path, raw, "unknown" if found is None else found[0]))
    except sqlite3.DatabaseError as error:
        raise explain(path, error) from error
    return str(found[0])


def _newer(path: Path, raw: sqlite3.Connection, revision: str) -> str:
    try:
        row = raw.execute("SELECT code_version FROM session LIMIT 1").fetchone()
    except sqlite3.DatabaseError:
        row = None
    writer = f"epicycle {row[0]}" if row else "a later epicycle"
    return (
        f"{path} was written by {writer} with schema {revision}; this is epicycle {__version__}, "
        f"which knows schemas up to {schema.head()}: update this program."
    )


def _explainer(path: Path) -> Callable[[ExceptionContext], BaseException | None]:
    def handle(context: ExceptionContext) -> BaseException | None:
        error = context.original_exception
        if not isinstance(error, sqlite3.Error):
            return None
        explained = explain(path, error)
        return None if explained is error else explained

    return handle


def explain(path: Path, error: sqlite3.Error) -> Exception:
    """Give the sentence for an error of SQLite; the error itself where none of ours says it better."""
    code = getattr(error, "sqlite_errorcode", None)
    said = str(error)
    match None if code is None else code & 0xFF:
        case sqlite3.SQLITE_FULL:
            return NoRoom(f"No room left on the disk for {path}; free some space and resume.")
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return RecordCorrupt(f"{path} is damaged ({said}); restore the latest backup of the night.")
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
            return RecordNotWritable(f"{path} cannot be opened or written ({said}); check its folder and permissions.")
        case sqlite3.SQLITE_IOERR:
            return RecordNotWritable(f"The disk under {path} failed ({said}); check it, then resume.")
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return RecordInUse(
                f"{path} was locked by another process for {BUSY_TIMEOUT_MS // 1000} s; end that one and try again."
            )
    return error


def last_line(said: str) -> str:
    """Give the end of what SQLite's checks say, which is the finding itself."""
    return said.strip().splitlines()[-1]
