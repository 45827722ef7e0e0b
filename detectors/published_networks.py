"""The three networks of Kim et al. (IUCrJ 10, 90-102, 2023) as torch modules, for weights that the user has.

Their tensors' names are those of the published files, which hold plain state dicts. All networks are made in
evaluation mode and need no gradients. Nothing else of the package imports torch, and this module only when a finder
that needs it is made.
"""

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from ..protocols.errors import BadInput

Network = TypeVar("Network", bound=nn.Module)

SQUARE_CROP_PX = 240
"""Side of the square scorer's only input size."""

LEAST_HOLE_CROP_PX = 63
"""Side of the smallest crop that leaves the hole scorer one position."""

_BAND_ROWS = 64
_HALO_ROWS = 4
_TOGETHER = 6


class SquareScorer(nn.Module):
    """Scores crops of squares, (n, 1, 240, 240) → (n,) logits; in each block ReLU comes before normalisation."""

    def __init__(self) -> None:
        super().__init__()
        sizes = (5, 5, 3, 3, 3)
        for number, size in enumerate(sizes, start=1):
            self.add_module(f"layer{number}", nn.Conv2d(1 if number == 1 else 64, 64, size, bias=False))
            self.add_module(f"bn{number}", nn.BatchNorm2d(64))
        self.linear = nn.Conv2d(64, 1, 6)
        self._blocks = len(sizes)

    def forward(self, crops: Tensor) -> Tensor:
        """Answer one logit for each crop."""
        seen = crops
        for number in range(1, self._blocks + 1):
            seen = functional.relu(self.get_submodule(f"layer{number}")(seen))
            seen = functional.max_pool2d(self.get_submodule(f"bn{number}")(seen), 3, 2, 1)
        logits: Tensor = self.linear(seen)
        return logits.flatten()


class HoleScorer(nn.Module):
    """Scores crops of holes, (n, 1, rows, cols) → (n,) logits, for any size from 63 × 63 px on."""

    def __init__(self) -> None:
        super().__init__()
        first = [nn.Conv2d(1, 128, 5, bias=False)]
        self.convs = nn.ModuleList(first + [nn.Conv2d(128, 128, 3, bias=False) for _ in range(3)])
        self.bns = nn.ModuleList(nn.BatchNorm2d(128) for _ in range(4))
        self.final = nn.Linear(128, 1)

    def forward(self, crops: Tensor) -> Tensor:
        """Answer one logit for each crop."""
        seen = crops
        for conv, norm in zip(self.convs, self.bns, strict=True):
            seen = functional.max_pool2d(functional.relu(norm(conv(seen))), 3, 2)
        logits: Tensor = self.final(seen.mean(dim=(2, 3)))
        return logits.flatten()


class _Step(nn.Module):
    """One convolution with ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 64, 3, padding=1)

    def forward(self, seen: Tensor) -> Tensor:
        """Keep rows and columns, answer 64 channels."""
        return functional.relu(self.conv(seen), inplace=True)


class HoleUNet(nn.Module):
    """Marks a small blob at each hole's centre, (n, 1, rows, cols) → logits of that shape; at least 256 × 256 px."""

    def __init__(self) -> None:
        super().__init__()
        self.down_path = nn.ModuleList(_Step(1 if level == 0 else 64) for level in range(9))
        self.up_path = nn.ModuleList(_Step(128) for _ in range(8))
        self.last = nn.Conv2d(64, 1, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        """Answer a logit for each pixel; the finest level is worked out in bands of rows, so memory stays small."""
        seen = self._halved(images)
        levels: list[Tensor] = []
        for step in self.down_path[1:]:
            levels.append(step(functional.max_pool2d(levels[-1], 2) if levels else seen))
        seen = levels.pop()
        for step, skip in zip(self.up_path[:-1], reversed(levels), strict=True):
            seen = step(_joined(seen, skip))
        rows = images.shape[2]
        return torch.cat([self._finest(images, seen, top) for top in range(0, rows, _BAND_ROWS)], dim=2)

    def _halved(self, images: Tensor) -> Tensor:
        """Give the first level's answer after pooling, band by band."""
        rows = images.shape[2] // 2 * 2
        bands = []
        for top in range(0, rows, _BAND_ROWS):
            low, high = max(0, top - 2), min(images.shape[2], top + _BAND_ROWS + 2)
            band = self.down_path[0](images[:, :, low:high])
            bands.append(functional.max_pool2d(band[:, :, top - low :][:, :, :_BAND_ROWS], 2))
        return torch.cat(bands, dim=2)

    def _finest(self, images: Tensor, coarse: Tensor, top: int) -> Tensor:
        """Give one band of the answer: three convolutions reach three rows beyond it."""
        rows = images.shape[2]
        low, high = max(0, top - _HALO_ROWS), min(rows, top + _BAND_ROWS + _HALO_ROWS)
        skip = self.down_path[0](images[:, :, low:high])
        source = (torch.arange(low, high) * coarse.shape[2]) // rows
        seen = self.up_path[-1](_joined(coarse[:, :, source], skip))
        answer: Tensor = self.last(seen)
        return answer[:, :, top - low :][:, :, :_BAND_ROWS]


def _joined(coarse: Tensor, skip: Tensor) -> Tensor:
    """Bring the coarser level to the skip's size by its nearest pixels and put both together."""
    if coarse.shape[2:] != skip.shape[2:]:
        coarse = functional.interpolate(coarse, size=skip.shape[2:], mode="nearest")
    return torch.cat((coarse, skip), dim=1)


def with_weights(network: Network, path: Path) -> Network:
    """Load a published file into a network and set it to evaluation mode.

    Raises
    ------
    BadInput
        The file is not there, is damaged, holds anything but tensors (code is never run), or holds other tensors than
        this network has.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise BadInput(f"there are no weights at {path}; give the folder that holds the published files") from None
    except UnpicklingError:
        raise BadInput(
            f"{path} cannot be read as a file of weights: it is damaged, or holds code, which is never run; take the "
            "published file as it is"
        ) from None
    except Exception as error:  # what torch raises on a damaged file depends on the damage
        why = (str(error).splitlines() or ["it is cut short"])[0]
        raise BadInput(f"{path} cannot be read as a file of weights: {why}") from error
    wanted = network.state_dict()
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise BadInput(f"{path} holds no table of tensors; take the published file as it is")
    odd = sorted(map(str, wanted.keys() ^ state.keys())) or [n for n in wanted if wanted[n].shape != state[n].shape]
    if odd:
        raise BadInput(f"{path} holds weights of another network: they differ in {odd[0]} and {len(odd) - 1} more")
    if not all(bool(torch.isfinite(value).all()) for value in state.values()):
        raise BadInput(f"{path} holds weights that are no numbers; take the published file as it is")
    network.load_state_dict(OrderedDict(state), strict=True)
    return network.eval().requires_grad_(False)


def scores(network: SquareScorer | HoleScorer, crops: Sequence[NDArray[np.float32]], together: bool) -> list[float]:
    """Score standardised crops of one shape, 0..1.

    Parameters
    ----------
    network
        Either scorer.
    crops
        Each (rows, cols).
    together
        False: by the statistics learnt in training, so that a crop's score is its own. True: all crops as one batch
        normalised by its own statistics, as the published program does it; scores then depend on what else is seen.
    """
    if not crops:
        return []
    network.train(together)
    # Normalising by the batch also moves the learnt statistics; they are put back, so that no call changes the next.
    kept = {name: value.clone() for name, value in network.state_dict().items()} if together else None
    part = len(crops) if together else _TOGETHER
    # With channels last, the statistics of a large batch are summed in single precision, and are wrong by a per mille.
    order = torch.contiguous_format if together else torch.channels_last
    answers: list[float] = []
    try:
        with torch.inference_mode():
            for start in range(0, len(crops), part):
                batch = torch.from_numpy(np.stack(crops[start : start + part])[:, None])
                answers += torch.sigmoid(network(batch.contiguous(memory_format=order))).tolist()
    finally:
        if kept is not None:
            network.load_state_dict(kept)
            network.eval()
    return answers


def logits(network: HoleUNet, image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Run the U-Net on one standardised image (rows, cols) of even size; answer a logit for each pixel."""
    with torch.inference_mode():
        seen = torch.from_numpy(np.ascontiguousarray(image))[None, None].to(memory_format=torch.channels_last)
        return np.asarray(network(seen)[0, 0].numpy())
