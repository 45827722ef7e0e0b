from pathlib import Path

import click
import pytest
import typer.main

from epicycle.cli import app
from epicycle.orchestrator.commands import VERBS

REFERENCE = (Path(__file__).resolve().parents[2] / "docs" / "reference" / "commands.md").read_text(encoding="utf-8")


def leaves(group: click.Group, path: str = "epicycle"):
    for name, command in group.commands.items():
        full = f"{path} {name}"
        if hasattr(command, "commands"):
            yield from leaves(command, full)
        else:
            yield full, command


COMMANDS = dict(leaves(typer.main.get_command(app)))


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_and_option_is_in_the_reference(name: str) -> None:
    assert f"`{name}" in REFERENCE
    for parameter in COMMANDS[name].params:
        for option in parameter.opts:
            if option.startswith("--") and option != "--help":
                assert f"`{option}" in REFERENCE, option


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_every_verb_is_in_the_reference(verb: str) -> None:
    assert f"`{verb}`" in REFERENCE
