"""The plane through heights measured in a square: what it tells of a place nobody has focused at, and how surely.

Least squares, after single wild values are left out by their studentised residuals. How far measured heights scatter
about such planes is told by the square itself and by the other squares of the night.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from ..protocols.errors import BadInput
from .points import Points, as_point, as_points

SURE = 0.95
"""Probability of the range within which a place is predicted."""

FEWEST = 6
"""Heights without which a plane tells nothing: as many again as it has parameters."""

NEAREST = 9
"""Heights that a plane is laid through: half as many again, for wild ones to be told."""

_WILD = 0.01
"""A value as far off as this would be, by chance, among all, is left out."""

_WILD_SHARE = 0.25
_FLAT = 1e-6


@dataclass(frozen=True, slots=True)
class Scatter:
    """Standard deviation of measured heights about their plane, µm, and the degrees of freedom it is known from."""

    sd_um: float
    freedom: int


@dataclass(frozen=True, slots=True)
class Plane:
    """A plane through measured heights.

    Attributes
    ----------
    middle_um
        Middle of the places, (x, y).
    height_um
        Height at the middle.
    slopes
        Rise along x and y, µm per µm.
    scatter
        Of the heights about the plane; no freedom with three places.
    used
        How many heights it goes through, wild ones left out.
    widest
        Greatest leverage of a place that was measured.
    """

    middle_um: tuple[float, float]
    height_um: float
    slopes: tuple[float, float]
    scatter: Scatter
    used: int
    widest: float
    _spread: NDArray[np.float64]

    def height_at(self, place_um: ArrayLike) -> float:
        """Give the plane's height at a place (x, y), µm."""
        return self.height_um + float((as_point(place_um, "The place") - self.middle_um) @ self.slopes)

    def leverage_at(self, place_um: ArrayLike) -> float:
        """Give the variance of the plane's height at a place, as a multiple of that of one measured height."""
        away = as_point(place_um, "The place") - self.middle_um
        return 1.0 / self.used + float(away @ self._spread @ away)


@dataclass(frozen=True, slots=True)
class Predicted:
    """The height of a place as a plane tells it, µm; it is so by `SURE` to within ``error_um``."""

    height_um: float
    error_um: float


def fit_plane(places_um: ArrayLike, heights_um: ArrayLike) -> Plane | None:
    """Lay a plane through heights (n,) measured at places (n, 2), µm; None below three places or with all on one line.

    Raises
    ------
    BadInput
        Places that are no finite pairs, or not as many finite heights.
    """
    places = as_points(places_um, "Places of measured heights")
    heights = np.asarray(heights_um, dtype=np.float64).reshape(-1)
    if heights.shape != (len(places),) or not np.isfinite(heights).all():
        raise BadInput(f"{len(places)} places need as many measured heights, all finite.")
    most = int(_WILD_SHARE * len(places)) if len(places) > FEWEST else 0
    for _ in range(most):
        wild = _wildest(places, heights)
        if wild is None:
            break
        places, heights = np.delete(places, wild, axis=0), np.delete(heights, wild)
    return _fitted(places, heights)


def plane_near(place_um: ArrayLike, places_um: ArrayLike, heights_um: ArrayLike) -> Plane | None:
    """Lay a plane through the `NEAREST` heights to a place, since film sags over a square; otherwise as `fit_plane`."""
    places, heights = as_points(places_um, "Places of measured heights"), np.asarray(heights_um, dtype=np.float64)
    away = np.linalg.norm(places - as_point(place_um, "The place"), axis=1)
    near = np.argsort(np.round(away, 6), kind="stable")[:NEAREST]
    return fit_plane(places[near], heights.reshape(-1)[near])


def pooled(planes: Sequence[Plane]) -> Scatter:
    """Give the scatter about several planes together: the median, since one bent square does not make others so."""
    told = [plane.scatter for plane in planes if plane.used >= FEWEST]
    if not told:
        return Scatter(0.0, 0)
    return Scatter(float(np.median([scatter.sd_um for scatter in told])), sum(scatter.freedom for scatter in told))


def predicted(plane: Plane, elsewhere: Scatter, place_um: ArrayLike) -> Predicted | None:
    """Tell the height of a place; None where the plane tells too little of it.

    That is so below `FEWEST` heights, of which half tell how they scatter, and where a place lies further out than any
    that was measured (by its leverage): films bend, and a plane that fits where it was measured says nothing beyond.

    Parameters
    ----------
    elsewhere
        Scatter about planes of other squares. It counts as much as the square's own at most, so that few values that
        happen to lie close to a plane are not believed too well; and not at all against a square that scatters more
        than chance would have it.
    place_um
        (x, y).
    """
    own, leverage = plane.scatter, plane.leverage_at(place_um)
    if plane.used < FEWEST or leverage > plane.widest:
        return None
    more = min(elsewhere.freedom, own.freedom)
    if more and own.sd_um**2 > float(stats.f.ppf(SURE, own.freedom, elsewhere.freedom)) * elsewhere.sd_um**2:
        more = 0
    freedom = own.freedom + more
    sd_um = float(np.sqrt((own.freedom * own.sd_um**2 + more * elsewhere.sd_um**2) / freedom))
    sure = float(stats.t.ppf((1 + SURE) / 2, freedom))
    return Predicted(plane.height_at(place_um), sure * sd_um * float(np.sqrt(1.0 + leverage)))


def _fitted(places: Points, heights: NDArray[np.float64]) -> Plane | None:
    if len(places) < 3:
        return None
    middle = places.mean(axis=0)
    away = places - middle
    widths = np.linalg.svd(away, compute_uv=False)
    if widths[-1] <= _FLAT * widths[0] or widths[0] == 0:
        return None
    spread = np.linalg.inv(away.T @ away)
    slopes = spread @ away.T @ (heights - heights.mean())
    left = heights - heights.mean() - away @ slopes
    freedom = len(places) - 3
    sd_um = float(np.sqrt((left**2).sum() / freedom)) if freedom else 0.0
    x_um, y_um = middle.tolist()
    along_x, along_y = slopes.tolist()
    widest = 1.0 / len(places) + float(np.einsum("ni,ij,nj->n", away, spread, away).max())
    scatter = Scatter(sd_um, freedom)
    return Plane((x_um, y_um), float(heights.mean()), (along_x, along_y), scatter, len(places), widest, spread)


def _wildest(places: Points, heights: NDArray[np.float64]) -> int | None:
    """Give the height farthest off the plane through all others, if it is farther than chance would have it."""
    plane = _fitted(places, heights)
    if plane is None or plane.scatter.freedom < 2 or plane.scatter.sd_um == 0.0:
        return None
    left = heights - [plane.height_at(place) for place in places]
    free = 1.0 - np.array([plane.leverage_at(place) for place in places])
    freedom = plane.scatter.freedom
    without = (freedom * plane.scatter.sd_um**2 - left**2 / np.maximum(free, _FLAT)) / (freedom - 1)
    studentised = np.abs(left) / np.sqrt(np.maximum(without * free, _FLAT**2))
    wild = int(np.argmax(studentised))
    limit = float(stats.t.ppf(1 - _WILD / (2 * len(places)), freedom - 1))
    return wild if studentised[wild] > limit else None
