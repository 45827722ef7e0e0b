"""The contract fails policies that break it."""

import numpy as np
import pytest
from numpy.random import Generator

from epicycle.policies.contract import PolicyContract
from epicycle.policies.first_come import first_come
from epicycle.policies.records import Choice, Policy, SessionView


class Rogue:
    """Behaves until asked to misbehave in one way."""

    name, version = "rogue", "1"

    def __init__(self, vice: str) -> None:
        self._vice, self._calls = vice, 0

    def choose(self, view: SessionView, rng: Generator) -> Choice:
        self._calls += 1
        honest = first_come({}).choose(view, rng)
        ids = [offer.id for offer in view.offers]
        broken = {
            "remembers": honest.chosen[: max(3 - self._calls, 0)],
            "follows the order": tuple(ids[:1]),
            "takes too many": tuple(ids),
            "takes twice": honest.chosen[:1] * 2,
            "invents": (*honest.chosen, 999_999),
            "uses its own dice": tuple(np.random.default_rng().permutation(honest.chosen).tolist()),
        }
        chosen = broken.get(self._vice, honest.chosen)
        reasons = {} if self._vice == "is silent" else honest.reasons
        return Choice(chosen, honest.scores, reasons, honest.summary)


VICES = {
    "remembers": "test_same_view_and_seed_same_choice",
    "uses its own dice": "test_same_view_and_seed_same_choice",
    "follows the order": "test_the_order_of_offers_does_not_matter",
    "is silent": "test_every_offer_has_a_score_and_a_reason",
    "takes too many": "test_chosen_are_offered_once_and_no_more_than_wanted",
    "takes twice": "test_chosen_are_offered_once_and_no_more_than_wanted",
    "invents": "test_chosen_are_offered_once_and_no_more_than_wanted",
}


@pytest.mark.parametrize(("vice", "test"), VICES.items())
def test_a_vice_is_caught(vice: str, test: str) -> None:
    class Contract(PolicyContract):
        def make(self) -> Policy:
            return Rogue(vice)

    with pytest.raises(AssertionError):
        getattr(Contract(), test)()


def test_the_honest_pass() -> None:
    class Contract(PolicyContract):
        def make(self) -> Policy:
            return Rogue("none")

    for test in set(VICES.values()):
        getattr(Contract(), test)()
