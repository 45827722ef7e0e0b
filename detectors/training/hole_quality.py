"""What the scorers of holes learn: whether a hole itself is fit to be exposed.

Fit is a hole whose ice neither lacks nor hides what is in it; what its grid as a whole is worth, no view of a hole
tells. Of a simulated hole the thickness of its ice is known: fit is one of a usable hole's thickness that nothing
spoils, even where the grid's sample is poor. What people labelled is taken at its word.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from ...protocols.errors import BadInput
from ..hole_crops import hole_levels
from ..score_networks import AveragePoolScorer, OwnScorer, PaddedScorer, scorer_of
from .calibration import calibration_error, platt, sorting
from .labelled import HoleMark, LabelledImage
from .loop import Batch

_FIT, _UNFIT = ("usable", "hole", "good"), ("empty", "spoilt", "covered", "missing", "partial", "bad")
_UNTOLD = ("poor", "cut", "")
_KNOWN = f"fit are {', '.join(_FIT)}; not fit {', '.join(_UNFIT)}; poor, cut and none at all do not tell"
THINNEST_NM, THICKEST_NM = 10.0, 100.0
"""Ice outside this hardly ever lets a hole of a good simulated grid reach 5 Å."""

_OF_EACH = 24
_LEAST_RADIUS_PX = 4.0
_JITTER, _JITTER_SIZE = 0.12, 0.08
_SWAPPED = 0.1

_WAYS = ("", ", nominal dose known", ", vacuum known")
_DRIFTED = (-0.03, 0.15)
"""By how much the nominal dose is too high, as a logarithm: beams lose some per cent an hour until they are flashed."""

Scorer = OwnScorer | AveragePoolScorer | PaddedScorer


@dataclass(frozen=True, slots=True)
class _Pool:
    """Holes with what is known of them.

    ``sets`` are what the network looks at, one for each way in which vacuum is known: not at all, from a nominal dose,
    as it is; a single one where it is not looked at.
    """

    sets: tuple[list[Tensor], ...]
    fit: Tensor
    groups: NDArray[np.int64]


def fitness(hole: HoleMark) -> bool | None:
    """Tell whether a hole is fit to be exposed; None when the label does not tell.

    Raises
    ------
    BadInput
        Nobody knows the label.
    """
    name = hole.category.strip().lower()
    if name in _FIT:
        return True
    if name in _UNFIT:
        return False
    if name not in _UNTOLD:
        raise BadInput(f"no label of holes is called {hole.category}; {_KNOWN}")
    if name == "poor" and hole.ice_nm is not None:
        return THINNEST_NM <= hole.ice_nm <= THICKEST_NM
    return None


def shows_both(images: Sequence[LabelledImage]) -> bool:
    """Tell whether images show holes that are fit and holes that are not."""
    return {fitness(hole) for image in images for hole in _said(image)} >= {True, False}


def _said(image: LabelledImage) -> list[HoleMark]:
    """Give the holes of which there is a label that tells; what a finder said is none."""
    large = [hole for hole in image.holes if hole.labelled and hole.radius_px >= _LEAST_RADIUS_PX]
    return [hole for hole in large if fitness(hole) is not None]


class HoleScoreTask:
    """Learns from some images, is judged by others; see `loop.Task`."""

    def __init__(self, name: str, learnt: Sequence[LabelledImage], judged: Sequence[LabelledImage]) -> None:
        """Cut out holes of all images.

        Raises
        ------
        BadInput
            The images do not show both fit and unfit holes.
        """
        self._name = name
        network = scorer_of(name)
        self.architecture: str = network.architecture
        self._learnt = _pool(network, learnt, np.random.default_rng(1))
        self._judged = _pool(network, judged, np.random.default_rng(2))
        for pool in (self._learnt, self._judged):
            if pool is None or not 0 < float(pool.fit.mean()) < 1:
                raise BadInput(
                    "scores are learnt from holes that are fit and holes that are not, of either on two specimens at "
                    f"least, as one is held out; label some of both: {_KNOWN}"
                )

    def network(self) -> nn.Module:
        """Make the network."""
        return scorer_of(self._name)

    def draw(self, rng: np.random.Generator, size: int) -> Batch:
        """Draw holes, vacuum known in one way or not; pictures of them turned and mirrored, with a little noise."""
        pool = self._learnt
        assert pool is not None
        chosen = torch.from_numpy(rng.integers(len(pool.fit), size=size))
        ways = torch.from_numpy(rng.integers(len(pool.sets), size=size))
        each = torch.arange(size)
        parts = [torch.stack([p[chosen] for p in same])[ways, each].float() for same in zip(*pool.sets, strict=True)]
        if parts[0].ndim == 2:
            return _swapped(parts[0], rng), pool.fit[chosen]
        parts[0] = parts[0].rot90(int(rng.integers(4)), (2, 3))
        if rng.random() < 0.5:
            parts[0] = parts[0].flip(3)
        noise = torch.from_numpy(rng.normal(0, 1, parts[0].shape).astype(np.float32))
        parts[0] = parts[0] + noise * abs(float(rng.normal(0, 0.15)))
        return (*parts, pool.fit[chosen])

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        """Cross-entropy."""
        return functional.binary_cross_entropy_with_logits(network(*batch[:-1]), batch[-1])

    def settle(self, network: nn.Module) -> None:
        """Calibrate by the specimens held out, apart for each way in which vacuum is known."""
        assert isinstance(network, Scorer)
        for number, (logits, truth, _) in enumerate(self._judgements(network)):
            slope = torch.tensor(platt(logits, truth))
            if network.calibration.ndim > 1:
                network.calibration[number] = slope
            else:
                network.calibration.copy_(slope)

    def metrics(self, network: nn.Module) -> Mapping[str, float]:
        """Sorting (AUC) on the specimens held out; calibration error of each half of them, calibrated by the other."""
        assert isinstance(network, Scorer)
        found: dict[str, float] = {}
        for (logits, truth, half), of in zip(self._judgements(network), _WAYS, strict=False):
            score = np.zeros_like(logits)
            for own in (half, ~half):
                slope, offset = platt(logits[~own], truth[~own]) if (~own).any() else platt(logits, truth)
                score[own] = 1 / (1 + np.exp(-np.clip(slope * logits[own] + offset, -50, 50)))
            found[f"AUC{of}"] = sorting(logits, truth)
            found[f"calibration error{of}"] = calibration_error(score, truth)
        return found

    def _judgements(self, network: Scorer) -> list[tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_]]]:
        """Give logits, truth, and to which half of the specimens they belong, of the holes of each set of parts."""
        pool = self._judged
        assert pool is not None
        truth = pool.fit.numpy() > 0.5
        half = np.isin(pool.groups, np.unique(pool.groups)[::2])
        if len({*truth[half].tolist()}) < 2 or len({*truth[~half].tolist()}) < 2:
            half = np.ones_like(truth)
        device = next(network.parameters()).device
        found = []
        for parts in pool.sets:
            with torch.inference_mode():
                pieces = zip(*(torch.split(part, 128) for part in parts), strict=True)
                logits = torch.cat([network(*(part.float().to(device) for part in piece)) for piece in pieces])
            found.append((logits.cpu().numpy().astype(np.float64), truth, half))
        return found


def of_name(name: str) -> Callable[[Sequence[LabelledImage], Sequence[LabelledImage]], HoleScoreTask]:
    """Give what makes the task of one of the scorers."""
    return lambda learnt, judged: HoleScoreTask(name, learnt, judged)


def _pool(network: Scorer, images: Sequence[LabelledImage], rng: np.random.Generator) -> _Pool | None:
    """Cut out at most so many holes of each image, places and sizes a little off, as a finder's are."""
    sets: list[list[list[Tensor]]] = [[] for _ in _WAYS] if isinstance(network, OwnScorer) else [[]]
    fit: list[float] = []
    groups: list[int] = []
    numbers = {group: number for number, group in enumerate(sorted({image.group for image in images}))}
    for image in images:
        holes = _said(image)
        if not holes:
            continue
        chosen = [holes[i] for i in rng.permutation(len(holes))[:_OF_EACH]]
        radius = float(np.median([hole.radius_px for hole in holes])) * float(np.exp(rng.normal(0, _JITTER_SIZE)))
        places = np.array([(hole.row_px, hole.col_px) for hole in chosen])
        places += rng.normal(0, _JITTER * radius, places.shape)
        pixels = image.pixels()
        if isinstance(network, OwnScorer):
            told = None if image.vacuum is None else image.vacuum * float(np.exp(rng.uniform(*_DRIFTED)))
            levels = hole_levels(pixels, places, radius)
            ways = (levels.numbers(), levels.numbers(told, nominal=True), levels.numbers(image.vacuum))
            seen = [[torch.from_numpy(numbers)] for numbers in ways]
        else:
            seen = [network.crops(pixels, places, radius, None)]
        for kept, parts in zip(sets, seen, strict=True):
            kept.append([part.half() for part in parts])
        fit += [float(bool(fitness(hole))) for hole in chosen]
        groups += [numbers[image.group]] * len(chosen)
    if not fit:
        return None
    joined = tuple([torch.cat(parts) for parts in zip(*kept, strict=True)] for kept in sets)
    return _Pool(joined, torch.tensor(fit), np.array(groups))


def _swapped(numbers: Tensor, rng: np.random.Generator) -> Tensor:
    """Take some numbers of each hole from another, so that no single one is relied on; the last says what is known."""
    other = numbers[torch.from_numpy(rng.permutation(len(numbers)))]
    taken = torch.from_numpy(rng.random(numbers.shape) < _SWAPPED)
    taken[:, -1] = False
    return torch.where(taken, other, numbers)
