"""What detectors and fitters make of a picture, as numbers fitted to the pixel version: tables to draw answers from.

A table is an empirical conditional distribution. Its cells are conditions (a class, and an interval of one covariate);
each holds the share of cases in which anything was answered, and answers as they came, sorted by their leading column.
Drawing a row at a quantile therefore draws the leading number from its own distribution and everything else together
with it, outliers and correlations included; nothing is assumed of any shape.
"""

from collections.abc import Sequence
from functools import cached_property, lru_cache
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError, model_validator

from ....protocols.errors import BadInput
from ..grid.cells import Floats
from ..instrument.profile import Frozen, first_complaint

SHIPPED = "fits"
"""Folder of the fits that ship with the package."""

USUAL = "demo-2k"
"""Profile whose fit stands in for those that have none."""

ANY = "any"
"""Class of the cells that stand for classes nobody has fitted."""


class Provenance(Frozen):
    """Where the numbers are from."""

    command: str = Field(description="What made this file.")
    seeds: tuple[int, ...] = Field(description="Seeds of the worlds it looked at.")
    version: str = Field(description="Version of the package whose pictures and detectors were used.")
    profile: str = Field(description="Profile of the instrument.")
    pictures: dict[str, int] = Field(description="Pictures looked at, by level.")


class Cell(Frozen):
    """Answers under one condition.

    ``rows`` are in the order of the leading column and stand for equal shares of the answers.
    """

    of: str = Field(description="Class of the thing looked at.")
    below: float | None = Field(description="Upper end of the covariate's interval; null for the last of a class.")
    cases: int = Field(ge=1, description="Things of this kind that were looked at.")
    answered: float = Field(ge=0, le=1, description="Share of them that was answered at all.")
    rows: tuple[tuple[float, ...], ...] = Field(description="Answers, one number for each column.")


class Table(Frozen):
    """The answers to one question, cell by cell."""

    about: str = Field(description="What is asked, of what, and what the covariate is.")
    columns: tuple[str, ...] = Field(min_length=1, description="Names of the numbers; rows are sorted by the first.")
    alike: float = Field(ge=0, le=1, description="Correlation of the answers within one picture.")
    cells: tuple[Cell, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _whole(self) -> "Table":
        if any(len(row) != len(self.columns) for cell in self.cells for row in cell.rows):
            raise ValueError(f"each row needs {len(self.columns)} numbers, one for each column")
        if any(cell.answered > 0 and not cell.rows for cell in self.cells):
            raise ValueError("a cell with answers needs rows")
        if ANY not in {cell.of for cell in self.cells}:
            raise ValueError(f"a table needs a cell of the class {ANY}")
        return self

    @cached_property
    def _by_class(self) -> dict[str, tuple[Floats, list[tuple[float, Floats]]]]:
        """Edges between the cells of each class, and share and rows of each cell."""
        found: dict[str, list[Cell]] = {}
        for cell in self.cells:
            found.setdefault(cell.of, []).append(cell)
        return {
            of: (
                np.array([cell.below for cell in cells[:-1]], np.float64),
                [(cell.answered, np.array(cell.rows, np.float64).reshape(-1, len(self.columns))) for cell in cells],
            )
            for of, cells in found.items()
        }

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
            edges, cells = self._by_class.get(str(name)) or self._by_class[ANY]
            mine = np.flatnonzero(classes == name)
            which = np.searchsorted(edges, covariate[mine], side="right")
            for number in np.unique(which):
                share, rows = cells[number]
                here = mine[which == number]
                here = here[chance[here] < share]
                if len(rows):
                    answers[here] = _between(rows, quantile[here])
        return answers

    def column(self, name: str) -> int:
        """Say where a column stands."""
        return self.columns.index(name)


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
    "verdict": ("resolution_ratio", "confidence", "defocus_error_um", "astigmatism_a", "counts_ratio", "motion_ratio"),
}
"""The tables that a pixel-free microscope draws from, and their columns."""

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


def usual_fit(profile: str) -> str:
    """Name the fit for a profile: its own where one ships, else the usual profile's."""
    return profile if profile in shipped_fits() else USUAL


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
        raise BadInput(f"error models {name_or_file}: {first_complaint(error)}") from error


def _between(rows: Floats, quantile: Floats) -> Floats:
    """Take rows at quantiles: the leading number interpolated, the others as they came."""
    place = quantile * len(rows) - 0.5
    nearest: NDArray[np.int64] = np.clip(np.rint(place), 0, len(rows) - 1).astype(np.int64)
    taken = rows[nearest].copy()
    taken[:, 0] = np.interp(place, np.arange(len(rows)), rows[:, 0])
    return taken
