"""The check of the machine: is it fit to run a night."""

from pathlib import Path
from typing import Annotated

import typer

from .terminal import console


def doctor(
    folder: Annotated[Path, typer.Option("--out", help="Folder where nights would be kept.")] = Path("nights"),
) -> None:
    """Say whether this machine is fit to run a night: one line each; exit code 0 when it is."""
    from ..orchestrator import fitness

    checks = fitness.examine(folder)
    width = max(len(check.name) for check in checks)
    for check in checks:
        console.print(f"{check.verdict:5}  {check.name:{width}}  {check.text}", markup=False, soft_wrap=True)
    if not fitness.fit(checks):
        raise typer.Exit(1)
