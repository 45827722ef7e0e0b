"""The training loop that all networks share: seeded, with checkpoints, and the same to the bit when resumed.

What a step learns from is drawn from a generator of its own, seeded by the run's seed and the step's number; so a run
that was cut off and goes on needs no other memory than weights and optimizer.
"""

import io
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from ...files.atomic import write_bytes
from ...protocols.errors import BadInput

CHECKPOINT = "checkpoint.pt"
_WARM_UP = 0.05
_LAST_RATE = 0.02
_LONGEST_GRADIENT = 1.0

Batch = tuple[Tensor, ...]


class Task(Protocol):
    """What a network is trained for."""

    architecture: str

    def network(self) -> nn.Module:
        """Make the network, its weights drawn from torch's generator, which is seeded before."""
        ...

    def draw(self, rng: np.random.Generator, size: int) -> Batch:
        """Draw what one step learns from."""
        ...

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        """Say how wrong the network is on a batch, one number."""
        ...

    def settle(self, network: nn.Module) -> None:
        """Do what follows the last step, such as calibration; the network is in evaluation mode."""
        ...

    def metrics(self, network: nn.Module) -> Mapping[str, float]:
        """Judge the network, in evaluation mode, by the images that were held out."""
        ...


@dataclass(frozen=True, slots=True)
class Plan:
    """How to train: a run is fixed by its plan and its images."""

    seed: int
    steps: int
    batch: int
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    checkpoint_every: int = 100


@dataclass(frozen=True, slots=True)
class Progress:
    """One step done; ``step`` counts from 1."""

    step: int
    loss: float


def device_of(name: str) -> torch.device:
    """Give the device that a person named.

    Raises
    ------
    BadInput
        There is no such device here.
    """
    if name not in ("cpu", "cuda"):
        raise BadInput(f"there is no device called {name}; there are cpu and cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise BadInput("torch sees no CUDA device here; train with --device cpu, or install a torch built for CUDA")
    return torch.device(name)


def fresh(task: Task, seed: int) -> nn.Module:
    """Make a task's network; the same seed gives the same weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return task.network()


def train(
    task: Task, network: nn.Module, plan: Plan, folder: Path, device: torch.device, until: int | None = None
) -> Iterator[Progress]:
    """Train in place, going on from the folder's checkpoint if it is of the same plan; yields after each step.

    Parameters
    ----------
    until
        Stop after this step as if cut off there; None goes to the plan's end.

    Raises
    ------
    BadInput
        The folder's checkpoint is of another plan or cannot be read.
    """
    if plan.steps < 1 or plan.batch < 1:
        raise BadInput("a training of no steps or empty batches is none; ask for one at least")
    network.to(device).train()
    optimizer = torch.optim.AdamW(network.parameters(), plan.learning_rate, weight_decay=plan.weight_decay)
    done = _resumed(task, network, optimizer, plan, folder)
    last = plan.steps if until is None else min(until, plan.steps)
    for step in range(done, last):
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([plan.seed, step])))
        batch = tuple(part.to(device) for part in task.draw(rng, plan.batch))
        for group in optimizer.param_groups:
            group["lr"] = plan.learning_rate * _rate(step / plan.steps)
        optimizer.zero_grad(set_to_none=True)
        loss = task.loss(network, batch)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), _LONGEST_GRADIENT)
        optimizer.step()
        if (step + 1) % plan.checkpoint_every == 0 or step + 1 == last:
            _keep(task, network, optimizer, plan, folder, step + 1)
        yield Progress(step + 1, float(loss.detach()))
    network.eval()


def _rate(part: float) -> float:
    """Give the learning rate over the plan's: up within the first steps, then down along a cosine."""
    warm = min(1.0, (part + 1e-3) / _WARM_UP)
    return warm * (_LAST_RATE + (1 - _LAST_RATE) * 0.5 * (1 + math.cos(math.pi * part)))


def _keep(
    task: Task, network: nn.Module, optimizer: torch.optim.Optimizer, plan: Plan, folder: Path, step: int
) -> None:
    body = {
        "architecture": task.architecture,
        "plan": asdict(plan),
        "step": step,
        "network": network.state_dict(),
        "optimizer": optimizer.state_dict(),
    }
    packed = io.BytesIO()
    torch.save(body, packed)
    folder.mkdir(parents=True, exist_ok=True)
    write_bytes(folder / CHECKPOINT, packed.getvalue())


def _resumed(task: Task, network: nn.Module, optimizer: torch.optim.Optimizer, plan: Plan, folder: Path) -> int:
    """Take up a checkpoint; answers how many steps are done."""
    path = folder / CHECKPOINT
    if not path.exists():
        return 0
    try:
        kept: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        mine = (task.architecture, asdict(plan))
        if (kept["architecture"], kept["plan"]) != mine:
            raise BadInput(
                f"{folder} holds a training of {kept['architecture']} by another plan ({kept['plan']}); go on with "
                "the same, or name another folder"
            )
        network.load_state_dict(kept["network"])
        optimizer.load_state_dict(kept["optimizer"])
        return int(kept["step"])
    except BadInput:
        raise
    except Exception as error:  # what torch raises on a damaged file depends on the damage
        raise BadInput(f"{path} cannot be read as a checkpoint: {str(error).splitlines()[0]}; remove it") from error
