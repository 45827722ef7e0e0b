"""The verdict on one exposure: everything that its frames say, in one call that runs in a worker process."""

from pathlib import Path

import cv2
import numpy as np

from ..files.mrc import read_frames
from ..hardware.records import Pixels
from .ctf import fit_spectrum
from .ice import ice_nm
from .lens import Lens
from .motion import align_frames
from .pictures import micrograph_png, spectrum_png
from .pixels import shrunk
from .records import CtfFit, MicrographVerdict, Motion
from .spectrum import SMALLEST_PATCH_PX, spectrum_of

BLACK_SHARE = 0.03
"""An image with less than this share of the expected counts saw no beam; the thickest usable ice passes far more."""

NO_FIT_CONFIDENCE = 0.3
"""Below this confidence of the CTF fit the exposure is flagged ``no-fit``."""


def judge(
    path: Path,
    *,
    pixel_size_a: float,
    voltage_kv: float,
    cs_mm: float,
    amplitude_contrast: float,
    expected_counts: float | None,
    vacuum_counts: float | None,
    mean_free_path_nm: float,
) -> MicrographVerdict:
    """Judge an exposure by its file: counts, motion, CTF, ice, and two small pictures.

    Parameters
    ----------
    path
        MRC file, one section per frame.
    pixel_size_a
        Å per pixel of the file.
    voltage_kv, cs_mm, amplitude_contrast
        Of the microscope.
    expected_counts
        Counts per pixel of the whole exposure (all frames) with nothing in the beam; None when not known: then only an
        image without any counts is black.
    vacuum_counts
        The same as a reference for ice; None leaves the ice out.
    mean_free_path_nm
        Λ of `ice_nm`.

    Returns
    -------
    MicrographVerdict
        ``mean_counts`` is of the sum of all frames. Flags: ``black`` (no beam; nothing else is judged), ``no-fit``
        (no rings found), ``too-small`` (no spectrum possible). ``motion`` is None for a single frame.

    Raises
    ------
    files.mrc.BadImage
        The file cannot be used.
    """
    cv2.setNumThreads(1)  # one process per core already; more threads would only get in each other's way
    frames = read_frames(path)
    mean_counts = float(sum(float(np.mean(frame, dtype=np.float64)) for frame in frames))
    if is_black(mean_counts, expected_counts):
        return MicrographVerdict(None, None, mean_counts, None, ("black",), micrograph_png(_summed(frames)), b"")
    micrograph, motion = align_frames(frames, pixel_size_a)
    lens = Lens(voltage_kv, cs_mm, amplitude_contrast)
    ctf, flags, picture = _fit(micrograph, pixel_size_a, lens)
    ice = None if not vacuum_counts else _ice(micrograph, vacuum_counts, mean_free_path_nm)
    moved: Motion | None = motion if len(frames) > 1 else None
    return MicrographVerdict(moved, ctf, mean_counts, ice, flags, micrograph_png(micrograph), picture)


def is_black(mean_counts: float, expected_counts: float | None) -> bool:
    """Say whether counts are so few that no beam can have reached the camera."""
    if expected_counts is None or expected_counts <= 0:
        return mean_counts <= 0
    return mean_counts < BLACK_SHARE * expected_counts


def _ice(micrograph: Pixels, vacuum_counts: float, mean_free_path_nm: float) -> float | None:
    """Ice over most of the image: the median of averaged pixels, which a rim of film at one side does not move."""
    counts = float(np.median(shrunk(micrograph, max(1, min(micrograph.shape) // 128))))
    return None if counts <= 0 else ice_nm(counts, vacuum_counts, mean_free_path_nm)


def _fit(micrograph: Pixels, pixel_size_a: float, lens: Lens) -> tuple[CtfFit | None, tuple[str, ...], bytes]:
    """Spectrum, fit, flags and picture."""
    if min(micrograph.shape) < SMALLEST_PATCH_PX:
        return None, ("too-small",), b""
    spectrum = spectrum_of(micrograph, pixel_size_a)
    fit = fit_spectrum(spectrum, lens)
    found = fit.confidence >= NO_FIT_CONFIDENCE
    picture = spectrum_png(spectrum, lens, fit if found else None)
    return fit, () if found else ("no-fit",), picture


def _summed(frames: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> Pixels:
    return np.asarray(np.sum(frames, axis=0, dtype=np.float32))
