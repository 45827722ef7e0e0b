"""How a night is run: who, where, in which passes, within which limits, and what to do when things fail."""

from typing import Literal

from pydantic import Field, JsonValue, model_validator

from .part import PLUGIN_NAME, Part, PluginChoice, impossible

SESSION_NAME = r"^[A-Za-z0-9_-]{0,30}$"
SIMULATED = ("sim", "replay")


class SessionInfo(Part):
    """Whose night it is, as it stands in the record and on the report."""

    name: str = Field(
        default="",
        pattern=SESSION_NAME,
        examples=["apoferritin_1"],
        description="Name of the session, at most 30 letters, digits, _ and -; empty means protocol and date.",
    )
    group: str = Field(default="", max_length=60, description="Research group that the session belongs to.")
    microscope: str = Field(default="", max_length=60, description="Name of the microscope, for the report.")
    detector: str = Field(default="", max_length=60, description="Name of the detector, for the report.")


class MicroscopeChoice(Part):
    """The driver of the microscope, with its own options."""

    use: str = Field(
        default="sim",
        pattern=PLUGIN_NAME,
        examples=["sim"],
        description="Driver by name; sim is the simulated microscope.",
    )
    time: Literal["virtual", "wall"] | None = Field(
        default=None,
        description="Whether waiting takes real time (wall) or none (virtual); null means virtual for sim and replay, "
        "wall for everything else.",
    )
    options: dict[str, JsonValue] = Field(
        default_factory=dict, description="Options of the driver, which checks them itself; see its page."
    )

    @property
    def virtual_time(self) -> bool:
        """Whether the night runs on a virtual clock."""
        return self.use in SIMULATED if self.time is None else self.time == "virtual"


class PassPlan(Part):
    """One round through the cassette; what it leaves out is as the protocol says elsewhere."""

    name: Literal["triage", "collect"] = Field(
        description="triage looks at every grid in order to compare them; collect returns to those that earned it."
    )
    squares_per_grid: int | None = Field(
        default=None,
        ge=0,
        le=1000,
        description="Squares visited on each grid in this pass, besides those of earlier passes, 0 for all usable; "
        "null means squares.per_grid.",
    )
    holes_per_square: int | None = Field(
        default=None,
        ge=0,
        le=10000,
        description="Holes (or groups of holes) exposed on each of these squares, 0 for all; null means "
        "holes.per_square.",
    )
    bis_radius_um: float | None = Field(
        default=None, ge=0, le=20, description="Radius of a group in this pass in µm; null means holes.bis_radius_um."
    )
    minimum_bis_group: int | None = Field(
        default=None, ge=1, le=100, description="Fewest holes of a group in this pass; null means as for the holes."
    )
    offset_targeting: bool | None = Field(
        default=None, description="Offset targeting in this pass; null means holes.offset_targeting."
    )
    shots_per_hole: int | None = Field(
        default=None,
        ge=1,
        le=20,
        description="Exposures of each hole in this pass, 1 in its middle; null means exposure.shots_per_hole.",
    )
    grids: int | None = Field(
        default=None, ge=1, le=100, description="How many grids earn this pass; null means all that qualify."
    )
    policy: PluginChoice = Field(
        default=PluginChoice(use="first-come"),
        description="Plug-in that chooses the grids; they are offered best first.",
    )
    minimum_usable: int = Field(
        default=0,
        ge=0,
        le=10000,
        description="Fewest usable exposures that a grid must have shown in earlier passes to qualify.",
    )


class TimePlan(Part):
    """What the night may take."""

    per_grid_min: float | None = Field(
        default=None,
        gt=0,
        le=10080,
        description="Minutes that one grid may take in one pass, its loading included; null means no limit.",
    )
    per_night_h: float | None = Field(
        default=None, gt=0, le=720, description="Hours that the whole night may take; null means no limit."
    )
    deadline: str | None = Field(
        default=None,
        pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$",
        examples=["08:00"],
        description="Time of day, HH:MM on this machine's clock, at which the microscope shall be parked; null means "
        "none.",
    )

    @model_validator(mode="after")
    def _a_grid_fits_in_the_night(self) -> "TimePlan":
        if self.per_grid_min is not None and self.per_night_h is not None and self.per_grid_min > 60 * self.per_night_h:
            raise impossible(
                "per_grid_min",
                f"one grid may take {self.per_grid_min:g} min, the whole night only {self.per_night_h:g} h; lower the "
                "one or raise the other",
            )
        return self


class DewarPlan(Part):
    """The liquid nitrogen dewars."""

    wait_limit_min: float = Field(
        default=30.0, gt=0, le=600, description="Longest wait in minutes for a fill to end; past it is a fault."
    )
    fill_when_due_within_min: float = Field(
        default=20.0,
        ge=0,
        le=600,
        description="Between grids, fill at once if a fill would be due within so many minutes.",
    )
    fill_before_squares: bool = Field(
        default=True,
        description="Whether to fill before going to a square if a fill would come due while it is being worked on, as "
        "long as the squares before it took.",
    )


class LoaderPlan(Part):
    """The autoloader."""

    attempts: int = Field(default=2, ge=1, le=10, description="Attempts to load a grid before its slot is given up.")
    retry_after_s: float = Field(default=60.0, ge=0, le=3600, description="Wait in s between two attempts.")
    failed_slots_limit: int = Field(
        default=3, ge=1, le=100, description="Slots given up one after another before the loader is no longer used."
    )


class RecoveryPlan(Part):
    """What is tried, and given up, when something fails."""

    transient_retries: int = Field(
        default=2, ge=0, le=20, description="Times an act that failed in passing is tried again."
    )
    retry_after_s: float = Field(default=10.0, ge=0, le=3600, description="Wait in s before it is tried again.")
    target_failures_per_square: int = Field(
        default=3, ge=1, le=1000, description="Targets lost on one square before the square is left."
    )
    square_failures_per_grid: int = Field(
        default=3, ge=1, le=1000, description="Squares lost on one grid before the grid is left."
    )
    on_scope_fault: Literal["pause", "park"] = Field(
        default="pause",
        description="What to do when the microscope itself fails: wait for it to recover, or park and end the night.",
    )
    scope_fault_wait_min: float = Field(
        default=30.0, ge=0, le=720, description="Longest such wait in minutes; past it the microscope is parked."
    )
