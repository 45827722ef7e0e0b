"""Rows of the detectors' table on simulated views of seeds that nothing was made from, and on pictures of nothing.

Views are of intact squares, film of several kinds, instruments, sizes and doses. Hexagonal and rectangular lattices are
laid on the same grids. A hole counts when it is whole, in view and stands out of its film. How well holes are scored is
measured on views of its own, of grids and squares of which some holes are fit to be exposed and others are not.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np
from detectors_rows import Pixels, Points, Row, nearest
from numpy.typing import NDArray

from epicycle.detectors.contract import Detections
from epicycle.detectors.records import HoleDetections, HoleFinder, Site, SquareDetections
from epicycle.detectors.training.calibration import calibration_error, sorting
from epicycle.detectors.training.hole_quality import fitness
from epicycle.detectors.training.labelled import HoleMark
from epicycle.hardware.records import Image
from epicycle.hardware.simulator.evaluation import studio
from epicycle.hardware.simulator.evaluation.labels import HoleLabel, HoleState, holes_seen
from epicycle.hardware.simulator.grid.cassette_world import GridSpec
from epicycle.hardware.simulator.grid.openings import SquareKind
from epicycle.hardware.simulator.grid.world import GridWorld
from epicycle.hardware.simulator.instrument.instrument import Instrument
from epicycle.hardware.simulator.instrument.profile import load_profile
from epicycle.orchestrator import plugins
from epicycle.protocols.errors import BadInput
from epicycle.protocols.preset import Preset

FIRST_SEED = 20_000
"""What ships was made from seeds below 10,000."""

FILMS = (
    ("R1.2/1.3", "Carbon"),
    ("UltrAuFoil R1.2/1.3", "Gold"),
    ("R2/2", "Carbon"),
    ("R2/1", "Carbon"),
    ("UltrAuFoil R2/2", "Gold"),
    ("R3.5/1", "Carbon"),
)
PROFILES = ("screening-200kv", "demo-2k", "collection-300kv")
PIXEL_A, WIDE_PX = (100.0, 1000.0), (15.0, 150.0)
CELLS = {
    "square": ((1.0, 0.0), (0.0, 1.0)),
    "hexagonal": ((1.0, 0.0), (0.5, float(np.sqrt(3) / 2))),
    "rectangular": ((1.0, 0.0), (0.0, 1.3)),
}
SCORED_KINDS = ("good", "ordinary", "thick-ice", "dry", "gradient", "contaminated", "filled-holes")
SCORED_SQUARES = ("intact", "thick", "dry", "contaminated")
"""Grids and squares that holes are scored on; each of these squares that a grid has is taken as often as the others."""


@dataclass(frozen=True, slots=True)
class Scene:
    """A picture with its truth.

    ``sure`` are the holes that must be found, ``all`` those that may be, (row, col); ``labels`` all that is known of
    the latter. ``vacuum`` are the counts per pixel where nothing is in the beam.
    """

    name: str
    pixels: Pixels
    pixel_size_a: float
    sure: Points
    all: Points
    radius_px: float
    labels: tuple[HoleLabel, ...] = ()
    vacuum: float = 0.0


def scene(
    cell: str, seed: int, kinds: tuple[str, ...] = ("good", "ordinary"), squares: tuple[str, ...] = ("intact",)
) -> Scene:
    """Take the picture of this seed."""
    rng = np.random.default_rng(seed)
    film, material = FILMS[int(rng.integers(len(FILMS)))]
    profile = load_profile(PROFILES[int(rng.integers(len(PROFILES)))])
    kind = kinds[int(rng.integers(len(kinds)))]
    spec = GridSpec(kind=kind, hole_type=film, material=material, mesh="300")
    instrument = studio.stand_up(profile, spec, seed)
    world = studio.world_of(instrument)
    pitch = world.film.pitch_um
    turned = world.film.basis_um / pitch
    world.film = replace(world.film, basis_um=pitch * turned @ np.array(CELLS[cell]).T)
    hole_um = world.film.hole_um
    low, high = max(WIDE_PX[0], hole_um * 1e4 / PIXEL_A[1]), min(WIDE_PX[1], hole_um * 1e4 / PIXEL_A[0])
    wide = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    pixel_a = hole_um * 1e4 / wide
    # Enough lattice for a lattice to be there, and no more of a square than its film.
    reach_px = 1e4 * 0.62 * world.bars.mesh.opening_um / pixel_a
    side = int(np.clip(rng.uniform(5, 9) * wide * pitch / hole_um, 256, min(1024, max(256.0, reach_px))))
    usual = profile.levels["hole"].preset
    dose = usual.dose_e_per_a2 * (usual.pixel_size_a / pixel_a) ** 2 * float(np.exp(rng.uniform(-1, 1)))
    preset = usual.model_copy(
        update={
            "pixel_size_a": pixel_a, "rows_px": side, "cols_px": round(side * rng.uniform(0.8, 1.25)),
            "dose_e_per_a2": dose, "beam_diameter_um": max(usual.beam_diameter_um, 2 * side * pixel_a * 1e-4),
        }
    )  # fmt: skip
    # The squares' kinds draw from a generator of their own: the pictures of the first rows stay what they were.
    _aim(instrument, preset, _class_of(world, squares, seed), rng)
    pixels = np.asarray(studio.photograph(instrument, preset), np.float32)
    labels = holes_seen(instrument, preset, studio.BEGINNING)
    places = np.array([(hole.row_px, hole.col_px) for hole in labels]).reshape(-1, 2)
    sure = np.array([hole.visible and not hole.cut and hole.state is not HoleState.CUT for hole in labels], bool)
    return Scene(
        f"{cell} {seed} {film} {kind}", pixels, pixel_a, places[sure], places, wide / 2, tuple(labels),
        dose * pixel_a**2,
    )  # fmt: skip


def _aim(instrument: Instrument, preset: Preset, name: str, rng: np.random.Generator) -> None:
    """Point at a place near the middle of a square of this class; at that of the next one where none comes so far."""
    first, off = int(rng.integers(0, 20)), rng.uniform(-5, 5, 2)
    for skip in range(first, first + 20):
        square = studio.square_like(studio.world_of(instrument), name, skip=skip)
        x, y = np.array([square.x_um, square.y_um]) + off
        try:
            studio.aim(instrument, preset, (float(x), float(y)))
        except BadInput:
            continue
        return
    raise RuntimeError(f"no square of the class {name} is within reach")


def _class_of(world: GridWorld, squares: tuple[str, ...], seed: int) -> str:
    """Draw one of these classes of squares that the grid has."""
    here = [name for name in squares if (world.squares.kind == SquareKind[name.upper()]).any()] or ["intact"]
    return here[int(np.random.default_rng([seed, len(squares)]).integers(len(here)))]


def simulated_rows(finders: list[str], count: int) -> Iterator[Row]:
    """Look at `count` views of each kind of lattice."""
    made = {name: plugins.load("epicycle.detectors", name)({}) for name in finders}
    known = {
        "hexagonal": ("5/20", "recall 95 %, precision 95 %", 0.95, 0.95),
        "rectangular": ("5/13", "recall 95 %, precision 95 %", 0.95, 0.95),
        "square": ("-", "recall 98 %, precision 97 %", 0.98, 0.97),
    }
    for cell, (reference, bar, recall, precision) in known.items():
        scenes = [scene(cell, FIRST_SEED + number) for number in range(count)]
        for name, finder in made.items():
            told = [counted(finder, one) for one in scenes]
            yield summed(f"{cell}, {count} simulated views [{name}]", reference, bar, (recall, precision), told)
    yield from score_rows(count)


def score_rows(count: int) -> Iterator[Row]:
    """Compare the chance of being fit that `network-holes` tells of holes with the truth."""
    scenes = [scene("square", FIRST_SEED + number, SCORED_KINDS, SCORED_SQUARES) for number in range(count)]
    finder = plugins.load("epicycle.detectors", "network-holes")
    plain = finder({})
    ways: dict[str, Callable[[Scene], Detections]] = {
        "vacuum known": lambda one: finder({"vacuum_counts": one.vacuum}).find(Image(one.pixels)),
        "nominal dose known": lambda one: plain.find(Image(one.pixels, nominal_counts=one.vacuum)),
        "vacuum not known": lambda one: plain.find(Image(one.pixels)),
    }
    for way, look in ways.items():
        judged = [_judged(one, look(one)) for one in scenes]
        score = np.concatenate([own for own, _ in judged])
        fit = np.concatenate([truth for _, truth in judged])
        if len(fit) == 0:
            yield Row(f"hole scores, {way}", "-", "AUC 0.95, ECE 0.05", "no weights, or torch is not installed", False)
            continue
        auc, error = sorting(score, fit), calibration_error(score, fit)
        said = f"AUC {auc:.3f}, ECE {error:.3f} of {len(fit)} holes, {fit.mean():.0%} of them fit"
        case = f"hole scores, {count} simulated views, {way}"
        yield Row(case, "-", "AUC 0.95, ECE 0.05", said, auc >= 0.95 and error <= 0.05)


def _judged(one: Scene, found: Detections) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Give score and truth of the holes that were told of and are there."""
    told = [hole for hole in found.holes if "fit" in hole.features] if isinstance(found, HoleDetections) else []
    if not told or not one.labels:
        return np.empty(0), np.empty(0, bool)
    places = np.array([(hole.row_px, hole.col_px) for hole in told])
    away = np.linalg.norm(places[:, None] - one.all[None], axis=2)
    pairs = [(n, one.labels[int(near)]) for n, near in enumerate(away.argmin(axis=1)) if away[n, near] < one.radius_px]
    marks = [
        (told[n].features["fit"], fitness(HoleMark(0, 0, 0, label.state.value, ice_nm=label.ice_nm)))
        for n, label in pairs
    ]
    known = [(score, fit) for score, fit in marks if fit is not None]
    return np.array([score for score, _ in known]), np.array([fit for _, fit in known], bool)


@dataclass(frozen=True, slots=True)
class Count:
    """Of one view: holes to be found, found, told, told wrongly; how far off, and how long it took."""

    true: int
    hit: int
    told: int
    false: int
    error: float
    cpu_s: float


def counted(finder: HoleFinder, one: Scene) -> Count:
    start = time.process_time()
    found = finder.find(Image(one.pixels))
    spent = time.process_time() - start
    near = 0.5 * one.radius_px
    told = [hole for hole in found.holes if hole.status in (Site.HOLE, Site.PARTIAL)]
    places = np.array([(hole.row_px, hole.col_px) for hole in told]).reshape(-1, 2)
    off = nearest(one.sure, places)
    return Count(
        len(one.sure), int((off < near).sum()), len(told), int((nearest(places, one.all) >= near).sum()),
        float(np.median(off[off < near]) / one.radius_px) if (off < near).any() else float("nan"),
        spent,
    )  # fmt: skip


def summed(case: str, reference: str, bar: str, least: tuple[float, float], told: list[Count]) -> Row:
    true, hit, given, false = (sum(getattr(one, name) for one in told) for name in ("true", "hit", "told", "false"))
    recall, precision = hit / max(true, 1), 1 - false / max(given, 1)
    blind = sum(one.true > 3 and one.hit == 0 for one in told)
    median_s = float(np.median([one.cpu_s for one in told]))
    error = float(np.nanmedian([one.error for one in told]))
    here = (
        f"recall {recall:.1%}, precision {precision:.1%} of {true}, {blind} views missed, {error:.0%} of a radius off"
    )
    met = recall >= least[0] and precision >= least[1]
    return Row(case, reference, bar, f"{here}, {median_s:.2f} s", met)


def noise_rows(finders: list[str], count: int) -> Iterator[Row]:
    """Let finders look at pictures of nothing: nothing shall be told with a score above a half."""
    for name in finders:
        finder = plugins.load("epicycle.detectors", name)({})
        wrong: dict[str, int] = {}
        for number in range(count):
            kind, pixels = nothing(number, np.random.default_rng(FIRST_SEED + number))
            if any(score > 0.5 for score in _scores(finder.find(Image(pixels)))):
                wrong[kind] = wrong.get(kind, 0) + 1
        said = ", ".join(f"{often} of {kind}" for kind, often in wrong.items()) or "none"
        reference = "finds 1 square, 4 holes on Poisson noise"
        yield Row(f"{count} pictures of nothing [{name}]", reference, "none above 0.5", said, not wrong)


def _scores(found: Detections) -> list[float]:
    if isinstance(found, SquareDetections):
        return [square.score for square in found.squares]
    return [hole.score for hole in found.holes if hole.status in (Site.HOLE, Site.PARTIAL)]


def nothing(number: int, rng: np.random.Generator) -> tuple[str, Pixels]:
    """Draw noise, alone or over a gradient or a bar; sizes, levels and smoothness differ."""
    shape = tuple(int(side) for side in rng.integers(200, 900, 2))
    rows, cols = np.indices(shape) / max(shape)
    kind = ("Gaussian noise", "Poisson noise", "gradients", "single bars")[number % 4]
    if kind == "Gaussian noise":
        values = rng.normal(rng.uniform(-100, 100), rng.uniform(0.1, 50), shape)
        if number % 8 >= 4:
            values = cv2.GaussianBlur(values, (0, 0), float(rng.uniform(0.5, 20)))
        return kind, values.astype(np.float32)
    level = float(np.exp(rng.uniform(np.log(2), np.log(2000))))
    turn = rng.uniform(0, np.pi)
    along = rows * np.cos(turn) + cols * np.sin(turn)
    if kind == "Poisson noise":
        mean = np.full(shape, level)
    elif kind == "gradients":
        mean = level * (0.1 + np.abs(along) * rng.uniform(0.2, 5))
    else:
        mean = np.where(np.abs(along - rng.uniform(0.2, 0.8)) < rng.uniform(0.02, 0.15), rng.uniform(0, 0.6), 1) * level
    return kind, rng.poisson(mean).astype(np.float32)
