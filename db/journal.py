"""Do a thing once, even if the power goes: intent, act, outcome.

A step has a natural key (``grid 3 square 12 hole 7 expose``). Its intent is committed before the act, its outcome after
it, together with the state rows that change and an event that carries every changed column. After a crash the step is
found ``started``, and the kind of work says what that means: done again, asked of the instrument, adopted, written off.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any, TypeVar

from sqlalchemy import ColumnDefault, Engine, Table, event, insert, inspect, select
from sqlalchemy.orm import Session as OrmSession

from ..protocols.errors import EpicycleError
from .connection import reading
from .models import STATE_TABLES, Base, Decision, Event, Step

T = TypeVar("T")
Row = TypeVar("Row", bound=Base)
Changes = list[dict[str, Any]]
Place = tuple[type[Base], int | None]


_LAST_EVENT = select(Event.id).order_by(Event.id.desc()).limit(1)
_NEW_EVENT = insert(Base.metadata.tables[Event.__tablename__])


class Lost(Enum):
    """The outcome of an act that may have happened and left nothing to show for it."""

    LOST = "lost"


LOST = Lost.LOST


@dataclass(slots=True)
class Entry:
    """One open transaction: rows through ``db``, words through ``say``."""

    db: OrmSession
    session_id: int
    at: datetime
    step_key: str | None = None
    grid_id: int | None = None
    events: list[dict[str, Any]] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    added: Changes = field(default_factory=list)
    known: Mapping[Place, Base] = field(default_factory=dict)

    def row(self, of: type[Row], key: int | None) -> Row:
        """Give one state row to be changed: as `Journal.row` knows it, else read."""
        known = self.known.get((of, key))
        if known is None or self.db.identity_key(of, key) in self.db.identity_map:
            return self.db.get_one(of, key)
        own = self.db.merge(known, load=False)  # a copy: what fails to be written was never changed for others
        assert isinstance(own, of)
        return own

    def add_many(self, of: type[Base], rows: Sequence[Mapping[str, Any]], apart_by: str = "number") -> None:
        """Add many rows of one state table, columns by name, told apart by one of them.

        Rows added through ``db`` go in one by one for the sake of their ids; these, hundreds at a time, go together.
        """
        table = of.metadata.tables[of.__tablename__]
        unsaid = _defaults(table)
        whole = [{**unsaid, **row} for row in rows]
        if not whole:
            return
        answer = self.db.connection().execute(insert(table).returning(table.c[apart_by], table.c.id), whole)
        ids = {row[0]: row[1] for row in answer}
        blank = dict.fromkeys(sorted(table.columns.keys()))
        for row in whole:
            key = ids[row[apart_by]]
            said = {name: plain(value) for name, value in row.items()}
            self.added.append({"table": table.name, "id": key, "set": {**blank, **said, "id": key}})

    def say(self, kind: str, text: str, **body: Any) -> None:
        """Tell what happened (``kind`` in the past tense), one line for people, details as JSON-able values."""
        self.events.append(
            {
                "session_id": self.session_id,
                "at": self.at,
                "kind": kind,
                "text": text,
                "body": body,
                "step_key": self.step_key,
                "grid_id": self.grid_id,
            }
        )

    def decide(self, decision: Decision) -> None:
        """Add a decision; it will point to the last event said."""
        self.decisions.append(decision)


class Journal:
    """The one hand that writes the record."""

    def __init__(
        self,
        engine: Engine,
        session_id: int,
        now: Callable[[], datetime],
        point: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._engine = engine
        self._reader = reading(engine)
        self._session_id = session_id
        self._now = now
        self._point = point
        self._rows: dict[Place, Base] = {}
        self._begun: set[str] | None = None

    def row(self, of: type[Row], key: int | None) -> Row:
        """Give one state row as it stands.

        Nobody else writes them while this hand holds the lease: what it has read or written is not read again.
        """
        found = self._rows.get((of, key))
        if found is None:
            with self.read() as db:
                found = self._rows[of, key] = db.get_one(of, key)
        assert isinstance(found, of)
        return found

    @contextmanager
    def read(self) -> Iterator[OrmSession]:
        """Open a session for queries; nothing is written."""
        with OrmSession(self._reader, expire_on_commit=False) as db:
            yield db

    @contextmanager
    def write(self, step_key: str | None = None, grid_id: int | None = None) -> Iterator[Entry]:
        """Open one transaction. State that changes without a word said is an error of ours.

        Raises
        ------
        AssertionError
            A state row changed and no event was said.
        """
        with _Writing(self._engine, expire_on_commit=False) as db:
            entry = Entry(db, self._session_id, self._now(), step_key, grid_id, known=self._rows)
            yield entry
            db.flush()
            changes = entry.added + _as_changes(db.touched)
            if changes and not entry.events:
                raise AssertionError(f"state changed without an event: {changes[0]}")
            if changes:
                entry.events[-1]["body"]["changes"] = changes
            said = [db.connection().execute(_NEW_EVENT, event).inserted_primary_key for event in entry.events]
            for decision in entry.decisions:
                decision.event_id = said[-1].id if said and said[-1] else None
                db.add(decision)
            db.flush()
            self._point("before commit")
            db.commit()
            self._rows.update({_place_of(row): row for row in db.touched if row not in db.made})
        self._point("after commit")

    def step_status(self, key: str) -> str | None:
        """Say how far a step has come; None when it was never begun."""
        step = self._step(key)
        return None if step is None else step.status

    def _step(self, key: str) -> Step | None:
        """Read a step; one that was never begun, as most when they are asked for, is not looked for."""
        if self._begun is None:
            with self.read() as db:
                self._begun = set(db.scalars(select(Step.key)))
        if key not in self._begun:
            return None
        with self.read() as db:
            return db.get(Step, key)

    def step(
        self,
        key: str,
        kind: str,
        act: Callable[[Mapping[str, Any]], T],
        record: Callable[[Entry, T], None],
        *,
        intend: Callable[[Entry], dict[str, Any]] | None = None,
        settle: Callable[[], T | Lost | None] | None = None,
        write_off: Callable[[Entry], None] | None = None,
        grid_id: int | None = None,
    ) -> bool:
        """Do ``act`` unless the journal says it is done, and record its outcome with it.

        Parameters
        ----------
        key, kind
            Natural key of the step, and the kind of work for the timeline.
        act
            The work; is given the intent.
        record
            Writes rows and says the event, in the transaction that closes the step.
        intend
            Runs once, in the transaction that opens the step; its answer is kept and given to ``act`` again after a
            crash.
        settle
            Called instead of ``act`` when an earlier begin has no outcome: the outcome found in the world, `LOST` to
            write it off, or None to do the act again. Without it the act is done again.
        write_off
            Records a lost outcome.

        Returns
        -------
        bool
            False when there was nothing to do.
        """
        step = self._step(key)
        if step is not None and step.status in ("done", "lost"):
            return False
        result: T | Lost | None = None
        if step is not None and step.status == "started" and settle is not None:
            result = settle()
        if step is None or result is None:
            step = self._begin(step, key, kind, grid_id, intend)
            try:
                result = act(dict(step.intent))
            except EpicycleError as error:
                self._interrupted(step, error)
                raise
        with self.write(key, grid_id) as entry:
            entry.db.add(step)
            step.ended_at = entry.at
            step.error = ""
            if isinstance(result, Lost):
                step.status = "lost"
                if write_off is None:
                    raise AssertionError(f"{kind} has no way to be written off")
                write_off(entry)
            else:
                step.status = "done"
                record(entry, result)
        return True

    def _begin(
        self,
        step: Step | None,
        key: str,
        kind: str,
        grid_id: int | None,
        intend: Callable[[Entry], dict[str, Any]] | None,
    ) -> Step:
        if self._begun is not None:
            self._begun.add(key)
        with self.write(key, grid_id) as entry:
            if step is None:
                step = Step(
                    key=key,
                    session_id=self._session_id,
                    kind=kind,
                    grid_id=grid_id,
                    status="started",
                    started_at=entry.at,
                    attempts=0,
                    intent={} if intend is None else intend(entry),
                )
            entry.db.add(step)
            step.status = "started"
            step.started_at = entry.at
            step.attempts += 1
        return step

    def _interrupted(self, step: Step, error: EpicycleError) -> None:
        """Close a step whose act failed; it stays ``started`` when the act may have happened all the same."""
        may_have_run = bool(getattr(error, "may_have_run", False))
        with self.write(step.key) as entry:
            entry.db.add(step)
            step.status = "started" if may_have_run else "failed"
            step.ended_at = entry.at
            step.error = str(error)

    def last_event(self) -> int:
        """Give the id of the last event, 0 when there is none."""
        with self.read() as db:
            return db.scalar(_LAST_EVENT) or 0


class _Writing(OrmSession):
    """A session that knows which columns of which state rows it has changed, over all its flushes."""

    def __init__(self, engine: Engine, *, expire_on_commit: bool) -> None:
        super().__init__(engine, expire_on_commit=expire_on_commit)
        self.touched: dict[Base, set[str]] = {}
        self.made: set[Base] = set()


@event.listens_for(_Writing, "before_flush")
def _remember(session: _Writing, *_: object) -> None:
    for row in session.new:
        if row.__tablename__ in STATE_TABLES:
            session.made.add(row)
            session.touched[row] = {column.key for column in inspect(row).mapper.column_attrs}
    # In an order of its own: that of the session's set is another in every process.
    for row in sorted(session.dirty, key=lambda row: (row.__tablename__, str(inspect(row).identity))):
        if row.__tablename__ in STATE_TABLES and session.is_modified(row):
            state = inspect(row)
            changed = {c.key for c in state.mapper.column_attrs if state.attrs[c.key].history.has_changes()}
            session.touched.setdefault(row, set()).update(changed)


def _defaults(table: Table) -> dict[str, Any]:
    """Give the columns that have a value when none is said."""
    given = {column.key: column.default for column in table.columns if isinstance(column.default, ColumnDefault)}
    return {name: value.arg(None) if value.is_callable else value.arg for name, value in given.items()}


def _place_of(row: Base) -> tuple[type[Base], int]:
    return type(row), row.id  # type: ignore[attr-defined]


def _as_changes(touched: Mapping[Base, set[str]]) -> Changes:
    return [
        {"table": row.__tablename__, "id": row.id, "set": {name: plain(getattr(row, name)) for name in sorted(names)}}  # type: ignore[attr-defined]
        for row, names in touched.items()
    ]


def plain(value: Any) -> Any:
    """Give a column's value as JSON can hold it."""
    return value.isoformat() if isinstance(value, datetime) else value
