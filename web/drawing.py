"""Figures as PNG files: the very picture and overlay of the report, drawn at full size."""

import base64
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure as Sheet
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from ..files.atomic import write_bytes
from ..protocols.errors import BadInput
from . import palette
from .overlays import Mark, Overlay, ScaleBar
from .pictures import Picture
from .sections import Figure

DPI = 100
TITLE_PX = 34
LETTERS_PT = 9.0


def pixels_of(picture: Picture) -> NDArray[np.uint8]:
    """Give the pixels of a picture: (rows, cols), or (rows, cols, 3) as RGB.

    Raises
    ------
    BadInput
        The picture is missing; says why.
    """
    if picture.missing:
        raise BadInput(f"the picture cannot be shown: {picture.missing}")
    raw = base64.b64decode(picture.uri.partition(",")[2])
    found = cv2.imdecode(np.frombuffer(raw, dtype=np.uint8), cv2.IMREAD_ANYCOLOR)
    if found is None:
        raise BadInput("the picture cannot be shown: it is damaged")
    return np.asarray(found[..., ::-1] if found.ndim == 3 else found, dtype=np.uint8)


def draw(figure: Figure, title: str) -> bytes:
    """Draw a figure with its overlay and a title; answers a PNG, as large as the picture and the title's line."""
    picture = figure.picture
    sheet = Sheet(figsize=(picture.width / DPI, (picture.height + TITLE_PX) / DPI), dpi=DPI, facecolor="white")
    FigureCanvasAgg(sheet)
    share = picture.height / (picture.height + TITLE_PX)
    axes = sheet.add_axes((0.0, 0.0, 1.0, share))
    axes.imshow(
        pixels_of(picture), cmap="gray", vmin=0, vmax=255, extent=(0, picture.width, picture.height, 0),
        interpolation="nearest",
    )  # fmt: skip
    axes.set_axis_off()
    _draw_overlay(axes, figure.overlay, picture)
    axes.set_xlim(0, picture.width)
    axes.set_ylim(picture.height, 0)
    sheet.text(8 / picture.width, (1 + share) / 2, title, va="center", fontsize=LETTERS_PT + 1, color="black")
    out = BytesIO()
    sheet.savefig(out, format="png", dpi=DPI)
    return out.getvalue()


def write(path: Path, figure: Figure, title: str) -> None:
    """Draw into a file, replaced whole."""
    write_bytes(path, draw(figure, title))


def _draw_overlay(axes: Axes, overlay: Overlay, picture: Picture) -> None:
    for name, stroke in palette.SQUARES.items():
        corners = [outline.corners for outline in overlay.outlines if outline.category == name]
        if corners:
            axes.add_collection(PolyCollection(corners, facecolors="none", closed=True, **_lines(stroke)))
    for outline in overlay.outlines:
        if outline.visit:
            colour = palette.MARKS.get(outline.result, palette.TAG)
            axes.plot(outline.x, outline.y, "o", ms=15, mfc="#0b0e12c7", mec=colour, mew=1.4)
            _letters(axes, outline.x, outline.y, outline.visit, va="center")
    for rings in overlay.rings:
        stroke = palette.HOLES[rings.status]
        turn = np.linspace(0, 2 * np.pi, 49)
        circle = rings.radius * np.stack([np.cos(turn), np.sin(turn)], axis=-1)
        axes.add_collection(LineCollection([np.add(middle, circle) for middle in rings.centres], **_lines(stroke)))
    for mark in overlay.marks:
        _draw_mark(axes, mark)
    if overlay.bar is not None:
        _draw_bar(axes, overlay.bar, picture)


def _lines(stroke: palette.Stroke) -> dict[str, Any]:
    style = (0.0, tuple(length * 72 / DPI for length in stroke.dashes)) if stroke.dashes else "solid"
    width = stroke.width * 72 / DPI
    return {
        "edgecolors": stroke.colour,
        "linewidths": width,
        "linestyles": [style],
        "path_effects": [withStroke(linewidth=width + 1.4, foreground=palette.HALO, alpha=0.6)],
    }


def _draw_mark(axes: Axes, mark: Mark) -> None:
    shape = "o" if mark.verdict in ("usable", "open") else "D"
    axes.plot(mark.x, mark.y, shape, ms=6, mfc=palette.MARKS[mark.verdict], mec="#00150d", mew=0.8)
    if mark.label:
        _letters(axes, mark.x, mark.y - 7, mark.label, va="bottom")


def _draw_bar(axes: Axes, bar: ScaleBar, picture: Picture) -> None:
    x, y = 10.0, picture.height - 11.0
    halo = [withStroke(linewidth=5, foreground=palette.HALO, alpha=0.7)]
    axes.plot([x, x + bar.width], [y, y], color=palette.BAR, lw=2.4, path_effects=halo, solid_capstyle="butt")
    _letters(axes, x, y - 6, bar.label, va="bottom", ha="left")


def _letters(axes: Axes, x: float, y: float, text: str, *, va: str, ha: str = "center") -> None:
    halo = [withStroke(linewidth=2.4, foreground=palette.HALO, alpha=0.75)]
    axes.text(x, y, text, va=va, ha=ha, color=palette.TAG, fontsize=LETTERS_PT, fontweight="bold", path_effects=halo)
