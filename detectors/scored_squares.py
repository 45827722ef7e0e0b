"""`scored-squares`: openings found as `mixture-squares` finds them, judged by what training taught.

The score is the calibrated probability that a square is good; the class is the likeliest of six. An opening that the
image's border cuts is partial whatever it shows, and is scored by its shape alone.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..hardware.records import Image
from ..protocols.errors import BadInput
from .decision_trees import Floats
from .opening_search import Openings, search
from .records import SquareDetections, SquareFinder
from .square_class import classify, measured
from .square_crops import crops_of, without_hot_pixels
from .square_features import base_table, feature_table, statistics
from .square_models import CLASSES, SHIPPED, Judge, SquareModels, load_models
from .squares import described
from .stages import counted, stage

_GOOD = 0
_LARGE_PX = 2**24
_CUT = 0.1
"""What a cut opening's shape is worth beside what a whole one shows."""


class ScoredOptions(BaseModel):
    """Options of `scored-squares`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    weights: Path | None = Field(
        None, description="A file that `epicycle train square-scores` wrote, or its folder; left out, the one shipped."
    )
    judge: Judge = Field("boosting", description="Boosted trees on all numbers, or one of two judges of statistics.")
    min_score: float = Field(0.0, ge=0, le=1, description="Openings scored lower are left out of the answer.")


class ScoredSquares:
    """The finder; made by `scored_squares`."""

    name = "scored-squares"
    version = "1"

    def __init__(self, options: ScoredOptions, models: SquareModels) -> None:
        self._options = options
        self._models = models

    def find(self, image: Image) -> SquareDetections:
        """Answer every opening in order of its first pixel; never raises on a poor image."""
        found = search(_cleared(image.pixels))
        if isinstance(found, str):
            return SquareDetections((), 0.0, image.pixel_size_a, found)
        with stage("scores") as say:
            size_a = None if image.pixel_size_a is None else image.pixel_size_a * found.working.step
            numbers, told = self._judged(found, size_a)
            squares = []
            for region, one, chances in zip(found.regions, numbers, told, strict=True):
                if chances is None:
                    category, score = classify(one, True)
                    squares.append(described(found, region, one, True, category, _CUT * score))
                    continue
                one |= {f"p_{kind.value}": float(chance) for kind, chance in zip(CLASSES, chances, strict=True)}
                category, score = CLASSES[int(np.argmax(chances))], float(chances[_GOOD])
                squares.append(described(found, region, one, False, category, score))
            say(counted(square.category.value for square in squares))
        kept = tuple(square for square in squares if square.score >= self._options.min_score)
        reason = "" if kept else f"all {len(squares)} openings score under {self._options.min_score:g}"
        return SquareDetections(kept, found.angle_deg, image.pixel_size_a, reason, found.mesh)

    def _judged(self, found: Openings, size_a: float | None) -> tuple[list[dict[str, float]], list[Floats | None]]:
        """Measure all openings, and judge those that are whole."""
        pixels = without_hot_pixels(found.working.pixels)
        numbers, usual = measured(pixels, found.regions, found.levels, found.angle_deg, size_a)
        whole = ~found.cut
        if not whole.any():
            return numbers, [None] * len(numbers)
        hulls = [region.hull for region, one in zip(found.regions, whole, strict=True) if one]
        crops = crops_of(pixels, hulls, found.angle_deg, usual)
        base, centres = base_table(numbers), np.array([region.hull.mean(axis=0) for region in found.regions])
        table = feature_table(crops, base, centres, usual, whole)
        chances = iter(self._models.probabilities(self._options.judge, table, statistics(crops, base[whole])))
        return numbers, [next(chances) if one else None for one in whole]


def _cleared(pixels: NDArray[np.generic]) -> NDArray[np.generic]:
    """Take hot pixels out of an image; large ones are looked at binned, which leaves little of them."""
    if pixels.ndim != 2 or not 0 < pixels.size <= _LARGE_PX:
        return pixels
    return without_hot_pixels(np.asarray(pixels, np.float32))


def scored_squares(options: Mapping[str, Any]) -> SquareFinder:
    """Make the finder (plug-in factory).

    Raises
    ------
    BadInput
        An option is unknown or out of range, or the weights cannot be had.
    """
    try:
        checked = ScoredOptions.model_validate(dict(options))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        known = ", ".join(ScoredOptions.model_fields)
        raise BadInput(f"scored-squares: option '{where}': {first['msg']}; options are: {known}") from error
    path = checked.weights or SHIPPED
    return ScoredSquares(checked, load_models(path / SHIPPED.name if path.is_dir() else path))
