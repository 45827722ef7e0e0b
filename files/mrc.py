"""MRC files: read with every check a stranger's file needs, written whole with a true pixel size.

The format is MRC2014 (Cheng et al., J. Struct. Biol. 192, 2015). Field layout and modes come from `mrcfile`; the
checks are made here on the header and the size of the file, because a permissive reader answers a damaged file with
a warning and no pixels.
"""

import hashlib
import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from mrcfile.constants import MAP_ID
from mrcfile.dtypes import HEADER_DTYPE
from mrcfile.utils import dtype_from_mode, mode_from_dtype
from numpy.typing import NDArray

from ..protocols.errors import BadInput
from .atomic import write_with

SMALLEST_PX = 16
"""A side shorter than this is no image of a specimen."""

MAPPED_FROM_BYTES = 256 * 1024**2
"""Movies above this size stay on disk and are paged in as they are used."""

_HEADER_BYTES = 1024
_IMOD_STAMP = 1146047817
_OUR_KEY = "epicycle"
_OTHER_FORMATS = {
    b"II*\0": "a TIFF file",
    b"MM\0*": "a TIFF file",
    b"II+\0": "a TIFF or EER file",
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"\x89HDF": "an HDF5 file",
    b"\x1f\x8b": "compressed with gzip",
    b"BZh": "compressed with bzip2",
    b"\x28\xb5\x2f\xfd": "compressed with zstd",
    b"PK\x03\x04": "a zip archive",
    b"SQLite": "a database",
}


class BadImage(BadInput):
    """A file that is not an image to be used; the sentence says why and what to do."""


@dataclass(frozen=True, slots=True)
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
    metadata
        What this project stored with the image; empty for files of others.
    """

    frames: int
    rows: int
    cols: int
    dtype: np.dtype[Any]
    offset: int
    pixel_size_a: float | None
    metadata: Mapping[str, Any]

    @property
    def data_bytes(self) -> int:
        """Bytes the pixels take."""
        return self.frames * self.rows * self.cols * self.dtype.itemsize


def read_header(path: Path) -> Header:
    """Read and check the header alone; raises `BadImage` as `read_image` does, but for what the pixels hold."""
    path = Path(path)
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            return _checked_header(path, file, size)
    except FileNotFoundError:
        raise BadImage(f"{path}: no such file; check the name.") from None
    except IsADirectoryError:
        raise BadImage(f"{path} is a folder, not an image; name a file in it.") from None
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise BadImage(f"{path} cannot be read ({why}); check that you may read it.") from error


def read_image(path: Path, section: int | None = None) -> tuple[NDArray[np.float32], float | None]:
    """Read one image and its pixel size.

    Parameters
    ----------
    path
        An MRC file of mode 0, 1, 2, 6 or 12, either byte order.
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
        No such file, not an MRC file, truncated, empty, too small, all one value, holding NaN, of complex or unknown
        mode, or a stack where one image is asked.
    """
    header = read_header(path)
    if section is None and header.frames != 1:
        raise BadImage(f"{path} is a stack of {header.frames} images where one is asked; save the one you mean alone.")
    if section is not None and not 0 <= section < header.frames:
        raise BadImage(f"{path} holds {header.frames} images, numbered from 0; there is no number {section}.")
    pixels = np.array(_stored(path, header)[section or 0], dtype=np.float32)
    low, high = pixels.min(), pixels.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        bad = int(np.count_nonzero(~np.isfinite(pixels)))
        raise BadImage(f"{path} holds {bad} pixels that are not numbers (NaN or infinite); write it anew without them.")
    if low == high:
        raise BadImage(f"{path}: every pixel is {low:g}, there is nothing to see; was the beam on?")
    return pixels, header.pixel_size_a


def read_frames(path: Path) -> NDArray[Any]:
    """Read all frames as stored: shape (frames, rows, cols), dtype of the file, this machine's byte order.

    Above `MAPPED_FROM_BYTES` the answer is a read-only map of the file. The pixels are not looked at; raises `BadImage`
    for everything that header and size can tell.
    """
    header = read_header(path)
    stored = _stored(path, header)
    if not stored.dtype.isnative:
        return np.asarray(stored.astype(stored.dtype.newbyteorder("=")))
    return stored if header.data_bytes > MAPPED_FROM_BYTES else np.array(stored)


def read_metadata(path: Path) -> dict[str, Any]:
    """Read what this project stored with the image; empty for a file of another program."""
    return dict(read_header(path).metadata)


def is_whole(path: Path) -> bool:
    """Whether a whole MRC file is there: a readable header and every byte it promises."""
    try:
        read_header(path)
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


def _stored(path: Path, header: Header) -> NDArray[Any]:
    shape = (header.frames, header.rows, header.cols)
    return np.memmap(path, dtype=header.dtype, mode="r", offset=header.offset, shape=shape)


def _checked_header(path: Path, file: BinaryIO, size: int) -> Header:
    if size == 0:
        raise BadImage(f"{path} is empty (0 bytes); was it copied to its end?")
    raw = file.read(_HEADER_BYTES)
    for magic, what in _OTHER_FORMATS.items():
        if raw.startswith(magic):
            raise BadImage(f"{path} is {what}, not an MRC file; convert it to MRC first.")
    if len(raw) < _HEADER_BYTES:
        raise BadImage(f"{path} is no MRC file, or truncated: {size} bytes are less than an MRC header's 1024.")
    fields = _fields(path, raw)
    frames, rows, cols = (int(fields[name]) for name in ("nz", "ny", "nx"))
    dtype = _dtype(path, raw, fields)
    offset = _HEADER_BYTES + max(int(fields["nsymbt"]), 0)
    needed = offset + frames * rows * cols * dtype.itemsize
    if size < needed:
        raise BadImage(f"{path} is truncated: {size} of {needed} bytes are there; copy it again from its source.")
    if min(rows, cols) < SMALLEST_PX:
        raise BadImage(f"{path} is only {cols}×{rows} pixels; an image needs at least {SMALLEST_PX}×{SMALLEST_PX}.")
    metadata = _metadata(file.read(offset - _HEADER_BYTES)) if fields["exttyp"] == b"MRCO" else None
    pixel_size = _pixel_size_a(fields, trusted=metadata is not None)
    return Header(frames, rows, cols, dtype, offset, pixel_size, metadata or {})


def _fields(path: Path, raw: bytes) -> Any:
    """Read the header in the byte order that makes sense of it; the stamp is not always right."""
    stamped = ">" if raw[212] == 0x11 else "<"
    for order in (stamped, ">" if stamped == "<" else "<"):
        fields = np.frombuffer(raw, HEADER_DTYPE.newbyteorder(order)).reshape(())
        sides = [int(fields[name]) for name in ("nx", "ny", "nz")]
        if 0 <= int(fields["mode"]) <= 101 and all(0 <= side < 2**20 for side in sides):
            if 0 in sides:
                raise BadImage(f"{path} says it holds {sides[0]}×{sides[1]}×{sides[2]} pixels: no image is in it.")
            return fields
    named = bytes(raw[208:211]) == MAP_ID[:3]
    what = "has a damaged header" if named else "is not an MRC file"
    raise BadImage(f"{path} {what}: size and mode in it make no sense; export the image again as MRC.")


def _dtype(path: Path, raw: bytes, fields: Any) -> np.dtype[Any]:
    mode = int(fields["mode"])
    order = fields["mode"].dtype.byteorder
    if mode in (3, 4):
        raise BadImage(f"{path} holds complex numbers (mode {mode}), a transform and no image; give the image itself.")
    try:
        dtype: np.dtype[Any] = np.dtype(dtype_from_mode(mode))
    except ValueError:
        raise BadImage(f"{path} is of mode {mode}; modes 0, 1, 2, 6 and 12 can be read, convert it to one.") from None
    if mode == 0:
        # IMOD and SerialEM leave their stamp, and a flag that is off where the bytes run from 0 to 255.
        stamp, flags = struct.unpack(("<" if order in "<=|" else ">") + "ii", raw[152:160])
        return np.dtype(np.uint8) if stamp == _IMOD_STAMP and not flags & 1 else dtype
    return dtype.newbyteorder(order)


def _pixel_size_a(fields: Any, *, trusted: bool) -> float | None:
    counts = (int(fields["mx"]), int(fields["my"]))
    if min(counts) <= 0:
        return None
    sides = [float(fields["cella"][axis]) / count for axis, count in zip("xy", counts, strict=True)]
    if not all(math.isfinite(side) and 0 < side < 1e6 for side in sides):
        return None
    if abs(sides[0] - sides[1]) > 0.01 * sides[0]:
        return None
    # Exactly 1 Å is what many programs write when nobody told them.
    return None if sides[0] == 1.0 and not trusted else sides[0]


def _metadata(extended: bytes) -> Mapping[str, Any] | None:
    try:
        outer = json.loads(extended.rstrip(b"\0 ").decode())
    except ValueError:
        return None
    inner = outer.get(_OUR_KEY) if isinstance(outer, dict) else None
    return inner if isinstance(inner, dict) else None


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
    text = json.dumps({_OUR_KEY: dict(metadata)}, default=_plain, sort_keys=True).encode()
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
