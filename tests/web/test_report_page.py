import re
import sqlite3
from collections.abc import Callable
from datetime import UTC
from html.parser import HTMLParser
from pathlib import Path
from statistics import median
from typing import Any

import html5lib
import pytest

from epicycle.db.connection import RecordMissing, create_record
from epicycle.protocols.errors import EpicycleError
from epicycle.web.report import render_report

HOSTILE = [
    "<script>alert('grid')</script>",
    "\"quoted\" & 'single' --> ]]> </style>",
    "שלום مرحبا \u202eright-to-left",
    "long " * 60,
    "{{ 7 * 7 }} {% raw %}",
]
VOID = {"meta", "img", "br", "hr", "input", "link", "path", "polygon", "circle", "image"}


class Page(HTMLParser):
    """Reads a page, checks that every tag closes in order, and keeps texts by class and all attributes."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[tuple[str, str]] = []
        self.seen: dict[str, list[dict[str, str]]] = {}
        self.texts: list[tuple[tuple[str, ...], str]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        given = {name: value or "" for name, value in attrs}
        assert len(given) == len(attrs), f"<{tag}> names an attribute twice"
        self.seen.setdefault(tag, []).append(given)
        if tag not in VOID:
            self.open.append((tag, given.get("class", "")))

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        assert tag in VOID
        self.seen.setdefault(tag, []).append({name: value or "" for name, value in attrs})

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open[-1][0] == tag, f"</{tag}> closes {self.open[-1]}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append((tuple(c for _, classes in self.open for c in classes.split()), " ".join(data.split())))

    @property
    def text(self) -> str:
        return " ".join(text for _, text in self.texts)

    def within(self, name: str) -> list[str]:
        return [text for classes, text in self.texts if name in classes]


def read(database: Path, **more: Any) -> tuple[Page, str]:
    text = render_report(database, database.parent / "report.html", zone=UTC, **more).read_text()
    return Page(text), text


def cards(text: str) -> dict[int, Page]:
    found = re.findall(r'<li class="card.*?</li>', text, re.DOTALL)
    pages = [Page(card) for card in found]
    return {int(re.search(r"slot (\d+)", page.text)[1]): page for page in pages}  # type: ignore[index]


@pytest.fixture(scope="module")
def ordinary(paint: Callable[..., Path]) -> Path:
    return paint(
        {
            1: {"name": "good", "usable": 0.95, "resolution_a": 3.3},
            2: {"name": "poor", "usable": 0.0, "resolution_a": 8.0, "ice_nm": 140.0, "flags": ("thick",)},
            3: {"name": "", "status": "empty"},
            4: {"name": "broken", "visited": 0, "classes": ("broken_or_dry", "cracked")},
            5: {"name": "lost", "status": "failed", "reason": "the grid did not arrive"},
            6: {"name": "fair", "usable": 0.6, "resolution_a": 4.6},
        },
        faults=[(5, "LoadFailed", "The grid of slot 5 did not arrive on the stage.", "leave-grid")],
    )


def test_first_screen_says_what_the_database_says(ordinary: Path) -> None:
    _, text = read(ordinary)
    shown = cards(text)
    db = sqlite3.connect(ordinary)
    of = """FROM exposure e JOIN hole h ON h.id = e.hole_id JOIN square s ON s.id = h.square_id
               JOIN grid g ON g.id = s.grid_id WHERE g.slot = ? AND e.status = 'done'"""
    for slot in (1, 2, 6):
        total, usable = db.execute(f"SELECT count(*), sum(e.usable) {of}", (slot,)).fetchone()
        measured = f"SELECT value FROM measure WHERE of_kind = 'exposure' AND name = ? AND of_id IN (SELECT e.id {of})"
        fits = [value for (value,) in db.execute(measured, ("fit_resolution_a", slot))]
        ice = [value for (value,) in db.execute(measured, ("ice_nm", slot))]
        said = shown[slot].text
        assert f"usable {usable} of {total} " in said
        assert f"{min(fits):.1f}, {median(fits):.1f} Å" in said
        assert f"ice {median(ice):.0f} nm" in said
    night = Page(re.search(r'<div class="answers">.*?</div>\s*</div>\s*<ol', text, re.DOTALL)[0][:-3])  # type: ignore[index]
    total, usable = db.execute("SELECT count(*), sum(usable) FROM exposure").fetchone()
    db.close()
    assert f"3 grids exposed, {total} exposures, {usable} usable" in night.text
    assert "1 fault; slot 5 lost" in night.text


def test_cards_stand_in_the_order_of_their_worth(ordinary: Path) -> None:
    _, text = read(ordinary)
    shown = cards(text)
    assert list(shown) == [1, 6, 2, 4, 5, 3]
    verdicts = {slot: card.within("verdict")[0] for slot, card in shown.items()}
    assert verdicts == {1: "● collect", 6: verdicts[6], 2: "✕ remake", 4: "✕ remake", 3: "○ no data", 5: "○ no data"}
    assert verdicts[6] in ("● collect", "◐ collect with care")
    assert "the grid did not arrive" in shown[5].text.lower()


def test_remedy_names_what_was_measured(ordinary: Path) -> None:
    page, _ = read(ordinary)
    assert "Make it again: ice too thick" in page.text
    assert re.search(r"Make it again: \d+ of \d+ squares (broken or dry|cracked) ", page.text)


def test_page_stands_alone_and_needs_no_script(ordinary: Path) -> None:
    page, text = read(ordinary)
    assert page.seen["script"] == [{}]
    assert "link" not in page.seen
    for tag in ("img", "image", "a", "use", "iframe"):
        for given in page.seen.get(tag, []):
            target = given.get("src") or given.get("href") or ""
            assert target.startswith(("data:image/jpeg;base64,", "#")), target[:80]
    assert not re.search(r"url\(|@import|https?://(?!www\.w3\.org)", text)
    assert all(given.get("alt") for given in page.seen["img"])
    anchors = [given["id"] for tag in page.seen.values() for given in tag if "id" in given]
    assert len(anchors) == len(set(anchors))
    targets = {given["href"][1:] for given in page.seen["a"]}
    assert targets <= set(anchors)


def test_markup_is_valid(ordinary: Path, paint: Callable[..., Path]) -> None:
    for database in (ordinary, paint({1: {"status": "empty"}}), paint({1: {"name": HOSTILE[0]}})):
        html5lib.HTMLParser(strict=True).parse(read(database)[1])


def test_every_visited_square_exposure_and_decision_is_there(ordinary: Path) -> None:
    page, text = read(ordinary)
    db = sqlite3.connect(ordinary)
    exposures = db.execute("SELECT count(*) FROM exposure").fetchone()[0]
    pictures = db.execute("SELECT count(*) FROM image WHERE kind = 'picture'").fetchone()[0]
    squares = db.execute("SELECT count(*) FROM square WHERE visit_order IS NOT NULL").fetchone()[0]
    db.close()
    assert text.count('<figure class="shot">') == exposures
    assert sum(1 for g in page.seen["img"] if re.match(r"(Micrograph|Spectrum) of", g["alt"])) == pictures
    assert text.count('<div class="square">') == squares
    assert page.text.count("cluster-sampling 1, seed 7") == 4 + squares
    assert "highest score of its size group" in page.text
    assert "screening-default" in page.text


def test_hostile_names_are_text(paint: Callable[..., Path]) -> None:
    slots = {n: {"name": name, "reason": name, "visited": 1, "shots": 2} for n, name in enumerate(HOSTILE, 1)}
    slots[9] = {"name": HOSTILE[0], "status": "failed", "reason": HOSTILE[1]}
    database = paint(slots, name=HOSTILE[0], faults=[(1, "Odd", HOSTILE[1], HOSTILE[0])])
    page, text = read(database)
    assert page.seen["script"] == [{}]
    assert text.count("<script") == 1
    for name in HOSTILE:
        assert " ".join(name.split()) in page.text
    assert "49" not in page.within("name")


def test_missing_and_broken_images_leave_their_path(paint: Callable[..., Path]) -> None:
    database = paint({1: {"visited": 1, "shots": 2}})
    images = sorted((database.parent / "images").iterdir())
    gone = next(path for path in images if path.name.startswith("square-"))
    cut = next(path for path in images if path.name.endswith("-spectrum.png"))
    gone.unlink()
    cut.write_bytes(cut.read_bytes()[:40])
    short = next(path for path in images if path.name.startswith("atlas-"))
    short.write_bytes(short.read_bytes()[:2000])
    page, _ = read(database)
    said = page.within("missing")
    for path in (gone, cut, short):
        assert any(f"images/{path.name}" in text for text in said), said
    assert any("no such file" in text for text in said)
    assert any("truncated" in text for text in said)


def test_night_under_way_is_marked(paint: Callable[..., Path]) -> None:
    database = paint({1: {"pending": 5}, 2: {"status": "waiting"}}, run_status="running")
    page, _ = read(database)
    assert page.within("badge") == ["in progress"]
    assert "(in progress)" in page.text
    assert "Nothing: the night goes on." in page.text
    assert "exposing hole 12 of square 4" in page.text
    assert "5 still being analysed" in page.text
    assert "analysis under way" in page.text
    assert "Not reached yet." in page.text


@pytest.mark.parametrize("slots", [{}, {3: "empty"}, {1: "waiting"}, {1: "failed", 2: "empty"}, {1: "loaded"}])
def test_nights_without_data_say_so_and_draw_no_chart(paint: Callable[..., Path], slots: dict[int, str]) -> None:
    shown = {slot: {"status": status, "visited": 0, "shots": 0} for slot, status in slots.items()}
    page, text = read(paint(shown))
    assert 'class="chart' not in re.sub(r"<style>.*?</style>", "", text, flags=re.DOTALL)
    first = page.text
    empty = not set(slots.values()) - {"empty"}
    assert ("No grid was in the cassette" if empty else "No exposure was taken") in first
    assert "None." in first


def test_atlas_only_night_has_squares_and_no_exposures(paint: Callable[..., Path]) -> None:
    page, _ = read(paint({1: {"name": "a", "visited": 0}, 2: {"name": "b", "visited": 0, "classes": ("cracked",)}}))
    assert "No exposure was taken; 2 of 2 grids surveyed." in page.text
    assert re.search(r"\d+ of \d+ squares look good on the atlas\.", page.text)


def test_record_without_a_night_is_one_sentence(tmp_path: Path) -> None:
    create_record(tmp_path / "night.db").dispose()
    with pytest.raises(EpicycleError, match="no night yet"):
        render_report(tmp_path / "night.db", tmp_path / "report.html")
    with pytest.raises(RecordMissing):
        render_report(tmp_path / "none.db", tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


def test_two_renderings_are_equal_and_small(ordinary: Path) -> None:
    _, first = read(ordinary)
    _, again = read(ordinary)
    assert first == again
    assert len(first) < 4e6
