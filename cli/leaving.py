"""What leaves a night and what people add to it: exports, labels and notes."""

import getpass
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from ..protocols.errors import BadInput
from .terminal import Record, console, record_of

Place = Annotated[
    list[str],
    typer.Argument(help="What it is about, from the grid's slot inwards, then the words: grid 3 square 14 hole 7 …"),
]


def export(
    record: Record,
    to: Annotated[str, typer.Option(help="csv, parquet, json, star or coco.")],
    out: Annotated[Path, typer.Option(help="Folder to write into; made where there is none.")],
) -> None:
    """Write the night in a form that other programs read; safe beside a running night."""
    from ..db.connection import open_reader

    write = _writers().get(to)
    if write is None:
        raise BadInput(f"there is no export called {to}; there are: {', '.join(_writers())}")
    reader = open_reader(record_of(record))
    try:
        for path in write(reader, out):
            console.print(str(path), highlight=False, markup=False, soft_wrap=True)
    finally:
        reader.dispose()


def label(record: Record, place: Place) -> None:
    """Say what a square or hole really is, e.g. ``label DB grid 3 square 14 cracked``; exports carry it."""
    from ..db import remarking
    from ..detectors.records import WORTH, Site, SquareClass

    *where, word = place
    known = {"square": [kind.value for kind in SquareClass], "hole": [*(site.value for site in Site), *WORTH]}
    kind = where[-2] if len(where) > 1 else ""
    if kind in known and word not in known[kind]:
        raise BadInput(f"{word} is no label of a {kind}; there are: {', '.join(known[kind])}")
    of_kind, of_id = remarking.label(record_of(record), where, word, by=getpass.getuser(), at=datetime.now(UTC))
    console.print(f"{of_kind} {of_id} is labelled {word}", highlight=False, markup=False)


def note(record: Record, place: Place) -> None:
    """Write a note on a grid, square, hole or exposure: ``note DB grid 3 "blotted twice"``; the report shows it."""
    from ..db import remarking

    *where, text = place
    of_kind, of_id = remarking.note(record_of(record), where, text, by=getpass.getuser(), at=datetime.now(UTC))
    console.print(f"noted on {of_kind} {of_id}", highlight=False, markup=False)


def _writers() -> Mapping[str, Callable[..., list[Path]]]:
    from ..db.export.coco import write_coco
    from ..db.export.screening import write_screening_record
    from ..db.export.star import write_star
    from ..db.export.tables import write_csv, write_parquet

    return {
        "csv": write_csv, "parquet": write_parquet, "json": write_screening_record, "star": write_star,
        "coco": write_coco,
    }  # fmt: skip
