"""Atlases whose truth is known: what the square finder and the registration after a reload answer."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..detectors.records import FoundSquare
from ..detectors.sighted import LEAST_SHARE, is_whole, share_in_view
from ..hardware.records import Image, StagePosition
from ..hardware.simulator.pictures.view import View
from ..hardware.simulator.pixel_free.conditions import grid_class, path_of
from ..hardware.simulator.pixel_free.error_models import CATEGORIES, PARTICULAR
from ..imaging.sighted import frame_sighted
from ..orchestrator import worker
from ..orchestrator.shooting import look_at
from ..orchestrator.worker import Look
from .seeing import Bench, Floats, GridToSee, Observations, take_nearest

OVERLAP = 0.1
TILES = 3

_Place = tuple[tuple[float, float], View, Floats]
"""Where an opening stands in the mosaic, the view of the tile that shows it best, and that tile's offset."""


@dataclass(frozen=True, slots=True)
class Atlas:
    """A mosaic and where its openings truly stand in it, by name, (row, col)."""

    look: Look
    places: Mapping[str, tuple[float, float]]

    def marked(self) -> Image:
        """Give the mosaic's frame with its openings' true places as landmarks, for registration without an error."""
        nothing = np.zeros((1, 1), np.float32)
        return Image(nothing, None, self.look.image_to_stage, self.look.name, {"landmarks": self.places})


def see_atlas(bench: Bench, seen: Observations, name: str) -> Atlas:
    """Take an atlas and join it; of the first one, called ``atlas``, the squares are compared too."""
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
        tiles.append(look_at(got))
        views.append(view)
    seen.count("atlas")
    joined = worker.stitch_tiles(tiles, bench.folder / f"{name}.mrc")
    look = Look(joined.path, joined.pixel_size_a, joined.image_to_stage, name)
    places = _opening_places(bench, views, joined)
    if name == "atlas":
        _openings(bench, seen, look, places, unit)
    return Atlas(look, {f"{i}:{j}": place for (i, j), (place, _, _) in places.items()})


def _opening_places(bench: Bench, views: Sequence[View], joined: worker.Mosaic) -> dict[tuple[int, int], _Place]:
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
    bench: Bench, seen: Observations, look: Look, places: Mapping[tuple[int, int], _Place], unit: float
) -> None:
    """Compare the squares found with the openings that are there."""
    found = worker.find_squares(bench.eyes.squares, {}, look).squares
    image = look.image()
    shape = tuple(image.sightings.get("size_px", image.pixels.shape))
    table = {(int(i), int(j)): n for n, (i, j) in enumerate(zip(bench.openings.i, bench.openings.j, strict=True))}
    taken: set[int] = set()
    for index, (place, view, offset) in places.items():
        n = table[index]
        side = float(bench.openings.side_um[n]) / view.pixel_um
        share = share_in_view(place, side, shape)
        if share <= LEAST_SHARE:
            continue
        middle = _visible_middle(place, side, shape)
        match = take_nearest([(s.row_px, s.col_px) for s in found], middle, 0.5 * side, taken)
        of = bench.openings.of[n]
        if is_whole(place, side, shape):
            answer = None
            if match is not None:
                answer = _whole(found[match], bench, n, view, offset, side, unit)
            like = path_of(of, grid_class(bench.world))
            seen.add("opening", bench.grid.name, like, float(bench.openings.standing[n]), answer)
        else:
            short = None if match is None else [found[match].score, _category(found[match])]
            seen.add("cut opening", bench.grid.name, of.partition(PARTICULAR)[0], share, short)
    seen.false["opening"] = seen.false.get("opening", 0) + len(found) - len(taken)


def _whole(
    square: FoundSquare, bench: Bench, n: int, view: View, offset: Floats, side_px: float, unit: float
) -> list[float]:
    at = view.places_of(np.array([square.row_px, square.col_px]) - offset)
    off = at - [bench.openings.x_um[n], bench.openings.y_um[n]]
    mean = square.mean / (unit * float(bench.openings.light[n]))
    return [square.score, _category(square), mean, square.area_px / side_px**2, float(off[0]), float(off[1])]


def _category(square: FoundSquare) -> float:
    return float(CATEGORIES.index(square.category.value))


def _visible_middle(place: tuple[float, float], side: float, shape: tuple[float, ...]) -> tuple[float, float]:
    row, col = (
        (max(at - side / 2, -0.5) + min(at + side / 2, size - 0.5)) / 2 for at, size in zip(place, shape, strict=True)
    )
    return row, col


def see_reload(seen: Observations, grid: GridToSee, first: Atlas, now: Atlas) -> None:
    """Compare the frame that registration finds with that of the openings' true places in both atlases."""
    found = worker.find_frame(first.look, now.look)
    true = frame_sighted(first.marked(), now.marked())
    if true.frame is None:
        return
    if found.frame is None:
        seen.add("reload", grid.name, grid.kind, 0.0, None)
        return
    off = np.array(found.frame)[:, 2] - np.array(true.frame)[:, 2]
    turn = (found.rotation_deg - true.rotation_deg + 180) % 360 - 180
    seen.add("reload", grid.name, grid.kind, 0.0, [found.confidence, float(off[0]), float(off[1]), turn])
