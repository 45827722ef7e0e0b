"""Routes against the nearest neighbour and against the proven cheapest way, on stop sets such as nights have.

    python benchmarks/routes.py [--seeds 2] [--out FILE.json]

Stops are the groups of one square and of several, squares of a grid, and random places. Stage time is what order can
change and every move spends: acceleration, the way, the backlash approach from one side, the rest that grows with the
way. A real stage spends a fixed time on each move besides, whatever the order; the table also says what is left of the
gain with the fixed time of a simulated microscope, and what the cheapest way there is would give. The nearest neighbour
goes to the stop that is quickest to reach (the harder rival; the nearest in µm is in the JSON). CPU seconds are ours.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from best_routes import least_cost
from numpy.typing import NDArray

from epicycle.hardware.simulator.instrument.profile import load_profile
from epicycle.targeting.groups import group_holes
from epicycle.targeting.points import distances
from epicycle.targeting.routes import route_time_s, shortest_route
from epicycle.targeting.tours import cost_of, nearest_first
from epicycle.targeting.travel import TravelTimes

Points = NDArray[np.float64]

FIXED = load_profile("collection-300kv").times.stage_move.median_s
MESH_UM = 125.0
MOST_PROVEN = 60
PROOF_S = 8.0


@dataclass(frozen=True, slots=True)
class Route:
    """One set of stops; seconds of stage time. ``best`` is the proven bound, None where none was asked for."""

    case: str
    stops: int
    seed: int
    nearest_s: float
    nearest_in_um_s: float
    ours_s: float
    cpu_s: float
    best_s: float | None
    proven: bool

    @property
    def ratio(self) -> float:
        return self.ours_s / self.nearest_s

    @property
    def ratio_with_fixed(self) -> float:
        """The same where every move takes a fixed time besides."""
        fixed = FIXED * self.stops
        return (self.ours_s + fixed) / (self.nearest_s + fixed)

    @property
    def best_ratio_with_fixed(self) -> float | None:
        """What no order could go below there."""
        fixed = FIXED * self.stops
        return None if self.best_s is None else (self.best_s + fixed) / (self.nearest_s + fixed)

    @property
    def gap(self) -> float | None:
        return None if self.best_s is None else self.ours_s / self.best_s - 1


def stop_sets(seed: int) -> Iterator[tuple[str, Points]]:
    """Give stop sets of 40 to 400 stops."""
    rng = np.random.default_rng(seed)
    for rows, radius_um, bad in ((20, 4.0, 0.1), (26, 4.0, 0.1), (30, 3.0, 0.3), (24, 3.0, 0.1)):
        yield "groups of one square", _groups(rng, rows, radius_um, bad)
    for squares in (4, 12, 25):
        middles = _mesh(rng, squares)
        parts = [_groups(rng, 13, 4.0, 0.2) + middle for middle in middles]
        yield f"groups of {squares} squares", np.vstack(parts)[:400]
    for count in (40, 60, 150, 400):
        yield "squares of a grid", _mesh(rng, count)
    for count, side_um in ((40, 100.0), (60, 2000.0), (120, 100.0), (250, 2000.0), (400, 100.0)):
        yield f"random in {side_um:g} µm", rng.uniform(0, side_um, (count, 2))


def _groups(rng: np.random.Generator, rows: int, radius_um: float, bad: float) -> Points:
    """Give the stage positions of the groups of a square of rows × rows holes."""
    turn = rng.uniform(0, np.pi / 2)
    basis = 2.0 * np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    holes = np.array([(i, j) for i in range(rows) for j in range(rows)]) @ basis
    holes = (holes + rng.normal(0, 0.03, holes.shape))[rng.random(len(holes)) >= bad]
    groups = group_holes(holes, radius_um=radius_um, time_limit_s=0.05).groups
    return np.array([(group.x_um, group.y_um) for group in groups])


def _mesh(rng: np.random.Generator, count: int) -> Points:
    """Give chosen squares of a mesh, turned as grids lie."""
    side = int(np.ceil(np.sqrt(1.6 * count)))
    turn = rng.uniform(0, np.pi / 2)
    basis = MESH_UM * np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    squares = np.array([(i, j) for i in range(side) for j in range(side)]) @ basis
    squares = squares + rng.normal(0, 4.0, squares.shape)
    return np.asarray(squares[np.sort(rng.permutation(len(squares))[:count])])


def measure(seeds: int = 2, *, speak: bool = False) -> list[Route]:
    """Order all stop sets."""
    routes = []
    for seed in range(seeds):
        for case, stops in stop_sets(seed):
            routes.append(_measured(case, stops, seed))
            if speak:
                show(routes[-1])
    return routes


def _measured(case: str, stops: Points, seed: int) -> Route:
    stage, start = TravelTimes(), stops.min(axis=0)
    began = time.process_time()
    way = shortest_route(stops, start, travel=stage)
    cpu_s = time.process_time() - began
    ours = route_time_s(stops, way, start, stage)
    nodes = np.vstack([start, stops])
    costs = stage.between(nodes, nodes)
    proof = least_cost(costs, ours, seconds=PROOF_S) if len(stops) <= MOST_PROVEN else None
    return Route(
        case=case,
        stops=len(stops),
        seed=seed,
        nearest_s=cost_of(nearest_first(costs), costs),
        nearest_in_um_s=cost_of(nearest_first(distances(nodes, nodes)), costs),
        ours_s=ours,
        cpu_s=cpu_s,
        best_s=None if proof is None else proof.bound,
        proven=proof is not None and proof.proven,
    )


def show(route: Route) -> None:
    """Print one line of the table."""
    gap = "" if route.gap is None else f"  {100 * route.gap:5.2f} % above the {'optimum' if route.proven else 'bound'}"
    print(
        f"{route.case:22} {route.stops:4} stops  nearest {route.nearest_s:7.1f} s  ours {route.ours_s:7.1f} s  "
        f"ratio {route.ratio:.3f} (with {FIXED:g} s a move {route.ratio_with_fixed:.3f})  {route.cpu_s:.2f} CPU s{gap}",
        flush=True,
    )


def summary(routes: list[Route]) -> dict[str, float | int]:
    """Sum up."""
    gaps = [route.gap for route in routes if route.gap is not None]
    proven = [route for route in routes if route.proven]
    return {
        "sets": len(routes),
        "mean_ratio": round(float(np.mean([route.ratio for route in routes])), 4),
        "mean_ratio_to_the_nearest_in_um": round(float(np.mean([r.ours_s / r.nearest_in_um_s for r in routes])), 4),
        "mean_ratio_with_fixed_time": round(float(np.mean([route.ratio_with_fixed for route in routes])), 4),
        "mean_best_ratio_with_fixed_time_where_proven": round(
            float(np.mean([route.best_ratio_with_fixed or 0.0 for route in proven])), 4
        ),
        "mean_ratio_with_fixed_time_where_proven": round(float(np.mean([r.ratio_with_fixed for r in proven])), 4),
        "largest_cpu_s": round(max(route.cpu_s for route in routes), 3),
        "sets_up_to_60_stops": len(gaps),
        "optima_proven": len(proven),
        "largest_gap_to_the_bound": round(max(gaps), 5),
    }


def main() -> int:
    """Run the benchmark; exit code 1 where a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, default=2, help="stop sets of each kind")
    parser.add_argument("--out", type=Path, default=Path("routes.json"), help="JSON to write")
    asked = parser.parse_args()
    routes = measure(asked.seeds, speak=True)
    summed = summary(routes)
    print(json.dumps(summed, indent=1))
    asked.out.write_text(
        json.dumps({"summary": summed, "routes": [asdict(route) for route in routes]}, indent=1) + "\n"
    )
    return 0 if summed["mean_ratio"] <= 0.85 and summed["largest_gap_to_the_bound"] <= 0.03 else 1


if __name__ == "__main__":
    sys.exit(main())
