"""Each number of the first screen, recomputed from the tables by queries and formulas of this test's own."""

import html
import re
import sqlite3
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from scipy.stats import beta

from epicycle.web.report import render_report

LIKENESS, CARE, COLLECT = 0.25, 0.2, 0.5


@pytest.fixture(scope="module")
def night(paint: Callable[..., Path]) -> Path:
    return paint(
        {
            1: {"name": "good", "usable": 0.95, "resolution_a": 3.3, "shots": 6},
            2: {"name": "poor", "usable": 0.0, "resolution_a": 8.0, "flags": ("no-fit",)},
            6: {"name": "fair", "usable": 0.6, "resolution_a": 4.6, "visited": 4},
            9: {"name": "none", "status": "empty"},
        }
    )


@pytest.fixture(scope="module")
def screen(night: Path) -> str:
    return render_report(night, night.parent / "r.html").read_text(encoding="utf-8").split('<section class="grid"')[0]


@pytest.fixture
def db(night: Path) -> Any:
    with sqlite3.connect(night) as connection:
        yield connection


def plain(markup: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", markup)).split())


def card(screen: str, slot: int) -> str:
    parts = re.findall(r'<li class="card.*?</li>', screen, re.DOTALL)
    (own,) = [words for words in (plain(part) for part in parts) if f"slot {slot} " in words]
    return own


def shots(db: sqlite3.Connection, slot: int) -> list[tuple[int, int]]:
    """(judged, usable) of each square."""
    return db.execute(
        "SELECT count(e.usable), sum(e.usable) FROM exposure e JOIN hole h ON h.id = e.hole_id"
        " JOIN square s ON s.id = h.square_id JOIN grid g ON g.id = s.grid_id WHERE g.slot = ? GROUP BY s.id",
        (slot,),
    ).fetchall()


def shares(db: sqlite3.Connection, slot: int) -> Any:
    """The posterior, from its definition in the report: n exposures of a square count as n / (1 + (n - 1) ρ)."""
    weighted = [(n / (1 + (n - 1) * LIKENESS), k / (1 + (n - 1) * LIKENESS)) for n, k in shots(db, slot)]
    coins, heads = (sum(part) for part in zip(*weighted, strict=True))
    return beta(1 + heads, 1 + coins - heads)


def said(share: float) -> str:
    return "> 99 %" if share > 0.99 else "< 1 %" if share < 0.01 else f"{100 * share:.0f} %"


@pytest.mark.parametrize("slot", [1, 2, 6])
def test_every_number_of_a_card(screen: str, db: sqlite3.Connection, slot: int) -> None:
    words, posterior = card(screen, slot), shares(db, slot)
    total, usable = (sum(part) for part in zip(*shots(db, slot), strict=True))
    below_care, above = posterior.cdf(CARE), posterior.sf(COLLECT)
    verdict, sure = ("collect", above) if above >= 0.8 else ("remake", below_care) if below_care > 0.5 else (
        "collect with care" if below_care <= 0.2 else "screen more", 1 - below_care)  # fmt: skip
    assert f" {verdict} {said(sure)} sure" in words
    low, high = posterior.ppf([0.05, 0.95])
    assert f"{100 * low:.0f} to {100 * high:.0f} % would be usable" in words
    assert f"usable {usable} of {total} " in words
    values = {
        name: [row[0] for row in db.execute(
            "SELECT m.value FROM measure m JOIN exposure e ON e.id = m.of_id AND m.of_kind = 'exposure'"
            " JOIN hole h ON h.id = e.hole_id JOIN square s ON s.id = h.square_id JOIN grid g ON g.id = s.grid_id"
            " WHERE g.slot = ? AND m.name = ?", (slot, name))]
        for name in ("fit_resolution_a", "ice_nm")
    }  # fmt: skip
    fits = values["fit_resolution_a"]
    assert f"best, median {min(fits):.1f}, {median(fits):.1f} Å" in words
    assert f"ice {median(values['ice_nm']):.0f} nm" in words
    good, squares = db.execute(
        "SELECT sum(category = 'good'), count(*) FROM square JOIN grid ON grid.id = grid_id WHERE slot = ?", (slot,)
    ).fetchone()
    assert f"{good} of {squares} squares look good on the atlas" in words
    most = sum(2 * k > n for n, k in shots(db, slot))
    assert f"in {most} of {len(shots(db, slot))} squares tried" in words
    known = {low, high}
    assert known
    left = re.sub(r"slot \d+", "", words)
    for number in (f"{100 * low:.0f} to {100 * high:.0f}", said(sure), f"{usable} of {total}", f"{min(fits):.1f}",
                   f"{median(fits):.1f}", f"{median(values['ice_nm']):.0f} nm", f"{good} of {squares}",
                   f"{most} of {len(shots(db, slot))}"):  # fmt: skip
        left = left.replace(number, "", 1)
    # What is left: the rank, and how often each blame was said, in brackets.
    blamed = [int(number) for number in re.findall(r"\((\d+)\)", left)]
    assert all(count <= total - usable for count in blamed)
    assert len(re.findall(r"\d+", re.sub(r"\(\d+\)", "", left))) <= 1


def test_every_number_of_the_four_answers(screen: str, db: sqlite3.Connection) -> None:
    start = screen.index('<div class="answers">')
    answers = plain(screen[start : screen.index('<ol class="cards">')])
    total, usable = db.execute("SELECT count(*), sum(usable) FROM exposure WHERE status = 'done'").fetchone()
    began, ended = (
        datetime.fromisoformat(t) for t in db.execute("SELECT started_at, finished_at FROM session").fetchone()
    )
    minutes = round((ended - began).total_seconds() / 60)
    took = f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
    assert f"3 grids exposed, {total} exposures, {usable} usable, in {took}." in answers
    above = {slot: shares(db, slot).sf(COLLECT) for slot in (1, 2, 6)}
    worthy = sum(share >= 0.8 for share in above.values())
    assert f"{worthy} of 3 grids look" in answers
    care = sum(share < 0.8 and shares(db, slot).cdf(CARE) <= 0.5 for slot, share in above.items())
    if care:
        assert f"{care} more with care" in answers
    for slot, share in above.items():
        if share >= 0.8:
            left = db.execute(
                "SELECT count(*) FROM square JOIN grid ON grid.id = grid_id"
                " WHERE slot = ? AND category = 'good' AND NOT partial AND square.visit_order IS NULL", (slot,)
            ).fetchone()[0]  # fmt: skip
            assert re.search(rf"slot {slot} · \w+ Collect: {left} good squares? not yet visited", answers)
    assert "Nothing went wrong" in answers or "no fault" in answers.lower()
