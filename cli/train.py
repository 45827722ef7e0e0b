"""Training the detectors' networks: on simulated images, or further on a facility's own labels."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from ..protocols.errors import BadInput
from .terminal import console, errors, record_of

if TYPE_CHECKING:
    from ..detectors.training.labelled import LabelledImage
    from ..detectors.training.running import Kind, Run

train_app = typer.Typer(help="Train the detectors' networks.", no_args_is_help=True)

Simulated = Annotated[
    int | None, typer.Option("--from-simulator", min=2, help="Learn from so many simulated images.", metavar="N")
]
Labels = Annotated[
    Path | None,
    typer.Option(help="A night's record with labels, or a folder with coco.json or labels.csv.", metavar="PATH"),
]
Device = Annotated[str, typer.Option(help="cpu or cuda.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of the images, the weights and every draw.")]
Steps = Annotated[int | None, typer.Option(min=1, help="Steps of the training.")]
BatchSize = Annotated[int | None, typer.Option("--batch", min=1, help="Parts of images that a step learns from.")]
Threads = Annotated[int, typer.Option(min=1, help="Threads on the CPU; another number changes the last digits.")]
Start = Annotated[
    Path | None, typer.Option("--weights", help="Weights to train further; with --labels, those shipped if not said.")
]
Afresh = Annotated[bool, typer.Option("--afresh", help="Begin with random weights, also with --labels.")]
Out = Annotated[Path, typer.Option("--out", "-o", help="Folder for weights, card and checkpoints.", metavar="FOLDER")]


@train_app.command()
def holes(
    out: Out,
    from_simulator: Simulated = None,
    labels: Labels = None,
    device: Device = "cpu",
    seed: Seed = 1,
    steps: Steps = None,
    batch: BatchSize = None,
    threads: Threads = 1,
    weights: Start = None,
    afresh: Afresh = False,
) -> None:
    """Train the network that marks holes; again with the same words goes on where it was cut off."""
    _with_libraries()
    from ..detectors.training.kinds import HOLES

    train_kind(HOLES, out, from_simulator, labels, device, seed, steps, batch, threads, weights, afresh)


@train_app.command("hole-scores")
def hole_scores(
    out: Out,
    from_simulator: Simulated = None,
    labels: Labels = None,
    network: Annotated[str, typer.Option(help="own, average-pool or padded.")] = "own",
    device: Device = "cpu",
    seed: Seed = 1,
    steps: Steps = None,
    batch: BatchSize = None,
    threads: Threads = 1,
    weights: Start = None,
    afresh: Afresh = False,
) -> None:
    """Train a network that scores holes; again with the same words goes on where it was cut off."""
    _with_libraries()
    from ..detectors.training.kinds import HOLE_SCORES

    name = "hole-scores" if network == "own" else f"hole-scores-{network}"
    if name not in HOLE_SCORES:
        raise BadInput(f"there is no network called {network}; there are own, average-pool and padded")
    train_kind(HOLE_SCORES[name], out, from_simulator, labels, device, seed, steps, batch, threads, weights, afresh)


def train_kind(
    kind: "Kind",
    out: Path,
    from_simulator: int | None,
    labels: Path | None,
    device: str,
    seed: int,
    steps: int | None,
    batch: int | None,
    threads: int,
    weights: Path | None,
    afresh: bool,
) -> None:
    """Train one kind of network as its command was asked to, and say how good it is."""
    import torch

    from ..detectors.training.loop import Plan
    from ..detectors.training.running import prepared

    if (from_simulator is None) == (labels is None):
        raise BadInput("say what to learn from: either --from-simulator N or --labels PATH")
    torch.set_num_threads(threads)
    if labels is None:
        assert from_simulator is not None
        images, data = _simulated(kind, out / "images", from_simulator, seed), f"the simulator, seed {seed}"
    else:
        images, data = labelled(labels), f"labels of {labels.name}"
    plan = Plan(seed, steps or kind.steps, batch or kind.batch, kind.learning_rate)
    run = prepared(kind, images, data, plan, out, device, _start(kind, labels, weights, afresh))
    for _ in _shown(run):
        pass
    path, card = run.finish()
    _tell(run, card.metrics)
    for written in (path, path.with_suffix(".json"), path.with_suffix(".md")):
        console.print(str(written), markup=False, highlight=False, soft_wrap=True)


def _with_libraries() -> None:
    from ..detectors.network_weights import missing_libraries

    missing = missing_libraries()
    if missing:
        raise BadInput(f"training needs {missing}, which is not installed; pip install epicycle[networks]")


def _simulated(kind: "Kind", folder: Path, count: int, seed: int) -> "list[LabelledImage]":
    """Make the simulated images, or what is missing of them; each level and each instrument is a set of its own."""
    from ..detectors.training.labelled import read_labels
    from ..hardware.simulator.evaluation.dataset import make, wanted
    from ..hardware.simulator.evaluation.variety import Choices

    found: list[LabelledImage] = []
    instruments = kind.instruments or ((Choices().profile, 1.0),)
    sets = [(level, *instrument) for level in kind.levels for instrument in instruments]
    for place, (level, profile, scale) in enumerate(sets):
        own = count // len(sets) + (1 if place < count % len(sets) else 0)
        if own == 0:
            continue
        choices = Choices(profile=profile, camera_scale=scale)
        of = wanted(seed * len(sets) + place, [level], choices, one_each=bool(kind.instruments))
        where = folder / (f"{level}-{profile}" if kind.instruments else level)
        for _ in bar(make(where, of, own), f"images of {level} level", own):
            pass
        found += read_labels(where)
    return found


def labelled(where: Path) -> "list[LabelledImage]":
    """Read labels: of a night's record only images on which a person said something."""
    from ..detectors.training.labelled import of_coco, read_labels

    record = record_of(where)
    if record.suffix != ".db" or not record.exists():
        return read_labels(where)
    from ..db.connection import open_reader
    from ..db.export.coco import coco

    reader = open_reader(record)
    try:
        images = of_coco(coco(reader), record.parent)
    finally:
        reader.dispose()
    said = [image for image in images if any(m.labelled for m in image.holes) or any(m.labelled for m in image.squares)]
    if not said:
        raise BadInput(f"nobody has labelled anything in {record}; see `epicycle label --help`")
    return said


def _start(kind: "Kind", labels: Path | None, weights: Path | None, afresh: bool) -> Path | None:
    from ..detectors.network_weights import shipped

    if weights is not None and afresh:
        raise BadInput("weights to train further and a fresh beginning cannot both be; leave one out")
    if weights is not None or labels is None or afresh:
        return weights
    own = shipped(kind.name)
    return own if own.exists() else None


def _shown(run: "Run") -> Iterator[float]:
    """Go through the training with a bar and the loss beside it; without a terminal, a line now and then."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as progress:
        bar, usual = progress.add_task("training", total=run.plan.steps), 0.0
        for done in run.steps():
            usual = done.loss if usual == 0.0 else 0.98 * usual + 0.02 * done.loss
            progress.update(bar, completed=done.step, description=f"training, loss {usual:.4f}")
            if not errors.is_terminal and (done.step % 100 == 0 or done.step == run.plan.steps):
                errors.print(f"step {done.step} of {run.plan.steps}, loss {usual:.4f}", highlight=False)
            yield done.loss


def _tell(run: "Run", after: Mapping[str, float]) -> None:
    table = Table(f"on {run.counts[1]} images held out", *(["before"] if run.before else []), "after")
    for name, value in after.items():
        earlier = [f"{run.before[name]:.4f}"] if run.before else []
        table.add_row(name, *earlier, f"{value:.4f}")
    console.print(table)


def bar(steps: Iterator[int], what: str, total: int) -> Iterator[int]:
    """Go through steps that say how many are done, with a bar where there is a terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as progress:
        yield from progress.track(steps, total=max(total, 1), description=what)
