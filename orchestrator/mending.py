"""After a failure: count it, ask the ladder, do what the ladder says."""

from ..hardware.errors import LoaderFault, LoaderJammed
from ..protocols.errors import EpicycleError
from . import guarding, loading, remaining
from .flow import Phase, RunStatus
from .giving_up import give_up_grid, give_up_square, give_up_target
from .halting import Halt
from .night import Night
from .recovery import Failure, Recovery, ladder

SCOPE_FAULTS_BORNE = 5
"""A microscope that fails so often at one piece of work, recovering in between, is parked."""


def mend(night: Night, error: EpicycleError) -> tuple[Phase, str]:
    """Decide and do; answers the phase to go on with."""
    failure, work = _failure(night, error)
    rung = ladder(failure)
    if rung is Recovery.PAUSE and failure.attempts > SCOPE_FAULTS_BORNE:
        rung = Recovery.PARK
    guarding.note_fault(night, error, rung.value, work, failure.attempts)
    night.refresh()
    match rung:
        case Recovery.RETRY:
            loader = isinstance(error, LoaderFault)
            night.clock.sleep(failure.loader.retry_after_s if loader else failure.plan.retry_after_s)
            return night.phase, night.me.doing
        case Recovery.SKIP_TARGET:
            return give_up_target(night, str(error))
        case Recovery.SKIP_SQUARE:
            return give_up_square(night, str(error))
        case Recovery.LEAVE_GRID:
            return give_up_grid(night, error)
        case Recovery.STOP_LOADER:
            return loading.stop_loader(night, error if isinstance(error, LoaderJammed) else LoaderJammed(str(error)))
        case Recovery.PAUSE:
            guarding.wait_for_scope(night, error)
            return night.phase, night.me.doing
        case Recovery.PARK:
            raise Halt(RunStatus.PARKED, str(error))


def _failure(night: Night, error: EpicycleError) -> tuple[Failure, str]:
    me = night.me
    work = f"{me.phase} grid {me.grid_id} square {me.square_id} group {me.group_id} hole {night.hole_in_work}"
    if night.hole_in_work is not None and night.shot_in_work:
        work += f" shot {night.shot_in_work}"
    with night.journal.read() as db:
        failure = Failure(
            phase=night.phase,
            error=error,
            attempts=remaining.failures(db, work, type(error).__name__) + 1,
            targets_failed=remaining.failed_targets(db, me.square_id),
            squares_failed=remaining.failed_squares(db, me.grid_id),
            plan=night.protocol.recovery,
            loader=night.protocol.loader,
        )
    return failure, work
