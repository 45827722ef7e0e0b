"""What goes wrong, when: scripted in YAML, or drawn from the seed.

A fault names what happens and when it strikes: at the n-th call of one method, while one slot is handled, or after so
many hours. The instrument's state keeps count, so a fault that struck before a crash does not strike again.
"""

from collections.abc import Iterable
from typing import Literal

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from ...protocols.errors import BadInput
from .cells import key, uniform
from .profile import Frozen, first_complaint, read_yaml

Kind = Literal[
    "load-fails",
    "loader-jam",
    "valve-closes",
    "vacuum-lost",
    "beam-off",
    "camera-timeout",
    "connection-lost",
    "call-hangs",
    "garbage",
    "focus-fails",
    "drift-high",
    "stage-stuck",
    "disk-full",
]

CALLS: dict[str, tuple[str, ...]] = {
    "load-fails": ("load",),
    "loader-jam": ("load", "unload"),
    "camera-timeout": ("acquire",),
    "disk-full": ("acquire",),
    "garbage": ("go_to", "position", "acquire", "autofocus", "settle", "eucentric_height"),
    "focus-fails": ("autofocus", "eucentric_height"),
    "drift-high": ("settle",),
    "stage-stuck": ("go_to",),
}
"""The calls each kind can strike; a kind that is not here can strike any."""


class When(Frozen):
    """When a fault strikes: one of the three ways, and how often."""

    call: str | None = Field(default=None, description="Name of a method; with number.")
    number: int | None = Field(default=None, ge=1, description="Strikes its call of this number, from 1.")
    slot: int | None = Field(
        default=None, ge=1, le=12, description="Strikes while this slot is loaded or on the stage."
    )
    after_h: float | None = Field(default=None, ge=0, description="Strikes at the first call so long after the start.")
    times: int | None = Field(default=1, ge=1, description="How many calls it strikes; null means for good.")

    @model_validator(mode="after")
    def _one_way(self) -> "When":
        ways = [self.call is not None, self.slot is not None, self.after_h is not None]
        if sum(ways) != 1:
            raise ValueError("give one of call, slot and after_h")
        if (self.call is None) != (self.number is None):
            raise ValueError("call and number go together")
        return self


class Fault(Frozen):
    """One fault of a script."""

    kind: Kind = Field(description="What happens.")
    at: When = Field(description="When it happens.")
    how: Literal["before", "after"] = Field(
        default="before",
        description="For connection-lost and call-hangs: before or after the act takes effect.",
    )
    lasts_h: float | None = Field(
        default=0.5,
        gt=0,
        description="For valve-closes, vacuum-lost and beam-off: how long it cannot be mended; null: for good.",
    )


_SCRIPT: TypeAdapter[tuple[Fault, ...]] = TypeAdapter(tuple[Fault, ...])


class FailCall(Frozen):
    """For tests: what happens to the n-th hardware call of any kind."""

    number: int = Field(ge=1)
    how: Literal["raise", "hang-before", "hang-after", "garbage"]


def struck(fault: Fault, call: str, slot: int | None, number: int, hours: float, strikes: int) -> bool:
    """Whether this fault strikes this call.

    Parameters
    ----------
    call, number
        The method, and how many times it was called, this one included.
    slot
        The slot being loaded, else the one whose grid is on the stage.
    hours
        Since the start of the night.
    strikes
        How often the fault struck before.
    """
    at = fault.at
    if at.times is not None and strikes >= at.times:
        return False
    if at.call is not None and at.number is not None:
        last = None if at.times is None else at.number + at.times
        return call == at.call and at.number <= number and (last is None or number < last)
    if call not in CALLS.get(fault.kind, (call,)):
        return False
    if at.slot is not None:
        return slot == at.slot
    return at.after_h is not None and hours >= at.after_h


def drawn(seed: int, per_hour: float, hours: int = 24) -> list[Fault]:
    """Draw faults that strike once each, at a mean rate, from the seed."""
    kinds: tuple[Kind, ...] = (
        "camera-timeout", "connection-lost", "call-hangs", "garbage", "focus-fails", "drift-high", "stage-stuck",
        "load-fails", "valve-closes", "beam-off",
    )  # fmt: skip
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
