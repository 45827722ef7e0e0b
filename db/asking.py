"""Ask something of a running night: insert a command row, nothing else."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session as OrmSession

from .connection import open_writer
from .models import Command, Session


def ask(
    record: Path, verb: str, args: Mapping[str, Any], *, asked_by: str, asked_at: datetime, idempotency_key: str
) -> int:
    """Insert a command, once per idempotency key; answers its id.

    Raises
    ------
    EpicycleError
        The record is missing, corrupt or newer.
    """
    engine = open_writer(record)
    try:
        with OrmSession(engine) as db, db.begin():
            session_id = db.scalars(select(Session.id)).one()
            known = db.scalars(
                select(Command).where(Command.session_id == session_id, Command.idempotency_key == idempotency_key)
            ).first()
            if known is None:
                known = Command(
                    session_id=session_id,
                    verb=verb,
                    args=dict(args),
                    asked_by=asked_by,
                    asked_at=asked_at,
                    idempotency_key=idempotency_key,
                )
                db.add(known)
                db.flush()
            return known.id
    finally:
        engine.dispose()
