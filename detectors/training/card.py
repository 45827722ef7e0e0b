"""The model card beside trained weights: from which data, by which seed, how good, by which code; JSON and Markdown."""

import json
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ... import __version__
from ...files.atomic import write_bytes


@dataclass(frozen=True, slots=True)
class Card:
    """What there is to know of a set of weights.

    Attributes
    ----------
    name, architecture
        The weights' file without ending, and the network they are for.
    purpose
        One sentence: what goes in and what comes out.
    parameters
        How many numbers are trained.
    data
        Where the images are from.
    images, held_out
        How many examples were learnt from, and how many the metrics are from.
    plan
        Seed, steps, batch, learning rate.
    metrics
        On the images held out.
    before
        The same before training, where weights were trained further.
    limits
        What it was not trained for.
    examples
        What is counted.
    """

    name: str
    architecture: str
    purpose: str
    parameters: int
    data: str
    images: int
    held_out: int
    plan: Mapping[str, float]
    metrics: Mapping[str, float]
    before: Mapping[str, float] = field(default_factory=dict)
    limits: str = ""
    examples: str = "images"
    version: str = __version__
    commit: str = field(default_factory=lambda: commit_of(Path(__file__).parent))


def commit_of(folder: Path) -> str:
    """Name the commit of the code that runs; ``not known`` for an installation without its history."""
    try:
        asked = subprocess.run(
            ["git", "-C", str(folder), "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return "not known"
    return asked.stdout.strip() if asked.returncode == 0 and asked.stdout.strip() else "not known"


def write_card(folder: Path, card: Card) -> list[Path]:
    """Write ``NAME.json`` and ``NAME.md`` beside the weights."""
    paths = [folder / f"{card.name}.json", folder / f"{card.name}.md"]
    write_bytes(paths[0], json.dumps(asdict(card), indent=1, ensure_ascii=False).encode() + b"\n")
    write_bytes(paths[1], markdown(card).encode())
    return paths


def markdown(card: Card) -> str:
    """Write the card as Markdown."""
    plan = ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in card.plan.items())
    lines = [
        f"# {card.name}", "", card.purpose, "",
        f"- Network: {card.architecture}, {card.parameters:,} parameters",
        f"- Data: {card.data}; {card.images} {card.examples}, {card.held_out} held out",
        f"- Training: {plan}",
        f"- Code: epicycle {card.version}, commit {card.commit}",
    ]  # fmt: skip
    if card.limits:
        lines += [f"- Limits: {card.limits}"]
    lines += ["", f"| on the {card.examples} held out | before | after |", "|---|---|---|"]
    for name, value in card.metrics.items():
        earlier = f"{card.before[name]:.4f}" if name in card.before else "–"
        lines.append(f"| {name} | {earlier} | {value:.4f} |")
    return "\n".join(lines) + "\n"
