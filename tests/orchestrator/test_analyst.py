import os
import time
from datetime import UTC, datetime

import pytest

from epicycle.hardware.clock import VirtualClock
from epicycle.orchestrator.analyst import Analyst
from epicycle.orchestrator.recovery import AnalysisFailed

START = datetime(2026, 1, 5, 18, tzinfo=UTC)


def double(value: int, wait_s: float = 0.0) -> int:
    time.sleep(wait_s)
    return 2 * value


def fail(value: int) -> int:
    raise ValueError(f"cannot do {value}")


def die(_value: int) -> int:
    os._exit(9)


@pytest.fixture(params=[0, 2], ids=["here", "pool"])
def analyst(request):
    analyst = Analyst(VirtualClock(START), workers=request.param, timeout_s=30.0)
    yield analyst
    analyst.close()


def test_results_come_in_shot_order_when_their_time_has_come(analyst):
    clock = analyst._clock
    for number, wait_s in ((1, 0.3), (2, 0.0), (3, 0.0)):
        analyst.begin(number, double, number, wait_s, latency_s=20.0, since=clock.now())
        clock.sleep(5.0)
    assert list(analyst.collect()) == []
    clock.sleep(5.0)
    assert [(j.number, j.answer) for j in analyst.collect()] == [(1, 2)]
    assert [(j.number, j.answer) for j in analyst.drain()] == [(2, 4), (3, 6)]
    assert (clock.now() - START).total_seconds() == 30.0
    assert analyst.waiting == 0


def test_what_the_next_step_needs_is_waited_for(analyst):
    assert analyst.now(double, 21, latency_s=3.0) == 42
    assert (analyst._clock.now() - START).total_seconds() == 3.0
    with pytest.raises(AnalysisFailed, match="cannot do 4"):
        analyst.now(fail, 4, latency_s=1.0)


def test_a_failure_costs_its_own_result_only(analyst):
    since = analyst._clock.now()
    analyst.begin(1, fail, 1, latency_s=1.0, since=since)
    analyst.begin(2, double, 2, latency_s=1.0, since=since)
    one, two = analyst.drain()
    assert one.answer is None
    assert "cannot do 1" in one.failure
    assert two.answer == 4


def test_a_worker_that_dies_takes_nobody_with_it():
    analyst = Analyst(VirtualClock(START), workers=2, timeout_s=30.0, crashes=frozenset({3}))
    since = analyst._clock.now()
    analyst.begin(1, die, 1, latency_s=1.0, since=since)
    for number in (2, 3, 4):
        analyst.begin(number, double, number, latency_s=1.0, since=since)
    judged = list(analyst.drain())
    assert [j.answer for j in judged] == [None, 4, None, 8]
    assert "failed twice" in judged[0].failure
    analyst.close()


def test_a_pool_broken_meanwhile_is_replaced_when_work_comes():
    analyst = Analyst(VirtualClock(START), workers=1, timeout_s=30.0)
    analyst.begin(1, die, 1, latency_s=1.0, since=analyst._clock.now())
    deadline = time.monotonic() + 30
    while not analyst._pending[1].future.done() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert analyst.now(double, 4, latency_s=1.0) == 8
    assert [j.answer for j in analyst.drain()] == [None]
    analyst.close()


def test_an_analysis_that_does_not_end_is_given_up():
    analyst = Analyst(VirtualClock(START), workers=1, timeout_s=1.0)
    with pytest.raises(AnalysisFailed):
        analyst.now(double, 1, 60.0, latency_s=1.0)
    assert analyst.now(double, 5, latency_s=1.0) == 10
    analyst.close()
