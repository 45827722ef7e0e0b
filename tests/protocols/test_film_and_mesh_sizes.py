"""Films and meshes have the sizes that their makers and SmartScope give them."""

import csv
from pathlib import Path

import pytest

from epicycle.protocols.grid_types import HOLE_TYPES, MATERIALS, MESHES, canonical

TABLE = Path(__file__).parents[3] / "shared" / "data" / "grid_types.csv"


def rows(kind: str) -> list[dict[str, str]]:
    if not TABLE.exists():
        pytest.skip("the shared table of films and meshes is not beside this checkout")
    with TABLE.open(encoding="utf-8", newline="") as handle:
        return [row for row in csv.DictReader(handle) if row["kind"] == kind]


def number(text: str) -> float | None:
    return float(text) if text else None


def test_films_agree_with_the_table() -> None:
    table = {row["name"]: row for row in rows("hole_type")}
    assert set(table) == set(HOLE_TYPES)
    for name, film in HOLE_TYPES.items():
        row = table[name]
        assert (film.hole_um, film.gap_um) == (number(row["hole_size_um"]), number(row["hole_gap_um"]))
        assert film.pitch_um == pytest.approx(number(row["hole_pitch_um"]))
        assert film.lattice == row["lattice"]


def test_meshes_agree_with_the_table() -> None:
    table = {row["name"]: row for row in rows("mesh")}
    for name, mesh in MESHES.items():
        row = table[name]
        assert mesh.opening_um == float(row["square_size_um"])
        assert mesh.bar_um == float(row["bar_width_um"])
        assert mesh.pitch_um == float(row["mesh_pitch_um"])
        assert mesh.lattice == row["lattice"]
    assert {row["name"] for row in rows("mesh_material")} == set(MATERIALS)


def test_names_are_found_whatever_their_case_and_spaces() -> None:
    assert canonical("ultraufoil r 1.2/1.3", HOLE_TYPES) == "UltrAuFoil R1.2/1.3"
    assert canonical("negative_stain", HOLE_TYPES) == "NegativeStain"
    assert canonical("R12/1.3", HOLE_TYPES) is None


def test_known_names_are_told_apart() -> None:
    assert all(canonical(name, HOLE_TYPES) == name for name in HOLE_TYPES)
    assert all(canonical(name, MESHES) == name for name in MESHES)
