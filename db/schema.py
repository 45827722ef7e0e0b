"""The schema's versions: which are known, and how a database is brought to the latest.

The scripts in ``migrations/versions`` are the only place a table is made or changed; their names begin with the
revision (``0001_first.py``). Alembic is told everything from here, so that it works from an installed wheel.
"""

from functools import cache
from pathlib import Path

from sqlalchemy import Connection

FOLDER = Path(__file__).parent / "migrations"


@cache
def known() -> tuple[str, ...]:
    """List the revisions this program knows, oldest first."""
    return tuple(sorted(script.name.split("_")[0] for script in (FOLDER / "versions").glob("[0-9]*_*.py")))


def head() -> str:
    """Name the revision this program writes."""
    return known()[-1]


def upgrade(connection: Connection) -> None:
    """Bring the database behind this connection to `head`, inside the caller's transaction."""
    # Not at the top: only making and upgrading need alembic, and importing it takes longer than a whole status call.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
