"""What a protocol says of focusing, grouping and upkeep, seen in the record of nights without pixels."""

import math
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_night import protocol, run_new, run_on
from test_commands import rows, tell

from epicycle.db.fingerprint import fingerprint
from epicycle.db.models import BisGroup, Event, Exposure, Hole, ImageRow, Measure, Square
from epicycle.protocols.cassette import Cassette
from epicycle.protocols.pixel_free import without_pixels
from epicycle.protocols.screening import ScreeningProtocol

FILM = {"hole_type": "R1.2/1.3", "mesh": "300", "material": "Carbon"}
ONE = Cassette.model_validate({"slots": [{"slot": 1, "name": "one", **FILM}]})
CALM = {"kind": "good", "torn": 0, "cracked": 0, "empty": 0, "thick": 0, "dry": 0, "contaminated": 0, "crystalline": 0}
PLANE = {"every": "plane", "tolerance_um": 3.0}
TWENTY = {"per_square": 20, "policy": {"use": "first-come"}, "offset_targeting": False}
SEEDS = range(1, 9)
"""Nights to try until one focuses after the first height that others told; without pixels chance decides which do."""


def plan(**changes: Any) -> ScreeningProtocol:
    changes = {"recovery": {"target_failures_per_square": 20}, **changes}
    return without_pixels(protocol({"camera_scale": 1.0, "world": {"grids": {"1": CALM}}}, **changes))


class Power(BaseException):
    """The lights go out, as far as the night can tell."""


def holes(**more: Any) -> dict[str, Any]:
    return {"per_square": 0, "policy": {"use": "first-come"}, "offset_targeting": False, "bis_radius_um": 4.0, **more}


def set_defocus(folder: Path) -> dict[int, float]:
    """Give the defocus that was set for each exposure, by its image."""
    images = {image.id: image.scope["defocus_um"] for image in rows(folder, ImageRow, ImageRow.kind == "movie")}
    return {shot.id: images[shot.image_id] for shot in rows(folder, Exposure, Exposure.status == "done")}


def test_a_group_whose_height_is_told_by_others_is_not_focused(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        run_new(tmp_path / folder, plan(focus=PLANE, holes=TWENTY), grids=ONE)
    assert fingerprint(tmp_path / "a" / "night.db") == fingerprint(tmp_path / "b" / "night.db")
    folder = tmp_path / "a"
    said = rows(folder, Event, Event.kind.in_(("focused", "focus_predicted")))
    assert all(event.kind == "focused" for event in said[:6]), "six heights before any is told"
    told = {event.body["group_id"]: event.body for event in said if event.kind == "focus_predicted"}
    assert told
    defocus = set_defocus(folder)
    for group in rows(folder, BisGroup, BisGroup.id.in_(told)):
        assert group.focus_um is None
        body = told[group.id]
        assert body["error_um"] <= PLANE["tolerance_um"]
        for shot in rows(folder, Exposure, Exposure.group_id == group.id, Exposure.status == "done"):
            (hole,) = rows(folder, Hole, Hole.id == shot.hole_id)
            away = np.array([hole.stage_x_um, hole.stage_y_um]) - body["at_um"]
            wanted = shot.target_defocus_um + body["add_um"] + float(away @ body["slopes"])
            assert defocus[shot.id] == pytest.approx(wanted, abs=1e-6)


def heights_after_a_crash(folder: Path, seed: int) -> list[Event]:
    """Crash when others first tell a height, go on, and give what was focused or told from then."""

    def point(name: str) -> None:
        if name == "after commit" and (folder / "night.db").exists():
            with sqlite3.connect(folder / "night.db") as db:
                if db.execute("select 1 from event where kind = 'focus_predicted'").fetchone():
                    raise Power

    try:
        run_new(folder, plan(focus=PLANE, holes=TWENTY), grids=ONE, point=point, seed=seed)
    except Power:
        assert run_on(folder).run_status == "finished"
        (resumed,) = rows(folder, Event, Event.kind == "resumed")
        return rows(folder, Event, Event.kind.in_(("focused", "focus_predicted")), Event.id > resumed.id)
    return []


@pytest.mark.timeout(240)  # as many nights as there are seeds, at worst
def test_after_a_crash_the_lens_is_not_believed(tmp_path: Path) -> None:
    tried = (heights_after_a_crash(tmp_path / str(seed), seed) for seed in SEEDS)
    later = next(filter(None, tried), None)
    assert later, "no night of these focuses after its crash"
    assert later[0].kind == "focused"


def test_a_tilted_specimen_is_exposed_at_the_defocus_asked_for(tmp_path: Path) -> None:
    """Up the tilt a hole stands higher, so more is set; counted from where the group was focused."""
    alpha = 20.0
    run_new(tmp_path / "n", plan(exposure={"tilt_deg": alpha}, holes=holes(per_square=6)), grids=ONE)
    defocus = set_defocus(tmp_path / "n")
    focused = {event.body["group_id"]: event.body for event in rows(tmp_path / "n", Event, Event.kind == "focused")}
    shots = rows(tmp_path / "n", Exposure, Exposure.status == "done")
    assert {shot.id for shot in shots if abs(shot.shift_y_um) > 2.0}
    for shot in shots:
        up_um = math.sin(math.radians(alpha)) * shot.shift_y_um
        wanted = shot.target_defocus_um + focused[shot.group_id]["add_um"] + up_um
        assert defocus[shot.id] == pytest.approx(wanted, abs=1e-6)
    wanted_um = {shot.id: shot.target_defocus_um for shot in shots}
    measured = rows(tmp_path / "n", Measure, Measure.of_kind == "exposure", Measure.name == "defocus_um")
    assert np.median([abs(m.value - wanted_um[m.of_id]) for m in measured]) < 0.3, "as told by what the images show"


def test_a_cross_is_taken_where_a_cross_is_asked_for(tmp_path: Path) -> None:
    run_new(tmp_path / "n", plan(holes=holes(bis_pattern="cross", per_square=5), time={"per_night_h": 0.3}), grids=ONE)
    (planned,) = rows(tmp_path / "n", Event, Event.kind == "groups_planned")
    groups = rows(tmp_path / "n", BisGroup)
    assert planned.body["groups"] >= len(groups) > 2
    assert planned.body["lower_bound"] <= planned.body["groups"]
    (square,) = rows(tmp_path / "n", Square, Square.id == groups[0].square_id)
    basis = np.array([square.lattice["a_um"], square.lattice["b_um"]])
    sizes = []
    for group in groups:
        members = rows(tmp_path / "n", Hole, Hole.group_id == group.id)
        places = np.array([(h.stage_x_um - group.stage_x_um, h.stage_y_um - group.stage_y_um) for h in members])
        steps = np.rint(places @ np.linalg.inv(basis))
        assert (np.abs(steps).sum(axis=1) <= 1).all()
        sizes.append(len(members))
    assert max(sizes) > 3


def test_a_beam_as_wide_as_the_pitch_leaves_the_neighbours(tmp_path: Path) -> None:
    optics = {
        "magnification": 36000, "pixel_size_a": 1.2, "rows_px": 2048, "cols_px": 2048, "exposure_s": 4.0, "frames": 4,
        "dose_e_per_a2": 40.0, "beam_diameter_um": 4.0,
    }  # fmt: skip
    counts = {}
    for spare in (True, False):
        folder = tmp_path / str(spare)
        wide = plan(holes=holes(spare_neighbours=spare), presets={"exposure": optics}, time={"per_night_h": 0.3})
        run_new(folder, wide, grids=ONE)
        taken = rows(folder, Hole, Hole.group_id.is_not(None))
        places = np.array([(h.stage_x_um, h.stage_y_um) for h in taken])
        counts[spare] = len(taken)
        if spare:
            gaps = np.linalg.norm(places[:, None] - places[None], axis=2) + 1e9 * np.eye(len(places))
            assert gaps.min() >= 4.0, "no shot's disc of light touches another's"
    assert 0 < counts[True] < counts[False]


def test_the_zero_loss_peak_is_centred_before_the_long_moves(tmp_path: Path) -> None:
    squares = {"per_grid": 4, "policy": {"use": "first-come"}}
    run_new(tmp_path / "n", plan(squares=squares, zero_loss_interval_h=0.1), grids=ONE)
    marks = ("zero_loss_refined", "height_found", "group_centred")
    kinds = [event.kind for event in rows(tmp_path / "n", Event, Event.kind.in_(marks))]
    after = [kinds[n + 1] for n, kind in enumerate(kinds[:-1]) if kind == "zero_loss_refined"]
    assert len(after) > 1
    assert after.count("height_found") >= len(after) - 1


def test_a_hole_added_within_reach_of_a_waiting_group_joins_it(tmp_path: Path) -> None:
    folder = tmp_path / "n"
    asked: list[int] = []

    def point(name: str) -> None:
        if name != "after autofocus" or asked:
            return
        waiting = rows(folder, BisGroup, BisGroup.status == "chosen")
        if not waiting:
            return
        last = waiting[-1]
        (square,) = rows(folder, Square, Square.id == last.square_id)
        between = np.add(square.lattice["a_um"], square.lattice["b_um"]) / 2
        asked.append(last.id)
        for away in (between, 30 * between):
            x_um, y_um = np.add((last.stage_x_um, last.stage_y_um), away).tolist()
            tell(folder, "add-target", {"x_um": x_um, "y_um": y_um, "radius_um": 0.3})

    run_new(folder, plan(holes=holes(per_square=4)), grids=ONE, point=point)
    near, far = rows(folder, Hole, Hole.added_by == "ada")
    assert near.group_id == asked[0]
    assert near.visit_order > 0
    assert not [h for h in rows(folder, Hole, Hole.group_id == far.group_id) if h.id != far.id]
