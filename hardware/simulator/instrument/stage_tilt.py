"""Eucentric height measured as instruments do: pictures at two tilts, displaced in proportion to the height."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ....protocols.preset import Preset
from ..pictures.survey import survey
from .displacement import displacement
from .instrument import Instrument

SIDE_PX = 256
"""Side of the pictures: the camera binned, its middle."""

WIDE_UM, NARROW_UM = 120.0, 60.0
"""Field of the pictures of the coarse and of the fine measurement."""


@dataclass(frozen=True, slots=True)
class Tilted:
    """A height over the eucentric plane in µm, and how far the correlation's peak stood out of its noise."""

    height_um: float
    clear: float


def measure(instrument: Instrument, tilt_deg: float, field_um: float) -> Tilted:
    """Take a picture at either tilt and see how far the specimen has run sideways."""
    state, preset = instrument.state, _small(instrument, field_um)
    kept = state.alpha_deg, state.error_x_um, state.error_y_um
    wander, rng = instrument.profile.stage.tilt_wander_um, instrument.rng(f"tilt {state.acts} {field_um}")
    pictures, linear = [], np.eye(2)
    try:
        for tilt in (tilt_deg, -tilt_deg):
            state.alpha_deg = tilt
            off = wander * rng.standard_normal(2)
            state.error_x_um, state.error_y_um = kept[1] + float(off[0]), kept[2] + float(off[1])
            # Each picture has noise of its own, as acts have.
            state.acts += 1
            pictures.append(survey(instrument, preset, instrument.clock.now(), ()).astype(np.float32))
            linear = np.array(instrument.nominal(preset))[:, :2]
    finally:
        state.alpha_deg, state.error_x_um, state.error_y_um = kept
    found = displacement(pictures[0], pictures[1])
    return Tilted(_sideways_um(linear, found.row, found.col) / (2 * math.tan(math.radians(tilt_deg))), found.clear)


def _sideways_um(linear: NDArray[np.float64], row: float, col: float) -> float:
    """Give how far the camera looked further along y in the first picture; content moves against where one looks."""
    return float((linear @ [row, col])[1])


def _small(instrument: Instrument, field_um: float) -> Preset:
    preset = instrument.profile.levels["square"].preset
    # A picture of fewer pixels shows the same field; what falls on the specimen stays the same.
    return preset.model_copy(
        update={"rows_px": SIDE_PX, "cols_px": SIDE_PX, "pixel_size_a": field_um * 1e4 / SIDE_PX, "binning": 1}
    )
