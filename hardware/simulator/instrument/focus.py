"""Eucentric height, autofocus, settling: measured on pictures, coarse then fine; or drawn where none is rendered."""

import numpy as np

from ....protocols.preset import Preset
from ...errors import FocusFailed
from ...protocols import HeightMethod
from ...records import Drift, Focused, StagePosition
from ..pixel_free import focus_errors
from . import beam_tilt, camera, stage, stage_tilt
from .instrument import Instrument

FOUND, SURE = 5.5, 7.0
"""How clear a correlation's peak must be to be taken for one, and to be trusted."""

WORKING_UM = 1.5
"""Underfocus at which heights are measured by focus, and the least at which any defocus is; less shows nothing."""

FAR_UM = 12.0
"""A coarse height that is further off is measured coarsely once more."""

STEP_BACK_UM = 4.0
"""So much more underfocus is tried where nothing is seen."""

PICTURES = 9
"""Among so many pictures an autofocus shares its dose: three coarse ones, and twice three fine ones."""


def eucentric_height(instrument: Instrument, how: HeightMethod) -> float:
    """Find the height here and bring the specimen to the eucentric plane; raises `FocusFailed`."""
    times = instrument.profile.times
    instrument.spend(times.height_tilt if how == "tilt" else times.height_focus, "height")
    _check_beam(instrument, "eucentric height")
    if instrument.eye is not None:
        height = focus_errors.height_um(instrument, how, -WORKING_UM)
    else:
        height = _height_by_tilt(instrument) if how == "tilt" else _height_by_focus(instrument)
    now = stage.position(instrument)
    return stage.go_to(instrument, StagePosition(now.x_um, now.y_um, now.z_um - height, now.alpha_deg)).z_um


def autofocus(instrument: Instrument, target_um: float) -> Focused:
    """Measure and set the defocus here, at the price of a little dose; raises `FocusFailed`."""
    numbers, state = instrument.profile.focusing, instrument.state
    preset = _focus_preset(instrument)
    camera.give_dose(instrument, preset, "autofocus", numbers.autofocus_dose_e_per_a2)
    instrument.spend(instrument.profile.times.autofocus, "autofocus")
    _check_beam(instrument, "autofocus")
    working_um = min(target_um, -WORKING_UM / 2)
    if instrument.eye is not None:
        return focus_errors.autofocus(instrument, target_um, working_um)
    state.defocus_um = working_um
    coarse, fine = numbers.beam_tilts_mrad
    signal = beam_tilt.signal_at(instrument, preset, numbers.autofocus_dose_e_per_a2 / PICTURES, beam_tilt.FINE_UM)
    found = _look(instrument, signal, coarse, 0)
    if found.clear < FOUND:
        # Close to focus nothing has contrast; a look from further away tells.
        state.defocus_um = working_um - STEP_BACK_UM
        found = _demanded(_look(instrument, signal, coarse, 1), "autofocus")
    state.focal_um += state.defocus_um - found.defocus_um
    state.defocus_um = working_um
    state.focal_um += working_um - _demanded(_look(instrument, signal, fine, 2), "autofocus").defocus_um
    checked = _demanded(_look(instrument, signal, fine, 3), "autofocus")
    state.defocus_um = target_um
    return Focused(checked.defocus_um - working_um + target_um, checked.clear >= SURE, state.focal_um)


def settle(instrument: Instrument, below_a_per_s: float, timeout_s: float) -> Drift:
    """Measure the drift again and again until it is low enough or time is up."""
    rng = instrument.rng("drift")
    begun = instrument.clock.now()
    reading = instrument.profile.times.drift_reading
    while True:
        instrument.clock.sleep(reading.draw(float(rng.standard_normal())))
        instrument.let_time_pass()
        now = instrument.clock.now()
        rate = instrument.drift_rate(now) * float(np.exp(0.1 * rng.standard_normal()))
        if "drift-high" in instrument.striking:
            rate += 3.0 * below_a_per_s + 2.0
        waited = (now - begun).total_seconds()
        if rate <= below_a_per_s or waited >= timeout_s:
            return Drift(rate, waited, rate <= below_a_per_s)


def _height_by_tilt(instrument: Instrument) -> float:
    """Tilt a little and a wide view, then more and a narrow one, each time from the height found so far."""
    state, (coarse_deg, fine_deg) = instrument.state, instrument.profile.focusing.height_tilts_deg
    begun_um, dose = state.z_um, 0
    steps = [(coarse_deg, stage_tilt.WIDE_UM), (fine_deg, stage_tilt.NARROW_UM)]
    try:
        while steps:
            tilt_deg, field_um = steps.pop(0)
            dose += 2
            found = stage_tilt.measure(instrument, tilt_deg, field_um)
            if found.clear < FOUND:
                raise FocusFailed(
                    "eucentric height: pictures at two tilts have nothing in common (no film, a bar, or too far off)"
                    "; try another place"
                )
            state.z_um -= found.height_um
            if field_um == stage_tilt.WIDE_UM and abs(found.height_um) > FAR_UM and dose < 6:
                steps.insert(0, (coarse_deg, stage_tilt.WIDE_UM))
        return begun_um - state.z_um
    finally:
        state.z_um = begun_um
        square = instrument.profile.levels["square"].preset
        camera.give_dose(instrument, square, "eucentric height", square.dose_e_per_a2 * dose)


def _height_by_focus(instrument: Instrument) -> float:
    """Set the lens to the eucentric plane and measure how far from focus the specimen is: at hole level, then finely.

    Where there is too little to see at focus level, in ice alone, what the hole level has told must do.
    """
    state, numbers = instrument.state, instrument.profile.focusing
    hole, preset, fine = instrument.profile.levels["hole"].preset, _focus_preset(instrument), numbers.beam_tilts_mrad[1]
    each = numbers.autofocus_dose_e_per_a2 / PICTURES
    camera.give_dose(instrument, preset, "eucentric height", 3 * (hole.dose_e_per_a2 + each))
    kept, begun_um = (state.focal_um, state.defocus_um), state.z_um
    try:
        state.focal_um, state.defocus_um = 0.0, -WORKING_UM
        wide = beam_tilt.signal_at(instrument, hole, hole.dose_e_per_a2, beam_tilt.WIDE_UM)
        state.z_um += _demanded(_look(instrument, wide, fine, 0), "eucentric height").defocus_um + WORKING_UM
        near = beam_tilt.signal_at(instrument, preset, each, beam_tilt.FINE_UM)
        found = _look(instrument, near, fine, 1)
        if found.clear >= FOUND:
            state.z_um += found.defocus_um + WORKING_UM
        return begun_um - state.z_um
    finally:
        state.focal_um, state.defocus_um = kept
        state.z_um = begun_um


def _look(instrument: Instrument, signal: beam_tilt.Signal, tilt_mrad: float, turn: int) -> beam_tilt.Measured:
    """Measure the present defocus at this place."""
    now = instrument.clock.now()
    true_um = instrument.true_defocus_um(instrument.looked_at(now), now)
    return beam_tilt.measure(instrument, signal, true_um, tilt_mrad, turn)


def _demanded(found: beam_tilt.Measured, what: str) -> beam_tilt.Measured:
    if found.clear < FOUND:
        raise FocusFailed(
            f"{what}: pictures under a tilted beam show nothing in common (no film here, a bar, too thick, or too far "
            "from focus); try another place, or find the eucentric height first"
        )
    return found


def _focus_preset(instrument: Instrument) -> Preset:
    preset = instrument.state.preset
    return preset if preset is not None and preset.level == "focus" else instrument.profile.levels["focus"].preset


def _check_beam(instrument: Instrument, what: str) -> None:
    if "focus-fails" in instrument.striking:
        raise FocusFailed(f"{what} found no signal it could trust here; try another place")
    if instrument.world is None or instrument.beam(instrument.clock.now()) == 0.0:
        raise FocusFailed(f"{what}: there is nothing to see, the stage is empty or no beam reaches the camera")
