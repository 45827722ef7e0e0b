"""Which grids are good, how sure that is, and why, in words.

A grid is judged by the share of its exposures that would be usable if it were collected. Several of one hole tell of
the same ice and count as one; those of one square resemble each other, so n judged ones in a square count as
n / (1 + (n - 1) ρ) independent ones (the design effect of cluster sampling; Kish, Survey Sampling, 1965), and the share
has a Beta posterior over a flat prior. The verdict follows from how much of it lies above two shares. Grids stand in
the order of verdict, then of expected share over median fit resolution: much and sharp first.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from scipy.special import betainc, betaincinv

from .querying import Reader
from .summary import GridSummary, grids

LIKENESS = 0.25
"""ρ: correlation of "usable" between two exposures of one square, about what the recorded aldolase session shows."""

COLLECT_ABOVE = 0.5
CARE_ABOVE = 0.2
"""Shares of usable exposures from which a grid is worth collecting, or worth it with care in the choice of squares."""

SURE = 0.8
"""How probable a share above an edge must be before a grid is said to be worth collecting, or worth it with care."""

INTERVAL = 0.9

BLAME = {
    "thick": "ice too thick",
    "dry": "holes dry",
    "no-fit": "no rings to fit",
    "poor-fit": "fit too coarse",
    "unsure-fit": "fit not to be trusted",
    "moved": "too much motion",
    "astigmatic": "astigmatic",
    "off-focus": "off focus",
    "crystalline": "crystalline ice",
    "not-analysed": "analysis failed",
}
"""Short words of blame, in words for people."""

_HOPELESS = {
    "broken_or_dry": "dry or broken",
    "small_or_thick": "small or thick",
    "contaminated": "contaminated",
    "cracked": "cracked",
    "partial": "cut by the border",
}


class Verdict(StrEnum):
    """What to do with a grid."""

    COLLECT = "collect"
    CARE = "collect with care"
    UNSURE = "screen more"
    REMAKE = "remake"
    NO_DATA = "no data"


@dataclass(frozen=True, slots=True)
class Share:
    """Posterior of the share of usable exposures: mean, ends of the 90 % interval, and the verdict's probability."""

    mean: float
    low: float
    high: float
    verdict: Verdict
    probability: float


@dataclass(frozen=True, slots=True)
class RankedGrid:
    """One grid in its place; ``share`` is None without a judged exposure, ``reasons`` are words for people."""

    place: int
    grid: GridSummary
    verdict: Verdict
    share: Share | None
    reasons: tuple[str, ...]


def rank(reader: Reader) -> list[RankedGrid]:
    """Rank all grids, best first; those without data come after all that have some."""
    return ranked(grids(reader))


def ranked(summaries: Iterable[GridSummary]) -> list[RankedGrid]:
    """Rank grids already read."""
    judged = [(grid, posterior(grid.by_square) if grid.judged else None) for grid in summaries]
    lines = [(grid, share, _without_data(grid) if share is None else share.verdict) for grid, share in judged]
    lines.sort(key=lambda line: _order(*line))
    return [
        RankedGrid(place, grid, verdict, share, reasons(grid)) for place, (grid, share, verdict) in enumerate(lines, 1)
    ]


def posterior(by_square: Sequence[tuple[int, float]]) -> Share:
    """Judge from (judged, usable) holes of each square."""
    coins = heads = 0.0
    for judged, usable in by_square:
        weight = 1 / (1 + (judged - 1) * LIKENESS)
        coins += judged * weight
        heads += usable * weight
    a, b = 1 + heads, 1 + coins - heads
    below_care, below_collect = (float(betainc(a, b, edge)) for edge in (CARE_ABOVE, COLLECT_ABOVE))
    verdict, probability = _decided(1 - below_collect, below_care)
    edge = (1 - INTERVAL) / 2
    low, high = float(betaincinv(a, b, edge)), float(betaincinv(a, b, 1 - edge))
    return Share(a / (a + b), low, high, verdict, probability)


def _decided(collect: float, remake: float) -> tuple[Verdict, float]:
    """Decide by the probabilities that a grid is worth collecting, and that it is not even worth it with care.

    Saying "collect" commits a day of microscope time, so it takes more than a coin's toss, with care or without: three
    exposures of one square, none of them usable, are no ground for either.
    """
    if collect >= SURE:
        return Verdict.COLLECT, collect
    if remake > 0.5:
        return Verdict.REMAKE, remake
    return (Verdict.CARE if 1 - remake >= SURE else Verdict.UNSURE), 1 - remake


def reasons(grid: GridSummary) -> tuple[str, ...]:
    """Say why a grid stands where it does; what was not measured is not said."""
    said = _of_exposures(grid) if grid.exposures else [_of_the_rest(grid)]
    if grid.reason and grid.exposures and grid.status in ("failed", "skipped", "screened"):
        said.append(grid.reason)
    return tuple(said)


def _of_exposures(grid: GridSummary) -> list[str]:
    said = []
    if grid.judged:
        blame = _blame(grid)
        usable = f"{grid.usable} of {grid.judged} exposures usable"
        said.append(f"{blame}: {grid.usable} of {grid.judged} usable" if blame else usable)
    if grid.waiting:
        said.append(f"{grid.waiting} not analysed yet")
    if not grid.judged and not grid.waiting:
        said.append(f"{grid.exposures} exposures, none could be judged")
    if grid.median_fit_a is not None:
        said.append(f"median fit {grid.median_fit_a:.1f} Å")
    if grid.median_ice_nm is not None:
        said.append(f"ice {grid.median_ice_nm:.0f} nm")
    return said


def _blame(grid: GridSummary) -> str:
    """Name what most of the unusable exposures suffer from, when most are unusable and it is one thing."""
    unusable = grid.judged - grid.usable
    if 2 * unusable <= grid.judged or not grid.flags:
        return ""
    # Of equally frequent words the one that explains the others: thick ice leaves no rings to fit.
    known = [*BLAME]
    flag, times = max(grid.flags.items(), key=lambda item: (item[1], -_index(known, item[0])))
    return BLAME.get(flag, flag.replace("-", " ")) if 2 * times > unusable else ""


def _index(known: Sequence[str], word: str) -> int:
    return known.index(word) if word in known else len(known)


def _of_the_rest(grid: GridSummary) -> str:
    match grid.status:
        case "empty":
            return "slot empty"
        case "waiting":
            return "not reached yet"
        case "failed" if grid.loads == 0:
            return f"not loaded: {grid.reason}" if grid.reason else "not loaded"
        case "failed" | "skipped" if grid.reason:
            return grid.reason if grid.status == "failed" else f"skipped: {grid.reason}"
    if grid.squares and (hopeless := _hopeless(grid.categories)):
        return f"every square {hopeless}"
    if grid.status in ("loading", "loaded"):
        return "on the stage, nothing exposed yet"
    if not grid.squares:
        return grid.reason or "no square found"
    return grid.reason or ("no hole found" if grid.squares_visited and not grid.holes else "surveyed, nothing exposed")


def _hopeless(categories: Mapping[str, int]) -> str:
    """Say what is wrong with all squares; empty where one is good."""
    if "good" in categories:
        return ""
    words = [_HOPELESS.get(name, name.replace("_", " ")) for name in sorted(categories, key=lambda n: -categories[n])]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _without_data(grid: GridSummary) -> Verdict:
    """Judge on the atlas alone: screened to its end without a good square, a grid has to be made again."""
    hopeless = grid.status == "screened" and grid.squares > 0 and not grid.exposures and "good" not in grid.categories
    return Verdict.REMAKE if hopeless else Verdict.NO_DATA


def _order(grid: GridSummary, share: Share | None, verdict: Verdict) -> tuple[float, ...]:
    if share is None:
        return (1, [*Verdict].index(verdict), grid.status == "empty", 0.0, 0.0, grid.slot)
    sharpness = 0.0 if grid.median_fit_a is None else share.mean / grid.median_fit_a
    return (0, [*Verdict].index(verdict), -sharpness, -share.mean, -grid.good_left, grid.slot)
