"""How good exposures hang together in space: the recorded session beside simulated grids exposed in the same way.

    python benchmarks/spatial_correlation.py [--data FOLDER] [--kind aldolase] [--grids 100] [--out FILE.json]

Prints a table and writes JSON. Both columns come from one function on one kind of table. Simulated grids are exposed at
the session's places: for each of its squares the nearest one that an operator would go to, in it the same holes of the
lattice; what they reach is the world's truth at the voltage of the session's profile. The last column is the standard
deviation from grid to grid, which is how far one recorded session may lie from its expectation.
"""

import argparse
import json
import sys
import time
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path

import numpy as np

from epicycle.hardware.simulator.evaluation.spatial import (
    EDGES_UM,
    Exposures,
    Structure,
    exposed_likewise,
    lattice_of,
    mean_structure,
    read_session,
    structure_of,
)
from epicycle.hardware.simulator.grid.cassette_world import KINDS, GridSpec, completed
from epicycle.hardware.simulator.grid.world import GridWorld
from epicycle.hardware.simulator.instrument.profile import load_profile

DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data" / "aldolase"
BAR = 0.05
PROFILE = "aldolase-times"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the recorded session")
    parser.add_argument("--kind", default="aldolase", choices=sorted(KINDS), help="kind of the simulated grids")
    parser.add_argument("--grids", type=int, default=100, help="how many grids, one seed each")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    given = parser.parse_args(arguments)
    table = given.data / "holes.csv"
    if not table.exists():
        print(f"there is no session at {table}; give its folder with --data", file=sys.stderr)
        return 2
    session = read_session(table)
    began = time.process_time()
    found = simulated(session, given.kind, range(given.first_seed, given.first_seed + given.grids))
    seconds = (time.process_time() - began) / given.grids
    rows = compared(structure_of(session), found)
    print(f"{'':<24}{'session':>9}{'simulated':>11}{'off':>8}{'grid to grid':>14}")
    for name, recorded, mean, spread in rows:
        print(f"{name:<24}{recorded:>9.3f}{mean:>11.3f}{mean - recorded:>+8.3f}{spread:>14.3f}")
    worst = max(abs(mean - recorded) for _, recorded, mean, _ in rows)
    print(f"largest difference {worst:.3f}, bar {BAR}; {given.grids} grids, {seconds:.2f} CPU s each")
    if given.out:
        kept = {
            "kind": given.kind,
            "grids": given.grids,
            "first_seed": given.first_seed,
            "cpu_s_per_grid": seconds,
            "session": asdict(structure_of(session)),
            "simulated": asdict(mean_structure(found)),
            "largest_difference": worst,
            "bar": BAR,
        }
        given.out.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
    return 0 if worst <= BAR else 1


def simulated(session: Exposures, kind: str, seeds: range) -> list[Structure]:
    """Measure one grid of this kind for each seed."""
    spec = completed(GridSpec(kind=kind)).model_copy(
        update={"hole_type": "R1.2/1.3", "mesh": "300", "material": "Carbon"}
    )
    voltage = load_profile(PROFILE).optics.voltage_kv
    lattice = lattice_of(session)
    return [structure_of(exposed_likewise(GridWorld(seed, 1, spec), session, lattice, voltage)) for seed in seeds]


def compared(recorded: Structure, found: list[Structure]) -> list[tuple[str, float, float, float]]:
    """Give name, recorded and mean simulated value, and standard deviation over grids, of all that is measured."""
    bins = [f"correlation {low:g}-{high:g} µm" for low, high in pairwise(EDGES_UM)]
    names = ["good (share)", *bins, "variance: patch", "variance: square", "variance: tile"]
    values = np.array([_flat(one) for one in found])
    return list(zip(names, _flat(recorded), values.mean(axis=0).tolist(), values.std(axis=0).tolist(), strict=True))


def _flat(one: Structure) -> list[float]:
    return [one.good, *one.correlation, one.patch, one.square, one.tile]


if __name__ == "__main__":
    sys.exit(main())
