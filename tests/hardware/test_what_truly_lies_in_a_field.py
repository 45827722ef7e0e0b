"""The classes that error models are fitted in: what tells apart the answers that finders give."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from epicycle.hardware.records import ImageShift, StagePosition
from epicycle.hardware.simulator import SimulatedMicroscope
from epicycle.hardware.simulator.instrument import beam_tilt
from epicycle.hardware.simulator.instrument.instrument import Instrument
from epicycle.hardware.simulator.pixel_free import conditions, hole_sites
from epicycle.hardware.simulator.pixel_free.error_models import PARTICULAR, load_error_models

Behind = Callable[[SimulatedMicroscope], Instrument]
OnSquare = Callable[..., StagePosition]

THIN = {"grids": {"1": {"kind": "good", "ice_nm": 30, "empty": 0, "torn": 0, "thick": 0, "cracked": 0}}}


def _of_kind(bench: Callable[..., Any], behind: Behind, on_square: OnSquare, kind: str) -> Instrument:
    scope = bench(world={"grids": {"1": {"kind": kind, "empty": 0}}}, folder=kind).connect()
    on_square(scope)
    return behind(scope)


@pytest.mark.parametrize(("kind", "usual"), [("good", hole_sites.OPEN), ("filled-holes", hole_sites.FILLED)])
def test_holes_that_hold_more_ice_than_their_film_are_told_apart(
    bench: Callable[..., Any], behind: Behind, on_square: OnSquare, kind: str, usual: str
) -> None:
    instrument = _of_kind(bench, behind, on_square, kind)
    world = instrument.world
    assert world is not None
    known: hole_sites.Known = {}
    x, y = world.centre_of(0, 0)
    assert hole_sites.holes_at(instrument, world, known, x, y) == usual
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
    instrument = _of_kind(bench, behind, on_square, "good")
    assert instrument.world is not None
    view = instrument.view(instrument.profile.levels["square"].preset, instrument.clock.now())
    sites = hole_sites.sites_in(instrument, instrument.world, view, {})
    paths = [name.split(PARTICULAR) for name in sites.of]
    assert {path[3] for path in paths} == {"R1.2/1.3"}
    iced = np.flatnonzero([path[0] == "ice" for path in paths])
    assert len(iced) > 100
    by_ice = iced[np.argsort(sites.ice_nm[iced])]
    thin, thick = by_ice[: len(iced) // 4], by_ice[-len(iced) // 4 :]
    assert np.median(sites.stands[thin]) > 1.05 > 0.95 > np.median(sites.stands[thick])
    for path, ice_nm in zip(paths, sites.ice_nm, strict=True):
        assert path[2] == hole_sites.HOLDING[int(np.searchsorted(hole_sites.ICE_NM, ice_nm))]


def test_what_is_usual_is_told_by_whole_holes() -> None:
    of = ["ice > open > to 40 nm > R2/1"] * 5 + ["cut > open > to 40 nm > R2/1"] * 6
    brighter = np.array([0.2, 0.2, 0.2, 0.1, 0.3, *[0.01] * 6])
    hidden = np.linspace(-0.9, 0.4, len(of))
    stands = hole_sites._standing_beside(brighter, hidden, of)
    assert stands[:5] == pytest.approx([1, 1, 1, 0.5, 1.5])
    assert stands[5:] == pytest.approx(hidden[5:])
    assert len(hole_sites._standing_beside(np.zeros(0), np.zeros(0), [])) == 0


def test_cut_holes_are_told_by_how_much_of_them_is_hidden(
    bench: Callable[..., Any], behind: Behind, on_square: OnSquare
) -> None:
    instrument = _of_kind(bench, behind, on_square, "good")
    world = instrument.world
    assert world is not None
    sites = hole_sites.sites_of(instrument, world, 0, 0)
    cut = [n for n, name in enumerate(sites.of) if name.startswith("cut")]
    assert len(cut) > 20
    assert [n for n, beyond in enumerate(sites.beyond_radii) if beyond >= -1] == cut
    squares = world.squares_at(sites.x_um[cut], sites.y_um[cut])
    under_bar_um = world.bar_distance_um(sites.x_um[cut], sites.y_um[cut], squares)
    stands = hole_sites._standing_beside(sites.brighter, sites.beyond_radii, sites.of)
    assert stands[cut] * sites.radius_um[cut] == pytest.approx(under_bar_um)


@pytest.mark.parametrize("film", [("", "R1.2/1.3"), (" on gold", "UltrAuFoil R1.2/1.3")])
def test_the_more_of_a_hole_is_hidden_the_less_is_made_of_it(film: tuple[str, str]) -> None:
    """Else holes under bars would be exposed, and come out black."""
    table = load_error_models("demo-2k").tables["square site"]
    evenly = (np.arange(20) + 0.5) / 20
    chance, quantile = (part.ravel() for part in np.meshgrid(evenly, evenly))
    of = conditions.path_of(f"cut{film[0]}", hole_sites.OPEN, "to 80 nm", film[1])
    scores = []
    for beyond_radii in (-0.8, 0.0, 0.45):
        drawn = table.draw([of] * len(chance), np.full(len(chance), beyond_radii), chance, quantile)
        scores.append(float(np.nan_to_num(drawn[:, 0]).mean()))
    assert scores[0] > 0.85 > scores[1] > 0.4 > scores[2]


def test_holes_that_stand_out_score_best() -> None:
    """A finder's score ends a little above the usual hole: of dry ones nearly all are there."""
    table = load_error_models("demo-2k").tables["square site"]
    half = np.full(1, 0.5)

    def usual_score(film: str, of: str, stands: float) -> float:
        path = conditions.path_of(of, hole_sites.OPEN, "to 80 nm" if of.startswith("ice") else "to 40 nm", film)
        return float(table.draw([path], np.array([stands]), half * 0, half)[0, 0])

    for film, gold in (("R1.2/1.3", ""), ("R2/1", ""), ("UltrAuFoil R1.2/1.3", " on gold")):
        scores = [usual_score(film, f"ice{gold}", stands) for stands in (0.8, 0.92, 1.0, 1.1, 1.3)]
        assert scores == sorted(scores)
        assert scores[0] < scores[-1] - 0.01
    assert usual_score("R1.2/1.3", "ice", 1.0) <= usual_score("R1.2/1.3", "dry", 1.1)


def test_a_lattice_of_filled_holes_is_found_less_often() -> None:
    table = load_error_models("demo-2k").tables["hole lattice"]
    shares = {holds: table.share(conditions.path_of("film", "ice", holds), 60.0) for holds in ("open", "filled")}
    assert shares["open"] > 0.9
    assert shares["filled"] < shares["open"] - 0.2


def test_steps_of_the_light_are_told_from_what_is_even_or_slopes() -> None:
    even = np.full((16, 16), 0.3, np.float32)
    slope, slight, strong = even * np.linspace(0.9, 1.1, 16, dtype=np.float32), even.copy(), even.copy()
    slight[:, 9:] *= 1.1
    strong[:, 9:] *= 2.0
    told = [conditions.STEPPED[conditions.steps_in(light)] for light in (even, slope, slight, strong)]
    assert told == ["even", "even", "slight steps", "steps"]


def look_beside_a_hole(scope: SimulatedMicroscope, instrument: Instrument, share: float) -> None:
    """Shift the image so far from the middle square's middle hole towards the place between four."""
    world, at = instrument.world, instrument.clock.now()
    assert world is not None
    scope.shift_image(ImageShift())
    holes, middle = hole_sites.sites_of(instrument, world, 0, 0), world.centre_of(0, 0)
    nearest = int(np.hypot(holes.x_um - middle[0], holes.y_um - middle[1]).argmin())
    beside = world.film.basis_um @ np.array([0.5, 0.5])
    place = np.array([holes.x_um[nearest], holes.y_um[nearest]]) + share * beside
    here = np.array(instrument.to_grid(instrument.looked_at(at)))
    c, s = np.cos(instrument.seating.turn_rad), np.sin(instrument.seating.turn_rad)
    scope.shift_image(ImageShift(*(np.array([[c, -s], [s, c]]) @ (place - here))))


def test_where_one_focuses_is_told_by_its_steps_as_far_as_pictures_for_it_reach(
    bench: Callable[..., Any], behind: Behind, on_square: OnSquare
) -> None:
    """Clean film between holes is even; so near a hole that its rim is in the field, it has steps."""
    scope = bench(world={"grids": {"1": {"kind": "good", "empty": 0}}}, folder="focus").connect()
    on_square(scope)
    instrument, told = behind(scope), {}
    world, focus = instrument.world, instrument.profile.levels["focus"].preset
    assert world is not None
    rim = (world.film.hole_um / 2 + 0.05) / float(np.linalg.norm(world.film.basis_um @ np.array([0.5, 0.5])))
    for name, share in (("between", 1.0), ("rim", rim)):
        look_beside_a_hole(scope, instrument, share)
        told[name] = conditions.focus_place(instrument, focus, instrument.clock.now())[0]
    assert told["between"] == "film > even > R1.2/1.3"
    assert told["rim"].split(PARTICULAR)[1] != "even"


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_one_instrument_focuses_as_far_off_with_pictures_as_without(
    bench: Callable[..., Any], behind: Behind, on_square: OnSquare, seed: int
) -> None:
    """Its beam tilts more than told, or less: all that it focuses is off by the same."""
    off = {}
    for fidelity in ("pixels", "pixel-free"):
        scope = bench(world=THIN, seed=seed, folder=fidelity, fidelity=fidelity).connect()
        on_square(scope)
        instrument = behind(scope)
        look_beside_a_hole(scope, instrument, 1.0)
        for target_um in (-1.0, -3.0):
            scope.autofocus(target_um)
            at = instrument.clock.now()
            off[fidelity, target_um] = instrument.true_defocus_um(instrument.looked_at(at), at) - target_um
    for target_um in (-1.0, -3.0):
        assert off["pixel-free", target_um] == pytest.approx(off["pixels", target_um], abs=0.02)
    slope = (off["pixels", -3.0] - off["pixels", -1.0]) / -2.0
    assert slope == pytest.approx(1 / (1 + beam_tilt.tilt_error(instrument)) - 1, abs=0.01)


def test_under_thick_ice_focus_is_found_where_there_are_steps() -> None:
    table = load_error_models("demo-2k").tables["autofocus"]
    assert table.share("film > even > R1.2/1.3", 300.0) < 0.03 < 0.5 < table.share("film > steps", 300.0)
    assert table.share("film > even > R1.2/1.3", 60.0) == 1.0
