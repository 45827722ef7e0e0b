"""Trees as scikit-learn grew them, brought to plain arrays: nothing of the library is needed to walk them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..decision_trees import Floats, Trees

Grown = tuple[Any, Floats]
"""A tree of the library and what its nodes say, (nodes, outputs); the tree is None where one leaf is all there is."""


def boosted(model: Any, kinds: int) -> Trees:
    """Lay out a fitted `GradientBoostingClassifier` of three or more classes: one tree a round for every class.

    Parameters
    ----------
    model
        Its classes are whole numbers under `kinds`; those it never saw get trees that say 0.
    kinds
        How many classes there are.
    """
    own = {int(kind): place for place, kind in enumerate(model.classes_)}
    trees: list[Grown] = []
    for step in model.estimators_:
        for kind in range(kinds):
            if kind in own:
                tree = step[own[kind]].tree_
                trees.append((tree, model.learning_rate * tree.value[:, 0, :1]))
            else:
                trees.append((None, np.zeros((1, 1))))
    return _laid(trees)


def averaged(model: Any, kinds: int) -> Trees:
    """Lay out a fitted `RandomForestClassifier` whose classes are whole numbers under `kinds`: leaves say shares."""
    trees: list[Grown] = []
    for one in model.estimators_:
        counts = one.tree_.value[:, 0]
        shares = np.zeros((len(counts), kinds))
        shares[:, model.classes_] = counts / counts.sum(axis=1, keepdims=True)
        trees.append((one.tree_, shares))
    return _laid(trees)


def _laid(trees: list[Grown]) -> Trees:
    """Lay trees one after the other."""
    sizes = [len(value) for _, value in trees]
    first = np.concatenate(([0], np.cumsum(sizes)[:-1])).astype(np.int32)
    parts = [_nodes(tree, int(start)) for (tree, _), start in zip(trees, first, strict=True)]
    column, cut, left, right = (np.concatenate(part) for part in zip(*parts, strict=True))
    value = np.concatenate([value for _, value in trees]).astype(np.float32)
    whole = np.int32
    return Trees(first, column.astype(whole), cut.astype(np.float64), left.astype(whole), right.astype(whole), value)


def _nodes(tree: Any, start: int) -> tuple[NDArray[Any], ...]:
    if tree is None:
        return np.array([-1]), np.zeros(1), np.zeros(1, int), np.zeros(1, int)
    leaf = tree.children_left < 0
    left, right = (np.where(leaf, 0, child + start) for child in (tree.children_left, tree.children_right))
    return np.where(leaf, -1, tree.feature), np.where(leaf, 0.0, tree.threshold), left, right
