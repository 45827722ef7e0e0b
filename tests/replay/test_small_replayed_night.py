"""An awkward recording through the ordinary orchestrator: row by row, to the second; whole, killed, stopped between."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session as OrmSession

from epicycle.db import models
from epicycle.db.connection import open_reader
from epicycle.hardware.replay.reading import read_session
from epicycle.orchestrator.opening import Settings, begin, record_in, take_up
from epicycle.orchestrator.screening import screen
from epicycle.protocols.cassette import Cassette, CassetteGrid
from epicycle.protocols.screening import ScreeningProtocol

START = datetime(2026, 1, 5, 18, tzinfo=UTC)
JUDGING_S = 10.0
CASSETTE = Cassette(slots=(CassetteGrid(slot=3, name="recorded"),))
SETTINGS = Settings(start=START, inline=True)


def protocol(folder: Path, **changes: Any) -> ScreeningProtocol:
    """Give the protocol that repeats a recording; ``changes`` replace whole parts."""
    parts: dict[str, Any] = {
        "name": "again",
        "microscope": {"use": "replay", "options": {"folder": str(folder)}},
        "atlas": {"tiles_x": 1, "tiles_y": 1},
        "squares": {
            "per_grid": 0,
            "finder": {"use": "recorded-squares", "folder": str(folder)},
            "policy": {"use": "recorded-order"},
        },
        "holes": {
            "per_square": 0,
            "offset_targeting": False,
            "finder": {"use": "recorded-holes", "folder": str(folder)},
            "policy": {"use": "recorded-order"},
        },
        "analysis": {"judge": {"use": "recorded"}, "find_squares_s": 0, "find_holes_s": 0, "judge_s": JUDGING_S},
    }
    return ScreeningProtocol.model_validate(parts | changes)


@pytest.fixture
def read(tmp_path: Path) -> Iterator[Callable[[], OrmSession]]:
    """Open the record of the night in ``tmp_path / "night"``."""
    engines: list[Engine] = []
    sessions: list[OrmSession] = []

    def opened() -> OrmSession:
        engines.append(open_reader(record_in(tmp_path / "night")))
        sessions.append(OrmSession(engines[-1]))
        return sessions[-1]

    yield opened
    for session in sessions:
        session.close()
    for engine in engines:
        engine.dispose()


def names_of(db: OrmSession) -> list[str]:
    """Give the recorded names of all exposures, in the order of the shots."""
    numbers = {shot.id: shot.number for shot in db.scalars(select(models.Exposure))}
    said = db.scalars(select(models.Event).where(models.Event.kind == "exposed")).all()
    ordered = sorted(said, key=lambda event: numbers[event.body["exposure_id"]])
    return [event.body["details"]["recorded"] for event in ordered]


def recorded_names(folder: Path) -> list[str]:
    return [shot.name for shot in read_session(folder).exposures]


def test_row_by_row_and_to_the_second(awkward_folder: Path, tmp_path: Path, read: Callable[[], OrmSession]) -> None:
    with begin(tmp_path / "night", protocol(awkward_folder), CASSETTE, seed=1, settings=SETTINGS) as (night, _):
        session = screen(night)
    db = read()
    assert session.run_status == "finished"
    assert names_of(db) == recorded_names(awkward_folder)
    assert db.scalars(select(models.Fault)).all() == []
    shots = db.scalars(select(models.Exposure).order_by(models.Exposure.number)).all()
    total_s = read_session(awkward_folder).total_s
    assert (shots[-1].taken_at - session.started_at).total_seconds() == pytest.approx(total_s, abs=1.1)
    assert (session.finished_at - session.started_at).total_seconds() == pytest.approx(total_s, abs=JUDGING_S)
    fits = {
        m.of_id: m.value for m in db.scalars(select(models.Measure).where(models.Measure.name == "fit_resolution_a"))
    }
    assert [fits.get(shot.id) for shot in shots] == [3.0, None, 5.0, 6.0, None, 8.0, 9.0, 10.0, 11.0]
    groups = [shot.group_id for shot in shots]
    assert [groups.count(group) for group in dict.fromkeys(groups)] == [3, 2, 2, 2]


class Killed(BaseException):
    """The process ends here, as far as the night can tell."""


class KillAt:
    """Ends the night at the n-th point, and at every one after it, so that nothing is tidied up."""

    def __init__(self, nth: int) -> None:
        self.left = nth

    def __call__(self, _: str) -> None:
        self.left -= 1
        if self.left <= 0:
            raise Killed


@pytest.mark.parametrize("nth", [5, 75, 145, 157, 169, 181, 300])
def test_killed_anywhere_and_resumed(
    awkward_folder: Path, tmp_path: Path, read: Callable[[], OrmSession], nth: int
) -> None:
    """The replay remembers what it has given: nothing is had twice, and nothing is missing that was not being taken."""
    settings = replace(SETTINGS, point=KillAt(nth))
    try:
        with begin(tmp_path / "night", protocol(awkward_folder), CASSETTE, seed=1, settings=settings) as (night, _):
            screen(night)
    except Killed:
        with take_up(record_in(tmp_path / "night"), Settings(inline=True)) as (night, _):
            session = screen(night)
        assert session.resumes == 1
    else:
        pytest.fail("the night ended before it was killed; choose an earlier point")
    db = read()
    assert session.run_status == "finished"
    names, recorded = names_of(db), recorded_names(awkward_folder)
    lost = db.scalars(select(models.Exposure).where(models.Exposure.status == "lost")).all()
    assert len(lost) <= 1
    assert len(names) == len(set(names)) == len(recorded) - len(lost)
    assert names == [name for name in recorded if name in names]


def test_stopped_inside_a_group_and_resumed(
    awkward_folder: Path, tmp_path: Path, read: Callable[[], OrmSession]
) -> None:
    """A stop parks the stage; the group is gone to again before its other holes are exposed."""
    stop = Settings(start=START, inline=True)

    def point(where: str) -> None:
        if where == "after acquire" and (tmp_path / "night" / "microscope" / "replay.jsonl").read_text().count(
            "ctf_max"
        ):
            stop.stop_asked.set()

    settings = replace(stop, point=point)
    with begin(tmp_path / "night", protocol(awkward_folder), CASSETTE, seed=1, settings=settings) as (night, _):
        assert screen(night).run_status == "stopped"
    assert len(names_of(read())) == 1
    with take_up(record_in(tmp_path / "night"), Settings(inline=True)) as (night, _):
        assert screen(night).run_status == "finished"
    assert names_of(read()) == recorded_names(awkward_folder)


def test_another_policy_on_the_same_recording(
    awkward_folder: Path, tmp_path: Path, read: Callable[[], OrmSession]
) -> None:
    """Whatever a policy chooses among what was recorded can be had; what it leaves takes no time."""
    plan = protocol(awkward_folder)
    free = {
        "squares": {"per_grid": 2, "finder": plan.squares.finder.model_dump(), "policy": {"use": "random"}},
        "holes": {
            "per_square": 1,
            "offset_targeting": False,
            "finder": plan.holes.finder.model_dump(),
            "policy": {"use": "random"},
        },
    }
    with begin(tmp_path / "night", protocol(awkward_folder, **free), CASSETTE, seed=4, settings=SETTINGS) as (night, _):
        session = screen(night)
    db = read()
    assert session.run_status == "finished"
    assert 0 < len(names_of(db)) < len(recorded_names(awkward_folder))
    assert db.scalars(select(models.Fault)).all() == []
    assert (session.finished_at - session.started_at).total_seconds() < read_session(awkward_folder).total_s
