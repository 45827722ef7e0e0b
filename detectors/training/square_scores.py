"""Training the judges of squares: trees are grown by scikit-learn and kept as arrays.

Splits keep the squares of one image together. Each fifth of the images is judged by what learnt from the others, which
gives the calibration and the card's metrics: few images held out would give those of the few, and judges that learnt
from half are less sure than those that are kept, which have learnt from everything. A facility's own labels are few:
they move the log odds of judges that are already there, and grow nothing anew.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from ...protocols.errors import BadInput
from ..decision_trees import Floats
from ..square_models import CLASSES, JUDGES, Judge, SquareModels, softmax
from .grown_trees import averaged, boosted
from .square_examples import Examples

HELD_OUT = 0.2
PARTS = 5
"""Parts of the images, each judged by what learnt from the others."""

ROUNDS, RATE, LEAVES = 250, 0.07, 16
FOREST, FOREST_LEAVES = 60, 48
_LEAST_CLASSES = 3
_NEVER = -20.0
_BINS = 10
_PULL = 3.0


def trained(examples: Examples, seed: int) -> tuple[SquareModels, dict[str, float], int]:
    """Grow and calibrate all judges; answers them, metrics on what was held out in turn, and how many were learnt from.

    Raises
    ------
    BadInput
        Too few squares or classes, or the library that grows trees is not installed.
    """
    part = _parts(examples, seed)
    odds = {judge: np.empty((examples.classes.size, len(CLASSES))) for judge in JUDGES}
    for number in range(PARTS):
        held = part == number
        learnt = examples.where(~held)
        kinds = np.unique(learnt.classes).size
        if kinds < _LEAST_CLASSES or not held.any():
            raise BadInput(
                f"{learnt.classes.size} labelled squares of {kinds} classes are too few to learn from; give more images"
            )
        others = grown(learnt, seed)
        for judge in JUDGES:
            odds[judge][held] = others.log_odds(judge, examples.table[held], examples.statistics[held])
    heat = {judge: _heat(odds[judge], examples.classes) for judge in JUDGES}
    told = {judge: softmax(odds[judge] / heat[judge]) for judge in JUDGES}
    models = replace(grown(examples, seed), heat=np.array(list(heat.values())))
    return models, _metrics(told, examples.classes), examples.classes.size


def moved(
    models: SquareModels, examples: Examples, seed: int
) -> tuple[SquareModels, dict[str, float], dict[str, float]]:
    """Train judges further on a facility's labels; answers them, and metrics before and after on what was held out."""
    held = held_out(examples, seed)
    learnt, kept_back = examples.where(~held), examples.where(held)
    if learnt.classes.size == 0 or kept_back.classes.size == 0:
        raise BadInput("all labelled squares are on one image; label squares of two at least")
    before, after = judged(models, kept_back), judged(_moved(models, learnt), kept_back)
    return _moved(models, examples), before, after


def held_out(examples: Examples, seed: int) -> NDArray[np.bool_]:
    """Choose the groups that are held out, at least one; says for each square whether it is."""
    groups = np.unique(examples.groups)
    order = np.random.default_rng(np.random.SeedSequence([seed, groups.size])).permutation(groups.size)
    return np.isin(examples.groups, groups[order[: max(1, round(HELD_OUT * groups.size))]])


def split(examples: Examples, seed: int) -> tuple[int, int]:
    """Count the squares that are learnt from and those that are held out."""
    held = int(held_out(examples, seed).sum())
    return examples.classes.size - held, held


def judged(models: SquareModels, examples: Examples) -> dict[str, float]:
    """Give balanced accuracy and expected calibration error of every judge, and the boosted trees' recall by class."""
    told = {judge: models.probabilities(judge, examples.table, examples.statistics) for judge in JUDGES}
    return _metrics(told, examples.classes)


def _metrics(told: Mapping[Judge, Floats], classes: NDArray[np.int64]) -> dict[str, float]:
    found: dict[str, float] = {}
    for judge, table in told.items():
        found[f"{judge}: balanced accuracy"] = balanced_accuracy(table, classes)
        found[f"{judge}: calibration error"] = calibration_error(table, classes)
    said = told["boosting"].argmax(axis=1)
    for place, name in enumerate(CLASSES):
        own = classes == place
        if own.any():
            found[f"boosting: recall of {name.value}"] = float((said[own] == place).mean())
    return found


def balanced_accuracy(told: Floats, classes: NDArray[np.int64]) -> float:
    """Give the mean, over the classes that occur, of the share of theirs that is told rightly."""
    right = told.argmax(axis=1) == classes
    return float(np.mean([right[classes == one].mean() for one in np.unique(classes)]))


def calibration_error(told: Floats, classes: NDArray[np.int64]) -> float:
    """Give the expected calibration error of the class told (Guo et al. 2017), in ten bins of equal width."""
    sure, right = told.max(axis=1), told.argmax(axis=1) == classes
    bins = np.minimum((sure * _BINS).astype(int), _BINS - 1)
    gaps = [abs(sure[bins == one].mean() - right[bins == one].mean()) * (bins == one).mean() for one in np.unique(bins)]
    return float(np.sum(gaps))


def grown(examples: Examples, seed: int) -> SquareModels:
    """Grow all judges on all examples, uncalibrated."""
    try:
        from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
        from sklearn.linear_model import LogisticRegression
    except ImportError:
        raise BadInput(
            "trees are grown with scikit-learn, which is not installed; pip install epicycle[training]"
        ) from None
    classes, weight = examples.classes, _weights(examples.classes)
    # Trees are grown on what their walk will see: 32-bit floats.
    table, seven = examples.table.astype(np.float32), examples.statistics
    boosting = GradientBoostingClassifier(
        init="zero", n_estimators=ROUNDS, learning_rate=RATE, max_leaf_nodes=LEAVES, max_depth=None, subsample=0.6,
        max_features=0.2, min_samples_leaf=8, random_state=seed,
    ).fit(table, classes, sample_weight=weight)  # fmt: skip
    forest = RandomForestClassifier(
        FOREST, max_leaf_nodes=FOREST_LEAVES, min_samples_leaf=4, random_state=seed, n_jobs=1
    ).fit(seven.astype(np.float32), classes, sample_weight=weight)
    centre, spread = seven.mean(axis=0), np.maximum(seven.std(axis=0), 1e-9)
    line = LogisticRegression(max_iter=2000).fit((seven - centre) / spread, classes, sample_weight=weight)
    absent = np.full(len(CLASSES), _NEVER)
    absent[boosting.classes_] = 0.0
    slopes, offsets = np.zeros((len(CLASSES), seven.shape[1])), absent.copy()
    slopes[line.classes_], offsets[line.classes_] = line.coef_, line.intercept_
    kinds = len(CLASSES)
    return SquareModels(
        boosted(boosting, kinds), absent, averaged(forest, kinds), centre, spread, slopes, offsets,
        np.eye(kinds), np.zeros(kinds), np.ones(len(JUDGES)),
    )  # fmt: skip


def _weights(classes: NDArray[np.int64]) -> Floats:
    """Weigh squares so that every class counts the same."""
    often = np.bincount(classes, minlength=len(CLASSES))
    return np.asarray((classes.size / (often > 0).sum() / np.maximum(often, 1))[classes])


def _parts(examples: Examples, seed: int) -> NDArray[np.int64]:
    """Deal the groups into parts; says for each square in which its group is."""
    groups, own = np.unique(examples.groups, return_inverse=True)
    order = np.random.default_rng(np.random.SeedSequence([seed, groups.size])).permutation(groups.size)
    return np.asarray(order % PARTS)[own]


def _heat(odds: Floats, classes: NDArray[np.int64]) -> float:
    """Find by what log odds are divided so that what was held out is likeliest (Guo et al. 2017)."""
    rows = np.arange(len(odds))
    tried = np.exp(np.linspace(np.log(0.3), np.log(5.0), 120))
    told = [-np.log(np.maximum(softmax(odds / heat)[rows, classes], 1e-9)).mean() for heat in tried]
    return float(tried[int(np.argmin(told))])


def _moved(models: SquareModels, examples: Examples) -> SquareModels:
    """Fit the linear map of the boosted trees' log odds, held near what it is by a pull that few labels cannot beat."""
    kinds = len(CLASSES)
    heat = models.heat[JUDGES.index("boosting")]
    odds = models.log_odds("boosting", examples.table, examples.statistics) / heat
    hot = np.eye(kinds)[examples.classes]

    def wrong(flat: Floats) -> tuple[float, Floats]:
        mix, shift = flat[:-kinds].reshape(kinds, kinds), flat[-kinds:]
        told = softmax(odds @ mix.T + shift)
        off = mix - np.eye(kinds)
        loss = -np.log(np.maximum((told * hot).sum(axis=1), 1e-12)).sum() + _PULL * (off**2).sum() + (shift**2).sum()
        slope = told - hot
        return float(loss), np.concatenate(((slope.T @ odds + 2 * _PULL * off).ravel(), slope.sum(axis=0) + 2 * shift))

    best = minimize(wrong, np.concatenate((np.eye(kinds).ravel(), np.zeros(kinds))), jac=True, method="L-BFGS-B").x
    mix, shift = best[:-kinds].reshape(kinds, kinds), best[-kinds:]
    return replace(models, mix=mix @ models.mix, shift=mix @ models.shift + heat * shift)
