"""The column: one thread, deadlines, hung calls. A small instrument of our own stands in for a vendor's driver."""

import math
import threading
from datetime import UTC, datetime

import pytest

from epicycle.hardware.clock import VirtualClock, WallClock
from epicycle.hardware.errors import Garbage, ScopeFault, Stuck
from epicycle.hardware.records import Capabilities, ScopeStatus, StagePosition, Vacuum
from epicycle.orchestrator.column import Column, Deadlines, Reread

START = datetime(2026, 1, 5, 18, tzinfo=UTC)


class Instrument:
    """A stage that can be told to hang, to lie, or to take its time."""

    connections = 0

    def __init__(self, clock, faults):
        type(self).connections += 1
        self.clock, self.faults, self.threads = clock, faults, set()
        if faults.get("dead"):
            clock.sleep(1e9)

    def capabilities(self):
        return Capabilities("toy", 12, 990.0, 60.0, 15.0, False, False, 200.0, 2.7)

    def go_to(self, target):
        self.threads.add(threading.current_thread().name)
        if self.faults.pop("hang", False):
            self.clock.sleep(1e9)
        self.clock.sleep(self.faults.get("slow_s", 3.0))
        if self.faults.pop("lie", False):
            return StagePosition(math.nan, 0.0)
        return target

    def loaded(self):
        return 3

    def position(self):
        return StagePosition(1.0, 2.0, 3.0)

    def status(self):
        return ScopeStatus(True, Vacuum.GREEN, True, False, None, True)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(START)


def column_on(clock, faults, **kwargs) -> Column:
    Instrument.connections = 0
    return Column(lambda: Instrument(clock, faults), clock, deadlines=Deadlines(move=100.0), **kwargs)


def test_calls_run_in_one_thread_of_their_own_and_take_virtual_time(clock):
    column = column_on(clock, {})
    assert column.go_to(StagePosition(1, 2)) == StagePosition(1, 2)
    assert (clock.now() - START).total_seconds() == 3.0
    assert column._scope.threads == {"column"}
    column.close()


def test_a_hung_call_is_stuck_at_its_deadline_and_the_state_is_read_again(clock):
    reread: list[tuple[str, Reread]] = []
    column = column_on(clock, {"hang": True}, on_restart=lambda act, seen: reread.append((act, seen)))
    with pytest.raises(Stuck, match="go_to gave no answer in 100 s") as stuck:
        column.go_to(StagePosition(1, 2))
    assert stuck.value.may_have_run
    assert (clock.now() - START).total_seconds() == 100.0
    assert Instrument.connections == 2
    assert reread == [("go_to", Reread(3, StagePosition(1.0, 2.0, 3.0), column.status()))]
    assert column.go_to(StagePosition(5, 6)).x_um == 5
    column.close()


def test_a_slow_call_is_stuck_too(clock):
    column = column_on(clock, {"slow_s": 101.0})
    with pytest.raises(Stuck):
        column.go_to(StagePosition(1, 2))
    column.close()


def test_an_instrument_that_does_not_come_back_is_a_fault_of_the_scope(clock):
    faults = {"hang": True}
    column = column_on(clock, faults)
    faults["dead"] = True
    with pytest.raises(ScopeFault, match="nor after its driver was restarted"):
        column.go_to(StagePosition(1, 2))
    column.close()


def test_a_position_that_is_no_number_is_never_believed(clock):
    column = column_on(clock, {"lie": True})
    with pytest.raises(Garbage):
        column.go_to(StagePosition(1, 2))
    column.close()


def test_trigger_points_stand_before_and_after_each_act(clock):
    points: list[str] = []
    column = column_on(clock, {}, point=points.append)
    column.go_to(StagePosition(0, 0))
    assert points[-2:] == ["before go_to", "after go_to"]
    column.close()


def test_on_the_wall_a_hung_call_does_not_keep_the_program_alive():
    class Hangs(Instrument):
        def go_to(self, target):
            threading.Event().wait()

    clock = WallClock()
    column = Column(lambda: Hangs(clock, {}), clock, deadlines=Deadlines(move=0.2))
    with pytest.raises(Stuck):
        column.go_to(StagePosition(0, 0))
    assert all(thread.daemon for thread in threading.enumerate() if thread.name == "column")
    column.close()
