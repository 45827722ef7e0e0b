"""Which grids are good, how sure that is, and why: the judgement that report, live view and closing table share.

The number behind it is the share of exposures that would be usable if the grid were collected. Each exposure judged is
a coin tossed; exposures of one square resemble each other, so n of them in one square count as n / (1 + (n - 1) ρ)
coins (the design effect of cluster sampling), with a flat prior. ρ is measured: 0.25 for "better than 5 or 6 Å" over
3,542 exposures in 25 squares of the recorded aldolase session. The verdict is where most of the posterior lies, and
its probability is how much of it lies there. Grids stand in the order of verdict, then of the expected share of usable
exposures divided by their median fit resolution: much and sharp first.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from statistics import median

from scipy.special import betainc, betaincinv

from .night import ExposureView, GridView, SquareView

LIKENESS = 0.25
"""Correlation of "usable" between two exposures of one square (see above)."""
COLLECT_ABOVE = 0.5
CARE_ABOVE = 0.2
"""Shares of usable exposures from which a grid is worth collecting, or worth it with care in the choice of squares."""
INTERVAL = 0.9
NOT_THE_GRID = frozenset({"black", "during-refill"})
"""Flags of exposures that say something of the microscope and nothing of the grid."""


class Verdict(StrEnum):
    """What to do with a grid."""

    COLLECT = "collect"
    CARE = "collect with care"
    REMAKE = "remake"
    NO_DATA = "no data"


@dataclass(frozen=True, slots=True)
class Spread:
    """Middle and ends of some measured numbers."""

    median: float
    low: float
    high: float
    count: int


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a grid stands, with the numbers it rests on.

    ``share`` is the expected share of usable exposures and ``low`` to ``high`` its 90 % interval; ``probability`` is
    that of the verdict. All are None without a judged exposure. ``judged`` counts exposures with a verdict, ``shots``
    all that were taken; ``waiting`` those still to be analysed. ``left`` counts good squares not yet visited.
    """

    grid: GridView
    rank: int
    verdict: Verdict
    probability: float | None
    share: float | None
    low: float | None
    high: float | None
    shots: int
    judged: int
    usable: int
    waiting: int
    resolution_a: Spread | None
    ice_nm: Spread | None
    good_squares: int
    left: int

    @property
    def best_a(self) -> float | None:
        """The best fit resolution reached, in Å."""
        return None if self.resolution_a is None else self.resolution_a.low


def rank(grids: Sequence[GridView]) -> tuple[Standing, ...]:
    """Judge every grid and put the best first; those without data come last, by slot."""
    standings = sorted((judge(grid) for grid in grids), key=_order)
    return tuple(replace(standing, rank=place) for place, standing in enumerate(standings, 1))


def judge(grid: GridView) -> Standing:
    """Judge one grid from its exposures, or from its atlas when nothing on it was worth an exposure."""
    shots = grid.exposures
    taken = [shot for shot in shots if shot.status == "done"]
    judged = [shot for shot in taken if _judged(shot)]
    good = [square for square in grid.squares if is_good(square)]
    coins, heads = _coins(grid)
    verdict, probability = _verdict(heads, coins - heads) if judged else (_without_data(grid, good), None)
    a, b = 1 + heads, 1 + coins - heads
    edge = (1 - INTERVAL) / 2
    return Standing(
        grid=grid,
        rank=0,
        verdict=verdict,
        probability=probability,
        share=a / (a + b) if judged else None,
        low=float(betaincinv(a, b, edge)) if judged else None,
        high=float(betaincinv(a, b, 1 - edge)) if judged else None,
        shots=len(taken),
        judged=len(judged),
        usable=sum(1 for shot in judged if shot.usable),
        waiting=sum(1 for shot in taken if shot.usable is None and shot.analysis == "waiting"),
        resolution_a=spread("fit_resolution_a", taken),
        ice_nm=spread("ice_nm", taken),
        good_squares=len(good),
        left=sum(1 for square in good if not square.visited),
    )


def is_good(square: SquareView) -> bool:
    """Whether a square looks worth a visit from the atlas."""
    return square.category == "good" and not square.partial


def spread(name: str, shots: Sequence[ExposureView]) -> Spread | None:
    """Describe a measure over some exposures; None where none has it."""
    values = sorted(shot.measures[name] for shot in shots if name in shot.measures)
    return Spread(median(values), values[0], values[-1], len(values)) if values else None


def _judged(shot: ExposureView) -> bool:
    return shot.status == "done" and shot.usable is not None and NOT_THE_GRID.isdisjoint(shot.flags)


def _coins(grid: GridView) -> tuple[float, float]:
    """Count the independent tosses, and the heads among them, after the likeness within squares."""
    coins = heads = 0.0
    for square in grid.squares:
        judged = [shot for shot in square.exposures if _judged(shot)]
        if judged:
            weight = 1 / (1 + (len(judged) - 1) * LIKENESS)
            coins += len(judged) * weight
            heads += sum(1 for shot in judged if shot.usable) * weight
    return coins, heads


def _verdict(heads: float, tails: float) -> tuple[Verdict, float]:
    below_care, below_collect = (float(betainc(1 + heads, 1 + tails, edge)) for edge in (CARE_ABOVE, COLLECT_ABOVE))
    masses = {
        Verdict.COLLECT: 1 - below_collect,
        Verdict.CARE: below_collect - below_care,
        Verdict.REMAKE: below_care,
    }
    best = max(masses, key=lambda verdict: masses[verdict])
    return best, masses[best]


def _without_data(grid: GridView, good: Sequence[SquareView]) -> Verdict:
    """Judge on the atlas alone: a grid surveyed to its end without a square worth a visit has to be made again."""
    surveyed = any(atlas.image is not None for atlas in grid.atlases)
    hopeless = surveyed and not good and grid.status == "screened"
    return Verdict.REMAKE if hopeless else Verdict.NO_DATA


def _order(standing: Standing) -> tuple[float, ...]:
    places = list(Verdict)
    sharpness = 0.0 if standing.resolution_a is None else (standing.share or 0.0) / standing.resolution_a.median
    return (places.index(standing.verdict), -sharpness, -(standing.share or 0.0), -standing.left, standing.grid.slot)
