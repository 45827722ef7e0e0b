import pytest

from epicycle.hardware import errors
from epicycle.orchestrator.flow import Phase
from epicycle.orchestrator.recovery import AnalysisFailed, Failure, Recovery, ladder
from epicycle.protocols.errors import EpicycleError
from epicycle.protocols.screening import LoaderPlan, RecoveryPlan


def asked(error, phase=Phase.EXPOSE, attempts=1, targets=0, squares=0, **plan):
    return ladder(
        Failure(
            phase,
            error("it broke"),
            attempts,
            targets,
            squares,
            RecoveryPlan(transient_retries=2, target_failures_per_square=3, square_failures_per_grid=2, **plan),
            LoaderPlan(attempts=2),
        )
    )


@pytest.mark.parametrize(
    ("question", "rung"),
    [
        ({"error": errors.Stuck}, Recovery.RETRY),
        ({"error": errors.CameraTimeout, "attempts": 3}, Recovery.SKIP_TARGET),
        ({"error": errors.CameraTimeout, "attempts": 3, "targets": 2}, Recovery.SKIP_SQUARE),
        ({"error": errors.CameraTimeout, "attempts": 3, "targets": 2, "squares": 1}, Recovery.LEAVE_GRID),
        ({"error": errors.FocusFailed, "phase": Phase.CENTRE_GROUP}, Recovery.SKIP_TARGET),
        ({"error": errors.StageLimit, "phase": Phase.SURVEY_SQUARE}, Recovery.SKIP_SQUARE),
        ({"error": AnalysisFailed, "phase": Phase.FIND_SQUARES, "attempts": 3}, Recovery.LEAVE_GRID),
        ({"error": errors.GridFault, "phase": Phase.TAKE_ATLAS}, Recovery.LEAVE_GRID),
        ({"error": errors.LoadFailed, "phase": Phase.LOAD_GRID}, Recovery.RETRY),
        ({"error": errors.LoadFailed, "phase": Phase.LOAD_GRID, "attempts": 2}, Recovery.LEAVE_GRID),
        ({"error": errors.LoaderJammed, "phase": Phase.LOAD_GRID}, Recovery.STOP_LOADER),
        ({"error": errors.ValveClosed}, Recovery.PAUSE),
        ({"error": errors.VacuumLost, "on_scope_fault": "park"}, Recovery.PARK),
        ({"error": errors.Stuck, "phase": Phase.INVENTORY, "attempts": 9}, Recovery.PARK),
        ({"error": EpicycleError}, Recovery.PARK),
    ],
)
def test_the_smallest_thing_that_helps_is_done(question, rung):
    assert asked(**question) is rung


def every(kind):
    yield kind
    for below in kind.__subclasses__():
        yield from every(below)


@pytest.mark.parametrize("error", list(every(errors.HardwareError)))
@pytest.mark.parametrize("phase", [phase for phase in Phase if phase is not Phase.FINISHED])
def test_no_failure_is_retried_for_ever(error, phase):
    assert asked(error, phase, attempts=50) is not Recovery.RETRY
