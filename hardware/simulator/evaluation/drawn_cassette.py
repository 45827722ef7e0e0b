"""A cassette drawn from the seed, as a person would write it, with the world it stands for and its truth beside it.

The cassette says what a label on the box would; the world says what became of each grid; the truth says what every
square of it would give. Nothing that decides or detects may import this.
"""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from ruamel.yaml import YAML

from ....files.atomic import write_bytes
from ....protocols.cassette import SLOTS, Cassette
from ....protocols.errors import BadInput
from ....protocols.reading import parse_protocol, shipped_text
from ..grid.cassette_world import FREQUENCY, KINDS, CassetteWorld, grids_of
from ..grid.world import GridWorld
from ..instrument.profile import Profile, load_profile
from .truth import grid_of
from .truth_table import as_csv, hole_rows, square_rows
from .variety import Choices, checked

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
    profile = load_profile(choices.profile)
    occupied = grids_of(world, cassette, seed, profile.loader.slots)
    rows = []
    for slot, spec in occupied.items():
        grid = GridWorld(seed, slot, spec)
        _write_truth(folder / "truth", grid, profile, holes=holes)
        rows.append(
            {
                **asdict(grid_of(grid, voltage_kv=profile.optics.voltage_kv)),
                "hole_type": spec.hole_type,
                "mesh": spec.mesh,
                "material": spec.material,
            }
        )
        yield slot
    write_bytes(folder / "truth" / "grids.csv", _summaries(rows))


def _write_truth(folder: Path, grid: GridWorld, profile: Profile, *, holes: bool) -> None:
    squares_path, holes_path = (folder / f"{name}-{grid.slot:02d}.csv" for name in ("squares", "holes"))
    if squares_path.exists() and (holes_path.exists() or not holes):
        return
    kv, dose = profile.optics.voltage_kv, profile.levels["exposure"].preset.dose_e_per_a2
    squares = list(square_rows(grid, kv, dose))
    if holes:
        # The squares' table comes last: where it is, the other one is.
        rows = (row for square in squares for row in hole_rows(grid, square.i, square.j, kv, (dose,)))
        write_bytes(holes_path, as_csv(rows).encode())
    write_bytes(squares_path, as_csv(squares).encode())


def _summaries(rows: Sequence[Mapping[str, Any]]) -> bytes:
    text = io.StringIO()
    table = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return text.getvalue().encode()


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
