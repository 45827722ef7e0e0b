"""The replay as a microscope: the recorded order gives the recorded rows and times; all else is refused or priced."""

import csv
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from epicycle.hardware.clock import VirtualClock
from epicycle.hardware.errors import LoadFailed, NotRecorded, StageLimit, TargetFault
from epicycle.hardware.protocols import Installation
from epicycle.hardware.records import Acquired, ImageShift, Shot, SlotState, StagePosition
from epicycle.hardware.replay import ReplayMicroscope, connect
from epicycle.hardware.replay.reading import read_session
from epicycle.hardware.replay.records import RecordedSquare
from epicycle.protocols.cassette import Cassette, CassetteGrid
from epicycle.protocols.errors import BadInput
from epicycle.protocols.preset import Level

START = datetime(2025, 1, 1, 18, tzinfo=UTC)


def connected(folder: Path, memory: Path, clock: VirtualClock | None = None, **options: Any) -> ReplayMicroscope:
    cassette = Cassette(slots=(CassetteGrid(slot=4, name="spare"), CassetteGrid(slot=2, name="recorded")))
    scope = connect(
        Installation(
            options={"folder": str(folder), **options},
            images=memory / "images",
            memory=memory,
            clock=clock or VirtualClock(START),
            seed=1,
            cassette=cassette,
        )
    )
    if scope.loaded() is None:
        scope.load(2)
        scope.open_valve()
    return scope


def shoot(scope: ReplayMicroscope, level: Level, x_um: float, y_um: float, name: str, reach: float = 0.0) -> Acquired:
    """Take an image at a place, ``reach`` µm of it by image shift."""
    scope.use(scope.presets()[level])
    scope.go_to(StagePosition(x_um - reach, y_um))
    scope.shift_image(ImageShift(reach, 0.0))
    return scope.acquire(Shot(scope.presets()[level]), name)


def screen(scope: ReplayMicroscope, folder: Path) -> list[Acquired]:
    """Go through a recording as an ordinary screening does, square by square; answers the exposures."""
    session = read_session(folder.resolve())
    for number, tile in enumerate(session.tiles):
        shoot(scope, "atlas", tile.x_um, tile.y_um, f"tile{number}")
    return [shot for square in session.squares for shot in screen_square(scope, square)]


def screen_square(scope: ReplayMicroscope, square: RecordedSquare) -> list[Acquired]:
    shots = []
    shoot(scope, "square", square.x_um, square.y_um, f"s{square.order}")
    for group in square.groups:
        shoot(scope, "hole", group.x_um, group.y_um, f"s{square.order}-g{group.number}")
        scope.autofocus(-2.0)
        scope.settle(1.0, 60.0)
        for shot in group.exposures:
            name = f"s{square.order}-h{shot.order}"
            shots.append(shoot(scope, "exposure", shot.x_um, shot.y_um, name, reach=1.5))
    return shots


def test_the_awkward_recording_row_by_row_and_to_the_second(awkward_folder: Path, tmp_path: Path) -> None:
    clock = VirtualClock(START)
    scope = connected(awkward_folder, tmp_path, clock)
    shots = screen(scope, awkward_folder)
    session = read_session(awkward_folder)
    assert [shot.details["recorded"] for shot in shots] == [exposure.name for exposure in session.exposures]
    assert [shot.details["ctf_max_res"] for shot in shots] == [exposure.ctf_max_res for exposure in session.exposures]
    assert (clock.now() - START).total_seconds() == pytest.approx(session.total_s)
    assert all(shot.path is None and shot.mean_counts > 0 for shot in shots)


def test_the_aldolase_session_row_by_row_and_to_the_second(aldolase: Path, tmp_path: Path) -> None:
    clock = VirtualClock(START)
    shots = screen(connected(aldolase, tmp_path, clock), aldolase)
    with (aldolase / "images.csv").open() as stream:
        rows = [row for row in csv.DictReader(stream) if row["atlas"] == "grid1c"]
    raw = sorted((row for row in rows if row["level"] == "en"), key=lambda row: row["timestamp"])
    fits = {row["raw_exposure"]: row["ctf_max_res"] for row in rows if row["level"] == "en-a"}
    assert [shot.details["recorded"] for shot in shots] == [row["name"] for row in raw]
    assert [shot.details["recorded_at"] for shot in shots] == [row["timestamp"] for row in raw]
    shown = ["" if shot.details["ctf_max_res"] is None else shot.details["ctf_max_res"] for shot in shots]
    assert shown == [float(fit) if (fit := fits.get(row["name"], "")) else "" for row in raw]
    assert (clock.now() - START).total_seconds() == 465363.0


def test_steps_inside_a_group_take_what_they_took(awkward_folder: Path, tmp_path: Path) -> None:
    shots = screen(connected(awkward_folder, tmp_path), awkward_folder)
    steps = [(late.ended_at - early.ended_at).total_seconds() for early, late in pairwise(shots)]
    assert steps[:2] == [61.0, 59.0]
    assert steps[5] == 7200.0


def test_what_nobody_asked_for_is_paid_with_what_needed_it(awkward_folder: Path, tmp_path: Path) -> None:
    """Going straight to the exposures takes as long as the recording, for they could not be had without the survey."""
    clock = VirtualClock(START)
    scope = connected(awkward_folder, tmp_path, clock)
    session = read_session(awkward_folder)
    for shot in session.exposures:
        shoot(scope, "exposure", shot.x_um, shot.y_um, f"h{shot.order}")
    never = next(square for square in session.squares if not square.groups)
    passed_s = (clock.now() - START).total_seconds()
    assert passed_s == pytest.approx(session.total_s - never.survey.cost.recorded_s)


def test_pauses_are_left_out_in_typical_time(aldolase: Path, tmp_path: Path) -> None:
    """The session had 105.7 active hours from the first exposure on; the 12 h of survey and pauses are not typical."""
    clock = VirtualClock(START)
    screen(connected(aldolase, tmp_path, clock, times="typical"), aldolase)
    hours = (clock.now() - START).total_seconds() / 3600
    assert 105 < hours < 118


def test_an_exposure_can_be_had_once(awkward_folder: Path, tmp_path: Path) -> None:
    scope = connected(awkward_folder, tmp_path)
    first = read_session(awkward_folder).exposures[0]
    shoot(scope, "exposure", first.x_um, first.y_um, "h1")
    with pytest.raises(NotRecorded, match="had already"):
        shoot(scope, "exposure", first.x_um, first.y_um, "h1-again")


def test_a_hole_shot_twice_can_be_had_twice(awkward_folder: Path, tmp_path: Path) -> None:
    scope = connected(awkward_folder, tmp_path)
    *_, one, two = read_session(awkward_folder).exposures
    assert abs(one.x_um - two.x_um) < 0.1
    names = [shoot(scope, "exposure", one.x_um, one.y_um, f"h{n}").details["recorded"] for n in range(2)]
    assert names == [one.name, two.name]


@pytest.mark.parametrize("level", ["atlas", "square", "hole", "focus", "exposure"])
def test_ice_nobody_shot_is_not_recorded(awkward_folder: Path, tmp_path: Path, level: Level) -> None:
    scope = connected(awkward_folder, tmp_path)
    limit = scope.capabilities().stage_limit_um
    with pytest.raises(NotRecorded, match=level) as caught:
        shoot(scope, level, limit - 1, limit - 1, "nowhere")
    assert isinstance(caught.value, TargetFault)
    assert scope.stored("nowhere") is None


def test_retakes_beyond_the_recording_take_their_usual_time(awkward_folder: Path, tmp_path: Path) -> None:
    clock = VirtualClock(START)
    scope = connected(awkward_folder, tmp_path, clock)
    session = read_session(awkward_folder)
    square = next(square for square in session.squares if square.survey.takes == 2)
    times = [clock.now()]
    for take in range(3):
        shoot(scope, "square", square.x_um, square.y_um, f"take{take}")
        times.append(clock.now())
    took = [(late - early).total_seconds() for early, late in pairwise(times)]
    tiles_s = sum(tile.survey.cost.recorded_s for tile in session.tiles)
    assert took == [square.survey.cost.recorded_s + tiles_s, 0.0, session.retake_s["sq"]]


def test_no_call_takes_longer_than_it_says(awkward_folder: Path, tmp_path: Path) -> None:
    clock = VirtualClock(START)
    scope = connected(awkward_folder, tmp_path, clock)
    slowest_s = 0.0
    for shot in read_session(awkward_folder).exposures[::-1]:
        before = clock.now()
        shoot(scope, "exposure", shot.x_um, shot.y_um, f"h{shot.order}")
        slowest_s = max(slowest_s, (clock.now() - before).total_seconds())
    assert 7200 < slowest_s <= scope.capabilities().slowest_call_s


def test_another_process_goes_on_where_this_one_was(awkward_folder: Path, tmp_path: Path) -> None:
    scope = connected(awkward_folder, tmp_path)
    shots = read_session(awkward_folder).exposures
    image = shoot(scope, "exposure", shots[0].x_um, shots[0].y_um, "h1", reach=2.0)
    with (tmp_path / "replay.jsonl").open("a") as stream:
        stream.write('{"keys": ["exposure 2"], "ima')
    again = connected(awkward_folder, tmp_path)
    assert again.stored("h1") == image
    assert again.stored("h2") is None
    assert again.position() == scope.position()
    assert again.loaded() == 2
    assert again.status() == scope.status()
    with pytest.raises(NotRecorded):
        again.acquire(Shot(again.presets()["exposure"]), "h1-again")
    shoot(again, "exposure", shots[1].x_um, shots[1].y_um, "h2")
    assert connected(awkward_folder, tmp_path).stored("h2") is not None


def test_images_lie_where_the_stage_and_shift_point(awkward_folder: Path, tmp_path: Path) -> None:
    scope = connected(awkward_folder, tmp_path)
    shot = read_session(awkward_folder).exposures[0]
    image = shoot(scope, "exposure", shot.x_um, shot.y_um, "h1", reach=2.0)
    preset = scope.presets()["exposure"]
    (a, b, c), (d, e, f) = image.image_to_stage
    row, col = (preset.rows_px - 1) / 2, (preset.cols_px - 1) / 2
    assert (a * row + b * col + c, d * row + e * col + f) == pytest.approx((shot.x_um, shot.y_um))
    assert image.image_shift == ImageShift(2.0, 0.0)


def test_loader_holds_one_grid(awkward_folder: Path, tmp_path: Path) -> None:
    scope = connected(awkward_folder, tmp_path)
    states = {slot.number: slot.state for slot in scope.inventory()}
    assert states.pop(2) is SlotState.ON_STAGE
    assert set(states.values()) == {SlotState.EMPTY}
    with pytest.raises(LoadFailed, match="slot 4 is empty"):
        scope.load(4)
    scope.unload()
    assert scope.loaded() is None
    assert {slot.number: slot.state for slot in scope.inventory()}[2] is SlotState.OCCUPIED
    with pytest.raises(NotRecorded, match="not on the stage"):
        shoot(scope, "atlas", 0.0, 0.0, "t")


def test_stage_has_limits_and_park_brings_it_to_rest(awkward_folder: Path, tmp_path: Path) -> None:
    scope = connected(awkward_folder, tmp_path)
    with pytest.raises(StageLimit):
        scope.go_to(StagePosition(1e5, 0.0))
    with pytest.raises(StageLimit):
        scope.go_to(StagePosition(0.0, 0.0, alpha_deg=90.0))
    scope.go_to(StagePosition(10.0, 5.0))
    for _ in range(2):
        scope.park()
        assert scope.position() == StagePosition(0.0, 0.0)
        assert not scope.status().valve_open


def test_a_closed_valve_gives_no_counts(awkward_folder: Path, tmp_path: Path) -> None:
    scope = connected(awkward_folder, tmp_path)
    scope.park()
    tile = read_session(awkward_folder).tiles[0]
    assert shoot(scope, "atlas", tile.x_um, tile.y_um, "t").mean_counts == 0.0


def test_own_presets_of_a_protocol_are_kept_to(awkward_folder: Path, tmp_path: Path) -> None:
    scope = connected(awkward_folder, tmp_path)
    preset = scope.presets()["atlas"].model_copy(update={"rows_px": 64, "cols_px": 32, "dose_e_per_a2": 0.5})
    scope.go_to(StagePosition(0.0, 0.0))
    image = scope.acquire(Shot(preset), "t")
    assert image.dose_e_per_a2 == 0.5


def test_options_are_checked_by_one_sentence(awkward_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(
        BadInput, match="option times of the microscope `replay`: input should be 'recorded' or 'typical'"
    ):
        connected(awkward_folder, tmp_path, times="fast")
    with pytest.raises(BadInput, match="no exposures on an atlas 'gridZ'"):
        connected(awkward_folder, tmp_path, atlas="gridZ")
