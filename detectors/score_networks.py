"""Networks that score holes by themselves: this project's own, and the two architectures of the published work.

Each looks at a hole in four quarter turns and answers the mean; normalisation is by what was learnt, so a hole's score
is the same alone and in any company. Slope and offset that make it a chance come with the weights.
"""

from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from . import hole_crops
from .published_networks import HoleScorer
from .scene import Points

OWN, AVERAGE_POOL, PADDED = "hole-scores", "hole-scores-average-pool", "hole-scores-padded"
POOL_SIDE_PX, POOL_RADIUS_PX = 80, 16.0
PADDED_SIDE_PX, PADDED_REACH = 96, 1.35
_TOGETHER = 64

Parts = list[Tensor]
"""What a network looks at, hole by hole along the first axis of each."""


class ScoreNetwork(Protocol):
    """What scores holes: crops of its own kind in, logits out."""

    architecture: str
    calibration: Tensor

    def crops(self, pixels: NDArray[np.float32], places: Points, radius_px: float, vacuum: float | None) -> Parts:
        """Cut out what the network looks at, hole by hole along the first axis."""
        ...

    def logits(self, parts: Parts) -> Tensor:
        """Answer (n,) logits, calibrated."""
        ...


class OwnScorer(nn.Module):
    """A small network on rings and levels; see `hole_crops.HoleLevels`."""

    architecture = "hole-score-2"

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.BatchNorm1d(hole_crops.NUMBERS)
        self.first = nn.Linear(hole_crops.NUMBERS, 96)
        self.second = nn.Linear(96, 48)
        self.last = nn.Linear(48, 1)
        self.calibration: Tensor
        # A row where vacuum is not known, one where it is from the nominal dose, one where it is as it is.
        self.register_buffer("calibration", torch.tensor([[1.0, 0.0]] * 3))

    def forward(self, numbers: Tensor) -> Tensor:
        """Answer (n,) logits, not calibrated."""
        seen = functional.relu(self.first(self.scale(numbers)))
        logits: Tensor = self.last(functional.relu(self.second(seen))).flatten()
        return logits

    def crops(
        self,
        pixels: NDArray[np.float32],
        places: Points,
        radius_px: float,
        vacuum: float | None,
        *,
        nominal: bool = False,
    ) -> Parts:
        """Look at rings and levels; `nominal` says that vacuum is what the nominal dose gives."""
        seen = hole_crops.hole_levels(pixels, places, radius_px)
        return [torch.from_numpy(seen.numbers(vacuum, nominal=nominal))]

    def logits(self, parts: Parts) -> Tensor:
        """Answer (n,) logits, calibrated by how vacuum is known."""
        own = self.calibration[(2 * parts[0][:, -1]).round().long()]
        logits: Tensor = own[:, 0] * self(parts[0]) + own[:, 1]
        return logits


class AveragePoolScorer(HoleScorer):
    """The published average-pool network on standardised crops, in four quarter turns."""

    architecture = AVERAGE_POOL

    def __init__(self) -> None:
        super().__init__()
        self.calibration: Tensor
        self.register_buffer("calibration", torch.tensor([1.0, 0.0]))

    def forward(self, crops: Tensor) -> Tensor:
        """Answer (n,) logits, not calibrated."""
        return torch.stack(
            [super(AveragePoolScorer, self).forward(torch.rot90(crops, k, (2, 3))) for k in range(4)]
        ).mean(0)

    def crops(self, pixels: NDArray[np.float32], places: Points, radius_px: float, vacuum: float | None) -> Parts:
        """Cut out standardised crops; vacuum is not looked at."""
        found = hole_crops.standard_crops(pixels, places, radius_px, POOL_SIDE_PX, POOL_RADIUS_PX)
        return [torch.from_numpy(found)[:, None]]

    def logits(self, parts: Parts) -> Tensor:
        """Answer (n,) logits, calibrated."""
        logits: Tensor = self.calibration[0] * self(parts[0]) + self.calibration[1]
        return logits


class PaddedScorer(nn.Module):
    """Five blocks of 64 channels on crops of the hole alone, in the middle of a canvas of zeros; four quarter turns."""

    architecture = PADDED

    def __init__(self) -> None:
        super().__init__()
        sizes = (5, 5, 3, 3, 3)
        self.convs = nn.ModuleList(nn.Conv2d(64 if n else 1, 64, size, bias=False) for n, size in enumerate(sizes))
        self.norms = nn.ModuleList(nn.BatchNorm2d(64) for _ in sizes)
        self.last = nn.Linear(64, 1)
        self.calibration: Tensor
        self.register_buffer("calibration", torch.tensor([1.0, 0.0]))

    def forward(self, crops: Tensor) -> Tensor:
        """Answer (n,) logits, not calibrated."""
        return _over_turns(self, self._once, crops)

    def _once(self, crops: Tensor) -> Tensor:
        seen = crops
        for conv, norm in zip(self.convs, self.norms, strict=True):
            seen = functional.max_pool2d(norm(functional.relu(conv(seen))), 3, 2, 1)
        logits: Tensor = self.last(seen.mean(dim=(2, 3))).flatten()
        return logits

    def crops(self, pixels: NDArray[np.float32], places: Points, radius_px: float, vacuum: float | None) -> Parts:
        """Cut out the holes' boxes at their own size, larger ones shrunk, and pad them; vacuum is not looked at."""
        most = PADDED_SIDE_PX / 2 / PADDED_REACH
        radius = min(radius_px, most)
        side = min(PADDED_SIDE_PX, 2 * max(4, round(radius * PADDED_REACH)))
        found = hole_crops.standard_crops(pixels, places, radius_px, side, radius)
        spare = (PADDED_SIDE_PX - side) // 2
        return [torch.from_numpy(np.pad(found, ((0, 0), (spare, spare), (spare, spare))))[:, None]]

    def logits(self, parts: Parts) -> Tensor:
        """Answer (n,) logits, calibrated."""
        logits: Tensor = self.calibration[0] * self(parts[0]) + self.calibration[1]
        return logits


def _over_turns(network: nn.Module, look: Callable[[Tensor], Tensor], pictures: Tensor) -> Tensor:
    """Look in four quarter turns and answer the mean; in training once: what is drawn there is turned already."""
    if network.training:
        return look(pictures)
    return torch.stack([look(torch.rot90(pictures, turn, (2, 3))) for turn in range(4)]).mean(dim=0)


def scorer_of(name: str) -> OwnScorer | AveragePoolScorer | PaddedScorer:
    """Make the network of this name, with random weights."""
    if name == AVERAGE_POOL:
        return AveragePoolScorer()
    return PaddedScorer() if name == PADDED else OwnScorer()


def chances(network: ScoreNetwork, parts: Parts) -> NDArray[np.float64]:
    """Score holes, 0..1; each by itself, a bounded number at a time."""
    answers = []
    with torch.inference_mode():
        for start in range(0, len(parts[0]), _TOGETHER):
            own = network.logits([part[start : start + _TOGETHER] for part in parts])
            answers.append(torch.sigmoid(own.double()).cpu().numpy())
    return np.concatenate(answers) if answers else np.empty(0)
