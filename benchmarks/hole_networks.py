"""Finders of holes on simulated views nobody learnt from: recall, precision, error of centres, sorting, CPU seconds.

    python benchmarks/hole_networks.py FOLDER... [--finder NAME]... [--one-look] [--out FILE.json] [--most N]

Each folder is one that `epicycle simulate dataset` wrote, with a seed of 10,000 or more: what ships was made from
lower ones. A hole counts if its centre is in view, it stands out of its film, no bar covers part of it, and it is 15
to 150 px wide. It stands out when it does so by the electrons that pass, as its label says, and by the pixels: labels
know nothing of the noise of the camera, below which a hole under a µm of ice lies. Either way it is five standard
errors of the difference between its disc and the film around it (Rose 1948). Found is what a finder calls whole or
partial, within half a radius of a true centre; false is what it calls so and no label is near, of any kind. The
sorting (AUC) is of all sites told, by score, into holes that are there and not.
"""

import argparse
import json
import math
import sys
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epicycle.detectors.records import HoleDetections, Site
from epicycle.detectors.training.calibration import calibration_error, sorting
from epicycle.detectors.training.labelled import HoleMark, LabelledImage, read_labels
from epicycle.hardware.records import Image
from epicycle.orchestrator import plugins

LEAST_PX, MOST_PX = 7.5, 75.0
ROSE = 5.0


@dataclass(frozen=True, slots=True)
class Row:
    """One image looked at by one finder; errors in radii."""

    finder: str
    image: str
    radius_px: float
    true: int
    hit: int
    false: int
    error: float
    score: tuple[float, ...]
    there: tuple[bool, ...]
    cpu_s: float


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--finder", action="append", help="plug-in; lattice-holes and network-holes if none is named")
    parser.add_argument("--out", type=Path, help="JSON file with a row for each image")
    parser.add_argument("--most", type=int, help="images of each folder at most")
    parser.add_argument("--one-look", action="store_true", help="let lattice-holes look once, as nights do")
    given = parser.parse_args(arguments)
    images = [image for folder in given.folders for image in read_labels(folder)[: given.most]]
    rows = []
    for name in given.finder or ["lattice-holes", "network-holes"]:
        own = looked_at(name, images, {"second_look": False} if given.one_look and name == "lattice-holes" else {})
        tell(name, own)
        rows += own
    if given.out:
        given.out.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    return 0


def looked_at(name: str, images: list[LabelledImage], options: Mapping[str, Any]) -> list[Row]:
    finder = plugins.load("epicycle.detectors", name)(options)
    rows = []
    for image in images:
        usual = float(np.median([hole.radius_px for hole in image.holes])) if image.holes else 0.0
        if image.holes and not LEAST_PX <= usual <= MOST_PX:
            continue
        pixels = image.pixels()
        start = time.process_time()
        found = finder.find(Image(pixels, image.pixel_size_a))
        rows.append(row_of(name, image, pixels, usual, found, time.process_time() - start))
    return rows


def row_of(
    name: str, image: LabelledImage, pixels: NDArray[np.float32], usual: float, found: HoleDetections, cpu_s: float
) -> Row:
    places = np.array([(hole.row_px, hole.col_px) for hole in image.holes]).reshape(-1, 2)
    inside = ((places >= 0) & (places <= np.array(pixels.shape) - 1)).all(axis=1)
    sure = np.array([hole.visible and hole.category != "cut" for hole in image.holes], bool) & inside
    sure[sure] = [stands_out(pixels, hole) for hole, counts in zip(image.holes, sure, strict=True) if counts]
    told = [hole for hole in found.holes if hole.status in (Site.HOLE, Site.PARTIAL)]
    seen = np.array([(hole.row_px, hole.col_px) for hole in told]).reshape(-1, 2)
    off = nearest(places[sure], seen)
    hit = off < 0.5 * usual
    near = nearest(seen, places) < 0.6 * usual
    sites = np.array([(hole.row_px, hole.col_px) for hole in found.holes]).reshape(-1, 2)
    there, hidden = nearest(sites, places[sure]) < 0.5 * usual, nearest(sites, places[~sure]) < 0.6 * usual
    kept = there | ~hidden
    error = float(np.median(off[hit]) / usual) if hit.any() else float("nan")
    scores = tuple(hole.score for hole, good in zip(found.holes, kept, strict=True) if good)
    return Row(
        name, image.path.name, usual, int(sure.sum()), int(hit.sum()), int((~near).sum()), error, scores,
        tuple(map(bool, there[kept])), cpu_s,
    )  # fmt: skip


def stands_out(pixels: NDArray[np.float32], hole: HoleMark) -> bool:
    """Tell whether a hole differs from the film around it by five standard errors, as the pixels themselves vary."""
    reach = math.ceil(1.5 * hole.radius_px) + 1
    middle = np.rint([hole.row_px, hole.col_px]).astype(int)
    low, high = np.maximum(middle - reach, 0), np.minimum(middle + reach + 1, pixels.shape)
    part = pixels[low[0] : high[0], low[1] : high[1]].astype(np.float64)
    rows, cols = np.mgrid[low[0] : high[0], low[1] : high[1]]
    away = np.hypot(rows - hole.row_px, cols - hole.col_px) / hole.radius_px
    disc, ring = away < 0.85, (away > 1.15) & (away < 1.45)
    if min(disc.sum(), ring.sum()) < 8:
        return True
    error = math.hypot(*(noise(part, own) / math.sqrt(own.sum()) for own in (disc, ring)))
    return bool(abs(part[disc].mean() - part[ring].mean()) >= ROSE * error)


def noise(part: NDArray[np.float64], own: NDArray[np.bool_]) -> float:
    """Give the standard deviation of pixels there, by the differences of neighbours: slopes do not count."""
    both = own[:, 1:] & own[:, :-1]
    return float(np.diff(part, axis=1)[both].std()) / math.sqrt(2)


def nearest(these: NDArray[np.float64], those: NDArray[np.float64]) -> NDArray[np.float64]:
    if len(these) == 0 or len(those) == 0:
        return np.full(len(these), np.inf)
    return np.hypot(*(these[:, None] - those[None]).transpose(2, 0, 1)).min(axis=1)


def tell(name: str, rows: list[Row]) -> None:
    parts: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        parts["all"].append(row)
        parts["square views" if "-square-" in row.image else "hole views"].append(row)
        size = "none" if row.radius_px == 0 else "15-30 px" if row.radius_px < 15 else "30-150 px"
        parts[f"holes of {size}"].append(row)
    heads = f"{'images':>7}{'recall':>8}{'precis.':>8}{'missed all':>11}{'error/r':>9}{'AUC':>7}{'ECE':>7}{'CPU s':>7}"
    print(f"{name:<28}{heads}")
    for what, own in parts.items():
        true, hit, false = (sum(getattr(row, field) for row in own) for field in ("true", "hit", "false"))
        score = np.array([value for row in own for value in row.score])
        there = np.array([value for row in own for value in row.there], bool)
        blind = sum(row.true >= 4 and row.hit == 0 for row in own)
        errors = [row.error for row in own if np.isfinite(row.error)]
        print(
            f"  {what:<26}{len(own):>7}{hit / max(true, 1):>8.3f}{hit / max(hit + false, 1):>8.3f}{blind:>11}"
            f"{np.median(errors) if errors else np.nan:>9.3f}{sorting(score, there):>7.3f}"
            f"{calibration_error(score, there) if len(score) else np.nan:>7.3f}{np.mean([r.cpu_s for r in own]):>7.2f}"
        )


if __name__ == "__main__":
    sys.exit(main())
