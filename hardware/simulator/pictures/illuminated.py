"""What one image looks at: the matter in its view and the light that falls on it, from the state of the instrument."""

from collections.abc import Sequence
from datetime import datetime

import numpy as np

from ....protocols.preset import Preset
from ..instrument.instrument import Instrument
from .render_survey import Light, Paths
from .specimen import Layers, Stain, View, lay_out

MARK_REACH_UM = 5.0
"""The mark of an exposure reaches no further from its centre."""


def layers_seen(instrument: Instrument, view: View, marks: Sequence[Stain]) -> Layers:
    """Lay out what lies in a view of the grid on the stage, with the marks that reach into it."""
    world = instrument.world
    if world is None:
        nothing = np.zeros((view.rows, view.cols), np.float32)
        return Layers(nothing, nothing.copy(), np.ones_like(nothing))
    corners = view.corners
    low, high = corners.min(axis=0) - MARK_REACH_UM, corners.max(axis=0) + MARK_REACH_UM
    seen = [mark for mark in marks if low[0] <= mark.x_um <= high[0] and low[1] <= mark.y_um <= high[1]]
    return lay_out(world, view, seen)


def matter_of(instrument: Instrument, preset: Preset | None = None) -> tuple[Paths, bool]:
    """Say how ice and film hold electrons back, and whether the film is gold.

    The aperture takes what is scattered far; with the slit of a filter in, what has lost energy is gone too.
    """
    matter, world = instrument.profile.matter, instrument.world
    gold = world is not None and world.film.gold
    ice, film = 1 / matter.ice_path_nm, 1 / (matter.gold_path_nm if gold else matter.carbon_path_nm)
    if preset is not None and preset.slit_ev is not None and instrument.profile.optics.energy_filter:
        ice += 1 / matter.ice_inelastic_path_nm
        film += 1 / (matter.gold_inelastic_path_nm if gold else matter.carbon_inelastic_path_nm)
    return Paths(1 / ice, 1 / film), gold


def light_of(instrument: Instrument, preset: Preset, at: datetime) -> Light:
    """Say how an image with this preset is lit."""
    pixel_a, _ = instrument.true_level(preset)
    radius_px = preset.beam_diameter_um / 2 / (pixel_a * 1e-4)
    row, col = (instrument.beam_offset(preset) + instrument.beam_moved(at)) * radius_px
    return Light(
        electrons=preset.dose_e_per_a2 * pixel_a**2 * instrument.beam(at) * instrument.slit_passes(preset, at),
        centre_px=((preset.rows_px - 1) / 2 + row, (preset.cols_px - 1) / 2 + col),
        radius_px=radius_px,
        vignetting=instrument.profile.optics.vignetting,
    )
