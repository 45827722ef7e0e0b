"""A line of the detectors' table, and one image looked at by one finder in a process of its own.

A process of its own, because the most memory that was ever used is a figure of a whole process. Seconds are those of
the processor from after the imports to the answer, weights loaded in between.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epicycle.detectors.records import FoundHole, FoundSquare, HoleDetections, Site, SquareDetections
from epicycle.detectors.stages import listening
from epicycle.hardware.records import Image
from epicycle.orchestrator import plugins

Points = NDArray[np.float64]
Pixels = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Row:
    """One line: the case, what published Ptolemy was measured to do, the bar, what was found here."""

    case: str
    reference: str
    bar: str
    here: str
    met: bool | None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a finder says of an image, and what it cost."""

    sites: tuple[tuple[float, float, float, float, str], ...]
    corners: tuple[Any, ...]
    lattice: str
    confidence: float
    reason: str
    cpu_s: float
    rss_gb: float
    stages: tuple[tuple[str, str, float], ...] = ()

    @property
    def places(self) -> Points:
        """Whole and cut holes, or squares: (n, 2) (row, col)."""
        told = (Site.MISSING.value, Site.COVERED.value)
        return np.array([(row, col) for row, col, _, _, what in self.sites if what not in told]).reshape(-1, 2)


def looked_at(finder: str, options: dict[str, Any], pixels: Pixels, folder: Path) -> Answer:
    """Let a finder look at an image in a process of its own; `folder` takes the image."""
    path = folder / "image.npy"
    np.save(path, pixels)
    asked = json.dumps({"finder": finder, "options": {name: str(value) for name, value in options.items()}})
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(
        [sys.executable, __file__, asked, str(path)], capture_output=True, text=True, env=environment, check=False
    )
    if ended.returncode:
        raise RuntimeError(f"{finder} failed: {ended.stderr[-800:]}")
    return Answer(**json.loads(ended.stdout))


def answer_of(finder: str, options: dict[str, Any], pixels: Pixels) -> Answer:
    """Let a finder look in this process."""
    if finder.startswith(("ptolemy-", "network-")):
        import torch

        torch.set_num_threads(1)
    make = plugins.load("epicycle.detectors", finder)
    start = time.process_time()
    with listening(time.process_time) as stages:
        found = make(options).find(Image(pixels))
    spent = time.process_time() - start
    rss = _most_held_gb()
    told = tuple((one.name, one.found, one.cpu_s) for one in stages)
    if isinstance(found, SquareDetections):
        corners = tuple(square.corners_px for square in found.squares)
        return Answer(tuple(map(_square, found.squares)), corners, "", 0.0, found.reason, spent, rss, told)
    assert isinstance(found, HoleDetections)
    kind = "none" if found.lattice is None else found.lattice.kind.value
    sure = 0.0 if found.lattice is None else found.lattice.confidence
    return Answer(tuple(map(_hole, found.holes)), (), kind, sure, found.reason, spent, rss, told)


def _most_held_gb() -> float:
    """Give the most memory this process has held; `getrusage` would count what its parent held too."""
    status = Path("/proc/self/status")
    if status.exists():
        (peak,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(peak.split()[1]) / 1024**2
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2


def _square(square: FoundSquare) -> tuple[float, float, float, float, str]:
    return square.row_px, square.col_px, square.area_px, square.score, square.category.value


def _hole(hole: FoundHole) -> tuple[float, float, float, float, str]:
    return hole.row_px, hole.col_px, hole.radius_px, hole.score, hole.status.value


def nearest(these: Points, those: Points) -> NDArray[np.float64]:
    """Distance of each of these to the nearest of those; infinite where there is none."""
    if len(those) == 0 or len(these) == 0:
        return np.full(len(these), np.inf)
    return np.asarray(np.hypot(*(these[:, None] - those[None]).transpose(2, 0, 1)).min(axis=1))


def main() -> int:
    parser = argparse.ArgumentParser(description="One finder on one image; for the benchmark's own use.")
    parser.add_argument("asked")
    parser.add_argument("image", type=Path)
    given = parser.parse_args()
    asked = json.loads(given.asked)
    options = {
        name: value == "True" if value in ("True", "False") else value for name, value in asked["options"].items()
    }
    print(json.dumps(asdict(answer_of(asked["finder"], options, np.load(given.image)))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
