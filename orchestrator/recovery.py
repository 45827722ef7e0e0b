"""What to do when something fails: a ladder from trying again to parking, as a pure function.

The night counts how often the same thing failed (from the record, so a restart forgets nothing) and asks `recover`.
"""

from dataclasses import dataclass
from enum import StrEnum

from ..hardware.errors import GridFault, LoaderFault, LoaderJammed, ScopeFault, TargetFault, Transient
from ..protocols.errors import EpicycleError
from ..protocols.screening import LoaderPlan, RecoveryPlan
from .flow import Phase


class Recovery(StrEnum):
    """The rungs."""

    RETRY = "retry"
    SKIP_TARGET = "skip-target"
    SKIP_SQUARE = "skip-square"
    LEAVE_GRID = "leave-grid"
    STOP_LOADER = "stop-loader"
    PAUSE = "pause"
    PARK = "park"


class AnalysisFailed(EpicycleError):
    """An analysis that the next step needs crashed, raised or outlasted its time, more than once."""


@dataclass(frozen=True, slots=True)
class Failure:
    """What failed, where, and how often it did.

    ``attempts`` counts this failure of this piece of work, itself included; ``targets_failed`` and ``squares_failed``
    count what was given up before in this square and on this grid.
    """

    phase: Phase
    error: EpicycleError
    attempts: int
    targets_failed: int
    squares_failed: int
    plan: RecoveryPlan
    loader: LoaderPlan


GRID_PHASES = frozenset({Phase.TAKE_ATLAS, Phase.REGISTER, Phase.FIND_SQUARES, Phase.CHOOSE_SQUARES, Phase.NEXT_SQUARE})
SQUARE_PHASES = frozenset({Phase.SURVEY_SQUARE, Phase.FIND_HOLES, Phase.CHOOSE_HOLES, Phase.NEXT_GROUP})
TARGET_PHASES = frozenset({Phase.CENTRE_GROUP, Phase.EXPOSE})


def ladder(failure: Failure) -> Recovery:
    """Decide by the kind of error first, by the place second, by the count third."""
    match failure.error:
        case LoaderJammed():
            return Recovery.STOP_LOADER
        case LoaderFault():
            return Recovery.RETRY if failure.attempts < failure.loader.attempts else Recovery.LEAVE_GRID
        case GridFault():
            return Recovery.LEAVE_GRID
        case ScopeFault():
            return Recovery.PAUSE if failure.plan.on_scope_fault == "pause" else Recovery.PARK
        case TargetFault():
            return _give_up(failure)
        case Transient() | AnalysisFailed():
            return Recovery.RETRY if failure.attempts <= failure.plan.transient_retries else _give_up(failure)
        case _:
            return Recovery.PARK


def _give_up(failure: Failure) -> Recovery:
    """Give up the smallest thing that the failure belongs to, or the next larger one when too many were given up."""
    if failure.phase in TARGET_PHASES:
        if failure.targets_failed + 1 < failure.plan.target_failures_per_square:
            return Recovery.SKIP_TARGET
        return _give_up_square(failure)
    if failure.phase in SQUARE_PHASES:
        return _give_up_square(failure)
    if failure.phase in GRID_PHASES or failure.phase in (Phase.LOAD_GRID, Phase.LEAVE_GRID):
        return Recovery.LEAVE_GRID
    return Recovery.PARK


def _give_up_square(failure: Failure) -> Recovery:
    if failure.squares_failed + 1 < failure.plan.square_failures_per_grid:
        return Recovery.SKIP_SQUARE
    return Recovery.LEAVE_GRID
