"""`epicycle simulate fit`: fit the error models of the pixel-free microscope to its pictures."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .terminal import console

if TYPE_CHECKING:
    from .seeing import GridToSee

WORKING_FOLDER = Path("fit-observations")


def fit(
    out: Annotated[Path, typer.Option("--out", "-o", help="Where to write the error models, JSON.")],
    profile: Annotated[str, typer.Option(help="Instrument: a shipped profile's name or a YAML file.")] = "demo-2k",
    grids: Annotated[int, typer.Option(min=1, max=2000, help="How many grids to look at, of all kinds in turn.")] = 24,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the first grid; each next one has the next.")] = 1000,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes.")] = 1,
    work: Annotated[
        Path, typer.Option(help="Folder of what was seen so far; a fit that was cut off goes on from it.")
    ] = WORKING_FOLDER,
) -> None:
    """Fit the error models of the pixel-free microscope: look at grids whose truth is known.

    Half a minute for each with demo-2k, minutes where exposures are long movies.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from ..files import atomic
    from ..hardware.simulator.grid.cassette_world import KINDS
    from . import fitting

    wanted = fitting.grids_to_see(seed, grids, tuple(KINDS))
    left = [grid for grid in wanted if fitting.kept(work, grid, profile) is None]
    columns = (TextColumn("looking at grids"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("grids", total=len(wanted), completed=len(wanted) - len(left))
        for _ in _looked_at(left, profile, work, workers):
            progress.advance(task)
    parts = [part for grid in wanted if (part := fitting.kept(work, grid, profile)) is not None]
    command = f"epicycle simulate fit --profile {profile} --grids {grids} --seed {seed}"
    models = fitting.fitted(parts, command, profile)
    atomic.write_bytes(out, models.model_dump_json().encode())
    seen = ", ".join(f"{count} {level}" for level, count in sorted(models.fitted.pictures.items()))
    console.print(f"{out}: fitted to {len(parts)} grids ({seen} pictures)", markup=False, soft_wrap=True)


def look(grid: "GridToSee", profile: str, work: Path) -> None:
    """Look at one grid and keep what was seen; the task of one worker."""
    import cv2

    from . import fitting
    from .observing import observe

    cv2.setNumThreads(1)
    *_, seen = observe(grid, profile)
    fitting.keep(work, grid, seen, profile)


def _looked_at(left: "Sequence[GridToSee]", profile: str, work: Path, workers: int) -> "Iterator[GridToSee]":
    """Look at what is left, one after the other or in worker processes; yields each grid as it is done."""
    if workers == 1:
        for grid in left:
            look(grid, profile, work)
            yield grid
        return
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
    with suppress(KeyboardInterrupt), pool:
        tasks = {pool.submit(look, grid, profile, work): grid for grid in left}
        for task in as_completed(tasks):
            task.result()
            yield tasks[task]
