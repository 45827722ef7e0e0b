"""What the server remembers between requests: squares and holes with their numbers, written whole or not at all."""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter, ValidationError

from ...files.atomic import write_bytes
from ...protocols.errors import BadInput

UNKNOWN = -1
"""Stands for a number that the client did not give; its reader takes no empty ones."""

_FILE = "state.json"
_SQUARE_COLUMNS = (
    "square_id", "tile_id", "grid_id", "center_x", "center_y",
    *(f"vert_{corner}_{axis}" for corner in (1, 2, 3, 4) for axis in "xy"),
    "brightness", "area", "prior_score", "visited",
)  # fmt: skip
_HOLE_COLUMNS = (
    "hole_id", "mm_img_id", "square_id", "grid_id", "center_x", "center_y", "radius", "prior_score", "visited", "ctf",
    "ice_thickness",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class SquareRow:
    """One square of a tile; x is the column and y the row, px of the tile; ``features`` are what is learnt from."""

    square_id: int
    tile_id: int
    grid_id: int
    center_x: float
    center_y: float
    vertices: tuple[tuple[float, float], ...]
    brightness: float
    area: float
    prior_score: float
    visited: bool = False
    features: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class HoleRow:
    """One hole of a view; `ctf` is the resolution in Å and `ice_thickness` in nm of the exposure taken, if any."""

    hole_id: int
    mm_img_id: int
    square_id: int
    grid_id: int
    center_x: float
    center_y: float
    radius: float
    prior_score: float
    visited: bool = False
    ctf: float | None = None
    ice_thickness: float | None = None
    features: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class State:
    """Everything remembered. ``active`` are the holes of the view seen last; ``past`` are states to learn from too."""

    squares: tuple[SquareRow, ...] = ()
    holes: tuple[HoleRow, ...] = ()
    active: tuple[int, ...] = ()
    vacuum_intensity: float | None = None
    past: tuple["State", ...] = field(default=())

    def with_squares(self, rows: Sequence[SquareRow]) -> "State":
        """Add squares, numbering them on."""
        first = len(self.squares)
        numbered = [replace(row, square_id=first + index) for index, row in enumerate(rows)]
        return replace(self, squares=(*self.squares, *numbered))

    def with_holes(self, rows: Sequence[HoleRow]) -> "State":
        """Add holes, numbering them on; they are the active ones now."""
        first = len(self.holes)
        numbered = [replace(row, hole_id=first + index) for index, row in enumerate(rows)]
        active = tuple(row.hole_id for row in numbered)
        return replace(self, holes=(*self.holes, *numbered), active=active)

    def visited_squares(self, ids: Iterable[int]) -> "State":
        """Mark squares as visited.

        Raises
        ------
        BadInput
            There is no square of that number.
        """
        wanted = set(ids)
        _known("square", wanted, len(self.squares))
        squares = tuple(replace(row, visited=True) if row.square_id in wanted else row for row in self.squares)
        return replace(self, squares=squares)

    def visited_holes(self, ids: Sequence[int], ctfs: Sequence[float | None], ice: Sequence[float | None]) -> "State":
        """Write down what exposures of holes gave; their squares count as visited.

        Raises
        ------
        BadInput
            There is no hole of that number, or the lists are of unequal length.
        """
        if not len(ids) == len(ctfs) == len(ice):
            raise BadInput(f"{len(ids)} holes come with {len(ctfs)} ctfs and {len(ice)} ice thicknesses; give one each")
        _known("hole", ids, len(self.holes))
        told = {number: (ctf, thick) for number, ctf, thick in zip(ids, ctfs, ice, strict=True)}
        holes = tuple(
            replace(row, visited=True, ctf=told[row.hole_id][0], ice_thickness=told[row.hole_id][1])
            if row.hole_id in told
            else row
            for row in self.holes
        )
        squares = {row.square_id for row in self.holes if row.hole_id in told}
        known = {number for number in squares if 0 <= number < len(self.squares)}
        return replace(self, holes=holes).visited_squares(known)


_SAVED: TypeAdapter[State] = TypeAdapter(State)


def squares_csv(rows: Iterable[SquareRow], scores: dict[int, float] | None = None) -> str:
    """Write squares as CSV; `scores` by number become the column ``GP_probs``: clients rank by it when it is there."""
    columns = _SQUARE_COLUMNS if scores is None else (*_SQUARE_COLUMNS, "GP_probs")
    table = []
    for row in rows:
        corners = [value for corner in row.vertices for value in corner]
        cells = [row.square_id, row.tile_id, row.grid_id, row.center_x, row.center_y, *corners]
        cells += [row.brightness, row.area, row.prior_score, row.visited]
        table.append(cells if scores is None else [*cells, scores[row.square_id]])
    return _csv(columns, table)


def holes_csv(rows: Iterable[HoleRow], predicted: dict[int, Sequence[float]] | None = None) -> str:
    """Write holes as CSV; `predicted` by number gives ctf (Å), ice (nm) and the variance of each."""
    columns = _HOLE_COLUMNS if predicted is None else (*_HOLE_COLUMNS, "ctf_pred", "ice_pred", "ctf_var", "ice_var")
    table = [
        [*(getattr(row, name) for name in _HOLE_COLUMNS), *(() if predicted is None else predicted[row.hole_id])]
        for row in rows
    ]
    return _csv(columns, table)


def save(state: State, folder: Path) -> None:
    """Write a state into a folder, each file whole or not at all; the CSV and numpy files are for other programs.

    Raises
    ------
    NoRoom, NotWritable
        See `files.atomic`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_bytes(folder / "lmstate.csv", squares_csv(state.squares).encode())
    write_bytes(folder / "mmstate.csv", holes_csv(state.holes).encode())
    for name, rows in (("lm_feats.npy", state.squares), ("mm_feats.npy", state.holes)):
        stored = io.BytesIO()
        np.save(stored, np.array([row.features for row in rows], np.float64), allow_pickle=False)
        write_bytes(folder / name, stored.getvalue())
    keep(state, folder)


def keep(state: State, folder: Path) -> None:
    """Write the one file from which `load` brings a state back."""
    folder.mkdir(parents=True, exist_ok=True)
    write_bytes(folder / _FILE, _SAVED.dump_json(state))


def load(folder: Path) -> State:
    """Read what `keep` or `save` wrote.

    Raises
    ------
    BadInput
        Nothing was saved there, or it is damaged.
    """
    path = folder / _FILE
    try:
        return _SAVED.validate_json(path.read_bytes())
    except FileNotFoundError:
        raise BadInput(f"{folder} holds no saved state ({_FILE}); save one there first") from None
    except (ValidationError, OSError) as error:
        why = str(error).splitlines()[0]
        raise BadInput(f"{path} cannot be read ({why}); move it away to begin anew") from error


def kept(folder: Path) -> State:
    """Go on with what the folder holds; begin anew where it holds nothing. Raises `BadInput` where it is damaged."""
    return load(folder) if (folder / _FILE).exists() else State()


def _known(kind: str, ids: Iterable[int], count: int) -> None:
    for number in ids:
        if not 0 <= number < count:
            raise BadInput(f"there is no {kind} {number}; {count} are known, numbered from 0")


def _csv(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue()
