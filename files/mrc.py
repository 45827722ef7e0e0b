"""MRC files: read with every check a stranger's file needs, written whole with a true pixel size."""

import gzip
import hashlib
import json
import math
import zlib
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from mrcfile.constants import MAP_ID
from mrcfile.dtypes import HEADER_DTYPE
from mrcfile.utils import mode_from_dtype
from numpy.typing import NDArray

from .atomic import write_with
from .mrc_header import OUR_KEY, Header, damaged_gzip, read_header
from .usable import SMALLEST_PX, BadImage, section_of, usable

__all__ = [
    "SMALLEST_PX",
    "BadImage",
    "Header",
    "is_whole",
    "read_frames",
    "read_header",
    "read_image",
    "read_metadata",
    "sha256",
    "write_mrc",
]

MAPPED_FROM_BYTES = 256 * 1024**2
"""Movies above this size stay on disk and are paged in as they are used."""

MOST_UNPACKED_BYTES = 4 * 1024**3
"""More than this is not unpacked into memory."""

_LEAST_TORN, _TIMES_TORN = 0.0005, 4


def read_image(path: Path, section: int | None = None) -> tuple[NDArray[np.float32], float | None]:
    """Read one image and its pixel size.

    Parameters
    ----------
    path
        An MRC file of mode 0, 1, 2, 4, 6, 12 or 101, either byte order, perhaps compressed with gzip. Of complex
        numbers (mode 4) the moduli are given, the real parts where all imaginary ones are 0.
    section
        Which image of a stack, from 0; None where the file must hold exactly one.

    Returns
    -------
    pixels
        Shape (rows, cols), first stored row first.
    pixel_size_a
        Å, or None where the header does not say.

    Raises
    ------
    BadImage
        No such file, not an MRC file, truncated, empty, too small, all one value, holding NaN, of an unknown mode, or a
        stack where one image is asked.
    """
    path = Path(path)
    header = read_header(path)
    number = section_of(path, section, header.frames)
    pixels = _as_pixels(header, _stored(path, header, number, 1))[0]
    return usable(path, _as_meant(pixels) if header.odd_bytes else pixels), header.pixel_size_a


def read_frames(path: Path) -> NDArray[Any]:
    """Read all frames as stored: shape (frames, rows, cols), dtype of the file, this machine's byte order.

    Above `MAPPED_FROM_BYTES` the answer is a read-only map of the file, unless two pixels share a byte or the file is
    compressed. The pixels are not looked at; raises `BadImage` for everything that header and size can tell.
    """
    path = Path(path)
    header = read_header(path)
    stored = _as_pixels(header, _stored(path, header, 0, header.frames))
    if not stored.dtype.isnative:
        return np.asarray(stored.astype(stored.dtype.newbyteorder("=")))
    mapped = isinstance(stored, np.memmap) and header.data_bytes <= MAPPED_FROM_BYTES
    return np.array(stored) if mapped else stored


def read_metadata(path: Path) -> dict[str, Any]:
    """Read what this project stored with the image; empty for a file of another program."""
    return dict(read_header(path).metadata)


def is_whole(path: Path) -> bool:
    """Whether a whole MRC file is there: a readable header and every byte it promises."""
    path = Path(path)
    try:
        header = read_header(path)
        if header.zipped:
            _stored(path, header, 0, header.frames)
    except BadImage:
        return False
    return True


def sha256(path: Path) -> str:
    """Hash a file's bytes, hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_mrc(
    path: Path, pixels: NDArray[Any], pixel_size_a: float | None, metadata: Mapping[str, Any] | None = None
) -> None:
    """Write an image or a stack, whole or not at all.

    Parameters
    ----------
    path
        Where; a file there is replaced only once the new one is safe on disk.
    pixels
        Shape (rows, cols) or (frames, rows, cols). int8, int16, uint16, float16 and float32 are kept; uint8 is widened
        to uint16, other real numbers become float32.
    pixel_size_a
        Å per pixel; None when unknown.
    metadata
        Kept as JSON in the extended header; `read_metadata` gives it back.

    Raises
    ------
    NoRoom, NotWritable
        See `files.atomic`; no half file is left.
    ValueError
        Not two or three dimensions, complex, or a pixel size that is none.
    """
    if pixels.ndim not in (2, 3) or pixels.size == 0 or pixels.dtype.kind not in "biuf":
        raise ValueError(f"an MRC file takes 2-D or 3-D real pixels, not {pixels.dtype} of shape {pixels.shape}")
    if pixel_size_a is not None and not (math.isfinite(pixel_size_a) and pixel_size_a > 0):
        raise ValueError(f"a pixel size of {pixel_size_a} Å cannot be")
    stack = pixels if pixels.ndim == 3 else pixels[np.newaxis]
    dtype = _stored_dtype(pixels.dtype)
    extended = _extended_header(metadata or {})
    header = _new_header(stack, dtype, pixel_size_a, len(extended))

    def fill(file: BinaryIO) -> None:
        file.write(header)
        file.write(extended)
        for frame in stack:
            file.write(np.ascontiguousarray(frame, dtype=dtype).data)

    write_with(Path(path), fill)


def _stored(path: Path, header: Header, first: int, count: int) -> NDArray[Any]:
    """Give `count` sections from number `first` on as stored, read-only: shape (count, rows, stored cols)."""
    shape = (count, header.rows, header.stored_cols)
    offset = header.offset + first * header.section_bytes
    if not header.zipped:
        return np.memmap(path, dtype=header.dtype, mode="r", offset=offset, shape=shape)
    size = count * header.section_bytes
    if offset + size > MOST_UNPACKED_BYTES:
        raise BadImage(f"{path} is too large to be unpacked in memory ({(offset + size) >> 30} GiB); unpack it first.")
    try:
        with gzip.open(path) as file:
            file.seek(offset)
            raw = file.read(size)
    except (OSError, EOFError, zlib.error):
        raise damaged_gzip(path) from None
    if len(raw) < size:
        raise BadImage(f"{path} is truncated: {len(raw)} of {size} bytes of pixels are in it; copy it again.")
    return np.frombuffer(raw, header.dtype).reshape(shape)


def _as_pixels(header: Header, stored: NDArray[Any]) -> NDArray[Any]:
    """Give stored sections one number a pixel."""
    if not header.half_bytes:
        return stored
    pairs = np.stack([stored & 0x0F, stored >> 4], axis=-1)
    return pairs.reshape(*stored.shape[:2], -1)[:, :, : header.cols]


def _as_meant(section: NDArray[Any]) -> NDArray[Any]:
    """Take bytes as 0 to 255 where the standard's -128 to 127 tears neighbours apart.

    Programs that leave no word of it store either. Taken wrongly, 127 and 128 lie at opposite ends of the scale.
    """
    torn_signed, torn_unsigned = _torn(section), _torn(section.view(np.uint8))
    many = max(_LEAST_TORN * section.size, _TIMES_TORN * torn_unsigned)
    return section.view(np.uint8) if torn_signed > many else section


def _torn(section: NDArray[Any]) -> int:
    """Count neighbours in a row that differ by more than half of a byte's range."""
    return int((np.abs(np.diff(section.astype(np.int16), axis=1)) > 128).sum())


def _stored_dtype(given: np.dtype[Any]) -> np.dtype[Any]:
    if given == np.uint8:
        return np.dtype("<u2")
    if given == np.bool_:
        return np.dtype("<i1")
    try:
        mode_from_dtype(given)
    except ValueError:
        return np.dtype("<f4")
    return np.dtype(given.newbyteorder("<"))


def _extended_header(metadata: Mapping[str, Any]) -> bytes:
    text = json.dumps({OUR_KEY: dict(metadata)}, default=_plain, sort_keys=True).encode()
    return text + b" " * (-len(text) % 16)


def _plain(value: object) -> object:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return dict(value)
    return str(value)


def _new_header(stack: NDArray[Any], dtype: np.dtype[Any], pixel_size_a: float | None, extended: int) -> bytes:
    frames, rows, cols = stack.shape
    fields = np.zeros((), HEADER_DTYPE.newbyteorder("<"))
    fields["nx"], fields["ny"], fields["nz"] = cols, rows, frames
    fields["mode"] = mode_from_dtype(dtype)
    fields["mx"], fields["my"], fields["mz"] = cols, rows, 1
    scale = pixel_size_a or 0.0
    fields["cella"] = (cols * scale, rows * scale, scale)
    fields["cellb"] = (90.0, 90.0, 90.0)
    fields["mapc"], fields["mapr"], fields["maps"] = 1, 2, 3
    fields["nsymbt"], fields["exttyp"], fields["nversion"] = extended, b"MRCO", 20141
    fields["map"], fields["machst"] = MAP_ID, (0x44, 0x44, 0, 0)
    fields["dmin"], fields["dmax"], fields["dmean"], fields["rms"] = _statistics(stack, dtype)
    fields["nlabl"], fields["label"][0] = 1, b"Written by epicycle"
    return fields.tobytes()


def _statistics(stack: NDArray[Any], dtype: np.dtype[Any]) -> tuple[float, float, float, float]:
    """Minimum, maximum, mean and rms of one image; the standard's signs for not determined otherwise.

    Stacks are not determined because nobody asks; float16 because readers check in float16, where an rms overflows.
    """
    undetermined = (0.0, -1.0, -2.0, -1.0)
    if len(stack) > 1 or (dtype.itemsize == 2 and dtype.kind == "f"):
        return undetermined
    values = stack[0].astype(dtype)
    low, high = float(values.min()), float(values.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        return undetermined
    return low, high, float(values.mean(dtype=np.float64)), float(values.std(dtype=np.float64))
