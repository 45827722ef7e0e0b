"""What stands between the sample and a bad moment: valve, vacuum, beam, dewars, deadlines, and the words on a fault."""

from datetime import datetime, timedelta
from itertools import pairwise

from sqlalchemy import select

from ..db import models
from ..db.journal import Entry
from ..hardware.errors import BeamLost, DiskFull, HardwareError, Refilling, VacuumLost, ValveClosed
from ..hardware.records import ScopeStatus, Vacuum
from ..protocols.errors import EpicycleError
from ..targeting.upkeep import due_before_it_begins, due_by_interval, expected_s
from .flow import RunStatus
from .halting import Halt
from .night import Night

ASK_AGAIN_S = 30.0


def check(night: Night) -> None:
    """Read the microscope's health before anything that costs sample; wait out a dewar fill and a pump cycle.

    Raises
    ------
    VacuumLost, ValveClosed, BeamLost, DiskFull
        The microscope cannot be used as it is.
    Refilling
        A fill or a pump cycle outlasted its limit.
    """
    status = night.column.status()
    if status.filling:
        wait_for_refill(night)
        status = night.column.status()
    if status.pumping:
        status = _wait_for_pump(night)
    _demand_beam(status)


def _demand_beam(status: ScopeStatus) -> None:
    if status.vacuum is not Vacuum.GREEN:
        raise VacuumLost(f"the vacuum is {status.vacuum}; nothing is exposed until it is green")
    if not status.valve_open:
        raise ValveClosed("the column valve is closed though nobody closed it; nothing is exposed until it is open")
    if not status.beam_on:
        raise BeamLost("there is no beam; nothing is exposed until there is")
    if status.free_disk_mb is not None and status.free_disk_mb <= 0:
        raise DiskFull("the images' disk takes nothing; nothing is exposed until it does")


def refill_if_due(night: Night) -> None:
    """At a grid exchange: fill the dewars now if they would ask for it soon."""
    status = night.column.status()
    soon_s = 60 * night.protocol.dewars.fill_when_due_within_min
    due = status.refill_due_s is not None and status.refill_due_s < soon_s
    if status.filling or due:
        wait_for_refill(night)


def wait_for_refill(night: Night) -> None:
    """Have the dewars filled and wait for the end, within the limit."""
    with night.journal.read() as db:
        done = len(
            db.scalars(select(models.Step.key).where(models.Step.kind == "refill", models.Step.status == "done")).all()
        )
    limit_s = 60 * night.protocol.dewars.wait_limit_min

    def act(_: object) -> float:
        began = night.clock.now()
        night.column.refill()
        return (night.clock.now() - began).total_seconds()

    def record(entry: Entry, took_s: float) -> None:
        entry.say("refilled", f"dewars filled, {took_s / 60:.0f} min", took_s=took_s, over_limit=took_s > limit_s)

    night.journal.step(f"refill {done + 1}", "refill", act, record, grid_id=night.me.grid_id)
    status = night.column.status()
    if status.filling:
        raise Refilling(f"a dewar fill did not end within {limit_s / 60:.0f} min; waiting again")


def _wait_for_pump(night: Night) -> ScopeStatus:
    """Wait until the vacuum's pump is still, within the limit that fills have too."""
    began, limit_min = night.clock.now(), night.protocol.dewars.wait_limit_min
    while (status := night.column.status()).pumping:
        if night.clock.now() - began >= timedelta(minutes=limit_min):
            raise Refilling(f"a pump cycle did not end within {limit_min:g} min; waiting again")
        night.clock.sleep(ASK_AGAIN_S)
    waited_s = (night.clock.now() - began).total_seconds()
    with night.journal.write(grid_id=night.me.grid_id) as entry:
        entry.say("pump_waited", f"waited {waited_s:.0f} s for the vacuum's pump", waited_s=waited_s)
    return status


def keep_up(night: Night) -> None:
    """Before the long move to a square: what would come due on it is done now, while nothing drifts that is needed."""
    refine_zero_loss(night, before_long_move=True)
    if not night.protocol.dewars.fill_before_squares:
        return
    status = night.column.status()
    if due_before_it_begins(status.refill_due_s, _next_long_move_s(night)):
        wait_for_refill(night)


def refine_zero_loss(night: Night, *, before_long_move: bool = False, at_once: bool = False) -> None:
    """Centre the zero-loss peak when its interval has passed, best before a long move; or at once."""
    hours = night.protocol.zero_loss_interval_h
    if hours <= 0 and not at_once:
        return
    with night.journal.read() as db:
        ends = db.scalars(
            select(models.Step.ended_at).where(models.Step.kind == "zero loss", models.Step.status == "done")
        ).all()
    last = max((end for end in ends if end is not None), default=None)
    since_s = None if last is None else (night.clock.now() - last).total_seconds()
    if not at_once and not due_by_interval(
        since_s, 3600 * hours, before_long_move=before_long_move, next_long_move_s=_next_long_move_s(night)
    ):
        return
    night.journal.step(
        f"zero loss {len(ends) + 1}",
        "zero loss",
        lambda _: night.column.refine_zero_loss(),
        lambda entry, _: _said(entry, "zero_loss_refined", "zero-loss peak centred"),
        grid_id=night.me.grid_id,
    )


def _next_long_move_s(night: Night) -> float | None:
    """How long the stage will stay about one square, from the squares of the grid at hand and else of the night."""
    with night.journal.read() as db:
        began = db.execute(
            select(models.Event.grid_id, models.Event.at)
            .where(models.Event.kind.in_(("square_began", "grid_left")))
            .order_by(models.Event.id)
        ).all()
    lasted = [(grid, (end - at).total_seconds()) for (grid, at), (to, end) in pairwise(began) if to == grid]
    here = [seconds for grid, seconds in lasted if grid == night.me.grid_id]
    return expected_s(here or [seconds for _, seconds in lasted])


def _said(entry: Entry, kind: str, text: str) -> None:
    entry.say(kind, text)


def open_after_rest(night: Night) -> None:
    """After a stop we closed the valve: open it if the vacuum allows; otherwise the next check deals with it."""
    status = night.column.status()
    if not status.valve_open and status.vacuum is Vacuum.GREEN:
        night.column.open_valve()


def past_deadline(night: Night) -> bool:
    """Whether the night's time is up."""
    return night.me.deadline_at is not None and night.clock.now() >= night.me.deadline_at


def grid_time_is_up(night: Night) -> bool:
    """Whether the grid at hand has had the time that the protocol gives it in this pass."""
    limit_min = night.protocol.time.per_grid_min
    if limit_min is None:
        return False
    arrived = arrived_at(night)
    return arrived is not None and night.clock.now() - arrived >= timedelta(minutes=limit_min)


def arrived_at(night: Night) -> datetime | None:
    """When loading of the grid at hand began in this pass."""
    with night.journal.read() as db:
        return db.scalar(
            select(models.Event.at)
            .where(models.Event.kind == "grid_began", models.Event.grid_id == night.me.grid_id)
            .order_by(models.Event.id.desc())
            .limit(1)
        )


def note_fault(night: Night, error: EpicycleError, recovery: str, work: str | None = None, attempt: int = 1) -> None:
    """Write down what failed and what is done about it."""
    with night.journal.write(work, night.me.grid_id) as entry:
        entry.db.add(
            models.Fault(
                session_id=night.me.id,
                at=entry.at,
                grid_id=night.me.grid_id,
                step_key=work,
                kind=type(error).__name__,
                message=str(error),
                recovery=recovery,
                attempt=attempt,
            )
        )
        entry.say("failed", f"{type(error).__name__}: {error} → {recovery.replace('-', ' ')}", recovery=recovery)


def wait_for_scope(night: Night, error: EpicycleError) -> None:
    """Wait until the microscope is fit again: reopen the valve on a green vacuum, give the rest time, then give up.

    A beam that was lost though all else is well may have left the filter's slit, so the peak is centred then.

    Raises
    ------
    Halt
        It did not recover within the protocol's limit: parked, for a person.
    """
    limit = night.clock.now() + timedelta(minutes=night.protocol.recovery.scope_fault_wait_min)
    while True:
        if _made_fit(night):
            if isinstance(error, BeamLost) and night.column.capabilities().has_energy_filter:
                refine_zero_loss(night, at_once=True)
            return
        if night.clock.now() >= limit:
            raise Halt(RunStatus.PARKED, f"the microscope did not recover: {error}")
        night.clock.sleep(ASK_AGAIN_S)


def _made_fit(night: Night) -> bool:
    """Open the valve if the vacuum allows, and say whether all is well; an error on the way means not yet."""
    try:
        status = night.column.status()
        if status.vacuum is Vacuum.GREEN and not status.valve_open:
            night.column.open_valve()
            status = night.column.status()
        _demand_beam(status)
    except HardwareError:
        return False
    return True
