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
from ..score_networks import AveragePoolScorer, OwnScorer, PaddedScorer, scorer_of
from .calibration import calibration_error, platt, sorting
from .labelled import HoleMark, LabelledImage
from .loop import Batch

_FIT, _UNFIT = ("usable", "hole", "good"), ("empty", "spoilt", "covered", "missing", "partial", "bad")
THINNEST_NM, THICKEST_NM = 10.0, 100.0
"""Ice outside this hardly ever lets a hole of a good simulated grid reach 5 Å."""

_OF_EACH = 24
_LEAST_RADIUS_PX = 4.0
_JITTER, _JITTER_SIZE = 0.12, 0.08
_SOFTENED = 0.02

Scorer = OwnScorer | AveragePoolScorer | PaddedScorer


@dataclass(frozen=True, slots=True)
class _Pool:
    """Holes with what is known of them; `sets` are parts without and with vacuum, one where it is not looked at."""

    sets: tuple[list[Tensor], ...]
    fit: Tensor
    groups: NDArray[np.int64]


def fitness(hole: HoleMark) -> bool | None:
    """Tell whether a hole is fit to be exposed; None when the label does not tell."""
    if hole.category in _FIT:
        return True
    if hole.category in _UNFIT:
        return False
    if hole.category == "poor" and hole.ice_nm is not None:
        return THINNEST_NM <= hole.ice_nm <= THICKEST_NM
    return None


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
                raise BadInput("scores are learnt from holes that are fit and holes that are not; label some of both")

    def network(self) -> nn.Module:
        """Make the network."""
        return scorer_of(self._name)

    def draw(self, rng: np.random.Generator, size: int) -> Batch:
        """Draw holes, half of the time with vacuum known, turned and mirrored, with a little noise."""
        pool = self._learnt
        assert pool is not None
        chosen = torch.from_numpy(rng.integers(len(pool.fit), size=size))
        known = torch.from_numpy(rng.random(size) < 0.5)
        without, with_it = pool.sets[0], pool.sets[-1]
        parts = []
        for a, b in zip(without, with_it, strict=True):
            pick = known.reshape(-1, *(1 for _ in a.shape[1:]))
            parts.append(torch.where(pick, b[chosen], a[chosen]).float())
        parts[0] = parts[0].rot90(int(rng.integers(4)), (2, 3))
        if rng.random() < 0.5:
            parts[0] = parts[0].flip(3)
        noise = torch.from_numpy(rng.normal(0, 1, parts[0].shape).astype(np.float32))
        parts[0] = parts[0] + noise * abs(float(rng.normal(0, 0.15)))
        return (*parts, pool.fit[chosen])

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        """Cross-entropy, targets a little softened."""
        target = batch[-1] * (1 - 2 * _SOFTENED) + _SOFTENED
        return functional.binary_cross_entropy_with_logits(network(*batch[:-1]), target)

    def settle(self, network: nn.Module) -> None:
        """Calibrate by one half of the specimens held out, apart for unknown and known vacuum."""
        assert isinstance(network, Scorer)
        for number, logits, truth in self._judgements(network, half=0):
            slope = torch.tensor(platt(logits, truth))
            if network.calibration.ndim > 1:
                network.calibration[number] = slope
            else:
                network.calibration.copy_(slope)

    def metrics(self, network: nn.Module) -> Mapping[str, float]:
        """Sorting (AUC) and calibration error on the other half of the specimens held out."""
        assert isinstance(network, Scorer)
        found: dict[str, float] = {}
        for number, logits, truth in self._judgements(network, half=1):
            own = network.calibration[number] if network.calibration.ndim > 1 else network.calibration
            score = 1 / (1 + np.exp(-np.clip(float(own[0]) * logits + float(own[1]), -50, 50)))
            of = ("", ", vacuum known")[number]
            found[f"AUC{of}"] = sorting(score, truth)
            found[f"calibration error{of}"] = calibration_error(score, truth)
        return found

    def _judgements(self, network: Scorer, half: int) -> list[tuple[int, NDArray[np.float64], NDArray[np.bool_]]]:
        """Give logits and truth of the holes of one half of the specimens, for each set of parts."""
        pool = self._judged
        assert pool is not None
        groups = np.unique(pool.groups)
        own = np.isin(pool.groups, groups[half::2] if len(groups) > 1 else groups)
        if not 0 < float(pool.fit.numpy()[own].mean()) < 1:
            own[:] = True
        chosen, device = torch.from_numpy(np.flatnonzero(own)), next(network.parameters()).device
        found = []
        for number, parts in enumerate(pool.sets):
            with torch.inference_mode():
                logits = [
                    network(*(part[some].float().to(device) for part in parts)) for some in torch.split(chosen, 128)
                ]
            found.append((number, torch.cat(logits).cpu().numpy().astype(np.float64), pool.fit.numpy()[own] > 0.5))
        return found


def of_name(name: str) -> Callable[[Sequence[LabelledImage], Sequence[LabelledImage]], HoleScoreTask]:
    """Give what makes the task of one of the scorers."""
    return lambda learnt, judged: HoleScoreTask(name, learnt, judged)


def _pool(network: Scorer, images: Sequence[LabelledImage], rng: np.random.Generator) -> _Pool | None:
    """Cut out at most so many holes of each image, places and sizes a little off, as a finder's are."""
    sets: list[list[list[Tensor]]] = [[], []] if isinstance(network, OwnScorer) else [[]]
    fit: list[float] = []
    groups: list[int] = []
    numbers = {group: number for number, group in enumerate(sorted({image.group for image in images}))}
    for image in images:
        holes = [hole for hole in image.holes if fitness(hole) is not None and hole.radius_px >= _LEAST_RADIUS_PX]
        if not holes:
            continue
        chosen = [holes[i] for i in rng.permutation(len(holes))[:_OF_EACH]]
        radius = float(np.median([hole.radius_px for hole in holes])) * float(np.exp(rng.normal(0, _JITTER_SIZE)))
        places = np.array([(hole.row_px, hole.col_px) for hole in chosen])
        places += rng.normal(0, _JITTER * radius, places.shape)
        pixels = image.pixels()
        for kept, vacuum in zip(sets, (None, image.vacuum), strict=False):
            kept.append([part.half() for part in network.crops(pixels, places, radius, vacuum)])
        fit += [float(bool(fitness(hole))) for hole in chosen]
        groups += [numbers[image.group]] * len(chosen)
    if not fit:
        return None
    joined = tuple([torch.cat(parts) for parts in zip(*kept, strict=True)] for kept in sets)
    return _Pool(joined, torch.tensor(fit), np.array(groups))
