"""What stands at each lattice site: how bright against its film, how much of a round edge, how much of it in view.

Every site is sampled in polar coordinates. The usual radius and contrast come from all sites together, so that one hole
is judged by what holes of this very image look like.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .discs import film_mean
from .film import View, binned

Points = NDArray[np.float64]

_SECTORS = 24
_PER_RADIUS = 16
_SAMPLED_RADIUS = 14.0


@dataclass(frozen=True, slots=True)
class Scene:
    """The view at the size at which holes of the wanted radius are looked at.

    Attributes
    ----------
    pixels, film
        As in the view; film as weight 0..1.
    step
        Working pixels of the view per pixel here.
    """

    pixels: NDArray[np.float32]
    film: NDArray[np.float32]
    step: int

    def here(self, points: Points) -> Points:
        """Positions in the view to positions here."""
        return (points - (self.step - 1) / 2) / self.step

    def back(self, points: Points) -> Points:
        """Positions here to positions in the view."""
        return points * self.step + (self.step - 1) / 2


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
        Part of the whole fall from inside to film that happens within 15 % of the radius, about 1 for a cut edge, 0.3
        for a cloud.
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
    """

    contrast: NDArray[np.float64]
    support: NDArray[np.float64]
    visible: NDArray[np.float64]
    on_film: NDArray[np.float64]
    inside: NDArray[np.float64]
    around: NDArray[np.float64]
    darkest: NDArray[np.float64]


def scene_for(view: View, radius: float, sampled: float = _SAMPLED_RADIUS) -> Scene:
    """Shrink the view so that a hole of `radius` working px has about the radius `sampled`, no more."""
    step = max(1, int(radius / sampled))
    film = view.film.astype(np.float32)
    if step == 1:
        return Scene(view.pixels, film, 1)
    weight = binned(film, step)
    mean = binned(view.pixels * film, step) / np.maximum(weight, 0.05)
    return Scene(np.where(weight > 0.05, mean, binned(view.pixels, step)).astype(np.float32), weight, step)


def _directions() -> Points:
    """Answer unit steps (row, col) to the middles of the sectors."""
    angles = 2 * np.pi * (np.arange(_SECTORS) + 0.5) / _SECTORS
    return np.stack([np.sin(angles), np.cos(angles)], axis=1)


def _polar(
    scene: Scene, points: Points, radii: NDArray[np.float64], stretch: Points
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sample levels and film weight at (site, sector, radius); NaN outside the image and off the film."""
    along = _directions() @ stretch
    rows = points[:, 0, None, None] + along[None, :, :1] * radii
    cols = points[:, 1, None, None] + along[None, :, 1:] * radii
    where = np.array([rows, cols])
    levels = ndimage.map_coordinates(scene.pixels, where, order=1, mode="nearest").astype(np.float64)
    film = ndimage.map_coordinates(scene.film, where, order=1, mode="nearest").astype(np.float64)
    high = np.array(scene.pixels.shape) - 1
    outside = (rows < 0) | (cols < 0) | (rows > high[0]) | (cols > high[1])
    film[outside] = np.nan
    levels[outside | (film < 0.5)] = np.nan
    return levels, film


def usual_shape(
    scene: Scene, points: Points, radius: float, pitch: float, stretch: Points | None = None
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
    """
    stretch = np.eye(2) if stretch is None else stretch
    own, reach = radius / scene.step, min(1.9 * radius, 0.62 * pitch) / scene.step
    radii = np.linspace(0.0, reach, max(12, int(2.0 * reach)))
    levels, _ = _polar(scene, scene.here(points), radii, stretch)
    rings = _nanmean(levels, axis=1)
    whole = np.asarray(np.isfinite(rings).all(axis=1))
    if whole.sum() < 3:
        whole = np.asarray(np.isfinite(rings).mean(axis=1) > 0.7)
    if not whole.any():
        return None
    floor = _nanmean(rings[whole][:, radii > 0.8 * reach], axis=1)
    levels, rings = levels[whole] - floor[:, None, None], rings[whole] - floor[:, None]
    profile = _middle(rings)
    found = _edge_of(profile, radii, own, min(1.7 * own, 0.5 * pitch / scene.step))
    if found is None:
        return None
    edge, fall, sharpness = found
    sectors = _middle(levels.reshape(len(levels), -1)).reshape(_SECTORS, -1)
    turned = _ellipse(sectors, radii, edge, fall)
    return Shape(edge * scene.step, fall, sharpness, _composed(stretch, turned))


def _edge_of(
    profile: NDArray[np.float64], radii: NDArray[np.float64], own: float, most: float
) -> tuple[float, float, float] | None:
    """Radius of the steepest fall near `own`, the whole fall, and how much of it is near that radius."""
    spacing = radii[1] - radii[0]
    slope = -ndimage.gaussian_filter1d(profile, max(1.0, 0.06 * own / spacing), order=1) / spacing
    allowed = (radii > 0.45 * own) & (radii < most)
    if not np.isfinite(profile).all() or not allowed.any() or slope[allowed].max() <= 0:
        return None
    best = int(np.flatnonzero(allowed)[np.argmax(slope[allowed])])
    edge = float(radii[best])
    inner = float(np.mean(profile[(radii < 0.8 * edge) & (radii > 0.15 * edge)]))
    outer = float(np.mean(profile[radii > min(1.2 * edge, 0.9 * radii[-1])]))
    if not inner > outer:
        return None
    near = np.interp([0.85 * edge - 0.5, 1.15 * edge + 0.5], radii, profile)
    return edge, inner - outer, float((near[0] - near[1]) / (inner - outer))


def _ellipse(sectors: NDArray[np.float64], radii: NDArray[np.float64], edge: float, fall: float) -> Points:
    """Answer the further stretch that brings the edge of all sectors to one radius; none when it is under 3 %."""
    film = float(np.nan_to_num(np.nanmean(sectors[:, -2:])))
    known = np.asarray(np.isfinite(sectors).all(axis=1))
    if known.sum() < 0.7 * _SECTORS:
        return np.eye(2)
    spacing = radii[1] - radii[0]
    above = np.where(known[:, None], sectors, film)
    slope = -ndimage.gaussian_filter1d(above, max(1.0, 0.1 * edge / spacing), axis=1, order=1) / spacing
    # Opposite sectors together: a shadow on one side shifts an edge, tilt moves both.
    slope = slope + np.roll(slope, _SECTORS // 2, axis=0)
    allowed = (radii > 0.4 * edge) & (radii < 1.75 * edge)
    where = radii[allowed][np.argmax(slope[:, allowed], axis=1)]
    angles = 2 * np.pi * (np.arange(_SECTORS) + 0.5) / _SECTORS
    design = np.c_[np.ones(_SECTORS), np.cos(2 * angles), np.sin(2 * angles)]
    weight = np.clip(slope[:, allowed].max(1), 0, None) + 1e-9
    off = np.log(where / edge)
    for _ in range(3):
        solution = np.linalg.lstsq(design * weight[:, None], off * weight, rcond=None)[0]
        weight = weight / (1 + ((off - design @ solution) / 0.1) ** 2)
    _, even, odd = solution
    size = float(np.hypot(even, odd))
    if not 0.03 < size < 0.6 or fall <= 0:
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
    return _quantile(values.T, 0.5)


def _nanmean(values: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """Mean of the numbers along an axis; NaN where fewer than a fifth are numbers."""
    known = np.isfinite(values)
    count = known.sum(axis)
    total = np.where(known, values, 0.0).sum(axis)
    return np.where(count > 0.2 * values.shape[axis], total / np.maximum(count, 1), np.nan)


def snapped(scene: Scene, points: Points, radius: float, reach: float) -> tuple[Points, NDArray[np.float64]]:
    """Move each site to the best disc near it; a scene of about 6 px radius is fine enough.

    Parameters
    ----------
    scene, points
        Where to look; (n, 2) in working px of the view.
    radius, reach
        Of the hole, and how far a site may move, working px.

    Returns
    -------
    points, response
        (n, 2) in working px, and how much brighter the disc there is, in units of the view.
    """
    own = radius / scene.step
    response = film_mean(scene.pixels, scene.film, 0.55 * own) - film_mean(scene.pixels, scene.film, 1.05 * own)
    here = scene.here(points)
    span = max(1, int(np.ceil(reach / scene.step)))
    offsets = np.stack(np.meshgrid(np.arange(-span, span + 1), np.arange(-span, span + 1), indexing="ij"), -1)
    offsets = offsets.reshape(-1, 2)
    offsets = offsets[np.hypot(offsets[:, 0], offsets[:, 1]) <= span]
    places = here[:, None, :] + offsets
    values = ndimage.map_coordinates(response, places.reshape(-1, 2).T, order=1, mode="nearest")
    values = values.reshape(len(points), -1)
    best = np.argmax(values - 1e-9 * np.hypot(offsets[:, 0], offsets[:, 1]), axis=1)
    tops = here + offsets[best]
    for axis in (0, 1):
        unit = np.eye(2)[axis]
        three = [
            ndimage.map_coordinates(response, (tops + shift * unit).T, order=1, mode="nearest") for shift in (-1, 0, 1)
        ]
        bend = three[0] + three[2] - 2 * three[1]
        move = 0.5 * (three[0] - three[2]) / np.where(bend < -1e-9, bend, -np.inf)
        tops = tops + np.clip(move, -0.7, 0.7)[:, None] * unit
    return scene.back(tops), values.max(axis=1)


def edged(scene: Scene, points: Points, shape: Shape, pitch: float) -> tuple[Points, NDArray[np.float64]]:
    """Move each site so that a circle of the usual radius lies on the edge seen around it.

    In every sector the radius of the steepest fall is sought; levels far beyond film and hole (shadows, dirt, vacuum)
    are clipped first, else they would draw the circle. Works for holes cut by the border, whose bright part alone would
    draw the centre inwards.

    Returns
    -------
    points, roundness
        (n, 2) working px of the view; part of the sectors in view whose edge lies on the circle, 0..1.
    """
    here, own = scene.here(points), shape.radius / scene.step
    start = here.copy()
    outer = min(1.5 * own, max(1.15 * own + 1, pitch / scene.step - 1.02 * own))
    radii = np.linspace(0.5 * own, outer, max(12, int(2 * (outer - 0.5 * own)) + 1))
    roundness = np.zeros(len(points))
    for _ in range(3):
        levels, _ = _polar(scene, here, radii, shape.stretch)
        fall, where = _falls(levels, radii, own, shape.contrast)
        move, roundness = _circle(fall, where - own, _directions(), own)
        here = here + move @ shape.stretch
    far = np.hypot(*(here - start).T) > 0.5 * own
    here[far], roundness[far] = start[far], 0.0
    return scene.back(here), roundness


def _falls(
    levels: NDArray[np.float64], radii: NDArray[np.float64], own: float, contrast: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Strength (over the hole's contrast, 0..1) and radius of the steepest fall in each (site, sector)."""
    film = _level(levels[:, :, radii > 1.1 * own])[:, None, None]
    hole = _level(levels[:, :, radii < 0.85 * own])[:, None, None]
    height = np.maximum(hole - film, 0.3 * contrast)
    clipped = np.clip((levels - film) / height, -0.25, 1.25)
    known = np.isfinite(clipped)
    values = np.where(known, clipped, 0.0)
    width = max(2, round(0.25 * own / (radii[1] - radii[0])))
    total = np.concatenate((np.zeros((*values.shape[:2], 1)), np.cumsum(values, axis=2)), axis=2)
    complete = np.concatenate((np.zeros((*values.shape[:2], 1)), np.cumsum(known, axis=2)), axis=2)
    at = np.arange(width, len(radii) - width + 1)
    if at.size == 0:
        return np.zeros(values.shape[:2]), np.full(values.shape[:2], own)
    inner = (total[:, :, at] - total[:, :, at - width]) / width
    outer = (total[:, :, at + width] - total[:, :, at]) / width
    fall = np.where(complete[:, :, at + width] - complete[:, :, at - width] == 2 * width, inner - outer, -1.0)
    best = np.argmax(fall, axis=2)
    strength = np.clip(np.take_along_axis(fall, best[:, :, None], axis=2)[:, :, 0], -1.0, 1.0)
    spacing = radii[1] - radii[0]
    return strength, radii[at[best]] - 0.5 * spacing


def _circle(
    fall: NDArray[np.float64], off: NDArray[np.float64], direction: NDArray[np.float64], own: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Robust least squares of the shift (n, 2) that explains the edges' radii; the radius may give a little."""
    design = np.c_[direction, np.ones(len(direction))]
    weight = np.clip(fall - 0.25, 0, None)
    in_view = fall > -1
    prior = np.diag([0.3, 0.3, 6.0])
    solution = np.zeros((len(fall), 3))
    left = off
    for _ in range(4):
        trust = weight / (1 + (left / (0.1 * own)) ** 2)
        normal = np.einsum("ns,si,sj->nij", trust, design, design) + prior
        right = np.einsum("ns,si,ns->ni", trust, design, off)
        solution = np.linalg.solve(normal, right[:, :, None])[:, :, 0]
        left = off - solution @ design.T
    agree = (np.abs(left) < 0.14 * own) & (fall > 0.35)
    roundness = np.where(in_view.sum(1) > 4, agree.sum(1) / np.maximum(in_view.sum(1), 1), 0.0)
    return np.clip(solution[:, :2], -0.4 * own, 0.4 * own), roundness


def evidence(scene: Scene, points: Points, shape: Shape, pitch: float) -> Evidence:
    """Look at every site (n, 2), working px of the view."""
    own = shape.radius / scene.step
    outer = min(1.45 * own, max(1.15 * own + 1, pitch / scene.step - 1.05 * own))
    radii = np.linspace(0.5 * own / _PER_RADIUS, outer, max(_PER_RADIUS, int(1.5 * outer)))
    levels, film = _polar(scene, scene.here(points), radii, shape.stretch)
    weight = np.broadcast_to(radii, levels.shape)
    disc = radii <= own
    seen = np.isfinite(film[:, :, disc])
    area = weight[:, :, disc]
    visible = (seen * area).sum((1, 2)) / area.sum((1, 2))
    on_film = (np.where(seen, film[:, :, disc] > 0.5, False) * area).sum((1, 2)) / np.maximum(
        (seen * area).sum((1, 2)), 1e-9
    )
    inner_ring, outer_ring = (radii > 0.6 * own) & (radii < 0.93 * own), radii > 1.07 * own
    inside = _level(levels[:, :, radii < 0.88 * own])
    around = _level(levels[:, :, outer_ring])
    step = _nanmean(levels[:, :, inner_ring], axis=2) - _nanmean(levels[:, :, outer_ring], axis=2)
    known = np.isfinite(step)
    edged = np.where(known, step > 0.35 * shape.contrast, False)
    support = np.where(known.sum(1) > 0.15 * _SECTORS, edged.sum(1) / np.maximum(known.sum(1), 1), 0.0)
    middle = levels[:, :, radii < 0.75 * own].reshape(len(points), -1)
    with np.errstate(all="ignore"):
        darkest = _quantile(middle, 0.1) - around
    contrast = np.nan_to_num((inside - around) / shape.contrast)
    return Evidence(contrast, support, visible, on_film, inside, around, np.nan_to_num(darkest / shape.contrast))


def film_part(view: View, points: Points, shape: Shape) -> NDArray[np.float64]:
    """Part of each disc inside the image that is film, 0..1."""
    scene = scene_for(view, shape.radius)
    radii = shape.radius / scene.step * np.sqrt((np.arange(6) + 0.5) / 6)
    _, film = _polar(scene, scene.here(points), radii, shape.stretch)
    known = np.isfinite(film)
    return np.asarray(((film > 0.5) & known).sum((1, 2)) / np.maximum(known.sum((1, 2)), 1), np.float64)


def _level(levels: NDArray[np.float64]) -> NDArray[np.float64]:
    return _quantile(levels.reshape(len(levels), -1), 0.5)


def _quantile(values: NDArray[np.float64], part: float) -> NDArray[np.float64]:
    """Quantile of the numbers of each row; NaN for a row without any."""
    ordered = np.sort(values, axis=1)
    count = np.isfinite(ordered).sum(1)
    index = np.clip(np.floor(part * (count - 1)).astype(int), 0, None)
    picked = np.take_along_axis(ordered, index[:, None], axis=1)[:, 0]
    return np.where(count > 0, picked, np.nan)
