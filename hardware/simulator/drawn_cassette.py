"""A cassette drawn from the seed, as a person would write it, with the world it stands for and its truth beside it.

The cassette says what a label on the box would; the world says what became of each grid; the truth says what every
square of it would give. Nothing that decides or detects may import this.
"""

import csv
import io
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from ruamel.yaml import YAML

from ...files.atomic import write_bytes
from ...protocols.cassette import SLOTS, Cassette
from ...protocols.errors import BadInput
from ...protocols.reading import parse_protocol, shipped_text
from .cassette_world import FREQUENCY, KINDS, CassetteWorld, grids_of
from .film import RIM_UM
from .profile import load_profile
from .truth import TrueSquare, grid_of, square_of
from .variety import Choices, checked
from .world import GridWorld

PROTOCOL = "screening-default"
USUAL = Choices(hole_types=("R1.2/1.3", "R2/1", "UltrAuFoil R1.2/1.3"), meshes=("300",), materials=("Carbon",))
"""What most boxes say, drawn from where nothing is asked for."""


def drawn_cassette(seed: int, slots: int, choices: Choices) -> tuple[Cassette, CassetteWorld]:
    """Draw what lies in each slot, and what became of it.

    Raises
    ------
    BadInput
        No slots or more than a cassette has, or a name that is on no list.
    """
    if not 1 <= slots <= SLOTS:
        raise BadInput(f"a cassette of {slots} grids cannot be; give 1 to {SLOTS}")
    choices = checked(choices)
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, 12])))
    films = choices.hole_types or USUAL.hole_types
    meshes, materials = choices.meshes or USUAL.meshes, choices.materials or USUAL.materials
    kinds = choices.kinds or tuple(KINDS)
    weights = np.array([FREQUENCY.get(kind, 0.1) for kind in kinds])
    entries, grids = [], {}
    for slot in range(1, slots + 1):
        film = films[int(rng.integers(len(films)))]
        gold = "aufoil" in film.casefold()
        material = "Gold" if gold else materials[int(rng.integers(len(materials)))]
        mesh = meshes[int(rng.integers(len(meshes)))]
        entries.append(
            {"slot": slot, "name": f"sim-{seed}-{slot:02d}", "hole_type": film, "mesh": mesh, "material": material}
        )
        grids[slot] = {"kind": kinds[int(rng.choice(len(kinds), p=weights / weights.sum()))]}
    about = f"Drawn by `epicycle simulate cassette --seed {seed}`; its truth holds for a night run with that seed."
    cassette = Cassette.model_validate({"name": f"simulated {seed}", "slots": entries})
    return cassette, CassetteWorld.model_validate({"about": about, "grids": grids})


def write_cassette(folder: Path, seed: int, slots: int, choices: Choices, *, holes: bool) -> Iterator[int]:
    """Write cassette, world, protocol and truth into a folder; yields the slots as their truth is there.

    ``truth/squares-NN.csv`` has a line for each square of a slot, ``truth/holes-NN.csv`` for each hole where they are
    asked for; ``truth/grids.csv`` comes last. A slot whose tables are there already is not worked out again.

    Raises
    ------
    BadInput
        As `drawn_cassette` does; or the folder holds another cassette.
    NoRoom, NotWritable
        See `files.atomic`.
    """
    cassette, world = drawn_cassette(seed, slots, choices)
    path = folder / "world.yaml"
    files = {
        folder / "cassette.yaml": _yaml(cassette.model_dump(mode="json", exclude_defaults=True)),
        path: _yaml(world.model_dump(mode="json", exclude_unset=True)),
        folder / "protocol.yaml": _protocol(choices.profile, path).encode(),
    }
    for file, text in files.items():
        if file.exists() and file.read_bytes() != text:
            raise BadInput(f"{folder} holds another {file.stem}; name another folder")
    (folder / "truth").mkdir(parents=True, exist_ok=True)
    for file, text in files.items():
        write_bytes(file, text)
    occupied = grids_of(world, cassette, seed, load_profile(choices.profile).loader.slots)
    rows = []
    for slot, spec in occupied.items():
        grid = GridWorld(seed, slot, spec)
        _write_truth(folder / "truth", grid, holes=holes)
        summary = asdict(grid_of(grid))
        rows.append({**summary, "hole_type": spec.hole_type, "mesh": spec.mesh, "material": spec.material})
        yield slot
    write_bytes(folder / "truth" / "grids.csv", _csv(rows))


def _write_truth(folder: Path, grid: GridWorld, *, holes: bool) -> None:
    squares_path, holes_path = (folder / f"{name}-{grid.slot:02d}.csv" for name in ("squares", "holes"))
    if squares_path.exists() and (holes_path.exists() or not holes):
        return
    squares = [square_of(grid, i, j) for i, j in _within(grid)]
    if holes:
        # The squares' table comes last: where it is, the other one is.
        write_bytes(holes_path, _csv(_hole_rows(squares)))
    write_bytes(squares_path, _csv(_square_rows(squares)))


def _within(grid: GridWorld) -> list[tuple[int, int]]:
    table = grid.squares
    inside = np.flatnonzero(np.hypot(table.x_um, table.y_um) < RIM_UM)
    return [(int(table.i.flat[n]), int(table.j.flat[n])) for n in inside]


def _square_rows(squares: Iterable[TrueSquare]) -> Iterator[dict[str, Any]]:
    for square in squares:
        ice = [hole.ice_nm for hole in square.holes]
        reached = [hole.resolution_a for hole in square.holes]
        yield {
            "i": square.i,
            "j": square.j,
            "x_um": square.x_um,
            "y_um": square.y_um,
            "class": square.kind,
            "holes": len(ice),
            "usable_fraction": square.usable,
            "median_ice_nm": float(np.median(ice)) if ice else None,
            "median_resolution_a": float(np.median(reached)) if reached else None,
        }


def _hole_rows(squares: Iterable[TrueSquare]) -> Iterator[dict[str, Any]]:
    for square in squares:
        for hole in square.holes:
            yield {"i": square.i, "j": square.j, **asdict(hole)}


def _csv(rows: Iterable[Mapping[str, Any]]) -> bytes:
    kept = list(rows)
    text = io.StringIO()
    names: Sequence[str] = list(kept[0]) if kept else []
    table = csv.DictWriter(text, names, lineterminator="\n")
    table.writeheader()
    table.writerows({name: _short(value) for name, value in row.items()} for row in kept)
    return text.getvalue().encode()


def _short(value: Any) -> Any:
    """Round numbers; what can never be reached stays empty."""
    if not isinstance(value, float):
        return value
    return "" if math.isinf(value) else round(value, 4)


def _yaml(body: Mapping[str, Any]) -> bytes:
    text = io.BytesIO()
    yaml = YAML()
    yaml.default_flow_style = None
    yaml.width = 120
    yaml.dump(dict(body), text)
    return text.getvalue()


def _protocol(profile: str, world: Path) -> str:
    """Give a shipped protocol whose microscope holds this world."""
    options = f'  options: {{profile: "{profile}", world: "{world.resolve()}"}}'
    text = shipped_text(PROTOCOL).replace("  options: {}", options, 1)
    assert parse_protocol(text, "protocol").microscope.options, "the shipped protocol leaves room for options"
    return text
