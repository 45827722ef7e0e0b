"""Where particles lie, and what they look like: by ice, by the edges of holes, in clumps, unfolded, from a map."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from epicycle.files.mrc import write_mrc
from epicycle.hardware.simulator.grid.cassette_world import completed, grids_of, load_world
from epicycle.hardware.simulator.grid.world import GridWorld
from epicycle.hardware.simulator.pictures.density_map import PROTEIN_V, projections, read_volume
from epicycle.hardware.simulator.pictures.lens import phase_per_volt_a
from epicycle.hardware.simulator.pictures.particles import _share_seen, _spots, particle_views, particles_in
from epicycle.hardware.simulator.pictures.specimen import Layers, View
from epicycle.protocols.cassette import Cassette
from epicycle.protocols.errors import BadInput

COARSE, SIDE, PIXEL_UM = 8, 1024, 2.4e-4
VIEW = View(np.array([[0.0, PIXEL_UM, 40.0], [PIXEL_UM, 0.0, 30.0]]), SIDE, SIDE)


def world(**changes: Any) -> GridWorld:
    spec = load_world({"grids": {"1": {"kind": "good", **changes}}}).grids[1]
    film = {"hole_type": "R1.2/1.3", "mesh": "300", "material": "Carbon"}
    return GridWorld(3, 1, completed(spec).model_copy(update=film))


def layers(ice_nm: float, film_nm: float = 0.0) -> Layers:
    nodes = np.ones((SIDE // COARSE, SIDE // COARSE), np.float32)
    return Layers(nodes * np.float32(ice_nm), nodes * np.float32(film_nm), nodes.copy())


def covered(ice_nm: float, film_nm: float = 0.0, **changes: Any) -> float:
    """Share of the view in which there is a particle."""
    phase = particles_in(world(**changes), VIEW, layers(ice_nm, film_nm), COARSE, 200.0)
    return 0.0 if phase is None else float((phase > 0.05).mean())


def test_particles_need_ice_neither_thin_nor_thick_and_no_film() -> None:
    assert covered(45.0) > 0.02
    assert covered(6.0) == 0.0
    assert 0 < covered(11.0) < covered(45.0)
    assert covered(200.0) == 0.0
    assert covered(45.0, film_nm=16.0) == 0.0
    assert covered(16.0, particle_a=300.0) == 0.0, "large particles need thicker ice"


def test_particles_pile_up_at_the_edge_of_a_hole() -> None:
    seen = layers(45.0)
    seen.film_nm[:, :20] = 16.0
    nodes = np.array([[64.0, 21.0], [64.0, 26.0], [64.0, 120.0], [64.0, 5.0]])
    share = _share_seen(seen, nodes, 120.0, PIXEL_UM * COARSE)
    assert share[0] > share[1] > share[2] > share[3] == 0.0
    assert share[0] > 2.5 * share[2]


def test_clumped_particles_lie_close() -> None:
    def nearest(part: float) -> float:
        spots, _, _ = _spots(world(particles_aggregated=part, particles_per_um2=100.0), VIEW, 120.0)
        away = np.linalg.norm(spots[:, None] - spots[None], axis=-1)
        return float(np.median(np.sort(away, axis=1)[:, 1]))

    assert nearest(1.0) < 0.5 * nearest(0.0)


def test_unfolded_particles_are_wide_and_faint() -> None:
    whole, unfolded = (particle_views(150.0, 2.0, 4, 200.0, unfolded=flag)[0] for flag in (False, True))
    assert unfolded.max() < 0.5 * whole.max()
    assert (unfolded > unfolded.max() / 4).sum() > 1.3 * (whole > whole.max() / 4).sum()


def test_particles_are_heavier_to_slower_electrons() -> None:
    slow, fast = (particle_views(120.0, 2.0, 4, voltage)[0].max() for voltage in (200.0, 300.0))
    assert slow / fast == pytest.approx(phase_per_volt_a(200.0) / phase_per_volt_a(300.0), rel=1e-3)


def ball(path: Path, side: int = 48, radius: float = 15.0, pixel_a: float | None = 3.0) -> Path:
    at = np.indices((side, side, side)) - (side - 1) / 2
    density = np.where(np.linalg.norm(at, axis=0) < radius, 7.0, 2.0).astype(np.float32)
    write_mrc(path, density, pixel_a)
    return path


@pytest.mark.parametrize("pixel_a", [1.5, 3.0, 6.0])
def test_a_map_is_projected_at_its_size_with_the_phase_of_protein(tmp_path: Path, pixel_a: float) -> None:
    volume = read_volume(str(ball(tmp_path / "ball.mrc")))
    assert volume.diameter_a == pytest.approx(90.0, rel=0.05)
    views = projections(volume, pixel_a, phase_per_volt_a(300.0), np.random.default_rng(1), 3)
    for view in views:
        assert view.shape[0] % 2 == 1
        middle = view[view.shape[0] // 2, view.shape[0] // 2]
        assert middle == pytest.approx(phase_per_volt_a(300.0) * PROTEIN_V * 90.0, rel=0.07)
        area = (view > middle / 4).sum() * pixel_a**2
        assert math.sqrt(4 * area / math.pi) == pytest.approx(90.0, rel=0.08)


def test_a_map_gives_the_particles_of_a_grid(tmp_path: Path) -> None:
    path = str(ball(tmp_path / "big.mrc", radius=20.0))
    assert covered(45.0, density_map=path) > 0.02
    assert covered(6.0, density_map=path) == 0.0


def test_maps_that_cannot_be_used_are_refused_in_a_sentence(tmp_path: Path) -> None:
    flat = tmp_path / "flat.mrc"
    write_mrc(flat, np.zeros((64, 64), np.float32), 2.0)
    empty = tmp_path / "empty.mrc"
    write_mrc(empty, np.ones((32, 32, 32), np.float32), 2.0)
    text = tmp_path / "text.mrc"
    text.write_text("no map")
    sizeless = ball(tmp_path / "sizeless.mrc", pixel_a=None)
    for path, words in (
        (flat, "three dimensions"),
        (empty, "nothing stands out"),
        (text, "text.mrc"),
        (tmp_path / "gone.mrc", "no such file"),
        (sizeless, "density_map_pixel_a"),
    ):
        given = load_world({"grids": {"1": {"density_map": str(path)}}})
        with pytest.raises(BadInput, match=words):
            grids_of(given, Cassette.model_validate({"slots": [{"slot": 1, "name": "g"}]}), 1, 12)
    assert read_volume(str(sizeless), 3.0).diameter_a == pytest.approx(90.0, rel=0.05)
