"""`lattice-holes`: finds holes in a film by their lattice, without weights.

The search gives the lattice and the usual hole; then every site of it is judged on its own evidence: a hole, part of
one, something covered, or film where a hole should be.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..hardware.records import Image
from ..protocols.errors import BadInput
from .blank import beside, beside_blank, hidden
from .evened import evened_view
from .evidence import Evidence, evidence, film_part, merit
from .film import View, cracks_in, view_beside_even_openings, view_of, view_of_cut_openings
from .hole_check import ALL_AROUND, Checked, Expected
from .hole_search import either
from .lattice import kind_of, pitch_of, sites_within
from .lone_holes import lone_holes
from .many_sizes import many_sizes
from .placing import lattice_in, placed
from .records import FoundHole, HoleDetections, HoleFinder, Lattice, Site
from .regions import Mask
from .scene import Scene
from .second_look import looked_again
from .stages import counted, stage
from .working_size import finite

_LEAST_PX = 48
_SURE = 0.6
_SUPPORTED = 0.6
_BEYOND_DOUBT, _ALL_AROUND, _SMALL_PX, _MANY_MORE = 0.95, 0.97, 4.0, 1.25
_BORDER_PART = 0.2
_MOSTLY_FILM = 0.7
_WIDER, _PART_OF_VIEW = 1.5, 0.02
_LARGE, _FAR, _MOSTLY_CRACK = 0.05, 1.5, 0.5


class HoleOptions(BaseModel):
    """Options of `lattice-holes`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    hole_diameter_um: float | None = Field(
        None, gt=0, description="Diameter of the holes as made; used when the pixel size is known. None: found out."
    )
    hole_pitch_um: float | None = Field(
        None, gt=0, description="Distance between neighbouring holes' centres. None: found out."
    )
    second_look: bool = Field(
        True,
        description="Look again at sites without a hole, for holes under ice so thick that they hardly show, beside "
        "bare openings, and, where there is no sure lattice, for holes of many sizes and such as stand alone.",
    )
    min_score: float = Field(0.0, ge=0, le=1, description="Sites scored lower are left out of the answer.")


class LatticeHoles:
    """The finder; made by `lattice_holes`."""

    name = "lattice-holes"
    version = "1"

    def __init__(self, options: HoleOptions) -> None:
        self._options = options

    def find(self, image: Image) -> HoleDetections:
        """Answer every lattice site on the film with its status; never raises on a poor image."""
        return beside_blank(image, self.look_twice)

    def look_twice(self, image: Image, blank: Mask | None) -> HoleDetections:
        """Look at the whole; then heed cracks, against which a few large holes are little."""
        found = self.look(image, blank)
        sure = _confidence(found) >= _SURE
        bright = _far_brighter(found.holes, _LARGE * min(image.pixels.shape)) if sure else []
        if not self._options.second_look or (sure and not bright):
            return found
        pixels, _ = finite(image.pixels)
        cracks = cracks_in(pixels, blank) if pixels.ndim == 2 and min(pixels.shape) >= _LEAST_PX else None
        if cracks is None:
            return found
        if sure:
            swallowed = [hole for hole in bright if hidden(hole, cracks) > _MOSTLY_CRACK]
            return replace(found, holes=tuple(hole for hole in found.holes if hole not in swallowed))
        with stage("beside cracks") as say:
            again = beside(image, cracks if blank is None else cracks | blank, self.look)
            say(counted(hole.status.value for hole in again.holes))
        more = len(_seen(again.holes)) > len(_seen(found.holes))
        # With pieces of the view taken away, chance lattices of three sites look better than they are.
        return again if _confidence(again) > _BEYOND_DOUBT or (more and again.lattice is None) else found

    def look(self, image: Image, blank: Mask | None) -> HoleDetections:
        """Find holes in an image that shows nothing where `blank` is set."""
        pixels, bad = finite(image.pixels)
        if pixels.ndim != 2 or min(pixels.shape) < _LEAST_PX:
            return _none(image, f"the image is smaller than {_LEAST_PX} px, too small to hold a lattice of holes")
        if bad.mean() > 0.5:
            return _none(image, "more than half of the image holds no number")
        with stage("film") as say:
            view = view_of(pixels, True, blank)
            say("of one value" if view is None else f"{view.film.mean():.0%} of the view, looked at 1:{view.step:g}")
        if view is None:
            return _none(image, "the film is of one value: no holes can be told from it")
        whole = partial(view_of, pixels, blank=blank)
        with stage("lattice") as say:
            shown, best = self._surest(pixels, view, blank, image.pixel_size_a)
            say("none" if best is None else _told(best, shown.step))
        if best is None or _doubtful(best):
            return self._of_many_sizes(image, view) or self._without_lattice(image, shown, whole)
        with stage("sites") as say:
            holes, lattice = settled(shown, best)
            say(counted(hole.status.value for hole in holes))
        several = None if _of_one_size(best, holes) else self._of_many_sizes(image, view)
        if several is not None and len(several.holes) > _more_wanted(best) * len(_seen(holes)):
            return several
        if self._options.second_look:
            with stage("sites, a second look") as say:
                holes = looked_again(shown, best, holes)
                say(counted(hole.status.value for hole in holes))
        return self._kept(image, holes, lattice) if holes else self._without_lattice(image, shown, whole)

    def _surest(
        self, pixels: NDArray[np.float32], view: View, blank: Mask | None, pixel_size_a: float | None
    ) -> tuple[View, Checked | None]:
        """Look at the film; where nothing sure is there, at what else film may be."""
        shown, best = self._best(view, pixel_size_a)
        if self._options.second_look and (view.has_bars or _weak(best)):
            shown, best = self._surer(view_beside_even_openings(pixels, blank), shown, best, pixel_size_a)
        if view.has_bars and _doubtful(best):
            # What was held for torn may be thin film.
            shown, best = self._surer(_other(view_of(pixels, blank=blank), view), shown, best, pixel_size_a)
        if not view.has_bars and self._options.second_look and _weak(best):
            # Openings that the border cuts lie on a lattice as well, the mesh's, and are hardly round.
            shown, best = self._surer(view_of_cut_openings(pixels, blank), shown, best, pixel_size_a)
        if self._options.second_look and (best is None or _doubtful(best) or best.support < ALL_AROUND):
            # Where film darkens, as under thick ice, bright discs lie off their holes, seem smaller, or are outshone.
            guess = _PART_OF_VIEW * min(shown.pixels.shape)
            radius = guess if best is None or _doubtful(best) else _WIDER * best.shape.radius
            even, found = self._surer(evened_view(shown, radius), shown, best, pixel_size_a)
            shown, best = (even, found) if found is not None and found.support >= ALL_AROUND else (shown, best)
        return shown, best

    def _of_many_sizes(self, image: Image, view: View) -> HoleDetections | None:
        if not self._options.second_look:
            return None
        with stage("holes of many sizes") as say:
            found = many_sizes(view)
            say("none" if found is None else counted(hole.status.value for hole in found.holes))
        return None if found is None else self._kept(image, found.holes, found.lattice)

    def _kept(self, image: Image, holes: Sequence[FoundHole], lattice: Lattice) -> HoleDetections:
        kept = tuple(hole for hole in holes if hole.score >= self._options.min_score)
        reason = "" if kept else f"all {len(holes)} sites score under {self._options.min_score:g}"
        return HoleDetections(kept, lattice, image.pixel_size_a, reason)

    def _without_lattice(self, image: Image, view: View, with_tears: Callable[[], View | None]) -> HoleDetections:
        with stage("lone holes") as say:
            lone = self._lone(view, with_tears) if self._options.second_look else []
            say(f"{len(lone)}")
        kept = tuple(hole for hole in lone if hole.score >= self._options.min_score)
        if not kept:
            return _none(image, "no round bright areas recur on a lattice")
        return HoleDetections(kept, None, image.pixel_size_a)

    def _surer(
        self, other: View | None, view: View, best: Checked | None, pixel_size_a: float | None
    ) -> tuple[View, Checked | None]:
        """Look at another view of the same image, as where an opening is bare; keep the surer lattice."""
        if other is None:
            return view, best
        shown, found = self._best(other, pixel_size_a)
        better = found is not None and (best is None or found.confidence > best.confidence)
        return (shown, found) if better else (view, best)

    def _lone(self, view: View, with_tears: Callable[[], View | None]) -> list[FoundHole]:
        """Look for holes that stand alone, then on what was held for torn: film with few holes is as even as vacuum."""
        found = lone_holes(view)
        whole = None if found else _other(with_tears(), view)
        return found if whole is None else lone_holes(whole)

    def _best(self, view: View, pixel_size_a: float | None) -> tuple[View, Checked | None]:
        """Look with the expected sizes first; if nothing sure is there, with all."""
        expected = expected_in(view, pixel_size_a, self._options.hole_diameter_um, self._options.hole_pitch_um)
        shown, best = either(view, expected)
        if expected != Expected(None, None) and _doubtful(best):
            shown, best = either(view, Expected(None, None))
        return shown, best


def _doubtful(best: Checked | None) -> bool:
    return best is None or best.confidence < _SURE


def _weak(best: Checked | None) -> bool:
    return best is None or _doubtful(best) or best.support < _SUPPORTED


def _confidence(found: HoleDetections) -> float:
    return 0.0 if found.lattice is None else found.lattice.confidence


def _far_brighter(holes: Sequence[FoundHole], least_radius_px: float) -> list[FoundHole]:
    """Give the large holes that stand out of their film far more than the others do and are not round, like tears."""
    large = [hole for hole in _seen(holes) if hole.radius_px > least_radius_px and "contrast" in hole.features]
    least = _FAR * float(np.median([hole.features["contrast"] for hole in large])) if large else 0.0
    return [hole for hole in large if hole.features["contrast"] > least and hole.features["support"] < _ALL_AROUND]


def _other(view: View | None, seen: View) -> View | None:
    """Give a view that holds other film than the one seen; None where it holds the same."""
    return None if view is None or view.film.sum() == seen.film.sum() else view


def _of_one_size(best: Checked, holes: Sequence[FoundHole]) -> bool:
    """Tell whether a circle of the usual size lies on the edges of the holes told; tiny ones have few px of edge."""
    if best.confidence < _BEYOND_DOUBT:
        return False
    support = [hole.features["support"] for hole in _seen(holes)]
    return best.shape.radius < _SMALL_PX or not support or float(np.median(support)) >= _ALL_AROUND


def _more_wanted(best: Checked) -> float:
    """Give how many times the holes of a lattice others must be to be believed instead; as many, if it is doubtful."""
    return _MANY_MORE if best.confidence > _BEYOND_DOUBT else 1.0


def _seen(holes: Sequence[FoundHole]) -> list[FoundHole]:
    return [hole for hole in holes if hole.status in (Site.HOLE, Site.PARTIAL)]


def expected_in(view: View, pixel_size_a: float | None, diameter_um: float | None, pitch_um: float | None) -> Expected:
    """Bring what is known of the holes to working pixels of a view; nothing where the pixel size is not known."""
    if pixel_size_a is None:
        return Expected(None, None)
    per_um = 1e4 / (pixel_size_a * view.step)
    return Expected(
        None if diameter_um is None else diameter_um / 2 * per_um, None if pitch_um is None else pitch_um * per_um
    )


def _told(best: Checked, step: float) -> str:
    """Say in words what lattice was found; sizes in px of the image."""
    pitch, radius = pitch_of(best.proposal.basis) * step, best.shape.radius * step
    kind = kind_of(best.proposal.basis).value
    return f"{kind}, pitch {pitch:.1f} px, holes {2 * radius:.1f} px wide, confidence {best.confidence:.2f}"


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


def settled(view: View, best: Checked) -> tuple[list[FoundHole], Lattice]:
    """Judge every site of the final lattice; answer holes and lattice in pixels of the image."""
    shape, basis = best.shape, best.proposal.basis
    pitch = pitch_of(basis)
    numbers, expected = sites_within(best.proposal.origin, basis, view.pixels.shape, _BORDER_PART * shape.radius)
    scene = _beyond_film(best.scene, 1.5 * pitch)
    places = placed(view, scene, expected, shape, pitch)
    seen, film = evidence(scene, places, shape, pitch), film_part(view, places, shape)
    left_out, dark = _torn(seen) | ~_standing(seen, film), _darkened(seen)
    holes = []
    for index in map(int, np.flatnonzero(~left_out)):
        status, score = _judged(seen, index, bool(dark[index]))
        empty = status in (Site.MISSING, Site.COVERED)
        place = expected[index] if empty else places[index]
        in_view = (place >= -0.5).all() and (place <= np.array(view.pixels.shape) - 0.5).all()
        if in_view and not (empty and film[index] < _MOSTLY_FILM):
            holes.append(_hole(view, best, seen, index, (place, numbers[index]), (status, score * best.confidence)))
    return holes, lattice_of(view, best)


def _hole(
    view: View,
    best: Checked,
    seen: Evidence,
    index: int,
    where: tuple[NDArray[np.float64], NDArray[np.int64]],
    what: tuple[Site, float],
) -> FoundHole:
    """Bring one site to pixels and counts of the image; `where` is its place in the view and its whole numbers."""
    row, col = where[0] * view.step + (view.step - 1) / 2
    status, score = what
    features = {
        "contrast": float(seen.contrast[index]),
        "support": float(seen.support[index]),
        "visible": float(seen.visible[index]),
        "on_film": float(seen.on_film[index]),
        "i": float(where[1][0]),
        "j": float(where[1][1]),
    }
    mean = view.counts(where[0][0], where[0][1], float(seen.inside[index]))
    return FoundHole(float(row), float(col), best.shape.radius * view.step, score, status, mean, features)


def lattice_of(view: View, best: Checked) -> Lattice:
    """Bring the lattice to pixels of the image."""
    return lattice_in(view, best.proposal.origin, best.proposal.basis, best.confidence)


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
    sure = 1 / (1 + np.exp(-5.0 * (float(merit(seen)[index]) - 0.75)))
    whole = float(min(1.0, seen.visible[index] * seen.on_film[index] / 0.97))
    if sure >= 0.5 and whole >= 0.9:
        return Site.HOLE, float(sure)
    if sure >= 0.5:
        return Site.PARTIAL, float(sure * (0.5 + 0.5 * whole))
    if support > 0.45 and contrast > 0.2:
        return Site.PARTIAL, float(sure)
    return (Site.COVERED if dark else Site.MISSING), float(sure * (0.5 + 0.5 * whole))
