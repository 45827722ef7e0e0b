"""What makes an array of a stranger's file an image that can be used, and the sentences for what does not."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..protocols.errors import BadInput

SMALLEST_PX = 16
"""A side shorter than this is no image of a specimen."""


class BadImage(BadInput):
    """A file that is not an image to be used; the sentence says why and what to do."""


def section_of(path: Path, section: int | None, sections: int) -> int:
    """Give the number of the image that is asked for.

    Raises
    ------
    BadImage
        The file is a stack and none is named, or it has none of that number.
    """
    if section is None and sections != 1:
        raise BadImage(
            f"{path} is a stack of {sections} images where one is asked; say which with --section, 0 to {sections - 1}."
        )
    if section is not None and not 0 <= section < sections:
        raise BadImage(f"{path} holds {sections} images, numbered from 0; there is no number {section}.")
    return section or 0


def large_enough(path: Path, rows: int, cols: int) -> None:
    """Raise `BadImage` where a side is shorter than `SMALLEST_PX`."""
    if min(rows, cols) < SMALLEST_PX:
        raise BadImage(f"{path} is only {cols}×{rows} pixels; an image needs at least {SMALLEST_PX}×{SMALLEST_PX}.")


def usable(path: Path, stored: NDArray[Any]) -> NDArray[np.float32]:
    """Bring one stored image (rows, cols) to float32.

    Complex numbers whose imaginary parts are all 0 are an image stored as complex: their real parts are taken, else the
    moduli.

    Raises
    ------
    BadImage
        It holds NaN or infinite values, or one value only.
    """
    if stored.dtype.kind == "c":
        stored = np.abs(stored) if stored.imag.any() else stored.real
    with np.errstate(over="ignore"):
        pixels = np.array(stored, dtype=np.float32)
    low, high = pixels.min(), pixels.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        bad = int(np.count_nonzero(~np.isfinite(pixels)))
        raise BadImage(f"{path} holds {bad} pixels that are not numbers (NaN or infinite); write it anew without them.")
    if low == high:
        raise BadImage(f"{path}: every pixel is {low:g}, there is nothing to see; was the beam on?")
    return pixels
