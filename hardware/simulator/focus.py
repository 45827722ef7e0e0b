"""Eucentric height, autofocus, settling: what the true state says, with the errors and failures of such procedures."""

import numpy as np

from ...protocols.preset import Preset
from ..errors import FocusFailed
from ..protocols import HeightMethod
from ..records import Drift, Focused, StagePosition
from . import camera, stage
from .cells import Floats
from .instrument import Instrument
from .openings import SquareKind

OUTLIERS, OUTLIER_FACTOR = 0.02, 8.0
"""Share of measurements that are far off unnoticed, and by how much; assumed."""


def eucentric_height(instrument: Instrument, how: HeightMethod) -> float:
    """Find the height here and bring the specimen to the eucentric plane; raises `FocusFailed`."""
    times, numbers = instrument.profile.times, instrument.profile.focusing
    instrument.spend(times.height_tilt if how == "tilt" else times.height_focus, "height")
    here = instrument.looked_at(instrument.clock.now())
    _check_signal(instrument, here, "eucentric height", through=False)
    rng = instrument.rng("height error")
    spread = numbers.tilt_error_um if how == "tilt" else numbers.focus_height_error_um
    error = _error(rng, spread)
    now = stage.position(instrument)
    target = now.z_um - instrument.height_um(here) + error
    return stage.go_to(instrument, StagePosition(now.x_um, now.y_um, target, now.alpha_deg)).z_um


def autofocus(instrument: Instrument, target_um: float) -> Focused:
    """Measure and set the defocus here, at the price of a little dose; raises `FocusFailed`."""
    numbers, state = instrument.profile.focusing, instrument.state
    optics = _focus_preset(instrument)
    camera.give_dose(instrument, optics, "autofocus", numbers.autofocus_dose_e_per_a2)
    instrument.spend(instrument.profile.times.autofocus, "autofocus")
    now = instrument.clock.now()
    here = instrument.looked_at(now)
    thick = _check_signal(instrument, here, "autofocus", through=True)
    height = state.focal_um + state.defocus_um - instrument.true_defocus_um(here, now)
    if abs(height - state.focal_um) > numbers.autofocus_range_um:
        raise FocusFailed("autofocus: the specimen is too far from focus; find the eucentric height first")
    rng = instrument.rng("autofocus error")
    state.focal_um = height + _error(rng, numbers.autofocus_error_um * (1 + thick / 200.0))
    state.defocus_um = target_um
    measured = target_um + numbers.autofocus_error_um * float(rng.standard_normal())
    return Focused(defocus_um=measured, trusted=thick < numbers.thickest_nm / 2)


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


def _focus_preset(instrument: Instrument) -> Preset:
    preset = instrument.state.preset
    return preset if preset is not None and preset.level == "focus" else instrument.profile.levels["focus"].preset


def _error(rng: np.random.Generator, spread: float) -> float:
    far = OUTLIER_FACTOR if rng.random() < OUTLIERS else 1.0
    return float(far * spread * rng.standard_normal())


def _check_signal(instrument: Instrument, here: Floats, what: str, *, through: bool) -> float:
    """Give the thickness of the ice here in nm, or say why there is nothing to focus on.

    ``through`` asks for matter at the very spot; otherwise it is enough that the square has film.
    """
    world, focusing = instrument.world, instrument.profile.focusing
    if "focus-fails" in instrument.striking:
        raise FocusFailed(f"{what} found no signal it could trust here; try another place")
    if world is None or instrument.beam(instrument.clock.now()) == 0.0:
        raise FocusFailed(f"{what}: there is nothing to see, the stage is empty or no beam reaches the camera")
    x, y = instrument.to_grid(here)[..., None]
    square = world.squares_at(x, y)
    ice = float(world.ice_nm(x, y)[0])
    if float(world.bar_distance_um(x, y, square)[0]) > 1.0:
        raise FocusFailed(f"{what}: a grid bar is in the way; move into an open square")
    torn = any(tear.holds(x[0], y[0]) for tear in world.defects(int(square.i[0]), int(square.j[0])).tears)
    if square.kind[0] == SquareKind.EMPTY or (through and torn):
        raise FocusFailed(f"{what}: there is no film here to focus on; try another place")
    if ice > focusing.thickest_nm:
        raise FocusFailed(f"{what}: the ice is too thick to see through; try another square")
    return ice
