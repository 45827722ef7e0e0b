"""Micrographs of the simulator judged by CTF fitters: planted defocus, astigmatism and thickness, and what is found.

    python benchmarks/planted_ctf.py [--count 100] [--side 2048] [--seed 0] [--out FILE.json]

Prints a line for each micrograph and a table, and writes JSON. The fitters are this project's own and
torch-ctf-estimation where that is installed (see `ctf_fit.py`); the latter also fits thickness. Fitters see the pixels
and what a microscope tells of itself, nothing else. Astigmatism errors are lengths of the difference of the vectors.
"""

import argparse
import importlib.util
import json
import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ctf_fit import REFERENCE, _reference
from numpy.typing import NDArray
from scipy.stats import spearmanr

from epicycle.hardware.simulator.instrument.profile import Profile, load_profile
from epicycle.hardware.simulator.pictures.exposure_scene import Scene, Setting
from epicycle.hardware.simulator.pictures.lens import Aberrations, Coherence, focal_spread_a, wavelength_a
from epicycle.hardware.simulator.pictures.particles import particle_views, place_particles
from epicycle.hardware.simulator.pictures.render_exposure import render_sum
from epicycle.imaging.ctf import fit_ctf

PROFILES = ("screening-200kv", "collection-300kv")
RANGE_UM = (0.3, 6.0)
PARTICLE_A = 120.0


@dataclass(frozen=True, slots=True)
class Planted:
    """What one micrograph was made with; ``astigmatism_a`` is u - v."""

    profile: str
    defocus_um: float
    astigmatism_a: float
    angle_deg: float
    thickness_nm: float


@dataclass(frozen=True, slots=True)
class Found:
    """What a fitter says; thickness and resolution None where it gives none."""

    defocus_um: float
    astigmatism_a: float
    angle_deg: float
    thickness_nm: float | None
    resolution_a: float | None
    cpu_s: float


def plan(count: int, rng: np.random.Generator) -> list[Planted]:
    """Draw what to plant: profiles in turn, thickness spread evenly in its logarithm."""
    return [
        Planted(
            profile=PROFILES[number % len(PROFILES)],
            defocus_um=round(float(rng.uniform(0.8, 3.0)), 4),
            astigmatism_a=round(float(rng.uniform(0, 600)), 1),
            angle_deg=round(float(rng.uniform(-90, 90)), 1),
            thickness_nm=round(float(np.exp(rng.uniform(math.log(25), math.log(220)))), 1),
        )
        for number in range(count)
    ]


def micrograph(planted: Planted, profile: Profile, side: int, rng: np.random.Generator) -> NDArray[np.int16]:
    """Simulate the aligned sum of an exposure of particles in ice of one thickness."""
    optics, preset = profile.optics, profile.levels["exposure"].preset
    pixel_a = preset.pixel_size_a
    lens = Aberrations(
        wavelength_a(optics.voltage_kv), optics.cs_mm * 1e7, optics.amplitude_contrast,
        planted.defocus_um * 1e4, planted.astigmatism_a, math.radians(planted.angle_deg),
    )  # fmt: skip
    coherence = Coherence(
        focal_spread_a(optics.voltage_kv, optics.cc_mm, optics.energy_spread_ev, optics.lens_instability_ppm),
        optics.convergence_mrad * 1e-3,
        optics.vibration_b_a2,
    )
    setting = Setting(lens, coherence, profile.camera, optics.voltage_kv, pixel_a, (side, side))
    views = particle_views(PARTICLE_A, pixel_a, int(rng.integers(2**31)), optics.voltage_kv)
    many = rng.poisson(500 * (side * pixel_a * 1e-4) ** 2)
    phase = place_particles((side, side), rng.uniform(0, side, (many, 2)), views, rng.integers(0, len(views), many))
    electrons = preset.dose_e_per_a2 * pixel_a**2 * math.exp(-planted.thickness_nm / profile.matter.ice_path_nm)
    elastic = math.exp(-planted.thickness_nm / profile.matter.ice_inelastic_path_nm)
    filtered = optics.energy_filter and preset.slit_ev is not None
    if filtered:
        electrons *= elastic
    scene = Scene(
        ice_nm=planted.thickness_nm, film_nm=0.0, gold=False, phase=phase,
        electrons=electrons, thickness_nm=planted.thickness_nm,
        dose_e_per_a2=preset.dose_e_per_a2, exposure_s=preset.exposure_s, coherent=1.0 if filtered else elastic,
    )  # fmt: skip
    return render_sum(scene, setting, np.zeros((preset.frames + 1, 2)), rng, 32767)


def ours(image: NDArray[np.int16], profile: Profile) -> Found:
    """Fit with this project."""
    optics, begun = profile.optics, time.process_time()
    fit = fit_ctf(image, _pixel_a(profile), optics.voltage_kv, optics.cs_mm, optics.amplitude_contrast, RANGE_UM)
    spent = time.process_time() - begun
    return Found(fit.defocus_um, fit.astigmatism_a, fit.angle_deg, None, fit.fit_resolution_a, spent)


def reference(image: NDArray[np.int16], profile: Profile) -> Found:
    """Fit with torch-ctf-estimation: 512 px patches, 1.5 Å inside, one defocus; thickness on equiphase averages."""
    torch, _, models = _reference()
    fitter = importlib.import_module(REFERENCE)
    optics = models.OpticalParams(
        pixel_spacing_angstroms=_pixel_a(profile),
        voltage_kev=profile.optics.voltage_kv,
        spherical_aberration_mm=profile.optics.cs_mm,
        amplitude_contrast_fraction=profile.optics.amplitude_contrast,
        target_pixel_spacing_angstroms=1.5,
    )
    fitting = models.CTFFittingParams(
        defocus_grid_resolution=(1, 1, 1),
        frequency_fit_range_angstroms=(30.0, 5.0),
        defocus_range_microns=RANGE_UM,
        patch_sidelength=512,
    )
    thickness = models.ThicknessParams(
        refine_dim="none",
        thickness_range_angstroms=(100.0, 3000.0),
        thickness_step_angstroms=25.0,
        use_equiphase=True,
        frequency_fit_range_angstroms=(20.0, 3.5),
    )
    begun = time.process_time()
    result = fitter.estimate_ctf_and_thickness(
        torch.from_numpy(image.astype(np.float32)), optics, fitting, thickness, device=torch.device("cpu")
    )
    spent = time.process_time() - begun
    fit = result.result2d
    # It fits (u - v) / 2 but takes half of that again for u and v; their mean is right, their difference is not.
    return Found(
        (fit.defocus_u + fit.defocus_v) / 2, 2e4 * fit.astigmatism, fit.astigmatism_angle,
        result.thickness1d.thickness_angstroms / 10, None, spent,
    )  # fmt: skip


def errors(planted: Planted, found: Found) -> tuple[float, float]:
    """Give the error of defocus in percent and of astigmatism in Å."""
    vectors = [
        length * np.exp(2j * math.radians(angle))
        for length, angle in ((found.astigmatism_a, found.angle_deg), (planted.astigmatism_a, planted.angle_deg))
    ]
    return 100 * abs(found.defocus_um / planted.defocus_um - 1), float(abs(vectors[0] - vectors[1]))


def summary(rows: Sequence[tuple[Planted, Found]]) -> dict[str, Any]:
    """Sum up one fitter."""
    defocus, astigmatism = np.array([errors(planted, found) for planted, found in rows]).T
    depth = [planted.thickness_nm for planted, _ in rows]
    table: dict[str, Any] = {
        "micrographs": len(rows),
        "defocus_percent_median": round(float(np.median(defocus)), 3),
        "defocus_percent_p90": round(float(np.percentile(defocus, 90)), 3),
        "defocus_percent_worst": round(float(defocus.max()), 3),
        "astigmatism_a_median": round(float(np.median(astigmatism)), 1),
        "astigmatism_a_p90": round(float(np.percentile(astigmatism, 90)), 1),
        "astigmatism_a_worst": round(float(astigmatism.max()), 1),
        "cpu_s_median": round(float(np.median([found.cpu_s for _, found in rows])), 3),
    }
    for name in ("thickness_nm", "resolution_a"):
        values = [getattr(found, name) for _, found in rows]
        if None not in values:
            table[f"spearman_of_{name}_with_thickness"] = round(float(spearmanr(values, depth).statistic), 3)
    return table


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--side", type=int, default=2048, help="side of the micrographs in px")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("planted_ctf.json"), help="JSON to write")
    asked = parser.parse_args()
    rng = np.random.default_rng(asked.seed)
    fitters: dict[str, Callable[[NDArray[np.int16], Profile], Found]] = {"ours": ours}
    if importlib.util.find_spec(REFERENCE) is None:
        print(f"{REFERENCE}: not installed here, so ours stands alone")
    else:
        fitters["reference"] = reference
    rows: list[tuple[Planted, dict[str, Found]]] = []
    for planted in plan(asked.count, rng):
        profile = load_profile(planted.profile)
        image = micrograph(planted, profile, asked.side, rng)
        rows.append((planted, {name: fit(image, profile) for name, fit in fitters.items()}))
        _show(*rows[-1])
    report = {
        "side_px": asked.side,
        "summary": {name: summary([(planted, found[name]) for planted, found in rows]) for name in fitters},
        "rows": [asdict(planted) | {name: asdict(one) for name, one in found.items()} for planted, found in rows],
    }
    print(json.dumps(report["summary"], indent=2))
    asked.out.write_text(json.dumps(report, indent=2) + "\n")
    return 0


def _show(planted: Planted, found: dict[str, Found]) -> None:
    line = f"{planted.profile}  {planted.defocus_um:.2f} µm  {planted.thickness_nm:5.0f} nm"
    for name, one in found.items():
        defocus, astigmatism = errors(planted, one)
        line += f" | {name}: {defocus:5.2f} %, {astigmatism:4.0f} Å"
        line += "" if one.thickness_nm is None else f", {one.thickness_nm:4.0f} nm"
        line += "" if one.resolution_a is None else f", to {one.resolution_a:4.1f} Å"
        line += f", {one.cpu_s:.1f} s"
    print(line, flush=True)


def _pixel_a(profile: Profile) -> float:
    return profile.levels["exposure"].preset.pixel_size_a


if __name__ == "__main__":
    sys.exit(main())
