"""Labelled images for training, as a COCO document: squares on atlases, holes on square views, exposures on hole views.

What a person labelled takes the place of what the finder said. Every image says its level, pixel size, mesh and film,
and the image of the level above on which the thing it shows was found.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select

from ...files.atomic import write_bytes
from ..models import Label
from ..querying import Reader, connected
from ..summary import GridSummary, grids
from ..views import HoleView, ImageView, SquareView, atlas_of, holes_of, reloads_of, squares_of

CORNERS = 16
"""Corners of the polygon drawn for a round hole."""


def write_coco(reader: Reader, folder: Path) -> list[Path]:
    """Write ``coco.json``; file names in it are relative to the folder of the record."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "coco.json"
    write_bytes(path, json.dumps(coco(reader)).encode())
    return [path]


def coco(reader: Reader) -> dict[str, Any]:
    """Give the document (format: cocodataset.org, "Data format", object detection)."""
    said = _labels(reader)
    images: list[dict[str, Any]] = []
    marks: list[tuple[int, str, NDArray[np.float64], dict[str, Any]]] = []
    for grid in grids(reader):
        atlas, reloaded = atlas_of(reader, grid.id), reloads_of(reader, grid.id)
        squares = squares_of(reader, grid.id)
        if atlas is None or atlas.image is None or atlas.image.image_to_stage is None:
            continue
        images.append(_image(atlas.image, "atlas", grid, None))
        marks += [(atlas.image.id, *_square(atlas.image, square, said)) for square in squares]
        for square in squares:
            if square.image is None or square.image.image_to_stage is None:
                continue
            images.append(_image(square.image, "square", grid, atlas.image.id))
            moved = grid.frame if any(at <= square.image.taken_at for at in reloaded) else None
            for hole in holes_of(reader, square_id=square.id):
                marks.append((square.image.id, *_hole(square.image, hole, moved, said)))
    names = sorted({name for _, name, _, _ in marks})
    number = {name: place for place, name in enumerate(names, 1)}
    return {
        "info": {"description": "squares and holes as found and labelled in one night"},
        "images": images,
        "categories": [{"id": number[name], "name": name, "supercategory": name.split("/")[0]} for name in names],
        "annotations": [
            _annotation(place, image, number[name], outline, more)
            for place, (image, name, outline, more) in enumerate(marks, 1)
        ],
    }


def _labels(reader: Reader) -> dict[tuple[str, int], str]:
    """Give the newest label of every row that has one."""
    query = select(Label.of_kind, Label.of_id, Label.label).order_by(Label.at, Label.id)
    with connected(reader) as connection:
        return {(kind, of_id): word for kind, of_id, word in connection.execute(query)}


def _image(image: ImageView, level: str, grid: GridSummary, above: int | None) -> dict[str, Any]:
    return {
        "id": image.id,
        "file_name": image.path,
        "width": image.cols_px,
        "height": image.rows_px,
        "date_captured": image.taken_at.isoformat(),
        "level": level,
        "pixel_size_a": image.pixel_size_a,
        "slot": grid.slot,
        "mesh": grid.mesh,
        "hole_type": grid.hole_type,
        "material": grid.material,
        "parent_image_id": above,
    }


def _square(
    atlas: ImageView, square: SquareView, said: Mapping[tuple[str, int], str]
) -> tuple[str, NDArray[np.float64], dict[str, Any]]:
    name = said.get(("square", square.id), square.category)
    outline = _pixels(atlas, np.asarray(square.corners_um, float))
    return f"square/{name}", outline, {"score": square.score, "labelled": ("square", square.id) in said}


def _hole(
    image: ImageView,
    hole: HoleView,
    moved: Sequence[Sequence[float]] | None,
    said: Mapping[tuple[str, int], str],
) -> tuple[str, NDArray[np.float64], dict[str, Any]]:
    name = said.get(("hole", hole.id), hole.site)
    turn = np.linspace(0, 2 * np.pi, CORNERS, endpoint=False)
    middle = np.array([hole.stage_x_um, hole.stage_y_um])
    if moved is not None:
        # The grid lay otherwise when this image was taken than at its first load, from which places are counted.
        middle = np.asarray(moved) @ [*middle, 1.0]
    outline = _pixels(image, middle + hole.radius_um * np.stack([np.cos(turn), np.sin(turn)], axis=1))
    more = {"score": hole.score, "ice_nm": hole.ice_nm, "labelled": ("hole", hole.id) in said}
    return f"hole/{name}", outline, more


def _pixels(image: ImageView, places_um: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bring stage places (n, 2) to (x, y) pixels of an image, COCO's origin: the corner of the first pixel."""
    affine = np.asarray(image.image_to_stage, float)
    row_col = np.linalg.solve(affine[:, :2], (places_um - affine[:, 2]).T).T
    return np.asarray(row_col[:, ::-1] + 0.5)


def _annotation(
    number: int, image: int, category: int, outline: NDArray[np.float64], more: Mapping[str, Any]
) -> dict[str, Any]:
    low, high = outline.min(axis=0), outline.max(axis=0)
    x, y = outline.T
    area = 0.5 * abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))))
    return {
        "id": number,
        "image_id": image,
        "category_id": category,
        "bbox": [round(float(value), 2) for value in (*low, *(high - low))],
        "segmentation": [[round(float(value), 2) for value in outline.ravel()]],
        "area": round(area, 2),
        "iscrowd": 0,
        **more,
    }
