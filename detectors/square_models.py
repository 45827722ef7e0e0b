"""Three judges of squares: boosted trees on all numbers, a random forest and logistic regression on seven statistics.

All are arrays in one safetensors file, evaluated with numpy alone. Each answers a probability for every class of whole
squares; one cut by the image's border is not theirs to judge.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ..protocols.errors import BadInput
from .decision_trees import Arrays, Floats, Trees, trees_of
from .network_weights import shipped
from .records import SquareClass
from .square_features import NAMES, STATISTICS

Judge = Literal["boosting", "forest", "logistic"]
JUDGES: tuple[Judge, ...] = get_args(Judge)

ARCHITECTURE = "square-scores-1"
CLASSES = tuple(SquareClass)
"""Order of the probabilities."""

SHIPPED = shipped("square-scores")


@dataclass(frozen=True, slots=True)
class SquareModels:
    """The three judges.

    Attributes
    ----------
    boosting, start
        Trees whose values add up to the classes' log odds, one class after the other, and where the sums begin.
    forest
        Trees whose values are probabilities; the mean is told.
    centre, spread, slopes, offsets
        Logistic regression: how the statistics are scaled, (7,), and the line of each class, (classes, 7), (classes,).
    mix, shift
        What further training on a facility's own labels does to the log odds of the boosted trees: a linear map
        (classes, classes) and (classes,), which leave them as they are until then.
    heat
        By how much the log odds of each judge are divided so that probabilities are as often right as they say.
    """

    boosting: Trees
    start: Floats
    forest: Trees
    centre: Floats
    spread: Floats
    slopes: Floats
    offsets: Floats
    mix: Floats
    shift: Floats
    heat: Floats

    def log_odds(self, judge: Judge, table: Floats, statistics: Floats) -> Floats:
        """Give log odds before calibration, (n, classes).

        Parameters
        ----------
        table, statistics
            See `square_features.feature_table` and `square_features.statistics`.
        """
        if judge == "boosting":
            said = self.boosting.said(table)[:, :, 0].astype(np.float64)
            return np.asarray(
                (self.start + said.reshape(len(table), -1, len(CLASSES)).sum(axis=1)) @ self.mix.T + self.shift
            )
        if judge == "forest":
            mean = self.forest.said(statistics).astype(np.float64).mean(axis=1)
            return np.asarray(np.log(np.maximum(mean, 1e-3)))
        return np.asarray((statistics - self.centre) / self.spread @ self.slopes.T + self.offsets)

    def probabilities(self, judge: Judge, table: Floats, statistics: Floats) -> Floats:
        """Give the calibrated probability of every class, (n, classes), rows adding up to 1."""
        return softmax(self.log_odds(judge, table, statistics) / self.heat[JUDGES.index(judge)])

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Give all arrays by name, for a file."""
        lines = {name: getattr(self, name) for name in _PLAIN}
        return {**self.boosting.arrays("boosting"), **self.forest.arrays("forest"), **lines}


_PLAIN = ("start", "centre", "spread", "slopes", "offsets", "mix", "shift", "heat")


def softmax(log_odds: Floats) -> Floats:
    """Bring log odds to probabilities, row by row."""
    raised = np.exp(log_odds - log_odds.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def save_models(models: SquareModels, path: Path, said: Mapping[str, str] | None = None) -> None:
    """Write the judges whole or not at all."""
    from safetensors.numpy import save

    from ..files.atomic import write_bytes

    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {name: np.ascontiguousarray(value) for name, value in models.arrays().items()}
    words = {**(said or {}), "architecture": ARCHITECTURE, "columns": str(len(NAMES))}
    write_bytes(path, save(tensors, metadata=words))


def load_models(path: Path) -> SquareModels:
    """Read the judges; nothing in the file is run.

    Raises
    ------
    BadInput
        The library that reads the file is not installed, there is no file, it is damaged, or holds something else.
    """
    arrays, said = _read(path)
    theirs = said.get("architecture", "something that is not named")
    if theirs != ARCHITECTURE or said.get("columns") != str(len(NAMES)):
        raise BadInput(
            f"{path} holds {theirs} of {said.get('columns', 'unknown')} columns, and {ARCHITECTURE} of {len(NAMES)} is "
            "needed; train again with `epicycle train square-scores`, or name the right file"
        )
    kinds, numbers = len(CLASSES), len(STATISTICS)
    shapes = {
        "start": (kinds,), "centre": (numbers,), "spread": (numbers,), "slopes": (kinds, numbers), "offsets": (kinds,),
        "mix": (kinds, kinds), "shift": (kinds,), "heat": (len(JUDGES),),
    }  # fmt: skip
    odd = [name for name, shape in shapes.items() if name not in arrays or arrays[name].shape != shape]
    if odd:
        raise BadInput(f"{path} does not hold what judges of squares need: {odd[0]} is missing or of another shape")
    boosting, forest = trees_of(arrays, "boosting", len(NAMES)), trees_of(arrays, "forest", numbers)
    if boosting.first.size % kinds or boosting.value.shape[1] != 1 or forest.value.shape[1] != kinds:
        raise BadInput(f"{path} holds trees for another number of classes than {kinds}")
    start, *lines = (np.asarray(arrays[name], np.float64) for name in _PLAIN)
    return SquareModels(boosting, start, forest, *lines)


def _read(path: Path) -> tuple[Arrays, Mapping[str, str]]:
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError:
        raise BadInput(
            "the judges of squares are read with safetensors, which is not installed; pip install safetensors"
        ) from None
    if not path.is_file():
        raise BadInput(f"there are no weights at {path}; train them with `epicycle train square-scores`")
    try:
        with safe_open(str(path), framework="numpy") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, TypeError) as error:
        raise BadInput(f"{path} cannot be read as a safetensors file: {str(error).splitlines()[0]}") from error
