"""What to do at each level of the microscope: atlas, square, hole, exposure, and the optics of each."""

from itertools import pairwise
from typing import Any, Literal

from pydantic import Field, model_validator

from .part import Part, PluginChoice, impossible
from .preset import Level, Preset

_OFFSET = r"-?[0-9]{1,2}(\.[0-9]{1,3})?,-?[0-9]{1,2}(\.[0-9]{1,3})?"
PATTERN = rf"^(all|cross|[1-9][0-9]?x[1-9][0-9]?|{_OFFSET}( {_OFFSET}){{0,99}})$"
"""What `targeting.wishes.pattern_named` understands."""


class AtlasPlan(Part):
    """The survey of a whole grid at low magnification."""

    tiles_x: int = Field(default=3, ge=1, le=12, description="Tiles of the atlas along x.")
    tiles_y: int = Field(default=3, ge=1, le=12, description="Tiles of the atlas along y.")
    overlap_fraction: float = Field(
        default=0.1, ge=0, le=0.5, description="Share of a tile's width that it has in common with its neighbour."
    )
    starting_height_um: float = Field(
        default=0.0, ge=-400, le=400, description="Stage height in µm at which the atlas is taken."
    )

    @model_validator(mode="after")
    def _tiles_can_be_joined(self) -> "AtlasPlan":
        if self.tiles_x * self.tiles_y > 1 and self.overlap_fraction < 0.03:
            raise impossible(
                "overlap_fraction",
                f"{self.tiles_x} by {self.tiles_y} tiles with an overlap of {self.overlap_fraction:g} cannot be joined "
                "into one atlas; give an overlap of at least 0.03, or a single tile",
            )
        return self


class SquarePlan(Part):
    """Which squares of a grid are visited, and how they are imaged."""

    per_grid: int = Field(default=3, ge=0, le=1000, description="Squares to visit on each grid; 0 means all usable.")
    tiles_x: int = Field(default=1, ge=1, le=6, description="Images of one square along x.")
    tiles_y: int = Field(default=1, ge=1, le=6, description="Images of one square along y.")
    groups: int = Field(
        default=5, ge=1, le=50, description="Groups of alike squares (by size or by score) to draw from."
    )
    per_group: int | None = Field(
        default=None,
        ge=1,
        le=100,
        description="Squares to take from each group, never more than per_grid in all; null means as per_grid asks.",
    )
    area_min_um2: float | None = Field(
        default=None, ge=0, description="Smallest bright area in µm² of a square worth visiting; null means no limit."
    )
    area_max_um2: float | None = Field(
        default=None, gt=0, description="Largest bright area in µm² of a square worth visiting; null means no limit."
    )
    minimum_score: float = Field(
        default=0.0, ge=0, le=1, description="Lowest score, 0 to 1, that the finder must have given to the square."
    )
    finder: PluginChoice = Field(
        default=PluginChoice(use="mixture-squares"), description="Plug-in that finds and classifies the squares."
    )
    policy: PluginChoice = Field(
        default=PluginChoice(use="cluster-sampling"), description="Plug-in that chooses among the squares found."
    )

    @model_validator(mode="after")
    def _areas_in_order(self) -> "SquarePlan":
        if self.area_min_um2 is not None and self.area_max_um2 is not None and self.area_min_um2 >= self.area_max_um2:
            raise impossible(
                "area_min_um2",
                f"the smallest area, {self.area_min_um2:g} µm², is not below the largest, {self.area_max_um2:g} µm²; "
                "no square would be left",
            )
        return self


class HolePlan(Part):
    """Which holes of a square are exposed, and how they are grouped."""

    per_square: int = Field(
        default=3,
        ge=0,
        le=10000,
        description="Holes to expose on each square, or groups of holes if beam-image shift is on; "
        "0 means all, which is data collection.",
    )
    threshold: float = Field(
        default=0.3, ge=0, le=1, description="Lowest score, 0 to 1, that the finder must have given to a hole."
    )
    finder: PluginChoice = Field(
        default=PluginChoice(use="lattice-holes"), description="Plug-in that finds the holes and their lattice."
    )
    policy: PluginChoice = Field(
        default=PluginChoice(use="cluster-sampling"), description="Plug-in that chooses among the holes found."
    )
    bis_radius_um: float = Field(
        default=0.0,
        ge=0,
        le=20,
        description="Farthest beam-image shift in µm from the middle of a group; 0 means off, each hole by the stage.",
    )
    minimum_bis_group: int = Field(
        default=1, ge=1, le=100, description="Fewest holes that make a group; lone holes below it are not exposed."
    )
    bis_objective: Literal["all", "rate", "score"] = Field(
        default="all",
        description="What the groups are for: all chosen holes in the fewest groups; rate, the most good exposures per "
        "hour by scores and recorded times; score, SmartScope's 100 × coverage − bis_group_weight × groups.",
    )
    bis_group_weight: float = Field(
        default=2.0, ge=0, le=100, description="What a group costs in SmartScope's score, in per cent of coverage."
    )
    bis_least_coverage: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Share of the holes' scores that rate or score must cover however little it pays.",
    )
    bis_centre: Literal["hole", "lattice", "free"] = Field(
        default="hole",
        description="Where a group may stand: at a chosen hole, at any point of the hole lattice, or anywhere.",
    )
    bis_pattern: str = Field(
        default="all",
        pattern=PATTERN,
        examples=["3x3"],
        description="Which holes about its middle a group may have: all in reach, a cross of five, a block of the "
        "lattice such as 3x3, or a list of offsets in steps of the lattice such as '0,0 1,0 0,1'.",
    )
    bis_defocus_spread_um: float | None = Field(
        default=None,
        gt=0,
        le=50,
        description="Largest difference of height along the beam within a group in µm, for tilted grids; null means no "
        "limit.",
    )
    bis_tilt_mrad_per_um: float = Field(
        default=0.0,
        ge=0,
        le=10,
        description="Beam tilt in mrad that a µm of image shift leaves uncorrected; 0 means it is corrected. Shifts "
        "are kept so short that its coma turns the phase at bis_coma_to_a by 45° at most.",
    )
    bis_coma_to_a: float = Field(
        default=3.0, gt=0, le=50, description="Resolution in Å to which that coma must not matter."
    )
    spare_neighbours: bool = Field(
        default=True,
        description="Whether a hole is left whose exposure would light another chosen one that is worth more.",
    )
    offset_targeting: bool = Field(
        default=True,
        description="Whether screening exposures are set off from the middle of the hole, to see its ice from rim to "
        "rim.",
    )
    offset_distance_um: float | None = Field(
        default=None,
        ge=0,
        le=10,
        description="How far from the middle of the hole in µm; null means at random within the hole.",
    )


class HeightPlan(Part):
    """How the eucentric height is found on each square."""

    method: Literal["tilt", "focus"] = Field(
        default="tilt", description="By the shift of the image on tilting, or by focus."
    )
    max_change_um: float = Field(
        default=150.0,
        gt=0,
        le=800,
        description="Largest change of height in µm that is believed; beyond it the measurement has failed.",
    )
    attempts: int = Field(default=3, ge=1, le=10, description="Attempts before the square is given up.")


class FocusPlan(Part):
    """Autofocus beside the target."""

    on: bool = Field(default=True, description="Whether to focus at all before exposures.")
    every: Literal["group", "plane", "square"] = Field(
        default="group",
        description="Before every hole or group of holes; only before those whose height the plane through the heights "
        "measured on their square does not tell to within tolerance_um; or once on each square.",
    )
    again_after_min: float = Field(
        default=30.0,
        gt=0,
        le=600,
        description="With every plane, focus anyway when the last focusing was so many minutes ago.",
    )
    off_target_um: float | None = Field(
        default=None,
        ge=0,
        le=50,
        description="Distance in µm of the focus area from the target; null means half the diagonal of the hole "
        "lattice, the middle of the film between four holes.",
    )
    tolerance_um: float = Field(
        default=0.3, gt=0, le=10, description="Largest remaining error of defocus in µm that is accepted."
    )
    attempts: int = Field(
        default=3, ge=1, le=10, description="Attempts before the target is given up, each at another place."
    )


class SettlePlan(Part):
    """The wait for the specimen to come to rest."""

    drift_limit_a_per_s: float = Field(
        default=-1.0, ge=-1, le=1000, description="Drift in Å/s below which exposures may start; -1 means no wait."
    )
    timeout_s: float = Field(
        default=300.0, gt=0, le=3600, description="Longest wait in s; a target that still drifts then is skipped."
    )

    @model_validator(mode="after")
    def _limit_can_be_reached(self) -> "SettlePlan":
        if self.drift_limit_a_per_s <= 0 and self.drift_limit_a_per_s != -1:
            raise impossible(
                "drift_limit_a_per_s",
                f"a drift below {self.drift_limit_a_per_s:g} Å/s is never reached; give a limit above 0, or -1 for no "
                "wait",
            )
        return self


class ExposurePlan(Part):
    """How each hole is exposed."""

    defocus_min_um: float = Field(
        default=-2.0, ge=-20, le=0, description="Defocus nearest to focus in µm; underfocus is negative."
    )
    defocus_max_um: float = Field(
        default=-2.0, ge=-20, le=0, description="Defocus farthest from focus in µm; underfocus is negative."
    )
    defocus_step_um: float = Field(
        default=0.0,
        ge=0,
        le=10,
        description="Rolling defocus: each next group goes so many µm further from focus and begins anew past the "
        "end; 0 means always defocus_min_um.",
    )
    tilt_deg: float = Field(default=0.0, ge=-70, le=70, description="Stage tilt in degrees during exposures.")
    save_frames: bool = Field(
        default=True, description="Whether movies are kept frame by frame, or only their aligned sum."
    )
    shots_per_hole: int = Field(
        default=1,
        ge=1,
        le=20,
        description="Exposures of each hole, side by side by image shift, none of their lit discs on another or beyond "
        "the hole's edge; more than 1 not with offset_targeting.",
    )
    shot_offsets_um: tuple[tuple[float, float], ...] | None = Field(
        default=None,
        min_length=1,
        max_length=20,
        description="Where they go: as many pairs of stage x and y in µm from the hole's middle, along the axes as "
        "they were at the grid's first load; null means on a ring.",
    )

    @model_validator(mode="after")
    def _defocus_in_order(self) -> "ExposurePlan":
        if self.defocus_max_um > self.defocus_min_um:
            raise impossible(
                "defocus_min_um",
                f"defocus_min_um is the value nearest to focus, yet {self.defocus_min_um:g} µm is farther than "
                f"defocus_max_um, {self.defocus_max_um:g} µm; exchange the two",
            )
        span = self.defocus_min_um - self.defocus_max_um
        if self.defocus_step_um > span + 1e-9:
            raise impossible(
                "defocus_step_um",
                f"a step of {self.defocus_step_um:g} µm does not fit between {self.defocus_min_um:g} and "
                f"{self.defocus_max_um:g} µm; give a step of at most {span:g}, or 0 for one defocus",
            )
        return self

    @model_validator(mode="after")
    def _an_offset_for_each_shot(self) -> "ExposurePlan":
        offsets = self.shot_offsets_um
        if offsets is None:
            return self
        if len(offsets) != self.shots_per_hole:
            raise impossible(
                "shots_per_hole",
                f"{self.shots_per_hole} {'shot' if self.shots_per_hole == 1 else 'shots'} cannot go to {len(offsets)} "
                f"offsets; set shots_per_hole to {len(offsets)}, or drop shot_offsets_um",
            )
        if len(set(offsets)) < len(offsets):
            raise impossible("shot_offsets_um", "two of the offsets are one and the same place; give each shot its own")
        return self

    def with_shots(self, count: int | None) -> "ExposurePlan":
        """Give the plan with another number of shots in each hole, a single one in the middle; None changes nothing."""
        if count is None or count == self.shots_per_hole:
            return self
        return self.model_copy(update={"shots_per_hole": count, "shot_offsets_um": None})


class Presets(Part):
    """The optics of each level, where the protocol wants others than those set up on the microscope."""

    atlas: Preset | None = Field(
        default=None, description="Optics of the atlas; null means as set up on the microscope."
    )
    square: Preset | None = Field(
        default=None, description="Optics of square images; null means as set up on the microscope."
    )
    hole: Preset | None = Field(
        default=None, description="Optics of hole-level images; null means as set up on the microscope."
    )
    focus: Preset | None = Field(
        default=None, description="Optics of autofocus; null means as set up on the microscope."
    )
    exposure: Preset | None = Field(
        default=None, description="Optics of exposures; null means as set up on the microscope."
    )

    @model_validator(mode="before")
    @classmethod
    def _level_from_its_key(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        return {
            key: {"level": key, **preset} if isinstance(preset, dict) and key in cls.model_fields else preset
            for key, preset in given.items()
        }

    @model_validator(mode="after")
    def _levels_agree(self) -> "Presets":
        for key, preset in self.given().items():
            if preset.level != key:
                raise impossible(
                    f"{key}.level", f"the preset under {key} says it is of level {preset.level}; drop its level key"
                )
        coarse_to_fine: tuple[Level, ...] = ("atlas", "square", "hole", "exposure")
        given = [(key, self.given()[key]) for key in coarse_to_fine if key in self.given()]
        for (coarse, above), (fine, below) in pairwise(given):
            if above.pixel_size_a <= below.pixel_size_a:
                raise impossible(
                    f"{fine}.pixel_size_a",
                    f"the {fine} preset has pixels of {below.pixel_size_a:g} Å, not finer than the {coarse} preset's "
                    f"{above.pixel_size_a:g} Å; give both in Å",
                )
        return self

    def given(self) -> dict[Level, Preset]:
        """Give the presets that the protocol sets, by level."""
        levels: dict[Level, Preset | None] = {
            "atlas": self.atlas,
            "square": self.square,
            "hole": self.hole,
            "focus": self.focus,
            "exposure": self.exposure,
        }
        return {level: preset for level, preset in levels.items() if preset is not None}
