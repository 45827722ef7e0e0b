"""Running a night: from the start, from the demonstration, or on from where it was left."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from ..protocols.errors import BadInput
from .steering import is_running, tell, write_down
from .terminal import Record, console, errors, record_of

if TYPE_CHECKING:
    from ..db.lease import Lease
    from ..orchestrator.night import Night
    from ..orchestrator.opening import Settings
    from ..protocols.cassette import Cassette
    from ..protocols.screening import ScreeningProtocol

SIMULATED_START = datetime(2026, 1, 5, 18, 0, tzinfo=UTC)
"""A simulated night begins here unless told otherwise, so that the same seed gives the same record on any day."""


def run(
    cassette: Annotated[Path | None, typer.Option(help="YAML file: what is in which slot.")] = None,
    protocol: Annotated[str, typer.Option(help="Name of a shipped protocol, or a file.")] = "screening-default",
    microscope: Annotated[str | None, typer.Option(help="Driver to use instead of the protocol's, e.g. sim.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of every random choice of the night.")] = 1,
    until: Annotated[str | None, typer.Option(help="Time of day, HH:MM, at which to park.")] = None,
    out: Annotated[Path | None, typer.Option(help="Empty or new folder for record, images and report.")] = None,
    demo: Annotated[bool, typer.Option("--demo", help="The demonstration night on the simulated microscope.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print only the ranking and the paths.")] = False,
    start: Annotated[datetime | None, typer.Option(help="Start of a simulated night, UTC.")] = None,
    fidelity: Annotated[str, typer.Option(help="Of the simulated microscope: pixels or pixel-free.")] = "pixels",
    calibration: Annotated[Path | None, typer.Option(help="File of calibrations to aim by; without, as is.")] = None,
) -> None:
    """Screen a cassette of grids through the night, or go through the demonstration."""
    from ..orchestrator.opening import Settings, begin
    from ..protocols.reading import read_cassette, read_protocol
    from ..targeting.calibration_file import read_calibrations

    if demo:
        plan, grids = _demonstration()
    elif cassette is None:
        raise BadInput("say what is in the loader: --cassette FILE, or try --demo; see docs/how-to/write-a-protocol.md")
    else:
        plan, grids = read_protocol(protocol), read_cassette(cassette)
    plan = _seen_with(fidelity, _adjusted(plan, microscope, until))
    folder = out or Path("nights") / f"{'demo' if demo else plan.name}-{datetime.now():%Y%m%d-%H%M%S}"
    began = SIMULATED_START if start is None else start.replace(tzinfo=start.tzinfo or UTC)
    known = None if calibration is None else (read_calibrations(calibration), str(calibration))
    settings = Settings(start=began if plan.microscope.virtual_time else None, calibrations=known)
    with begin(folder, plan, grids, seed=seed, settings=settings) as (night, lease):
        _go(night, lease, settings, quiet=quiet)


def resume(
    record: Record, quiet: Annotated[bool, typer.Option("--quiet", help="Print only the ranking.")] = False
) -> None:
    """Go on with a night after a pause, a stop or a crash."""
    from ..orchestrator.opening import NightOver, Settings, take_up

    record = record_of(record)
    if is_running(record):
        tell(record, "resume", {})
        return
    settings = Settings()
    try:
        with take_up(record, settings) as (night, lease):
            _go(night, lease, settings, quiet=quiet)
    except NightOver as over:
        console.print(escape(str(over)))


def _demonstration() -> "tuple[ScreeningProtocol, Cassette]":
    """Give the protocol and the cassette of the demonstration: every mishap of a bad night, rehearsed."""
    from ..hardware.simulator import DEMO_CASSETTE, DEMO_OPTIONS
    from ..protocols.reading import read_cassette, read_protocol
    from ..protocols.screening import ScreeningProtocol

    plan = read_protocol("screening-fast").model_dump(mode="json")
    plan["microscope"] = {"use": "sim", "options": dict(DEMO_OPTIONS)}
    plan["rehearsal"] = {"analysis_crashes": [5]}
    plan["analysis"]["mean_free_path_nm"] = 235.0
    return ScreeningProtocol.model_validate(plan), read_cassette(DEMO_CASSETTE)


def _adjusted(plan: "ScreeningProtocol", microscope: str | None, until: str | None) -> "ScreeningProtocol":
    """Apply what the command line says over the protocol."""
    from ..protocols.screening import ScreeningProtocol

    changes: dict[str, Any] = plan.model_dump(mode="json")
    if microscope is not None and microscope != plan.microscope.use:
        changes["microscope"] = {"use": microscope}
    if until is not None:
        changes["time"]["deadline"] = until
    try:
        return ScreeningProtocol.model_validate(changes)
    except ValueError as error:
        raise BadInput(f"--until {until}: {error}") from None


def _seen_with(fidelity: str, plan: "ScreeningProtocol") -> "ScreeningProtocol":
    """Give the protocol for the fidelity asked for."""
    from ..protocols.pixel_free import without_pixels

    if fidelity not in ("pixels", "pixel-free"):
        raise BadInput(f"--fidelity {fidelity}: there are pixels and pixel-free")
    return plan if fidelity == "pixels" else without_pixels(plan)


def _go(night: "Night", lease: "Lease", settings: "Settings", *, quiet: bool) -> None:
    """Run to the end of the night with duties, live view and keyboard, then say how it went."""
    from ..db.connection import open_reader
    from ..orchestrator.duties import on_duty
    from ..orchestrator.opening import record_in
    from ..orchestrator.screening import screen
    from ..web.live import final_ranking, follow
    from ..web.report import render_report

    folder = night.folder
    record, report_path = record_in(folder), folder / "report.html"
    refresh = partial(render_report, record, report_path)
    shown = nullcontext() if quiet else follow(record, console, ask=lambda verb: write_down(record, verb))
    with _keyboard(settings), on_duty(folder, lease, refresh, lambda: night.column.last_status), shown:
        session = screen(night)
    _report_or_say(record, report_path)
    reader = open_reader(record)
    try:
        console.print(final_ranking(reader))
    finally:
        reader.dispose()
    console.print(escape(f"{session.run_status}: {session.outcome}"))
    for name, path in (("record", record), ("images", folder / "images"), ("report", report_path)):
        console.print(f"{name:7} {path}", soft_wrap=True, markup=False, highlight=False)


def _report_or_say(record: Path, out: Path) -> None:
    """Write the report; a page that cannot be made does not make a night that ended well look otherwise."""
    from ..web.report import render_report

    try:
        render_report(record, out)
    except Exception as error:
        errors.print(
            f"the report could not be made ({type(error).__name__}: {error}); the record is whole, "
            f"`epicycle report {record}` tries again",
            markup=False,
            soft_wrap=True,
        )


@contextmanager
def _keyboard(settings: "Settings") -> Iterator[None]:
    """Ctrl-C once: stop at the next boundary; twice: park now."""

    def interrupted(_signal: int, _frame: FrameType | None) -> None:
        if settings.stop_asked.is_set():
            raise KeyboardInterrupt
        settings.stop_asked.set()
        errors.print("stopping at the next boundary; Ctrl-C again parks at once")

    before = {name: signal.signal(name, interrupted) for name in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)
