"""One lattice looked at closely: the usual hole at its sites measured, the sites moved to its edge, how sure it is.

Sites must look like holes: round, with an edge, better than the places between.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .evidence import Evidence, evidence, merit
from .film import View
from .hole_shape import Shape, usual_shape
from .lattice import fit_lattice, pitch_of, sites_within
from .placing import edged, placed, reach_of, snapped
from .scene import Points, Scene, scene_for

LEAST_SITES = 4
_MOST_LOOKED_AT = 100
_LEAST_RADIUS = 2.0
_FEW_SITES = 9
_SNAPPED_RADIUS = 6.0
_JUDGED = 0.4
_POOR = 0.7
_HALVES = ((0.5, 0.0), (0.0, 0.5), (0.5, 0.5))
_AS_GOOD, _LEAST_HALVES = 0.7, 4
_AROUND, _FAINT = 0.6, 0.15
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


def on_film(film: NDArray[np.bool_], places: Points) -> NDArray[np.bool_]:
    """Tell which places (n, 2) lie on the film, (rows, cols)."""
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
    between = [half[on_film(view.film, half)] for half in between]
    control: Evidence | None = None
    halves: tuple[bool, ...] = (False, False, False)
    if sum(map(len, between)) >= LEAST_SITES:
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
    if len(places) < LEAST_SITES:
        return None
    places, _ = snapped(scene_for(view, radius, _SNAPPED_RADIUS), places, radius, reach_of(radius, pitch))
    shape = usual_shape(scene_for(view, radius), places, radius, pitch, stretch, known)
    return None if shape is None else _at_edges(view, proposal, shape, places, known)


def _at_edges(
    view: View, proposal: Proposal, shape: Shape, places: Points, known: float | None
) -> tuple[Proposal, Shape] | None:
    """Bring places to the edge of the usual hole, and the lattice through them."""
    if len(places) < LEAST_SITES:
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
    return places[on_film(view.film, places)]


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
