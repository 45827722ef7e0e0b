"""A record in a database server instead of a file: PostgreSQL, named by its URL.

The server keeps its own locks and its own copies; what is checked here is what a file's opening checks too: that the
record is there, is ours, and of a schema we know.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from pydantic_core import from_json
from sqlalchemy import URL, Engine, create_engine, inspect, select, table
from sqlalchemy import column as named
from sqlalchemy.exc import NoSuchModuleError, OperationalError

from . import schema
from .columns import as_json
from .errors import RecordCorrupt, RecordExists, RecordMissing, RecordNewer, RecordNotReadable, RecordOlder

OUR_TABLES = frozenset({"alembic_version", "session", "event", "step"})
"""Tables by which a database is known as a record."""


def create_on_server(url: URL) -> Engine:
    """Make an empty record; raises `RecordExists` when the database holds one, or tables of the same names."""
    with _engine(url) as engine:
        if taken := OUR_TABLES & _tables(url, engine):
            names = ", ".join(sorted(taken))
            raise RecordExists(f"{_shown(url)} holds a record, or other tables named {names}; name another database.")
        return _upgraded(engine)


def open_on_server(url: URL, *, writing: bool) -> Engine:
    """Open a record; a writer brings it up to date, a reader sees one state per transaction and cannot write.

    Raises
    ------
    RecordMissing, RecordCorrupt, RecordNewer, RecordOlder, RecordNotReadable
        See `db.errors`.
    """
    with _engine(url) as engine:
        revision = _revision(url, engine)
        if writing:
            return _upgraded(engine)
        if revision != schema.head():
            raise RecordOlder(f"{_shown(url)} is of schema {revision}, older than {schema.head()}; resume it once.")
        if url.get_backend_name() == "postgresql":
            return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        return engine


def _revision(url: URL, engine: Engine) -> str:
    tables = _tables(url, engine)
    if "alembic_version" not in tables:
        raise RecordMissing(f"{_shown(url)} holds no record; start one with `epicycle run`, or check the name.")
    if not tables >= OUR_TABLES:
        raise RecordCorrupt(f"{_shown(url)} holds the tables of another program; name the night's database.")
    with engine.connect() as connection:
        revision = connection.scalar(select(named("version_num")).select_from(table("alembic_version")))
    if revision not in schema.known():
        raise RecordNewer(
            f"{_shown(url)} is of schema {revision}; this program knows those up to {schema.head()}: update it."
        )
    return str(revision)


@contextmanager
def _engine(url: URL) -> Iterator[Engine]:
    """Make an engine that is closed again when what is checked with it fails."""
    try:
        engine = create_engine(url, pool_pre_ping=True, json_serializer=as_json, json_deserializer=from_json)
    except (ImportError, NoSuchModuleError) as error:
        raise RecordNotReadable(
            f"{_shown(url)} needs a database driver that is not installed ({error}); for PostgreSQL: "
            "pip install psycopg, and a URL that begins with postgresql+psycopg://"
        ) from error
    try:
        yield engine
    except BaseException:
        engine.dispose()
        raise


def _tables(url: URL, engine: Engine) -> set[str]:
    try:
        return set(inspect(engine).get_table_names())
    except OperationalError as error:
        why = " ".join(str(error.orig).split())
        raise RecordNotReadable(f"{_shown(url)} does not answer ({why}); check the server and the URL.") from error


def _upgraded(engine: Engine) -> Engine:
    with engine.begin() as connection:
        schema.upgrade(connection)
    return engine


def _shown(url: URL) -> str:
    return url.render_as_string(hide_password=True)
