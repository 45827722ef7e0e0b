"""An image file of any kind that people have, told by what is in it: MRC, TIFF, or a figure as PNG or JPEG."""

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from . import mrc
from .usable import BadImage, large_enough, section_of, usable

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_FIGURES = {b"\x89PNG": "a PNG picture", b"\xff\xd8\xff": "a JPEG picture"}


@dataclass(frozen=True, slots=True)
class Picture:
    """One image of a file.

    Attributes
    ----------
    pixels
        Shape (rows, cols), first stored row first.
    pixel_size_a
        Å, or None where the file does not say.
    sections
        How many images the file holds.
    figure
        Whether it is a picture for eyes: contrast as somebody liked it, no pixel size.
    """

    pixels: NDArray[np.float32]
    pixel_size_a: float | None
    sections: int = 1
    figure: bool = False


def read_picture(path: Path, section: int | None = None) -> Picture:
    """Read one image of an MRC, TIFF, PNG or JPEG file; the name's ending is not looked at.

    Parameters
    ----------
    path
        The file.
    section
        Which image of a stack, from 0; None where the file must hold exactly one.

    Raises
    ------
    BadImage
        No such file, of no known kind, truncated, damaged, too small, all one value, NaN in it, or a stack where one
        image is asked.
    """
    path = Path(path)
    begin = _beginning(path)
    if begin.startswith(_TIFF):
        from .tiff import read_tiff

        pixels, pixel_size_a, sections = read_tiff(path, section)
        return Picture(pixels, pixel_size_a, sections)
    for magic, what in _FIGURES.items():
        if begin.startswith(magic):
            section_of(path, section, 1)
            return Picture(_figure(path, what), None, 1, figure=True)
    header = mrc.read_header(path)
    pixels, pixel_size_a = mrc.read_image(path, section)
    return Picture(pixels, pixel_size_a, header.frames)


def _beginning(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(4)
    except OSError:
        return b""  # the reader of MRC says what is wrong


def _figure(path: Path, what: str) -> NDArray[np.float32]:
    """Read a figure; colours are brought to their luminance."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as picture:
                large_enough(path, picture.height, picture.width)
                grey = picture if picture.mode.startswith(("L", "I", "F")) else picture.convert("RGB").convert("L")
                stored = np.asarray(grey.convert("L") if grey.mode == "LA" else grey)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise BadImage(f"{path} is {what} too large to be opened; give the image itself as MRC or TIFF.") from None
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        why = (str(error).splitlines() or ["no reason given"])[0]
        raise BadImage(f"{path} is {what}, truncated or damaged ({why}); copy it again from its source.") from error
    return usable(path, stored)
