"""Where exactly holes are: sites moved to the brightest disc near, then to the edge seen around them; their lattice."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .discs import CENTRE, SURROUND, film_mean
from .film import View
from .hole_shape import Shape
from .lattice import kind_of
from .records import Lattice
from .scene import Points, Scene, directions, level_of, polar, scene_for

_SNAPPED_RADIUS = 6.0


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
    here = scene.here(points)
    span = max(1, int(np.ceil(reach / scene.step)))
    low = np.clip(np.floor(here.min(0)) - span - 5 * own, 0, np.array(scene.pixels.shape) - 1).astype(int)
    high = np.ceil(here.max(0) + span + 5 * own).astype(int) + 1
    pixels, film = (whole[low[0] : high[0], low[1] : high[1]] for whole in (scene.pixels, scene.film))
    response = film_mean(pixels, film, CENTRE * own) - film_mean(pixels, film, SURROUND * own)
    here = here - low
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
    return scene.back(tops + low), values.max(axis=1)


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
        levels, _ = polar(scene, here, radii, shape.stretch)
        fall, where = _falls(levels, radii, own, shape.contrast)
        move, roundness = _circle(fall, where - own, directions(), own)
        here = here + move @ shape.stretch
    far = np.hypot(*(here - start).T) > 0.5 * own
    here[far], roundness[far] = start[far], 0.0
    return scene.back(here), roundness


def _falls(
    levels: NDArray[np.float64], radii: NDArray[np.float64], own: float, contrast: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Strength (over the hole's contrast, 0..1) and radius of the steepest fall in each (site, sector)."""
    film = level_of(levels[:, :, radii > 1.1 * own])[:, None, None]
    hole = level_of(levels[:, :, radii < 0.85 * own])[:, None, None]
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


def placed(view: View, scene: Scene, expected: Points, shape: Shape, pitch: float) -> Points:
    """Move sites to their own evidence: to the edge where one is seen all around, else to the brightest disc near."""
    coarse = scene_for(view, shape.radius, _SNAPPED_RADIUS)
    discs, _ = snapped(coarse, expected, shape.radius, reach_of(shape.radius, pitch))
    rows, cols = np.array(scene.pixels.shape) * scene.step
    inside = np.minimum(expected, np.array([rows, cols]) - 1 - expected).min(1) > shape.radius
    start = np.where(inside[:, None], discs, expected)
    edges, roundness = edged(scene, start, shape, pitch)
    return np.where((roundness > 0.5)[:, None], edges, start)


def reach_of(radius: float, pitch: float) -> float:
    """How far (px) a hole may stand off its lattice site."""
    return max(1.0, min(0.35 * radius, 0.14 * pitch))


def lattice_in(view: View, origin: Points, basis: Points, confidence: float) -> Lattice:
    """Bring a lattice of the view to pixels of the image."""
    a, b = basis * view.step
    pairs = [(float(row), float(col)) for row, col in (a, b, origin * view.step + (view.step - 1) / 2)]
    return Lattice(kind_of(basis), pairs[0], pairs[1], pairs[2], confidence)
