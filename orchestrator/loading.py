"""Grids come and go: inventory, loading with two readings, leaving, parking, halting."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select

from ..db import models
from ..db.journal import Entry
from ..hardware.errors import LoaderFault, LoaderJammed, LoadFailed
from ..hardware.records import Slot, SlotState
from ..protocols.errors import EpicycleError
from . import guarding, judging, remaining
from .flow import Phase, RunStatus
from .giving_up import end_grid
from .halting import Halt
from .night import Night
from .shooting import adopt_strays

Move = tuple[Phase, str]


def take_inventory(night: Night) -> Move:
    """Ask the loader what is where; slots it calls empty are not tried."""

    def record(entry: Entry, slots: Sequence[Slot]) -> None:
        found = {slot.number: slot.state for slot in slots}
        empty = []
        for grid in entry.db.scalars(select(models.Grid).order_by(models.Grid.slot)):
            if found.get(grid.slot) is SlotState.EMPTY:
                grid.status, grid.reason = "empty", "the loader says that this slot is empty"
                empty.append(grid.slot)
        unlisted = sorted(n for n, state in found.items() if state is SlotState.OCCUPIED) if found else []
        text = f"inventory: {len(found)} slots" + (f", empty: {', '.join(map(str, empty))}" if empty else "")
        entry.say("inventory_taken", text, slots={str(n): s.value for n, s in found.items()}, occupied=unlisted)

    night.journal.step("inventory", "inventory", lambda _: night.column.inventory(), record)
    return Phase.NEXT_GRID, "the first grid"


def next_grid(night: Night) -> Move:
    """Go to the next grid of this pass, to the next pass, or home."""
    if guarding.past_deadline(night):
        return Phase.PARK, "the night's time is up"
    with night.journal.read() as db:
        grid = remaining.next_grid(db, night.me.id)
    if grid is None:
        return Phase.CHOOSE_GRIDS, "every grid of this pass is done"
    with night.journal.write(grid_id=grid.id) as entry:
        row = entry.row(models.Session, night.me.id)
        row.grid_id, row.square_id, row.group_id = grid.id, None, None
        entry.row(models.Grid, grid.id).status = "loading"
        entry.say("grid_began", f"going to the grid in slot {grid.slot} ({grid.name})", slot=grid.slot)
    night.refresh()
    return Phase.LOAD_GRID, f"slot {grid.slot} ({grid.name})"


def load_grid(night: Night) -> Move:
    """Bring the grid to the stage and make sure of it by a second reading; ask the instrument before acting."""
    grid = night.grid()
    guarding.refill_if_due(night)
    here = night.column.loaded()
    if here == grid.slot and grid.loads > 0:
        return _stay(night, grid)
    key = f"grid {grid.slot} load {grid.loads + 1}"

    def act(_: Mapping[str, Any]) -> None:
        if night.column.loaded() != grid.slot:
            with night.journal.write(key, grid.id) as entry:
                entry.row(models.Grid, grid.id).load_attempts += 1
                entry.say("exchange_began", f"exchanging {here or 'nothing'} for slot {grid.slot}", on_stage=here)
            night.column.load(grid.slot)
        _make_sure(night, grid.slot)
        status = night.column.status()
        if not status.valve_open:
            night.column.open_valve()

    def record(entry: Entry, _: None) -> None:
        row = entry.row(models.Grid, grid.id)
        row.status = "loaded"
        row.loads += 1
        row.reason = ""
        row.first_loaded_at = row.first_loaded_at or entry.at
        entry.say("grid_loaded", f"grid in slot {row.slot} ({row.name}) is on the stage", slot=row.slot)

    night.journal.step(key, "load", act, record, grid_id=grid.id)
    return Phase.TAKE_ATLAS, f"slot {grid.slot} ({grid.name})"


def _stay(night: Night, grid: models.Grid) -> Move:
    """Go on with a grid that never left the stage."""
    with night.journal.read() as db:
        surveyed = remaining.present_atlas(db, grid)
        found = remaining.any_square(db, grid.id)
    if grid.status != "loaded":
        with night.journal.write(grid_id=grid.id) as entry:
            entry.row(models.Grid, grid.id).status = "loaded"
            entry.say("grid_kept", f"grid in slot {grid.slot} is still on the stage", slot=grid.slot)
    if not night.column.status().valve_open:
        night.column.open_valve()
    if surveyed is not None and surveyed.status == "done" and found:
        return Phase.CHOOSE_SQUARES, f"slot {grid.slot} ({grid.name}), still on the stage"
    return Phase.TAKE_ATLAS, f"slot {grid.slot} ({grid.name})"


def _make_sure(night: Night, slot: int) -> None:
    """Read twice: the instrument must say that this grid, and no other, is on the stage."""
    readings = (night.column.loaded(), night.column.loaded())
    if readings != (slot, slot):
        raise LoadFailed(
            f"slot {slot} was loaded, yet the microscope says that {readings[0] or 'nothing'} is on the stage; "
            "the slot is tried again, then left"
        )


def leave_grid(night: Night) -> Move:
    """Close the grid for this pass; it stays on the stage until the next one comes."""
    judging.take_results(night)
    adopt_strays(night)
    grid = night.grid()
    with night.journal.write(grid_id=grid.id) as entry:
        row = entry.row(models.Grid, grid.id)
        end_grid(entry, row, row.reason or "the grid was left")
        if row.status in ("loading", "loaded"):
            row.status = "screened" if row.loads else "failed"
        arrived = guarding.arrived_at(night)
        if arrived is not None and row.passes_done <= night.me.pass_number:
            row.used_s += (entry.at - arrived).total_seconds()
        row.passes_done = night.me.pass_number + 1
        row.finished_at = entry.at
        session = entry.row(models.Session, night.me.id)
        session.square_id = session.group_id = None
        entry.say("grid_left", f"slot {row.slot} ({row.name}) {row.status}" + (f": {row.reason}" if row.reason else ""))
    night.refresh()
    if night.protocol.pause_between_grids:
        night.set("waiting for a person between two grids", "paused", run_status=RunStatus.PAUSED.value)
    if _too_many_failed_slots(night):
        return stop_loader(night, LoaderJammed("too many slots failed one after another; the loader is not trusted"))
    return Phase.NEXT_GRID, "the next grid"


def _too_many_failed_slots(night: Night) -> bool:
    """Whether the last loads all failed: then it is the loader, not the grids."""
    limit = night.protocol.loader.failed_slots_limit
    with night.journal.read() as db:
        last = db.scalars(
            select(models.Grid)
            .where(models.Grid.finished_at.is_not(None))
            .order_by(models.Grid.finished_at.desc())
            .limit(limit)
        ).all()
    return len(last) == limit and all(grid.status == "failed" and grid.loads == 0 for grid in last)


def stop_loader(night: Night, error: LoaderFault) -> Move:
    """Load nothing more tonight; a grid that is on the stage is still worth its time."""
    here = night.column.loaded()
    with night.journal.write(grid_id=night.me.grid_id) as entry:
        for grid in entry.db.scalars(select(models.Grid).where(models.Grid.status.in_(("waiting", "loading")))):
            if grid.slot != here:
                grid.status, grid.reason = "failed", f"the loader is not used any more: {error}"
                grid.finished_at = entry.at
        entry.say("loader_stopped", f"no more exchanges tonight: {error}", on_stage=here)
    at_hand = night.grid() if night.me.grid_id is not None else None
    if at_hand is not None and at_hand.slot == here and night.phase is Phase.LOAD_GRID:
        return Phase.LOAD_GRID, "the grid that is on the stage"
    if night.phase is Phase.LEAVE_GRID or at_hand is None:
        return Phase.NEXT_GRID if night.phase is Phase.LEAVE_GRID else Phase.PARK, "what is left without the loader"
    return Phase.LEAVE_GRID, str(error)


def park(night: Night) -> Move:
    """Wait for the last results, bring the grid home, bring the microscope to rest."""
    judging.drain(night)
    adopt_strays(night)
    home = _bring_home(night)
    night.journal.step("park", "park", lambda _: night.column.park(), lambda entry, _: _said_parked(entry))
    with night.journal.write() as entry:
        for grid in entry.db.scalars(select(models.Grid).where(models.Grid.status == "waiting")):
            grid.status, grid.reason = "skipped", "the night's time was up before its turn"
        row = entry.row(models.Session, night.me.id)
        row.run_status, row.finished_at, row.outcome = RunStatus.FINISHED.value, entry.at, home
        row.grid_id = row.square_id = row.group_id = None
        entry.say("night_finished", f"the night is over; {home}")
    night.refresh()
    return Phase.FINISHED, "done"


def _said_parked(entry: Entry) -> None:
    entry.say("parked", "microscope parked: valve closed, stage and shift at zero")


def _bring_home(night: Night) -> str:
    """Unload the grid on the stage; if that fails it is left there, and the record says so."""
    retries = night.protocol.recovery.transient_retries
    for attempt in range(1, retries + 2):
        try:
            return _unload_last(night)
        except EpicycleError as error:
            last = attempt > retries
            guarding.note_fault(night, error, "leave-on-stage" if last else "retry", "unload last", attempt)
            if last:
                return f"a grid may be on the stage, it could not be brought home: {error}"
            night.clock.sleep(night.protocol.recovery.retry_after_s)
    raise AssertionError("the loop above returns")


def _unload_last(night: Night) -> str:
    here = night.column.loaded()
    if here is None:
        return "every grid is in its slot"
    night.journal.step(
        "unload last", "unload", lambda _: night.column.unload(), lambda entry, _: _said_home(entry, here)
    )
    slot = night.column.loaded()
    return "every grid is in its slot" if slot is None else f"the grid of slot {slot} is on the stage"


def _said_home(entry: Entry, slot: int) -> None:
    entry.say("grid_unloaded", f"grid back in slot {slot}", slot=slot)


def halt(night: Night, why: Halt) -> None:
    """Park now and write down where we stopped; the phase stays, so that the night can be resumed."""
    try:
        night.column.park()
        adopt_strays(night)
        parked = "microscope parked"
    except EpicycleError as error:
        guarding.note_fault(night, error, "park")
        parked = f"the microscope could not be parked ({error}); see to it"
    night.set(f"{why.why}; {parked}", "halted", run_status=why.status.value, outcome=f"{why.why}; {parked}")
