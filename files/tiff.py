"""TIFF files: single images, stacks of pages, ImageJ's one-page stacks; compressed ones by OpenCV's codecs.

The directory is read with `tifffile`, and what lies there plainly is mapped. `tifffile` needs a further package for LZW
and JPEG compression; OpenCV, which is here anyway, has them.
"""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray

from .usable import BadImage, large_enough, section_of, usable

# What tifffile has to say of a damaged file is said here in a sentence.
logging.getLogger("tifffile").addHandler(logging.NullHandler())

MOST_PX = 2**31
"""An image of more pixels than this is none that could be searched in memory."""

_LARGEST_A = 1e5
"""A resolution coarser than 10 µm per pixel was written for printers: no atlas has such pixels."""

_UNIT_A = {"nm": 10.0, "µm": 1e4, "um": 1e4, "micron": 1e4, "\\u00b5m": 1e4, "mm": 1e7, "cm": 1e8, "inch": 2.54e8}
_CENTIMETRE, _INCH = 3, 2


@dataclass(frozen=True, slots=True)
class Stack:
    """The first series of images in a file: (sections, rows, cols), perhaps with colours."""

    sections: int
    rows: int
    cols: int
    colours: int


def read_tiff(path: Path, section: int | None = None) -> tuple[NDArray[np.float32], float | None, int]:
    """Read one image.

    Parameters
    ----------
    path
        The file.
    section
        Which image of several, from 0; None where the file must hold exactly one.

    Returns
    -------
    pixels
        Shape (rows, cols); colours are brought to their luminance.
    pixel_size_a
        Å, where the resolution in the file can be one of a microscope; else None.
    sections
        How many images the file holds.

    Raises
    ------
    BadImage
        Truncated or damaged, complex, too small or large, NaN in it, or a stack without a section.
    """
    try:
        with tifffile.TiffFile(path) as file:
            if not len(file.pages) or not file.series:
                raise BadImage(f"{path} is a TIFF file that is truncated or damaged: no image is in it; copy it again.")
            series = file.series[0]
            stack = _stack(path, series)
            number = section_of(path, section, stack.sections)
            stored = _mapped(path, series, stack, number)
            stored = _page(path, series, stack, number) if stored is None else stored
            pixel_size = None if stack.colours > 1 else _pixel_size_a(file)
    except (tifffile.TiffFileError, ValueError, IndexError, KeyError, EOFError, TypeError) as error:
        raise BadImage(f"{path} is a TIFF file that cannot be read ({_short(error)}); convert it to MRC.") from error
    return usable(path, _grey(stored)), pixel_size, stack.sections


def _stack(path: Path, series: tifffile.TiffPageSeries) -> Stack:
    colours = series.shape[series.axes.index("S")] if "S" in series.axes else 1
    by_axis = dict(zip(series.axes, series.shape, strict=True))
    rows, cols = by_axis.get("Y", 0), by_axis.get("X", 0)
    if rows * cols > MOST_PX:
        raise BadImage(f"{path} holds {cols}×{rows} pixels, more than can be searched; give a smaller image.")
    large_enough(path, rows, cols)
    if series.dtype is None or series.dtype.kind not in "biufc":
        raise BadImage(f"{path} holds pixels of an unknown kind; convert it to MRC.")
    return Stack(math.prod(series.shape) // (rows * cols * colours), rows, cols, colours)


def _mapped(path: Path, series: tifffile.TiffPageSeries, stack: Stack, number: int) -> NDArray[Any] | None:
    """Give the section as a map of the file; None where it does not lie there in one piece."""
    begin = series.dataoffset
    if begin is None or series.dtype is None:
        return None
    if stack.colours > 1 and not series.axes.endswith("S"):
        return None
    dtype = np.dtype(series.dtype).newbyteorder(series.keyframe.parent.byteorder)
    shape = (stack.rows, stack.cols) if stack.colours == 1 else (stack.rows, stack.cols, stack.colours)
    size = math.prod(shape) * dtype.itemsize
    if path.stat().st_size < begin + stack.sections * size:
        raise _truncated(path)
    return np.memmap(path, dtype=dtype, mode="r", offset=begin + number * size, shape=shape)


def _page(path: Path, series: tifffile.TiffPageSeries, stack: Stack, number: int) -> NDArray[Any]:
    """Unpack one page; raises `BadImage` where neither of the two readers can."""
    page = series.pages[number] if len(series.pages) == stack.sections else None
    if page is None:
        raise BadImage(f"{path} holds images in an order that cannot be read; save the one you mean alone.")
    ends = [begin + size for begin, size in zip(page.dataoffsets, page.databytecounts, strict=True)]
    if max(ends, default=0) > path.stat().st_size:
        raise _truncated(path)
    try:
        return np.asarray(page.asarray())
    except (ValueError, KeyError, ImportError, RuntimeError):
        # tifffile has no codec of this kind, or the data are damaged: then OpenCV fails too.
        read, pages = _by_opencv(path, page.index)
    if not read or not pages or pages[0].shape[:2] != (stack.rows, stack.cols):
        raise BadImage(
            f"{path} is compressed ({getattr(page.compression, 'name', page.compression)}) in a way that cannot be "
            "read, or damaged; convert it to MRC."
        )
    colour = pages[0].ndim == 3 and pages[0].shape[2] >= 3
    return np.asarray(pages[0][..., 2::-1] if colour else pages[0])


def _by_opencv(path: Path, index: int) -> tuple[bool, Sequence[NDArray[Any]]]:
    """Let OpenCV unpack the page, without its own words about what is wrong with it."""
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(0)
    try:
        return cv2.imreadmulti(str(path), start=index, count=1, flags=cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return False, ()
    finally:
        cv2.utils.logging.setLogLevel(level)


def _grey(stored: NDArray[Any]) -> NDArray[Any]:
    """Bring (rows, cols, colours), red first, or (colours, rows, cols) to (rows, cols)."""
    if stored.ndim == 2:
        return stored
    if stored.shape[-1] > 4:
        stored = np.moveaxis(stored, 0, -1)
    if stored.shape[-1] < 3:
        return stored[..., 0]
    return np.asarray(stored[..., :3].astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32))


def _pixel_size_a(file: tifffile.TiffFile) -> float | None:
    """Å per pixel by the resolution tags, in the unit that they or ImageJ's description give."""
    tags = file.pages.first.tags
    found = tags.get("XResolution"), tags.get("YResolution")
    if None in found:
        return None
    per_unit = [_ratio(tag.value) for tag in found if tag is not None]
    unit = (file.imagej_metadata or {}).get("unit")
    kind = tags["ResolutionUnit"].value if "ResolutionUnit" in tags else _INCH
    unit_a = _UNIT_A.get(str(unit).lower()) if unit else {_CENTIMETRE: 1e8, _INCH: 2.54e8}.get(int(kind))
    if unit_a is None or min(per_unit) <= 0 or abs(per_unit[0] - per_unit[1]) > 0.01 * per_unit[0]:
        return None
    size = unit_a / per_unit[0]
    return size if size < _LARGEST_A else None


def _ratio(value: Any) -> float:
    above, below = value
    return float(above) / float(below) if below else 0.0


def _truncated(path: Path) -> BadImage:
    return BadImage(f"{path} is a TIFF file that is truncated: pixels are missing; copy it again from its source.")


def _short(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]
