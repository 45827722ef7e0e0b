"""Nights without pixels: the same protocol and the real record, with eyes for sightings."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from small_night import protocol, run_new
from sqlalchemy import select
from sqlalchemy.orm import Session as OrmSession

from epicycle.db import models
from epicycle.db.connection import open_reader
from epicycle.db.fingerprint import fingerprint
from epicycle.hardware.simulator.evaluation import truth
from epicycle.protocols.cassette import Cassette
from epicycle.protocols.errors import BadInput
from epicycle.protocols.pixel_free import without_pixels
from epicycle.protocols.screening import ScreeningProtocol

PASSES = [{"name": "triage"}, {"name": "collect", "squares_per_grid": 1, "holes_per_square": 2, "grids": 2}]


FILM = {"hole_type": "R1.2/1.3", "mesh": "300", "material": "Carbon"}
CALM = {"kind": "good", "torn": 0, "cracked": 0, "empty": 0, "thick": 0, "dry": 0, "contaminated": 0, "crystalline": 0}


def cassette(slots: int = 2) -> Cassette:
    return Cassette.model_validate({"slots": [{"slot": n, "name": f"grid-{n}", **FILM} for n in range(1, slots + 1)]})


def pictured(options: Mapping[str, Any] | None = None, **changes: Any) -> ScreeningProtocol:
    world = {"grids": {"1": CALM, "2": CALM}}
    return protocol({"camera_scale": 1.0, "world": world, **(options or {})}, **changes)


def plan(**changes: Any) -> ScreeningProtocol:
    return without_pixels(pictured(**changes))


def rows_of(folder: Path) -> Mapping[str, list[Any]]:
    reader = open_reader(folder / "night.db")
    try:
        with OrmSession(reader) as db:
            return {
                table.__tablename__: list(db.scalars(select(table)))
                for table in (
                    models.Exposure,
                    models.Hole,
                    models.Square,
                    models.Step,
                    models.Fault,
                    models.Grid,
                    models.Event,
                )
            }
    finally:
        reader.dispose()


def test_a_night_of_two_visits_comes_to_its_end(tmp_path: Path) -> None:
    holes = {"per_square": 4, "policy": {"use": "cluster-sampling"}}
    # What grids are gone back to shall not hang on how well three exposures turned out.
    anything = {"fit_resolution_a": 50.0, "confidence_min": 0.0, "ice_max_nm": 1000.0, "ice_min_nm": 0.0}
    anything |= {"astigmatism_max_a": 9e4, "defocus_error_max_um": 20.0, "motion_max_a": 9e3}
    asked = plan(passes=PASSES, holes=holes, thresholds=anything)
    session = run_new(tmp_path / "night", asked, grids=cassette())
    assert session.run_status == "finished"
    rows = rows_of(tmp_path / "night")
    assert [grid.loads for grid in rows["grid"]].count(2) >= 1, "one grid was loaded again and found again"
    done = [shot for shot in rows["exposure"] if shot.status == "done"]
    assert len(done) >= 3
    assert all(shot.analysis == "done" for shot in done if "black" not in shot.flags)
    hits = [shot.hole for shot in truth.exposures(tmp_path / "night" / "microscope")]
    assert sum(hit is not None for hit in hits) >= 0.8 * len(hits)
    assert max(truth.times_exposed(tmp_path / "night" / "microscope").values()) == 1


def test_the_same_seed_gives_the_same_record_and_another_does_not(tmp_path: Path) -> None:
    prints = []
    for folder, seed in (("a", 1), ("b", 1), ("c", 2)):
        run_new(tmp_path / folder, plan(), seed=seed, grids=cassette(1))
        prints.append(fingerprint(tmp_path / folder / "night.db"))
    assert prints[0] == prints[1]
    assert prints[0] != prints[2]


def test_a_fault_strikes_and_is_dealt_with(tmp_path: Path) -> None:
    faults = [{"kind": "camera-timeout", "at": {"call": "acquire", "number": 3}}]
    run_new(tmp_path / "night", without_pixels(pictured({"faults": faults})), grids=cassette(1))
    rows = rows_of(tmp_path / "night")
    assert [fault.kind for fault in rows["fault"]].count("CameraTimeout") == 1
    assert all(shot.status in ("done", "lost") for shot in rows["exposure"])


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_both_fidelities_take_the_same_time(tmp_path: Path) -> None:
    """Two calm grids, gone through the same way: the clock of the night agrees within 3 %."""
    own = pictured(focus={"on": False}, atlas={"tiles_x": 2, "tiles_y": 2})
    hours, gone = [], []
    for folder, made in (("pixels", own), ("free", without_pixels(own))):
        session = run_new(tmp_path / folder, made, grids=cassette(2))
        assert session.finished_at is not None
        hours.append((session.finished_at - session.started_at).total_seconds() / 3600)
        rows = rows_of(tmp_path / folder)
        # A finder's lattice half a step off, which the error models draw now and then, costs its groups.
        left = sum(event.kind == "group_given_up" for event in rows["event"])
        gone.append(left + sum(shot.status == "done" for shot in rows["exposure"]))
    assert hours[1] == pytest.approx(hours[0], rel=0.03)
    assert gone == [4, 4]


def test_pixels_need_their_own_eyes_and_only_the_simulator_does_without(tmp_path: Path) -> None:
    assert without_pixels(plan()) == plan()
    replay = ScreeningProtocol.model_validate({"name": "other", "microscope": {"use": "replay"}})
    with pytest.raises(BadInput, match="only the simulated microscope"):
        without_pixels(replay)
    blind = plan().model_dump(mode="json")
    blind["squares"]["finder"] = {"use": "mixture-squares"}
    run_new(tmp_path / "blind", ScreeningProtocol.model_validate(blind), grids=cassette(1))
    rows = rows_of(tmp_path / "blind")
    assert not rows["square"]
    assert all("no square found" in grid.reason for grid in rows["grid"])


def test_a_film_without_a_lattice_is_gone_through_without_pixels(tmp_path: Path) -> None:
    lacey = {"slot": 1, "name": "net", "hole_type": "Lacey", "mesh": "300", "material": "Carbon"}
    made = plan(holes={"per_square": 2, "finder": {"use": "regular-pattern", "pitch_um": 8}})
    assert made.holes.finder.use == "regular-pattern"
    assert made.microscope.options["film_picture_px"] > 16, "its finder has to see where film is"
    run_new(tmp_path / "night", made, grids=Cassette.model_validate({"slots": [lacey]}))
    rows = rows_of(tmp_path / "night")
    assert sum(hole.site == "hole" for hole in rows["hole"]) >= 20
