"""How far exposures fall from the middle of their holes in the simulator, with calibrations and without.

    python benchmarks/targeting_error.py [--shots 10000] [--profile screening-200kv] [--out FILE.json]

Ten instruments, each with a grid, its own errors of image shift, stage, scales and rotations. Image shift and the
offsets between levels are first measured from rendered pictures (`orchestrator.calibrating`). Then groups are visited
as a night does it: squares are seen at square level, which gives the places of the holes; at each group the stage goes
where earlier groups of the square let it be expected (`targeting.recentre.expected_offset`), a hole-level view is
taken and recognised by the square's picture and its holes (`orchestrator.recognising`); re-centring moves the aim by
what the holes in it say (`targeting.recentre.correction`; where they stand between the places that the square gave
them, nothing is shot), focusing and settling take their time, and each hole is aimed at by image shift as a night with
``--calibration`` does it (`targeting.aiming`). What finders answer on squares and views is pixel-free: drawn from error
models fitted to pictures. Where the beam really goes is read from the instrument, which nothing else here does.

Prints a table and writes it as JSON under ``rows``.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from epicycle.hardware.clock import VirtualClock
from epicycle.hardware.protocols import Installation
from epicycle.hardware.records import Affine, Image, ImageShift, Shot, StagePosition
from epicycle.hardware.simulator import SimulatedMicroscope, connect
from epicycle.hardware.simulator.evaluation import studio
from epicycle.hardware.simulator.evaluation.truth import TrueHole, TrueSquare
from epicycle.hardware.simulator.instrument import optics, stage
from epicycle.hardware.simulator.instrument.instrument import Instrument
from epicycle.hardware.simulator.pixel_free.error_models import load_error_models
from epicycle.hardware.simulator.pixel_free.sightings import PixelFree
from epicycle.imaging.sighted import offset_sighted
from epicycle.orchestrator.calibrating import measure_aim
from epicycle.orchestrator.recognising import FEW, HALF_STEP, NOTHING, STRAY_UM, Believed, Recognised, judged
from epicycle.protocols.cassette import Cassette
from epicycle.protocols.preset import Preset
from epicycle.targeting import frames
from epicycle.targeting.aiming import AS_IT_IS, Aiming, aiming_by
from epicycle.targeting.calibration import Calibrations
from epicycle.targeting.recentre import Earlier, StageErrors, correction, expected_offset

Floats = NDArray[np.float64]
START = datetime(2026, 1, 5, 18, tzinfo=UTC)
FIT = "demo-2k"
"""Error models of finders, in µm; their pictures have coarser pixels than those of the larger microscopes."""

INSTRUMENTS = 10
RADIUS_UM = 6.0
MOVE_AGAIN_UM = 1.0
FOCUS_S, SETTLE_S, SHOT_S = 20.0, 10.0, 12.0
"""Between view and first shot, and from shot to shot."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: the case, its bar, what was found, and whether that meets it."""

    case: str
    reference: str
    here: str
    met: bool


@dataclass(frozen=True, slots=True)
class Sight:
    """A view without pixels: its frame, and where holes seem to be, by their names, (row, col)."""

    to_stage: Affine
    holes: dict[str, tuple[float, float]]
    shape: tuple[int, int]
    image: Image


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shots", type=int, default=10_000)
    parser.add_argument("--profile", default="screening-200kv")
    parser.add_argument("--seed", type=int, default=40, help="of the first instrument")
    parser.add_argument("--out", type=Path, help="JSON file")
    given = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    found = measure(given.shots, given.profile, given.seed)
    for row in found["rows"]:
        print(f"{row['case']:<66}{row['here']:>30}   bar {row['reference']:<12}{'met' if row['met'] else 'NOT MET'}")
    if given.out:
        given.out.write_text(json.dumps(found, indent=1) + "\n")
    return 0


def measure(shots: int = 10_000, profile: str = "screening-200kv", seed: int = 40) -> dict[str, Any]:
    """Shoot, and give ``rows`` and the errors in µm by way of aiming as plain dicts and lists."""
    each = -(-shots // INSTRUMENTS)
    with_, without, inside = [], [], []
    for number in range(seed, seed + INSTRUMENTS):
        with tempfile.TemporaryDirectory() as folder:
            scope, clock = _microscope(profile, number, Path(folder))
            known = _calibrated(scope, clock)
        shot = list(_shots(scope.instrument, aiming_by(known), each))
        with_ += [error for error, _ in shot]
        inside += [error <= radius for error, radius in shot]
        without += [error for error, _ in _shots(scope.instrument, AS_IT_IS, max(each // 5, 50))]
    return {"rows": [asdict(row) for row in _table(with_, inside, without)], "errors_um": with_, "plain_um": without}


def _table(with_: Sequence[float], inside: Sequence[bool], without: Sequence[float]) -> Iterator[Row]:
    middle, most = np.percentile(with_, (50, 99))
    case = f"targeting error of {len(with_)} shots, calibrated"
    yield Row(f"{case}: median", "<= 0.10 µm", f"{middle:.3f} µm", bool(middle <= 0.10))
    share = float(np.mean(inside))
    yield Row(f"{case}: within the hole's edge", ">= 99 %", f"{share:.2%}", share >= 0.99)
    yield Row(f"{case}: 99 % within", "", f"{most:.3f} µm", met=True)
    middle, most = np.percentile(without, (50, 99))
    yield Row(
        f"the same uncalibrated, {len(without)} shots: median, 99 %", "", f"{middle:.3f}, {most:.3f} µm", met=True
    )


def _microscope(profile: str, seed: int, folder: Path) -> tuple[SimulatedMicroscope, VirtualClock]:
    clock = VirtualClock(START)
    options = {"profile": profile, "world": {"grids": {"1": {"kind": "good"}}}, "camera_scale": 0.5}
    cassette = Cassette.model_validate({"slots": [{"slot": 1, "name": "one"}]})
    scope = connect(Installation(options, folder / "images", folder / "memory", clock, seed, cassette))
    scope.load(1)
    scope.open_valve()
    return scope, clock


def _calibrated(scope: SimulatedMicroscope, clock: VirtualClock) -> Calibrations:
    """Measure image shift and the offset of the levels at one hole, from pictures."""
    instrument = scope.instrument
    hole = studio.hole_of(studio.square_like(studio.world_of(instrument), "intact"))
    assert hole is not None
    world = studio.world_of(instrument)
    place = _on_stage(instrument, np.array([[hole.x_um, hole.y_um]]))[0]
    height = -instrument.seating.z_um - float(world.height_um(hole.x_um, hole.y_um))
    scope.go_to(StagePosition(float(place[0]), float(place[1]), height))
    clock.sleep(300)
    near = _seen_by_stage(instrument, scope.presets()["hole"], hole)
    fine = _small(instrument.profile.levels["exposure"].preset)
    return measure_aim(scope, clock, "aim", fine=fine, hole_um=near, radius_um=hole.radius_um)


def _seen_by_stage(instrument: Instrument, preset: Preset, hole: TrueHole) -> tuple[float, float]:
    """Give where a hole-level picture shows a hole, as a finder would; to a twentieth of a µm, by the instrument."""
    view = instrument.view(preset, instrument.clock.now())
    row, col = view.pixels_of(np.array([hole.x_um, hole.y_um]))
    off = instrument.rng("finder").normal(0, 0.05, 2)
    x, y = frames.carry(instrument.nominal(preset), float(row), float(col))
    return x + float(off[0]), y + float(off[1])


def _small(preset: Preset) -> Preset:
    """Give the optics with a low dose and the camera binned."""
    rows, cols = preset.rows_px // 4, preset.cols_px // 4
    changed = {"rows_px": rows, "cols_px": cols, "binning": preset.binning * 4, "frames": 1}
    return preset.model_copy(
        update={**changed, "pixel_size_a": preset.pixel_size_a * 4, "dose_e_per_a2": 1.0, "exposure_s": 1.0}
    )


def _on_stage(instrument: Instrument, places: Floats) -> Floats:
    seat = instrument.seating
    c, s = np.cos(seat.turn_rad), np.sin(seat.turn_rad)
    return np.asarray(places @ np.array([[c, s], [-s, c]]) + [seat.x_um, seat.y_um])


def _shots(instrument: Instrument, aiming: Aiming, count: int) -> Iterator[tuple[float, float]]:
    """Visit squares until so many shots are taken; yields each one's error and its hole's radius in µm."""
    instrument.eye = PixelFree(load_error_models(FIT))
    world, taken, skip = studio.world_of(instrument), 0, 0
    while True:
        square = studio.square_like(world, "intact", skip=skip)
        skip += 1
        for shot in _square(instrument, aiming, square):
            yield shot
            taken += 1
            if taken == count:
                return


def _square(instrument: Instrument, aiming: Aiming, square: TrueSquare) -> Iterator[tuple[float, float]]:
    levels = instrument.profile.levels
    centre = _on_stage(instrument, np.array([[square.x_um, square.y_um]]))[0]
    true = {f"{hole.a}:{hole.b}": hole for hole in square.holes}
    sight = _look(instrument, levels["square"].preset, (float(centre[0]), float(centre[1])))
    names = [name for name in sight.holes if name in true]
    if not names:
        return
    places = frames.apply(sight.to_stage, [sight.holes[name] for name in names])
    spacing = float(np.median([np.sort(np.linalg.norm(places - place, axis=1))[1] for place in places]))
    between = aiming.beside_um.get("square", (0.0, 0.0))
    places = places + between
    earlier: list[Earlier] = []
    # What is found in the square's picture is off by what lies between the levels, which the places allow for.
    there = _moved(sight.image, between)
    left = np.ones(len(names), bool)
    while left.any():
        near = np.linalg.norm(places[:, None] - places[left][None], axis=2) <= RADIUS_UM
        at = int(near.sum(axis=1).argmax())
        own = np.flatnonzero(left & (np.linalg.norm(places - places[at], axis=1) <= RADIUS_UM))
        left[own] = False
        yield from _group(
            instrument, aiming, places, at, [(int(n), true[names[n]]) for n in own], spacing, earlier, there
        )


def _group(
    instrument: Instrument,
    aiming: Aiming,
    places: Floats,
    at: int,
    holes: Sequence[tuple[int, TrueHole]],
    spacing_um: float,
    earlier: list[Earlier],
    there: Image,
) -> Iterator[tuple[float, float]]:
    preset = instrument.profile.levels["exposure"].preset
    place_um = (float(places[at][0]), float(places[at][1]))
    believed = expected_offset(earlier, place_um, StageErrors())
    expected = Believed((believed.x_um, believed.y_um), len(earlier), reloaded=False)
    found = _centred(instrument, places, at, HALF_STEP * spacing_um, expected, there)
    if found is None:
        return
    earlier.append((place_um, (float(found[0]), float(found[1]))))
    instrument.clock.sleep(FOCUS_S + SETTLE_S)
    for number, hole in holes:
        place, stands = places[number] + found, stage.position(instrument)
        wanted = ImageShift(float(place[0]) - stands.x_um, float(place[1]) - stands.y_um)
        _act(instrument)
        optics.use(instrument, preset)
        _act(instrument)
        optics.shift_image(instrument, aiming.commanded("exposure", wanted))
        instrument.clock.sleep(SHOT_S)
        hit = instrument.looked_at(instrument.clock.now(), preset)
        aimed = _on_stage(instrument, np.array([[hole.x_um, hole.y_um]]))[0]
        yield float(np.linalg.norm(hit - aimed)), hole.radius_um


def _centred(
    instrument: Instrument, places: Floats, at: int, limit_um: float, expected: Believed, there: Image
) -> Floats | None:
    """Go to a group, look, go again if far off; gives by how much everything stands beside its place, or nothing."""
    preset = instrument.profile.levels["hole"].preset
    off = np.array(expected.off_um)
    for again in range(2):
        target = places[at] + off
        sight = _look(instrument, preset, (float(target[0]), float(target[1])))
        told = offset_sighted(there, sight.image, STRAY_UM)
        found = judged(told, expected, partial(_by_holes, sight, places, limit_um), limit_um / HALF_STEP)
        if not found.matched:
            return None
        off = np.array(found.off_um)
        if np.linalg.norm(places[at] + off - target) <= MOVE_AGAIN_UM or again:
            return off
    return off


def _by_holes(sight: Sight, places: Floats, limit_um: float, near_um: tuple[float, float]) -> Recognised | None:
    """Match the holes in view with the square's near where they are expected."""
    expected = frames.apply(frames.invert(sight.to_stage), places + np.array(near_um))
    inside = expected[((expected >= 0) & (expected < sight.shape)).all(axis=1)]
    if not sight.holes or not len(inside):
        return None
    row, col, matched = correction(inside, list(sight.holes.values()), limit_um / frames.scale_of(sight.to_stage))
    if not matched:
        return None if min(len(inside), len(sight.holes)) < FEW else NOTHING
    more = np.asarray(sight.to_stage)[:, :2] @ [row, col]
    return Recognised((float(near_um[0] + more[0]), float(near_um[1] + more[1])), matched)


def _look(instrument: Instrument, preset: Preset, target: tuple[float, float]) -> Sight:
    """Go there and look, without pixels."""
    _act(instrument)
    optics.use(instrument, preset)
    _act(instrument)
    stage.go_to(instrument, StagePosition(*target, instrument.state.z_um))
    _act(instrument)
    assert instrument.eye is not None
    seen = instrument.eye.take(instrument, Shot(preset), instrument.clock.now(), ())
    holes = {str(one[0]): (float(one[1]), float(one[2])) for one in seen.sightings.get("holes", ()) if one[5] == "hole"}
    to_stage = instrument.nominal(seen.preset)
    image = Image(np.zeros((1, 1), np.float32), seen.preset.pixel_size_a, to_stage, "view", seen.sightings)
    return Sight(to_stage, holes, (seen.preset.rows_px, seen.preset.cols_px), image)


def _moved(image: Image, by_um: tuple[float, float]) -> Image:
    """Give an image with its frame moved on the stage."""
    assert image.image_to_stage is not None
    return replace(image, image_to_stage=frames.compose(frames.shift(*by_um), image.image_to_stage))


def _act(instrument: Instrument) -> None:
    """Begin another act: its errors are its own."""
    instrument.state.acts += 1


if __name__ == "__main__":
    sys.exit(main())
