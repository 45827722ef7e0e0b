"""The simulated microscope with the recorded session's times takes the session's time from image to image."""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
WITHIN = 0.03


@pytest.fixture(scope="module")
def session_times() -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location("session_times", ROOT / "benchmarks" / "session_times.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def test_every_step_takes_what_was_recorded(tmp_path: Path, session_times: ModuleType) -> None:
    if not session_times.DATA.exists():
        pytest.skip("the recorded session is not beside this checkout")
    known = session_times.recorded()
    rows = session_times.compare(session_times.simulate(tmp_path, squares=27, count=60, shots=2), known)
    assert {row.step for row in rows} == set(known)
    off = {row.step: round(row.ratio, 3) for row in rows if abs(row.ratio - 1) > WITHIN}
    assert not off, session_times.table(rows)
