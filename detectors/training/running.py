"""One training from labelled images to weights with their card: what every kind of network has in common."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path

import torch
from torch import nn

from .. import network_weights
from .card import Card, write_card
from .labelled import LabelledImage, splits
from .loop import CHECKPOINT, Plan, Progress, Task, device_of, fresh, train

HELD_OUT = 0.2
"""Share of the specimens that no network learns from."""

_MOST_SPLITS = 200


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of network that can be trained.

    Attributes
    ----------
    name
        Of the weights' file, without ending.
    purpose, limits
        For the card: what it does, and what it was not trained for.
    levels
        Of the images it learns from.
    make
        Makes the task from the images to learn from and those to be judged by.
    steps, batch, learning_rate
        Unless a person says otherwise.
    instruments
        Profiles of the simulated instruments it learns from, and how far their cameras are scaled; then every image of
        a level shows a grid of its own. Empty is the usual instrument, several images of each grid.
    shows_enough
        Whether images show all that must be both learnt from and held out.
    """

    name: str
    purpose: str
    limits: str
    levels: tuple[str, ...]
    make: Callable[[Sequence[LabelledImage], Sequence[LabelledImage]], Task]
    steps: int
    batch: int
    learning_rate: float = 2e-3
    instruments: tuple[tuple[str, float], ...] = ()
    shows_enough: Callable[[Sequence[LabelledImage]], bool] = bool


@dataclass
class Run:
    """A training that is under way; made by `prepared`, gone through by `steps`, ended by `finish`."""

    kind: Kind
    task: Task
    network: nn.Module
    plan: Plan
    folder: Path
    device: torch.device
    data: str
    counts: tuple[int, int]
    before: Mapping[str, float] = field(default_factory=dict)

    def steps(self) -> Iterator[Progress]:
        """Train, going on from the folder's checkpoint; yields after each step."""
        yield from train(self.task, self.network, self.plan, self.folder, self.device)

    def finish(self) -> tuple[Path, Card]:
        """Calibrate, judge, and write weights and card; answers where the weights lie, and the card."""
        self.network.eval()
        self.task.settle(self.network)
        kind, plan = self.kind, self.plan
        card = Card(
            kind.name, self.task.architecture, kind.purpose, sum(p.numel() for p in self.network.parameters()),
            self.data, *self.counts,
            {"seed": plan.seed, "steps": plan.steps, "batch": plan.batch, "learning_rate": plan.learning_rate},
            dict(self.task.metrics(self.network)), dict(self.before), kind.limits,
        )  # fmt: skip
        path = self.folder / f"{kind.name}.safetensors"
        network_weights.save(self.network, path, self.task.architecture, {"commit": card.commit})
        write_card(self.folder, card)
        (self.folder / CHECKPOINT).unlink(missing_ok=True)
        return path, card


def prepared(
    kind: Kind, images: Sequence[LabelledImage], data: str, plan: Plan, folder: Path, device: str, start: Path | None
) -> Run:
    """Split the images, make the network, and judge the weights to start from, if there are any.

    Parameters
    ----------
    data
        Where the images are from, for the card.
    start
        Weights to train further; None begins afresh.

    Raises
    ------
    BadInput
        The images cannot be split or show nothing to learn, the device is not there, or the weights are of another
        network.
    """
    on = device_of(device)
    learnt, judged = _split([image for image in images if _fits(image, kind)], kind, plan.seed)
    task = kind.make(learnt, judged)
    network = fresh(task, plan.seed).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    before: Mapping[str, float] = {}
    if start is not None:
        network_weights.load(network, start, task.architecture)
        before = dict(task.metrics(network))
        network.requires_grad_(True)
    return Run(kind, task, network, plan, folder, on, data, (len(learnt), len(judged)), before)


def _split(images: Sequence[LabelledImage], kind: Kind, seed: int) -> tuple[list[LabelledImage], list[LabelledImage]]:
    """Hold specimens out; where few show what is rare, such that it is learnt from and held out."""
    made = islice(splits(images, HELD_OUT, seed), _MOST_SPLITS)
    first = next(made)
    return next((parts for parts in chain([first], made) if all(map(kind.shows_enough, parts))), first)


def _fits(image: LabelledImage, kind: Kind) -> bool:
    return image.level in ("", *kind.levels)
