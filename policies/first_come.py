"""``first-come``: squares and holes in the order of their numbers, as an operator without time would take them."""

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.random import Generator

from .answering import answer, fill
from .grids import rank_grids
from .options import PolicyOptions, read_options
from .qualifying import qualify, score_of
from .records import Choice, Offer, SessionView


class FirstComeOptions(PolicyOptions):
    """It has none."""


class FirstCome:
    """Takes the first that qualify; of grids the best."""

    name = "first-come"
    version = "1"

    def choose(self, view: SessionView, rng: Generator) -> Choice:
        """Choose by number; ``rng`` is not used."""
        if view.question == "grids":
            return rank_grids(view)
        qualified = qualify(view)
        taken, left = fill(view, qualified, _by_number)
        scores = {offer.id: score_of(offer) for offer in view.offers}
        return answer(view, taken, {**qualified.refused, **left}, scores, "the first that qualify, by number")


def _by_number(offers: Sequence[Offer]) -> list[tuple[Offer, str]]:
    ordered = sorted(offers, key=lambda offer: (offer.number, offer.id))
    return [(offer, f"number {offer.number}, in turn") for offer in ordered]


def first_come(options: Mapping[str, Any]) -> FirstCome:
    """Make the policy; raises BadInput for any option."""
    read_options(FirstComeOptions, options, FirstCome.name)
    return FirstCome()
