"""Is this machine fit to run a night? One check, one line."""

import importlib.metadata
import os
import sqlite3
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

import psutil

from .. import __version__
from ..db.lease import is_on_local_disk
from ..protocols.errors import EpicycleError
from . import plugins

ROOM_GB = 20.0
MEMORY_GB = 4.0
GROUPS = ("epicycle.microscopes", "epicycle.detectors", "epicycle.policies")
LIBRARIES = ("numpy", "scipy", "opencv-python-headless", "scikit-image", "mrcfile", "sqlalchemy", "pydantic")


class Verdict(StrEnum):
    """What a check says."""

    FIT = "fit"
    CARE = "care"
    UNFIT = "unfit"


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the examination."""

    name: str
    verdict: Verdict
    text: str


def examine(folder: Path) -> list[Check]:
    """Look at everything a night stands on; ``folder`` is where its record and images would be."""
    checks: tuple[tuple[str, Callable[[], tuple[Verdict, str]]], ...] = (
        ("versions", _versions),
        ("sqlite", _sqlite),
        ("processors", _processors),
        ("memory", _memory),
        ("disk", lambda: _room(folder)),
        ("writable", lambda: _writable(folder)),
        ("local disk", lambda: _local(folder)),
        ("clock", _clock),
        *((f"plug-ins {group.split('.')[-1]}", lambda group=group: _plugins(group)) for group in GROUPS),
        ("weights", _weights),
    )
    return [Check(name, *check()) for name, check in checks]


def fit(checks: list[Check]) -> bool:
    """Whether nothing forbids a night."""
    return all(check.verdict is not Verdict.UNFIT for check in checks)


def _existing(folder: Path) -> Path:
    folder = folder.absolute()
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder


def _versions() -> tuple[Verdict, str]:
    libraries = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in LIBRARIES)
    good = sys.version_info >= (3, 11)
    python = ".".join(map(str, sys.version_info[:3]))
    return (Verdict.FIT if good else Verdict.UNFIT), f"epicycle {__version__}, Python {python}, {libraries}"


def _sqlite() -> tuple[Verdict, str]:
    good = sqlite3.sqlite_version_info >= (3, 35)
    return (Verdict.FIT if good else Verdict.UNFIT), f"SQLite {sqlite3.sqlite_version} (3.35 or newer is needed)"


def _processors() -> tuple[Verdict, str]:
    count = os.cpu_count() or 1
    return (Verdict.FIT if count >= 2 else Verdict.CARE), f"{count}; two keep the analysis beside the microscope"


def _memory() -> tuple[Verdict, str]:
    free_gb = psutil.virtual_memory().available / 2**30
    return (Verdict.FIT if free_gb >= MEMORY_GB else Verdict.CARE), f"{free_gb:.1f} GB free, {MEMORY_GB:g} are advised"


def _room(folder: Path) -> tuple[Verdict, str]:
    free_gb = psutil.disk_usage(str(_existing(folder))).free / 2**30
    verdict = Verdict.FIT if free_gb >= ROOM_GB else Verdict.CARE if free_gb >= ROOM_GB / 10 else Verdict.UNFIT
    return verdict, f"{free_gb:.0f} GB free for {folder}, {ROOM_GB:g} are advised; movies of a night may want far more"


def _writable(folder: Path) -> tuple[Verdict, str]:
    there = _existing(folder)
    good = os.access(there, os.W_OK | os.X_OK)
    return (Verdict.FIT if good else Verdict.UNFIT), f"{there} {'can' if good else 'cannot'} be written to"


def _local(folder: Path) -> tuple[Verdict, str]:
    local = is_on_local_disk(_existing(folder))
    if local is None:
        return Verdict.CARE, f"cannot tell whether {folder} is on a local disk; the record must be"
    if local:
        return Verdict.FIT, f"{folder} is on a local disk"
    return Verdict.UNFIT, f"{folder} is on a network disk, where SQLite cannot keep a record safe; use a local one"


def _clock() -> tuple[Verdict, str]:
    now = datetime.now(UTC)
    boot = datetime.fromtimestamp(psutil.boot_time(), UTC)
    good = now.year >= 2025 and boot <= now
    return (Verdict.FIT if good else Verdict.UNFIT), f"{now:%Y-%m-%d %H:%M:%S} UTC, {now.astimezone():%H:%M} here"


def _plugins(group: str) -> tuple[Verdict, str]:
    names = plugins.names(group)
    broken = []
    for name in names:
        try:
            plugins.load(group, name)
        except EpicycleError as error:
            broken.append(str(error))
    if broken or not names:
        return Verdict.UNFIT, "; ".join(broken) or "none found; install epicycle again"
    return Verdict.FIT, ", ".join(names)


def _weights() -> tuple[Verdict, str]:
    return Verdict.FIT, "none are needed: the finders of this version work without"
