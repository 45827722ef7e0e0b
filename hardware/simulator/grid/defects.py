"""The defects of one square, each with its own shape, drawn from the square's own generator."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .cassette_world import GridSpec
from .cells import Floats
from .dirt import Dirt, Fern, clump_of, drops_of, fern_of, grains_of, joined, scraps_of, shreds_of
from .openings import SquareKind, SquaresAt
from .tears import Ridge, Tear, crack_of, ridge_of, tear_of

__all__ = ["Defects", "Dirt", "Fern", "Ridge", "Tear", "defects_of"]

GOLD_FERNS, CARBON_FERNS = 1.5, 0.2
"""Ferns per square where nobody says how many: gold films grow them at the edges of holes; assumed."""

CLUMPS, CLUMPS_DIRTY = 0.12, 1.5
"""Dark clumps per ordinary and per contaminated square; assumed."""

HolesNear = Callable[[Floats], tuple[Floats, Floats]]
"""Answers the centres (n, 2) and radii of the holes next to places (n, 2)."""


@dataclass(frozen=True, slots=True)
class Defects:
    """All defects of one square; ``drops_um`` holds x, y, radius and thickness in nm of drops of ethane, (n, 4)."""

    tears: tuple[Tear, ...]
    ridges: tuple[Ridge, ...]
    dirt: Dirt
    ferns: tuple[Fern, ...]
    drops_um: Floats


def defects_of(
    seed: int, square: SquaresAt, opening_um: float, spec: GridSpec, gold: bool, holes_near: HolesNear | None
) -> Defects:
    """Draw the defects of one square (arrays of one element)."""
    i, j, kind = int(square.i[0]), int(square.j[0]), SquareKind(int(square.kind[0]))
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, i + 2**20, j + 2**20])))
    centre = np.array([square.x_um[0], square.y_um[0]])
    opening = opening_um * float(square.size[0])
    tears: list[Tear] = []
    if kind is SquareKind.TORN:
        tears += [tear_of(rng, centre, opening) for _ in range(1 + int(rng.random() < 0.3))]
    if kind is SquareKind.CRACKED:
        tears += [part for _ in range(1 + int(rng.random() < 0.5)) for part in crack_of(rng, centre, opening)]
    bare, dirty = kind is SquareKind.EMPTY, kind is SquareKind.CONTAMINATED
    many = 0.0 if bare else 18.0 + 4.0 * spec.crystals if dirty else spec.crystals
    grains = grains_of(rng, centre, opening, int(rng.poisson(many)))
    clumps = rng.poisson(CLUMPS_DIRTY if dirty else CLUMPS * min(spec.crystals / 3.0, 3.0) * (not bare))
    soot = [clump_of(rng, centre, opening) for _ in range(clumps)]
    drops = drops_of(rng, centre, opening, int(rng.poisson(spec.ethane * (4.0 if dirty else 1.0 - bare))))
    usual = GOLD_FERNS if gold else CARBON_FERNS
    growing = int(rng.poisson((usual if spec.dendrites is None else spec.dendrites) * (not bare)))
    ferns = tuple(
        fern for fern in _ferns(rng, centre, opening, growing, holes_near) if _lies(fern.middle_um[:1], tears)
    )
    # What lay on film that is gone has gone with it; scraps of the film hang at the edges.
    settled = joined([grains, *soot])
    lying = settled.where(_lies(settled.middle_um, tears))
    hanging = [scraps_of(rng, centre, opening)] if bare else []
    dirt = joined([lying, *hanging, *(shreds_of(rng, tear) for tear in tears)])
    growing_on = tuple(fern for fern in ferns if _lies(fern.middle_um[:1], tears).all())
    ridges = _ridges(rng, square, opening_um)
    return Defects(tuple(tears), ridges, dirt, growing_on, drops[_lies(drops[:, :2], tears)])


def _lies(places: Floats, tears: list[Tear]) -> NDArray[np.bool_]:
    """Say which places (n, 2) have film under them."""
    return np.array([not any(tear.opens(*place) for tear in tears) for place in places], bool)


def _ferns(
    rng: np.random.Generator, centre: Floats, opening: float, count: int, holes_near: HolesNear | None
) -> list[Fern]:
    """Grow ferns at the edges of holes, at bars, and as stars on the film."""
    if count == 0:
        return []
    places = centre + rng.uniform(-0.48, 0.48, (count, 2)) * opening
    kinds, turns = rng.random(count), rng.uniform(0, 2 * np.pi, count)
    at_holes = np.zeros(count, bool) if holes_near is None else kinds < 0.65
    middles, radii = places.copy(), np.full(count, 1.2)
    if holes_near is not None and at_holes.any():
        middles[at_holes], radii[at_holes] = holes_near(places[at_holes])
    found = []
    for place, radius, turn, at_hole, kind in zip(middles, radii, turns, at_holes, kinds, strict=True):
        if at_hole:
            found.append(fern_of(rng, place, float(radius), float(turn)))
        elif kind < 0.8:
            found.append(_at_bar(rng, centre, opening))
        else:
            found.append(fern_of(rng, place, float(radius)))
    return found


def _at_bar(rng: np.random.Generator, centre: Floats, opening: float) -> Fern:
    inwards = np.pi / 2 * int(rng.integers(0, 4))
    edge = centre - 0.5 * opening * np.array([np.cos(inwards), np.sin(inwards)])
    edge += rng.uniform(-0.35, 0.35) * opening * np.array([-np.sin(inwards), np.cos(inwards)])
    return fern_of(rng, edge, 0.8, inwards)


def _ridges(rng: np.random.Generator, square: SquaresAt, opening_um: float) -> tuple[Ridge, ...]:
    if square.wrinkle_slip_um[0] == 0.0:
        return ()
    centre = np.array([square.x_um[0] + square.wrinkle_x_um[0], square.y_um[0] + square.wrinkle_y_um[0]])
    turn, bend = float(square.wrinkle_turn[0]), float(square.wrinkle_bend[0])
    return (ridge_of(rng, centre, turn, bend, float(square.wrinkle_um[0]), 1.3 * opening_um),)
