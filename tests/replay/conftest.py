"""A small made-up recording with everything that can be awkward about one, and the real one beside the repository."""

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from epicycle.hardware.replay.tables import HOLE_COLUMNS, IMAGE_COLUMNS

START = datetime(2024, 5, 6, 20, 15, 0)
ATLAS_UM, SQUARE_UM, HOLE_TURN_DEG, HOLE_SCALE = 0.4, 0.08, 30.0, 6.0
"""µm per atlas pixel and per square pixel; a hole-level image is turned by so much and finer by so much."""


@dataclass
class Recording:
    """Tables under construction: every line is one image, a given time after the last."""

    session: str = "rec1"
    atlas: str = "gridA"
    images: list[dict[str, Any]] = field(default_factory=list)
    holes: list[dict[str, Any]] = field(default_factory=list)
    now: datetime = START

    def image(self, level: str, parent: str, number: int, x: float, y: float, after_s: float, version: int = 0) -> str:
        """Take an image; answers its name."""
        self.now += timedelta(seconds=after_s)
        stem = parent or f"{self.session}_{self.atlas}"
        name = f"{stem}_{number:05}{level}" + (f"_v{version:02}" if version else "")
        self._write(name, level, parent, x, y, self.now, {})
        return name

    def aligned(self, exposure: str, ctf: float | None, confidence: float | None, later_s: float = 40.0) -> None:
        """Register the motion-corrected copy of an exposure, and its place in the table of holes."""
        line = next(image for image in self.images if image["name"] == exposure)
        told = {"ctf_max_res": ctf, "ctf_confidence": confidence, "raw_exposure": exposure}
        at = self.now + timedelta(seconds=later_s)
        self._write(f"{exposure}-a", "en-a", line["parent"], line["x"], line["y"], at, told)
        self.holes.append(self._placed(line))

    def _placed(self, line: dict[str, Any]) -> dict[str, Any]:
        by_name = {image["name"]: image for image in self.images}
        view = by_name[line["parent"]]
        square = by_name[view["parent"]]
        tile = by_name[square["parent"]]
        turn = math.radians(HOLE_TURN_DEG)
        x_px = view["x"] + (math.cos(turn) * line["x"] - math.sin(turn) * line["y"]) / HOLE_SCALE
        y_px = view["y"] + (math.sin(turn) * line["x"] + math.cos(turn) * line["y"]) / HOLE_SCALE
        return {
            "raw_exposure": line["name"],
            "sq_x_px": x_px,
            "sq_y_px": y_px,
            "sq_x_um": x_px * SQUARE_UM,
            "sq_y_um": y_px * SQUARE_UM,
            "square_atlas_x_um": (tile["x"] + square["x"]) * ATLAS_UM,
            "square_atlas_y_um": (tile["y"] + square["y"]) * ATLAS_UM,
        }

    def _write(
        self, name: str, level: str, parent: str, x: float, y: float, at: datetime, told: dict[str, Any]
    ) -> None:
        parts = [part for part in name.removesuffix("-a").split("_")[2:] if not part.startswith("v")]
        keys = dict(zip(("tile", "square", "patch"), parts, strict=False))
        self.images.append(
            {
                **dict.fromkeys(IMAGE_COLUMNS, ""),
                **{
                    "name": name,
                    "parent": parent,
                    "level": level,
                    "x": x,
                    "y": y,
                    "timestamp": at,
                    "atlas": self.atlas,
                },
                **keys,
                **{key: value for key, value in told.items() if value is not None},
            }
        )

    def write(self, folder: Path) -> Path:
        """Write both tables; answers the folder."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, columns, rows in (
            ("images.csv", IMAGE_COLUMNS, self.images),
            ("holes.csv", HOLE_COLUMNS, self.holes),
        ):
            with (folder / name).open("w", newline="") as stream:
                writer = csv.DictWriter(stream, columns)
                writer.writeheader()
                writer.writerows(rows)
        return folder


def patch_of(recording: Recording, view: str, first: int, count: int, gaps: Sequence[float] = (60.0,)) -> list[str]:
    """Expose a row of holes under one hole-level image; answers their names."""
    places = [(180.0 * (n % 3) - 180.0, 180.0 * (n // 3) - 90.0) for n in range(first, first + count)]
    return [
        recording.image("en", view, 2 + n, *place, after_s=gaps[index % len(gaps)])
        for index, (n, place) in enumerate(zip(range(first, first + count), places, strict=True))
    ]


@pytest.fixture
def recording() -> Recording:
    """An empty recording, to be filled."""
    return Recording()


@pytest.fixture
def awkward() -> Recording:
    """A recording in which squares are surveyed ahead, left and returned to, retaken, focused or not, or never shot.

    Exposures come as A1 (3), B1 (2), A1 again (2, from a retake), A2 (2 of one and the same hole), with pauses.
    """
    rec = Recording()
    tiles = [rec.image("gr", "", n, x, y, 10.0) for n, (x, y) in enumerate([(0.0, 0.0), (900.0, 0.0), (0.0, 900.0)], 1)]
    a0 = rec.image("sq", tiles[0], 1, -100.0, 50.0, 300.0)
    a = rec.image("sq", tiles[0], 1, -100.0, 50.0, 120.0, version=1)
    a1 = rec.image("hl", a, 1, 100.0, -60.0, 40.0)
    rec.image("hl", a, 2, -200.0, 150.0, 30.0)
    rec.image("hl", a, 3, 250.0, 250.0, 30.0)
    b = rec.image("sq", tiles[1], 2, 200.0, 0.0, 90.0)
    b1 = rec.image("hl", b, 1, 0.0, 0.0, 35.0)
    rec.image("sq", tiles[2], 3, 0.0, 10.0, 80.0)
    rec.image("fa", a1, 1, 10.0, 10.0, 25.0)
    shots = patch_of(rec, a1, 0, 3, gaps=(80.0, 61.0, 59.0))
    rec.image("fa", b1, 1, 10.0, 10.0, 700.0)
    retaken = rec.image("hl", b, 1, 0.0, 0.0, 44.0, version=1)
    shots += patch_of(rec, retaken, 0, 2, gaps=(95.0, 60.0))
    again = rec.image("hl", a, 1, 100.0, -60.0, 50.0, version=1)
    shots += patch_of(rec, again, 3, 2, gaps=(90.0, 7200.0))
    a2 = rec.image("hl", a, 2, -200.0, 150.0, 45.0, version=1)
    shots += [rec.image("en", a2, 2, 5.0, 5.0, 70.0), rec.image("en", a2, 3, 9.0, 5.0, 66.0)]
    assert a0 != a
    for number, shot in enumerate(shots):
        if number != 4:
            rec.aligned(shot, 100000.0 if number == 1 else 3.0 + number, 0.1 * number)
    return rec


@pytest.fixture
def awkward_folder(awkward: Recording, tmp_path: Path) -> Path:
    """The awkward recording on disk."""
    return awkward.write(tmp_path / "recording")


@pytest.fixture(scope="session")
def aldolase() -> Path:
    """The recorded aldolase session."""
    folder = Path(__file__).parents[2] / ".." / "shared" / "data" / "aldolase"
    if not folder.is_dir():
        pytest.skip("the recorded aldolase session is not beside the repository (../shared/data/aldolase)")
    return folder.resolve()
