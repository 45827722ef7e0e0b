"""A night as one JSON document with a published schema: what was loaded, what was found, what was decided and why."""

from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from ...files.atomic import write_bytes
from ..querying import Reader
from ..summary import night_status
from .rows import (
    DecisionRow,
    ExposureRow,
    FaultRow,
    GridRow,
    HoleRow,
    SquareRow,
    decision_rows,
    exposure_rows,
    fault_rows,
    grid_rows,
    hole_rows,
    square_rows,
)

FORMAT = 1
"""Number of the document's form; a change that readers must know of raises it."""


class ScreeningRecord(BaseModel):
    """One night."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = Field(description="Form of this document; 1.")
    name: str = Field(description="Name of the night.")
    started_at: datetime = Field(description="When it began, UTC.")
    finished_at: datetime | None = Field(description="When it ended, UTC; null while it runs.")
    outcome: str = Field(description="How it ended, in words.")
    code_version: str = Field(description="Version of epicycle.")
    seed: int = Field(description="Seed of the night.")
    protocol: dict[str, Any] = Field(description="The screening protocol as run.")
    microscope: dict[str, Any] = Field(description="The microscope, its options and what it can do.")
    plugins: dict[str, Any] = Field(description="Finders and policies in use, with their versions.")
    grids: list[GridRow]
    squares: list[SquareRow]
    holes: list[HoleRow]
    exposures: list[ExposureRow]
    decisions: list[DecisionRow]
    faults: list[FaultRow]


def screening_record(reader: Reader) -> ScreeningRecord:
    """Read the whole night."""
    night = night_status(reader)
    return ScreeningRecord(
        format=FORMAT,
        name=night.name,
        started_at=night.started_at,
        finished_at=night.finished_at,
        outcome=night.outcome,
        code_version=night.code_version,
        seed=night.seed,
        protocol=dict(night.protocol),
        microscope=dict(night.microscope),
        plugins=dict(night.plugins),
        grids=grid_rows(reader),
        squares=square_rows(reader),
        holes=hole_rows(reader),
        exposures=exposure_rows(reader),
        decisions=decision_rows(reader),
        faults=fault_rows(reader),
    )


def write_screening_record(reader: Reader, folder: Path) -> list[Path]:
    """Write ``screening.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "screening.json"
    write_bytes(path, screening_record(reader).model_dump_json(indent=1).encode())
    return [path]


def screening_schema() -> dict[str, Any]:
    """JSON Schema of the document; `docs/reference/screening.schema.json` is this."""
    schema = ScreeningRecord.model_json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
