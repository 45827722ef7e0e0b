"""What the hole-marking network says of a view: it is brought to the network's scale, and what is marked is read off.

The scale is not known beforehand. The holes' size as made proposes one, a ladder and lattices of bright discs others;
the network marks holes only where they have about the size it knows, so its own maps tell which scale is right.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .evened import evened
from .film import View
from .hole_network import STRIDE, WORKING_RADIUS_PX, HoleMaps, maps_of, tops
from .scene import Points

_FINE_RADIUS_PX = 9.0
_MARKED = 0.3
_STRONG = 0.5
_GOOD, _ENOUGH = 0.8, 8
_FEW_GOOD, _FEW = 0.9, 2
_AGREE, _SAME = math.log(1.25), math.log(1.08)
_LADDER = 1.75
_LARGEST_PART, _LEAST_RADIUS = 0.3, 7.0
_REACH = 0.35
_MOST_HINTS = 3
_SMALLEST_RADIUS, _MOST_PX = 4.0, 2.4e6
_HINTS_APART = math.log(1.3)
_SIZES = 0.12


@dataclass(frozen=True, slots=True)
class Marks:
    """What was marked at one scale; places and lengths in working px of the view.

    Attributes
    ----------
    radius
        The holes' radius that the scale was chosen for.
    scale
        (2,) px of the network's image per working px of the view, along rows and columns.
    heat, disc
        Logits of centre and disc, on the maps' own pixels; `heat` calibrated.
    peaks, chance, radii
        (n, 2), (n,), (n,): tops of the heat, how likely a hole stands there, how large it looks.
    """

    radius: float
    scale: NDArray[np.float64]
    heat: NDArray[np.float32]
    disc: NDArray[np.float32]
    peaks: Points
    chance: NDArray[np.float64]
    radii: NDArray[np.float64]

    @property
    def strength(self) -> float:
        """How much of a sure thing the scale is: holes marked, each by its chance, and the usual one's again."""
        strong = self.chance[self.chance > _STRONG]
        return float(strong.sum() * strong.mean()) if strong.size else 0.0

    def are_sure(self, least: int, usual: float) -> bool:
        """Tell whether so many holes at least are marked, their usual chance above `usual`."""
        strong = self.chance[self.chance > _STRONG]
        return strong.size >= least and float(strong.mean()) > usual

    @property
    def usual_radius(self) -> float:
        """Median of the radii of what is surely marked; that of the scale where nothing is."""
        strong = self.chance > _STRONG
        return float(np.median(self.radii[strong])) if strong.any() else self.radius

    def at(self, points: Points) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Give the highest heat near each place (n, 2), and the mean logit of the disc around it."""
        there = self._there(points)
        own = self.radius * float(self.scale.mean()) / STRIDE
        reach = max(1, round(_REACH * own))
        highest = cv2.dilate(self.heat, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1)))
        mean = cv2.GaussianBlur(self.disc, (0, 0), 0.4 * own)
        return tuple(  # type: ignore[return-value]
            ndimage.map_coordinates(np.asarray(plane, np.float64), there.T, order=1, mode="nearest")
            for plane in (highest, mean)
        )

    def _there(self, points: Points) -> Points:
        return np.asarray(((points + 0.5) * self.scale - 0.5 - (STRIDE - 1) / 2) / STRIDE)


def look(network: HoleMaps, view: View, radius: float) -> Marks:
    """Bring the view to the scale at which holes of `radius` working px have the network's size, and look."""
    finest = max(1.0, math.sqrt(_MOST_PX / view.pixels.size))
    wanted = WORKING_RADIUS_PX / radius if radius > WORKING_RADIUS_PX else max(1.0, _FINE_RADIUS_PX / radius)
    wanted = min(wanted, finest)
    rows, cols = (max(16, round(length * wanted)) for length in view.pixels.shape)
    how = cv2.INTER_AREA if wanted < 1 else cv2.INTER_LINEAR
    image = view.pixels if wanted == 1 else np.asarray(cv2.resize(view.pixels, (cols, rows), interpolation=how))
    film = cv2.resize(view.film.astype(np.float32), (cols, rows), interpolation=how)
    scale = np.array(image.shape) / view.pixels.shape
    a, b = (float(value) for value in network.calibration)
    even = evened(image.astype(np.float32), np.asarray(film, np.float32), WORKING_RADIUS_PX)
    heat, disc, size = maps_of(network, even)
    heat = (a * heat + b).astype(np.float32)
    rows_at, cols_at = tops(heat, 3, math.log(_MARKED / (1 - _MARKED)))
    at = np.stack([rows_at + _vertex(heat, rows_at, cols_at, 0), cols_at + _vertex(heat, rows_at, cols_at, 1)], axis=1)
    peaks = (at * STRIDE + (STRIDE - 1) / 2 + 0.5) / scale - 0.5
    chance = 1 / (1 + np.exp(-heat[rows_at, cols_at].astype(np.float64)))
    radii = WORKING_RADIUS_PX * np.exp(np.clip(size[rows_at, cols_at].astype(np.float64), -1.5, 1.5)) / scale.mean()
    kept = _on_film(view, peaks)
    peaks, radii = peaks[kept], radii[kept]
    return Marks(radius, scale, heat, disc, peaks, _of_one_size(chance[kept], radii), radii)


def _on_film(view: View, peaks: Points) -> NDArray[np.bool_]:
    """Tell which marks lie on film, not on bars."""
    index = np.clip(np.rint(peaks).astype(np.intp), 0, np.array(view.film.shape) - 1)
    return np.asarray(view.film[index[:, 0], index[:, 1]], np.bool_)


def _of_one_size(chance: NDArray[np.float64], radii: NDArray[np.float64]) -> NDArray[np.float64]:
    """Lower the chance of what is not as large as the others: the holes of a film are of one size."""
    strong = chance > _STRONG
    if strong.sum() < 2:
        return chance
    logs = np.log(radii)
    votes = np.exp(-0.5 * ((logs[:, None] - logs[strong][None]) / _SIZES) ** 2) @ chance[strong]
    usual = logs[strong][np.argmax(votes[strong])]
    return np.asarray(chance * np.exp(-0.5 * (np.maximum(np.abs(logs - usual) - _SIZES, 0) / _SIZES) ** 2))


def marked(network: HoleMaps, view: View, known: Sequence[float], hints: Callable[[], Sequence[float]]) -> Marks | None:
    """Look at the scale that is known, at a ladder of scales, then at those hinted at, until holes are surely marked.

    Parameters
    ----------
    known
        Radii in working px that are expected.
    hints
        Gives radii in working px, the likeliest first; asked only where no step of the ladder has marked holes surely.

    Returns
    -------
    marks
        Those at the best scale; None when nothing is marked at any.
    """
    best: Marks | None = None

    # Noise is marked a little in many places where it is looked at finely: few sure marks count for more.
    def left() -> Sequence[float]:
        return [] if best is not None and best.are_sure(_FEW, _FEW_GOOD) else hints()

    for radius in _radii(view, known, left):
        seen = look(network, view, radius)
        if seen.strength > 0 and abs(math.log(seen.usual_radius / radius)) > _AGREE:
            seen = look(
                network, view, float(np.clip(seen.usual_radius, _SMALLEST_RADIUS, 0.5 * min(view.pixels.shape)))
            )
        best = seen if best is None or seen.strength > best.strength else best
        if best.are_sure(_ENOUGH, _GOOD):
            break
    if best is None or best.strength == 0:
        return None
    usual = max(best.usual_radius, _SMALLEST_RADIUS)
    if abs(math.log(usual / best.radius)) > _SAME:
        closer = look(network, view, usual)
        best = closer if closer.strength > best.strength else best
    return best


def _radii(view: View, known: Sequence[float], hints: Callable[[], Sequence[float]]) -> Iterator[float]:
    """Give the radii to look with, working px."""
    given = list(known)
    yield from given
    radius = _LARGEST_PART * min(view.pixels.shape)
    while radius > _LEAST_RADIUS:
        given.append(radius)
        yield radius
        radius /= _LADDER
    found = 0
    for radius in hints():
        if found < _MOST_HINTS and all(abs(math.log(radius / other)) > _HINTS_APART for other in given):
            given.append(radius)
            found += 1
            yield radius


def _vertex(
    heat: NDArray[np.float32], rows: NDArray[np.intp], cols: NDArray[np.intp], axis: int
) -> NDArray[np.float64]:
    """Offset of a parabola's vertex through three neighbours along `axis`, at most half a pixel."""
    low, high = [rows, cols], [rows, cols]
    low[axis] = np.maximum(low[axis] - 1, 0)
    high[axis] = np.minimum(high[axis] + 1, heat.shape[axis] - 1)
    before, after = heat[tuple(low)].astype(np.float64), heat[tuple(high)].astype(np.float64)
    bend = before + after - 2.0 * heat[rows, cols]
    return np.asarray(np.clip(0.5 * (before - after) / np.where(bend < -1e-6, bend, -np.inf), -0.5, 0.5), np.float64)
