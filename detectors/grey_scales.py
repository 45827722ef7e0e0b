"""Other scales of grey, for images that hold more than mesh and film: vacuum that outshines all, or holes in film.

Two levels cannot tell three things apart. Where vacuum is many times as bright as film, the square root (as for counts,
whose noise it makes even) brings film away from the mesh; where holes outshine the film around them, what is brighter
than that film is cut off.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .mixture import Levels


@dataclass(frozen=True, slots=True)
class Plain:
    """Intensities as they are."""

    def of(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Bring intensities to the scale."""
        return pixels

    def back(self, levels: Levels) -> Levels:
        """Bring levels found on the scale back to intensities."""
        return levels


@dataclass(frozen=True, slots=True)
class Rooted:
    """The square root of what lies above `zero`."""

    zero: float

    def of(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Bring intensities to the scale."""
        return np.asarray(np.sqrt(np.maximum(pixels - np.float32(self.zero), 0)), np.float32)

    def back(self, levels: Levels) -> Levels:
        """Bring levels found on the scale back to intensities."""
        dark, bright, threshold = (self.zero + value**2 for value in (levels.dark, levels.bright, levels.threshold))
        return Levels(dark, bright, threshold, levels.share)


@dataclass(frozen=True, slots=True)
class Clipped:
    """Nothing brighter than `top`."""

    top: float

    def of(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Bring intensities to the scale."""
        return np.asarray(np.minimum(pixels, np.float32(self.top)), np.float32)

    def back(self, levels: Levels) -> Levels:
        """Bring levels found on the scale back to intensities."""
        return levels


Scale = Plain | Rooted | Clipped
