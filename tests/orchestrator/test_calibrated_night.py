"""Nights that aim by calibrations: shifts and frames are right, the record says by what, unfit ones are refused."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from small_night import cassette, protocol, settings
from sqlalchemy import select

from epicycle.db import models
from epicycle.hardware.clock import VirtualClock
from epicycle.hardware.protocols import Installation
from epicycle.hardware.records import ImageShift, Shot, StagePosition
from epicycle.hardware.simulator import SimulatedMicroscope, connect
from epicycle.hardware.simulator.evaluation import studio
from epicycle.hardware.simulator.evaluation.truth import TrueHole, grid_to_stage
from epicycle.orchestrator.calibrated import KEPT
from epicycle.orchestrator.column import Column
from epicycle.orchestrator.night import Night
from epicycle.orchestrator.opening import Settings, begin, take_up
from epicycle.protocols.cassette import Cassette
from epicycle.protocols.errors import BadInput
from epicycle.protocols.preset import Level
from epicycle.targeting.aiming import AS_IT_IS, COMMANDED, aiming_by
from epicycle.targeting.calibration import Calibrations, PresetOffset, Quality, ShiftCalibration
from epicycle.targeting.calibration_file import write_calibrations
from epicycle.targeting.frames import carry

START = datetime(2026, 1, 5, 18, tzinfo=UTC)
FRESH = Quality(START - timedelta(hours=1), 0.02, 9)


def truly(scope: SimulatedMicroscope, clock: VirtualClock, quality: Quality = FRESH) -> Calibrations:
    """Give calibrations without error, as the instrument itself would."""
    instrument, levels = scope.instrument, scope.instrument.profile.levels
    (a, b), (d, e) = instrument.shift_matrix_at(clock.now()).tolist()
    pairs: tuple[tuple[Level, Level], ...] = (("atlas", "square"), ("square", "hole"), ("hole", "exposure"))
    offsets = tuple(
        PresetOffset(one, two, *np.subtract(levels[one].offset_um, levels[two].offset_um).tolist(), quality)
        for one, two in pairs
    )
    shift = ShiftCalibration(((a, b), (d, e)), 0.001, quality)
    said = {level: preset.magnification for level, preset in scope.presets().items()}
    return Calibrations(scope.capabilities().name, shift, offsets, magnifications=said)


@pytest.fixture
def at_a_hole(tmp_path: Path) -> Iterator[tuple[SimulatedMicroscope, VirtualClock, Column, TrueHole]]:
    clock = VirtualClock(START)
    options = {"profile": "screening-200kv", "world": {"grids": {"1": {"kind": "good"}}}, "camera_scale": 0.125}
    slots = Cassette.model_validate({"slots": [{"slot": 1, "name": "one"}]})
    scope = connect(Installation(options, tmp_path / "images", tmp_path / "memory", clock, 2, slots))
    column = Column(lambda: scope, clock)
    column.load(1)
    column.open_valve()
    hole = studio.hole_of(studio.square_like(studio.world_of(scope.instrument), "intact"))
    assert hole is not None
    x, y = grid_to_stage(tmp_path / "memory", 1, 1, hole.x_um, hole.y_um)
    column.go_to(StagePosition(x - 3.0, y + 4.0))
    clock.sleep(600)
    yield scope, clock, column, hole
    column.close()


def shown_at(scope: SimulatedMicroscope, column: Column, hole: TrueHole, level: Level) -> np.ndarray:
    """Take a picture and give where its frame says that the hole is."""
    preset = column.presets()[level]
    column.use(preset)
    to_stage = column.acquire(Shot(preset), f"{level}-{scope.instrument.clock.now():%H%M%S%f}").image_to_stage
    row, col = scope.instrument.view(preset, scope.instrument.clock.now()).pixels_of(np.array([hole.x_um, hole.y_um]))
    return np.array(carry(to_stage, float(row), float(col)))


def test_the_beam_comes_where_the_hole_level_shows_the_hole(
    at_a_hole: tuple[SimulatedMicroscope, VirtualClock, Column, TrueHole],
) -> None:
    scope, clock, column, hole = at_a_hole
    instrument, missed = scope.instrument, []
    place = shown_at(scope, column, hole, "hole")
    x, y = place - [column.position().x_um, column.position().y_um]
    for aiming in (AS_IT_IS, aiming_by(truly(scope, clock))):
        column.aiming = aiming
        preset = column.presets()["exposure"]
        column.use(preset)
        column.shift_image(ImageShift(float(x), float(y)))
        on_grid = instrument.to_grid(instrument.looked_at(clock.now(), preset))
        missed.append(float(np.hypot(on_grid[0] - hole.x_um, on_grid[1] - hole.y_um)))
    # What is left is the hole level's own scale and rotation, 5 µm from the middle of its picture.
    assert missed[0] > 0.1
    assert missed[1] < 0.06


def test_pictures_of_all_levels_show_a_hole_at_one_place(
    at_a_hole: tuple[SimulatedMicroscope, VirtualClock, Column, TrueHole],
) -> None:
    scope, clock, column, hole = at_a_hole
    levels: tuple[Level, ...] = ("atlas", "square", "hole")
    apart = []
    for aiming in (AS_IT_IS, aiming_by(truly(scope, clock))):
        column.aiming = aiming
        places = [shown_at(scope, column, hole, level) for level in levels]
        apart.append([float(np.linalg.norm(place - places[-1])) for place in places[:-1]])
    assert apart[0][0] > 1.5
    assert apart[1][0] < 0.1
    assert apart[1][1] < 0.12 < apart[0][1]


def test_an_image_says_what_the_shift_did_and_what_was_commanded(
    at_a_hole: tuple[SimulatedMicroscope, VirtualClock, Column, TrueHole],
) -> None:
    scope, clock, column, _ = at_a_hole
    column.aiming = aiming_by(truly(scope, clock))
    preset = column.presets()["exposure"]
    column.use(preset)
    column.shift_image(ImageShift(3.0, -2.0))
    taken = column.acquire(Shot(preset), "one")
    stage = column.position()
    middle = carry(taken.image_to_stage, (preset.rows_px - 1) / 2, (preset.cols_px - 1) / 2)
    assert (taken.image_shift.x_um, taken.image_shift.y_um) == pytest.approx((3.0, -2.0))
    assert middle == pytest.approx((stage.x_um + 3.0, stage.y_um - 2.0))
    commanded = taken.details[COMMANDED]
    assert commanded == [scope.instrument.state.shift_x_um, scope.instrument.state.shift_y_um]
    assert np.hypot(commanded[0] - 3.0, commanded[1] + 2.0) > 0.02
    again = column.stored("one")
    assert again is not None
    assert again.image_to_stage == taken.image_to_stage


def begun(folder: Path, known: Calibrations) -> Settings:
    return replace(settings(), calibrations=(known, str(folder / "calibrations.json")))


def of_this_night() -> Calibrations:
    matrix = ((1.01, 0.0), (0.0, 0.99))
    offset = PresetOffset("square", "hole", 0.4, -0.2, FRESH)
    said: dict[Level, int] = {"square": 210, "hole": 1250}
    return Calibrations("simulated demo-2k", ShiftCalibration(matrix, 0.001, FRESH), (offset,), magnifications=said)


def events(night: Night, kind: str) -> list[models.Event]:
    with night.journal.read() as db:
        return list(db.scalars(select(models.Event).where(models.Event.kind == kind)))


def test_the_record_keeps_what_is_aimed_by_and_leaves_out_what_has_become_stale(tmp_path: Path) -> None:
    known = of_this_night()
    with begin(tmp_path, protocol(), cassette(), seed=1, settings=begun(tmp_path, known)) as (night, _):
        magnifications = {level: night.preset(level).magnification for level in known.magnifications}
        assert magnifications == known.magnifications
        assert night.column.aiming == aiming_by(known)
        (used,) = events(night, "calibrations_used")
        assert used.body["calibrations"]["image shift"]["residual_um"] == FRESH.residual_um
        assert used.body["file"].endswith("calibrations.json")
    later = Settings(inline=True, start=START + timedelta(hours=30))
    with take_up(tmp_path / "night.db", later) as (night, _):
        assert night.column.aiming.matrix == AS_IT_IS.matrix
        assert night.column.aiming.beside_um["square"] == (0.4, -0.2)
        (dropped,) = events(night, "calibrations_dropped")
        assert "image shift's calibration is 31 h old" in dropped.text
        assert night.me.microscope[KEPT]["image_shift"] is None
    with take_up(tmp_path / "night.db", later) as (night, _):
        assert len(events(night, "calibrations_dropped")) == 1


OLD = Quality(START - timedelta(days=30), 0.02, 9)
POOR = Quality(START, 0.7, 9)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"image_shift": ShiftCalibration(((1.0, 0.0), (0.0, 1.0)), 0.001, OLD)}, "720 h old, the limit is 24 h"),
        ({"offsets": (PresetOffset("square", "hole", 0.4, -0.2, POOR),)}, "leaves 0.70 µm unexplained"),
        ({"microscope": "krios-3"}, "of the microscope krios-3, this one is simulated demo-2k"),
        ({"magnifications": {"square": 999, "hole": 1250}}, "magnification at square level is 999, this night's is"),
        ({"magnifications": {}}, "magnification at hole level is not said"),
    ],
)
def test_what_is_unfit_is_refused_in_a_sentence(tmp_path: Path, changed: dict[str, object], said: str) -> None:
    known = replace(of_this_night(), **changed)
    with (
        pytest.raises(BadInput, match=said),
        begin(tmp_path, protocol(), cassette(), seed=1, settings=begun(tmp_path, known)),
    ):
        pass


def test_a_night_without_calibrations_is_as_it_was(tmp_path: Path) -> None:
    with begin(tmp_path, protocol(), cassette(), seed=1, settings=settings()) as (night, _):
        assert night.column.aiming == AS_IT_IS
        assert KEPT not in night.me.microscope
        assert events(night, "calibrations_used") == []


def test_the_file_comes_back_whole(tmp_path: Path) -> None:
    from epicycle.targeting.calibration_file import read_calibrations

    write_calibrations(tmp_path / "c.json", of_this_night())
    assert read_calibrations(tmp_path / "c.json") == of_this_night()
