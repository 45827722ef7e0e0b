"""A person's holes for `epicycle targets`: from a table, from detections written as JSON, or found in an image."""

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from ..detectors.output import HoleItem, HolesOutput, holes_json
from ..detectors.records import HoleDetections, Site
from ..files.images import read_picture
from ..hardware.records import Image
from ..orchestrator import plugins
from ..protocols.errors import BadInput

TABLES = (".csv", ".tsv", ".txt")
DETECTIONS = ".json"

_A_PER_UM = 1e4
_PLACE = ("x_um", "y_um")
_VALUES = ("value", "good")
_HEIGHT = "z_um"


@dataclass(frozen=True, slots=True)
class Holes:
    """Holes to be exposed.

    Attributes
    ----------
    positions_um
        x, y of each, (n, 2).
    values
        Probability that each is good, (n,).
    heights_um
        Of each above the eucentric plane, (n,), None where not known.
    y_down
        Whether y goes down, as in an image.
    """

    positions_um: NDArray[np.float64]
    values: NDArray[np.float64]
    heights_um: NDArray[np.float64] | None = None
    y_down: bool = False


def read_holes(path: Path, pixel_size_a: float | None) -> Holes:
    """Read holes from a table or detections, or find them in an image; the name's ending tells which.

    Parameters
    ----------
    path
        A table with x_um, y_um and perhaps value (or good) and z_um; JSON of ``epicycle detect holes``; or an image.
    pixel_size_a
        Å per pixel where an image or its detections do not say; None takes theirs.

    Raises
    ------
    BadInput
        What is in the file is none of these, or no pixel size is known.
    OSError
        No such file.
    """
    if path.suffix.lower() in TABLES:
        return _of_table(path)
    if path.suffix.lower() == DETECTIONS:
        return _of_detections(path, pixel_size_a)
    return _of_image(path, pixel_size_a)


def _of_table(path: Path) -> Holes:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise BadInput(f"{path} is no table of text; give CSV with the columns x_um, y_um and perhaps value.") from None
    first = text.partition("\n")[0]
    rows = csv.reader(text.splitlines(), delimiter=next((mark for mark in "\t;" if mark in first), ","))
    lines = ((number, cells) for number, cells in enumerate(rows, 1) if any(cell.strip() for cell in cells))
    _, names = next(lines, (0, []))
    names = [name.strip().lower() for name in names]
    missing = [name for name in _PLACE if name not in names]
    if missing:
        raise BadInput(f"{path} has no column {missing[0]}; its first line must name the columns x_um and y_um.")
    value = next((name for name in _VALUES if name in names), None)
    wanted = [*_PLACE, *([value] if value else []), *([_HEIGHT] if _HEIGHT in names else [])]
    table = np.array(list(_numbers(path, lines, names, wanted)), dtype=np.float64).reshape(-1, len(wanted))
    return Holes(
        positions_um=table[:, :2],
        values=table[:, 2] if value else np.ones(len(table)),
        heights_um=table[:, -1] if _HEIGHT in names else None,
    )


def _numbers(
    path: Path, lines: Iterator[tuple[int, list[str]]], names: Sequence[str], wanted: Sequence[str]
) -> Iterator[list[float]]:
    columns = [names.index(name) for name in wanted]
    for number, cells in lines:
        try:
            yield [float(cells[column]) for column in columns]
        except (ValueError, IndexError):
            raise BadInput(f"{path}, line {number}: {', '.join(wanted)} must be numbers; correct the line.") from None


def _of_detections(path: Path, pixel_size_a: float | None) -> Holes:
    try:
        body = HolesOutput.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except (ValidationError, ValueError):
        raise BadInput(f"{path} is not what `epicycle detect holes --json` writes; give that, or CSV.") from None
    size_a = pixel_size_a or body.pixel_size_a
    if size_a is None:
        raise BadInput(f"{path} has no pixel size, so µm are not known; say --pixel-size-a.")
    places = np.array([(hole.x_px, hole.y_px) for hole in body.holes]).reshape(-1, 2)
    values = np.array([_value(hole) for hole in body.holes])
    return Holes(places * size_a / _A_PER_UM, values, y_down=True)


def _of_image(path: Path, pixel_size_a: float | None) -> Holes:
    seen = read_picture(path)
    size_a = pixel_size_a or seen.pixel_size_a
    if size_a is None:
        raise BadInput(f"{path} has no pixel size, so µm are not known; say --pixel-size-a.")
    found = plugins.load("epicycle.detectors", "lattice-holes")({"second_look": False}).find(
        Image(seen.pixels, size_a, None, str(path))
    )
    if not isinstance(found, HoleDetections) or not found.holes:
        raise BadInput(f"No holes were found in {path}: {found.reason}.")
    body = HolesOutput.model_validate(holes_json(found, str(path)))
    places = np.array([(hole.x_px, hole.y_px) for hole in body.holes])
    values = np.array([_value(hole) for hole in body.holes])
    return Holes(places * size_a / _A_PER_UM, values, y_down=True)


def _value(hole: HoleItem) -> float:
    """Give the chance of being fit to be exposed where it is told, else the score; nothing for what is no hole."""
    if hole.status is not Site.HOLE:
        return 0.0
    return hole.score if hole.fit is None else hole.fit
