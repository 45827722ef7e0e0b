"""Where a grid lies after it was loaded again: its new centre and rotation, found from its atlas before and after.

The mesh alone looks alike at every period and every quarter turn. So the angle of the bars gives four candidate
rotations; each is correlated over the whole atlas, where only the pattern of bright, dark and broken squares can tell
one period from the next, and the best must stand out. Patches all over the overlap are then matched at fine pixels and
a rotation with a translation is fitted robustly to their displacements.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from ..hardware.records import Image, Pixels
from ..protocols.errors import BadInput
from .correlation import Floats, Lag, band_pass, find_lag
from .records import Reregistration

BARS_UM = 4.0
"""Pixel at which the angle of the bars is measured."""

SEARCH_UM, SEARCH_BAND_UM = 2.5, (4.0, 120.0)
"""Pixel of the whole-atlas search, and its band: from bar edges to the brightness of whole squares.

The pixel is well below the finest detail, so that parabolas tell how well a place fits that falls between two pixels.
"""

ROUND_UM, ROUND_BAND_UM = 8.0, (12.0, 240.0)
"""The same where all rotations are tried."""

FINE_UM = 1.0
"""Pixel of the patches, never finer than the atlas."""

REACH_UM = 400.0
"""Farthest that the middle of the atlas may have moved: the loader's shift and its rotation about another centre."""

PATCHES_UM = (120.0, 220.0)
"""Side of a patch, a sixth of the atlas within these: more than one period of a mesh."""

LEAST_CONFIDENCE = 0.1
"""A place that stands out less from the others on the whole atlas is not looked at more closely."""

LEAST_TRUSTED = 0.3
"""An answer has this confidence at least, a refusal at most."""

LEAST_PATCH_CONFIDENCE = 0.3
"""Below this a patch does not count."""

CHECK_UM, CHECK_REACH_UM, CHECK_OFF_UM = 2.0, 150.0, 6.0
"""Pixel of the check, reach of other places (more than a mesh's period), and how far off the best of them may lie."""

FINEST_PX, EDGES_PX = (0.5, 1.5), (1.0, 3.0)
"""Bands of the check: finest detail, and edges of cracks, grains and openings; more independent than whole squares."""

LEAST_AGREEMENT = 0.5
"""Correlation of the finest detail where noise takes none of it: simulated grids found again come to 0.67 and more,
other grids of the same mesh, whose bars agree, to between 0.3 and 0.75."""

LEAST_SHARE_OWN = 0.35
"""Share of the edges' evidence that no other place about the one found may have: what all squares share fits at every
square. Other grids come to 0.25, a grid found again to 0.5 and more."""

LIKENESS_UM, SAME = (60.0, 250.0), 0.95
"""Band in which whole squares are compared, every mesh blurred away, and the correlation that stands for the edges'."""

FLAT_PX = 31
"""Side of an area that must be perfectly flat to count as not covered by any tile."""

LEAST_PATCHES = 5
"""Patches that must agree."""

ALL_ROUND = 6
"""Rotations looked at more closely where the bars tell none: a hexagonal mesh looks alike in so many."""

BAR_COHERENCE = 0.04
"""Share of the gradients that must agree on one angle, four-fold, for the bars to give the candidates."""

AMBIGUOUS = "more than one place fits about as well: another grid, or squares too much alike"


@dataclass(frozen=True, slots=True)
class _Pose:
    """A rotation in radians and a translation in µm, stage at the first load → stage now."""

    angle_rad: float
    x_um: float
    y_um: float

    def matrix(self) -> Floats:
        """Give the 2×3 matrix."""
        c, s = math.cos(self.angle_rad), math.sin(self.angle_rad)
        return np.array([[c, -s, self.x_um], [s, c, self.y_um]])


@dataclass(frozen=True, slots=True)
class _Chart:
    """An atlas drawn with rows along stage x and columns along stage y; ``origin_um`` is its first pixel's stage."""

    pixels: Pixels
    mask: Pixels
    origin_um: Floats
    step_um: float


def reregister(first: Image, now: Image) -> Reregistration:
    """Find where a reloaded grid lies.

    Parameters
    ----------
    first, now
        Stitched atlases of one grid before and after, each with ``pixel_size_a`` and ``image_to_stage``.

    Returns
    -------
    Reregistration
        ``frame`` maps stage µm at the first load to stage µm now (a rotation and a translation); None, with the reason,
        when no place stands out or the patches do not agree.

    Raises
    ------
    BadInput
        An atlas without a position.
    """
    for atlas in (first, now):
        if atlas.image_to_stage is None:
            raise BadInput(f"Atlas {atlas.name} has no image_to_stage, which re-registration starts from.")
    pose, confidence = _search(first, now)
    if pose is None:
        return Reregistration(None, 0.0, 0.0, "nothing to compare: an atlas is blank or the two do not overlap")
    if confidence < LEAST_CONFIDENCE:
        return Reregistration(None, _degrees(pose.angle_rad), confidence, AMBIGUOUS)
    refined, agreeing, asked = _refine(first, now, pose)
    if refined is None or agreeing < max(LEAST_PATCHES, 0.35 * asked):
        reason = f"only {agreeing} of {asked} patches agree with the place found"
        return Reregistration(None, _degrees(pose.angle_rad), min(confidence, LEAST_TRUSTED), reason)
    if reason := _check(first, now, refined):
        return Reregistration(None, _degrees(refined.angle_rad), min(confidence, LEAST_TRUSTED), reason)
    (a, b, c), (d, e, f) = refined.matrix().tolist()
    return Reregistration(((a, b, c), (d, e, f)), _degrees(refined.angle_rad), max(confidence, LEAST_TRUSTED))


def _degrees(angle_rad: float) -> float:
    """Degrees in -180..180."""
    return (math.degrees(angle_rad) + 180) % 360 - 180


def _search(first: Image, now: Image) -> tuple[_Pose | None, float]:
    """Find the best rotation and translation over the whole atlas and how far they stand out, 0..1."""
    fixed, moving = _chart(now, SEARCH_UM), _chart(first, SEARCH_UM)
    passed = _passed(fixed, SEARCH_BAND_UM)
    if not (passed.any() and _passed(moving, SEARCH_BAND_UM).any()):
        return None, 0.0
    before, after = _bars(_chart(first, BARS_UM)), _bars(_chart(now, BARS_UM))
    if before is None or after is None:
        angles = _all_round(first, now)
    else:
        angles = [after - before + quarter * math.pi / 2 for quarter in range(4)]
    found = [(angle, *_correlate(fixed, passed, moving, angle, SEARCH_BAND_UM)) for angle in angles]
    found.sort(key=lambda entry: -entry[2].evidence)
    if not found or found[0][2].evidence <= 0:
        return None, 0.0
    angle, pose, lag = found[0]
    rivals = [lag.rival, *(other.evidence for at, _, other in found[1:] if abs(_degrees(at - angle)) > 5)]
    for step in (math.radians(1.2), math.radians(0.6), math.radians(0.3)):
        for trial in (angle - step, angle + step):
            trial_pose, trial_lag = _correlate(fixed, passed, moving, trial, SEARCH_BAND_UM)
            if trial_lag.evidence > lag.evidence:
                pose, lag = trial_pose, trial_lag
        angle = pose.angle_rad
    stands_out = lag.evidence / max(*rivals, 1e-9) - 1
    return pose, lag.confidence * min(1.0, max(0.0, stands_out))


def _chart(atlas: Image, step_um: float, pose: _Pose | None = None, like: "_Chart | None" = None) -> _Chart:
    """Draw an atlas in the stage's frame, moved by ``pose``; in the frame of ``like`` or as large as it needs to be."""
    assert atlas.image_to_stage is not None
    rows, cols = atlas.pixels.shape
    to_stage = _chain(pose.matrix() if pose else None, np.asarray(atlas.image_to_stage, np.float64))
    if like is None:
        corners = np.array([[r, c, 1.0] for r in (0, rows - 1) for c in (0, cols - 1)]) @ to_stage.T
        origin = corners.min(axis=0)
        size = np.ceil((corners.max(axis=0) - origin) / step_um).astype(int) + 1
    else:
        origin, size = like.origin_um, np.array(like.pixels.shape)
    scale = math.sqrt(abs(float(np.linalg.det(to_stage[:, :2]))))
    factor = max(1, int(step_um / scale / 1.2))
    source, mask = _averaged(atlas.pixels, factor)
    to_stage = to_stage.copy()
    to_stage[:, 2] += to_stage[:, :2] @ np.full(2, (factor - 1) / 2)
    to_stage[:, :2] *= factor
    to_chart = (to_stage - np.column_stack([np.zeros((2, 2)), origin])) / step_um
    # OpenCV wants (col, row) → (col, row).
    matrix = to_chart[::-1][:, [1, 0, 2]]
    drawn, covered = (
        np.asarray(cv2.warpAffine(picture, matrix, (int(size[1]), int(size[0])), flags=cv2.INTER_LINEAR), np.float32)
        for picture in (source, mask)
    )
    return _Chart(drawn, (covered > 0.99).astype(np.float32), origin, step_um)


def _chain(second: Floats | None, first: Floats) -> Floats:
    """Affine that applies ``first`` and then ``second``, 2×3."""
    if second is None:
        return first
    return np.column_stack([second[:, :2] @ first[:, :2], second[:, :2] @ first[:, 2] + second[:, 2]])


def _averaged(pixels: Pixels, factor: int) -> tuple[Pixels, Pixels]:
    """Average down, with the mask of what a tile covered: the filling between tiles is flat to the last bit.

    Only wide flat areas count: where few electrons arrive, a bar may hold many equal pixels too.
    """
    image = np.ascontiguousarray(pixels, np.float32)
    kernel = np.ones((FLAT_PX, FLAT_PX), np.uint8)
    flat = cv2.dilate((cv2.dilate(image, kernel) == cv2.erode(image, kernel)).astype(np.uint8), kernel) > 0
    rows, cols = image.shape[0] // factor, image.shape[1] // factor
    whole = slice(0, rows * factor), slice(0, cols * factor)
    small = cv2.resize(image[whole], (cols, rows), interpolation=cv2.INTER_AREA)
    covered = cv2.resize((~flat[whole]).astype(np.float32), (cols, rows), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32), np.asarray(covered > 0.7, np.float32)


def _passed(chart: _Chart, band_um: tuple[float, float]) -> Pixels:
    """Keep detail between two lengths."""
    return band_pass(chart.pixels, band_um[0] / chart.step_um, band_um[1] / chart.step_um, chart.mask)


def _bars(chart: _Chart) -> float | None:
    """Angle of the bars in radians, modulo a quarter turn, from row axis towards column axis; None when unclear."""
    image = cv2.GaussianBlur(chart.pixels, (0, 0), 1.5)
    inside = cv2.erode(chart.mask, np.ones((9, 9), np.uint8))
    by_col, by_row = (cv2.Scharr(image, cv2.CV_32F, *axis) for axis in ((1, 0), (0, 1)))
    gradient = (by_row + 1j * by_col) * inside
    size = np.abs(gradient)
    strong = np.minimum(size, float(np.percentile(size[inside > 0], 95)) if inside.any() else 0.0)
    fourfold = complex(np.sum(strong * (gradient / np.maximum(size, 1e-12)) ** 4))
    total = float(strong.sum())
    if total <= 0 or abs(fourfold) < BAR_COHERENCE * total:
        return None
    return math.atan2(fourfold.imag, fourfold.real) / 4


def _all_round(first: Image, now: Image) -> list[float]:
    """Rotations in radians that fit best at very coarse pixels, for atlases whose bars tell no angle.

    Each is made as exact as these pixels allow before they are compared: a degree beside the right one a large atlas
    fits no better than in one of the other positions of its mesh.
    """
    fixed, moving = _chart(now, ROUND_UM), _chart(first, ROUND_UM)
    passed = _passed(fixed, ROUND_BAND_UM)

    def fit(at_deg: float) -> float:
        return _correlate(fixed, passed, moving, math.radians(at_deg), ROUND_BAND_UM)[1].evidence

    tried = sorted(((fit(at), float(at)) for at in range(-180, 180, 3)), reverse=True)
    apart: list[tuple[float, float]] = []
    for evidence, at in tried:
        if len(apart) < ALL_ROUND and all(abs((at - other + 180) % 360 - 180) > 6 for _, other in apart):
            apart.append((evidence, at))
    for step in (1.5, 0.75):
        apart = [max((evidence, at), *((fit(at + way), at + way) for way in (-step, step))) for evidence, at in apart]
    return [math.radians(at) for _, at in apart]


def _correlate(
    fixed: _Chart, passed: Pixels, moving: _Chart, angle_rad: float, band_um: tuple[float, float]
) -> tuple[_Pose, Lag]:
    """Turn the first atlas about its middle and find where it lies on the present one."""
    middle = moving.origin_um + (np.array(moving.pixels.shape) - 1) / 2 * moving.step_um
    turned = _turned(moving, angle_rad)
    lag = find_lag(
        passed,
        _passed(turned, band_um),
        expected=tuple((turned.origin_um - fixed.origin_um) / fixed.step_um),
        reach=(REACH_UM / fixed.step_um, REACH_UM / fixed.step_um),
        least_overlap=0.3 * float(min(fixed.mask.sum(), turned.mask.sum())),
        masks=(fixed.mask, turned.mask),
        between_pixels=True,
    )
    # A point at stage s is drawn at (turn(s) - turned.origin) / step and found at that plus the lag.
    move = fixed.origin_um + np.array([lag.row_px, lag.col_px]) * fixed.step_um - turned.origin_um
    turn = _Pose(angle_rad, 0.0, 0.0).matrix()[:, :2]
    shift = middle - turn @ middle + move
    return _Pose(angle_rad, float(shift[0]), float(shift[1])), lag


def _turned(chart: _Chart, angle_rad: float) -> _Chart:
    """Turn a chart about its middle, stage x towards stage y."""
    rows, cols = chart.pixels.shape
    c, s = math.cos(angle_rad), math.sin(angle_rad)
    size = (math.ceil(rows * abs(c) + cols * abs(s)), math.ceil(rows * abs(s) + cols * abs(c)))
    old, new = (np.array([rows, cols]) - 1) / 2, (np.array(size) - 1) / 2
    turn = np.array([[c, -s], [s, c]])
    affine = np.column_stack([turn, new - turn @ old])
    matrix = affine[::-1][:, [1, 0, 2]]
    drawn, mask = (
        np.asarray(cv2.warpAffine(picture, matrix, size[::-1], flags=cv2.INTER_LINEAR), np.float32)
        for picture in (chart.pixels, chart.mask)
    )
    origin = chart.origin_um + (old - new) * chart.step_um
    return _Chart(drawn, (mask > 0.99).astype(np.float32), origin, chart.step_um)


def _refine(first: Image, now: Image, pose: _Pose) -> tuple[_Pose | None, int, int]:
    """Match patches and correct the pose, twice; answers it with how many patches agree, of how many."""
    step = max(FINE_UM, _pixel_um(now), _pixel_um(first))
    fixed = _chart(now, step)
    passed = band_pass(fixed.pixels, 1.0, 10.0, fixed.mask)
    agreeing = asked = 0
    for reach_um in (25.0, 8.0):
        moved = _chart(first, step, pose, fixed)
        places, gaps, spreads, asked = _patches(fixed, passed, moved, reach_um / step)
        if len(places) < LEAST_PATCHES:
            return None, len(places), asked
        correction, agreeing = _rigid(places, gaps, spreads)
        turn = correction.matrix()
        total = _chain(turn, pose.matrix())
        pose = _Pose(pose.angle_rad + correction.angle_rad, float(total[0, 2]), float(total[1, 2]))
    return pose, agreeing, asked


def _check(first: Image, now: Image, pose: _Pose) -> str:
    """Say why the two atlases do not show one grid in the place found; nothing when they do.

    In search and patches thick bars weigh most, which fit on any grid of the same mesh.
    """
    fixed = _chart(now, CHECK_UM)
    moved = _chart(first, CHECK_UM, pose, fixed)
    shared = np.minimum(fixed.mask, moved.mask)
    agreement = _alike(fixed, moved, shared, FINEST_PX)
    audible = _audible(now, None, fixed, shared) * _audible(first, pose, fixed, shared)
    if agreement < LEAST_AGREEMENT * audible:
        return f"fine detail does not agree where the bars fit best (correlation {agreement:.2f}): another grid"
    lag = find_lag(
        *(band_pass(chart.pixels, *EDGES_PX, shared) for chart in (fixed, moved)),
        reach=(CHECK_REACH_UM / CHECK_UM, CHECK_REACH_UM / CHECK_UM),
        least_overlap=0.3 * float(shared.sum()),
        masks=(shared, shared),
    )
    stays = math.hypot(lag.row_px, lag.col_px) * CHECK_UM <= CHECK_OFF_UM
    if stays and lag.rival <= (1 - LEAST_SHARE_OWN) * lag.evidence:
        return ""
    whole = LIKENESS_UM[0] / CHECK_UM, LIKENESS_UM[1] / CHECK_UM
    return "" if stays and _alike(fixed, moved, shared, whole) >= SAME else AMBIGUOUS


def _alike(one: _Chart, other: _Chart, shared: Pixels, band_px: tuple[float, float]) -> float:
    """Give the correlation of two charts in a band of lengths, -1..1; 0 where one of them is blank."""
    first, second = (band_pass(chart.pixels, *band_px, shared) for chart in (one, other))
    size = math.sqrt(float(np.vdot(first, first)) * float(np.vdot(second, second)))
    return float(np.vdot(first, second)) / size if size > 0 else 0.0


def _audible(atlas: Image, pose: _Pose | None, like: _Chart, shared: Pixels) -> float:
    """Give which share of an atlas's finest detail is no noise, 0..1: what its even and its odd rows agree in."""
    even, odd = (_chart(_every_other_row(atlas, first), CHECK_UM, pose, like) for first in (0, 1))
    both = max(0.0, _alike(even, odd, shared, FINEST_PX))
    # Half of the rows hold twice the noise (Spearman and Brown's formula).
    return 2 * both / (1 + both)


def _every_other_row(atlas: Image, first: int) -> Image:
    (a, b, c), (d, e, f) = atlas.image_to_stage or ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
    frame = ((2 * a, b, c + first * a), (2 * d, e, f + first * d))
    return Image(np.ascontiguousarray(atlas.pixels[first::2]), atlas.pixel_size_a, frame, atlas.name)


def _pixel_um(image: Image) -> float:
    return math.sqrt(abs(float(np.linalg.det(np.asarray(image.image_to_stage)[:, :2]))))


def _patches(fixed: _Chart, passed: Pixels, moved: _Chart, reach_px: float) -> tuple[Floats, Floats, Floats, int]:
    """Give places and gaps of patches in µm, shape (n, 2), their informations (n, 2, 2), and how many were tried."""
    mask = fixed.mask * moved.mask
    other = band_pass(moved.pixels, 1.0, 10.0, moved.mask)
    extent_um = min(fixed.pixels.shape) * fixed.step_um
    side = int(min(max(extent_um / 6, PATCHES_UM[0]), PATCHES_UM[1]) / fixed.step_um)
    margin = math.ceil(reach_px)
    places, gaps, informations, asked = [], [], [], 0
    for row in range(margin, fixed.pixels.shape[0] - side - margin, int(side * 0.75)):
        for col in range(margin, fixed.pixels.shape[1] - side - margin, int(side * 0.75)):
            inner = slice(row, row + side), slice(col, col + side)
            outer = slice(row - margin, row + side + margin), slice(col - margin, col + side + margin)
            if mask[inner].mean() < 0.8 or fixed.mask[outer].mean() < 0.7:
                continue
            asked += 1
            lag = find_lag(
                passed[outer],
                other[inner],
                expected=(float(margin), float(margin)),
                reach=(reach_px, reach_px),
                least_overlap=float(side * side) * 0.99,
            )
            if lag.confidence < LEAST_PATCH_CONFIDENCE:
                continue
            places.append(fixed.origin_um + (np.array([row, col]) + side / 2) * fixed.step_um)
            gaps.append((np.array([lag.row_px, lag.col_px]) - margin) * fixed.step_um)
            informations.append(lag.information / fixed.step_um**2)
    shape = (len(places), 2)
    return np.reshape(places, shape), np.reshape(gaps, shape), np.reshape(informations, (*shape, 2)), asked


def _rigid(places: Floats, gaps: Floats, informations: Floats) -> tuple[_Pose, int]:
    """Small rotation and translation that explain the gaps, robustly; and how many patches agree within 3 µm."""
    middle = places.mean(axis=0)
    arm = places - middle
    design = np.zeros((len(places), 2, 3))
    design[:, 0, 0] = design[:, 1, 1] = 1
    design[:, 0, 2], design[:, 1, 2] = -arm[:, 1], arm[:, 0]
    weights, solution = np.ones(len(places)), np.zeros(3)
    floor = np.linalg.inv(np.linalg.inv(informations + 1e-6 * np.eye(2)) + 0.25 * np.eye(2))
    for scale_um in (12.0, 6.0, 4.0, 3.0, 2.0, 2.0):
        normal = np.einsum("n,nki,nkl,nlj->ij", weights, design, floor, design)
        right = np.einsum("n,nki,nkl,nl->i", weights, design, floor, gaps)
        solution = np.linalg.solve(normal + 1e-9 * np.eye(3), right)
        misfit = np.linalg.norm(gaps - design @ solution, axis=1)
        weights = (scale_um**2 / (scale_um**2 + misfit**2)) ** 2
    angle = float(solution[2])
    turn = _Pose(angle, 0.0, 0.0).matrix()[:, :2]
    shift = middle + solution[:2] - turn @ middle
    return _Pose(angle, float(shift[0]), float(shift[1])), int((misfit < 3.0).sum())
