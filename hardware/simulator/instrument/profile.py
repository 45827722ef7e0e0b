"""The profile of one instrument: every number the simulator needs, its unit in its name, its source beside it."""

import math
from functools import lru_cache
from importlib import resources
from pathlib import Path
from reprlib import Repr
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from ....protocols.errors import BadInput
from ....protocols.preset import Level, Preset

_SHORTLY = Repr()  # a damaged file may be megabytes
_SHORTLY.maxstring = _SHORTLY.maxother = 80


class Frozen(BaseModel):
    """Part of a profile: nothing unknown, nothing changed."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Duration(Frozen):
    """How long an act takes: drawn from a log-normal with this median and these quartiles."""

    median_s: float = Field(gt=0)
    q25_s: float = Field(gt=0)
    q75_s: float = Field(gt=0)

    @model_validator(mode="after")
    def _quartiles_in_order(self) -> "Duration":
        if not self.q25_s <= self.median_s <= self.q75_s:
            raise ValueError("the quartiles must lie on either side of the median")
        return self

    def draw(self, normal: float) -> float:
        """Turn a standard normal number into seconds."""
        return self.median_s * math.exp(normal * math.log(self.q75_s / self.q25_s) / 1.349)


class StageNumbers(Frozen):
    """The goniometer."""

    limit_um: float = Field(gt=0)
    z_limit_um: float = Field(gt=0)
    tilt_limit_deg: float = Field(gt=0)
    error_um: float = Field(ge=0, description="Standard deviation per axis, new at each backlash-corrected move.")
    error_long_um: float = Field(ge=0, description="Standard deviation per axis of the error that long moves leave.")
    long_move_um: float = Field(gt=0, description="Distance over which that error is forgotten for a new one.")
    backlash_um: float = Field(ge=0, description="What is left of the backlash after correction, along the move.")
    same_place_um: float = Field(ge=0, description="A smaller move is none.")
    play_um: float = Field(ge=0, description="Play of the drives per axis; a move not corrected lags by half of it.")
    backlash_step_um: float = Field(
        ge=0, description="Every move ends with one of this length upwards per axis, which takes up the play; 0: none."
    )
    z_error_um: float = Field(ge=0, description="Standard deviation of the height at the end of a move.")
    tilt_wander_um: float = Field(
        ge=0, description="Standard deviation per axis of what a tilt moves sideways besides."
    )
    reading_noise_um: float = Field(ge=0)
    drift_a_per_s: tuple[float, float] = Field(description="Least and most drift at the end of a move.")
    drift_tau_s: tuple[float, float] = Field(description="Least and most decay time of the drift.")
    drift_floor_a_per_s: float = Field(ge=0, description="Drift that never goes away.")
    tilt_axis_offset_um: float = Field(description="Distance of the optical axis from the tilt axis.")


class LoaderNumbers(Frozen):
    """The cassette and the way of a grid to the stage."""

    slots: int = Field(ge=1, le=12)
    shift_um: float = Field(ge=0, description="Standard deviation per axis of the grid's centre at each load.")
    rotation_deg: float = Field(ge=0, description="Largest rotation of a grid against the stage.")


class OpticsNumbers(Frozen):
    """Lenses and deflectors."""

    voltage_kv: float = Field(gt=0)
    cs_mm: float = Field(ge=0)
    amplitude_contrast: float = Field(ge=0, lt=1)
    image_shift_limit_um: float = Field(gt=0)
    image_shift_scale_error: float = Field(ge=0, description="Standard deviation, as a fraction.")
    image_shift_rotation_error_deg: float = Field(ge=0)
    image_shift_wander: float = Field(
        ge=0, description="Standard deviation of what the image shift's calibration drifts by, as a fraction."
    )
    image_shift_wander_h: float = Field(gt=0, description="Hours over which that drift is alike.")
    scale_error: float = Field(ge=0, description="Standard deviation of pixel sizes from nominal, as a fraction.")
    rotation_error_deg: float = Field(ge=0, description="Standard deviation of image rotations from nominal.")
    astigmatism_a: float = Field(ge=0, description="Typical difference of the two defoci.")
    defocus_drift_um_per_h: float = Field(ge=0)
    phase_shift_deg: float = Field(ge=0, lt=180, description="What a phase plate adds; 0 without one.")
    cc_mm: float = Field(ge=0, description="Chromatic aberration.")
    energy_spread_ev: float = Field(ge=0, description="Full width at half maximum of the source's energies.")
    lens_instability_ppm: float = Field(
        ge=0, description="High tension and lens current together, standard deviation of the relative focal length."
    )
    convergence_mrad: float = Field(ge=0, description="Spread of the beam's directions at exposure level, half angle.")
    vibration_b_a2: float = Field(
        ge=0, description="Envelope exp(-B k²/4) of vibration, charging and stray fields together."
    )
    shift_defocus_um_per_um: tuple[float, float] = Field(
        description="Change of defocus with image shift along the stage's x and y."
    )
    shift_astigmatism_a_per_um: float = Field(ge=0, description="Astigmatism that each µm of image shift adds.")
    shift_tilt_mrad_per_um: float = Field(ge=0, description="Beam tilt with image shift; it makes coma.")
    energy_filter: bool
    beam_decay_per_h: float = Field(ge=0, description="Fraction of the beam current lost each hour.")
    flash_every_h: float = Field(
        gt=0,
        description="The cold emitter is flashed when the last time is so long ago; a refill after half of it too.",
    )
    zero_loss_drift_ev_per_h: float = Field(ge=0, description="How fast the zero-loss peak leaves the slit's middle.")
    zero_loss_error_ev: float = Field(ge=0, description="Standard deviation of what centring the peak leaves.")
    zero_loss_width_ev: float = Field(gt=0, description="Full width of the zero-loss peak at half its height.")
    vignetting: float = Field(ge=0, lt=1, description="Fraction of light lost at the rim of the illuminated disc.")
    beam_centre_error: float = Field(
        ge=0, lt=0.5, description="Standard deviation per axis of the beam's middle from the image's, of its radius."
    )
    survey_convergence_mrad: float = Field(
        ge=0, description="Spread of the beam's directions at survey levels; with the defocus it blurs."
    )


class Matter(Frozen):
    """How matter holds electrons back from the image: mean free paths with the usual apertures."""

    ice_path_nm: float = Field(gt=0)
    carbon_path_nm: float = Field(gt=0)
    gold_path_nm: float = Field(gt=0)
    ice_inelastic_path_nm: float = Field(gt=0, description="What the slit of a filter takes besides, where it is in.")
    carbon_inelastic_path_nm: float = Field(gt=0)
    gold_inelastic_path_nm: float = Field(gt=0)


class Camera(Frozen):
    """The detector."""

    rows_px: int = Field(ge=16, description="Rows of the detector, unbinned.")
    cols_px: int = Field(ge=16, description="Columns of the detector, unbinned.")
    counts_per_electron: float = Field(gt=0)
    read_noise_counts: float = Field(ge=0, description="At levels taken in linear mode; 0 for a counting camera.")
    dark_e_per_px: float = Field(ge=0, description="Counts that come without a beam, as electrons per pixel and image.")
    glow: float = Field(ge=0, lt=0.5, description="Fraction of the light that the camera spreads wide.")
    blur_px: float = Field(ge=0, description="Standard deviation of the point spread, before electrons are counted.")
    spread_px: float = Field(
        ge=0, description="Standard deviation of the light's spread from each electron, which colours the noise too."
    )
    gain_error: float = Field(
        ge=0,
        lt=0.5,
        description="What gain correction leaves, pixel by pixel: standard deviation, unbinned, a fraction.",
    )
    gain_wide_error: float = Field(ge=0, lt=0.5, description="The same over large parts of the camera.")
    hot_pixels: float = Field(ge=0, lt=0.01, description="Fraction of the sensor's pixels that are far too bright.")
    hot_counts_per_s: float = Field(ge=0, description="What a typical one of them adds.")
    dead_pixels: float = Field(ge=0, lt=0.01, description="Fraction of the sensor's pixels that see nothing.")
    xrays_per_s: float = Field(ge=0, description="X-rays and cosmic rays that strike the sensor.")
    xray_counts: float = Field(ge=0, description="What one of them leaves, on average.")
    counting: bool = Field(description="Whether exposures are counted electron by electron, or integrated.")
    mtf: tuple[tuple[float, float], ...] = Field(
        min_length=1, description="Modulation transfer at exposure level: pairs of frequency over Nyquist's, MTF."
    )
    coincidence_s: float = Field(
        ge=0,
        lt=1,
        description="Dead time t of a counting camera: of r electrons per pixel and s it counts r / (1 + r t).",
    )


class Dewars(Frozen):
    """Cooling."""

    has_refill: bool
    first_fill_h: float = Field(gt=0, description="Hours from the start of the night to the first fill.")
    fill_every_h: float = Field(gt=0)
    fill: Duration
    settle_s: float = Field(ge=0, description="The specimen shakes for so long after a fill.")
    drift_a_per_s: float = Field(ge=0, description="While filling.")


class Pump(Frozen):
    """Cycles of the buffer tank's pump, which shake as fills do."""

    every_h: float = Field(gt=0)
    cycle: Duration
    settle_s: float = Field(ge=0, description="The specimen shakes for so long after a cycle.")
    drift_a_per_s: float = Field(ge=0, description="While pumping.")


class Focusing(Frozen):
    """Automatic procedures on images."""

    height_tilts_deg: tuple[float, float] = Field(description="Tilts to either side, coarse and fine.")
    beam_tilts_mrad: tuple[float, float] = Field(description="Beam tilts to either side for focusing, coarse and fine.")
    beam_tilt_error: float = Field(ge=0, description="Standard deviation of the beam tilt's scale, as a fraction.")
    autofocus_dose_e_per_a2: float = Field(ge=0)
    autofocus_range_um: float = Field(gt=0, description="A specimen further from focus than this is not found.")


class Times(Frozen):
    """How long the acts take."""

    inventory: Duration
    load: Duration
    unload: Duration
    stage_move: Duration
    stage_um_per_s: float = Field(gt=0)
    stage_um_per_s2: float = Field(gt=0, description="How fast the stage comes to that speed, and to rest again.")
    stage_z_s: float = Field(ge=0, description="A change of height takes so long besides its way.")
    stage_z_um_per_s: float = Field(gt=0)
    tilt_deg_per_s: float = Field(gt=0)
    preset: Duration
    image_shift: Duration
    acquire: dict[Level, Duration] = Field(description="Besides the exposure itself: reading out and saving.")
    height_tilt: Duration
    height_focus: Duration
    autofocus: Duration
    drift_reading: Duration
    zero_loss: Duration
    valve: Duration
    flash: Duration
    quick_share: float = Field(ge=0, lt=1, description="Share of exposures right after another that go quicker.")
    quick_saves_s: float = Field(ge=0, description="By how much.")


class LevelOptics(Frozen):
    """One level: its preset and how its image lies on the specimen."""

    preset: Preset
    rotation_deg: float = Field(description="From the stage's x axis to the image's columns.")
    offset_um: tuple[float, float] = Field(default=(0.0, 0.0), description="What the centre shows off the axis.")
    distortion_radial: float = Field(
        gt=-0.1, lt=0.1, description="How much further out a corner is drawn than it should (pincushion; barrel < 0)."
    )
    distortion_spiral: float = Field(gt=-0.1, lt=0.1, description="How far a corner is turned, in radians.")


class Profile(Frozen):
    """One simulated instrument."""

    name: str
    about: str
    stage: StageNumbers
    loader: LoaderNumbers
    optics: OpticsNumbers
    matter: Matter
    camera: Camera
    dewars: Dewars
    pump: Pump
    focusing: Focusing
    times: Times
    levels: dict[Level, LevelOptics]
    sources: dict[str, str] = Field(
        description="Where each number is from, by dotted name or the beginning of one; 'assumed' if nobody measured."
    )

    @model_validator(mode="after")
    def _every_number_has_a_source(self) -> "Profile":
        missing = set(get_args(Level)) - set(self.levels)
        if missing:
            raise ValueError(f"levels lacks {', '.join(sorted(missing))}")
        for level in self.levels.values():
            if complaint := beyond_camera(level.preset, self.camera):
                raise ValueError(complaint)
        bare = [name for name in _numbers(self.model_dump(exclude={"sources"})) if self.source(name) is None]
        if bare:
            raise ValueError(f"sources says nothing of {bare[0]}")
        return self

    def source(self, name: str) -> str | None:
        """Say where a number is from: the source given for the longest beginning of its dotted name."""
        parts = name.split(".")
        for length in range(len(parts), 0, -1):
            found = self.sources.get(".".join(parts[:length]))
            if found is not None:
                return found
        return None


def beyond_camera(preset: Preset, camera: Camera) -> str:
    """Say why the detector cannot take such an image; nothing when it can."""
    rows, cols = preset.rows_px * preset.binning, preset.cols_px * preset.binning
    if rows <= camera.rows_px and cols <= camera.cols_px:
        return ""
    return (
        f"the {preset.level} preset asks for {preset.rows_px} × {preset.cols_px} pixels at binning {preset.binning}; "
        f"the camera has {camera.rows_px} × {camera.cols_px}, bin less or take fewer pixels"
    )


def check_camera(preset: Preset, camera: Camera) -> None:
    """Raise `BadInput` for an image that the detector cannot take."""
    if complaint := beyond_camera(preset, camera):
        raise BadInput(complaint)


def load_profile(name_or_file: str) -> Profile:
    """Read a shipped profile by name, or a YAML file; raises `BadInput`."""
    return _profile(str(name_or_file))


@lru_cache(maxsize=8)
def _profile(name_or_file: str) -> Profile:
    raw = read_yaml(name_or_file, "profiles")
    try:
        return Profile.model_validate(raw)
    except ValidationError as error:
        raise BadInput(f"profile {name_or_file}: {first_complaint(error)}") from error


def read_yaml(name_or_file: str, folder: str) -> Any:
    """Read a YAML file: one of those shipped in ``folder`` by its bare name, else a path; raises `BadInput`."""
    shipped = resources.files(__package__.rpartition(".")[0]) / folder
    path = shipped / f"{name_or_file}.yaml"
    if not path.is_file():
        own = Path(name_or_file)
        if not own.is_file():
            names = sorted(item.name[:-5] for item in shipped.iterdir() if item.name.endswith(".yaml"))
            raise BadInput(f"{name_or_file} is neither a YAML file nor one of {', '.join(names)}")
        path = own
    try:
        return YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except YAMLError as error:
        raise BadInput(f"{name_or_file} is not readable as YAML: {str(error).splitlines()[0]}") from error


def first_complaint(error: ValidationError) -> str:
    """Put what a model complains of into one phrase; of several complaints the one about the innermost part."""
    deepest = max(error.errors(), key=lambda found: len(found["loc"]))
    names = [str(part) for part in deepest["loc"]]
    where = ".".join(name for name in names if name.isdigit() or (name.islower() and "[" not in name)) or "it"
    given = f" (given: {_SHORTLY.repr(deepest['input'])})" if not isinstance(deepest["input"], dict | list) else ""
    return f"{where}: {deepest['msg'].removeprefix('Value error, ')}{given}"


def _numbers(tree: Any, name: str = "") -> list[str]:
    if isinstance(tree, dict):
        return [leaf for part, below in tree.items() for leaf in _numbers(below, f"{name}.{part}".lstrip("."))]
    if isinstance(tree, bool) or not isinstance(tree, int | float | tuple | list):
        return []
    return [name]
