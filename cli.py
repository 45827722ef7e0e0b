"""The command line: run a night, look at it, steer it, report it; try the detectors; check protocols and machine."""

import getpass
import json
import signal
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.syntax import Syntax
from rich.table import Table

from epicycle import __version__
from epicycle.protocols.errors import BadInput, EpicycleError

if TYPE_CHECKING:
    from epicycle.db.lease import Lease
    from epicycle.hardware.records import Image
    from epicycle.orchestrator.night import Night
    from epicycle.orchestrator.opening import Settings
    from epicycle.protocols.cassette import Cassette
    from epicycle.protocols.screening import ScreeningProtocol

# What a command needs is imported in it: looking at a night must not wait for what only running one needs.

app = typer.Typer(
    help="Runs a cryo-electron microscope through the night: screens a cassette of grids, learns as it goes, leaves a "
    "ranked report and a complete record.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
protocols_app = typer.Typer(help="Screening protocols: what a night shall do.", no_args_is_help=True)
detect_app = typer.Typer(help="The detectors on your own image.", no_args_is_help=True)
app.add_typer(protocols_app, name="protocols")
app.add_typer(detect_app, name="detect")

SIMULATED_START = datetime(2026, 1, 5, 18, 0, tzinfo=UTC)
"""A simulated night begins here unless told otherwise, so that the same seed gives the same record on any day."""

Record = Annotated[Path, typer.Argument(help="The night's database, or its folder.", metavar="DB")]
console = Console()
errors = Console(stderr=True)


# run


@app.command()
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
) -> None:
    """Screen a cassette of grids through the night, or go through the demonstration."""
    from epicycle.orchestrator.opening import Settings, begin
    from epicycle.protocols.reading import read_cassette, read_protocol

    if demo:
        plan, grids = _demonstration()
    elif cassette is None:
        raise BadInput("say what is in the loader: --cassette FILE, or try --demo; see docs/how-to/write-a-protocol.md")
    else:
        plan, grids = read_protocol(protocol), read_cassette(cassette)
    plan = _adjusted(plan, microscope, until)
    folder = out or Path("nights") / f"{'demo' if demo else plan.name}-{datetime.now():%Y%m%d-%H%M%S}"
    began = SIMULATED_START if start is None else start.replace(tzinfo=start.tzinfo or UTC)
    settings = Settings(start=began if plan.microscope.virtual_time else None)
    with begin(folder, plan, grids, seed=seed, settings=settings) as (night, lease):
        _go(night, lease, settings, quiet=quiet)


@app.command()
def resume(
    record: Record, quiet: Annotated[bool, typer.Option("--quiet", help="Print only the ranking.")] = False
) -> None:
    """Go on with a night after a pause, a stop or a crash."""
    from epicycle.orchestrator.opening import NightOver, Settings, take_up

    record = _record(record)
    if _is_running(record):
        _tell(record, "resume", {})
        return
    settings = Settings()
    try:
        with take_up(record, settings) as (night, lease):
            _go(night, lease, settings, quiet=quiet)
    except NightOver as over:
        console.print(escape(str(over)))


def _demonstration() -> "tuple[ScreeningProtocol, Cassette]":
    """Give the protocol and the cassette of the demonstration: every mishap of a bad night, rehearsed."""
    from epicycle.hardware.simulator import DEMO_CASSETTE, DEMO_OPTIONS
    from epicycle.protocols.reading import read_cassette, read_protocol
    from epicycle.protocols.screening import ScreeningProtocol

    plan = read_protocol("screening-fast").model_dump(mode="json")
    plan["microscope"] = {"use": "sim", "options": dict(DEMO_OPTIONS)}
    plan["rehearsal"] = {"analysis_crashes": [5]}
    plan["analysis"]["mean_free_path_nm"] = 235.0
    return ScreeningProtocol.model_validate(plan), read_cassette(DEMO_CASSETTE)


def _adjusted(plan: "ScreeningProtocol", microscope: str | None, until: str | None) -> "ScreeningProtocol":
    """Apply what the command line says over the protocol."""
    from epicycle.protocols.screening import ScreeningProtocol

    changes: dict[str, Any] = plan.model_dump(mode="json")
    if microscope is not None and microscope != plan.microscope.use:
        changes["microscope"] = {"use": microscope}
    if until is not None:
        changes["time"]["deadline"] = until
    try:
        return ScreeningProtocol.model_validate(changes)
    except ValueError as error:
        raise BadInput(f"--until {until}: {error}") from None


def _go(night: "Night", lease: "Lease", settings: "Settings", *, quiet: bool) -> None:
    """Run to the end of the night with duties, live view and keyboard, then say how it went."""
    from epicycle.db.connection import open_reader
    from epicycle.orchestrator.duties import on_duty
    from epicycle.orchestrator.opening import record_in
    from epicycle.orchestrator.screening import screen
    from epicycle.web.live import final_ranking, follow
    from epicycle.web.report import render_report

    folder = night.folder
    record, report_path = record_in(folder), folder / "report.html"
    shown = nullcontext() if quiet else follow(record, console)
    with _keyboard(settings), on_duty(folder, lease, lambda: render_report(record, report_path)), shown:
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
    from epicycle.web.report import render_report

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


# look and steer


@app.command()
def status(record: Record) -> None:
    """Say what is going on; read-only, safe beside a running night."""
    from epicycle.db.connection import open_reader
    from epicycle.web.live import status_text

    reader = open_reader(_record(record))
    try:
        console.print(status_text(reader))
    finally:
        reader.dispose()


@app.command()
def stop(record: Record) -> None:
    """Ask a running night to stop at the next boundary; the microscope is parked, the night can be resumed."""
    _tell(_record(record), "stop", {})


@app.command()
def pause(record: Record) -> None:
    """Ask a running night to pause at the next boundary; resume goes on."""
    _tell(_record(record), "pause", {})


@app.command(name="ask")
def ask_night(
    record: Record,
    verb: Annotated[str, typer.Argument(help="skip-square, skip-grid, add-target, remove-target, change …")],
    args: Annotated[list[str] | None, typer.Argument(help="key=value, values as JSON")] = None,
) -> None:
    """Ask anything else of a running night, e.g. ``ask DB skip-grid slot=3`` or ``ask DB change path=… value=…``."""
    _tell(_record(record), verb, dict(_pair(text) for text in args or ()))


def _pair(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise BadInput(f"{text} is not of the form key=value")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def _tell(record: Path, verb: str, args: dict[str, Any]) -> None:
    from epicycle.db.asking import ask

    number = ask(
        record,
        verb,
        args,
        asked_by=getpass.getuser(),
        asked_at=datetime.now(UTC),
        idempotency_key=uuid.uuid4().hex,
    )
    if not _is_running(record):
        console.print(f"{verb} is written down (command {number}), but no night runs; it is heeded at the next resume")
    else:
        console.print(f"{verb} asked (command {number}); it is heeded at the next boundary, see `epicycle status`")


@app.command()
def report(
    record: Record,
    out: Annotated[Path | None, typer.Option(help="HTML file; report.html beside the record by default.")] = None,
) -> None:
    """Write the self-contained HTML report; works half-way through a night too."""
    from epicycle.web.report import render_report

    record = _record(record)
    console.print(str(render_report(record, out or record.parent / "report.html")), soft_wrap=True, markup=False)


def _is_running(record: Path) -> bool:
    from epicycle.db.connection import open_reader
    from epicycle.db.lease import holder

    reader = open_reader(record)
    try:
        who = holder(reader)
        return who is not None and who.alive is not False
    finally:
        reader.dispose()


def _record(given: Path) -> Path:
    return given / "night.db" if given.is_dir() else given


# protocols


@protocols_app.command("list")
def list_protocols() -> None:
    """Name the shipped protocols."""
    from epicycle.protocols.reading import read_protocol, shipped_names

    table = Table("protocol", "what it is for")
    for name in shipped_names():
        table.add_row(name, read_protocol(name).description)
    console.print(table)


@protocols_app.command()
def show(name: Annotated[str, typer.Argument(help="A shipped protocol.")]) -> None:
    """Print a shipped protocol, comments included; save it and change what you like."""
    from epicycle.protocols.reading import shipped_text

    text = shipped_text(name)
    if console.is_terminal:
        console.print(Syntax(text, "yaml", word_wrap=True))
    else:
        typer.echo(text, nl=False)


@protocols_app.command()
def validate(file: Annotated[Path, typer.Argument(help="A protocol file.")]) -> None:
    """Check a protocol: every mistake with its line, the field's own explanation and the accepted values."""
    from epicycle.protocols.reading import read_protocol

    protocol = read_protocol(file if file.suffix else str(file))
    console.print(f"{file}: {protocol.name} is a valid protocol", markup=False)


@protocols_app.command()
def schema(
    of: Annotated[str, typer.Option("--of", help="protocol or cassette")] = "protocol",
) -> None:
    """Print the JSON Schema, for editors."""
    from epicycle.protocols.reading import json_schema

    if of not in ("protocol", "cassette"):
        raise BadInput(f"there is no schema of {of}; accepted are protocol and cassette")
    typer.echo(json.dumps(json_schema("protocol" if of == "protocol" else "cassette"), indent=2, ensure_ascii=False))


# detect

ImageFile = Annotated[Path, typer.Argument(help="An MRC file with one image.", metavar="IMAGE.mrc")]
JsonFile = Annotated[Path | None, typer.Option("--json", help="Write the detections as JSON.")]
PlotFile = Annotated[Path | None, typer.Option("--plot", help="Write a PNG with outlines and scores.")]
PixelSize = Annotated[float | None, typer.Option(min=0.01, help="Pixel size in Å, where the file does not say.")]


def _image(path: Path, pixel_size_a: float | None) -> "Image":
    from epicycle.files.mrc import read_image
    from epicycle.hardware.records import Image

    pixels, own = read_image(path)
    return Image(pixels, pixel_size_a or own, None, str(path))


@detect_app.command()
def squares(path: ImageFile, json_file: JsonFile = None, plot: PlotFile = None, pixel_size_a: PixelSize = None) -> None:
    """Find and classify the squares of an atlas or one of its tiles."""
    from epicycle.detectors.output import squares_json
    from epicycle.orchestrator import plugins

    image = _image(path, pixel_size_a)
    found = plugins.load("epicycle.detectors", "mixture-squares")({}).find(image)
    table = Table("#", "x px", "y px", "area px²", "mean", "score", "class", "partial")
    for number, square in enumerate(found.squares, start=1):
        table.add_row(
            str(number),
            f"{square.col_px:.1f}",
            f"{square.row_px:.1f}",
            f"{square.area_px:.0f}",
            f"{square.mean:.1f}",
            f"{square.score:.2f}",
            square.category.value,
            "yes" if square.partial else "",
        )
    _show(table, f"{len(found.squares)} squares, grid at {found.grid_angle_deg:.1f}°", found.reason, len(found.squares))
    _write_json(json_file, squares_json(found, str(path)))
    if plot is not None:
        from epicycle.detectors.drawing import draw_squares

        draw_squares(image, found, plot)


@detect_app.command()
def holes(
    path: ImageFile,
    json_file: JsonFile = None,
    plot: PlotFile = None,
    pixel_size_a: PixelSize = None,
    hole_diameter_um: Annotated[float | None, typer.Option(help="Hole diameter in µm, if known.")] = None,
    hole_pitch_um: Annotated[float | None, typer.Option(help="Distance between hole centres in µm, if known.")] = None,
) -> None:
    """Find the holes of a square or a hole-level view, with their lattice."""
    from epicycle.detectors.output import holes_json
    from epicycle.orchestrator import plugins

    image = _image(path, pixel_size_a)
    sizes = {"hole_diameter_um": hole_diameter_um, "hole_pitch_um": hole_pitch_um}
    options = {name: value for name, value in sizes.items() if value is not None}
    found = plugins.load("epicycle.detectors", "lattice-holes")(options).find(image)
    table = Table("#", "x px", "y px", "radius px", "score", "status")
    for number, hole in enumerate(found.holes, start=1):
        table.add_row(
            str(number),
            f"{hole.col_px:.1f}",
            f"{hole.row_px:.1f}",
            f"{hole.radius_px:.1f}",
            f"{hole.score:.2f}",
            hole.status.value,
        )
    lattice = found.lattice
    said = "no lattice" if lattice is None else f"{lattice.kind.value} lattice, confidence {lattice.confidence:.2f}"
    _show(table, f"{len(found.holes)} sites, {said}", found.reason, len(found.holes))
    _write_json(json_file, holes_json(found, str(path)))
    if plot is not None:
        from epicycle.detectors.drawing import draw_holes

        draw_holes(image, found, plot)


def _show(table: Table, headline: str, reason: str, count: int) -> None:
    if count:
        console.print(table)
    console.print(escape(headline if count else f"nothing found: {reason}"))


def _write_json(path: Path | None, body: dict[str, Any]) -> None:
    if path is not None:
        path.write_text(json.dumps(body, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


# doctor


@app.command()
def doctor(
    folder: Annotated[Path, typer.Option("--out", help="Folder where nights would be kept.")] = Path("nights"),
) -> None:
    """Say whether this machine is fit to run a night: one line each; exit code 0 when it is."""
    from epicycle.orchestrator import fitness

    checks = fitness.examine(folder)
    width = max(len(check.name) for check in checks)
    for check in checks:
        console.print(f"{check.verdict:5}  {check.name:{width}}  {check.text}", markup=False, soft_wrap=True)
    if not fitness.fit(checks):
        raise typer.Exit(1)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"epicycle {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Run before every command."""


def main() -> None:
    """Run the command line: one sentence and exit code 2 for what a person can mend, never a traceback for it."""
    try:
        app()
    except EpicycleError as error:
        errors.print(f"epicycle: {error}", markup=False, highlight=False, soft_wrap=True)
        sys.exit(2)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        errors.print(f"epicycle: {where}{error.strerror or error}", markup=False, highlight=False, soft_wrap=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
