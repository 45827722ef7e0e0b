"""What leaves the record, table by table: every column with its unit and meaning, as one model each."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select

from ..models import Measure
from ..querying import Reader, connected
from ..summary import grids
from ..views import decisions_of, exposures_of, faults, holes_of, squares_of


class Row(BaseModel):
    """One row of an exported table."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class GridRow(Row):
    """One slot of the cassette."""

    grid_id: int = Field(description="Number of the grid in the record.")
    slot: int = Field(description="Slot of the cassette.")
    name: str = Field(description="Name the user gave it.")
    hole_type: str = Field(description="Support film.")
    mesh: str = Field(description="Mesh.")
    material: str = Field(description="Material of the film.")
    status: str = Field(description="What became of it: waiting, loading, loaded, screened, empty, skipped or failed.")
    reason: str = Field(description="Why it failed, was skipped or ended early.")
    exposures: int = Field(description="Exposures taken.")
    judged: int = Field(description="Exposures whose verdict says something of the grid.")
    usable: int = Field(description="Judged exposures within the protocol's thresholds.")
    best_fit_a: float | None = Field(description="Best resolution to which a CTF was fitted, Å.")
    median_fit_a: float | None = Field(description="Median of the same, Å.")
    median_ice_nm: float | None = Field(description="Median ice thickness of its exposures, nm.")


class SquareRow(Row):
    """One opening of the mesh."""

    square_id: int = Field(description="Number of the square in the record.")
    grid_id: int = Field(description="Its grid.")
    number: int = Field(description="Number shown to people.")
    stage_x_um: float = Field(description="Centre, stage x at the grid's first load, µm.")
    stage_y_um: float = Field(description="Centre, stage y at the grid's first load, µm.")
    stage_z_um: float | None = Field(description="Eucentric height found there, µm; empty where none was.")
    area_um2: float = Field(description="Area of the opening, µm².")
    mean: float = Field(description="Mean counts of the opening in the atlas.")
    score: float = Field(description="How good the finder thought it, 0 to 1.")
    category: str = Field(description="What the finder took it for.")
    partial: bool = Field(description="Whether the atlas cuts it.")
    status: str = Field(description="found, chosen, surveyed, done, skipped or failed.")
    reason: str = Field(description="Why it was skipped or failed.")
    visit_order: int | None = Field(description="Place in the order of visits; empty where it was not chosen.")
    pass_number: int | None = Field(description="Pass of the protocol that chose it, from 0.")
    holes: int = Field(description="Holes found in it.")
    holes_exposed: int = Field(description="Holes of it that were exposed.")
    exposures: int = Field(description="Exposures taken in it, several in a hole where the protocol asks for it.")
    usable: int = Field(description="Exposures within the protocol's thresholds.")
    image: str | None = Field(description="Its image, relative to the folder of the record.")


class HoleRow(Row):
    """One hole of the film."""

    hole_id: int = Field(description="Number of the hole in the record.")
    square_id: int = Field(description="Its square.")
    group_id: int | None = Field(description="Its beam-image-shift group; empty where it was not chosen.")
    number: int = Field(description="Number shown to people, within the square.")
    stage_x_um: float = Field(description="Centre, stage x at the grid's first load, µm.")
    stage_y_um: float = Field(description="Centre, stage y at the grid's first load, µm.")
    radius_um: float = Field(description="Radius, µm.")
    score: float = Field(description="How good the finder thought it, 0 to 1.")
    site: str = Field(description="What the finder says of the lattice site: hole, partial, covered or missing.")
    ice_nm: float | None = Field(description="Ice thickness estimated from the survey image, nm.")
    status: str = Field(description="found, chosen, exposed, skipped, failed or lost.")
    reason: str = Field(description="Why it was skipped or failed.")
    added_by: str = Field(description="The person who added it; empty where the finder did.")


class ExposureRow(Row):
    """One shot on a hole, of which a hole may have several, with the newest value of what was measured on it."""

    exposure_id: int = Field(description="Number of the exposure in the record.")
    number: int = Field(description="Order of shots in the night, from 1.")
    slot: int = Field(description="Slot of its grid.")
    grid_id: int = Field(description="Its grid.")
    square_id: int = Field(description="Its square.")
    hole_id: int = Field(description="Its hole.")
    shot: int = Field(description="Which of the shots of that hole, from 0.")
    group_id: int | None = Field(description="Its beam-image-shift group.")
    status: str = Field(description="done, lost (a crash may have taken it), failed or intended.")
    reason: str = Field(description="Why it failed or was lost.")
    taken_at: datetime | None = Field(description="When, UTC.")
    shift_x_um: float = Field(description="Beam-image shift, x, µm.")
    shift_y_um: float = Field(description="Beam-image shift, y, µm.")
    offset_x_um: float = Field(description="Where it was aimed at from the hole's centre, stage x at first load, µm.")
    offset_y_um: float = Field(description="The same, stage y at first load, µm.")
    target_defocus_um: float = Field(description="Defocus asked for, µm, underfocus negative.")
    dose_e_per_a2: float | None = Field(description="Dose, e⁻/Å².")
    image: str | None = Field(description="The movie or image, relative to the folder of the record.")
    analysis: str = Field(description="none, waiting, done or failed.")
    usable: bool | None = Field(description="Verdict against the protocol's thresholds; empty before it.")
    flags: str = Field(description="Short words on what is wrong with it, with blanks between.")
    defocus_um: float | None = Field(description="Defocus fitted, µm, underfocus negative.")
    astigmatism_a: float | None = Field(description="Difference of the two defoci fitted, Å.")
    astigmatism_angle_deg: float | None = Field(description="Direction of the greater one, degrees.")
    fit_resolution_a: float | None = Field(description="Resolution to which the CTF fits, Å.")
    ctf_confidence: float | None = Field(description="How sure the fit is, 0 to 1.")
    ice_nm: float | None = Field(description="Ice thickness from the exposure's counts, nm.")
    motion_a: float | None = Field(description="Total movement over the frames, Å.")
    mean_counts: float | None = Field(description="Mean counts per pixel, all frames.")


class MeasureRow(Row):
    """One number measured by one version of one method."""

    measure_id: int = Field(description="Number of the measure in the record.")
    of_kind: str = Field(description="Table of the thing measured.")
    of_id: int = Field(description="Its number there.")
    name: str = Field(description="What was measured; the unit is in the name.")
    value: float | None = Field(description="The number; empty where it is not finite.")
    version: str = Field(description="Method and version.")
    at: datetime = Field(description="When, UTC.")


class DecisionRow(Row):
    """One row that a policy was offered, and what it made of it."""

    decision_id: int = Field(description="Number of the decision in the record.")
    at: datetime = Field(description="When, UTC.")
    question: str = Field(description="What was asked: grids, squares or holes.")
    of_kind: str = Field(description="Table of the thing it was asked of.")
    of_id: int = Field(description="Its number there.")
    policy: str = Field(description="Name of the policy.")
    policy_version: str = Field(description="Its version.")
    seed: int = Field(description="Seed it was given; with seen_upto it makes the choice again.")
    seen_upto: int = Field(description="Last event it had seen.")
    offered_id: int = Field(description="The row it was offered.")
    chosen_order: int | None = Field(description="Place among the chosen ones, from 0; empty where it was left.")
    score: float | None = Field(description="Score it gave the row.")
    reason: str = Field(description="Why it was taken or left.")


class FaultRow(Row):
    """Something that went wrong."""

    fault_id: int = Field(description="Number of the fault in the record.")
    at: datetime = Field(description="When, UTC.")
    grid_id: int | None = Field(description="Grid on the stage.")
    kind: str = Field(description="Name of the error.")
    message: str = Field(description="What happened, and what to do.")
    recovery: str = Field(description="What was done about it.")
    attempt: int = Field(description="Attempt at the step, from 1.")


@dataclass(frozen=True, slots=True)
class Table:
    """A table that can leave: its model says the columns, ``read`` gives the rows."""

    name: str
    model: type[Row]
    read: Callable[[Reader], list[Any]]


def grid_rows(reader: Reader) -> list[GridRow]:
    """List the slots."""
    return [
        GridRow(grid_id=grid.id, exposures=grid.exposures, **_named(grid, GridRow, "grid_id", "exposures"))
        for grid in grids(reader)
    ]


def square_rows(reader: Reader) -> list[SquareRow]:
    """List the squares of all grids."""
    return [
        SquareRow(
            square_id=square.id,
            image=None if square.image is None else square.image.path,
            **_named(square, SquareRow, "square_id", "image"),
        )
        for square in squares_of(reader)
    ]


def hole_rows(reader: Reader) -> list[HoleRow]:
    """List the holes of all grids."""
    return [HoleRow(hole_id=hole.id, **_named(hole, HoleRow, "hole_id")) for hole in holes_of(reader)]


def exposure_rows(reader: Reader) -> list[ExposureRow]:
    """List the shots, lost and failed ones too."""
    measured = (
        "defocus_um", "astigmatism_a", "astigmatism_angle_deg", "fit_resolution_a", "ctf_confidence", "ice_nm",
        "motion_a", "mean_counts",
    )  # fmt: skip
    found = []
    for shot in exposures_of(reader):
        taken = next((image.path for image in shot.images if image.kind != "picture"), None)
        numbers = {name: shot.measures.get(name) for name in measured}
        known = _named(shot, ExposureRow, "exposure_id", "image", "flags", *measured)
        found.append(ExposureRow(exposure_id=shot.id, image=taken, flags=" ".join(shot.flags), **numbers, **known))
    return found


def measure_rows(reader: Reader) -> list[MeasureRow]:
    """List every measure, older versions too."""
    with connected(reader) as connection:
        query = select(Measure.__table__).order_by(Measure.id)
        return [
            MeasureRow(measure_id=row.id, **_named(row, MeasureRow, "measure_id")) for row in connection.execute(query)
        ]


def decision_rows(reader: Reader) -> list[DecisionRow]:
    """List what the policies were offered, one row for each offer."""
    found = []
    for decision in decisions_of(reader):
        own = _named(decision, DecisionRow, "decision_id", "offered_id", "chosen_order", "score", "reason")
        order = {which: place for place, which in enumerate(decision.chosen)}
        found += [
            DecisionRow(
                decision_id=decision.id,
                offered_id=which,
                chosen_order=order.get(which),
                score=decision.scores.get(str(which)),
                reason=decision.reasons.get(str(which), ""),
                **own,
            )
            for which in decision.offered
        ]
    return found


def fault_rows(reader: Reader) -> list[FaultRow]:
    """List what went wrong."""
    return [FaultRow(fault_id=fault.id, **_named(fault, FaultRow, "fault_id")) for fault in faults(reader)]


TABLES: Mapping[str, Table] = {
    table.name: table
    for table in (
        Table("grids", GridRow, grid_rows),
        Table("squares", SquareRow, square_rows),
        Table("holes", HoleRow, hole_rows),
        Table("exposures", ExposureRow, exposure_rows),
        Table("measures", MeasureRow, measure_rows),
        Table("decisions", DecisionRow, decision_rows),
        Table("faults", FaultRow, fault_rows),
    )
}
"""Every table that leaves the record."""


def _named(source: Any, model: type[Row], *but: str) -> dict[str, Any]:
    return {name: getattr(source, name) for name in model.model_fields if name not in but}
