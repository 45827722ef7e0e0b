"""Duties of the wall clock, beside the engine and never in it: heartbeat, hourly copies, health of the host.

They run on apscheduler in threads of their own; one that fails says so in the night's log and is tried again at its
next turn.
"""

import json
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

from ..db.backup import snapshot
from ..db.lease import Lease
from ..hardware.records import ScopeStatus
from .opening import record_in

BEAT_S = 10
HEALTH_S = 60
BACKUP_MIN = 60
REPORT_MIN = 10

log = logging.getLogger("epicycle.duties")


@contextmanager
def on_duty(
    folder: Path,
    lease: Lease,
    refresh_report: Callable[[], object] | None = None,
    last_status: Callable[[], ScopeStatus | None] = lambda: None,
) -> Iterator[None]:
    """Keep the duties while a night runs.

    Parameters
    ----------
    folder
        The night's folder: copies go to ``backups/`` in it, samples to ``health.jsonl``.
    refresh_report
        Called every ten minutes; None for no report during the night.
    last_status
        Answers the engine's last reading of the microscope's health; the microscope itself is never asked from here.
    """
    scheduler = BackgroundScheduler(
        executors={"default": ThreadPoolExecutor(2)},
        job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        timezone=UTC,
    )
    scheduler.add_job(lease.beat, "interval", seconds=BEAT_S, id="heartbeat")
    scheduler.add_job(
        sample_health,
        "interval",
        seconds=HEALTH_S,
        id="health",
        args=[folder, last_status],
        next_run_time=datetime.now(UTC),
    )
    scheduler.add_job(copy_record, "interval", minutes=BACKUP_MIN, id="backup", args=[folder])
    if refresh_report is not None:
        soon = datetime.now(UTC) + timedelta(minutes=REPORT_MIN)
        scheduler.add_job(refresh_report, "interval", minutes=REPORT_MIN, id="report", next_run_time=soon)
    logging.getLogger("apscheduler").setLevel(logging.ERROR)
    scheduler.start()
    try:
        yield
    finally:
        scheduler.shutdown(wait=True)


def copy_record(folder: Path) -> Path:
    """Copy the record by the backup interface, the newest few are kept."""
    destination = folder / "backups"
    destination.mkdir(exist_ok=True)
    return snapshot(record_in(folder), destination)


def sample_health(folder: Path, last_status: Callable[[], ScopeStatus | None] = lambda: None) -> None:
    """Append one line: this machine's free disk, memory of this process, load; the microscope as last read."""
    process, scope = psutil.Process(), last_status()
    sample = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "free_disk_mb": psutil.disk_usage(str(folder)).free // 2**20,
        "resident_mb": process.memory_info().rss // 2**20,
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "microscope": None if scope is None else {**asdict(scope), "vacuum": str(scope.vacuum)},
    }
    with (folder / "health.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(sample) + "\n")
