"""Reloaded grids found again from their atlases alone: how near, and what is refused.

    python benchmarks/reregistration.py [--reloads 200] [--first 0] [--out FILE.json]

Each grid of the simulator is loaded three times, which makes two reloads. Its mesh, film, kind, microscope, camera,
dose, and how far it may lie turned are drawn anew; one atlas in eight lacks a tile. The atlases are taken tile by tile
as a night does it and stitched; `imaging.registration.reregister` sees nothing else. The truth is what the two atlases
show: places of the grid are looked up on both, and the rotation and shift between them are fitted. The table says too
by how much the frame misses where the grid really lies: by the errors of the stage that took the atlases, and by what
the atlas level shows beside the axis, which stays while the grid turns (`targeting.aiming` takes that out of pictures).

Beside the reloads stand pairs that must be refused: two atlases of each grid against one of another of the same make,
kind and film. Prints a table and writes it as JSON, with every reload, under ``rows`` and ``reloads``.
"""

import argparse
import json
import math
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from epicycle.hardware.records import Image, Shot, StagePosition
from epicycle.hardware.simulator.evaluation import studio
from epicycle.hardware.simulator.grid.cassette_world import FREQUENCY, GridSpec
from epicycle.hardware.simulator.instrument import loader, optics, stage
from epicycle.hardware.simulator.instrument.instrument import Instrument, seating_of
from epicycle.hardware.simulator.instrument.profile import Profile, load_profile
from epicycle.hardware.simulator.pictures import picture
from epicycle.hardware.simulator.pictures.view import View
from epicycle.imaging.records import Reregistration
from epicycle.imaging.registration import reregister
from epicycle.imaging.stitching import stitch
from epicycle.protocols.grid_types import HOLE_TYPES, MESHES
from epicycle.protocols.preset import Preset
from epicycle.targeting import frames

Floats = NDArray[np.float64]
PROFILES = ("demo-2k", "screening-200kv", "collection-300kv")
TILES = 3
NEAR_UM, NEAR_DEG, SHARE = 2.0, 0.1, 0.98
"""The bar."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: the case, its bar, what was found, and whether that meets it."""

    case: str
    reference: str
    here: str
    met: bool


@dataclass(frozen=True, slots=True)
class Atlas:
    """A stitched atlas, and where its tiles really looked."""

    image: Image
    views: tuple[View, ...]
    offsets_px: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Reload:
    """One reload: what was found, and how far that is from the truth; nan where the answer was a refusal."""

    grid: str
    turned_deg: float
    shift_error_um: float
    angle_error_deg: float
    worst_place_um: float
    seat_error_um: float
    stage_error_um: float
    confidence: float
    reason: str
    cpu_s: float

    @property
    def near(self) -> bool:
        return self.shift_error_um <= NEAR_UM and self.angle_error_deg <= NEAR_DEG

    @property
    def silently_wrong(self) -> bool:
        return not self.reason and not self.near


@dataclass(frozen=True, slots=True)
class Stranger:
    """A pair of atlases that do not belong together."""

    grid: str
    what: str
    refused: bool
    confidence: float


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reloads", type=int, default=200, help="how many, two for each grid")
    parser.add_argument("--first", type=int, default=0, help="number of the first grid")
    parser.add_argument("--out", type=Path, help="JSON file")
    given = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    found = measure(given.reloads, given.first, speak=True)
    for row in found["rows"]:
        print(f"{row['case']:<58}{row['here']:>34}   bar {row['reference']:<22}{'met' if row['met'] else 'NOT MET'}")
    if given.out:
        given.out.write_text(json.dumps(found, indent=1) + "\n")
    return 0


def measure(reloads: int = 200, first: int = 0, *, speak: bool = False) -> dict[str, Any]:
    """Load grids again and again; gives ``rows``, ``reloads`` and ``strangers`` as plain dicts."""
    seen: list[Reload] = []
    strangers: list[Stranger] = []
    for grid in range(first, first + math.ceil(reloads / 2)):
        for one in reloads_of(grid):
            (seen if isinstance(one, Reload) else strangers).append(one)  # type: ignore[arg-type]
            if speak and (
                (isinstance(one, Reload) and not one.near) or (isinstance(one, Stranger) and not one.refused)
            ):
                print(one, flush=True)
    seen = seen[:reloads]
    return {
        "rows": [asdict(row) for row in table(seen, strangers)],
        "reloads": [asdict(one) for one in seen],
        "strangers": [asdict(one) for one in strangers],
    }


def table(seen: Sequence[Reload], strangers: Sequence[Stranger]) -> Iterator[Row]:
    answered = [one for one in seen if not one.reason]
    near, wrong = sum(one.near for one in seen), sum(one.silently_wrong for one in seen)
    figure = f"{near} of {len(seen)}, {len(seen) - len(answered)} refused"
    yield Row("reloads within 2 µm and 0.1°", ">= 98 %", figure, near >= SHARE * len(seen))
    yield Row("reloads silently wrong", "none", str(wrong), wrong == 0)
    for what in sorted({one.what for one in strangers}):
        own = [one for one in strangers if one.what == what]
        kept = sum(not one.refused for one in own)
        yield Row(f"{what} taken for the grid", "none", f"{kept} of {len(own)}", kept == 0)
    if answered:
        for case, values, unit in (
            ("error of the shift, median and 99 %", [one.shift_error_um for one in answered], "µm"),
            ("error of the angle, median and 99 %", [one.angle_error_deg for one in answered], "°"),
            ("worst place of an atlas, median and 99 %", [one.worst_place_um for one in answered], "µm"),
            ("against the true seat, median and 99 %", [one.seat_error_um for one in answered], "µm"),
            ("the same less the level's offset, median and 99 %", [one.stage_error_um for one in answered], "µm"),
        ):
            middle, most = np.percentile(values, (50, 99))
            yield Row(case, "", f"{middle:.3f}, {most:.3f} {unit}", met=True)
    spent = [one.cpu_s for one in seen]
    yield Row("CPU time of one, median and longest", "", f"{np.median(spent):.1f}, {max(spent):.1f} s", met=True)


def reloads_of(grid: int) -> Iterator[Reload | Stranger]:
    """Load one grid three times, and another of its make once; yields two reloads and two pairs to refuse."""
    rng = np.random.default_rng([grid, 20])
    profile, spec, preset = drawn(rng)
    name = f"{grid}: {profile.name}, {preset.pixel_size_a:.0f} Å, {spec.kind}, {spec.mesh} mesh, {spec.hole_type}"
    instrument = studio.stand_up(profile, spec, 1000 + grid)
    left_out = [int(rng.integers(TILES**2)) if rng.random() < 1 / 8 else None for _ in range(3)]
    atlases = [atlas_of(instrument, preset, missing) for missing in left_out]
    for load, now in ((2, atlases[1]), (3, atlases[2])):
        began = time.process_time()
        found = reregister(atlases[0].image, now.image)
        yield judged(name, found, time.process_time() - began, instrument, atlases[0], now, load)
    other = atlas_of(studio.stand_up(profile, spec, 500_000 + grid), preset, None).image
    for what, first in (("another grid of the same make", atlases[0]), ("another grid, loaded again", atlases[1])):
        yield stranger(name, what, first.image, other)


def drawn(rng: np.random.Generator) -> tuple[Profile, GridSpec, Preset]:
    """Draw microscope, grid and camera."""
    profile = load_profile(str(rng.choice(PROFILES)))
    turn_deg = float(rng.choice([profile.loader.rotation_deg, 180.0]))
    profile = profile.model_copy(update={"loader": profile.loader.model_copy(update={"rotation_deg": turn_deg})})
    spec = GridSpec(
        kind=str(rng.choice(list(FREQUENCY))),
        mesh=str(rng.choice(list(MESHES))),
        hole_type=str(rng.choice(list(HOLE_TYPES))),
        material=str(rng.choice(["Carbon", "Gold"])),
    )
    preset = profile.levels["atlas"].preset
    shrink, dose = float(rng.choice([0.25, 0.35])), float(rng.uniform(0.25, 1.0))
    size = {"rows_px": round(preset.rows_px * shrink), "cols_px": round(preset.cols_px * shrink)}
    electrons = preset.dose_e_per_a2 * shrink**2 * dose
    return (
        profile,
        spec,
        preset.model_copy(update={**size, "pixel_size_a": preset.pixel_size_a / shrink, "dose_e_per_a2": electrons}),
    )


def atlas_of(instrument: Instrument, preset: Preset, missing: int | None) -> Atlas:
    """Load the grid and take its atlas as a night does, one tile left out if asked."""
    step_um = 0.9 * preset.pixel_size_a * 1e-4 * min(preset.rows_px, preset.cols_px)
    _act(instrument)
    loader.unload(instrument)
    _act(instrument)
    loader.load(instrument, studio.SLOT)
    instrument.state.valve_open = True
    tiles, views = [], []
    for number in range(TILES**2):
        row, col = divmod(number, TILES)
        col = col if row % 2 == 0 else TILES - 1 - col
        _act(instrument)
        optics.use(instrument, preset)
        _act(instrument)
        stage.go_to(instrument, StagePosition(*((at - (TILES - 1) / 2) * step_um for at in (col, row))))
        if number == missing:
            continue
        _act(instrument)
        now = instrument.clock.now()
        pixels = picture.take(instrument, Shot(preset), now, []).astype(np.float32)
        tiles.append(Image(pixels, preset.pixel_size_a, instrument.nominal(preset), f"tile {number}"))
        views.append(instrument.view(preset, now))
    joined = stitch(tiles)
    image = Image(joined.pixels, joined.pixel_size_a, joined.image_to_stage, "atlas")
    return Atlas(image, tuple(views), joined.offsets_px)


def _act(instrument: Instrument) -> None:
    """Begin another act: its noise is its own."""
    instrument.state.acts += 1


def judged(
    name: str, found: Reregistration, cpu_s: float, instrument: Instrument, first: Atlas, now: Atlas, load: int
) -> Reload:
    """Compare what was found with what the atlases show."""
    seats = [seating_of(instrument.profile, instrument.seed, studio.SLOT, n + 1) for n in (1, load)]
    turned = (math.degrees(seats[1].turn_rad - seats[0].turn_rad) + 180) % 360 - 180
    nothing = (math.nan,) * 5
    if found.frame is None:
        return Reload(name, turned, *nothing, found.confidence, found.reason, cpu_s)
    ticks = np.arange(-600.0, 601.0, 50.0)
    places = np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2)
    before, after = shown_at(first, places), shown_at(now, places)
    both = np.isfinite(before + after).all(axis=1)
    truth = frames.fit(before[both], after[both], "rigid").affine
    middle = before[both].mean(axis=0)
    off = np.subtract(frames.carry(found.frame, *middle), frames.carry(truth, *middle))
    angle = (frames.angle_of(found.frame) - frames.angle_of(truth) + 180) % 360 - 180
    worst = np.linalg.norm(frames.apply(found.frame, before[both]) - after[both], axis=1).max()
    seated = frames.compose(_seat(seats[1]), frames.invert(_seat(seats[0])))
    missed = np.subtract(frames.carry(found.frame, *middle), frames.carry(seated, *middle))
    beside = np.asarray(instrument.profile.levels["atlas"].offset_um)
    left = missed - (np.asarray(seated)[:, :2] @ beside - beside)
    return Reload(
        name, turned, float(np.hypot(*off)), abs(angle), float(worst), float(np.hypot(*missed)),
        float(np.hypot(*left)), found.confidence, "", cpu_s,
    )  # fmt: skip


def _seat(seat: Any) -> frames.Affine:
    return frames.compose(frames.shift(seat.x_um, seat.y_um), frames.rotation(math.degrees(seat.turn_rad)))


def shown_at(atlas: Atlas, places: Floats) -> Floats:
    """Give the stage µm (n, 2) at which an atlas shows places of the grid; nan where no tile does."""
    nearest = np.full(len(places), np.inf)
    shown = np.full((len(places), 2), np.nan)
    for view, offset in zip(atlas.views, atlas.offsets_px, strict=True):
        pixels = view.pixels_of(places)
        half = np.array([view.rows - 1, view.cols - 1]) / 2
        out = (np.abs(pixels - half) / half).max(axis=1)
        here = (out < 1) & (out < nearest)
        nearest[here] = out[here]
        shown[here] = (pixels + offset)[here]
    to_stage = np.asarray(atlas.image.image_to_stage)
    return np.asarray(shown @ to_stage[:, :2].T + to_stage[:, 2])


def stranger(name: str, what: str, first: Image, other: Image) -> Stranger:
    found = reregister(first, other)
    return Stranger(name, what, found.frame is None, found.confidence)


if __name__ == "__main__":
    sys.exit(main())
