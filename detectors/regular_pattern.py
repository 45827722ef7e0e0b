"""Targets on film without a lattice of holes (lacey, continuous, negative stain): even, off bars and dirt."""

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..hardware.records import Image
from ..protocols.errors import BadInput
from .film import View, view_of
from .records import FoundHole, HoleDetections, HoleFinder, Site
from .working_size import finite

_LEAST_PX = 32
_DIRT_SPREADS = 2.5
"""A place is covered when its middle is darker than the film's median by so many of the film's own spreads."""


class PatternOptions(BaseModel):
    """Options of `regular_pattern`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pitch_um: float = Field(default=4.0, gt=0, le=100, description="Distance between two targets in µm.")
    radius_um: float = Field(default=0.6, gt=0, le=50, description="Radius in µm that must be clear around a target.")


class RegularPattern:
    """The finder; made by `regular_pattern`."""

    name = "regular-pattern"
    version = "1"

    def __init__(self, options: PatternOptions) -> None:
        self._options = options

    def find(self, image: Image) -> HoleDetections:
        """Answer targets every ``pitch_um`` over the film in view; places that are dark are said to be covered."""
        pixels, bad = finite(image.pixels)
        if image.pixel_size_a is None:
            return _none(image, "the pixel size is not known, and the distance between targets is in µm")
        if pixels.ndim != 2 or min(pixels.shape) < _LEAST_PX or bad.mean() > 0.5:
            return _none(image, f"the image is smaller than {_LEAST_PX} px or holds mostly no numbers")
        view = view_of(pixels)
        if view is None:
            return _none(image, "the view is of one value: no film can be told from it")
        per_um = 1e4 / (image.pixel_size_a * view.step)
        sites = _sites(view, self._options.pitch_um * per_um, self._options.radius_um * per_um)
        if not sites:
            return _none(image, "no film is large enough to hold a target")
        return HoleDetections(tuple(sites), None, image.pixel_size_a)


def regular_pattern(options: Mapping[str, Any]) -> HoleFinder:
    """Make the finder (plug-in factory).

    Raises
    ------
    BadInput
        An option is unknown or out of range.
    """
    try:
        return RegularPattern(PatternOptions.model_validate(dict(options)))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        known = ", ".join(PatternOptions.model_fields)
        raise BadInput(f"regular-pattern: option '{where}': {first['msg']}; options are: {known}") from error


def _none(image: Image, reason: str) -> HoleDetections:
    return HoleDetections((), None, image.pixel_size_a, reason)


def _sites(view: View, pitch: float, radius: float) -> list[FoundHole]:
    """Lay the pattern through the middle of the film and keep what the film holds whole."""
    reach = max(radius, 1.0)
    inside = cv2.copyMakeBorder(view.film.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    room = np.asarray(cv2.distanceTransform(inside, cv2.DIST_L2, 5))[1:-1, 1:-1]
    rows, cols = np.nonzero(view.film)
    middle = rows.mean(), cols.mean()
    soft = np.asarray(cv2.GaussianBlur(view.pixels, (0, 0), reach / 2))
    found = []
    for row in _line(middle[0], pitch, view.film.shape[0]):
        for col in _line(middle[1], pitch, view.film.shape[1]):
            at = (min(round(row), view.film.shape[0] - 1), min(round(col), view.film.shape[1] - 1))
            if room[at] < reach:
                continue
            brightness = float(soft[at])
            covered = brightness < -_DIRT_SPREADS
            found.append(_site(view, row, col, radius, brightness, covered))
    return found


def _site(view: View, row: float, col: float, radius: float, brightness: float, covered: bool) -> FoundHole:
    offset = (view.step - 1) / 2
    return FoundHole(
        row_px=row * view.step + offset,
        col_px=col * view.step + offset,
        radius_px=radius * view.step,
        score=0.0 if covered else 1.0,
        status=Site.COVERED if covered else Site.HOLE,
        mean=view.counts(row, col, brightness),
    )


def _line(middle: float, pitch: float, length: int) -> list[float]:
    """Give positions a pitch apart along one axis, one of them at the middle."""
    first = -int(middle // pitch)
    last = int((length - 1 - middle) // pitch)
    return [middle + n * pitch for n in range(first, last + 1)]
