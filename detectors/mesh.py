"""The mesh behind the openings of an image: its steps and bars, and which openings lie in which of its cells.

Openings that are whole and of the usual size stand on a lattice, square, rectangular or hexagonal, sheared where the
grid is tilted. What covers two cells is two openings that leak into each other, whatever tore between them; what lies
in one cell and does not fill it is torn, thick or small.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .lattice import Fit, bases, fit_lattice, kind_of, pitch_of, recurring_steps
from .records import Mesh
from .regions import Mask, Points, Region, aligned_box, region_of

_LEAST_OPENINGS = 4
_LEAST_SHARE = 0.6
_STEPS = (1.02, 3.0)
_TOLERANCE = 0.12
_TRIED = 3
_OVERSIZE = 1.4
_LEAST_PART = 0.3


def mesh_of(regions: Sequence[Region], whole: NDArray[np.bool_], angle_deg: float, side: float) -> Fit | None:
    """Fit the lattice of the openings' middles; None where too few whole ones of the usual size agree on one.

    Parameters
    ----------
    regions, whole
        Openings, and which of them no border cuts.
    angle_deg
        Common angle of their boxes.
    side
        Side of the usual opening, px.
    """
    usual = _is_usual(regions, whole, side)
    if usual.sum() < _LEAST_OPENINGS:
        return None
    points = np.array([_middle(region, angle_deg) for region, one in zip(regions, usual, strict=True) if one])
    least, most = (share * side for share in _STEPS)
    steps, support = recurring_steps(points, np.ones(len(points)), least, most, _TOLERANCE * side)
    fits = [fit for basis in bases(steps, support)[:_TRIED] if (fit := fit_lattice(points, basis)) is not None]
    best = max(fits, key=lambda fit: (len(fit.members), -abs(float(np.linalg.det(fit.basis)))), default=None)
    if best is None or len(best.members) < max(_LEAST_OPENINGS, _LEAST_SHARE * len(points)):
        return None
    return best


def usual_openings(regions: Sequence[Region], whole: NDArray[np.bool_], side: float) -> int:
    """Count the whole openings of the usual size."""
    return int(_is_usual(regions, whole, side).sum())


def told(fit: Fit, side: float, openings: int, step: int) -> Mesh:
    """Tell the mesh in px of the whole image; `openings` is how many whole ones of the usual size there are."""
    a, b = ((float(row) * step, float(col) * step) for row, col in fit.basis)
    origin = (fit.origin + 0.5) * step - 0.5
    pitch = pitch_of(fit.basis) * step
    sure = len(fit.members) / max(openings, len(fit.members))
    return Mesh(
        kind_of(fit.basis), a, b, (float(origin[0]), float(origin[1])), pitch, side * step,
        max(0.0, pitch - side * step), sure,
    )  # fmt: skip


def in_cells(region: Region, fit: Fit, angle_deg: float) -> dict[str, float]:
    """Say how many sites of the mesh an opening covers, and how far its middle lies off one, in pitches."""
    off = _middle(region, angle_deg) - fit.origin
    site = np.rint(off @ np.linalg.inv(fit.basis))
    away = float(np.hypot(*(off - site @ fit.basis)))
    return {"mesh_sites": float(len(_covered(region, fit))), "mesh_offset": away / fit.pitch}


def parted(regions: Sequence[Region], fit: Fit, side: float) -> list[Region]:
    """Cut regions that cover two sites or more along the middle of the bars between them."""
    found: list[Region] = []
    for region in regions:
        sites = _covered(region, fit) if region.hull_area > _OVERSIZE * side**2 else np.empty((0, 2))
        found += _cut(region, sites, side) if len(sites) > 1 else [region]
    return found


def _covered(region: Region, fit: Fit) -> Points:
    """Sites of the mesh, (n, 2) px, around which the region has pixels in most of a small neighbourhood."""
    rows, cols = region.mask.shape
    first = np.array([region.row, region.col], float)
    corners = first + np.array([(0, 0), (0, cols), (rows, 0), (rows, cols)])
    numbers = (corners - fit.origin) @ np.linalg.inv(fit.basis)
    low, high = np.floor(numbers.min(0)).astype(int), np.ceil(numbers.max(0)).astype(int)
    grid = np.stack(np.meshgrid(np.arange(low[0], high[0] + 1), np.arange(low[1], high[1] + 1), indexing="ij"), -1)
    places = fit.origin + grid.reshape(-1, 2) @ fit.basis
    reach = max(1, round(0.15 * fit.pitch))
    kept = [place for place in places if _filled(region.mask, place - first, reach) > 0.5]
    return np.array(kept).reshape(-1, 2)


def _filled(mask: Mask, place: Points, reach: int) -> float:
    row, col = np.rint(place).astype(int)
    window = mask[max(0, row - reach) : max(0, row + reach + 1), max(0, col - reach) : max(0, col + reach + 1)]
    return float(window.sum()) / (2 * reach + 1) ** 2


def _cut(region: Region, sites: Points, side: float) -> list[Region]:
    rows, cols = np.nonzero(region.mask)
    places = np.c_[rows + region.row, cols + region.col]
    owner = np.argmin(np.hypot(*(places[:, None] - sites[None]).transpose(2, 0, 1)), axis=1)
    parts = []
    for number in range(len(sites)):
        own = owner == number
        if own.sum() < _LEAST_PART * side**2:
            continue
        mask = np.zeros(region.mask.shape, np.bool_)
        mask[rows[own], cols[own]] = True
        parts.append(region_of(mask, region.row, region.col))
    return parts if len(parts) > 1 else [region]


def _is_usual(regions: Sequence[Region], whole: NDArray[np.bool_], side: float) -> NDArray[np.bool_]:
    areas = np.array([region.hull_area for region in regions])
    return np.asarray(whole & (areas > 0.6 * side**2) & (areas < 1.6 * side**2))


def _middle(region: Region, angle_deg: float) -> Points:
    return np.asarray(aligned_box(region.hull, angle_deg).mean(axis=0))
