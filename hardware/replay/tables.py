"""The two tables of a recorded Leginon session, ``images.csv`` and ``holes.csv``, read and checked line by line.

Columns and frames are those of the aldolase session 21mar02c (IBM/CryoRL-pytorch; Li, Fan, Cianfrocco et al., eLife
88640): ``x`` is the column and ``y`` the row, in binned pixels from the centre of the parent image (a tile: from the
centre of the atlas).
"""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import isfinite
from pathlib import Path

from ...protocols.errors import BadInput

LEVELS = ("gr", "sq", "hl", "fa", "en", "en-a")
"""Tile, square, hole-level image, focus, exposure, motion-corrected exposure."""

IMAGES, HOLES = "images.csv", "holes.csv"
IMAGE_COLUMNS = (
    "name",
    "parent",
    "level",
    "x",
    "y",
    "ctf_max_res",
    "ctf_confidence",
    "timestamp",
    "atlas",
    "tile",
    "square",
    "patch",
    "raw_exposure",
)
HOLE_COLUMNS = (
    "raw_exposure",
    "sq_x_px",
    "sq_y_px",
    "sq_x_um",
    "sq_y_um",
    "square_atlas_x_um",
    "square_atlas_y_um",
)
PREDICTION = "predicted_ctf_by_resnet50"


class BadRecording(BadInput):
    """A recorded session that cannot be replayed."""


@dataclass(frozen=True, slots=True)
class ImageLine:
    """One image of ``images.csv``, as written there.

    ``at`` is the recorder's own local time; for a motion-corrected copy it is that of its upload. ``original`` names
    the exposure that a motion-corrected copy was made from.
    """

    number: int
    name: str
    parent: str
    level: str
    x_px: float
    y_px: float
    at: datetime
    atlas: str
    tile: str
    square: str
    patch: str
    original: str
    ctf_max_res: float | None
    ctf_confidence: float | None
    predicted_ctf: float | None


@dataclass(frozen=True, slots=True)
class HoleLine:
    """One exposure of ``holes.csv``: where it lies in its square, and its square in the atlas, (x, y)."""

    exposure: str
    in_square_px: tuple[float, float]
    in_square_um: tuple[float, float]
    square_um: tuple[float, float]


def read_images(folder: Path) -> tuple[ImageLine, ...]:
    """Read every image of the session, in the order of the file.

    Raises
    ------
    BadRecording
        No such file, a missing column, a value that cannot be, a name given twice, a parent that is not there.
    """
    path = folder / IMAGES
    lines = tuple(_image(path, number, row) for number, row in _rows(path, IMAGE_COLUMNS))
    names: dict[str, int] = {}
    for line in lines:
        if line.name in names:
            raise BadRecording(f"{path}, line {line.number}: {line.name} stands on line {names[line.name]} already")
        names[line.name] = line.number
    for line in lines:
        if line.level != "gr" and line.parent not in names:
            raise BadRecording(
                f"{path}, line {line.number}: the parent of {line.name}, {line.parent or '(empty)'}, is not in the "
                "table; every image but a tile needs the one it was picked on"
            )
    return lines


def read_holes(folder: Path) -> Mapping[str, HoleLine]:
    """Read the positions in µm, by the name of the raw exposure.

    Raises
    ------
    BadRecording
        No such file, a missing column, a value that is not a number.
    """
    path = folder / HOLES
    found = {}
    for number, row in _rows(path, HOLE_COLUMNS):
        x_px, y_px, x_um, y_um, atlas_x_um, atlas_y_um = (_number(path, number, row, key) for key in HOLE_COLUMNS[1:])
        name = row["raw_exposure"]
        found[name] = HoleLine(name, (x_px, y_px), (x_um, y_um), (atlas_x_um, atlas_y_um))
    return found


def _rows(path: Path, wanted: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    if not path.is_file():
        raise BadRecording(f"no file {path}: a recorded session is a folder with {IMAGES} and {HOLES}")
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            reader = csv.DictReader(stream, restval="")
            missing = [column for column in wanted if column not in (reader.fieldnames or ())]
            if missing:
                raise BadRecording(f"{path} has no column {', '.join(missing)}; it needs {', '.join(wanted)}")
            empty = True
            for row in reader:
                empty = False
                yield reader.line_num, row
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadRecording(f"{path} is not a table of comma-separated text: {error}") from error
    if empty:
        raise BadRecording(f"{path} has a heading and no lines")


def _image(path: Path, number: int, row: Mapping[str, str]) -> ImageLine:
    if row["level"] not in LEVELS:
        raise BadRecording(f"{path}, line {number}: level {row['level']!r} is none of {', '.join(LEVELS)}")
    try:
        at = datetime.fromisoformat(row["timestamp"]).replace(tzinfo=None)
    except ValueError:
        raise BadRecording(
            f"{path}, line {number}: timestamp {row['timestamp']!r} is not a time such as 2021-03-02 14:33:23"
        ) from None
    return ImageLine(
        number=number,
        name=row["name"],
        parent=row["parent"],
        level=row["level"],
        x_px=_number(path, number, row, "x"),
        y_px=_number(path, number, row, "y"),
        at=at,
        atlas=row["atlas"],
        tile=row["tile"],
        square=row["square"],
        patch=row["patch"],
        original=row["raw_exposure"],
        ctf_max_res=_optional(path, number, row, "ctf_max_res"),
        ctf_confidence=_optional(path, number, row, "ctf_confidence"),
        predicted_ctf=_optional(path, number, row, PREDICTION),
    )


def _number(path: Path, number: int, row: Mapping[str, str], key: str) -> float:
    try:
        value = float(row[key])
    except ValueError:
        value = float("nan")
    if not isfinite(value):
        raise BadRecording(f"{path}, line {number}: {key} is {row[key]!r}, which is not a number")
    return value


def _optional(path: Path, number: int, row: Mapping[str, str], key: str) -> float | None:
    return _number(path, number, row, key) if row.get(key) else None
