"""What has settled on the film: ice crystals, heaps of dirt, dark clumps, drops of ethane, fern-like growths."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .cells import Floats
from .tears import Tear, ragged

DIRT_CORNERS = 24

HEXAGONAL, CUBIC = 0.35, 0.12
"""Shares of lone grains that are crystals with six and with four sides; assumed."""

SOOT_NM = 1500.0
"""What dark clumps hold back, as so much ice; assumed."""


@dataclass(frozen=True, slots=True)
class Dirt:
    """Ice crystals and other grains, one array element each.

    Attributes
    ----------
    middle_um
        Shape (n, 2), grid's frame.
    radius_um
        Mean radius.
    outline_um
        Shape (n, corners, 2).
    water_nm
        Thickness, as that of so much ice.
    """

    middle_um: Floats
    radius_um: Floats
    outline_um: Floats
    water_nm: Floats

    def where(self, which: NDArray[np.bool_]) -> "Dirt":
        """Keep some of them."""
        return Dirt(self.middle_um[which], self.radius_um[which], self.outline_um[which], self.water_nm[which])


@dataclass(frozen=True, slots=True)
class Fern:
    """A dendrite: round grains (n, 2) of these radii along its branches, in the grid's frame, all equally thick."""

    middle_um: Floats
    radius_um: Floats
    water_nm: float


def grains_of(rng: np.random.Generator, centre: Floats, opening: float, heaps: int) -> Dirt:
    """Draw grains: most lie alone, some in heaps; the outlines of all are drawn at once."""
    alone = rng.random(heaps) < 0.75
    grains = np.where(alone, 1, rng.integers(3, 12, heaps))
    heap = np.repeat(np.arange(heaps), grains)
    size = 0.12 * np.exp(0.8 * rng.standard_normal(heaps))
    spread = np.where(alone, 0.0, 1.1 * size * np.sqrt(grains - 1.0))
    middle = centre + rng.uniform(-0.5, 0.5, (heaps, 2)) * opening
    middle = middle[heap] + rng.standard_normal((heap.size, 2)) * spread[heap, None]
    radius = size[heap] * rng.uniform(0.6, 1.4, heap.size)
    water = 250.0 * np.exp(0.7 * rng.standard_normal(heaps))[heap]
    outline = ragged(rng, middle, radius, 0.15, 6, DIRT_CORNERS)
    sides = rng.random(heap.size)
    for number, low, high in ((6, 0.0, HEXAGONAL), (4, HEXAGONAL, HEXAGONAL + CUBIC)):
        which = alone[heap] & (sides >= low) & (sides < high)
        outline[which] = _crystals(rng, middle[which], radius[which], number)
    return Dirt(middle, radius, outline, water)


def clump_of(rng: np.random.Generator, centre: Floats, opening: float) -> Dirt:
    """Draw a dark clump: grains that stuck to one another, each to one that was there before."""
    count = int(rng.integers(12, 45))
    size = 0.16 * np.exp(0.35 * rng.standard_normal())
    radius = size * rng.uniform(0.7, 1.5, count)
    middle = np.zeros((count, 2))
    turns = rng.uniform(0, 2 * np.pi, count)
    # Late grains stick to late ones rather than to the first: that makes arms.
    held = (np.arange(count) * rng.random(count) ** 0.4).astype(np.int64)
    for grain in range(1, count):
        step = 0.8 * (radius[grain] + radius[held[grain]])
        middle[grain] = middle[held[grain]] + step * np.array([np.cos(turns[grain]), np.sin(turns[grain])])
    middle += centre + rng.uniform(-0.42, 0.42, 2) * opening
    return Dirt(middle, radius, ragged(rng, middle, radius, 0.15, 6, DIRT_CORNERS), np.full(count, SOOT_NM))


def shreds_of(rng: np.random.Generator, tear: Tear) -> Dirt:
    """Draw scraps of film rolled up at the edge of a tear."""
    size = np.ptp(tear.outline_um, axis=0).max()
    count = int(rng.integers(0, 5 + int(size / 4)))
    middle = tear.outline_um[rng.integers(0, len(tear.outline_um), count)]
    middle = middle + 0.02 * size * rng.standard_normal((count, 2))
    radius = np.minimum(size * rng.uniform(0.005, 0.035, count), 1.5)
    water = 300.0 * np.exp(0.6 * rng.standard_normal(count))
    return Dirt(middle, radius, ragged(rng, middle, radius, 0.3, 8, DIRT_CORNERS), water)


def scraps_of(rng: np.random.Generator, centre: Floats, opening: float) -> Dirt:
    """Draw what hangs on the bars where a square has lost its film."""
    count = int(rng.integers(3, 14))
    along, side = rng.uniform(-0.5, 0.5, count), rng.integers(0, 4, count)
    across = 0.5 - np.abs(rng.normal(0, 0.012, count))
    x = np.where(side < 2, along, np.where(side == 2, across, -across))
    y = np.where(side < 2, np.where(side == 0, across, -across), along)
    radius = np.minimum(0.9 * np.exp(0.6 * rng.standard_normal(count)), 0.08 * opening)
    middle = centre + opening * np.stack([x, y], axis=1)
    water = 120.0 * np.exp(0.7 * rng.standard_normal(count))
    return Dirt(middle, radius, ragged(rng, middle, radius, 0.3, 8, DIRT_CORNERS), water)


def drops_of(rng: np.random.Generator, centre: Floats, opening: float, count: int) -> Floats:
    """Draw drops of frozen ethane: place, radius and thickness (as ice, nm) of each, (n, 4)."""
    middle = centre + rng.uniform(-0.45, 0.45, (count, 2)) * opening
    radius = np.minimum(1.6 * np.exp(0.5 * rng.standard_normal(count)), 0.15 * opening)
    thick = radius * 1000.0 * rng.uniform(0.25, 0.5, count)
    return np.column_stack([middle, radius, thick])


def fern_of(rng: np.random.Generator, root: Floats, radius_um: float, outwards: float | None = None) -> Fern:
    """Grow a fern from the edge of a disc: stems outwards, twigs off the stems, grains along both.

    ``outwards`` is the direction in which most of it grows; None lets it grow all around, like a star.
    """
    stems = int(rng.integers(5, 11))
    around = rng.uniform(0, 2 * np.pi, stems) if outwards is None else outwards + rng.normal(0, 0.5, stems)
    length = rng.uniform(0.35, 1.1, stems) * (0.5 + 0.5 * radius_um)
    start = root + radius_um * np.stack([np.cos(around), np.sin(around)], axis=1) * (0.0 if outwards is None else 1.0)
    heading = around + rng.normal(0, 0.25, stems)
    stem, stem_at = _row(rng, start, heading, length)
    # One twig in three grains of a stem, leaning forward to either side.
    budding = rng.random(len(stem)) < 0.33
    side = np.where(rng.random(int(budding.sum())) < 0.5, -1.0, 1.0) * rng.uniform(0.6, 1.1, int(budding.sum()))
    reach = 0.45 * length[stem_at[budding]] * rng.random(int(budding.sum()))
    twigs, _ = _row(rng, stem[budding], heading[stem_at[budding]] + side, reach)
    middle = np.concatenate([stem, twigs])
    return Fern(middle, 0.028 * np.exp(0.35 * rng.standard_normal(len(middle))), 420.0)


def joined(parts: Sequence[Dirt]) -> Dirt:
    """Put grains together."""
    return Dirt(
        np.concatenate([part.middle_um for part in parts]),
        np.concatenate([part.radius_um for part in parts]),
        np.concatenate([part.outline_um for part in parts]),
        np.concatenate([part.water_nm for part in parts]),
    )


def _row(rng: np.random.Generator, start: Floats, heading: Floats, length: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """Set grains along straight branches, a little beside them; also of which branch each is."""
    count = np.maximum((length / 0.065).astype(np.int64), 1)
    branch = np.repeat(np.arange(len(count)), count)
    along = 0.065 * (np.arange(len(branch)) - np.repeat(np.cumsum(count) - count, count) + 0.5)
    way = np.stack([np.cos(heading), np.sin(heading)], axis=1)[branch]
    return start[branch] + way * along[:, None] + rng.normal(0, 0.012, (len(branch), 2)), branch


def _crystals(rng: np.random.Generator, middle: Floats, radius: Floats, sides: int) -> Floats:
    """Draw regular outlines with so many sides, turned at random."""
    angle = np.linspace(0, 2 * np.pi, DIRT_CORNERS, endpoint=False)
    half = np.pi / sides
    reach = np.cos(half) / np.cos(angle % (2 * half) - half) * 1.15
    turned = angle + rng.uniform(0, 2 * np.pi, len(radius))[:, None]
    return np.asarray(
        middle[:, None] + np.stack([np.cos(turned), np.sin(turned)], axis=-1) * (radius[:, None] * reach)[..., None]
    )
