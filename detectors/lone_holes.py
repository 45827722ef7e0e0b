"""Holes in a view too narrow for a lattice: one to three of them, of a diameter that is known.

Without neighbours to compare with, a place is a hole only when a circle of the known size fits an edge that is even
nearly all around it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .discs import looks
from .evidence import Evidence, evidence, merit
from .film import View
from .hole_shape import Shape, usual_shape
from .placing import edged, reach_of
from .scene import Points, Scene, scene_for

_MOST = 6
_LEAST_STRENGTH = 1.5
_LEAST_RADIUS = 15.0
_FAR = 6.0


@dataclass(frozen=True, slots=True)
class Lone:
    """Places that are holes: (n, 2) working px, what they look like, and how sure each is, 0..1."""

    places: Points
    shape: Shape
    seen: Evidence
    sure: NDArray[np.float64]


def lone_holes(view: View, radius: float) -> Lone | None:
    """Find single holes of `radius` working px; None when no place has the edge of one.

    Holes smaller than about 30 px across would stand in numbers in any view of film: they are left to the lattice.
    """
    if radius < _LEAST_RADIUS:
        return None
    discs = next(iter(looks(view, [radius])))
    places = discs.peaks[discs.strength > _LEAST_STRENGTH][:_MOST] * discs.step + (discs.step - 1) / 2
    scene = scene_for(view, radius)
    found = [one for one in (_looked_at(scene, place[None], radius) for place in places) if one is not None]
    kept: list[Lone] = []
    for one in sorted(found, key=lambda one: -float(one.sure[0])):
        apart = all(np.hypot(*(one.places[0] - other.places[0])) > 1.8 * radius for other in kept)
        if one.sure[0] > 0.5 and apart:
            kept.append(one)
    if not kept:
        return None
    together = np.concatenate([one.places for one in kept])
    seen = evidence(scene, together, kept[0].shape, _FAR * radius)
    return Lone(together, kept[0].shape, seen, np.array([float(one.sure[0]) for one in kept]))


def _looked_at(scene: Scene, place: Points, radius: float) -> Lone | None:
    """Fit the circle at one place and say how sure a hole is there."""
    shape = usual_shape(scene, place, radius, _FAR * radius, None, radius)
    if shape is None:
        return None
    start = place
    for _ in range(3):
        place, roundness = edged(scene, place, shape, _FAR * radius)
        shape = usual_shape(scene, place, radius, _FAR * radius, None, radius) or shape
    if np.hypot(*(place - start)[0]) > 2 * reach_of(radius, _FAR * radius):
        return None
    seen = evidence(scene, place, shape, _FAR * radius)
    if seen.visible[0] < 0.4 or seen.on_film[0] < 0.6:
        return None
    cut = float(np.clip(min(shape.sharpness, 2.4 - shape.sharpness), 0.0, 1.0))
    parts = (cut - 0.78, float(roundness[0]) - 0.75, 0.6 * (float(merit(seen)[0]) - 1.25), float(seen.evenness[0]) - 0.45)
    PARTS.append((np.round(parts,2), shape.radius))
    sure = 1 / (1 + np.exp(-np.clip(20.0 * sum(parts), -50, 50)))
    return Lone(place, shape, seen, np.array([float(sure)]))
PARTS=[]
