"""Looking at grids whose truth is known: what detectors and fitters answer, beside what was there.

One grid of the simulated microscope is gone through as a night would: atlas, some squares of every class, views of
holes, exposures, a second load with its atlas. Each answer becomes an observation for the fit of the error models.
"""

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .seeing import Bench, GridToSee, Observations
from .seeing_atlas import see_atlas, see_reload
from .seeing_squares import see_exposure, see_square, some_squares, squares_to_expose


def observe(grid: GridToSee, profile: str, options: Mapping[str, Any] | None = None) -> Iterator[Observations]:
    """Look at one grid; yields after each part with all that was seen so far, so that progress can be shown.

    Parameters
    ----------
    grid, profile
        What is looked at, with which instrument.
    options
        More options of the simulator, such as its fidelity; finders and judge follow it.
    """
    seen = Observations()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), grid, profile, options or {})
        if grid.part == "exposures":
            yield from _exposures(bench, seen)
            return
        first = see_atlas(bench, seen, "atlas")
        yield seen
        for number, (i, j) in enumerate(some_squares(bench, grid.seed)):
            see_square(bench, seen, f"{grid.name}-s{number}", i, j)
            yield seen
        bench.scope.unload()
        bench.ready()
        see_reload(seen, grid, first, see_atlas(bench, seen, "again"))
        yield seen


def _exposures(bench: Bench, seen: Observations) -> Iterator[Observations]:
    for number, (i, j) in enumerate(squares_to_expose(bench)):
        see_exposure(bench, seen, f"{bench.grid.name}-s{number}", i, j)
        yield seen
    yield seen
