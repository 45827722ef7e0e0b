"""What every policy promises, as tests for whoever writes one.

Inherit and say how yours is made::

    class TestMine(PolicyContract):
        def make(self):
            return mine({})
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ..detectors.records import Site, SquareClass
from .records import Choice, Limits, Offer, Outcome, Policy, Question, SessionView

_WANTS = (0, 1, 3, 7, 1000)


class PolicyContract:
    """Purity, completeness and bounds of a choice, on squares, holes and grids."""

    def make(self) -> Policy:
        """Give a new policy under test."""
        raise NotImplementedError("a contract test says how its policy is made")

    def views(self) -> Iterator[SessionView]:
        """Give the views tried: ordinary ones, uniform ones, ones without features, single offers and none."""
        for want in _WANTS:
            for view in (squares_view(), holes_view(), grids_view()):
                yield replace(view, want=want)
                yield replace(view, want=want, offers=())
                yield replace(view, want=want, offers=view.offers[:1])
                yield replace(view, want=want, offers=tuple(replace(offer, features={}) for offer in view.offers))
                yield replace(view, want=want, offers=tuple(_alike(offer, view.offers[0]) for offer in view.offers))
                yield replace(view, want=want, limits=Limits(minimum_score=0.5, groups=3, per_group=2))

    def choose(self, view: SessionView, seed: int = 5) -> Choice:
        """Ask a new policy with a new generator."""
        return self.make().choose(view, np.random.default_rng(seed))

    def test_it_says_its_name_and_version(self) -> None:
        """The record keeps both with every decision."""
        policy = self.make()
        assert policy.name
        assert policy.version

    def test_same_view_and_seed_same_choice(self) -> None:
        """A decision can be taken again from the record, by a policy just made or by one that has chosen before."""
        used = self.make()
        for view in self.views():
            first = self.choose(view)
            assert self.choose(view) == first
            assert used.choose(view, np.random.default_rng(5)) == first

    def test_the_order_of_offers_does_not_matter(self) -> None:
        """Rows come from a database in any order."""
        for view in self.views():
            mixed = [view.offers[place] for place in np.random.default_rng(1).permutation(len(view.offers))]
            assert self.choose(replace(view, offers=tuple(mixed))) == self.choose(view)

    def test_every_offer_has_a_score_and_a_reason(self) -> None:
        """A person can ask about each, taken or left."""
        for view in self.views():
            choice, ids = self.choose(view), {offer.id for offer in view.offers}
            assert set(choice.scores) == ids
            assert set(choice.reasons) == ids
            assert all(np.isfinite(list(choice.scores.values())))
            assert all(reason.strip() for reason in choice.reasons.values())
            assert choice.summary.strip()

    def test_chosen_are_offered_once_and_no_more_than_wanted(self) -> None:
        """The orchestrator takes the answer as it is."""
        for view in self.views():
            choice = self.choose(view)
            assert set(choice.chosen) <= {offer.id for offer in view.offers}
            assert len(set(choice.chosen)) == len(choice.chosen)
            assert view.want == 0 or len(choice.chosen) <= view.want

    def test_nothing_offered_nothing_chosen(self) -> None:
        """An empty grid is no error."""
        for view in (squares_view(), holes_view(), grids_view()):
            assert self.choose(replace(view, offers=())).chosen == ()

    def test_only_whole_holes_are_exposed(self) -> None:
        """Broken, covered and cut-off sites cost time and give nothing."""
        for view in self.views():
            if view.question == "holes":
                sites = {offer.id: offer.category for offer in view.offers}
                assert {sites[chosen] for chosen in self.choose(view).chosen} <= {Site.HOLE}

    def test_unfit_squares_are_left_while_there_are_others(self) -> None:
        """Partial, cracked and broken squares are for grids that have nothing else."""
        unfit = {SquareClass.PARTIAL, SquareClass.CRACKED, SquareClass.BROKEN_OR_DRY}
        for view in self.views():
            classes = {offer.id: offer.category for offer in view.offers}
            if view.question == "squares" and not set(classes.values()) <= unfit:
                assert not {classes[chosen] for chosen in self.choose(view).chosen} & unfit


def squares_view() -> SessionView:
    """Give forty squares of all classes."""
    rng = np.random.default_rng(11)
    classes = list(SquareClass)
    offers = (
        _offer(number, rng, classes[number % 6], area_um2=rng.uniform(400, 2500), mean=rng.uniform(50, 900))
        for number in range(1, 41)
    )
    return _view("squares", tuple(offers))


def holes_view() -> SessionView:
    """Give sixty lattice sites, four of five of them whole holes."""
    rng = np.random.default_rng(12)
    sites = [Site.HOLE] * 12 + [Site.PARTIAL, Site.COVERED, Site.MISSING]
    offers = (
        _offer(number, rng, sites[number % 15], mean=rng.uniform(300, 900), ice_nm=rng.uniform(5, 150), radius_um=0.6)
        for number in range(1, 61)
    )
    return _view("holes", tuple(offers))


def grids_view() -> SessionView:
    """Give twelve grids, from hopeless to good, one of which nothing is known."""
    rng = np.random.default_rng(13)
    offers = []
    for number in range(1, 13):
        analysed = 0 if number == 4 else int(rng.integers(3, 12))
        usable = int(rng.integers(0, analysed + 1))
        fit_a = float(rng.uniform(3, 12))
        offers.append(_offer(number, rng, "", usable=usable, analysed=analysed, median_fit_a=fit_a))
    return _view("grids", tuple(offers))


def _view(question: Question, offers: tuple[Offer, ...]) -> SessionView:
    outcomes = (Outcome(hole_id=3, square_id=2, grid_id=1, x_um=4.0, y_um=2.0, usable=True, measures={"ctf_a": 4.1}),)
    return SessionView(question, offers, outcomes, want=3, seen_upto=100)


def _offer(number: int, rng: np.random.Generator, category: str, **features: float) -> Offer:
    x_um, y_um, score = rng.uniform(-800, 800), rng.uniform(-800, 800), rng.uniform(0, 1)
    return Offer(100 + number, number, float(x_um), float(y_um), float(score), category, features)


def _alike(offer: Offer, model: Offer) -> Offer:
    return replace(offer, score=model.score, features=model.features)
