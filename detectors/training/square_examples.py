"""Labelled squares for training: what the finder sees on labelled images, matched with their labels.

A sheet holds the squares of one image. It keeps their crops in half precision, so that the numbers a score is made of
can be worked out again without the image.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ...files.atomic import write_bytes
from ...protocols.errors import BadInput
from ..opening_search import Openings, search
from ..records import SquareClass
from ..regions import Region
from ..square_class import Population, measured
from ..square_crops import CROP_PX, crops_of
from ..square_features import BASE, NAMES, STATISTICS, Floats, base_table, feature_table, statistics
from ..square_models import CLASSES
from .labelled import SquareMark

ALSO: Mapping[str, SquareClass] = {
    "thick": SquareClass.SMALL_OR_THICK,
    "small": SquareClass.SMALL_OR_THICK,
    "crystalline": SquareClass.CONTAMINATED,
    "broken": SquareClass.BROKEN_OR_DRY,
    "dry": SquareClass.BROKEN_OR_DRY,
    "fractioned": SquareClass.PARTIAL,
}
"""Names of classes besides those of `SquareClass`."""

_SAME = 0.4
"""An opening and a label are the same thing when they share so much of the area they cover together."""

_WITHIN = 0.9
"""Of a small square only the middle is seen: so much of the opening lies within the label."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """The openings that were found on one image.

    Attributes
    ----------
    group
        Sheets of one group are held out together.
    crops
        Of the whole openings, half precision, (m, `CROP_PX`, `CROP_PX`).
    base, centres, usual, whole
        See `square_features.feature_table`.
    classes
        Of the whole openings, as places in `CLASSES`; -1 where there is no label, (m,).
    """

    group: str
    crops: NDArray[np.float16]
    base: Floats
    centres: Floats
    usual: Population
    whole: NDArray[np.bool_]
    classes: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Examples:
    """Labelled squares: numbers (n, columns), statistics (n, 7), classes as places in `CLASSES`, groups (n,)."""

    table: Floats
    statistics: Floats
    classes: NDArray[np.int64]
    groups: NDArray[np.str_]

    def where(self, which: NDArray[np.bool_]) -> "Examples":
        """Keep some of them."""
        return Examples(self.table[which], self.statistics[which], self.classes[which], self.groups[which])


def sheet_of(pixels: NDArray[np.float32], marks: Sequence[SquareMark], group: str) -> Sheet:
    """Find the openings of an image and match them with its labels; a sheet may be empty.

    Raises
    ------
    BadInput
        A label is of no known class.
    """
    found = search(pixels)
    if isinstance(found, str):
        return empty_sheet(group)
    numbers, usual = measured(found.working.pixels, found.regions, found.levels, found.angle_deg, None)
    whole = ~found.cut
    kept = [region for region, one in zip(found.regions, whole, strict=True) if one]
    crops = crops_of(found.working.pixels, [region.hull for region in kept], found.angle_deg, usual)
    centres = np.array([region.hull.mean(axis=0) for region in found.regions])
    classes = np.array([_class_of(found, region, marks) for region in kept], np.int64)
    return Sheet(group, crops.astype(np.float16), base_table(numbers), centres, usual, whole, classes)


def empty_sheet(group: str) -> Sheet:
    """Give the sheet of an image that shows nothing."""
    nothing = Population(1.0, 1.0, 0.0, 1.0, 1.0, 0.0)
    crops, base = np.empty((0, CROP_PX, CROP_PX), np.float16), np.empty((0, len(BASE)))
    return Sheet(group, crops, base, np.empty((0, 2)), nothing, np.empty(0, np.bool_), np.empty(0, np.int64))


def examples_of(sheets: Sequence[Sheet]) -> Examples:
    """Work out the numbers of all labelled squares."""
    parts = [_examples(sheet) for sheet in sheets]
    empty = Examples(
        np.empty((0, len(NAMES))), np.empty((0, len(STATISTICS))), np.empty(0, np.int64), np.empty(0, np.str_)
    )
    columns = zip(*((part.table, part.statistics, part.classes, part.groups) for part in [empty, *parts]), strict=True)
    table, seven, classes, groups = (np.concatenate(column) for column in columns)
    return Examples(table, seven, classes, groups)


def named_class(name: str) -> SquareClass:
    """Understand the name of a class.

    Raises
    ------
    BadInput
        Nobody knows it.
    """
    plain = name.strip().lower().replace(" ", "_")
    if plain in ALSO:
        return ALSO[plain]
    try:
        return SquareClass(plain)
    except ValueError:
        known = ", ".join([*(one.value for one in SquareClass), *ALSO])
        raise BadInput(f"there is no class of squares called {name}; known are {known}") from None


def save_sheet(sheet: Sheet, path: Path) -> None:
    """Write a sheet whole or not at all."""
    body = io.BytesIO()
    np.savez_compressed(
        body, group=np.array(sheet.group), crops=sheet.crops, base=sheet.base, centres=sheet.centres,
        usual=np.array(astuple(sheet.usual)), whole=sheet.whole, classes=sheet.classes,
    )  # fmt: skip
    write_bytes(path, body.getvalue())


def load_sheet(path: Path) -> Sheet:
    """Read a sheet; raises `BadInput` where it is none."""
    try:
        with np.load(path, allow_pickle=False) as kept:
            crops = kept["crops"]
            if crops.shape[1:] != (CROP_PX, CROP_PX):
                raise ValueError(f"crops of {crops.shape[1:]} px")
            usual = Population(*kept["usual"].tolist())
            return Sheet(
                str(kept["group"]), crops, kept["base"], kept["centres"], usual, kept["whole"], kept["classes"]
            )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{path} is no sheet of squares ({error}); remove it, and it is made again") from error


def _examples(sheet: Sheet) -> Examples:
    labelled = sheet.classes >= 0
    table = feature_table(sheet.crops, sheet.base, sheet.centres, sheet.usual, sheet.whole)
    seven = statistics(sheet.crops, sheet.base[sheet.whole])
    groups = np.full(len(table), sheet.group)
    return Examples(table[labelled], seven[labelled], sheet.classes[labelled], groups[labelled])


def _class_of(found: Openings, region: Region, marks: Sequence[SquareMark]) -> int:
    """Give the class of the label that covers the opening best, -1 where none does."""
    own = found.working.here(region.hull).astype(np.float32)
    area = abs(float(cv2.contourArea(own)))
    best, name = _SAME, ""
    for mark in marks:
        outline = cv2.convexHull(np.array(mark.corners_px, np.float32))[:, 0]
        common, _ = cv2.intersectConvexConvex(own, outline)
        share = common / (area + abs(float(cv2.contourArea(outline))) - common)
        if mark.category == "small" and common > _WITHIN * area:
            share = max(share, _WITHIN)
        if share > best:
            best, name = share, mark.category
    return CLASSES.index(named_class(name)) if name else -1
