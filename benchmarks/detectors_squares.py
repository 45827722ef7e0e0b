"""Rows of the detectors' table that are about squares: the real tile, simulated atlases, one atlas of 10k × 10k px.

An opening found is a true one where both share 0.4 of the area that they cover together. The truth tells where the
bars end. In a square called small, ice that is thick along the bars is as dark as they are, and light comes through the
middle alone; no picture shows where its bars end, and who draws what is seen draws that middle. Found is such a square
where what was found lies within it and around its own middle. What the overlap alone gives is told beside it.
"""

import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from detectors_rows import Answer, Row, looked_at
from numpy.typing import NDArray

from epicycle.cli.square_scenes import SquareScene, square_scene
from epicycle.detectors.opening_search import search
from epicycle.detectors.records import SquareClass
from epicycle.detectors.square_models import CLASSES, JUDGES, SHIPPED, Judge, SquareModels, load_models
from epicycle.detectors.training.square_examples import Examples, Sheet, examples_of, sheet_of
from epicycle.detectors.training.square_scores import balanced_accuracy, calibration_error
from epicycle.files.mrc import read_image

FINDERS = ("mixture-squares", "scored-squares")
TORN = ((369, 326), (690, 216), (802, 540), (584, 324))
"""(row, col) of the squares of the real tile with film torn out, by eye."""

UNSEEN = 10_000
"""Weights are trained on seeds below this."""

SCENES = 120
FINE_A = 1000.0

PARTIAL = CLASSES.index(SquareClass.PARTIAL)

Points = NDArray[np.float32]


def square_rows(data: Path, quick: bool = False) -> Iterator[Row]:
    """Give the rows, one after the other; `data` is the folder of the real images."""
    yield from _tile_rows(data)
    yield from _simulated_rows(SCENES // 10 if quick else SCENES)
    yield _atlas_row(10_000, 20, "<= 6 s, <= 2 GB", 6.0, 2.0)
    if not quick:
        yield _atlas_row(16_000, 32, "bounded memory: <= 2 GB", np.inf, 2.0)


def _tile_rows(data: Path) -> Iterator[Row]:
    pixels, _ = read_image(data / "lowmag_20may08a.mrc")
    published = json.loads((data / "reference" / "lowmag_20may08a_published_cli.json").read_text())
    boxes = [np.array(one["vertices"], np.float32) for one in published]
    for finder in FINDERS:
        with tempfile.TemporaryDirectory() as folder:
            answer = looked_at(finder, {}, pixels, Path(folder))
        own = [np.array(corners, np.float32)[:, ::-1].copy() for corners in answer.corners]
        hit = sum(max(_overlap(box, other) for other in own) >= 0.9 for box in boxes)
        low, of = _ranked_low(answer)
        met = hit == 48 and len(own) == 48 and low == of and answer.cpu_s <= 0.5 and answer.rss_gb <= 0.6
        here = (
            f"{hit}/48, {answer.cpu_s:.2f} s, {answer.rss_gb:.2f} GB; {low} of {of} torn and clipped squares in the "
            "lower half"
        )
        bar = "48/48 at IoU >= 0.9, <= 0.5 s, <= 0.6 GB; torn and clipped squares in the lower half"
        yield Row(f"lowmag_20may08a, squares and scores ({finder})", "48/48, 6.7 s, 2.8 GB", bar, here, met)


def _ranked_low(answer: Answer) -> tuple[int, int]:
    """Count the torn and clipped squares that score under the median, and how many there are."""
    places = np.array([site[:2] for site in answer.sites])
    scores, kinds = np.array([site[3] for site in answer.sites]), np.array([site[4] for site in answer.sites])
    wanted = kinds == "partial"
    for row, col in TORN:
        wanted[np.argmin(np.hypot(*(places - (row, col)).T))] = True
    return int((scores[wanted] < np.median(scores)).sum()), int(wanted.sum())


def _overlap(one: Points, other: Points) -> float:
    common, _ = cv2.intersectConvexConvex(one, other)
    return float(common / (cv2.contourArea(one) + cv2.contourArea(other) - common))


def _simulated_rows(count: int) -> Iterator[Row]:
    tally = np.zeros(6, int)
    sheets: list[tuple[Sheet, SquareScene]] = []
    for seed in range(UNSEEN, UNSEEN + count):
        scene = square_scene(seed)
        hulls = _found(scene)
        tally += [*_counted(scene, hulls, middles=True), *_counted(scene, hulls, middles=False)]
        sheets.append((sheet_of(scene.pixels, scene.marks, str(seed)), scene))
    (recall, precision), strict = _shares(tally[:3]), _shares(tally[3:])
    case = f"simulated squares found, seeds from {UNSEEN}, 300 to 5000 Å per pixel"
    here = f"recall {recall:.3f}, precision {precision:.3f} of {tally[:2].sum()}"
    here += f" (by overlap alone {strict[0]:.3f}, {strict[1]:.3f})"
    yield Row(case, "–", "recall >= 0.98, precision >= 0.97", here, recall >= 0.98 and precision >= 0.97)
    models = load_models(SHIPPED)
    fine = [sheet for sheet, scene in sheets if scene.pixel_size_a <= FINE_A]
    gold = [sheet for sheet, scene in sheets if scene.gold]
    carbon = [sheet for sheet, scene in sheets if not scene.gold]
    every = [sheet for sheet, _ in sheets]
    for name, kept in (("all", every), ("to 1000 Å", fine), ("gold", gold), ("carbon", carbon)):
        yield _class_row(name, kept, models)


def _class_row(name: str, sheets: Sequence[Sheet], models: SquareModels) -> Row:
    """Judge six classes; squares that the border cuts are partial by where they lie, and counted so."""
    examples = examples_of(sheets)
    cut = sum(int((~sheet.whole).sum()) for sheet in sheets)
    told = {judge: _with_cut(models, judge, examples, cut) for judge in JUDGES}
    truth = np.concatenate((examples.classes, np.full(cut, PARTIAL)))
    said = {judge: balanced_accuracy(table, truth) for judge, table in told.items()}
    error = calibration_error(told["boosting"][: examples.classes.size], examples.classes)
    here = (
        f"balanced accuracy {said['boosting']:.3f} (forest {said['forest']:.3f}, logistic {said['logistic']:.3f}), "
        f"calibration error {error:.3f}, {truth.size} squares"
    )
    bar = "balanced accuracy >= 0.85"
    return Row(f"simulated squares, six classes, {name}", "–", bar, here, said["boosting"] >= 0.85)


def _with_cut(models: SquareModels, judge: Judge, examples: Examples, cut: int) -> NDArray[np.float64]:
    whole = models.probabilities(judge, examples.table, examples.statistics)
    partial = np.eye(len(CLASSES))[PARTIAL]
    return np.concatenate((whole, np.tile(partial, (cut, 1))))


def _shares(counts: NDArray[np.int_]) -> tuple[float, float]:
    """Give recall and precision of what was found, missed and false."""
    found, missed, false = counts.tolist()
    return found / max(found + missed, 1), found / max(found + false, 1)


def _found(scene: SquareScene) -> list[Points]:
    answer = search(scene.pixels)
    if isinstance(answer, str):
        return []
    return [answer.working.here(region.hull).astype(np.float32) for region in answer.regions]


def _counted(scene: SquareScene, hulls: Sequence[Points], *, middles: bool) -> tuple[int, int, int]:
    """Count whole squares found and missed, and openings found where none is; of small ones `middles` may do."""
    rows, cols = scene.pixels.shape
    frame = np.array([[-0.5, -0.5], [-0.5, cols - 0.5], [rows - 0.5, cols - 0.5], [rows - 0.5, -0.5]], np.float32)
    truths = []
    for mark in scene.marks:
        outline = cv2.convexHull(np.array(mark.corners_px, np.float32))[:, 0]
        shown, part = cv2.intersectConvexConvex(outline, frame)
        if shown > 0:
            whole = shown >= 0.999 * cv2.contourArea(outline)
            truths.append((part[:, 0], whole, middles and mark.category == "small"))
    pairs = [[_match(hull, *truth) for truth in truths] for hull in hulls]
    shares = np.array(pairs).reshape(len(hulls), len(truths))
    wholes = np.array([whole for _, whole, _ in truths], bool)
    seen = (shares > 0.4).any(axis=0) if len(hulls) else np.zeros(len(truths), bool)
    false = int((shares.max(axis=1, initial=0.0) <= 0.4).sum()) if len(hulls) else 0
    return int((seen & wholes).sum()), int((~seen & wholes).sum()), false


def _match(hull: Points, truth: Points, whole: bool, small: bool) -> float:
    """Tell how far an opening found and a true one are the same; of a small one the middle is enough."""
    common, _ = cv2.intersectConvexConvex(hull, truth)
    area = cv2.contourArea(truth)
    if small and common >= 0.9 * cv2.contourArea(hull) and common >= 0.04 * area:
        off = np.hypot(*(hull.max(axis=0) + hull.min(axis=0) - truth.max(axis=0) - truth.min(axis=0)) / 2)
        if not whole or off < 0.15 * np.sqrt(area):
            return 1.0
    return _overlap(hull, truth)


def _atlas_row(side: int, across: int, bar: str, cpu_s: float, rss_gb: float) -> Row:
    with tempfile.TemporaryDirectory() as folder:
        answer = looked_at("scored-squares", {}, large_atlas(side, across), Path(folder))
    found, drawn = len(answer.sites), across**2
    here = f"{found} squares, {answer.cpu_s:.1f} s, {answer.rss_gb:.2f} GB"
    met = 0.95 * drawn <= found <= 1.1 * drawn and answer.cpu_s <= cpu_s and answer.rss_gb <= rss_gb
    case = f"{side // 1000}k x {side // 1000}k atlas, about {drawn} squares (scored-squares)"
    return Row(case, "2100 px needs 5.5 GB", bar, here, met)


def large_atlas(side: int, across: int = 20) -> NDArray[np.int16]:
    """Draw so many openings across, turned by 10°, of uneven brightness, some thick; band by band."""
    rng = np.random.default_rng(3)
    pitch, turn = side / across, np.deg2rad(10)
    half = 0.34 * pitch
    levels = 800 * np.clip(rng.lognormal(0, 0.25, (64, 64)), 0.4, 1.6).astype(np.float32)
    levels[rng.random((64, 64)) < 0.05] = 160
    atlas = np.empty((side, side), np.int16)
    cols = np.arange(side, dtype=np.float32)[None] - side / 2
    for top in range(0, side, 500):
        rows = np.arange(top, min(top + 500, side), dtype=np.float32)[:, None] - side / 2
        along, across_px = rows * np.cos(turn) - cols * np.sin(turn), rows * np.sin(turn) + cols * np.cos(turn)
        i, j = np.rint(along / pitch), np.rint(across_px / pitch)
        edge = np.maximum(np.abs(along - i * pitch), np.abs(across_px - j * pitch))
        inside = np.clip((half - edge) / 2 + 0.5, 0, 1)
        mean = 30 + inside * (levels[i.astype(int) % 64, j.astype(int) % 64] - 30)
        atlas[top : top + 500] = mean + rng.standard_normal(mean.shape, dtype=np.float32) * np.sqrt(mean)
    return atlas
