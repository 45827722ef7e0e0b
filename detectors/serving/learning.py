"""What exposures tell of places not yet visited: exact Gaussian processes on a few features.

Small and plain: features are standardised, the kernel is one radial basis whose length is the median distance of what
is known, the spread of what is known is the prior's, a third of it is noise (Rasmussen and Williams 2006, chapter 2).
Squares start from their scores: a few visits tell what a score is worth in this session before they tell of features.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.spatial.distance import cdist

from .state import HoleRow, SquareRow, State

GOOD_A = 5.0
"""An exposure whose CTF can be followed to better than this, in Å, counts for its square."""

UNTAUGHT = (2.0, 50.0, 1.0, 20.0)
"""CTF in Å, ice in nm and a variance of each, told of a hole while nothing was learnt, as the published server does."""

_LEAST_HOLES = 2
_MOST_KNOWN = 1500
_NOISE = 1 / 3
_WORTH = 1.0
"""Good exposures that a square of score 1 is worth before the first visit; counts as one visit."""

_UNSURE = 0.3
"""By how much of its worth a square of score 1 may be better or worse, at least."""

_CURIOUS = 0.5
"""Standard deviations added to the mean. Two, as published, cost a drawn session up to a quarter of the good exposures
of its first five squares: the first visits went to what is least like others."""

Points = NDArray[np.float64]


def predicted(
    known: Points,
    values: Points,
    asked: Points,
    *,
    far: float | None = None,
    scaled_by: Points | None = None,
    least_spread: float = 1e-3,
) -> tuple[Points, Points]:
    """Answer mean and variance at `asked` (m, d) of what has `values` (n,) at `known` (n, d), n ≥ 1.

    Far from what is known `far` is expected, the mean of what is known if it is not given. Features are standardised by
    those of `scaled_by` (k, d), by the known ones if it is not given; the prior's standard deviation is at least
    `least_spread`.
    """
    every = known if scaled_by is None else scaled_by
    middle, spread = every.mean(axis=0), every.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    one, other = (known - middle) / spread, (asked - middle) / spread
    away = cdist(one, one)
    length = float(np.median(away[away > 0])) if (away > 0).any() else 1.0
    usual = float(values.mean()) if far is None else far
    prior = max(float(values.var()), least_spread**2)
    near = prior * np.exp(-0.5 * (away / length) ** 2)
    across = prior * np.exp(-0.5 * (cdist(other, one) / length) ** 2)
    factor = cho_factor(near + _NOISE * prior * np.eye(len(one)), lower=True)
    mean = usual + across @ cho_solve(factor, values - usual)
    variance = prior - (across * cho_solve(factor, across.T).T).sum(axis=1)
    return mean, np.maximum(variance, 0.0)


def square_scores(state: State, squares: Sequence[SquareRow]) -> dict[int, float] | None:
    """Rank squares by how many good exposures they may give, 0..1 of the best; None before a square was visited.

    The rank is the mean and half a standard deviation more, so that what is not known is tried too. The mean is what
    the square's score is worth in this session, and what is learnt from the features of those visited.
    """
    visited, good = _visited_squares(state)
    if not visited or not squares:
        return None
    known, asked = (np.array([row.features for row in rows], float) for rows in (visited, squares))
    scores, asked_scores = (np.array([row.prior_score for row in rows]) for rows in (visited, squares))
    worth = (good.sum() + _WORTH) / (scores.sum() + 1)
    both = np.concatenate((known, asked))
    off, variance = predicted(
        known, good - worth * scores, asked, far=0.0, scaled_by=both, least_spread=_UNSURE * worth
    )
    hoped = np.maximum(worth * asked_scores + off + _CURIOUS * np.sqrt(variance), 0.0)
    best = max(float(hoped.max()), 1e-9)
    return {row.square_id: float(value / best) for row, value in zip(squares, hoped, strict=True)}


def hole_predictions(state: State, holes: Sequence[HoleRow]) -> dict[int, Sequence[float]]:
    """Tell CTF (Å), ice (nm) and the variance of each for holes, by number."""
    told: list[NDArray[np.float64]] = []
    for number, name in enumerate(("ctf", "ice_thickness")):
        taught = [row for one in (state, *state.past) for row in one.holes if getattr(row, name) is not None]
        taught = taught[-_MOST_KNOWN:]
        if len(taught) < _LEAST_HOLES or not holes:
            told += [np.full(len(holes), UNTAUGHT[number]), np.full(len(holes), UNTAUGHT[number + 2])]
            continue
        values = np.array([getattr(row, name) for row in taught], float)
        known, asked = (np.array([row.features for row in rows]) for rows in (taught, holes))
        told += predicted(known, values, asked)
    ctf, ctf_var, ice, ice_var = told
    rows = zip(holes, ctf.tolist(), ice.tolist(), ctf_var.tolist(), ice_var.tolist(), strict=True)
    return {row.hole_id: numbers for row, *numbers in rows}


def _visited_squares(state: State) -> tuple[list[SquareRow], Points]:
    """Give visited squares and the number of good exposures in each, of this session and past ones."""
    visited, good = [], []
    for one in (state, *state.past):
        count = Counter(row.square_id for row in one.holes if row.ctf is not None and row.ctf < GOOD_A)
        own = [row for row in one.squares if row.visited]
        visited += own
        good += [float(count[row.square_id]) for row in own]
    return visited[-_MOST_KNOWN:], np.array(good[-_MOST_KNOWN:])
