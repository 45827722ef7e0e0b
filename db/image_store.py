"""Pixels beside the record: files that are whole, rows that say what they show and prove that they are unchanged."""

import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Picture
from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session as OrmSession

from ..files import atomic, mrc
from .models import ImageRow

_OF_NAME = select(ImageRow).where(ImageRow.name == bindparam("name"))

FOLDER = "images"
"""Where this project writes pixels, beneath the folder of the database."""


class ImageStore:
    """The images of one record.

    Parameters
    ----------
    folder
        The folder of the database; paths in rows are relative to it, so that the two can be moved together.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self.images = self.folder / FOLDER
        with atomic.explained(self.images):
            self.images.mkdir(exist_ok=True)

    def add_file(
        self,
        db: OrmSession,
        *,
        session_id: int,
        of_kind: str,
        of_id: int,
        kind: str,
        name: str,
        path: Path,
        taken_at: datetime,
        pixel_size_a: float | None = None,
        image_to_stage: Sequence[Sequence[float]] | None = None,
        preset: str = "",
        dose_e_per_a2: float | None = None,
        mean_counts: float | None = None,
        scope: Mapping[str, Any] | None = None,
    ) -> ImageRow:
        """Enter a file under its name, in the caller's transaction.

        The name is the key: entering the same file again answers the row that is there; a file that was taken again
        under the same name (a survey repeated after a crash) brings the row up to date.

        Returns
        -------
        ImageRow
            Flushed, so that its id can be used. Size, shape and checksum are those of the file.

        Raises
        ------
        BadImage
            The file is missing, cut short, or no image.
        """
        frames, rows, cols, own_pixel_size_a = _shape(path)
        row = db.scalars(_OF_NAME, {"name": name}).one_or_none()
        if row is None:
            row = ImageRow(name=name)
            db.add(row)
        row.session_id, row.of_kind, row.of_id, row.kind = session_id, of_kind, of_id, kind
        row.path = self._relative(path)
        row.sha256, row.size_bytes = mrc.sha256(path), Path(path).stat().st_size
        row.frames, row.rows_px, row.cols_px = frames, rows, cols
        row.pixel_size_a = own_pixel_size_a if pixel_size_a is None else pixel_size_a
        row.image_to_stage = None if image_to_stage is None else [[float(x) for x in line] for line in image_to_stage]
        row.preset, row.dose_e_per_a2, row.mean_counts = preset, dose_e_per_a2, mean_counts
        row.scope, row.taken_at = dict(scope or {}), taken_at
        db.flush()
        return row

    def write_array(
        self,
        name: str,
        pixels: NDArray[Any],
        pixel_size_a: float | None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Path:
        """Write pixels as ``images/<name>.mrc``, whole or not at all; see `files.mrc.write_mrc`."""
        path = self.images / f"{name}.mrc"
        mrc.write_mrc(path, np.asarray(pixels), pixel_size_a, metadata)
        return path

    def write_bytes(self, file_name: str, data: bytes) -> Path:
        """Write a picture or another small file under ``images/``, whole or not at all."""
        path = self.images / file_name
        atomic.write_bytes(path, data)
        return path

    def path_of(self, row: ImageRow) -> Path:
        """Say where the file of a row is."""
        return self.folder / row.path

    def is_intact(self, row: ImageRow) -> bool:
        """Whether the file is there and unchanged since it was entered."""
        path = self.path_of(row)
        try:
            return path.stat().st_size == row.size_bytes and mrc.sha256(path) == row.sha256
        except OSError:
            return False

    def sweep(self) -> int:
        """Remove what killed writers left behind; only while nobody writes. Returns how many files."""
        return atomic.sweep(self.images)

    def _relative(self, path: Path) -> str:
        try:
            return Path(os.path.relpath(Path(path).resolve(), self.folder.resolve())).as_posix()
        except ValueError:  # another drive, on Windows
            return Path(path).resolve().as_posix()


def _shape(path: Path) -> tuple[int, int, int, float | None]:
    """Read frames, rows, columns and pixel size of an MRC file or a picture, having checked that it is whole."""
    path = Path(path)
    if path.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        header = mrc.read_header(path)
        return header.frames, header.rows, header.cols, header.pixel_size_a
    try:
        with Picture.open(path) as picture:
            picture.verify()  # every chunk to the end, which load alone forgives
        with Picture.open(path) as picture:
            cols, rows = picture.size
            picture.load()
    except (OSError, SyntaxError) as error:
        raise mrc.BadImage(f"{path} is no picture that can be read ({error}); write it again.") from error
    return 1, rows, cols, None
