"""Each fault strikes when it is told to, shows as it would, and strikes no more often than it should."""

import math
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from epicycle.hardware.errors import (
    CameraTimeout,
    ConnectionLost,
    DiskFull,
    FocusFailed,
    HardwareError,
    LoaderJammed,
    LoadFailed,
    VacuumLost,
    ValveClosed,
)
from epicycle.hardware.records import Shot, SlotState, StagePosition, Vacuum
from epicycle.hardware.simulator import calls_made
from epicycle.hardware.simulator.evaluation import truth
from epicycle.hardware.simulator.instrument.fault_reference import reference
from epicycle.hardware.simulator.instrument.faults import Fault, drawn
from epicycle.protocols.errors import BadInput

Make = Callable[..., Any]


def fault(kind: str, how: str = "before", lasts_h: float | None = 0.5, **at: Any) -> dict[str, Any]:
    return {"kind": kind, "how": how, "lasts_h": lasts_h, "at": at}


def watched(clock: Any, act: Callable[[], object], deadline_s: float) -> object:
    """Make a call as the column does: in another thread, with a deadline."""
    seat = ThreadPoolExecutor(1)

    def start() -> "Future[object]":
        work = seat.submit(act)
        seat.shutdown(wait=False)
        return work

    return clock.watch(start, deadline_s)


def test_a_load_fails_as_often_as_told(bench: Make) -> None:
    microscope = bench(faults=[fault("load-fails", slot=1, times=2)]).connect()
    for _ in range(2):
        with pytest.raises(LoadFailed, match="slot 1"):
            microscope.load(1)
        assert microscope.loaded() is None
    microscope.load(1)
    assert microscope.loaded() == 1


def test_a_load_fails_for_good(bench: Make) -> None:
    microscope = bench(world=None, faults=[fault("load-fails", slot=2, times=None)]).connect()
    microscope.load(1)
    for _ in range(5):
        with pytest.raises(LoadFailed):
            microscope.load(2)
    assert microscope.inventory()[1].state is SlotState.OCCUPIED
    microscope.load(1)


def test_a_fault_that_struck_before_a_crash_does_not_strike_again(bench: Make) -> None:
    night = bench(faults=[fault("load-fails", slot=1)])
    with pytest.raises(LoadFailed):
        night.connect().load(1)
    night.connect().load(1)


def test_a_jam_ends_all_exchanges(bench: Make) -> None:
    night = bench(world=None, faults=[fault("loader-jam", call="load", number=2)])
    microscope = night.connect()
    microscope.load(1)
    with pytest.raises(LoaderJammed):
        microscope.load(2)
    assert not microscope.status().loader_ok
    assert microscope.loaded() == 1, "the grid on the stage can still be used"
    for act in (lambda: microscope.load(2), microscope.unload, lambda: night.connect().unload()):
        with pytest.raises(LoaderJammed):
            act()
    microscope.load(1)
    microscope.park()


def test_the_valve_closes_and_opens_again_after_a_while(bench: Make) -> None:
    night = bench(faults=[fault("valve-closes", after_h=1.0)])
    microscope = night.connect()
    microscope.open_valve()
    assert microscope.status().valve_open
    night.clock.sleep(3600)
    assert not microscope.status().valve_open
    with pytest.raises(ValveClosed):
        microscope.open_valve()
    night.clock.sleep(1800)
    microscope.open_valve()
    assert microscope.status().valve_open


def test_vacuum_is_lost_and_nobody_opens_the_valve_on_it(bench: Make) -> None:
    night = bench(faults=[fault("vacuum-lost", after_h=1.0, lasts_h=2.0)])
    microscope = night.connect()
    microscope.open_valve()
    night.clock.sleep(3700)
    status = microscope.status()
    assert (status.vacuum, status.valve_open) == (Vacuum.RED, False)
    with pytest.raises(VacuumLost):
        microscope.open_valve()
    night.clock.sleep(2 * 3600)
    microscope.open_valve()
    assert microscope.status().vacuum is Vacuum.GREEN


def test_a_camera_times_out_with_the_dose_given_and_no_image(bench: Make, on_square: Make) -> None:
    night = bench(faults=[fault("camera-timeout", call="acquire", number=1)])
    microscope = night.connect()
    on_square(microscope)
    exposure = Shot(microscope.presets()["exposure"])
    with pytest.raises(CameraTimeout) as told:
        microscope.acquire(exposure, "shot")
    assert told.value.may_have_run
    assert microscope.stored("shot") is None
    assert len(truth.exposures(night.memory)) == 1
    microscope.acquire(exposure, "shot-2")


@pytest.mark.parametrize(("how", "done"), [("before", False), ("after", True)])
def test_a_connection_drops_before_or_after_the_effect(bench: Make, how: str, done: bool) -> None:
    microscope = bench(faults=[fault("connection-lost", how=how, call="load", number=1)]).connect()
    with pytest.raises(ConnectionLost) as told:
        microscope.load(1)
    assert told.value.may_have_run
    assert (microscope.loaded() == 1) is done


@pytest.mark.parametrize(("how", "done"), [("before", False), ("after", True)])
def test_a_hung_call_has_run_or_not(bench: Make, how: str, done: bool) -> None:
    night = bench(faults=[fault("call-hangs", how=how, call="load", number=1)])
    microscope = night.connect()
    before = night.clock.now()
    with pytest.raises(TimeoutError):
        watched(night.clock, lambda: microscope.load(1), 900.0)
    assert night.clock.now() == before + timedelta(seconds=900)
    threads = threading.active_count()
    night.clock.abandon()
    for _ in range(100):
        if threading.active_count() < threads:
            break
        threading.Event().wait(0.02)
    again = night.connect(at=night.clock.now())
    assert (again.loaded() == 1) is done
    again.load(1)
    assert again.loaded() == 1


def test_garbage_cannot_be_taken_for_truth(bench: Make, on_square: Make) -> None:
    night = bench(faults=[fault("garbage", call="position", number=1), fault("garbage", call="acquire", number=1)])
    microscope = night.connect()
    on_square(microscope)
    assert math.isnan(microscope.position().x_um)
    assert not math.isnan(microscope.position().x_um)
    preset = microscope.presets()["hole"]
    image = microscope.acquire(Shot(preset), "odd")
    assert math.isnan(image.mean_counts)
    kept = microscope.stored("odd")
    assert kept is not None
    assert not math.isnan(kept.mean_counts), "what is on disk is right"


def test_focusing_fails_and_works_the_next_time(bench: Make, on_square: Make) -> None:
    faults = [fault("focus-fails", call="autofocus", number=1), fault("focus-fails", call="eucentric_height", number=1)]
    microscope = bench(faults=faults).connect()
    on_square(microscope)
    for act in (lambda: microscope.autofocus(-1.5), lambda: microscope.eucentric_height("tilt")):
        with pytest.raises(FocusFailed):
            act()
        act()


def test_drift_stays_high(bench: Make, on_square: Make) -> None:
    microscope = bench(faults=[fault("drift-high", call="settle", number=1)]).connect()
    on_square(microscope)
    stuck = microscope.settle(2.0, 120.0)
    assert not stuck.settled
    assert stuck.rate_a_per_s > 2.0
    assert 120.0 <= stuck.waited_s < 140.0
    assert microscope.settle(2.0, 120.0).settled


def test_a_stuck_stage_says_where_it_is(bench: Make, on_square: Make) -> None:
    night = bench(faults=[fault("stage-stuck", call="go_to", number=3)])
    microscope = night.connect()
    at = on_square(microscope)
    assert microscope.go_to(StagePosition(0.0, 0.0)) == at
    assert microscope.position() == at
    assert abs(microscope.go_to(StagePosition(0.0, 0.0)).x_um) < 0.2


def test_a_full_disk_costs_no_dose(bench: Make, on_square: Make) -> None:
    night = bench(faults=[fault("disk-full", call="acquire", number=1)])
    microscope = night.connect()
    on_square(microscope)
    with pytest.raises(DiskFull):
        microscope.acquire(Shot(microscope.presets()["exposure"]), "shot")
    assert truth.exposures(night.memory) == []


def short_night(night: Any, on_square: Make) -> list[str]:
    """Touch everything once; give the names of the calls that answered."""
    microscope = night.connect()
    presets = microscope.presets()
    acts: list[tuple[str, Callable[[], object]]] = [
        ("inventory", microscope.inventory),
        ("load", lambda: microscope.load(1)),
        ("loaded", microscope.loaded),
        ("open_valve", microscope.open_valve),
        ("status", microscope.status),
        ("use", lambda: microscope.use(presets["square"])),
        ("go_to", lambda: microscope.go_to(StagePosition(10.0, 10.0))),
        ("acquire", lambda: microscope.acquire(Shot(presets["square"]), "a")),
        ("stored", lambda: microscope.stored("a")),
        ("settle", lambda: microscope.settle(1.0, 60.0)),
        ("refine_zero_loss", microscope.refine_zero_loss),
        ("set_defocus", lambda: microscope.set_defocus(-2.0)),
        ("position", microscope.position),
        ("refill", microscope.refill),
        ("unload", microscope.unload),
        ("park", microscope.park),
    ]
    answered = []
    for name, act in acts:
        try:
            watched(night.clock, act, 3000.0)
            answered.append(name)
        except TimeoutError:
            night.clock.abandon()
            microscope = night.connect(at=night.clock.now())
        except HardwareError:
            continue
    return answered


@pytest.mark.parametrize("how", ["raise", "hang-before", "hang-after", "garbage"])
def test_the_nth_call_of_any_kind_can_be_struck(bench: Make, on_square: Make, how: str) -> None:
    whole = short_night(bench(folder="whole", camera_scale=0.0625), on_square)
    for number in range(1, len(whole) + 1):
        night = bench(folder=f"{how}-{number}", camera_scale=0.0625, fail_call={"number": number, "how": how})
        answered = short_night(night, on_square)
        assert calls_made(night.memory) >= number
        if how == "garbage":
            assert len(answered) >= len(whole) - 2
        else:
            assert whole[number - 1] not in answered


def test_faults_drawn_from_the_seed_keep_their_rate() -> None:
    many = [fault for seed in range(40) for fault in drawn(seed, 0.5)]
    assert len(many) / (40 * 24) == pytest.approx(0.5, rel=0.15)
    assert drawn(3, 0.5) == drawn(3, 0.5)
    assert drawn(3, 0.5) != drawn(4, 0.5)
    assert drawn(3, 0.0) == []
    assert len({fault.kind for fault in many}) > 6
    assert all(isinstance(one, Fault) for one in many)


def test_a_script_of_faults_is_read_from_a_file(bench: Make, tmp_path: Any) -> None:
    script = tmp_path / "bad-night.yaml"
    script.write_text("- {kind: load-fails, at: {slot: 1, times: 1}}\n")
    with pytest.raises(LoadFailed):
        bench(faults=str(script)).connect().load(1)


def test_a_fault_strikes_at_a_place_of_the_stage_and_of_the_grid(bench: Make, on_square: Make) -> None:
    place = {"x_um": 200.0, "y_um": 0.0, "within_um": 10.0}
    microscope = bench(faults=[fault("stage-stuck", place={**place, "frame": "stage"})]).connect()
    microscope.load(1)
    microscope.go_to(StagePosition(50.0, 0.0))
    there = microscope.go_to(StagePosition(203.0, 0.0))
    assert microscope.go_to(StagePosition(0.0, 0.0)) == there
    assert abs(microscope.go_to(StagePosition(0.0, 0.0)).x_um) < 1.0
    night = bench(folder="grid")
    night.connect()
    x, y = truth.worlds(night.memory)[1].centre_of(1, 0)
    spot = {"x_um": float(x), "y_um": float(y), "within_um": 15.0, "frame": "grid", "slot": 1}
    microscope = bench(folder="grid2", faults=[fault("focus-fails", place=spot)]).connect()
    on_square(microscope, (0, 0))
    microscope.eucentric_height("tilt")
    on_square(microscope, (1, 0))
    with pytest.raises(FocusFailed, match="could trust"):
        microscope.eucentric_height("tilt")


def test_a_fault_at_a_rate_comes_so_often_and_from_the_seed(bench: Make) -> None:
    moments = []
    for folder in ("a", "b"):
        night = bench(folder=folder, faults=[fault("drift-high", per_h=2.0)])
        microscope = night.connect()
        microscope.load(1)
        for _ in range(20 * 12):
            night.clock.sleep(300)
            microscope.settle(50.0, 1.0)
        moments.append([one.at for one in truth.faults(night.memory)])
    assert moments[0] == moments[1]
    assert 25 <= len(moments[0]) <= 60


def test_swapped_grids_are_other_grids_and_only_the_truth_knows(bench: Make, behind: Make) -> None:
    night = bench(world=None, faults=[{**fault("grid-swapped", after_h=1.0), "slots": [1, 2]}])
    microscope = night.connect()
    microscope.load(1)
    first = behind(microscope).world.seed
    microscope.unload()
    night.clock.sleep(3600)
    microscope.load(2)
    assert microscope.loaded() == 2
    assert behind(microscope).world.seed == first
    microscope.open_valve()
    microscope.acquire(Shot(microscope.presets()["exposure"]), "shot")
    dose = truth.exposures(night.memory)[-1].dose
    assert (dose.slot, dose.of_grid) == (2, 1)
    (one,) = truth.faults(night.memory)
    assert (one.kind, one.call, one.strike) == ("grid-swapped", "load", 1)


def test_a_beam_astray_and_a_stuck_blanker_darken_pictures(bench: Make, on_square: Make) -> None:
    night = bench(
        faults=[
            fault("beam-moved", call="acquire", number=2, lasts_h=0.1),
            fault("dark-images", call="acquire", number=3, lasts_h=0.1),
        ]
    )
    microscope = night.connect()
    on_square(microscope)
    hole = Shot(microscope.presets()["hole"])
    bright, dim, dark = (microscope.acquire(hole, name).mean_counts for name in ("well", "astray", "blanked"))
    assert dark < 0.05 * bright
    assert dark < dim < 0.95 * bright
    assert microscope.status().beam_on
    night.clock.sleep(600)
    assert microscope.acquire(hole, "again").mean_counts == pytest.approx(bright, rel=0.1)


def test_a_share_that_is_gone_shows_and_comes_back(bench: Make, on_square: Make) -> None:
    night = bench(faults=[fault("share-gone", call="acquire", number=1, lasts_h=0.2)])
    microscope = night.connect()
    on_square(microscope)
    exposure = Shot(microscope.presets()["exposure"])
    with pytest.raises(DiskFull, match="written to"):
        microscope.acquire(exposure, "shot")
    assert microscope.status().free_disk_mb == 0.0
    assert truth.exposures(night.memory) == []
    night.clock.sleep(800)
    microscope.acquire(exposure, "shot")
    assert microscope.status().free_disk_mb is None


def test_a_ledger_cut_short_by_a_kill_is_read_without_its_end(bench: Make) -> None:
    night = bench(faults=[fault("load-fails", slot=1, times=2)])
    microscope = night.connect()
    with pytest.raises(LoadFailed):
        microscope.load(1)
    ledger = night.memory / "faults.jsonl"
    ledger.write_bytes(ledger.read_bytes() + b'{"at": "2026-')
    assert len(truth.faults(night.memory)) == 1
    with pytest.raises(LoadFailed):
        microscope.load(1)
    assert [one.strike for one in truth.faults(night.memory)] == [1, 2]


def test_the_page_of_faults_is_what_the_code_says() -> None:
    page = Path(__file__).parents[2] / "docs" / "reference" / "faults.md"
    assert page.read_text(encoding="utf-8") == reference(), (
        "the faults have changed; write `python -m epicycle.hardware.simulator.instrument.fault_reference` to the page"
    )


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"kind": "gremlins", "at": {"slot": 1}}, "kind"),
        ({"kind": "load-fails", "at": {"call": "lode", "number": 1}}, "there is no call lode"),
        ({"kind": "load-fails", "at": {"call": "go_to", "number": 1}}, "load-fails can strike load, never go_to"),
        ({"kind": "load-fails", "at": {"per_h": -1}}, "per_h"),
        ({"kind": "load-fails", "at": {"place": {"x_um": 0, "y_um": 0}}}, "within_um"),
        ({"kind": "load-fails", "at": {"slot": 1}, "slots": [1, 2]}, "grid-swapped alone"),
    ],
)
def test_a_fault_that_cannot_be_is_one_sentence(bench: Make, wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput, match=words) as told:
        bench(faults=[wrong]).connect()
    assert "\n" not in str(told.value)
