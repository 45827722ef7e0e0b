"""From observations to error models: cells of classes, and how far answers of one group go together."""

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
from scipy.special import ndtr

from epicycle.cli import fitting
from epicycle.hardware.simulator.grid.cassette_world import KINDS
from epicycle.hardware.simulator.pixel_free.error_models import ANY, GROUPS, TABLES, Cell, Table


def cell(of: str, share: float) -> Cell:
    return Cell(of=of, below=None, cases=1, answered=share, rows=((1.0,),))


@pytest.mark.parametrize("planted", [0.0, 0.4, 0.8])
@pytest.mark.parametrize("share", [0.6, 0.9])
def test_a_planted_togetherness_is_found_again(planted: float, share: float) -> None:
    rng = np.random.default_rng(8)
    groups, each = 400, 6
    common = np.repeat(rng.standard_normal(groups), each)
    chance = ndtr(math.sqrt(planted) * common + math.sqrt(1 - planted) * rng.standard_normal(groups * each))
    table = Table(about="", columns=("x",), alike=0.0, cells=(cell("film", share), cell(ANY, share)))
    cases = [(str(n // each), ("picture", "film", 0.0, [1.0] if one < share else None)) for n, one in enumerate(chance)]
    assert fitting.together_share(table, cases) == pytest.approx(planted, abs=0.12)


def test_every_table_says_what_it_is_about_and_what_goes_together() -> None:
    assert set(fitting.ABOUT) == set(GROUPS) == set(TABLES)


def test_a_class_has_cells_of_its_own_where_enough_was_seen() -> None:
    rows = {
        name: [["a-s0", "film", 1.0, [0.5] * len(columns)], ["a-s1", "film", 2.0, None]]
        for name, columns in TABLES.items()
    }
    wide = [
        ["a-s0-1", of, float(n), [0.1 * n, 0.0, 1.0] if n % 2 else None]
        for of, count in (("film > R2/1", 30), ("film > R2/2", 5))
        for n in range(count)
    ]
    part = {"seed": 1, "pictures": {"atlas": 1}, "rows": {**rows, "autofocus": wide}}
    table = fitting.fitted([part], "epicycle simulate fit", "demo-2k").tables["autofocus"]
    classes = {one.of for one in table.cells}
    assert classes == {"film", "film > R2/1", ANY}
    assert sum(one.cases for one in table.cells if one.of == "film") == 35
    assert table.share("film > R2/2", 3.0) == table.share("film", 3.0)


def autofocus_table(cases: list[tuple[float, bool]]) -> Table:
    rows = {name: [["a-s0", "film", 1.0, [0.5] * len(columns)]] for name, columns in TABLES.items()}
    seen: list[list[Any]] = [["a-s0-1", "film > R2/1", at, [at, 0.0, 1.0] if there else None] for at, there in cases]
    part = {"seed": 1, "pictures": {"atlas": 1}, "rows": {**rows, "autofocus": seen}}
    return fitting.fitted([part], "epicycle simulate fit", "demo-2k").tables["autofocus"]


def test_a_share_changes_where_it_was_seen_to_change() -> None:
    """Focusing works up to 130 nm, half the time up to 170, and seldom beyond."""
    ice = np.sort(np.random.default_rng(4).uniform(0.0, 600.0, 400))
    seldom = np.arange(400) % 29 == 0
    cases = [(float(at), bool(at < 130 or (at < 170 and n % 2) or seldom[n])) for n, at in enumerate(ice)]
    table = autofocus_table(cases)
    shares = {at: table.share("film > R2/1", at) for at in (5.0, 120.0, 150.0, 180.0, 300.0, 590.0)}
    assert min(shares[5.0], shares[120.0]) > 0.95
    assert 0.3 < shares[150.0] < 0.7
    assert max(shares[180.0], shares[300.0], shares[590.0]) < 0.1
    drawn = table.draw(["film > R2/1"] * 4000, np.full(4000, 300.0), np.arange(4000) / 4000, np.full(4000, 0.5))
    assert (~np.isnan(drawn[:, 0])).mean() == pytest.approx(shares[300.0], abs=0.001)


def test_a_share_that_does_not_change_is_one_share() -> None:
    """Of a hundred classes with the same share all along, two or three at most are held to change."""
    rng = np.random.default_rng(5)
    changed = 0
    for _ in range(100):
        table = autofocus_table([(float(at), bool(rng.random() < 0.4)) for at in range(80)])
        changed += len({one.answered for one in table.cells if one.of == "film > R2/1"}) > 1
    assert changed <= 5


def test_openings_are_answered_as_those_of_one_grid_were() -> None:
    """Two grids of a kind: on one all openings score high, on the other all low; a third kind has its own scores."""
    rng = np.random.default_rng(3)
    rows = {name: [["a-s0", "film", 1.0, [0.5] * len(columns)]] for name, columns in TABLES.items()}
    parts = []
    for seed, usual in ((1, 0.2), (2, 0.8)):
        mine: list[list[Any]] = [
            ["atlas", f"{name} > even > broken", 1.0, [usual + 0.01 * float(rng.standard_normal()), *[0.0] * 5]]
            for name in ("empty", "torn")
            for _ in range(40)
        ]
        parts.append({"seed": seed, "pictures": {"atlas": 1}, "rows": {**rows, "opening": mine}})
    parts[0]["rows"]["opening"].append(["atlas", "dry > even > broken", 1.0, [0.1, *[0.0] * 5]])
    others = [["atlas", "dry > even > good", 1.0, [0.9, *[0.0] * 5]] for _ in range(40)]
    parts.append({"seed": 3, "pictures": {"atlas": 1}, "rows": {**rows, "opening": others}})
    table = fitting.fitted(parts, "epicycle simulate fit", "demo-2k").tables["opening"]
    assert table.grids == {"broken": ("1", "2"), "good": ("3",)}
    for quantile, usual in ((0.1, 0.2), (0.9, 0.8)):
        like = table.grid_like("broken", quantile)
        of = [f"{name} > even > broken > {like}" for name in ("empty", "torn", "rim")]
        drawn = table.draw(of, np.ones(3), np.zeros(3), np.full(3, 0.5))[:, 0]
        assert drawn[:2] == pytest.approx([usual, usual], abs=0.02)
        assert 0.2 < drawn[2] < 0.8, "of a class that this grid has not, as all grids"
    drawn = table.draw(["dry > even > broken > 2"], np.ones(1), np.zeros(1), np.full(1, 0.5))[:, 0]
    assert drawn[0] == pytest.approx(0.1), "as one grid of this kind, not as all of other kinds"
    assert table.grid_like("broken on gold", 0.9) == "", "gold looks otherwise: all grids stand for it"


def test_every_kind_is_seen_on_every_material_and_some_films_have_no_lattice() -> None:
    grids = fitting.grids_to_see(3000, 80, tuple(KINDS))
    assert [grid.seed for grid in grids] == list(range(3000, 3000 + len(grids)))
    seen = Counter((grid.kind, grid.material) for grid in grids if grid.hole_type[0] in "RU")
    assert all(seen[kind, material] >= 2 for kind in KINDS for material in ("Carbon", "Gold"))
    assert {grid.hole_type for grid in grids} >= {"Lacey", "NegativeStain"}
    assert len(fitting.grids_to_see(3000, 6, tuple(KINDS))) == 7


def test_equal_answers_do_not_count_as_going_together() -> None:
    cases = [(str(n // 30), ("picture", "film", 0.0, [0.95])) for n in range(300)]
    table = Table(about="", columns=("x",), alike=0.0, cells=(cell("film", 1.0), cell(ANY, 1.0)))
    assert fitting._alike(table, cases) == 0.0
