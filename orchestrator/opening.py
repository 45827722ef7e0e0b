"""Begin a night or take one up again: folder, record, lease, microscope, and what must be true before the first move.

Three ways to start, all through here: new; resumed by the same program (the record says what is left); resumed by
another version of it (the same, since a night goes on by query, not by replaying code).
"""

import getpass
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event as Flag
from typing import Any

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session as OrmSession

from .. import __version__
from ..db import models
from ..db.connection import RecordOlder, create_record, open_reader, open_writer, reading
from ..db.image_store import ImageStore
from ..db.journal import Journal
from ..db.lease import Lease, hold
from ..hardware.clock import Clock, VirtualClock, WallClock
from ..hardware.protocols import Installation, Microscope
from ..protocols.cassette import Cassette
from ..protocols.errors import BadInput, EpicycleError
from ..protocols.screening import ScreeningProtocol
from ..targeting.calibration import Calibrations
from ..targeting.calibration_file import as_plain
from . import calibrated, guarding, plugins, shots
from .analyst import Analyst
from .column import Column, Reread
from .flow import Phase, RunStatus
from .night import Night
from .plugged import Plugged

RECORD_NAME = "night.db"


class NightOver(EpicycleError):
    """The night is finished; there is nothing to go on with."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How this process runs a night, none of it part of the record.

    ``point`` is called at every place where a crash is rehearsed by tests; ``inline`` runs analyses in this process.
    ``calibrations`` are what a new night aims by, with the name of their file; the record keeps them from then on.
    """

    point: Callable[[str], None] = lambda _: None
    inline: bool = False
    start: datetime | None = None
    stop_asked: Flag = field(default_factory=Flag)
    calibrations: tuple[Calibrations, str] | None = None


def record_in(folder: Path) -> Path:
    """Give the database's place in a night's folder."""
    return folder / RECORD_NAME


@contextmanager
def begin(
    folder: Path,
    protocol: ScreeningProtocol,
    cassette: Cassette,
    *,
    seed: int,
    settings: Settings,
) -> Iterator[tuple[Night, Lease]]:
    """Make a new record in an empty folder and open the night.

    Raises
    ------
    EpicycleError
        The folder cannot be used or holds a night; a plug-in or an option is unknown; the microscope does not answer.
    """
    _check_plugins(protocol)
    clock = _clock(protocol, settings.start)
    if settings.calibrations is not None:
        calibrated.demanded(*settings.calibrations, clock.now())
    folder = _usable(folder)
    record = record_in(folder)
    engine = open_writer(record) if record.exists() else create_record(record)
    try:
        with hold(engine, record, _beats(clock)) as lease:
            ImageStore(folder).sweep()
            _enter_session(engine, protocol, cassette, seed, clock, settings.calibrations)
            with _opened(engine, folder, clock, settings) as night:
                yield night, lease
    finally:
        engine.dispose()


@contextmanager
def take_up(record: Path, settings: Settings) -> Iterator[tuple[Night, Lease]]:
    """Go on with a night after a stop or a crash.

    Raises
    ------
    NightOver
        It is finished.
    EpicycleError
        The record cannot be read or is in use; or it was resumed too often lately and wants a person.
    """
    _refuse_finished(record)
    engine = open_writer(record)
    try:
        with OrmSession(reading(engine)) as db:
            session = db.scalars(select(models.Session)).one()
            protocol = ScreeningProtocol.model_validate(session.protocol)
            last = db.scalar(select(models.Event.at).order_by(models.Event.id.desc()).limit(1)) or session.started_at
        clock = _clock(protocol, settings.start or last)
        with hold(engine, record, _beats(clock)) as lease, _opened(engine, record.parent, clock, settings) as night:
            night.images.sweep()
            _mark_resumed(night)
            yield night, lease
    finally:
        engine.dispose()


def _refuse_finished(record: Path) -> None:
    try:
        engine = open_reader(record)
    except RecordOlder:
        open_writer(record).dispose()
        engine = open_reader(record)
    try:
        with OrmSession(engine) as db:
            session = db.scalars(select(models.Session)).first()
            if session is None:
                raise BadInput(f"{record}: no night was begun in this record; begin one with `epicycle run`")
            if session.phase == Phase.FINISHED:
                raise NightOver(
                    f"{record}: this night is finished ({session.outcome}); its report is all there is to make"
                )
    finally:
        engine.dispose()


def _beats(clock: Clock) -> Callable[[], datetime]:
    """Heartbeats are wall time, whatever the clock of the night."""
    return WallClock().now


def _clock(protocol: ScreeningProtocol, start: datetime | None) -> Clock:
    if not protocol.microscope.virtual_time:
        return WallClock()
    return VirtualClock(start or WallClock().now().replace(microsecond=0))


def _check_plugins(protocol: ScreeningProtocol) -> None:
    """Make every plug-in that is named, so that a wrong name or option ends the run before it begins."""
    plugins.load("epicycle.microscopes", protocol.microscope.use)
    for finder in (protocol.squares.finder, protocol.holes.finder):
        plugins.load("epicycle.detectors", finder.use)(finder.options())
    plugged = Plugged()
    for choice in (protocol.squares.policy, protocol.holes.policy, *(plan.policy for plan in protocol.passes)):
        plugged.policy(choice)


def _usable(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise BadInput(f"{folder} cannot be written to ({error.strerror}); give another folder with --out") from None
    if _holds_night(record_in(folder)):
        raise BadInput(
            f"{folder} holds a night already; go on with `epicycle resume {record_in(folder)}`, or give another folder"
        )
    return folder


def _holds_night(record: Path) -> bool:
    """Whether a night was begun here; a record made and cut off before its first word is as good as none."""
    if not record.exists():
        return False
    engine = open_reader(record)
    try:
        with OrmSession(engine) as db:
            return db.scalars(select(models.Session.id)).first() is not None
    finally:
        engine.dispose()


def _enter_session(
    engine: Engine,
    protocol: ScreeningProtocol,
    cassette: Cassette,
    seed: int,
    clock: Clock,
    calibrations: tuple[Calibrations, str] | None,
) -> None:
    """Write the session and its grids: the first words of the record."""
    now = clock.now()
    name = protocol.session.name or f"{protocol.name}-{now:%Y%m%d}"
    hours = protocol.time.per_night_h
    ends = [end for end in (_deadline(protocol, now), None if hours is None else now + timedelta(hours=hours)) if end]
    microscope: dict[str, Any] = {"use": protocol.microscope.use, "options": dict(protocol.microscope.options)}
    if calibrations is not None:
        microscope[calibrated.KEPT] = as_plain(calibrations[0])
    journal = Journal(engine, 1, clock.now)
    with journal.write() as entry:
        entry.db.add(
            models.Session(
                id=1,
                name=name,
                protocol=protocol.model_dump(mode="json"),
                cassette=cassette.model_dump(mode="json"),
                microscope=microscope,
                plugins=plugins.versions(),
                code_version=__version__,
                seed=seed,
                phase=Phase.INVENTORY.value,
                run_status=RunStatus.RUNNING.value,
                started_at=now,
                deadline_at=min(ends, default=None),
                doing="taking inventory",
            )
        )
        entry.db.flush()
        for grid in cassette.slots:
            entry.db.add(
                models.Grid(
                    session_id=1,
                    slot=grid.slot,
                    name=grid.name,
                    hole_type=grid.hole_type,
                    mesh=grid.mesh,
                    material=grid.material,
                )
            )
        entry.say("night_began", f"night {name} began", protocol=protocol.model_dump(mode="json"), seed=seed)
        if calibrations is not None:
            said, body = calibrated.described(calibrations[0])
            entry.say(
                "calibrations_used", f"aimed by {said}, of {calibrations[1]}", file=calibrations[1], calibrations=body
            )


def _deadline(protocol: ScreeningProtocol, now: datetime) -> datetime | None:
    """Give the next time that this machine's clock shows the deadline."""
    if protocol.time.deadline is None:
        return None
    hours, minutes = map(int, protocol.time.deadline.split(":"))
    local = now.astimezone()
    end = local.replace(hour=hours, minute=minutes, second=0, microsecond=0)
    return end if end > local else end + timedelta(days=1)


@contextmanager
def _opened(engine: Engine, folder: Path, clock: Clock, settings: Settings) -> Iterator[Night]:
    """Connect the microscope and put the night together."""
    with OrmSession(reading(engine), expire_on_commit=False) as db:
        me = db.scalars(select(models.Session)).one()
    protocol, cassette = ScreeningProtocol.model_validate(me.protocol), Cassette.model_validate(me.cassette)
    journal = Journal(engine, me.id, clock.now, settings.point)
    images = ImageStore(folder)
    connect = _connector(protocol, cassette, folder, clock, me.seed)
    column = Column(connect, clock, settings.point)
    analyst = Analyst(
        clock,
        workers=0 if settings.inline else protocol.analysis.workers,
        timeout_s=protocol.analysis.timeout_s,
        crashes=frozenset(protocol.rehearsal.analysis_crashes),
    )
    night = Night(journal, column, clock, images, analyst, Plugged(), folder, me, settings.stop_asked)
    column.on_restart = lambda act, reread: _note_restart(night, act, reread)
    try:
        new = "capabilities" not in night.me.microscope
        _note_capabilities(night)
        calibrated.aim(night, new=new)
        yield night
    finally:
        analyst.close()
        column.close()


def _connector(
    protocol: ScreeningProtocol, cassette: Cassette, folder: Path, clock: Clock, seed: int
) -> Callable[[], Microscope]:
    factory = plugins.load("epicycle.microscopes", protocol.microscope.use)
    memory = folder / "microscope"
    memory.mkdir(exist_ok=True)
    installation = Installation(protocol.microscope.options, folder / "images", memory, clock, seed, cassette)
    return lambda: factory(installation)


def _note_capabilities(night: Night) -> None:
    """Keep what the microscope says it can do; refuse a protocol that asks for more."""
    if "capabilities" in night.me.microscope:
        return
    can = night.column.capabilities()
    tilt = abs(night.protocol.exposure.tilt_deg)
    if tilt > can.tilt_limit_deg:
        raise BadInput(
            f"the protocol tilts to {tilt:g}°, this microscope's stage goes to {can.tilt_limit_deg:g}°; "
            "lower exposure.tilt_deg"
        )
    shift = max(night.protocol.in_pass(n).holes.bis_radius_um for n in range(len(night.protocol.passes)))
    if shift > can.image_shift_limit_um:
        raise BadInput(
            f"the protocol shifts the beam by {shift:g} µm, this microscope can do {can.image_shift_limit_um:g}; "
            "lower holes.bis_radius_um"
        )
    for level, preset in night.protocol.presets.given().items():
        rows, cols = preset.rows_px * preset.binning, preset.cols_px * preset.binning
        if can.camera_rows_px and (rows > can.camera_rows_px or cols > can.camera_cols_px):
            raise BadInput(
                f"presets.{level} asks for {preset.rows_px} × {preset.cols_px} pixels at binning {preset.binning}, "
                f"this microscope's camera has {can.camera_rows_px} × {can.camera_cols_px}; bin less or take fewer"
            )
    shots.demand_room(night)
    presets = {level: preset.model_dump(mode="json") for level, preset in night.column.presets().items()}
    known: Mapping[str, Any] = {**night.me.microscope, "capabilities": asdict(can), "presets": presets}
    night.set(f"microscope {can.name} answers", "microscope_known", microscope=dict(known))


def _note_restart(night: Night, act: str, reread: Reread) -> None:
    """Write down what the instrument said after its driver was restarted."""
    with night.journal.write(grid_id=night.me.grid_id) as entry:
        stage = reread.stage
        entry.say(
            "driver_restarted",
            f"{act} hung; driver restarted, slot {reread.loaded or 'none'} on the stage at "
            f"({stage.x_um:.1f}, {stage.y_um:.1f}, {stage.z_um:.1f}) µm",
            act=act,
            loaded=reread.loaded,
        )


def _mark_resumed(night: Night) -> None:
    """Count the resume, look what is on the stage, and go back to loading if it is not what the record says.

    Raises
    ------
    EpicycleError
        Resumed too often within an hour of the wall's clock: the machine needs a person.
    """
    here = night.column.loaded()
    phase = night.phase
    grid = night.grid() if night.me.grid_id is not None else None
    lost = grid is not None and grid.status == "loaded" and grid.slot != here and phase not in _WITHOUT_GRID
    with night.journal.write(grid_id=night.me.grid_id) as entry:
        row = entry.row(models.Session, night.me.id)
        row.resumes += 1
        row.run_status = RunStatus.RUNNING.value
        row.outcome = ""
        if lost and grid is not None:
            row.phase = Phase.LOAD_GRID.value
            entry.row(models.Grid, grid.id).status = "loading"
        said = f"resumed by {getpass.getuser()}; on the stage: {f'slot {here}' if here else 'nothing'}"
        entry.say("resumed", said, on_stage=here, reload=lost)
    night.refresh()
    if grid is not None and not lost and grid.status == "loaded" and phase not in _WITHOUT_GRID:
        guarding.open_after_rest(night)


_WITHOUT_GRID = frozenset(
    {Phase.INVENTORY, Phase.NEXT_GRID, Phase.LOAD_GRID, Phase.LEAVE_GRID, Phase.CHOOSE_GRIDS, Phase.PARK}
)
