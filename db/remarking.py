"""What people say of a row: labels (a short word that exports for training carry) and notes (words for the report)."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session as OrmSession

from ..protocols.errors import BadInput
from .connection import open_writer
from .models import Exposure, Grid, Hole, Label, Note, Square

LONGEST = 2000
"""Characters of a note."""

EXAMPLE = "grid 3, grid 3 square 14, or grid 3 square 14 hole 7; exposure 12 alone is enough"


def label(record: Path, place: Sequence[str], word: str, *, by: str, at: datetime) -> tuple[str, int]:
    """Put a label on a row; answers the row's table and number.

    Parameters
    ----------
    record
        The database.
    place
        Pairs of words, from the grid inwards: ``grid 3 square 14 hole 7`` or ``exposure 12``. A grid is named by its
        slot; it may be left out where only one grid has a square of that number.
    word
        The label.
    by, at
        Who says so, and when.

    Raises
    ------
    BadInput
        There is no such row, several of them, or nothing is said of it.
    """
    word = _said(word)
    with _writing(record) as db:
        kind, of_id = find_row(db, place)
        db.add(Label(of_kind=kind, of_id=of_id, label=word, by=by, at=at))
        return kind, of_id


def note(record: Path, place: Sequence[str], text: str, *, by: str, at: datetime) -> tuple[str, int]:
    """Put a note on a row; like `label`."""
    text = _said(text)
    with _writing(record) as db:
        kind, of_id = find_row(db, place)
        db.add(Note(of_kind=kind, of_id=of_id, text=text, by=by, at=at))
        return kind, of_id


def find_row(db: OrmSession, place: Sequence[str]) -> tuple[str, int]:
    """Find the row that a person names; answers its table and number.

    Raises
    ------
    BadInput
        The words are not pairs of a kind and a number, or name no row, or several.
    """
    if not place or len(place) % 2:
        raise BadInput(f"{' '.join(place) or 'nothing'} names no row; say for example {EXAMPLE}")
    named: dict[str, int] = {}
    for kind, number in zip(place[::2], place[1::2], strict=True):
        if kind not in ("grid", "square", "hole", "exposure") or not number.isdecimal():
            raise BadInput(f"{kind} {number} names no row; say for example {EXAMPLE}")
        named[kind] = int(number)
    query = {"grid": select(Grid.id), "square": select(Square.id), "hole": select(Hole.id)}.get(list(named)[-1])
    if "exposure" in named:
        query = select(Exposure.id).where(Exposure.number == named["exposure"])
        return "exposure", _only(list(db.scalars(query)), place)
    assert query is not None
    if "hole" in named:
        query = query.join(Square, Square.id == Hole.square_id).where(Hole.number == named["hole"])
        if "square" not in named:
            raise BadInput(f"{' '.join(place)}: a hole is named together with its square; say for example {EXAMPLE}")
    if "square" in named:
        query = query.where(Square.number == named["square"]).join(Grid, Grid.id == Square.grid_id)
    if "grid" in named:
        query = query.where(Grid.slot == named["grid"])
    return list(named)[-1], _only(list(db.scalars(query)), place)


@contextmanager
def _writing(record: Path) -> Iterator[OrmSession]:
    engine = open_writer(record)
    try:
        with OrmSession(engine) as db, db.begin():
            yield db
    finally:
        engine.dispose()


def _only(found: Sequence[int], place: Sequence[str]) -> int:
    if not found:
        raise BadInput(f"the record has no {' '.join(place)}; `epicycle report` shows what it has")
    if len(found) > 1:
        raise BadInput(f"{len(found)} grids have {' '.join(place)}; name the grid too, as in grid 3 {' '.join(place)}")
    return found[0]


def _said(text: str) -> str:
    text = text.strip()
    if not text:
        raise BadInput("nothing was said; give the words")
    if len(text) > LONGEST:
        raise BadInput(f"{len(text)} characters are more than the {LONGEST} a remark may have")
    return text
