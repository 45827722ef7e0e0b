"""Screening protocols: named, printed, checked."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.syntax import Syntax
from rich.table import Table

from ..protocols.errors import BadInput
from .terminal import console

protocols_app = typer.Typer(help="Screening protocols: what a night shall do.", no_args_is_help=True)


@protocols_app.command("list")
def list_protocols() -> None:
    """Name the shipped protocols."""
    from ..protocols.reading import read_protocol, shipped_names

    table = Table("protocol", "what it is for")
    for name in shipped_names():
        table.add_row(name, read_protocol(name).description)
    console.print(table)


@protocols_app.command()
def show(name: Annotated[str, typer.Argument(help="A shipped protocol.")]) -> None:
    """Print a shipped protocol, comments included; save it and change what you like."""
    from ..protocols.reading import shipped_text

    text = shipped_text(name)
    if console.is_terminal:
        console.print(Syntax(text, "yaml", word_wrap=True))
    else:
        typer.echo(text, nl=False)


@protocols_app.command()
def validate(file: Annotated[Path, typer.Argument(help="A protocol file.")]) -> None:
    """Check a protocol: every mistake with its line, the field's own explanation and the accepted values."""
    from ..protocols.reading import read_protocol

    protocol = read_protocol(file if file.suffix else str(file))
    console.print(f"{file}: {protocol.name} is a valid protocol", markup=False)


@protocols_app.command()
def schema(
    of: Annotated[str, typer.Option("--of", help="protocol or cassette")] = "protocol",
) -> None:
    """Print the JSON Schema, for editors."""
    from ..protocols.reading import json_schema

    if of not in ("protocol", "cassette"):
        raise BadInput(f"there is no schema of {of}; accepted are protocol and cassette")
    typer.echo(json.dumps(json_schema("protocol" if of == "protocol" else "cassette"), indent=2, ensure_ascii=False))
