"""Every command of the how-to is one that the program knows."""

import re
import shlex
from pathlib import Path

import pytest
import typer.main

from epicycle.cli import app

DOCS = Path(__file__).resolve().parents[2] / "docs"
TEXT = (DOCS / "how-to" / "simulate.md").read_text(encoding="utf-8") + (DOCS / "gallery.md").read_text(encoding="utf-8")
COMMANDS = [line.strip() for line in TEXT.splitlines() if line.startswith("    epicycle simulate ")]
LARGEST = {"pictures": 150 * 1024, "gallery": 300 * 1024}


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_can_be_given(line: str) -> None:
    _, family, name, *options = shlex.split(line)
    command = typer.main.get_command(app).commands[family].commands[name]  # type: ignore[attr-defined]
    assert command.make_context(name, options).params["out"]


def test_the_pictures_shown_are_there_and_small() -> None:
    shown = re.findall(r"\((?:\.\./)?((pictures|gallery)/[\w-]+\.png)\)", TEXT)
    assert len(shown) > 8
    for path, folder in shown:
        assert (DOCS / path).stat().st_size <= LARGEST[folder], path
