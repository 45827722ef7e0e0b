"""The header of an MRC file, checked against itself and the size of the file.

The format is MRC2014 (Cheng et al., J. Struct. Biol. 192, 2015). Field layout comes from `mrcfile`; the checks are made
here, because a permissive reader answers a damaged file with a warning and no pixels.
"""

import gzip
import math
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from mrcfile.constants import MAP_ID
from mrcfile.dtypes import HEADER_DTYPE
from mrcfile.utils import dtype_from_mode
from pydantic_core import from_json

from .usable import BadImage, large_enough

HEADER_BYTES = 1024

OUR_KEY = "epicycle"
"""Under which this project's metadata lie in the JSON of the extended header."""

HALF_BYTES = 101
"""Mode of two pixels to a byte, the first in the lower half; a row of odd length ends with half a byte unused."""

GZIP_MAGIC = b"\x1f\x8b"

_UNKNOWN_A = 1.0
"""Å per pixel that many programs write when nobody told them."""

_COMPLEX_INTEGERS = 3
_IMOD_STAMP = 1146047817
_OTHER_FORMATS = {
    b"II*\0": "a TIFF file",
    b"MM\0*": "a TIFF file",
    b"II+\0": "a TIFF or EER file",
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"\x89HDF": "an HDF5 file",
    b"BZh": "compressed with bzip2",
    b"\x28\xb5\x2f\xfd": "compressed with zstd",
    b"PK\x03\x04": "a zip archive",
    b"SQLite": "a database",
}


@dataclass(frozen=True)
class Header:
    """What the header says, once it agrees with the size of the file.

    Attributes
    ----------
    frames, rows, cols
        Sections, and the size of each in pixels.
    dtype
        Of the stored numbers, in the file's own byte order.
    offset
        Byte where the pixels begin.
    pixel_size_a
        Å per pixel; None where the header holds none (0, 1 from a program that did not know, unequal sides).
    extended
        The extended header, empty where it is of a kind that is not read here.
    half_bytes
        Whether two pixels share a byte.
    zipped
        Whether the file is compressed with gzip; offsets are those of what is in it.
    odd_bytes
        Whether nothing says if bytes run from -128 to 127, as the standard has it, or from 0 to 255.
    """

    frames: int
    rows: int
    cols: int
    dtype: np.dtype[Any]
    offset: int
    pixel_size_a: float | None
    extended: bytes = field(repr=False)
    half_bytes: bool = False
    zipped: bool = False
    odd_bytes: bool = False

    @cached_property
    def metadata(self) -> Mapping[str, Any]:
        """What this project stored with the image; empty for files of others."""
        return _metadata(self.extended) or {}

    @property
    def stored_cols(self) -> int:
        """Numbers in a stored row."""
        return (self.cols + 1) // 2 if self.half_bytes else self.cols

    @property
    def section_bytes(self) -> int:
        """Bytes that one section takes."""
        return self.rows * self.stored_cols * self.dtype.itemsize

    @property
    def data_bytes(self) -> int:
        """Bytes that the pixels take."""
        return self.frames * self.section_bytes


def read_header(path: Path) -> Header:
    """Read and check the header alone.

    A compressed file is not read to its end: that it is truncated is found when its pixels are.

    Raises
    ------
    BadImage
        No such file, not an MRC file, truncated, empty, too small, or of an unknown mode.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            zipped = file.read(2) == GZIP_MAGIC
            file.seek(0)
            if not zipped:
                return _checked_header(path, file, size)
            with gzip.open(file) as unpacked:
                return _checked_header(path, cast(BinaryIO, unpacked), None)
    except FileNotFoundError:
        raise BadImage(f"{path}: no such file; check the name.") from None
    except IsADirectoryError:
        raise BadImage(f"{path} is a folder, not an image; name a file in it.") from None
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise damaged_gzip(path) from None
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise BadImage(f"{path} cannot be read ({why}); check that you may read it.") from error


def damaged_gzip(path: Path) -> BadImage:
    """Say that the packed file cannot be unpacked to its end."""
    return BadImage(f"{path} is compressed with gzip, truncated or damaged; copy it again from its source.")


def _checked_header(path: Path, file: BinaryIO, size: int | None) -> Header:
    """Read and check; `size` in bytes is None where it cannot be known beforehand."""
    if size == 0:
        raise BadImage(f"{path} is empty (0 bytes); was it copied to its end?")
    raw = file.read(HEADER_BYTES)
    for magic, what in _OTHER_FORMATS.items():
        if raw.startswith(magic):
            raise BadImage(f"{path} is {what}, not an MRC file; convert it to MRC first.")
    if len(raw) < HEADER_BYTES:
        raise BadImage(f"{path} is no MRC file, or truncated: {len(raw)} bytes are less than an MRC header's 1024.")
    fields = _fields(path, raw)
    frames, rows, cols = (int(fields[name]) for name in ("nz", "ny", "nx"))
    dtype = _dtype(path, raw, fields)
    offset = HEADER_BYTES + max(int(fields["nsymbt"]), 0)
    half = int(fields["mode"]) == HALF_BYTES
    needed = offset + frames * rows * ((cols + 1) // 2 if half else cols) * dtype.itemsize
    if size is not None and size < needed:
        raise BadImage(f"{path} is truncated: {size} of {needed} bytes are there; copy it again from its source.")
    large_enough(path, rows, cols)
    extended = file.read(offset - HEADER_BYTES) if fields["exttyp"] == b"MRCO" else b""
    pixel_size = _pixel_size_a(fields)
    if pixel_size == _UNKNOWN_A and _metadata(extended) is None:
        pixel_size = None
    odd = dtype == np.int8 and not _says_range(fields)
    return Header(frames, rows, cols, dtype, offset, pixel_size, extended, half, size is None, odd)


def _fields(path: Path, raw: bytes) -> Any:
    """Read the header in the byte order that makes sense of it; the stamp is not always right."""
    stamped = ">" if raw[212] == 0x11 else "<"
    for order in (stamped, ">" if stamped == "<" else "<"):
        fields = np.frombuffer(raw, HEADER_DTYPE.newbyteorder(order)).reshape(())
        sides = [int(fields[name]) for name in ("nx", "ny", "nz")]
        if 0 <= int(fields["mode"]) <= HALF_BYTES and all(0 <= side < 2**20 for side in sides):
            if 0 in sides:
                raise BadImage(f"{path} says it holds {sides[0]}×{sides[1]}×{sides[2]} pixels: no image is in it.")
            return fields
    named = bytes(raw[208:211]) == MAP_ID[:3]
    what = "has a damaged header" if named else "is not an MRC file"
    raise BadImage(f"{path} {what}: size and mode in it make no sense; export the image again as MRC.")


def _says_range(fields: Any) -> bool:
    """Whether least and greatest value were written down."""
    return bool(np.isfinite(fields["dmin"]) and fields["dmin"] < fields["dmax"])


def _dtype(path: Path, raw: bytes, fields: Any) -> np.dtype[Any]:
    mode = int(fields["mode"])
    order = fields["mode"].dtype.byteorder
    if mode == HALF_BYTES:
        return np.dtype(np.uint8)
    if mode == _COMPLEX_INTEGERS:
        raise BadImage(f"{path} holds complex integers (mode 3), a transform and no image; give the image itself.")
    try:
        dtype: np.dtype[Any] = np.dtype(dtype_from_mode(mode))
    except ValueError:
        raise BadImage(
            f"{path} is of mode {mode}; modes 0, 1, 2, 4, 6, 12 and 101 can be read, convert it to one."
        ) from None
    if mode == 0:
        # IMOD and SerialEM leave their stamp, and a flag that is off where the bytes run from 0 to 255.
        stamp, flags = struct.unpack(("<" if order in "<=|" else ">") + "ii", raw[152:160])
        unsigned = not flags & 1 if stamp == _IMOD_STAMP else _says_range(fields) and fields["dmax"] > 127
        return np.dtype(np.uint8) if unsigned else dtype
    return dtype.newbyteorder(order)


def _pixel_size_a(fields: Any) -> float | None:
    counts = (int(fields["mx"]), int(fields["my"]))
    if min(counts) <= 0:
        return None
    sides = [float(fields["cella"][axis]) / count for axis, count in zip("xy", counts, strict=True)]
    if not all(math.isfinite(side) and 0 < side < 1e6 for side in sides):
        return None
    return None if abs(sides[0] - sides[1]) > 0.01 * sides[0] else sides[0]


def _metadata(extended: bytes) -> Mapping[str, Any] | None:
    try:
        outer = from_json(extended.rstrip(b"\0 "))
    except ValueError:
        return None
    inner = outer.get(OUR_KEY) if isinstance(outer, dict) else None
    return inner if isinstance(inner, dict) else None
