"""Labelled images for training: from a COCO document, or from a folder with a table of boxes and points.

Places are (row, col) px, origin at the centre of the first pixel.
"""

import csv
import json
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...files.mrc import read_image
from ...protocols.errors import BadInput

TABLE = "labels.csv"
COLUMNS = "file, kind (square or hole), label, x, y, radius, or x0, y0, x1, y1 in place of the last three"
_ENDINGS = (".mrc", ".mrcs", ".map")
_AT_BORDER = 0.5


@dataclass(frozen=True, slots=True)
class HoleMark:
    """One hole: where, how large, and what it was called.

    Attributes
    ----------
    row_px, col_px, radius_px
        Its middle and mean radius.
    category
        What follows ``hole/`` in the category's name, e.g. ``usable`` or ``covered``.
    visible
        Whether it can be told from its film at all.
    labelled
        Whether a person, or the truth of a simulation, says so, and not a finder.
    ice_nm
        Thickness of its ice, where it is known.
    """

    row_px: float
    col_px: float
    radius_px: float
    category: str
    visible: bool = True
    labelled: bool = True
    ice_nm: float | None = None


@dataclass(frozen=True, slots=True)
class SquareMark:
    """One opening of the mesh: its corners ((row, col), in order around it) and its class."""

    corners_px: tuple[tuple[float, float], ...]
    category: str
    labelled: bool = True


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """An image with what is known of it.

    Attributes
    ----------
    path
        Where the pixels lie.
    level
        ``atlas``, ``square``, ``hole``, or empty when nobody said.
    pixel_size_a
        Å per pixel; None when not known.
    group
        Images of one group show the same specimen and are held out together.
    vacuum
        Counts per pixel where nothing is in the beam; None when not known.
    """

    path: Path
    level: str
    pixel_size_a: float | None
    group: str
    holes: tuple[HoleMark, ...]
    squares: tuple[SquareMark, ...]
    vacuum: float | None = None

    def pixels(self) -> NDArray[np.float32]:
        """Read the image, (rows, cols), what is no number replaced by the median."""
        image, _ = read_image(self.path)
        bad = ~np.isfinite(image)
        return np.where(bad, np.median(image[~bad]) if not bad.all() else 0.0, image) if bad.any() else image


def read_labels(where: Path) -> list[LabelledImage]:
    """Read the labels of a folder (``coco.json`` or ``labels.csv`` in it) or of one such file.

    Raises
    ------
    BadInput
        There is nothing of the kind, or it cannot be understood.
    """
    path = where
    if where.is_dir():
        found = [where / name for name in ("coco.json", TABLE) if (where / name).exists()]
        if not found:
            raise BadInput(f"{where} holds neither coco.json nor {TABLE}; its columns are {COLUMNS}")
        path = found[0]
    if not path.exists():
        raise BadInput(f"there is nothing at {path}; give a folder of labelled images, or its coco.json or {TABLE}")
    images = _of_table(path) if path.suffix == ".csv" else _of_coco(path)
    if not images:
        raise BadInput(f"{path} labels no image")
    return images


def of_coco(document: Mapping[str, Any], folder: Path) -> list[LabelledImage]:
    """Take the labelled images out of a COCO document whose file names are relative to `folder`."""
    names = {entry["id"]: str(entry["name"]) for entry in document["categories"]}
    marks: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
    for entry in document["annotations"]:
        marks[entry["image_id"]].append(entry)
    return [_image(entry, marks[entry["id"]], names, folder) for entry in document["images"]]


def held_out(
    images: Sequence[LabelledImage], part: float, seed: int
) -> tuple[list[LabelledImage], list[LabelledImage]]:
    """Split images into those to learn from and those to be judged by, whole groups together.

    Parameters
    ----------
    part
        Share of the groups that is held out, at least one.

    Raises
    ------
    BadInput
        All images are of one group: nothing could be held out.
    """
    return next(splits(images, part, seed))


def splits(
    images: Sequence[LabelledImage], part: float, seed: int
) -> Iterator[tuple[list[LabelledImage], list[LabelledImage]]]:
    """Go through splits as `held_out` makes them, one after the other, without an end.

    Raises
    ------
    BadInput
        All images are of one group: nothing could be held out.
    """
    groups = sorted({image.group for image in images})
    if not groups:
        raise BadInput("no labelled image is of a level that this learns from; label things of that kind")
    if len(groups) < 2:
        raise BadInput(f"{len(images)} images of one specimen cannot be split; label images of two at least")
    rng = np.random.default_rng(np.random.SeedSequence([seed, len(groups)]))
    while True:
        kept = {groups[i] for i in rng.permutation(len(groups))[: max(1, round(part * len(groups)))]}
        yield [one for one in images if one.group not in kept], [one for one in images if one.group in kept]


def _of_coco(path: Path) -> list[LabelledImage]:
    try:
        return of_coco(json.loads(path.read_bytes()), path.parent)
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise BadInput(f"{path} is no COCO document that can be read: {type(error).__name__} {error}") from error


def _image(
    entry: Mapping[str, Any], marks: Sequence[Mapping[str, Any]], names: Mapping[int, str], folder: Path
) -> LabelledImage:
    holes, squares = [], []
    ends = float(entry.get("width", math.inf)), float(entry.get("height", math.inf))
    for mark in marks:
        kind, _, category = names[mark["category_id"]].partition("/")
        if kind == "hole":
            holes.append(_hole(mark, category, ends))
        elif kind == "square":
            squares.append(_square(mark, category))
    group = entry.get("scene", entry.get("slot", entry["file_name"]))
    size = entry.get("pixel_size_a")
    return LabelledImage(
        folder / entry["file_name"], str(entry.get("level", "")), None if size is None else float(size),
        f"{folder}:{group}", tuple(holes), tuple(squares), _vacuum(entry),
    )  # fmt: skip


def _vacuum(entry: Mapping[str, Any]) -> float | None:
    """Take the level of vacuum as said, or from the dose: who says a dose counts electrons."""
    if entry.get("vacuum_counts"):
        return float(entry["vacuum_counts"])
    if entry.get("dose_e_per_a2") and entry.get("pixel_size_a"):
        return float(entry["dose_e_per_a2"]) * float(entry["pixel_size_a"]) ** 2
    return None


def _hole(mark: Mapping[str, Any], category: str, ends: tuple[float, float]) -> HoleMark:
    x, y, wide, tall = map(float, mark["bbox"])
    col, row = x + wide / 2 - 0.5, y + tall / 2 - 0.5
    radius = float(mark.get("radius_px", (wide + tall) / 4))
    if mark.get("num_keypoints"):
        col, row = map(float, mark["keypoints"][:2])
    elif "radius_px" in mark:
        col, row = _middle(x, wide, radius, ends[0]) - 0.5, _middle(y, tall, radius, ends[1]) - 0.5
    ice = mark.get("ice_nm")
    return HoleMark(
        row, col, radius, category, bool(mark.get("visible", True)), bool(mark.get("labelled", True)),
        None if ice is None else float(ice),
    )  # fmt: skip


def _middle(start: float, length: float, radius: float, end: float) -> float:
    """Give where the middle of a hole is along one axis: it may lie beyond the border that cuts its box short."""
    if length > 1.9 * radius or (start > _AT_BORDER and start + length < end - _AT_BORDER):
        return start + length / 2
    return start + length - radius if start <= _AT_BORDER else start + radius


def _square(mark: Mapping[str, Any], category: str) -> SquareMark:
    corners = mark.get("corners") or np.reshape(mark["segmentation"][0], (-1, 2)).tolist()
    return SquareMark(
        tuple((float(y) - 0.5, float(x) - 0.5) for x, y in corners), category, bool(mark.get("labelled", True))
    )


def _of_table(path: Path) -> list[LabelledImage]:
    holes: dict[str, list[HoleMark]] = defaultdict(list)
    squares: dict[str, list[SquareMark]] = defaultdict(list)
    with path.open(newline="", encoding="utf-8-sig") as file:
        for number, row in enumerate(csv.DictReader(file), start=2):
            try:
                _row(row, holes, squares)
            except (KeyError, TypeError, ValueError) as error:
                raise BadInput(f"{path}, line {number} cannot be read ({error}); the columns are {COLUMNS}") from error
    names = sorted({*holes, *squares})
    for name in names:
        if not (path.parent / name).is_file() or Path(name).suffix.lower() not in _ENDINGS:
            raise BadInput(f"{path} names {name}, and there is no MRC file of that name beside it")
    return [
        LabelledImage(path.parent / name, "", None, f"{path}:{name}", tuple(holes[name]), tuple(squares[name]))
        for name in names
    ]


def _row(row: Mapping[str, str], holes: dict[str, list[HoleMark]], squares: dict[str, list[SquareMark]]) -> None:
    name, kind, label = row["file"].strip(), row["kind"].strip(), (row.get("label") or "").strip()
    boxed = bool((row.get("x0") or "").strip())
    if boxed:
        x0, y0, x1, y1 = (float(row[column]) for column in ("x0", "y0", "x1", "y1"))
    else:
        x, y, radius = float(row["x"]), float(row["y"]), float(row["radius"])
        x0, y0, x1, y1 = x - radius, y - radius, x + radius, y + radius
    if not (x1 > x0 and y1 > y0):
        raise ValueError("a box without extent")
    if kind == "hole":
        holes[name].append(HoleMark((y0 + y1) / 2, (x0 + x1) / 2, (x1 - x0 + y1 - y0) / 4, label or "hole"))
    elif kind == "square":
        squares[name].append(SquareMark(((y0, x0), (y0, x1), (y1, x1), (y1, x0)), label or "good"))
    else:
        raise ValueError(f"kind {kind!r}")
