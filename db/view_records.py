"""Frozen records that views of the night answer with: rows as people and pages want them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any


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
    frames: int
    pixel_size_a: float | None
    image_to_stage: Sequence[Sequence[float]] | None
    preset: str
    dose_e_per_a2: float | None
    mean_counts: float | None
    taken_at: datetime


@dataclass(frozen=True, slots=True)
class TileView:
    """One image of an atlas; offsets are those of its first pixel in the stitched one."""

    id: int
    number: int
    row: int
    col: int
    stage_x_um: float
    stage_y_um: float
    status: str
    offset_row_px: float | None
    offset_col_px: float | None
    image_id: int | None


@dataclass(frozen=True, slots=True)
class AtlasView:
    """One survey of a whole grid, stitched; ``image`` is None until then."""

    id: int
    grid_id: int
    load_number: int
    status: str
    reason: str
    vacuum_counts: float | None
    image: ImageView | None
    tiles: Sequence[TileView]


@dataclass(frozen=True, slots=True)
class SquareView:
    """One opening of the mesh; ``holes``, ``holes_exposed``, ``exposures`` and ``usable`` ones count what is in it."""

    id: int
    grid_id: int
    number: int
    stage_x_um: float
    stage_y_um: float
    stage_z_um: float | None
    corners_um: Sequence[Sequence[float]]
    area_um2: float
    mean: float
    score: float
    category: str
    partial: bool
    status: str
    reason: str
    visit_order: int | None
    pass_number: int | None
    correction_x_um: float
    correction_y_um: float
    lattice: Mapping[str, Any] | None
    holes: int
    holes_exposed: int
    exposures: int
    usable: int
    image: ImageView | None


@dataclass(frozen=True, slots=True)
class GroupView:
    """Holes reached from one stage position; ``holes`` counts them."""

    id: int
    square_id: int
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
    holes: int
    image: ImageView | None


@dataclass(frozen=True, slots=True)
class HoleView:
    """One hole.

    ``exposure_number`` is that of its first shot, ``usable`` says whether half of its judged shots are; both are None
    where it was not shot or not judged. ``shots`` are the places of several shots, µm from its middle, None for one.
    """

    id: int
    square_id: int
    square_number: int
    group_id: int | None
    number: int
    stage_x_um: float
    stage_y_um: float
    radius_um: float
    score: float
    site: str
    ice_nm: float | None
    status: str
    reason: str
    visit_order: int | None
    added_by: str
    shots: Sequence[Sequence[float]] | None
    exposure_number: int | None
    usable: bool | None


@dataclass(frozen=True, slots=True)
class ExposureView:
    """One shot, where it was and what was measured on it; ``measures`` holds the newest value under each name."""

    id: int
    number: int
    grid_id: int
    slot: int
    square_id: int
    square_number: int
    hole_id: int
    hole_number: int
    shot: int
    group_id: int | None
    stage_x_um: float
    stage_y_um: float
    hole_ice_nm: float | None
    status: str
    reason: str
    shift_x_um: float
    shift_y_um: float
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
class DecisionView:
    """A choice and its reasons; scores and reasons by the id of the offered row, as text."""

    id: int
    event_id: int | None
    question: str
    of_kind: str
    of_id: int
    pass_number: int
    policy: str
    policy_version: str
    options: Mapping[str, Any]
    seed: int
    seen_upto: int
    offered: Sequence[int]
    chosen: Sequence[int]
    scores: Mapping[str, float]
    reasons: Mapping[str, str]
    summary: str
    at: datetime


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
class EventView:
    """What happened, one line for people; ``body`` without the columns that changed with it."""

    id: int
    at: datetime
    kind: str
    step_key: str | None
    grid_id: int | None
    text: str


@dataclass(frozen=True, slots=True)
class CommandView:
    """What a person asked of the night, and the answer."""

    id: int
    verb: str
    args: Mapping[str, Any]
    asked_by: str
    asked_at: datetime
    status: str
    answer: str
    answered_at: datetime | None


@dataclass(frozen=True, slots=True)
class StepView:
    """One piece of journalled work and how long it took; ``seconds`` is None while it runs."""

    key: str
    kind: str
    grid_id: int | None
    slot: int | None
    status: str
    attempts: int
    started_at: datetime
    ended_at: datetime | None
    error: str

    @property
    def seconds(self) -> float | None:
        """Length of the last attempt, on the night's clock."""
        return None if self.ended_at is None else (self.ended_at - self.started_at).total_seconds()


@dataclass(frozen=True, slots=True)
class RemarkView:
    """A label or a note of a person, on any row."""

    of_kind: str
    of_id: int
    text: str
    by: str
    at: datetime
