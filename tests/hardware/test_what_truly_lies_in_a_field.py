"""The classes that error models are fitted in: what tells apart the answers that finders give."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from epicycle.hardware.records import StagePosition
from epicycle.hardware.simulator import SimulatedMicroscope
from epicycle.hardware.simulator.instrument.instrument import Instrument
from epicycle.hardware.simulator.pixel_free import conditions
from epicycle.hardware.simulator.pixel_free.error_models import PARTICULAR, load_error_models

Behind = Callable[[SimulatedMicroscope], Instrument]
OnSquare = Callable[..., StagePosition]


def _of_kind(bench: Callable[..., Any], behind: Behind, on_square: OnSquare, kind: str) -> Instrument:
    scope = bench(world={"grids": {"1": {"kind": kind, "empty": 0}}}, folder=kind).connect()
    on_square(scope)
    return behind(scope)


@pytest.mark.parametrize(("kind", "usual"), [("good", conditions.OPEN), ("filled-holes", conditions.FILLED)])
def test_holes_that_hold_more_ice_than_their_film_are_told_apart(
    bench: Callable[..., Any], behind: Behind, on_square: OnSquare, kind: str, usual: str
) -> None:
    instrument = _of_kind(bench, behind, on_square, kind)
    world = instrument.world
    assert world is not None
    known: conditions.Known = {}
    x, y = world.centre_of(0, 0)
    assert conditions.holes_at(instrument, world, known, x, y) == usual
    holds = Counter(of.split(PARTICULAR)[1] for of in known[0, 0].of)
    assert holds.most_common(1)[0][0] == usual


def test_openings_are_uneven_where_their_ice_is_on_a_grid_of_a_kind_mesh_and_film(
    bench: Callable[..., Any], behind: Behind, on_square: OnSquare
) -> None:
    rough = {}
    for kind in ("good", "aldolase"):
        instrument = _of_kind(bench, behind, on_square, kind)
        assert instrument.world is not None
        of = [name.split(PARTICULAR) for name in conditions.openings_of(instrument, instrument.world).of]
        assert {len(name) for name in of} == {2}
        assert conditions.grid_class(instrument.world).split(PARTICULAR) == [kind, "mesh 300", "R1.2/1.3"]
        rough[kind] = sum(name[1] == "uneven" for name in of) / len(of)
    assert rough["good"] < 0.1 < 0.4 < rough["aldolase"]


def test_openings_stand_by_their_light_from_thick_ice_to_vacuum(
    bench: Callable[..., Any], behind: Behind, on_square: OnSquare
) -> None:
    instrument = _of_kind(bench, behind, on_square, "good")
    assert instrument.world is not None
    openings = conditions.openings_of(instrument, instrument.world)
    kind = np.array([name.split(PARTICULAR)[0] for name in openings.of])
    intact = np.abs(openings.standing[kind == "intact"] - 1)
    assert np.median(intact) < 0.15
    assert (openings.standing[kind == "empty"] > 1.9).all()
    assert np.median(openings.standing[kind == "thick"]) < 0.5
    assert np.median(openings.standing[kind == "dry"]) > 1.1


def test_small_and_dirty_openings_stand_off_and_the_side_is_that_of_the_light() -> None:
    clean = np.full((5, 36), 0.6)
    dirty, dim, gone = clean.copy(), clean.copy(), clean.copy()
    dirty[0, :9] = 0.1
    dim[0] *= 0.75
    gone[0] = 1.0
    whole, side = np.ones(5, np.bool_), np.full(5, 60.0)
    of = {
        name: conditions.standing_of(middles, side, whole)[0]
        for name, middles in (("clean", clean), ("dirty", dirty), ("dim", dim), ("gone", gone))
    }
    small = conditions.standing_of(clean, np.array([40.0, 60, 60, 60, 60]), whole)[0]
    assert of["clean"] == pytest.approx(1.0)
    assert of["gone"] == pytest.approx(2.0)
    # A quarter is dark: exp(-1) is left of one that is else as bright as is usual; of the small one 4/9 of the area.
    assert of["dirty"] == pytest.approx(2 - np.exp(-1))
    assert small == pytest.approx(2 - (40 / 60) ** 2 / 0.95)
    assert 0.5 < of["dim"] < 0.9
    clean[0] *= 0.99
    assert conditions.standing_of(clean, np.array([40.0, 60, 60, 60, 60]), whole)[0] == pytest.approx(2 - small)


def test_holes_with_less_ice_than_the_others_of_their_view_are_bright(
    bench: Callable[..., Any], behind: Behind, on_square: OnSquare
) -> None:
    scope = bench(world={"grids": {"1": {"kind": "good", "empty": 0, "torn": 0}}}).connect()
    on_square(scope)
    instrument = behind(scope)
    assert instrument.world is not None
    view = instrument.view(scope.presets()["square"], instrument.clock.now())
    sites = conditions.sites_in(instrument, instrument.world, view, {})
    paths = [name.split(PARTICULAR) for name in sites.of]
    assert {path[3] for path in paths} == {"R1.2/1.3"}
    ice = {
        beside: sites.ice_nm[[path[:3] == ["ice", conditions.OPEN, beside] for path in paths]]
        for beside in conditions.BESIDE
    }
    assert all(len(values) > 10 for values in ice.values())
    dull, usual, bright = (float(np.median(ice[beside])) for beside in conditions.BESIDE)
    assert dull > usual + 5 > bright + 10


def test_what_is_usual_is_told_by_whole_holes() -> None:
    of = ["ice > open > R2/1"] * 5 + ["cut > open > R2/1"] * 6
    brighter = np.array([0.2, 0.2, 0.2, 0.1, 0.3, *[0.01] * 6])
    beside = [name.split(PARTICULAR)[2] for name in conditions._compared(brighter, of)]
    assert beside == ["usual"] * 3 + ["dull", "bright"] + ["dull"] * 6
    assert conditions._compared(np.zeros(0), []) == ()


def test_holes_that_stand_out_score_best() -> None:
    """A finder's score ends a little above the usual hole: of dry ones nearly all are there."""
    table = load_error_models("demo-2k").tables["square site"]
    half = np.full(1, 0.5)
    ice = {"dry": 0.0, "ice": 45.0}
    of = {
        (site, beside): table.draw(
            [conditions.path_of(site, conditions.OPEN, beside, "R1.2/1.3")], np.array([ice[site]]), half * 0, half
        )[0, 0]
        for site, beside in (("ice", "dull"), ("ice", "usual"), ("ice", "bright"), ("dry", "bright"))
    }
    assert of["ice", "dull"] < of["ice", "usual"] < of["ice", "bright"] <= of["dry", "bright"]


def test_a_lattice_of_filled_holes_is_found_less_often() -> None:
    table = load_error_models("demo-2k").tables["hole lattice"]
    shares = {holds: table.share(conditions.path_of("film", "ice", holds), 60.0) for holds in ("open", "filled")}
    assert shares["open"] > 0.9
    assert shares["filled"] < shares["open"] - 0.2
