from pathlib import Path

from small_night import cassette, protocol, run_new, settings

from epicycle.db.fingerprint import fingerprint
from epicycle.orchestrator.opening import Settings, begin
from epicycle.orchestrator.screening import screen


def test_the_same_seed_gives_the_same_record_and_another_does_not(tmp_path: Path) -> None:
    prints = []
    for folder, seed in (("a", 1), ("b", 1), ("c", 2)):
        run_new(tmp_path / folder, seed=seed)
        prints.append(fingerprint(tmp_path / folder / "night.db"))
    assert prints[0] == prints[1]
    assert prints[0] != prints[2]


def test_where_and_how_fast_the_analysis_runs_changes_nothing(tmp_path: Path) -> None:
    """Two worker processes, which finish when they like, against analysis done on the spot."""
    run_new(tmp_path / "here")
    plan = protocol(analysis={"workers": 2})
    here = protocol()
    assert plan.analysis.workers != here.analysis.workers
    start = settings().start
    with begin(tmp_path / "pool", here, cassette(), seed=1, settings=Settings(start=start)) as (night, _):
        screen(night)
    assert fingerprint(tmp_path / "here" / "night.db") == fingerprint(tmp_path / "pool" / "night.db")
