"""What groups of holes shall be like: reach, size, where they may stand, what counts as good."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from ..protocols.errors import BadInput
from .points import as_points
from .tilt import LEVEL, Tilt

Centre = Literal["hole", "lattice", "free"]
Objective = Literal["rate", "score"]
Offsets = tuple[tuple[float, float], ...]

CROSS: Offsets = ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1))


def block(rows: int, columns: int) -> Offsets:
    """Give the sites of a block of rows × columns about its middle site (or the one just before), in lattice steps."""
    if rows < 1 or columns < 1:
        raise BadInput(f"A pattern of {rows} × {columns} holes holds none; give 1 or more each way.")
    down, along = (rows - 1) // 2, (columns - 1) // 2
    return tuple((float(i - down), float(j - along)) for i in range(rows) for j in range(columns))


def pattern_named(name: str) -> Offsets | None:
    """Give a pattern by its name: ``all`` (None), ``cross``, ``3x3`` and the like, or its offsets, ``0,0 1,0 0,1``.

    Raises
    ------
    BadInput
        For any other.
    """
    if name == "all":
        return None
    if name == "cross":
        return CROSS
    if "," in name:
        return tuple(_offset(pair) for pair in name.split())
    rows, _, columns = name.partition("x")
    if not (rows.isdigit() and columns.isdigit()):
        raise BadInput(f"There is no pattern {name!r}; say all, cross, a block such as 3x3, or offsets as 0,0 1,0.")
    return block(int(rows), int(columns))


def _offset(pair: str) -> tuple[float, float]:
    try:
        x, y = map(float, pair.split(","))
    except ValueError:
        raise BadInput(f"{pair!r} is no offset; give two numbers with a comma between, such as 1,-2.") from None
    return x, y


@dataclass(frozen=True, slots=True)
class TimeCosts:
    """What takes how long, in seconds.

    The numbers are medians of a recorded session: 185 s from exposure to exposure in the next patch, of which 91 s are
    those of any exposure; 58 s to the next square and 50 s to its first view.
    """

    group_s: float = 94.0
    shot_s: float = 91.0
    arrival_s: float = 108.0

    def __post_init__(self) -> None:
        times = (self.group_s, self.shot_s, self.arrival_s)
        if not (np.isfinite(times).all() and min(times) >= 0 and self.shot_s > 0):
            raise BadInput("Time costs are seconds, 0 or more, and a shot takes some.")


@dataclass(frozen=True, slots=True)
class Beam:
    """The illuminated disc of a shot and the holes it must fit in; radii in µm."""

    radius_um: float
    hole_radius_um: float

    def __post_init__(self) -> None:
        radii = (self.radius_um, self.hole_radius_um)
        if not (np.isfinite(radii).all() and min(radii) > 0):
            raise BadInput("The radius of the beam and of the holes must be above 0 µm.")


@dataclass(frozen=True, slots=True)
class Coma:
    """What the beam tilt of an uncorrected image shift may do to the picture.

    A tilt of ``tilt_mrad_per_um`` per µm of shift turns the phase at resolution ``d`` by ``2π Cs λ² θ / d³``.
    """

    voltage_kv: float
    cs_mm: float
    tilt_mrad_per_um: float
    resolution_a: float
    phase_deg: float = 45.0

    def radius_um(self) -> float:
        """Give the longest shift within the limit, µm.

        Raises
        ------
        BadInput
            A number that is not above 0.
        """
        numbers = (self.voltage_kv, self.cs_mm, self.tilt_mrad_per_um, self.resolution_a, self.phase_deg)
        if not (np.isfinite(numbers).all() and min(numbers) > 0):
            raise BadInput("Voltage, Cs, beam tilt per µm, resolution and phase limit must all be above 0.")
        volts = self.voltage_kv * 1e3
        wavelength_a = 12.2643 / np.sqrt(volts + 0.978466e-6 * volts**2)
        theta_rad = np.deg2rad(self.phase_deg) * self.resolution_a**3 / (2 * np.pi * self.cs_mm * 1e7 * wavelength_a**2)
        return float(theta_rad * 1e3 / self.tilt_mrad_per_um)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the groups shall be like.

    Attributes
    ----------
    radius_um
        Longest beam-image shift, measured across the beam: on a tilted specimen an ellipse, longer across the axis. 0
        makes each hole its own group.
    minimum_size
        Groups of fewer holes are not made.
    objective
        ``rate``: good exposures per hour from ``costs``; ``score``: SmartScope's, 100 × coverage − weight × groups.
    weight
        Weight of a group in the score.
    least_coverage
        Share of the holes' values, of those that any group can reach, that must be covered whatever the objective
        says; 1 covers every hole with the fewest groups.
    centre
        Where a group may stand: at a ``hole``, at a point of the ``lattice`` (with or without a hole), or ``free``.
    bad_centres
        Whether a hole of value 0 may be a centre; it is never a member.
    pattern
        Offsets of the members from the centre, None for all holes in reach.
    pattern_unit
        Offsets in steps of the ``lattice`` or in ``um``.
    basis_um
        The lattice's two steps; None has them found from the holes where they are needed.
    defocus_spread_um
        Largest difference of the heights along the beam within a group, None for no limit.
    shots
        Shots of each hole.
    offsets_um
        Where they go, from the hole's middle, None to have them placed.
    time_limit_s
        How long to search, counted in steps; None takes 0.12 up to 150 holes, 1.2 up to 4000 and 2 above.
    """

    radius_um: float
    minimum_size: int = 1
    objective: Objective = "rate"
    weight: float = 2.0
    least_coverage: float = 1.0
    centre: Centre = "hole"
    bad_centres: bool = False
    pattern: Offsets | None = None
    pattern_unit: Literal["lattice", "um"] = "lattice"
    basis_um: Sequence[Sequence[float]] | None = None
    tilt: Tilt = LEVEL
    defocus_spread_um: float | None = None
    coma: Coma | None = None
    beam: Beam | None = None
    shots: int = 1
    offsets_um: Offsets | None = None
    costs: TimeCosts = field(default_factory=TimeCosts)
    time_limit_s: float | None = None

    def __post_init__(self) -> None:
        if not (np.isfinite(self.radius_um) and self.radius_um >= 0):
            raise BadInput(
                f"The beam-image-shift radius is {self.radius_um} µm; give 0 for each hole alone, or a length above it."
            )
        if self.minimum_size < 1:
            raise BadInput(f"The smallest group cannot have {self.minimum_size} holes; give 1 or more.")
        if not 0 <= self.least_coverage <= 1:
            raise BadInput(f"The least coverage is {self.least_coverage}; give a share from 0 to 1.")
        if not (np.isfinite(self.weight) and self.weight >= 0):
            raise BadInput(f"The weight of a group is {self.weight}; give 0 or more.")
        if self.defocus_spread_um is not None and not self.defocus_spread_um >= 0:
            raise BadInput(f"The defocus spread is {self.defocus_spread_um} µm; give 0 or more, or none.")
        if self.shots < 1:
            raise BadInput(f"A hole cannot have {self.shots} shots; give 1 or more.")
        if self.shots > 1 and self.beam is None:
            raise BadInput("Several shots in a hole need the radius of the beam and of the holes.")
        if self.offsets_um is not None and len(as_points(self.offsets_um, "The offsets of the shots")) != self.shots:
            raise BadInput(
                f"{len(self.offsets_um)} offsets are given for {self.shots} shots in each hole; give one each."
            )
        if self.time_limit_s is not None and not self.time_limit_s >= 0:
            raise BadInput(f"The time limit of the grouping is {self.time_limit_s} s; give 0 or more.")
        if self.pattern is not None and len(as_points(self.pattern, "The pattern's offsets")) == 0:
            raise BadInput("The pattern has no offsets; give at least one.")

    def reach_um(self) -> float:
        """Give the longest shift allowed, by the radius and the coma."""
        return self.radius_um if self.coma is None else min(self.radius_um, self.coma.radius_um())
