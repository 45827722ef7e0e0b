"""One writer: an operating-system lock beside the record, and a row that says who holds it and when it last beat.

The lock is what keeps others out; the system gives it back when the process dies, however it dies, so there is no lock
file to delete by hand. The row is what people and other processes read.
"""

import getpass
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import psutil
from filelock import FileLock, Timeout
from sqlalchemy import Engine, delete, select, update
from sqlalchemy.orm import Session as OrmSession

from ..files.atomic import explained
from . import models
from .errors import LeaseLost, RecordError, RecordInUse
from .querying import Reader, connected

SILENT_AFTER = timedelta(minutes=5)
"""A holder on another host that has not beaten for so long is taken to be dead."""

_NETWORK = {
    *("9p", "afpfs", "afs", "beegfs", "ceph", "cifs", "davfs", "fhgfs", "glusterfs", "gpfs", "lustre", "ncpfs"),
    *("nfs", "nfs4", "ocfs2", "orangefs", "panfs", "pvfs2", "smb3", "smbfs", "webdav"),
}
_LOCAL = {
    *("apfs", "bcachefs", "btrfs", "exfat", "ext2", "ext3", "ext4", "f2fs", "hfs", "hfsplus", "jfs", "ntfs", "ntfs3"),
    *("overlay", "ramfs", "reiserfs", "tmpfs", "ufs", "vfat", "xfs", "zfs"),
}


@dataclass(frozen=True, slots=True)
class Holder:
    """Who the record says writes it. ``alive`` is None for a process on another host."""

    user: str
    host: str
    pid: int
    taken_at: datetime
    beat_at: datetime
    alive: bool | None


class Lease:
    """The right to write, while it lasts; `beat` may be called from any thread."""

    def __init__(self, engine: Engine, now: Callable[[], datetime], taken_at: datetime) -> None:
        self._engine = engine
        self._now = now
        self.taken_at = taken_at

    def beat(self) -> None:
        """Say that this process is still there.

        Raises
        ------
        LeaseLost
            The row names somebody else: stop writing at once.
        """
        mine = (models.Lease.pid == os.getpid()) & (models.Lease.host == socket.gethostname())
        with OrmSession(self._engine) as db:
            found = db.scalars(update(models.Lease).where(mine).values(beat_at=self._now()).returning(models.Lease.id))
            if found.first() is None:
                raise LeaseLost("Another process took this record over; this one stops writing. See `epicycle status`.")
            db.commit()


@contextmanager
def hold(engine: Engine, path: Path | None, now: Callable[[], datetime]) -> Iterator[Lease]:
    """Take the record for writing until the block ends.

    Parameters
    ----------
    engine
        The writer's engine.
    path
        The database file; None for a database without one, where the row alone decides.
    now
        The clock of the heartbeat.

    Raises
    ------
    RecordInUse
        Another process holds it.
    """
    if path is None:
        with _row(engine, now) as lease:
            yield lease
        return
    try:
        with locked(path), _row(engine, now) as lease:
            yield lease
    except _LockedError:
        raise _in_use(path, holder(engine)) from None


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the operating system's lock of this record; raises `RecordInUse` when another process has it."""
    lock = FileLock(path.with_name(path.name + ".lock"), thread_local=False)
    with explained(path):
        try:
            lock.acquire(blocking=False)
        except Timeout:
            raise _LockedError(f"{path} is in use by another process; wait for it, or stop it first.") from None
    try:
        yield
    finally:
        lock.release()


def holder(reader: Reader) -> Holder | None:
    """Read who writes, from the record alone; None when nobody does."""
    with connected(reader) as connection:
        row = connection.execute(select(models.Lease.__table__)).one_or_none()
    if row is None:
        return None
    alive = psutil.pid_exists(row.pid) if row.host == socket.gethostname() else None
    return Holder(row.user, row.host, row.pid, row.taken_at, row.beat_at, alive)


def is_on_local_disk(path: Path) -> bool | None:
    """Whether this place is on a disk of this machine, where a record may live; None when that cannot be told."""
    place = Path(path).absolute()
    place = place.resolve() if place.exists() else place.parent.resolve()
    if str(place).startswith(("\\\\", "//")):
        return False
    mounts = [part for part in psutil.disk_partitions(all=True) if place.is_relative_to(part.mountpoint)]
    if not mounts:
        return None
    # The later of two mounts at one place hides the earlier.
    nearest = max(enumerate(mounts), key=lambda pair: (len(Path(pair[1].mountpoint).parts), pair[0]))[1]
    kind = nearest.fstype.lower()
    if kind in _NETWORK or kind.startswith("fuse.ssh") or "remote" in nearest.opts.split(","):
        return False
    return True if kind in _LOCAL or "fixed" in nearest.opts.split(",") else None


class _LockedError(RecordInUse):
    """The operating system's lock is taken; who has it is not known yet."""


@contextmanager
def _row(engine: Engine, now: Callable[[], datetime]) -> Iterator[Lease]:
    taken = now()
    with OrmSession(engine) as db:
        before = db.scalars(select(models.Lease)).first()
        if before is not None and before.host != socket.gethostname() and taken - before.beat_at < SILENT_AFTER:
            raise _in_use(None, Holder(before.user, before.host, before.pid, before.taken_at, before.beat_at, None))
        db.execute(delete(models.Lease))
        db.add(
            models.Lease(id=1, pid=os.getpid(), host=socket.gethostname(), user=_user(), taken_at=taken, beat_at=taken)
        )
        db.commit()
    try:
        yield Lease(engine, now, taken)
    finally:
        # A full disk must not hide what ended the block; the row then names a process that is gone, and it shows.
        with suppress(RecordError), OrmSession(engine) as db:
            db.execute(delete(models.Lease).where(models.Lease.pid == os.getpid()))
            db.commit()


def _in_use(path: Path | None, who: Holder | None) -> RecordInUse:
    name = "This record" if path is None else str(path)
    if who is None:
        return RecordInUse(f"{name} is in use by another process; wait for it, or stop it first.")
    return RecordInUse(
        f"{name} is in use by {who.user}@{who.host}, process {who.pid}, since {_shown(who.taken_at)} "
        f"(last heard of {_shown(who.beat_at)}); wait for it to end, or ask it to with `epicycle stop`."
    )


def _shown(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M:%S UTC")


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container may run as a number without a name
        return str(os.getuid()) if hasattr(os, "getuid") else ""
