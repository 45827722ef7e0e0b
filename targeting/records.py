"""What targeting answers. All positions are stage µm."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Group:
    """Holes reached from one stage position; ``members`` are indices into the input, in shooting order."""

    x_um: float
    y_um: float
    members: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Grouping:
    """A set of groups; every member is in exactly one, those in none are ``left_out``."""

    groups: tuple[Group, ...]
    left_out: tuple[int, ...]
    lower_bound: int
    exact: bool
