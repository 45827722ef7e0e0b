"""Tiles into one picture: overlaps measured by correlation, held together by where the stage said it was.

Every pair of tiles that should overlap gives one measured offset with its 2×2 information (none along an edge that
runs straight through the overlap) and its confidence. All offsets are then solved together by robust least squares
with the stage positions as a weak prior, so that a blank or unmatched tile stays where the stage put it, moved along
with its neighbours, and one wrong match cannot tear the mosaic. The magnification's calibration is seldom better than
a percent, which is many pixels over an atlas: the same solution corrects it, since the stage knows its own scale.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import cv2
import numpy as np
from numpy.typing import NDArray

from ..hardware.records import Image, Pixels
from ..protocols.errors import BadInput
from .correlation import Floats, band_pass, find_lag
from .landmarks import shared_landmarks
from .pixels import shrunk
from .records import Stitched

STAGE_ERROR_UM = 3.0
"""Standard deviation expected of one stage position after a long move; operators report 1 to 3 µm."""

STRAINS = np.array([[[1, 0], [0, 1]], [[0, -1], [1, 0]], [[1, 0], [0, -1]], [[0, 1], [1, 0]]], np.float64)
STRAIN_SIGMAS = (0.02, 0.02, 0.003, 0.003)
"""How wrong the nominal calibration may be: scale, rotation (radians), and the two ways to be askew."""

SEARCH_UM = 16.0
"""How far from its nominal place a neighbour is looked for."""

MEASURED_PX = 1100
"""Tiles are averaged down until their longer side is at most this before overlaps are measured."""

LEAST_SHARE = 0.02
"""Pairs whose nominal overlap is a smaller share of the smaller tile are not measured."""

LEAST_CONFIDENCE = 0.5
"""Measured offsets below this are not used."""

BEST_SIGMA_PX = 0.15
"""No overlap is believed better than this, in px as measured: tiles are distorted a little."""

FINE_PX, COARSE_PX = 1.0, 8.0
"""Pass band of the overlaps in px as measured."""

SIGHTED_UM = 0.1
"""Standard deviation of an offset by landmarks that a pixel-free microscope saw: that of good overlaps."""

LEAST_LANDMARKS = 2
"""Pairs of tiles that show fewer of the same landmarks are not measured."""

RIM_PX = 12
"""Rim of each tile that is not compared: the pass band there misses what lies beyond the tile's edge."""

BAND_ROWS = 1024
"""Rows of the mosaic blended at a time; bounds the memory beside the mosaic itself."""


@dataclass(frozen=True, slots=True)
class _Edge:
    """Tile ``second`` lies at ``offset_px`` from tile ``first``, with the inverse covariance of that."""

    first: int
    second: int
    offset_px: Floats
    information: Floats
    confidence: float


def stitch(tiles: Sequence[Image]) -> Stitched:
    """Join tiles of one rotation and pixel size into a mosaic in the tiles' own pixel frame.

    Parameters
    ----------
    tiles
        Each with ``pixel_size_a`` and its nominal ``image_to_stage``; linear parts equal within 2 %.

    Returns
    -------
    Stitched
        ``offsets_px`` count from the first pixel of the mosaic. Pixels that no tile covers hold the mosaic's dark level
        (its 1st percentile), as a grid bar would look. ``image_to_stage`` and ``pixel_size_a`` have the calibration
        corrected by the stage, and the translation that leaves the middles of the tiles on average where the stage
        said they were. ``residual_px`` is 0 without measured overlaps.

    Raises
    ------
    BadInput
        No tiles, a tile without pixel size or position, or tiles of different scale or rotation.
    """
    linear, nominal = _nominal_offsets(tiles)
    pixel_um = float(np.sqrt(abs(np.linalg.det(linear))))
    if tiles[0].sightings:
        edges = _measure_sighted(tiles, SIGHTED_UM / pixel_um)
    else:
        edges = _measure(tiles, nominal, SEARCH_UM / pixel_um, STAGE_ERROR_UM / pixel_um)
    placed = _solve(nominal, edges, STAGE_ERROR_UM / pixel_um)
    offsets = placed.offsets - placed.offsets.min(axis=0)
    linear = linear @ np.linalg.inv(np.eye(2) - placed.strain)
    mosaic = _blend([tile.pixels for tile in tiles], offsets)
    middles = np.array([(np.array(tile.pixels.shape) - 1) / 2 for tile in tiles])
    stage = np.array([_stage_of(tile, middle) for tile, middle in zip(tiles, middles, strict=True)])
    origin = np.mean(stage - (offsets + middles) @ linear.T, axis=0)
    (a, b), (c, d) = linear.tolist()
    return Stitched(
        pixels=mosaic,
        offsets_px=tuple((float(row), float(col)) for row, col in offsets),
        image_to_stage=((a, b, float(origin[0])), (c, d, float(origin[1]))),
        pixel_size_a=_pixel_size_a(tiles) * float(np.sqrt(abs(np.linalg.det(linear)))) / pixel_um,
        residual_px=placed.residual_px,
        overlaps_used=placed.used,
    )


def _pixel_size_a(tiles: Sequence[Image]) -> float:
    return float(np.mean([tile.pixel_size_a for tile in tiles if tile.pixel_size_a]))


def _nominal_offsets(tiles: Sequence[Image]) -> tuple[Floats, Floats]:
    """Mean linear part of the tiles' affines and their nominal offsets from the first tile in px, shape (n, 2)."""
    if not tiles:
        raise BadInput("There are no tiles to stitch; take at least one.")
    for number, tile in enumerate(tiles):
        if tile.image_to_stage is None or not tile.pixel_size_a:
            raise BadInput(
                f"Tile {tile.name or number} has no pixel size or stage position, which stitching starts from; "
                "give both with every tile."
            )
    linears = np.array([np.asarray(tile.image_to_stage)[:, :2] for tile in tiles])
    linear = linears.mean(axis=0)
    scale = float(np.linalg.norm(linear))
    if scale == 0 or abs(np.linalg.det(linear)) < 1e-6 * scale**2:
        raise BadInput("The tiles' image_to_stage is singular: it maps a picture onto a line; calibrate it first.")
    if np.abs(linears - linear).max() > 0.02 * scale:
        raise BadInput("The tiles differ in scale or rotation; stitch only tiles taken with one preset.")
    middles = np.array([(np.array(tile.pixels.shape) - 1) / 2 for tile in tiles])
    stage = np.array([_stage_of(tile, middle) for tile, middle in zip(tiles, middles, strict=True)])
    return linear, (stage - stage[0]) @ np.linalg.inv(linear).T - (middles - middles[0])


def _stage_of(tile: Image, place_px: Floats) -> Floats:
    """Nominal stage position of a place on a tile; the middle is where the stage was sent."""
    affine = np.asarray(tile.image_to_stage, np.float64)
    return np.asarray(affine[:, :2] @ place_px + affine[:, 2])


def _measure(tiles: Sequence[Image], nominal: Floats, search_px: float, error_px: float) -> list[_Edge]:
    """Measure the offset of every pair that should overlap; keep what can be trusted."""
    factor = max(1, -(-max(max(tile.pixels.shape) for tile in tiles) // MEASURED_PX))
    passed = [band_pass(shrunk(tile.pixels, factor), FINE_PX, COARSE_PX) for tile in tiles]
    edges = []
    for first, second in combinations(range(len(tiles)), 2):
        expected = (nominal[second] - nominal[first]) / factor
        edge = _measure_pair(passed[first], passed[second], expected, search_px / factor, error_px / factor)
        if edge is not None and edge[2] >= LEAST_CONFIDENCE:
            edges.append(_Edge(first, second, edge[0] * factor, edge[1] / factor**2, edge[2]))
    return edges


def _measure_sighted(tiles: Sequence[Image], error_px: float) -> list[_Edge]:
    """Measure the offset of every pair of tiles by the landmarks that both show."""
    edges = []
    for first, second in combinations(range(len(tiles)), 2):
        there, here = shared_landmarks(tiles[first], tiles[second])
        if len(there) >= LEAST_LANDMARKS:
            offset = np.median(there - here, axis=0)
            edges.append(_Edge(first, second, offset, np.eye(2) / error_px**2, 1.0))
    return edges


def _measure_pair(
    fixed: Pixels, moving: Pixels, expected: Floats, search_px: float, error_px: float
) -> tuple[Floats, Floats, float] | None:
    """Correlate the strips that may overlap; answer offset, information and confidence, or None when they cannot."""
    shapes = np.array([fixed.shape, moving.shape])
    shared = np.minimum(shapes[0], expected + shapes[1]) - np.maximum(0, expected)
    if (shared <= 8).any() or float(np.prod(shared)) < LEAST_SHARE * float(shapes.prod(axis=1).min()):
        return None
    rim = min(RIM_PX, int(0.12 * shared.min()))
    first = np.clip(np.floor(expected - search_px), rim, shapes[0] - rim).astype(int)
    end = np.clip(np.ceil(expected + shapes[1] + search_px), rim, shapes[0] - rim).astype(int)
    moving_first = np.clip(np.floor(-expected - search_px), rim, shapes[1] - rim).astype(int)
    moving_end = np.clip(np.ceil(shapes[0] - expected + search_px), rim, shapes[1] - rim).astype(int)
    origin = (moving_first - first).astype(np.float64)
    centre = expected + origin
    lag = find_lag(
        fixed[first[0] : end[0], first[1] : end[1]],
        moving[moving_first[0] : moving_end[0], moving_first[1] : moving_end[1]],
        expected=(float(centre[0]), float(centre[1])),
        reach=(search_px, search_px),
        least_overlap=0.25 * float(np.prod(shared - 2 * rim)),
        prior_px=np.sqrt(2) * error_px,
    )
    values, axes = np.linalg.eigh(lag.information)
    information = axes @ np.diag(np.clip(values, 0, 1 / BEST_SIGMA_PX**2)) @ axes.T
    return np.array([lag.row_px, lag.col_px]) - origin, information, lag.confidence


@dataclass(frozen=True, slots=True)
class _Placed:
    """Offsets (n, 2) in px; the calibration's ``strain`` (2, 2): offsets = (1 - strain) · nominal; what was kept."""

    offsets: Floats
    strain: Floats
    residual_px: float
    used: int


def _solve(nominal: Floats, edges: Sequence[_Edge], error_px: float) -> _Placed:
    """Place all tiles: robust least squares (Geman-McClure weights) of measured offsets, stage prior and calibration.

    Unknown are all offsets, four numbers of strain (with priors of their own) and a common shift.
    """
    n = len(nominal)
    prior, target = _stage_prior(nominal, error_px)
    offsets, strain, weights = nominal.copy(), np.zeros((2, 2)), np.ones(len(edges))
    for round_number in range(12):
        normal, right = prior.copy(), target.copy()
        for edge, weight in zip(edges, weights, strict=True):
            _enter(normal, right, edge, weight * edge.confidence)
        solution = np.asarray(np.linalg.solve(normal, right), np.float64)
        offsets, strain = solution[: 2 * n].reshape(n, 2), np.tensordot(solution[2 * n : 2 * n + 4], STRAINS, 1)
        misfits = np.array([_misfit(edge, offsets) for edge in edges])
        scale = max(3.0, (error_px / BEST_SIGMA_PX) * 0.5**round_number)
        weights = (scale**2 / (scale**2 + misfits**2)) ** 2
    kept = weights > 0.05
    squares = [_measured_square(edge, offsets) for edge, keep in zip(edges, kept, strict=True) if keep]
    residual = float(np.sqrt(np.mean(squares))) if squares else 0.0
    return _Placed(offsets, strain, residual, int(kept.sum()))


def _stage_prior(nominal: Floats, error_px: float) -> tuple[Floats, Floats]:
    """Set up normal equations: ``offset + strain · (nominal - mean) - shift = nominal``, and what the strain may be."""
    n = len(nominal)
    arms = nominal - nominal.mean(axis=0)
    design = np.zeros((2 * n, 2 * n + 6))
    design[:, : 2 * n] = np.eye(2 * n)
    design[:, 2 * n : 2 * n + 4] = np.einsum("kij,nj->nik", STRAINS, arms).reshape(2 * n, 4)
    design[:, 2 * n + 4 :] = np.tile(-np.eye(2), (n, 1))
    prior = design.T @ design / error_px**2
    own = np.concatenate([np.zeros(2 * n), 1 / np.array(STRAIN_SIGMAS) ** 2, np.full(2, 1e-3 / error_px**2)])
    return prior + np.diag(own), design.T @ nominal.reshape(-1) / error_px**2


def _enter(normal: Floats, right: Floats, edge: _Edge, weight: float) -> None:
    """Add one measured offset to the normal equations."""
    i, j = slice(2 * edge.first, 2 * edge.first + 2), slice(2 * edge.second, 2 * edge.second + 2)
    information = weight * edge.information
    normal[i, i] += information
    normal[j, j] += information
    normal[i, j] -= information
    normal[j, i] -= information
    pull = information @ edge.offset_px
    right[j] += pull
    right[i] -= pull


def _misfit(edge: _Edge, offsets: Floats) -> float:
    """Disagreement of one edge with the solution in its own standard deviations."""
    gap = offsets[edge.second] - offsets[edge.first] - edge.offset_px
    return float(np.sqrt(gap @ edge.information @ gap))


def _measured_square(edge: _Edge, offsets: Floats) -> float:
    """Squared disagreement in px², counting only as much of each direction as the overlap measured."""
    gap = offsets[edge.second] - offsets[edge.first] - edge.offset_px
    return float(gap @ edge.information @ gap) / max(float(np.linalg.eigvalsh(edge.information)[-1]), 1e-12)


def _blend(pictures: Sequence[Pixels], offsets: Floats) -> Pixels:
    """Average the tiles, each weighted by the distance to its own edge; uncovered pixels get the dark level."""
    ends = np.array([offset + picture.shape for offset, picture in zip(offsets, pictures, strict=True)])
    rows, cols = (int(np.ceil(end - 1e-6)) for end in ends.max(axis=0))
    mosaic = np.empty((rows, cols), np.float32)
    covered = np.zeros((rows, cols), bool)
    for top in range(0, rows, BAND_ROWS):
        band = slice(top, min(top + BAND_ROWS, rows))
        total, weight = np.zeros((2, band.stop - top, cols), np.float32)
        for picture, offset in zip(pictures, offsets, strict=True):
            _add(total, weight, picture, offset, top)
        covered[band] = weight > 0
        mosaic[band] = total / np.maximum(weight, 1e-6)
    if not covered.all():
        mosaic[~covered] = np.percentile(mosaic[covered][:: max(1, mosaic.size // 2_000_000)], 1)
    return mosaic


def _add(total: Pixels, weight: Pixels, picture: Pixels, offset: Floats, top: int) -> None:
    """Add the part of one tile that falls into a band starting at row ``top``, shifted by the fraction of a pixel."""
    first = np.floor(offset).astype(int)
    begin, end = max(first[0], top), min(first[0] + picture.shape[0] + 1, top + total.shape[0])
    if begin >= end:
        return
    cols = min(picture.shape[1] + 1, total.shape[1] - first[1])
    shift = np.array([[1, 0, offset[1] - first[1]], [0, 1, offset[0] - begin]], np.float64)
    size = (int(cols), int(end - begin))
    image = np.ascontiguousarray(picture, np.float32)
    source = _rows_of(image, begin - offset[0], end - offset[0])
    shift[1, 2] += source.start
    moved = cv2.warpAffine(image[source], shift, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    share = _edge_weight(image.shape, offset, begin, end, first[1], int(cols))
    rows = slice(begin - top, end - top)
    total[rows, first[1] : first[1] + cols] += moved * share
    weight[rows, first[1] : first[1] + cols] += share


def _rows_of(image: Pixels, begin: float, end: float) -> slice:
    """Rows of the tile that a stretch of the band can see, with one beside for the interpolation."""
    return slice(max(0, int(np.floor(begin)) - 1), min(image.shape[0], int(np.ceil(end)) + 2))


def _edge_weight(
    shape: tuple[int, ...], offset: Floats, begin: int, end: int, first_col: int, cols: int
) -> NDArray[np.float32]:
    """Distance to the tile's nearest edge in px for a stretch of mosaic pixels, 0 outside the tile."""
    row = np.arange(begin, end) - offset[0]
    col = np.arange(first_col, first_col + cols) - offset[1]
    by_row = np.minimum(row + 0.5, shape[0] - 0.5 - row)
    by_col = np.minimum(col + 0.5, shape[1] - 0.5 - col)
    return np.asarray(np.maximum(np.minimum(by_row[:, None], by_col[None, :]), 0), np.float32)
