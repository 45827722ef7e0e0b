"""What finders answer, and what a finder is.

Positions are (row, col) pixels of the image given, origin at the centre of its first pixel.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from ..hardware.records import Image


class SquareClass(StrEnum):
    """What a square looks like from the atlas."""

    GOOD = "good"
    SMALL_OR_THICK = "small_or_thick"
    CONTAMINATED = "contaminated"
    CRACKED = "cracked"
    PARTIAL = "partial"
    BROKEN_OR_DRY = "broken_or_dry"


class Site(StrEnum):
    """What stands at a lattice site."""

    HOLE = "hole"
    PARTIAL = "partial"
    COVERED = "covered"
    MISSING = "missing"


WORTH = ("good", "bad", "empty", "spoilt")
"""What people may say of a hole besides what stands at its site."""


class LatticeKind(StrEnum):
    """Shape of the unit cell."""

    SQUARE = "square"
    RECTANGULAR = "rectangular"
    HEXAGONAL = "hexagonal"
    OBLIQUE = "oblique"
    NONE = "none"


FIT = "fit"
"""Name of the feature that says how likely a hole is fit to be exposed."""


@dataclass(frozen=True, slots=True)
class FoundSquare:
    """One opening of the mesh.

    ``corners_px`` are the (row, col) of its aligned box, in order around it; ``score`` is in 0..1, higher is better;
    ``features`` holds the numbers the class came from, for choices and reports.
    """

    row_px: float
    col_px: float
    corners_px: tuple[tuple[float, float], ...]
    area_px: float
    mean: float
    score: float
    category: SquareClass
    partial: bool
    features: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Mesh:
    """The mesh of a grid: openings stand at ``origin_px + i * a_px + j * b_px``, all (row, col).

    ``pitch_px`` is the shorter step, ``opening_px`` the side of the usual opening, ``bar_px`` what lies between two;
    ``confidence`` is the share of whole openings of the usual size that stand at a site.
    """

    kind: LatticeKind
    a_px: tuple[float, float]
    b_px: tuple[float, float]
    origin_px: tuple[float, float]
    pitch_px: float
    opening_px: float
    bar_px: float
    confidence: float


@dataclass(frozen=True, slots=True)
class SquareDetections:
    """All squares of one image. ``reason`` says in words why the list is empty; no ``mesh`` where too few agree."""

    squares: tuple[FoundSquare, ...]
    grid_angle_deg: float
    pixel_size_a: float | None = None
    reason: str = ""
    mesh: Mesh | None = None


@dataclass(frozen=True, slots=True)
class Lattice:
    """A lattice with a free basis: sites at ``origin_px + i * a_px + j * b_px``, all (row, col)."""

    kind: LatticeKind
    a_px: tuple[float, float]
    b_px: tuple[float, float]
    origin_px: tuple[float, float]
    confidence: float


@dataclass(frozen=True, slots=True)
class FoundHole:
    """One lattice site.

    ``score`` in 0..1 is how sure a usable hole stands there; ``mean`` is the median count inside.
    """

    row_px: float
    col_px: float
    radius_px: float
    score: float
    status: Site
    mean: float = 0.0
    features: Mapping[str, float] = field(default_factory=dict)

    @property
    def fit(self) -> float | None:
        """Chance that the hole is fit to be exposed; None where the finder does not tell it."""
        return self.features.get(FIT)

    @property
    def merit(self) -> float:
        """What holes are ranked by: the chance of being fit where it is told, else the score."""
        return self.score if self.fit is None else self.fit


@dataclass(frozen=True, slots=True)
class HoleDetections:
    """All sites of one image with their lattice.

    ``reason`` says in words why the list is empty, ``note`` what to know of how it was found, e.g. without a network.
    """

    holes: tuple[FoundHole, ...]
    lattice: Lattice | None
    pixel_size_a: float | None = None
    reason: str = ""
    note: str = ""


class SquareFinder(Protocol):
    """Finds and classifies mesh openings on an atlas or one of its tiles."""

    name: str
    version: str

    def find(self, image: Image) -> SquareDetections:
        """Answer every opening, partial ones flagged; never raises on a poor image, says why the list is empty."""
        ...


class HoleFinder(Protocol):
    """Finds holes on a square's or a hole-level image."""

    name: str
    version: str

    def find(self, image: Image) -> HoleDetections:
        """Answer every lattice site with its status; never raises on a poor image, says why the list is empty."""
        ...
