"""What an exposure looks at, and with what."""

from dataclasses import dataclass

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from ..instrument.profile import Camera
from .lens import Aberrations, Coherence
from .specimen import Layer


@dataclass(frozen=True, slots=True)
class Scene:
    """What one exposure looks at.

    Attributes
    ----------
    ice_nm, film_nm
        Thickness, shape (rows, cols) or a scalar.
    gold
        Whether the film is gold.
    phase
        Phase of particles in radians, of the shape that `Setting.padded` gives; None where there are none.
    electrons
        Expected electrons per pixel, all frames, after all that the specimen holds back; (rows, cols) or a scalar.
    thickness_nm
        Mean thickness, for the damping of the rings.
    dose_e_per_a2, exposure_s
        Of all frames together.
    coherent
        Share of the electrons that interfere; those that have lost energy and pass make an even background.
    spots
        Brightness of the directions of crystalline ice's rings (`amorphous.spot_weights`); None where it is vitreous.
    """

    ice_nm: Layer | float
    film_nm: Layer | float
    gold: bool
    phase: Layer | None
    electrons: Layer | float
    thickness_nm: float
    dose_e_per_a2: float
    exposure_s: float
    coherent: float = 1.0
    spots: NDArray[np.float64] | None = None


@dataclass(frozen=True, slots=True)
class Setting:
    """With what it is looked at; waves go round a picture larger by ``margin_px`` on each side, at the least."""

    optics: Aberrations
    coherence: Coherence
    camera: Camera
    voltage_kv: float
    pixel_size_a: float
    shape: tuple[int, int]
    margin_px: int = 0

    @property
    def padded(self) -> tuple[int, int]:
        """Rows and columns of the larger picture, whose Fourier transform is quick."""
        if self.margin_px == 0:
            return self.shape
        rows, cols = (int(scipy.fft.next_fast_len(side + 2 * self.margin_px)) for side in self.shape)
        return rows, cols
