"""``random``: each that qualifies with the same chance; the yardstick for every other policy."""

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.random import Generator

from .answering import answer, fill
from .grids import grid_score, in_words
from .options import PolicyOptions, read_options
from .qualifying import Qualified, qualify, score_of
from .records import Choice, Offer, SessionView


class RandomOptions(PolicyOptions):
    """It has none."""


class RandomChoice:
    """Takes at random among those that qualify."""

    name = "random"
    version = "1"

    def choose(self, view: SessionView, rng: Generator) -> Choice:
        """Choose by lot."""
        grids = view.question == "grids"
        everyone = tuple(sorted(view.offers, key=lambda offer: offer.id))
        qualified = Qualified(everyone, (), {}, {}) if grids else qualify(view)

        def by_lot(offers: Sequence[Offer]) -> list[tuple[Offer, str]]:
            return [(offers[place], _words(offers[place], grids)) for place in rng.permutation(len(offers))]

        taken, left = fill(view, qualified, by_lot)
        scores = {offer.id: grid_score(offer) if grids else score_of(offer) for offer in view.offers}
        return answer(view, taken, {**qualified.refused, **left}, scores, "drawn by lot")


def _words(offer: Offer, grid: bool) -> str:
    return f"drawn by lot; {in_words(offer)}" if grid else "drawn by lot"


def random_choice(options: Mapping[str, Any]) -> RandomChoice:
    """Make the policy; raises BadInput for any option."""
    read_options(RandomOptions, options, RandomChoice.name)
    return RandomChoice()
