"""What the server of detectors ranks squares by: their scores at first, more and more what exposures tell."""

from dataclasses import replace

import numpy as np
import pytest

from epicycle.detectors.serving.learning import square_scores
from epicycle.detectors.serving.state import HoleRow, SquareRow, State

SQUARES = 60


def square(number, features, score):
    return SquareRow(number, 1, 1, 0.0, 0.0, (), features[0], features[3], score, False, tuple(features))


def session(rng, noise=0.3):
    """Draw squares whose good exposures (0 to 8) depend on brightness, which their scores know a little of."""
    brightness, area = rng.uniform(20, 200, SQUARES), rng.uniform(2000, 6000, SQUARES)
    good = np.rint(8 * np.exp(-(((brightness - 90) / 30) ** 2)))
    score = np.clip(0.25 + 0.06 * good + rng.normal(0, noise, SQUARES), 0.02, 0.98)
    features = np.stack([brightness, brightness * 1.5, brightness * 3, area], 1)
    rows = [square(n, features[n], float(score[n])) for n in range(SQUARES)]
    return State(squares=tuple(rows)), good


def visit(state, number, good, holes=8):
    """Note a square as visited, with so many good exposures of all."""
    first = len(state.holes)
    told = [
        HoleRow(first + n, 1, number, 1, 0.0, 0.0, 9.0, 0.9, True, 3.5 if n < good else 9.0, 40.0) for n in range(holes)
    ]
    return replace(state.visited_squares([number]), holes=(*state.holes, *told))


def left(state):
    return [row for row in state.squares if not row.visited]


def test_nothing_is_ranked_before_a_visit():
    state, _ = session(np.random.default_rng(0))
    assert square_scores(state, left(state)) is None
    visited = visit(state, 0, 4)
    assert square_scores(visited, []) is None


@pytest.mark.parametrize("good", [0, 4, 8])
@pytest.mark.parametrize("seed", range(4))
def test_after_one_visit_the_scores_still_count(seed, good):
    state, _ = session(np.random.default_rng(seed))
    best = max(state.squares, key=lambda row: row.prior_score)
    state = visit(state, best.square_id, good)
    rank = square_scores(state, left(state))
    scores = np.array([row.prior_score for row in left(state)])
    ranks = np.array([rank[row.square_id] for row in left(state)])
    assert ranks.max() == pytest.approx(1)
    assert ranks.min() >= 0
    assert len(np.unique(ranks)) > SQUARES / 2
    assert scores[np.argmax(ranks)] > np.median(scores)


@pytest.mark.parametrize(("noise", "least"), [(0.15, 0.97), (0.3, 1.1), (2.0, 1.4)])
def test_what_exposures_tell_beats_scores_and_loses_little_where_these_are_good(noise, least):
    by_rank, by_score = 0.0, 0.0
    for seed in range(8):
        state, good = session(np.random.default_rng(seed), noise)
        order = sorted(state.squares, key=lambda row: -row.prior_score)
        by_score += sum(good[row.square_id] for row in order[:15])
        for _ in range(15):
            rank = square_scores(state, left(state)) or {row.square_id: row.prior_score for row in left(state)}
            number = max(rank, key=rank.get)
            by_rank += good[number]
            state = visit(state, number, good[number])
    assert by_rank > least * by_score


def test_a_session_before_teaches_this_one():
    state, good = session(np.random.default_rng(3))
    for number in range(20):
        state = visit(state, number, good[number])
    now, _ = session(np.random.default_rng(3))
    rank = square_scores(replace(now, past=(state,)), now.squares)
    ranks = [rank[number] for number in range(SQUARES)]
    assert np.corrcoef(ranks[20:], good[20:])[0, 1] > 0.5
