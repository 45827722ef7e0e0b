"""Training images: the labels lie on the things, the index is COCO, a set that was cut off goes on, a seed is a set."""

import json
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import jsonschema
import numpy as np
import pytest

from epicycle.files.mrc import read_frames, read_header
from epicycle.hardware.simulator.evaluation import coco, variety
from epicycle.hardware.simulator.evaluation.dataset import Wanted, items_of, make, wanted
from epicycle.hardware.simulator.evaluation.labels import HoleState
from epicycle.hardware.simulator.evaluation.sitting import Portrait, Sitting, sit
from epicycle.hardware.simulator.evaluation.variety import Choices
from epicycle.hardware.simulator.instrument.profile import load_profile
from epicycle.protocols.errors import BadInput

PLAIN = {"torn": 0, "cracked": 0, "empty": 0, "dry": 0, "thick": 0, "contaminated": 0, "crystals": 0, "wrinkled": 0}
SMALL = Choices(hole_types=("R1.2/1.3", "R2/1"), meshes=("300",), camera_scale=0.25)

NUMBERS = {"type": "array", "items": {"type": "number"}}
COCO_SCHEMA = {
    "type": "object",
    "required": ["info", "images", "annotations", "categories", "licenses"],
    "properties": {
        "images": {
            "type": "array",
            "items": {
                "required": ["id", "file_name", "width", "height", "level", "pixel_size_a", "mesh", "hole_type"],
                "properties": {
                    "id": {"type": "integer"},
                    "file_name": {"type": "string"},
                    "width": {"type": "integer", "minimum": 1},
                    "height": {"type": "integer", "minimum": 1},
                    "parent_image_id": {"type": ["integer", "null"]},
                },
            },
        },
        "annotations": {
            "type": "array",
            "items": {
                "required": ["id", "image_id", "category_id", "bbox", "area", "segmentation", "iscrowd"],
                "properties": {
                    "bbox": {**NUMBERS, "minItems": 4, "maxItems": 4},
                    "area": {"type": "number", "exclusiveMinimum": 0},
                    "segmentation": {"type": "array", "items": {**NUMBERS, "minItems": 6}},
                    "iscrowd": {"enum": [0, 1]},
                    "keypoints": {**NUMBERS, "minItems": 3, "maxItems": 3},
                },
            },
        },
        "categories": {"type": "array", "items": {"required": ["id", "name", "supercategory"]}},
    },
}
"""Object detection and keypoints as cocodataset.org has them, with the fields of ours that a reader may count on."""


def of(seed: int = 4, levels: tuple[str, ...] = ("atlas", "square", "hole"), choices: Choices = SMALL) -> Wanted:
    return wanted(seed, levels, choices)


def written(folder: Path, asked: Wanted, count: int) -> dict[str, Any]:
    assert list(make(folder, asked, count)) == list(range(1, count + 1))
    document: dict[str, Any] = json.loads((folder / "coco.json").read_bytes())
    return document


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def filled(portrait: Portrait, outline_px: np.ndarray, grow: float = 1.0) -> np.ndarray:
    """Where an outline, grown about its middle, lies in the picture."""
    middle = outline_px.mean(axis=0)
    grown = (middle + (outline_px - middle) * grow)[:, ::-1]
    mask = np.zeros(portrait.pixels.shape, np.uint8)
    cv2.fillPoly(mask, [np.rint(grown * 16).astype(np.int32)], 1, shift=4)
    return mask.astype(bool)


@pytest.fixture(scope="module")
def set_of_ten(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("set")
    return folder, written(folder, of(), 10)


@pytest.mark.parametrize("seed", [3, 21])
@pytest.mark.parametrize(("level", "tilt"), [("square", 0.0), ("hole", 0.0), ("hole", 40.0)])
def test_holes_lie_where_they_are_labelled(seed: int, level: str, tilt: float) -> None:
    optics = {"dose_e_per_a2": 0.02} if level == "square" else {}
    taken = sit(Sitting(level, seed=seed, grid=PLAIN, optics=optics, tilt_deg=tilt))
    holes = [hole for hole in taken.holes if not hole.cut and hole.state in (HoleState.USABLE, HoleState.POOR)]
    assert len(holes) >= 5
    brighter = []
    for hole in holes:
        inside = filled(taken, hole.outline_px, 0.7)
        around = filled(taken, hole.outline_px, 1.7) & ~filled(taken, hole.outline_px, 1.35)
        brighter.append(taken.pixels[inside].mean() > taken.pixels[around].mean())
    assert np.mean(brighter) > 0.95


@pytest.mark.parametrize("seed", [3, 21])
def test_a_hole_s_outline_is_where_it_ends(seed: int) -> None:
    taken = sit(Sitting("hole", seed=seed, grid=PLAIN))
    pixels = cv2.GaussianBlur(taken.pixels.astype(np.float32), (0, 0), 1.5)
    for hole in taken.holes:
        if hole.cut or hole.state in (HoleState.CUT, HoleState.SPOILT):
            continue
        middle = np.array([hole.row_px, hole.col_px])
        out = np.arange(0.75, 1.3, 0.01)
        along = middle + (hole.outline_px[None] - middle) * out[:, None, None]
        rows, cols = along[..., 0].astype(np.float32), along[..., 1].astype(np.float32)
        profile = np.median(cv2.remap(pixels, cols, rows, cv2.INTER_LINEAR), axis=1)
        steepest = out[int(np.argmin(np.gradient(profile)))]
        assert steepest == pytest.approx(1.0, abs=0.06)


@pytest.mark.parametrize("seed", [3, 21])
@pytest.mark.parametrize("level", ["atlas", "square"])
def test_boxes_end_at_the_bars(level: str, seed: int) -> None:
    taken = sit(Sitting(level, seed=seed, grid={**PLAIN, "marks": False, "meniscus_nm": 20}))
    squares = [square for square in taken.squares if not square.cut and not square.rim]
    assert squares
    dark = np.percentile(taken.pixels, 1)
    for square in squares:
        bright = taken.pixels[filled(taken, square.corners_px, 0.85)].mean() - dark
        beyond = filled(taken, square.corners_px, 1.16) & ~filled(taken, square.corners_px, 1.05)
        assert taken.pixels[beyond].mean() - dark < 0.12 * bright
        within = filled(taken, square.corners_px, 0.97) & ~filled(taken, square.corners_px, 0.9)
        assert taken.pixels[within].mean() - dark > 0.5 * bright


def test_a_square_s_class_is_what_it_looks_like() -> None:
    shares = {"empty": 0.3, "thick": 0.3, "dry": 0.0}
    taken = sit(Sitting("atlas", seed=5, grid={**PLAIN, **shares, "marks": False}))
    light: dict[str, list[float]] = {}
    for square in taken.squares:
        if not square.cut:
            light.setdefault(square.grade.value, []).append(taken.pixels[filled(taken, square.corners_px, 0.7)].mean())
    assert min(light["broken"]) > max(light["good"]) > np.median(light["good"]) > max(light["thick"])


def test_holes_of_an_empty_square_are_not_labelled() -> None:
    taken = sit(Sitting("square", seed=5, grid={**PLAIN, "empty": 0.9}, square_kind="empty"))
    middle = next(square for square in taken.squares if square.kind == "empty" and not square.cut)
    inside = cv2.boundingRect(middle.corners_px[:, ::-1].astype(np.float32))
    left, top, wide, tall = inside
    assert not [h for h in taken.holes if left < h.col_px < left + wide and top < h.row_px < top + tall]


def test_the_index_is_coco(set_of_ten: tuple[Path, dict[str, Any]]) -> None:
    folder, document = set_of_ten
    jsonschema.validate(document, COCO_SCHEMA)
    images = {image["id"]: image for image in document["images"]}
    assert len(images) == len(document["images"]) == 10
    assert len({mark["id"] for mark in document["annotations"]}) == len(document["annotations"])
    known = {category["id"]: category for category in document["categories"]}
    for mark in document["annotations"]:
        image, (x, y, wide, tall) = images[mark["image_id"]], mark["bbox"]
        assert min(x, y) >= 0
        assert x + wide <= image["width"] + 1e-3
        assert y + tall <= image["height"] + 1e-3
        assert mark["area"] <= wide * tall * 1.001
        if known[mark["category_id"]]["supercategory"] == "hole" and mark["keypoints"][2]:
            column, row, _ = mark["keypoints"]
            assert x - 1 <= column <= x + wide
            assert y - 1 <= row <= y + tall
            assert mark["radius_px"] > 0
    for image in images.values():
        header = read_header(folder / image["file_name"])
        assert (header.rows, header.cols) == (image["height"], image["width"])
        assert header.pixel_size_a == pytest.approx(image["pixel_size_a"], rel=1e-6)
        assert header.metadata["world_seed"] == image["world_seed"]


def test_a_picture_lies_in_its_parent_where_it_says(set_of_ten: tuple[Path, dict[str, Any]]) -> None:
    _, document = set_of_ten
    images = {image["id"]: image for image in document["images"]}
    marks: dict[int, dict[tuple[int, int], list[float]]] = {}
    for mark in document["annotations"]:
        if "hole" in mark and mark["keypoints"][2]:
            marks.setdefault(mark["image_id"], {})[tuple(mark["hole"])] = mark["keypoints"][:2]
    checked = 0
    for image in images.values():
        above = images.get(image["parent_image_id"])
        if above is None:
            assert image["level"] == "atlas"
            continue
        assert above["scene"] == image["scene"]
        assert {"square": "atlas", "hole": "square"}[image["level"]] == above["level"]
        own = np.array([[0, 0], [image["width"], 0], [image["width"], image["height"]]], float)
        affine = cv2.getAffineTransform(own.astype(np.float32), np.array(image["in_parent"][:3], np.float32))
        for hole, (x, y) in marks.get(image["id"], {}).items():
            if hole in marks.get(above["id"], {}):
                there = affine @ [x + 0.5, y + 0.5, 1.0] - 0.5
                assert there == pytest.approx(marks[above["id"]][hole], abs=2.0)
                checked += 1
    assert checked >= 3


def test_the_same_seed_is_the_same_set_however_it_was_made(
    tmp_path: Path, set_of_ten: tuple[Path, dict[str, Any]]
) -> None:
    whole = files(set_of_ten[0])
    cut = tmp_path / "cut"
    list(islice(make(cut, of(), 10), 3))
    assert not (cut / "coco.json").exists(), "the index comes last"
    # What a kill leaves: an image without labels, half of another, a file still being written.
    (cut / "labels" / "s000000-square-1.json").unlink()
    torn = cut / "images" / "s000000-atlas.mrc"
    torn.write_bytes(torn.read_bytes()[:5000])
    (cut / "images" / ".x.mrc.1-1.part").write_bytes(b"half")
    kept = cut / "images" / "s000000-hole-1-1.mrc"
    before = kept.stat().st_mtime_ns
    written(cut, of(), 10)
    assert files(cut) == whole
    assert kept.stat().st_mtime_ns == before, "whole files are kept"
    grown = tmp_path / "grown"
    written(grown, of(), 4)
    written(grown, of(), 10)
    assert files(grown) == whole
    assert files(set_of_ten[0])["images/s000000-atlas.mrc"] != _first(tmp_path / "other", of(seed=5))


def _first(folder: Path, asked: Wanted) -> bytes:
    written(folder, asked, 1)
    return (folder / "images" / "s000000-atlas.mrc").read_bytes()


def test_only_the_levels_asked_for(tmp_path: Path) -> None:
    document = written(tmp_path / "holes", of(levels=("hole",)), 3)
    assert {image["level"] for image in document["images"]} == {"hole"}
    assert {image["parent_image_id"] for image in document["images"]} == {None}
    names = [item.name for item in islice(items_of(of(levels=("atlas", "exposure"))), 6)]
    assert names[:2] == ["s000000-atlas", "s000000-exposure-1-1-1"]
    assert names[5] == "s000001-atlas"


def test_a_longer_set_begins_as_the_shorter_one() -> None:
    assert list(islice(items_of(of()), 8))[:7] == list(islice(items_of(of()), 7))


@pytest.mark.parametrize(
    ("change", "says"),
    [({"seed": 5}, "another seed"), ({"levels": ("hole",)}, "another levels"), ({"choices": Choices()}, "choices")],
)
def test_another_set_s_folder_is_refused(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    written(tmp_path, of(), 2)
    before = files(tmp_path)
    with pytest.raises(BadInput, match=says):
        list(make(tmp_path, of(**change), 2))
    with pytest.raises(BadInput, match="more than 1"):
        list(make(tmp_path, of(), 1))
    assert files(tmp_path) == before


def test_every_number_that_is_varied_is_there_and_varies() -> None:
    for name in variety.PROFILE_FACTORS:
        part: Any = load_profile("demo-2k")
        for step in name.split("."):
            part = getattr(part, step)
        assert isinstance(part, float), name
    scenes = [variety.drawn_scene(Choices(), np.random.default_rng(seed)) for seed in range(40)]
    assert len({scene.spec.hole_type for scene in scenes}) > 8
    assert len({scene.spec.kind for scene in scenes}) > 4
    assert 2 <= sum(scene.tilt_deg != 0 for scene in scenes) <= 18
    sizes = [scene.profile.levels["hole"].preset.pixel_size_a for scene in scenes]
    assert max(sizes) > 1.3 * min(sizes)


def test_corners_of_pixels_and_their_middles() -> None:
    assert coco.corner_xy(np.array([[0.0, 0.0], [9.5, 4.0]])) == [[0.5, 0.5], [4.5, 10.0]]


def test_exposures_in_a_set(tmp_path: Path) -> None:
    document = written(tmp_path / "set", of(levels=("hole", "exposure")), 2)
    image = next(image for image in document["images"] if image["level"] == "exposure")
    assert read_frames(tmp_path / "set" / image["file_name"]).shape[0] == 1
    assert -3.0 <= image["defocus_um"] <= -0.5
    assert image["parent_image_id"] is not None


def test_a_set_of_one_image_each_shows_as_many_grids_as_images(tmp_path: Path) -> None:
    asked = wanted(4, ("square", "hole"), SMALL, one_each=True)
    items = list(islice(items_of(asked), 6))
    assert [item.scene for item in items] == [0, 0, 1, 1, 2, 2]
    assert [item.level for item in items] == ["square", "hole"] * 3
    written(tmp_path / "set", wanted(4, ("hole",), SMALL, one_each=True), 1)
    with pytest.raises(BadInput, match="one_each"):
        list(make(tmp_path / "set", of(levels=("hole",)), 1))
