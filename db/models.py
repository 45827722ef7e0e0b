"""Tables of the record. Rows say how things are; events say how they came to be; both change in one transaction.

Positions are µm: ``stage_x_um`` in the stage's frame at the time the grid was first loaded (`Grid.frame` carries that
to the present load). Statuses are participles. Times are UTC.
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    DateTime,
    Dialect,
    Double,
    ForeignKey,
    LargeBinary,
    MetaData,
    String,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator


class UtcTime(TypeDecorator[datetime]):
    """A UTC time, kept without zone where the database has none."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse local times, store UTC."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("times in the record carry their zone")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give the zone back."""
        return None if value is None else value.replace(tzinfo=UTC)


class Base(DeclarativeBase):
    """All tables. Constraints have names, so that a later schema version can change them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012
        dict[str, Any]: JSON,
        list[Any]: JSON,
        datetime: UtcTime,
        float: Double,
    }


def _one_of(column: str, *values: str) -> CheckConstraint:
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=f"{column}_known")


class Session(Base):
    """One night; a database holds one."""

    __tablename__ = "session"
    __table_args__ = (
        _one_of("run_status", "running", "pausing", "paused", "stopping", "stopped", "parked", "finished"),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    protocol: Mapped[dict[str, Any]]
    """The protocol as run, commands of the night included; the original is in the first event."""
    cassette: Mapped[dict[str, Any]]
    microscope: Mapped[dict[str, Any]]
    """Plug-in name and options, and the capabilities it reported."""
    plugins: Mapped[dict[str, Any]]
    """Name and version of every finder, classifier and policy in use."""
    code_version: Mapped[str]
    seed: Mapped[int] = mapped_column(BigInteger)
    phase: Mapped[str]
    run_status: Mapped[str] = mapped_column(default="running")
    pass_number: Mapped[int] = mapped_column(default=0)
    grid_id: Mapped[int | None] = mapped_column(ForeignKey("grid.id", use_alter=True), default=None)
    square_id: Mapped[int | None] = mapped_column(ForeignKey("square.id", use_alter=True), default=None)
    group_id: Mapped[int | None] = mapped_column(ForeignKey("bis_group.id", use_alter=True), default=None)
    doing: Mapped[str] = mapped_column(default="")
    """What it is doing and why, one line for people."""
    started_at: Mapped[datetime]
    deadline_at: Mapped[datetime | None] = mapped_column(default=None)
    finished_at: Mapped[datetime | None] = mapped_column(default=None)
    outcome: Mapped[str] = mapped_column(default="")
    resumes: Mapped[int] = mapped_column(default=0)


class Lease(Base):
    """Who writes: one process, with a heartbeat."""

    __tablename__ = "lease"
    id: Mapped[int] = mapped_column(primary_key=True)
    pid: Mapped[int]
    host: Mapped[str]
    user: Mapped[str] = mapped_column(default="")
    taken_at: Mapped[datetime]
    beat_at: Mapped[datetime]


class Grid(Base):
    """One slot of the cassette and the grid that lives there."""

    __tablename__ = "grid"
    __table_args__ = (
        UniqueConstraint("session_id", "slot"),
        _one_of("status", "waiting", "loading", "loaded", "screened", "empty", "skipped", "failed"),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    session_id: Mapped[int] = mapped_column(ForeignKey("session.id"))
    slot: Mapped[int]
    name: Mapped[str]
    hole_type: Mapped[str] = mapped_column(default="")
    mesh: Mapped[str] = mapped_column(default="")
    material: Mapped[str] = mapped_column(default="")
    status: Mapped[str] = mapped_column(default="waiting")
    reason: Mapped[str] = mapped_column(default="")
    """Why it failed, was skipped or stopped early, in words."""
    loads: Mapped[int] = mapped_column(default=0)
    load_attempts: Mapped[int] = mapped_column(default=0)
    frame: Mapped[list[Any] | None] = mapped_column(default=None)
    """2×3 affine from stage µm at the first load to stage µm now; None is the identity."""
    passes_done: Mapped[int] = mapped_column(default=0)
    visit_order: Mapped[int | None] = mapped_column(default=None)
    """Place in the present pass; None is slot order."""
    angle_deg: Mapped[float | None] = mapped_column(default=None)
    first_loaded_at: Mapped[datetime | None] = mapped_column(default=None)
    finished_at: Mapped[datetime | None] = mapped_column(default=None)
    used_s: Mapped[float] = mapped_column(default=0.0)


class Atlas(Base):
    """One survey of a whole grid, stitched."""

    __tablename__ = "atlas"
    id: Mapped[int] = mapped_column(primary_key=True)
    grid_id: Mapped[int] = mapped_column(ForeignKey("grid.id"), index=True)
    load_number: Mapped[int]
    status: Mapped[str] = mapped_column(default="started")
    image_id: Mapped[int | None] = mapped_column(ForeignKey("image.id"), default=None)
    vacuum_counts: Mapped[float | None] = mapped_column(default=None)
    reason: Mapped[str] = mapped_column(default="")


class Tile(Base):
    """One image of an atlas."""

    __tablename__ = "tile"
    __table_args__ = (UniqueConstraint("atlas_id", "number"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    atlas_id: Mapped[int] = mapped_column(ForeignKey("atlas.id"))
    number: Mapped[int]
    row: Mapped[int]
    col: Mapped[int]
    stage_x_um: Mapped[float]
    stage_y_um: Mapped[float]
    status: Mapped[str] = mapped_column(default="planned")
    image_id: Mapped[int | None] = mapped_column(ForeignKey("image.id"), default=None)
    offset_row_px: Mapped[float | None] = mapped_column(default=None)
    offset_col_px: Mapped[float | None] = mapped_column(default=None)


class Square(Base):
    """One opening of the mesh, found on the atlas."""

    __tablename__ = "square"
    __table_args__ = (
        UniqueConstraint("grid_id", "number"),
        _one_of("status", "found", "chosen", "surveyed", "done", "skipped", "failed"),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    grid_id: Mapped[int] = mapped_column(ForeignKey("grid.id"), index=True)
    number: Mapped[int]
    stage_x_um: Mapped[float]
    stage_y_um: Mapped[float]
    stage_z_um: Mapped[float | None] = mapped_column(default=None)
    corners_um: Mapped[list[Any]]
    area_um2: Mapped[float]
    mean: Mapped[float]
    score: Mapped[float]
    category: Mapped[str]
    """One of the six classes, see `detectors.records.SquareClass`."""
    partial: Mapped[bool] = mapped_column(default=False)
    features: Mapped[dict[str, Any]] = mapped_column(default=dict)
    status: Mapped[str] = mapped_column(default="found")
    reason: Mapped[str] = mapped_column(default="")
    visit_order: Mapped[int | None] = mapped_column(default=None)
    pass_number: Mapped[int | None] = mapped_column(default=None)
    correction_x_um: Mapped[float] = mapped_column(default=0.0)
    """Where the square really was, minus where the atlas said; found by re-centring."""
    correction_y_um: Mapped[float] = mapped_column(default=0.0)
    image_id: Mapped[int | None] = mapped_column(ForeignKey("image.id"), default=None)
    lattice: Mapped[dict[str, Any] | None] = mapped_column(default=None)
    vacuum_counts: Mapped[float | None] = mapped_column(default=None)


class BisGroup(Base):
    """Holes reached from one stage position by beam-image shift."""

    __tablename__ = "bis_group"
    __table_args__ = (
        UniqueConstraint("square_id", "number"),
        _one_of("status", "chosen", "centred", "done", "skipped", "failed"),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    square_id: Mapped[int] = mapped_column(ForeignKey("square.id"), index=True)
    number: Mapped[int]
    stage_x_um: Mapped[float]
    stage_y_um: Mapped[float]
    visit_order: Mapped[int]
    status: Mapped[str] = mapped_column(default="chosen")
    reason: Mapped[str] = mapped_column(default="")
    target_defocus_um: Mapped[float | None] = mapped_column(default=None)
    correction_x_um: Mapped[float] = mapped_column(default=0.0)
    correction_y_um: Mapped[float] = mapped_column(default=0.0)
    image_id: Mapped[int | None] = mapped_column(ForeignKey("image.id"), default=None)
    focus_um: Mapped[float | None] = mapped_column(default=None)
    drift_a_per_s: Mapped[float | None] = mapped_column(default=None)


class Hole(Base):
    """One hole of the film, found on the square's image. No place in it is exposed twice, ever."""

    __tablename__ = "hole"
    __table_args__ = (
        UniqueConstraint("square_id", "number"),
        _one_of("status", "found", "chosen", "exposed", "skipped", "failed", "lost"),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    square_id: Mapped[int] = mapped_column(ForeignKey("square.id"), index=True)
    group_id: Mapped[int | None] = mapped_column(ForeignKey("bis_group.id"), default=None, index=True)
    number: Mapped[int]
    stage_x_um: Mapped[float]
    stage_y_um: Mapped[float]
    radius_um: Mapped[float]
    score: Mapped[float]
    site: Mapped[str]
    """What the finder said of the lattice site: hole, partial, covered, missing."""
    features: Mapped[dict[str, Any]] = mapped_column(default=dict)
    ice_nm: Mapped[float | None] = mapped_column(default=None)
    status: Mapped[str] = mapped_column(default="found")
    reason: Mapped[str] = mapped_column(default="")
    visit_order: Mapped[int | None] = mapped_column(default=None)
    added_by: Mapped[str] = mapped_column(default="")
    shots: Mapped[list[Any] | None] = mapped_column(default=None)
    """Where its shots go, pairs of µm from its middle, by number of the shot; fixed when it is chosen. None is one
    shot, in the middle or set off by offset targeting."""


class Exposure(Base):
    """One shot on a hole: intended before, settled after. Unique hole and shot are the lock against a second one."""

    __tablename__ = "exposure"
    __table_args__ = (
        UniqueConstraint("hole_id", "shot"),
        _one_of("status", "intended", "done", "lost", "failed"),
        _one_of("analysis", "none", "waiting", "done", "failed"),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    hole_id: Mapped[int] = mapped_column(ForeignKey("hole.id"))
    group_id: Mapped[int | None] = mapped_column(ForeignKey("bis_group.id"), default=None)
    number: Mapped[int]
    """Order of shots in the night, from 1."""
    shot: Mapped[int] = mapped_column(default=0, server_default="0")
    """Which of the shots of its hole, from 0."""
    status: Mapped[str] = mapped_column(default="intended")
    reason: Mapped[str] = mapped_column(default="")
    image_id: Mapped[int | None] = mapped_column(ForeignKey("image.id"), default=None)
    shift_x_um: Mapped[float] = mapped_column(default=0.0)
    shift_y_um: Mapped[float] = mapped_column(default=0.0)
    offset_x_um: Mapped[float] = mapped_column(default=0.0)
    """Deliberate distance from the hole's centre (offset targeting, several shots)."""
    offset_y_um: Mapped[float] = mapped_column(default=0.0)
    target_defocus_um: Mapped[float] = mapped_column(default=0.0)
    dose_e_per_a2: Mapped[float | None] = mapped_column(default=None)
    taken_at: Mapped[datetime | None] = mapped_column(default=None)
    analysis: Mapped[str] = mapped_column(default="none")
    analysis_due_at: Mapped[datetime | None] = mapped_column(default=None)
    flags: Mapped[list[Any]] = mapped_column(default=list)
    """Short words on what is wrong with it: ``black``, ``no-fit``, ``thick``, ``during-refill`` …"""
    usable: Mapped[bool | None] = mapped_column(default=None)
    """The verdict against the protocol's thresholds; None before analysis."""


class ImageRow(Base):
    """A file of pixels and everything known of it."""

    __tablename__ = "image"
    __table_args__ = (UniqueConstraint("name"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    session_id: Mapped[int] = mapped_column(ForeignKey("session.id"))
    of_kind: Mapped[str]
    """Table of the row it shows: grid, tile, atlas, square, bis_group, exposure."""
    of_id: Mapped[int]
    kind: Mapped[str]
    """survey, movie, micrograph, stitched, focus, picture."""
    name: Mapped[str]
    path: Mapped[str]
    """Relative to the folder of the database."""
    sha256: Mapped[str]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    rows_px: Mapped[int]
    cols_px: Mapped[int]
    frames: Mapped[int] = mapped_column(default=1)
    pixel_size_a: Mapped[float | None] = mapped_column(default=None)
    image_to_stage: Mapped[list[Any] | None] = mapped_column(default=None)
    preset: Mapped[str] = mapped_column(default="")
    dose_e_per_a2: Mapped[float | None] = mapped_column(default=None)
    mean_counts: Mapped[float | None] = mapped_column(default=None)
    scope: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """Stage, shift, defocus and the driver's own details at the shot."""
    taken_at: Mapped[datetime]


class Measure(Base):
    """One number measured on one thing by one version of one method."""

    __tablename__ = "measure"
    __table_args__ = (UniqueConstraint("of_kind", "of_id", "name", "version"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    of_kind: Mapped[str]
    of_id: Mapped[int]
    name: Mapped[str]
    """With its unit: ``defocus_um``, ``astigmatism_a``, ``fit_resolution_a``, ``ice_nm``, ``motion_a`` …"""
    value: Mapped[float]
    version: Mapped[str]
    at: Mapped[datetime]


class Step(Base):
    """One piece of journalled work, under its natural key."""

    __tablename__ = "step"
    __table_args__ = (_one_of("status", "started", "done", "failed", "lost"),)
    key: Mapped[str] = mapped_column(String(200), primary_key=True)
    session_id: Mapped[int] = mapped_column(ForeignKey("session.id"))
    kind: Mapped[str]
    grid_id: Mapped[int | None] = mapped_column(ForeignKey("grid.id"), default=None, index=True)
    status: Mapped[str]
    attempts: Mapped[int] = mapped_column(default=0)
    intent: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """What must be the same if the step is done again: a decision's seed and the last event it had seen."""
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime | None] = mapped_column(default=None)
    error: Mapped[str] = mapped_column(default="")


class Event(Base):
    """What happened, in order; never changed, never deleted (a trigger sees to it)."""

    __tablename__ = "event"
    __table_args__ = {"sqlite_autoincrement": True}  # noqa: RUF012
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    session_id: Mapped[int] = mapped_column(ForeignKey("session.id"), index=True)
    at: Mapped[datetime]
    kind: Mapped[str]
    version: Mapped[int] = mapped_column(default=1)
    step_key: Mapped[str | None] = mapped_column(default=None)
    grid_id: Mapped[int | None] = mapped_column(default=None)
    text: Mapped[str] = mapped_column(default="")
    """One line for people."""
    body: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """Details, and under ``changes`` every column of every state row that changed with it."""


class Decision(Base):
    """A choice of a policy, reproducible: what it saw, what it was offered, what it took and why."""

    __tablename__ = "decision"
    id: Mapped[int] = mapped_column(primary_key=True)
    session_id: Mapped[int] = mapped_column(ForeignKey("session.id"))
    event_id: Mapped[int | None] = mapped_column(ForeignKey("event.id"), default=None)
    question: Mapped[str]
    """grids, squares, holes."""
    of_kind: Mapped[str]
    of_id: Mapped[int]
    pass_number: Mapped[int] = mapped_column(default=0)
    policy: Mapped[str]
    policy_version: Mapped[str]
    options: Mapped[dict[str, Any]] = mapped_column(default=dict)
    seed: Mapped[int] = mapped_column(BigInteger)
    seen_upto: Mapped[int]
    """Id of the last event it had seen."""
    offered: Mapped[list[Any]]
    chosen: Mapped[list[Any]]
    scores: Mapped[dict[str, Any]]
    """By id of the offered row, as text."""
    reasons: Mapped[dict[str, Any]]
    """By id of the offered row, as text: why it was taken or left, in words."""
    summary: Mapped[str] = mapped_column(default="")
    at: Mapped[datetime]


class Command(Base):
    """Something a person asks of the running night; the engine answers in the transaction of its effect."""

    __tablename__ = "command"
    __table_args__ = (
        UniqueConstraint("session_id", "idempotency_key"),
        _one_of("status", "asked", "obeyed", "refused"),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    session_id: Mapped[int] = mapped_column(ForeignKey("session.id"))
    verb: Mapped[str]
    args: Mapped[dict[str, Any]] = mapped_column(default=dict)
    asked_by: Mapped[str]
    asked_at: Mapped[datetime]
    idempotency_key: Mapped[str]
    status: Mapped[str] = mapped_column(default="asked")
    answer: Mapped[str] = mapped_column(default="")
    answered_at: Mapped[datetime | None] = mapped_column(default=None)


class Fault(Base):
    """Something went wrong, what was done about it, and what it cost."""

    __tablename__ = "fault"
    id: Mapped[int] = mapped_column(primary_key=True)
    session_id: Mapped[int] = mapped_column(ForeignKey("session.id"))
    at: Mapped[datetime]
    grid_id: Mapped[int | None] = mapped_column(ForeignKey("grid.id"), default=None)
    step_key: Mapped[str | None] = mapped_column(default=None)
    kind: Mapped[str]
    """Name of the error's class."""
    message: Mapped[str]
    recovery: Mapped[str]
    """What was done: retry, skip-target, skip-square, leave-grid, stop-loader, pause, park."""
    attempt: Mapped[int] = mapped_column(default=1)


class Label(Base):
    """A person's judgement of a row."""

    __tablename__ = "label"
    id: Mapped[int] = mapped_column(primary_key=True)
    of_kind: Mapped[str]
    of_id: Mapped[int]
    label: Mapped[str]
    by: Mapped[str]
    at: Mapped[datetime]


class Note(Base):
    """A person's words on a row."""

    __tablename__ = "note"
    id: Mapped[int] = mapped_column(primary_key=True)
    of_kind: Mapped[str]
    of_id: Mapped[int]
    text: Mapped[str]
    by: Mapped[str]
    at: Mapped[datetime]


class Job(Base):
    """A duty of the wall clock (heartbeat, backup, health sample, report): apscheduler's own table."""

    __tablename__ = "job"
    id: Mapped[str] = mapped_column(String(191), primary_key=True)
    next_run_time: Mapped[float | None] = mapped_column(index=True, default=None)
    job_state: Mapped[bytes] = mapped_column(LargeBinary)


STATE_TABLES = ("session", "grid", "atlas", "tile", "square", "bis_group", "hole", "exposure", "measure")
"""Tables whose every change is carried by an event, so that folding the events gives the rows."""
