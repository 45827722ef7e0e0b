"""The cassette: which grid lies in which slot."""

from collections.abc import Iterable
from typing import Any

from pydantic import Field, field_validator, model_validator

from .grid_types import HOLE_TYPES, MATERIALS, MESHES, canonical
from .part import Part, impossible

SLOTS = 12


class CassetteGrid(Part):
    """One grid and its slot."""

    slot: int = Field(ge=1, le=SLOTS, description="Slot of the cassette, 1 to 12.")
    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]{0,59}$",
        examples=["apoferritin_1"],
        description="Name of the grid, at most 60 letters, digits, _ . + and -; it becomes part of file names.",
    )
    hole_type: str = Field(
        default="", examples=["R1.2/1.3"], description="Support film, one of those listed; empty means not known."
    )
    mesh: str = Field(
        default="",
        examples=["300"],
        description="Mesh: 200, 300, 400 or 50Hex; empty means not known.",
        json_schema_extra={"type": ["string", "integer"]},
    )
    material: str = Field(default="", examples=["Gold"], description="Material: Carbon or Gold; empty means not known.")
    note: str = Field(default="", max_length=10000, description="Anything worth reading beside this grid's results.")
    squares_per_grid: int | None = Field(
        default=None,
        ge=0,
        le=1000,
        description="Squares to visit on this grid in the first pass, 0 for all usable; null means as the protocol "
        "says.",
    )
    holes_per_square: int | None = Field(
        default=None,
        ge=1,
        le=10000,
        description="Holes (or groups of holes) to expose on each square of this grid in the first pass; null means "
        "as the protocol says.",
    )

    @field_validator("hole_type", mode="before")
    @classmethod
    def _known_hole_type(cls, given: Any) -> Any:
        return _known(given, HOLE_TYPES, "hole type")

    @field_validator("mesh", mode="before")
    @classmethod
    def _known_mesh(cls, given: Any) -> Any:
        whole = isinstance(given, int) and not isinstance(given, bool)
        return _known(str(given) if whole else given, MESHES, "mesh")

    @field_validator("material", mode="before")
    @classmethod
    def _known_material(cls, given: Any) -> Any:
        return _known(given, MATERIALS, "material")


class Cassette(Part):
    """What the user says was loaded; the loader's own inventory has the last word."""

    name: str = Field(default="cassette", max_length=60, description="Name of the cassette, for the report.")
    slots: tuple[CassetteGrid, ...] = Field(description="The grids, one entry for each filled slot.")

    @model_validator(mode="after")
    def _each_slot_and_name_once(self) -> "Cassette":
        if not self.slots:
            raise impossible("slots", "the cassette holds no grids; list at least one with its slot and name")
        seen: dict[int | str, CassetteGrid] = {}
        for index, grid in enumerate(self.slots):
            for key, value in (("slot", grid.slot), ("name", grid.name)):
                other = seen.setdefault(str(value).casefold() if key == "name" else value, grid)
                if other is not grid:
                    raise impossible(
                        f"slots.{index}.{key}",
                        f"{key} {value} is given twice, to {other.name} (slot {other.slot}) and to {grid.name} (slot "
                        f"{grid.slot}); give each grid its own",
                    )
        return self

    def grid_in(self, slot: int) -> CassetteGrid | None:
        """Give what the user says lies in this slot; None when nothing is said of it."""
        return next((grid for grid in self.slots if grid.slot == slot), None)


def _known(given: Any, names: Iterable[str], words: str) -> Any:
    if not isinstance(given, str) or given == "":
        return given
    found = canonical(given, names)
    if found is None:
        raise impossible("", f"{given!r} is not a {words} known here; accepted are {', '.join(names)}")
    return found
