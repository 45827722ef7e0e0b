"""Pictures small enough to travel inside a page: any stored image as a data URI of known size, or the reason why not.

Contrast runs between robust percentiles, so one ice crystal does not make the rest black. How large thumbnails of
exposures are follows from how many there are: a page holds a budget of bytes, not a number of pictures.
"""

import base64
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from ..files.mrc import read_image
from ..protocols.errors import BadInput

Grey = NDArray[np.uint8]
Counts = NDArray[np.float32]
Number = TypeVar("Number", np.float32, np.uint8)

JPEG_QUALITY = 76
PERCENTILES = (0.3, 99.7)
_SAMPLE = 200_000
_BYTES_PER_PX = 0.34
"""What a grey JPEG of this quality takes per pixel of a noisy micrograph (measured on rendered ones, upper end)."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture for a page.

    ``uri`` is empty when it cannot be shown, and ``missing`` then says why. ``scale`` is shown pixels per stored one.
    """

    uri: str
    width: int
    height: int
    scale: float = 1.0
    missing: str = ""


@dataclass(frozen=True, slots=True)
class Sides:
    """Longest side in pixels of the thumbnails of each level."""

    atlas: int
    square: int
    hole: int
    shot: int


def sides_for(grids: int, squares: int, holes: int, shots: int) -> Sides:
    """Choose the size of thumbnails so that the page stays near 12 MB for an ordinary night, and 50 MB for a huge one.

    Each level has a share of the bytes; within it every picture gets the same, between bounds that stay legible.
    """
    budget = 8.6e6 * max(1.0, min((squares + holes + 2 * shots) / 550, 4.2))

    def side(share: float, number: int, least: int, most: int) -> int:
        pixels = budget * share / max(number, 1) / _BYTES_PER_PX
        return int(min(max(math.sqrt(pixels), least), most))

    return Sides(
        atlas=side(0.25, grids, 480, 1000),
        square=side(0.20, squares, 180, 640),
        hole=side(0.13, holes, 110, 420),
        shot=side(0.42, 2 * shots, 108, 400),
    )


def picture_of(path: Path, side: int, *, shown_as: str = "") -> Picture:
    """Make a thumbnail of an MRC image or of a PNG or JPEG picture.

    Parameters
    ----------
    path
        The file.
    side
        Longest side in pixels; a smaller image keeps its size.
    shown_as
        How a placeholder names the file; its path where nothing is given.

    Returns
    -------
    Picture
        Never raises for a file that is gone or damaged: the placeholder says what is wrong.
    """
    try:
        shown, scale = _shown(path, side)
    except BadInput as error:
        return _placeholder(side, shown_as or str(path), str(error) if path.exists() else "no such file")
    except (OSError, cv2.error) as error:
        return _placeholder(side, shown_as or str(path), str(error))
    return _encoded(shown, scale)


def smaller(picture: Picture, side: int) -> Picture:
    """Make a thumbnail of a picture already made."""
    if picture.missing:
        return picture
    jpeg = np.frombuffer(base64.b64decode(picture.uri.partition(",")[2]), dtype=np.uint8)
    found = cv2.imdecode(jpeg, cv2.IMREAD_ANYCOLOR)
    assert found is not None, "our own JPEG can be read"
    return _encoded(shrink(np.asarray(found, dtype=np.uint8), side), picture.scale * side / max(found.shape))


def shrink(pixels: NDArray[Number], side: int) -> NDArray[Number]:
    """Average an image down to a longest side; never enlarges."""
    rows, cols = pixels.shape[:2]
    factor = side / max(rows, cols)
    if factor >= 1:
        return pixels
    size = (max(round(cols * factor), 1), max(round(rows * factor), 1))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=pixels.dtype)


def stretch(pixels: Counts) -> Grey:
    """Map counts to 0..255 between robust percentiles; a constant image becomes mid grey."""
    step = max(1, math.isqrt(pixels.size // _SAMPLE))
    low, high = np.percentile(pixels[::step, ::step], PERCENTILES)
    if not high > low:
        return np.full(pixels.shape, 128, dtype=np.uint8)
    return np.asarray(np.clip((pixels - low) * (255 / (high - low)), 0, 255), dtype=np.uint8)


def _shown(path: Path, side: int) -> tuple[Grey, float]:
    """Read a file as grey or colour of 8 bits at the size wanted, and say how much smaller it became."""
    if path.suffix.lower() in (".png", ".jpg", ".jpeg"):
        found = cv2.imdecode(np.frombuffer(path.read_bytes(), dtype=np.uint8), cv2.IMREAD_ANYCOLOR)
        if found is None:
            raise BadInput("not a picture that can be read; it may be cut short")
        picture = shrink(np.asarray(found, dtype=np.uint8), side)
        return picture, picture.shape[1] / found.shape[1]
    pixels = read_image(path)[0]
    small = shrink(pixels, side)
    return stretch(small), small.shape[1] / pixels.shape[1]


def _encoded(shown: Grey, scale: float) -> Picture:
    _, jpeg = cv2.imencode(".jpg", shown, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    rows, cols = shown.shape[:2]
    return Picture("data:image/jpeg;base64," + base64.b64encode(jpeg.tobytes()).decode(), cols, rows, scale)


def _placeholder(side: int, name: str, reason: str) -> Picture:
    return Picture("", side, side, missing=f"{name}: {reason.removeprefix(f'{name}: ')}")
