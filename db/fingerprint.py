"""One number for a whole night: equal where two records tell the same story, whatever machine they were made on."""

import hashlib
import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Table, select

from .connection import open_reader
from .models import Base

LEFT_OUT_TABLES = frozenset({"lease", "job"})
"""Who wrote, and duties of the wall clock."""

LEFT_OUT_COLUMNS = frozenset(
    {
        ("session", "code_version"),
        ("image", "path"),
        ("command", "asked_at"),
        ("command", "asked_by"),
        ("command", "idempotency_key"),
    }
)
"""What depends on the host, the program's version or the wall clock, and on nothing that happened to the grids."""

LEFT_OUT_KEYS = frozenset({"code_version", "pid", "host"})
"""The same, inside JSON columns: events carry the columns that changed with them."""


def fingerprint(path: Path | str) -> str:
    """Hash all rows that matter of a record: SHA-256, hexadecimal.

    Rows enter in the order of their keys, table by table. Tables and columns left out are named above; the folder of
    the record is cut from all texts, so that a night run in another folder gives the same number.
    """
    whole = hashlib.sha256()
    for table, digest in fingerprints(path).items():
        whole.update(f"{table}={digest}\n".encode())
    return whole.hexdigest()


def fingerprints(path: Path | str) -> dict[str, str]:
    """Hash table by table, to find where two records part."""
    folders = [] if "://" in str(path) else _spellings(Path(path).parent)
    engine = open_reader(path)
    try:
        with engine.connect() as connection:
            return {
                table.name: _digest(connection, table, folders)
                for table in sorted(Base.metadata.tables.values(), key=lambda table: table.name)
                if table.name not in LEFT_OUT_TABLES
            }
    finally:
        engine.dispose()


def _digest(connection: Connection, table: Table, folders: list[str]) -> str:
    digest = hashlib.sha256()
    for line in _lines(connection, table):
        for folder in folders:
            line = line.replace(folder, ".")
        digest.update(line.encode())
        digest.update(b"\n")
    return digest.hexdigest()


def _lines(connection: Connection, table: Table) -> Iterator[str]:
    columns = sorted(
        (column for column in table.columns if (table.name, column.name) not in LEFT_OUT_COLUMNS),
        key=lambda column: column.name,
    )
    query = select(*columns).order_by(*table.primary_key.columns).execution_options(yield_per=1000)
    names = [column.name for column in columns]
    for row in connection.execute(query):
        yield json.dumps(
            {name: _told(value) for name, value in zip(names, row, strict=True)},
            sort_keys=True,
            ensure_ascii=False,
        )


def _told(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {key: _told(one) for key, one in value.items() if key not in LEFT_OUT_KEYS}
    if isinstance(value, list):
        return [_told(one) for one in value]
    return value


def _spellings(folder: Path) -> list[str]:
    """Spell the folder as it may stand in a line of JSON, longest first; a disk's root says nothing worth cutting."""
    places = {place for place in (folder.absolute(), folder.resolve()) if len(place.parts) > 1}
    return sorted((json.dumps(str(place), ensure_ascii=False)[1:-1] for place in places), key=len, reverse=True)
