"""Detections as JSON for other programs, and the schemas that say what is in it.

Here x is the column and y the row of the stored array, origin at the centre of its first pixel; every pair is [x, y],
the lattice's steps too. ``reason`` stands there only when the list is empty, ``fit`` only where a finder tells it.
"""

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from .records import HoleDetections, LatticeKind, Site, SquareClass, SquareDetections

Pair = Annotated[
    list[float], Field(min_length=2, max_length=2, description="[x, y] in pixels: column first, then row.")
]
Score = Annotated[float, Field(ge=0, le=1)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SquareItem(_Part):
    """One opening of the mesh."""

    x_px: float = Field(description="Column of the box's middle.")
    y_px: float = Field(description="Row of the box's middle.")
    corners_px: list[Pair] = Field(
        min_length=4,
        max_length=4,
        description="Corners of the box along the grid, in order around it; may lie outside.",
    )
    area_px: float = Field(ge=0, description="Area of the opening's convex hull, px².")
    mean: float = Field(description="Mean intensity of the opening's pixels, in the image's own unit.")
    score: Score = Field(description="How good the opening looks, 0 to 1.")
    category: SquareClass = Field(alias="class", description="What the opening looks like.")
    partial: bool = Field(description="True when the image's border cuts the opening.")


class SquaresOutput(_Part):
    """Answer of `epicycle detect squares`."""

    image: str = Field(description="The image's name or path.")
    pixel_size_a: float | None = Field(description="Å per pixel; null when unknown.")
    grid_angle_deg: float = Field(
        ge=0, lt=90, description="Direction of the boxes' sides, from the x axis towards the y axis (y goes down)."
    )
    squares: list[SquareItem]
    reason: str | None = Field(None, description="Why the list is empty, in words; absent otherwise.")


class LatticeItem(_Part):
    """The lattice of holes: sites at origin + i·a + j·b."""

    kind: LatticeKind = Field(description="Shape of the cell.")
    a_px: Pair = Field(description="One step.")
    b_px: Pair = Field(description="The other step.")
    origin_px: Pair = Field(description="One site.")
    confidence: Score = Field(description="How sure it is that holes stand on this lattice, 0 to 1.")


class HoleItem(_Part):
    """One site of the lattice."""

    x_px: float = Field(description="Column of the hole's centre.")
    y_px: float = Field(description="Row of the hole's centre.")
    radius_px: float = Field(ge=0, description="Radius, px.")
    score: Score = Field(description="How sure it is that a hole stands there, 0 to 1.")
    fit: Score | None = Field(
        None, description="Chance that it is fit to be exposed, 0 to 1; absent where the finder does not tell it."
    )
    status: Site = Field(
        description="hole: a whole hole; partial: cut by the border, a bar or dirt; covered: dirt or thick ice where a "
        "hole should be; missing: film without a hole."
    )


class HolesOutput(_Part):
    """Answer of `epicycle detect holes`."""

    image: str = Field(description="The image's name or path.")
    pixel_size_a: float | None = Field(description="Å per pixel; null when unknown.")
    lattice: LatticeItem | None = Field(description="null when none was found.")
    holes: list[HoleItem]
    reason: str | None = Field(None, description="Why the list is empty, in words; absent otherwise.")


def squares_json(found: SquareDetections, image: str) -> dict[str, Any]:
    """Bring square detections to the published JSON form; `image` is the name to give the image."""
    squares = [
        {
            "x_px": round(square.col_px, 3),
            "y_px": round(square.row_px, 3),
            "corners_px": [_pair(corner) for corner in square.corners_px],
            "area_px": round(square.area_px, 2),
            "mean": square.mean,
            "score": round(square.score, 4),
            "class": square.category.value,
            "partial": square.partial,
        }
        for square in found.squares
    ]
    answer = {
        "image": image,
        "pixel_size_a": found.pixel_size_a,
        "grid_angle_deg": round(found.grid_angle_deg, 3) % 90.0,
        "squares": squares,
    }
    return answer if squares else {**answer, "reason": found.reason}


def holes_json(found: HoleDetections, image: str) -> dict[str, Any]:
    """Bring hole detections to the published JSON form; `image` is the name to give the image."""
    lattice = found.lattice
    holes = [
        {
            "x_px": round(hole.col_px, 3),
            "y_px": round(hole.row_px, 3),
            "radius_px": round(hole.radius_px, 3),
            "score": round(hole.score, 4),
            **({} if hole.fit is None else {"fit": round(hole.fit, 4)}),
            "status": hole.status.value,
        }
        for hole in found.holes
    ]
    answer = {
        "image": image,
        "pixel_size_a": found.pixel_size_a,
        "lattice": None
        if lattice is None
        else {
            "kind": lattice.kind.value,
            "a_px": _pair(lattice.a_px),
            "b_px": _pair(lattice.b_px),
            "origin_px": _pair(lattice.origin_px),
            "confidence": round(lattice.confidence, 4),
        },
        "holes": holes,
    }
    return answer if holes else {**answer, "reason": found.reason}


def squares_schema() -> dict[str, Any]:
    """JSON Schema of what `squares_json` answers; `docs/reference/squares.schema.json` is this."""
    return _schema(SquaresOutput)


def holes_schema() -> dict[str, Any]:
    """JSON Schema of what `holes_json` answers; `docs/reference/holes.schema.json` is this."""
    schema = _schema(HolesOutput)
    fit = {"type": "number", "minimum": 0, "maximum": 1, "description": HoleItem.model_fields["fit"].description}
    schema["$defs"]["HoleItem"]["properties"]["fit"] = fit
    return schema


def _pair(row_col: Sequence[float]) -> list[float]:
    return [round(float(row_col[1]), 3), round(float(row_col[0]), 3)]


def _schema(model: type[BaseModel]) -> dict[str, Any]:
    schema = model.model_json_schema(by_alias=True)
    # What is absent is left out, never written as null.
    schema["properties"]["reason"] = {"type": "string", "description": model.model_fields["reason"].description}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
