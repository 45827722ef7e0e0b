"""Support films, meshes and materials by name, with their sizes.

Sizes of the films R0.6/1 to R2/4 and of the meshes are those that SmartScope ships; the other films follow the makers'
rule of naming, hole diameter before the stroke and gap after it, in µm.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar

Film = Literal["square", "hexagonal", "none"]


@dataclass(frozen=True, slots=True)
class HoleType:
    """A support film.

    Attributes
    ----------
    name
        As the makers write it.
    hole_um, gap_um
        Diameter of a hole, and film from edge to edge between two; None where there is no regular hole.
    lattice
        How the holes are laid out; ``none`` for lacey and continuous films.
    """

    name: str
    hole_um: float | None
    gap_um: float | None
    lattice: Film

    @property
    def pitch_um(self) -> float | None:
        """Distance from hole to hole, centre to centre, in µm; None where there is no lattice."""
        return None if self.hole_um is None or self.gap_um is None else self.hole_um + self.gap_um


@dataclass(frozen=True, slots=True)
class Mesh:
    """The metal bars of a grid: opening between bars, bar width and pitch in µm."""

    name: str
    opening_um: float
    bar_um: float
    pitch_um: float
    lattice: Film


Entry = TypeVar("Entry", HoleType, Mesh)


def _named(prefix: str, sizes: str) -> list[HoleType]:
    pairs = (size.split("/") for size in sizes.split())
    return [HoleType(f"{prefix}{hole}/{gap}", float(hole), float(gap), "square") for hole, gap in pairs]


def _by_name(entries: Iterable[Entry]) -> Mapping[str, Entry]:
    return {entry.name: entry for entry in entries}


HOLE_TYPES: Mapping[str, HoleType] = _by_name(
    [
        *_named("R", "0.6/1 1/4 1.2/1.3 1.2/20 2/1 2/2 2/4 3/3 3/5 3.5/1 5/2 5/20 10/5 10/10 10/20 17/5"),
        *_named("CF-", "1/1 1.2/1.3 2/1 2/2 4/2"),
        *_named("UltrAuFoil R", "0.6/1 1.2/1.3 2/2"),
        HoleType("HexAUFoil", 0.29, 0.31, "hexagonal"),
        HoleType("Lacey", None, None, "none"),
        HoleType("MultiA", None, None, "none"),
        HoleType("NegativeStain", None, None, "none"),
    ]
)
MESHES: Mapping[str, Mesh] = _by_name(
    [
        Mesh("200", 90.0, 35.0, 125.0, "square"),
        Mesh("300", 58.0, 25.0, 83.0, "square"),
        Mesh("400", 37.0, 25.0, 62.0, "square"),
        Mesh("50Hex", 50.0, 11.0, 61.0, "hexagonal"),
    ]
)
MATERIALS = ("Carbon", "Gold")


def canonical(given: str, known: Iterable[str]) -> str | None:
    """Find the known name that differs from the given one by case, spaces and underscores at most."""

    def plain(name: str) -> str:
        return re.sub(r"[\s_]", "", name).casefold()

    return next((name for name in known if plain(name) == plain(given)), None)
