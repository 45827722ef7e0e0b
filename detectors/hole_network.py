"""The network that marks holes: an image at the working scale in, maps of centres, discs and radii out.

Nothing of it depends on the image's size or on what else is in the batch. Only this module and those that train import
torch for it, and they only when a finder with a network is made.
"""

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

ARCHITECTURE = "hole-map-2"

WORKING_RADIUS_PX = 12.0
"""Radius of a hole in the images that the network sees."""

STRIDE = 2
"""Pixels of the image per pixel of the maps."""

_CHANNELS = (16, 32, 48, 64)
_MULTIPLE = STRIDE * 2 ** (len(_CHANNELS) - 1)


class _Block(nn.Module):
    """Two convolutions, each normalised by what was learnt, each with ReLU."""

    def __init__(self, given: int, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(given, channels, 3, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(channels)
        self.second = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(channels)

    def forward(self, seen: Tensor) -> Tensor:
        """Keep rows and columns, answer the block's channels."""
        seen = functional.relu(self.first_norm(self.first(seen)))
        return functional.relu(self.second_norm(self.second(seen)))


class HoleMaps(nn.Module):
    """A U-Net whose finest level has half the image's size, (n, 1, rows, cols) → (n, 3, rows / 2, cols / 2).

    The maps are the logit of a hole's centre, the logit of its disc, and the logarithm of its radius over the working
    radius. Rows and columns are multiples of 16.

    Two buffers come with the weights: ``calibration``, slope and offset that make the centre's logit a chance, and
    ``site``, the weights of centre, disc, the site's merit without the network, and 1, in the chance that a hole stands
    at a site of the lattice.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, _CHANNELS[0], 5, stride=STRIDE, padding=2)
        self.down = nn.ModuleList(
            _Block(given, channels) for given, channels in zip((_CHANNELS[0], *_CHANNELS), _CHANNELS, strict=False)
        )
        self.up = nn.ModuleList(
            _Block(_CHANNELS[level] + _CHANNELS[level - 1], _CHANNELS[level - 1])
            for level in range(len(_CHANNELS) - 1, 0, -1)
        )
        self.last = nn.Conv2d(_CHANNELS[0], 3, 1)
        nn.init.constant_(self.last.bias[:1] if self.last.bias is not None else self.last.weight[:0], -3.0)
        self.calibration: Tensor
        self.register_buffer("calibration", torch.tensor([1.0, 0.0]))
        self.site: Tensor
        self.register_buffer("site", torch.tensor([0.5, 0.1, 2.5, 0.0]))

    def forward(self, images: Tensor) -> Tensor:
        """Answer the three maps."""
        seen = functional.relu(self.stem(images))
        levels: list[Tensor] = []
        for number, block in enumerate(self.down):
            seen = block(functional.max_pool2d(seen, 2) if number else seen)
            levels.append(seen)
        levels.pop()
        for block in self.up:
            skip = levels.pop()
            seen = functional.interpolate(seen, scale_factor=2.0, mode="nearest")
            seen = block(torch.cat((seen, skip), dim=1))
        maps: Tensor = self.last(seen)
        return maps


def maps_of(network: HoleMaps, image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Look at one image (rows, cols), evened; answer (3, rows / 2, cols / 2), rounded up."""
    rows, cols = image.shape
    spare = [(-length) % _MULTIPLE for length in image.shape]
    # The border is mirrored: an edge of zeros looks like a bar to the network.
    padded = np.pad(image, ((0, spare[0]), (0, spare[1])), mode="symmetric")
    with torch.inference_mode():
        seen = torch.from_numpy(np.ascontiguousarray(padded))[None, None].to(memory_format=torch.channels_last)
        maps = network(seen)[0].numpy()
    return np.asarray(maps[:, : -(-rows // STRIDE), : -(-cols // STRIDE)], np.float32)


def tops(heat: NDArray[np.float32], reach: int, least: float) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Give rows and columns of the places that are highest within `reach` px and above `least`."""
    around = cv2.dilate(heat, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))
    rows, cols = np.nonzero((heat >= around) & (heat > least))
    return rows.astype(np.intp), cols.astype(np.intp)
