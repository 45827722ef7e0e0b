"""What counts as a good exposure, and how exposures are analysed."""

from pydantic import Field, field_validator, model_validator

from .part import Part, PluginChoice, impossible


class Thresholds(Part):
    """What an exposure must show to be usable."""

    fit_resolution_a: float = Field(
        default=6.0, gt=0, le=50, description="Coarsest resolution in Å to which the CTF must fit."
    )
    ice_min_nm: float = Field(default=10.0, ge=0, le=1000, description="Thinnest ice in nm; below it the hole is dry.")
    ice_max_nm: float = Field(default=100.0, gt=0, le=2000, description="Thickest ice in nm that is of use.")
    motion_max_a: float = Field(
        default=50.0, gt=0, le=10000, description="Largest total motion in Å over the frames of an exposure."
    )
    astigmatism_max_a: float = Field(
        default=500.0, gt=0, le=100000, description="Largest difference in Å between the two defocus values."
    )
    defocus_error_max_um: float = Field(
        default=0.5, gt=0, le=20, description="Largest difference in µm between the defocus asked for and measured."
    )
    minimum_counts_fraction: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="Share of the expected counts below which an image is black: a fault, not data.",
    )
    confidence_min: float = Field(
        default=0.5, ge=0, le=1, description="Lowest confidence, 0 to 1, at which a verdict counts."
    )

    @model_validator(mode="after")
    def _ice_in_order(self) -> "Thresholds":
        if self.ice_min_nm >= self.ice_max_nm:
            raise impossible(
                "ice_min_nm",
                f"the thinnest ice, {self.ice_min_nm:g} nm, is not below the thickest, {self.ice_max_nm:g} nm; no "
                "exposure would be usable",
            )
        return self


class AnalysisPlan(Part):
    """The analysis that runs beside the microscope."""

    judge: PluginChoice = Field(
        default=PluginChoice(use="micrograph"),
        description="Classifier of exposures: the analysis that gives the verdict on each.",
    )
    workers: int = Field(default=1, ge=1, le=128, description="Processes that analyse at the same time.")
    timeout_s: float = Field(
        default=120.0, gt=0, le=7200, description="Longest that one analysis may take in s before it is given up."
    )
    find_squares_s: float = Field(
        default=2.0,
        ge=0,
        le=3600,
        description="Time in s that finding squares takes on a virtual clock, by default about what one core takes for "
        "an atlas of 3 × 3 tiles; of no effect on a real microscope.",
    )
    find_holes_s: float = Field(
        default=1.0,
        ge=0,
        le=3600,
        description="Time in s that finding holes takes on a virtual clock; of no effect on a real microscope.",
    )
    judge_s: float = Field(
        default=20.0,
        ge=0,
        le=3600,
        description="Time in s that one verdict takes on a virtual clock; of no effect on a real microscope.",
    )
    mean_free_path_nm: float = Field(
        default=300.0,
        gt=0,
        le=5000,
        description="Path in nm over which ice removes all but 1/e of the beam; calibrate it for microscope and "
        "aperture, ice thickness is measured with it.",
    )


class Rehearsal(Part):
    """Mishaps made on purpose, for demonstrations and drills; leave it empty in earnest."""

    analysis_crashes: tuple[int, ...] = Field(
        default=(), description="Numbers, from 1, of the analyses whose worker process is made to crash."
    )

    @field_validator("analysis_crashes")
    @classmethod
    def _counted_from_one(cls, numbers: tuple[int, ...]) -> tuple[int, ...]:
        if any(number < 1 for number in numbers):
            raise impossible("", "analyses are counted from 1; give numbers of 1 and above")
        return numbers
