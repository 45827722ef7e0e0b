"""The detectors on a person's own image."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from ..protocols.errors import BadInput
from .detected import Format, show_holes, show_note, show_squares, show_stages, write_own, write_ptolemy
from .terminal import errors

if TYPE_CHECKING:
    from ..hardware.records import Image

detect_app = typer.Typer(help="The detectors on your own image.", no_args_is_help=True)

ImageFile = Annotated[Path, typer.Argument(help="An MRC, TIFF, PNG or JPEG file.", metavar="IMAGE")]
Section = Annotated[int | None, typer.Option(help="Which image of a stack, numbered from 0.")]
JsonFile = Annotated[Path | None, typer.Option("--json", help="Write the detections as JSON.")]
TextFile = Annotated[Path | None, typer.Option("--text", help="Write the centres as Ptolemy's text.")]
Form = Annotated[Format, typer.Option("--format", help="Form of what is written: this project's, or Ptolemy's own.")]
PlotFile = Annotated[Path | None, typer.Option("--plot", help="Write a PNG with outlines and scores.")]
PixelSize = Annotated[float | None, typer.Option(min=0.01, help="Pixel size in Å, where the file does not say.")]
Explain = Annotated[bool, typer.Option("--explain", help="Say what each stage found and how long it took.")]
Weights = Annotated[
    Path | None, typer.Option(help="Folder of weights: the published ones, or those of your own training.")
]
Compatible = Annotated[
    bool, typer.Option("--ptolemy-compatible", help="Published finders: scores by the batch, as published.")
]


@detect_app.command()
def squares(
    path: ImageFile,
    section: Section = None,
    finder: Annotated[str, typer.Option(help="Plug-in that looks.")] = "mixture-squares",
    weights: Weights = None,
    ptolemy_compatible: Compatible = False,
    form: Form = Format.OWN,
    json_file: JsonFile = None,
    text_file: TextFile = None,
    plot: PlotFile = None,
    pixel_size_a: PixelSize = None,
    explain: Explain = False,
) -> None:
    """Find and classify the squares of an atlas or one of its tiles."""
    from ..detectors.output import squares_json
    from ..detectors.ptolemy_format import squares_items
    from ..detectors.records import SquareDetections

    _check_form(form, text_file)
    image = _image(path, section, pixel_size_a)
    found = _found(finder, _options(weights, ptolemy_compatible), image, explain)
    if not isinstance(found, SquareDetections):
        raise BadInput(f"{finder} finds holes, not squares; use it with: epicycle detect holes")
    if form is Format.PTOLEMY:
        write_ptolemy(squares_items(found), found.reason, json_file, text_file)
    else:
        show_squares(found)
        write_own(squares_json(found, str(path)), json_file)
    if plot is not None:
        from ..detectors.drawing import draw_squares

        draw_squares(image, found, plot)


@detect_app.command()
def holes(
    path: ImageFile,
    section: Section = None,
    finder: Annotated[str, typer.Option(help="Plug-in that looks.")] = "lattice-holes",
    weights: Weights = None,
    ptolemy_compatible: Compatible = False,
    form: Form = Format.OWN,
    json_file: JsonFile = None,
    text_file: TextFile = None,
    plot: PlotFile = None,
    pixel_size_a: PixelSize = None,
    explain: Explain = False,
    hole_diameter_um: Annotated[float | None, typer.Option(help="Hole diameter in µm, if known.")] = None,
    hole_pitch_um: Annotated[float | None, typer.Option(help="Distance between hole centres in µm, if known.")] = None,
    vacuum_counts: Annotated[
        float | None,
        typer.Option(help="Counts per pixel where nothing is in the beam, if known: tells network-holes thick ice."),
    ] = None,
) -> None:
    """Find the holes of a square or a hole-level view, with their lattice."""
    from ..detectors.output import holes_json
    from ..detectors.ptolemy_format import holes_items
    from ..detectors.records import HoleDetections

    _check_form(form, text_file)
    image = _image(path, section, pixel_size_a)
    said = {
        "hole_diameter_um": hole_diameter_um, "hole_pitch_um": hole_pitch_um, "vacuum_counts": vacuum_counts
    }  # fmt: skip
    known = {name: value for name, value in said.items() if value is not None}
    found = _found(finder, _options(weights, ptolemy_compatible) | known, image, explain)
    if not isinstance(found, HoleDetections):
        raise BadInput(f"{finder} finds squares, not holes; use it with: epicycle detect squares")
    show_note(found.note)
    if form is Format.PTOLEMY:
        write_ptolemy(holes_items(found), found.reason, json_file, text_file)
    else:
        show_holes(found)
        write_own(holes_json(found, str(path)), json_file)
    if plot is not None:
        from ..detectors.drawing import draw_holes

        draw_holes(image, found, plot)


def _check_form(form: Format, text_file: Path | None) -> None:
    if text_file is not None and form is not Format.PTOLEMY:
        raise BadInput("--text writes Ptolemy's text; say --format ptolemy with it")


def _image(path: Path, section: int | None, pixel_size_a: float | None) -> "Image":
    from ..files.images import read_picture
    from ..hardware.records import Image

    seen = read_picture(path, section)
    if seen.figure:
        told = escape(f"{path} is a figure: contrast as somebody liked it, and no pixel size.")
        errors.print(told, soft_wrap=True, highlight=False)
    return Image(seen.pixels, pixel_size_a or seen.pixel_size_a, None, str(path))


def _options(weights: Path | None, compatible: bool) -> dict[str, Any]:
    options: dict[str, Any] = {} if weights is None else {"weights": weights}
    return options | {"batch_statistics": True} if compatible else options


def _found(finder: str, options: dict[str, Any], image: "Image", explain: bool) -> Any:
    """Let the plug-in look; tell its stages if asked."""
    from ..detectors.stages import listening
    from ..orchestrator import plugins

    made = plugins.load("epicycle.detectors", finder)(options)
    with listening(time.process_time) as stages:
        found = made.find(image)
    if explain:
        show_stages(stages, finder)
    return found
