"""Openings and folds in the film: tears with their flaps, cracks with their branches, wrinkles."""

from dataclasses import dataclass

import cv2
import numpy as np

from .cells import Floats

CORNERS, TEAR_WAVES = 96, 20


@dataclass(frozen=True, slots=True)
class Tear:
    """An opening in the film, outline (n, 2) in the grid's frame, with the film rolled up along its edge.

    ``flap_um`` is the outline of film that has folded over and lies doubled beside the opening; None where none does.
    """

    outline_um: Floats
    fold_um: float
    flap_um: Floats | None = None

    def opens(self, x_um: float, y_um: float) -> bool:
        """Whether a place lies in the opening."""
        return inside(self.outline_um, x_um, y_um)

    def holds(self, x_um: float, y_um: float) -> bool:
        """Whether a place lies inside, or under the flap."""
        folded = self.flap_um is not None and inside(self.flap_um, x_um, y_um)
        return folded or self.opens(x_um, y_um)


@dataclass(frozen=True, slots=True)
class Ridge:
    """A wrinkle: a line (n, 2) in the grid's frame along which the film stands up, ``layers`` times more of it."""

    line_um: Floats
    width_um: float
    layers: float


def tear_of(rng: np.random.Generator, centre: Floats, opening: float) -> Tear:
    """Draw a tear; one in four takes most of the square with it, and one in two leaves a flap."""
    broken = rng.random() < 0.25
    middle = centre + rng.uniform(-0.08 if broken else -0.25, 0.08 if broken else 0.25, 2) * opening
    radius = opening * (rng.uniform(0.38, 0.52) if broken else rng.uniform(0.1, 0.34))
    outline = ragged(rng, middle, radius, 0.3, TEAR_WAVES, falling=1.25)
    flap = _flap(rng, outline, middle, radius) if rng.random() < 0.5 else None
    return Tear(outline, opening * rng.uniform(0.004, 0.02), flap)


def crack_of(rng: np.random.Generator, centre: Floats, opening: float) -> list[Tear]:
    """Draw a crack, and sometimes a branch of it."""
    turn = rng.uniform(0, 2 * np.pi)
    step = opening * rng.uniform(0.05, 0.09)
    first = _course(rng, turn, step, 9)
    first += centre + rng.uniform(-0.3, 0.3, 2) * opening - first.mean(axis=0)
    found = [Tear(_gaping(rng, first, opening), 0.003 * opening)]
    if rng.random() < 0.45:
        start = int(rng.integers(2, 7))
        away = _course(rng, turn + rng.choice([-1.0, 1.0]) * rng.uniform(0.6, 1.3), 0.7 * step, 6)
        found.append(Tear(_gaping(rng, away - away[0] + first[start], 0.7 * opening), 0.003 * opening))
    return found


def ridge_of(
    rng: np.random.Generator, centre: Floats, turn: float, bend_per_um: float, width_um: float, length_um: float
) -> Ridge:
    """Lay a wrinkle through a place, bending sideways with the square of the distance, wavering a little."""
    along = np.linspace(-length_um / 2, length_um / 2, 257)
    c, s = np.cos(turn), np.sin(turn)
    phases = rng.uniform(0, 2 * np.pi, 3)
    waver = sum(
        np.sin(2 * np.pi * along / length + phase) for length, phase in zip((17.0, 7.0, 3.1), phases, strict=True)
    )
    across = bend_per_um * along**2 + 0.5 * width_um * waver
    line = centre + np.stack([c * along - s * across, s * along + c * across], axis=1)
    return Ridge(line, width_um, 2.5)


def ragged(
    rng: np.random.Generator,
    middle: Floats,
    radius: Floats | float,
    roughness: float,
    waves: int,
    corners: int = CORNERS,
    falling: float = 0.8,
) -> Floats:
    """Draw outlines (..., corners, 2) around middles (..., 2): circles with some random harmonics.

    The n-th harmonic is ``roughness / n ** falling`` high.
    """
    radius = np.asarray(radius)
    angle = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    order = np.arange(2, 2 + waves)
    height = rng.normal(0, roughness, (*radius.shape, waves)) / order**falling
    phase = rng.uniform(0, 2 * np.pi, (*radius.shape, waves))
    waved = height[..., None] * np.cos(order[:, None] * angle + phase[..., None])
    reach = radius[..., None] * np.maximum(1 + waved.sum(axis=-2), 0.15)
    return np.asarray(middle[..., None, :] + np.stack([np.cos(angle), np.sin(angle)], axis=-1) * reach[..., None])


def inside(outline: Floats, x_um: float, y_um: float) -> bool:
    """Whether a place lies in an outline (n, 2)."""
    return float(cv2.pointPolygonTest(outline.astype(np.float32), (float(x_um), float(y_um)), False)) >= 0


def _flap(rng: np.random.Generator, outline: Floats, middle: Floats, radius: float) -> Floats:
    """Turn a piece of what was torn out over its edge, so that it lies outside."""
    first = int(rng.integers(0, CORNERS))
    arc = outline[(first + np.arange(int(rng.integers(12, 26)))) % CORNERS]
    outwards = arc.mean(axis=0) - middle
    outwards /= max(float(np.linalg.norm(outwards)), 1e-9)
    reach = radius * rng.uniform(0.25, 0.6)
    tip = np.sin(np.linspace(0, np.pi, len(arc))) ** 0.6 * rng.uniform(0.7, 1.3, len(arc))
    lean = rng.uniform(-0.4, 0.4) * np.array([-outwards[1], outwards[0]])
    over = arc + (outwards + lean) * (reach * tip)[:, None]
    return np.concatenate([arc, over[::-1]])


def _course(rng: np.random.Generator, turn: float, step: float, steps: int) -> Floats:
    turns = turn + np.cumsum(rng.normal(0, 0.45, steps))
    return np.asarray(np.cumsum(np.stack([np.cos(turns), np.sin(turns)], axis=1), axis=0) * step)


def _rougher(rng: np.random.Generator, line: Floats) -> Floats:
    """Put two generations of points between those of a line, each a little beside it."""
    for share in (0.12, 0.1):
        step = np.diff(line, axis=0)
        beside = np.stack([-step[:, 1], step[:, 0]], axis=1) * rng.normal(0, share, (len(step), 1))
        finer = np.empty((2 * len(line) - 1, 2))
        finer[::2], finer[1::2] = line, line[:-1] + step / 2 + beside
        line = finer
    return line


def _gaping(rng: np.random.Generator, along: Floats, opening: float) -> Floats:
    along = _rougher(rng, along)
    steps = len(along)
    heading = np.gradient(along, axis=0)
    heading /= np.maximum(np.linalg.norm(heading, axis=1, keepdims=True), 1e-9)
    across = np.stack([-heading[:, 1], heading[:, 0]], axis=1)
    width = opening * 0.008 * np.sin(np.pi * (np.arange(steps) + 0.5) / steps) * rng.uniform(0.5, 1.5, steps)
    return np.concatenate([along + across * width[:, None], (along - across * width[:, None])[::-1]])
