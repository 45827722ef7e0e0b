"""``group-sampling``: squares and holes from groups of alike score, the best of each.

After Smart Leginon Autoscreen (Cheng et al., 2023, IUCrJ 10, 77-89): squares within an area range are cut into groups
by score and some are taken from each; holes pass a threshold and an ice gate.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from numpy.random import Generator
from pydantic import Field

from .alike import equal_shares, share_in_words
from .answering import answer, fill
from .grids import rank_grids
from .options import IceGate, read_options
from .qualifying import qualify, score_of
from .records import Choice, Limits, Offer, SessionView

_SQUARE_GROUPS, _HOLE_GROUPS = 5, 1


class GroupOptions(IceGate):
    """How to group, and what to refuse."""

    groups: int | None = Field(
        default=None,
        ge=1,
        le=50,
        description="Score groups; null means as the protocol asks for squares, else 5, and one for holes. "
        "Never more than are wanted.",
    )
    per_group: int | None = Field(
        default=None, ge=1, le=1000, description="How many from each group; null means as many as are wanted in all."
    )
    area_min_um2: float | None = Field(
        default=None, ge=0, description="Smallest square in µm²; null means as the protocol asks."
    )
    area_max_um2: float | None = Field(
        default=None, gt=0, description="Largest square in µm²; null means as the protocol asks."
    )
    minimum_score: float | None = Field(
        default=None, ge=0, le=1, description="Threshold on the finder's score; null means as the protocol asks."
    )


class GroupSampling:
    """Takes the best of each score group."""

    name = "group-sampling"
    version = "1"

    def __init__(self, options: GroupOptions) -> None:
        self._options = options

    def choose(self, view: SessionView, rng: Generator) -> Choice:
        """Choose the best of each group, group by group in turn; ``rng`` is not used."""
        if view.question == "grids":
            return rank_grids(view)
        limits = self._limits(view)
        qualified = qualify(view, limits, self._options)
        held: dict[int, str] = {}
        taken, left = fill(view, qualified, lambda offers: _in_turn(view, offers, limits, held))
        scores = {offer.id: score_of(offer) for offer in view.offers}
        return answer(view, taken, {**qualified.refused, **held, **left}, scores, "the best of each score group")

    def _limits(self, view: SessionView) -> Limits:
        """Give the protocol's limits with this policy's own options put in their place."""
        own = {
            name: value for name in Limits.__dataclass_fields__ if (value := getattr(self._options, name)) is not None
        }
        return replace(view.limits, **own)


def _in_turn(
    view: SessionView, offers: Sequence[Offer], limits: Limits, held: dict[int, str]
) -> list[tuple[Offer, str]]:
    """Order offers round by round, one of each group, best group first; those beyond ``per_group`` go to ``held``."""
    if not offers:
        return []
    count = limits.groups or _SQUARE_GROUPS if view.question == "squares" else limits.groups or _HOLE_GROUPS
    groups = equal_shares(offers, score_of, min(count, view.want) if view.want else count)
    queues = [sorted(group, key=lambda offer: (-score_of(offer), offer.number, offer.id)) for group in groups]
    ranked: list[tuple[Offer, str]] = []
    for turn in range(max(map(len, queues))):
        for place in reversed(range(len(queues))):
            if turn >= len(queues[place]):
                continue
            offer, part = queues[place][turn], _part(place, len(queues), view.question)
            if limits.per_group is not None and turn >= limits.per_group:
                held[offer.id] = f"left: {limits.per_group} better of {part} came first ({_score(offer)})"
            else:
                rank = "best" if turn == 0 else f"number {turn + 1}"
                ranked.append((offer, f"{rank} of {part} ({_score(offer)})"))
    return ranked


def _part(place: int, count: int, question: str) -> str:
    if count == 1:
        return f"the {question} that qualify"
    return f"the {share_in_words(place, count, ('lowest', 'middle', 'highest'))} by score"


def _score(offer: Offer) -> str:
    return f"score {score_of(offer):.2f}"


def group_sampling(options: Mapping[str, Any]) -> GroupSampling:
    """Make the policy; raises BadInput for an unknown option."""
    return GroupSampling(read_options(GroupOptions, options, GroupSampling.name))
