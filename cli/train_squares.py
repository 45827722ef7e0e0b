"""Training the judges of squares: from simulated atlases, or further on a facility's own labels."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.table import Table

from ..protocols.errors import BadInput
from .terminal import console
from .train import Device, Labels, Out, Seed, Simulated, Start, bar, labelled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..detectors.square_models import SquareModels
    from ..detectors.training.card import Card
    from ..detectors.training.square_examples import Sheet

NAME = "square-scores"
PURPOSE = (
    "Judges openings of the mesh on atlases: a probability for each of six classes, from the crop and the numbers "
    "measured on it (boosted trees), or from seven statistics (random forest, logistic regression)."
)
LIMITS = (
    "Openings cut by the image's border are not judged. Trained on square, hexagonal and other meshes of carbon and "
    "gold as the simulator draws them, 300 to 5000 Å per pixel; a grid that is dry or thick all over is judged by what "
    "its own squares show, no empty reference being known."
)


def squares(context: typer.Context) -> None:
    """Say what there is to train about squares: how they are judged, not how they are found."""
    raise BadInput(
        "squares are found without anything that could be trained; what is trained is how they are judged: use "
        f"`epicycle train square-scores {' '.join(context.args) or '--labels PATH -o FOLDER'}`"
    )


def square_scores(
    out: Out,
    from_simulator: Simulated = None,
    labels: Labels = None,
    device: Device = "cpu",
    seed: Seed = 0,
    weights: Start = None,
) -> None:
    """Train the judges of squares; what was prepared before a run was cut off is not prepared again."""
    if (from_simulator is None) == (labels is None):
        raise BadInput("say what to learn from: either --from-simulator N or --labels PATH")
    if device != "cpu":
        raise BadInput(f"trees are grown on the processor, not on {device}; leave --device out")
    from ..detectors.square_models import SHIPPED, load_models, save_models
    from ..detectors.training import square_scores as training
    from ..detectors.training.card import write_card
    from ..detectors.training.square_examples import examples_of

    sheets = out / "examples"
    if labels is None:
        assert from_simulator is not None
        examples = examples_of(list(_simulated(sheets, from_simulator, seed)))
        models, metrics, learnt = training.trained(examples, seed)
        before: dict[str, float] = {}
        seeds = f"seeds {seed} to {seed + from_simulator - 1}"
        data = f"simulated atlases, {seeds}, as taken and as another camera gives them, each fifth held out in turn"
        counts = learnt, learnt
    else:
        examples = examples_of(list(_of_labels(labels)))
        start = load_models(weights or SHIPPED)
        models, before, metrics = training.moved(start, examples, seed)
        counts, data = training.split(examples, seed), f"labels of {labels.name}"
    path = out / f"{NAME}.safetensors"
    save_models(models, path, {"data": data, "seed": str(seed)})
    card = _card(models, data, seed, counts, before, metrics)
    _tell(card)
    for written in (path, *write_card(out, card)):
        console.print(str(written), markup=False, highlight=False, soft_wrap=True)


def _simulated(folder: Path, count: int, seed: int) -> "Iterator[Sheet]":
    """Prepare the sheets of simulated scenes, those that are not there yet: two of each scene."""
    from ..detectors.training.square_examples import load_sheet, save_sheet

    folder.mkdir(parents=True, exist_ok=True)
    looks = [(folder / f"{one:06d}.npz", folder / f"{one:06d}-other.npz") for one in range(seed, seed + count)]

    def prepared() -> "Iterator[int]":
        for done, paths in enumerate(looks):
            if not all(path.exists() for path in paths):
                for path, sheet in zip(paths, _sheets(seed + done), strict=True):
                    save_sheet(sheet, path)
            yield done + 1

    for _ in bar(prepared(), "simulated atlases", count):
        pass
    return (load_sheet(path) for paths in looks for path in paths)


def _sheets(seed: int) -> "tuple[Sheet, Sheet]":
    """Draw a scene as it is and as another camera would give it; no picture is taken where no opening is whole."""
    import numpy as np

    from ..detectors.training.other_cameras import as_other_cameras
    from ..detectors.training.square_examples import empty_sheet, sheet_of
    from .square_scenes import set_scene

    group, ready = f"scene {seed}", set_scene(seed)
    if not ready.shows_whole:
        return empty_sheet(group), empty_sheet(group)
    scene = ready.taken()
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, 5])))
    other = as_other_cameras(rng, scene.pixels)
    return sheet_of(scene.pixels, scene.marks, group), sheet_of(other, scene.marks, group)


def _of_labels(where: Path) -> "Iterator[Sheet]":
    from ..detectors.training.square_examples import sheet_of

    # What a finder said of the other squares of an atlas is no label.
    said = [(image, [mark for mark in image.squares if mark.labelled]) for image in labelled(where)]
    images = [(image, marks) for image, marks in said if marks]
    if not images:
        raise BadInput(f"{where} labels no square")
    return (sheet_of(image.pixels(), marks, image.group) for image, marks in images)


def _card(
    models: "SquareModels",
    data: str,
    seed: int,
    counts: tuple[int, int],
    before: dict[str, float],
    metrics: dict[str, float],
) -> "Card":
    from ..detectors.square_models import ARCHITECTURE
    from ..detectors.training.card import Card
    from ..detectors.training.square_scores import FOREST, LEAVES, RATE, ROUNDS

    numbers = sum(array.size for array in models.arrays().values())
    plan = {"seed": seed, "rounds": ROUNDS, "learning_rate": RATE, "leaves": LEAVES, "forest_trees": FOREST}
    return Card(NAME, ARCHITECTURE, PURPOSE, numbers, data, *counts, plan, metrics, before, LIMITS, "squares")


def _tell(card: "Card") -> None:
    table = Table(f"on {card.held_out} squares held out", *(["before"] if card.before else []), "after")
    for name, value in card.metrics.items():
        earlier = [f"{card.before[name]:.3f}"] if name in card.before else [""] if card.before else []
        table.add_row(name, *earlier, f"{value:.3f}")
    console.print(table)
