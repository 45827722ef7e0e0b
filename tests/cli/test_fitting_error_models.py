"""From observations to error models: cells of classes, and how far answers of one group go together."""

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import ndtr

from epicycle.cli import fitting
from epicycle.cli.observing import observe
from epicycle.cli.seeing import GridToSee, Observations
from epicycle.cli.seeing_squares import _astigmatism_error
from epicycle.hardware.simulator.grid.cassette_world import FREQUENCY, KINDS
from epicycle.hardware.simulator.pixel_free import conditions
from epicycle.hardware.simulator.pixel_free.error_models import (
    ANY,
    GROUPS,
    TABLES,
    Cell,
    Table,
    load_error_models,
)
from epicycle.hardware.simulator.pixel_free.sightings import astigmatism_seen
from epicycle.imaging.records import CtfFit
from epicycle.protocols.errors import BadInput

ON_FILM = "broken > mesh 300 > R2/1"


def a_row_each() -> dict[str, list[list[Any]]]:
    """Give each table one answer."""
    of = {"opening": f"torn > even > {ON_FILM}"}
    return {name: [["a-s0", of.get(name, "film"), 1.0, [0.5] * len(columns)]] for name, columns in TABLES.items()}


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
    rows = {name: [row, ["a-s1", row[1], 2.0, None]] for name, (row,) in a_row_each().items()}
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
    rows = a_row_each()
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


def test_answers_lose_their_worth_where_they_were_seen_to() -> None:
    """Focusing answers up to 600 nm, but can be trusted to 137 only: no cell reaches far over that."""
    ice = np.sort(np.random.default_rng(6).uniform(0.0, 600.0, 400))
    seen: list[list[Any]] = [
        ["a-s0-1", "film > R2/1", float(at), [float(n % 7), 0.0, float(at < 137)]] for n, at in enumerate(ice)
    ]
    part = {"seed": 1, "pictures": {"atlas": 1}, "rows": {**a_row_each(), "autofocus": seen}}
    table = fitting.fitted([part], "epicycle simulate fit", "demo-2k").tables["autofocus"]
    for at, trusted in ((100.0, 1.0), (134.0, 1.0), (140.0, 0.0), (180.0, 0.0)):
        drawn = table.draw(["film > R2/1"] * 200, np.full(200, at), np.full(200, 0.5), np.arange(200) / 200)
        assert (drawn[:, 2] == trusted).all(), at


def test_openings_are_answered_as_those_of_one_grid_were() -> None:
    """Two grids of a kind: on one all openings score high, on the other all low; a third kind has its own scores."""
    rng = np.random.default_rng(3)
    rows = a_row_each()
    parts = []
    for seed, usual in ((1, 0.2), (2, 0.8)):
        mine: list[list[Any]] = [
            [
                "atlas",
                f"{name} > even > broken > mesh 300 > R2/1",
                1.0,
                [usual + 0.01 * float(rng.standard_normal()), *[0.0] * 5],
            ]
            for name in ("empty", "torn")
            for _ in range(40)
        ]
        parts.append({"seed": seed, "pictures": {"atlas": 1}, "rows": {**rows, "opening": mine}})
    parts[0]["rows"]["opening"].append(["atlas", f"dry > even > {ON_FILM}", 1.0, [0.1, *[0.0] * 5]])
    others = [["atlas", "dry > even > good > mesh 300 > R2/1", 1.0, [0.9, *[0.0] * 5]] for _ in range(40)]
    parts.append({"seed": 3, "pictures": {"atlas": 1}, "rows": {**rows, "opening": others}})
    table = fitting.fitted(parts, "epicycle simulate fit", "demo-2k").tables["opening"]
    assert set(table.grids) == {f"{kind}{more}" for kind in ("broken", "good") for more in ("", *OF_FILM)}
    for quantile, usual in ((0.1, 0.2), (0.9, 0.8)):
        like = table.grid_like(ON_FILM, quantile)
        of = [f"{name} > even > {like}" for name in ("empty", "torn", "rim")]
        drawn = table.draw(of, np.ones(3), np.zeros(3), np.full(3, 0.5))[:, 0]
        assert drawn[:2] == pytest.approx([usual, usual], abs=0.02)
        assert 0.2 < drawn[2] < 0.8, "of a class that this grid has not, as all grids"
    drawn = table.draw([f"dry > even > {ON_FILM} > 2"], np.ones(1), np.zeros(1), np.full(1, 0.5))[:, 0]
    assert drawn[0] == pytest.approx(0.1), "as one grid of this kind, not as all of other kinds"


OF_FILM = (" > mesh 300", " > mesh 300 > R2/1")


def test_a_grid_is_answered_as_the_likest_one_was() -> None:
    """Of the same film, else of the same mesh, else of the same kind; never as film without holes where it has some."""
    seen = {1: "mesh 300 > R2/1", 2: "mesh 300 > R2/2", 3: "mesh 200 > R2/1", 4: "mesh 300 > Lacey"}
    rows = a_row_each()
    parts = [
        {
            "seed": seed, "pictures": {"atlas": 1},
            "rows": {**rows, "opening": [["atlas", f"torn > even > dry > {film}", 1.0, [0.1 * seed, *[0.0] * 5]]]},
        }
        for seed, film in seen.items()
    ]  # fmt: skip
    table = fitting.fitted(parts, "epicycle simulate fit", "demo-2k").tables["opening"]

    def stand_ins(of: str) -> set[str]:
        return {table.grid_like(of, quantile).rpartition(" > ")[2] for quantile in np.linspace(0, 1, 21)}

    assert stand_ins("dry > mesh 300 > R2/2") == {"2"}
    assert stand_ins("dry > mesh 300 > R1.2/1.3") == {"1", "2"}
    assert stand_ins("dry > mesh 400 > R2/1") == {"1", "2", "3"}
    assert stand_ins("dry > mesh 300 > Lacey") == {"4"}
    assert table.grid_like("dry on gold > mesh 300 > R2/1", 0.5) == "dry on gold > mesh 300 > R2/1"


def test_every_kind_is_seen_on_every_material_and_some_films_have_no_lattice() -> None:
    grids = fitting.grids_to_see(3000, 80, tuple(KINDS))
    assert [grid.seed for grid in grids] == list(range(3000, 3000 + len(grids)))
    seen = Counter((grid.kind, grid.material) for grid in grids if grid.hole_type[0] in "RU")
    assert all(seen[kind, material] >= 2 for kind in KINDS for material in ("Carbon", "Gold"))
    assert {grid.hole_type for grid in grids} >= {"Lacey", "NegativeStain"}
    assert [grid.part for grid in fitting.grids_to_see(3000, 6, tuple(KINDS))] == ["whole"] * 7 + ["exposures"] * 3


def test_kinds_are_exposed_as_often_as_cassettes_hold_them() -> None:
    grids = [grid for grid in fitting.grids_to_see(3000, 80, tuple(KINDS)) if grid.part == "exposures"]
    count = Counter(grid.kind for grid in grids)
    assert len(grids) == 40
    assert all(abs(count[kind] - 40 * share) < 1 for kind, share in FREQUENCY.items())
    assert len({(grid.kind, grid.hole_type, grid.mesh) for grid in grids if grid.kind == "ordinary"}) > 3


def test_where_only_exposures_are_looked_at_each_is_in_a_square_of_its_own() -> None:
    grid = GridToSee(11, "good", "R1.2/1.3", "300", "Carbon", "exposures")
    *_, seen = observe(grid, "demo-2k", {"fidelity": "pixel-free"})
    assert set(seen.rows) == {"height", "autofocus", "verdict"}
    verdicts = seen.rows["verdict"]
    assert len({row[0] for row in verdicts}) == len(verdicts) == seen.pictures["exposure"] > 4
    assert {row[1].split(" > ")[0] for row in verdicts} == {"ice"}
    assert {len(row[3]) for row in verdicts if row[3]} == {len(TABLES["verdict"])}


@pytest.mark.parametrize(("strength_a", "angle_deg"), [(300.0, 20.0), (60.0, -75.0), (900.0, 88.0)])
def test_a_fit_s_astigmatism_comes_back_from_what_it_misses(strength_a: float, angle_deg: float) -> None:
    spot = conditions.Spot("ice", 4.0, 4.0, np.ones((16, 16), np.float32), -2.0, 120.0, math.radians(65.0), 5.0)
    missed = _astigmatism_error(CtfFit(2.0, strength_a, angle_deg, 4.0, 0.9), spot)
    found_a, found_deg = astigmatism_seen(spot, *missed)
    assert found_a == pytest.approx(strength_a)
    assert found_deg == pytest.approx(angle_deg)
    nothing = _astigmatism_error(CtfFit(2.0, 120.0, 65.0 + 180.0, 4.0, 0.9), spot)
    assert np.hypot(*nothing) == pytest.approx(0, abs=1e-9)


def test_what_was_seen_before_tables_meant_something_else_is_not_taken(tmp_path: Path) -> None:
    grid, seen = GridToSee(1, "good", "R1.2/1.3", "300", "Carbon"), Observations()
    fitting.keep(tmp_path, grid, seen, "demo-2k")
    assert fitting.kept(tmp_path, grid, "demo-2k") is not None
    path = tmp_path / f"{grid.name}.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "meaning": 1}))
    with pytest.raises(BadInput, match=r"no longer asked of pictures; give another folder with --work"):
        fitting.kept(tmp_path, grid, "demo-2k")


def test_equal_answers_do_not_count_as_going_together() -> None:
    cases = [(str(n // 30), ("picture", "film", 0.0, [0.95])) for n in range(300)]
    table = Table(about="", columns=("x",), alike=0.0, cells=(cell("film", 1.0), cell(ANY, 1.0)))
    assert fitting._alike(table, cases) == 0.0


def test_a_fit_of_a_version_that_told_grids_otherwise_is_refused_with_what_to_do(tmp_path: Path) -> None:
    parts = [{"seed": 1, "pictures": {"atlas": 1}, "rows": a_row_each()}]
    body = fitting.fitted(parts, "epicycle simulate fit", "demo-2k").model_dump(mode="json")
    body["tables"]["opening"]["grids"] = {"broken": ["1"]}
    path = tmp_path / "old.json"
    path.write_text(json.dumps(body))
    with pytest.raises(BadInput, match=r"not told by its path.*fitted anew with `epicycle simulate fit`"):
        load_error_models(str(path))


def test_a_fit_of_tables_that_meant_something_else_is_refused(tmp_path: Path) -> None:
    parts = [{"seed": 1, "pictures": {"atlas": 1}, "rows": a_row_each()}]
    body = fitting.fitted(parts, "epicycle simulate fit", "demo-2k").model_dump(mode="json")
    body["fitted"]["meaning"] = 1
    path = tmp_path / "old.json"
    path.write_text(json.dumps(body))
    with pytest.raises(BadInput, match=r"meaning.*fitted anew with `epicycle simulate fit`"):
        load_error_models(str(path))
