"""What stands at each lattice site: how bright against its film, how much of a round edge, how much of it in view.

Every hole is judged by what holes of this very image look like.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .film import View
from .hole_shape import Shape
from .scene import SECTORS, Points, Scene, level_of, mean_known, polar, quantile_known, scene_for

_PER_RADIUS = 16


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is seen at each site; arrays over sites.

    Attributes
    ----------
    contrast
        Inside minus surrounding film over the usual contrast.
    support
        Part of the visible circumference with an edge like a hole's, 0..1.
    visible
        Part of the disc inside the image, 0..1.
    on_film
        Part of the visible disc that is film or hole, not bar, 0..1.
    inside, around
        Median level inside and around, in units of the view.
    darkest
        Lowest level of the inner half, smoothed, against the surrounding film over the usual contrast.
    evenness
        Step at the rim where it is weakest over the usual step along the same rim; below 1, near 0 for noise.
    """

    contrast: NDArray[np.float64]
    support: NDArray[np.float64]
    visible: NDArray[np.float64]
    on_film: NDArray[np.float64]
    inside: NDArray[np.float64]
    around: NDArray[np.float64]
    darkest: NDArray[np.float64]
    evenness: NDArray[np.float64]


def evidence(scene: Scene, points: Points, shape: Shape, pitch: float) -> Evidence:
    """Look at every site (n, 2), working px of the view."""
    own = shape.radius / scene.step
    outer = min(1.45 * own, max(1.15 * own + 1, pitch / scene.step - 1.05 * own))
    radii = np.linspace(0.5 * own / _PER_RADIUS, outer, max(_PER_RADIUS, int(1.5 * outer)))
    levels, film = polar(scene, scene.here(points), radii, shape.stretch)
    weight = np.broadcast_to(radii, levels.shape)
    disc = radii <= own
    seen = np.isfinite(film[:, :, disc])
    area = weight[:, :, disc]
    visible = (seen * area).sum((1, 2)) / area.sum((1, 2))
    on_film = (np.where(seen, film[:, :, disc] > 0.5, False) * area).sum((1, 2)) / np.maximum(
        (seen * area).sum((1, 2)), 1e-9
    )
    inner_ring, outer_ring = (radii > 0.6 * own) & (radii < 0.93 * own), radii > 1.07 * own
    inside = level_of(levels[:, :, radii < 0.88 * own])
    around = level_of(levels[:, :, outer_ring])
    step = mean_known(levels[:, :, inner_ring], axis=2) - mean_known(levels[:, :, outer_ring], axis=2)
    known = np.isfinite(step)
    edged = np.where(known, step > 0.35 * shape.contrast, False)
    support = np.where(known.sum(1) > 0.15 * SECTORS, edged.sum(1) / np.maximum(known.sum(1), 1), 0.0)
    middle = levels[:, :, radii < 0.75 * own].reshape(len(points), -1)
    with np.errstate(all="ignore"):
        darkest = quantile_known(middle, 0.1) - around
    contrast = np.nan_to_num((inside - around) / shape.contrast)
    darkest = np.nan_to_num(darkest / shape.contrast)
    return Evidence(contrast, support, visible, on_film, inside, around, darkest, _evenness(levels, radii / own))


def _evenness(levels: NDArray[np.float64], radii: NDArray[np.float64]) -> NDArray[np.float64]:
    """Step close to the rim in the weakest fifth of the sectors over its median; 0 where nothing is known."""
    inner, outer = (radii > 0.78) & (radii < 0.96), (radii > 1.04) & (radii < 1.22)
    if not inner.any() or not outer.any():
        return np.zeros(len(levels))
    step = mean_known(levels[:, :, inner], axis=2) - mean_known(levels[:, :, outer], axis=2)
    weak, usual = quantile_known(step, 0.2), quantile_known(step, 0.5)
    return np.asarray(np.where(usual > 0, np.nan_to_num(weak) / np.where(usual > 0, usual, 1.0), 0.0), np.float64)


def film_part(view: View, points: Points, shape: Shape) -> NDArray[np.float64]:
    """Part of each disc inside the image that is film, 0..1."""
    scene = scene_for(view, shape.radius)
    radii = shape.radius / scene.step * np.sqrt((np.arange(6) + 0.5) / 6)
    _, film = polar(scene, scene.here(points), radii, shape.stretch)
    known = np.isfinite(film)
    return np.asarray(((film > 0.5) & known).sum((1, 2)) / np.maximum(known.sum((1, 2)), 1), np.float64)


def merit(seen: Evidence) -> NDArray[np.float64]:
    """Contrast and edge together: about 1.5 for a hole, 0.5 for nothing."""
    return np.asarray(0.5 * np.clip(seen.contrast, -1.0, 1.2) + seen.support, np.float64)
