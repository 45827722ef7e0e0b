"""The lease: one process writes; whoever comes second is told by whom, since when; a killed one keeps nobody out."""

import os
import signal
import subprocess
import sys
import threading
from collections import namedtuple
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session as OrmSession

from epicycle.db import lease, models
from epicycle.db.connection import open_reader, open_writer
from epicycle.db.errors import LeaseLost, RecordInUse

HOLD_AND_WAIT = """
import os, sys, time
from datetime import UTC, datetime
from pathlib import Path
from epicycle.db.connection import open_writer
from epicycle.db.lease import hold

path = Path(sys.argv[1])
engine = open_writer(path)
with hold(engine, path, lambda: datetime(2025, 3, 1, 18, 0, tzinfo=UTC)):
    hear, tell = os.pipe()
    child = os.fork() if "fork" in sys.argv else -1
    if child == 0:
        os.write(tell, b"!")
        time.sleep(60)
        os._exit(0)
    if child > 0:
        os.read(hear, 1)
    print(child, flush=True)
    sys.stdin.read()
"""


def holding(path, *words):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD_AND_WAIT, str(path), *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    return process, int(process.stdout.readline())


def close(process):
    process.stdin.close()
    process.stdout.close()
    process.wait(10)


def test_second_process_is_told_who_and_since_when(record, ticks):
    path, engine = record
    process, _ = holding(path)
    try:
        with pytest.raises(RecordInUse) as raised, lease.hold(engine, path, ticks):
            pass
        text = str(raised.value)
        assert f"process {process.pid}" in text
        assert "since 2025-03-01 18:00:00 UTC" in text
        assert "@" in text
        assert "\n" not in text
        reader = open_reader(path)
        who = lease.holder(reader)
        reader.dispose()
        assert (who.pid, who.alive) == (process.pid, True)
    finally:
        close(process)
    with lease.hold(engine, path, ticks):
        pass
    assert lease.holder(engine) is None


def test_second_hold_in_one_process_is_refused(record, ticks):
    path, engine = record
    other = open_writer(path)
    with lease.hold(engine, path, ticks), pytest.raises(RecordInUse), lease.hold(other, path, ticks):
        pass
    with lease.hold(other, path, ticks):
        pass
    other.dispose()


def test_killed_process_keeps_nobody_out(record, ticks):
    path, engine = record
    process, _ = holding(path)
    process.send_signal(signal.SIGKILL)
    close(process)
    who = lease.holder(engine)
    assert (who.pid, who.alive) == (process.pid, False)
    with lease.hold(engine, path, ticks):
        assert lease.holder(engine).pid == os.getpid()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_forked_child_that_outlives_a_killed_process_keeps_nobody_out(record, ticks):
    path, engine = record
    process, child = holding(path, "fork")
    process.send_signal(signal.SIGKILL)
    close(process)
    try:
        assert psutil.pid_exists(child)
        with lease.hold(engine, path, ticks):
            pass
    finally:
        os.kill(child, signal.SIGKILL)


def test_error_in_the_block_gives_the_lease_back(record, ticks):
    path, engine = record
    with pytest.raises(KeyError), lease.hold(engine, path, ticks):
        raise KeyError("night")
    assert lease.holder(engine) is None
    with lease.hold(engine, path, ticks):
        pass


def test_beats_from_another_thread_show_beside_a_busy_writer(record, ticks):
    path, engine = record
    with lease.hold(engine, path, ticks) as held:
        first = lease.holder(engine)
        assert first.beat_at == first.taken_at
        with OrmSession(engine) as db:
            db.add(models.Note(of_kind="grid", of_id=1, text="", by="", at=ticks()))
            db.flush()
            beating = threading.Thread(target=held.beat)
            beating.start()
            db.commit()
            beating.join(20)
        assert not beating.is_alive()
        assert lease.holder(engine).beat_at > first.beat_at


def test_beat_after_somebody_took_over_is_an_error(record, ticks):
    path, engine = record
    with lease.hold(engine, path, ticks) as held:
        with OrmSession(engine) as db:
            db.execute(update(models.Lease).values(pid=1))
            db.commit()
        with pytest.raises(LeaseLost):
            held.beat()
    with OrmSession(engine) as db:
        assert db.scalars(select(models.Lease)).one().pid == 1, "what belongs to others stays"


def test_holder_on_another_host_keeps_us_out_until_it_is_silent(record):
    path, engine = record
    at = datetime(2025, 3, 1, 20, 0, tzinfo=UTC)
    with OrmSession(engine) as db:
        db.add(models.Lease(id=1, pid=1, host="elsewhere", user="ann", taken_at=at, beat_at=at))
        db.commit()
    for known in (path, None):
        soon = lease.hold(engine, known, lambda: at + timedelta(minutes=1))
        with pytest.raises(RecordInUse, match="ann@elsewhere"), soon:
            pass
    assert lease.holder(engine).alive is None
    with lease.hold(engine, None, lambda: at + timedelta(minutes=10)):
        pass


Part = namedtuple("Part", "mountpoint fstype opts")


@pytest.mark.parametrize(
    ("fstype", "opts", "local"),
    [
        ("ext4", "rw", True),
        ("nfs4", "rw", False),
        ("lustre", "rw", False),
        ("fuse.sshfs", "rw", False),
        ("NTFS", "rw,fixed", True),
        ("", "rw,remote", False),
        ("fuse.mystery", "rw", None),
    ],
)
def test_local_disk_is_told_from_a_network_one(monkeypatch, tmp_path, fstype, opts, local):
    parts = [Part("/", "ext4", "rw"), Part(str(tmp_path), fstype, opts), Part(str(tmp_path / "x"), "nfs", "rw")]
    monkeypatch.setattr(psutil, "disk_partitions", lambda all: parts)
    assert lease.is_on_local_disk(tmp_path / "night.db") is local


def test_local_disk_of_this_machine_does_not_raise():
    assert lease.is_on_local_disk(Path.cwd()) in (True, False, None)
