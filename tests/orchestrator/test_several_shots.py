"""Several shots in each hole: where they land, what is refused, what ends a hole, what a policy learns of it."""

import math
import sqlite3
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from crash_everywhere import soundness
from small_night import protocol, run_new
from sqlalchemy.orm import Session as OrmSession
from test_commands import asking, rows
from test_focus_and_groups_in_use import ONE, holes, plan, set_defocus
from test_pixel_free_night import cassette as two_slots
from test_pixel_free_night import plan as two_grids

from epicycle.db.connection import open_reader
from epicycle.db.models import BisGroup, Event, Exposure, Hole, ImageRow
from epicycle.db.views import exposures_of, holes_of, squares_of
from epicycle.hardware.simulator.evaluation import truth
from epicycle.orchestrator.deciding import outcomes_upto
from epicycle.protocols.cassette import Cassette
from epicycle.protocols.errors import BadInput

BEAM_UM = 0.4
BOTH_PASSES = 7
"""Seed of a night in which both passes expose something; without pixels chance decides."""

OPTICS = {
    "magnification": 36000, "pixel_size_a": 1.2, "rows_px": 2048, "cols_px": 2048, "exposure_s": 4.0, "frames": 4,
    "dose_e_per_a2": 40.0, "beam_diameter_um": BEAM_UM,
}  # fmt: skip


def night_of(shots: int, **changes: Any) -> Any:
    # Without focusing: whether it finds something here is drawn, and is not what is asked.
    given = {"holes": holes(per_square=2), "presets": {"exposure": OPTICS}, "focus": {"on": False}, **changes}
    return plan(exposure={"shots_per_hole": shots, **given.pop("exposure", {})}, **given)


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("three") / "n"
    assert run_new(folder, night_of(3), grids=ONE).run_status == "finished"
    return folder


def test_each_hole_has_its_shots_side_by_side_and_the_stage_stays(three: Path) -> None:
    taken = [hole for hole in rows(three, Hole) if hole.status == "exposed"]
    assert len(taken) > 4
    images = {image.id: image.scope["stage_um"] for image in rows(three, ImageRow, ImageRow.kind == "movie")}
    stood: dict[int, set[tuple[float, float]]] = defaultdict(set)
    for hole in taken:
        shots = rows(three, Exposure, Exposure.hole_id == hole.id)
        assert [(shot.shot, shot.status) for shot in shots] == [(0, "done"), (1, "done"), (2, "done")]
        assert [shot.number for shot in shots] == list(range(shots[0].number, shots[0].number + 3)), "hole by hole"
        assert [[shot.offset_x_um, shot.offset_y_um] for shot in shots] == hole.shots
        places = np.array(hole.shots)
        assert np.hypot(*places.T).max() + BEAM_UM / 2 <= 0.6 + 1e-9, "inside a hole of R1.2/1.3"
        gaps = np.linalg.norm(places[:, None] - places[None], axis=2) + 9 * np.eye(3)
        assert gaps.min() >= BEAM_UM, "no disc on another"
        shifts = np.array([(shot.shift_x_um, shot.shift_y_um) for shot in shots])
        np.testing.assert_allclose(shifts - shifts[0], places - places[0], atol=1e-9)
        for shot in shots:
            stood[shot.group_id].add(tuple(images[shot.image_id][:2]))
    assert all(len(places) == 1 for places in stood.values())


def test_the_world_saw_as_many_places_as_there_were_shots(three: Path) -> None:
    found = soundness(three)
    assert found["most_exposures_of_a_place"] == 1
    assert found["most_exposures_of_a_hole"] == 3
    assert found["holes_cut_short"] == 0
    assert not found["differences"]
    doses = truth.exposures(three / "microscope")
    assert len(doses) == found["done"]
    assert len({shot.dose.name for shot in doses}) == len(doses)


def test_views_count_holes_as_holes_and_shots_as_shots(three: Path) -> None:
    reader = open_reader(three / "night.db")
    every, shots = holes_of(reader), exposures_of(reader)
    with sqlite3.connect(three / "night.db") as db:
        assert len(every) == db.execute("select count(*) from hole").fetchone()[0]
        assert len(shots) == db.execute("select count(*) from exposure").fetchone()[0]
    for square in squares_of(reader):
        inside = [shot for shot in shots if shot.square_id == square.id and shot.status == "done"]
        assert square.exposures == len(inside)
        assert square.holes_exposed == len({shot.hole_id for shot in inside})
        assert square.holes == sum(hole.square_id == square.id for hole in every)
    for hole in every:
        verdicts = [shot.usable for shot in shots if shot.hole_id == hole.id and shot.usable is not None]
        assert hole.usable == (2 * sum(verdicts) >= len(verdicts) if verdicts else None)
    reader.dispose()


def test_a_policy_learns_of_each_hole_once_and_of_the_mean_of_its_shots(three: Path) -> None:
    reader = open_reader(three / "night.db")
    with OrmSession(reader) as db:
        outcomes = outcomes_upto(db, 10**9)
    shots = [shot for shot in exposures_of(reader) if shot.usable is not None]
    reader.dispose()
    assert len(outcomes) == len({shot.hole_id for shot in shots})
    mixed = 0
    for outcome in outcomes:
        own = [shot for shot in shots if shot.hole_id == outcome.hole_id]
        fits = [shot.measures["fit_resolution_a"] for shot in own if "fit_resolution_a" in shot.measures]
        assert outcome.measures.get("fit_resolution_a") == (pytest.approx(np.mean(fits)) if fits else None)
        assert outcome.usable == (2 * sum(bool(shot.usable) for shot in own) >= len(own))
        mixed += len({shot.usable for shot in own}) == 2
    assert any(len([s for s in shots if s.hole_id == outcome.hole_id]) == 3 for outcome in outcomes)


def test_offsets_of_ones_own_are_kept_to_and_corrected_for_tilt(tmp_path: Path) -> None:
    own = ((0.0, 0.3), (0.0, -0.3))
    alpha = 20.0
    exposure = {"shot_offsets_um": own, "tilt_deg": alpha}
    run_new(tmp_path / "n", night_of(2, exposure=exposure, holes=holes(per_square=2)), grids=ONE)
    defocus = set_defocus(tmp_path / "n")
    shots = rows(tmp_path / "n", Exposure, Exposure.status == "done")
    assert {(shot.offset_x_um, shot.offset_y_um) for shot in shots} == set(own)
    for shot in shots:
        up_um = math.sin(math.radians(alpha)) * shot.shift_y_um
        wanted = shot.target_defocus_um + up_um
        assert defocus[shot.id] == pytest.approx(wanted, abs=1e-6), "each shot has a defocus of its own"


def test_a_shot_whose_place_was_lit_is_not_taken(tmp_path: Path) -> None:
    """A hole added beside one that is exposed shares its ice: of its shots only those on fresh places are taken."""
    folder = tmp_path / "n"
    done: list[int] = []

    def point(name: str) -> None:
        if name != "after commit" or done or not (folder / "night.db").exists():
            return
        with sqlite3.connect(folder / "night.db") as db:
            if not db.execute("select 1 from sqlite_master where name = 'exposure'").fetchone():
                return
            found = db.execute(
                "select h.id, h.stage_x_um, h.stage_y_um from hole h join exposure e on e.hole_id = h.id "
                "where h.status = 'chosen' and e.status = 'done' and e.shot = 0"
            ).fetchone()
        if found:
            done.append(found[0])
            # 0.65 µm beside its middle: the two holes overlap, and so does one disc of the one with one of the other.
            asking(folder, name, 1, ("add-target", {"x_um": found[1] + 0.65, "y_um": found[2], "radius_um": 0.6}))(name)

    assert run_new(folder, night_of(2, focus={"on": False}), grids=ONE, point=point).run_status == "finished"
    (added,) = rows(folder, Hole, Hole.added_by == "ada")
    (said,) = rows(folder, Event, Event.kind == "shot_dropped")
    assert said.body["hole_id"] == added.id
    assert "would light again" in said.text
    left = rows(folder, Exposure, Exposure.hole_id == added.id)
    assert len(added.shots) == len(left) == 1
    assert added.status == "exposed"
    beside = {hole.id: hole for hole in rows(folder, Hole, Hole.square_id == added.square_id)}
    lit = [
        (beside[shot.hole_id].stage_x_um + shot.offset_x_um, beside[shot.hole_id].stage_y_um + shot.offset_y_um)
        for shot in rows(folder, Exposure, Exposure.hole_id.in_(beside))
    ]
    gaps = np.linalg.norm(np.subtract(lit, np.array(lit)[:, None]), axis=2) + 9 * np.eye(len(lit))
    assert gaps.min() >= BEAM_UM * (1 - 1e-6)
    assert soundness(folder)["most_exposures_of_a_place"] == 1


def test_a_hole_taken_off_after_its_first_shot_counts_as_exposed(tmp_path: Path) -> None:
    folder = tmp_path / "n"
    done: list[int] = []

    def point(name: str) -> None:
        if name != "after commit" or done or not (folder / "night.db").exists():
            return
        with sqlite3.connect(folder / "night.db") as db:
            if not db.execute("select 1 from sqlite_master where name = 'exposure'").fetchone():
                return
            found = db.execute(
                "select h.number, h.id from hole h join exposure e on e.hole_id = h.id "
                "where h.status = 'chosen' and e.status = 'done'"
            ).fetchone()
        if found:
            done.append(found[1])
            asking(folder, name, 1, ("remove-target", {"hole": found[0]}))(name)

    assert run_new(folder, night_of(3), grids=ONE, point=point).run_status == "finished"
    (hole,) = rows(folder, Hole, Hole.id == done[0])
    assert (hole.status, hole.reason) == ("exposed", "taken off by ada")
    assert [shot.shot for shot in rows(folder, Exposure, Exposure.hole_id == hole.id)] == [0]


def test_a_second_pass_may_take_more_shots_than_the_first(tmp_path: Path) -> None:
    """The grid was reloaded in between and lies otherwise; places are told in the frame of its first load."""
    passes = [
        {"name": "triage", "offset_targeting": True, "shots_per_hole": 1},
        {"name": "collect", "squares_per_grid": 1, "holes_per_square": 6, "grids": 2, "bis_radius_um": 4.0},
    ]
    in_the_middle = {"per_square": 2, "policy": {"use": "first-come"}, "offset_targeting": False}
    shots_of_passes = {"exposure": {"shots_per_hole": 2}, "presets": {"exposure": OPTICS}}
    made = two_grids(passes=passes, holes=in_the_middle, **shots_of_passes)
    run_new(tmp_path / "n", made, grids=two_slots(), seed=BOTH_PASSES)
    found = soundness(tmp_path / "n")
    assert 2 in found["loads"].values()
    assert found["most_exposures_of_a_place"] == 1
    shots = rows(tmp_path / "n", Exposure, Exposure.status == "done")
    by_hole = defaultdict(list)
    for shot in shots:
        by_hole[shot.hole_id].append(shot.shot)
    kept = {hole.id: hole.shots for hole in rows(tmp_path / "n", Hole)}
    assert {len(taken) for taken in by_hole.values()} == {1, 2}
    assert all(sorted(taken) == list(range(len(kept[hole] or [0]))) for hole, taken in by_hole.items())


def test_shots_that_fit_in_no_hole_are_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    wide = {"exposure": {**OPTICS, "beam_diameter_um": 0.8}}
    with pytest.raises(BadInput, match=r"R1.2/1.3, pass triage: 2 shots of a beam .* have no room in a hole of 0.6 µm"):
        run_new(tmp_path / "n", night_of(2, presets=wide), grids=ONE)
    assert not rows(tmp_path / "n", BisGroup)
    out = {"shot_offsets_um": ((0.0, 0.0), (0.5, 0.0))}
    with pytest.raises(BadInput, match=r"0.5, 0 µm, with a beam of 0.2 µm radius, reaches beyond a hole of 0.6 µm"):
        run_new(tmp_path / "m", night_of(2, exposure=out), grids=ONE)


def test_holes_of_an_unknown_film_without_room_are_left_and_say_why(tmp_path: Path) -> None:
    """The finder's own radius counts there; eleven shots have room in none."""
    unknown = Cassette.model_validate({"slots": [{"slot": 1, "name": "one", "mesh": "300", "material": "Carbon"}]})
    squares = {"per_grid": 1, "policy": {"use": "first-come"}}
    run_new(tmp_path / "n", night_of(11, squares=squares), grids=unknown)
    assert not rows(tmp_path / "n", Exposure)
    assert not [hole for hole in rows(tmp_path / "n", Hole) if hole.status == "chosen"]


def test_one_shot_in_each_hole_is_no_other_night_than_before(tmp_path: Path) -> None:
    run_new(tmp_path / "n", protocol())
    assert all(hole.shots is None for hole in rows(tmp_path / "n", Hole))
    keys = [shot.hole_id for shot in rows(tmp_path / "n", Exposure)]
    with sqlite3.connect(tmp_path / "n" / "night.db") as db:
        steps = {row[0] for row in db.execute("select key from step where kind = 'expose'")}
    assert steps == {f"hole {hole} expose" for hole in keys}
