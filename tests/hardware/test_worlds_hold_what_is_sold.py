"""Grids as sold can be laid out, and what is wrong with grids has its own shape: worlds looked at without a camera."""

import csv
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial import cKDTree

from epicycle.hardware.simulator.grid.cassette_world import GridSpec, completed
from epicycle.hardware.simulator.grid.film import bars_of, nearest_cell
from epicycle.hardware.simulator.grid.openings import SquareKind
from epicycle.hardware.simulator.grid.world import GridWorld
from epicycle.hardware.simulator.pictures.drawn import draw_marks
from epicycle.hardware.simulator.pictures.particles import particles_in
from epicycle.hardware.simulator.pictures.specimen import Layers, View, holes_in, lay_out
from epicycle.protocols.errors import BadInput

TABLE = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "grid_types.csv"
FILMS = (
    "R0.6/1", "R1.2/1.3", "R2/1", "R2/2", "R3.5/1", "R1.2/20", "R17/5", "CF-4/2", "UltrAuFoil R1.2/1.3", "HexAUFoil",
    "Lacey", "MultiA", "NegativeStain", "Continuous",
)  # fmt: skip


def world_of(seed: int = 4, **changes: Any) -> GridWorld:
    return GridWorld(
        seed, 1, completed(GridSpec(**{"hole_type": "R1.2/1.3", "mesh": "300", "material": "Carbon", **changes}))
    )


def view_at(centre: np.ndarray, pixel_um: float, side: int, turn: float = 0.3) -> View:
    c, s = math.cos(turn), math.sin(turn)
    linear = pixel_um * np.array([[-s, c], [c, s]])
    return View(np.column_stack([linear, centre - linear @ np.full(2, (side - 1) / 2)]), side, side)


def square_like(world: GridWorld, kind: SquareKind) -> tuple[int, int]:
    table = world.squares
    found = np.argwhere((table.kind == kind) & (np.hypot(table.x_um, table.y_um) < 900))
    assert len(found), f"the world has no {kind.name} square"
    first = tuple(found[len(found) // 2])
    return int(table.i[first]), int(table.j[first])


@pytest.mark.parametrize("film", FILMS)
def test_every_film_looks_like_itself(film: str) -> None:
    gold = "Gold" if "Foil" in film or "FOIL" in film else "Carbon"
    world = world_of(hole_type=film, material=gold, mesh="50Hex" if "Hex" in film else "200")
    middle = world.centre_of(*square_like(world, SquareKind.INTACT))
    side = max(world.film.pitch_um * 3, 8.0)
    layers = lay_out(world, view_at(middle, side / 300, 300))
    bare = float((layers.film_nm < 1.0).mean())
    if film in ("NegativeStain", "Continuous"):
        assert bare == 0.0
    elif film in ("Lacey", "MultiA"):
        assert 0.05 < bare < 0.9
    else:
        cell = abs(np.linalg.det(world.film.basis_um))
        assert bare == pytest.approx(math.pi * (world.film.hole_um / 2) ** 2 / cell, abs=0.06)
    assert (layers.ice_nm >= 0).all()
    assert np.isfinite(layers.ice_nm).all()


def test_every_row_of_the_table_can_be_made() -> None:
    if not TABLE.exists():
        pytest.skip("the shared table of films and meshes is not beside this checkout")
    with TABLE.open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    for row in rows:
        given = {"hole_type": "hole_type", "mesh": "mesh", "mesh_material": "material"}[row["kind"]]
        world = world_of(**{given: row["name"]})
        if row["hole_pitch_um"]:
            assert world.film.pitch_um == pytest.approx(float(row["hole_pitch_um"]))
        if row["kind"] == "mesh":
            assert world.bars.mesh.pitch_um == pytest.approx(float(row["mesh_pitch_um"] or 127), rel=1.0)
            assert world.bars.mesh.lattice == row["lattice"]


@pytest.mark.parametrize("mesh", ["50Hex", "300"])
def test_every_place_belongs_to_the_opening_whose_middle_is_nearest(mesh: str) -> None:
    """By indices alone a hexagon loses four of its corners to its neighbours."""
    basis = bars_of(mesh, 1).basis_um
    reach = np.arange(-8, 9)
    cells = np.stack(np.meshgrid(reach, reach, indexing="ij"), -1).reshape(-1, 2)
    origin = np.array([7.0, -3.0])
    places = np.random.default_rng(4).uniform(-150, 150, (2000, 2))
    nearest = cells[cKDTree(origin + cells @ basis.T).query(places)[1]]
    found = np.stack(nearest_cell(basis, origin, *places.T), axis=-1)
    assert (found == nearest).all()


def test_a_mesh_nobody_sells_is_refused() -> None:
    with pytest.raises(BadInput, match="no mesh called 317"):
        world_of(mesh="317")


def test_stain_is_denser_than_ice_and_lies_on_a_whole_film() -> None:
    def middle(film: str) -> Layers:
        world = world_of(hole_type=film)
        return lay_out(world, view_at(world.centre_of(*square_like(world, SquareKind.INTACT)), 0.03, 300))

    stained, frozen = middle("NegativeStain"), middle("Continuous")
    assert stained.ice_nm.mean() > 1.5 * frozen.ice_nm.mean()
    assert stained.ice_nm.std() / stained.ice_nm.mean() > frozen.ice_nm.std() / frozen.ice_nm.mean()


def test_ice_fills_each_hole_with_a_lens_of_its_own() -> None:
    world = world_of()
    middle = world.centre_of(*square_like(world, SquareKind.INTACT))
    holes = holes_in(world, middle + 12 * np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]]))
    assert holes.lens.depth.std() > 0.02
    assert np.hypot(holes.lens.lean_x, holes.lens.lean_y).std() > 0.03
    wet = holes.where(holes.factor > 0)
    edge = world.ice_nm(wet.x_um, wet.y_um) * wet.factor
    assert (world.ice_in_hole(wet) < edge).all()


def test_particles_are_light_in_stain_and_dark_in_ice() -> None:
    phases = {}
    for film in ("NegativeStain", "Continuous", "R2/2"):
        world = world_of(hole_type=film, ice_nm=40.0)
        index = square_like(world, SquareKind.INTACT)
        place = world.centre_of(*index)
        if film == "R2/2":
            holes = holes_in(world, place + np.array([[-3, -3], [3, 3]]))
            wet = holes.where(holes.factor > 0)
            place = np.array([wet.x_um[0], wet.y_um[0]])
        view = view_at(place, 2e-4, 1024)
        coarse = view.coarser(16)
        phases[film] = particles_in(world, view, lay_out(world, coarse), 16, 200.0)
    assert phases["R2/2"].min() >= 0 < phases["R2/2"].max()
    assert phases["Continuous"].min() >= 0 < phases["Continuous"].max()
    assert phases["NegativeStain"].max() <= 0 > phases["NegativeStain"].min()


def test_a_wrinkle_displaces_the_lattice_and_lies_where_it_does_so() -> None:
    plain, folded = world_of(wrinkled=0.0), world_of(wrinkled=1.0)
    index = square_like(folded, SquareKind.INTACT)
    corners = folded.centre_of(*index) + 20 * np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]])
    before, after = holes_in(plain, corners), holes_in(folded, corners)
    moved = np.stack([after.x_um - before.x_um, after.y_um - before.y_um], axis=-1).reshape(-1, 2)
    own = folded.squares_at(before.x_um.ravel(), before.y_um.ravel())
    inside = (own.i == index[0]) & (own.j == index[1])
    square = folded.square(*index)
    turn, slip = float(square.wrinkle_turn[0]), float(square.wrinkle_slip_um[0])
    along = moved[inside] @ [math.cos(turn), math.sin(turn)]
    assert np.abs(along).max() == pytest.approx(abs(slip) / 2, rel=0.2)
    assert along.min() < 0 < along.max(), "one side slips one way, the other the other"
    (ridge,) = folded.defects(*index).ridges
    line = ridge.line_um
    film = lay_out(folded, view_at(line[32], 0.02, 200)).film_nm
    assert film.max() > 1.5 * folded.film.thickness_nm


def test_each_defect_has_its_own_shape() -> None:
    world = world_of(torn=0.3, cracked=0.2, small=0.1, crystalline=0.1, contaminated=0.1, ethane=1.0, crystals=6)
    torn = [world.defects(*index).tears for index in _all(world, SquareKind.TORN)]
    assert any(tear.flap_um is not None for tears in torn for tear in tears)
    sizes = [np.ptp(tear.outline_um, axis=0).max() for tears in torn for tear in tears]
    assert max(sizes) > 0.8 * world.bars.mesh.opening_um, "some tears take most of the square with them"
    cracks = [tear for index in _all(world, SquareKind.CRACKED) for tear in world.defects(*index).tears]
    assert (
        np.median([_roundness(crack.outline_um) for crack in cracks])
        < 0.15
        < 0.4
        < np.median([_roundness(tear.outline_um) for tears in torn for tear in tears])
    )
    drops = np.concatenate([world.defects(*index).drops_um for index in _all(world, SquareKind.INTACT)])
    assert len(drops) > 10
    assert np.median(drops[:, 2]) > 1.0
    grain = _contrast(world, SquareKind.CRYSTALLINE)
    assert grain > 3 * _contrast(world, SquareKind.INTACT)


def test_gold_grows_ferns_and_carbon_hardly_any() -> None:
    counts = {}
    for material in ("Gold", "Carbon"):
        world = world_of(material=material)
        counts[material] = sum(len(world.defects(*index).ferns) for index in _all(world, SquareKind.INTACT)[:150])
    assert counts["Gold"] > 3 * counts["Carbon"] > 0


def test_marks_tell_how_the_grid_lies() -> None:
    world, view = world_of(), view_at(np.zeros(2), 2.3, 1024, turn=0.0)
    open_ = np.ones((1024, 1024), np.float32)
    draw_marks(world, view, open_)
    only = 1 - open_
    assert not world_of(marks=False).marks
    assert only.sum() > 100
    for turned in (np.rot90(only), np.rot90(only, 2), only[::-1], only[:, ::-1]):
        overlap = (only * turned).sum() / (only * only).sum()
        assert overlap < 0.6, "a turned or mirrored grid can be told from the other"


def test_the_same_world_is_drawn_in_any_order() -> None:
    first, second = world_of(seed=9), world_of(seed=9)
    view = view_at(first.centre_of(1, 2), 0.1, 300)
    lay_out(second, view_at(second.centre_of(-2, 0), 0.1, 300))
    for one, other in zip(_arrays(lay_out(first, view)), _arrays(lay_out(second, view)), strict=True):
        assert np.array_equal(one, other)


def _arrays(layers: Layers) -> tuple[np.ndarray, ...]:
    return layers.ice_nm, layers.film_nm, layers.free


def _all(world: GridWorld, kind: SquareKind) -> list[tuple[int, int]]:
    table = world.squares
    return [(int(table.i[at]), int(table.j[at])) for at in map(tuple, np.argwhere(table.kind == kind))]


def _roundness(outline: np.ndarray) -> float:
    """Area over that of the circle around the same length."""
    x, y = outline.T
    area = 0.5 * abs((x * np.roll(y, -1) - np.roll(x, -1) * y).sum())
    reach = np.linalg.norm(outline - outline.mean(axis=0), axis=1).max()
    return float(area / (math.pi * reach**2))


def _contrast(world: GridWorld, kind: SquareKind) -> float:
    layers = lay_out(world, view_at(world.centre_of(*square_like(world, kind)), 0.05, 200))
    film = layers.film_nm > 0.8 * world.film.thickness_nm
    ice = layers.ice_nm[film]
    return float((np.percentile(ice, 80) - np.percentile(ice, 20)) / np.median(ice))
