"""Finders that answer what a recorded session holds; they go with the microscope `replay`, which gives no pixels.

Squares come in recorded order, so that the first found is the first visited; every recorded exposure is a hole of its
own, with the group it was taken in and its place in the order. What an exposure showed is not told here: that would be
looking ahead.
"""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..hardware.records import Affine, Image
from ..hardware.replay.reading import RecordingChoice, checked
from ..hardware.replay.records import RecordedSession, RecordedSquare
from .records import FoundHole, FoundSquare, HoleDetections, Site, SquareClass, SquareDetections

HOLE_RADIUS = 0.24
"""Hole radius as a share of the pitch: R1.2/1.3 has 0.6 µm of 2.5."""

AS_STAGE: Affine = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
"""Without a frame, (row, col) are stage (x, y) in µm."""

SQUARE_NUMBER = re.compile(r"-s0*(\d+)(?!\d)")


def recorded_squares(options: Mapping[str, Any]) -> "RecordedSquares":
    """Make the finder of squares; options ``folder`` and ``atlas`` as for the microscope.

    Raises
    ------
    BadInput
        When an option is not known or the recording cannot be read.
    """
    return RecordedSquares(checked(RecordingChoice, options, "the finder `recorded-squares`").session())


def recorded_holes(options: Mapping[str, Any]) -> "RecordedHoles":
    """Make the finder of holes; options ``folder`` and ``atlas`` as for the microscope.

    Raises
    ------
    BadInput
        When an option is not known or the recording cannot be read.
    """
    return RecordedHoles(checked(RecordingChoice, options, "the finder `recorded-holes`").session())


class RecordedSquares:
    """Every square that was imaged, once for each stay on it."""

    name = "recorded-squares"
    version = "1"

    def __init__(self, session: RecordedSession) -> None:
        self._session = session
        halves = [half for square in session.squares if (half := _half_um(square)) is not None]
        self._usual_half_um = float(np.median(halves)) + session.hole_pitch_um() / 2

    def find(self, image: Image) -> SquareDetections:
        """Answer the recorded squares in the frame of the image, or in stage µm if it has none."""
        to_px, um_per_px = _into(image)
        squares = tuple(self._found(square, to_px, um_per_px) for square in self._session.squares)
        return SquareDetections(squares, grid_angle_deg=0.0, pixel_size_a=image.pixel_size_a)

    def _found(self, square: RecordedSquare, to_px: "_ToPixels", um_per_px: float) -> FoundSquare:
        half = _half_um(square)
        half_um = self._usual_half_um if half is None else half + self._session.hole_pitch_um() / 2
        x_um, y_um = square.x_um, square.y_um
        box = [(-half_um, -half_um), (-half_um, half_um), (half_um, half_um), (half_um, -half_um)]
        row, col = to_px(x_um, y_um)
        return FoundSquare(
            row_px=row,
            col_px=col,
            corners_px=tuple(to_px(x_um + dx, y_um + dy) for dx, dy in box),
            area_px=(2 * half_um / um_per_px) ** 2,
            mean=0.0,
            score=1.0,
            category=SquareClass.GOOD,
            partial=False,
            features={"order": float(square.order), "exposures": float(len(square.exposures))},
        )


class RecordedHoles:
    """Every exposure of one stay on a square, in recorded order."""

    name = "recorded-holes"
    version = "1"

    def __init__(self, session: RecordedSession) -> None:
        self._session = session
        self._radius_um = HOLE_RADIUS * session.hole_pitch_um()

    def find(self, image: Image) -> HoleDetections:
        """Answer the exposures on the square whose number ends the image's name (``-s012``), or that it shows."""
        to_px, um_per_px = _into(image)
        square = self._square(image)
        if square is None:
            return HoleDetections(
                (), None, image.pixel_size_a, f"the recording knows no square of an image {image.name}"
            )
        radius_px = self._radius_um / um_per_px
        holes = []
        for group in square.groups:
            for shot in group.exposures:
                row, col = to_px(shot.x_um, shot.y_um)
                features = {"group": float(group.number), "order": float(shot.order)}
                if shot.predicted_ctf is not None:
                    features["predicted_ctf_a"] = shot.predicted_ctf
                holes.append(FoundHole(row, col, radius_px, score=1.0, status=Site.HOLE, features=features))
        reason = "" if holes else f"nothing was exposed on the recorded square {square.name}"
        return HoleDetections(tuple(holes), None, image.pixel_size_a, reason)

    def _square(self, image: Image) -> RecordedSquare | None:
        if (numbered := SQUARE_NUMBER.search(image.name)) is not None:
            index = int(numbered[1]) - 1
            return self._session.squares[index] if 0 <= index < len(self._session.squares) else None
        if image.image_to_stage is None:
            return None
        rows, cols = image.pixels.shape
        x_um, y_um = np.array(image.image_to_stage) @ ((rows - 1) / 2, (cols - 1) / 2, 1.0)
        return self._session.square_at(float(x_um), float(y_um))


class _ToPixels:
    """From stage µm to (row, col) of an image."""

    def __init__(self, affine: Affine) -> None:
        frame = np.array(affine)
        self._inverse, self._origin = np.linalg.inv(frame[:, :2]), frame[:, 2]

    def __call__(self, x_um: float, y_um: float) -> tuple[float, float]:
        row, col = self._inverse @ (np.array([x_um, y_um]) - self._origin)
        return float(row), float(col)


def _into(image: Image) -> tuple[_ToPixels, float]:
    """Give the way into an image's pixels, and their size in µm."""
    affine = AS_STAGE if image.image_to_stage is None else image.image_to_stage
    scale_um = float(np.sqrt(abs(np.linalg.det(np.array(affine)[:, :2]))))
    return _ToPixels(affine), scale_um


def _half_um(square: RecordedSquare) -> float | None:
    """Give how far the exposures lie from the square's middle along x or y; None where there are none."""
    far = [max(abs(shot.x_um - square.x_um), abs(shot.y_um - square.y_um)) for shot in square.exposures]
    return max(far, default=None)
