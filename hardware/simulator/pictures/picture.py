"""The picture the camera takes now: specimen, lens and camera put together from the state of the instrument."""

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...records import Shot
from ..instrument.instrument import Instrument
from .movie import exposure_sum, movie
from .specimen import Stain
from .survey import survey

MOST_IN_A_BYTE, MOST_IN_TWO_BYTES = 127, 32767


def take(instrument: Instrument, shot: Shot, at: datetime, marks: Sequence[Stain]) -> NDArray[Any]:
    """Render what the camera reads out: (rows, cols), or (frames, rows, cols) where frames are saved; counts."""
    if shot.preset.level in ("atlas", "square", "hole"):
        return survey(instrument, shot.preset, at, marks)
    preset = shot.preset
    if not shot.save_frames or preset.frames == 1:
        return exposure_sum(instrument, preset, at, marks, MOST_IN_TWO_BYTES)
    # One byte for each count where that is enough: a movie is most of what a night leaves on the disk.
    per_frame = preset.dose_e_per_a2 * preset.pixel_size_a**2 / preset.frames
    small = per_frame + 10 * math.sqrt(per_frame) + 10 <= MOST_IN_A_BYTE
    kept = np.empty((preset.frames, preset.rows_px, preset.cols_px), np.int8 if small else np.int16)
    for number, frame in enumerate(
        movie(instrument, preset, at, marks, MOST_IN_A_BYTE if small else MOST_IN_TWO_BYTES)
    ):
        kept[number] = frame
    return kept
