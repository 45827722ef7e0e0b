"""What detectors and fitters make of a picture, as numbers fitted to the pixel version: tables to draw answers from.

A table is an empirical conditional distribution. Its cells are conditions (a class, and an interval of one covariate);
each holds the share of cases in which anything was answered, and answers as they came, sorted by their leading column.
Drawing a row at a quantile therefore draws the leading number from its own distribution and everything else together
with it, outliers and correlations included; nothing is assumed of any shape. Classes are paths from the general to the
particular, as ``ice > R2/1``: where the particular has no cells of its own, the general one's stand.

What is seen together comes out together: answers of one group (the sites of a picture, the groups of a square, the
squares of a grid) share a part of their normal scores, as large as the fit has found it. Openings, which a finder
judges against each other, are answered as those of one grid were.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib import resources
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError, model_validator

from ....protocols.errors import BadInput
from ..grid.cells import Floats
from ..instrument.profile import Frozen, first_complaint

Group = Literal["grid", "square", "picture"]

SHIPPED = "fits"
"""Folder of the fits that ship with the package."""

PARTICULAR = " > "
"""Between the general and the particular in the name of a class."""

ANY = "any"
"""Class of the cells that stand for classes nobody has fitted."""


MEANING = 4
"""Counted up when tables are told by something else, or their numbers are others: what was fitted before is no more."""


class Provenance(Frozen):
    """Where the numbers are from."""

    meaning: Literal[4] = Field(description="Which meaning of the tables they have.")
    command: str = Field(description="What made this file.")
    seeds: tuple[int, ...] = Field(description="Seeds of the worlds it looked at.")
    version: str = Field(description="Version of the package whose pictures and detectors were used.")
    profile: str = Field(description="Profile of the instrument.")
    pictures: dict[str, int] = Field(description="Pictures looked at, by level.")


class Cell(Frozen):
    """Answers under one condition.

    ``rows`` are in the order of the leading column and stand for equal shares of the answers.
    """

    of: str = Field(description="Class of the thing looked at, a path from the general to the particular.")
    below: float | None = Field(description="Upper end of the covariate's interval; null for the last of a class.")
    cases: int = Field(ge=1, description="Things of this kind that were looked at.")
    answered: float = Field(ge=0, le=1, description="Share of them, and of like ones beside, that was answered at all.")
    rows: tuple[tuple[float, ...], ...] = Field(description="Answers, one number for each column.")


class Table(Frozen):
    """The answers to one question, cell by cell."""

    about: str = Field(description="What is asked, of what, and what the covariate is.")
    columns: tuple[str, ...] = Field(min_length=1, description="Names of the numbers; rows are sorted by the first.")
    alike: float = Field(ge=0, le=1, description="Correlation of the answers within one group.")
    grids: dict[str, tuple[str, ...]] = Field(
        default_factory=dict,
        description="Paths of grids that have cells of their own, by every class they are of: what a finder makes of "
        "one opening hangs on what it makes of the others, so a whole grid is answered as one of these was.",
    )
    together: float = Field(
        default=0.0, ge=0, le=1, description="Correlation, within one group, of whether there is an answer at all."
    )
    again: float = Field(default=0.0, ge=0, le=1, description="The same for the same thing looked at again.")
    cells: tuple[Cell, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _whole(self) -> "Table":
        if any(len(row) != len(self.columns) for cell in self.cells for row in cell.rows):
            raise ValueError(f"each row needs {len(self.columns)} numbers, one for each column")
        if any(cell.answered > 0 and not cell.rows for cell in self.cells):
            raise ValueError("a cell with answers needs rows")
        if ANY not in {cell.of for cell in self.cells}:
            raise ValueError(f"a table needs a cell of the class {ANY}")
        strange = [name for of, names in self.grids.items() for name in names if not name.startswith(of + PARTICULAR)]
        if strange:
            raise ValueError(f"the grid {strange[0]} is not told by its path, from its kind to its film")
        return self

    @cached_property
    def _by_class(self) -> "dict[str, _Class]":
        found: dict[str, list[Cell]] = {}
        for cell in self.cells:
            found.setdefault(cell.of, []).append(cell)
        return {
            of: _Class(
                np.array([cell.below for cell in cells[:-1]], np.float64),
                np.array([cell.answered for cell in cells], np.float64),
                [np.array(cell.rows, np.float64).reshape(-1, len(self.columns)) for cell in cells],
            )
            for of, cells in found.items()
        }

    def _class_of(self, path: str) -> str:
        """Name the most particular class on this path that has cells."""
        while path not in self._by_class:
            path, more, _ = path.rpartition(PARTICULAR)
            if not more:
                return ANY
        return path

    def cell_of(self, of: str, covariate: float) -> tuple[str, int]:
        """Name the cell that a thing falls into: class and number."""
        name = self._class_of(of)
        return name, int(np.searchsorted(self._by_class[name].edges, covariate, side="right"))

    def share(self, of: str, covariate: float) -> float:
        """Give the share of such things that is answered at all."""
        name, number = self.cell_of(of, covariate)
        return float(self._by_class[name].shares[number])

    def draw(self, of: Sequence[str], covariate: Floats, chance: Floats, quantile: Floats) -> Floats:
        """Draw an answer for each thing.

        Parameters
        ----------
        of, covariate
            Class and covariate of each, shape (n,).
        chance, quantile
            Uniform numbers, shape (n,): whether there is an answer, and which.

        Returns
        -------
        ndarray
            Shape (n, columns); a row of NaN where there is no answer.
        """
        answers = np.full((len(of), len(self.columns)), np.nan)
        classes = np.asarray(of)
        for name in np.unique(classes):
            mine = np.flatnonzero(classes == name)
            one = self._by_class[self._class_of(str(name))]
            which = np.searchsorted(one.edges, covariate[mine], side="right")
            seen = chance[mine] < one.shares[which]
            for number in np.unique(which[seen]):
                here = mine[seen & (which == number)]
                answers[here] = _between(one.rows[int(number)], quantile[here])
        return answers

    def grid_like(self, of: str, quantile: float) -> str:
        """Give the path of a grid with cells of its own: of this class, or else of the nearest more general one.

        The class itself where no grid has any: then all grids stand for it.
        """
        path = of
        while path not in self.grids:
            path, more, _ = path.rpartition(PARTICULAR)
            if not more:
                return of
        names = self.grids[path]
        return names[min(int(quantile * len(names)), len(names) - 1)]

    def column(self, name: str) -> int:
        """Say where a column stands."""
        return self.columns.index(name)


def general(of: str) -> str:
    """Give the general name of a class."""
    return of.partition(PARTICULAR)[0]


@dataclass(frozen=True, slots=True)
class _Class:
    """The cells of one class: edges between them, and share and rows of each."""

    edges: Floats
    shares: Floats
    rows: list[Floats]


class ErrorModels(Frozen):
    """All tables of one fit."""

    fitted: Provenance
    tables: dict[str, Table]

    @model_validator(mode="after")
    def _complete(self) -> "ErrorModels":
        missing = [name for name in TABLES if name not in self.tables]
        if missing:
            raise ValueError(f"the table {missing[0]} is missing")
        for name, table in self.tables.items():
            if name in TABLES and table.columns != TABLES[name]:
                raise ValueError(f"the table {name} needs the columns {', '.join(TABLES[name])}")
        return self


TABLES: dict[str, tuple[str, ...]] = {
    "opening": ("score", "category", "mean_ratio", "area_ratio", "off_x_um", "off_y_um"),
    "cut opening": ("score", "category"),
    "centre": ("confidence", "off_x_um", "off_y_um"),
    "square lattice": ("confidence", "off_x_um", "off_y_um"),
    "hole lattice": ("confidence", "off_x_um", "off_y_um"),
    "square site": ("score", "status", "mean_ratio", "off_x_um", "off_y_um"),
    "hole site": ("score", "status", "mean_ratio", "off_x_um", "off_y_um"),
    "picture offset": ("confidence", "off_x_um", "off_y_um"),
    "reload": ("confidence", "off_x_um", "off_y_um", "turn_deg"),
    "height": ("error_um",),
    "autofocus": ("error_um", "read_off_um", "trusted"),
    "verdict": (
        "resolution_ratio", "confidence", "defocus_error_um",
        "astigmatism_along_a", "astigmatism_across_a", "counts_ratio", "motion_ratio",
    ),
}  # fmt: skip
"""The tables that a pixel-free microscope draws from, and their columns."""

GROUPS: Mapping[str, Group] = {
    "opening": "grid", "cut opening": "grid", "centre": "grid", "square lattice": "grid", "height": "grid",
    "hole lattice": "square", "picture offset": "square", "autofocus": "square", "verdict": "square",
    "square site": "picture", "hole site": "picture", "reload": "grid",
}  # fmt: skip
"""Whose answers may go together, table by table."""

CATEGORIES = ("good", "small_or_thick", "contaminated", "cracked", "partial", "broken_or_dry")
"""What ``category`` counts: the classes of openings."""

STATUSES = ("hole", "partial", "covered", "missing")
"""What ``status`` counts: what stands at a lattice site."""


def load_error_models(name_or_file: str) -> ErrorModels:
    """Read a shipped fit by the name of its profile, or a JSON file; raises `BadInput`."""
    return _read(str(name_or_file))


def shipped_fits() -> tuple[str, ...]:
    """Name the profiles whose fits ship with the package."""
    folder = resources.files(__package__.rpartition(".")[0]) / SHIPPED
    return tuple(sorted(item.name[:-5] for item in folder.iterdir() if item.name.endswith(".json")))


def fit_of(profile: str) -> str:
    """Name the fit for a profile; raises `BadInput` where none ships: other pictures would be seen otherwise."""
    if profile in shipped_fits():
        return profile
    raise BadInput(
        f"no error models ship for the profile {profile}, so without pixels nobody knows what would be seen with it; "
        f"fit them with `epicycle simulate fit --profile {profile} -o FILE` and give FILE as the option "
        f"error_models, or name there a profile whose fit is near enough ({', '.join(shipped_fits())})"
    )


@lru_cache(maxsize=4)
def _read(name_or_file: str) -> ErrorModels:
    path = resources.files(__package__.rpartition(".")[0]) / SHIPPED / f"{name_or_file}.json"
    if not path.is_file():
        path = Path(name_or_file)
    if not path.is_file():
        raise BadInput(
            f"{name_or_file} is neither a file of error models nor a profile with a shipped fit "
            f"({', '.join(shipped_fits())}); fit one with `epicycle simulate fit`"
        )
    try:
        return ErrorModels.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise BadInput(
            f"error models {name_or_file}: {first_complaint(error)}; what another version made is fitted anew with "
            "`epicycle simulate fit`"
        ) from error


def _between(rows: Floats, quantile: Floats) -> Floats:
    """Take rows at quantiles: the leading number interpolated, the others as they came."""
    place = quantile * len(rows) - 0.5
    nearest: NDArray[np.int64] = np.clip(np.rint(place), 0, len(rows) - 1).astype(np.int64)
    taken = rows[nearest].copy()
    taken[:, 0] = np.interp(place, np.arange(len(rows)), rows[:, 0])
    return taken
