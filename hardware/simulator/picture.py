"""The picture the camera takes now: specimen, lens and camera put together from the state of the instrument."""

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..records import Shot
from .instrument import Instrument
from .movie import movie
from .specimen import Stain
from .survey import survey

MOST_IN_A_BYTE = 127


def take(instrument: Instrument, shot: Shot, at: datetime, marks: Sequence[Stain]) -> NDArray[Any]:
    """Render what the camera reads out: (rows, cols), or (frames, rows, cols) where frames are saved; counts."""
    if shot.preset.level in ("atlas", "square", "hole"):
        return survey(instrument, shot.preset, at, marks)
    frames = movie(instrument, shot.preset, at, marks)
    if not shot.save_frames or shot.preset.frames == 1:
        return sum(frames, np.zeros((shot.preset.rows_px, shot.preset.cols_px), np.float32)).astype(np.int16)
    # One byte for each count where that is enough: a movie is most of what a night leaves on the disk.
    per_frame = shot.preset.dose_e_per_a2 * shot.preset.pixel_size_a**2 / shot.preset.frames
    kind = np.int8 if per_frame + 10 * math.sqrt(per_frame) + 10 <= MOST_IN_A_BYTE else np.int16
    kept = np.empty((shot.preset.frames, shot.preset.rows_px, shot.preset.cols_px), kind)
    for number, frame in enumerate(frames):
        kept[number] = np.minimum(frame, np.iinfo(kind).max)
    return kept
