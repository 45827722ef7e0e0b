"""A whole night read from the record at once: grids, squares, holes, exposures, and everything said about them.

One query per table, whatever the size of the night; what comes back is frozen and knows no database.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session as OrmSession

from ..db.models import (
    Atlas,
    Base,
    BisGroup,
    Command,
    Decision,
    Event,
    Exposure,
    Fault,
    Grid,
    Hole,
    ImageRow,
    Label,
    Measure,
    Note,
    Session,
    Square,
    Step,
)
from ..protocols.errors import BadInput

V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class ImageView:
    """A stored image; ``path`` is relative to the folder of the database."""

    id: int
    of_kind: str
    of_id: int
    kind: str
    name: str
    path: str
    rows_px: int
    cols_px: int
    pixel_size_a: float | None
    image_to_stage: Sequence[Sequence[float]] | None
    preset: str
    dose_e_per_a2: float | None
    taken_at: datetime


@dataclass(frozen=True, slots=True)
class ExposureView:
    """One shot with what was measured on it; ``measures`` holds the newest value under each name."""

    id: int
    hole_id: int
    group_id: int | None
    number: int
    status: str
    reason: str
    offset_x_um: float
    offset_y_um: float
    target_defocus_um: float
    dose_e_per_a2: float | None
    taken_at: datetime | None
    analysis: str
    flags: Sequence[str]
    usable: bool | None
    measures: Mapping[str, float]
    images: Sequence[ImageView]


@dataclass(frozen=True, slots=True)
class HoleView:
    """One hole, and its exposure if it was shot."""

    id: int
    number: int
    group_id: int | None
    stage_x_um: float
    stage_y_um: float
    radius_um: float
    score: float
    site: str
    ice_nm: float | None
    status: str
    reason: str
    exposure: ExposureView | None


@dataclass(frozen=True, slots=True)
class GroupView:
    """Holes reached from one stage position."""

    id: int
    number: int
    stage_x_um: float
    stage_y_um: float
    visit_order: int
    status: str
    reason: str
    target_defocus_um: float | None
    correction_x_um: float
    correction_y_um: float
    focus_um: float | None
    drift_a_per_s: float | None
    image: ImageView | None
    holes: tuple[HoleView, ...]


@dataclass(frozen=True, slots=True)
class SquareView:
    """One opening of the mesh."""

    id: int
    number: int
    stage_x_um: float
    stage_y_um: float
    corners_um: Sequence[Sequence[float]]
    area_um2: float
    mean: float
    score: float
    category: str
    partial: bool
    status: str
    reason: str
    visit_order: int | None
    image: ImageView | None
    holes: tuple[HoleView, ...]
    groups: tuple[GroupView, ...]

    @property
    def visited(self) -> bool:
        """Whether the stage went there."""
        return self.image is not None or self.status in ("surveyed", "done")

    @property
    def exposures(self) -> tuple[ExposureView, ...]:
        """Every shot in this square, in the order taken."""
        shots = [hole.exposure for hole in self.holes if hole.exposure is not None]
        return tuple(sorted(shots, key=lambda shot: shot.number))


@dataclass(frozen=True, slots=True)
class AtlasView:
    """One survey of a whole grid."""

    id: int
    load_number: int
    status: str
    reason: str
    image: ImageView | None


@dataclass(frozen=True, slots=True)
class GridView:
    """One slot of the cassette."""

    id: int
    slot: int
    name: str
    hole_type: str
    mesh: str
    material: str
    status: str
    reason: str
    loads: int
    load_attempts: int
    frame: Sequence[Sequence[float]] | None
    passes_done: int
    angle_deg: float | None
    used_s: float
    atlases: tuple[AtlasView, ...]
    squares: tuple[SquareView, ...]

    @property
    def exposures(self) -> tuple[ExposureView, ...]:
        """Every shot on this grid, in the order taken."""
        shots = [shot for square in self.squares for shot in square.exposures]
        return tuple(sorted(shots, key=lambda shot: shot.number))

    @property
    def visited(self) -> tuple[SquareView, ...]:
        """The squares gone to, in the order of the visit."""
        gone = [square for square in self.squares if square.visited]
        return tuple(sorted(gone, key=lambda square: (square.visit_order or 0, square.number)))


@dataclass(frozen=True, slots=True)
class StepView:
    """One piece of journalled work."""

    key: str
    kind: str
    grid_id: int | None
    status: str
    attempts: int
    started_at: datetime
    ended_at: datetime | None
    error: str


@dataclass(frozen=True, slots=True)
class FaultView:
    """Something that went wrong and what was done about it."""

    id: int
    at: datetime
    grid_id: int | None
    step_key: str | None
    kind: str
    message: str
    recovery: str
    attempt: int


@dataclass(frozen=True, slots=True)
class DecisionView:
    """A choice and its reasons."""

    id: int
    question: str
    of_kind: str
    of_id: int
    pass_number: int
    policy: str
    policy_version: str
    seed: int
    seen_upto: int
    offered: Sequence[int]
    chosen: Sequence[int]
    scores: Mapping[str, float]
    reasons: Mapping[str, str]
    summary: str
    at: datetime


@dataclass(frozen=True, slots=True)
class CommandView:
    """What a person asked of the night."""

    id: int
    verb: str
    args: Mapping[str, Any]
    asked_by: str
    asked_at: datetime
    status: str
    answer: str
    answered_at: datetime | None


@dataclass(frozen=True, slots=True)
class RemarkView:
    """A label or a note of a person, on any row."""

    of_kind: str
    of_id: int
    text: str
    by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class NightView:
    """Everything of one night. ``last_at`` is the time of its last event: how far the record reaches."""

    id: int
    name: str
    protocol: Mapping[str, Any]
    cassette: Mapping[str, Any]
    microscope: Mapping[str, Any]
    plugins: Mapping[str, Any]
    code_version: str
    seed: int
    phase: str
    run_status: str
    grid_id: int | None
    doing: str
    started_at: datetime
    deadline_at: datetime | None
    finished_at: datetime | None
    outcome: str
    resumes: int
    last_at: datetime
    events: int
    grids: tuple[GridView, ...]
    steps: tuple[StepView, ...]
    faults: tuple[FaultView, ...]
    decisions: tuple[DecisionView, ...]
    commands: tuple[CommandView, ...]
    remarks: tuple[RemarkView, ...]

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""
        return self.run_status in ("finished", "stopped", "parked")


def whole_night(reader: Engine) -> NightView:
    """Read the night of a record.

    Raises
    ------
    BadInput
        The record holds no night yet.
    """
    with OrmSession(reader) as db:
        night = db.scalar(select(Session).order_by(Session.id).limit(1))
        if night is None:
            raise BadInput(f"{reader.url.database} holds no night yet: start one with `epicycle run`")
        events, last = db.execute(select(func.count(Event.id), func.max(Event.at))).one()
        return _view(
            NightView,
            night,
            last_at=max(filter(None, (night.started_at, last, night.finished_at))),
            events=events,
            grids=_grids(db),
            steps=_all(db, Step, StepView, Step.started_at),
            faults=_all(db, Fault, FaultView, Fault.at, Fault.id),
            decisions=_all(db, Decision, DecisionView, Decision.id),
            commands=_all(db, Command, CommandView, Command.id),
            remarks=_remarks(db),
        )


def _view(view: type[V], row: Base, **known: Any) -> V:
    """Fill a view from the columns of the same names."""
    names = (field.name for field in fields(view) if field.name not in known)  # type: ignore[arg-type]
    return view(**{name: getattr(row, name) for name in names}, **known)


def _all(db: OrmSession, table: type[Base], view: type[V], *order: Any) -> tuple[V, ...]:
    return tuple(_view(view, row) for row in db.scalars(select(table).order_by(*order)))


@dataclass(slots=True)
class _Shelf:
    """Rows under the id of what they belong to."""

    images: dict[tuple[str, int], list[ImageView]] = field(default_factory=lambda: defaultdict(list))
    by_id: dict[int, ImageView] = field(default_factory=dict)
    measures: dict[int, dict[str, float]] = field(default_factory=lambda: defaultdict(dict))
    shots: dict[int, ExposureView] = field(default_factory=dict)
    holes: dict[int, list[HoleView]] = field(default_factory=lambda: defaultdict(list))
    groups: dict[int, list[GroupView]] = field(default_factory=lambda: defaultdict(list))
    squares: dict[int, list[SquareView]] = field(default_factory=lambda: defaultdict(list))
    atlases: dict[int, list[AtlasView]] = field(default_factory=lambda: defaultdict(list))

    def image(self, row: Any, kind: str, what: str) -> ImageView | None:
        """Find the image a row points to, or else the newest of its kind made for it."""
        if row.image_id in self.by_id:
            return self.by_id[row.image_id]
        made = [image for image in self.images[kind, row.id] if image.kind == what]
        return made[-1] if made else None


def _grids(db: OrmSession) -> tuple[GridView, ...]:
    shelf = _Shelf()
    for row in db.scalars(select(ImageRow).order_by(ImageRow.id)):
        image = _view(ImageView, row)
        shelf.by_id[image.id] = image
        shelf.images[image.of_kind, image.of_id].append(image)
    for measure in db.scalars(select(Measure).where(Measure.of_kind == "exposure").order_by(Measure.at, Measure.id)):
        shelf.measures[measure.of_id][measure.name] = measure.value
    _shelve_targets(db, shelf)
    for atlas in db.scalars(select(Atlas).order_by(Atlas.load_number, Atlas.id)):
        shelf.atlases[atlas.grid_id].append(_view(AtlasView, atlas, image=shelf.image(atlas, "atlas", "stitched")))
    return tuple(
        _view(GridView, grid, atlases=tuple(shelf.atlases[grid.id]), squares=tuple(shelf.squares[grid.id]))
        for grid in db.scalars(select(Grid).order_by(Grid.slot))
    )


def _shelve_targets(db: OrmSession, shelf: _Shelf) -> None:
    for shot in db.scalars(select(Exposure)):
        shelf.shots[shot.hole_id] = _view(
            ExposureView, shot, measures=shelf.measures[shot.id], images=tuple(shelf.images["exposure", shot.id])
        )
    members: dict[int, list[HoleView]] = defaultdict(list)
    for row in db.scalars(select(Hole).order_by(Hole.square_id, Hole.number)):
        hole = _view(HoleView, row, exposure=shelf.shots.get(row.id))
        shelf.holes[row.square_id].append(hole)
        if row.group_id is not None:
            members[row.group_id].append(hole)
    for group in db.scalars(select(BisGroup).order_by(BisGroup.visit_order, BisGroup.number)):
        image = shelf.image(group, "bis_group", "survey")
        shelf.groups[group.square_id].append(_view(GroupView, group, image=image, holes=tuple(members[group.id])))
    for square in db.scalars(select(Square).order_by(Square.number)):
        shelf.squares[square.grid_id].append(
            _view(
                SquareView,
                square,
                image=shelf.image(square, "square", "survey"),
                holes=tuple(shelf.holes[square.id]),
                groups=tuple(shelf.groups[square.id]),
            )
        )


def _remarks(db: OrmSession) -> tuple[RemarkView, ...]:
    labels = [_view(RemarkView, row, text=row.label) for row in db.scalars(select(Label).order_by(Label.id))]
    return (*labels, *_all(db, Note, RemarkView, Note.id))
