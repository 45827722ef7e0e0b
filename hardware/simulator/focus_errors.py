"""How well focusing does where no picture is rendered: errors drawn from numbers fitted to what it does on pictures."""

import numpy as np

from ..errors import FocusFailed
from ..protocols import HeightMethod
from ..records import Focused
from .cells import Floats
from .instrument import Instrument
from .openings import SquareKind

OUTLIERS, OUTLIER_FACTOR = 0.02, 8.0
"""Share of measurements that are far off unnoticed, and by how much; assumed."""


def height_um(instrument: Instrument, how: HeightMethod) -> float:
    """Draw what a measurement of the height here answers; raises `FocusFailed`."""
    numbers = instrument.profile.focusing
    here = instrument.looked_at(instrument.clock.now())
    if how == "focus":
        _check_matter(instrument, here, "eucentric height")
    spread = numbers.tilt_error_um if how == "tilt" else numbers.focus_height_error_um
    return instrument.height_um(here) + _error(instrument.rng("height error"), spread)


def autofocus(instrument: Instrument, target_um: float) -> Focused:
    """Draw the outcome of an autofocus here and set the defocus; raises `FocusFailed`."""
    numbers, state = instrument.profile.focusing, instrument.state
    now = instrument.clock.now()
    here = instrument.looked_at(now)
    thick = _check_matter(instrument, here, "autofocus")
    height = state.focal_um + state.defocus_um - instrument.true_defocus_um(here, now)
    if abs(height - state.focal_um) > numbers.autofocus_range_um:
        raise FocusFailed("autofocus: the specimen is too far from focus; find the eucentric height first")
    rng = instrument.rng("autofocus error")
    state.focal_um = height + _error(rng, numbers.autofocus_error_um * (1 + thick / 200.0))
    state.defocus_um = target_um
    measured = target_um + numbers.autofocus_error_um * float(rng.standard_normal())
    return Focused(defocus_um=measured, trusted=thick < numbers.thickest_nm / 2)


def _error(rng: np.random.Generator, spread: float) -> float:
    far = OUTLIER_FACTOR if rng.random() < OUTLIERS else 1.0
    return float(far * spread * rng.standard_normal())


def _check_matter(instrument: Instrument, here: Floats, what: str) -> float:
    """Give the thickness of the ice here in nm, or say why there is nothing to focus on."""
    world = instrument.world
    assert world is not None
    x, y = instrument.to_grid(here)[..., None]
    square = world.squares_at(x, y)
    ice = float(world.ice_nm(x, y)[0])
    if float(world.bar_distance_um(x, y, square)[0]) > 1.0:
        raise FocusFailed(f"{what}: a grid bar is in the way; move into an open square")
    torn = any(tear.holds(x[0], y[0]) for tear in world.defects(int(square.i[0]), int(square.j[0])).tears)
    if square.kind[0] == SquareKind.EMPTY or torn:
        raise FocusFailed(f"{what}: there is no film here to focus on; try another place")
    if ice > instrument.profile.focusing.thickest_nm:
        raise FocusFailed(f"{what}: the ice is too thick to see through; try another square")
    return ice
