"""`epicycle show`: the report's figures as files and in the terminal, found by the names people use."""

import io
import re
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from rich.console import Console
from sqlalchemy import Engine

from epicycle.protocols.errors import BadInput
from epicycle.web import palette
from epicycle.web.blocks import Blocks
from epicycle.web.drawing import TITLE_PX, draw, pixels_of
from epicycle.web.night import WholeNight, whole_night
from epicycle.web.sentences import CATEGORIES
from epicycle.web.showing import show

Reads = Callable[[Path], Engine]


@pytest.fixture(scope="module")
def painted(paint) -> Path:
    return paint({3: {}, 5: {"status": "failed"}})


@pytest.fixture
def night(painted: Path, reader_of: Reads) -> WholeNight:
    return whole_night(reader_of(painted))


def test_a_png_shows_the_picture_with_its_squares_outlined(night: WholeNight, painted: Path) -> None:
    (shown,) = show(night, painted.parent, ["grid", "3"])
    picture = shown.figure.picture
    drawn = cv2.imdecode(np.frombuffer(draw(shown.figure, shown.title), np.uint8), cv2.IMREAD_COLOR)
    assert drawn.shape[:2] == (picture.height + TITLE_PX, picture.width)
    red, green, blue = (int(palette.SQUARES["good"].colour[at : at + 2], 16) for at in (1, 3, 5))
    lines = np.abs(drawn[TITLE_PX:].astype(int) - (blue, green, red)).max(axis=-1) < 60
    good = [outline for outline in shown.figure.overlay.outlines if outline.category == "good"]
    assert len(good) > 5
    near = np.zeros(lines.shape, np.uint8)
    for outline in good:
        cv2.polylines(near, [np.round(outline.corners).astype(np.int32)], isClosed=True, color=1, thickness=5)
    assert lines[near > 0].mean() > 0.15
    assert lines[near == 0].mean() < 0.02


def test_squares_and_holes_are_found_by_their_numbers(night: WholeNight, painted: Path) -> None:
    grid = next(grid for grid in night.grids if grid.summary.slot == 3)
    inside = grid.visited[0]
    number, shot = str(inside.square.number), inside.shots[0]
    (square,) = show(night, painted.parent, ["grid", "3", "square", number])
    assert square.name == f"grid03-square{number}"
    assert len(square.figure.overlay.marks) == len(inside.shots)
    found = show(night, painted.parent, ["grid", "3", "square", number, "hole", str(shot.hole_number)])
    assert [one.name.rsplit("-", 1)[1] for one in found] == ["view", "micrograph", "spectrum"]
    assert len(show(night, painted.parent, [])) == 1


@pytest.mark.parametrize(
    ("place", "says"),
    [
        ("grid", "names nothing"),
        ("square 3", "names nothing"),
        ("grid three", "names nothing"),
        ("grid 4", "no grid in slot 4; it has slots 3, 5"),
        ("grid 5", "grid 5 has no atlas"),
        ("grid 3 square 9999", "has no square 9999"),
    ],
)
def test_a_place_without_a_picture_is_a_sentence(night: WholeNight, painted: Path, place: str, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        show(night, painted.parent, place.split())


def test_a_picture_that_is_gone_is_a_sentence(night: WholeNight, tmp_path: Path) -> None:
    (shown,) = show(night, tmp_path, ["grid", "3"])
    with pytest.raises(BadInput, match="no such file"):
        pixels_of(shown.figure.picture)


@pytest.mark.parametrize("colour", [None, "truecolor"])
def test_blocks_keep_to_the_width_and_the_shape(colour: str | None) -> None:
    pixels = np.zeros((60, 120), np.uint8)
    pixels[:, 60:] = 255
    out = io.StringIO()
    Console(file=out, width=50, color_system=colour, force_terminal=colour is not None).print(Blocks(pixels))
    lines = re.sub(r"\x1b\[[\d;]*m", "", out.getvalue()).rstrip("\n").split("\n")
    assert 12 <= len(lines) <= 13
    assert {len(line) for line in lines} == {50}
    if colour is None:
        assert {(line[3], line[-3]) for line in lines} == {(" ", "@")}
    else:
        assert "38;2;" in out.getvalue()


def test_every_class_has_a_line_that_differs_without_colour() -> None:
    assert set(palette.SQUARES) - {"other"} == set(CATEGORIES)
    dashes = [stroke.dashes for name, stroke in palette.SQUARES.items() if name != "other"]
    assert len(set(dashes)) == len(dashes)
