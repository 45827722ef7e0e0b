"""Where recorded images lie: from pixels on the parent image to stage µm, by the positions that the recording gives.

``holes.csv`` holds the µm positions of part of the exposures; the linear maps between the levels' frames are fitted to
it and carry them to the rest. The recording does not say how the square's frame is turned against the atlas's, so both
are laid along the stage's axes (see the aldolase session's README).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from .tables import HOLES, IMAGES, BadRecording, HoleLine, ImageLine

WORST_MISFIT = 0.1
CHILDREN = {"gr": ("sq",), "sq": ("hl",), "hl": ("en", "fa")}

Vectors = NDArray[np.float64]


@dataclass(frozen=True)
class Frames:
    """The maps between frames, each (2, 2): ``new = old @ map`` for row vectors (x, y).

    ``atlas`` and ``square`` go from pixels to µm, ``hole`` from the pixels of a hole-level image to its square's.
    """

    atlas: Vectors
    square: Vectors
    hole: Vectors

    def um_per_px(self) -> dict[str, float]:
        """Give the scale of each level."""
        maps = {"gr": self.atlas, "sq": self.square, "hl": self.hole @ self.square}
        return {level: float(np.sqrt(abs(np.linalg.det(its)))) for level, its in maps.items()}


class Places:
    """Stage positions of the images of one session; all its atlases share their frames.

    Parameters
    ----------
    folder
        Named in errors.
    parents
        The image on which each image but a tile was picked, by the latter's name.
    images
        All of the session.
    holes
        What ``holes.csv`` says, by the name of the raw exposure.
    """

    def __init__(
        self,
        folder: Path,
        parents: Mapping[str, ImageLine],
        images: Iterable[ImageLine],
        holes: Mapping[str, HoleLine],
    ) -> None:
        self._parents, self._holes = parents, holes
        given = [(line, holes[line.name]) for line in images if line.level == "en" and line.name in holes]
        path = folder / HOLES
        if not given:
            raise BadRecording(f"{path} gives the place of none of the exposures in {IMAGES}; no scale can be known")
        hole_images = [parents[line.name] for line, _ in given]
        squares = [parents[image.name] for image in hole_images]
        in_square = np.array([hole.in_square_px for _, hole in given])
        self.frames = Frames(
            atlas=_fit(self._in_atlas(squares), [hole.square_um for _, hole in given], f"{path}: square_atlas_*_um"),
            square=_fit(in_square, [hole.in_square_um for _, hole in given], f"{path}: sq_*_um"),
            hole=_fit(_pixels(line for line, _ in given), in_square - _pixels(hole_images), f"{path}: sq_*_px"),
        )

    def _in_atlas(self, squares: Iterable[ImageLine]) -> Vectors:
        squares = list(squares)
        centres: Vectors = _pixels(self._parents[square.name] for square in squares) + _pixels(squares)
        return centres

    def of_tile(self, tile: ImageLine) -> Vectors:
        """Give the centre of a tile."""
        return np.asarray(np.array([tile.x_px, tile.y_px]) @ self.frames.atlas)

    def of_square(self, square: ImageLine) -> Vectors:
        """Give the centre of a square's image."""
        return np.asarray(self._in_atlas([square])[0] @ self.frames.atlas)

    def of_hole_image(self, image: ImageLine) -> Vectors:
        """Give the centre of a hole-level image."""
        in_square = np.array([image.x_px, image.y_px]) @ self.frames.square
        return np.asarray(self.of_square(self._parents[image.name]) + in_square)

    def of_exposure(self, exposure: ImageLine) -> Vectors:
        """Give the place of an exposure."""
        image = self._parents[exposure.name]
        square = self.of_square(self._parents[image.name])
        if (hole := self._holes.get(exposure.name)) is not None:
            return np.asarray(square + np.array(hole.in_square_um))
        in_square = np.array([image.x_px, image.y_px]) + np.array([exposure.x_px, exposure.y_px]) @ self.frames.hole
        return np.asarray(square + in_square @ self.frames.square)


def half_frames(images: Iterable[ImageLine]) -> dict[str, float]:
    """Give half the width of each level's images in px, as far as targets on them or the next tile show it."""
    images = list(images)
    found = {
        level: float(np.abs(_pixels(image for image in images if image.level in children)).max(initial=1.0))
        for level, children in CHILDREN.items()
    }
    tiles = _pixels(image for image in images if image.level == "gr")
    if len(tiles) > 1:
        found["gr"] = max(found["gr"], typical_distance(tiles) / 2)
    return found


def typical_distance(points: Vectors) -> float:
    """Give the median distance from a point to the nearest other one; (n, 2) with n of at least 2."""
    distances = np.asarray(KDTree(points).query(points, k=2)[0], dtype=np.float64)
    return float(np.median(distances[:, 1]))


def _pixels(images: Iterable[ImageLine]) -> Vectors:
    return np.array([(image.x_px, image.y_px) for image in images], dtype=np.float64).reshape(-1, 2)


def _fit(old: Vectors, given: object, what: str) -> Vectors:
    """Fit a linear map; one scale for both axes where the points lie on one line."""
    new = np.asarray(given, dtype=np.float64)
    spread = float(np.sqrt(np.mean(new**2)))
    if not np.any(old) or spread == 0:
        raise BadRecording(f"{what} say nothing of the scale: all positions are zero")
    fitted, _, rank, _ = np.linalg.lstsq(old, new, rcond=1e-6)
    if rank < 2:
        fitted = np.eye(2) * float(np.sum(old * new) / np.sum(old * old))
    misfit = float(np.sqrt(np.mean((old @ fitted - new) ** 2)))
    if misfit > WORST_MISFIT * spread or abs(np.linalg.det(fitted)) < 1e-12:
        raise BadRecording(
            f"{what} do not follow from the pixel positions in images.csv (misfit {misfit:.3g} of {spread:.3g}); the "
            "two tables are not of one session"
        )
    return np.asarray(fitted)
