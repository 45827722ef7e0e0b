"""`mixture-squares`: finds and classifies mesh openings on an atlas or one of its tiles, without weights.

Two Poisson levels on the histogram, regions, convex hulls, one angle for all, aligned boxes (Kim et al. 2023, section
2.2), then each opening is compared with the others of the image.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..hardware.records import Image
from ..protocols.errors import BadInput
from .mesh import in_cells
from .opening_search import Openings, search
from .records import FoundSquare, SquareClass, SquareDetections, SquareFinder
from .regions import Region
from .square_class import box_corners, classify, measure
from .stages import counted, stage


class SquareOptions(BaseModel):
    """Options of `mixture-squares`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_score: float = Field(0.0, ge=0, le=1, description="Openings scored lower are left out of the answer.")


class MixtureSquares:
    """The finder; made by `mixture_squares`."""

    name = "mixture-squares"
    version = "1"

    def __init__(self, options: SquareOptions) -> None:
        self._options = options

    def find(self, image: Image) -> SquareDetections:
        """Answer every opening in order of its first pixel; never raises on a poor image."""
        found = search(image.pixels)
        if isinstance(found, str):
            return SquareDetections((), 0.0, image.pixel_size_a, found)
        size_a = None if image.pixel_size_a is None else image.pixel_size_a * found.working.step
        with stage("classes") as say:
            features = measure(found.working.pixels, found.regions, found.levels, found.angle_deg, size_a)
            squares = []
            for region, one, partial in zip(found.regions, features, found.cut.tolist(), strict=True):
                squares.append(described(found, region, one, partial, *classify(one, partial)))
            say(counted(square.category.value for square in squares))
        kept = tuple(square for square in squares if square.score >= self._options.min_score)
        reason = "" if kept else f"all {len(squares)} openings score under {self._options.min_score:g}"
        return SquareDetections(kept, found.angle_deg, image.pixel_size_a, reason, found.mesh)


def mixture_squares(options: Mapping[str, Any]) -> SquareFinder:
    """Make the finder (plug-in factory).

    Raises
    ------
    BadInput
        An option is unknown or out of range.
    """
    try:
        return MixtureSquares(SquareOptions.model_validate(dict(options)))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        known = ", ".join(SquareOptions.model_fields)
        raise BadInput(f"mixture-squares: option '{where}': {first['msg']}; options are: {known}") from error


def described(
    found: Openings, region: Region, features: Mapping[str, float], partial: bool, category: SquareClass, score: float
) -> FoundSquare:
    """Put what is known of one opening together, in pixels of the whole image."""
    working = found.working
    if found.fit is not None:
        features = {**features, **in_cells(region, found.fit, found.angle_deg)}
    corners = working.here(np.array(box_corners(region.hull, found.angle_deg)))
    row, col = corners.mean(axis=0)
    own = working.pixels[region.row :, region.col :][: region.mask.shape[0], : region.mask.shape[1]][region.mask]
    return FoundSquare(
        float(row), float(col), tuple((float(r), float(c)) for r, c in corners), region.hull_area * working.step**2,
        float(own.mean()), score, category, partial, features,
    )  # fmt: skip
