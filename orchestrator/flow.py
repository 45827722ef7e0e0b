"""Where a screening can be and where it may go next: the one table of allowed moves."""

from collections.abc import Mapping
from enum import StrEnum, auto


class Phase(StrEnum):
    """Where in the screening we are, as an operator would say it."""

    INVENTORY = auto()
    NEXT_GRID = auto()
    LOAD_GRID = auto()
    TAKE_ATLAS = auto()
    REGISTER = auto()
    FIND_SQUARES = auto()
    CHOOSE_SQUARES = auto()
    NEXT_SQUARE = auto()
    SURVEY_SQUARE = auto()
    FIND_HOLES = auto()
    CHOOSE_HOLES = auto()
    NEXT_GROUP = auto()
    CENTRE_GROUP = auto()
    EXPOSE = auto()
    LEAVE_GRID = auto()
    CHOOSE_GRIDS = auto()
    PARK = auto()
    FINISHED = auto()


class RunStatus(StrEnum):
    """Whether we are going at all; independent of the phase."""

    RUNNING = auto()
    PAUSING = auto()
    PAUSED = auto()
    STOPPING = auto()
    STOPPED = auto()
    PARKED = auto()
    FINISHED = auto()


FLOW: Mapping[Phase, frozenset[Phase]] = {
    Phase.INVENTORY: frozenset({Phase.NEXT_GRID, Phase.PARK}),
    Phase.NEXT_GRID: frozenset({Phase.LOAD_GRID, Phase.CHOOSE_GRIDS, Phase.PARK}),
    Phase.LOAD_GRID: frozenset({Phase.TAKE_ATLAS, Phase.CHOOSE_SQUARES, Phase.LEAVE_GRID, Phase.NEXT_GRID}),
    Phase.TAKE_ATLAS: frozenset({Phase.FIND_SQUARES, Phase.REGISTER, Phase.LEAVE_GRID}),
    Phase.REGISTER: frozenset({Phase.CHOOSE_SQUARES, Phase.LEAVE_GRID}),
    Phase.FIND_SQUARES: frozenset({Phase.CHOOSE_SQUARES, Phase.LEAVE_GRID}),
    Phase.CHOOSE_SQUARES: frozenset({Phase.NEXT_SQUARE, Phase.LEAVE_GRID}),
    Phase.NEXT_SQUARE: frozenset({Phase.SURVEY_SQUARE, Phase.LEAVE_GRID}),
    Phase.SURVEY_SQUARE: frozenset({Phase.FIND_HOLES, Phase.NEXT_SQUARE, Phase.LEAVE_GRID}),
    Phase.FIND_HOLES: frozenset({Phase.CHOOSE_HOLES, Phase.NEXT_SQUARE, Phase.LEAVE_GRID}),
    Phase.CHOOSE_HOLES: frozenset({Phase.NEXT_GROUP, Phase.NEXT_SQUARE, Phase.LEAVE_GRID}),
    Phase.NEXT_GROUP: frozenset({Phase.CENTRE_GROUP, Phase.NEXT_SQUARE, Phase.LEAVE_GRID}),
    Phase.CENTRE_GROUP: frozenset({Phase.EXPOSE, Phase.NEXT_GROUP, Phase.NEXT_SQUARE, Phase.LEAVE_GRID}),
    Phase.EXPOSE: frozenset({Phase.NEXT_GROUP, Phase.NEXT_SQUARE, Phase.LEAVE_GRID}),
    Phase.LEAVE_GRID: frozenset({Phase.NEXT_GRID, Phase.PARK}),
    Phase.CHOOSE_GRIDS: frozenset({Phase.NEXT_GRID, Phase.PARK}),
    Phase.PARK: frozenset({Phase.FINISHED}),
    Phase.FINISHED: frozenset(),
}
"""Every allowed move; staying in a phase (a retry) is always allowed."""


def mermaid() -> str:
    """Draw the table as a mermaid state diagram, for the documentation."""
    lines = ["stateDiagram-v2", f"    [*] --> {Phase.INVENTORY}"]
    for phase, followers in FLOW.items():
        lines += [f"    {phase} --> {after}" for after in Phase if after in followers]
    lines.append(f"    {Phase.FINISHED} --> [*]")
    return "\n".join(lines)
