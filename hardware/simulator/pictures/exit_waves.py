"""The contrast of an exposure, put together from waves: noise of ice and film, particles, lens, damage and movement.

Ice and film are white noise in phase times the root of their spectrum. The means of stirred ice over groups of frames
are like one another only so far: each is a common noise plus noise of its own, in the shares that give a group's mean
and the mean of all groups the power that they have (`damage.ice_power_left`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy.special import ndtri

from .amorphous import crystal_rings, film_power, ice_power
from .beam_motion import smear
from .counting import modulation
from .damage import ice_power_left, signal_left
from .exposure_scene import Scene, Setting
from .half_plane import BAND, Floats, HalfPlane, Plane, Waves, response, rings_left
from .lens import coherence_envelope
from .specimen import Layer

NODES_A_WAVE = 12.0
"""What movement does to the spectrum is worked out on nodes so close that its shortest wave has so many of them."""

BORROWED = (977, 389)
"""By how many frequencies noise is shifted to serve as noise of another group; of the film, backwards."""

LEVELS = 65536
"""Steps of the table in which normal numbers are looked up by 16 random bits: a third of the time of drawing them."""

MOST_NODES = 400
STILL_PX = 0.3
"""Movement during a frame by less than this blurs nothing."""

THINNEST_NM = 4.0
"""Particles are weighed against ice of at least this thickness where ice is uneven."""


@dataclass(frozen=True, slots=True)
class _Shares:
    """Radial tables: how much of the ice's noise is common and a group's own, and what is left of particles."""

    common: Floats
    own: Floats
    particles: Floats


class ExitWaves:
    """The waves of one exposure: drawn once, put together anew for every group of frames."""

    def __init__(self, scene: Scene, setting: Setting, rng: np.random.Generator) -> None:
        self.scene, self.setting = scene, setting
        self.plane = HalfPlane(setting.padded, setting.pixel_size_a)
        self.noise = _white(self.plane, rng)
        k = self.plane.radii
        envelope = coherence_envelope(k, setting.optics, setting.coherence) * scene.coherent
        if setting.camera.counting:
            envelope = envelope * modulation(2 * k * setting.pixel_size_a, setting.camera)
        self.envelope = envelope
        self.left = rings_left(k, setting.optics.wavelength_a, scene.thickness_nm).astype(np.float32)
        # Pixels of variance P / px² have waves of this size; each is made of two normal numbers.
        scale = math.sqrt(setting.padded[0] * setting.padded[1] / 2) / setting.pixel_size_a
        self.ice = envelope * np.sqrt(ice_power(k, setting.voltage_kv)) * scale
        self.film = envelope * np.sqrt(film_power(k, setting.voltage_kv, scene.gold)) * scale
        self.film_layer = np.sqrt(np.asarray(scene.film_nm, np.float32))
        # Where ice is uneven its picture is laid over by its thickness, and particles, in the same picture, with it.
        self.ice_layer: Layer | None = None
        if isinstance(scene.ice_nm, float):
            self.ice *= math.sqrt(scene.ice_nm)
        else:
            self.ice_layer = np.sqrt(np.asarray(scene.ice_nm, np.float32))
        self.particles: Waves | None = None
        if scene.phase is not None:
            phase = scene.phase if self.ice_layer is None else _weighed(scene.phase, self.ice_layer, setting.margin_px)
            self.particles = np.asarray(scipy.fft.rfft2(phase, workers=1))

    def contrast_of_group(self, number: int, groups: int, middle_px: Floats, blur: Sequence[Floats]) -> Layer:
        """Give the contrast that the frames of one group show, standing at one place (row, col) px.

        ``blur`` holds the stations of each frame relative to its middle.
        """
        nodes = _Nodes(self.plane, blur)
        swept = _parts(smear(list(blur), nodes.fy, nodes.fx)) if max(map(np.ptp, blur)) > STILL_PX else None
        shares = self._shares(number, groups)
        common, own = ((self.ice * part).astype(np.float32) for part in (shares.common, shares.own))
        particles = (self.envelope * shares.particles).astype(np.float32)
        film = self.film.astype(np.float32)
        step = (number + 1) * BORROWED[0], (number + 1) * BORROWED[1]
        pixel_a = self.setting.pixel_size_a
        down = np.exp(-2j * math.pi * pixel_a * middle_px[0] * self.plane.ky).astype(np.complex64)
        right = np.exp(-2j * math.pi * pixel_a * middle_px[1] * self.plane.kx).astype(np.complex64)
        ice_wave, film_wave = self._empty()
        for rows in self.plane.bands():
            at, lens = self._seen(rows)
            ramp = down[rows] * right
            if swept is not None:
                ramp *= _joined(nodes.spread(swept, rows))
            band = ice_wave[rows]
            np.multiply(self.noise[rows], common[at], out=band)
            if groups > 1 and self.scene.spots is None:
                band += self._borrowed(rows, step) * own[at]
            self._add_crystals(rows, band)
            self._add_particles(rows, band, particles[at])
            band *= lens
            band *= ramp
            if film_wave is not None:
                np.multiply(self._borrowed(rows, (-BORROWED[0], -BORROWED[1])), film[at], out=film_wave[rows])
                film_wave[rows] *= lens
                film_wave[rows] *= ramp
        return self._pictured(ice_wave, film_wave)

    def contrast_of_all(self, groups: Sequence[list[Floats]]) -> Layer:
        """Give the contrast of the unaligned sum of all groups: where each frame of each stands, as `stations` says."""
        nodes = _Nodes(self.plane, [place for group in groups for place in group])
        seen, apart = self._over_all(nodes, groups)
        ice, film = self.ice.astype(np.float32), self.film.astype(np.float32)
        envelope = self.envelope.astype(np.float32)
        ice_wave, film_wave = self._empty()
        for rows in self.plane.bands():
            at, lens = self._seen(rows)
            still = nodes.spread(apart, rows)
            band = ice_wave[rows]
            np.multiply(self.noise[rows], ice[at] * still[..., 0], out=band)
            self._add_crystals(rows, band)
            if self.particles is not None:
                self._add_particles(rows, band, _joined(nodes.spread(seen, rows)) * envelope[at])
            band *= lens
            if film_wave is not None:
                amount = film[at] * still[..., 1]
                np.multiply(self._borrowed(rows, (-BORROWED[0], -BORROWED[1])), amount, out=film_wave[rows])
                film_wave[rows] *= lens
        return self._pictured(ice_wave, film_wave)

    def _over_all(self, nodes: "_Nodes", groups: Sequence[list[Floats]]) -> tuple[Plane, Plane]:
        """Give what movement and damage leave in the sum, two channels each: of particles; of ice and of film."""
        common, own = self.stirred(nodes.k, len(groups))
        dose, kv = self.scene.dose_e_per_a2 / len(groups), self.setting.voltage_kv
        frames = sum(len(group) for group in groups)
        whole, seen = np.zeros(nodes.k.shape, np.complex64), np.zeros(nodes.k.shape, np.complex64)
        apart = np.zeros(nodes.k.shape)
        for number, group in enumerate(groups):
            shift = smear(group, nodes.fy, nodes.fx) * np.float32(len(group) / frames)
            whole += shift
            apart += np.abs(shift) ** 2
            seen += shift * signal_left(nodes.k, number * dose, (number + 1) * dose, kv).astype(np.float32)
        still = np.abs(whole)
        noise = np.sqrt((common * still) ** 2 + own**2 * apart)
        return _parts(seen), np.stack([noise, still], axis=-1).astype(np.float32)

    def _shares(self, number: int, groups: int) -> _Shares:
        k, dose, kv = self.plane.radii, self.scene.dose_e_per_a2, self.setting.voltage_kv
        common, own = self.stirred(k, groups)
        return _Shares(common, own, signal_left(k, number * dose / groups, (number + 1) * dose / groups, kv))

    def stirred(self, k: Floats, groups: int) -> tuple[Floats, Floats]:
        """Divide the ice's noise into what all groups have in common and what each has of its own; amplitudes."""
        if self.scene.spots is not None:
            return np.ones_like(k), np.zeros_like(k)
        dose, kv = self.scene.dose_e_per_a2, self.setting.voltage_kv
        one, every = ice_power_left(k, dose / groups, kv), ice_power_left(k, dose, kv)
        own = (one - every) / (1 - 1 / groups) if groups > 1 else np.zeros_like(k)
        return np.sqrt(np.maximum(one - own, 0)), np.sqrt(np.maximum(own, 0))

    def _empty(self) -> tuple[Waves, Waves | None]:
        has_film = float(self.film_layer.max()) > 0
        return np.empty(self.plane.size, np.complex64), np.empty(self.plane.size, np.complex64) if has_film else None

    def _seen(self, rows: slice) -> tuple[NDArray[np.intp], Plane]:
        at = self.plane.places(rows)
        return at, response(self.plane.phase(self.setting.optics, rows), self.left[at])

    def _borrowed(self, rows: slice, step: tuple[int, int]) -> Waves:
        """Take noise from other frequencies: as good as new."""
        lines = np.arange(rows.start + step[0], rows.stop + step[0]) % self.plane.size[0]
        cut = step[1] % self.plane.size[1]
        borrowed = np.empty((len(lines), self.plane.size[1]), np.complex64)
        borrowed[:, : self.plane.size[1] - cut] = self.noise[lines, cut:]
        borrowed[:, self.plane.size[1] - cut :] = self.noise[lines, :cut]
        return borrowed

    def _add_crystals(self, rows: slice, band: Waves) -> None:
        if self.scene.spots is not None:
            band *= crystal_rings(self.plane.ky[rows], self.plane.kx, self.scene.spots)

    def _add_particles(self, rows: slice, band: Waves, factor: Plane | Waves) -> None:
        if self.particles is None:
            return
        seen = self.particles[rows] * factor
        if self.setting.optics.tilt_rad != (0.0, 0.0):
            seen *= self.plane.coma(self.setting.optics, rows)
        band += seen

    def _pictured(self, ice_wave: Waves, film_wave: Waves | None) -> Layer:
        picture = self._inverse(ice_wave)
        if self.ice_layer is not None:
            picture *= self.ice_layer
        if film_wave is not None:
            film = self._inverse(film_wave)
            film *= self.film_layer
            picture += film
        return picture

    def _inverse(self, wave: Waves) -> Layer:
        wave[0, 0] = 0
        whole = np.asarray(scipy.fft.irfft2(wave, s=self.plane.shape, workers=1, overwrite_x=True), np.float32)
        margin, (rows, cols) = self.setting.margin_px, self.setting.shape
        return whole[margin : margin + rows, margin : margin + cols]


class _Nodes:
    """A coarse grid over the half-plane on which the effect of movement between these places is worked out."""

    def __init__(self, plane: HalfPlane, groups: Sequence[Floats]) -> None:
        self.plane = plane
        reach = max(float(np.abs(group).max()) for group in groups)
        self.count = int(min(max(math.ceil(reach * NODES_A_WAVE / 2), 4), MOST_NODES))
        self.fy, self.fx = np.linspace(-0.5, 0.5, 2 * self.count + 1), np.linspace(0, 0.5, self.count + 1)
        self.k = np.hypot(self.fy[:, None], self.fx[None, :]) / plane.pixel_size_a
        self.down = (plane.ky[:, 0] * plane.pixel_size_a + 0.5) * np.float32(2 * self.count)
        right = plane.kx * np.float32(plane.pixel_size_a * 2 * self.count)
        self.right = np.repeat(right, min(BAND, plane.size[0]), axis=0)

    def spread(self, table: NDArray[np.float32], rows: slice) -> NDArray[np.float32]:
        """Interpolate what is known at the nodes, (rows, cols, channels), to a band."""
        right = self.right[: rows.stop - rows.start]
        down = np.repeat(self.down[rows, None], self.plane.size[1], axis=1)
        return np.asarray(cv2.remap(table, right, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))


def _weighed(phase: Layer, ice_layer: Layer, margin: int) -> Layer:
    """Divide the particles' phase by the layer that their picture is going to be multiplied with."""
    rows, cols = phase.shape
    below, right = rows - margin - ice_layer.shape[0], cols - margin - ice_layer.shape[1]
    weight = cv2.copyMakeBorder(ice_layer, margin, below, margin, right, cv2.BORDER_REPLICATE)
    np.maximum(weight, np.float32(math.sqrt(THINNEST_NM)), out=weight)
    return np.asarray(np.divide(phase, weight, out=np.asarray(weight, np.float32)))


def _parts(waves: NDArray[np.complex64]) -> NDArray[np.float32]:
    """Lay real and imaginary part into channels."""
    return np.stack([waves.real, waves.imag], axis=-1)


def _joined(parts: NDArray[np.float32]) -> Waves:
    """Make complex numbers of two channels."""
    return parts.view(np.complex64)[..., 0]


def _white(plane: HalfPlane, rng: np.random.Generator) -> Waves:
    """Draw the waves of white noise, each of two standard normal numbers."""
    normal, count = _normal_quantiles(), plane.size[1] * 2
    noise = np.empty(plane.size, np.complex64)
    for rows in plane.bands():
        band = noise[rows].view(np.float32)
        bits = rng.integers(0, LEVELS, (len(band), count), dtype=np.uint16)
        np.take(normal, bits, out=band, mode="clip")
    # Of the first and the last column a real picture takes the symmetric half.
    noise[:, 0] *= np.float32(math.sqrt(2))
    if plane.shape[1] % 2 == 0:
        noise[:, -1] *= np.float32(math.sqrt(2))
    return noise


@cache
def _normal_quantiles() -> Plane:
    """Give the middles of equal shares of the normal distribution, to a variance of 1."""
    quantiles = ndtri((np.arange(LEVELS) + 0.5) / LEVELS)
    return np.asarray(quantiles / quantiles.std(), np.float32)
