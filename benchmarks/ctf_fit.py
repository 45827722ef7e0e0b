"""CTF fit: planted defocus and astigmatism against what is found, beside torch-ctf-estimation where that is installed.

    python benchmarks/ctf_fit.py [--side 1024] [--repeats 2] [--noise 5] [--out FILE.json]

Prints a table and writes JSON. Micrographs are simulated here in numpy alone: white scattering under the CTF and an
envelope, white noise; SNR is the ratio of their variances. Seconds are CPU seconds of this process.

The reference is not among the project's dependencies: `pip install torch torch-ctf-estimation` in an environment of its
own, then run with that interpreter and this project on its path. It imports torchvision for a Gaussian blur alone;
where that cannot be imported, a blur of our own takes its place.
"""

import argparse
import importlib.util
import json
import math
import sys
import time
import types
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epicycle.imaging.ctf import fit_ctf

CS_MM, CONTRAST, RANGE_UM = 2.7, 0.07, (0.3, 6.0)
REFERENCE = "torch_ctf_estimation"


@dataclass(frozen=True, slots=True)
class Planted:
    """One simulated micrograph; ``astigmatism_a`` is u - v."""

    voltage_kv: float
    pixel_a: float
    defocus_um: float
    astigmatism_a: float
    angle_deg: float
    snr: float
    b_a2: float


@dataclass(frozen=True, slots=True)
class Found:
    """What one program says of it; ``confidence`` is its own correlation, resolution None where it gives none."""

    defocus_um: float
    astigmatism_a: float
    angle_deg: float
    confidence: float
    resolution_a: float | None
    cpu_s: float


def micrograph(planted: Planted, side: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Simulate amorphous ice."""
    volts = planted.voltage_kv * 1e3
    wave = 12.2643 / math.sqrt(volts + 0.97845e-6 * volts**2)
    ky, kx = np.fft.fftfreq(side, planted.pixel_a)[:, None], np.fft.rfftfreq(side, planted.pixel_a)[None, :]
    k2 = ky**2 + kx**2
    turned = 2 * (np.arctan2(ky, kx) - math.radians(planted.angle_deg))
    defocus = planted.defocus_um * 1e4 + planted.astigmatism_a / 2 * np.cos(turned)
    chi = math.pi * wave * defocus * k2 - 0.5 * math.pi * CS_MM * 1e7 * wave**3 * k2**2
    transfer = -np.sin(chi + math.asin(CONTRAST)) * np.exp(-planted.b_a2 / 4 * k2)
    contrast = np.fft.irfft2(np.fft.rfft2(rng.normal(size=(side, side))) * transfer, (side, side))
    return (math.sqrt(planted.snr) * contrast / contrast.std() + rng.normal(size=(side, side))).astype(np.float32)


def ours(image: NDArray[np.float32], planted: Planted) -> Found:
    """Fit with this project."""
    begun = time.process_time()
    fit = fit_ctf(image, planted.pixel_a, planted.voltage_kv, CS_MM, CONTRAST, RANGE_UM)
    spent = time.process_time() - begun
    return Found(fit.defocus_um, fit.astigmatism_a, fit.angle_deg, fit.confidence, fit.fit_resolution_a, spent)


def reference(image: NDArray[np.float32], planted: Planted) -> Found:
    """Fit with torch-ctf-estimation: 512 px patches, 1.5 Å inside, a single defocus."""
    torch, estimate, models = _reference()
    optics = models.OpticalParams(
        pixel_spacing_angstroms=planted.pixel_a,
        voltage_kev=planted.voltage_kv,
        spherical_aberration_mm=CS_MM,
        amplitude_contrast_fraction=CONTRAST,
        target_pixel_spacing_angstroms=1.5,
    )
    fitting = models.CTFFittingParams(
        defocus_grid_resolution=(1, 1, 1),
        frequency_fit_range_angstroms=(30.0, max(3.2, 2.1 * planted.pixel_a)),
        defocus_range_microns=RANGE_UM,
        patch_sidelength=512,
    )
    begun = time.process_time()
    _, radial, fit = estimate(torch.from_numpy(image), optics, fitting, device=torch.device("cpu"))
    spent = time.process_time() - begun
    # It fits (u - v) / 2 but takes half of that again for u and v; their mean is right, their difference is not.
    mean_um = (fit.defocus_u + fit.defocus_v) / 2
    return Found(mean_um, 2e4 * fit.astigmatism, fit.astigmatism_angle, radial.cross_correlation_final, None, spent)


@cache
def _reference() -> tuple[Any, Callable[..., Any], Any]:
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    try:
        importlib.import_module("torchvision.transforms.functional")
    except (ImportError, RuntimeError):
        _blur_instead_of_torchvision(torch)
    estimation = importlib.import_module(REFERENCE)
    return torch, estimation.estimate_ctf, importlib.import_module(f"{REFERENCE}.models")


def _blur_instead_of_torchvision(torch: Any) -> None:
    """Put a module with a Gaussian blur where torchvision would be."""

    def gaussian_blur(image: Any, kernel_size: Any, sigma: Any = None) -> Any:
        size = kernel_size if isinstance(kernel_size, int) else kernel_size[0]
        width = (sigma if isinstance(sigma, int | float) else sigma[0]) if sigma else 0.15 * size + 0.35
        at = torch.arange(size, dtype=image.dtype) - (size - 1) / 2
        kernel = torch.exp(-(at**2) / (2 * width**2))
        kernel = kernel / kernel.sum()
        flat = image.reshape(-1, 1, *image.shape[-2:])
        flat = torch.nn.functional.pad(flat, (size // 2,) * 4, mode="reflect")
        flat = torch.nn.functional.conv2d(flat, kernel.view(1, 1, size, 1))
        return torch.nn.functional.conv2d(flat, kernel.view(1, 1, 1, size)).reshape(image.shape)

    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]
    names = ("torchvision", "torchvision.transforms", "torchvision.transforms.functional")
    top, transforms, functional = (sys.modules.setdefault(name, types.ModuleType(name)) for name in names)
    functional.gaussian_blur = gaussian_blur  # type: ignore[attr-defined]
    transforms.functional = functional  # type: ignore[attr-defined]
    top.transforms = transforms  # type: ignore[attr-defined]


def cases(repeats: int, rng: np.random.Generator) -> Iterator[Planted]:
    """Voltages, defoci and SNRs in a grid; pixel, astigmatism and envelope drawn."""
    for voltage in (200.0, 300.0):
        for defocus in (0.8, 1.2, 1.8, 3.0):
            for snr in (0.3, 0.1, 0.03):
                for _ in range(repeats):
                    yield Planted(
                        voltage_kv=voltage,
                        pixel_a=round(float(rng.uniform(0.8, 1.6)), 3),
                        defocus_um=defocus,
                        astigmatism_a=round(float(rng.uniform(0, 1000)), 1),
                        angle_deg=round(float(rng.uniform(-90, 90)), 1),
                        snr=snr,
                        b_a2=80.0,
                    )


def errors(planted: Planted, found: Found) -> dict[str, float]:
    """Give defocus in percent, astigmatism in Å as the length of the difference of its vectors, and the CPU seconds."""
    vectors = [
        half * np.exp(2j * math.radians(angle))
        for half, angle in ((found.astigmatism_a, found.angle_deg), (planted.astigmatism_a, planted.angle_deg))
    ]
    return {
        "defocus_percent": 100 * (found.defocus_um / planted.defocus_um - 1),
        "astigmatism_a": float(abs(vectors[0] - vectors[1])),
        "cpu_s": found.cpu_s,
    }


def show(planted: Planted, answers: dict[str, Found]) -> None:
    """Print one line of the table."""
    line = f"{planted.voltage_kv:.0f} kV  {planted.pixel_a:.2f} Å/px  {planted.defocus_um:.1f} µm  SNR {planted.snr:<5}"
    for name, found in answers.items():
        off = errors(planted, found)
        reach = "" if found.resolution_a is None else f" to {found.resolution_a:4.1f} Å"
        line += (
            f" | {name}: {off['defocus_percent']:+6.2f} %, astigmatism off {off['astigmatism_a']:5.0f} Å, "
            f"confidence {found.confidence:.2f}{reach}, {found.cpu_s:5.2f} s"
        )
    print(line, flush=True)


def summary(rows: list[tuple[Planted, dict[str, Found]]], name: str) -> dict[str, Any]:
    """Sum up one program's errors for each SNR."""
    table = {}
    for snr in sorted({planted.snr for planted, _ in rows}, reverse=True):
        off = [errors(planted, answers[name]) for planted, answers in rows if planted.snr == snr]
        defocus = np.abs([one["defocus_percent"] for one in off])
        astigmatism = np.array([one["astigmatism_a"] for one in off])
        table[f"snr {snr}"] = {
            "defocus_percent_median": round(float(np.median(defocus)), 3),
            "defocus_percent_worst": round(float(defocus.max()), 3),
            "astigmatism_a_median": round(float(np.median(astigmatism)), 1),
            "astigmatism_a_worst": round(float(astigmatism.max()), 1),
            "cpu_s_mean": round(float(np.mean([one["cpu_s"] for one in off])), 3),
        }
    return table


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--side", type=int, default=1024, help="side of the micrographs in px")
    parser.add_argument("--repeats", type=int, default=2, help="micrographs for each voltage, defocus and SNR")
    parser.add_argument("--noise", type=int, default=5, help="images of noise alone")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("ctf_fit.json"), help="JSON to write")
    asked = parser.parse_args()
    rng = np.random.default_rng(asked.seed)
    programs: dict[str, Callable[[NDArray[np.float32], Planted], Found]] = {"ours": ours}
    if importlib.util.find_spec(REFERENCE) is None:
        print("reference torch-ctf-estimation: not installed here, so ours stands alone")
    else:
        programs["reference"] = reference
    rows = []
    for planted in cases(asked.repeats, rng):
        image = micrograph(planted, asked.side, rng)
        rows.append((planted, {name: fit(image, planted) for name, fit in programs.items()}))
        show(*rows[-1])
    nothing = Planted(300.0, 1.2, math.nan, math.nan, math.nan, 0.0, 0.0)
    noise = [rng.normal(size=(asked.side, asked.side)).astype(np.float32) for _ in range(asked.noise)]
    of_noise = {name: [round(fit(image, nothing).confidence, 3) for image in noise] for name, fit in programs.items()}
    report = {
        "side_px": asked.side,
        "reference": "torch-ctf-estimation" if "reference" in programs else "not installed",
        "summary": {name: summary(rows, name) for name in programs},
        "confidence_on_noise": of_noise,
        "rows": [
            asdict(planted) | {name: asdict(found) for name, found in answers.items()} for planted, answers in rows
        ],
    }
    print(json.dumps({key: value for key, value in report.items() if key != "rows"}, indent=2))
    asked.out.write_text(json.dumps(report, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
