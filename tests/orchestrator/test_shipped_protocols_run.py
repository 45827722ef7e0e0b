"""Every shipped protocol screens a grid of its kind on the simulated microscope."""

from pathlib import Path

import pytest
from crash_everywhere import soundness
from small_night import START
from sqlalchemy import select
from sqlalchemy.orm import Session as OrmSession

from epicycle.db.connection import open_reader
from epicycle.db.models import BisGroup, Exposure, Square
from epicycle.hardware.simulator.evaluation import truth
from epicycle.orchestrator.opening import Settings, begin
from epicycle.orchestrator.screening import screen
from epicycle.protocols.cassette import Cassette
from epicycle.protocols.reading import read_protocol, shipped_names
from epicycle.protocols.screening import ScreeningProtocol

FILMS = {"lacey": "Lacey", "negative-stain": "NegativeStain"}


@pytest.mark.timeout(240)
@pytest.mark.parametrize("name", shipped_names())
def test_it_runs_and_does_what_it_says(tmp_path: Path, name: str) -> None:
    plan = read_protocol(name).model_dump(mode="json")
    plan["microscope"] = {"use": "sim", "options": {"profile": "demo-2k", "camera_scale": 0.25}}
    plan["time"] = {"per_night_h": 1.0}
    plan["presets"] = {}
    film = FILMS.get(name, "R2/2")
    cassette = Cassette.model_validate(
        {"slots": [{"slot": 1, "name": "a", "hole_type": film, "mesh": "300", "material": "Carbon"}]}
    )
    night_folder = tmp_path / "night"
    settings = Settings(inline=True, start=START)
    with begin(night_folder, ScreeningProtocol.model_validate(plan), cassette, seed=3, settings=settings) as (night, _):
        session = screen(night)
    assert session.run_status == "finished"
    found = soundness(night_folder)
    assert not found["differences"]
    assert not found["unrecorded_images"]
    assert found["most_exposures_of_a_name"] <= 1
    reader = open_reader(night_folder / "night.db")
    with OrmSession(reader) as db:
        squares = db.scalars(select(Square)).all()
        exposures = db.scalars(select(Exposure)).all()
        tilted = [g for g in db.scalars(select(BisGroup)) if g.status == "done"]
    reader.dispose()
    assert squares
    if name == "atlas-only":
        assert not exposures
        return
    assert exposures, "nothing was exposed"
    if film == "R2/2":
        hits = [shot.hole is not None for shot in truth.exposures(night_folder / "microscope")]
        assert sum(hits) >= 0.9 * len(hits)
    if name == "tilted-30":
        assert tilted
