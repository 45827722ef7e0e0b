"""A grid's truth as tables: every opening graded, every hole with what an exposure would reach and what spoils it."""

import csv
import io
import math
from typing import Any

import numpy as np
import pytest

from epicycle.hardware.simulator.evaluation import truth
from epicycle.hardware.simulator.evaluation.truth_table import (
    Grade,
    as_csv,
    hole_rows,
    square_row,
    square_rows,
    tables_of,
)
from epicycle.hardware.simulator.grid.cassette_world import GridSpec, completed
from epicycle.hardware.simulator.grid.film import RIM_UM
from epicycle.hardware.simulator.grid.openings import SquareKind
from epicycle.hardware.simulator.grid.world import GridWorld


def world_of(seed: int = 4, **changes: Any) -> GridWorld:
    return GridWorld(
        seed, 1, completed(GridSpec(**{"hole_type": "R2/2", "mesh": "200", "material": "Carbon", **changes}))
    )


def test_every_opening_within_the_ring_is_there_once() -> None:
    world = world_of()
    rows = list(square_rows(world))
    assert len({(row.i, row.j) for row in rows}) == len(rows)
    area = math.pi * RIM_UM**2 / world.bars.mesh.pitch_um**2
    assert sum(row.open_share for row in rows) == pytest.approx(area, rel=0.05)
    assert {row.grade for row in rows} >= {Grade.GOOD, Grade.PARTIAL, Grade.BROKEN, Grade.THICK, Grade.CRACKED}
    for row in rows:
        assert 0 <= row.usable <= 1
        if math.hypot(row.x_um, row.y_um) > RIM_UM:
            assert row.grade in (Grade.PARTIAL, Grade.BROKEN)
        if row.kind == "empty":
            assert (row.grade, row.film_share, row.usable) == (Grade.BROKEN, 0.0, 0.0)
        if row.kind == "dry" and row.open_share > 0.9:
            assert row.grade is Grade.DRY
    usable = {grade: np.mean([row.usable for row in rows if row.grade is grade]) for grade in (Grade.GOOD, Grade.THICK)}
    assert usable[Grade.GOOD] > 0.6 > 0.1 > usable[Grade.THICK]


def test_holes_say_what_spoils_them() -> None:
    world = world_of(torn=0.3, contaminated=0.3, crystalline=0.1, crystals=20)
    causes: set[str] = set()
    for row in list(square_rows(world))[::3]:
        for hole in hole_rows(world, row.i, row.j):
            causes.add(hole.spoilt_by)
            assert math.isinf(hole.resolution_a) is bool(hole.spoilt_by)
            if hole.spoilt_by == "tear":
                assert any(tear.opens(hole.x_um, hole.y_um) for tear in world.defects(row.i, row.j).tears)
    assert causes >= {"", "tear", "dirt", "crystals", "no film", "no ice"}


def test_dose_and_voltage_change_what_is_reached() -> None:
    world = world_of(ice_nm=30.0)
    low, high = (hole_rows(world, 1, 1, 200.0, (dose,)) for dose in (10.0, 40.0))
    both = hole_rows(world, 1, 1, 200.0, (10.0, 40.0))
    assert both == [*low, *high]
    told = [(a.resolution_a, b.resolution_a) for a, b in zip(low, high, strict=True) if not a.spoilt_by]
    assert told
    assert all(little > much for little, much in told)
    ice = np.array([150.0, 300.0])
    assert (truth.resolution_a(ice, 0.0, 300.0) < truth.resolution_a(ice, 0.0, 200.0)).all()


def test_the_table_agrees_with_the_square_it_is_of() -> None:
    world = world_of()
    index = next(
        (int(i), int(j))
        for i, j, kind in zip(world.squares.i.flat, world.squares.j.flat, world.squares.kind.flat, strict=True)
        if kind == SquareKind.INTACT and math.hypot(*world.centre_of(int(i), int(j))) < 600
    )
    known = truth.square_of(world, *index)
    row, holes = square_row(world, *index), hole_rows(world, *index)
    assert (row.holes, row.usable) == (len(known.holes), pytest.approx(known.usable))
    assert [(h.a, h.b, h.resolution_a) for h in holes] == [(h.a, h.b, h.resolution_a) for h in known.holes]


def test_tables_of_a_night_are_written_at_its_instruments_voltage(bench: Any) -> None:
    grids = {"1": {"kind": "good", "hole_type": "R10/20", "mesh": "200"}}
    night = bench(world={"grids": grids})
    night.connect()
    squares, holes = tables_of(night.memory)
    assert {row.slot for row in squares} == {1} == {row.slot for row in holes}
    read = list(csv.DictReader(io.StringIO(as_csv(holes))))
    assert len(read) == len(holes)
    assert float(read[5]["x_um"]) == pytest.approx(holes[5].x_um, rel=1e-3)
    assert next(iter(csv.DictReader(io.StringIO(as_csv(squares)))))["grade"] in [grade.value for grade in Grade]
    assert as_csv([]) == ""
    assert truth.voltage_of(night.memory) == 200.0
