"""An image without its pixels: a thumbnail, and what an eye would have seen on the picture.

The instrument's state and the world's truth decide what is in the field; the error models decide what detectors and
fitters would have answered there. Only these answers leave: no thickness, no class, no place is told as it truly is.
"""

import cmath
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from ....protocols.preset import Level, Preset
from ...records import Shot
from ..grid.cells import Floats, key, normal, uniform
from ..grid.world import GridWorld
from ..instrument.instrument import Instrument, Seen
from ..pictures.illuminated import light_of, matter_of
from ..pictures.specimen import Stain, View
from . import conditions, hole_sites
from .conditions import Openings, Spot
from .error_models import CATEGORIES, GROUPS, PARTICULAR, STATUSES, ErrorModels, general
from .hole_sites import Sites, SitesInView

FOCUS_PLACE_UM = 1.0
"""Measurements of focus so near to each other are of one place."""

LANDMARK_UM = 4.0
"""Distance of the places by which views of one square are told to show the same."""

CUT_SHARES = (0.25, 0.5, 0.75, 0.95, 1.01)
"""Shares of an opening in view, up to which one answer on it stands."""

READ_OUT = ("rows_px", "cols_px", "pixel_size_a")
"""What of a preset changes where pixels are summed."""

FILM_LEVELS: tuple[Level, ...] = ("square", "hole")
"""Levels at which film and its holes are looked at."""

NOTHING_SEEN = "no round bright areas recur on a lattice"

Sighted = dict[str, Any]


def read_out(preset: Preset, shorter_px: int = conditions.THUMBNAIL_PX) -> Preset:
    """Give a preset as a camera reads it out that sums its pixels until few are left; the field stays."""
    factor = min(preset.rows_px, preset.cols_px) / shorter_px
    if factor <= 1:
        return preset
    rows, cols = (round(side / factor) for side in (preset.rows_px, preset.cols_px))
    changed = {"rows_px": rows, "cols_px": cols, "pixel_size_a": preset.pixel_size_a * preset.rows_px / rows}
    return preset.model_copy(update=changed)


class PixelFree:
    """Looks at what pictures would show.

    ``draw`` numbers the nights that the error models allow on one world: the instrument acts the same in all, what is
    found differs as chance has it. ``film_picture_px`` is the shorter side of the pictures of squares and holes; where
    it is more than a thumbnail's, they are rendered, for finders that have to see where film is.
    """

    def __init__(self, models: ErrorModels, draw: int = 0, film_picture_px: int = conditions.THUMBNAIL_PX) -> None:
        self._models = models
        self._draw = draw
        self._film_picture_px = film_picture_px
        self._given: Mapping[Level, Preset] = {}
        self._world: GridWorld | None = None
        self._openings: Openings | None = None
        self._sites: dict[tuple[int, int], Sites] = {}

    def presets(self, presets: Mapping[Level, Preset]) -> Mapping[Level, Preset]:
        """Give presets as this camera reads them out."""
        self._given = presets
        return {name: self._read_out(preset) for name, preset in presets.items()}

    def _read_out(self, preset: Preset) -> Preset:
        return read_out(preset, self._film_picture_px if preset.level in FILM_LEVELS else conditions.THUMBNAIL_PX)

    def whole(self, instrument: Instrument, preset: Preset) -> Preset:
        """Give the preset whose pixels this one sums, if it is one of the instrument's own read out."""
        own = self._given.get(preset.level, instrument.profile.levels[preset.level].preset)
        summed = self._read_out(own)
        if any(getattr(summed, name) != getattr(preset, name) for name in READ_OUT):
            return preset
        return preset.model_copy(update={name: getattr(own, name) for name in READ_OUT})

    def take(self, instrument: Instrument, shot: Shot, at: datetime, marks: Sequence[Stain]) -> Seen:
        """Take an image without rendering it."""
        preset = self._read_out(shot.preset)
        self._turn_to(instrument)
        if preset.level not in ("atlas", *FILM_LEVELS):
            return self._exposure(instrument, shot, preset, at, marks)
        view = instrument.view(preset, at)
        camera = instrument.profile.camera
        if preset.level in FILM_LEVELS and self._film_picture_px > conditions.THUMBNAIL_PX:
            electrons = conditions.film_picture(instrument, preset, view, at, marks)
        else:
            electrons = conditions.thumbnail(instrument, view, light_of(instrument, preset, at))
        counts = instrument.rng("pixels").poisson(electrons + camera.dark_e_per_px)
        pixels = np.rint(counts * camera.counts_per_electron).astype(np.int32)
        world = instrument.world
        if world is None or instrument.beam(at) == 0.0:
            return Seen(preset, pixels, {"level": preset.level})
        unit = light_of(instrument, preset, at).electrons * camera.counts_per_electron
        look = Look(instrument, world, view, unit, preset.level)
        if preset.level == "atlas":
            return Seen(preset, pixels, self._atlas(look))
        return Seen(preset, pixels, self._film(look))

    def focused(self, instrument: Instrument, name: Literal["height", "autofocus"]) -> Floats | None:
        """Say how far off a measurement of height or focus here is; None where it finds nothing.

        Whether anything is seen belongs to the square and to the place as far as the fit has found it to.
        """
        now = instrument.clock.now()
        table, rng = self._models.tables[name], self._rng(instrument, name)
        if name == "height":
            of, covariate = conditions.height_place(instrument, now)
        else:
            of, covariate = conditions.focus_place(instrument, _focus_preset(instrument), now)
        common = self._common(instrument, name, *instrument.to_grid(instrument.looked_at(now)))
        x, y = instrument.to_grid(instrument.looked_at(now))
        own = key(name, self._seed(instrument), instrument.state.on_stage or 0)
        place = float(normal(own, "place", round(float(x) / FOCUS_PLACE_UM), round(float(y) / FOCUS_PLACE_UM)))
        fresh = rng.standard_normal(2)
        again = max(table.again, table.together)
        whether = math.sqrt(table.together) * common[0] + math.sqrt(again - table.together) * place
        chance = ndtr(whether + math.sqrt(1 - again) * fresh[0])
        quantile = _mixed(table.alike, common[1], fresh[1:])
        answer = table.draw([of], np.array([covariate]), np.atleast_1d(chance), quantile)[0]
        return None if np.isnan(answer[0]) else np.asarray(answer)

    def _common(self, instrument: Instrument, name: str, x_um: float, y_um: float) -> tuple[float, float]:
        """Give the normal scores that a place shares with its grid or square: of having an answer, and of which."""
        world = instrument.world
        if world is None:
            return 0.0, 0.0
        own = key("common", name, self._seed(instrument), world.slot, instrument.state.loads.get(world.slot, 0))
        i = j = np.zeros(1, np.int64)
        if GROUPS[name] == "square":
            i, j = world.square_at(np.array([x_um]), np.array([y_um]))
        return float(normal(own, "chance", i, j)[0]), float(normal(own, "quantile", i, j)[0])

    def _drawn(
        self, instrument: Instrument, name: str, place_um: Floats, of: str, covariate: float, rng: np.random.Generator
    ) -> Floats | None:
        """Draw one answer on a place of the grid; None where there is none."""
        table = self._models.tables[name]
        common = self._common(instrument, name, float(place_um[0]), float(place_um[1]))
        own = rng.standard_normal(2)
        chance, quantile = _mixed(table.together, common[0], own[:1]), _mixed(table.alike, common[1], own[1:])
        answer = table.draw([of], np.array([covariate]), chance, quantile)[0]
        return None if np.isnan(answer[0]) else np.asarray(answer)

    def _seed(self, instrument: Instrument) -> int:
        return key(instrument.seed, "draw", self._draw) if self._draw else instrument.seed

    def _rng(self, instrument: Instrument, name: str) -> np.random.Generator:
        return instrument.rng(f"{name} {self._draw}" if self._draw else name)

    def _turn_to(self, instrument: Instrument) -> None:
        if self._world is not instrument.world:
            self._world, self._openings, self._sites = instrument.world, None, {}

    # atlas

    def _atlas(self, look: "Look") -> Sighted:
        if self._openings is None:
            self._openings = conditions.openings_of(look.instrument, look.world)
        openings, places = self._openings_in(look)
        load = look.instrument.state.loads.get(look.world.slot, 0)
        answers = self._opening_answers(look, openings, load)
        cut = self._cut_answers(look, openings, load)
        found = [
            _opening(f"{i}:{j}", place, side / look.view.pixel_um, answer, cuts)
            for i, j, place, side, answer, cuts in zip(
                openings.i.tolist(),
                openings.j.tolist(),
                places.tolist(),
                openings.side_um.tolist(),
                answers.tolist(),
                cut,
                strict=True,
            )
        ]
        return {
            "level": "atlas",
            "angle_deg": _rounded(look.bars_deg()),
            "openings": found,
            "landmarks": self._reload_landmarks(look, openings, load),
        }

    def _openings_in(self, look: "Look") -> tuple[Openings, Floats]:
        """Give the openings that a view shows, in part at least, and their places in it."""
        every, view = self._openings, look.view
        assert every is not None
        xy = np.stack([every.x_um, every.y_um], axis=-1)
        reach = math.hypot(view.rows, view.cols) / 2 * view.pixel_um + every.side_um
        near = np.flatnonzero(np.linalg.norm(xy - look.middle, axis=1) < reach)
        places = view.pixels_of(xy[near])
        half = every.side_um[near, None] / 2 / view.pixel_um
        shown = ((places > -half) & (places < np.array([view.rows, view.cols]) + half)).all(axis=1)
        return every.at(near[shown]), places[shown]

    def _opening_answers(self, look: "Look", openings: Openings, load: int) -> Floats:
        table = self._models.tables["opening"]
        own = key("openings seen", self._seed(look.instrument), look.world.slot)
        # Loaded again, a grid is still the same to the finder, though noise is another.
        like = table.grid_like(conditions.grid_class(look.world), float(uniform(own, "grid", 0)))
        again = key(own, "load", load)
        place = (openings.i, openings.j)
        quantile = _mixed(table.alike, float(normal(again, "picture", 0)), normal(again, "quantile", *place))
        chance = _mixed(table.together, float(normal(again, "picture", 1)), normal(again, "chance", *place))
        of = [conditions.path_of(name, like) for name in openings.of]
        answers = table.draw(of, openings.standing, chance, quantile)
        answers[:, table.column("mean_ratio")] *= openings.light * look.unit
        answers[:, table.column("area_ratio")] *= (openings.side_um / look.view.pixel_um) ** 2
        told = ~np.isnan(answers[:, 0])
        answers[told, 4:] = look.to_px(answers[told, 4:])
        return answers

    def _cut_answers(self, look: "Look", openings: Openings, load: int) -> list[list[list[float] | None]]:
        table = self._models.tables["cut opening"]
        own = key("cut openings seen", self._seed(look.instrument), look.world.slot, load)
        quantile = uniform(own, "quantile", openings.i, openings.j)
        chance = uniform(own, "chance", openings.i, openings.j)
        middles = [(low + high) / 2 for low, high in pairwise((0.0, *CUT_SHARES))]
        classes = [general(name) for name in openings.of]
        parts = [table.draw(classes, np.full(len(quantile), share), chance, quantile) for share in middles]
        return [
            [None if np.isnan(part[n, 0]) else [_rounded(part[n, 0]), float(part[n, 1])] for part in parts]
            for n in range(len(quantile))
        ]

    def _reload_landmarks(self, look: "Look", openings: Openings, load: int) -> dict[str, list[float]]:
        """Give the openings by which a reloaded grid is known again, off by what registration is off; none if it fails.

        The first load is what later ones are compared with.
        """
        off_x = off_y = turn = 0.0
        if load > 1:
            table = self._models.tables["reload"]
            own = key("seen again", self._seed(look.instrument), look.world.slot, load)
            draws = uniform(own, "draw", np.arange(2))
            answer = table.draw([look.world.spec.kind], np.zeros(1), draws[:1], draws[1:])[0]
            if np.isnan(answer[0]):
                return {}
            off_x, off_y, turn = answer[1], answer[2], math.radians(answer[3])
        x = openings.x_um - turn * openings.y_um + off_x
        y = openings.y_um + turn * openings.x_um + off_y
        return _named(openings.i, openings.j, look.view.pixels_of(np.stack([x, y], axis=-1)))

    # squares and holes

    def _film(self, look: "Look") -> Sighted:
        middle = look.middle
        of, ice_nm = conditions.film_at(look.world, float(middle[0]), float(middle[1]))
        rng = self._rng(look.instrument, "sightings")
        sites = hole_sites.sites_in(look.instrument, look.world, look.view, self._sites)
        opening = self._centre(look, of, rng) if look.level == "square" else None
        if look.level == "hole":
            of = conditions.path_of(of.partition(PARTICULAR)[0], hole_sites.middle_site(sites, look.middle_px))
        landmarks = self._landmarks(look, of, ice_nm, rng)
        within = hole_sites.holes_at(look.instrument, look.world, self._sites, float(middle[0]), float(middle[1]))
        holes = self._holes(look, sites, conditions.path_of(of, within), ice_nm, rng)
        return {"level": look.level, "opening": opening, **landmarks, **holes}

    def _centre(self, look: "Look", of: str, rng: np.random.Generator) -> list[float] | None:
        """Give where the middle of the opening in view seems to be: (row, col) and how sure that is."""
        i, j = look.world.square_at(look.middle[:1], look.middle[1:])
        true = look.world.centre_of(int(i[0]), int(j[0]))
        away = float(np.linalg.norm(true - look.middle))
        answer = self._drawn(look.instrument, "centre", look.middle, of, away, rng)
        if answer is None:
            return None
        row, col = look.view.pixels_of(true) + look.to_px(answer[1:3])
        return [_rounded(row), _rounded(col), _rounded(answer[0])]

    def _landmarks(self, look: "Look", of: str, ice_nm: float, rng: np.random.Generator) -> Sighted:
        """Give the places by which this picture is found in another, and how alike the two seem."""
        off, alike = np.zeros(2), 1.0
        if look.level == "hole":
            answer = self._drawn(look.instrument, "picture offset", look.middle, of, ice_nm, rng)
            if answer is None:
                return {"landmarks": {}}
            off, alike = answer[1:3], float(answer[0])
        corners = look.view.corners / LANDMARK_UM
        low, high = np.floor(corners.min(axis=0)).astype(int), np.ceil(corners.max(axis=0)).astype(int)
        a, b = (part.ravel() for part in np.mgrid[low[0] : high[0] + 1, low[1] : high[1] + 1])
        places = look.view.pixels_of(np.stack([a, b], axis=-1) * LANDMARK_UM)
        inside = look.shows(places)
        marks = _named(a[inside], b[inside], places[inside] + look.to_px(off))
        return {"landmarks": marks, "alike": _rounded(alike)}

    def _holes(self, look: "Look", seen: SitesInView, of: str, ice_nm: float, rng: np.random.Generator) -> Sighted:
        """Give the lattice and what seems to stand at its sites."""
        lattice = None
        if look.world.film.hole_um:
            lattice = self._drawn(look.instrument, f"{look.level} lattice", look.middle, of, ice_nm, rng)
        if lattice is None:
            return {"lattice": None, "holes": [], "reason": NOTHING_SEEN}
        table = self._models.tables[f"{look.level} site"]
        count, common = len(seen.of), rng.standard_normal(2)
        chance = _mixed(table.together, float(common[0]), rng.standard_normal(count))
        quantile = _mixed(table.alike, float(common[1]), rng.standard_normal(count))
        answers = table.draw(seen.of, seen.stands, chance, quantile)
        paths, _ = matter_of(look.instrument)
        means = np.exp(-seen.ice_nm / paths.ice_nm) * look.unit
        places = seen.places_px + look.to_px(lattice[1:3])
        told = np.flatnonzero(~np.isnan(answers[:, 0]))
        score, status, ratio = answers[told, :3].T
        row, col = (places[told] + look.to_px(answers[told, 3:5])).T
        columns = (row, col, seen.radius_um[told] / look.view.pixel_um, score * lattice[0], ratio * means[told], status)
        holes = []
        for n, *numbers, kind in zip(told.tolist(), *(column.tolist() for column in columns), strict=True):
            row_px, col_px, radius_px, chance_of_good, mean = (_rounded(number) for number in numbers)
            holes.append(
                [f"{seen.a[n]}:{seen.b[n]}", row_px, col_px, radius_px, chance_of_good, STATUSES[int(kind)], mean]
            )
        return {"lattice": look.lattice(float(lattice[0])), "holes": holes, "reason": "" if holes else NOTHING_SEEN}

    # exposures

    def _exposure(
        self, instrument: Instrument, shot: Shot, preset: Preset, at: datetime, marks: Sequence[Stain]
    ) -> Seen:
        rng = self._rng(instrument, "sightings")
        full = self.whole(instrument, shot.preset)
        spot = conditions.spot_of(instrument, full, at, marks)
        # The thumbnail is of the field as the preset reads it out, however many places it was worked out at.
        rows = np.minimum(np.arange(preset.rows_px), spot.thumbnail.shape[0] - 1)
        cols = np.minimum(np.arange(preset.cols_px), spot.thumbnail.shape[1] - 1)
        summed = np.float32((preset.pixel_size_a / full.pixel_size_a) ** 2)
        electrons = spot.thumbnail[np.ix_(rows, cols)] * summed
        frames = preset.frames if shot.save_frames else 1
        each = (electrons + instrument.profile.camera.dark_e_per_px) / frames
        counts = rng.poisson(np.repeat(each[None], frames, axis=0))
        pixels = counts.astype(np.int32) if frames > 1 else counts[0].astype(np.int32)
        place = instrument.to_grid(instrument.looked_at(at, shot.preset))
        answer = self._drawn(instrument, "verdict", place, spot.of, spot.covariate, rng)
        verdict: Sighted = {"median_counts": _rounded(float(np.median(counts.sum(axis=0)))), "fit": None}
        if answer is not None:
            ratio, confidence, error_um, along, across, counts_ratio, motion = answer.tolist()
            astigmatism_a, angle_deg = astigmatism_seen(spot, along, across)
            verdict["median_counts"] = _rounded(verdict["median_counts"] * counts_ratio)
            verdict["motion_a"] = _rounded(spot.path_a * motion)
            verdict["fit"] = {
                "resolution_a": _rounded(ratio * spot.expected_a),
                "confidence": _rounded(confidence),
                "defocus_um": _rounded(-(spot.defocus_um + error_um)),
                "astigmatism_a": _rounded(astigmatism_a),
                "angle_deg": _rounded(angle_deg),
            }
        return Seen(preset, pixels, {"level": preset.level, "verdict": verdict})


def astigmatism_seen(spot: Spot, along_a: float, across_a: float) -> tuple[float, float]:
    """Give strength in Å and angle in degrees, -90 to 90, of an astigmatism that a fit misses by so much.

    What it misses is told along the true one and across it, angles taken twice: it is as much where there is little.
    """
    seen = complex(spot.astigmatism_a + along_a, across_a)
    angle_deg = math.degrees(spot.astigmatism_rad + cmath.phase(seen) / 2)
    return abs(seen), (angle_deg + 90.0) % 180.0 - 90.0


@dataclass(frozen=True, slots=True)
class Look:
    """One survey image while it is taken; ``unit`` is the counts per pixel with nothing in the beam."""

    instrument: Instrument
    world: GridWorld
    view: View
    unit: float
    level: str

    @property
    def middle_px(self) -> Floats:
        """The middle of the view, (row, col)."""
        return np.array([(self.view.rows - 1) / 2, (self.view.cols - 1) / 2])

    @property
    def middle(self) -> Floats:
        """The grid's coordinates in the middle of the view."""
        return np.asarray(self.view.to_grid @ [*self.middle_px, 1.0])

    def to_px(self, off_um: Floats) -> Floats:
        """Bring a difference in the grid's frame to (row, col); several, (n, 2), at once."""
        return np.asarray(np.linalg.solve(self.view.to_grid[:, :2], off_um.T).T)

    def shows(self, places_px: Floats) -> NDArray[np.bool_]:
        """Say which places (n, 2) lie within the picture."""
        size = np.array([self.view.rows, self.view.cols])
        return np.asarray(((places_px >= -0.5) & (places_px <= size - 0.5)).all(axis=-1))

    def bars_deg(self) -> float:
        """Give the direction of the bars from the picture's x axis towards its y axis, 0..90."""
        row, col = self.to_px(np.array([1.0, 0.0]))
        return math.degrees(math.atan2(row, col)) % 90.0

    def lattice(self, confidence: float) -> Sighted:
        """Give the lattice of holes in (row, col)."""
        film = self.world.film
        a, b = (self.to_px(film.basis_um[:, n]) for n in (0, 1))
        # Any site is as good an origin; the one nearest to the middle is in view.
        steps = np.rint(np.linalg.solve(film.basis_um, self.middle - film.origin_um))
        origin = self.view.pixels_of(film.origin_um + film.basis_um @ steps)
        return {
            "a_px": [_rounded(v) for v in a],
            "b_px": [_rounded(v) for v in b],
            "origin_px": [_rounded(v) for v in origin],
            "confidence": _rounded(confidence),
        }


def _opening(
    name: str, place: list[float], side_px: float, answer: list[float], cut: list[list[float] | None]
) -> Sighted:
    seen: list[float | str] | None = None
    if not math.isnan(answer[0]):
        score, category, *numbers = answer
        values = [_rounded(v) for v in (score, *numbers)]
        seen = [CATEGORIES[int(category)], *values]
    cuts = [
        [below, None if part is None else [CATEGORIES[int(part[1])], part[0]]]
        for below, part in zip(CUT_SHARES, cut, strict=True)
    ]
    row, col = place
    return {
        "name": name, "row": _rounded(row), "col": _rounded(col),
        "side": _rounded(side_px), "whole": seen, "cut": cuts,
    }  # fmt: skip


def _focus_preset(instrument: Instrument) -> Preset:
    """Give the preset in which the instrument focuses."""
    preset = instrument.state.preset
    return preset if preset is not None and preset.level == "focus" else instrument.profile.levels["focus"].preset


def _mixed(share: float | Floats, common: float | Floats, own: Floats) -> Floats:
    """Turn standard normal numbers into quantiles that are correlated within one group."""
    return np.asarray(ndtr(np.sqrt(share) * common + np.sqrt(1 - np.asarray(share)) * own))


def _named(i: NDArray[np.int64], j: NDArray[np.int64], places: Floats) -> dict[str, list[float]]:
    rounded = np.round(places, 5).tolist()
    return {f"{a}:{b}": place for a, b, place in zip(i.tolist(), j.tolist(), rounded, strict=True)}


def _rounded(value: float) -> float:
    """Keep six digits: more would tell of arithmetic, not of sight."""
    return float(f"{value:.6g}")
