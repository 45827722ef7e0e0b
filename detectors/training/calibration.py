"""Making scores mean what they say, and measuring whether they do and how well they sort."""

import numpy as np
from numpy.typing import NDArray

_BINS = 15


def platt(logits: NDArray[np.float64], truth: NDArray[np.bool_]) -> tuple[float, float]:
    """Fit slope and offset so that 1 / (1 + exp(-(a · logit + b))) is how often it is true (Platt 1999)."""
    true, false = int(truth.sum()), int((~truth).sum())
    if true == 0 or false == 0:
        return 1.0, 0.0
    found = logistic(np.stack([logits, np.ones_like(logits)], axis=1), truth)
    # A slope below zero would turn the order round: then nothing was learnt, and nothing is said.
    return (float(found[0]), float(found[1])) if found[0] > 0 else (0.0, float(np.log(true / false)))


def logistic(design: NDArray[np.float64], truth: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Fit weights (k,) so that 1 / (1 + exp(-design @ weights)) is how often it is true; design is (n, k).

    Newton's method on the likelihood, with Platt's targets a little off 0 and 1, so that separable data end too.
    """
    true, false = int(truth.sum()), int((~truth).sum())
    wanted = np.where(truth, (true + 1) / (true + 2), 1 / (false + 2))
    found = np.zeros(design.shape[1])
    for _ in range(100):
        chance = 1 / (1 + np.exp(-np.clip(design @ found, -50, 50)))
        slope = design.T @ (chance - wanted) + 1e-6 * found
        bend = (design * (chance * (1 - chance))[:, None]).T @ design + 1e-6 * np.eye(design.shape[1])
        move = np.linalg.solve(bend, slope)
        found = found - np.clip(move, -1.0, 1.0)
        if np.abs(move).max() < 1e-9:
            break
    return found


def sorting(scores: NDArray[np.float64], truth: NDArray[np.bool_]) -> float:
    """Area under the ROC curve: the chance that a true one scores above a false one, ties by half; NaN of one kind."""
    true, false = int(truth.sum()), int((~truth).sum())
    if true == 0 or false == 0:
        return float("nan")
    _, place, count = np.unique(scores, return_inverse=True, return_counts=True)
    rank = np.cumsum(count) - (count - 1) / 2
    return float((rank[place][truth].sum() - true * (true + 1) / 2) / (true * false))


def calibration_error(scores: NDArray[np.float64], truth: NDArray[np.bool_]) -> float:
    """Give the expected calibration error in 15 bins of equal width (Guo et al. 2017), 0 to 1."""
    bins = np.minimum((scores * _BINS).astype(int), _BINS - 1)
    error = 0.0
    for number in range(_BINS):
        own = bins == number
        if own.any():
            error += float(own.mean()) * abs(float(scores[own].mean()) - float(truth[own].mean()))
    return error
