"""The search for the lattice of holes: lattices proposed at every radius, the most significant looked at closely.

Bright discs of one radius propose lattices; the lattice whose sites are brightest against chance, counted in standard
errors, is looked at first, and it must look like holes: round, with an edge, better than the places between. Where
holes are darker than their film, the film between them is bright, recurs as they do, and has no round edge.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .discs import Discs, looks, radii
from .evidence import Evidence, evidence, merit
from .film import View
from .hole_shape import Shape, usual_shape
from .lattice import Fit, bases, fit_lattice, pitch_of, recurring_steps, reduced, sites_within
from .placing import edged, placed, reach_of, snapped
from .scene import Points, Scene, scene_for

_LEAST_SITES = 4
_BASES = 4
_LEAST_SIGNIFICANCE = 3.5
_MOST_CHECKED = 8
_MOST_PROPOSED = 30
_MOST_LOOKED_AT = 100
_LEAST_RADIUS = 2.0
_FEW_SITES = 9
_SNAPPED_RADIUS = 6.0
_JUDGED = 0.4
_POOR = 0.7
_HALVES = ((0.5, 0.0), (0.0, 0.5), (0.5, 0.5))
_AS_GOOD, _AS_SURE, _LEAST_HALVES = 0.7, 0.9, 4
_AROUND, _FAINT = 0.6, 0.15
_ON_SITES = 0.25
_MUCH_THE_SAME, _THE_SAME = 0.3, 0.05
_LIKELY, _WELL_AROUND = 0.5, 0.9
_TIMES_AS_WIDE, _NEARLY_ALL_AROUND = (1.0, 1.3, 1.7), 0.8
_NEARLY_AS_GOOD = 0.8
"""Half of them film, sites are less significant by √2."""

ALL_AROUND = 0.85
"""Part of the circumference along which the usual hole has an edge, where it is no film between holes."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What is known beforehand, in working pixels."""

    radius: float | None
    pitch: float | None


@dataclass(frozen=True, slots=True)
class Proposal:
    """A lattice seen with discs of one radius; working pixels.

    ``significance`` is in standard errors; ``usual`` how far the usual site is brighter than chance, in standard
    deviations, infinite where nobody measured it.
    """

    origin: Points
    basis: Points
    radius: float
    significance: float
    usual: float = np.inf


@dataclass(frozen=True, slots=True)
class Checked:
    """A proposal whose sites were looked at.

    ``proposal`` is the refined one; ``quality`` ranks, ``confidence`` decides; ``support`` is the usual part of a
    circumference with an edge. ``halves`` tells whether what lies half a step from sites looks like holes too, along
    either step and along both.
    """

    proposal: Proposal
    sites: Points
    shape: Shape
    scene: Scene
    seen: Evidence
    confidence: float
    quality: float
    support: float
    halves: tuple[bool, ...] = (False, False, False)


def either(view: View, expected: Expected) -> tuple[View, Checked | None]:
    """Search for bright holes, and for dark ones where what is bright has no edge all around.

    Returns
    -------
    view, best
        The view in which the holes are brighter than their film, and the surest lattice of them.
    """
    best = search(view, expected)
    if best is None or best.support >= ALL_AROUND:
        return view, best
    inverse = view.inverse()
    other = search(inverse, expected)
    darker = other is not None and other.support >= ALL_AROUND and other.quality > best.quality
    return (inverse, other) if darker else (view, best)


def search(view: View, expected: Expected) -> Checked | None:
    """Propose lattices at every radius, look closely at the most significant, answer the surest."""
    best: Checked | None = None
    tried: list[tuple[Proposal, Checked]] = []
    looked_at = 0
    for proposal in proposed(view, expected)[:_MOST_PROPOSED]:
        if proposal.significance < max(_LEAST_SIGNIFICANCE, _to_beat(best, proposal)):
            continue
        if any(_seen_in(proposal, other, there) for other, there in tried):
            continue
        if looked_at == _MOST_CHECKED:
            break
        looked_at += 1
        result = checked(view, proposal, expected)
        if result is not None:
            tried.append((proposal, result))
            best = result if best is None or _beats(result, best) else best
    if best is None:
        return None
    starts = [first for number, (first, there) in enumerate(tried) if _worth_wider(best, first, there, number == 0)]
    return _finer(view, _wider(view, best, starts, expected), expected)


def _worth_wider(best: Checked, proposal: Proposal, there: Checked, first: bool) -> bool:
    """Tell whether a proposal may be better than it looked, at edges further out than its discs."""
    if best.confidence < _LIKELY:
        return False
    if best.support < ALL_AROUND:
        return first or there is best
    return there.support < ALL_AROUND and _some_of(best.proposal, proposal)


def _wider(view: View, best: Checked, starts: list[Proposal], expected: Expected) -> Checked:
    """Look for edges further out than the discs from which lattices were proposed.

    Under uneven ice the brightest part of a hole lies beside its middle and is smaller: sites drawn to discs leave it.
    """
    for start in starts:
        for times in _TIMES_AS_WIDE:
            wider = replace(start, radius=times * start.radius)
            result = checked(view, wider, expected, Shape(wider.radius, 1.0, 1.0, np.eye(2)))
            if result is not None and result.support > _NEARLY_ALL_AROUND and _beats(result, best):
                best = result
    return best


def _to_beat(best: Checked | None, proposal: Proposal) -> float:
    """Give the significance a proposal must have: quality is that times factors up to 1."""
    if best is None:
        return 0.0
    return best.quality * (_NEARLY_AS_GOOD if _some_of(best.proposal, proposal) else 1.0)


def _beats(one: Checked, other: Checked) -> bool:
    """Tell which is better; one that leaves out every second or third hole must be the better by far."""
    if _some_of(one.proposal, other.proposal):
        return not _nearly_as_good(other, one)
    if _some_of(other.proposal, one.proposal):
        return _nearly_as_good(one, other)
    return one.quality > other.quality


def _nearly_as_good(one: Checked, other: Checked) -> bool:
    return one.confidence >= _AS_SURE * other.confidence and one.quality > _NEARLY_AS_GOOD * other.quality


def _some_of(one: Proposal, other: Proposal) -> bool:
    """Tell whether the sites are a half, a third or so of those of another."""
    inverse = np.linalg.inv(other.basis)
    steps, apart = one.basis @ inverse, (one.origin - other.origin) @ inverse
    off = max(float(np.abs(part - np.rint(part)).max()) for part in (steps, apart))
    return bool(off < _ON_SITES and abs(np.linalg.det(np.rint(steps))) > 1.5)


def _finer(view: View, best: Checked, expected: Expected) -> Checked:
    """Where what lies half a step between sites looks as they do, every second hole was taken: try to take all."""
    basis = _halved(best.proposal.basis, best.halves)
    if (
        basis is None
        or best.confidence < _LIKELY
        or (expected.pitch is not None and pitch_of(basis) < 0.75 * expected.pitch)
    ):
        return best
    more = np.sqrt(abs(np.linalg.det(best.proposal.basis) / np.linalg.det(basis)))
    proposal = replace(best.proposal, basis=basis, significance=best.proposal.significance * float(more))
    finer = checked(view, proposal, expected, best.shape)
    # Holes that were left out once are the fainter ones.
    return best if finer is None or finer.confidence < _AS_SURE * best.confidence else finer


def _halved(basis: Points, holes: tuple[bool, ...]) -> Points | None:
    """Give the basis of a lattice with holes half a step on, along the first, the second, or both steps."""
    a, b = basis
    first, second, both = holes
    if first + second + both >= 2:
        return basis / 2
    if both:
        return reduced(np.array([(a + b) / 2, (a - b) / 2]))
    if first or second:
        return reduced(np.array([a / 2, b] if first else [a, b / 2]))
    return None


def proposed(view: View, expected: Expected) -> list[Proposal]:
    """Propose lattices at every radius that is expected, the most significant first."""
    low = None if expected.radius is None else 0.7 * expected.radius
    high = None if expected.radius is None else 1.35 * expected.radius
    found = [proposal for discs in looks(view, radii(view, low, high)) for proposal in _proposals(discs, expected)]
    return sorted(found, key=lambda proposal: -proposal.significance)


def _seen_in(proposal: Proposal, other: Proposal, there: Checked) -> bool:
    """Tell whether all there is to see in a proposal was seen in another.

    At a radius that is off, a lattice of holes looks poor, and good at the next; what is no lattice must not be tried
    until it looks good.
    """
    off = there.confidence > _LIKELY and there.support < _WELL_AROUND
    apart = abs(np.log(proposal.radius / other.radius))
    return bool(apart < (_THE_SAME if off else _MUCH_THE_SAME)) and _alike(proposal, other)


def _alike(one: Proposal, other: Proposal) -> bool:
    """Tell whether both have the same sites within a quarter of the pitch."""
    change = one.basis @ np.linalg.inv(other.basis)
    shift = (one.origin - other.origin) @ np.linalg.inv(other.basis)
    same_basis = np.abs(change - np.rint(change)).max() < 0.1 and abs(abs(np.linalg.det(change)) - 1) < 0.2
    return bool(same_basis and np.abs(shift - np.rint(shift)).max() < 0.25)


def _proposals(discs: Discs, expected: Expected) -> list[Proposal]:
    own = discs.radius / discs.step
    least, most = 2.05 * own, 14.0 * own
    if expected.pitch is not None:
        least, most = 0.75 * expected.pitch / discs.step, 1.9 * expected.pitch / discs.step
    if len(discs.peaks) < _LEAST_SITES:
        return []
    steps, support = recurring_steps(discs.peaks, discs.strength, least, most, max(0.35 * own, 1.0))
    found, spread = [], 0.0
    for basis in bases(steps, support, _BASES):
        fit = fit_lattice(discs.peaks, basis)
        if fit is None or fit.pitch < 1.95 * own or fit.pitch < 0.95 * least:
            continue
        spread = spread or max(float(discs.response[discs.film].std()), 1e-9)
        significance, usual = _significance(discs, fit, spread)
        if significance > 0:
            origin = fit.origin * discs.step + (discs.step - 1) / 2
            found.append(Proposal(origin, fit.basis * discs.step, discs.radius, significance, usual))
    return found


def _significance(discs: Discs, fit: Fit, spread: float) -> tuple[float, float]:
    """Mean response at the sites over the standard error of as many random places, and of one; 0 with too few sites.

    ``spread`` is the standard deviation of the response.
    """
    _, places = sites_within(fit.origin, fit.basis, discs.response.shape)
    places = places[_on(discs.film, places)]
    if len(places) < _LEAST_SITES:
        return 0.0, 0.0
    values = ndimage.map_coordinates(discs.response, places.T, order=1, mode="nearest")
    return float(values.mean() * np.sqrt(len(values)) / spread), float(values.mean() / spread)


def _on(film: NDArray[np.bool_], places: Points) -> NDArray[np.bool_]:
    index = np.clip(np.rint(places).astype(np.intp), 0, np.array(film.shape) - 1)
    return np.asarray(film[index[:, 0], index[:, 1]], np.bool_)


def checked(view: View, proposal: Proposal, expected: Expected, known: Shape | None = None) -> Checked | None:
    """Measure the usual hole at the proposal's sites, move the sites to it, and say how sure the lattice is.

    ``known`` is the usual hole where it was measured before, at sites known as well.
    """
    better, shape = proposal, known
    for _ in range(2):
        if known is None or shape is None:
            refined = _at_discs(view, better, None if shape is None else shape.stretch, expected.radius)
        else:
            refined = _at_edges(view, better, shape, _sites_looked_at(view, better), expected.radius)
        if refined is None:
            return None
        better, shape = refined
    if shape is None or not 0.5 * proposal.radius < shape.radius < 1.9 * proposal.radius:
        return None
    if shape.radius < _LEAST_RADIUS or pitch_of(better.basis) < 1.6 * shape.radius:
        return None
    scene = scene_for(view, shape.radius)
    places = _thinned(_expected_sites(view, better), _MOST_LOOKED_AT)
    if len(places) == 0:
        return None
    seen = evidence(scene, placed(view, scene, places, shape, pitch_of(better.basis)), shape, pitch_of(better.basis))
    between = [places + np.array(part) @ better.basis for part in _HALVES]
    between = [half[_on(view.film, half)] for half in between]
    control: Evidence | None = None
    halves: tuple[bool, ...] = (False, False, False)
    if sum(map(len, between)) >= _LEAST_SITES:
        which = np.repeat(np.arange(len(_HALVES)), [len(half) for half in between])
        order = _nearest_middle(np.concatenate(between), _MOST_LOOKED_AT)
        moved = placed(view, scene, np.concatenate(between)[order], shape, pitch_of(better.basis))
        control = evidence(scene, moved, shape, pitch_of(better.basis))
        halves = tuple(_like_holes(seen, control, which[order] == half) for half in range(len(_HALVES)))
    support = _usual_support(seen)
    sure, quality = _confidence(proposal, shape, seen, control, support)
    return Checked(better, places, shape, scene, seen, sure, quality, support, halves)


def _at_discs(
    view: View, proposal: Proposal, stretch: Points | None, known: float | None
) -> tuple[Proposal, Shape] | None:
    """One round: sites to the discs near them, the usual hole from them, sites to its edge, lattice through them."""
    radius, pitch = proposal.radius, pitch_of(proposal.basis)
    places = _sites_looked_at(view, proposal)
    if len(places) < _LEAST_SITES:
        return None
    places, _ = snapped(scene_for(view, radius, _SNAPPED_RADIUS), places, radius, reach_of(radius, pitch))
    shape = usual_shape(scene_for(view, radius), places, radius, pitch, stretch, known)
    return None if shape is None else _at_edges(view, proposal, shape, places, known)


def _at_edges(
    view: View, proposal: Proposal, shape: Shape, places: Points, known: float | None
) -> tuple[Proposal, Shape] | None:
    """Bring places to the edge of the usual hole, and the lattice through them."""
    if len(places) < _LEAST_SITES:
        return None
    scene, pitch = scene_for(view, proposal.radius), pitch_of(proposal.basis)
    places, roundness = edged(scene, places, shape, pitch)
    shape = usual_shape(scene, places, shape.radius, pitch, shape.stretch, known) or shape
    places, roundness = edged(scene, places, shape, pitch)
    round_ones = places[roundness > 0.5]
    fit = fit_lattice(round_ones if len(round_ones) > 0.5 * len(places) else places, proposal.basis)
    if fit is None:
        return None
    return Proposal(fit.origin, fit.basis, shape.radius, proposal.significance, proposal.usual), shape


def _sites_looked_at(view: View, proposal: Proposal) -> Points:
    return _thinned(_expected_sites(view, proposal), _MOST_LOOKED_AT)


def _expected_sites(view: View, proposal: Proposal) -> Points:
    _, places = sites_within(proposal.origin, proposal.basis, view.pixels.shape)
    return places[_on(view.film, places)]


def _thinned(places: Points, most: int) -> Points:
    """Answer the `most` sites nearest the middle of all: enough to know the usual hole, and they hang together."""
    return places[_nearest_middle(places, most)]


def _nearest_middle(places: Points, most: int) -> NDArray[np.intp]:
    if len(places) <= most:
        return np.arange(len(places))
    distance = np.hypot(*(places - np.median(places, axis=0)).T)
    return np.sort(np.argsort(distance, kind="stable")[:most])


def _usual_support(seen: Evidence) -> float:
    judged = seen.visible > _JUDGED
    return float(np.median(seen.support[judged])) if judged.any() else 0.0


def _confidence(
    proposal: Proposal, shape: Shape, seen: Evidence, control: Evidence | None, support: float
) -> tuple[float, float]:
    """How sure it is that the sites are holes, 0..1, and how good they are in all, to rank lattices by.

    Far from chance, edges all around, cut rather than fading, and better than the places between them, which were
    searched the same way. The weights are set so that fields of noise, clouds, bars and blots of many sizes stay below
    a half and holes at the least contrast that still shows each of the four stay well above.
    """
    judged, significance = seen.visible > _JUDGED, proposal.significance
    better = 0.5 if control is None else _share_better(seen, control)
    # Fresnel fringes overshoot a little; noise that falls more than altogether is no edge.
    cut = float(np.clip(min(shape.sharpness, 2.4 - shape.sharpness), 0.0, 1.05))
    evidence_for = (
        1.3 * (min(significance, 9.0) - 5.8) + 10.0 * (support - 0.72) + 14.0 * (cut - 0.80) + 8.0 * (better - 0.88)
    )
    if judged.sum() < _FEW_SITES:
        # Few blots stand near some lattice by chance: they must look like holes all the more.
        contrast = seen.contrast[judged]
        uneven = float(contrast.std() / max(float(contrast.mean()), 1e-3))
        evidence_for += (
            15.0 * (min(cut, 0.95) - 0.88) + 20.0 * (min(support, 0.95) - 0.85) - 10.0 * max(0.0, uneven - 0.35)
        )
    if support < _POOR:
        # Of thousands of lattices some is brighter than chance by many sites' standard error, each hardly so itself.
        evidence_for -= 12.0 * max(0.0, 0.5 - proposal.usual)
    quality = significance * support * min(cut, 1.0)
    return float(1 / (1 + np.exp(-np.clip(evidence_for, -50, 50)))), quality


def _share_better(seen: Evidence, control: Evidence) -> float:
    """Chance that a site looks more like a hole than a place between sites does; 0.5 where nothing is known."""
    return _chance_better(merit(seen)[seen.visible > _JUDGED], merit(control)[control.visible > _JUDGED])


def _chance_better(sites: NDArray[np.float64], others: NDArray[np.float64]) -> float:
    if sites.size == 0 or others.size == 0:
        return 0.5
    return float((sites[:, None] > others).mean())


def _like_holes(seen: Evidence, control: Evidence, some: NDArray[np.bool_]) -> bool:
    """Tell whether some of the places between look like the sites, or, if fainter, have edges all around as those."""
    own = some & (control.visible > _JUDGED)
    if own.sum() < _LEAST_HALVES:
        return False
    if _chance_better(merit(seen)[seen.visible > _JUDGED], merit(control)[own]) < _AS_GOOD:
        return True
    return bool(np.median(control.support[own]) > _AROUND and np.median(control.contrast[own]) > _FAINT)
