"""What truly lies in the field of one image, in the terms that the error models are fitted in: class and covariate.

The fit asks this of the pixel version and compares what detectors answered; the pixel-free version asks the same and
draws what they would have answered. So it holds truth: nothing that decides or detects may import it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import cv2
import numpy as np
from numpy.typing import NDArray

from ....protocols.preset import Preset
from ..evaluation import truth
from ..grid.cells import Floats
from ..grid.film import RIM_UM
from ..grid.openings import SquareKind
from ..grid.world import GridWorld
from ..instrument import beam_tilt
from ..instrument.instrument import Instrument
from ..pictures.counting import counted_share
from ..pictures.illuminated import layers_seen, light_of, matter_of
from ..pictures.movie import aberrations, path_px
from ..pictures.render_survey import Blur, Light, lit, transmitted
from ..pictures.specimen import Stain, View
from .error_models import PARTICULAR

THUMBNAIL_PX = 16
"""Shorter side of the small picture that is still rendered."""

SAMPLES, MIDDLE = 8, slice(1, -1)
"""An opening's brightness is taken at so many places along each side; its film is looked at clear of the bars."""

THIN_FILM_NM = 3.0
"""More support film than this counts as film."""

UNEVEN, HEART = 0.3, slice(2, -2)
"""Relative spread of the light over the heart of an opening from which it counts as uneven."""

SEEN_SHARE = 0.4
"""Openings with less than this share of the light of a bright one say nothing of what is usual: few are found."""

DARK_SHARE, DARK_SCALE = 0.62, 0.25
"""Light against the film's from which a place is dark, and the share of dark places that takes an e-th."""

FAINT, FULL, WHOLE_SHARE = 0.2, 0.9, 0.95
"""Light against the usual from which an opening is worth something and from which all; and the same of its area."""

STEP_PX, STEPS = 1.0, (0.006, 0.045)
STEPPED = ("even", "slight steps", "steps")
"""What changes within so many of the small picture's pixels is a step; relative spread of the light by such from which
steps are slight and strong, and what fields are then called. Under thick ice an autofocus finds next to nothing in even
fields, now and then something in those with slight steps, and mostly something where they are strong."""

DRIFTS_A_PER_S = (1.0, 2.0, 3.5)
DRIFTS = ("at rest", "slow", "drifting", "fast")
"""Exposures are told apart by the drift at their beginning: it blurs frames, and all of one visit alike."""

BLURRED_B_A2 = 90.0
"""An envelope of the sample from which exposures count as blurred by it rather than by the thickness of the ice."""

UNIT_A = 4.0
"""Resolutions of spots that have no true one are told as multiples of this."""

ICE, SUPPORTED = "ice", "ice on film"
WITH_SAMPLE = (ICE, SUPPORTED)
"""Spots of which the resolution that can be reached is known: in a hole, and on film where there are no holes."""

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Openings:
    """Mesh openings of a grid, one array element each.

    Attributes
    ----------
    i, j
        Indices.
    x_um, y_um
        Middle in the grid's frame.
    side_um
        Side of the opening.
    light
        Fraction of the beam that its film with ice lets through, averaged over it.
    standing
        How it stands among those of the grid; see `standing_of`.
    of
        Class: what became of it, or ``rim`` where the grid's rim cuts it; and whether its light is even.
    """

    i: Ints
    j: Ints
    x_um: Floats
    y_um: Floats
    side_um: Floats
    light: Floats
    standing: Floats
    of: tuple[str, ...]

    def at(self, which: Ints) -> "Openings":
        """Give some of them."""
        return Openings(
            self.i[which], self.j[which], self.x_um[which], self.y_um[which], self.side_um[which],
            self.light[which], self.standing[which], tuple(self.of[n] for n in which),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Spot:
    """What one exposure looks at.

    Attributes
    ----------
    of, covariate
        Class, and what an exposure of it should reach in Å.
    expected_a
        What resolutions are told against.
    thumbnail
        Electrons per pixel that the camera is expected to count, all of the field, some 16 pixels a side.
    defocus_um
        True, underfocus negative.
    astigmatism_a, astigmatism_rad
        True: strength, and direction of the stronger defocus from the columns' axis towards the rows'.
    path_a
        Way that the specimen goes during the exposure, by the drift of this one and one and the same movement by the
        beam: what measured ways are told against.
    """

    of: str
    covariate: float
    expected_a: float
    thumbnail: NDArray[np.float32]
    defocus_um: float
    astigmatism_a: float
    astigmatism_rad: float
    path_a: float


def openings_of(instrument: Instrument, world: GridWorld) -> Openings:
    """Describe every opening of the grid that is not wholly outside its rim."""
    squares, opening = world.squares, world.bars.mesh.opening_um
    x, y = squares.x_um.ravel(), squares.y_um.ravel()
    near = np.flatnonzero(np.hypot(x, y) < RIM_UM + opening / 2)
    side = opening * squares.size.ravel()[near]
    reach = (np.arange(SAMPLES) - (SAMPLES - 1) / 2) / SAMPLES
    px = x[near, None] + side[:, None] * np.repeat(reach, SAMPLES)
    py = y[near, None] + side[:, None] * np.tile(reach, SAMPLES)
    through = _through(instrument, world, px, py)
    light = through.mean(axis=1)
    square = through.reshape(-1, SAMPLES, SAMPLES)
    heart = square[:, HEART, HEART].reshape(len(near), -1)
    uneven = heart.std(axis=1) > UNEVEN * heart.mean(axis=1)
    names = [SquareKind(int(kind)).name.lower() for kind in squares.kind.ravel()[near]]
    cut = np.asarray((np.hypot(px, py) > RIM_UM).any(axis=1))
    of = tuple(
        path_of("rim" if beyond else name, "uneven" if rough else "even")
        for name, beyond, rough in zip(names, cut, uneven, strict=True)
    )
    standing = standing_of(square[:, MIDDLE, MIDDLE].reshape(len(near), -1), side, ~cut)
    return Openings(squares.i.ravel()[near], squares.j.ravel()[near], x[near], y[near], side, light, standing, of)


def standing_of(middles: Floats, side_um: Floats, whole: NDArray[np.bool_]) -> Floats:
    """Say how each opening stands among those of its grid, 0 to 2: at 1 it is usual, clean and whole.

    Finders like an opening less the dimmer it is than is usual or the nearer to vacuum, the more of it is dark, the
    less of it there is; with all of these goes the ice. What speaks against it takes it away from 1: towards 0 if its
    film is darker than usual, else towards 2. That tells a good square's score far better than its light alone.

    Parameters
    ----------
    middles
        Fraction of the beam that gets through at places clear of the bars, shape (n, places).
    side_um, whole
        Side of each, and whether it is one of those that say what is usual: no rim cuts it; shape (n,).
    """
    film = np.median(middles, axis=1)
    among = whole if whole.any() else np.ones(len(film), np.bool_)
    bright = film[among] > SEEN_SHARE * np.quantile(film[among], 0.75)
    usual = float(np.median(film[among][bright]))
    against = film / usual
    worth = np.clip((against - FAINT) / (FULL - FAINT), 0.0, 1.0)
    worth *= np.clip((1.0 - film) / max(1.0 - usual, 1e-3), 0.0, 1.0)
    worth *= np.minimum((side_um / np.median(side_um[among])) ** 2 / WHOLE_SHARE, 1.0)
    worth *= np.exp(-(middles < DARK_SHARE * film[:, None]).mean(axis=1) / DARK_SCALE)
    return np.where(against < 1.0, worth, 2.0 - worth)


def _through(instrument: Instrument, world: GridWorld, x: Floats, y: Floats) -> Floats:
    """Give the fraction of the beam that film and ice let through at these places."""
    paths, _ = matter_of(instrument)
    kind = world.squares_at(x, y).kind
    film = np.where(kind == SquareKind.EMPTY, 0.0, _covered(world) * world.film.thickness_nm)
    return np.asarray(np.exp(-world.ice_nm(x, y) / paths.ice_nm - film / paths.film_nm))


def _covered(world: GridWorld) -> float:
    """Give the share of the film that holes leave."""
    if world.film.hole_um == 0:
        return 1.0
    cell = abs(float(np.linalg.det(world.film.basis_um)))
    return max(1.0 - math.pi * (world.film.hole_um / 2) ** 2 / cell, 0.0)


def film_at(world: GridWorld, x_um: float, y_um: float) -> tuple[str, float]:
    """Say whether the square at a place has film, of what, and what became of the square; and the ice on it."""
    square = world.squares_at(np.array([x_um]), np.array([y_um]))
    kind = SquareKind(int(square.kind[0]))
    return path_of(_film_of(world, kind), kind.name.lower()), float(square.ice_nm[0])


def path_of(*names: str) -> str:
    """Join classes from the general to the particular; those that are empty are left out."""
    return PARTICULAR.join(name for name in names if name)


def _film_of(world: GridWorld, kind: int) -> str:
    if kind == SquareKind.EMPTY:
        return "no film"
    return on_material(world, "film" if world.film.hole_um else "film without holes")


def focus_place(instrument: Instrument, preset: Preset, at: datetime) -> tuple[str, float]:
    """Say what lies where the instrument focuses: film, too little of it, or a bar, and what it shows; and the ice.

    Two things can be seen there: the film's grain, which thick ice hides, and steps in the light, as the edges of a
    piece of dirt, which nothing hides. So films are told apart by their steps, and only where there are none by the
    holes' kind; the ice is the mean over what of the field is no bar.
    """
    world = instrument.world
    if world is None:
        return "nothing", 0.0
    nodes = {"rows_px": THUMBNAIL_PX, "cols_px": THUMBNAIL_PX, "pixel_size_a": beam_tilt.FINE_UM * 1e4 / THUMBNAIL_PX}
    view = instrument.view(preset.model_copy(update={**nodes, "binning": 1}), at)
    layers = layers_seen(instrument, view, ())
    free = layers.free > 0.5
    if free.mean() < 0.5:
        return "bar", 0.0
    ice = float(layers.ice_nm[free].mean())
    voltage_kv = instrument.profile.optics.voltage_kv
    steps = STEPPED[steps_in(transmitted(layers, *matter_of(instrument, preset), 0.0, view.pixel_um, voltage_kv))]
    if float((layers.film_nm[free] > THIN_FILM_NM).mean()) < 0.5:
        return path_of(on_material(world, "little film"), steps), ice
    film = path_of(on_material(world, "film"), steps)
    return (path_of(film, world.spec.hole_type) if steps == STEPPED[0] else film), ice


def steps_in(through: NDArray[np.float32]) -> int:
    """Say whether light over a field of so few pixels is even, has slight steps, or strong ones: 0, 1, 2."""
    smooth = cv2.GaussianBlur(through, (0, 0), STEP_PX)
    return int(np.searchsorted(STEPS, float((through - smooth).std() / through.mean())))


def height_place(instrument: Instrument, at: datetime) -> tuple[str, float]:
    """Say what lies where the instrument looks for the height of a square: its film, or a bar; and the ice there."""
    world = instrument.world
    if world is None:
        return "nothing", 0.0
    x, y = instrument.to_grid(instrument.looked_at(at))[..., None]
    square = world.squares_at(x, y)
    if float(world.bar_distance_um(x, y, square)[0]) > 0:
        return "bar", 0.0
    return _film_of(world, int(square.kind[0])), float(world.ice_nm(x, y)[0])


def on_material(world: GridWorld, name: str) -> str:
    """Tell classes apart by what the film is made of."""
    return f"{name} on gold" if world.film.gold else name


def grid_class(world: GridWorld) -> str:
    """Tell grids apart by their kind and what their film is made of, then by mesh, then by the film's holes."""
    return path_of(on_material(world, world.spec.kind), f"mesh {world.spec.mesh}", world.spec.hole_type)


def spot_of(instrument: Instrument, preset: Preset, at: datetime, marks: Sequence[Stain]) -> Spot:
    """Describe what an exposure looks at."""
    view = instrument.view(preset, at)
    coarse = view.coarser(max(math.ceil(min(view.rows, view.cols) / THUMBNAIL_PX), 1))
    layers = layers_seen(instrument, coarse, marks)
    paths, gold = matter_of(instrument)
    through = transmitted(layers, paths, gold, 0.0, coarse.pixel_um, instrument.profile.optics.voltage_kv)
    world = instrument.world
    ice = float(np.median(layers.ice_nm))
    film = float((layers.film_nm > THIN_FILM_NM).mean())
    reached = math.inf if world is None else float(truth.resolution_a(np.array(ice), world.spec.b_a2))
    of = _spot_class(float(layers.free.mean()), film, reached, world is not None and world.film.hole_um == 0)
    lens = aberrations(instrument, preset, at)
    drift = int(np.searchsorted(DRIFTS_A_PER_S, instrument.drift_rate(at)))
    lit = through * light_of(instrument, preset, at).electrons
    counted = counted_share(float(lit.mean()) / preset.exposure_s, instrument.profile.camera)
    path = path_px(instrument, preset, at, view.pixel_um * 1e4, np.random.Generator(np.random.PCG64(0)))
    return Spot(
        of=path_of(of, _limit(world) if of in WITH_SAMPLE else "", DRIFTS[drift]),
        covariate=reached if math.isfinite(reached) else ice,
        expected_a=reached if of in WITH_SAMPLE else UNIT_A,
        thumbnail=np.asarray(lit * counted, np.float32),
        defocus_um=-lens.defocus_a * 1e-4,
        astigmatism_a=lens.astigmatism_a,
        astigmatism_rad=lens.angle_rad,
        path_a=float(np.linalg.norm(np.diff(path, axis=0), axis=1).sum()) * view.pixel_um * 1e4,
    )


def _limit(world: GridWorld | None) -> str:
    """Say what sets the resolution: two spots that should reach the same fit differently well."""
    return "" if world is None else "blurred sample" if world.spec.b_a2 >= BLURRED_B_A2 else "sharp sample"


def _spot_class(free: float, film: float, reached_a: float, supported: bool) -> str:
    if free < 0.5:
        return "bar"
    if film > 0.5 and not supported:
        return "film"
    if not math.isfinite(reached_a):
        return "empty" if film < 0.5 else "film"
    if film > 0.5:
        return SUPPORTED
    return "edge" if film > 0.1 else ICE


def film_picture(
    instrument: Instrument, preset: Preset, view: View, at: datetime, marks: Sequence[Stain]
) -> NDArray[np.float32]:
    """Give the expected electrons of a small survey image that shows where film is: matter and light, in focus."""
    layers = layers_seen(instrument, view.straightened(), marks)
    voltage_kv = instrument.profile.optics.voltage_kv
    through = transmitted(layers, *matter_of(instrument, preset), 0.0, view.pixel_um, voltage_kv)
    if view.distortion is not None:
        through = view.distortion.apply(through)
    sharp = Blur(0.0, np.zeros((1, 1), np.float32), np.zeros(2))
    return lit(through, light_of(instrument, preset, at), sharp)


def thumbnail(instrument: Instrument, view: View, light: Light) -> NDArray[np.float32]:
    """Give the expected electrons of a survey image at the view's own few pixels, each from 2 × 2 places."""
    world = instrument.world
    if world is None:
        return np.full((view.rows, view.cols), light.electrons, np.float32)
    rows = (np.arange(2 * view.rows) - 0.5) / 2
    cols = (np.arange(2 * view.cols) - 0.5) / 2
    a = view.to_grid
    x = a[0, 0] * rows[:, None] + a[0, 1] * cols + a[0, 2]
    y = a[1, 0] * rows[:, None] + a[1, 1] * cols + a[1, 2]
    open_here = (world.bar_distance_um(x, y, world.squares_at(x, y)) < 0) & (np.hypot(x, y) < RIM_UM)
    through = _through(instrument, world, x, y) * open_here
    out_px = np.hypot(rows[:, None] - light.centre_px[0], cols - light.centre_px[1])
    through = through * (out_px < light.radius_px) * light.electrons
    return np.asarray(through.reshape(view.rows, 2, view.cols, 2).mean(axis=(1, 3)), np.float32)
