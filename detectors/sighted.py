"""Finders that read what a pixel-free microscope saw; they go with images that carry sightings in place of a picture.

The microscope has drawn, from error models fitted to pictures, what the finders for pictures would have answered. Only
what depends on the whole picture is settled here: which openings its border cuts.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..hardware.records import Image
from ..protocols.errors import BadInput
from .lattice import kind_of
from .records import (
    FoundHole,
    FoundSquare,
    HoleDetections,
    HoleFinder,
    Lattice,
    Site,
    SquareClass,
    SquareDetections,
    SquareFinder,
)

RIM_SHARE = 0.06
"""An opening so near to the picture's border, as a share of its side, is cut: finders take its bars along."""

LEAST_SHARE = 0.05
"""Of an opening of which less is in view nothing is said."""

NO_SIGHTINGS = (
    "the image carries no sightings: it is of a microscope that gives pictures; use mixture-squares and lattice-holes"
)


class SightedOptions(BaseModel):
    """Options of both finders."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_score: float = Field(0.0, ge=0, le=1, description="What is scored lower is left out of the answer.")


def sighted_squares(options: Mapping[str, Any]) -> SquareFinder:
    """Make the finder of squares (plug-in factory); raises `BadInput` for options it does not know."""
    return SightedSquares(_checked("sighted-squares", options))


def sighted_holes(options: Mapping[str, Any]) -> HoleFinder:
    """Make the finder of holes (plug-in factory); raises `BadInput` for options it does not know."""
    return SightedHoles(_checked("sighted-holes", options))


class SightedSquares:
    """Every opening that was seen."""

    name = "sighted-squares"
    version = "1"

    def __init__(self, options: SightedOptions) -> None:
        self._options = options

    def find(self, image: Image) -> SquareDetections:
        """Answer the openings, those that the picture's border cuts flagged as partial."""
        if not image.sightings:
            return SquareDetections((), 0.0, image.pixel_size_a, NO_SIGHTINGS)
        openings = image.sightings.get("openings", ())
        angle = float(image.sightings.get("angle_deg", 0.0))
        found = [square for one in openings if (square := _square(one, angle, image)) is not None]
        kept = tuple(square for square in found if square.score >= self._options.min_score)
        reason = "" if kept else "no opening is seen" if not found else "all openings score too low"
        return SquareDetections(kept, angle, image.pixel_size_a, reason)


class SightedHoles:
    """Every site of the hole lattice that was seen."""

    name = "sighted-holes"
    version = "1"

    def __init__(self, options: SightedOptions) -> None:
        self._options = options

    def find(self, image: Image) -> HoleDetections:
        """Answer the sites with their lattice."""
        if not image.sightings:
            return HoleDetections((), None, image.pixel_size_a, NO_SIGHTINGS)
        seen = [_hole(one) for one in image.sightings.get("holes", ())]
        kept = tuple(hole for hole in seen if hole.score >= self._options.min_score)
        if not kept:
            reason = str(image.sightings.get("reason") or "no hole is seen")
            return HoleDetections((), None, image.pixel_size_a, reason)
        return HoleDetections(kept, _lattice(image.sightings["lattice"]), image.pixel_size_a)


def sighted_centre(image: Image) -> tuple[float, float, float] | None:
    """Give the middle of the opening in view as it was seen, (row, col, confidence); None where none was."""
    seen = image.sightings.get("opening")
    return None if seen is None else (float(seen[0]), float(seen[1]), float(seen[2]))


def _square(seen: Mapping[str, Any], angle_deg: float, image: Image) -> FoundSquare | None:
    row, col, side = float(seen["row"]), float(seen["col"]), float(seen["side"])
    # A mosaic of few large pixels is larger than what its tiles show.
    rows, cols = image.sightings.get("size_px", image.pixels.shape)
    share = share_in_view((row, col), side, (rows, cols))
    whole = is_whole((row, col), side, (rows, cols))
    low_row, high_row = max(row - side / 2, -0.5), min(row + side / 2, rows - 0.5)
    low_col, high_col = max(col - side / 2, -0.5), min(col + side / 2, cols - 0.5)
    if whole:
        if seen["whole"] is None:
            return None
        name, score, mean, area, off_row, off_col = seen["whole"]
        row, col = row + off_row, col + off_col
    else:
        answers = seen["cut"]
        part = next(answer for below, answer in answers if share < below)
        if share < LEAST_SHARE or part is None:
            return None
        (name, score), mean, area = part, 0.0 if seen["whole"] is None else seen["whole"][2], side**2 * share
        row, col = (low_row + high_row) / 2, (low_col + high_col) / 2
    features = {"mean": float(mean), "share_in_view": float(share)}
    if image.pixel_size_a is not None:
        features["area_um2"] = float(area) * (image.pixel_size_a * 1e-4) ** 2
    return FoundSquare(
        row, col, _corners(row, col, side, angle_deg), area, mean, score, SquareClass(name), not whole, features
    )


def share_in_view(place: tuple[float, float], side: float, shape: tuple[float, ...]) -> float:
    """Give the share of an opening at this place (row, col), of this side in px, that an image of this shape shows."""
    lengths = [
        max(min(at + side / 2, size - 0.5) - max(at - side / 2, -0.5), 0.0)
        for at, size in zip(place, shape, strict=True)
    ]
    return lengths[0] * lengths[1] / side**2


def is_whole(place: tuple[float, float], side: float, shape: tuple[float, ...]) -> bool:
    """Say whether an opening is so far inside an image that its border does not cut it."""
    reach = (0.5 + RIM_SHARE) * side
    return all(reach - 0.5 <= at <= size - 0.5 - reach for at, size in zip(place, shape, strict=True))


def _corners(row: float, col: float, side: float, angle_deg: float) -> tuple[tuple[float, float], ...]:
    c, s = math.cos(math.radians(angle_deg)) * side / 2, math.sin(math.radians(angle_deg)) * side / 2
    return tuple((row + s * a + c * b, col + c * a - s * b) for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1)))


def _hole(seen: tuple[Any, ...]) -> FoundHole:
    name, row, col, radius, score, status, mean = seen
    i, j = map(float, str(name).split(":"))
    return FoundHole(row, col, radius, score, Site(status), mean, {"i": i, "j": j})


def _lattice(seen: Mapping[str, Any]) -> Lattice:
    a, b, origin = (tuple(map(float, seen[name])) for name in ("a_px", "b_px", "origin_px"))
    kind = kind_of(np.array([a, b]))
    return Lattice(kind, (a[0], a[1]), (b[0], b[1]), (origin[0], origin[1]), float(seen["confidence"]))


def _checked(name: str, options: Mapping[str, Any]) -> SightedOptions:
    try:
        return SightedOptions.model_validate(dict(options))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        known = ", ".join(SightedOptions.model_fields)
        raise BadInput(f"{name}: option '{where}': {first['msg']}; options are: {known}") from error
