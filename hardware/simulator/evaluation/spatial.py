"""How quality hangs together in space: one measure for recorded sessions and for simulated grids.

For evaluation alone, as `truth` is.
"""

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ....protocols.errors import BadInput
from ..grid.cells import Floats
from ..grid.openings import SquareKind
from ..grid.world import GridWorld
from .truth import exposed

GOOD_A = 6.0
"""An exposure is good when its rings can be followed to here."""

EDGES_UM = (0.0, 3.0, 6.0, 10.0, 15.0, 20.0, 30.0, 60.0)
"""Intervals of distance between two holes of one square."""

PITCH_UM = 2.5
"""Hole pitch on which the places of the recorded session rest."""

PICKED = (SquareKind.INTACT, SquareKind.CONTAMINATED, SquareKind.CRACKED)
"""Squares that an operator goes to: on the atlas they show film, and neither darkness nor emptiness."""


@dataclass(frozen=True, slots=True)
class Exposures:
    """Exposures of one grid, one array element each.

    Attributes
    ----------
    at_um
        Place relative to the square's centre, (n, 2).
    square_um
        Place of the square's centre on the grid, (n, 2).
    patch, square, tile
        Numbers of what each belongs to.
    good
        Whether it is.
    """

    at_um: Floats
    square_um: Floats
    patch: NDArray[np.int64]
    square: NDArray[np.int64]
    tile: NDArray[np.int64]
    good: NDArray[np.bool_]

    def where(self, which: NDArray[np.bool_]) -> "Exposures":
        """Keep some of them."""
        at, squares, good = self.at_um[which], self.square_um[which], self.good[which]
        return Exposures(at, squares, self.patch[which], self.square[which], self.tile[which], good)


@dataclass(frozen=True, slots=True)
class Structure:
    """What is measured: share of good ones, correlation by distance, shares of variance by patch, square and tile."""

    good: float
    correlation: tuple[float, ...]
    patch: float
    square: float
    tile: float


def structure_of(exposures: Exposures) -> Structure:
    """Measure one grid.

    The correlation is the mean product of two holes' deviations from the grid's mean over the grid's variance, for all
    pairs of one square; a share of variance is that of the means of the groups.
    """
    good = exposures.good.astype(np.float64)
    away, variance = good - good.mean(), good.var()
    if variance == 0:
        raise BadInput("all exposures are alike; nothing can be said about how they hang together")
    total, count = np.zeros(len(EDGES_UM) - 1), np.zeros(len(EDGES_UM) - 1)
    for square in np.unique(exposures.square):
        own = exposures.square == square
        first, second = np.triu_indices(int(own.sum()), 1)
        at, value = exposures.at_um[own], away[own]
        bin_ = np.digitize(np.linalg.norm(at[first] - at[second], axis=1), EDGES_UM) - 1
        near = bin_ < len(total)
        total += np.bincount(bin_[near], (value[first] * value[second])[near], len(total))
        count += np.bincount(bin_[near], minlength=len(count))
    shares = (_share(away, group) / variance for group in (exposures.patch, exposures.square, exposures.tile))
    found = total / np.maximum(count, 1) / variance
    return Structure(float(good.mean()), tuple(float(value) for value in found), *(float(share) for share in shares))


def mean_structure(found: Sequence[Structure]) -> Structure:
    """Average over grids."""
    names = ("good", "patch", "square", "tile")
    means = {name: float(np.mean([getattr(one, name) for one in found])) for name in names}
    return Structure(correlation=tuple(np.mean([one.correlation for one in found], axis=0).tolist()), **means)


def read_session(holes_csv: Path) -> Exposures:
    """Read the recorded session's table of exposures; those without a result are left out.

    Raises
    ------
    BadInput
        The table lacks a column.
    """
    with Path(holes_csv).open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row.get("ctf_max_res")]
    try:
        places = np.array([[float(row["sq_x_um"]), float(row["sq_y_um"])] for row in rows])
        squares = np.array([[float(row["square_atlas_x_um"]), float(row["square_atlas_y_um"])] for row in rows])
        reached = np.array([float(row["ctf_max_res"]) for row in rows])
        names = [(row["tile"], row["square"], row["patch"]) for row in rows]
    except KeyError as error:
        raise BadInput(f"{holes_csv} has no column {error}; it must be the session's holes.csv") from error
    patch, square, tile = (_numbered([name[:depth] for name in names]) for depth in (3, 2, 1))
    return Exposures(places, squares, patch, square, tile, reached <= GOOD_A)


def exposed_likewise(world: GridWorld, session: Exposures, lattice_um: Floats, voltage_kv: float) -> Exposures:
    """Expose a grid as the session exposed its own: squares at the same places, in each the same holes of the lattice.

    Where the square at a place is one that an operator passes by, the nearest other one is taken. ``lattice_um`` is
    the session's, from `lattice_of`.
    """
    inverse = np.linalg.inv(lattice_um)
    taken: set[tuple[int, int]] = set()
    parts: list[Exposures] = []
    for square in np.unique(session.square):
        own = session.where(session.square == square)
        index = _picked(world, own.square_um[0], taken)
        taken.add(index)
        phase = np.angle(np.exp(2j * math.pi * own.at_um @ inverse.T).mean(axis=0)) / (2 * math.pi)
        cells = np.rint(own.at_um @ inverse.T - phase).astype(np.int64)
        parts.append(_in_square(world, own, index, cells, voltage_kv))
    return Exposures(*(np.concatenate([getattr(part, name) for part in parts]) for name in Exposures.__slots__))


def lattice_of(session: Exposures) -> Floats:
    """Find how the session's lattice of holes is turned: basis vectors as columns, (2, 2) µm."""
    best, at = -1.0, 0.0
    for turn in np.radians(np.arange(0.0, 90.0, 0.25)):
        c, s = math.cos(turn), math.sin(turn)
        along = session.at_um @ np.array([[c, -s], [s, c]]) / PITCH_UM
        waves = np.exp(2j * math.pi * along)
        fit = 0.0
        for square in np.unique(session.square):
            fit += float(np.abs(waves[session.square == square].sum(axis=0)).sum())
        if fit > best:
            best, at = fit, float(turn)
    c, s = math.cos(at), math.sin(at)
    return PITCH_UM * np.array([[c, -s], [s, c]])


def _in_square(
    world: GridWorld, own: Exposures, index: tuple[int, int], cells: NDArray[np.int64], voltage_kv: float
) -> Exposures:
    centre = world.centre_of(*index)
    film = world.film
    middle = np.rint(np.linalg.inv(film.basis_um) @ (centre - film.origin_um)).astype(np.int64)
    holes = world.holes(cells[:, 0] + middle[0], cells[:, 1] + middle[1])
    at = np.stack([holes.x_um, holes.y_um], axis=-1) - centre
    squares = world.squares_at(holes.x_um, holes.y_um)
    open_ = world.bar_distance_um(holes.x_um, holes.y_um, squares) < 0
    reached, _ = exposed(world, index, holes, voltage_kv)
    here = replace(own, at_um=at, square_um=np.broadcast_to(centre, at.shape), good=reached <= GOOD_A)
    return here.where(open_ & (squares.i == index[0]) & (squares.j == index[1]))


def _picked(world: GridWorld, near_um: Floats, taken: set[tuple[int, int]]) -> tuple[int, int]:
    table = world.squares
    fit = np.isin(table.kind, PICKED)
    away = np.hypot(table.x_um - near_um[0], table.y_um - near_um[1])
    for flat in np.argsort(np.where(fit, away, np.inf), axis=None):
        index = int(table.i.flat[flat]), int(table.j.flat[flat])
        if index not in taken:
            return index
    raise BadInput("the grid has fewer squares to go to than the session went to")


def _share(away: Floats, group: NDArray[np.int64]) -> float:
    _, number = np.unique(group, return_inverse=True)
    mean = np.bincount(number, away) / np.bincount(number)
    return float((mean[number] ** 2).mean())


def _numbered(names: Sequence[tuple[str, ...]]) -> NDArray[np.int64]:
    known = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return np.array([known[name] for name in names], np.int64)
