"""Fold the events of a record into rows: the proof that log and state tell the same story."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session as OrmSession

from .journal import plain
from .models import STATE_TABLES, Base, Event

_LATER: dict[str, dict[str, Any]] = {"hole": {"shots": None}, "exposure": {"shot": 0}}
"""Columns that events of the first schema do not know, and what they were brought up to date with."""

Rows = dict[tuple[str, int], dict[str, Any]]


def fold(db: OrmSession, upto: int | None = None) -> Rows:
    """Give every state row as the events say it is, after event ``upto`` (all of them if None).

    Returns
    -------
    Rows
        (table, id) → column → JSON-able value.
    """
    rows: Rows = {}
    query = select(Event.body).order_by(Event.id)
    if upto is not None:
        query = query.where(Event.id <= upto)
    for body in db.scalars(query):
        for change in body.get("changes", ()):
            rows.setdefault((change["table"], change["id"]), dict(_LATER.get(change["table"], {}))).update(
                change["set"]
            )
    return rows


def state(db: OrmSession) -> Rows:
    """Give every state row as the tables say it is, in the same form."""
    rows: Rows = {}
    for mapper in Base.registry.mappers:
        table = mapper.local_table.name  # type: ignore[attr-defined]
        if table not in STATE_TABLES:
            continue
        for row in db.scalars(select(mapper.class_)):
            rows[(table, row.id)] = {c.key: plain(getattr(row, c.key)) for c in mapper.column_attrs}
    return rows


def disagreements(db: OrmSession) -> list[str]:
    """List where folded events and rows differ, in words; empty when the record is sound."""
    folded, kept = fold(db), state(db)
    lines = [f"{table} {row}: in the events only" for table, row in folded.keys() - kept.keys()]
    lines += [f"{table} {row}: in the rows only" for table, row in kept.keys() - folded.keys()]
    for key in folded.keys() & kept.keys():
        for column in folded[key].keys() | kept[key].keys():
            said, stands = folded[key].get(column), kept[key].get(column)
            if said != stands:
                lines.append(f"{key[0]} {key[1]} {column}: events say {said!r}, row says {stands!r}")
    return sorted(lines)
