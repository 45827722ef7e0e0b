"""Finders on what a night looked at: what each finds on its atlases and square views, and what that costs.

    python benchmarks/finders_on_a_night.py NIGHT [--finder NAME]... [--weights FOLDER] [--out FILE.json]

``NIGHT`` is a folder that `epicycle run` left (with pixels). Every finder looks at the same images, stitched atlases
or the views of squares, as often as the night took them; the first of a kind is the reference of the column of ratios.
`lattice-holes` looks once, as in a night. CPU seconds are of this process on one thread, after each finder has looked
at one image.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
from rich.console import Console
from rich.progress import track

from epicycle.db.connection import open_reader
from epicycle.db.views import images
from epicycle.detectors.records import HoleDetections, Site, SquareDetections
from epicycle.files.mrc import read_image
from epicycle.hardware.records import Image
from epicycle.orchestrator import plugins
from epicycle.protocols.errors import EpicycleError

SQUARES = ("mixture-squares", "scored-squares", "ptolemy-squares")
HOLES = ("lattice-holes", "network-holes", "ptolemy-unet")
PUBLISHED = {"ptolemy-squares", "ptolemy-unet"}
SEEN = (Site.HOLE, Site.PARTIAL)


@dataclass(frozen=True, slots=True)
class Row:
    """One finder on all images of its kind; ``ratio`` is its median cost over that of the first finder."""

    finder: str
    images: int
    with_any: int
    found: int
    cpu_s_median: float
    cpu_s_worst: float
    cpu_s_all: float
    ratio: float


def main(arguments: list[str] | None = None) -> int:
    """Look, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("night", type=Path, help="folder of a night")
    parser.add_argument("--finder", action="append", choices=[*SQUARES, *HOLES], help="all that can run by default")
    parser.add_argument("--weights", type=Path, help="folder of Ptolemy's published weights")
    parser.add_argument("--out", type=Path, help="JSON to write")
    asked = parser.parse_args(arguments)
    if not (asked.night / "night.db").is_file():
        print(f"{asked.night} holds no night.db; name the folder of a night", file=sys.stderr)
        return 2
    torch.set_num_threads(1)
    wanted = asked.finder or [*SQUARES, *HOLES]
    if asked.weights is None:
        wanted = [name for name in wanted if name not in PUBLISHED]
    try:
        atlases, views = looked_at(asked.night)
    except EpicycleError as error:
        print(error, file=sys.stderr)
        return 2
    if not atlases and not views:
        print(f"{asked.night} kept no atlas and no view; name a night with pixels", file=sys.stderr)
        return 2
    rows = [*on(atlases, [n for n in SQUARES if n in wanted], asked.weights),
            *on(views, [n for n in HOLES if n in wanted], asked.weights)]  # fmt: skip
    print(f"{'finder':<18}{'images':>7}{'with any':>9}{'found':>7}{'CPU s each':>12}{'worst':>7}{'all':>7}{'ratio':>7}")
    for row in rows:
        print(
            f"{row.finder:<18}{row.images:>7}{row.with_any:>9}{row.found:>7}{row.cpu_s_median:>12.2f}"
            f"{row.cpu_s_worst:>7.2f}{row.cpu_s_all:>7.1f}{row.ratio:>7.1f}"
        )
    if asked.out is not None:
        asked.out.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n", encoding="utf-8")
    return 0


def looked_at(night: Path) -> tuple[list[Image], list[Image]]:
    """Read the atlases and the views of squares that a night kept."""
    engine = open_reader(night / "night.db")
    kept: dict[str, list[Image]] = {"atlas": [], "square": []}
    for taken in images(engine):
        if taken.of_kind in kept and (night / taken.path).suffix == ".mrc":
            pixels, _ = read_image(night / taken.path)
            kept[taken.of_kind].append(Image(pixels, taken.pixel_size_a))
    return kept["atlas"], kept["square"]


def on(taken: Sequence[Image], finders: Sequence[str], weights: Path | None) -> list[Row]:
    """Let each finder look at each image."""
    rows: list[Row] = []
    for name in finders if taken else ():
        finder = plugins.load("epicycle.detectors", name)(options_of(name, weights))
        finder.find(taken[0])
        costs, found = [], []
        for image in track(taken, description=name, console=Console(stderr=True), transient=True):
            begun = time.process_time()
            answer = finder.find(image)
            costs.append(time.process_time() - begun)
            found.append(count(answer))
        usual = median(costs)
        reference = rows[0].cpu_s_median if rows else usual
        with_any = sum(number > 0 for number in found)
        rows.append(Row(name, len(taken), with_any, sum(found), usual, max(costs), sum(costs), usual / reference))
    return rows


def options_of(name: str, weights: Path | None) -> dict[str, Any]:
    """Give a finder's options as a night does."""
    if name in PUBLISHED:
        return {"weights": weights}
    return {"second_look": False} if name == "lattice-holes" else {}


def count(answer: SquareDetections | HoleDetections) -> int:
    """Count what was found."""
    if isinstance(answer, SquareDetections):
        return len(answer.squares)
    return sum(hole.status in SEEN for hole in answer.holes)


if __name__ == "__main__":
    sys.exit(main())
