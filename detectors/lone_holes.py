"""Holes without a lattice: round, cut out sharply, and as many of their size as there are bright places of it.

A view may show one hole of a film whose holes stand far apart, or a handful on a lattice so wide that chance makes as
good ones, or holes of many sizes. Each must then look like a hole by itself, and beyond doubt: an edge all around, much
steeper than its film is uneven. Where most bright places of a size are not round, no hole was made: lacey film.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from .discs import CENTRE, SURROUND, film_mean, looks, radii
from .evidence import evidence
from .film import View
from .hole_shape import Shape, usual_shape
from .placing import edged
from .records import FoundHole, Site
from .scene import Points, scene_for
from .second_look import steps_at

_MOST_PEAKS = 8
_LEAST_RESPONSE = 1.5
_LEAST_RADIUS = 7.5
_APART = 4.0
_ROUND, _ALL_AROUND, _SURE, _EVEN = 0.8, 0.95, 12.0, 0.45
_CUT, _OVERSHOT = 0.85, 1.5
_MOST_STRETCH = 1.45
_ROUNDS, _HOPELESS_AFTER, _HOPELESS = 5, 2, 0.3
_IN_VIEW, _WHOLE = 0.6, 0.97
_SEEN_RADIUS, _AS_BRIGHT, _LEAST_SHARE = 6.0, 0.7, 0.25
_SAME_SIZE, _SAME_CONTRAST = 1.12, 0.4


@dataclass(frozen=True, slots=True, eq=False)
class Lone:
    """One hole by itself, at ``place`` in px of the view; ``merit`` is in 0..1."""

    place: Points
    shape: Shape
    merit: float
    visible: float
    inside: float


def lone_holes(view: View) -> list[FoundHole]:
    """Find holes that need no others to be told; none among openings of any shape.

    Parameters
    ----------
    view
        In which holes are brighter than their film.

    Returns
    -------
    list of FoundHole
        In px of the image; one of each size at least is wholly in view.
    """
    found = distinct([lone for radius, place in _bright_places(view) if (lone := judged(view, radius, place))])
    holes: list[FoundHole] = []
    while found:
        alike = [lone for lone in found if 1 / _SAME_SIZE < lone.shape.radius / found[0].shape.radius < _SAME_SIZE]
        found = [lone for lone in found if lone not in alike]
        contrast = max(lone.shape.contrast for lone in alike)
        alike = [lone for lone in alike if lone.shape.contrast > _SAME_CONTRAST * contrast]
        whole = any(lone.visible >= _WHOLE for lone in alike)
        if whole and _share_of_bright_places(view, alike) >= _LEAST_SHARE:
            holes += [hole_of(view, lone) for lone in alike]
    return holes


def _bright_places(view: View) -> list[tuple[float, Points]]:
    """Give the radius and place of discs that stand out of the view, (1, 2) px of it."""
    places = []
    for discs in looks(view, radii(view, _LEAST_RADIUS)):
        strong = np.flatnonzero(discs.strength > _LEAST_RESPONSE)[:_MOST_PEAKS]
        places += [(discs.radius, discs.peaks[[n]] * discs.step + (discs.step - 1) / 2) for n in strong]
    return places


def judged(view: View, radius: float, place: Points, least: float = _LEAST_RADIUS) -> Lone | None:
    """Measure the edge around a bright place, (1, 2) px of the view; None where it is not that of a hole.

    Parameters
    ----------
    view, place, radius
        Where to look, and for what size first, px of the view.
    least
        Radius of the smallest hole told, px of the view.
    """
    scene, apart = scene_for(view, radius), _APART * radius
    shape = usual_shape(scene, place, radius, apart)
    roundness = np.zeros(1)
    for number in range(_ROUNDS):
        # The brightest place is not the middle where film is uneven: a circle through the edge is nearer, and again.
        if number == _HOPELESS_AFTER and roundness[0] < _HOPELESS:
            return None
        if shape is None or not 0.5 * radius < shape.radius < 1.8 * radius:
            return None
        place, roundness = edged(scene, place, replace(shape, stretch=np.eye(2)), apart)
        shape = usual_shape(scene, place, shape.radius, apart)
    if roundness[0] < _ROUND or shape is None or shape.radius < least:
        return None
    if not _CUT < shape.sharpness < _OVERSHOT or np.linalg.cond(shape.stretch) > _MOST_STRETCH:
        return None
    place, roundness = edged(scene, place, shape, apart)
    step, seen = steps_at(scene, place, shape, apart), evidence(scene, place, shape, apart)
    visible = float(seen.visible[0] * seen.on_film[0])
    stands = step.sureness[0] > _SURE and step.support[0] > _ALL_AROUND and seen.evenness[0] > _EVEN
    if visible < _IN_VIEW or roundness[0] < _ROUND or not stands:
        return None
    merit = float(roundness[0] * step.support[0] * min(shape.sharpness, 1.0))
    return Lone(place[0], shape, merit, visible, float(step.inside[0]))


def distinct(found: list[Lone]) -> list[Lone]:
    """Keep the best of those that overlap."""
    kept: list[Lone] = []
    for lone in sorted(found, key=lambda lone: -lone.merit):
        if all(np.hypot(*(lone.place - other.place)) > max(lone.shape.radius, other.shape.radius) for other in kept):
            kept.append(lone)
    return kept


def _share_of_bright_places(view: View, holes: list[Lone]) -> float:
    """Give the share of the places as bright as these holes, for their size, that are holes; small on lacey film."""
    radius = float(np.median([lone.shape.radius for lone in holes]))
    scene = scene_for(view, radius, _SEEN_RADIUS)
    own = radius / scene.step
    response = film_mean(scene.pixels, scene.film, CENTRE * own) - film_mean(scene.pixels, scene.film, SURROUND * own)
    (discs,) = looks(view, [radius])
    tops = discs.peaks * discs.step + (discs.step - 1) / 2
    there, all_tops = (
        ndimage.map_coordinates(response, scene.here(points).T, order=1, mode="nearest")
        for points in (np.array([lone.place for lone in holes]), tops)
    )
    return len(holes) / max(int((all_tops > _AS_BRIGHT * float(there.min())).sum()), len(holes))


def hole_of(view: View, lone: Lone) -> FoundHole:
    """Bring one hole to pixels and counts of the image."""
    row, col = lone.place * view.step + (view.step - 1) / 2
    status = Site.HOLE if lone.visible >= _WHOLE else Site.PARTIAL
    mean = view.counts(lone.place[0], lone.place[1], lone.inside)
    features = {"visible": lone.visible, "sharpness": lone.shape.sharpness}
    return FoundHole(
        float(row), float(col), lone.shape.radius * view.step, lone.merit * lone.visible, status, mean, features
    )
