"""A picture of what a finder saw: the image with outlines, classes, scores, lattice and a scale bar.

Class and status are told by colour and by shape or line style together, in the palette of Okabe and Ito, so that no eye
is left out.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Polygon
from numpy.typing import NDArray

from ..hardware.records import Image
from .records import HoleDetections, Lattice, Site, SquareClass, SquareDetections

_Dash = Literal["-", "--", "-.", ":"]

SQUARE_STYLE: Mapping[SquareClass, tuple[str, _Dash, str]] = {
    SquareClass.GOOD: ("#009E73", "-", "good"),
    SquareClass.SMALL_OR_THICK: ("#0072B2", "--", "small or thick"),
    SquareClass.CONTAMINATED: ("#CC79A7", "-", "contaminated"),
    SquareClass.CRACKED: ("#E69F00", "-.", "cracked"),
    SquareClass.PARTIAL: ("#56B4E9", ":", "partial"),
    SquareClass.BROKEN_OR_DRY: ("#D55E00", "--", "broken or dry"),
}
"""Colour, line style and name of each class."""

HOLE_STYLE: Mapping[Site, tuple[str, _Dash, str]] = {
    Site.HOLE: ("#009E73", "-", "hole"),
    Site.PARTIAL: ("#56B4E9", "--", "partial"),
    Site.COVERED: ("#D55E00", "-.", "covered"),
    Site.MISSING: ("#E69F00", ":", "missing"),
}
"""Colour, line style and name of each status."""

_REJECTED = (Site.COVERED, Site.MISSING)
"""Sites of the lattice on which nothing is offered; crossed out."""

_LONGEST_PX = 1400


def draw_squares(image: Image, found: SquareDetections, path: Path) -> None:
    """Write a PNG of `image` with the boxes, classes and scores of `found`.

    Raises
    ------
    OSError
        The file cannot be written.
    """
    figure, axes = _canvas(image)
    for square in found.squares:
        colour, style, _ = SQUARE_STYLE[square.category]
        corners = [(col, row) for row, col in square.corners_px]
        axes.add_patch(Polygon(corners, closed=True, fill=False, edgecolor=colour, linestyle=style, linewidth=1.6))
        _label(axes, square.row_px, square.col_px, f"{square.score:.2f}", colour)
    used = {square.category for square in found.squares}
    _legend(axes, [SQUARE_STYLE[one] for one in SquareClass if one in used])
    _finish(figure, axes, image, found.pixel_size_a, found.reason, path)


def draw_holes(image: Image, found: HoleDetections, path: Path) -> None:
    """Write a PNG of `image` with the lattice, sites and scores of `found`; chances of being fit where it tells them.

    Raises
    ------
    OSError
        The file cannot be written.
    """
    figure, axes = _canvas(image)
    if found.lattice is not None:
        _lattice_lines(axes, found.lattice, image.pixels.shape)
    crowded = len(found.holes) > 150
    for hole in found.holes:
        colour, style, _ = HOLE_STYLE[hole.status]
        centre = (hole.col_px, hole.row_px)
        axes.add_patch(Circle(centre, hole.radius_px, fill=False, edgecolor=colour, linestyle=style, linewidth=1.4))
        if hole.status in _REJECTED:
            axes.plot(*centre, marker="x", color=colour, markersize=9, markeredgewidth=2)
        elif not crowded:
            _label(axes, hole.row_px, hole.col_px, f"{hole.merit:.2f}", colour)
    used = {hole.status for hole in found.holes}
    told = not crowded and any(hole.fit is not None for hole in found.holes)
    _legend(axes, [HOLE_STYLE[one] for one in Site if one in used], "chance of being fit" if told else "")
    _finish(figure, axes, image, found.pixel_size_a, found.reason, path)


def _canvas(image: Image) -> tuple[Figure, Axes]:
    rows, cols = image.pixels.shape
    size = _LONGEST_PX / max(rows, cols)
    figure = Figure(figsize=(max(4.0, cols * size / 100), max(4.0, rows * size / 100)), dpi=100)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    step = max(1, max(rows, cols) // (2 * _LONGEST_PX))
    shown = image.pixels[::step, ::step]
    extent = (-0.5, cols - 0.5, rows - 0.5, -0.5)
    axes.imshow(contrasted(shown), cmap="gray", vmin=0, vmax=1, extent=extent, interpolation="nearest")
    axes.set_axis_off()
    axes.set_xlim(-0.5, cols - 0.5)
    axes.set_ylim(rows - 0.5, -0.5)
    return figure, axes


def contrasted(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Bring the bulk of the intensities (0.5 to 99.5 %) to 0..1; a blank image becomes mid-grey."""
    known = pixels[np.isfinite(pixels)]
    if known.size == 0:
        return np.full(pixels.shape, 0.5, np.float32)
    low, high = np.percentile(known, [0.5, 99.5])
    if not high > low:
        return np.full(pixels.shape, 0.5, np.float32)
    scaled = np.clip((np.nan_to_num(pixels, nan=low) - low) / (high - low), 0, 1)
    return np.asarray(scaled, np.float32)


def _label(axes: Axes, row: float, col: float, text: str, colour: str) -> None:
    axes.text(
        col, row, text, color="white", fontsize=7, ha="center", va="center", clip_on=True,
        bbox={"facecolor": colour, "edgecolor": "none", "alpha": 0.75, "pad": 0.8},
    )  # fmt: skip


def _lattice_lines(axes: Axes, lattice: Lattice, shape: tuple[int, ...]) -> None:
    """Draw the rows of sites in both directions, thin, over the whole image."""
    origin = np.array(lattice.origin_px)
    corners = np.array([(0, 0), (0, shape[1]), (shape[0], 0), shape[:2]], float) - origin
    basis = np.array([lattice.a_px, lattice.b_px])
    numbers = corners @ np.linalg.inv(basis)
    low, high = np.floor(numbers.min(0)).astype(int), np.ceil(numbers.max(0)).astype(int)
    if (high - low).max() > 400:
        return
    for axis in (0, 1):
        for number in range(low[axis], high[axis] + 1):
            ends = [np.zeros(2), np.zeros(2)]
            for end, along in zip(ends, (low[1 - axis], high[1 - axis]), strict=True):
                end[axis], end[1 - axis] = number, along
            first, last = (origin + end @ basis for end in ends)
            axes.plot([first[1], last[1]], [first[0], last[0]], color="#F0E442", linewidth=0.9, alpha=0.6)


def _legend(axes: Axes, styles: Sequence[tuple[str, _Dash, str]], numbers: str = "") -> None:
    if styles:
        lines = [Line2D([], [], color=colour, linestyle=style, label=name) for colour, style, name in styles]
        title = f"numbers: {numbers}" if numbers else None
        axes.legend(handles=lines, loc="upper right", fontsize=9, framealpha=0.85, title=title, title_fontsize=9)


def _finish(figure: Figure, axes: Axes, image: Image, pixel_size_a: float | None, reason: str, path: Path) -> None:
    rows, cols = image.pixels.shape
    if pixel_size_a:
        length_um = _round_length(0.2 * cols * pixel_size_a * 1e-4)
        length_px = length_um * 1e4 / pixel_size_a
        left, down = 0.03 * cols, 0.96 * rows
        axes.plot([left, left + length_px], [down, down], color="white", linewidth=5, solid_capstyle="butt")
        axes.plot([left, left + length_px], [down, down], color="black", linewidth=3, solid_capstyle="butt")
        name = f"{length_um:g} µm"
        axes.text(left, down - 0.012 * rows, name, color="black", fontsize=10, backgroundcolor="#FFFFFFB0", va="bottom")
    if reason:
        axes.text(0.5, 0.02, reason, transform=axes.transAxes, ha="center", fontsize=11, backgroundcolor="white")
    figure.savefig(path, format="png", metadata={"Software": None})


def _round_length(most_um: float) -> float:
    """Largest of 1, 2, 5 times a power of ten not above `most_um`."""
    decade = 10.0 ** np.floor(np.log10(most_um))
    return float(max(step * decade for step in (1, 2, 5) if step * decade <= most_um * (1 + 1e-9)))
