"""What goes wrong, when: scripted in YAML, or drawn from the seed.

A fault names what happens and when it strikes: at the n-th call of one method, while one slot is handled, after so many
hours, at a place, or at a rate. The instrument's state keeps count, so a fault that struck before a crash does not
strike again.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import Field, TypeAdapter, ValidationError, model_validator

from ....protocols.errors import BadInput
from ..grid.cells import key, uniform
from .fault_kinds import METHODS, NATURES, Kind
from .profile import Frozen, first_complaint, read_yaml


class Place(Frozen):
    """A disc on the grid or under the stage."""

    x_um: float = Field(description="Its middle.")
    y_um: float = Field(description="Its middle.")
    within_um: float = Field(gt=0, description="Its radius.")
    frame: Literal["stage", "grid"] = Field(
        default="stage", description="Whether that is the stage's reading, or a place of the grid itself."
    )
    slot: int | None = Field(default=None, ge=1, le=12, description="Only while this slot's grid is on the stage.")


class When(Frozen):
    """When a fault strikes: one of the five ways, and how often."""

    call: str | None = Field(default=None, description="Name of a method; with number.")
    number: int | None = Field(default=None, ge=1, description="Strikes its call of this number, from 1.")
    slot: int | None = Field(
        default=None, ge=1, le=12, description="Strikes while this slot is loaded or on the stage."
    )
    after_h: float | None = Field(default=None, ge=0, description="Strikes at the first call so long after the start.")
    place: Place | None = Field(default=None, description="Strikes while the camera looks at this place.")
    per_h: float | None = Field(
        default=None, gt=0, le=60, description="Strikes at moments drawn from the seed, so often an hour."
    )
    times: int | None = Field(
        default=None,
        ge=1,
        description="How many calls it strikes: 1 if nothing is said, null for good; at a rate for good.",
    )

    @model_validator(mode="after")
    def _one_way(self) -> "When":
        ways = (self.call, self.slot, self.after_h, self.place, self.per_h)
        if sum(way is not None for way in ways) != 1:
            raise ValueError("give one of call, slot, after_h, place and per_h")
        if (self.call is None) != (self.number is None):
            raise ValueError("call and number go together")
        if self.call is not None and self.call not in METHODS:
            raise ValueError(f"there is no call {self.call}; there are {', '.join(METHODS)}")
        return self

    @property
    def limit(self) -> int | None:
        """How many calls it strikes at most; None without end."""
        return self.times if "times" in self.model_fields_set or self.per_h is not None else 1


class Fault(Frozen):
    """One fault of a script."""

    kind: Kind = Field(description="What happens.")
    at: When = Field(description="When it happens.")
    how: Literal["before", "after"] = Field(
        default="before",
        description="For connection-lost and call-hangs: before or after the act takes effect.",
    )
    lasts_h: float | None = Field(
        default=0.5, gt=0, description="For faults that last: how long it cannot be mended; null: for good."
    )
    slots: tuple[int, int] | None = Field(
        default=None, description="For grid-swapped: which two; null draws them from the seed."
    )

    @model_validator(mode="after")
    def _can_strike(self) -> "Fault":
        calls = NATURES[self.kind].calls
        if self.at.call is not None and calls and self.at.call not in calls:
            raise ValueError(f"{self.kind} can strike {' and '.join(calls)}, never {self.at.call}")
        if self.slots is not None and self.kind != "grid-swapped":
            raise ValueError("slots is for grid-swapped alone")
        return self


_SCRIPT: TypeAdapter[tuple[Fault, ...]] = TypeAdapter(tuple[Fault, ...])


class FailCall(Frozen):
    """For tests: what happens to the n-th hardware call of any kind."""

    number: int = Field(ge=1)
    how: Literal["raise", "hang-before", "hang-after", "garbage"]


@dataclass(frozen=True, slots=True)
class Moment:
    """One call and what is known when it comes.

    Attributes
    ----------
    call, number
        The method, and how many times it was called, this one included.
    slot
        The slot being loaded, else the one whose grid is on the stage.
    hours
        Since the start of the night.
    seed
        Of the night, for faults that come at a rate.
    looked_at
        Gives the place in a frame, (x, y) in µm; None when there is no grid to look at.
    """

    call: str
    number: int
    slot: int | None
    hours: float
    seed: int
    looked_at: Callable[[Literal["stage", "grid"]], tuple[float, float] | None]


def struck(fault: Fault, index: int, moment: Moment, strikes: int) -> bool:
    """Whether this fault, the index-th of its night, which struck so often before, strikes this call."""
    at, limit = fault.at, fault.at.limit
    if limit is not None and strikes >= limit:
        return False
    if at.call is not None and at.number is not None:
        last = None if limit is None else at.number + limit
        return moment.call == at.call and at.number <= moment.number and (last is None or moment.number < last)
    if moment.call not in (NATURES[fault.kind].calls or (moment.call,)):
        return False
    if at.slot is not None:
        return moment.slot == at.slot
    if at.place is not None:
        return _there(at.place, moment)
    due_h = at.after_h if at.per_h is None else moment_h(moment.seed, index, at.per_h, strikes)
    return due_h is not None and moment.hours >= due_h


def moment_h(seed: int, index: int, per_h: float, strikes: int) -> float:
    """Give the hours at which a fault that comes at a rate strikes next, after so many times."""
    waits = -np.log(uniform(key("rate", seed, index), "waits", np.arange(strikes + 1)))
    return float(waits.sum()) / per_h


def _there(place: Place, moment: Moment) -> bool:
    if place.slot is not None and moment.slot != place.slot:
        return False
    at = moment.looked_at(place.frame)
    return at is not None and math.dist(at, (place.x_um, place.y_um)) <= place.within_um


def drawn(seed: int, per_hour: float, hours: int = 24) -> list[Fault]:
    """Draw faults that strike once each, at a mean rate, from the seed."""
    kinds = [kind for kind, nature in NATURES.items() if nature.drawn]
    own = key("faults", seed)
    found = []
    for hour in range(hours):
        for part in range(4):
            place = hour * 4 + part
            if float(uniform(own, "strikes", place)) < per_hour / 4:
                kind = kinds[int(float(uniform(own, "kind", place)) * len(kinds))]
                after = hour + (part + float(uniform(own, "moment", place))) / 4
                how: Literal["before", "after"] = "after" if float(uniform(own, "how", place)) < 0.5 else "before"
                found.append(Fault(kind=kind, at=When(after_h=after), how=how))
    return found


def read_faults(given: str | Iterable[Fault]) -> tuple[Fault, ...]:
    """Give a list of faults as it is, or read the YAML file that holds one; raises `BadInput`."""
    if not isinstance(given, str):
        return tuple(given)
    try:
        return _SCRIPT.validate_python(read_yaml(given, "cassettes"))
    except ValidationError as error:
        raise BadInput(f"faults {given}: {first_complaint(error)}") from error
