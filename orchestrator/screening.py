"""The screening, as an operator would tell it: phases that ask the record what is left, until nothing is."""

from ..db import models
from ..protocols.errors import EpicycleError
from . import atlas, centring, choosing, commands, exposing, guarding, judging, loading, mending, surveying
from .flow import FLOW, Phase, RunStatus
from .halting import Halt
from .night import Night

MENDS = 3
"""How often dealing with a failure may itself fail."""

Move = tuple[Phase, str]
"""The next phase, and what is being done there and why, for people."""


def screen(night: Night) -> models.Session:
    """Go on until finished, stopped or parked; answers the session as it then is."""
    try:
        judging.begin_waiting(night)
        while night.phase is not Phase.FINISHED:
            after, doing = _one_phase(night)
            if after is not night.phase:
                _move(night, after, doing)
    except Halt as halt:
        loading.halt(night, halt)
    except BaseException:
        _park_quietly(night)
        raise
    finally:
        night.analyst.close()
    return night.me


def _one_phase(night: Night) -> Move:
    try:
        commands.boundary(night)
        return _do(night)
    except EpicycleError as error:
        return _mended(night, error, MENDS)


def _mended(night: Night, error: EpicycleError, left: int) -> Move:
    """Mend a failure, and a failure of the mending, a few times; then nobody but a person can."""
    try:
        return mending.mend(night, error)
    except EpicycleError as another:
        if left == 0:
            raise Halt(RunStatus.PARKED, f"{another} (while dealing with: {error})") from another
        return _mended(night, another, left - 1)


def _do(night: Night) -> Move:
    match night.phase:
        case Phase.INVENTORY:
            return loading.take_inventory(night)
        case Phase.NEXT_GRID:
            return loading.next_grid(night)
        case Phase.LOAD_GRID:
            return loading.load_grid(night)
        case Phase.TAKE_ATLAS:
            return atlas.take_atlas(night)
        case Phase.REGISTER:
            return atlas.register(night)
        case Phase.FIND_SQUARES:
            return atlas.find_squares(night)
        case Phase.CHOOSE_SQUARES:
            return choosing.choose_squares(night)
        case Phase.NEXT_SQUARE:
            return exposing.next_square(night)
        case Phase.SURVEY_SQUARE:
            return surveying.survey_square(night)
        case Phase.FIND_HOLES:
            return surveying.find_holes(night)
        case Phase.CHOOSE_HOLES:
            return choosing.choose_holes(night)
        case Phase.NEXT_GROUP:
            return exposing.next_group(night)
        case Phase.CENTRE_GROUP:
            return centring.centre_group(night)
        case Phase.EXPOSE:
            return exposing.expose(night)
        case Phase.LEAVE_GRID:
            return loading.leave_grid(night)
        case Phase.CHOOSE_GRIDS:
            return choosing.choose_grids(night)
        case Phase.PARK:
            return loading.park(night)
        case Phase.FINISHED:
            raise AssertionError("a finished night has nothing to do")


def _move(night: Night, after: Phase, doing: str) -> None:
    if after not in FLOW[night.phase]:
        raise AssertionError(f"{night.phase} may not lead to {after}")
    night.set(f"{after.replace('_', ' ')}: {doing}", phase=after.value, doing=doing)


def _park_quietly(night: Night) -> None:
    """Bring the microscope to rest before an error nobody expected goes up."""
    try:
        night.column.park()
    except EpicycleError as error:
        guarding.note_fault(night, error, "park")
