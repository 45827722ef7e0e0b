"""Lenses, deflectors and filter: what is set, and what setting it costs."""

import math

from ....protocols.preset import Preset
from ...errors import BeamLost, StageLimit
from ...records import ImageShift
from .instrument import Instrument
from .profile import check_camera


def use(instrument: Instrument, preset: Preset) -> None:
    """Set a level's optics; the image shift goes to zero, the defocus to the preset's.

    Raises
    ------
    BadInput
        The camera cannot take such an image.
    """
    check_camera(preset, instrument.profile.camera)
    state = instrument.state
    if state.preset != preset:
        instrument.spend(instrument.profile.times.preset, "preset")
    state.preset = preset
    state.shift_x_um = state.shift_y_um = 0.0
    state.defocus_um = preset.defocus_um


def shift_image(instrument: Instrument, shift: ImageShift) -> None:
    """Set the beam-image shift; raises `StageLimit` beyond what the deflectors can do."""
    limit = instrument.profile.optics.image_shift_limit_um
    if not math.hypot(shift.x_um, shift.y_um) <= limit:
        raise StageLimit(
            f"an image shift of ({shift.x_um:g}, {shift.y_um:g}) µm is beyond the limit of {limit:g} µm; move the stage"
        )
    state = instrument.state
    instrument.spend(instrument.profile.times.image_shift, "image shift")
    state.shift_x_um, state.shift_y_um = float(shift.x_um), float(shift.y_um)


def set_defocus(instrument: Instrument, defocus_um: float) -> None:
    """Set the defocus relative to the last autofocus."""
    instrument.state.defocus_um = float(defocus_um)


def refine_zero_loss(instrument: Instrument) -> None:
    """Centre the zero-loss peak on the slit, where there is a filter; raises `BeamLost` where there is no peak."""
    optics, state = instrument.profile.optics, instrument.state
    if not optics.energy_filter:
        return
    instrument.spend(instrument.profile.times.zero_loss, "zero loss")
    now = instrument.clock.now()
    if instrument.beam(now) == 0.0:
        raise BeamLost("no beam reaches the filter, so there is no zero-loss peak to centre; see to the beam first")
    state.zero_loss_at, state.zero_loss_jump_ev = now, 0.0
    state.zero_loss_left_ev = optics.zero_loss_error_ev * float(instrument.rng("zero loss error").standard_normal())
