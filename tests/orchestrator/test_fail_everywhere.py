"""The n-th hardware call of a small night raises, hangs past its deadline or answers garbage, for every n."""

import sqlite3
from itertools import pairwise
from pathlib import Path

import pytest
from crash_everywhere import soundness, with_shots
from small_night import protocol, run_new

from epicycle.hardware.simulator import calls_made

WAYS = ("raise", "hang-before", "hang-after", "garbage")
SHARES = 8


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> int:
    """Count the hardware calls of the night when nothing is made to fail."""
    folder = tmp_path_factory.mktemp("whole") / "night"
    assert run_new(folder).run_status == "finished"
    return calls_made(folder / "microscope")


@pytest.mark.timeout(900)
@pytest.mark.parametrize("share", range(SHARES))
def test_whatever_call_fails_the_night_ends_and_the_record_tells_the_truth(
    tmp_path: Path, calls: int, share: int
) -> None:
    for number in range(1 + share, calls + 1, SHARES):
        how = WAYS[(number // SHARES + share) % len(WAYS)]
        folder = tmp_path / f"{number}-{how}"
        session = run_new(folder, protocol({"fail_call": {"number": number, "how": how}}))
        found = soundness(folder)
        assert session.run_status in ("finished", "parked"), (number, how, session.outcome)
        assert not found["differences"], (number, how)
        assert found["most_exposures_of_a_name"] <= 1, (number, how)
        assert found["most_exposures_of_a_hole"] <= 1, (number, how)
        assert found["integrity"] == "ok"
        assert not found["unrecorded_images"], (number, how)
        assert _truthful(folder), (number, how)
        if session.run_status == "finished":
            assert found["unfinished_grids"] == 0
            assert found["intended"] == 0


@pytest.mark.timeout(900)
def test_with_several_shots_in_each_hole_too(tmp_path: Path) -> None:
    """A sample of the calls from the first exposure on, each in another way."""
    assert run_new(tmp_path / "whole", with_shots(2)).run_status == "finished"
    last = calls_made(tmp_path / "whole" / "microscope")
    for place, number in enumerate(range(last // 3, last, max(last // 9, 1))):
        how = WAYS[place % len(WAYS)]
        folder = tmp_path / f"{number}-{how}"
        session = run_new(folder, with_shots(2, {"fail_call": {"number": number, "how": how}}))
        found = soundness(folder)
        assert session.run_status in ("finished", "parked"), (number, how, session.outcome)
        assert not found["differences"], (number, how)
        assert found["most_exposures_of_a_name"] <= 1, (number, how)
        assert found["most_exposures_of_a_place"] <= 1, (number, how)
        assert not found["unrecorded_images"], (number, how)
        assert _truthful(folder), (number, how)
        assert session.run_status == "parked" or found["intended"] == 0, (number, how)


def _truthful(folder: Path) -> bool:
    """Whether every exposure called done has its image, every step its outcome, and time never ran backwards."""
    with sqlite3.connect(folder / "night.db") as db:
        bare = db.execute("select count(*) from exposure where status = 'done' and image_id is null").fetchone()[0]
        open_steps = db.execute("select count(*) from step where status = 'done' and ended_at is null").fetchone()[0]
        times = [row[0] for row in db.execute("select at from event order by id")]
    return not bare and not open_steps and all(before <= after for before, after in pairwise(times))
