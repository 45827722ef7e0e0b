"""The energy filter: where the zero-loss peak stands in the slit, and what of it passes."""

from datetime import datetime

from scipy.special import ndtr

from ....protocols.preset import Preset
from ..grid.cells import field, normal
from ..instrument.profile import Profile
from ..instrument.state import State

WIDTHS_IN_SIGMA = 2.3548
"""Full width at half maximum of a Gaussian in standard deviations."""

WANDER_H = 0.7
"""Hours over which the peak's wandering about its steady drift is alike; assumed."""


def offset_ev(state: State, profile: Profile, own: int, at: datetime) -> float:
    """Give how far the zero-loss peak stands from the slit's middle: what centring left, drift since then, jumps."""
    centred = state.zero_loss_at or state.started
    began, now = ((moment - state.started).total_seconds() / 3600 for moment in (centred, at))
    moved = _peak(own, now) - _peak(own, began)
    return state.zero_loss_left_ev + state.zero_loss_jump_ev + profile.optics.zero_loss_drift_ev_per_h * moved


def passes(state: State, profile: Profile, own: int, preset: Preset, at: datetime) -> float:
    """Give the fraction of the zero-loss peak that passes the slit; 1 where there is none."""
    if preset.slit_ev is None or not profile.optics.energy_filter:
        return 1.0
    sigma = profile.optics.zero_loss_width_ev / WIDTHS_IN_SIGMA
    offset = offset_ev(state, profile, own, at)
    return float(ndtr((preset.slit_ev / 2 - offset) / sigma) - ndtr((-preset.slit_ev / 2 - offset) / sigma))


def _peak(own: int, hours: float) -> float:
    steady = float(normal(own, "zero loss", 0))
    return steady * hours + 0.5 * float(field(own, "zero loss wanders", hours, 0.0, WANDER_H))
