"""The command line put together: every family of commands, and what is done about errors."""

import sys
from typing import Annotated

import typer

from .. import __version__
from ..protocols.errors import EpicycleError
from . import doctor, leaving, nights, pictures, steering
from .detect import detect_app
from .fit import fit
from .protocols import protocols_app
from .serve import serve_detectors
from .simulate import simulate_app
from .targets import BareToOutput, targets
from .terminal import errors
from .train import train_app
from .train_squares import square_scores, squares

# What a command needs is imported in it: looking at a night must not wait for what only running one needs.

app = typer.Typer(
    help="Runs a cryo-electron microscope through the night: screens a cassette of grids, learns as it goes, leaves a "
    "ranked report and a complete record.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(nights.run)
app.command()(nights.resume)
app.command()(steering.status)
app.command()(steering.stop)
app.command()(steering.pause)
app.command("ask")(steering.ask_night)
app.command()(steering.report)
app.command()(pictures.show)
app.command()(leaving.export)
app.command()(leaving.label)
app.command()(leaving.note)
app.command()(doctor.doctor)
app.add_typer(protocols_app, name="protocols")
app.add_typer(detect_app, name="detect")
app.command()(serve_detectors)
app.command(cls=BareToOutput)(targets)
simulate_app.command()(fit)
app.add_typer(simulate_app, name="simulate")
train_app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(squares)
train_app.command()(square_scores)
app.add_typer(train_app, name="train")


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
