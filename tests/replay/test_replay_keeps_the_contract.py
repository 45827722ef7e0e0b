"""The replay as any other microscope, but for what a recording without pixels and drift cannot give."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from epicycle.hardware.clock import VirtualClock
from epicycle.hardware.contract import MicroscopeContract
from epicycle.hardware.errors import TargetFault
from epicycle.hardware.protocols import Installation, Microscope
from epicycle.hardware.records import Shot
from epicycle.hardware.replay import connect
from epicycle.protocols.cassette import Cassette, CassetteGrid


@pytest.fixture
def microscope(recording: Any, tmp_path: Path) -> Microscope:
    """Replay a recording of everything around the stage's origin, which is where the contract looks."""
    tile = recording.image("gr", "", 1, 0.0, 0.0, 0.0)
    other = recording.image("gr", "", 2, 900.0, 0.0, 20.0)
    square = recording.image("sq", tile, 1, 0.0, 0.0, 60.0)
    recording.image("sq", tile, 1, 0.0, 0.0, 60.0, version=1)
    view = recording.image("hl", square, 2, 0.0, 0.0, 40.0)
    recording.image("hl", square, 3, 900.0, -900.0, 40.0)
    recording.image("fa", view, 1, 10.0, 10.0, 40.0)
    places = [(0.0, 0.0), (0.0, 1.0), (180.0, 0.0), (0.0, 180.0)]
    far = recording.image("hl", recording.image("sq", other, 2, 0.0, 0.0, 60.0), 2, 30.0, 20.0, 40.0)
    recording.aligned(recording.image("en", far, 2, 0.0, 0.0, 70.0), 3.5, 0.9)
    for shot in [recording.image("en", view, n, x, y, 70.0) for n, (x, y) in enumerate(places, 2)]:
        recording.aligned(shot, 4.0, 0.9)
    cassette = Cassette(slots=(CassetteGrid(slot=1, name="recorded"),))
    clock = VirtualClock(datetime(2026, 1, 5, 18, tzinfo=UTC))
    options = {"folder": str(recording.write(tmp_path / "recording"))}
    return connect(Installation(options, tmp_path / "images", tmp_path / "memory", clock, 1, cassette))


class TestReplay(MicroscopeContract):
    empty_slot = 2

    def test_an_image_is_whole_and_can_be_asked_for_again(self, microscope: Microscope) -> None:
        self._ready(microscope)
        for level in ("atlas", "square", "hole"):
            preset = microscope.presets()[level]
            microscope.use(preset)
            got = microscope.acquire(Shot(preset), f"first-{level}")
            assert got.path is None, "a recording has no pixels"
            assert microscope.stored(f"first-{level}") == got
            assert got.ended_at >= got.started_at
        assert microscope.stored("never-taken") is None

    def test_a_survey_may_be_retaken_an_exposure_never(self, microscope: Microscope) -> None:
        self._ready(microscope)
        presets = microscope.presets()
        for _ in range(2):
            microscope.acquire(Shot(presets["square"]), "again")
        once = microscope.acquire(Shot(presets["exposure"]), "once")
        with pytest.raises(TargetFault, match="not had twice"):
            microscope.acquire(Shot(presets["exposure"]), "once")
        assert microscope.stored("once") == once

    def test_frames_are_kept_when_asked(self, microscope: Microscope) -> None:
        self._ready(microscope)
        preset = microscope.presets()["exposure"].model_copy(update={"frames": 40})
        assert microscope.acquire(Shot(preset, save_frames=True), "movie").frames == 40

    def test_settling_ends(self, microscope: Microscope) -> None:
        self._ready(microscope)
        assert microscope.settle(1.0, 60.0).settled, "a recording knows no drift; its wait is in the next image's time"
