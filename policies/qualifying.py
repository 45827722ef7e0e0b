"""One filter pass before any choice: what may be chosen at all, what only for want of better, what never, and why.

Squares fall into three ranks by their class. Doubtful ones (small, thick, contaminated) fill up when sound ones run
out; unfit ones (partial, cracked, broken) are taken only where a grid has nothing else. Of lattice sites only whole
holes qualify.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ..detectors.records import Site, SquareClass
from .options import IceGate
from .records import Limits, Offer, SessionView

_DOUBTFUL: Mapping[str, str] = MappingProxyType(
    {
        SquareClass.SMALL_OR_THICK: "small opening, probably thick ice",
        SquareClass.CONTAMINATED: "contaminated",
    }
)
_UNFIT: Mapping[str, str] = MappingProxyType(
    {
        SquareClass.PARTIAL: "only partly on the atlas",
        SquareClass.CRACKED: "cracked film",
        SquareClass.BROKEN_OR_DRY: "broken film or no ice",
    }
)
_NO_HOLE: Mapping[str, str] = MappingProxyType(
    {
        Site.PARTIAL: "the hole is cut off by the edge",
        Site.COVERED: "the hole is covered",
        Site.MISSING: "no hole is seen here",
    }
)


@dataclass(frozen=True, slots=True)
class Qualified:
    """Outcome of the filter.

    ``able`` are chosen from first, ``spare`` only if those do not suffice; both are ordered by id. ``doubts`` says of
    spare and unfit ones what is wrong; ``refused`` has the reason for every other offer.
    """

    able: tuple[Offer, ...]
    spare: tuple[Offer, ...]
    doubts: Mapping[int, str]
    refused: Mapping[int, str]


def feature(offer: Offer, name: str) -> float | None:
    """Give a feature of an offer, None when it is missing or no number."""
    value = offer.features.get(name)
    return float(value) if value is not None and math.isfinite(value) else None


def score_of(offer: Offer) -> float:
    """Give the finder's score, 0 when it is no number."""
    return offer.score if math.isfinite(offer.score) else 0.0


def qualify(view: SessionView, limits: Limits | None = None, gate: IceGate | None = None) -> Qualified:
    """Sort squares or holes into able, spare and refused.

    Parameters
    ----------
    view
        What is offered.
    limits
        Limits to apply instead of the view's.
    gate
        Limits on the ice of holes.
    """
    offers = sorted(view.offers, key=lambda offer: offer.id)
    bounds = view.limits if limits is None else limits
    if view.question == "holes":
        refused = {offer.id: why for offer in offers if (why := _against_hole(offer, bounds, gate))}
        return Qualified(tuple(offer for offer in offers if offer.id not in refused), (), {}, refused)
    return _squares(offers, bounds)


def _squares(offers: list[Offer], limits: Limits) -> Qualified:
    doubts = {offer.id: {**_DOUBTFUL, **_UNFIT}.get(offer.category, "") for offer in offers}
    refused = {offer.id: why for offer in offers if (why := _against_square(offer, limits))}
    within = [offer for offer in offers if offer.id not in refused]
    sound = [offer for offer in within if not doubts[offer.id]]
    doubtful = [offer for offer in within if offer.category in _DOUBTFUL]
    unfit = [offer for offer in offers if offer.category in _UNFIT]
    if len(unfit) == len(offers):
        order = list(_UNFIT)
        kept = sorted((offer for offer in within), key=lambda offer: (order.index(offer.category), offer.id))
        return Qualified((), tuple(kept), doubts, refused)
    refused |= {offer.id: f"left: {doubts[offer.id]}" for offer in unfit}
    return Qualified(tuple(sound), tuple(doubtful), doubts, refused)


def _against_square(offer: Offer, limits: Limits) -> str:
    area = feature(offer, "area_um2")
    if area is not None and limits.area_min_um2 is not None and area < limits.area_min_um2:
        return f"left: too small ({area:.0f} µm², the protocol asks for {limits.area_min_um2:.0f} or more)"
    if area is not None and limits.area_max_um2 is not None and area > limits.area_max_um2:
        return f"left: too large ({area:.0f} µm², the protocol allows {limits.area_max_um2:.0f})"
    return _against_score(offer, limits)


def _against_hole(offer: Offer, limits: Limits, gate: IceGate | None) -> str:
    if offer.category in _NO_HOLE:
        return f"left: {_NO_HOLE[offer.category]}"
    ice = feature(offer, "ice_nm")
    if gate is not None and ice is not None:
        if gate.ice_min_nm is not None and ice < gate.ice_min_nm:
            return f"left: ice too thin ({ice:.0f} nm, at least {gate.ice_min_nm:.0f} asked)"
        if gate.ice_max_nm is not None and ice > gate.ice_max_nm:
            return f"left: ice too thick ({ice:.0f} nm, at most {gate.ice_max_nm:.0f} allowed)"
    return _against_score(offer, limits)


def _against_score(offer: Offer, limits: Limits) -> str:
    if score_of(offer) < limits.minimum_score:
        return f"left: the finder gave it {score_of(offer):.2f}, the protocol asks for {limits.minimum_score:.2f}"
    return ""
