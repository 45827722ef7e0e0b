"""The search for the lattice of holes: lattices proposed at every radius, the most significant looked at closely.

Bright discs of one radius propose lattices; the lattice whose sites are brightest against chance, counted in standard
errors, is looked at first, and it must look like holes: round, with an edge, better than the places between. Where
holes are darker than their film, the film between them is bright, recurs as they do, and has no round edge.
"""

from dataclasses import replace

import numpy as np
from scipy import ndimage

from .discs import Discs, looks, radii
from .film import View
from .hole_check import ALL_AROUND, LEAST_SITES, Checked, Expected, Proposal, checked, on_film
from .hole_shape import Shape
from .lattice import Fit, bases, fit_lattice, pitch_of, recurring_steps, reduced, sites_within
from .scene import Points

_BASES = 4
_LEAST_SIGNIFICANCE = 3.5
_MOST_CHECKED = 8
_MOST_PROPOSED = 30
_AS_SURE = 0.9
_ON_SITES = 0.25
_MUCH_THE_SAME, _THE_SAME = 0.3, 0.05
_LIKELY, _WELL_AROUND = 0.5, 0.9
_TIMES_AS_WIDE, _NEARLY_ALL_AROUND = (1.0, 1.3, 1.7), 0.8
_NEARLY_AS_GOOD = 0.8
"""Half of them film, sites are less significant by √2."""


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
    if len(discs.peaks) < LEAST_SITES:
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
    places = places[on_film(discs.film, places)]
    if len(places) < LEAST_SITES:
        return 0.0, 0.0
    values = ndimage.map_coordinates(discs.response, places.T, order=1, mode="nearest")
    return float(values.mean() * np.sqrt(len(values)) / spread), float(values.mean() / spread)
