"""What a night shall do: the screening protocol."""

import math
from typing import Literal

from pydantic import Field, model_validator

from .cassette import CassetteGrid
from .judging import AnalysisPlan, Rehearsal, Thresholds
from .levels import (
    AtlasPlan,
    ExposurePlan,
    FocusPlan,
    HeightPlan,
    HolePlan,
    Presets,
    SettlePlan,
    SquarePlan,
)
from .night import (
    DewarPlan,
    LoaderPlan,
    MicroscopeChoice,
    PassPlan,
    RecoveryPlan,
    SessionInfo,
    TimePlan,
)
from .part import Part, PluginChoice, impossible

__all__ = [
    "AnalysisPlan",
    "AtlasPlan",
    "DewarPlan",
    "ExposurePlan",
    "FocusPlan",
    "HeightPlan",
    "HolePlan",
    "LoaderPlan",
    "MicroscopeChoice",
    "PassPlan",
    "PluginChoice",
    "Presets",
    "RecoveryPlan",
    "Rehearsal",
    "ScreeningProtocol",
    "SessionInfo",
    "SettlePlan",
    "SquarePlan",
    "Thresholds",
    "TimePlan",
]


class ScreeningProtocol(Part):
    """Everything that a night needs to know; what is left out has SmartScope's default where it has one."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$",
        examples=["screening-default"],
        description="Name of the protocol, at most 64 letters, digits, dots, _ and -.",
    )
    description: str = Field(default="", description="What the protocol is for, in a sentence or two.")
    session: SessionInfo = Field(default=SessionInfo(), description="Whose night it is.")
    microscope: MicroscopeChoice = Field(default=MicroscopeChoice(), description="The driver of the microscope.")
    depth: Literal["full", "atlas"] = Field(
        default="full", description="full goes down to exposures; atlas ends each grid after its atlas."
    )
    atlas: AtlasPlan = Field(default=AtlasPlan(), description="The survey of the whole grid.")
    squares: SquarePlan = Field(default=SquarePlan(), description="Which squares are visited.")
    holes: HolePlan = Field(default=HolePlan(), description="Which holes are exposed.")
    height: HeightPlan = Field(default=HeightPlan(), description="Eucentric height.")
    focus: FocusPlan = Field(default=FocusPlan(), description="Autofocus.")
    settle: SettlePlan = Field(default=SettlePlan(), description="The wait for drift to end.")
    exposure: ExposurePlan = Field(default=ExposurePlan(), description="How each hole is exposed.")
    zero_loss_interval_h: float = Field(
        default=-1.0, ge=-1, le=100, description="Hours between refinements of the zero-loss peak; -1 means never."
    )
    presets: Presets = Field(default=Presets(), description="Optics of each level.")
    passes: tuple[PassPlan, ...] = Field(
        default=(PassPlan(name="triage"),),
        min_length=1,
        max_length=2,
        description="Rounds through the cassette, in order.",
    )
    time: TimePlan = Field(default=TimePlan(), description="What the night may take.")
    pause_between_grids: bool = Field(
        default=False, description="Whether to wait after each grid for a person to say go on."
    )
    dewars: DewarPlan = Field(default=DewarPlan(), description="Liquid nitrogen.")
    loader: LoaderPlan = Field(default=LoaderPlan(), description="The autoloader.")
    thresholds: Thresholds = Field(default=Thresholds(), description="What makes an exposure usable.")
    recovery: RecoveryPlan = Field(default=RecoveryPlan(), description="What to do when something fails.")
    analysis: AnalysisPlan = Field(default=AnalysisPlan(), description="The analysis beside the microscope.")
    rehearsal: Rehearsal = Field(default=Rehearsal(), description="Mishaps made on purpose.")

    @model_validator(mode="after")
    def _zero_loss_interval_is_a_time(self) -> "ScreeningProtocol":
        if self.zero_loss_interval_h <= 0 and self.zero_loss_interval_h != -1:
            raise impossible(
                "zero_loss_interval_h",
                f"an interval of {self.zero_loss_interval_h:g} h is none; give hours above 0, or -1 for never",
            )
        return self

    @model_validator(mode="after")
    def _passes_in_order(self) -> "ScreeningProtocol":
        names = [plan.name for plan in self.passes]
        if len(set(names)) < len(names):
            raise impossible("passes.1.name", f"the pass {names[1]} is named twice; name each pass once")
        if names == ["collect", "triage"]:
            raise impossible(
                "passes.0.name", "collect comes before triage; triage chooses for collect, so put it first"
            )
        first = self.passes[0]
        if first.grids is not None or first.minimum_usable > 0:
            field = "grids" if first.grids is not None else "minimum_usable"
            raise impossible(
                f"passes.0.{field}",
                f"{field} chooses grids by what an earlier pass has shown, and nothing comes before the first pass; "
                "drop it there",
            )
        if self.depth == "atlas" and len(self.passes) > 1:
            raise impossible("depth", "with depth atlas nothing is exposed, so no second pass can be earned; drop it")
        return self

    @model_validator(mode="after")
    def _holes_can_be_exposed_so(self) -> "ScreeningProtocol":
        for number, plan in enumerate(self.passes):
            holes = self._holes_in(plan)
            where = "holes." if plan.holes_per_square is None else f"passes.{number}."
            if holes.per_square == 0 and holes.offset_targeting:
                key = "per_square" if plan.holes_per_square is None else "holes_per_square"
                raise impossible(
                    where + key,
                    f"all holes (0) with offset_targeting true cannot go together in the pass {plan.name}: offsets are "
                    "for screening, data collection exposes the middle of each hole; set offset_targeting to false or "
                    "give a number of holes",
                )
            if holes.bis_radius_um == 0 and holes.minimum_bis_group > 1:
                where = "holes." if plan.minimum_bis_group is None else f"passes.{number}."
                raise impossible(
                    where + "minimum_bis_group",
                    f"groups of at least {holes.minimum_bis_group} holes cannot be made in the pass {plan.name} with "
                    "bis_radius_um 0; give a radius or set minimum_bis_group to 1",
                )
        return self

    @model_validator(mode="after")
    def _shots_can_go_into_holes_so(self) -> "ScreeningProtocol":
        given = self.exposure.shot_offsets_um
        for number, plan in enumerate(self.passes):
            exposure, holes = self.exposure.with_shots(plan.shots_per_hole), self._holes_in(plan)
            shots, where = exposure.shots_per_hole, f"passes.{number}.shots_per_hole"
            if given is not None and exposure.shot_offsets_um is None and shots > 1:
                raise impossible(
                    where,
                    f"{shots} shots cannot go to the {len(given)} offsets of exposure.shot_offsets_um in the pass "
                    f"{plan.name}; give {len(given)}, or 1 for the middle of the hole",
                )
            where = "exposure.shots_per_hole" if plan.shots_per_hole is None else where
            if (shots > 1 or exposure.shot_offsets_um is not None) and holes.offset_targeting:
                raise impossible(
                    where,
                    f"{'several shots' if shots > 1 else 'a place of its own for the shot'} in a hole cannot go "
                    f"together with offset_targeting true in the pass {plan.name}: that sets off the one shot of each "
                    "hole at random; set offset_targeting to false, or take one shot in the middle",
                )
            if shots > 1 and not holes.spare_neighbours:
                raise impossible(
                    where,
                    f"several shots in a hole cannot go together with holes.spare_neighbours false in the pass "
                    f"{plan.name}: they are placed so that none lights another; set spare_neighbours to true, or take "
                    "one shot",
                )
        return self

    @model_validator(mode="after")
    def _offsets_leave_room_for_the_beam(self) -> "ScreeningProtocol":
        offsets, optics = self.exposure.shot_offsets_um or (), self.presets.exposure
        for place, one in enumerate(offsets):
            for other in offsets[:place] if optics is not None else ():
                gap_um = math.dist(one, other)
                if optics is not None and gap_um < optics.beam_diameter_um * (1 - 1e-9):
                    raise impossible(
                        "exposure.shot_offsets_um",
                        f"the shots at {other[0]:g}, {other[1]:g} and {one[0]:g}, {one[1]:g} µm are {gap_um:.2f} µm "
                        f"apart and would light each other: the beam is {optics.beam_diameter_um:g} µm wide; move them "
                        "apart or take a smaller beam",
                    )
        return self

    def _holes_in(self, plan: PassPlan) -> HolePlan:
        own = {
            "per_square": plan.holes_per_square,
            "bis_radius_um": plan.bis_radius_um,
            "minimum_bis_group": plan.minimum_bis_group,
            "offset_targeting": plan.offset_targeting,
        }
        return self.holes.model_copy(update={key: value for key, value in own.items() if value is not None})

    def in_pass(self, number: int, grid: CassetteGrid | None = None) -> "ScreeningProtocol":
        """Give the protocol as it stands in one pass: its squares, holes and shots, and in the first those of the grid.

        Parameters
        ----------
        number
            Of the pass, from 0.
        grid
            Whose own numbers, where the cassette gives any, take the place of the first pass's.
        """
        plan = self.passes[number]
        squares, holes = plan.squares_per_grid, self._holes_in(plan)
        if number == 0 and grid is not None:
            squares = squares if grid.squares_per_grid is None else grid.squares_per_grid
            if grid.holes_per_square is not None:
                holes = holes.model_copy(update={"per_square": grid.holes_per_square})
        per_grid = self.squares.per_grid if squares is None else squares
        return self.model_copy(
            update={
                "squares": self.squares.model_copy(update={"per_grid": per_grid}),
                "holes": holes,
                "exposure": self.exposure.with_shots(plan.shots_per_hole),
            }
        )
