"""Pictures of the finders' pages: what each finds on simulated images, where it works and where it does not.

    python benchmarks/finder_pages.py [--out docs/finders] [--finder NAME]... [--weights FOLDER]

Writes `NAME.jpg` for each finder. Finders that need weights the user must have are left out without `--weights`. The
images are simulated ones because real ones may not be passed on.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image as Picture
from PIL import ImageDraw, ImageFont

from epicycle.detectors.drawing import draw_holes, draw_squares
from epicycle.detectors.records import SquareDetections
from epicycle.hardware.records import Image
from epicycle.hardware.simulator.evaluation import studio
from epicycle.hardware.simulator.grid.cassette_world import KINDS, GridSpec
from epicycle.hardware.simulator.instrument.profile import load_profile
from epicycle.orchestrator import plugins

SIDE_PX, CAPTION_PX = 430, 24
SEED = 30_001
WITH_WEIGHTS = ("ptolemy-squares", "ptolemy-unet")
SQUARES, HOLES = ("mixture-squares", "scored-squares", "ptolemy-squares"), ("lattice-holes", "network-holes")
PTOLEMY_HOLES, PATTERNS = ("ptolemy-unet",), ("regular-pattern",)


@dataclass(frozen=True, slots=True)
class Scene:
    """A view to be searched: the caption, who looks at it, the grid, and how it is taken."""

    caption: str
    finders: tuple[str, ...]
    level: str
    grid: dict[str, object]
    field_um: float
    side_px: int
    square: str = "intact"
    tilt_deg: float = 0.0
    stretched: float = 1.0
    hexagonal: bool = False


CARBON = {"hole_type": "R2/1", "mesh": "300", "material": "Carbon"}
GOLD = {"hole_type": "UltrAuFoil R1.2/1.3", "mesh": "300", "material": "Gold"}
SCENES = (
    Scene("an ordinary grid", SQUARES, "atlas", {**CARBON, "kind": "ordinary"}, 620, 900),
    Scene("torn, cracked, empty", SQUARES, "atlas", {**CARBON, "kind": "broken", "cracked": 0.2}, 620, 900),
    Scene("thick ice: squares look small", SQUARES, "atlas", {**CARBON, "kind": "thick-ice"}, 620, 900),
    Scene("a mesh of hexagons", SQUARES, "atlas", {**GOLD, "mesh": "50Hex"}, 450, 900),
    Scene("21 px a square", SQUARES, "atlas", CARBON, 850, 300),
    Scene("one square fills the view", SQUARES, "square", CARBON, 52, 700),
    Scene("a whole square", HOLES, "square", CARBON, 66, 900),
    Scene("gold, dim and coarse", HOLES, "square", {**GOLD, "kind": "ordinary"}, 66, 420),
    Scene("tilted by 45°", HOLES, "hole", CARBON, 26, 800, tilt_deg=45),
    Scene("a hexagonal lattice", HOLES, "hole", CARBON, 26, 800, hexagonal=True),
    Scene("steps 1 : 1.3", HOLES, "hole", CARBON, 26, 800, stretched=1.3),
    Scene("torn film", HOLES, "square", {**CARBON, "torn": 0.4}, 66, 900, "torn"),
    Scene("thick ice: holes hardly show", HOLES, "square", {**CARBON, "kind": "thick-ice"}, 66, 900, "thick"),
    Scene("holes darker than the film", HOLES, "square", {**CARBON, "kind": "filled-holes"}, 66, 900),
    Scene(
        "holes of many sizes", ("lattice-holes",), "square", {**CARBON, "hole_type": "MultiA", "mesh": "200"}, 110, 900
    ),
    Scene("two holes in view", HOLES, "hole", CARBON, 4.6, 700),
    Scene("lacey film", HOLES, "square", {**CARBON, "hole_type": "Lacey"}, 60, 700),
    Scene("film all over, holes of 75 px", PTOLEMY_HOLES, "hole", CARBON, 22, 850),
    Scene("tilted by 45°", PTOLEMY_HOLES, "hole", CARBON, 22, 850, tilt_deg=45),
    Scene("a hexagonal lattice", PTOLEMY_HOLES, "hole", CARBON, 22, 850, hexagonal=True),
    Scene("a whole square", PTOLEMY_HOLES, "square", CARBON, 66, 900),
    Scene("continuous film", PATTERNS, "square", {**CARBON, "hole_type": "NegativeStain"}, 66, 700, "dry"),
    Scene("lacey film", PATTERNS, "square", {**CARBON, "hole_type": "Lacey"}, 66, 700),
    Scene(
        "contaminated",
        PATTERNS,
        "square",
        {**CARBON, "hole_type": "Lacey", "kind": "contaminated"},
        66,
        700,
        "contaminated",
    ),
)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parents[1] / "docs" / "finders")
    parser.add_argument("--finder", action="append", help="one of them; all that are installed if none is named")
    parser.add_argument("--weights", type=Path, help="folder of Ptolemy's published weights")
    given = parser.parse_args(arguments)
    known = plugins.names("epicycle.detectors")
    finders = given.finder or [name for name in (*SQUARES, *HOLES, *PTOLEMY_HOLES, *PATTERNS) if name in known]
    given.out.mkdir(parents=True, exist_ok=True)
    for name in finders:
        if name in WITH_WEIGHTS and given.weights is None:
            print(f"{name} needs weights; name their folder with --weights", file=sys.stderr)
            continue
        options = {"weights": given.weights} if name in WITH_WEIGHTS else {}
        find = plugins.load("epicycle.detectors", name)(options).find
        path = given.out / f"{name}.jpg"
        sheet(list(panels(name, find))).save(path, quality=72, optimize=True)
        print(path)
    return 0


def panels(name: str, find: Callable[[Image], object]) -> Iterator[Picture.Image]:
    """Draw what one finder finds in each of its scenes."""
    with tempfile.TemporaryDirectory() as folder:
        for scene in SCENES:
            if name not in scene.finders:
                continue
            image = taken(scene)
            found = find(image)
            path = Path(folder) / "panel.png"
            draw = draw_squares if isinstance(found, SquareDetections) else draw_holes
            draw(image, found, path)
            with Picture.open(path) as drawn:
                yield captioned(drawn.convert("RGB"), scene.caption)


def taken(scene: Scene) -> Image:
    """Photograph a scene."""
    profile = load_profile("screening-200kv")
    kind = str(scene.grid.get("kind", "good"))
    spec = GridSpec(**{**KINDS[kind], **scene.grid, "kind": kind})
    instrument = studio.stand_up(profile, spec, SEED)
    world = studio.world_of(instrument)
    if scene.hexagonal or scene.stretched != 1:
        cell = np.array([[1.0, 0.5 * scene.hexagonal], [0.0, 0.866 if scene.hexagonal else scene.stretched]])
        world.film = replace(world.film, basis_um=world.film.basis_um @ cell)
    usual = profile.levels[scene.level].preset
    pixel_a = scene.field_um * 1e4 / scene.side_px
    dose = usual.dose_e_per_a2 * (usual.pixel_size_a / pixel_a) ** 2
    preset = usual.model_copy(
        update={
            "pixel_size_a": pixel_a, "rows_px": scene.side_px, "cols_px": scene.side_px, "dose_e_per_a2": dose,
            "beam_diameter_um": max(usual.beam_diameter_um, 1.6 * scene.field_um),
        }
    )  # fmt: skip
    place = (60.0, 40.0)
    if scene.level != "atlas":
        square = studio.square_like(world, scene.square)
        place = square.x_um, square.y_um
    studio.aim(instrument, preset, place, tilt_deg=scene.tilt_deg)
    return Image(np.asarray(studio.photograph(instrument, preset), np.float32), pixel_a)


def captioned(drawn: Picture.Image, caption: str) -> Picture.Image:
    """Shrink a drawing and write its caption above it."""
    drawn.thumbnail((SIDE_PX, SIDE_PX), Picture.Resampling.LANCZOS)
    panel = Picture.new("RGB", (SIDE_PX, SIDE_PX + CAPTION_PX), "white")
    panel.paste(drawn, (0, CAPTION_PX))
    ImageDraw.Draw(panel).text((4, 3), caption, fill="black", font=ImageFont.load_default(15))
    return panel


def sheet(drawn: list[Picture.Image]) -> Picture.Image:
    """Lay panels out, three in a row."""
    columns = min(3, len(drawn))
    rows = -(-len(drawn) // columns)
    whole = Picture.new("RGB", (columns * (SIDE_PX + 6), rows * (SIDE_PX + CAPTION_PX + 6)), "white")
    for number, panel in enumerate(drawn):
        whole.paste(panel, (number % columns * (SIDE_PX + 6), number // columns * (SIDE_PX + CAPTION_PX + 6)))
    return whole


if __name__ == "__main__":
    sys.exit(main())
