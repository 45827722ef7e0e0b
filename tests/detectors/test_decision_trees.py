from dataclasses import replace

import numpy as np
import pytest

from epicycle.detectors.decision_trees import Trees, trees_of
from epicycle.protocols.errors import BadInput


def two_trees():
    """One asks twice, one is a single leaf."""
    column = np.array([0, -1, 1, -1, -1, -1], np.int32)
    cut = np.array([0.5, 0, 2.0, 0, 0, 0])
    left, right = np.array([1, 0, 3, 0, 0, 0], np.int32), np.array([2, 0, 4, 0, 0, 0], np.int32)
    value = np.array([[0], [1], [0], [2], [3], [10]], np.float32)
    return Trees(np.array([0, 5], np.int32), column, cut, left, right, value)


def test_rows_end_in_their_leaves():
    said = two_trees().said(np.array([[0.5, 9.0], [0.6, 2.0], [0.6, 2.1]]))
    assert said[:, :, 0].tolist() == [[1, 10], [2, 10], [3, 10]]


def test_trees_survive_a_file():
    kept = trees_of(two_trees().arrays("it"), "it", 2)
    assert np.array_equal(kept.said(np.eye(2)), two_trees().said(np.eye(2)))


@pytest.mark.parametrize(
    "change",
    [
        {"left": np.array([0, 0, 3, 0, 0, 0], np.int32)},
        {"right": np.array([2, 0, 99, 0, 0, 0], np.int32)},
        {"column": np.array([0, -1, 7, -1, -1, -1], np.int32)},
        {"first": np.array([0, 6], np.int32)},
        {"cut": np.zeros(5)},
    ],
)
def test_trees_that_walk_in_circles_or_away_are_refused(change):
    with pytest.raises(BadInput, match="do not hang together"):
        trees_of(replace(two_trees(), **change).arrays("it"), "it", 2)


def test_a_missing_array_is_named():
    arrays = two_trees().arrays("it")
    del arrays["it.cut"]
    with pytest.raises(BadInput, match=r"it\.cut"):
        trees_of(arrays, "it", 2)
