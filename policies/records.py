"""What a policy sees and answers. A policy keeps nothing between calls: same view, same generator, same choice."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from numpy.random import Generator

Question = Literal["grids", "squares", "holes"]


@dataclass(frozen=True, slots=True)
class Offer:
    """Something that can be chosen: a grid, a square, a hole.

    ``category`` is the square's class or the hole's site; ``features`` are numbers by name: for squares ``area_um2``,
    ``mean``; for holes ``mean``, ``ice_nm``, ``radius_um``, ``distance_um`` (from the square's centre).
    """

    id: int
    number: int
    x_um: float
    y_um: float
    score: float
    category: str = ""
    features: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a hole of this session gave: measured values by name, and the verdict.

    Each hole is one outcome, however many shots it had, since they tell of the same ice: values are their means, and it
    is usable if half of them are.
    """

    hole_id: int
    square_id: int
    grid_id: int
    x_um: float
    y_um: float
    usable: bool | None
    measures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Limits:
    """What the protocol asks of every choice on this level. None: no limit, or as the policy sees fit.

    ``minimum_score`` is the finder's score; ``groups`` how many groups of alike offers to draw from, ``per_group``
    how many from each.
    """

    minimum_score: float = 0.0
    area_min_um2: float | None = None
    area_max_um2: float | None = None
    groups: int | None = None
    per_group: int | None = None


@dataclass(frozen=True, slots=True)
class SessionView:
    """The record as a policy may see it, up to event ``seen_upto``.

    ``want`` is how many the protocol asks for; 0 means all that qualify.
    """

    question: Question
    offers: tuple[Offer, ...]
    outcomes: tuple[Outcome, ...]
    want: int
    seen_upto: int
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True)
class Choice:
    """Ids taken, best first, and for every offered id its score and the reason it was taken or left, in words."""

    chosen: tuple[int, ...]
    scores: Mapping[int, float]
    reasons: Mapping[int, str]
    summary: str


class Policy(Protocol):
    """A way to choose."""

    name: str
    version: str

    def choose(self, view: SessionView, rng: Generator) -> Choice:
        """Choose among the offers; every offered id has a score and a reason in the answer."""
        ...
