"""What every command talks through: the two consoles, and the way a night is named."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

Record = Annotated[Path, typer.Argument(help="The night's database, or its folder.", metavar="DB")]

console = Console()
errors = Console(stderr=True)


def record_of(given: Path) -> Path:
    """Give the database of a night named by it or by its folder."""
    return given / "night.db" if given.is_dir() else given
