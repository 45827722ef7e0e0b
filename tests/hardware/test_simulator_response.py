"""What gun and camera know of themselves: an empty hole reads as no ice, late in the night too."""

from collections.abc import Callable
from datetime import timedelta

import numpy as np
import pytest

from epicycle.hardware.records import Shot
from epicycle.hardware.simulator.instrument.rhythms import emission


@pytest.mark.parametrize("hours", [0.0, 5.0])
def test_counts_of_nothing_are_those_the_camera_answers_for(
    bench: Callable[..., object], behind: Callable[..., object], on_square: Callable[..., object], hours: float
) -> None:
    night = bench({"grids": {"1": {"kind": "good", "empty": 1.0}}}, profile="demo-2k")
    microscope = night.connect()
    on_square(microscope)
    night.clock.sleep(timedelta(hours=hours).total_seconds())
    microscope.open_valve()
    preset = microscope.presets()["exposure"]
    microscope.use(preset)
    got = microscope.acquire(Shot(preset), "nothing")
    expected = got.dose_e_per_a2 * got.pixel_size_a**2 * got.details["counts_per_electron"]
    ice_nm = -235.0 * np.log(got.mean_counts / expected)
    assert abs(ice_nm) < 4.0
    if hours:
        instrument = behind(microscope)
        assert emission(instrument.state, instrument.profile, night.clock.now()) < 0.95
        assert "counts_per_electron" not in microscope.acquire(Shot(microscope.presets()["hole"]), "view").details
