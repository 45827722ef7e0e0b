"""The usual hole of an image: radius, ellipse, contrast and sharpness, from all its sites together."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .scene import SECTORS, Points, Scene, mean_known, polar, quantile_known


@dataclass(frozen=True, slots=True)
class Shape:
    """The usual hole of an image.

    Attributes
    ----------
    radius
        Working px of the view; of the circle of equal area when holes are seen tilted.
    contrast
        Inside minus film, in units of the view.
    sharpness
        Part of the fall around the rim that happens within 12 % of the radius, about 1 for a cut edge, 0.5 for a
        cloud. Levels next to the rim count, not the middle: ice may be domed.
    stretch
        (2, 2) symmetric with determinant 1: takes the circle of `radius` to the ellipse that a tilted hole is.
    """

    radius: float
    contrast: float
    sharpness: float
    stretch: Points

    @property
    def longest(self) -> float:
        """Half the longest diameter, working px of the view."""
        return self.radius * float(np.linalg.norm(self.stretch, 2))


def usual_shape(
    scene: Scene,
    points: Points,
    radius: float,
    pitch: float,
    stretch: Points | None = None,
    known: float | None = None,
) -> Shape | None:
    """Measure radius, ellipse, contrast and sharpness of the usual hole from all sites together.

    Parameters
    ----------
    scene, points
        Where to look; (n, 2) in working px of the view.
    radius, pitch
        First guess of the radius and the distance between sites, working px.
    stretch
        First guess of the ellipse; None for a circle.
    known
        Radius of the holes as made, working px: the edge is looked for near it. None when not known.
    """
    stretch = np.eye(2) if stretch is None else stretch
    own, reach = radius / scene.step, min(1.9 * radius, 0.62 * pitch) / scene.step
    radii = np.linspace(0.0, reach, max(12, int(2.0 * reach)))
    levels, _ = polar(scene, scene.here(points), radii, stretch)
    rings = mean_known(levels, axis=1)
    whole = np.asarray(np.isfinite(rings).all(axis=1))
    if whole.sum() < 3:
        whole = np.asarray(np.isfinite(rings).mean(axis=1) > 0.7)
    if not whole.any():
        return None
    floor = mean_known(rings[whole][:, radii > 0.8 * reach], axis=1)
    levels, rings = levels[whole] - floor[:, None, None], rings[whole] - floor[:, None]
    profile = _middle(rings)
    least, most = (0.45 * own, 1.7 * own) if known is None else (0.75 * known / scene.step, 1.25 * known / scene.step)
    found = _edge_of(profile, radii, own, (least, min(most, 0.5 * pitch / scene.step)))
    if found is None:
        return None
    edge, fall, sharpness = found
    sectors = _middle(levels.reshape(len(levels), -1)).reshape(SECTORS, -1)
    turned = _ellipse(sectors, radii, edge)
    return Shape(edge * scene.step, fall, sharpness, _composed(stretch, turned))


def _edge_of(
    profile: NDArray[np.float64], radii: NDArray[np.float64], own: float, between: tuple[float, float]
) -> tuple[float, float, float] | None:
    """Radius of the steepest fall between two radii, the whole fall, and how much of it is near that radius."""
    spacing = radii[1] - radii[0]
    slope = -ndimage.gaussian_filter1d(profile, max(1.0, 0.06 * own / spacing), order=1) / spacing
    allowed = (radii > between[0]) & (radii < between[1])
    if not np.isfinite(profile).all() or not allowed.any() or slope[allowed].max() <= 0:
        return None
    best = int(np.flatnonzero(allowed)[np.argmax(slope[allowed])])
    edge = float(radii[best])
    inner = float(np.mean(profile[(radii < 0.8 * edge) & (radii > 0.15 * edge)]))
    outer = float(np.mean(profile[radii > min(1.2 * edge, 0.9 * radii[-1])]))
    if not inner > outer:
        return None
    near = np.interp([0.88 * edge - 0.5, 1.12 * edge + 0.5], radii, profile)
    wide = np.interp(edge * np.array([[0.65, 0.75, 0.85], [1.15, 1.25, 1.35]]), radii, profile).mean(axis=1)
    return edge, inner - outer, float((near[0] - near[1]) / max(wide[0] - wide[1], 1e-12))


def _ellipse(sectors: NDArray[np.float64], radii: NDArray[np.float64], edge: float) -> Points:
    """Answer the further stretch that brings the edge of all sectors to one radius; none when it is under 3 %."""
    known = np.asarray(np.isfinite(sectors).all(axis=1))
    if known.sum() < 0.7 * SECTORS:
        return np.eye(2)
    spacing = radii[1] - radii[0]
    above = np.where(known[:, None], sectors, 0.0)
    slope = -ndimage.gaussian_filter1d(above, max(1.0, 0.1 * edge / spacing), axis=1, order=1) / spacing
    # Opposite sectors together: a shadow on one side shifts an edge, tilt moves both.
    slope = slope + np.roll(slope, SECTORS // 2, axis=0)
    allowed = (radii > 0.4 * edge) & (radii < 1.75 * edge)
    where = radii[allowed][np.argmax(slope[:, allowed], axis=1)]
    angles = 2 * np.pi * (np.arange(SECTORS) + 0.5) / SECTORS
    design = np.c_[np.ones(SECTORS), np.cos(2 * angles), np.sin(2 * angles)]
    weight = np.clip(slope[:, allowed].max(1), 0, None) + 1e-9
    off = np.log(where / edge)
    for _ in range(3):
        solution = np.linalg.lstsq(design * weight[:, None], off * weight, rcond=None)[0]
        weight = weight / (1 + ((off - design @ solution) / 0.1) ** 2)
    _, even, odd = solution
    size = float(np.hypot(even, odd))
    if not 0.03 < size < 0.6:
        return np.eye(2)
    # cos 2θ with θ from the column axis: +even lengthens columns, +odd the diagonal.
    generator = np.array([[-even, odd], [odd, even]])
    values, vectors = np.linalg.eigh(generator)
    return np.asarray(vectors @ np.diag(np.exp(values)) @ vectors.T, np.float64)


def _composed(stretch: Points, further: Points) -> Points:
    """Symmetric stretch with the ellipse of one after the other."""
    both = stretch @ further
    values, vectors = np.linalg.eigh(both @ both.T)
    values = np.sqrt(values / np.sqrt(values.prod()))
    return np.asarray(vectors @ np.diag(values) @ vectors.T, np.float64)


def _middle(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Median of each column's numbers; NaN for a column without any."""
    return quantile_known(values.T, 0.5)
