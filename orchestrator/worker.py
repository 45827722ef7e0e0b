"""What runs in a worker process: finders, stitching, the verdict. Paths and frozen records in, frozen records out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ..detectors.centre import centre_of_opening
from ..detectors.records import HoleDetections, HoleFinder, SquareDetections, SquareFinder
from ..detectors.sighted import sighted_centre
from ..files.mrc import read_image, read_metadata, write_mrc
from ..hardware.records import SIGHTINGS, Affine, Image
from ..imaging.across_levels import Offset, offset_between
from ..imaging.recorded import judge_recorded
from ..imaging.records import MicrographVerdict, Reregistration
from ..imaging.reload import reregister
from ..imaging.sighted import frame_sighted, joined_sightings, judge_sighted, offset_sighted
from ..imaging.stitching import stitch
from ..imaging.verdict import judge
from . import plugins


@dataclass(frozen=True, slots=True)
class Look:
    """An image to look at: where its pixels are (None in a replay without any) and what is known of it.

    ``nominal_counts`` are the counts per pixel that its preset's dose makes with nothing in the beam.
    """

    path: Path | None
    pixel_size_a: float | None
    image_to_stage: Affine | None
    name: str
    nominal_counts: float | None = None

    def image(self) -> Image:
        """Read the pixels."""
        if self.path is None:
            return Image(np.zeros((1, 1), np.float32), self.pixel_size_a, self.image_to_stage, self.name)
        pixels, pixel_size_a = read_image(self.path)
        pixel_size_a = self.pixel_size_a or pixel_size_a
        seen = self._sightings(self.path)
        return Image(pixels, pixel_size_a, self.image_to_stage, self.name, seen, self.nominal_counts)

    def thumbnail(self) -> Image:
        """Give what a pixel-free microscope saw of an exposure; of its pixels, a size that says nothing."""
        assert self.path is not None
        nothing = np.zeros((1, 1), np.float32)
        return Image(nothing, self.pixel_size_a, self.image_to_stage, self.name, self._sightings(self.path))

    def _sightings(self, path: Path) -> Mapping[str, Any]:
        found: Mapping[str, Any] = read_metadata(path).get(SIGHTINGS, {})
        return found


@dataclass(frozen=True, slots=True)
class Mosaic:
    """A stitched atlas on disk."""

    path: Path
    offsets_px: tuple[tuple[float, float], ...]
    image_to_stage: Affine
    pixel_size_a: float
    residual_px: float
    overlaps_used: int


@dataclass(frozen=True, slots=True)
class Optics:
    """What the verdict on a micrograph must know of the microscope."""

    voltage_kv: float
    cs_mm: float
    amplitude_contrast: float
    mean_free_path_nm: float


def stitch_tiles(tiles: Sequence[Look], out: Path) -> Mosaic:
    """Join tiles and write the mosaic."""
    images = [tile.image() for tile in tiles]
    joined = stitch(images)
    seen = {SIGHTINGS: joined_sightings(images, joined.offsets_px)} if images[0].sightings else None
    write_mrc(out, joined.pixels, joined.pixel_size_a, seen)
    return Mosaic(
        out, joined.offsets_px, joined.image_to_stage, joined.pixel_size_a, joined.residual_px, joined.overlaps_used
    )


@lru_cache(maxsize=16)
def _factory(use: str) -> plugins.Factory:
    """Look a finder's name up once in each process: reading what is installed takes longer than some finders do."""
    return plugins.load("epicycle.detectors", use)


def find_squares(use: str, options: Mapping[str, Any], look: Look) -> SquareDetections:
    """Find squares with the finder of this name."""
    finder: SquareFinder = _factory(use)(options)
    return finder.find(look.image())


def find_holes(use: str, options: Mapping[str, Any], look: Look) -> HoleDetections:
    """Find holes with the finder of this name."""
    finder: HoleFinder = _factory(use)(options)
    return finder.find(look.image())


def find_opening(look: Look) -> tuple[float, float, float] | None:
    """Find the middle of the mesh opening in view."""
    image = look.image()
    return sighted_centre(image) if image.sightings else centre_of_opening(image)


def find_in_square(square: Look, view: Look, limit_um: float) -> Offset | None:
    """Find a finer view in its square's image."""
    coarse, fine = square.image(), view.image()
    return offset_sighted(coarse, fine, limit_um) if fine.sightings else offset_between(coarse, fine, limit_um)


def find_frame(first: Look, now: Look) -> Reregistration:
    """Find where a reloaded grid lies."""
    before, after = first.image(), now.image()
    return frame_sighted(before, after) if after.sightings else reregister(before, after)


def judge_micrograph(look: Look, optics: Optics, expected_counts: float | None) -> MicrographVerdict:
    """Judge an exposure by its frames."""
    if look.path is None or look.pixel_size_a is None:
        raise ValueError(f"{look.name} has no pixels to judge; a replay without pixels needs the judge `recorded`")
    return judge(
        look.path,
        pixel_size_a=look.pixel_size_a,
        voltage_kv=optics.voltage_kv,
        cs_mm=optics.cs_mm,
        amplitude_contrast=optics.amplitude_contrast,
        expected_counts=expected_counts,
        vacuum_counts=expected_counts,
        mean_free_path_nm=optics.mean_free_path_nm,
    )


def judge_by_sightings(
    look: Look, mean_counts: float, expected_counts: float | None, mean_free_path_nm: float
) -> MicrographVerdict:
    """Judge an exposure of a pixel-free microscope."""
    image = look.thumbnail()
    if "verdict" not in image.sightings:
        raise ValueError(f"{look.name} is a picture without sightings; it needs the judge `micrograph`")
    return judge_sighted(image, mean_counts, expected_counts, mean_free_path_nm)


def judge_from_record(details: Mapping[str, Any]) -> MicrographVerdict:
    """Take the verdict of a recorded session."""
    return judge_recorded(details)
