"""Pictures made for people: robust contrast, a scale bar, a title, the truth drawn over it, rings beside an exposure.

Classes are told by colour and line style together, in the palette of Okabe and Ito, so that no eye is left out. Labels
are truth: nothing that decides or detects may import this.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import scipy.fft
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Polygon, Rectangle
from numpy.typing import NDArray
from PIL import Image

from ....files.atomic import write_bytes
from .labels import HoleLabel, HoleState, SquareLabel
from .truth_table import Grade

Dash = Literal["-", "--", "-.", ":"]
Corner = Literal["upper right", "lower right"]
Grey = NDArray[np.float32]

HOLE_STYLE: Mapping[HoleState, tuple[str, Dash]] = {
    HoleState.USABLE: ("#009E73", "-"),
    HoleState.POOR: ("#0072B2", "--"),
    HoleState.EMPTY: ("#E69F00", ":"),
    HoleState.SPOILT: ("#D55E00", "-."),
    HoleState.CUT: ("#56B4E9", ":"),
}
"""Colour and line style of each state."""

SQUARE_STYLE: Mapping[Grade, tuple[str, Dash]] = {
    Grade.GOOD: ("#009E73", "-"),
    Grade.THICK: ("#0072B2", "--"),
    Grade.SMALL: ("#56B4E9", "-."),
    Grade.CONTAMINATED: ("#CC79A7", "-"),
    Grade.CRYSTALLINE: ("#F0E442", "--"),
    Grade.CRACKED: ("#E69F00", "-."),
    Grade.PARTIAL: ("#999999", ":"),
    Grade.BROKEN: ("#D55E00", "--"),
    Grade.DRY: ("#D55E00", ":"),
}
"""Colour and line style of each class."""

RING_COLOUR = "#E69F00"

TILE_PX = 512
"""Power spectra are averaged over tiles of this side."""

DPI, GREYS = 100, 56


@dataclass(frozen=True)
class Plate:
    """One picture and what to say of it.

    Attributes
    ----------
    pixels
        Counts, (rows, cols).
    rings
        Whether to show its power spectrum beside it.
    """

    title: str
    pixels: NDArray[np.generic]
    pixel_size_a: float
    rings: bool = False
    squares: Sequence[SquareLabel] = ()
    holes: Sequence[HoleLabel] = ()


def draw(plate: Plate, path: Path, side_px: int) -> None:
    """Write one plate as PNG; its longer side, rings apart, is ``side_px``.

    Raises
    ------
    NoRoom, NotWritable
        See `files.atomic`.
    """
    write_bytes(path, png(plate, side_px))


def png(plate: Plate, side_px: int) -> bytes:
    """Give one plate as the bytes of a PNG."""
    figure = _figure(plate, side_px)
    raw = io.BytesIO()
    figure.savefig(raw, format="rgba", dpi=DPI)
    picture = Image.frombuffer("RGBA", figure.canvas.get_width_height(), raw.getvalue()).convert("RGB")
    return _few_shades(picture, coloured=bool(plate.squares or plate.holes))


def sheet(pictures: Sequence[bytes], columns: int) -> bytes:
    """Lay PNGs of one size out row by row, as one PNG."""
    opened = [Image.open(io.BytesIO(one)).convert("RGB") for one in pictures]
    width, height = max(one.width for one in opened), max(one.height for one in opened)
    whole = Image.new("RGB", (width * columns, height * -(-len(opened) // columns)), "white")
    for number, one in enumerate(opened):
        row, col = divmod(number, columns)
        whole.paste(one, (col * width, row * height))
    return _few_shades(whole, coloured=False)


def contrasted(pixels: Grey) -> Grey:
    """Bring the bulk of the intensities (0.5 to 99.5 %) to 0..1; a blank picture becomes mid-grey."""
    low, high = np.percentile(pixels, [0.5, 99.5])
    if not high > low:
        return np.full(pixels.shape, 0.5, np.float32)
    return np.asarray(np.clip((pixels - low) / (high - low), 0, 1), np.float32)


def rings_of(pixels: NDArray[np.generic]) -> Grey:
    """Give the power spectrum of an exposure, zero frequency in the middle, so that its rings are seen.

    The mean over half-overlapping tiles; its smooth part is taken off and every place brought to one contrast, as is
    done where people look for faint rings beside strong ones.
    """
    side = min(TILE_PX, *pixels.shape)
    step = max(side // 2, 1)
    window = np.hanning(side)[:, None] * np.hanning(side)[None, :]
    total = np.zeros((side, side))
    for top in range(0, pixels.shape[0] - side + 1, step):
        for left in range(0, pixels.shape[1] - side + 1, step):
            tile = pixels[top : top + side, left : left + side].astype(np.float64)
            total += np.abs(scipy.fft.fft2((tile - tile.mean()) * window, workers=1)) ** 2
    power = np.log(np.fft.fftshift(total) + 1e-9 * total.max() + 1e-12).astype(np.float32)
    power[side // 2 - 3 : side // 2 + 4, side // 2 - 3 : side // 2 + 4] = np.median(power)
    power -= cv2.GaussianBlur(power, (0, 0), side / 24)
    power = np.asarray(cv2.GaussianBlur(power, (0, 0), 1.2), np.float32)
    contrast = np.sqrt(cv2.GaussianBlur(power * power, (0, 0), side / 32))
    return np.asarray(power / (contrast + 0.02 * contrast.max() + 1e-12), np.float32)


def _figure(plate: Plate, side_px: int) -> Figure:
    """Put a picture, and its rings beside it, under its title."""
    rows, cols = plate.pixels.shape
    wide, tall = (side_px * side / max(rows, cols) for side in (cols, rows))
    size = 11.0 if side_px >= 600 else 7.5
    title, gap = (plate.title.count("\n") + 1) * size * 1.75 + 4, 3.0
    width, height = (1 + plate.rings) * (wide + gap) + gap, tall + title + gap
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    for number in range(1 + plate.rings):
        left = gap + number * (wide + gap)
        axes = figure.add_axes((left / width, gap / height, wide / width, tall / height))
        axes.set_axis_off()
        if number:
            _rings(axes, plate, size)
        else:
            _picture(axes, plate, side_px, size)
    return figure


def _picture(axes: Axes, plate: Plate, side_px: int, size: float) -> None:
    rows, cols = plate.pixels.shape
    step = max(rows, cols) / side_px
    shown: Grey = plate.pixels.astype(np.float32)
    if step > 1:
        small = (max(round(cols / step), 1), max(round(rows / step), 1))
        shown = np.asarray(cv2.resize(shown, small, interpolation=cv2.INTER_AREA), np.float32)
    extent = (-0.5, cols - 0.5, rows - 0.5, -0.5)
    axes.imshow(contrasted(shown), cmap="gray", vmin=0, vmax=1, extent=extent, interpolation="nearest", aspect="auto")
    axes.set_xlim(-0.5, cols - 0.5)
    axes.set_ylim(rows - 0.5, -0.5)
    axes.set_title(plate.title, fontsize=size, loc="left", pad=3)
    _squares(axes, plate.squares, size)
    _holes(axes, plate.holes, size)
    _scale_bar(axes, plate, size, thick=max(0.012 * rows, 3.5 * step))


def _squares(axes: Axes, squares: Sequence[SquareLabel], size: float) -> None:
    used: dict[str, tuple[str, Dash]] = {}
    for square in squares:
        colour, dash = used.setdefault(square.grade.value, SQUARE_STYLE[square.grade])
        corners = square.corners_px[:, ::-1]
        axes.add_patch(Polygon(corners, closed=True, fill=False, edgecolor=colour, linestyle=dash, linewidth=1.3))
    _legend(axes, used, size, "upper right")


def _holes(axes: Axes, holes: Sequence[HoleLabel], size: float) -> None:
    used: dict[str, tuple[str, Dash]] = {}
    for hole in holes:
        colour, dash = used.setdefault(hole.state.value, HOLE_STYLE[hole.state])
        outline = hole.outline_px[:, ::-1]
        axes.add_patch(Polygon(outline, closed=True, fill=False, edgecolor=colour, linestyle=dash, linewidth=1.0))
    _legend(axes, used, size, "lower right")


def _legend(axes: Axes, styles: Mapping[str, tuple[str, Dash]], size: float, where: Corner) -> None:
    if styles:
        lines = [Line2D([], [], color=colour, linestyle=dash, label=name) for name, (colour, dash) in styles.items()]
        axes.add_artist(axes.legend(handles=lines, loc=where, fontsize=size - 1, framealpha=0.8))


def _scale_bar(axes: Axes, plate: Plate, size: float, *, thick: float) -> None:
    rows, cols = plate.pixels.shape
    pixel_um = plate.pixel_size_a * 1e-4
    length_um = _round_length(0.28 * cols * pixel_um)
    left, down = 0.03 * cols, 0.95 * rows
    name = f"{length_um:g} µm" if length_um >= 0.5 else f"{length_um * 1000:g} nm"
    bar = Rectangle((left, down), length_um / pixel_um, thick, facecolor="white", edgecolor="black", linewidth=0.6)
    axes.add_patch(bar)
    axes.text(
        left, down - 0.008 * rows, name, color="white", fontsize=size, va="bottom",
        bbox={"facecolor": "black", "edgecolor": "none", "alpha": 0.55, "pad": 1.2},
    )  # fmt: skip


def _rings(axes: Axes, plate: Plate, size: float) -> None:
    spectrum = rings_of(plate.pixels)
    side = spectrum.shape[0]
    low, high = np.percentile(spectrum, [1, 99.5])
    axes.imshow(spectrum, cmap="gray", vmin=low, vmax=max(high, low + 1e-6), interpolation="antialiased")
    nyquist = 2 * plate.pixel_size_a
    for at_a in (10.0, 5.0, 4.0, 3.0) if size > 10 else (5.0,):
        if at_a > 1.15 * nyquist:
            radius = nyquist / at_a * side / 2
            axes.add_patch(
                Circle((side / 2, side / 2), radius, fill=False, edgecolor=RING_COLOUR, linewidth=0.7, ls=":")
            )
            axes.text(side / 2, side / 2 - radius, f"{at_a:g} Å", color=RING_COLOUR, fontsize=size - 1, ha="center")
    axes.set_title(f"power spectrum to {nyquist:.2f} Å", fontsize=size, loc="left", pad=3)


def _few_shades(picture: Image.Image, *, coloured: bool) -> bytes:
    """Make a PNG of few shades: noise in true colour would be three times as large."""
    palette = Image.new("P", (1, 1))
    palette.putpalette(_palette(coloured=coloured))
    near = np.array(picture.quantize(palette=palette, dither=Image.Dither.NONE))
    # Pillow looks for the nearest of a coarse cube of colours; greys are known better.
    parts = np.asarray(picture, np.int16)
    grey = np.ptp(parts, axis=-1) < 4
    near[grey] = np.rint(parts[grey, 1] * (GREYS - 1) / 255)
    small = Image.frombytes("P", picture.size, near.tobytes())
    small.putpalette(_palette(coloured=coloured))
    kept = io.BytesIO()
    small.save(kept, "PNG", optimize=True)
    return kept.getvalue()


def _palette(*, coloured: bool) -> list[int]:
    """Give `GREYS` greys and, where lines are drawn, their colours pure and half mixed into black, grey and white."""
    shades = [np.full(3, level) for level in np.linspace(0, 255, GREYS)]
    names = {colour for colour, _ in (*SQUARE_STYLE.values(), *HOLE_STYLE.values())} if coloured else {RING_COLOUR}
    for name in sorted(names):
        pure = np.array([int(name[at : at + 2], 16) for at in (1, 3, 5)])
        shades += [pure, *((pure + grey) / 2 for grey in (0, 85, 170, 255))]
    return [round(float(part)) for shade in shades for part in shade]


def _round_length(most_um: float) -> float:
    """Give the largest of 1, 2, 5 times a power of ten not above this."""
    decade = 10.0 ** np.floor(np.log10(most_um))
    return float(max(step * decade for step in (1, 2, 5) if step * decade <= most_um * (1 + 1e-9)))
