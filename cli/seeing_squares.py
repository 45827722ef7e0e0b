"""Squares, holes and exposures whose truth is known: what finders, focusing and the verdict answer."""

import cmath
import math
from dataclasses import dataclass

import numpy as np

from ..detectors.records import FoundHole, HoleDetections
from ..hardware.errors import FocusFailed
from ..hardware.records import ImageShift, StagePosition
from ..hardware.simulator.instrument import beam_tilt
from ..hardware.simulator.pictures.illuminated import matter_of
from ..hardware.simulator.pictures.view import View
from ..hardware.simulator.pixel_free import conditions, hole_sites
from ..hardware.simulator.pixel_free.error_models import PARTICULAR, STATUSES
from ..imaging.records import CtfFit
from ..orchestrator import worker
from ..orchestrator.shooting import look_at
from ..orchestrator.worker import Look
from ..protocols.grid_types import HOLE_TYPES
from ..targeting.defocus import focus_places
from .fitting import PLACE
from .seeing import MEAN_FREE_PATH_NM, PICTURED, Bench, Floats, Observations, middle_of, on_stage, take_nearest

SQUARES, VIEWS = 5, 2
"""Squares of a grid, and views of holes on each."""

NEAR_MIDDLE_UM = 550.0
"""Squares farther from the middle of a grid are left alone."""

EXPOSED, LIKED, AIM_UM = 8, 0.5, 0.12
"""Holes exposed where only exposures are looked at, each in a square whose standing is so near to 1; scatter of aim."""

PATTERN = "regular-pattern"
"""Finder of targets where there is no lattice."""

SURE_SCORE = 0.3
"""Holes so sure are those that a night goes to."""

DRIFT_A_PER_S, SETTLE_S = 3.0, 180.0
"""Drift that is waited for before every other exposure, and how long at most; as in a night."""

FOCUS_PLACES, NEAR_UM = 3, 15.0
"""Places tried for focus one after the other, and how far around them holes are minded; as in a night."""

OFFSET_LIMIT_UM = 1.2
"""How far off a view of holes is looked for in its square's picture, as in a night on a lattice of 2.5 µm."""

DEFOCUS_UM, NEAR_FOCUS_UM = -2.0, 3.0
"""Defocus of the exposures, and how far from it they are still looked at."""


@dataclass(frozen=True, slots=True)
class _Square:
    """The picture of a square, and where its pixels truly lie."""

    look: Look
    view: View


def some_squares(bench: Bench, seed: int) -> list[tuple[int, int]]:
    """Choose squares near the middle, of as many classes as there are."""
    openings, rng = bench.openings, np.random.default_rng([seed, 3])
    near = np.flatnonzero(np.hypot(openings.x_um, openings.y_um) < NEAR_MIDDLE_UM)
    rng.shuffle(near)
    classes: dict[str, list[int]] = {}
    for n in near.tolist():
        classes.setdefault(openings.of[n].partition(PARTICULAR)[0], []).append(n)
    # Half as a night meets them, half one of each class in turn.
    chosen = near[: (SQUARES + 1) // 2].tolist()
    rounds = [of for of in sorted(classes) if of != "rim"]
    rng.shuffle(rounds)
    for of in rounds:
        left = [n for n in classes[of] if n not in chosen]
        if len(chosen) < SQUARES and left:
            chosen.append(left[0])
    return [(int(openings.i[n]), int(openings.j[n])) for n in chosen]


def see_square(bench: Bench, seen: Observations, name: str, i: int, j: int) -> None:
    """Go to a square, bring it to height, and look at it, at views of its holes, and at exposures."""
    scope, world = bench.scope, bench.world
    off = bench.rng.normal(0, 3.0, 2)
    x, y = bench.stage_of(*(world.centre_of(i, j) + off))
    scope.use(bench.presets["square"])
    scope.go_to(StagePosition(x, y, scope.position().z_um))
    if not _height(bench, seen, name):
        return
    got, view, unit = bench.take("square")
    seen.count("square")
    look = look_at(got)
    middle = view.places_of(middle_of(view))
    of, ice_nm = conditions.film_at(world, float(middle[0]), float(middle[1]))
    _centre(bench, seen, name, look, view, of, middle)
    if bench.world.film.hole_um == 0:
        for number, at_um in enumerate(_laid(bench, look, view)):
            _view(bench, seen, f"{name}-{number}", _Square(look, view), at_um, both=number == 0)
        return
    found = _sites(bench, seen, name, "square", look, view, unit, of, ice_nm)
    for number, at_um in enumerate(_aims(bench, view, found, hole_sites.sites_of(bench.instrument, world, i, j))):
        _view(bench, seen, f"{name}-{number}", _Square(look, view), at_um, both=number == 0)


def _laid(bench: Bench, look: Look, view: View) -> list[tuple[float, float]]:
    """Choose targets of a film without a lattice, as they are laid over it."""
    laid = worker.find_holes(PATTERN, {}, look).holes
    chosen = bench.rng.choice(len(laid), min(VIEWS, len(laid)), replace=False) if laid else ()
    places = [view.places_of(np.array([laid[n].row_px, laid[n].col_px])) for n in chosen]
    return [(float(x), float(y)) for x, y in places]


def _aims(bench: Bench, view: View, found: HoleDetections, sites: hole_sites.Sites) -> list[tuple[float, float]]:
    """Choose where to look at holes: one place as a night does, at a hole that was found, and one anywhere."""
    wanted = [n for n, what in enumerate(sites.of) if not what.startswith(("cut", "gone"))]
    if not wanted:
        return []
    sure = [hole for hole in found.holes if hole.status.value == "hole" and hole.score >= SURE_SCORE]
    aims = [bench.rng.choice(wanted)] if sure else bench.rng.choice(wanted, min(VIEWS, len(wanted)), replace=False)
    places = [(float(sites.x_um[n]), float(sites.y_um[n])) for n in aims]
    if sure:
        hole = sure[int(bench.rng.integers(len(sure)))]
        at = view.places_of(np.array([hole.row_px, hole.col_px]))
        places.insert(0, (float(at[0]), float(at[1])))
    return places


def _height(bench: Bench, seen: Observations, name: str) -> bool:
    """Bring the square to height and compare what was measured with where it was."""
    scope, instrument, now = bench.scope, bench.instrument, bench.clock.now()
    of, ice_nm = conditions.height_place(instrument, now)
    before_um, true_um = scope.position().z_um, instrument.height_um(instrument.looked_at(now))
    try:
        after_um = scope.eucentric_height("tilt")
    except FocusFailed:
        seen.add("height", name, of, ice_nm, None)
        return False
    seen.add("height", name, of, ice_nm, [before_um - after_um - true_um])
    return True


def _autofocus(bench: Bench, seen: Observations, name: str, again: bool) -> bool:
    """Focus beside a hole, as a night does, and compare the defocus with what was asked for; says if it is near.

    Where nothing is seen the next place is tried; ``again`` asks the first one twice.
    """
    places = _focus_places(bench)
    bench.scope.use(bench.presets["focus"])
    for number, place in enumerate(places):
        trusted = _focused(bench, seen, f"{name}{PLACE}{number}", place)
        if number == 0 and again:
            _focused(bench, seen, f"{name}{PLACE}{number}", place)
        if trusted:
            break
    return abs(_defocus_error_um(bench)) < NEAR_FOCUS_UM


def _focus_places(bench: Bench) -> list[tuple[float, float]]:
    """Give image shifts to places that are clear of holes."""
    world, now = bench.world, bench.clock.now()
    middle = bench.instrument.to_grid(bench.instrument.looked_at(now))
    index = world.square_at(middle[:1], middle[1:])
    holes, radius_um = np.zeros((0, 2)), 0.0
    if world.film.hole_um:
        sites = hole_sites.sites_of(bench.instrument, world, int(index[0][0]), int(index[1][0]))
        holes, radius_um = np.stack([sites.x_um, sites.y_um], axis=-1) - middle, float(sites.radius_um.max(initial=0.0))
    holes = holes[np.linalg.norm(holes, axis=1) < NEAR_UM]
    nearest = holes[np.linalg.norm(holes, axis=1).argmin()] if len(holes) else np.zeros(2)
    a_um, b_um = world.film.basis_um.T.tolist()
    beam_um = bench.presets["focus"].beam_diameter_um / 2
    found = focus_places(nearest, holes, a_um, b_um, beam_um, FOCUS_PLACES, hole_radius_um=radius_um)
    return [bench.turned(np.array(place)) for place in found]


def _focused(bench: Bench, seen: Observations, name: str, shift_um: tuple[float, float]) -> bool:
    scope, instrument = bench.scope, bench.instrument
    scope.shift_image(ImageShift(*shift_um))
    of, ice_nm = conditions.focus_place(instrument, bench.presets["focus"], bench.clock.now())
    try:
        focused = scope.autofocus(DEFOCUS_UM)
    except FocusFailed:
        seen.add("autofocus", name, of, ice_nm, None)
        return False
    now = bench.clock.now()
    # What the beam tilt's scale makes is the same all night; each instrument adds its own.
    scale_um = beam_tilt.scale_offset_um(instrument, DEFOCUS_UM)
    error_um = instrument.true_defocus_um(instrument.looked_at(now), now) - DEFOCUS_UM - scale_um
    answer = [error_um, focused.defocus_um - DEFOCUS_UM, float(focused.trusted)]
    seen.add("autofocus", name, of, ice_nm, answer)
    return focused.trusted


def _defocus_error_um(bench: Bench) -> float:
    instrument, now = bench.instrument, bench.clock.now()
    bench.scope.shift_image(ImageShift())
    bench.scope.set_defocus(DEFOCUS_UM)
    return instrument.true_defocus_um(instrument.looked_at(now), now) - DEFOCUS_UM


def _centre(bench: Bench, seen: Observations, name: str, look: Look, view: View, of: str, middle: Floats) -> None:
    i, j = bench.world.square_at(middle[:1], middle[1:])
    true = bench.world.centre_of(int(i[0]), int(j[0]))
    found = worker.find_opening(look)
    answer = None
    if found is not None:
        off = view.places_of(np.array(found[:2])) - true
        answer = [found[2], float(off[0]), float(off[1])]
    seen.add("centre", name, of, float(np.linalg.norm(true - middle)), answer)


def _sites(
    bench: Bench,
    seen: Observations,
    name: str,
    level: str,
    look: Look,
    view: View,
    unit: float,
    of: str,
    ice_nm: float,
) -> HoleDetections:
    """Compare the sites found with those that are there; gives what was found."""
    film = HOLE_TYPES[bench.grid.hole_type]
    options = {"second_look": False, "hole_diameter_um": film.hole_um, "hole_pitch_um": film.pitch_um}
    found = worker.find_holes(bench.eyes.holes, options if bench.eyes is PICTURED else {}, look)
    true = hole_sites.sites_in(bench.instrument, bench.world, view, bench.known)
    middle = view.places_of(middle_of(view))
    within = hole_sites.holes_at(bench.instrument, bench.world, bench.known, float(middle[0]), float(middle[1]))
    of = conditions.path_of(of, within)
    if not found.holes or found.lattice is None:
        seen.add(f"{level} lattice", name, of, ice_nm, None)
        return found
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
        match = take_nearest(places, (float(moved[n, 0]), float(moved[n, 1])), 0.4 * pitch_px, taken)
        answer = None
        if match is not None:
            hole = found.holes[match]
            gap = view.to_grid[:, :2] @ (np.array(places[match]) - moved[n])
            expected = unit * math.exp(-float(true.ice_nm[n]) / ice_path)
            # A finder's score counts how sure it is of the lattice; what it says of the site is the rest.
            answer = [
                hole.score / found.lattice.confidence,
                _status(hole),
                hole.mean / expected,
                float(gap[0]),
                float(gap[1]),
            ]
        seen.add(f"{level} site", name, what, float(true.stands[n]), answer)
    seen.false[f"{level} site"] = seen.false.get(f"{level} site", 0) + len(places) - len(taken)
    return found


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


def _view(bench: Bench, seen: Observations, name: str, square: _Square, at_um: tuple[float, float], both: bool) -> None:
    """Look at holes, focus, and expose the hole in the middle; with ``both``, at rest, and one off the axis too."""
    scope = bench.scope
    x, y = bench.stage_of(*at_um)
    scope.use(bench.presets["hole"])
    scope.go_to(StagePosition(x, y, scope.position().z_um))
    got, view, unit = bench.take("hole")
    seen.count("hole")
    look = look_at(got)
    middle = view.places_of(middle_of(view))
    of, ice_nm = conditions.film_at(bench.world, float(middle[0]), float(middle[1]))
    sites = hole_sites.sites_in(bench.instrument, bench.world, view, bench.known)
    of = conditions.path_of(of.partition(PARTICULAR)[0], hole_sites.middle_site(sites, middle_of(view)))
    if bench.world.film.hole_um:
        _sites(bench, seen, name, "hole", look, view, unit, of, ice_nm)
    _offset(bench, seen, name, square, look, view, of, ice_nm)
    if not _autofocus(bench, seen, name, again=both):
        return
    if both:
        scope.settle(DRIFT_A_PER_S, SETTLE_S)
    for place in _shots(bench, sites, view, both) if bench.world.film.hole_um else [at_um]:
        _exposure(bench, seen, name, place)


def _shots(bench: Bench, sites: hole_sites.SitesInView, view: View, both: bool) -> list[tuple[float, float]]:
    """Choose where to expose: the hole in the middle, with ``both`` another too, each a little beside its middle."""
    whole = [n for n, what in enumerate(sites.of) if not what.startswith(("cut", "gone", "border"))]
    whole.sort(key=lambda n: float(np.linalg.norm(sites.places_px[n] - middle_of(view))))
    others = bench.rng.choice(whole[1:], 1).tolist() if both and len(whole) > 1 else []
    places = []
    for n in [*whole[:1], *others]:
        place = view.places_of(sites.places_px[n])
        off = bench.rng.normal(0, AIM_UM, 2) + bench.rng.uniform(-0.3, 0.3, 2) * sites.radius_um[n]
        places.append((float(place[0] + off[0]), float(place[1] + off[1])))
    return places


def _offset(
    bench: Bench, seen: Observations, name: str, square: _Square, look: Look, view: View, of: str, ice_nm: float
) -> None:
    """Compare the offset between two pictures with what it truly is: by the middle of the view, seen in both."""
    found = worker.find_in_square(square.look, look, OFFSET_LIMIT_UM)
    if found is None:
        seen.add("picture offset", name, of, ice_nm, None)
        return
    middle = middle_of(view)
    there = square.view.pixels_of(view.places_of(middle))
    true = on_stage(look, middle) - on_stage(square.look, there)
    if float(np.hypot(*true)) > OFFSET_LIMIT_UM:
        return
    gap = np.array([found.x_um, found.y_um]) - true
    linear = np.array(look.image_to_stage)[:, :2]
    off = view.to_grid[:, :2] @ np.linalg.solve(linear, gap)
    seen.add("picture offset", name, of, ice_nm, [found.confidence, float(off[0]), float(off[1])])


def see_exposure(bench: Bench, seen: Observations, name: str, i: int, j: int) -> None:
    """Go to a hole with ice in it, focus beside it, wait for rest, and expose it; nothing else is looked at."""
    sites = hole_sites.sites_of(bench.instrument, bench.world, i, j)
    iced = [n for n, of in enumerate(sites.of) if of.startswith(conditions.ICE)]
    if not iced:
        return
    n = int(bench.rng.choice(iced))
    scope, at_um = bench.scope, np.array([sites.x_um[n], sites.y_um[n]])
    x, y = bench.stage_of(float(at_um[0]), float(at_um[1]))
    scope.use(bench.presets["square"])
    scope.go_to(StagePosition(x, y, scope.position().z_um))
    if not _height(bench, seen, name) or not _autofocus(bench, seen, name, again=False):
        return
    scope.settle(DRIFT_A_PER_S, SETTLE_S)
    off = bench.rng.normal(0, AIM_UM, 2)
    _exposure(bench, seen, name, (float(at_um[0] + off[0]), float(at_um[1] + off[1])))


def squares_to_expose(bench: Bench) -> list[tuple[int, int]]:
    """Choose squares near the middle, of those that look fit; by lot."""
    openings = bench.openings
    near = np.flatnonzero((np.hypot(openings.x_um, openings.y_um) < NEAR_MIDDLE_UM) & (openings.standing > 0))
    fit = near[np.abs(openings.standing[near] - 1.0) < LIKED]
    bench.rng.shuffle(fit)
    return [(int(openings.i[n]), int(openings.j[n])) for n in fit[:EXPOSED]]


def _exposure(bench: Bench, seen: Observations, name: str, at_um: tuple[float, float]) -> None:
    """Expose at a place of the grid, beam-shifted as a night does, and compare the verdict with what is there."""
    scope, instrument = bench.scope, bench.instrument
    preset = bench.presets["exposure"]
    x, y = bench.stage_of(*at_um)
    scope.use(preset)
    middle = instrument.looked_at(bench.clock.now())
    scope.shift_image(ImageShift(x - float(middle[0]), y - float(middle[1])))
    scope.set_defocus(DEFOCUS_UM)
    got, _, _ = bench.take("exposure", save_frames=True)
    seen.count("exposure")
    spot = conditions.spot_of(instrument, preset, got.started_at, ())
    can, expected = scope.capabilities(), preset.dose_e_per_a2 * preset.pixel_size_a**2
    optics = worker.Optics(can.voltage_kv, can.cs_mm, can.amplitude_contrast, MEAN_FREE_PATH_NM)
    if bench.eyes is PICTURED:
        verdict = worker.judge_micrograph(look_at(got), optics, expected)
    else:
        verdict = worker.judge_by_sightings(look_at(got), got.mean_counts, expected, MEAN_FREE_PATH_NM)
    answer = None
    if verdict.ctf is not None and "no-fit" not in verdict.flags and verdict.ice_nm is not None:
        counts = expected * math.exp(-verdict.ice_nm / MEAN_FREE_PATH_NM)
        path = 0.0 if verdict.motion is None else verdict.motion.total_a
        answer = [
            verdict.ctf.fit_resolution_a / spot.expected_a,
            verdict.ctf.confidence,
            -verdict.ctf.defocus_um - spot.defocus_um,
            *_astigmatism_error(verdict.ctf, spot),
            counts / float(np.median(spot.thumbnail)),
            path / spot.path_a,
        ]
    seen.add("verdict", name, spot.of, spot.covariate, answer)


def _astigmatism_error(fit: CtfFit, spot: conditions.Spot) -> tuple[float, float]:
    """Give what a fit's astigmatism is off by, Å: along the true one and across it, angles taken twice."""
    turn = 2 * (math.radians(fit.angle_deg) - spot.astigmatism_rad)
    error = cmath.rect(fit.astigmatism_a, turn) - spot.astigmatism_a
    return error.real, error.imag
