"""Looking at a record never drops the locks of a night that runs in the same process."""

import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy.orm import Session as OrmSession

from epicycle.db.connection import create_record, open_reader
from epicycle.db.journal import Journal
from epicycle.db.models import Note

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
ANOTHER = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
print(db.execute("select count(*) from note").fetchone()[0])
db.close()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="locks of POSIX")
def test_another_process_does_not_remove_the_log_under_a_running_night(tmp_path: Path) -> None:
    path = tmp_path / "night.db"
    engine = create_record(path)
    journal = Journal(engine, 1, lambda: NOON)
    for number in range(1, 4):
        with journal.write() as entry:
            entry.db.add(Note(of_kind="grid", of_id=1, text=f"note {number}", by="ada", at=NOON))
        open_reader(path).dispose()
        seen = subprocess.run([sys.executable, "-c", ANOTHER, str(path)], capture_output=True, text=True, check=True)
        assert int(seen.stdout) == number
        assert path.with_name("night.db-wal").exists(), "the log was removed while this process has the record open"
    reader = open_reader(path)
    with OrmSession(reader) as db:
        assert db.query(Note).count() == 3
    reader.dispose()
    engine.dispose()
    with sqlite3.connect(path) as raw:
        assert raw.execute("pragma integrity_check").fetchone() == ("ok",)
