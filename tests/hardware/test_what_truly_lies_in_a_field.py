"""The classes that error models are fitted in: what tells apart the answers that finders give."""

from collections import Counter
from collections.abc import Callable
from typing import Any

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


def test_a_lattice_of_filled_holes_is_found_less_often() -> None:
    table = load_error_models("demo-2k").tables["hole lattice"]
    shares = {holds: table.share(conditions.path_of("film", "ice", holds), 60.0) for holds in ("open", "filled")}
    assert shares["open"] > 0.9
    assert shares["filled"] < shares["open"] - 0.2
