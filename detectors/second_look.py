"""A second look at sites without a hole: at a film's rim ice lets little through, and film is not laid down straight.

Where a site is expected is told by the holes beside it, as far as they stand off the lattice. A hole there is one that
differs from its film as much all around, whatever the usual hole's contrast is: thick ice takes its part of both.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from .film import View
from .hole_check import Checked
from .hole_shape import Shape
from .lattice import pitch_of, sites_within
from .records import FoundHole, Site
from .scene import Points, Scene, mean_known, polar
from .working_size import binned

_ROUNDS = 8
_SAMPLED_RADIUS = 7.0
_REACH, _OFFSETS = 0.36, 5
_TAKEN = 0.5
_SURE, _ALL_AROUND, _EDGED = 5.0, 0.65, 0.35
_CHANCE, _VAGUE, _SCATTERED, _DOUBTED = 3.0, 2.0, 0.6, 0.3
_NEXT, _AMONG_CHANCE = 1.6, 2.5
_ENOUGH = 1 / 3
_AWAY, _CERTAIN, _CLOSED = 1.5, 8.0, 0.85
_WHOLE = 0.9
_LEAST_HOLES = 3
_TOLD = (Site.HOLE, Site.PARTIAL)


@dataclass(frozen=True, slots=True)
class Step:
    """How much discs differ from the film around them; arrays over sites.

    Attributes
    ----------
    height
        Mean step at the rim, in units of the view.
    sureness
        Height over its standard error, as the sectors of the rim differ.
    support
        Part of the sectors in view whose step is at least a third of the height, 0..1.
    visible
        Part of the sectors in view, 0..1.
    inside
        Mean level inside, in units of the view.
    """

    height: NDArray[np.float64]
    sureness: NDArray[np.float64]
    support: NDArray[np.float64]
    visible: NDArray[np.float64]
    inside: NDArray[np.float64]

    def at(self, index: NDArray[np.intp]) -> "Step":
        """Give the steps of some sites."""
        return Step(*(getattr(self, one.name)[index] for one in fields(self)))

    @property
    def stands(self) -> NDArray[np.bool_]:
        """Where a hole stands beyond doubt."""
        return np.asarray((self.sureness > _SURE) & (self.support > _ALL_AROUND), np.bool_)

    @property
    def vague(self) -> NDArray[np.bool_]:
        """Where enough is seen, and nothing stands that chance does not make."""
        nothing = (self.sureness < _VAGUE) & (self.support < _SCATTERED)
        return np.asarray(nothing & (self.visible > _ENOUGH), np.bool_)


def steps_at(scene: Scene, points: Points, shape: Shape, pitch: float) -> Step:
    """Measure the step at the rim of discs around each point (n, 2), px of the view."""
    own = shape.radius / scene.step
    outer = min(1.45 * own, max(1.2 * own + 1, pitch / scene.step - 1.05 * own))
    inner, ring = np.linspace(0.45, 0.9, 4) * own, np.linspace(1.12 * own, outer, 4)
    levels, _ = polar(scene, scene.here(points), np.r_[inner, ring], shape.stretch)
    within = mean_known(levels[:, :, :4], axis=2)
    rise = within - mean_known(levels[:, :, 4:], axis=2)
    known = np.isfinite(rise)
    count = np.maximum(known.sum(1), 1)
    rise = np.where(known, rise, 0.0)
    height = rise.sum(1) / count
    spread = np.sqrt((np.where(known, rise - height[:, None], 0.0) ** 2).sum(1) / np.maximum(count - 1, 1))
    edged = (known & (rise > _EDGED * height[:, None])).sum(1) / count
    enough = known.mean(1) > _ENOUGH
    sureness = np.where(enough, height / np.maximum(spread / np.sqrt(count), 1e-9), 0.0)
    inside = np.where(np.isfinite(within), within, 0.0).sum(1) / np.maximum(np.isfinite(within).sum(1), 1)
    return Step(height, sureness, np.where(enough, edged, 0.0), known.mean(1), inside)


def looked_again(view: View, best: Checked, holes: Sequence[FoundHole]) -> list[FoundHole]:
    """Add the holes that stand where none was told, beside those that were; they take the place of empty sites.

    What was told and does not stand out of noise is called missing; openings in which nothing told does have no film,
    and what was told there is left out.

    Parameters
    ----------
    view
        In which holes are brighter than their film.
    best
        The lattice that the holes stand on.
    holes
        In px of the image.
    """
    if sum(hole.status in _TOLD for hole in holes) < _LEAST_HOLES:
        return list(holes)
    step = max(1, int(best.shape.radius / _SAMPLED_RADIUS))
    pixels = binned(view.pixels, step)
    scene = Scene(pixels, np.ones(pixels.shape, np.float32), step)
    sound = _sound(view, scene, best, holes)
    told = np.array([hole.status in _TOLD for hole in sound], np.bool_)
    if told.sum() < _LEAST_HOLES:
        return sound
    places, basis = _places(view, sound), best.proposal.basis
    added, found = _grown(view, scene, best, places[told])
    if not added:
        return sound
    away = np.asarray(cKDTree(found).query(places)[0])
    stay = np.flatnonzero(told | (away > _TAKEN * pitch_of(basis)))
    return [*(sound[int(index)] for index in stay), *added]


def _places(view: View, holes: Sequence[FoundHole]) -> Points:
    places = np.array([(hole.row_px, hole.col_px) for hole in holes]).reshape(-1, 2)
    return np.asarray((places - (view.step - 1) / 2) / view.step)


def _sound(view: View, scene: Scene, best: Checked, holes: Sequence[FoundHole]) -> list[FoundHole]:
    """Call missing what was told by chance; leave out what lies where film is gone, or among nothing but chance."""
    places, told = _places(view, holes), np.array([hole.status in _TOLD for hole in holes], np.bool_)
    seen = steps_at(scene, places, best.shape, pitch_of(best.proposal.basis))
    chance, lonely = _among_chance(seen, places, pitch_of(best.proposal.basis))
    bare, vague = lonely | _on_no_film(view, seen, places, told), told & (seen.vague | chance)
    return [
        replace(hole, status=Site.MISSING, score=min(hole.score, _DOUBTED)) if nothing else hole
        for hole, nothing, away in zip(holes, vague.tolist(), bare.tolist(), strict=True)
        if not away
    ]


def _grown(view: View, scene: Scene, best: Checked, sure: Points) -> tuple[list[FoundHole], Points]:
    """Look beside sure holes and in openings passed over, then beside those found so, and so on.

    Gives what is found and where, px of the view.
    """
    origin, basis = best.proposal.origin, best.proposal.basis
    first, added = len(sure), []
    numbers = np.rint((sure - origin) @ np.linalg.inv(basis)).astype(np.int64)
    afar, places, seen = _afar(view, scene, best, sure)
    added += [_hole(view, best, places[index], seen, index, afar[index]) for index in range(len(places))]
    sure, numbers = np.concatenate((sure, places)), np.concatenate((numbers, afar))
    for _ in range(_ROUNDS):
        beside, expected = _beside(numbers, sure, basis, view.pixels.shape)
        if len(expected) == 0:
            break
        found, seen = _moved(scene, expected, best)
        stands = np.flatnonzero(seen.stands & _within(found, view.pixels.shape))
        if len(stands) == 0:
            break
        added += [_hole(view, best, found[index], seen, int(index), beside[index]) for index in stands]
        sure, numbers = np.concatenate((sure, found[stands])), np.concatenate((numbers, beside[stands]))
    return added, sure[first:]


def _afar(view: View, scene: Scene, best: Checked, sure: Points) -> tuple[NDArray[np.int64], Points, Step]:
    """Find holes on what was not taken for film, an opening much darker than the others: some beside each other."""
    basis = best.proposal.basis
    pitch = pitch_of(basis)
    numbers, expected = sites_within(best.proposal.origin, basis, view.pixels.shape)
    index = np.clip(np.rint(expected).astype(np.intp), 0, np.array(view.film.shape) - 1)
    passed = ~view.film[index[:, 0], index[:, 1]] & (cKDTree(sure).query(expected)[0] > _AWAY * pitch)
    numbers, expected = np.rint(numbers[passed]).astype(np.int64), expected[passed]
    if len(expected) < _LEAST_HOLES:
        return numbers[:0], expected[:0], steps_at(scene, expected[:0], best.shape, pitch)
    found, seen = _moved(scene, expected, best)
    certain = np.flatnonzero((seen.sureness > _CERTAIN) & (seen.support > _CLOSED) & _within(found, view.pixels.shape))
    tree = cKDTree(found[certain])
    together = [len(near) for near in tree.query_ball_tree(tree, _NEXT * pitch)]
    kept = certain[np.array(together, np.intp) >= _LEAST_HOLES]
    return numbers[kept], found[kept], seen.at(kept)


def _on_no_film(view: View, seen: Step, places: Points, told: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Tell which sites lie in openings without film: brought to their own noise, these seem to hold holes."""
    if view.own is None:
        return np.zeros(len(places), np.bool_)
    index = np.clip(np.rint(places).astype(np.intp), 0, np.array(view.own.shape) - 1)
    opening = view.own[index[:, 0], index[:, 1]]
    usual = {int(one): float(np.median(seen.sureness[told & (opening == one)])) for one in np.unique(opening[told])}
    # Where nothing is told, nothing is known: sites stay.
    return np.array([usual.get(int(one), np.inf) < _CHANCE for one in opening], np.bool_)


def _among_chance(seen: Step, places: Points, pitch: float) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Tell which sites stand among such as chance makes, on bars or in a tear, and which have no sure one beside."""
    tree = cKDTree(places)
    beside = tree.query_ball_tree(tree, _NEXT * pitch)
    others = [np.array([other for other in near if other != index], np.intp) for index, near in enumerate(beside)]
    usual = [float(np.median(seen.sureness[near])) if len(near) >= _LEAST_HOLES else np.inf for near in others]
    chance = ~seen.stands & (np.array(usual) < _AMONG_CHANCE)
    return chance, chance & np.array([not seen.stands[near].any() for near in others], np.bool_)


def _beside(
    numbers: NDArray[np.int64], sure: Points, basis: Points, shape: tuple[int, ...]
) -> tuple[NDArray[np.int64], Points]:
    """Give whole numbers and places of the sites without a hole beside sure ones: a step off each, their mean."""
    steps = np.array([(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j])
    which, group = np.unique((numbers[:, None] + steps).reshape(-1, 2), axis=0, return_inverse=True)
    expected = (sure[:, None] + steps @ basis).reshape(-1, 2)
    total = np.zeros((len(which), 2))
    np.add.at(total, group.reshape(-1), expected)
    mean = total / np.bincount(group.reshape(-1), minlength=len(which))[:, None]
    free = np.asarray(cKDTree(sure).query(mean)[0]) > _TAKEN * pitch_of(basis)
    free &= _within(mean, shape)
    return which[free], mean[free]


def _moved(scene: Scene, expected: Points, best: Checked) -> tuple[Points, Step]:
    """Move each place to where the step is highest near it, and tell of the step there."""
    pitch, radius = pitch_of(best.proposal.basis), best.shape.radius
    line = np.linspace(-_REACH, _REACH, _OFFSETS) * radius
    offsets = np.stack(np.meshgrid(line, line, indexing="ij"), -1).reshape(-1, 2)
    offsets = offsets[np.hypot(*offsets.T) < 1.05 * _REACH * radius]
    heights = np.stack([steps_at(scene, expected + offset, best.shape, pitch).height for offset in offsets])
    found = expected + offsets[np.argmax(heights, axis=0)]
    return found, steps_at(scene, found, best.shape, pitch)


def _within(places: Points, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    return np.asarray(((places > -0.5) & (places < np.array(shape) - 0.5)).all(1), np.bool_)


def _hole(
    view: View, best: Checked, place: NDArray[np.float64], seen: Step, index: int, number: NDArray[np.int64]
) -> FoundHole:
    """Bring one hole to pixels and counts of the image."""
    row, col = place * view.step + (view.step - 1) / 2
    support, visible = float(seen.support[index]), float(seen.visible[index])
    sureness = min(float(seen.sureness[index]) / _SURE - 1.0, 4.0)
    score = best.confidence * (0.5 + 0.5 * (1.0 - float(np.exp(-2.0 * sureness))) * support)
    features = {
        "contrast": float(seen.height[index]) / best.shape.contrast, "support": support, "visible": visible,
        "on_film": support, "i": float(number[0]), "j": float(number[1]),
    }  # fmt: skip
    status = Site.HOLE if min(support, visible) >= _WHOLE else Site.PARTIAL
    mean = view.counts(place[0], place[1], float(seen.inside[index]))
    return FoundHole(float(row), float(col), best.shape.radius * view.step, score, status, mean, features)
