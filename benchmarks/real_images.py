"""Real images against their best simulated match at equal pixel size: histogram and radial power spectrum.

    python benchmarks/real_images.py [--only NAME ...] [--looks N] [--seed N] [--json FILE] [--out FOLDER]

For each real image the simulator's free numbers (which grid, where on it, how it lies, ice, light, lens, camera) are
searched for the picture that comes nearest; every look is one whole simulated picture of the size and pixel size of the
real one. Two distances are taken, both blind to the camera's offset and scale:

* histogram: the mean difference of the quantiles of intensity (Wasserstein-1), intensity counted from the first to the
  99th percentile;
* spectrum: the root mean square difference of log10 of the radial power spectrum, images at unit variance under a Hann
  window, frequencies in equal steps of the logarithm.

They are held against the same distances between two real images of that level. At hole level the data has three real
images (and one made from another): the bar is the distance to the *nearest* other one. Of atlas, square and micrograph
there is one image each; there the bar is the distance of its two halves (left and right or top and bottom, whichever
pair is more alike), which one camera took of one specimen at one moment. The distance to the nearest image of any other
level is printed beside it for those who find the halves too strict.

``--out`` takes pictures real | simulated side by side. They hold the real images, some of which may not be passed on:
keep that folder outside the project.
"""

import argparse
import json
import math
import sys
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from epicycle.files.mrc import read_image
from epicycle.hardware.simulator.evaluation import studio
from epicycle.hardware.simulator.grid.cassette_world import GridSpec
from epicycle.hardware.simulator.instrument.profile import load_profile
from epicycle.hardware.simulator.pictures.specimen import Stain
from epicycle.protocols.preset import Level, Preset

DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data" / "images"
PROFILE = "screening-200kv"

QUANTILES = np.linspace(0.002, 0.998, 400)
SPECTRUM_BINS = 36
FINE_BIN = 18
"""First ring in which the lattice of holes of an atlas tile may show."""

Pixels = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Real:
    """One real image and what is known of it: level, pixel size, support film and mesh to try, kinds of squares."""

    name: str
    level: Level
    pixel_a: float
    films: tuple[str, ...]
    meshes: tuple[str, ...]
    kinds: tuple[str, ...] = ("intact",)
    material: str = "Carbon"
    grids: tuple[str, ...] = ("good",)
    anywhere_um: float = 0.0
    start: dict[str, float] = field(default_factory=dict)


REAL = (
    Real("lowmag_20may08a", "atlas", 4085.0, ("R1.2/1.3",), ("400",), grids=("good", "ordinary"), anywhere_um=500.0,
         start={"rotation_deg": 45.0, "electrons": 3000.0, "ice_nm": 12.0, "collar_nm": 8.0,
                "film_path": 0.9, "glow": 0.08, "thick": 0.01, "dry": 0.02}),
    Real("square_leginon", "square", 550.0, ("R2/2",), ("400", "300"), kinds=("intact", "contaminated"),
         anywhere_um=6.0, start={"rotation_deg": 23.0, "electrons": 40.0, "stains": 8, "dendrites": 6.0}),
    Real("holes_leginon", "hole", 195.0, ("R2/2",), ("300", "400"), anywhere_um=22.0, start={"rotation_deg": 30.0}),
    Real("holes_untilted", "hole", 150.0, ("R2/2",), ("300", "400"), anywhere_um=12.0, start={"dendrites": 20.0}),
    Real("medmag_21feb25a_668x474", "hole", 186.0, ("R1.2/1.3",), ("300",), anywhere_um=12.0),
    Real("medmag_21feb25a_1440x1023", "hole", 86.0, ("R1.2/1.3",), ("300",), anywhere_um=12.0),
    Real("micrograph_07jan05b_binned", "exposure", 13.0, ("R2/2", "NegativeStain"), ("300",),
         anywhere_um=0.5, start={"electrons": 400.0, "underfocus_um": 2.5, "particle_a": 140.0, "aggregated": 0.4,
                                 "amplitude": 0.2}),
)  # fmt: skip
DERIVED = "medmag_21feb25a_1440x1023"
"""Made from the image of half its size: no second real image."""


@dataclass(frozen=True, slots=True)
class Setting:
    """All that is searched; lengths in the unit of the name, ``east`` and ``north`` in fractions of the reach."""

    seed: int = 1
    film: int = 0
    mesh: int = 0
    kind: int = 0
    grid: int = 0
    east: float = 0.0
    north: float = 0.0
    rotation_deg: float = 20.0
    electrons: float = 80.0
    underfocus_um: float = 100.0
    ice_nm: float = 38.0
    ice_spread: float = 0.2
    meniscus: float = 1.0
    lens: float = 0.32
    collar_nm: float = 18.0
    dendrites: float = 1.0
    ice_path: float = 1.0
    film_path: float = 1.0
    thick: float = 0.03
    dry: float = 0.03
    crystals: float = 3.0
    empty_holes: float = 0.03
    stains: float = 0.0
    blur_px: float = 0.6
    spread_px: float = 0.5
    read: float = 1.0
    glow: float = 0.04
    dark: float = 0.05
    beam: float = 3.0
    vignetting: float = 0.1
    convergence_mrad: float = 0.1
    particle_a: float = 120.0
    particles: float = 600.0
    aggregated: float = 0.04
    amplitude: float = 0.07


SPREAD: dict[str, tuple[float, float, float]] = {
    # name: (least, most, step); steps of numbers with a positive least are factors (e to the step).
    "east": (-1, 1, 0.4),
    "north": (-1, 1, 0.4),
    "rotation_deg": (-180, 180, 8),
    "electrons": (3, 4000, 0.5),
    "underfocus_um": (0.5, 400, 0.5),
    "ice_nm": (5, 150, 0.3),
    "ice_spread": (0.05, 0.6, 0.3),
    "meniscus": (0.1, 8, 0.5),
    "lens": (0.02, 0.7, 0.4),
    "collar_nm": (1, 40, 0.5),
    "dendrites": (0.01, 60, 0.6),
    "ice_path": (0.4, 2.5, 0.2),
    "film_path": (0.25, 4, 0.3),
    "thick": (0.001, 0.3, 0.6),
    "dry": (0.001, 0.3, 0.6),
    "crystals": (0.1, 40, 0.5),
    "empty_holes": (0.001, 0.4, 0.6),
    "stains": (0, 16, 3),
    "blur_px": (0.2, 2.5, 0.25),
    "spread_px": (0.2, 1.5, 0.25),
    "read": (0.05, 20, 0.5),
    "glow": (0.005, 0.3, 0.4),
    "dark": (0.01, 5, 0.5),
    "beam": (1.02, 8, 0.2),
    "vignetting": (0.01, 0.5, 0.4),
    "convergence_mrad": (0.01, 2, 0.5),
    "particle_a": (60, 320, 0.2),
    "particles": (30, 3000, 0.5),
    "aggregated": (0.01, 0.9, 0.6),
    "amplitude": (0.04, 0.4, 0.4),
}


@dataclass(frozen=True, slots=True)
class Distance:
    """How far two images are apart."""

    histogram: float
    spectrum: float


@dataclass(frozen=True, slots=True)
class Row:
    """One real image: its distance to the best match, the bar, and the setting that made the match."""

    name: str
    match: Distance
    bar: Distance
    bar_is: str
    beside: Distance
    looks: int
    cpu_s: float
    setting: Setting

    @property
    def held(self) -> bool:
        """Whether neither distance is larger than the bar."""
        return self.match.histogram <= self.bar.histogram and self.match.spectrum <= self.bar.spectrum


def main(arguments: list[str] | None = None) -> int:
    """Search, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the real images")
    names = [real.name for real in REAL]
    parser.add_argument("--only", nargs="+", choices=names, default=names, help="images to take, all by default")
    parser.add_argument("--looks", type=int, default=1000, help="simulated pictures tried for each")
    parser.add_argument("--seed", type=int, default=1, help="of the search")
    parser.add_argument("--json", type=Path, help="write the table here, too")
    parser.add_argument("--out", type=Path, help="folder for pictures side by side, outside the project")
    given = parser.parse_args(arguments)
    if not given.data.is_dir():
        print(f"no images at {given.data}; give --data", file=sys.stderr)
        return 2
    images = {real.name: read_image(given.data / f"{real.name}.mrc")[0].astype(np.float64) for real in REAL}
    chosen = [real for real in REAL if real.name in given.only]
    rows = []
    for real in chosen:
        rows.append(compare(real, images, given.looks, given.seed))
        _print(rows[-1], first=len(rows) == 1)
        if given.out is not None:
            beside(images[real.name], simulated(real, rows[-1].setting, images[real.name].shape), real, given.out)
    if given.json is not None:
        plain = [{**asdict(row), "held": row.held} for row in rows]
        given.json.write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")
    return 0


def compare(real: Real, images: dict[str, Pixels], looks: int, seed: int) -> Row:
    """Search for the best match of one real image."""
    begun = time.process_time()
    image = images[real.name]
    bar, bar_is = bar_of(real, images)
    others = [distance(image, other) for name, other in images.items() if name not in (real.name, DERIVED)]
    nearest = min(others, key=lambda found: found.histogram / bar.histogram + found.spectrum / bar.spectrum)
    setting, match = search(real, image, bar, looks, np.random.default_rng([seed, len(real.name)]))
    return Row(real.name, match, bar, bar_is, nearest, looks, time.process_time() - begun, setting)


def bar_of(real: Real, images: dict[str, Pixels]) -> tuple[Distance, str]:
    """Give the distance between two real images of this level, and which two these are."""
    image = images[real.name]
    kin = [other.name for other in REAL if other.level == real.level and other.name not in (real.name, DERIVED)]
    if real.name == DERIVED:
        # The image it was made from is no second one.
        kin = [name for name in kin if name[:12] != real.name[:12]]
    if kin:
        found = {name: distance(image, images[name]) for name in kin}
        name = min(found, key=lambda key: found[key].histogram + found[key].spectrum)
        return found[name], name
    rows, cols = image.shape[0] // 2, image.shape[1] // 2
    halves = [distance(image[:, :cols], image[:, -cols:]), distance(image[:rows], image[-rows:])]
    return min(halves, key=lambda found: found.histogram + found.spectrum), "its halves"


def distance(first: Pixels, second: Pixels) -> Distance:
    """Compare two images of any size, frequencies in cycles per pixel."""
    quantiles = np.abs(_quantiles(first) - _quantiles(second)).mean()
    spectra = _spectrum(first) - _spectrum(second)
    return Distance(float(quantiles), float(np.sqrt((spectra**2).mean())))


def _quantiles(image: Pixels) -> Pixels:
    low, high = np.percentile(image, [1, 99])
    return np.clip((np.quantile(image, QUANTILES) - low) / max(high - low, 1e-9), -0.5, 1.5)


def _spectrum(image: Pixels) -> Pixels:
    """Give log10 of the radial mean of the power spectrum in equal steps of the logarithm of frequency."""
    power, number, middles = _rings(image)
    total = np.bincount(number, power, SPECTRUM_BINS)
    count = np.bincount(number, minlength=SPECTRUM_BINS)
    known = count > 0
    return np.interp(np.log(middles), np.log(middles[known]), np.log10(total[known] / count[known] + 1e-12))


def _lattice_peak(image: Pixels) -> float:
    """Give log10 of how far the strongest spot of the power spectrum stands above its ring, among fine details."""
    power, number, _ = _rings(image)
    fine = number >= FINE_BIN
    total = np.bincount(number[fine], power[fine], SPECTRUM_BINS)
    count = np.bincount(number[fine], minlength=SPECTRUM_BINS)
    mean = total / np.maximum(count, 1)
    return float(np.log10((power[fine] / np.maximum(mean[number[fine]], 1e-12)).max()))


def _rings(image: Pixels) -> tuple[Pixels, NDArray[np.int64], Pixels]:
    """Give the power at every frequency within the range, the number of its ring, and the rings' frequencies."""
    rows, cols = image.shape
    low, high = np.percentile(image, [0.1, 99.9])
    flat = np.clip(image, low, high)
    flat = (flat - flat.mean()) / flat.std()
    window = np.hanning(rows)[:, None] * np.hanning(cols)[None, :]
    power = np.abs(np.fft.rfft2(flat * window)) ** 2 / (window**2).sum()
    away = np.hypot(np.fft.fftfreq(rows)[:, None], np.fft.rfftfreq(cols)[None, :])
    edges = np.geomspace(0.008, 0.5, SPECTRUM_BINS + 1)
    number = np.digitize(away, edges) - 1
    within = (number >= 0) & (number < SPECTRUM_BINS)
    return power[within], number[within], np.sqrt(edges[:-1] * edges[1:])


def search(real: Real, image: Pixels, bar: Distance, looks: int, rng: np.random.Generator) -> tuple[Setting, Distance]:
    """Look around at random, then ever closer around the best."""

    peak = _lattice_peak(image)

    def tried(setting: Setting) -> tuple[float, Setting, Distance]:
        picture = simulated(real, setting, image.shape)
        found = distance(image, picture)
        # The worse of the two decides, the other breaks ties. A lattice that shows in the real image shall show in the
        # match, though neither distance sees it.
        parts = sorted([found.histogram / bar.histogram, found.spectrum / bar.spectrum])
        return parts[1] + 0.2 * parts[0] + 0.6 * abs(_lattice_peak(picture) - peak), setting, found

    best = tried(replace(Setting(), **real.start))  # type: ignore[arg-type]
    for look in track(range(looks - 1), description=real.name, console=Console(stderr=True), transient=True):
        reach = 1.5 * (1 - look / looks) + 0.25
        candidate = tried(_stepped(real, best[1], reach, rng))
        if candidate[0] < best[0]:
            best = candidate
    return best[1], best[2]


def _stepped(real: Real, setting: Setting, reach: float, rng: np.random.Generator) -> Setting:
    """Change some of the numbers of a setting."""
    changed: dict[str, Any] = {}
    for name, (least, most, step) in SPREAD.items():
        if rng.random() > 0.3:
            continue
        value, way = getattr(setting, name), reach * step * float(rng.standard_normal())
        moved = value * math.exp(way) if least > 0 else value + way
        changed[name] = float(min(max(moved, least), most))
    if rng.random() < 0.15:
        changed["seed"] = int(rng.integers(1, 10_000))
    for name, choices in (("film", real.films), ("mesh", real.meshes), ("kind", real.kinds), ("grid", real.grids)):
        if rng.random() < 0.1:
            changed[name] = int(rng.integers(len(choices)))
    return replace(setting, **changed)


def simulated(real: Real, setting: Setting, shape: tuple[int, ...]) -> Pixels:
    """Take one simulated picture."""
    profile = load_profile(PROFILE)
    level = profile.levels[real.level]
    pixel_um = real.pixel_a * 1e-4
    preset = Preset(
        level=real.level, magnification=1000, pixel_size_a=real.pixel_a, rows_px=shape[0], cols_px=shape[1],
        exposure_s=1.0, dose_e_per_a2=setting.electrons / real.pixel_a**2, binning=2, defocus_um=-setting.underfocus_um,
        beam_diameter_um=setting.beam * math.hypot(*shape[:2]) * pixel_um,
    )  # fmt: skip
    level = level.model_copy(update={"preset": preset, "rotation_deg": setting.rotation_deg, "offset_um": (0.0, 0.0)})
    matter, camera, optics = profile.matter, profile.camera, profile.optics
    film_path = matter.gold_path_nm if real.material == "Gold" else matter.carbon_path_nm
    paths = {"ice_path_nm": matter.ice_path_nm * setting.ice_path, "carbon_path_nm": film_path * setting.film_path}
    seen = {
        "blur_px": setting.blur_px, "spread_px": setting.spread_px, "read_noise_counts": setting.read,
        "glow": setting.glow, "dark_e_per_px": setting.dark,
    }  # fmt: skip
    lens = {"vignetting": setting.vignetting, "survey_convergence_mrad": setting.convergence_mrad}
    lens["amplitude_contrast"] = setting.amplitude
    profile = profile.model_copy(
        update={
            "matter": matter.model_copy(update=paths),
            "camera": camera.model_copy(update=seen),
            "optics": optics.model_copy(update=lens),
            "levels": {**profile.levels, real.level: level},
        }
    )
    instrument = studio.stand_up(profile, _spec(real, setting), setting.seed)
    return _pictured(instrument, preset, real, setting).astype(np.float64)


def _pictured(instrument: Any, preset: Preset, real: Real, setting: Setting) -> NDArray[Any]:
    """Aim at the place of a setting and take the picture, with some earlier exposures where it asks for them."""
    world = studio.world_of(instrument)
    off = real.anywhere_um * np.array([setting.east, setting.north])
    if real.level == "atlas":
        place = off
    else:
        square = studio.square_like(world, real.kinds[setting.kind])
        place = np.array([square.x_um, square.y_um]) + off
        hole = studio.hole_of(square)
        if real.level == "exposure" and hole is not None:
            place = np.array([hole.x_um, hole.y_um]) + off
    studio.aim(instrument, preset, (float(place[0]), float(place[1])))
    rng = np.random.default_rng(setting.seed)
    reach = 0.4 * real.pixel_a * 1e-4 * min(preset.rows_px, preset.cols_px)
    # An exposure is wholly within its own mark.
    count = 0 if real.level == "exposure" else round(setting.stains)
    marks = [Stain(*(place + rng.uniform(-reach, reach, 2)).tolist(), 0.5) for _ in range(count)]
    return studio.photograph(instrument, preset, marks=marks)


def _spec(real: Real, setting: Setting) -> GridSpec:
    same = ("ice_nm", "ice_spread", "thick", "dry", "crystals", "empty_holes", "lens", "collar_nm", "dendrites")
    return GridSpec(
        kind=real.grids[setting.grid],
        hole_type=real.films[setting.film],
        mesh=real.meshes[setting.mesh],
        material=real.material,
        meniscus_nm=220.0 * setting.meniscus,
        gradient=0.1,
        particle_a=setting.particle_a,
        particles_per_um2=setting.particles,
        particles_aggregated=setting.aggregated,
        **{name: getattr(setting, name) for name in same},
    )


def beside(image: Pixels, picture: Pixels, real: Real, folder: Path) -> None:
    """Write real | simulated as one PNG, each between its own percentiles, and the simulated one alone."""
    folder.mkdir(parents=True, exist_ok=True)
    left, right = _shown(image), _shown(picture)
    gap = np.full((left.shape[0], 6), 255, np.uint8)
    cv2.imwrite(str(folder / f"{real.name}.beside.png"), np.hstack([left, gap, right]))
    cv2.imwrite(str(folder / f"{real.name}.simulated.png"), right)


def _shown(image: Pixels) -> NDArray[np.uint8]:
    low, high = np.percentile(image, [0.3, 99.7])
    return np.clip((image - low) / max(high - low, 1e-9) * 255, 0, 255).astype(np.uint8)


def _print(row: Row, *, first: bool) -> None:
    if first:
        print(f"{'image':28} {'histogram':>17} {'spectrum':>17} {'held':>5} {'cpu s':>6}  bar is the distance to")
        print(f"{'':28} {'match    bar':>17} {'match    bar':>17}")
    numbers = [
        f"{row.match.histogram:8.4f} {row.bar.histogram:8.4f}",
        f"{row.match.spectrum:8.3f} {row.bar.spectrum:8.3f}",
    ]
    end = f"{'yes' if row.held else 'NO':>5} {row.cpu_s:6.0f}  {row.bar_is}"
    other = f"; to the nearest of any level {row.beside.histogram:.4f}, {row.beside.spectrum:.3f}"
    print(f"{row.name:28} {numbers[0]} {numbers[1]} {end}{other}", flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
