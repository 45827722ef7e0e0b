"""A picture in a terminal: two pixels in each character cell, or shades of plain letters where there is no colour."""

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.style import Style

SHADES = " .:-=+*#%@"
"""From dark to bright, as a terminal with a dark ground shows them."""
GREYS = 48
"""Steps of grey that are told apart; fewer make a smaller stream over a slow link."""


class Blocks:
    """Draws grey pixels (rows, cols) or colour (rows, cols, 3) as wide as the console, at most ``width`` cells."""

    def __init__(self, pixels: NDArray[np.uint8], width: int = 80, height: int | None = None) -> None:
        self._pixels = pixels
        self._width = width
        self._height = height

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Lay out for the width at hand; a cell is twice as high as it is wide."""
        rows, cols = self._pixels.shape[:2]
        width = max(min(self._width, options.max_width), 2)
        if self._height is not None:
            width = min(width, max(round(2 * self._height * cols / rows), 2))
        lines = max(round(width * rows / cols / 2), 1)
        small = cv2.resize(self._pixels, (width, 2 * lines), interpolation=cv2.INTER_AREA)
        plain = console.color_system is None
        for upper, lower in zip(small[::2], small[1::2], strict=True):
            yield from _shaded(upper, lower) if plain else _halved(upper, lower)
            yield Segment.line()


def _halved(upper: NDArray[np.uint8], lower: NDArray[np.uint8]) -> list[Segment]:
    return [
        Segment("▀", Style(color=_colour(above), bgcolor=_colour(below)))
        for above, below in zip(upper, lower, strict=True)
    ]


def _shaded(upper: NDArray[np.uint8], lower: NDArray[np.uint8]) -> list[Segment]:
    both = np.stack([upper, lower]).astype(float)
    grey = both.mean(axis=0) if both.ndim == 2 else both.mean(axis=(0, 2))
    steps = np.minimum((grey / 256 * len(SHADES)).astype(int), len(SHADES) - 1)
    return [Segment("".join(SHADES[step] for step in steps))]


def _colour(value: NDArray[np.uint8]) -> str:
    step = 256 / GREYS
    red, green, blue = (min(int((int(v) // step + 0.5) * step), 255) for v in np.broadcast_to(value, 3))
    return f"#{red:02x}{green:02x}{blue:02x}"
