"""The ranking: data before none, much and sharp before little and coarse, reasons that are true."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from epicycle.db import views
from epicycle.db.connection import open_reader
from epicycle.db.ranking import CARE_ABOVE, COLLECT_ABOVE, SURE, Verdict, posterior, ranked


@pytest.fixture
def places(miniature):
    reader = open_reader(miniature[0])
    yield views.rank(reader)
    reader.dispose()


def test_places_verdicts_and_reasons(places):
    assert [(one.place, one.grid.slot, one.verdict.value, one.reasons) for one in places] == [
        (1, 1, "collect", ("14 of 15 exposures usable", "median fit 4.0 Å", "ice 30 nm")),
        (2, 6, "collect with care", ("1 of 1 exposures usable", "1 not analysed yet", "median fit 4.1 Å", "ice 40 nm")),
        (3, 2, "remake", ("ice too thick: 0 of 9 usable", "ice 180 nm")),
        (4, 5, "remake", ("every square dry or broken",)),
        (5, 4, "no data", ("not loaded: did not arrive",)),
        (6, 7, "no data", ("not reached yet",)),
        (7, 3, "no data", ("slot empty",)),
    ]


def test_posterior_is_the_beta_of_the_effective_counts():
    """Two squares of three alike exposures count 3 / (1 + 2·0.25) = 2 each."""
    share = posterior([(3, 3), (3, 0)])
    beta = stats.beta(3, 3)
    assert share.mean == pytest.approx(0.5)
    assert (share.low, share.high) == (pytest.approx(beta.ppf(0.05)), pytest.approx(beta.ppf(0.95)))
    assert share.verdict is Verdict.CARE
    assert share.probability == pytest.approx(beta.sf(CARE_ABOVE))
    sure = posterior([(3, 3)] * 3)
    assert sure.verdict is Verdict.COLLECT
    assert sure.probability >= SURE
    none = posterior([(9, 0)] * 4)
    assert none.verdict is Verdict.REMAKE
    assert none.probability > 0.8
    assert none.high < COLLECT_ABOVE
    assert posterior([(10, 3)] * 6).verdict is Verdict.CARE
    assert CARE_ABOVE < posterior([(10, 3)] * 6).mean < COLLECT_ABOVE


def test_too_little_seen_is_said_and_not_called_worth_collecting():
    """Three exposures of one square, none usable, are about a coin's toss: neither for collecting nor against it."""
    few = posterior([(3, 0)])
    assert few.verdict is Verdict.UNSURE
    assert few.probability == pytest.approx(stats.beta(1, 3).sf(CARE_ABOVE))
    assert posterior([(3, 0), (3, 0)]).verdict is Verdict.REMAKE
    assert posterior([(1, 1)]).verdict is Verdict.CARE


@given(st.lists(st.tuples(st.integers(1, 50), st.floats(0, 1)), min_size=1, max_size=20))
def test_posterior_holds_its_mean_and_more_usable_never_lowers_it(squares):
    counts = [(n, round(n * part)) for n, part in squares]
    share = posterior(counts)
    assert 0 <= share.low <= share.mean <= share.high <= 1
    assert 0 < share.probability <= 1
    n, usable = counts[0]
    if usable < n:
        assert posterior([(n, usable + 1), *counts[1:]]).mean > share.mean


def test_one_lucky_exposure_is_less_sure_than_many():
    one, many = posterior([(1, 1)]), posterior([(3, 3), (3, 3), (3, 3)])
    assert one.mean < many.mean
    assert one.low < many.low


def test_data_always_come_before_none(places):
    grids = [one.grid for one in places]
    worst = replace(grids[2], slot=12)
    hopeful = replace(grids[-2], slot=1, squares=40, categories={"good": 40}, good_left=40)
    order = [one.grid.slot for one in ranked([hopeful, worst])]
    assert order == [12, 1]


def test_of_equally_usable_grids_the_sharper_comes_first(places):
    first = places[0].grid
    sharper = replace(first, slot=9, median_fit_a=first.median_fit_a - 0.5)
    assert [one.grid.slot for one in ranked([first, sharper])] == [9, 1]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"status": "loading"}, "on the stage, nothing exposed yet"),
        ({"status": "screened", "squares": 0, "categories": {}}, "no square found"),
        ({"status": "screened", "squares": 0, "categories": {}, "reason": "atlas is black"}, "atlas is black"),
        ({"status": "screened", "squares": 2, "categories": {"good": 2}}, "surveyed, nothing exposed"),
        ({"status": "screened", "squares": 2, "categories": {"good": 2}, "squares_visited": 1}, "no hole found"),
        ({"status": "skipped", "reason": "time was up"}, "skipped: time was up"),
        ({"status": "failed", "loads": 1, "reason": "stage lost"}, "stage lost"),
        (
            {"status": "screened", "squares": 9, "categories": {"cracked": 5, "contaminated": 3, "partial": 1}},
            "every square cracked, contaminated or cut by the border",
        ),
    ],
)
def test_reasons_without_data(places, changes, reason):
    waiting = next(one.grid for one in places if one.grid.slot == 7)
    assert ranked([replace(waiting, **changes)])[0].reasons == (reason,)


@pytest.mark.parametrize(
    ("flags", "first"),
    [
        ({"thick": 9, "no-fit": 9}, "ice too thick: 0 of 9 usable"),
        ({"no-fit": 7, "moved": 2}, "no rings to fit: 0 of 9 usable"),
        ({"moved": 3, "dry": 3, "off-focus": 3}, "0 of 9 exposures usable"),
        ({"of-a-plug-in": 8}, "of a plug in: 0 of 9 usable"),
    ],
)
def test_blame_is_named_where_it_is_one_thing(places, flags, first):
    thick = next(one.grid for one in places if one.grid.slot == 2)
    assert ranked([replace(thick, flags=flags)])[0].reasons[0] == first
