"""What the fitters answer. CTF code takes positive underfocus in Å or µm and says so."""

from dataclasses import dataclass

from ..hardware.records import Affine, Pixels


@dataclass(frozen=True, slots=True)
class Stitched:
    """Tiles joined. ``offsets_px`` are the (row, col) of each tile's first pixel in the mosaic, in the order given.

    ``residual_px`` is the rms disagreement of the overlaps kept; ``overlaps_used`` how many pairs measured by
    correlation entered the fit (the rest rest on the stage prior).
    """

    pixels: Pixels
    offsets_px: tuple[tuple[float, float], ...]
    image_to_stage: Affine
    pixel_size_a: float
    residual_px: float
    overlaps_used: int


@dataclass(frozen=True, slots=True)
class Displacement:
    """Shift that brings ``moving`` onto ``fixed``: a feature at p in moving stands at p + shift in fixed, in px.

    ``confidence`` in 0..1; below 0.3 it is not to be trusted.
    """

    row_px: float
    col_px: float
    confidence: float


@dataclass(frozen=True, slots=True)
class Reregistration:
    """Where a reloaded grid lies: affine from stage µm at the first load to stage µm now, or a reason why not."""

    frame: Affine | None
    rotation_deg: float
    confidence: float
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Motion:
    """Frame shifts (row, col) in px relative to the first frame, and the total path in Å."""

    shifts_px: tuple[tuple[float, float], ...]
    total_a: float


@dataclass(frozen=True, slots=True)
class CtfFit:
    """A two-dimensional fit of the contrast transfer function.

    ``defocus_um`` is the mean of u and v, underfocus **positive**; ``astigmatism_a`` is u - v ≥ 0;
    ``angle_deg`` is the direction of u from the column axis towards the row axis; ``fit_resolution_a`` is where the
    fit stops following the rings; ``confidence`` in 0..1 (correlation of model and spectrum).
    """

    defocus_um: float
    astigmatism_a: float
    angle_deg: float
    fit_resolution_a: float
    confidence: float


@dataclass(frozen=True, slots=True)
class MicrographVerdict:
    """Everything one exposure's analysis found, and its pictures as PNG bytes.

    ``flags`` are short words; ``black`` when the counts say that no beam reached the camera.
    """

    motion: Motion | None
    ctf: CtfFit | None
    mean_counts: float
    ice_nm: float | None
    flags: tuple[str, ...]
    micrograph_png: bytes
    spectrum_png: bytes
