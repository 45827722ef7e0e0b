"""Measurements on images of a pixel-free microscope: what its sightings say where pictures would be compared.

Landmarks are places of the specimen that can be told apart, each with a name and where it seems to stand in the
picture. Two images that show the same landmarks are related by them, as two pictures are by what they show.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..hardware.records import Image
from .across_levels import Offset
from .correlation import Floats
from .ice import ice_nm
from .landmarks import shared_landmarks
from .records import CtfFit, MicrographVerdict, Motion, Reregistration
from .verdict import is_black

LEAST_SHARED = 4
"""Landmarks that two atlases must have in common."""


def joined_sightings(tiles: Sequence[Image], offsets_px: Sequence[tuple[float, float]]) -> dict[str, Any]:
    """Join what tiles saw into what their mosaic shows.

    Parameters
    ----------
    tiles
        Images with sightings.
    offsets_px
        (row, col) of each tile's first pixel in the mosaic.
    """
    openings: dict[str, dict[str, Any]] = {}
    holes: dict[str, list[Any]] = {}
    landmarks: dict[str, list[float]] = {}
    for tile, (row, col) in zip(tiles, offsets_px, strict=True):
        seen = tile.sightings
        for one in seen.get("openings", ()):
            openings.setdefault(one["name"], {**one, "row": one["row"] + row, "col": one["col"] + col})
        for hole in seen.get("holes", ()):
            moved = [hole[0], hole[1] + row, hole[2] + col, *hole[3:]]
            if hole[0] not in holes or holes[hole[0]][4] < hole[4]:
                holes[hole[0]] = moved
        for name, place in seen.get("landmarks", {}).items():
            landmarks.setdefault(name, [place[0] + row, place[1] + col])
    placed = list(zip(tiles, offsets_px, strict=True))
    angles = [tile.sightings["angle_deg"] for tile in tiles if "angle_deg" in tile.sightings]
    return {
        "level": tiles[0].sightings.get("level", ""),
        "angle_deg": float(np.median(angles)) if angles else 0.0,
        "openings": list(openings.values()),
        "landmarks": landmarks,
        "holes": list(holes.values()),
        "lattice": _first_lattice(tiles, offsets_px),
        "size_px": [max(offset[axis] + tile.pixels.shape[axis] for tile, offset in placed) for axis in (0, 1)],
    }


def offset_sighted(coarse: Image, fine: Image, limit_um: float) -> Offset | None:
    """Measure the offset of one frame against another, as `across_levels.offset_between` does on pictures."""
    there, here = shared_landmarks(coarse, fine)
    if len(here) == 0 or coarse.image_to_stage is None or fine.image_to_stage is None:
        return None
    off = np.median(_on_stage(fine, here) - _on_stage(coarse, there), axis=0)
    # Beyond the limit a correlation finds some other peak, and a poor one.
    within = float(np.hypot(*off)) <= limit_um
    confidence = float(fine.sightings.get("alike", 1.0)) if within else 0.0
    return Offset(float(off[0]), float(off[1]), confidence, 1.0 if within else 0.0)


def frame_sighted(first: Image, now: Image) -> Reregistration:
    """Find where a reloaded grid lies, as `reload.reregister` does on pictures."""
    before, after = shared_landmarks(first, now)
    if len(before) < LEAST_SHARED:
        return Reregistration(None, 0.0, 0.0, "nothing to compare: an atlas is blank or the two do not overlap")
    old, new = _on_stage(first, before), _on_stage(now, after)
    arm, reach = old - old.mean(axis=0), new - new.mean(axis=0)
    along = float((arm * reach).sum())
    across = float((arm[:, 0] * reach[:, 1] - arm[:, 1] * reach[:, 0]).sum())
    angle = math.atan2(across, along)
    c, s = math.cos(angle), math.sin(angle)
    x, y = new.mean(axis=0) - np.array([[c, -s], [s, c]]) @ old.mean(axis=0)
    return Reregistration(((c, -s, float(x)), (s, c, float(y))), math.degrees(angle), 1.0)


def judge_sighted(
    image: Image, mean_counts: float, expected_counts: float | None, mean_free_path_nm: float
) -> MicrographVerdict:
    """Take the verdict on an exposure from its sightings, as `verdict.judge` makes one from frames.

    Parameters
    ----------
    image
        With the sighting ``verdict``.
    mean_counts
        Per pixel, all frames.
    expected_counts
        The same with nothing in the beam; None when not known.
    mean_free_path_nm
        Λ of `ice.ice_nm`.
    """
    seen: Mapping[str, Any] = image.sightings["verdict"]
    if is_black(mean_counts, expected_counts):
        return MicrographVerdict(None, None, mean_counts, None, ("black",), b"", b"")
    counts = float(seen["median_counts"])
    ice = ice_nm(counts, expected_counts, mean_free_path_nm) if counts > 0 and expected_counts else None
    motion = Motion((), float(seen["motion_a"])) if "motion_a" in seen else None
    fit = seen["fit"]
    if fit is None:
        return MicrographVerdict(motion, None, mean_counts, ice, ("no-fit",), b"", b"")
    ctf = CtfFit(fit["defocus_um"], fit["astigmatism_a"], fit["angle_deg"], fit["resolution_a"], fit["confidence"])
    return MicrographVerdict(motion, ctf, mean_counts, ice, (), b"", b"")


def _first_lattice(tiles: Sequence[Image], offsets_px: Sequence[tuple[float, float]]) -> dict[str, Any] | None:
    for tile, (row, col) in zip(tiles, offsets_px, strict=True):
        lattice = tile.sightings.get("lattice")
        if lattice is not None:
            origin = lattice["origin_px"]
            return {**lattice, "origin_px": [origin[0] + row, origin[1] + col]}
    return None


def _on_stage(image: Image, places_px: Floats) -> Floats:
    affine = np.asarray(image.image_to_stage, np.float64)
    return np.asarray(places_px @ affine[:, :2].T + affine[:, 2])
