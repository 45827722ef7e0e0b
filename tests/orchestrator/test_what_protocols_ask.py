"""Values of a protocol that change what a night does, each seen in the record."""

from datetime import timedelta
from pathlib import Path
from threading import Timer
from typing import Any

import pytest
from crash_everywhere import soundness
from small_night import START, cassette, protocol, run_new, run_on
from test_commands import rows, tell

from epicycle.db.models import BisGroup, Event, Exposure, Fault, Grid, Hole, ImageRow, Measure, Session, Square, Step
from epicycle.detectors import network_weights
from epicycle.orchestrator.surveying import night_options
from epicycle.protocols.errors import BadInput

ONE = cassette(1)


def test_squares_taken_in_tiles_are_joined_before_holes_are_sought(tmp_path: Path) -> None:
    squares = {"per_grid": 1, "tiles_x": 2, "policy": {"use": "first-come"}}
    run_new(tmp_path / "n", protocol({"camera_scale": 0.25}, squares=squares), grids=ONE)
    (joined,) = rows(tmp_path / "n", ImageRow, ImageRow.of_kind == "square", ImageRow.kind == "stitched")
    (square,) = rows(tmp_path / "n", Square, Square.status == "done")
    assert square.image_id == joined.id
    assert joined.cols_px > 1.5 * joined.rows_px
    assert rows(tmp_path / "n", Hole)
    assert not soundness(tmp_path / "n")["unrecorded_images"]


def test_built_in_finders_are_told_of_the_film() -> None:
    known, unknown = Grid(hole_type="R5/2"), Grid(hole_type="")
    sizes = {"hole_diameter_um": 5.0, "hole_pitch_um": 7.0}
    assert night_options("lattice-holes", known) == {"second_look": False, **sizes}
    assert night_options("network-holes", known) == sizes
    assert night_options("lattice-holes", unknown) == {"second_look": False}
    assert night_options("network-holes", unknown) == night_options("somebody-s", known) == {}


def test_that_holes_were_found_without_a_network_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network_weights, "missing_libraries", lambda: "torch")
    holes = {"per_square": 2, "policy": {"use": "first-come"}, "finder": {"use": "network-holes"}}
    run_new(tmp_path / "n", protocol(holes=holes), grids=ONE)
    (found,) = rows(tmp_path / "n", Event, Event.kind == "holes_found")
    assert found.body["note"] == "torch is not installed; found without a network"
    assert found.body["note"] in found.text


def test_rolling_defocus_goes_round_from_group_to_group(tmp_path: Path) -> None:
    exposure = {"defocus_min_um": -1.0, "defocus_max_um": -2.0, "defocus_step_um": 0.5}
    run_new(
        tmp_path / "n", protocol(exposure=exposure, holes={"per_square": 4, "policy": {"use": "first-come"}}), grids=ONE
    )
    targets = [group.target_defocus_um for group in rows(tmp_path / "n", BisGroup)]
    assert targets[:4] == [-1.0, -1.5, -2.0, -1.0][: len(targets)]


def test_beam_image_shift_takes_several_holes_from_one_place(tmp_path: Path) -> None:
    holes = {"per_square": 1, "bis_radius_um": 8.0, "policy": {"use": "first-come"}, "offset_targeting": False}
    run_new(tmp_path / "n", protocol(holes=holes), grids=ONE)
    shots = rows(tmp_path / "n", Exposure, Exposure.status == "done")
    assert len(shots) > 1
    assert len({shot.group_id for shot in shots}) == 1
    assert len({(shot.shift_x_um, shot.shift_y_um) for shot in shots}) == len(shots)


def test_the_deadline_ends_the_night_with_the_microscope_parked(tmp_path: Path) -> None:
    session = run_new(tmp_path / "n", protocol(time={"per_night_h": 0.3}))
    assert session.run_status == "finished"
    assert session.finished_at - START < timedelta(hours=0.6)
    assert any("time" in grid.reason for grid in rows(tmp_path / "n", Grid))
    assert rows(tmp_path / "n", Step, Step.kind == "park")


def test_a_grid_leaves_when_it_has_had_its_time(tmp_path: Path) -> None:
    run_new(tmp_path / "n", protocol(time={"per_grid_min": 4}))
    first = rows(tmp_path / "n", Grid)[0]
    assert "4 min" in first.reason
    assert first.status == "screened"


def test_a_night_that_pauses_between_grids_waits_for_a_person(tmp_path: Path) -> None:
    timer = Timer(4.0, lambda: tell(tmp_path / "n", "resume"))

    def point(name: str) -> None:
        if name == "after autofocus" and timer.ident is None:
            timer.start()

    run_new(tmp_path / "n", protocol(pause_between_grids=True, passes=[{"name": "triage"}]), point=point, grids=ONE)
    assert [e.kind for e in rows(tmp_path / "n", Event, Event.kind == "paused")] == ["paused"]


def test_drift_above_the_limit_costs_the_target_not_the_night(tmp_path: Path) -> None:
    faults = [{"kind": "drift-high", "at": {"call": "settle", "number": 1}}]
    settle = {"drift_limit_a_per_s": 5.0, "timeout_s": 20.0}
    run_new(tmp_path / "n", protocol({"faults": faults}, settle=settle, focus={"on": False}), grids=ONE)
    (fault,) = rows(tmp_path / "n", Fault, Fault.kind == "DriftTooHigh")
    assert fault.recovery == "skip-target"
    assert rows(tmp_path / "n", Exposure, Exposure.status == "done")


def test_a_black_image_is_a_fault_and_not_data(tmp_path: Path) -> None:
    faults = [{"kind": "beam-off", "at": {"call": "acquire", "number": 5}}]
    session = run_new(tmp_path / "n", protocol({"faults": faults}, focus={"on": False}), grids=ONE)
    assert session.run_status in ("finished", "parked")
    black = [shot for shot in rows(tmp_path / "n", Exposure) if "black" in shot.flags]
    assert all(shot.usable is False and shot.analysis == "none" for shot in black)
    measured = {m.of_id for m in rows(tmp_path / "n", Measure)}
    assert not measured & {shot.id for shot in black}
    assert rows(tmp_path / "n", Fault)


@pytest.mark.parametrize(
    "kind", ["valve-closes", "vacuum-lost", "loader-jam", "connection-lost", "focus-fails", "stage-stuck"]
)
def test_every_fault_of_the_microscope_ends_in_a_sound_record(tmp_path: Path, kind: str) -> None:
    call = {"loader-jam": "load", "focus-fails": "autofocus", "stage-stuck": "go_to"}.get(kind, "acquire")
    plan = protocol(
        {"faults": [{"kind": kind, "at": {"call": call, "number": 2}}]}, recovery={"scope_fault_wait_min": 5}
    )
    session = run_new(tmp_path / "n", plan)
    assert session.run_status in ("finished", "parked")
    found = soundness(tmp_path / "n")
    assert not found["differences"]
    assert found["most_exposures_of_a_name"] <= 1
    assert rows(tmp_path / "n", Fault), "the fault left no trace"
    if session.run_status == "parked":
        assert run_on(tmp_path / "n").run_status in ("finished", "parked")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"exposure": {"tilt_deg": 65.0}}, "stage goes to"),
        ({"holes": {"bis_radius_um": 18.0}}, "can do"),
    ],
)
def test_a_protocol_that_asks_more_than_the_microscope_can_is_refused(
    tmp_path: Path, changes: dict[str, Any], says: str
) -> None:
    with pytest.raises(BadInput, match=says):
        run_new(tmp_path / "n", protocol(**changes))


def test_passes_return_to_the_grids_that_earned_it(tmp_path: Path) -> None:
    passes = [{"name": "triage"}, {"name": "collect", "grids": 1, "minimum_usable": 0, "squares_per_grid": 1}]
    thresholds = {"fit_resolution_a": 50.0, "confidence_min": 0.0, "ice_max_nm": 1000.0, "ice_min_nm": 0.0}
    session = run_new(tmp_path / "n", protocol(passes=passes, thresholds=thresholds))
    assert session.run_status == "finished"
    (state,) = rows(tmp_path / "n", Session)
    assert state.pass_number == 1
    grids = rows(tmp_path / "n", Grid)
    again = [grid for grid in grids if grid.passes_done == 2]
    assert len(again) <= 1
    kept = [event.body for event in rows(tmp_path / "n", Event, Event.kind == "grids_chosen")]
    assert len(kept) == 1


class Power(BaseException):
    """The lights go out, as far as the night can tell."""


def test_a_crash_right_after_choosing_grids_does_not_lose_the_pass(tmp_path: Path) -> None:
    passes = [{"name": "triage"}, {"name": "collect", "grids": 1, "minimum_usable": 0, "squares_per_grid": 1}]
    thresholds = {"fit_resolution_a": 50.0, "confidence_min": 0.0, "ice_max_nm": 1000.0, "ice_min_nm": 0.0}
    thresholds |= {"astigmatism_max_a": 9e4, "defocus_error_max_um": 20.0, "motion_max_a": 9e3}
    # A camera large enough that rings can be fitted.
    plan = protocol({"camera_scale": 0.3}, passes=passes, thresholds=thresholds)
    folder = tmp_path / "n"

    def point(name: str) -> None:
        chosen = (
            name == "after commit"
            and (folder / "night.db").exists()
            and rows(folder, Event, Event.kind == "grids_chosen")
        )
        if chosen:
            raise Power

    with pytest.raises(Power):
        run_new(folder, plan, point=point)
    assert run_on(folder).run_status == "finished"
    assert [grid.passes_done for grid in rows(folder, Grid)].count(2) == 1
    assert not soundness(folder)["differences"]
