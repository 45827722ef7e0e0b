"""Labels of simulated pictures as COCO annotations (cocodataset.org, "Data format").

Boxes and outlines are (x, y) with the origin at the corner of the first pixel, as COCO has it; keypoints count whole
pixels from the centre of the first. Besides COCO's own fields every image says its level, pixel size and the image of
the level above that holds it, and every annotation what it is worth. Nothing that decides or detects may import this.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .labels import HoleLabel, HoleState, SquareLabel, shown_part
from .truth_table import Grade

NAMES = (*(f"square/{grade.value}" for grade in Grade), *(f"hole/{state.value}" for state in HoleState))
"""Names of the categories, in the order of their numbers, which begin at 1."""

NUMBER = {name: number for number, name in enumerate(NAMES, 1)}


def categories() -> list[dict[str, Any]]:
    """Give the categories: every class of squares and every state of holes; a hole's keypoint is its centre."""
    found = []
    for name, number in NUMBER.items():
        above = name.split("/")[0]
        points = {"keypoints": ["centre"], "skeleton": []} if above == "hole" else {}
        found.append({"id": number, "name": name, "supercategory": above, **points})
    return found


def annotations(
    squares: Iterable[SquareLabel], holes: Iterable[HoleLabel], rows: int, cols: int
) -> list[dict[str, Any]]:
    """Give the annotations of one picture of this size, without their numbers."""
    found = [_square(label, rows, cols) for label in squares] + [_hole(label, rows, cols) for label in holes]
    return [entry for entry in found if entry["area"] > 0]


def document(entries: Sequence[Mapping[str, Any]], info: Mapping[str, Any]) -> dict[str, Any]:
    """Put pictures together: each entry holds one ``image`` without number and its ``annotations``.

    An image names its parent by ``parent_file``, or null; the document turns that into ``parent_image_id``.
    """
    number = {entry["image"]["file_name"]: place for place, entry in enumerate(entries, 1)}
    images, marks = [], []
    for entry in entries:
        image = dict(entry["image"])
        parent = image.pop("parent_file")
        own = number[image["file_name"]]
        images.append({"id": own, **image, "parent_image_id": number.get(parent)})
        marks += [{"image_id": own, **mark} for mark in entry["annotations"]]
    return {
        "info": dict(info),
        "licenses": [],
        "images": images,
        "categories": categories(),
        "annotations": [{"id": place, **mark} for place, mark in enumerate(marks, 1)],
    }


def corner_xy(pixels: NDArray[np.float64]) -> list[list[float]]:
    """Bring (row, col) from the first pixel's centre to (x, y) from its corner."""
    return [[_short(col + 0.5), _short(row + 0.5)] for row, col in pixels]


def _square(label: SquareLabel, rows: int, cols: int) -> dict[str, Any]:
    return {
        "category_id": NUMBER[f"square/{label.grade}"],
        **_shape(label.corners_px, rows, cols),
        "corners": corner_xy(label.corners_px),
        "square": [label.i, label.j],
        "kind": label.kind,
        "ice_nm": _short(label.ice_nm),
        "usable": _short(label.usable),
        "cut": label.cut,
        "rim": label.rim,
    }


def _hole(label: HoleLabel, rows: int, cols: int) -> dict[str, Any]:
    seen = -0.5 <= label.row_px <= rows - 0.5 and -0.5 <= label.col_px <= cols - 0.5
    flag = (2 if label.visible else 1) if seen else 0
    return {
        "category_id": NUMBER[f"hole/{label.state}"],
        **_shape(label.outline_px, rows, cols),
        "keypoints": [_short(label.col_px), _short(label.row_px), flag] if seen else [0, 0, 0],
        "num_keypoints": int(seen),
        "radius_px": _short(label.radius_px),
        "hole": [label.a, label.b],
        "ice_nm": _short(label.ice_nm),
        "resolution_a": None if math.isinf(label.resolution_a) else _short(label.resolution_a),
        "spoilt_by": label.spoilt_by or None,
        "snr": _short(label.snr),
        "visible": label.visible,
        "cut": label.cut,
    }


def _shape(outline_px: NDArray[np.float64], rows: int, cols: int) -> dict[str, Any]:
    """Give box, outline and area of what the picture shows of an outline."""
    part, area = shown_part(outline_px, rows, cols)
    if len(part) < 3:
        return {"bbox": [0, 0, 0, 0], "segmentation": [], "area": 0.0, "iscrowd": 0}
    xy = part[:, ::-1] + 0.5
    low, high = xy.min(axis=0), xy.max(axis=0)
    return {
        "bbox": [_short(value) for value in (*low, *(high - low))],
        "segmentation": [[_short(value) for value in xy.ravel()]],
        "area": _short(area),
        "iscrowd": 0,
    }


def _short(value: float) -> float:
    return round(float(value), 3)
