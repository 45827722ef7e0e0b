"""Optics for one level of magnification."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Level = Literal["atlas", "square", "hole", "focus", "exposure"]


class Preset(BaseModel):
    """How one level is imaged: magnification, illumination, detector."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    level: Level = Field(description="Level of the screening these optics belong to.")
    magnification: int = Field(gt=0, description="Nominal magnification as the microscope shows it.")
    pixel_size_a: float = Field(
        gt=0, description="Pixel size at the specimen in Å, of the image as stored (binning included)."
    )
    rows_px: int = Field(ge=16, le=16384, description="Rows of the stored image.")
    cols_px: int = Field(ge=16, le=16384, description="Columns of the stored image.")
    exposure_s: float = Field(gt=0, description="Exposure time in seconds, all frames.")
    frames: int = Field(default=1, ge=1, le=1000, description="Movie frames; 1 is a single image.")
    dose_e_per_a2: float = Field(gt=0, description="Dose on the specimen in e⁻/Å², all frames.")
    binning: int = Field(default=1, ge=1, le=16, description="Camera binning.")
    beam_diameter_um: float = Field(
        default=1000.0, gt=0, description="Diameter of the illuminated disc at the specimen in µm."
    )
    defocus_um: float = Field(
        default=0.0,
        ge=-500,
        le=500,
        description="Defocus of this level in µm, underfocus negative; at exposure level the protocol's defocus series "
        "takes its place.",
    )
    slit_ev: float | None = Field(
        default=None, gt=0, description="Energy-filter slit width in eV; nothing means slit out."
    )
