"""Squares and holes on the shared real images and on copies of them made harder: found of true, error, CPU seconds.

    python benchmarks/first_detectors.py [--data FOLDER] [--out FILE.json] [--plots FOLDER]

Prints a table and writes JSON. CPU seconds are those of this process after imports, one call per case. Errors are
medians over the holes found, in px of the case's own image. "Extra" counts holes reported that the truth file does not
have: in the whole real square about eight of them are true (its truth keeps the 60 sure ones of 68).
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from epicycle.detectors.drawing import draw_holes, draw_squares
from epicycle.detectors.holes import lattice_holes
from epicycle.detectors.records import Site
from epicycle.detectors.squares import mixture_squares
from epicycle.files.mrc import read_image
from epicycle.hardware.records import Image

DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data" / "images"

Points = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Row:
    """One case; holes: error is a median in px; squares: error is 1 - IoU, median."""

    case: str
    found: int
    true: int
    extra: int
    error: float | None
    lattice: str
    confidence: float
    cpu_s: float


@dataclass(frozen=True, slots=True)
class Case:
    """An image with its true hole centres (row, col) and their radius."""

    name: str
    pixels: NDArray[np.float32]
    centres: Points
    radius_px: float


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the real images")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--plots", type=Path, help="folder for overlays of every case")
    given = parser.parse_args(arguments)
    if not given.data.is_dir():
        print(f"there are no images at {given.data}; give their folder with --data", file=sys.stderr)
        return 2
    if given.plots:
        given.plots.mkdir(parents=True, exist_ok=True)
    print(f"{'case':<28}{'found':>11}{'extra':>7}{'error':>8}  {'lattice':<12}{'conf':>6}{'CPU s':>8}")
    rows = []
    for row in measured(given.data, given.plots):
        error = "" if row.error is None else f"{row.error:.2f}"
        found, sure = f"{row.found}/{row.true}", f"{row.confidence:.2f}"
        print(f"{row.case:<28}{found:>11}{row.extra:>7}{error:>8}  {row.lattice:<12}{sure:>6}{row.cpu_s:>8.2f}")
        rows.append(asdict(row))
    if given.out:
        given.out.write_text(json.dumps(rows, indent=1) + "\n")
    return 0


def measured(data: Path, plots: Path | None) -> Iterator[Row]:
    yield squares_row(data, plots)
    for case in cases(data):
        yield holes_row(case, plots)
    for kind, pixels in empty(np.random.default_rng(1)):
        yield holes_row(Case(kind, pixels, np.empty((0, 2)), 1.0), None)


def squares_row(data: Path, plots: Path | None) -> Row:
    pixels, pixel_size_a = read_image(data / "lowmag_20may08a.mrc")
    image = Image(pixels, pixel_size_a)
    start = time.process_time()
    found = mixture_squares({}).find(image)
    spent = time.process_time() - start
    if plots:
        draw_squares(image, found, plots / "lowmag_20may08a.png")
    reference = json.loads((data / "reference" / "lowmag_20may08a_published_cli.json").read_text())
    boxes = [np.array(square.corners_px, np.float32)[:, ::-1].copy() for square in found.squares]
    best = np.array([max(overlap(np.array(r["vertices"], np.float32), box) for box in boxes) for r in reference])
    matched = int((best >= 0.9).sum())
    error = float(np.median(1 - best))
    return Row("squares of lowmag_20may08a", matched, len(best), len(boxes) - matched, error, "", 0.0, spent)


def overlap(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    common, _ = cv2.intersectConvexConvex(one, other)
    return float(common / (cv2.contourArea(one) + cv2.contourArea(other) - common))


def cases(data: Path) -> Iterator[Case]:
    """The real images, then copies: smaller, noisier, squeezed as by tilt."""
    rng = np.random.default_rng(0)
    small, large = pixels_of(data, "medmag_21feb25a_668x474"), pixels_of(data, "medmag_21feb25a_1440x1023")
    true = truth(data, "medmag_21feb25a_668x474")
    scale = large.shape[1] / small.shape[1]
    view = Case("medmag 1440x1023", large, (true + 0.5) * scale - 0.5, 71.0)
    yield view
    yield Case("medmag 668x474", small, true, 33.0)
    for factor in (0.5, 0.25, 0.1):
        yield resized(view, factor, factor, f"medmag x{factor:g}")
    for sigma in (20, 40):
        noisy = large + rng.normal(0, sigma, large.shape).astype(np.float32)
        yield Case(f"medmag + noise {sigma}", noisy, view.centres, view.radius_px)
    for tilt in (20, 30, 45, 60):
        yield resized(view, 1.0, float(np.cos(np.deg2rad(tilt))), f"medmag tilted {tilt}")
    whole = Case("square_leginon", pixels_of(data, "square_leginon"), truth(data, "square_leginon"), 17.0)
    yield whole
    for factor in (0.5, 2.0):
        yield resized(whole, factor, factor, f"square_leginon x{factor:g}")
    yield resized(whole, 1.0, float(np.cos(np.deg2rad(45))), "square_leginon tilted 45")
    yield Case("holes_leginon", pixels_of(data, "holes_leginon"), truth(data, "holes_leginon"), 51.0)
    by_eye = np.array([(118.0, 126.0), (376.0, 226.0), (20.0, 387.0), (278.0, 485.0)])
    yield Case("holes_untilted (by eye)", pixels_of(data, "holes_untilted"), by_eye, 68.0)
    yield Case("micrograph (no lattice)", pixels_of(data, "micrograph_07jan05b_binned"), np.empty((0, 2)), 1.0)


def pixels_of(data: Path, name: str) -> NDArray[np.float32]:
    return read_image(data / f"{name}.mrc")[0]


def truth(data: Path, name: str) -> Points:
    return np.array(json.loads((data / "gt" / f"{name}.json").read_text())["centers_xy"])[:, ::-1]


def resized(case: Case, rows: float, cols: float, name: str) -> Case:
    size = (round(case.pixels.shape[1] * cols), round(case.pixels.shape[0] * rows))
    how = cv2.INTER_CUBIC if rows > 1 else cv2.INTER_AREA
    pixels = np.asarray(cv2.resize(case.pixels, size, interpolation=how), np.float32)
    centres = (case.centres + 0.5) * [rows, cols] - 0.5
    return Case(name, pixels, centres, case.radius_px * float(np.sqrt(rows * cols)))


def empty(rng: np.random.Generator) -> Iterator[tuple[str, NDArray[np.float32]]]:
    shape = (1024, 1024)
    yield "noise, Gaussian", rng.normal(0, 1, shape).astype(np.float32)
    yield "noise, Poisson", rng.poisson(100, shape).astype(np.float32)
    yield "clouds", cv2.GaussianBlur(rng.normal(0, 1, shape), (0, 0), 12).astype(np.float32)


def holes_row(case: Case, plots: Path | None) -> Row:
    image = Image(case.pixels)
    start = time.process_time()
    found = lattice_holes({}).find(image)
    spent = time.process_time() - start
    if plots:
        draw_holes(image, found, plots / f"{case.name.replace(' ', '_')}.png")
    seen = [hole for hole in found.holes if hole.status in (Site.HOLE, Site.PARTIAL)]
    places = np.array([(hole.row_px, hole.col_px) for hole in seen]).reshape(-1, 2)
    margin = 0.15 * case.radius_px
    inside = ((case.centres > margin) & (case.centres < np.array(case.pixels.shape) - 1 - margin)).all(axis=1)
    off = nearest(case.centres[inside], places)
    hit = off < case.radius_px
    extra = int((nearest(places, case.centres) > case.radius_px).sum())
    error = float(np.median(off[hit])) if hit.any() else None
    kind = "none" if found.lattice is None else found.lattice.kind.value
    confidence = 0.0 if found.lattice is None else found.lattice.confidence
    return Row(case.name, int(hit.sum()), int(inside.sum()), extra, error, kind, confidence, spent)


def nearest(these: Points, those: Points) -> NDArray[np.float64]:
    if len(those) == 0 or len(these) == 0:
        return np.full(len(these), np.inf)
    return np.hypot(*(these[:, None] - those[None]).transpose(2, 0, 1)).min(axis=1)


if __name__ == "__main__":
    sys.exit(main())
