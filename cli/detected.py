"""What the commands `detect squares` and `detect holes` show and write of what was found."""

import json
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.markup import escape
from rich.table import Table

from .terminal import console, errors

if TYPE_CHECKING:
    from ..detectors.records import HoleDetections, SquareDetections
    from ..detectors.stages import Stage


class Format(StrEnum):
    """Forms in which detections are written."""

    OWN = "epicycle"
    PTOLEMY = "ptolemy"


def show_squares(found: "SquareDetections") -> None:
    """Print the squares as a table, or why there are none."""
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


def show_holes(found: "HoleDetections") -> None:
    """Print the sites as a table, or why there are none."""
    told = any(hole.fit is not None for hole in found.holes)
    table = Table("#", "x px", "y px", "radius px", "score", *(["fit"] if told else []), "status")
    for number, hole in enumerate(found.holes, start=1):
        fit = "" if hole.fit is None else f"{hole.fit:.2f}"
        table.add_row(
            str(number),
            f"{hole.col_px:.1f}",
            f"{hole.row_px:.1f}",
            f"{hole.radius_px:.1f}",
            f"{hole.score:.2f}",
            *([fit] if told else []),
            hole.status.value,
        )
    lattice = found.lattice
    said = "no lattice" if lattice is None else f"{lattice.kind.value} lattice, confidence {lattice.confidence:.2f}"
    _show(table, f"{len(found.holes)} sites, {said}", found.reason, len(found.holes))


def show_note(note: str) -> None:
    """Print what is to be known of how it was found, such as that a network was not there."""
    if note:
        errors.print(escape(note), soft_wrap=True, highlight=False)


def show_stages(stages: "Sequence[Stage]", finder: str) -> None:
    """Print what each stage found and how long it took; what is asked for as JSON keeps standard output to itself."""
    table = Table("stage", "what was found", "CPU ms", title=f"{finder}, stage by stage")
    table.columns[2].justify = "right"
    for one in stages:
        table.add_row(escape(one.name), escape(one.found), f"{1000 * one.cpu_s:.0f}")
    errors.print(table)


def write_own(body: dict[str, Any], json_file: Path | None) -> None:
    """Write this project's JSON, if a file is named."""
    if json_file is not None:
        json_file.write_text(json.dumps(body, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def write_ptolemy(items: Sequence[dict[str, Any]], reason: str, json_file: Path | None, text_file: Path | None) -> None:
    """Write Ptolemy's JSON and text into the files that are named; the JSON to standard output if none is.

    Raises
    ------
    OSError
        A file cannot be written.
    """
    from ..detectors.ptolemy_format import as_json, as_text

    if json_file is not None:
        json_file.write_text(as_json(items), encoding="utf-8")
    if text_file is not None:
        text_file.write_text(as_text(items) + "\n", encoding="utf-8")
    if json_file is None and text_file is None:
        typer.echo(as_json(items))
    if not items:
        errors.print(escape(f"nothing found: {reason}"), soft_wrap=True)


def _show(table: Table, headline: str, reason: str, count: int) -> None:
    if count:
        console.print(table)
    console.print(escape(headline if count else f"nothing found: {reason}"))
