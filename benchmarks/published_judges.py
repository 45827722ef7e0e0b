"""Networks that only know real images look at simulated ones: the published hole pipeline and square scorer as judges.

    python benchmarks/published_judges.py [--weights FOLDER] [--data FOLDER] [--many] [--only holes|squares]
                                          [--out FILE.json] [--plots FOLDER]

Holes: simulated hole views in the range in which the published pipeline works (holes 60 to 145 px wide, film all over),
of several films, instruments, doses and seeds, and the real images for comparison. "Found" counts true whole holes with
an answer of the whole pipeline within a radius, as for the published figures, "near" those with one within 5 px, and
"error" is the median over the found, in px; "marked" and "mark error" are the same for the U-Net's marks alone, before
one rigid square lattice is laid through two of them; "refit" counts holes within 5 px of the same lattice laid through
all marks (`lattice_refit.py`), and "shift" is its mean error, which is the network's own. Squares: simulated atlas
tiles; AUC is the chance that an intact square scores above one that is torn, empty, or cut by the border. CPU seconds
are those of the networks and the search.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from lattice_refit import refitted
from numpy.typing import NDArray

from epicycle.detectors.published_crops import without_spikes
from epicycle.detectors.published_holes import hole_blobs
from epicycle.detectors.published_lattice import square_lattice
from epicycle.detectors.published_networks import HoleUNet, with_weights
from epicycle.detectors.published_squares import ptolemy_squares
from epicycle.detectors.published_weights import HOLE_UNET
from epicycle.detectors.records import SquareDetections
from epicycle.files.mrc import read_image
from epicycle.hardware.records import Image
from epicycle.hardware.simulator.evaluation import studio
from epicycle.hardware.simulator.evaluation.truth import square_of
from epicycle.hardware.simulator.grid.cassette_world import GridSpec
from epicycle.hardware.simulator.grid.openings import SquareKind
from epicycle.hardware.simulator.instrument.instrument import Instrument
from epicycle.hardware.simulator.instrument.profile import load_profile
from epicycle.protocols.preset import Preset

SHARED = Path(__file__).resolve().parents[1].parent / "shared" / "data"
NEAR_PX, INSIDE_PX = 5.0, 10.0
HOLES_BAR, SQUARES_BAR = 0.95, 0.9

Points = NDArray[np.float64]
Pixels = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class HoleView:
    """A picture with the (row, col) of its true whole holes and their radius."""

    name: str
    real: bool
    pixels: Pixels
    centres: Points
    radius_px: float


@dataclass(frozen=True, slots=True)
class HoleRow:
    """What the judges say of one view."""

    view: str
    real: bool
    diameter_px: float
    true: int
    found: int
    near: int
    error_px: float | None
    marked: int
    marked_near: int
    mark_error_px: float | None
    refit_near: int
    shift_px: tuple[float, float]
    answers: int
    cpu_s: float


@dataclass(frozen=True, slots=True)
class Tile:
    """An atlas tile with its instrument, to look up what is true."""

    name: str
    pixels: Pixels
    instrument: Instrument
    preset: Preset


@dataclass(frozen=True, slots=True)
class TileRow:
    """Median scores and counts by what squares are, and the AUC of intact ones against torn, empty and cut ones."""

    tile: str
    gold: bool
    squares: int
    counts: dict[str, int]
    medians: dict[str, float]
    auc: float | None
    cpu_s: float


FILMS = (
    ("R1.2/1.3", "Carbon", "300"),
    ("UltrAuFoil R1.2/1.3", "Gold", "300"),
    ("R2/2", "Carbon", "200"),
    ("R2/1", "Carbon", "200"),
    ("UltrAuFoil R2/2", "Gold", "200"),
    ("R1.2/1.3", "Carbon", "400"),
)
PROFILES = ("screening-200kv", "demo-2k", "collection-300kv")
SIZES = ((1023, 1440), (1024, 1024))
KINDS = ("intact", "torn", "empty", "cut")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, default=SHARED / "weights", help="folder of the published weights")
    parser.add_argument("--data", type=Path, default=SHARED / "images", help="folder of the real images")
    parser.add_argument("--many", action="store_true", help="48 views and 32 tiles instead of 12 and 16")
    parser.add_argument("--only", choices=("holes", "squares"), help="one of the two")
    parser.add_argument("--seed", type=int, default=1, help="of the first world")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--plots", type=Path, help="folder for the pictures with what was found")
    given = parser.parse_args(arguments)
    for folder in (given.weights, given.data):
        if not folder.is_dir():
            print(f"there is no folder {folder}; see --weights and --data", file=sys.stderr)
            return 2
    if given.plots:
        given.plots.mkdir(parents=True, exist_ok=True)
    answer: dict[str, object] = {}
    if given.only != "squares":
        views = [*real_views(given.data), *simulated_views(48 if given.many else 12, given.seed)]
        answer["holes"] = [asdict(row) for row in hole_table(views, given.weights, given.plots)]
    if given.only != "holes":
        rows, aucs = square_table(tiles(32 if given.many else 16, given.seed), given.weights, given.plots)
        answer["squares"] = {"auc": aucs, "tiles": [asdict(row) for row in rows]}
    if given.out:
        given.out.write_text(json.dumps(answer, indent=1) + "\n")
    return 0


def hole_table(views: Sequence[HoleView], weights: Path, plots: Path | None) -> list[HoleRow]:
    unet = with_weights(HoleUNet(), weights / HOLE_UNET)
    print(
        f"{'hole view':<44}{'Ø px':>6}{'found':>9}{'near':>7}{'error':>7}{'marked':>9}{'near':>6}{'error':>7}", end=""
    )
    print(f"{'refit':>7}{'shift':>12}{'answers':>9}{'CPU s':>7}")
    rows = []
    for view in views:
        row = judged_holes(unet, view, plots)
        found, marked = f"{row.found}/{row.true}", f"{row.marked}/{row.true}"
        print(
            f"{row.view:<44}{row.diameter_px:>6.0f}{found:>9}{row.near:>7}{shown(row.error_px):>7}{marked:>9}", end=""
        )
        shift = "{:.1f}, {:.1f}".format(*row.shift_px)
        print(f"{row.marked_near:>6}{shown(row.mark_error_px):>7}{row.refit_near:>7}{shift:>12}", end="")
        print(f"{row.answers:>9}{row.cpu_s:>7.1f}")
        rows.append(row)
    for name, real in (("real images", True), ("simulated views", False)):
        own = [row for row in rows if row.real is real]
        if own:
            true, found, near, marked, marked_near, refit = (
                sum(getattr(row, n) for row in own)
                for n in ("true", "found", "near", "marked", "marked_near", "refit_near")
            )
            errors = [row.error_px for row in own if row.error_px is not None]
            print(
                f"{name}: {found / true:.1%} of {true} holes found, {near / true:.1%} within {NEAR_PX:g} px; ", end=""
            )
            print(
                f"{marked / true:.1%} marked, {marked_near / true:.1%} so near; refitted {refit / true:.1%}; ", end=""
            )
            print(f"median error {np.median(errors) if errors else np.nan:.1f} px ", end="")
            print(f"(bar: {HOLES_BAR:.0%}, {NEAR_PX:g} px)")
    return rows


def shown(value: float | None, digits: int = 1) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def judged_holes(unet: HoleUNet, view: HoleView, plots: Path | None) -> HoleRow:
    start = time.process_time()
    blobs = hole_blobs(unet, without_spikes(view.pixels))
    best = square_lattice(blobs.mask, blobs.centres) if len(blobs.centres) > 1 else None
    sites = np.empty((0, 2)) if best is None else best.sites(view.pixels.shape, -INSIDE_PX)
    spent = time.process_time() - start
    if plots:
        draw(view, sites, blobs.centres, plots / f"{view.name.replace(' ', '_').replace('/', '-')}.png")
    off, unmarked = nearest(view.centres, sites), nearest(view.centres, blobs.centres)
    found, marked = off < view.radius_px, unmarked < view.radius_px
    again = refitted(sites, blobs.centres)
    errors = errors_of(view.centres, again)
    shift = errors[np.hypot(*errors.T) < view.radius_px]
    return HoleRow(
        view=view.name,
        real=view.real,
        diameter_px=2 * view.radius_px,
        true=len(view.centres),
        found=int(found.sum()),
        near=int((off <= NEAR_PX).sum()),
        error_px=float(np.median(off[found])) if found.any() else None,
        marked=int(marked.sum()),
        marked_near=int((unmarked <= NEAR_PX).sum()),
        mark_error_px=float(np.median(unmarked[marked])) if marked.any() else None,
        refit_near=int((np.hypot(*errors.T) <= NEAR_PX).sum()),
        shift_px=(float(shift[:, 0].mean()), float(shift[:, 1].mean())) if len(shift) else (0.0, 0.0),
        answers=len(sites),
        cpu_s=spent,
    )


def nearest(these: Points, those: Points) -> NDArray[np.float64]:
    return np.hypot(*errors_of(these, those).T)


def errors_of(these: Points, those: Points) -> Points:
    """Give for each of these (n, 2) how far the nearest of those lies off it, (row, col) px; inf without any."""
    if len(those) == 0 or len(these) == 0:
        return np.full((len(these), 2), np.inf)
    off = those[None] - these[:, None]
    return np.asarray(off[np.arange(len(these)), np.hypot(*off.transpose(2, 0, 1)).argmin(axis=1)])


def real_views(data: Path) -> Iterator[HoleView]:
    """The real images with holes of a size in the range; a whole square is shown by its middle, enlarged."""
    small, true, radius = truth(data, "medmag_21feb25a_668x474")
    large = read_image(data / "medmag_21feb25a_1440x1023.mrc")[0]
    scale = large.shape[1] / small.shape[1]
    yield whole_in("21feb25a 1440x1023", large, (true + 0.5) * scale - 0.5, radius * scale)
    yield whole_in("21feb25a 668x474", small, true, radius)
    pixels, true, radius = truth(data, "holes_leginon")
    yield whole_in("holes_leginon", pixels, true, radius)
    pixels, true, radius = truth(data, "square_leginon")
    row, col, grown = 370, 400, 4
    part = pixels[row : row + 256, col : col + 360]
    enlarged = cv2.resize(part, None, fx=grown, fy=grown, interpolation=cv2.INTER_CUBIC)
    yield whole_in(f"square_leginon middle x{grown}", enlarged, (true - [row, col] + 0.5) * grown - 0.5, radius * grown)


def truth(data: Path, name: str) -> tuple[Pixels, Points, float]:
    known = json.loads((data / "gt" / f"{name}.json").read_text())
    return read_image(data / f"{name}.mrc")[0], np.array(known["centers_xy"])[:, ::-1], float(known["radius_px"])


def whole_in(name: str, pixels: Pixels, centres: Points, radius: float, real: bool = True) -> HoleView:
    last = np.array(pixels.shape) - 1
    whole = ((centres >= radius) & (centres <= last - radius)).all(axis=1)
    return HoleView(name, real, np.asarray(pixels, np.float32), centres[whole], radius)


def simulated_views(count: int, seed: int) -> Iterator[HoleView]:
    """Views of intact squares: films, instruments, sizes in turn; hole size, dose and place drawn from the seed."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        film, material, mesh = FILMS[number % len(FILMS)]
        profile = load_profile(PROFILES[number % len(PROFILES)])
        rows, cols = SIZES[number // 2 % len(SIZES)]
        kind = ("good", "ordinary")[number // 3 % 2]
        spec = GridSpec(kind=kind, hole_type=film, material=material, mesh=mesh)
        instrument = studio.stand_up(profile, spec, seed + number)
        diameter, dose = rng.uniform(66, 140), float(np.exp(rng.uniform(-1, 1)))
        preset = shown_at(instrument, profile.levels["hole"].preset, rows, cols, diameter, dose)
        name = f"{number + 1} {film} {mesh} {profile.name} x{dose:.1f}"
        yield view_of(instrument, preset, name, rng)


def shown_at(
    instrument: Instrument, usual: Preset, rows: int, cols: int, wanted_px: float, dose: float, wanted_um: float = 0.0
) -> Preset:
    """Change a preset so that a hole (or what is `wanted_um`) is so many px wide; electrons per pixel times `dose`."""
    wide_um = wanted_um or studio.world_of(instrument).film.hole_um
    pixel_a = wide_um * 1e4 / wanted_px
    per_a2 = usual.dose_e_per_a2 * (usual.pixel_size_a / pixel_a) ** 2 * dose
    field_um = float(np.hypot(rows, cols)) * pixel_a * 1e-4
    beam_um = max(usual.beam_diameter_um, 1.1 * field_um)
    changed = {"pixel_size_a": pixel_a, "rows_px": rows, "cols_px": cols, "dose_e_per_a2": per_a2}
    return usual.model_copy(update={**changed, "beam_diameter_um": beam_um})


def view_of(instrument: Instrument, preset: Preset, name: str, rng: np.random.Generator) -> HoleView:
    """Take a picture of an intact square with film all over the view."""
    world = studio.world_of(instrument)
    square = studio.square_like(world, "intact", skip=int(rng.integers(0, 20)))
    reach_um = float(np.hypot(preset.rows_px, preset.cols_px)) * preset.pixel_size_a * 1e-4 / 2
    free_um = max(0.0, 0.45 * world.bars.mesh.opening_um - reach_um)
    x, y = np.array([square.x_um, square.y_um]) + rng.uniform(-free_um, free_um, 2)
    studio.aim(instrument, preset, (float(x), float(y)))
    pixels = np.asarray(studio.photograph(instrument, preset), np.float32)
    tears = world.defects(square.i, square.j).tears
    left = [hole for hole in square.holes if not any(tear.holds(hole.x_um, hole.y_um) for tear in tears)]
    places = np.array([(hole.x_um, hole.y_um) for hole in left]).reshape(-1, 2)
    view = instrument.view(preset, studio.BEGINNING)
    radius = float(np.median([hole.radius_um for hole in left])) / view.pixel_um
    return whole_in(name, pixels, view.pixels_of(places), radius, real=False)


def tiles(count: int, seed: int) -> Iterator[Tile]:
    """Atlas tiles of grids with torn and empty squares; openings 60 to 150 px wide, at several places of the grid."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        film, material, mesh = FILMS[number % len(FILMS)]
        profile = load_profile(PROFILES[number % len(PROFILES)])
        spec = GridSpec(kind="good", hole_type=film, material=material, mesh=mesh, torn=0.1, empty=0.05)
        instrument = studio.stand_up(profile, spec, seed + 100 + number)
        wide = studio.world_of(instrument).bars.mesh.opening_um
        usual = profile.levels["atlas"].preset
        preset = shown_at(instrument, usual, 1024, 1024, rng.uniform(60, 110), 1.0, wanted_um=wide)
        x, y = rng.uniform(-350, 350, 2)
        studio.aim(instrument, preset, (float(x), float(y)))
        pixels = np.asarray(studio.photograph(instrument, preset), np.float32)
        yield Tile(f"{number + 1} {film} {mesh} {profile.name}", pixels, instrument, preset)


def square_table(
    given: Iterator[Tile], weights: Path, plots: Path | None
) -> tuple[list[TileRow], dict[str, float | None]]:
    finder = ptolemy_squares({"weights": weights})
    print(f"{'atlas tile':<44}{'squares':>9}" + "".join(f"{name:>13}" for name in KINDS) + f"{'AUC':>7}{'CPU s':>7}")
    rows, scored = [], []
    for tile in given:
        start = time.process_time()
        found = finder.find(Image(tile.pixels))
        spent = time.process_time() - start
        by_kind = scores_by_truth(tile, found)
        worse = [score for kind in KINDS[1:] for score in by_kind[kind]]
        row = TileRow(
            tile=tile.name,
            gold=studio.world_of(tile.instrument).film.gold,
            squares=len(found.squares),
            counts={kind: len(by_kind[kind]) for kind in KINDS},
            medians={kind: float(np.median(by_kind[kind])) for kind in KINDS if by_kind[kind]},
            auc=area_under(by_kind["intact"], worse),
            cpu_s=spent,
        )
        cells = "".join(f"{f'{row.medians.get(kind, np.nan):.2f} of {row.counts[kind]}':>13}" for kind in KINDS)
        print(f"{row.tile:<44}{row.squares:>9}{cells}{np.nan if row.auc is None else row.auc:>7.2f}{spent:>7.1f}")
        if plots:
            draw_tile(tile, found, plots / f"tile_{tile.name.replace(' ', '_').replace('/', '-')}.png")
        rows.append(row)
        scored.append((row.gold, by_kind))
    return rows, aucs_of(scored)


def aucs_of(scored: Sequence[tuple[bool, dict[str, list[float]]]]) -> dict[str, float | None]:
    """Print and give the AUC of intact squares against each kind and all, squares compared within their own tile."""
    answer: dict[str, float | None] = {}
    for material, gold in (("carbon", False), ("gold", True)):
        own = [by_kind for is_gold, by_kind in scored if is_gold is gold]
        for name, worse in (("all", KINDS[1:]), *((kind, (kind,)) for kind in KINDS[1:])):
            pairs = [(by_kind["intact"], [s for kind in worse for s in by_kind[kind]]) for by_kind in own]
            each = [(auc, len(one) * len(other)) for one, other in pairs if (auc := area_under(one, other)) is not None]
            weight = sum(count for _, count in each)
            answer[f"{material} {name}"] = sum(auc * count for auc, count in each) / weight if weight else None
        told = ", ".join(f"{name} {shown(answer[f'{material} {name}'], 3)}" for name in ("all", *KINDS[1:]))
        print(f"AUC of intact squares on {material} above {told} (bar: {SQUARES_BAR})")
    return answer


def scores_by_truth(tile: Tile, found: SquareDetections) -> dict[str, list[float]]:
    """Sort the scores by what the square really is; other kinds than those asked for are kept under their own name."""
    world = studio.world_of(tile.instrument)
    view = tile.instrument.view(tile.preset, studio.BEGINNING)
    opening = world.bars.mesh.opening_um
    sorted_scores: dict[str, list[float]] = {name.lower(): [] for name in SquareKind.__members__} | {"cut": []}
    for square in found.squares:
        x, y = view.places_of(np.array([square.row_px, square.col_px]))
        i, j = (int(index) for index in world.square_at(np.asarray(x), np.asarray(y)))
        true = square_of(world, i, j)
        # What has leaked into its neighbours belongs to none of them, unless the border cuts it.
        if not square.partial and square.area_px * view.pixel_um**2 > 1.5 * opening**2:
            continue
        sorted_scores["cut" if square.partial else true.kind].append(square.score)
    return sorted_scores


def area_under(better: Sequence[float], worse: Sequence[float]) -> float | None:
    """Chance that one of the better scores above one of the worse, ties half."""
    if not better or not worse:
        return None
    one, other = np.array(better)[:, None], np.array(worse)[None]
    return float(((one > other) + 0.5 * (one == other)).mean())


def draw(view: HoleView, sites: Points, blobs: Points, path: Path) -> None:
    """Draw true holes (circles), the answer (crosses) and the marks (dots)."""
    picture = grey(view.pixels)
    for row, col in view.centres:
        cv2.circle(picture, (round(col), round(row)), round(view.radius_px), (80, 200, 80), 2)
    for row, col in sites:
        cv2.drawMarker(picture, (round(col), round(row)), (60, 60, 255), cv2.MARKER_TILTED_CROSS, 30, 3)
    for row, col in blobs:
        cv2.circle(picture, (round(col), round(row)), 6, (255, 200, 0), -1)
    cv2.imwrite(str(path), picture)


def draw_tile(tile: Tile, found: SquareDetections, path: Path) -> None:
    """Draw the boxes and their scores."""
    picture = grey(tile.pixels)
    for square in found.squares:
        corners = np.rint(np.array(square.corners_px)[:, ::-1]).astype(np.int32)
        cv2.polylines(picture, [corners], True, (80, 200, 80), 1)
        at = (round(square.col_px) - 20, round(square.row_px))
        cv2.putText(picture, f"{square.score:.2f}", at, cv2.FONT_HERSHEY_SIMPLEX, 0.5, (60, 60, 255), 1, cv2.LINE_AA)
    cv2.imwrite(str(path), picture)


def grey(pixels: Pixels) -> NDArray[np.uint8]:
    low, high = np.quantile(pixels[::3, ::3], [0.002, 0.998])
    scaled = np.clip((pixels - low) / max(high - low, 1e-6), 0, 1) * 255
    return np.asarray(cv2.cvtColor(scaled.astype(np.uint8), cv2.COLOR_GRAY2BGR))


if __name__ == "__main__":
    sys.exit(main())
