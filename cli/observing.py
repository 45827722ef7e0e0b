"""Looking at pictures whose truth is known: what detectors and fitters answer, beside what was there.

One grid of the simulated microscope is gone through as a night would: atlas, a second load with its atlas, some squares
of every class, views of holes, exposures. Each answer becomes an observation for the fit of the error models.
"""

import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..detectors.centre import centre_of_opening
from ..detectors.holes import lattice_holes
from ..detectors.records import FoundHole, FoundSquare, HoleDetections
from ..detectors.squares import mixture_squares
from ..files.mrc import read_image
from ..hardware.clock import VirtualClock
from ..hardware.errors import HardwareError
from ..hardware.protocols import Installation
from ..hardware.records import Acquired, Image, ImageShift, Shot, StagePosition
from ..hardware.simulator import SimulatedMicroscope, conditions, connect
from ..hardware.simulator.error_models import CATEGORIES, STATUSES
from ..hardware.simulator.illuminated import light_of, matter_of
from ..hardware.simulator.instrument import Instrument
from ..hardware.simulator.specimen import View
from ..hardware.simulator.world import GridWorld
from ..imaging.across_levels import offset_between
from ..imaging.records import Stitched
from ..imaging.reload import reregister
from ..imaging.sighted import frame_sighted
from ..imaging.stitching import stitch
from ..imaging.verdict import judge
from ..protocols.cassette import Cassette
from ..protocols.grid_types import HOLE_TYPES
from ..protocols.preset import Level

Floats = NDArray[np.float64]

START = datetime(2026, 1, 5, 18, tzinfo=UTC)
OVERLAP = 0.1
TILES = 3
SQUARES, VIEWS, EXPOSURES = 5, 2, 2
"""Squares of a grid, views of holes on each, exposures in each view."""

OFFSET_LIMIT_UM = 1.2
"""How far off a view of holes is looked for in its square's picture, as in a night on a lattice of 2.5 µm."""

DEFOCUS_UM = -2.0


@dataclass(frozen=True, slots=True)
class GridToSee:
    """One grid to be looked at."""

    seed: int
    kind: str
    hole_type: str
    mesh: str
    material: str

    @property
    def name(self) -> str:
        """Name of its file of observations."""
        film = f"{self.hole_type}-{self.mesh}".replace("/", "_").replace(" ", "_")
        return f"{self.seed}-{self.kind}-{film}"


@dataclass(slots=True)
class Observations:
    """What was seen: for each table, ``[picture, class, covariate, answer or None]``; and pictures by level."""

    rows: dict[str, list[tuple[str, str, float, list[float] | None]]] = field(default_factory=dict)
    pictures: dict[str, int] = field(default_factory=dict)
    false: dict[str, int] = field(default_factory=dict)

    def add(self, table: str, picture: str, of: str, covariate: float, answer: Sequence[float] | None) -> None:
        """Add one case."""
        kept = None if answer is None else [float(f"{value:.5g}") for value in answer]
        self.rows.setdefault(table, []).append((picture, of, float(f"{covariate:.5g}"), kept))

    def count(self, level: str) -> None:
        """Count a picture."""
        self.pictures[level] = self.pictures.get(level, 0) + 1


def observe(grid: GridToSee, profile: str) -> Iterator[Observations]:
    """Look at one grid; yields after each part with all that was seen so far, so that progress can be shown."""
    seen = Observations()
    with tempfile.TemporaryDirectory() as folder:
        bench = _Bench(Path(folder), grid, profile)
        first = _atlas(bench, seen, "atlas")
        yield seen
        for number, (i, j) in enumerate(_some_squares(bench, grid.seed)):
            _square(bench, seen, f"{grid.name}-s{number}", i, j)
            yield seen
        bench.scope.unload()
        bench.ready()
        _reloaded(seen, grid, first, _atlas(bench, seen, "again"))
        yield seen


@dataclass(frozen=True, slots=True)
class _Atlas:
    """A mosaic and where its openings truly stand in it, by name, (row, col)."""

    image: Image
    places: Mapping[str, tuple[float, float]]

    def marked(self) -> Image:
        """Give the mosaic's frame with its openings' true places as landmarks, for registration without an error."""
        return replace(self.image, sightings={"landmarks": self.places})


class _Bench:
    """A simulated microscope with one grid, and the ways to look behind it."""

    def __init__(self, folder: Path, grid: GridToSee, profile: str) -> None:
        film = {"hole_type": grid.hole_type, "mesh": grid.mesh, "material": grid.material}
        cassette = Cassette.model_validate({"slots": [{"slot": 1, "name": "fit", **film}]})
        world = {"grids": {"1": {"kind": grid.kind}}}
        self.clock = VirtualClock(START)
        self.scope: SimulatedMicroscope = connect(
            Installation(
                {"profile": profile, "world": world},
                folder / "images",
                folder / "memory",
                self.clock,
                grid.seed,
                cassette,
            )
        )
        self.grid = grid
        self.rng = np.random.default_rng(grid.seed)
        self.presets = self.scope.presets()
        self.known: dict[tuple[int, int], conditions.Sites] = {}
        self._names = 0
        self.ready()
        self.openings = conditions.openings_of(self.instrument, self.world)

    def ready(self) -> None:
        """Put the grid on the stage under an open valve."""
        self.scope.load(1)
        if not self.scope.status().valve_open:
            self.scope.open_valve()

    @property
    def instrument(self) -> Instrument:
        """The instrument behind the driver."""
        return self.scope.instrument

    @property
    def world(self) -> GridWorld:
        """The grid's truth."""
        world = self.instrument.world
        assert world is not None
        return world

    def take(self, level: Level, *, save_frames: bool = False) -> tuple[Acquired, View, float]:
        """Take an image; gives it with its true view and the counts per pixel with nothing in the beam."""
        preset = self.presets[level]
        self._names += 1
        got = self.scope.acquire(Shot(preset, save_frames), f"p{self._names:05}")
        view = self.instrument.view(preset, got.started_at)
        light = light_of(self.instrument, preset, got.started_at)
        return got, view, light.electrons * self.instrument.profile.camera.counts_per_electron

    def stage_of(self, x_um: float, y_um: float) -> tuple[float, float]:
        """Say where a place of the grid lies on the stage now."""
        seating = self.instrument.seating
        c, s = math.cos(seating.turn_rad), math.sin(seating.turn_rad)
        return c * x_um - s * y_um + seating.x_um, s * x_um + c * y_um + seating.y_um


def _picture(got: Acquired) -> Image:
    assert got.path is not None
    pixels, _ = read_image(got.path)
    return Image(pixels, got.pixel_size_a, got.image_to_stage, got.name)


def _middle(view: View) -> Floats:
    return np.array([(view.rows - 1) / 2, (view.cols - 1) / 2])


def _on_stage(image: Image, place_px: Floats) -> Floats:
    affine = np.array(image.image_to_stage, np.float64)
    return np.asarray(affine[:, :2] @ place_px + affine[:, 2])


# atlas


def _atlas(bench: _Bench, seen: Observations, name: str) -> _Atlas:
    preset = bench.presets["atlas"]
    bench.scope.use(preset)
    step_um = (1 - OVERLAP) * preset.pixel_size_a * 1e-4 * min(preset.rows_px, preset.cols_px)
    tiles, views, unit = [], [], 0.0
    for n in range(TILES**2):
        row, col = divmod(n, TILES)
        col = col if row % 2 == 0 else TILES - 1 - col
        middle = (TILES - 1) / 2
        bench.scope.go_to(StagePosition((col - middle) * step_um, (row - middle) * step_um))
        got, view, unit = bench.take("atlas")
        tiles.append(_picture(got))
        views.append(view)
    seen.count("atlas")
    joined = stitch(tiles)
    image = Image(joined.pixels, joined.pixel_size_a, joined.image_to_stage, name)
    places = _opening_places(bench, views, joined)
    if name == "atlas":
        _openings(bench, seen, image, places, unit)
    return _Atlas(image, {f"{i}:{j}": place for (i, j), (place, _, _) in places.items()})


_Place = tuple[tuple[float, float], View, Floats]
"""Where an opening stands in the mosaic, the view of the tile that shows it best, and that tile's offset."""


def _opening_places(bench: _Bench, views: Sequence[View], joined: Stitched) -> dict[tuple[int, int], _Place]:
    found: dict[tuple[int, int], tuple[float, _Place]] = {}
    xy = np.stack([bench.openings.x_um, bench.openings.y_um], axis=-1)
    for view, offset in zip(views, joined.offsets_px, strict=True):
        reach = 0.75 * math.hypot(view.rows, view.cols) * view.pixel_um
        middle = view.corners.mean(axis=0)
        for n in np.flatnonzero(np.linalg.norm(xy - middle, axis=1) < reach):
            row, col = view.pixels_of(xy[n])
            inside = min(row, view.rows - 1 - row, col, view.cols - 1 - col)
            if inside < -0.5 * bench.openings.side_um[n] / view.pixel_um:
                continue
            index = (int(bench.openings.i[n]), int(bench.openings.j[n]))
            place = (float(row + offset[0]), float(col + offset[1]))
            if index not in found or inside > found[index][0]:
                found[index] = (float(inside), (place, view, np.array(offset)))
    return {index: place for index, (_, place) in found.items()}


def _openings(
    bench: _Bench, seen: Observations, image: Image, places: Mapping[tuple[int, int], _Place], unit: float
) -> None:
    """Compare the squares found with the openings that are there."""
    found = list(mixture_squares({}).find(image).squares)
    table = {(int(i), int(j)): n for n, (i, j) in enumerate(zip(bench.openings.i, bench.openings.j, strict=True))}
    taken: set[int] = set()
    for index, (place, view, offset) in places.items():
        n = table[index]
        side = float(bench.openings.side_um[n]) / view.pixel_um
        share = share_in_view(place, side, image.pixels.shape)
        if share <= 0.05:
            continue
        middle = _visible_middle(place, side, image.pixels.shape)
        match = _nearest([(s.row_px, s.col_px) for s in found], middle, 0.5 * side, taken)
        of = bench.openings.of[n]
        if share >= 0.995:
            answer = None
            if match is not None:
                answer = _whole(found[match], bench, n, view, offset, side, unit)
            seen.add("opening", image.name + bench.grid.name, of, float(bench.openings.relative_light[n]), answer)
        else:
            short = None if match is None else [found[match].score, _category(found[match])]
            seen.add("cut opening", image.name + bench.grid.name, of, share, short)
    seen.false["opening"] = seen.false.get("opening", 0) + len(found) - len(taken)


def _whole(
    square: FoundSquare, bench: _Bench, n: int, view: View, offset: Floats, side_px: float, unit: float
) -> list[float]:
    at = view.places_of(np.array([square.row_px, square.col_px]) - offset)
    off = at - [bench.openings.x_um[n], bench.openings.y_um[n]]
    mean = square.mean / (unit * float(bench.openings.light[n]))
    return [square.score, _category(square), mean, square.area_px / side_px**2, float(off[0]), float(off[1])]


def _category(square: FoundSquare) -> float:
    return float(CATEGORIES.index(square.category.value))


def share_in_view(place: tuple[float, float], side: float, shape: tuple[int, ...]) -> float:
    """Give the share of a square of this side, px, that an image of this shape shows."""
    lengths = [
        max(min(at + side / 2, size - 0.5) - max(at - side / 2, -0.5), 0.0)
        for at, size in zip(place, shape, strict=True)
    ]
    return lengths[0] * lengths[1] / side**2


def _visible_middle(place: tuple[float, float], side: float, shape: tuple[int, ...]) -> tuple[float, float]:
    row, col = (
        (max(at - side / 2, -0.5) + min(at + side / 2, size - 0.5)) / 2 for at, size in zip(place, shape, strict=True)
    )
    return row, col


def _nearest(
    places: Sequence[tuple[float, float]], to: tuple[float, float], within: float, taken: set[int]
) -> int | None:
    """Take the nearest place not taken yet."""
    gaps = {n: math.dist(place, to) for n, place in enumerate(places) if n not in taken}
    best = min(gaps, key=gaps.__getitem__, default=None)
    if best is None or gaps[best] > within:
        return None
    taken.add(best)
    return best


def _reloaded(seen: Observations, grid: GridToSee, first: _Atlas, now: _Atlas) -> None:
    """Compare the frame that registration finds with that of the openings' true places in both atlases."""
    found = reregister(first.image, now.image)
    true = frame_sighted(first.marked(), now.marked())
    if true.frame is None:
        return
    if found.frame is None:
        seen.add("reload", grid.name, grid.kind, 0.0, None)
        return
    off = np.array(found.frame)[:, 2] - np.array(true.frame)[:, 2]
    turn = (found.rotation_deg - true.rotation_deg + 180) % 360 - 180
    seen.add("reload", grid.name, grid.kind, 0.0, [found.confidence, float(off[0]), float(off[1]), turn])


# squares


@dataclass(frozen=True, slots=True)
class _Square:
    """The picture of a square, and where its pixels truly lie."""

    image: Image
    view: View


def _some_squares(bench: _Bench, seed: int) -> list[tuple[int, int]]:
    """Choose squares near the middle, of as many classes as there are."""
    openings, rng = bench.openings, np.random.default_rng([seed, 3])
    near = np.flatnonzero(np.hypot(openings.x_um, openings.y_um) < 550)
    rng.shuffle(near)
    classes: dict[str, list[int]] = {}
    for n in near.tolist():
        classes.setdefault(openings.of[n], []).append(n)
    # Half as a night meets them, half one of each class in turn.
    chosen = near[: (SQUARES + 1) // 2].tolist()
    rounds = [of for of in sorted(classes) if of != "rim"]
    rng.shuffle(rounds)
    for of in rounds:
        left = [n for n in classes[of] if n not in chosen]
        if len(chosen) < SQUARES and left:
            chosen.append(left[0])
    return [(int(openings.i[n]), int(openings.j[n])) for n in chosen]


def _square(bench: _Bench, seen: Observations, name: str, i: int, j: int) -> None:
    scope, world = bench.scope, bench.world
    off = bench.rng.normal(0, 3.0, 2)
    x, y = bench.stage_of(*(world.centre_of(i, j) + off))
    scope.use(bench.presets["square"])
    scope.go_to(StagePosition(x, y, scope.position().z_um))
    try:
        scope.eucentric_height("tilt")
    except HardwareError:
        return
    got, view, unit = bench.take("square")
    seen.count("square")
    image = _picture(got)
    middle = view.places_of(_middle(view))
    of, ice_nm = conditions.class_at(world, float(middle[0]), float(middle[1]))
    _centre(bench, seen, name, image, view, of, middle)
    _sites(bench, seen, name, "square", image, view, unit, of, ice_nm)
    sites = conditions.sites_of(world, i, j)
    wanted = [n for n, what in enumerate(sites.of) if not what.startswith(("cut", "gone"))]
    if not wanted:
        return
    for n in bench.rng.choice(wanted, min(VIEWS, len(wanted)), replace=False).tolist():
        _view(bench, seen, f"{name}-{n}", _Square(image, view), (float(sites.x_um[n]), float(sites.y_um[n])))


def _centre(bench: _Bench, seen: Observations, name: str, image: Image, view: View, of: str, middle: Floats) -> None:
    i, j = bench.world.square_at(middle[:1], middle[1:])
    true = bench.world.centre_of(int(i[0]), int(j[0]))
    found = centre_of_opening(image)
    answer = None
    if found is not None:
        off = view.places_of(np.array(found[:2])) - true
        answer = [found[2], float(off[0]), float(off[1])]
    seen.add("centre", name, of, float(np.linalg.norm(true - middle)), answer)


def _sites(
    bench: _Bench,
    seen: Observations,
    name: str,
    level: str,
    image: Image,
    view: View,
    unit: float,
    of: str,
    ice_nm: float,
) -> None:
    """Compare the sites found with those that are there."""
    film = HOLE_TYPES[bench.grid.hole_type]
    options = {"hole_diameter_um": film.hole_um, "hole_pitch_um": film.pitch_um}
    found = lattice_holes(options).find(image)
    true = conditions.sites_in(bench.world, view, bench.known)
    if not found.holes or found.lattice is None:
        seen.add(f"{level} lattice", name, of, ice_nm, None)
        return
    shift = _common_shift(found, true.places_px)
    off = view.to_grid[:, :2] @ shift
    # A lattice found in its place is not off at all; what its sites are off by is theirs.
    wrong = float(np.linalg.norm(off)) > 0.5 * float(np.median(true.radius_um)) if len(true.of) else False
    own = off if wrong else np.zeros(2)
    seen.add(f"{level} lattice", name, of, ice_nm, [found.lattice.confidence, float(own[0]), float(own[1])])
    ice_path = matter_of(bench.instrument)[0].ice_nm
    pitch_px = bench.world.film.pitch_um / view.pixel_um
    taken: set[int] = set()
    places = [(hole.row_px, hole.col_px) for hole in found.holes]
    moved = true.places_px + (shift if wrong else 0.0)
    for n, what in enumerate(true.of):
        match = _nearest(places, (float(moved[n, 0]), float(moved[n, 1])), 0.4 * pitch_px, taken)
        answer = None
        if match is not None:
            hole = found.holes[match]
            gap = view.to_grid[:, :2] @ (np.array(places[match]) - moved[n])
            expected = unit * math.exp(-float(true.ice_nm[n]) / ice_path)
            answer = [hole.score, _status(hole), hole.mean / expected, float(gap[0]), float(gap[1])]
        seen.add(f"{level} site", name, what, float(true.ice_nm[n]), answer)
    seen.false[f"{level} site"] = seen.false.get(f"{level} site", 0) + len(places) - len(taken)


def _status(hole: FoundHole) -> float:
    return float(STATUSES.index(hole.status.value))


def _common_shift(found: HoleDetections, places: Floats) -> Floats:
    """Give by how much found holes stand beside the nearest true sites, in the middle, px."""
    holes = np.array([(hole.row_px, hole.col_px) for hole in found.holes if hole.status.value == "hole"])
    if len(holes) == 0 or len(places) == 0:
        return np.zeros(2)
    gaps = holes[:, None] - places[None]
    nearest = np.linalg.norm(gaps, axis=2).argmin(axis=1)
    return np.asarray(np.median(gaps[np.arange(len(holes)), nearest], axis=0))


# holes and exposures


def _view(bench: _Bench, seen: Observations, name: str, square: _Square, at_um: tuple[float, float]) -> None:
    scope = bench.scope
    x, y = bench.stage_of(*at_um)
    scope.use(bench.presets["hole"])
    scope.go_to(StagePosition(x, y, scope.position().z_um))
    got, view, unit = bench.take("hole")
    seen.count("hole")
    image = _picture(got)
    middle = view.places_of(_middle(view))
    of, ice_nm = conditions.class_at(bench.world, float(middle[0]), float(middle[1]))
    _sites(bench, seen, name, "hole", image, view, unit, of, ice_nm)
    _offset(bench, seen, name, square, image, view, of, ice_nm)
    try:
        scope.autofocus(DEFOCUS_UM)
    except HardwareError:
        return
    sites = conditions.sites_in(bench.world, view, bench.known)
    whole = [n for n, what in enumerate(sites.of) if not what.startswith(("cut", "gone", "border"))]
    for n in bench.rng.choice(whole, min(EXPOSURES, len(whole)), replace=False).tolist() if whole else ():
        place = view.places_of(sites.places_px[n])
        off = bench.rng.normal(0, 0.12, 2) + bench.rng.uniform(-0.3, 0.3, 2) * sites.radius_um[n]
        _exposure(bench, seen, name, (float(place[0] + off[0]), float(place[1] + off[1])))


def _offset(
    bench: _Bench, seen: Observations, name: str, square: _Square, image: Image, view: View, of: str, ice_nm: float
) -> None:
    """Compare the offset between two pictures with what it truly is: by the middle of the view, seen in both."""
    found = offset_between(square.image, image, OFFSET_LIMIT_UM)
    if found is None:
        seen.add("picture offset", name, of, ice_nm, None)
        return
    middle = _middle(view)
    there = square.view.pixels_of(view.places_of(middle))
    true = _on_stage(image, middle) - _on_stage(square.image, there)
    if float(np.hypot(*true)) > OFFSET_LIMIT_UM:
        return
    gap = np.array([found.x_um, found.y_um]) - true
    linear = np.array(image.image_to_stage)[:, :2]
    off = view.to_grid[:, :2] @ np.linalg.solve(linear, gap)
    seen.add("picture offset", name, of, ice_nm, [found.confidence, float(off[0]), float(off[1])])


def _exposure(bench: _Bench, seen: Observations, name: str, at_um: tuple[float, float]) -> None:
    """Expose at a place of the grid, beam-shifted as a night does, and compare the verdict with what is there."""
    scope, instrument = bench.scope, bench.instrument
    preset = bench.presets["exposure"]
    x, y = bench.stage_of(*at_um)
    middle = instrument.looked_at(bench.clock.now())
    scope.use(preset)
    scope.shift_image(ImageShift(x - float(middle[0]), y - float(middle[1])))
    scope.set_defocus(DEFOCUS_UM)
    got, _, _ = bench.take("exposure", save_frames=True)
    assert got.path is not None
    seen.count("exposure")
    spot = conditions.spot_of(instrument, preset, got.started_at, ())
    can, expected = scope.capabilities(), preset.dose_e_per_a2 * preset.pixel_size_a**2
    verdict = judge(
        got.path,
        pixel_size_a=got.pixel_size_a,
        voltage_kv=can.voltage_kv,
        cs_mm=can.cs_mm,
        amplitude_contrast=can.amplitude_contrast,
        expected_counts=expected,
        vacuum_counts=expected,
        mean_free_path_nm=1.0,
    )
    answer = None
    if verdict.ctf is not None and "no-fit" not in verdict.flags and verdict.ice_nm is not None:
        counts = expected * math.exp(-verdict.ice_nm)
        path = 0.0 if verdict.motion is None else verdict.motion.total_a
        answer = [
            verdict.ctf.fit_resolution_a / spot.expected_a,
            verdict.ctf.confidence,
            -verdict.ctf.defocus_um - spot.defocus_um,
            verdict.ctf.astigmatism_a,
            counts / float(np.median(spot.thumbnail)),
            path / spot.path_a,
        ]
    seen.add("verdict", name, spot.of, spot.covariate, answer)
