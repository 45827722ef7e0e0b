"""Looking at a night and steering it: both through its record alone."""

import getpass
import json
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..protocols.errors import BadInput
from .terminal import Record, console, record_of

if TYPE_CHECKING:
    from sqlalchemy import Engine


def status(
    record: Record,
    follow: Annotated[
        bool, typer.Option("--follow", help="Stay, and show what happens until the night is over.")
    ] = False,
) -> None:
    """Say what is going on; read-only, safe beside a running night."""
    from ..db.connection import open_reader
    from ..web.live import status_text

    path = record_of(record)
    reader = open_reader(path)
    try:
        if follow:
            _stay(path, reader)
        console.print(status_text(reader))
    finally:
        reader.dispose()


def _stay(record: Path, reader: "Engine") -> None:
    """Show the night until it is over, or the person leaves."""
    from ..db.views import night_status
    from ..web import live

    with live.follow(record, console, ask=lambda verb: write_down(record, verb)) as left:
        try:
            while not night_status(reader).over and not left.wait(1.0):
                pass
        except KeyboardInterrupt:
            return


def stop(record: Record) -> None:
    """Ask a running night to stop at the next boundary; the microscope is parked, the night can be resumed."""
    tell(record_of(record), "stop", {})


def pause(record: Record) -> None:
    """Ask a running night to pause at the next boundary; resume goes on."""
    tell(record_of(record), "pause", {})


def ask_night(
    record: Record,
    verb: Annotated[str, typer.Argument(help="skip-square, skip-grid, add-target, remove-target, change …")],
    args: Annotated[list[str] | None, typer.Argument(help="key=value, values as JSON")] = None,
) -> None:
    """Ask anything else of a running night, e.g. ``ask DB skip-grid slot=3`` or ``ask DB change path=… value=…``."""
    tell(record_of(record), verb, dict(pair(text) for text in args or ()))


def pair(text: str) -> tuple[str, Any]:
    """Take ``key=value`` apart; the value as JSON where it is that, else as it stands; raises `BadInput`."""
    name, equals, value = text.partition("=")
    if not equals:
        raise BadInput(f"{text} is not of the form key=value")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def write_down(record: Path, verb: str, args: dict[str, Any] | None = None) -> int:
    """Write a command into the record of a night; answers its number."""
    from ..db.asking import ask

    return ask(
        record,
        verb,
        args or {},
        asked_by=getpass.getuser(),
        asked_at=datetime.now(UTC),
        idempotency_key=uuid.uuid4().hex,
    )


def tell(record: Path, verb: str, args: dict[str, Any]) -> None:
    """Write a command into the record of a night, and say what becomes of it."""
    number = write_down(record, verb, args)
    if not is_running(record):
        console.print(f"{verb} is written down (command {number}), but no night runs; it is heeded at the next resume")
    else:
        console.print(f"{verb} asked (command {number}); it is heeded at the next boundary, see `epicycle status`")


def report(
    record: Record,
    out: Annotated[Path | None, typer.Option(help="HTML file; report.html beside the record by default.")] = None,
    compare: Annotated[
        Path | None, typer.Option(metavar="DB2", help="Put this night beside it instead, on one page.")
    ] = None,
    pdf: Annotated[bool, typer.Option("--pdf", help="Print it to PDF too, by a browser that is installed.")] = False,
) -> None:
    """Write the self-contained HTML report; works half-way through a night too."""
    from ..web.comparing import render_comparison
    from ..web.printing import print_to_pdf
    from ..web.report import render_report

    record = record_of(record)
    if compare is None:
        made = render_report(record, out or record.parent / "report.html")
    else:
        made = render_comparison(record, record_of(compare), out or record.parent / "comparison.html")
    console.print(str(made), soft_wrap=True, markup=False, highlight=False)
    if pdf:
        printed = print_to_pdf(made, made.with_suffix(".pdf"))
        console.print(str(printed), soft_wrap=True, markup=False, highlight=False)


def is_running(record: Path) -> bool:
    """Whether a process is at work on this night."""
    from ..db.connection import open_reader
    from ..db.lease import holder

    reader = open_reader(record)
    try:
        who = holder(reader)
        return who is not None and who.alive is not False
    finally:
        reader.dispose()
