"""Holes of many sizes on one lattice, as some films are made: a search for the usual hole finds none there.

Bright places of every size are judged by their own edges. Where enough are holes beyond doubt, differ in size and stand
on a lattice, its other sites are looked at with every size that was seen.
"""

from dataclasses import dataclass, replace

import numpy as np

from .discs import looks, radii
from .film import View
from .hole_shape import Shape, usual_shape
from .lattice import Fit, bases, fit_lattice, recurring_steps, sites_within
from .lone_holes import Lone, distinct, hole_of, judged
from .placing import edged, lattice_in
from .records import FoundHole, Lattice
from .scene import Points, scene_for
from .second_look import steps_at

_LEAST_RADIUS, _MOST_PEAKS, _APART = 4.0, 60, 0.7
_BEYOND, _ANY, _SOMEWHERE = (1.0, 1.3), 5.0, 0.7
_LEAST_HOLES, _LEAST_SPREAD, _ON_LATTICE = 6, 1.4, 0.7
_SMALLER, _WIDER = 0.5, 1.1
_NUDGE = 0.05
_SURE, _ALL_AROUND, _IN_VIEW = 8.0, 0.75, 0.5
_TOLERANCE = 0.1
_ROUND, _NEAR = 0.5, 1.35


@dataclass(frozen=True, slots=True)
class ManySizes:
    """Holes of many sizes in px of the image, and the lattice they stand on."""

    holes: tuple[FoundHole, ...]
    lattice: Lattice


def many_sizes(view: View) -> ManySizes | None:
    """Find holes of many sizes; None where there are too few beyond doubt, of one size, or on no lattice.

    Parameters
    ----------
    view
        In which holes are brighter than their film.
    """
    places = _stepped(view, _places(view))
    sure = distinct([lone for radius, place in places if (lone := judged(view, radius, place, _LEAST_RADIUS))])
    if len(sure) < _LEAST_HOLES:
        return None
    sizes = np.array([lone.shape.radius for lone in sure])
    low, high = np.quantile(sizes, [0.1, 0.9])
    if high < _LEAST_SPREAD * low:
        return None
    centres = np.array([lone.place for lone in sure])
    fit = _lattice(centres, float(np.median(sizes)))
    if fit is None or len(fit.members) < max(_LEAST_HOLES, _ON_LATTICE * len(sure)):
        return None
    kept = [sure[int(index)] for index in fit.members]
    others = _elsewhere(view, fit, kept)
    holes = tuple(_hole(view, fit, lone) for lone in (*kept, *others))
    return ManySizes(holes, lattice_in(view, fit.origin, fit.basis, len(fit.members) / len(sure)))


def _places(view: View) -> list[tuple[float, Points]]:
    """Give radius and place (1, 2) of bright discs of any size; of those that overlap, the one that stands out most."""
    found: list[tuple[float, float, Points]] = []
    for discs in looks(view, radii(view, _LEAST_RADIUS)):
        tops = discs.peaks[:_MOST_PEAKS] * discs.step + (discs.step - 1) / 2
        found += [(float(one), discs.radius, top) for one, top in zip(discs.strength[:_MOST_PEAKS], tops, strict=True)]
    kept: list[tuple[float, Points]] = []
    for _, radius, top in sorted(found, key=lambda one: -one[0]):
        if all(np.hypot(*(top - other)) > _APART * max(radius, size) for size, other in kept):
            kept.append((radius, top))
    return [(radius, top[None]) for radius, top in kept]


def _stepped(view: View, places: list[tuple[float, Points]]) -> list[tuple[float, Points]]:
    """Keep the places around which a step is seen at all, at the radius that saw it or a little beyond."""
    kept: list[tuple[float, Points]] = []
    for radius in sorted({radius for radius, _ in places}):
        own = [place for size, place in places if size == radius]
        points, seen = np.concatenate(own), np.zeros(len(own), np.bool_)
        for wider in _BEYOND:
            shape = Shape(radius * wider, 1.0, 1.0, np.eye(2))
            step = steps_at(scene_for(view, shape.radius), points, shape, 4.0 * shape.radius)
            seen |= (step.sureness > _ANY) & (step.support > _SOMEWHERE)
        kept += [(radius, place) for place, there in zip(own, seen, strict=True) if there]
    return kept


def _lattice(centres: Points, radius: float) -> Fit | None:
    """Fit the lattice that explains most of the centres."""
    away = np.hypot(*(centres[:, None] - centres).transpose(2, 0, 1))
    nearest = np.sort(away, axis=1)[:, 1]
    usual = float(np.median(nearest))
    steps, support = recurring_steps(
        centres, np.ones(len(centres)), max(radius, 0.5 * usual), 2.5 * usual, _TOLERANCE * usual
    )
    fits = [fit for basis in bases(steps, support) if (fit := fit_lattice(centres, basis)) is not None]
    return max(fits, key=lambda fit: len(fit.members), default=None)


def _elsewhere(view: View, fit: Fit, kept: list[Lone]) -> list[Lone]:
    """Look at the sites without a hole with every size; tell what differs from its film all around."""
    taken = {(int(i), int(j)) for i, j in fit.numbers}
    numbers, sites = sites_within(fit.origin, fit.basis, view.pixels.shape)
    free = np.array([(int(i), int(j)) not in taken for i, j in numbers], np.bool_)
    sites = sites[free]
    if len(sites) == 0:
        return []
    sizes = [lone.shape.radius for lone in kept]
    contrast = float(np.median([lone.shape.contrast for lone in kept]))
    wanted = radii(view, _SMALLER * min(sizes), _WIDER * max(sizes))
    shapes = [Shape(radius, contrast, 1.0, np.eye(2)) for radius in wanted]
    best: list[tuple[float, Lone] | None] = [None] * len(sites)
    for shape in shapes:
        scene = scene_for(view, shape.radius)
        for offset in _NUDGE * fit.pitch * np.array([(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)]):
            step = steps_at(scene, sites + offset, shape, fit.pitch)
            good = (step.sureness > _SURE) & (step.support > _ALL_AROUND) & (step.visible > _IN_VIEW)
            for index in map(int, np.flatnonzero(good)):
                height = float(step.height[index] * step.support[index])
                now = best[index]
                if now is None or height > now[0]:
                    merit, seen = float(step.support[index]), float(step.visible[index])
                    lone = Lone((sites + offset)[index], shape, merit, seen, float(step.inside[index]))
                    best[index] = (height, lone)
    return [_refined(view, one[1], fit.pitch) for one in best if one is not None]


def _refined(view: View, lone: Lone, pitch: float) -> Lone:
    """Bring a hole to the edge seen around it, where that is near what was tried."""
    scene, radius = scene_for(view, lone.shape.radius), lone.shape.radius
    place, roundness = edged(scene, lone.place[None], lone.shape, pitch)
    if roundness[0] < _ROUND:
        return lone
    shape = usual_shape(scene, place, radius, pitch)
    if shape is None or not 1 / _NEAR < shape.radius / radius < _NEAR:
        return lone
    return replace(lone, place=place[0], shape=shape)


def _hole(view: View, fit: Fit, lone: Lone) -> FoundHole:
    """Bring one hole to pixels and counts of the image, with the whole numbers of its site."""
    hole = hole_of(view, lone)
    i, j = np.rint((lone.place - fit.origin) @ np.linalg.inv(fit.basis))
    return replace(hole, features={**hole.features, "i": float(i), "j": float(j)})
