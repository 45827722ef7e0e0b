"""Holes where a network has marked them: a lattice through the marks, its sites judged by marks and evidence together.

What is marked beside the lattice is told too: film may be wrinkled, and a view may hold too few holes for a lattice.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .evened import evened_view
from .evidence import evidence
from .film import View
from .hole_check import ALL_AROUND, Checked, Expected, Proposal, checked
from .hole_search import either, proposed, search
from .hole_shape import Shape, usual_shape
from .holes import lattice_of, settled
from .lattice import Fit, bases, fit_lattice, pitch_of, recurring_steps
from .placing import edged
from .records import FoundHole, Lattice, Site
from .scene import Points, Scene, scene_for
from .second_look import looked_again
from .stages import counted, stage

if TYPE_CHECKING:
    from .hole_marks import Marks
    from .hole_network import HoleMaps

_SURE = 0.6
_LEAST_SITES = 4
_BASES = 4
_MARKED_BESIDE = 0.9
_ALONE, _MOST_ALONE, _ROOM = 0.8, 12, 3.5
_CUT, _ROUND = 0.85, 0.85
_BEYOND_CHANCE, _FEWEST_ELSEWHERE, _MOST_ELSEWHERE = 6.0, 12, 400
_WHOLE = 0.9
_VACUUM = 0.8
_MOST_LOGIT = 8.0
_HINTS = 12


def site_features(marks: "Marks", holes: list[FoundHole], places: Points) -> NDArray[np.float64]:
    """Give what the chance of a hole at a site is weighed from, (n, 4): see `HoleMaps.site`."""
    heat, disc = marks.at(places)
    contrast = np.array([hole.features["contrast"] for hole in holes])
    support = np.array([hole.features["support"] for hole in holes])
    merit = 0.5 * np.clip(contrast, -1.0, 1.2) + support - 0.75
    most = _MOST_LOGIT
    return np.stack([np.clip(heat, -most, most), np.clip(disc, -most, most), merit, np.ones(len(holes))], axis=1)


@dataclass(frozen=True, slots=True)
class _Seen:
    """Marks of a view with the lattice through them; ``best`` is None where they form none.

    ``shown`` is the view evened, in which holes are brighter than their film; ``inverse`` where that is not so in the
    image itself.
    """

    marks: "Marks"
    shown: View
    best: Checked | None
    confidence: float
    inverse: bool = False


def sites_in(network: "HoleMaps", view: View) -> tuple[list[FoundHole], NDArray[np.float64]] | None:
    """Give the sites as they are without the network's word, and what that is weighed with; None without a lattice."""
    from .hole_marks import marked

    marks = marked(network, view, [], lambda: _hints(view, Expected(None, None)))
    if marks is None:
        return None
    seen = _with_lattice(view, marks, Expected(None, None))
    if seen.best is None or seen.confidence < _SURE:
        return None
    plain = _plain(view, seen, seen.best)
    return (plain, site_features(marks, plain, _in_view(view, plain))) if plain else None


def found_in(network: "HoleMaps", view: View, expected: Expected) -> tuple[list[FoundHole], Lattice | None] | None:
    """Answer the sites and the lattice; None when nothing sure is marked."""
    from .hole_marks import marked

    with stage("marks") as say:
        known = [] if expected.radius is None else [expected.radius]
        marks = marked(network, view, known, lambda: _hints(view, expected))
        say("none" if marks is None else f"{(marks.chance > 0.5).sum()} of radius {marks.usual_radius:.1f} px")
    if marks is None:
        return None
    with stage("lattice") as say:
        seen = _with_lattice(view, marks, expected)
        say("none" if seen.best is None else f"confidence {seen.confidence:.2f}")
    with stage("sites") as say:
        unsure = seen.best is None or seen.confidence < _SURE
        if seen.best is None or unsure or seen.best.support < ALL_AROUND:
            shown, best = either(view, expected)
            if best is not None and best.confidence >= _SURE and (unsure or _better(seen.best, best) is best):
                holes, lattice = settled(shown, best)
                holes = looked_again(shown, best, holes)
                say(f"by bright discs rather than marks: {counted(hole.status.value for hole in holes)}")
                return holes, lattice
        if seen.best is None or unsure:
            alone = _alone(view, marks)
            say(f"{len(alone)} by themselves")
            return (alone, None) if alone else None
        holes, lattice = _judged(network, view, seen, seen.best)
        holes = looked_again(view.inverse() if seen.inverse else view, seen.best, holes)
        say(counted(hole.status.value for hole in holes))
    return holes, lattice


def _hints(view: View, expected: Expected) -> list[float]:
    """Give the radii at which bright discs recur on a lattice, working px."""
    return [proposal.radius for proposal in proposed(view, expected)[:_HINTS]]


def _with_lattice(view: View, marks: "Marks", expected: Expected) -> _Seen:
    """Lay the lattice that explains most of the marks, and measure the usual hole on it."""
    shown = evened_view(view, marks.usual_radius)
    fit, share = _fit(marks)
    if fit is None:
        return _Seen(marks, shown, None, 0.0)
    chance = marks.chance[fit.members]
    own = share * float(chance.mean()) * (1 - float(np.exp(-(len(chance) - 1) / 2)))
    # The marks tell the radius; holes with rings in them have other edges too.
    known = replace(expected, radius=marks.usual_radius)
    proposal = Proposal(fit.origin, fit.basis, marks.usual_radius, 9.0 * own)
    best = checked(shown, proposal, known)
    if best is None or best.support < ALL_AROUND:
        # The radius that the marks tell may be off at a scale that is a little off.
        best = _better(best, checked(shown, proposal, Expected(None, None)))
    if best is None or best.support < ALL_AROUND:
        dark = _darker(shown.inverse(), proposal, known)
        if dark is not None and dark.support >= ALL_AROUND and _better(best, dark) is dark:
            return _Seen(marks, shown.inverse(), dark, dark.confidence, inverse=True)
    if best is None:
        return _Seen(marks, shown, None, own)
    # The marks and the evidence without them fail in different ways; either alone may be enough.
    both = 1 - (1 - own) * (1 - best.confidence)
    return _Seen(marks, shown, replace(best, confidence=both), both)


def _darker(inverse: View, proposal: Proposal, known: Expected) -> Checked | None:
    """Look for holes darker than their film: where the marks are, and between them."""
    there = checked(inverse, proposal, known)
    if there is not None and there.support >= ALL_AROUND:
        return there
    return _better(there, search(inverse, Expected(None, pitch_of(proposal.basis))))


def _better(one: Checked | None, other: Checked | None) -> Checked | None:
    return one if other is None or (one is not None and one.quality >= other.quality) else other


def _fit(marks: "Marks") -> tuple[Fit | None, float]:
    """Fit lattices to the marks; the one that explains most, and its share of all."""
    radius = marks.usual_radius
    if len(marks.peaks) < _LEAST_SITES:
        return None, 0.0
    steps, support = recurring_steps(marks.peaks, marks.chance, 2.05 * radius, 14.0 * radius, max(0.35 * radius, 1.0))
    best: Fit | None = None
    most = 0.0
    for basis in bases(steps, support, _BASES):
        fit = fit_lattice(marks.peaks, basis)
        explained = 0.0 if fit is None or len(fit.members) < _LEAST_SITES else float(marks.chance[fit.members].sum())
        if explained > most:
            best, most = fit, explained
    return best, most / max(float(marks.chance.sum()), 1e-9)


def _judged(network: "HoleMaps", view: View, seen: _Seen, best: Checked) -> tuple[list[FoundHole], Lattice]:
    """Judge each site by marks and evidence together, and add what is marked beside the sites."""
    plain, lattice = _plain(view, seen, best), lattice_of(view, best)
    if seen.inverse:
        # The network learnt what is brighter than its film.
        return plain, lattice
    holes: list[FoundHole] = []
    if plain:
        chances = site_chances(network, seen.marks, plain, _in_view(view, plain))
        holes = [_rejudged(hole, float(chance) * seen.confidence) for hole, chance in zip(plain, chances, strict=True)]
    holes += _beside(view, seen, best, holes)
    return holes, lattice


def _plain(view: View, seen: _Seen, best: Checked) -> list[FoundHole]:
    """Judge the sites without the network's word; counts are those of the image, and vacuum has no sites."""
    holes, _ = settled(seen.shown, best)
    holes = [
        replace(hole, mean=view.counts(place[0], place[1], _inside(view, place, hole.radius_px / view.step)))
        for hole, place in zip(holes, _in_view(view, holes), strict=True)
    ]
    bright = [_over_film(view, hole) for hole in holes if hole.status is Site.HOLE]
    limit = _VACUUM * float(np.median(bright)) if bright and not seen.inverse else np.inf
    return [hole for hole in holes if hole.status is not Site.MISSING or _over_film(view, hole) < limit]


def _over_film(view: View, hole: FoundHole) -> float:
    """Give how much brighter a site is than the film of its opening, in the film's spreads."""
    row, col = ((length - (view.step - 1) / 2) / view.step for length in (hole.row_px, hole.col_px))
    level, above = view.counts(row, col, 0.0), view.counts(row, col, 1.0)
    return (hole.mean - level) / (above - level)


def site_chances(network: "HoleMaps", marks: "Marks", holes: list[FoundHole], places: Points) -> NDArray[np.float64]:
    """Give the chance that a hole stands at each site; places in working px of the view."""
    weighed = site_features(marks, holes, places) @ network.site.numpy().astype(np.float64)
    return np.asarray(1 / (1 + np.exp(-np.clip(weighed, -50, 50))))


def _rejudged(hole: FoundHole, score: float) -> FoundHole:
    empty = hole.status in (Site.MISSING, Site.COVERED)
    if score < 0.5:
        return replace(hole, score=score, status=hole.status if empty else Site.MISSING)
    if not empty:
        return replace(hole, score=score)
    whole = hole.features["visible"] * hole.features["on_film"] >= _WHOLE
    return replace(hole, score=score, status=Site.HOLE if whole else Site.PARTIAL)


def _beside(view: View, seen: _Seen, best: Checked, told: list[FoundHole]) -> list[FoundHole]:
    """Give the holes that are surely marked where no site was told of."""
    marks = seen.marks
    near = np.full(len(marks.peaks), np.inf)
    if told:
        near = np.hypot(*(marks.peaks[:, None] - _in_view(view, told)[None]).transpose(2, 0, 1)).min(axis=1)
    kept = (marks.chance > _MARKED_BESIDE) & (near > 1.2 * best.shape.radius)
    return [_marked(view, marks, int(index), seen.confidence) for index in np.flatnonzero(kept)]


def _alone(view: View, marks: "Marks") -> list[FoundHole]:
    """Give the holes that are surely marked where no lattice is: few, and each with a cut, round edge all around.

    Many marks without a lattice are no holes of a film but particles or clouds.
    """
    sure = np.flatnonzero(marks.chance > _ALONE)
    if not 0 < len(sure) <= _MOST_ALONE:
        return []
    radius = marks.usual_radius
    scene = scene_for(view, radius)
    shape = usual_shape(scene, marks.peaks[sure], radius, _ROOM * radius)
    if shape is None or not _CUT < shape.sharpness < 2.4 - _CUT:
        return []
    places, _ = edged(scene, marks.peaks[sure], shape, _ROOM * radius)
    seen = evidence(scene, places, shape, _ROOM * radius)
    kept = (seen.support > _ROUND) & (seen.contrast > 0.5)
    kept &= np.abs(seen.inside - seen.around) > _BEYOND_CHANCE * _usual_step(view, scene, shape, places)
    return [_marked(view, marks, int(index), 1.0) for index in sure[kept]]


def _usual_step(view: View, scene: Scene, shape: Shape, places: Points) -> float:
    """Give how much discs away from these places differ from what is around them, by a robust standard deviation.

    Where the network has picked the roundest spots of noise, these stand out of it no more than the best of many do.
    """
    gap = 1.5 * shape.radius
    rows, cols = (np.arange(gap, side - gap, gap) for side in view.pixels.shape)
    grid = np.stack(np.meshgrid(rows, cols, indexing="ij"), axis=-1).reshape(-1, 2)
    away = np.linalg.norm(grid[:, None] - places[None], axis=2).min(axis=1) > 2.5 * shape.radius
    elsewhere = grid[away][:_MOST_ELSEWHERE]
    if len(elsewhere) < _FEWEST_ELSEWHERE:
        return 0.0
    seen = evidence(scene, elsewhere, shape, _ROOM * shape.radius)
    steps = (seen.inside - seen.around)[seen.on_film > 0.9]
    steps = steps[np.isfinite(steps)]
    if len(steps) < _FEWEST_ELSEWHERE:
        return 0.0
    return 1.48 * float(np.median(np.abs(steps - np.median(steps))))


def _marked(view: View, marks: "Marks", index: int, confidence: float) -> FoundHole:
    """Bring one mark to pixels and counts of the image."""
    place, radius = marks.peaks[index], marks.usual_radius
    inside = _inside(view, place, radius)
    row, col = np.clip(place, 0, np.array(view.pixels.shape) - 1) * view.step + (view.step - 1) / 2
    cut = (place < radius).any() or (place > np.array(view.pixels.shape) - 1 - radius).any()
    return FoundHole(
        float(row), float(col), radius * view.step, float(marks.chance[index]) * confidence,
        Site.PARTIAL if cut else Site.HOLE, view.counts(place[0], place[1], inside),
        {"marked": float(marks.chance[index])},
    )  # fmt: skip


def _inside(view: View, place: NDArray[np.float64], radius: float) -> float:
    """Give the usual value of the inner half of a hole."""
    low = np.clip(np.rint(place - 0.5 * radius), 0, np.array(view.pixels.shape) - 1).astype(int)
    high = np.clip(np.rint(place + 0.5 * radius) + 1, 1, view.pixels.shape).astype(int)
    return float(np.median(view.pixels[low[0] : max(high[0], low[0] + 1), low[1] : max(high[1], low[1] + 1)]))


def _in_view(view: View, holes: list[FoundHole]) -> Points:
    places = np.array([(hole.row_px, hole.col_px) for hole in holes])
    return np.asarray((places.reshape(-1, 2) - (view.step - 1) / 2) / view.step)
