"""How the record is read: in transactions that take no lock, columns straight into frozen records."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, Executable, Row

Reader = Engine | Connection
"""What a view may be given. Several views on one connection see one state of the record."""

T = TypeVar("T")


def reading(engine: Engine) -> Engine:
    """Answer the same engine with transactions that do not lock, for queries beside the one writer."""
    return engine.execution_options(sqlite_begin="BEGIN")


@contextmanager
def connected(reader: Reader) -> Iterator[Connection]:
    """Give a connection to read from; one that was handed in stays open."""
    if isinstance(reader, Connection):
        yield reader
        return
    with reading(reader).connect() as connection:
        yield connection


def rows(connection: Connection, record: type[T], query: Executable) -> list[T]:
    """Make one ``record`` of each row a query answers."""
    return [filled(record, row) for row in connection.execute(query)]


def filled(record: type[T], row: Row[Any], **known: Any) -> T:
    """Make a ``record`` of a row; columns are matched by name, ``known`` fields come from elsewhere."""
    names = [field.name for field in fields(record) if field.name not in known]  # type: ignore[arg-type]
    return record(**{name: getattr(row, name) for name in names}, **known)
