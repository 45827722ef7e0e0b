"""``cluster-sampling``: squares from groups of alike size, holes from groups of alike brightness, darkest left out.

After SmartScope (Bouvette et al., 2022, eLife 11:e80047): values are cut into groups of equal number, groups are drawn
by lot, one target is taken from each, and again until there are enough. Here the filter runs once, on all offers,
and the generator is the session's.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from numpy.random import Generator
from pydantic import Field

from .alike import equal_shares, share_in_words
from .answering import answer, fill
from .grids import rank_grids
from .options import IceGate, read_options
from .qualifying import feature, qualify, score_of
from .records import Choice, Offer, SessionView

_GROUPS = 5


class ClusterOptions(IceGate):
    """How to group and draw."""

    groups: int | None = Field(
        default=None, ge=1, le=50, description="Groups to draw from; null means as the protocol asks, else 5."
    )
    drop_darkest: bool = Field(default=True, description="Whether the darkest group of a square's holes is left out.")
    within: Literal["best", "random"] = Field(
        default="best", description="Which one of a group: the finder's best, or any by lot as in SmartScope."
    )


class ClusterSampling:
    """Samples the variety of a grid, or of a square."""

    name = "cluster-sampling"
    version = "1"

    def __init__(self, options: ClusterOptions) -> None:
        self._options = options

    def choose(self, view: SessionView, rng: Generator) -> Choice:
        """Choose some of each group, groups drawn by lot."""
        if view.question == "grids":
            return rank_grids(view)
        squares, count = view.question == "squares", self._options.groups or view.limits.groups or _GROUPS
        qualified = qualify(view, gate=self._options)
        dark = {} if squares or not self._options.drop_darkest else _darkest(qualified.able, count)
        able = tuple(offer for offer in qualified.able if offer.id not in dark)
        rest = replace(qualified, able=able, refused={**qualified.refused, **dark})
        kind = _SIZE if squares else _BRIGHTNESS
        taken, left = fill(view, rest, lambda offers: self._drawn(offers, kind, count, 1 if dark else 0, rng))
        scores = {offer.id: score_of(offer) for offer in view.offers}
        return answer(view, taken, {**rest.refused, **left}, scores, f"drawn from groups of alike {kind.name}")

    def _drawn(
        self, offers: Sequence[Offer], kind: "_Kind", count: int, dropped: int, rng: Generator
    ) -> list[tuple[Offer, str]]:
        """Order offers round by round, groups by lot, one of each; the lowest ``dropped`` of ``count`` are out."""
        if not offers:
            return []
        groups = equal_shares(offers, kind.value, count - dropped)
        queues = [self._queue(group, rng) for group in groups]
        ranked: list[tuple[Offer, str]] = []
        for turn in range(max(map(len, queues))):
            open_ = [place for place, queue in enumerate(queues) if turn < len(queue)]
            for place in rng.permutation(open_).tolist():
                offer = queues[place][turn]
                part = share_in_words(place + dropped, len(groups) + dropped, kind.names)
                said = f"{kind.said(offer)}, score {score_of(offer):.2f}"
                ranked.append((offer, f"{self._rank(turn)} {part} by {kind.name} ({said})"))
        return ranked

    def _queue(self, group: Sequence[Offer], rng: Generator) -> list[Offer]:
        if self._options.within == "random":
            return [group[place] for place in rng.permutation(len(group)).tolist()]
        return sorted(group, key=lambda offer: (-score_of(offer), offer.number, offer.id))

    def _rank(self, turn: int) -> str:
        if self._options.within == "random":
            return "drawn from the"
        return "best of the" if turn == 0 else f"number {turn + 1} of the"


def _area(offer: Offer) -> float:
    return feature(offer, "area_um2") or 0.0


def _mean(offer: Offer) -> float:
    return feature(offer, "mean") or 0.0


@dataclass(frozen=True, slots=True)
class _Kind:
    """What offers are grouped by, and its words."""

    name: str
    value: Callable[[Offer], float]
    names: tuple[str, str, str]
    said: Callable[[Offer], str]


_SIZE = _Kind("size", _area, ("smallest", "middle", "largest"), lambda offer: f"{_area(offer):.0f} µm²")
_BRIGHTNESS = _Kind("brightness", _mean, ("darkest", "middle", "brightest"), lambda offer: f"{_mean(offer):.4g} counts")


def _darkest(offers: Sequence[Offer], count: int) -> dict[int, str]:
    """Give reasons against the darkest group; against none when the holes are too few or too alike to tell."""
    groups = equal_shares([offer for offer in offers if feature(offer, "mean") is not None], _mean, count)
    if count < 2 or len(groups) < count:
        return {}
    part, limit = share_in_words(0, count, _BRIGHTNESS.names), f"{_mean(groups[1][0]):.4g}"
    why = f"left: {part} of this square, probably thick ice ({{}}, the others have {limit} or more)"
    return {offer.id: why.format(_BRIGHTNESS.said(offer)) for offer in groups[0]}


def cluster_sampling(options: Mapping[str, Any]) -> ClusterSampling:
    """Make the policy; raises BadInput for an unknown option."""
    return ClusterSampling(read_options(ClusterOptions, options, ClusterSampling.name))
