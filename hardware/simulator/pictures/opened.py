"""Holes cut into the layers of a view: the film goes, its rim stays thick, and ice spans them as lenses."""

import cv2
import numpy as np
from numpy.typing import NDArray

from ..grid.cells import Floats
from ..grid.film import Film
from ..grid.ice import DIP_NM, DIP_SHARE
from ..grid.openings import Holes

Layer = NDArray[np.float32]

RIM_UM_WIDE, RIM_EXCESS, GOLD_EXCESS = 0.04, 1.6, 0.8
"""Width of the thicker rim of a hole and how much thicker it is, carbon and gold; from the dark rings of real holes."""

COLLAR_UM = 0.11
"""How far ice piled up at a hole's edge reaches; likewise."""

SIDED = 3.0
"""How much more it piles up on the side to which the ice of the hole leans."""


def table_of(film: Film, holes: Holes) -> Layer:
    """Gather what drawing needs of each hole, (rows, cols, 8) over a rectangle of lattice indices.

    Offset x and y from the lattice's point, radius, ice factor, depth of the lens, its lean x and y, collar.
    """
    x = holes.x_um - (film.origin_um[0] + film.basis_um[0, 0] * holes.a + film.basis_um[0, 1] * holes.b)
    y = holes.y_um - (film.origin_um[1] + film.basis_um[1, 0] * holes.a + film.basis_um[1, 1] * holes.b)
    lens = holes.lens
    parts = (x, y, holes.radius_um, lens.factor, lens.depth, lens.lean_x, lens.lean_y, lens.collar_nm)
    return np.stack(parts, axis=-1).astype(np.float32)


def open_band(lattice: Film, table: Layer, index: Floats, pixel_um: float, ice: Layer, film: Layer) -> None:
    """Open the holes in a few rows, few enough to stay in the processor's cache.

    ``index`` (2, 3) takes (row, col, 1) to the row and column of ``table``.
    """
    # OpenCV wants (x, y) = (column, row) on both sides, and at most four channels at a time.
    matrix = np.array([[index[1, 1], index[1, 0], index[1, 2]], [index[0, 1], index[0, 0], index[0, 2]]])
    flags = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    place, shape = (
        np.asarray(
            cv2.warpAffine(part, matrix, ice.shape[::-1], flags=flags, borderMode=cv2.BORDER_REPLICATE), np.float32
        )
        for part in (table[..., :4], table[..., 4:])
    )
    dx, dy = _beside(lattice, place, index)
    radius, factor = place[..., 2], place[..., 3]
    square = dx * dx
    square += dy * dy
    inside = radius - np.sqrt(square)
    rim = _rim(inside, pixel_um, GOLD_EXCESS if lattice.gold else RIM_EXCESS)
    dx *= shape[..., 1]
    dy *= shape[..., 2]
    dx += dy
    dx /= radius
    lean, share = dx, np.clip(inside * np.float32(1 / pixel_um) + np.float32(0.5), 0, 1)
    collar = _collar(inside, lean, shape[..., 3], pixel_um)
    wet = factor > 0
    less = _missing(ice, square / (radius * radius), factor, shape[..., 0], lean)
    collar *= np.where(wet, np.float32(1), 1 - share)
    less *= share
    ice -= less
    ice += collar
    np.maximum(ice, 0, out=ice)
    rim -= share
    rim += 1
    film *= np.maximum(rim, 0, out=rim)


def _missing(ice: Layer, square: Layer, factor: Layer, depth: Layer, lean: Layer) -> Layer:
    """Give what holes hold less than the film beside them: some of it at most, or all where one is empty.

    ``square`` is the squared distance from the middle in radii; ``lean`` is used up.
    """
    np.minimum(square, 1, out=square)
    square -= 1
    square *= depth
    square += 1
    square *= factor
    less = ice - ice * square
    wet = factor > 0
    most = np.where(wet, ice * np.float32(DIP_SHARE) + np.float32(DIP_NM), np.float32(np.inf))
    np.minimum(less, most, out=less)
    lean *= ice
    less -= np.where(wet, lean, 0)
    return np.asarray(less)


def _beside(lattice: Film, place: Layer, index: Floats) -> tuple[Layer, Layer]:
    """Give each pixel's place relative to the centre of its hole, µm along both axes of the grid."""
    rows = np.arange(place.shape[0], dtype=np.float32)[:, None]
    cols = np.arange(place.shape[1], dtype=np.float32)[None, :]
    (ur, uc, u0), (vr, vc, v0) = index.astype(np.float32)
    u = (ur * rows + u0) + uc * cols
    v = (vr * rows + v0) + vc * cols
    u -= np.floor(u + np.float32(0.5))
    v -= np.floor(v + np.float32(0.5))
    (xu, xv), (yu, yv) = lattice.basis_um.astype(np.float32)
    return xu * u + xv * v - place[..., 0], yu * u + yv * v - place[..., 1]


def _rim(inside: Layer, pixel_um: float, excess: float) -> Layer:
    """Give how much more film there is at the rims, as a fraction; a wide pixel sees it spread over itself."""
    width = max(RIM_UM_WIDE, pixel_um)
    height = excess * RIM_UM_WIDE / width
    rim = np.abs(inside + np.float32(RIM_UM_WIDE))
    rim *= np.float32(-height / width)
    rim += np.float32(height)
    return np.asarray(np.maximum(rim, 0, out=rim))


def _collar(inside: Layer, lean: Layer, collar: Layer, pixel_um: float) -> Layer:
    """Give the ice piled up at the edges of holes, more of it where the ice leans to."""
    width = max(COLLAR_UM, 0.7 * pixel_um)
    # Over the hole nothing holds the piled-up ice but the rim, so it falls off twice as fast.
    out = (inside + np.maximum(inside, 0)) * np.float32(1 / width)
    out *= out
    out += 1
    out *= out
    piled = lean * np.float32(SIDED)
    piled += 1
    np.maximum(piled, 0, out=piled)
    piled *= collar
    piled *= np.float32(COLLAR_UM / width)
    piled /= out
    return np.asarray(piled)
