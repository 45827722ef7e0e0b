"""Two nights side by side: numbers recomputed by SQL, what was set otherwise, hostile names; and the PDF of a page."""

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from statistics import median

import pytest
from sqlalchemy import Engine

from epicycle.web.comparing import compare, render_comparison
from epicycle.web.night import whole_night
from epicycle.web.printing import BROWSERS, NoBrowser, print_to_pdf

Reads = Callable[[Path], Engine]


@pytest.fixture(scope="module")
def pair(paint) -> tuple[Path, Path]:
    return paint({1: {}, 2: {"usable": 0.1}}), paint({1: {"resolution_a": 3.0}, 4: {"name": "<b>new</b>"}}, seed=8)


def test_yields_are_those_of_the_databases(pair: tuple[Path, Path], reader_of: Reads) -> None:
    found = compare(*(whole_night(reader_of(path)) for path in pair))
    lines = {line.what: line for line in found.yields}
    for path, side in zip(pair, ("first", "second"), strict=True):
        with sqlite3.connect(path) as db:
            (shots,) = db.execute("SELECT count(*) FROM exposure WHERE status = 'done'").fetchone()
            (usable,) = db.execute("SELECT count(*) FROM exposure WHERE usable").fetchone()
            fits = [row[0] for row in db.execute("SELECT value FROM measure WHERE name = 'fit_resolution_a'")]
        assert getattr(lines["exposures"], side) == str(shots)
        assert getattr(lines["usable exposures"], side) == str(usable)
        assert getattr(lines["median fit, Å"], side) == f"{median(fits):.1f}"
    assert lines["median fit, Å"].change.startswith("−")


def test_grids_stand_beside_each_other_by_slot(pair: tuple[Path, Path], reader_of: Reads) -> None:
    found = compare(*(whole_night(reader_of(path)) for path in pair))
    assert [(line.slot, line.first is None, line.second is None) for line in found.grids] == [
        (1, False, False), (2, False, True), (4, True, False),
    ]  # fmt: skip


def test_only_what_was_set_otherwise_is_listed(pair: tuple[Path, Path], reader_of: Reads) -> None:
    first, second = (whole_night(reader_of(path)) for path in pair)
    assert [(line.what, line.first, line.second) for line in compare(first, second).settings] == [("seed", "7", "8")]
    assert compare(first, first).settings == ()


def test_the_page_shows_hostile_names_as_text(pair: tuple[Path, Path], tmp_path: Path) -> None:
    text = render_comparison(*pair, tmp_path / "both.html").read_text(encoding="utf-8")
    assert "&lt;b&gt;new&lt;/b&gt;" in text
    assert "<b>new" not in text
    assert "no grid" in text


@pytest.mark.skipif(not any(map(shutil.which, BROWSERS)), reason="no browser to print with")
def test_a_page_is_printed(pair: tuple[Path, Path], tmp_path: Path) -> None:
    page = render_comparison(*pair, tmp_path / "both.html")
    made = print_to_pdf(page, tmp_path / "both.pdf")
    assert made.read_bytes().startswith(b"%PDF")
    assert made.stat().st_size > 5_000


def test_without_a_browser_it_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoBrowser, match=r"needs one of chromium.* print .*both.html from another browser"):
        print_to_pdf(tmp_path / "both.html", tmp_path / "both.pdf")


def test_a_browser_that_gives_nothing_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "chromium"
    broken.write_text("#!/bin/sh\necho out of order >&2\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    with pytest.raises(NoBrowser, match=r"made no PDF of .*both\.html: out of order"):
        print_to_pdf(tmp_path / "both.html", tmp_path / "both.pdf")
    assert not (tmp_path / "both.pdf").exists()
