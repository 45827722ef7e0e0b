"""The detectors on a person's own image."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from .terminal import console

if TYPE_CHECKING:
    from ..hardware.records import Image

detect_app = typer.Typer(help="The detectors on your own image.", no_args_is_help=True)

ImageFile = Annotated[Path, typer.Argument(help="An MRC file with one image.", metavar="IMAGE.mrc")]
JsonFile = Annotated[Path | None, typer.Option("--json", help="Write the detections as JSON.")]
PlotFile = Annotated[Path | None, typer.Option("--plot", help="Write a PNG with outlines and scores.")]
PixelSize = Annotated[float | None, typer.Option(min=0.01, help="Pixel size in Å, where the file does not say.")]


def _image(path: Path, pixel_size_a: float | None) -> "Image":
    from ..files.mrc import read_image
    from ..hardware.records import Image

    pixels, own = read_image(path)
    return Image(pixels, pixel_size_a or own, None, str(path))


@detect_app.command()
def squares(path: ImageFile, json_file: JsonFile = None, plot: PlotFile = None, pixel_size_a: PixelSize = None) -> None:
    """Find and classify the squares of an atlas or one of its tiles."""
    from ..detectors.output import squares_json
    from ..orchestrator import plugins

    image = _image(path, pixel_size_a)
    found = plugins.load("epicycle.detectors", "mixture-squares")({}).find(image)
    table = Table("#", "x px", "y px", "area px²", "mean", "score", "class", "partial")
    for number, square in enumerate(found.squares, start=1):
        table.add_row(
            str(number),
            f"{square.col_px:.1f}",
            f"{square.row_px:.1f}",
            f"{square.area_px:.0f}",
            f"{square.mean:.1f}",
            f"{square.score:.2f}",
            square.category.value,
            "yes" if square.partial else "",
        )
    _show(table, f"{len(found.squares)} squares, grid at {found.grid_angle_deg:.1f}°", found.reason, len(found.squares))
    _write_json(json_file, squares_json(found, str(path)))
    if plot is not None:
        from ..detectors.drawing import draw_squares

        draw_squares(image, found, plot)


@detect_app.command()
def holes(
    path: ImageFile,
    json_file: JsonFile = None,
    plot: PlotFile = None,
    pixel_size_a: PixelSize = None,
    hole_diameter_um: Annotated[float | None, typer.Option(help="Hole diameter in µm, if known.")] = None,
    hole_pitch_um: Annotated[float | None, typer.Option(help="Distance between hole centres in µm, if known.")] = None,
) -> None:
    """Find the holes of a square or a hole-level view, with their lattice."""
    from ..detectors.output import holes_json
    from ..orchestrator import plugins

    image = _image(path, pixel_size_a)
    sizes = {"hole_diameter_um": hole_diameter_um, "hole_pitch_um": hole_pitch_um}
    options = {name: value for name, value in sizes.items() if value is not None}
    found = plugins.load("epicycle.detectors", "lattice-holes")(options).find(image)
    table = Table("#", "x px", "y px", "radius px", "score", "status")
    for number, hole in enumerate(found.holes, start=1):
        table.add_row(
            str(number),
            f"{hole.col_px:.1f}",
            f"{hole.row_px:.1f}",
            f"{hole.radius_px:.1f}",
            f"{hole.score:.2f}",
            hole.status.value,
        )
    lattice = found.lattice
    said = "no lattice" if lattice is None else f"{lattice.kind.value} lattice, confidence {lattice.confidence:.2f}"
    _show(table, f"{len(found.holes)} sites, {said}", found.reason, len(found.holes))
    _write_json(json_file, holes_json(found, str(path)))
    if plot is not None:
        from ..detectors.drawing import draw_holes

        draw_holes(image, found, plot)


def _show(table: Table, headline: str, reason: str, count: int) -> None:
    if count:
        console.print(table)
    console.print(escape(headline if count else f"nothing found: {reason}"))


def _write_json(path: Path | None, body: dict[str, Any]) -> None:
    if path is not None:
        path.write_text(json.dumps(body, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
