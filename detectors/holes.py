"""`lattice-holes`: finds holes in a film by their lattice, without weights.

Bright discs are looked for at every size; at each size the places found propose lattices; the lattice whose sites are
brightest against chance, counted in standard errors, wins, and only if its sites look like holes: round, with an edge,
alike. Then every site is judged on its own evidence.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from scipy import ndimage

from ..hardware.records import Image
from ..protocols.errors import BadInput
from .discs import Discs, looks, radii
from .film import View, view_of
from .lattice import Fit, Points, bases, fit_lattice, kind_of, recurring_steps, sites_within
from .records import FoundHole, HoleDetections, HoleFinder, Lattice, Site
from .sites import Evidence, Scene, Shape, edged, evidence, film_part, scene_for, snapped, usual_shape
from .squares import finite

_LEAST_PX = 48
_LEAST_SITES = 4
_LEAST_SIGNIFICANCE = 3.5
_MOST_CHECKED = 5
_MOST_PROPOSED = 30
_MOST_LOOKED_AT = 100
_LEAST_RADIUS = 2.0
_FEW_SITES = 9
_SURE = 0.6
_BORDER_PART = 0.2
_MOSTLY_FILM = 0.7
_SNAPPED_RADIUS = 6.0


class HoleOptions(BaseModel):
    """Options of `lattice-holes`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    hole_diameter_um: float | None = Field(
        None, gt=0, description="Diameter of the holes as made; used when the pixel size is known. None: found out."
    )
    hole_pitch_um: float | None = Field(
        None, gt=0, description="Distance between neighbouring holes' centres. None: found out."
    )
    min_score: float = Field(0.0, ge=0, le=1, description="Sites scored lower are left out of the answer.")


@dataclass(frozen=True, slots=True)
class _Expected:
    """What is known beforehand, in working pixels."""

    radius: float | None
    pitch: float | None


@dataclass(frozen=True, slots=True)
class _Proposal:
    """A lattice seen with discs of one radius; working pixels. Significance is in standard errors."""

    origin: Points
    basis: Points
    radius: float
    significance: float


@dataclass(frozen=True, slots=True)
class _Checked:
    """A proposal whose sites were looked at.

    ``proposed`` is the proposal as it came, ``proposal`` as refined; ``quality`` ranks, ``confidence`` decides.
    """

    proposed: _Proposal
    proposal: _Proposal
    sites: Points
    shape: Shape
    scene: Scene
    seen: Evidence
    confidence: float
    quality: float


class LatticeHoles:
    """The finder; made by `lattice_holes`."""

    name = "lattice-holes"
    version = "1"

    def __init__(self, options: HoleOptions) -> None:
        self._options = options

    def find(self, image: Image) -> HoleDetections:
        """Answer every lattice site on the film with its status; never raises on a poor image."""
        pixels, bad = finite(image.pixels)
        if pixels.ndim != 2 or min(pixels.shape) < _LEAST_PX:
            return _none(image, f"the image is smaller than {_LEAST_PX} px, too small to hold a lattice of holes")
        if bad.mean() > 0.5:
            return _none(image, "more than half of the image holds no number")
        view = view_of(pixels, without_tears=True)
        if view is None:
            return _none(image, "the film is of one value: no holes can be told from it")
        best = self._best(view, image.pixel_size_a)
        if best is None or best.confidence < _SURE:
            return _none(image, "no round bright areas recur on a lattice")
        holes, lattice = _settled(view, best)
        kept = tuple(hole for hole in holes if hole.score >= self._options.min_score)
        reason = "" if kept else f"all {len(holes)} sites score under {self._options.min_score:g}"
        return HoleDetections(kept, lattice, image.pixel_size_a, reason)

    def _best(self, view: View, pixel_size_a: float | None) -> _Checked | None:
        """Look with the expected sizes first; if nothing sure is there, with all."""
        expected = self._expected(view, pixel_size_a)
        best = _search(view, expected)
        if expected != _Expected(None, None) and (best is None or best.confidence < _SURE):
            best = _search(view, _Expected(None, None))
        return best

    def _expected(self, view: View, pixel_size_a: float | None) -> _Expected:
        if pixel_size_a is None:
            return _Expected(None, None)
        per_um = 1e4 / (pixel_size_a * view.step)
        diameter, pitch = self._options.hole_diameter_um, self._options.hole_pitch_um
        return _Expected(None if diameter is None else diameter / 2 * per_um, None if pitch is None else pitch * per_um)


def lattice_holes(options: Mapping[str, Any]) -> HoleFinder:
    """Make the finder (plug-in factory).

    Raises
    ------
    BadInput
        An option is unknown or out of range.
    """
    try:
        return LatticeHoles(HoleOptions.model_validate(dict(options)))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        known = ", ".join(HoleOptions.model_fields)
        raise BadInput(f"lattice-holes: option '{where}': {first['msg']}; options are: {known}") from error


def _none(image: Image, reason: str) -> HoleDetections:
    return HoleDetections((), None, image.pixel_size_a, reason)


def _search(view: View, expected: _Expected) -> _Checked | None:
    """Propose lattices at every radius, look closely at the most significant, answer the surest."""
    low = None if expected.radius is None else 0.7 * expected.radius
    high = None if expected.radius is None else 1.35 * expected.radius
    proposals = [proposal for discs in looks(view, radii(view, low, high)) for proposal in _proposals(discs, expected)]
    proposals.sort(key=lambda proposal: -proposal.significance)
    best: _Checked | None = None
    tried: list[_Checked] = []
    for proposal in proposals[:_MOST_PROPOSED]:
        # Quality is significance times factors up to 1: what follows cannot be better than its significance.
        if proposal.significance < max(_LEAST_SIGNIFICANCE, 0.0 if best is None else best.quality):
            break
        if any(_alike(proposal, other.proposed) for other in tried):
            continue
        result = _checked(view, proposal)
        if result is not None:
            tried.append(result)
            best = result if best is None or result.quality > best.quality else best
        if len(tried) == _MOST_CHECKED:
            break
    return best


def _alike(one: _Proposal, other: _Proposal) -> bool:
    """Tell whether both were seen at much the same radius and have the same sites within a quarter of the pitch."""
    if abs(np.log(one.radius / other.radius)) > 0.3:
        return False
    change = one.basis @ np.linalg.inv(other.basis)
    shift = (one.origin - other.origin) @ np.linalg.inv(other.basis)
    same_basis = np.abs(change - np.rint(change)).max() < 0.1 and abs(abs(np.linalg.det(change)) - 1) < 0.2
    return bool(same_basis and np.abs(shift - np.rint(shift)).max() < 0.25)


def _proposals(discs: Discs, expected: _Expected) -> list[_Proposal]:
    own = discs.radius / discs.step
    least, most = 2.05 * own, 14.0 * own
    if expected.pitch is not None:
        least, most = 0.75 * expected.pitch / discs.step, 1.9 * expected.pitch / discs.step
    if len(discs.peaks) < _LEAST_SITES:
        return []
    steps, support = recurring_steps(discs.peaks, discs.strength, least, most, max(0.35 * own, 1.0))
    found = []
    for basis in bases(steps, support)[:4]:
        fit = fit_lattice(discs.peaks, basis)
        if fit is None or fit.pitch < 1.95 * own or fit.pitch < 0.95 * least:
            continue
        significance = _significance(discs, fit)
        if significance > 0:
            origin = fit.origin * discs.step + (discs.step - 1) / 2
            found.append(_Proposal(origin, fit.basis * discs.step, discs.radius, significance))
    return found


def _significance(discs: Discs, fit: Fit) -> float:
    """Mean response at the sites over the standard error of as many random places; 0 with too few sites."""
    _, places = sites_within(fit.origin, fit.basis, discs.response.shape)
    places = places[_on(discs.film, places)]
    if len(places) < _LEAST_SITES:
        return 0.0
    values = ndimage.map_coordinates(discs.response, places.T, order=1, mode="nearest")
    return float(values.mean() * np.sqrt(len(values)) / max(float(discs.response[discs.film].std()), 1e-9))


def _on(film: NDArray[np.bool_], places: Points) -> NDArray[np.bool_]:
    index = np.clip(np.rint(places).astype(np.intp), 0, np.array(film.shape) - 1)
    return np.asarray(film[index[:, 0], index[:, 1]], np.bool_)


def _checked(view: View, proposal: _Proposal) -> _Checked | None:
    """Measure the usual hole at the proposal's sites, move the sites to it, and say how sure the lattice is."""
    better, shape = proposal, None
    for _ in range(2):
        refined = _refined(view, better, None if shape is None else shape.stretch)
        if refined is None:
            return None
        better, shape = refined
    if shape is None or not 0.5 * proposal.radius < shape.radius < 1.9 * proposal.radius:
        return None
    if shape.radius < _LEAST_RADIUS or _pitch(better.basis) < 1.6 * shape.radius:
        return None
    scene = scene_for(view, shape.radius)
    places = _thinned(_expected_sites(view, better), _MOST_LOOKED_AT)
    seen = evidence(scene, _placed(view, scene, places, shape, _pitch(better.basis)), shape, _pitch(better.basis))
    between = np.concatenate([places + np.array(part) @ better.basis for part in ((0.5, 0), (0, 0.5), (0.5, 0.5))])
    between = between[_on(view.film, between)]
    control = None
    if len(between) >= _LEAST_SITES:
        between = _thinned(between, _MOST_LOOKED_AT)
        moved = _placed(view, scene, between, shape, _pitch(better.basis))
        control = evidence(scene, moved, shape, _pitch(better.basis))
    sure, quality = _confidence(proposal.significance, shape, seen, control)
    return _Checked(proposal, better, places, shape, scene, seen, sure, quality)


def _refined(view: View, proposal: _Proposal, stretch: Points | None) -> tuple[_Proposal, Shape] | None:
    """One round: sites to the discs near them, the usual hole from them, sites to its edge, lattice through them."""
    radius, pitch = proposal.radius, _pitch(proposal.basis)
    places = _thinned(_expected_sites(view, proposal), _MOST_LOOKED_AT)
    if len(places) < _LEAST_SITES:
        return None
    scene = scene_for(view, radius)
    places, _ = snapped(scene_for(view, radius, _SNAPPED_RADIUS), places, radius, _reach(radius, pitch))
    shape = usual_shape(scene, places, radius, pitch, stretch)
    if shape is None:
        return None
    places, roundness = edged(scene, places, shape, pitch)
    shape = usual_shape(scene, places, shape.radius, pitch, shape.stretch) or shape
    places, roundness = edged(scene, places, shape, pitch)
    round_ones = places[roundness > 0.5]
    fit = fit_lattice(round_ones if len(round_ones) > 0.5 * len(places) else places, proposal.basis)
    if fit is None:
        return None
    return _Proposal(fit.origin, fit.basis, shape.radius, proposal.significance), shape


def _expected_sites(view: View, proposal: _Proposal) -> Points:
    _, places = sites_within(proposal.origin, proposal.basis, view.pixels.shape)
    return places[_on(view.film, places)]


def _thinned(places: Points, most: int) -> Points:
    """Answer the `most` sites nearest the middle of all: enough to know the usual hole, and they hang together."""
    if len(places) <= most:
        return places
    distance = np.hypot(*(places - np.median(places, axis=0)).T)
    return places[np.sort(np.argsort(distance, kind="stable")[:most])]


def _pitch(basis: Points) -> float:
    return float(np.hypot(basis[:, 0], basis[:, 1]).min())


def _reach(radius: float, pitch: float) -> float:
    return max(1.0, min(0.35 * radius, 0.14 * pitch))


def _confidence(significance: float, shape: Shape, seen: Evidence, control: Evidence | None) -> tuple[float, float]:
    """How sure it is that the sites are holes, 0..1, and how good they are in all, to rank lattices by.

    Far from chance, edges all around, cut rather than fading, and better than the places between them, which were
    searched the same way. The weights are set so that fields of noise, clouds, bars and blots of many sizes stay below
    a half and holes at the least contrast that still shows each of the four stay well above.
    """
    judged = seen.visible > 0.4
    support = float(np.median(seen.support[judged])) if judged.any() else 0.0
    better = 0.5 if control is None else _share_better(seen, control)
    # Fresnel fringes overshoot a little; noise that falls more than altogether is no edge.
    cut = float(np.clip(min(shape.sharpness, 2.6 - shape.sharpness), 0.0, 1.05))
    evidence_for = (
        1.3 * (min(significance, 9.0) - 5.8) + 10.0 * (support - 0.72) + 8.0 * (cut - 0.75) + 8.0 * (better - 0.88)
    )
    if judged.sum() < _FEW_SITES:
        # Few blots stand near some lattice by chance: they must look like holes all the more.
        evidence_for += 15.0 * (min(cut, 0.95) - 0.85) + 8.0 * (support - 0.88)
    quality = significance * support * min(cut, 1.0)
    return float(1 / (1 + np.exp(-np.clip(evidence_for, -50, 50)))), quality


def _merit(seen: Evidence) -> NDArray[np.float64]:
    """Contrast and edge together: about 1.5 for a hole, 0.5 for nothing."""
    return np.asarray(0.5 * np.clip(seen.contrast, -1.0, 1.2) + seen.support, np.float64)


def _share_better(seen: Evidence, control: Evidence) -> float:
    """Chance that a site looks more like a hole than a place between sites does; 0.5 where nothing is known."""
    sites, others = _merit(seen)[seen.visible > 0.4], _merit(control)[control.visible > 0.4]
    if sites.size == 0 or others.size == 0:
        return 0.5
    return float((sites[:, None] > others).mean())


def _settled(view: View, best: _Checked) -> tuple[list[FoundHole], Lattice]:
    """Judge every site of the final lattice; answer holes and lattice in pixels of the image."""
    lattice, shape, scene = best.proposal, best.shape, best.scene
    pitch = _pitch(lattice.basis)
    margin = _BORDER_PART * shape.radius
    numbers, expected = sites_within(lattice.origin, lattice.basis, view.pixels.shape, margin)
    scene = _beyond_film(scene, 1.5 * pitch)
    places = _placed(view, scene, expected, shape, pitch)
    seen = evidence(scene, places, shape, pitch)
    film = film_part(view, places, shape)
    left_out = _torn(seen) | ~_standing(seen, film)
    dark = _darkened(seen)
    holes = []
    for index in map(int, np.flatnonzero(~left_out)):
        status, score = _judged(seen, index, bool(dark[index]))
        if status in (Site.MISSING, Site.COVERED) and film[index] < _MOSTLY_FILM:
            continue
        place = expected[index] if status in (Site.MISSING, Site.COVERED) else places[index]
        if (place < -0.5).any() or (place > np.array(view.pixels.shape) - 0.5).any():
            continue
        row, col = place * view.step + (view.step - 1) / 2
        features = {
            "contrast": float(seen.contrast[index]),
            "support": float(seen.support[index]),
            "visible": float(seen.visible[index]),
            "on_film": float(seen.on_film[index]),
            "i": float(numbers[index, 0]),
            "j": float(numbers[index, 1]),
        }
        mean = float(view.level + view.spread * seen.inside[index])
        radius = shape.radius * view.step
        holes.append(FoundHole(float(row), float(col), radius, score * best.confidence, status, mean, features))
    origin = lattice.origin * view.step + (view.step - 1) / 2
    a, b = lattice.basis * view.step
    return holes, Lattice(
        kind_of(lattice.basis),
        (float(a[0]), float(a[1])),
        (float(b[0]), float(b[1])),
        (float(origin[0]), float(origin[1])),
        best.confidence,
    )


def _placed(view: View, scene: Scene, expected: Points, shape: Shape, pitch: float) -> Points:
    """Move sites to their own evidence: to the edge where one is seen all around, else to the brightest disc near."""
    coarse = scene_for(view, shape.radius, _SNAPPED_RADIUS)
    discs, _ = snapped(coarse, expected, shape.radius, _reach(shape.radius, pitch))
    rows, cols = np.array(scene.pixels.shape) * scene.step
    inside = np.minimum(expected, np.array([rows, cols]) - 1 - expected).min(1) > shape.radius
    start = np.where(inside[:, None], discs, expected)
    edges, roundness = edged(scene, start, shape, pitch)
    return np.where((roundness > 0.5)[:, None], edges, start)


def _beyond_film(scene: Scene, reach: float) -> Scene:
    """Let sites a little beyond the film be seen too: where ice is thick the film's rim is easily drawn too tight."""
    size = 2 * max(1, round(reach / scene.step)) + 1
    return Scene(scene.pixels, np.asarray(cv2.dilate(scene.film, np.ones((size, size), np.uint8))), scene.step)


def _standing(seen: Evidence, film: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Sites with something to say: film around them, or beyond the film a hole that leaves no doubt."""
    plain = (seen.contrast > 0.3) & (seen.support > 0.7) & (seen.on_film > 0.8)
    return np.asarray(np.isfinite(seen.inside) & ((film > 0.35) | (plain & (seen.on_film > 0.35))), np.bool_)


def _darkened(seen: Evidence) -> NDArray[np.bool_]:
    """Sites darker than film alone ever is in this view, or with something dark in them."""
    good = (seen.contrast > 0.5) & (seen.support > 0.5)
    spotted = (seen.contrast < -0.35) | (seen.darkest < -1.2)
    if good.sum() < 3:
        return np.asarray(spotted, np.bool_)
    film, hole = seen.around[good], seen.inside[good]
    lowest = np.quantile(film, 0.02) - 0.5 * np.median(hole - film)
    return np.asarray(spotted | (np.nan_to_num(seen.inside, nan=np.inf) < lowest), np.bool_)


def _torn(seen: Evidence) -> NDArray[np.bool_]:
    """Sites where there is no film to have a hole in: all around as bright as inside holes, and no edge."""
    good = (seen.contrast > 0.5) & (seen.support > 0.5)
    if good.sum() < 3:
        return np.zeros(len(seen.contrast), np.bool_)
    film, hole = float(np.median(seen.around[good])), float(np.median(seen.inside[good]))
    return np.asarray((seen.around > film + 0.8 * (hole - film)) & (seen.contrast < 0.35), np.bool_)


def _judged(seen: Evidence, index: int, dark: bool) -> tuple[Site, float]:
    """Status and score of one site."""
    contrast, support = float(seen.contrast[index]), float(seen.support[index])
    sure = 1 / (1 + np.exp(-5.0 * (float(_merit(seen)[index]) - 0.75)))
    whole = float(min(1.0, seen.visible[index] * seen.on_film[index] / 0.97))
    if sure >= 0.5 and whole >= 0.9:
        return Site.HOLE, float(sure)
    if sure >= 0.5:
        return Site.PARTIAL, float(sure * (0.5 + 0.5 * whole))
    if support > 0.45 and contrast > 0.2:
        return Site.PARTIAL, float(sure)
    return (Site.COVERED if dark else Site.MISSING), float(sure * (0.5 + 0.5 * whole))
