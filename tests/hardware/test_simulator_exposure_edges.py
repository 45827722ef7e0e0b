"""What a particle at the border does to a picture: its rings reach in, and do not come round at the other side."""

import numpy as np
from numpy.typing import NDArray

from epicycle.hardware.simulator.instrument.profile import load_profile
from epicycle.hardware.simulator.pictures.exit_waves import ExitWaves
from epicycle.hardware.simulator.pictures.exposure_scene import Scene, Setting
from epicycle.hardware.simulator.pictures.lens import Aberrations, Coherence
from epicycle.hardware.simulator.pictures.particles import particle_views, place_particles

SIDE, MARGIN = 256, 56


def contrast(margin: int, row: float) -> NDArray[np.float32]:
    """Give what one particle at (row, middle) adds to the picture, ice being the same."""
    lens = Aberrations(0.0251, 2.7e7, 0.07, 15000.0)
    setting = Setting(lens, Coherence(), load_profile("demo-2k").camera, 200.0, 1.2, (SIDE, SIDE), margin)
    at = np.array([[row, SIDE / 2]]) + margin
    views = particle_views(120.0, 1.2, 1, 200.0)
    pictures = []
    for share in (1.0, 0.0):
        phase = place_particles(setting.padded, at, views, np.array([0])) * np.float32(share)
        scene = Scene(30.0, 0.0, False, phase, 40.0, 30.0, 40.0, 4.0)
        waves = ExitWaves(scene, setting, np.random.default_rng(1))
        pictures.append(waves.contrast_of_all([[np.zeros((1, 2))]]))
    return pictures[0] - pictures[1]


def test_a_particle_at_the_upper_border_does_not_ring_at_the_lower_one() -> None:
    """Without a margin it does: most of what it sends beyond the border comes back there."""
    for margin, most in ((0, None), (MARGIN, 0.05)):
        seen = contrast(margin, 4.0)
        assert seen.shape == (SIDE, SIDE)
        upper, lower = np.abs(seen[:40]).max(), np.abs(seen[-40:]).max()
        if most is None:
            assert lower > 0.3 * upper
        else:
            assert lower < most * upper


def test_a_particle_beyond_the_border_rings_into_the_picture() -> None:
    seen = contrast(MARGIN, -45.0)
    assert np.abs(seen[:20]).max() > 2 * np.abs(seen[-20:]).max()
