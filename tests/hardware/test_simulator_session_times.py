"""The simulated microscope with the recorded session's times takes the session's time from image to image."""

from pathlib import Path

import pytest

from epicycle.benchmarks import session_times

WITHIN = 0.03


@pytest.mark.skipif(not session_times.DATA.exists(), reason="the recorded session is not beside this checkout")
def test_every_step_takes_what_was_recorded(tmp_path: Path) -> None:
    known = session_times.recorded()
    rows = session_times.compare(session_times.simulate(tmp_path, squares=27, count=60, shots=2), known)
    assert {row.step for row in rows} == set(known)
    off = {row.step: round(row.ratio, 3) for row in rows if abs(row.ratio - 1) > WITHIN}
    assert not off, session_times.table(rows)
